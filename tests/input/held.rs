//! What is held is released, and nothing else is.

use super::*;

/// Presses a key and two buttons, and waits until they are down.
fn press_some(world: &World) -> [Got; 3] {
    world.host.pointer().move_to(100.0, 100.0).press(BTN_LEFT).press(BTN_MIDDLE);
    world.host.keyboard().press(KEY_LEFTCTRL);
    let pressed = [Button(BTN_LEFT, true), Button(BTN_MIDDLE, true), Key(KEY_LEFTCTRL, true)];
    world.waits_for(pressed[2]);
    assert_eq!(held(&world.got()), pressed);
    pressed
}

#[test]
fn a_leave_releases_what_that_device_holds() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        world.host.keyboard().leave();
        world.waits_for(Key(KEY_LEFTCTRL, false));
        assert_eq!(held(&world.got()), [Button(BTN_LEFT, true), Button(BTN_MIDDLE, true)], "{way:?}");
        world.host.pointer().leave();
        world.waits_for(Button(BTN_MIDDLE, false));
        // The releases that a host may send afterwards are nobody's.
        let before = world.arrived();
        world.host.pointer().button(BTN_LEFT, false).frame();
        world.host.keyboard().key(KEY_LEFTCTRL, false);
        assert_eq!(world.arrived(), before, "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_seat_that_loses_its_devices_releases_them() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        world.host.touch().down(3, 50.0, 50.0).frame();
        world.waits_for(TouchDown(0, 50.0, 50.0));
        world.host.set_seat(false, false, false);
        wait_for("all released", SOON, || held(&world.got()).is_empty().then_some(()));
        world.host.set_seat(true, true, true);
        // The new objects have to be there before anything can be sent to them.
        wait_for("the bridge has the seat's devices again", SOON, || {
            (world.bridge.log().matches("seat capabilities=").count() >= 3).then_some(())
        });
        let pong = world.host.ping();
        world.bridge.expect(world.host.wait(|seen| seen.pongs.contains(&pong), SOON));
        world.host.pointer().move_to(20.0, 30.0);
        world.host.keyboard().enter(&[]);
        world.host.pointer().click(BTN_LEFT);
        let all = world.arrived();
        assert_eq!(all[all.len() - 2..], [Button(BTN_LEFT, true), Button(BTN_LEFT, false)], "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_signal_releases_what_is_held() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        world.host.touch().down(3, 50.0, 50.0).frame();
        world.waits_for(TouchDown(0, 50.0, 50.0));
        let World { host, guest, bridge, .. } = world;
        bridge.end();
        released_at_the_end(way, &guest);
        drop(host);
    }
}

/// All that was pressed has been released by calls or events, not by the guest's own clearing up.
#[track_caller]
fn released_at_the_end(way: Way, guest: &FakeGuest) {
    let all: Vec<Got> = match way {
        Way::Eis => {
            guest.eis.wait(|s| (s.connected == 0).then_some(()), SOON).unwrap();
            assert_clean(&guest.eis.state());
            guest.eis.state().log.iter().filter_map(from_eis).collect()
        }
        Way::Notify => {
            let empty = |s: &fake_guest::MutterState| s.remote_sessions.is_empty().then_some(());
            guest.mutter.wait(empty, SOON).unwrap();
            guest.mutter.state().notified.iter().filter_map(from_notify).collect()
        }
    };
    assert!(all.iter().any(|got| matches!(got, Button(_, true))), "{way:?}: nothing was pressed: {all:?}");
    assert_eq!(held(&all), Vec::<Got>::new(), "{way:?}: {all:?}");
}

#[test]
fn the_hosts_close_releases_what_is_held() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        // What Wolf makes of Ctrl+Shift+Q.
        world.host.keyboard().press(KEY_LEFTSHIFT).press(KEY_Q);
        let World { guest, bridge, .. } = world;
        let ended = bridge.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        released_at_the_end(way, &guest);
    }
}

#[test]
fn a_lost_host_releases_what_is_held() {
    for way in BOTH {
        for by_error in [false, true] {
            let world = World::new(way);
            press_some(&world);
            let World { host, guest, bridge, .. } = world;
            match by_error {
                true => assert!(host.post_error(0, "the test says so")),
                false => host.kill(),
            }
            let ended = bridge.ended();
            assert_eq!(ended.code, Some(3), "{}", ended.log);
            released_at_the_end(way, &guest);
        }
    }
}

#[test]
fn a_lost_stream_releases_what_is_held() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        let producer = world.bridge.expect(world.guest.mutter.producer(SOON));
        // RGB16 only: the stream has nothing left in common and errs, while Mutter and EIS live on.
        producer.offer(vec![Offer::plain(Pixels::Other(libspa_rgb16()))]);
        wait_for("another session", SOON, || (world.sessions() > 1).then_some(()));
        wait_for("all released", SOON, || held(&world.got()).is_empty().then_some(()));
        if way == Way::Eis {
            assert_clean(&world.guest.eis.state());
        }
        drop(producer);
        world.end();
    }
}

/// `SPA_VIDEO_FORMAT_RGB16`, which the bridge does not speak.
fn libspa_rgb16() -> u32 {
    26
}

#[test]
fn a_paused_device_holds_afterwards_what_is_held_at_the_host() {
    let world = World::new(Way::Eis);
    press_some(&world);
    for kind in [DeviceKind::Keyboard, DeviceKind::Pointer] {
        world.guest.eis.pause(kind);
    }
    world.noticed_pauses(2);
    let log = world.guest.eis.state().log.len();
    for kind in [DeviceKind::Keyboard, DeviceKind::Pointer] {
        world.guest.eis.resume(kind);
        world.bridge.expect(world.guest.eis.emulating(kind, SOON));
    }
    world.host.keyboard().release(KEY_LEFTCTRL);
    world.host.pointer().release(BTN_LEFT).release(BTN_MIDDLE).click(BTN_RIGHT);
    world.arrived();
    let state = world.guest.eis.state();
    let after: Vec<Got> =
        state.log[log..].iter().filter_map(from_eis).filter(|got| !matches!(got, Key(MARK, _))).collect();
    let key = [Key(KEY_LEFTCTRL, true), Key(KEY_LEFTCTRL, false)];
    assert_eq!(after, [&key[..], &[Button(BTN_RIGHT, true), Button(BTN_RIGHT, false)]].concat());
    assert_clean(&state);
    assert_eq!(state.held(), Vec::<String>::new());
    world.end();
}

#[test]
fn what_an_ended_session_held_is_released_in_the_next_only_if_it_was_pressed_there() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        world.guest.mutter.close_session();
        wait_for("another session", SOON, || (world.sessions() > 1).then_some(()));
        let made = |s: &fake_guest::MutterState| s.producer().filter(|_| s.remote_sessions.len() == 1);
        world.bridge.expect(world.guest.mutter.wait(made, SOON));
        world.settle();
        // The key that is still down is pressed there too.
        let before = world.arrived().len();
        assert_eq!(actions(&world.got()).last(), Some(&Key(KEY_LEFTCTRL, true)), "{way:?}");
        world.host.pointer().release(BTN_LEFT).release(BTN_MIDDLE).click(BTN_RIGHT);
        world.host.keyboard().release(KEY_LEFTCTRL).tap(KEY_A).release(KEY_LEFTCTRL);
        let after = world.arrived().split_off(before);
        let click = [Button(BTN_RIGHT, true), Button(BTN_RIGHT, false)];
        let wanted = [&click[..], &[Key(KEY_LEFTCTRL, false), Key(KEY_A, true), Key(KEY_A, false)]].concat();
        assert_eq!(actions(&after), wanted, "{way:?}");
        assert_eq!(world.guest.eis.state().violations, Vec::<String>::new());
        assert_eq!(world.guest.eis.state().held(), Vec::<String>::new());
    }
}

#[test]
fn a_guest_that_reads_slowly_gets_everything_in_the_end() {
    for way in BOTH {
        let mut options = options(way);
        if way == Way::Notify {
            options.mutter.delays.insert("NotifyKeyboardKeycode".into(), Duration::from_millis(5));
        }
        let world = World::with(way, wolf(), options, &[]);
        for _ in 0..50 {
            world.host.keyboard().tap(KEY_A);
        }
        world.host.keyboard().press(KEY_LEFTCTRL);
        let World { host, guest, bridge, .. } = world;
        // It ends with calls still on their way: the last of them is the release.
        bridge.end();
        drop(host);
        let held_at_the_end = match way {
            Way::Eis => {
                guest.eis.wait(|s| (s.connected == 0).then_some(()), SOON).unwrap();
                assert_clean(&guest.eis.state());
                held(&guest.eis.state().log.iter().filter_map(from_eis).collect::<Vec<_>>())
            }
            Way::Notify => {
                let empty = |s: &fake_guest::MutterState| s.remote_sessions.is_empty().then_some(());
                guest.mutter.wait(empty, SOON).unwrap();
                held(&guest.mutter.state().notified.iter().filter_map(from_notify).collect::<Vec<_>>())
            }
        };
        assert_eq!(held_at_the_end, [], "{way:?}");
    }
}
