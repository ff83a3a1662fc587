//! Guests by xdg-desktop-portal, played by a fake one: its sessions, its tokens, and what portals do wrong.

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use common::pipes::{all, has};
use common::{Bridge, Ended, SOON, picture};
use fake_guest::{
    DeviceKind, FakeGuest, FakePortal, Fault, Fill, GuestOptions, Input, PortalOptions, PortalState, ProducerOptions,
    SharedStream, SizePolicy,
};
use fake_host::{FakeHost, SelectionOwner};

const TEXT: &str = "text/plain;charset=utf-8";

/// A host of 1280x720, a guest with a portal, and where the bridge keeps its permissions.
struct World {
    host: FakeHost,
    guest: FakeGuest,
    portal: FakePortal,
    state: tempfile::TempDir,
}

fn world(options: PortalOptions) -> World {
    let host = FakeHost::builder().wolf().start().expect("a host");
    let guest = FakeGuest::start(GuestOptions::default()).expect("a guest");
    let eis = Arc::clone(&guest.eis);
    let portal = FakePortal::start(&guest.bus, &guest.pipewire.socket(), eis, options).expect("a portal");
    World { host, guest, portal, state: tempfile::tempdir().expect("a folder") }
}

/// A portal whose frames have this fixed size.
fn portal_of(width: u32, height: u32) -> PortalOptions {
    let producer = ProducerOptions { size: SizePolicy::Fixed(width, height), ..ProducerOptions::default() };
    PortalOptions { producer, ..PortalOptions::default() }
}

impl World {
    fn bridge(&self, args: &[&str]) -> Bridge {
        let mut env = self.guest.env();
        env.push(("XDG_STATE_HOME".into(), self.state.path().display().to_string()));
        Bridge::start(self.host.socket(), &env, &[&["--guest", "portal"], args].concat())
    }

    fn token(&self) -> PathBuf {
        self.state.path().join("wolf-bridge/portal.token")
    }

    /// Waits until this reaches the guest.
    fn arrives(&self, input: Input) -> Result<(), String> {
        self.guest.eis.wait(|state| state.log.iter().any(|logged| logged.input == input).then_some(()), SOON)
    }

    /// Ends a bridge; its session is closed with it.
    #[track_caller]
    fn end(&self, bridge: Bridge) -> Ended {
        let ended = bridge.end();
        let closed = self.portal.wait(|state| (state.closed == state.tokens_given).then_some(()), SOON);
        closed.unwrap_or_else(|error| panic!("{error}\n{}", ended.log));
        ended
    }

    /// Waits for a started session, and for a picture of its stream in the host.
    #[track_caller]
    fn shows(&self, bridge: &Bridge, stream: usize) {
        let producers = self.portal.wait(|state| state.producers.get(stream).cloned(), SOON);
        let producer = bridge.expect(producers);
        bridge.expect(producer.streaming(SOON));
        picture(bridge, &self.host, &producer, Fill::Coded(1));
        bridge.expect(self.host.wait(|seen| seen.shown(), SOON));
    }
}

/// It ended with this code, and its last line, the only one of an error, says these words.
#[track_caller]
fn failed(ended: &Ended, code: i32, words: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}", ended.log);
    let errors: Vec<&str> = ended.log.lines().filter(|line| line.starts_with("wolf-bridge: ")).collect();
    assert_eq!(errors, [ended.last_line()], "{}", ended.log);
    for word in words {
        assert!(ended.last_line().contains(word), "{word:?} is not in: {}", ended.last_line());
    }
}

#[test]
fn a_portal_gives_the_picture_and_takes_input() {
    let world = world(PortalOptions::default());
    let bridge = world.bridge(&[]);
    world.shows(&bridge, 0);
    bridge.expect(world.guest.eis.emulating(DeviceKind::Keyboard, SOON));
    world.host.keyboard().tap(30);
    bridge.expect(world.arrives(Input::Key(30, true)));
    bridge.expect(world.arrives(Input::Key(30, false)));
    let members: Vec<String> = world.portal.state().calls.into_iter().map(|call| call.member).collect();
    let order = [
        "CreateSession",
        "SelectDevices",
        "SelectSources",
        "RequestClipboard",
        "Start",
        "OpenPipeWireRemote",
        "ConnectToEIS",
    ];
    assert_eq!(members[..order.len()], order);
    let ended = world.end(bridge);
    assert_eq!(ended.counter("copied_bytes"), 0);
}

#[test]
fn the_dialog_appears_once() {
    let world = world(PortalOptions::default());
    for start in 1..=3 {
        let bridge = world.bridge(&[]);
        world.shows(&bridge, 0);
        world.end(bridge);
        let state = world.portal.state();
        assert_eq!((state.dialogs, state.tokens_given), (1, start));
        assert_eq!(std::fs::read_to_string(world.token()).unwrap(), format!("token-{start}\n"));
        assert_eq!(world.token().metadata().unwrap().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_stale_token_is_followed_by_a_new_dialog() {
    for strict_tokens in [false, true] {
        let world = world(PortalOptions { strict_tokens, ..PortalOptions::default() });
        std::fs::create_dir_all(world.token().parent().unwrap()).unwrap();
        std::fs::write(world.token(), "from-before\n").unwrap();
        std::fs::set_permissions(world.token(), std::fs::Permissions::from_mode(0o600)).unwrap();
        let bridge = world.bridge(&[]);
        world.shows(&bridge, 0);
        world.end(bridge);
        assert_eq!(world.portal.state().dialogs, 1);
        assert_eq!(std::fs::read_to_string(world.token()).unwrap(), "token-1\n");
    }
}

#[test]
fn a_token_that_others_can_read_is_told_and_replaced() {
    let world = world(PortalOptions::default());
    std::fs::create_dir_all(world.token().parent().unwrap()).unwrap();
    std::fs::write(world.token(), "token-9\n").unwrap();
    std::fs::set_permissions(world.token(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let bridge = world.bridge(&[]);
    world.shows(&bridge, 0);
    let ended = world.end(bridge);
    assert_eq!(ended.log.matches("portal.token can be opened by other users").count(), 1, "{}", ended.log);
    assert!(!world.portal.state().last("SelectDevices").unwrap().contains_key("restore_token"));
    assert_eq!(std::fs::read_to_string(world.token()).unwrap(), "token-1\n");
    assert_eq!(world.token().metadata().unwrap().mode() & 0o777, 0o600);
}

#[test]
fn who_says_no_is_not_asked_again() {
    let world = world(PortalOptions { faults: [("Start".into(), Fault::Deny)].into(), ..PortalOptions::default() });
    let ended = world.bridge(&[]).ended();
    // A Mutter is on this bus.
    failed(&ended, 4, &["refused to share its screen", "allow it", "--guest mutter"]);
    assert_eq!(world.portal.state().dialogs, 1);
}

#[test]
fn a_dialog_that_nobody_answers_is_waited_for_as_long_as_was_said() {
    let world = world(PortalOptions { faults: [("Start".into(), Fault::Hang)].into(), ..PortalOptions::default() });
    let ended = world.bridge(&["--guest-timeout", "2"]).ended();
    // A Mutter is on this bus.
    failed(&ended, 4, &["no guest within 2 s", "nobody at the guest has answered", "--guest mutter"]);
    assert_eq!(world.portal.state().dialogs, 1, "{}", ended.log);
}

#[test]
fn what_a_portal_cannot_do_is_told_and_tried_again() {
    let faults = [
        ("CreateSession", Fault::End, "the portal refused RemoteDesktop.CreateSession"),
        ("SelectSources", Fault::Refuse, "the portal refused SelectSources (refused by the test)"),
        ("Start", Fault::End, "the portal refused RemoteDesktop.Start"),
        ("Start", Fault::Close, "the portal closed the session before it had started"),
    ];
    for (member, fault, told) in faults {
        let world = world(PortalOptions { faults: [(member.into(), fault)].into(), ..PortalOptions::default() });
        let bridge = world.bridge(&[]);
        let tried =
            |state: &PortalState| (state.calls.iter().filter(|call| call.member == member).count() >= 2).then_some(());
        bridge.expect(world.portal.wait(tried, SOON));
        assert!(bridge.log().contains(told), "{told:?}: {}", bridge.log());
        world.portal.reconfigure(|options| options.faults.clear());
        world.shows(&bridge, 0);
        world.end(bridge);
    }
}

#[test]
fn a_closed_session_is_made_again_without_a_dialog() {
    let world = world(PortalOptions::default());
    let bridge = world.bridge(&[]);
    world.shows(&bridge, 0);
    let windows = world.host.look(|seen| seen.shown());
    world.portal.close_sessions();
    bridge.expect(world.portal.wait(|state| (state.tokens_given == 2).then_some(()), SOON));
    world.shows(&bridge, 0);
    assert_eq!(world.portal.state().dialogs, 1);
    assert_eq!(world.host.look(|seen| seen.shown()), windows, "the window is another one");
    bridge.end();
}

#[test]
fn a_portal_that_shares_nothing_is_told() {
    let world = world(PortalOptions { streams: Vec::new(), ..PortalOptions::default() });
    let ended = world.bridge(&["--guest-timeout", "2"]).ended();
    failed(&ended, 4, &["the portal shares no screen", "monitor"]);
}

#[test]
fn of_several_streams_one_is_shown_and_that_is_told() {
    let named = |source_type, name: &str| SharedStream {
        source_type,
        mapping_id: Some(name.into()),
        ..SharedStream::default()
    };
    let streams = vec![named(2, "window"), named(1, "DP-1"), named(1, "DP-2")];
    for (args, shown, told) in [
        (&[][..], 1, "the portal shares 3 screens; showing DP-1"),
        (&["--monitor", "DP-2"], 2, "the portal shares 3 screens; showing DP-2"),
        (&["--monitor", "DP-9"], 1, "the portal shares no monitor DP-9; showing DP-1 instead"),
    ] {
        let world = world(PortalOptions { streams: streams.clone(), ..PortalOptions::default() });
        let bridge = world.bridge(args);
        world.shows(&bridge, shown);
        let ended = world.end(bridge);
        assert!(ended.log.contains(told), "{told:?}: {}", ended.log);
    }
}

#[test]
fn a_stream_larger_than_its_place_on_the_desktop_is_pointed_at_by_its_place() {
    let streams = vec![SharedStream { place: Some(((100, 50), (640, 360))), ..SharedStream::default() }];
    let world = world(PortalOptions { streams, ..portal_of(1280, 720) });
    let bridge = world.bridge(&[]);
    world.shows(&bridge, 0);
    bridge.expect(world.guest.eis.emulating(DeviceKind::Absolute, SOON));
    world.host.pointer().move_to(640.0, 360.0);
    bridge.expect(world.arrives(Input::MotionAbsolute(420.0, 230.0)));
    world.end(bridge);
}

#[test]
fn a_node_is_named_by_its_serial_where_that_is_told() {
    for (by_serial, target) in [(true, "\"target.object\""), (false, "\"node.target\"")] {
        let streams = vec![SharedStream { by_serial, ..SharedStream::default() }];
        let world = world(PortalOptions { streams, ..PortalOptions::default() });
        let bridge = world.bridge(&[]);
        world.shows(&bridge, 0);
        let dump =
            Command::new("pw-dump").arg("--remote").arg(world.guest.pipewire.socket()).output().expect("pw-dump");
        let dump = String::from_utf8_lossy(&dump.stdout);
        assert!(dump.contains(target), "no {target}: {dump}");
        world.end(bridge);
    }
}

#[test]
fn without_remote_desktop_there_is_something_to_look_at() {
    let world = world(PortalOptions { remote_desktop: false, ..PortalOptions::default() });
    let bridge = world.bridge(&[]);
    world.shows(&bridge, 0);
    let ended = world.end(bridge);
    assert!(ended.log.contains("going on without input"), "{}", ended.log);
    // It is by its sources that such a session lasts.
    assert_eq!(std::fs::read_to_string(world.token()).unwrap(), "token-1\n");
    let bridge = world.bridge(&[]);
    world.shows(&bridge, 0);
    world.end(bridge);
    assert_eq!(world.portal.state().dialogs, 1);
}

#[test]
fn wheels_are_wheels() {
    let world = world(PortalOptions::default());
    let bridge = world.bridge(&[]);
    world.shows(&bridge, 0);
    bridge.expect(world.guest.eis.emulating(DeviceKind::Pointer, SOON));
    world.host.pointer().move_to(640.0, 360.0);
    world.host.pointer().wheel(fake_host::Axis::Vertical, 120);
    bridge.expect(world.arrives(Input::ScrollDiscrete(0, 120)));
    world.end(bridge);
}

#[test]
fn the_clipboard_goes_both_ways() {
    let world = world(PortalOptions::default());
    let bridge = world.bridge(&[]);
    world.shows(&bridge, 0);
    let clipboard = world.host.clipboard();

    // The guest's, to the host.
    world.portal.copy(&[TEXT]);
    let offered = |seen: &fake_host::Seen| match &seen.selection_owner {
        SelectionOwner::Client(mimes) => mimes.iter().any(|mime| mime == TEXT),
        _ => false,
    };
    bridge.expect(world.host.wait(offered, SOON));
    let pasted = clipboard.paste(TEXT).expect("the bridge owns the host's selection");
    assert_eq!(all(pasted, SOON), TEXT.as_bytes());

    // The host's, to the guest.
    clipboard.copy(&[(TEXT, has("from the host"))]);
    let offered =
        |state: &PortalState| state.offered.as_ref().filter(|mimes| mimes.iter().any(|it| it == TEXT)).map(drop);
    bridge.expect(world.portal.wait(offered, SOON));
    let pasted = world.portal.paste(TEXT, 7).expect("a pipe");
    assert_eq!(all(pasted.into(), SOON), b"from the host");
    let done = |state: &PortalState| state.last("SelectionWriteDone").cloned();
    let done = bridge.expect(world.portal.wait(done, SOON));
    assert_eq!((done["serial"].as_str(), done["success"].as_str()), ("7", "true"));
    world.end(bridge);
}

#[test]
fn a_portal_without_clipboard_is_no_trouble() {
    let world = world(PortalOptions { clipboard: false, ..PortalOptions::default() });
    let bridge = world.bridge(&[]);
    world.shows(&bridge, 0);
    world.host.clipboard().copy(&[(TEXT, has("from the host"))]);
    world.shows(&bridge, 0);
    let ended = world.end(bridge);
    assert!(!ended.log.contains(" WARN "), "{}", ended.log);
}

#[test]
fn a_pointer_that_the_portal_does_not_give_is_told() {
    let world = world(PortalOptions { cursor_modes: 4, ..PortalOptions::default() });
    let bridge = world.bridge(&["--cursor", "embedded"]);
    world.shows(&bridge, 0);
    let ended = world.end(bridge);
    assert!(ended.log.contains("the pointer is beside its frames (--cursor overlay shows it)"), "{}", ended.log);
    assert_eq!(world.portal.state().last("SelectSources").unwrap()["cursor_mode"], "4");
}
