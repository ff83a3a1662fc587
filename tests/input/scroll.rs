//! Wheels and fingers that scroll, from seats of every age.

use super::*;

#[test]
fn a_wheel_arrives_as_notches_whatever_the_host_makes_of_them() {
    for way in BOTH {
        let world = World::new(way);
        let pointer = world.host.pointer().move_to(10.0, 10.0);
        pointer.wheel(Axis::Vertical, 120).wheel(Axis::Vertical, -240).wheel(Axis::Horizontal, 120);
        assert_eq!(actions(&world.arrived()), [Scroll(0.0, 10.0), Scroll(0.0, -20.0), Scroll(10.0, 0.0)], "{way:?}");
        for _ in 0..8 {
            pointer.wheel(Axis::Vertical, 15);
        }
        let fine = actions(&world.arrived()).split_off(3);
        match way {
            Way::Eis => assert_eq!(fine, [Scroll(0.0, 1.25); 8]),
            Way::Notify => assert_eq!(fine, [Scroll(0.0, 10.0)]),
        }
        world.check();
        world.end();
    }
}

#[test]
fn seats_of_every_age_are_understood() {
    for version in [1, 3, 4, 5, 7, 8, 9] {
        let host = FakeHost::builder().with_version("wl_seat", version);
        let world = World::with(Way::Eis, host, options(Way::Eis), &[]);
        // 10 units a notch, where the distance is all that there is.
        let pointer = world.host.pointer().move_to(320.0, 180.0).click(BTN_LEFT);
        pointer.axis(Axis::Vertical, 10.0);
        if version >= 8 {
            pointer.axis_value120(Axis::Vertical, 120);
        } else if version >= 5 {
            pointer.axis_discrete(Axis::Vertical, 1);
        }
        pointer.frame();
        world.host.keyboard().tap(KEY_A);
        world.host.touch().tap(5.0, 5.0);
        let all = world.arrived();
        let wanted = [
            Button(BTN_LEFT, true),
            Button(BTN_LEFT, false),
            Scroll(0.0, 10.0),
            Key(KEY_A, true),
            Key(KEY_A, false),
            TouchDown(0, 5.0, 5.0),
            TouchUp(0),
        ];
        assert_eq!(actions(&all), wanted, "wl_seat {version}");
        assert_eq!(motions(&all).last(), Some(&(320.0, 180.0)), "wl_seat {version}");
        world.check();
        world.end();
    }
}

/// Mutter's calls know fingers; its EIS server would take them for a wheel.
#[test]
fn fingers_scroll_and_stop() {
    for way in BOTH {
        let world = World::new(way);
        let scrolled = |wanted: &[Got]| {
            let calls = || world.guest.mutter.state().notified;
            let got =
                || calls().iter().filter_map(from_notify).filter(|it| matches!(it, Scroll(..) | ScrollStop)).collect();
            let mut seen: Vec<Got> = Vec::new();
            wait_for("the scroll", SOON, || {
                seen = got();
                (seen.len() >= wanted.len()).then_some(())
            });
            assert_eq!(seen, wanted, "{way:?}");
        };
        let pointer = world.host.pointer().move_to(10.0, 10.0);
        pointer.fingers(0.0, 2.5).fingers(-1.5, 0.0).fingers_up();
        let wanted = [Scroll(0.0, 2.5), Scroll(-1.5, 0.0), ScrollStop, ScrollStop];
        scrolled(&wanted);
        // The last distance and the stop in one frame.
        pointer.axis_source(fake_host::Source::Finger).axis(Axis::Vertical, 1.0).axis_stop(Axis::Vertical).frame();
        scrolled(&[&wanted[..], &[Scroll(0.0, 1.0), ScrollStop]].concat());
        if way == Way::Eis {
            assert_eq!(actions(&world.arrived()), [], "nothing scrolls twice");
        }
        world.check();
        world.end();
    }
}
