//! Whose layout the guest has: its own, the host's or a named one; and whose the shortcuts are.

use super::*;

/// A GNOME with SetKeymap.
fn gnome_50() -> GuestOptions {
    let mut options = options(Way::Eis);
    options.mutter.version = 50;
    options
}

/// The names of a keymap's layouts.
fn groups(text: &str) -> Vec<String> {
    let keymap = wolf_bridge::input::keymap::Keymap::compile(text.to_owned()).expect("it compiles");
    keymap.groups().map(str::to_owned).collect()
}

/// The keymaps that the guest was given so far.
fn given(world: &World) -> Vec<Vec<String>> {
    world.guest.mutter.state().keymaps.iter().map(|(text, ..)| groups(text)).collect()
}

#[track_caller]
fn waits_for_keymaps(world: &World, wanted: &[&[&str]]) {
    wait_for("keymaps", SOON, || (given(world).len() >= wanted.len()).then_some(()));
    assert_eq!(given(world), wanted);
}

#[test]
fn the_hosts_keymap_is_handed_over_and_followed() {
    let world = World::with(Way::Eis, wolf().keymap("de", ""), gnome_50(), &["--keymap", "host"]);
    waits_for_keymaps(&world, &[&["German"]]);
    assert!(world.host.keyboard().set_keymap("us,fr", ""));
    waits_for_keymaps(&world, &[&["German"], &["English (US)", "French"]]);
    // A host with one keymap for two keyboards sends it at every turn between them.
    assert!(world.host.keyboard().set_keymap("us,fr", ""));
    world.host.keyboard().modifiers(0, 0, 0, 1).modifiers(1, 0, 0, 1).modifiers(0, 0, 0, 1).modifiers(0, 0, 0, 0);
    wait_for("layouts", SOON, || (world.guest.mutter.state().layout_indices.last() == Some(&0)).then_some(()));
    let state = world.guest.mutter.state();
    assert_eq!(given(&world).len(), 2);
    // Requests that the guest had no time for yet are overtaken by newer ones.
    assert!(state.layout_indices == [1, 0] || state.layout_indices == [0], "{:?}", state.layout_indices);
    assert_eq!(state.errors(), Vec::<String>::new());
    world.check();
    // Mutter would keep it.
    let World { guest, bridge, host: _host, .. } = world;
    assert!(guest.mutter.state().keymap_owner.is_some());
    bridge.end();
    let own = |state: &fake_guest::MutterState| state.keymap_owner.is_none().then_some(());
    guest.mutter.wait(own, SOON).unwrap();
}

#[test]
fn wolfs_group_0_changes_nothing() {
    let world = World::with(Way::Eis, wolf().keymap("us,de", ""), gnome_50(), &["--keymap", "host"]);
    waits_for_keymaps(&world, &[&["English (US)", "German"]]);
    world.host.keyboard().chord(&[KEY_LEFTSHIFT, KEY_A]).chord(&[KEY_LEFTCTRL, KEY_A]).leave().enter(&[]);
    world.arrived();
    assert_eq!(world.guest.mutter.state().layout_indices, Vec::<u32>::new());
    world.check();
    world.end();
}

#[test]
fn a_new_session_gets_the_layout_too() {
    let world = World::with(Way::Eis, wolf(), gnome_50(), &["--layout", "us,de:nodeadkeys"]);
    let wanted: &[&str] = &["English (US)", "German (no dead keys)"];
    waits_for_keymaps(&world, &[wanted]);
    world.guest.mutter.close_session();
    waits_for_keymaps(&world, &[wanted, wanted]);
    // The host's own changes nothing about it.
    assert!(world.host.keyboard().set_keymap("fr", ""));
    world.host.keyboard().modifiers(0, 0, 0, 1);
    world.settle();
    world.arrived();
    assert_eq!(given(&world).len(), 2);
    assert_eq!(world.guest.mutter.state().layout_indices, Vec::<u32>::new());
    world.end();
}

#[test]
fn keys_that_are_down_are_released_before_the_layout_changes_and_pressed_after() {
    let world = World::with(Way::Eis, wolf(), gnome_50(), &["--keymap", "host"]);
    waits_for_keymaps(&world, &[&["English (US)"]]);
    let keyboard = world.host.keyboard().press(KEY_LEFTSHIFT).press(KEY_Q);
    world.waits_for(Key(KEY_Q, true));
    assert!(keyboard.set_keymap("de", ""));
    // What is typed meanwhile waits.
    keyboard.release(KEY_Q).tap(KEY_A);
    let all = world.arrived();
    let after = all.iter().rposition(|got| *got == Key(KEY_LEFTSHIFT, true)).expect("it is pressed again");
    let (before, after) = all.split_at(after);
    assert_eq!(before[..2], [Key(KEY_LEFTSHIFT, true), Key(KEY_Q, true)]);
    assert_eq!(held(before), Vec::<Got>::new(), "{all:?}");
    assert_eq!(after[after.len() - 2..], [Key(KEY_A, true), Key(KEY_A, false)], "{all:?}");
    assert_eq!(held(&all), [Key(KEY_LEFTSHIFT, true)], "{all:?}");
    waits_for_keymaps(&world, &[&["English (US)"], &["German"]]);
    // Nothing was down on the keyboard that went.
    assert_clean(&world.guest.eis.state());
    keyboard.release(KEY_LEFTSHIFT);
    world.arrived();
    world.check();
    world.end();
}

#[test]
fn a_bad_keymap_of_the_host_costs_a_line_and_nothing_else() {
    let world = World::with(Way::Eis, wolf(), gnome_50(), &["--keymap", "host"]);
    waits_for_keymaps(&world, &[&["English (US)"]]);
    let keyboard = world.host.keyboard();
    let whole = world.guest.mutter.state().keymaps[0].0.clone();
    let half = &whole.as_bytes()[..whole.len() / 2];
    // Each of them twice: said once.
    for _ in 0..2 {
        keyboard.send_keymap(half, half.len() as u32);
    }
    for _ in 0..2 {
        keyboard.send_keymap(whole.as_bytes(), 0);
    }
    for _ in 0..2 {
        keyboard.send_keymap(whole.as_bytes(), u32::MAX);
    }
    for _ in 0..2 {
        keyboard.send_keymap(whole.as_bytes(), whole.len() as u32 + 4096);
    }
    for _ in 0..2 {
        keyboard.send_no_keymap();
    }
    keyboard.send_keymap(b"\xff\xff\xff\xff", 4);
    keyboard.tap(KEY_A).modifiers(0, 0, 2, 3).modifiers(0, 0, 0, 0).tap(KEY_ESC);
    let typed = [Key(KEY_A, true), Key(KEY_A, false), Key(KEY_ESC, true), Key(KEY_ESC, false)];
    assert_eq!(world.arrived(), typed);
    assert_eq!(given(&world).len(), 1);
    assert!(keyboard.set_keymap("de", ""));
    waits_for_keymaps(&world, &[&["English (US)"], &["German"]]);
    world.arrived();
    world.check();
    let log = world.end().log;
    assert_eq!(log.matches(" WARN the host's keymap cannot be used").count(), 6, "{log}");
    assert_eq!(log.matches(" WARN ").count(), 6, "{log}");
}

#[test]
fn a_guest_that_refuses_a_keymap_keeps_its_own() {
    let mut options = gnome_50();
    options.mutter.refuse = vec!["SetKeymap".into()];
    let world = World::with(Way::Eis, wolf(), options, &["--layout", "de"]);
    world.host.keyboard().tap(KEY_A);
    assert_eq!(world.arrived(), [Key(KEY_A, true), Key(KEY_A, false)]);
    let log = world.end().log;
    assert_eq!(log.matches(" WARN ").count(), 1, "{log}");
    assert!(log.contains("Mutter refused SetKeymap (") && log.contains("the guest's layout stays"), "{log}");
}

/// A `gsettings` that only writes down what it is called with, or fails.
fn settings(fails: bool) -> (tempfile::TempDir, Vec<(String, String)>) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (program, log) = (dir.path().join("gsettings"), dir.path().join("log"));
    let what =
        if fails { "echo 'No such schema' >&2; exit 1".to_owned() } else { format!("echo \"$@\" >>{}", log.display()) };
    std::fs::write(&program, format!("#!/bin/sh\n{what}\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = ("PATH".to_owned(), dir.path().display().to_string());
    (dir, vec![path])
}

fn calls(dir: &tempfile::TempDir) -> Vec<String> {
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    log.lines().map(str::to_owned).collect()
}

#[test]
fn before_gnome_50_the_desktops_setting_is_changed() {
    for way in BOTH {
        let (dir, env) = settings(false);
        let world =
            World::starting_in(way, wolf().keymap("de", "nodeadkeys"), options(way), &["--keymap", "host"], &env);
        world.settle();
        let call = |sources: &str| format!("set org.gnome.desktop.input-sources sources {sources}");
        let mut wanted = vec![call("[('xkb', 'de+nodeadkeys')]")];
        wait_for("a call", SOON, || (calls(&dir) == wanted).then_some(()));
        world.host.keyboard().press(KEY_LEFTSHIFT);
        world.waits_for(Key(KEY_LEFTSHIFT, true));
        assert!(world.host.keyboard().set_keymap("us,gb", ""));
        wanted.push(call("[('xkb', 'us'), ('xkb', 'gb')]"));
        wait_for("another call", SOON, || (calls(&dir) == wanted).then_some(()));
        world.host.keyboard().release(KEY_LEFTSHIFT);
        let shift = [Key(KEY_LEFTSHIFT, true), Key(KEY_LEFTSHIFT, false)];
        assert_eq!(world.arrived()[..2], shift, "{way:?}");
        assert_eq!(world.guest.mutter.state().keymaps, Vec::new());
        world.check();
        world.end();
    }
}

#[test]
fn a_setting_that_cannot_be_changed_costs_a_line() {
    let empty = tempfile::tempdir().unwrap();
    let (_dir, fails) = settings(true);
    let none = vec![("PATH".to_owned(), empty.path().display().to_string())];
    for (env, why) in [(fails, "No such schema"), (none, "No such file")] {
        // Also where only keymaps of another kind are taken.
        let mut options = gnome_50();
        options.mutter.keymaps = Some((vec![0], vec![2]));
        let world = World::starting_in(Way::Eis, wolf(), options, &["--layout", "de"], &env);
        world.settle();
        world.host.keyboard().tap(KEY_A);
        assert_eq!(world.arrived(), [Key(KEY_A, true), Key(KEY_A, false)]);
        let log = world.end().log;
        assert_eq!(log.matches(" WARN ").count(), 1, "{log}");
        assert!(log.contains("the guest's layout cannot be set by gsettings") && log.contains(why), "{log}");
    }
}

#[test]
fn layouts_that_do_not_exist_end_it_before_anything_starts() {
    for (args, words) in [
        (&["--layout", "nowhere"][..], "--layout nowhere: there is no such keyboard layout here"),
        (&["--layout", "de:nowhere"], "--layout de:nowhere: there is no such keyboard layout here"),
        (&["--layout", "../de"], "is not LAYOUT[:VARIANT]"),
        (&["--layout", "us,us,us,us,us"], "with at most 4 layouts"),
        (&["--layout", "de", "--keymap", "host"], "cannot be used with"),
        (&["--keymap", "mine"], "invalid value 'mine'"),
    ] {
        // No host, no bus, nothing: it does not come so far.
        let ended = Bridge::start_bare::<&str, &str>(&[], &[args, &["--host", "/nonexistent"]].concat()).ended();
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.log);
        assert!(ended.last_line().contains(words), "{args:?}: {}", ended.log);
        assert_eq!(ended.log.lines().count(), 1, "{args:?}: {}", ended.log);
    }
}

// Shortcuts.

const INHIBIT: &str = "zwp_keyboard_shortcuts_inhibit_manager_v1";

#[test]
fn the_hosts_shortcuts_are_asked_for_with_grab_alone() {
    let host = || wolf().with_version(INHIBIT, 1);
    let world = World::with(Way::Eis, host(), options(Way::Eis), &["--grab"]);
    wait_for("an inhibitor", SOON, || (world.host.look(|seen| seen.inhibitors) == 1).then_some(()));
    let says = |words: &str, times: usize| {
        wait_for(words, SOON, || (world.bridge.log().matches(words).count() == times).then_some(()));
    };
    says("the host leaves its shortcuts to the guest", 1);
    // The person takes them back by whatever the host has for that, and gives them again.
    assert_eq!(world.host.keyboard().inhibit(false), 1);
    says("the host keeps its shortcuts to itself again", 1);
    assert_eq!(world.host.keyboard().inhibit(true), 1);
    says("the host leaves its shortcuts to the guest", 2);
    // One is enough for as long as the window is there, and the seat has a keyboard.
    world.host.keyboard().leave().enter(&[]).tap(KEY_A);
    world.arrived();
    assert_eq!(world.host.look(|seen| seen.inhibitors), 1);
    world.host.set_seat(true, false, true);
    wait_for("no inhibitor", SOON, || (world.host.keyboard().inhibit(true) == 0).then_some(()));
    world.end();

    let world = World::with(Way::Eis, host(), options(Way::Eis), &[]);
    world.host.keyboard().leave().enter(&[]).tap(KEY_A);
    world.arrived();
    assert_eq!(world.host.look(|seen| seen.inhibitors), 0);
    world.end();
}

#[test]
fn a_host_that_gives_its_shortcuts_to_nobody_costs_a_line() {
    let world = World::with(Way::Eis, wolf(), options(Way::Eis), &["--grab"]);
    world.host.keyboard().tap(KEY_A);
    assert_eq!(world.arrived(), [Key(KEY_A, true), Key(KEY_A, false)]);
    let log = world.end().log;
    assert_eq!(log.matches(" WARN --grab does nothing here").count(), 1, "{log}");
}
