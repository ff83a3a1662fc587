//! Keys: which arrive, and how often.

use super::*;

#[test]
fn keys_arrive_as_evdev_codes_and_once() {
    for way in BOTH {
        let world = World::new(way);
        let keyboard = world.host.keyboard();
        keyboard.key(KEY_A, true).key(KEY_A, true).key(KEY_A, false).key(KEY_A, false);
        keyboard.key(KEY_ESC, false).tap(KEY_Q).chord(&[KEY_LEFTCTRL, KEY_LEFTSHIFT, KEY_A]);
        let wanted = [
            Key(KEY_A, true),
            Key(KEY_A, false),
            Key(KEY_Q, true),
            Key(KEY_Q, false),
            Key(KEY_LEFTCTRL, true),
            Key(KEY_LEFTSHIFT, true),
            Key(KEY_A, true),
            Key(KEY_A, false),
            Key(KEY_LEFTSHIFT, false),
            Key(KEY_LEFTCTRL, false),
        ];
        assert_eq!(world.arrived(), wanted, "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn the_hosts_modifiers_and_layout_are_its_own() {
    for way in BOTH {
        let world = World::with(way, wolf().keymap("de", ""), options(way), &[]);
        let keyboard = world.host.keyboard();
        keyboard.key(KEY_LEFTSHIFT, true).modifiers(1, 0, 0, 0).modifiers(1, 2, 0, 3).key(KEY_LEFTSHIFT, false);
        assert!(keyboard.set_keymap("fr", ""));
        keyboard.set_repeat(0, 0).modifiers(0, 0, 0, 0);
        assert_eq!(world.arrived(), [Key(KEY_LEFTSHIFT, true), Key(KEY_LEFTSHIFT, false)], "{way:?}");
        let calls = world.guest.mutter.state().order();
        assert!(!calls.iter().any(|call| call.contains("SetKeymap")), "{calls:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_burst_of_keys_loses_none() {
    for way in BOTH {
        let world = World::new(way);
        world.bridge.signal(rustix::process::Signal::STOP);
        // More than wait for a device that is away, as a pasted text may be; here none is away.
        let codes: Vec<u32> = (2..152).collect();
        for _ in 0..4 {
            world.host.keyboard().chord(&codes);
        }
        world.bridge.signal(rustix::process::Signal::CONT);
        let all = world.arrived();
        let down = codes.iter().map(|code| Key(*code, true));
        let up = codes.iter().rev().map(|code| Key(*code, false));
        let once: Vec<Got> = down.chain(up).collect();
        assert_eq!(all.len(), 4 * once.len(), "{way:?}");
        assert_eq!(all, once.repeat(4), "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn keys_that_are_down_at_the_enter_are_pressed_and_released() {
    for way in BOTH {
        let world = World::new(way);
        world.host.keyboard().leave().enter(&[KEY_LEFTCTRL, KEY_A]);
        assert_eq!(world.arrived(), [Key(KEY_LEFTCTRL, true), Key(KEY_A, true)], "{way:?}");
        world.host.keyboard().release(KEY_A).leave();
        world.waits_for(Key(KEY_LEFTCTRL, false));
        world.check();
        world.end();
    }
}

#[test]
fn keys_held_across_a_new_keymap_are_pressed_again_modifiers_first() {
    let world = World::new(Way::Eis);
    world.host.keyboard().press(KEY_A).press(KEY_LEFTSHIFT);
    world.waits_for(Key(KEY_LEFTSHIFT, true));
    let gone = world.removals();
    world.guest.eis.set_keymap(Some(fake_guest::KEYMAP_US));
    world.noticed_removals(gone + 1);
    world.host.keyboard().release(KEY_A).release(KEY_LEFTSHIFT).tap(KEY_ESC).release(KEY_A);
    let all = world.arrived();
    let wanted = [
        Key(KEY_A, true),
        Key(KEY_LEFTSHIFT, true),
        Key(KEY_LEFTSHIFT, true),
        Key(KEY_A, true),
        Key(KEY_A, false),
        Key(KEY_LEFTSHIFT, false),
        Key(KEY_ESC, true),
        Key(KEY_ESC, false),
    ];
    assert_eq!(all, wanted);
    let state = world.guest.eis.state();
    // The server took the device away with the keys down; that is its own doing.
    let left = [KEY_A, KEY_LEFTSHIFT].map(|code| format!("key {code} on Keyboard"));
    assert_eq!(state.left_held, left);
    assert_eq!(state.violations, Vec::<String>::new());
    assert_eq!(state.held(), Vec::<String>::new());
}

#[test]
fn an_ignored_close_changes_nothing() {
    let world = World::with(Way::Eis, wolf(), options(Way::Eis), &["--on-close", "ignore"]);
    world.host.keyboard().chord(&[KEY_LEFTCTRL, KEY_LEFTSHIFT, KEY_Q]).tap(KEY_A);
    let all = world.arrived();
    assert!(!all.contains(&Key(KEY_Q, true)), "{all:?}");
    assert_eq!(all[all.len() - 2..], [Key(KEY_A, true), Key(KEY_A, false)]);
    world.check();
    world.end();
}
