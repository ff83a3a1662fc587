//! The window with fakes: in which order it comes up, how large it is, and that it keeps its picture through
//! resizes and the guest's deaths.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bridge, SOON, wait_for};
use fake_guest::{FakeGuest, Fill, GuestOptions, Linker, Producer};
use fake_host::{Builder, FakeHost, Output, Request, Seen, WindowState};

/// Memory order blue, green, red, unused; and what that is on the screen.
const RED: (Fill, u32) = (Fill::Solid([0, 0, 255, 0]), 0xffff_0000);
const GREEN: (Fill, u32) = (Fill::Solid([0, 255, 0, 0]), 0xff00_ff00);

struct World {
    host: FakeHost,
    guest: FakeGuest,
    bridge: Bridge,
}

impl World {
    fn new(host: Builder, args: &[&str]) -> Self {
        Self::with(host, GuestOptions::default(), args)
    }

    fn with(host: Builder, guest: GuestOptions, args: &[&str]) -> Self {
        let host = host.start().unwrap();
        let guest = FakeGuest::start(guest).unwrap();
        let bridge = Bridge::start(host.socket(), &guest.env(), args);
        Self { host, guest, bridge }
    }

    fn producer(&self) -> Arc<Producer> {
        self.bridge.expect(self.guest.mutter.producer(SOON))
    }

    /// Sends a colour until it is on the screen: PipeWire may lose what is sent while formats or buffers change.
    fn show(&self, (fill, colour): (Fill, u32)) {
        let producer = self.producer();
        wait_for("the colour", SOON, || {
            self.bridge.expect(producer.streaming(SOON));
            let before = self.host.look(Seen::frame_count);
            self.bridge.expect(producer.send(fill, SOON));
            let _ = self.host.wait(|seen| seen.frame_count() > before, Duration::from_millis(500));
            (self.host.pixel(100, 100) == Some(colour)).then_some(())
        });
    }

    /// The guest has a monitor of this size, and shows it.
    fn has_size(&self, width: u32, height: u32) {
        self.bridge.expect(self.producer().streaming_at((width, height), SOON));
    }

    fn end(self) -> common::Ended {
        let ended = self.bridge.end();
        let seen = self.host.seen();
        assert_eq!(seen.oddities, Vec::<String>::new(), "{seen}");
        assert!(seen.errors.is_empty(), "{seen}");
        ended
    }

    /// What the bridge asked of its window so far.
    fn requests(&self) -> Vec<Request> {
        self.host.look(|seen| seen.window().expect("a window").requests.clone())
    }
}

fn wolf() -> Builder {
    FakeHost::builder().wolf()
}

fn ordinary() -> Builder {
    FakeHost::builder()
}

#[test]
fn on_wolf_the_first_configure_is_followed() {
    let world = World::new(wolf().output(Output::new(1600, 900, 60_000)), &[]);
    world.has_size(1600, 900);
    world.show(RED);
    let window = world.host.look(|seen| seen.window().expect("a window").clone());
    assert!(!window.mapped_unsized && !window.dropped && window.shown);
    let early = window.before_first_commit();
    assert!(!early.iter().any(|it| matches!(it, Request::Fullscreen | Request::MaxSize(..))), "{early:?}");
    // Wolf says fullscreen by itself.
    assert!(!window.requests.contains(&Request::Fullscreen), "{:?}", window.requests);
    world.end();
}

#[test]
fn elsewhere_fullscreen_is_asked_for_once_configured() {
    let world = World::new(ordinary(), &[]);
    world.show(RED);
    let requests = world.requests();
    let position = |wanted: &dyn Fn(&Request) -> bool| requests.iter().position(wanted);
    let asked = position(&|it| *it == Request::Fullscreen).expect("fullscreen");
    let acked = position(&|it| matches!(it, Request::Ack(_))).expect("an ack");
    assert!(acked < asked, "{requests:?}");
    world.end();
}

#[test]
fn a_windowed_bridge_has_its_own_size_and_never_asks_for_fullscreen() {
    let world = World::new(ordinary(), &["--windowed", "800x450"]);
    world.has_size(800, 450);
    world.show(RED);
    assert!(!world.requests().contains(&Request::Fullscreen));
    let frame = world.host.look(|seen| seen.last_frame().cloned()).expect("a frame");
    assert_eq!(frame.size, Some((800, 450)));
    world.end();
}

#[test]
fn a_host_without_an_output_is_waited_for_and_then_done_without() {
    let world = World::new(ordinary().without_output(), &[]);
    world.show(RED);
    let ended = world.end();
    assert!(ended.log.contains("the host has no output after 5 s; going on without"), "{}", ended.log);
}

#[test]
fn on_an_old_wolf_the_window_comes_after_the_output() {
    let world = World::new(wolf().without_output(), &[]);
    world.bridge.expect(world.host.wait(|seen| seen.bound_version("xdg_wm_base").is_some(), SOON));
    assert!(world.host.look(|seen| seen.window().is_none_or(|window| window.commits() == 0)));
    world.host.add_output(Output::new(1024, 768, 60_000)).unwrap();
    world.has_size(1024, 768);
    world.show(RED);
    assert!(!world.host.look(|seen| seen.window().expect("a window").dropped));
    world.end();
}

#[test]
fn every_order_of_configures_ends_at_the_last_size() {
    let fullscreen = &[WindowState::Fullscreen, WindowState::Activated];
    let orders: [&[(i32, i32)]; 5] = [
        &[(0, 0), (1000, 600)],
        &[(1000, 600), (0, 0), (1000, 600)],
        &[(640, 480), (800, 600), (1000, 600)],
        &[(1000, 600), (1000, 600)],
        &[(1, 1), (1000, 600)],
    ];
    for order in orders {
        let world = World::new(ordinary().manual_configure(), &[]);
        world.bridge.expect(world.host.wait(|seen| seen.window().is_some_and(|it| it.commits() > 0), SOON));
        // Nothing is attached before the first configure.
        assert_eq!(world.host.look(Seen::frame_count), 0);
        for (width, height) in order {
            world.host.configure(*width, *height, fullscreen);
        }
        world.has_size(1000, 600);
        world.show(RED);
        let frame = world.host.look(|seen| seen.last_frame().cloned()).expect("a frame");
        assert_eq!(frame.size, Some((1000, 600)), "{order:?}");
        world.bridge.expect(world.host.wait(|seen| seen.window().is_some_and(|it| it.acked_newest()), SOON));
        world.end();
    }
}

#[test]
fn an_empty_configure_means_the_outputs_mode() {
    let world = World::new(wolf(), &[]);
    world.show(RED);
    for (width, height) in [(1920, 1080), (640, 360), (1366, 768)] {
        world.host.set_output_mode(width, height, 60_000);
        world.has_size(width as u32, height as u32);
        world.show(GREEN);
        let frame = world.host.look(|seen| seen.last_frame().cloned()).expect("a frame");
        assert_eq!(frame.size, Some((width, height)));
        world.show(RED);
    }
    world.end();
}

#[test]
fn a_storm_of_sizes_ends_at_the_last_one_and_never_blanks_the_window() {
    let world = World::new(ordinary(), &[]);
    world.show(RED);
    let formats = world.producer().state().formats.len();
    for step in 0..200 {
        world.host.configure(600 + step, 400 + step, &[WindowState::Activated]);
        if step % 20 == 0 {
            assert_eq!(world.host.pixel(100, 100), Some(RED.1), "step {step}");
        }
    }
    world.has_size(799, 599);
    assert_eq!(world.host.pixel(100, 100), Some(RED.1));
    world.show(GREEN);
    let renegotiated = world.producer().state().formats.len() - formats;
    assert!(renegotiated <= 40, "{renegotiated} renegotiations for 200 sizes");
    let blank = world.host.look(|seen| seen.window_commits().filter(|it| it.size.is_none()).count());
    assert!(blank <= 1, "{blank} commits without a picture");
    world.end();
}

#[test]
fn a_scaled_host_gets_its_physical_pixels() {
    let world = World::new(ordinary(), &["--windowed", "800x450"]);
    world.has_size(800, 450);
    world.show(RED);
    world.host.prefer_scale(1.5);
    world.has_size(1200, 675);
    world.show(GREEN);
    let frame = world.host.look(|seen| seen.last_frame().cloned()).expect("a frame");
    assert_eq!(frame.size, Some((800, 450)), "the window stays as large as it was");
    world.end();
}

#[test]
fn pixels_without_alpha_are_said_to_be_opaque() {
    let world = World::new(wolf(), &[]);
    world.show(RED);
    let frame = world.host.look(|seen| seen.last_frame().cloned()).expect("a frame");
    let opaque: Vec<_> = frame.opaque.iter().map(|it| (it.x, it.y, it.width, it.height)).collect();
    assert_eq!(opaque, [(0, 0, 1280, 720)]);
    world.end();
}

#[test]
fn a_guest_that_dies_leaves_its_picture_and_may_come_back() {
    let mut world = World::new(wolf(), &[]);
    world.show(RED);
    world.show(GREEN);
    let fds = world.bridge.open_fds();
    for round in 0..6 {
        let sessions = world.guest.mutter.state().sessions_made;
        match round % 3 {
            0 => world.guest.mutter.close_session(),
            1 => world.producer().end(),
            _ => world.guest.pipewire.restart().unwrap(),
        }
        let again = world.guest.mutter.wait(|state| (state.sessions_made > sessions).then_some(()), SOON);
        world.bridge.expect(again);
        let colour = world.host.pixel(100, 100);
        assert!(colour == Some(RED.1) || colour == Some(GREEN.1), "round {round}: {colour:x?}");
        world.show(if round % 2 == 0 { RED } else { GREEN });
    }
    assert_eq!(world.host.look(|seen| seen.windows.len()), 1, "one window for all sessions");
    // Buffers of the stream in use are the only ones that may be more than before.
    let now = world.bridge.open_fds();
    assert!(now <= fds + 10, "{fds} descriptors at first, {now} now");
    let ended = world.end();
    assert_eq!(ended.counter("copied_bytes"), 0);
}

#[test]
fn without_a_session_manager_the_bridge_links_the_stream() {
    let guest = GuestOptions { linker: Linker::None, ..Default::default() };
    let world = World::with(wolf(), guest, &[]);
    world.show(RED);
    let ended = world.end();
    assert!(ended.log.contains("no session manager linked the stream; linking it by hand"), "{}", ended.log);
}

#[test]
fn a_close_ends_it_or_is_ignored_as_asked() {
    let world = World::new(wolf(), &[]);
    world.show(RED);
    assert!(world.host.close_toplevel());
    let ended = world.bridge.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.log);

    let world = World::new(wolf(), &["--on-close", "ignore"]);
    world.show(RED);
    assert!(world.host.close_toplevel());
    world.show(GREEN);
    assert!(world.end().log.contains("asked to close the window; staying"));
}

#[test]
fn a_host_that_goes_away_ends_it_with_3() {
    let world = World::new(wolf(), &[]);
    world.show(RED);
    world.host.kill();
    let ended = world.bridge.ended();
    assert_eq!(ended.code, Some(3), "{}", ended.log);
    assert!(ended.last_line().starts_with("wolf-bridge: "), "{}", ended.last_line());
}
