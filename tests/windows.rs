//! The window with fakes: in which order it comes up, how large it is, and that it keeps its picture through
//! resizes and the guest's deaths.

mod common;

use std::time::Instant;

use common::SOON;
use common::world::{BLUE, GREEN, RED, World, wolf};
use fake_guest::{GuestOptions, Linker};
use fake_host::{Builder, FakeHost, Output, Request, Seen, WindowState};

fn ordinary() -> Builder {
    FakeHost::builder()
}

#[test]
fn on_wolf_the_first_configure_is_followed() {
    let world = World::with_args(wolf().output(Output::new(1600, 900, 60_000)), &[]);
    world.has_size(1600, 900);
    world.show(RED);
    let window = world.host.look(|seen| seen.window().expect("a window").clone());
    assert!(!window.mapped_unsized && !window.dropped && window.shown);
    let early = window.before_first_commit();
    assert!(early.iter().all(|it| matches!(it, Request::Title(_) | Request::AppId(_))), "{early:?}");
    // Wolf says fullscreen by itself.
    assert!(!window.requests.contains(&Request::Fullscreen), "{:?}", window.requests);
    world.end();
}

#[test]
fn elsewhere_fullscreen_is_asked_for_once_configured() {
    let world = World::with_args(ordinary(), &[]);
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
    let world = World::with_args(ordinary(), &["--windowed", "800x450"]);
    world.has_size(800, 450);
    world.show(RED);
    assert!(!world.requests().contains(&Request::Fullscreen));
    let frame = world.last_frame();
    assert_eq!(frame.size, Some((800, 450)));
    world.end();
}

#[test]
fn a_host_without_an_output_is_waited_for_and_then_done_without() {
    let world = World::with_args(ordinary().without_output(), &["--fallback", "1600x900@75"]);
    world.has_size(1600, 900);
    world.show(RED);
    // Until the host knows better.
    world.host.add_output(Output::new(1024, 768, 60_000)).unwrap();
    world.has_size(1024, 768);
    world.show(GREEN);
    let ended = world.end();
    assert!(ended.log.contains("the host has no output after 5 s; going on without"), "{}", ended.log);
}

#[test]
fn on_an_old_wolf_the_window_comes_after_the_output() {
    let world = World::with_args(wolf().without_output(), &[]);
    // The window is there, and nothing was committed: Wolf would forget it.
    world.bridge.expect(world.host.wait(|seen| seen.window().is_some(), SOON));
    assert_eq!(world.host.look(|seen| seen.window().map(|window| window.commits())), Some(0));
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
        let world = World::with_args(ordinary().manual_configure(), &[]);
        world.bridge.expect(world.host.wait(|seen| seen.window().is_some_and(|it| it.commits() > 0), SOON));
        // Nothing is attached before the first configure.
        assert_eq!(world.host.look(Seen::frame_count), 0);
        for (width, height) in order {
            world.host.configure(*width, *height, fullscreen);
        }
        world.has_size(1000, 600);
        world.show(RED);
        let frame = world.last_frame();
        assert_eq!(frame.size, Some((1000, 600)), "{order:?}");
        world.bridge.expect(world.host.wait(|seen| seen.window().is_some_and(|it| it.acked_newest()), SOON));
        world.end();
    }
}

#[test]
fn a_mode_that_comes_without_a_configure_counts_while_the_last_one_is_empty() {
    let world = World::with_args(wolf(), &[]);
    world.show(RED);
    world.host.set_output_mode(1920, 1080, 60_000);
    world.has_size(1920, 1080);
    world.host.set_output_mode_only(640, 360, 60_000);
    world.has_size(640, 360);
    world.show(GREEN);
    assert_eq!(world.last_frame().size, Some((640, 360)));
    world.end();
}

#[test]
fn an_empty_configure_means_the_outputs_mode() {
    let world = World::with_args(wolf(), &[]);
    world.show(RED);
    for (width, height) in [(1920, 1080), (640, 360), (1366, 768)] {
        world.host.set_output_mode(width, height, 60_000);
        world.has_size(width as u32, height as u32);
        world.show(GREEN);
        let frame = world.last_frame();
        assert_eq!(frame.size, Some((width, height)));
        world.show(RED);
    }
    world.end();
}

/// The guest is asked for sizes at most five times a second; each one is a format, and so is its rate's lifting.
fn few_formats(world: &World, before: usize, began: Instant) {
    let formats = world.producer().state().formats.len() - before;
    let most = 3 * (began.elapsed().as_millis() as usize / 200 + 2);
    assert!(formats <= most, "{formats} formats in {:?}", began.elapsed());
}

#[test]
fn a_storm_of_sizes_ends_at_the_last_one_and_never_blanks_the_window() {
    let world = World::with_args(ordinary(), &[]);
    world.settle();
    world.show(RED);
    let (formats, began) = (world.producer().state().formats.len(), Instant::now());
    for step in 0..200 {
        world.host.configure(600 + step, 400 + step, &[WindowState::Activated]);
        if step % 20 == 0 {
            assert_eq!(world.pixel(), Some(RED.1), "step {step}");
        }
    }
    world.has_size(799, 599);
    assert_eq!(world.pixel(), Some(RED.1));
    few_formats(&world, formats, began);
    // The old picture fills the new window until there is another.
    let last = world.host.look(|seen| seen.window_commits().next_back().cloned()).expect("a commit");
    assert_eq!((last.buffer(), last.destination, last.size), (None, Some((799, 599)), Some((799, 599))));
    world.show(GREEN);
    assert_eq!(
        world.host.look(|seen| seen.last_frame().and_then(|frame| frame.kind()?.size().into())),
        Some((799, 599))
    );
    world.end();
}

#[test]
fn a_storm_of_modes_ends_at_the_last_one_and_never_blanks_the_window() {
    let world = World::with_args(wolf(), &[]);
    world.settle();
    world.show(RED);
    let (formats, began) = (world.producer().state().formats.len(), Instant::now());
    // With frames coming all the time, of whatever size.
    world.producer().animate(60.0);
    for step in 0..60 {
        world.host.set_output_mode(640 + 16 * step, 360 + 9 * step, 60_000);
        assert!(world.pixel().is_some_and(|colour| colour != fake_host::BLACK), "step {step}");
    }
    world.has_size(1584, 891);
    few_formats(&world, formats, began);
    world.producer().stop();
    world.show(BLUE);
    let frame = world.last_frame();
    assert_eq!(frame.kind().expect("a buffer").size(), (1584, 891));
    assert_eq!(frame.size, Some((1584, 891)));
    assert_eq!(world.host.pixel(1583, 890), Some(BLUE.1));
    world.end();
}

#[test]
fn a_scaled_host_gets_its_physical_pixels() {
    let world = World::with_args(ordinary(), &["--windowed", "800x450"]);
    world.has_size(800, 450);
    world.show(RED);
    world.host.prefer_scale(1.5);
    world.has_size(1200, 675);
    world.show(GREEN);
    let frame = world.last_frame();
    assert_eq!(frame.size, Some((800, 450)), "the window stays as large as it was");
    world.end();
}

#[test]
fn pixels_without_alpha_are_said_to_be_opaque() {
    let world = World::with_args(wolf(), &[]);
    world.show(RED);
    let frame = world.last_frame();
    let opaque: Vec<_> = frame.opaque.iter().map(|it| (it.x, it.y, it.width, it.height)).collect();
    assert_eq!(opaque, [(0, 0, 1280, 720)]);
    world.end();
}

#[test]
fn a_guest_that_dies_leaves_its_picture_and_may_come_back() {
    let mut world = World::with_args(wolf(), &[]);
    world.show(RED);
    let mut open = Vec::new();
    for round in 0..10 {
        let sessions = world.guest.mutter.state().sessions_made;
        let before = world.pixel();
        match round % 5 {
            0 => world.guest.mutter.close_session(),
            1 => world.producer().end(),
            2 => world.guest.pipewire.restart().unwrap(),
            3 => {
                world.guest.mutter.vanish();
                world.guest.mutter.reappear().unwrap();
            }
            _ => {
                world.guest.pipewire.stop();
                let lost = |log: &str| log.matches("session lost").count() > round;
                common::wait_for("the loss", SOON, || lost(&world.bridge.log()).then_some(()));
                world.guest.pipewire.restart().unwrap();
            }
        }
        let again = world.guest.mutter.wait(|state| (state.sessions_made > sessions).then_some(()), SOON);
        world.bridge.expect(again);
        assert_eq!(world.pixel(), before, "round {round}");
        // Settled, so that rounds compare; then another picture than the one before.
        world.settle();
        world.show(if round % 2 == 0 { GREEN } else { RED });
        open.push(world.open_files());
        // The first round may have had one buffer less in the host's hands.
        assert!(
            open[round].len() <= open[0].len() + 2,
            "round {round}: {:#?} at first, {:#?} now",
            open[0],
            open[round]
        );
    }
    assert_eq!(world.host.look(|seen| seen.windows.len()), 1, "one window for all sessions");
    let ended = world.end();
    assert_eq!(ended.counter("copied_bytes"), 0);
    assert!(ended.counter("sessions") >= 11);
}

#[test]
fn a_window_resized_without_a_guest_has_its_size_when_there_is_one() {
    let world = World::with_args(wolf(), &[]);
    world.show(RED);
    world.guest.mutter.vanish();
    let lost = |log: &str| log.contains("session lost");
    common::wait_for("the loss", SOON, || lost(&world.bridge.log()).then_some(()));
    world.host.set_output_mode(640, 360, 60_000);
    let scaled = |seen: &Seen| seen.window_commits().next_back().is_some_and(|it| it.size == Some((640, 360)));
    world.bridge.expect(world.host.wait(scaled, SOON));
    assert_eq!(world.host.pixel(639, 359), Some(RED.1));
    world.guest.mutter.reappear().unwrap();
    world.has_size(640, 360);
    world.show(GREEN);
    world.end();
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
    let world = World::with_args(wolf(), &[]);
    world.show(RED);
    assert!(world.host.close_toplevel());
    let ended = world.bridge.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.log);

    let world = World::with_args(wolf(), &["--on-close", "ignore"]);
    world.show(RED);
    assert!(world.host.close_toplevel());
    world.show(GREEN);
    assert!(world.end().log.contains("asked to close the window; staying"));
}

#[test]
fn a_host_that_goes_away_ends_it_with_3_and_one_line() {
    for kill in [FakeHost::kill, FakeHost::disconnect_clients] {
        let world = World::with_args(wolf(), &[]);
        world.show(RED);
        world.producer().animate(60.0);
        kill(&world.host);
        let ended = world.bridge.ended();
        assert_eq!(ended.code, Some(3), "{}", ended.log);
        let lines = ended.log.lines().filter(|line| line.starts_with("wolf-bridge: "));
        assert_eq!(lines.count(), 1, "{}", ended.log);
        assert!(ended.last_line().contains("the host went away"), "{}", ended.last_line());
    }
}
