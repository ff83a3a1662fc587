//! Pointer motion as distances, and the host's pointer locked for it.

use fake_guest::{Cursor, Frame};

use super::*;

/// With these the guest tells where its pointer is.
const GAMES: &[&str] = &["--cursor", "overlay"];

/// The distances that the guest got.
fn distances(all: &[Got]) -> Vec<(f64, f64)> {
    let distance = |got: &Got| match got {
        Got::Relative(dx, dy) => Some((*dx, *dy)),
        _ => None,
    };
    all.iter().filter_map(distance).collect()
}

fn is_locked(world: &World) -> bool {
    world.host.look(|seen| seen.pointer_locked())
}

/// A buffer that tells where the guest's pointer is, as Mutter sends one for each motion.
fn guest_pointer(world: &World, (x, y): (i32, i32), visible: bool) {
    let producer = world.bridge.expect(world.guest.mutter.producer(SOON));
    let bitmap = if visible { ((2, 1), vec![9; 8]) } else { ((0, 0), Vec::new()) };
    let cursor = Cursor { id: 1, position: (x, y), hotspot: (0, 0), bitmap: Some(bitmap) };
    producer.frame_with(Fill::Coded(1), move |frame: &mut Frame| {
        frame.metadata_only();
        frame.cursor = Some(cursor);
    });
}

#[test]
fn distances_are_all_that_goes_on_where_nothing_else_is_wanted() {
    for way in BOTH {
        let world = World::with(way, wolf(), options(way), &["--pointer", "relative"]);
        let pointer = world.host.pointer().move_to(600.0, 300.0);
        world.bridge.expect(world.host.wait(|seen| seen.pointer_locked(), SOON));
        let before = world.arrived().len();
        // Unaccelerated where the host tells both, and beyond its edges.
        pointer.relative_raw(40.0, 40.0, 7.5, -3.25).frame().move_by(-5000.0, 2.0).click(BTN_LEFT);
        let got = world.arrived().split_off(before);
        let wanted =
            [Got::Relative(7.5, -3.25), Got::Relative(-5000.0, 2.0), Button(BTN_LEFT, true), Button(BTN_LEFT, false)];
        assert_eq!(got, wanted, "{way:?}");
        // The focus goes and comes, and so does the lock.
        pointer.press(BTN_RIGHT).leave();
        world.waits_for(Button(BTN_RIGHT, false));
        assert!(!is_locked(&world));
        let before = world.arrived().len();
        pointer.move_to(5.0, 5.0);
        world.bridge.expect(world.host.wait(|seen| seen.pointer_locked(), SOON));
        pointer.move_by(1.0, 0.0);
        let got = world.arrived().split_off(before);
        assert_eq!(distances(&got).last(), Some(&(1.0, 0.0)), "{way:?}");
        assert_eq!(motions(&got), [], "{way:?}");
        assert_eq!(world.host.look(|seen| seen.constraints.len()), 1);
        world.check();
        world.end();
    }
}

#[test]
fn a_game_gets_distances_until_its_pointer_shows() {
    for way in BOTH {
        let world = World::with(way, wolf(), options(way), GAMES);
        let pointer = world.host.pointer().move_to(640.0, 360.0);
        guest_pointer(&world, (640, 360), false);
        assert!(!is_locked(&world));
        // It hides its pointer and does not move it.
        wait_for("the host's pointer is locked", SOON, || {
            pointer.jiggle(2).move_to(700.0, 400.0);
            is_locked(&world).then_some(())
        });
        let before = world.arrived().len();
        pointer.move_by(3.0, 4.0).move_by(-2000.0, 0.5);
        let got = world.arrived().split_off(before);
        assert_eq!(got, [Got::Relative(3.0, 4.0), Got::Relative(-2000.0, 0.5)], "{way:?}");
        // Its menu comes up.
        guest_pointer(&world, (320, 180), true);
        world.bridge.expect(world.host.wait(|seen| !seen.pointer_locked(), SOON));
        assert_eq!(world.host.look(|seen| seen.constraints[0].hint), Some((320.0, 180.0)));
        assert!(world.host.look(|seen| seen.constraints.iter().all(|constraint| !constraint.alive)));
        let before = world.arrived().len();
        pointer.move_to(330.0, 190.0);
        assert_eq!(world.arrived().split_off(before), [Motion(330.0, 190.0)], "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_guest_that_goes_takes_its_lock_with_it() {
    let world = World::with(Way::Eis, wolf(), options(Way::Eis), GAMES);
    let pointer = world.host.pointer().move_to(640.0, 360.0);
    guest_pointer(&world, (640, 360), false);
    wait_for("the host's pointer is locked", SOON, || {
        pointer.jiggle(2).move_to(700.0, 400.0);
        is_locked(&world).then_some(())
    });
    world.guest.mutter.close_session();
    world.bridge.expect(world.host.wait(|seen| !seen.pointer_locked(), SOON));
    world.bridge.end();
}

#[test]
fn a_hidden_pointer_that_follows_is_no_game() {
    let world = World::with(Way::Eis, wolf(), options(Way::Eis), GAMES);
    for step in 0..60 {
        let x = 100.0 + f64::from(step) * 8.0;
        world.host.pointer().move_to(x, 300.0);
        world.arrived();
        guest_pointer(&world, (x as i32, 300), false);
    }
    assert!(world.host.look(|seen| seen.constraints.is_empty()));
    assert_eq!(distances(&world.got()), []);
    world.check();
    world.end();
}

#[test]
fn hosts_without_locks_or_distances_give_what_they_have() {
    let (constraints, relative) = ("zwp_pointer_constraints_v1", "zwp_relative_pointer_manager_v1");
    for without in [&[constraints][..], &[relative], &[constraints, relative]] {
        let host = without.iter().fold(wolf(), |host, global| host.without(global));
        let world = World::with(Way::Eis, host, options(Way::Eis), &["--pointer", "relative"]);
        let pointer = world.host.pointer().move_to(100.0, 100.0);
        let before = world.arrived().len();
        pointer.move_to(110.0, 95.0).move_to(108.0, 95.0);
        let got = world.arrived().split_off(before);
        // A lock without distances leaves nothing at all, so there is none.
        assert_eq!(got, [Got::Relative(10.0, -5.0), Got::Relative(-2.0, 0.0)], "without {without:?}");
        world.check();
        world.end();
    }
}

#[test]
fn places_only_means_that_nothing_is_ever_locked() {
    let world = World::with(Way::Eis, wolf(), options(Way::Eis), &["--pointer", "absolute"]);
    let pointer = world.host.pointer().move_to(640.0, 360.0);
    guest_pointer(&world, (640, 360), false);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        pointer.jiggle(2).move_to(700.0, 400.0);
        world.arrived();
    }
    assert!(world.host.look(|seen| seen.constraints.is_empty()));
    assert_eq!(distances(&world.got()), []);
    world.check();
    world.end();
}
