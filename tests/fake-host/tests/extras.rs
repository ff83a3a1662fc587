//! Input devices, timing and extensions, seen from the client's side.

mod client;

use std::os::unix::net::UnixStream;

use client::{Client, RED};
use fake_host::{Axis, BLACK, BadTable, Broken, FakeHost, Seen, WindowState, code};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_pointer_constraints_v1::{
    Lifetime, ZwpPointerConstraintsV1,
};
use wayland_protocols::wp::presentation_time::client::wp_presentation::WpPresentation;
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;

#[test]
fn a_viewport_scales_what_is_shown() {
    let host = FakeHost::builder().start().unwrap();
    let mut client = Client::configured(&host);
    let viewporter: WpViewporter = client.bind(1).unwrap();
    let viewport = viewporter.get_viewport(&client.surface, &client.qh, ());
    viewport.set_destination(1280, 720);
    let (buffer, _file) = client.buffer(64, 36, RED);
    client.show(&buffer);
    client.roundtrip();
    assert_eq!(host.pixel(1279, 719), Some(RED));
    let frame = host.look(|seen| seen.last_frame().cloned()).unwrap();
    assert_eq!((frame.destination, frame.size), (Some((1280, 720)), Some((1280, 720))));

    viewport.set_source(32.0, 0.0, 64.0, 36.0);
    client.surface.commit();
    assert!(client.try_roundtrip().is_err());
    assert_eq!(host.seen().errors[0].interface, "wp_viewport");
}

#[test]
fn wolf_presents_only_what_was_damaged() {
    let host = FakeHost::builder().wolf().manual_frames().start().unwrap();
    let mut client = Client::configured(&host);
    let presentation: WpPresentation = client.bind(2).unwrap();
    let (buffer, _file) = client.buffer(64, 64, RED);
    presentation.feedback(&client.surface, &client.qh, ());
    client.show(&buffer);
    client.roundtrip();
    host.render();
    assert_eq!(host.seen().presented, 0);

    presentation.feedback(&client.surface, &client.qh, ());
    client.surface.commit();
    client.roundtrip();
    host.render();
    client.roundtrip();
    assert_eq!((host.seen().presented, host.seen().discarded), (1, 1));
    assert_eq!(client.log.names("wp_presentation_feedback"), ["Discarded", "Presented"]);

    presentation.feedback(&client.surface, &client.qh, ());
    client.surface.frame(&client.qh, ());
    client.surface.commit();
    client.roundtrip();
    assert_eq!(host.render(), 1);
    assert_eq!(host.seen().presented, 1);
}

#[test]
fn a_locked_pointer_moves_only_relatively() {
    let host = FakeHost::builder().wolf().start().unwrap();
    let mut client = Client::configured(&host);
    let (pointer, ..) = client.seat();
    let relatives: ZwpRelativePointerManagerV1 = client.bind(1).unwrap();
    relatives.get_relative_pointer(&pointer, &client.qh, ());
    let constraints: ZwpPointerConstraintsV1 = client.bind(1).unwrap();
    let (buffer, _file) = client.buffer(64, 64, RED);
    client.show(&buffer);
    client.roundtrip();
    host.pointer().move_to(5.0, 5.0);
    let lock = constraints.lock_pointer(&client.surface, &pointer, None, Lifetime::Persistent, &client.qh, ());
    client.roundtrip();
    assert!(host.look(Seen::pointer_locked));
    host.pointer().move_by(3.0, -2.0).leave();
    client.roundtrip();
    assert_eq!(client.log.names("wl_pointer"), ["Enter", "Frame", "Frame", "Leave"]);
    assert_eq!(client.log.count("zwp_relative_pointer_v1"), 2);
    assert_eq!(client.log.names("zwp_locked_pointer_v1"), ["Locked", "Unlocked"]);
    lock.destroy();
    client.roundtrip();
    assert!(!host.seen().constraints[0].alive);
}

#[test]
fn the_cursor_is_watched_over_every_enter() {
    let host = FakeHost::builder().start().unwrap();
    let mut client = Client::configured(&host);
    let (pointer, ..) = client.seat();
    client.roundtrip();
    host.pointer().enter(1.0, 1.0).frame();
    client.roundtrip();
    assert!(!host.look(Seen::cursor_hidden_after_every_enter));
    let serial = host.look(|s| s.pointer_enters[0]);
    pointer.set_cursor(serial, None, 0, 0);
    client.roundtrip();
    assert!(host.look(Seen::cursor_hidden_after_every_enter));
}

#[test]
fn an_old_seat_gets_steps_and_a_seat_can_lose_devices() {
    let host = FakeHost::builder().with_version("wl_seat", 5).start().unwrap();
    let mut client = Client::configured(&host);
    let seat: WlSeat = client.bind(9).unwrap();
    seat.get_pointer(&client.qh, ());
    client.roundtrip();
    host.pointer().enter(0.0, 0.0).wheel(Axis::Vertical, 240);
    client.roundtrip();
    let names = client.log.names("wl_pointer");
    assert_eq!(names, ["Enter", "AxisSource", "AxisDiscrete", "Axis", "Frame"]);
    host.set_seat(false, true, false);
    client.roundtrip();
    assert_eq!(client.log.count("wl_seat Capabilities"), 2);
}

#[test]
fn keys_follow_the_focus_and_touch_has_its_own_way() {
    let host = FakeHost::builder().start().unwrap();
    let mut client = Client::configured(&host);
    client.seat();
    let (buffer, _file) = client.buffer(64, 64, RED);
    client.show(&buffer);
    client.roundtrip();
    host.keyboard().tap(code::KEY_A).leave();
    host.touch().tap(1.0, 2.0).swipe((0.0, 0.0), (9.0, 9.0), 2);
    client.roundtrip();
    let keys = client.log.names("wl_keyboard");
    assert_eq!(keys, ["Keymap", "RepeatInfo", "Enter", "Modifiers", "Key", "Key", "Leave"]);
    assert_eq!(client.log.count("wl_touch Down"), 2);
    assert_eq!(client.log.count("wl_touch Motion"), 2);
}

#[test]
fn every_bad_format_table_can_be_sent() {
    for table in
        [BadTable::Pipe, BadTable::ShorterThanSaid, BadTable::OddSize, BadTable::Empty, BadTable::IndexOutOfRange]
    {
        let host = FakeHost::builder().broken(Broken::FormatTable(table)).start().unwrap();
        let mut client = Client::configured(&host);
        let dmabuf: ZwpLinuxDmabufV1 = client.bind(4).unwrap();
        dmabuf.get_default_feedback(&client.qh, ());
        client.roundtrip();
        assert_eq!(client.log.count("zwp_linux_dmabuf_feedback_v1 FormatTable"), 1, "{table:?}");
    }
}

#[test]
fn an_unmapped_window_must_be_configured_anew() {
    let host = FakeHost::builder().initial_size(320, 200, &[WindowState::Activated]).start().unwrap();
    let mut client = Client::configured(&host);
    assert_eq!(client.log.size, (320, 200));
    let (buffer, _file) = client.buffer(320, 200, RED);
    client.show(&buffer);
    client.surface.attach(None, 0, 0);
    client.surface.commit();
    client.roundtrip();
    assert_eq!(host.pixel(0, 0), Some(BLACK));
    client.show(&buffer);
    assert!(client.try_roundtrip().is_err());
}

#[test]
fn a_host_can_be_replaced_on_the_same_socket() {
    let folder = tempfile::tempdir().unwrap();
    let first = FakeHost::builder().socket_dir(folder.path()).start().unwrap();
    let mut client = Client::configured(&first);
    first.kill();
    let second = FakeHost::builder().socket_dir(folder.path()).start().unwrap();
    assert_eq!(first.socket(), second.socket());
    assert!(client.try_roundtrip().is_err());
    drop(first);
    // The old host's end must not take the new host's socket with it.
    assert!(UnixStream::connect(second.socket()).is_ok());
}
