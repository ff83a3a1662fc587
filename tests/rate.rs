//! The rate that is asked of the guest, and hosts whose rate is nothing to go by.

mod common;

use common::world::{RED, World, wolf};
use common::{SOON, wait_for};
use fake_guest::{GuestOptions, Monitor, MutterOptions};
use fake_host::{Builder, Output};

/// What the guest was asked for with its size, in order.
fn rates(world: &World) -> Vec<(u32, u32)> {
    let mut rates: Vec<_> = world.producer().state().negotiated().iter().map(|format| format.max_framerate).collect();
    rates.dedup();
    rates
}

/// An animation at the rate that was asked for loses no frame for coming too early. A machine that is too slow for an even
/// one tries again: with a limit at that rate about half of the frames are lost, each time.
fn no_frame_is_too_early(world: &World) {
    let in_time = (0..20).any(|_| {
        let before = world.producer().state();
        world.producer().animate(60.0);
        let sent = before.sent + 60;
        world.bridge.expect(world.producer().wait(|s| (s.sent >= sent).then_some(()), SOON));
        world.producer().stop();
        world.producer().state().too_early == before.too_early
    });
    assert!(in_time, "{:?}", world.producer().state());
}

/// A host whose frames are drawn in no time, so that a guest is never late with them.
fn small() -> Builder {
    wolf().output(Output::new(160, 120, 60_000))
}

fn asked_of_a_host_with(refresh_mhz: i32, args: &[&str]) -> (u32, u32) {
    let world = World::with_args(wolf().output(Output::new(1280, 720, refresh_mhz)).refresh(60.0), args);
    world.settle();
    let rates = rates(&world);
    assert_eq!(rates.len(), 2, "{rates:?}");
    let absurd = refresh_mhz != 0 && !(10_000..1_000_000).contains(&refresh_mhz);
    assert_eq!(world.end().log.matches("the host's output claims").count(), usize::from(absurd), "{refresh_mhz} mHz");
    rates[0]
}

#[test]
fn the_hosts_refresh_is_the_guests_and_no_frame_is_too_early_for_it() {
    let world = World::with_args(small(), &[]);
    world.settle();
    assert_eq!(rates(&world), [(60, 1), (1000, 1)]);
    no_frame_is_too_early(&world);
    world.end();
}

#[test]
fn a_new_size_takes_both_steps_again() {
    let world = World::with_args(small(), &[]);
    world.settle();
    world.host.set_output_mode(200, 150, 75_000);
    world.has_size(200, 150);
    world.settle();
    assert_eq!(rates(&world), [(60, 1), (1000, 1), (75, 1), (1000, 1)]);
    no_frame_is_too_early(&world);
    world.end();
}

#[test]
fn a_new_rate_alone_has_to_wait_and_is_told() {
    let world = World::with_args(small(), &[]);
    world.settle();
    world.host.set_output_mode(160, 120, 75_000);
    wait_for("a word about it", SOON, || world.bridge.log().contains("rate is 75 Hz now").then_some(()));
    assert_eq!(rates(&world), [(60, 1), (1000, 1)]);
    world.host.set_output_mode(200, 150, 75_000);
    world.has_size(200, 150);
    world.settle();
    assert_eq!(rates(&world), [(60, 1), (1000, 1), (75, 1), (1000, 1)]);
    let ended = world.end();
    assert_eq!(ended.log.matches("until its size changes").count(), 1, "{}", ended.log);
}

#[test]
fn a_monitor_has_its_own_rate_and_drops_no_frame_for_ours() {
    let monitor = Monitor { connector: "Meta-0".into(), position: (0, 0), size: (160, 120) };
    let mutter = MutterOptions { monitors: vec![monitor], ..Default::default() };
    let world = World::with(small(), GuestOptions { mutter, ..Default::default() }, &["--monitor", "Meta-0"]);
    world.show(RED);
    assert_eq!(rates(&world), [(0, 0)]);
    no_frame_is_too_early(&world);
    world.end();
}

#[test]
fn a_rate_can_be_asked_for() {
    assert_eq!(asked_of_a_host_with(60_000, &["--refresh", "59.94"]), (59_940, 1000));
    assert_eq!(asked_of_a_host_with(144_000, &[]), (144, 1));
}

#[test]
fn hosts_without_a_rate_or_with_an_absurd_one_count_as_sixty_or_the_fallback() {
    for refresh in [0, -60_000, 1, 1_000_000, i32::MAX] {
        assert_eq!(asked_of_a_host_with(refresh, &[]), (60, 1), "{refresh} mHz");
    }
    for (refresh, rate) in [(0, (120, 1)), (i32::MAX, (120, 1)), (75_000, (75, 1))] {
        assert_eq!(asked_of_a_host_with(refresh, &["--fallback", "640x360@120"]), rate, "{refresh} mHz");
    }
}
