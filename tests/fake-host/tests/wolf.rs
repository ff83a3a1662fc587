//! Wolf's habits, each seen from the client's side.

mod client;

use client::{BLUE, Client, RED, SOON, fill};
use fake_host::{Axis, BLACK, Dmabuf, FakeHost, ImportAnswer, ImportPolicy, Output, Request, code, fourcc, modifier};

fn wolf() -> FakeHost {
    let host = FakeHost::builder().wolf().start();
    host.expect("the host starts")
}

#[test]
fn wolf_shows_the_first_buffer_only_when_another_commit_follows() {
    let host = wolf();
    let mut client = Client::configured(&host);
    assert_eq!(client.log.size, (1280, 720));
    let (buffer, _file) = client.buffer(1280, 720, RED);
    let frame = client.surface.frame(&client.qh, ());
    client.show(&buffer);
    client.roundtrip();
    host.wait(|seen| seen.callbacks_done == 1, SOON).unwrap();
    drop(frame);
    assert!(host.look(|seen| seen.window().unwrap().mapped && !seen.shown()));
    assert_eq!(host.pixel(5, 5), Some(BLACK));

    client.surface.commit();
    client.roundtrip();
    assert!(host.look(fake_host::Seen::shown));
    assert_eq!(host.pixel(5, 5), Some(RED));
    assert_eq!(host.pixel(1279, 719), Some(RED));
}

#[test]
fn wolf_releases_a_buffer_when_a_different_one_replaces_it() {
    let host = wolf();
    let mut client = Client::configured(&host);
    let (first, _one) = client.buffer(64, 64, RED);
    let (second, _two) = client.buffer(64, 64, BLUE);
    client.show(&first);
    client.show(&first);
    client.roundtrip();
    assert_eq!(client.log.count("wl_buffer"), 0);
    assert_eq!(host.seen().held().len(), 1);

    client.show(&second);
    client.roundtrip();
    assert_eq!(client.log.count("wl_buffer"), 1);
    let seen = host.seen();
    assert_eq!(seen.held(), [seen.last_frame().unwrap().buffer().unwrap()]);
    assert_eq!(seen.frame_count(), 3);
    assert_eq!(host.pixel(0, 0), Some(BLUE));
    assert_eq!(host.pixel(64, 64), Some(BLACK));
}

#[test]
fn wolf_kills_for_a_fourcc_it_never_advertised() {
    let host = FakeHost::builder().wolf_with_gpu().start().unwrap();
    let mut client = Client::configured(&host);
    client.import(fourcc::XRGB8888, modifier::LINEAR, 64, 64);
    client.roundtrip();
    // Not listed with that modifier, yet tried, and taken.
    assert_eq!(client.log.created.len(), 1);

    client.import(fourcc::XBGR8888, modifier::INVALID, 64, 64);
    assert!(client.try_roundtrip().is_err());
    let seen = host.wait(|s| s.client_gone().then(|| s.clone()), SOON);
    let seen = seen.unwrap();
    assert_eq!(seen.errors[0].interface, "zwp_linux_buffer_params_v1");
    assert_eq!(seen.params[1].answer, ImportAnswer::Fatal);
}

#[test]
fn a_refused_import_fails_softly() {
    let bad = (fourcc::XRGB8888, modifier::INVALID);
    let host = FakeHost::builder().wolf_with_gpu().import(ImportPolicy::Refuse(vec![bad]));
    let host = host.start().unwrap();
    let mut client = Client::configured(&host);
    client.import(bad.0, bad.1, 64, 64);
    client.import(fourcc::XRGB8888, modifier::LINEAR, 64, 64);
    client.roundtrip();
    assert_eq!(client.log.names("zwp_linux_buffer_params_v1"), ["Failed", "Created"]);
    let buffer = client.log.created.remove(0);
    client.show(&buffer);
    client.surface.commit();
    client.roundtrip();
    assert_eq!(host.pixel(3, 3), Some(BLUE));
    let seen = host.seen();
    let dmabuf = seen.last_frame().unwrap().kind().unwrap().dmabuf();
    assert_eq!(dmabuf.unwrap().modifier, modifier::LINEAR);
}

#[test]
fn version_three_hears_modifiers_and_later_versions_feedback() {
    let formats = vec![(fourcc::XRGB8888, modifier::INVALID)];
    let three = FakeHost::builder().wolf().dmabuf(Dmabuf::V3(formats));
    let host = three.start().unwrap();
    let mut client = Client::configured(&host);
    let dmabuf: Dmabuf3 = client.bind(5).unwrap();
    client.roundtrip();
    drop(dmabuf);
    let names = client.log.names("zwp_linux_dmabuf_v1");
    assert_eq!(names, ["Modifier", "Modifier"]);

    let host = FakeHost::builder().wolf_with_gpu().start().unwrap();
    let mut client = Client::configured(&host);
    let dmabuf: Dmabuf3 = client.bind(5).unwrap();
    let feedback = dmabuf.get_default_feedback(&client.qh, ());
    client.roundtrip();
    drop(feedback);
    assert_eq!(client.log.count("zwp_linux_dmabuf_v1"), 0);
    let expected =
        ["FormatTable", "MainDevice", "TrancheTargetDevice", "TrancheFlags", "TrancheFormats", "TrancheDone", "Done"];
    assert_eq!(client.log.names("zwp_linux_dmabuf_feedback_v1"), expected);
}

type Dmabuf3 = wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;

#[test]
fn fullscreen_before_the_first_commit_maps_the_window_unsized() {
    let host = wolf();
    let mut client = Client::new(&host);
    client.toplevel.set_title("early".into());
    client.toplevel.set_fullscreen(None);
    client.surface.commit();
    client.roundtrip();
    assert_eq!(client.log.size, (0, 0));
    client.ack();
    let (buffer, _file) = client.buffer(640, 480, RED);
    client.show(&buffer);
    client.roundtrip();
    let seen = host.seen();
    let window = seen.window().unwrap();
    assert!(window.mapped_unsized);
    assert_eq!(window.configures.len(), 1);
    assert_eq!(window.before_first_commit(), [Request::Title("early".into()), Request::Fullscreen]);
}

#[test]
fn a_window_without_an_output_is_dropped_by_old_builds_and_waits_in_new_ones() {
    let old = FakeHost::builder().wolf().without_output().start().unwrap();
    let mut client = Client::new(&old);
    client.surface.commit();
    client.roundtrip();
    old.add_output(Output::new(800, 600, 60_000)).unwrap();
    client.roundtrip();
    assert!(old.seen().window().unwrap().dropped);
    assert_eq!(client.log.count("xdg_toplevel Configure"), 0);

    let new = FakeHost::builder().wolf().quirks(|q| q.drops_window_without_output = false).without_output();
    let new = new.start().unwrap();
    let mut client = Client::new(&new);
    client.surface.commit();
    client.roundtrip();
    assert_eq!(client.log.serial, None);
    new.add_output(Output::new(800, 600, 60_000)).unwrap();
    client.roundtrip();
    assert_eq!(client.log.size, (800, 600));
}

#[test]
fn a_new_mode_comes_by_wl_output_and_an_empty_configure() {
    let host = wolf();
    let mut client = Client::configured(&host);
    let output: wayland_client::protocol::wl_output::WlOutput = client.bind(4).unwrap();
    client.roundtrip();
    host.set_output_mode(1920, 1080, 120_000);
    client.roundtrip();
    drop(output);
    assert_eq!(client.log.size, (0, 0));
    let modes: Vec<_> = client.log.events.iter().filter(|e| e.starts_with("wl_output Mode")).collect();
    assert!(modes[1].contains("width: 1920, height: 1080, refresh: 120000"));
    assert!(!host.seen().window().unwrap().acked_newest());
}

#[test]
fn input_comes_the_way_wolf_sends_it() {
    let host = FakeHost::builder().wolf().keymap("us,de", "").start();
    let host = host.unwrap();
    let mut client = Client::configured(&host);
    let (pointer, ..) = client.seat();
    let manager: RelativeManager = client.bind(1).unwrap();
    let relative = manager.get_relative_pointer(&pointer, &client.qh, ());
    let (buffer, _file) = client.buffer(64, 64, RED);
    client.show(&buffer);
    client.roundtrip();
    host.pointer().move_to(10.0, 10.0).move_to(5000.0, 5000.0).wheel(Axis::Vertical, -120);
    host.keyboard().chord(&[code::KEY_LEFTCTRL, code::KEY_LEFTSHIFT, code::KEY_Q]);
    client.roundtrip();
    drop(relative);
    assert_eq!(
        client.log.names("wl_pointer"),
        ["Enter", "Frame", "Motion", "Frame", "AxisSource", "AxisValue120", "Axis", "Frame"]
    );
    assert_eq!(client.log.count("zwp_relative_pointer_v1"), 2);
    assert_eq!(host.pointer().position(), (1278.0, 718.0));
    let events = client.log.events.join("\n");
    assert!(events.contains("value: -3.0"), "{events}");
    assert_eq!(client.log.count("xdg_toplevel Close"), 1);
    // Control and shift, down and up; q is swallowed both ways.
    assert_eq!(client.log.count("wl_keyboard Key "), 4);
    let modifiers = client.log.count("wl_keyboard Modifiers");
    let group_zero = events.matches("group: 0").count();
    assert_eq!((modifiers, group_zero), (5, 5));
}

type RelativeManager =
    wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1;

#[test]
fn only_damage_reaches_the_screen() {
    let host = wolf();
    let mut client = Client::configured(&host);
    let (buffer, file) = client.buffer(64, 64, RED);
    client.show(&buffer);
    client.roundtrip();
    fill(&file, 64 * 64, BLUE);
    client.surface.attach(Some(&buffer), 0, 0);
    client.surface.damage_buffer(8, 8, 8, 8);
    client.surface.commit();
    client.roundtrip();
    assert_eq!(host.pixel(8, 8), Some(BLUE));
    assert_eq!(host.pixel(15, 15), Some(BLUE));
    assert_eq!(host.pixel(16, 16), Some(RED));
    assert_eq!(host.pixel(7, 8), Some(RED));
}
