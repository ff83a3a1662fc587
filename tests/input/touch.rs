//! Fingers on a screen.

use super::*;

#[test]
fn fingers_touch_where_they_are() {
    for way in BOTH {
        let world = World::new(way);
        if way == Way::Eis {
            world.bridge.expect(world.guest.eis.emulating(DeviceKind::Touch, SOON));
        }
        let touch = world.host.touch();
        // The host's ids are its own; the guest's begin at 0.
        touch.down(70, 100.0, 200.0).down(71, 300.5, 400.0).frame();
        touch.motion(71, 310.0, 410.0).frame().up(70).frame().motion(71, 5000.0, 5000.0).frame().up(71).frame();
        touch.up(71).motion(70, 1.0, 1.0).frame().tap(5.0, 6.0);
        let all = world.arrived();
        let wanted = [
            TouchDown(0, 100.0, 200.0),
            TouchDown(1, 300.5, 400.0),
            TouchMotion(1, 310.0, 410.0),
            TouchUp(0),
            TouchUp(1),
            TouchDown(0, 5.0, 6.0),
            TouchUp(0),
        ];
        let clamped: Vec<Got> =
            all.iter().filter(|got| !matches!(got, TouchMotion(_, x, _) if *x > 1279.0)).copied().collect();
        assert_eq!(clamped, wanted, "{way:?}: {all:?}");
        assert_eq!(all.len(), wanted.len() + 1, "{way:?}: {all:?}");
        touch.down(1, 1.0, 2.0).frame().cancel();
        assert_eq!(world.arrived().split_off(all.len()), [TouchDown(0, 1.0, 2.0), TouchUp(0)], "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_finger_that_was_down_when_its_device_went_is_forgotten() {
    let world = World::new(Way::Eis);
    world.bridge.expect(world.guest.eis.emulating(DeviceKind::Touch, SOON));
    let touch = world.host.touch().down(4, 10.0, 10.0).frame();
    world.waits_for(TouchDown(0, 10.0, 10.0));
    let gone = world.removals();
    world.guest.eis.recreate();
    world.noticed_removals(gone + 2);
    touch.motion(4, 20.0, 20.0).frame().up(4).frame().tap(30.0, 30.0);
    let wanted = [TouchDown(0, 10.0, 10.0), TouchDown(0, 30.0, 30.0), TouchUp(0)];
    assert_eq!(world.arrived(), wanted);
    let state = world.guest.eis.state();
    // The server took the device away with the finger down; that is its own doing.
    assert_eq!(state.left_held, ["touch 0 on Touch"]);
    assert_eq!(state.violations, Vec::<String>::new());
    assert_eq!(state.held(), Vec::<String>::new());
}
