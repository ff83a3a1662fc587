//! The guest's lock keys follow the host's, by taps of the key; never twice, and never while that could be seen.

use super::*;

const CAPS: u32 = 58;
const NUM: u32 = 69;

/// Modifier masks of Caps Lock and Num Lock, in the host's keymap and in the guest's.
const CAPS_ON: u32 = 2;
const NUM_ON: u32 = 16;

/// Longer than a lock key's report may be on its way: there is nothing to wait for where nothing is to happen.
fn nothing_comes() {
    std::thread::sleep(Duration::from_millis(800));
}

fn tap(code: u32) -> [Got; 2] {
    [Key(code, true), Key(code, false)]
}

#[test]
fn locks_are_brought_in_line_once() {
    for way in BOTH {
        let world = World::new(way);
        world.host.keyboard().modifiers(0, 0, CAPS_ON | NUM_ON, 0);
        world.waits_for(Key(NUM, false));
        let wanted = [tap(CAPS), tap(NUM)].concat();
        assert_eq!(world.arrived(), wanted, "{way:?}");
        world.guest.mutter.set_locks(true, true);
        nothing_comes();
        assert_eq!(world.arrived(), wanted, "{way:?}");
        // Off again, one of them.
        world.host.keyboard().modifiers(0, 0, NUM_ON, 0);
        world.waits_for(Key(CAPS, false));
        wait_for("another tap", SOON, || (world.got().len() == 6).then_some(()));
        world.guest.mutter.set_locks(false, true);
        nothing_comes();
        assert_eq!(world.arrived(), [wanted, tap(CAPS).to_vec()].concat(), "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_guest_that_starts_with_a_lock_on_is_brought_in_line() {
    for way in BOTH {
        let mut options = options(way);
        options.mutter.locks = (false, true);
        let world = World::with(way, wolf(), options, &[]);
        world.waits_for(Key(NUM, false));
        world.guest.mutter.set_locks(false, false);
        nothing_comes();
        assert_eq!(world.arrived(), tap(NUM), "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_persons_own_press_is_not_doubled() {
    for way in BOTH {
        let world = World::new(way);
        // The host's modifiers follow its key.
        world.host.keyboard().tap(CAPS);
        assert_eq!(world.arrived(), tap(CAPS), "{way:?}");
        world.guest.mutter.set_locks(true, false);
        nothing_comes();
        world.host.keyboard().tap(CAPS).tap(CAPS);
        world.guest.mutter.set_locks(false, false);
        world.guest.mutter.set_locks(true, false);
        nothing_comes();
        assert_eq!(world.arrived(), tap(CAPS).repeat(3), "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_guest_that_does_not_heed_the_key_is_not_told_again() {
    let world = World::new(Way::Eis);
    world.host.keyboard().modifiers(0, 0, CAPS_ON, 0);
    world.waits_for(Key(CAPS, false));
    nothing_comes();
    nothing_comes();
    assert_eq!(world.arrived(), tap(CAPS));
    world.end();
}

#[test]
fn nothing_is_tapped_while_keys_are_down_or_the_keyboard_is_elsewhere() {
    for way in BOTH {
        let world = World::new(way);
        let keyboard = world.host.keyboard().press(KEY_LEFTCTRL).modifiers(4, 0, CAPS_ON, 0);
        nothing_comes();
        assert_eq!(world.arrived(), [Key(KEY_LEFTCTRL, true)], "{way:?}");
        keyboard.leave();
        nothing_comes();
        // Marks need the keyboard; without it nothing is to arrive but the release.
        assert_eq!(world.got(), [Key(KEY_LEFTCTRL, true), Key(KEY_LEFTCTRL, false)], "{way:?}");
        keyboard.enter(&[]).modifiers(0, 0, CAPS_ON, 0);
        world.waits_for(Key(CAPS, false));
        let wanted = [&[Key(KEY_LEFTCTRL, true), Key(KEY_LEFTCTRL, false)][..], &tap(CAPS)].concat();
        assert_eq!(world.arrived(), wanted, "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn what_eis_tells_of_modifiers_counts_before_the_bus() {
    let mut options = options(Way::Eis);
    options.mutter.version = 50;
    let world = World::with(Way::Eis, wolf(), options, &[]);
    world.guest.eis.modifiers(0, CAPS_ON, 0, 0);
    // A person's other key and its modifiers: the host says its locks at every enter.
    world.host.keyboard().leave().enter(&[]);
    world.waits_for(Key(CAPS, false));
    // The bus is slower: what it says now is old.
    world.guest.mutter.set_locks(true, false);
    world.guest.eis.modifiers(0, 0, 0, 0);
    nothing_comes();
    world.guest.mutter.set_locks(false, false);
    nothing_comes();
    assert_eq!(world.arrived(), tap(CAPS));
    world.check();
    world.end();
}

#[test]
fn a_guest_without_a_usable_keymap_gets_its_keys() {
    for (keymap, warnings) in [(Some("xkb_keymap { nonsense };"), 1), (Some(""), 1), (None, 0)] {
        let mut options = options(Way::Eis);
        options.eis.keymap = keymap.map(str::to_owned);
        let world = World::with(Way::Eis, wolf(), options, &[]);
        world.host.keyboard().tap(KEY_A).modifiers(0, 0, CAPS_ON, 0);
        // The bus tells of the locks all the same.
        world.waits_for(Key(CAPS, false));
        assert_eq!(world.arrived(), [tap(KEY_A), tap(CAPS)].concat());
        // Masks mean nothing without it.
        world.guest.eis.modifiers(7, 7, 7, 7);
        world.check();
        let log = world.end().log;
        assert_eq!(log.matches(" WARN the guest's keymap cannot be used").count(), warnings, "{log}");
        assert_eq!(log.matches(" WARN ").count(), warnings, "{log}");
    }
}
