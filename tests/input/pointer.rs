//! Where the pointer goes.

use super::*;

#[test]
fn a_click_arrives_where_it_was_made() {
    for way in BOTH {
        let world = World::new(way);
        world.host.pointer().move_to(640.25, 359.5).click(BTN_LEFT).click(BTN_RIGHT);
        let all = world.arrived();
        let clicks =
            [Button(BTN_LEFT, true), Button(BTN_LEFT, false), Button(BTN_RIGHT, true), Button(BTN_RIGHT, false)];
        assert_eq!(all[all.len() - 5..], [&[Motion(640.25, 359.5)][..], &clicks].concat(), "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_point_is_mapped_through_a_region_of_another_size_and_place() {
    for way in BOTH {
        let mut options = options(way);
        options.mutter.monitors =
            vec![Monitor { connector: "Meta-0".into(), position: (1920, 100), size: (1600, 900) }];
        let world = World::with(way, wolf(), options, &["--monitor", "Meta-0"]);
        world.host.pointer().move_to(640.0, 360.0).click(BTN_LEFT);
        let all = world.arrived();
        // EIS regions lie on the desktop, Notify* calls on the stream.
        let wanted = if way == Way::Eis { (1920.0 + 800.0, 100.0 + 450.0) } else { (800.0, 450.0) };
        assert_eq!(motions(&all).last(), Some(&wanted), "{way:?}: {all:?}");
        world.host.pointer().move_to(0.0, 0.0).click(BTN_LEFT);
        let all = world.arrived();
        let wanted = if way == Way::Eis { (1920.0, 100.0) } else { (0.0, 0.0) };
        assert_eq!(motions(&all).last(), Some(&wanted), "{way:?}: {all:?}");
        assert!(!all.iter().any(|got| matches!(got, Got::Dropped(..))), "{all:?}");
        world.check();
        world.end();
    }
}

#[test]
fn the_corner_is_reached_through_wolfs_clamp() {
    for way in BOTH {
        let world = World::new(way);
        world.host.pointer().move_to(5000.0, 5000.0).click(BTN_LEFT);
        let all = world.arrived();
        let (x, y) = *motions(&all).last().unwrap();
        assert_eq!((x.floor(), y.floor()), (1279.0, 719.0), "{way:?}: {all:?}");
        assert!(!all.iter().any(|got| matches!(got, Got::Dropped(..))), "{all:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_host_that_does_not_clamp_keeps_all_its_pixels() {
    let world = World::with(Way::Eis, wolf().quirks(|quirks| quirks.clamps_pointer = false), options(Way::Eis), &[]);
    let pointer = world.host.pointer();
    pointer.move_to(1279.5, 719.5);
    world.arrived();
    pointer.move_to(1278.0, 718.0);
    assert_eq!(motions(&world.arrived()).last(), Some(&(1278.0, 718.0)));
    // Beyond the window, as in a drag: the edge.
    pointer.move_to(4000.0, -50.0);
    let all = world.arrived();
    assert!(near(*motions(&all).last().unwrap(), (1280.0, 0.0)), "{all:?}");
    assert!(!all.iter().any(|got| matches!(got, Got::Dropped(..))), "{all:?}");
    world.check();
    world.end();
}

#[test]
fn a_window_of_another_size_is_mapped_before_and_after_the_stream_follows() {
    for way in BOTH {
        let world = World::new(way);
        let producer = world.bridge.expect(world.guest.mutter.producer(SOON));
        world.host.pointer().move_to(320.0, 180.0);
        world.arrived();
        world.host.set_output_mode(1920, 1080, 60_000);
        world.bridge.expect(producer.streaming_at((1920, 1080), SOON));
        common::picture(&world.bridge, &world.host, &producer, Fill::Coded(2));
        world.bridge.expect(producer.wait(|s| s.ready().filter(|f| f.max_framerate == (1000, 1)), SOON));
        world.host.pointer().move_to(960.0, 540.0).click(BTN_LEFT);
        let all = world.arrived();
        assert_eq!(motions(&all).last(), Some(&(960.0, 540.0)), "{way:?}: {all:?}");
        assert!(!all.iter().any(|got| matches!(got, Got::Dropped(..))), "{all:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_region_of_another_stream_is_never_used() {
    // Two regions cannot be told apart but by their mapping id, and this server has none of ours: the only
    // one there is will do, as with KWin and gamescope.
    let world = World::new(Way::Eis);
    world.guest.eis.resize(Region { x: 50, y: 60, ..Region::new(1280, 720, None) });
    world.host.pointer().move_to(100.0, 100.0).click(BTN_LEFT);
    let all = world.arrived();
    assert_eq!(motions(&all).last(), Some(&(150.0, 160.0)), "{all:?}");
    world.check();
    world.end();
}

#[test]
fn a_click_without_a_motion_goes_to_the_pointers_place_in_the_new_region() {
    let world = World::new(Way::Eis);
    world.host.pointer().move_to(640.0, 360.0);
    let before = world.arrived().len();
    // All news of the new devices come in one go, so that nothing later brings the motion along.
    world.bridge.signal(rustix::process::Signal::STOP);
    world.guest.eis.resize(world.region(1000, 500, 640, 360));
    world.bridge.signal(rustix::process::Signal::CONT);
    // At once, and not with whatever comes next.
    world.waits_for(Motion(1320.0, 680.0));
    world.host.pointer().click(BTN_LEFT);
    let after = world.arrived().split_off(before);
    assert_eq!(after, [Motion(1320.0, 680.0), Button(BTN_LEFT, true), Button(BTN_LEFT, false)]);
    world.check();
    world.end();
}

#[test]
fn a_drag_survives_the_devices_re_creation() {
    let world = World::new(Way::Eis);
    let pointer = world.host.pointer().move_to(100.0, 100.0).press(BTN_LEFT).move_to(150.0, 150.0);
    world.arrived();
    let gone = world.removals();
    for round in 0..5 {
        let at = 200.0 + f64::from(round) * 20.0;
        pointer.move_to(at, at);
        world.guest.eis.recreate();
        pointer.move_to(at + 10.0, at + 10.0);
    }
    // What goes to a device that the bridge does not know to be gone yet is lost; this is not.
    world.noticed_removals(gone + 10);
    pointer.move_to(600.0, 400.0).release(BTN_LEFT);
    let all = world.arrived();
    assert_eq!(actions(&all), [Button(BTN_LEFT, true), Button(BTN_LEFT, false)]);
    let press = all.iter().position(|got| *got == Button(BTN_LEFT, true)).unwrap();
    assert!(near(motions(&all[..press]).last().copied().unwrap(), (100.0, 100.0)), "{all:?}");
    assert_eq!(all[all.len() - 2..], [Motion(600.0, 400.0), Button(BTN_LEFT, false)]);
    world.check();
    world.end();
}

#[test]
fn a_drag_survives_a_resize_of_the_window() {
    for way in BOTH {
        let world = World::new(way);
        let pointer = world.host.pointer().move_to(100.0, 100.0).press(BTN_LEFT);
        world.arrived();
        let producer = world.bridge.expect(world.guest.mutter.producer(SOON));
        for (width, height) in [(1920, 1080), (800, 600)] {
            world.host.set_output_mode(width, height, 60_000);
            pointer.move_to(300.0, 300.0);
            let size = (width as u32, height as u32);
            world.bridge.expect(producer.streaming_at(size, SOON));
            common::picture(&world.bridge, &world.host, &producer, Fill::Coded(2));
            let lifted = |s: &fake_guest::ProducerState| s.ready().filter(|f| f.max_framerate == (1000, 1));
            world.bridge.expect(producer.wait(lifted, SOON));
            pointer.move_to(400.0, 300.0);
        }
        pointer.release(BTN_LEFT).move_to(100.0, 50.0).click(BTN_RIGHT);
        let all = world.arrived();
        let clicks = [(BTN_LEFT, true), (BTN_LEFT, false), (BTN_RIGHT, true), (BTN_RIGHT, false)];
        assert_eq!(actions(&all), clicks.map(|(code, down)| Button(code, down)), "{way:?}");
        assert_eq!(motions(&all).last(), Some(&(100.0, 50.0)), "{way:?}: {all:?}");
        world.check();
        world.end();
    }
}

#[test]
fn the_hosts_pointer_is_hidden_at_every_enter() {
    let world = World::new(Way::Eis);
    for _ in 0..5 {
        world.host.pointer().move_to(5.0, 5.0).leave();
    }
    world.host.pointer().move_to(9.0, 9.0);
    world.arrived();
    world.bridge.expect(world.host.wait(|seen| seen.cursors.len() == 6, SOON));
    world.host.look(|seen| {
        assert_eq!(seen.pointer_enters.len(), 6);
        assert!(seen.cursors.iter().all(|cursor| cursor.surface.is_none()));
    });
    world.check();
    world.end();
}
