//! Devices and servers that come and go.

use super::*;

#[test]
fn input_waits_while_its_device_is_paused() {
    let world = World::new(Way::Eis);
    world.host.pointer().move_to(1.0, 1.0);
    world.arrived();
    world.guest.eis.pause(DeviceKind::Keyboard);
    world.noticed_pauses(1);
    world.host.keyboard().tap(KEY_A);
    world.host.pointer().click(BTN_LEFT);
    world.guest.eis.resume(DeviceKind::Keyboard);
    let wanted = [Key(KEY_A, true), Key(KEY_A, false), Button(BTN_LEFT, true), Button(BTN_LEFT, false)];
    assert_eq!(actions(&world.arrived()), wanted);
    world.check();
    world.end();
}

#[test]
fn input_waits_for_devices_and_arrives_in_order_in_the_new_region() {
    let world = World::new(Way::Eis);
    let pointer = world.host.pointer().move_to(100.0, 100.0).press(BTN_LEFT);
    let before = world.arrived().len();
    let gone = world.removals();
    world.guest.eis.stream_gone();
    world.noticed_removals(gone + 2);
    pointer.move_to(300.0, 300.0).move_to(640.0, 360.0).release(BTN_LEFT).click(BTN_RIGHT);
    world.host.keyboard().tap(KEY_A);
    pointer.move_to(0.0, 0.0).wheel(Axis::Vertical, 120);
    world.host.touch().tap(1278.0, 0.0);
    // The desktop has put the stream elsewhere, at another scale.
    world.guest.eis.stream_ready(world.region(1000, 500, 640, 360));
    let mut after = world.arrived().split_off(before);
    // The place the guest was last told of, in the new region; then what has waited.
    assert_eq!(after.remove(0), Motion(1050.0, 550.0));
    let touched = after.pop().zip(after.pop());
    assert!(
        matches!(touched, Some((TouchUp(0), TouchDown(0, x, 500.0))) if (1639.0..1640.0).contains(&x)),
        "{touched:?}"
    );
    assert_eq!(
        after,
        [
            Motion(1320.0, 680.0),
            Button(BTN_LEFT, false),
            Button(BTN_RIGHT, true),
            Button(BTN_RIGHT, false),
            Key(KEY_A, true),
            Key(KEY_A, false),
            Motion(1000.0, 500.0),
            Scroll(0.0, 10.0),
        ]
    );
    world.check();
    world.end();
}

#[test]
fn a_storm_of_resizes_leaves_nothing_stuck_and_nothing_astray() {
    let world = World::new(Way::Eis);
    let pointer = world.host.pointer().move_to(10.0, 10.0);
    for round in 0..20u32 {
        pointer.press(BTN_LEFT).jiggle(10);
        world.guest.eis.resize(world.region(round * 7, round * 3, 640 + round * 10, 360 + round * 10));
        pointer.move_to(640.0, 360.0).release(BTN_LEFT);
        world.host.keyboard().tap(KEY_A);
    }
    let all = world.arrived();
    let count = |wanted: Got| all.iter().filter(|got| **got == wanted).count();
    assert_eq!(count(Button(BTN_LEFT, true)), 20);
    assert_eq!(count(Button(BTN_LEFT, false)), 20);
    assert_eq!(count(Key(KEY_A, true)), 20);
    assert!(!all.iter().any(|got| matches!(got, Got::Dropped(..) | Got::ButtonOnAbsolute(..))), "{all:?}");
    world.check();
    world.end();
}

#[test]
fn a_device_that_does_not_exist_holds_up_no_other_for_long() {
    // Before GNOME 48 there is no touchscreen.
    let mut options = options(Way::Eis);
    options.eis = EisOptions { device_types: KEYBOARD | POINTER, ..Default::default() };
    let world = World::with(Way::Eis, wolf(), options, &[]);
    world.host.touch().tap(5.0, 5.0);
    assert_eq!(world.arrived(), []);
    // By now it is known that there is none.
    let began = Instant::now();
    for _ in 0..3 {
        world.host.touch().tap(5.0, 5.0);
        world.arrived();
    }
    assert!(began.elapsed() < Duration::from_millis(1200), "keys waited for a touchscreen: {:?}", began.elapsed());
    world.check();
    world.end();
}

#[test]
fn a_server_without_devices_costs_the_input_and_not_the_picture() {
    for refuse in [Refusal::NoDevices, Refusal::NeverResumed] {
        let mut options = options(Way::Eis);
        options.eis.refuse = Some(refuse);
        let world = World::starting(Way::Eis, wolf(), options, &[]);
        let producer = world.bridge.expect(world.guest.mutter.producer(SOON));
        common::picture(&world.bridge, &world.host, &producer, Fill::Coded(1));
        world.bridge.expect(world.host.wait(|seen| seen.shown(), SOON));
        world.host.pointer().move_to(5.0, 5.0).click(BTN_LEFT);
        world.host.keyboard().tap(KEY_A);
        common::picture(&world.bridge, &world.host, &producer, Fill::Coded(2));
        world.bridge.expect(world.host.wait(|seen| seen.frame_count() >= 2, SOON));
        assert_eq!(world.got(), [], "{refuse:?}");
        assert_eq!(world.sessions(), 1, "{refuse:?}");
        world.end();
    }
}

#[test]
fn an_eis_server_that_leaves_is_connected_again() {
    for politely in [true, false] {
        let world = World::new(Way::Eis);
        world.host.pointer().move_to(640.0, 360.0).click(BTN_LEFT);
        world.arrived();
        let connections = world.guest.eis.state().connections;
        match politely {
            true => world.guest.eis.disconnect(),
            false => world.guest.eis.sever(),
        }
        let again = |s: &EisState| (s.connections > connections && s.connected == 1).then_some(());
        world.bridge.expect(world.guest.eis.wait(again, SOON));
        wait_for("the old session's end", SOON, || {
            (world.guest.mutter.state().remote_sessions.len() == 1).then_some(())
        });
        world.settle();
        let before = world.guest.eis.state().connections;
        assert!(before > connections);
        world.host.keyboard().tap(KEY_A);
        // The pointer has not moved: the new session's is put where the host's is before it clicks.
        world.host.pointer().click(BTN_RIGHT);
        world.arrived();
        let state = world.guest.eis.state();
        let devices = |logged: &&fake_guest::Logged| state.devices[logged.device as usize].alive;
        let after: Vec<Got> = state.log.iter().filter(devices).filter_map(from_eis).collect();
        let after: Vec<Got> = after.into_iter().filter(|got| !matches!(got, Key(MARK, _))).collect();
        let wanted = [Key(KEY_A, true), Key(KEY_A, false), Button(BTN_RIGHT, true), Button(BTN_RIGHT, false)];
        assert_eq!(actions(&after), wanted, "politely: {politely}");
        assert_eq!(motions(&after), [(640.0, 360.0)], "politely: {politely}");
        assert_eq!(state.violations, Vec::<String>::new());
        assert_eq!(state.held(), Vec::<String>::new());
        assert_eq!(world.host.look(|seen| seen.windows.len()), 1, "the window stays");
        world.end();
    }
}

#[test]
fn a_refused_eis_connection_is_made_up_for_by_calls() {
    let mut options = options(Way::Eis);
    options.mutter.refuse = vec!["ConnectToEIS".into()];
    let world = World::with(Way::Notify, wolf(), options, &[]);
    world.host.pointer().move_to(100.0, 50.0).click(BTN_LEFT);
    world.host.keyboard().tap(KEY_A);
    let all = world.arrived();
    let wanted = [Button(BTN_LEFT, true), Button(BTN_LEFT, false), Key(KEY_A, true), Key(KEY_A, false)];
    assert_eq!(actions(&all), wanted);
    assert_eq!(motions(&all).last(), Some(&(100.0, 50.0)));
    let log = world.end().log;
    assert_eq!(log.matches(" WARN ").count(), 1, "{log}");
    assert!(log.contains("Mutter refused ConnectToEIS"), "{log}");
}

#[test]
fn input_before_the_guest_is_there_is_forgotten_but_for_keys_that_are_still_down() {
    for way in BOTH {
        let mut options = options(way);
        options.mutter.delays.insert("CreateSession".into(), Duration::from_millis(300));
        let world = World::starting(way, wolf(), options, &[]);
        world.bridge.expect(world.host.wait(|seen| !seen.windows.is_empty(), SOON));
        world.host.pointer().move_to(5.0, 5.0).press(BTN_LEFT);
        world.host.keyboard().tap(KEY_Q).press(KEY_A);
        world.settle();
        world.host.pointer().release(BTN_LEFT);
        world.host.keyboard().release(KEY_A).tap(KEY_ESC);
        let all = world.arrived();
        let wanted = [Key(KEY_A, true), Key(KEY_A, false), Key(KEY_ESC, true), Key(KEY_ESC, false)];
        assert_eq!(actions(&all), wanted, "{way:?}");
        world.check();
        world.end();
    }
}
