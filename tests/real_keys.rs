//! Keys in real desktops: GNOME 43, 48 and 50 behind a Wolf that says what a test likes, and behind sway.
//! Needs the rootfs of scripts/rootfs.

mod common;

use std::time::Duration;

use common::{Bridge, wait_for};
use fake_host::FakeHost;
use lab::{Canvas, Gnome, Hands, Input, Seen, Suite, Sway};

/// Long enough for GNOME on a busy machine.
const SOON: Duration = Duration::from_secs(30);

const KEY_E: u32 = 18;
const KEY_Q: u32 = 16;
const KEY_7: u32 = 8;
const KEY_0: u32 = 11;
const KEY_A: u32 = 30;
const KEY_Y: u32 = 21;
const LEFTSHIFT: u32 = 42;
const LEFTCTRL: u32 = 29;
const ALTGR: u32 = 100;
const SUPER: u32 = 125;
const SPACE: u32 = 57;
/// On every European keyboard, and in no shortcut: typed to see that all has arrived.
const MARK: u32 = 86;
const CAPS: u32 = 58;
const NUM: u32 = 69;

/// Shortcuts of GNOME would keep some keys from a window: they are set to nothing.
const NO_SHORTCUTS: &str = "for s in org.gnome.desktop.wm.keybindings org.gnome.shell.keybindings org.gnome.mutter.keybindings \
    org.gnome.mutter.wayland.keybindings; do for k in $(gsettings list-keys $s); do gsettings set $s $k \"[]\"; done; done; \
    gsettings set org.gnome.mutter overlay-key ''; gsettings set org.gnome.mutter locate-pointer-key ''";

/// What a bridge needs besides to change the guest's settings from outside: their folder, and what they are.
fn env(gnome: &Gnome, suite: Suite) -> Vec<(&'static str, String)> {
    let mut env = gnome.env();
    env.push(("HOME", gnome.dir().join("home").display().to_string()));
    env.push(("GSETTINGS_BACKEND", "keyfile".into()));
    env.push(("GSETTINGS_SCHEMA_DIR", suite.root().join("usr/share/glib-2.0/schemas").display().to_string()));
    env.push(("PATH", std::env::var("PATH").unwrap_or_default()));
    env
}

struct World {
    host: FakeHost,
    gnome: Gnome,
    bridge: Bridge,
    canvas: Canvas,
}

impl World {
    /// With a window in the guest that has the keyboard, and gets it.
    fn new(suite: Suite, host: fake_host::Builder, args: &[&str]) -> Self {
        Self::prepared(suite, host, args, |_| {})
    }

    fn prepared(suite: Suite, host: fake_host::Builder, args: &[&str], prepare: impl FnOnce(&mut Gnome)) -> Self {
        let host = host.start().expect("a host");
        let mut gnome = Gnome::start_with(suite, &[("WB_ANIMATIONS", "0")]);
        prepare(&mut gnome);
        let bridge = Bridge::start(host.socket(), &env(&gnome, suite), args);
        bridge.expect(host.wait(|seen| seen.shown(), SOON));
        let canvas = Canvas::open(&gnome.wayland_socket(), 7);
        bridge.expect(canvas.wait(SOON, |seen| (seen.fullscreen && seen.keyboard).then_some(())));
        let world = Self { host, gnome, bridge, canvas };
        // Not before: the very first key may come before its window knows the keyboard.
        wait_for("a first key", SOON, || {
            world.host.keyboard().tap(KEY_A);
            world
                .canvas
                .wait(Duration::from_millis(500), |seen| seen.keys().contains(&(KEY_A, false)).then_some(()))
                .ok()
        });
        world.settle();
        world.canvas.forget();
        world
    }

    /// Everything that was typed has arrived.
    fn settle(&self) {
        let marks = |seen: &Seen| seen.keys().iter().filter(|key| **key == (MARK, false)).count();
        let before = marks(&self.canvas.seen());
        self.host.keyboard().key(MARK, true).key(MARK, false);
        self.wait(|seen| (marks(seen) > before).then_some(()));
        self.canvas.forget_key(MARK);
    }

    #[track_caller]
    fn wait<T>(&self, look: impl FnMut(&Seen) -> Option<T>) -> T {
        self.bridge.expect(self.canvas.wait(SOON, look))
    }

    /// The names of the layouts in the keymap that the guest's windows have.
    fn groups(&self) -> Vec<String> {
        groups(&self.canvas.seen())
    }

    #[track_caller]
    fn waits_for_layout(&self, first: &str) {
        let is_it = |seen: &Seen| (groups(seen).first().map(String::as_str) == Some(first)).then_some(());
        self.wait(is_it);
    }

    fn end(self) -> String {
        let log = self.bridge.end().log;
        assert_eq!(self.host.look(|seen| seen.oddities.clone()), Vec::<String>::new());
        log
    }
}

fn groups(seen: &Seen) -> Vec<String> {
    let keymap = wolf_bridge::input::keymap::Keymap::compile(seen.keymap.clone());
    keymap.map(|keymap| keymap.groups().map(str::to_owned).collect()).unwrap_or_default()
}

fn wolf() -> fake_host::Builder {
    FakeHost::builder().wolf()
}

/// Runs this in the guest and waits until it has come to its end.
fn run(gnome: &mut Gnome, command: &str) {
    let done = gnome.dir().join("done");
    let _ = std::fs::remove_file(&done);
    gnome.run(&format!("{command}; touch $XDG_RUNTIME_DIR/done"));
    wait_for(command, SOON, || done.exists().then_some(()));
}

/// Nothing is kept, renamed or doubled, once GNOME has no shortcuts. With them it keeps to itself (seen): both Super keys
/// (125, 126: the overview), the Print keys (99, 210: screenshots), 153 and 227 (to turn and to switch monitors), and
/// GNOME 50 the brightness keys too (224, 225, 243).
fn every_key_arrives_as_itself(suite: Suite) {
    if lab::skip() {
        return;
    }
    let world = World::prepared(suite, wolf(), &[], |gnome| run(gnome, NO_SHORTCUTS));
    let all = || (1..=247).filter(|code| *code != MARK);
    for code in all() {
        world.host.keyboard().key(code, true).key(code, false);
    }
    world.settle();
    let wanted: Vec<(u32, bool)> = all().flat_map(|code| [(code, true), (code, false)]).collect();
    let keys = world.canvas.seen().keys();
    let lost: Vec<_> = wanted.iter().filter(|key| !keys.contains(key)).collect();
    assert!(lost.is_empty(), "{lost:?} did not arrive");
    assert_eq!(keys, wanted);
    world.end();
}

#[test]
fn every_key_arrives_as_itself_in_gnome_43() {
    every_key_arrives_as_itself(Suite::Bookworm);
}

#[test]
fn every_key_arrives_as_itself_in_gnome_48() {
    every_key_arrives_as_itself(Suite::Trixie);
}

#[test]
fn every_key_arrives_as_itself_in_gnome_50() {
    every_key_arrives_as_itself(Suite::Forky);
}

/// What AltGr is for on a German keyboard.
fn types_german(world: &World) {
    world.settle();
    world.canvas.forget();
    let keyboard = world.host.keyboard();
    for code in [KEY_Q, KEY_E, KEY_7, KEY_0] {
        keyboard.chord(&[ALTGR, code]);
    }
    keyboard.tap(KEY_Y).chord(&[LEFTSHIFT, KEY_Y]);
    world.settle();
    assert_eq!(world.canvas.seen().typed(), "@€{}zZ");
}

/// A named layout, then the host's, which changes while a key is down.
fn layouts_are_handed_over(suite: Suite) {
    if lab::skip() {
        return;
    }
    let world = World::new(suite, wolf(), &["--layout", "de"]);
    world.waits_for_layout("German");
    types_german(&world);
    world.end();

    let mut world = World::new(suite, wolf().keymap("de", "nodeadkeys"), &["--keymap", "host"]);
    world.waits_for_layout("German (no dead keys)");
    types_german(&world);
    world.host.keyboard().press(LEFTCTRL);
    world.wait(|seen| seen.keys().contains(&(LEFTCTRL, true)).then_some(()));
    assert!(world.host.keyboard().set_keymap("fr", ""));
    world.waits_for_layout("French");
    // It was released with the old layout, and is down with the new one.
    let held =
        |seen: &Seen| (seen.keys().ends_with(&[(LEFTCTRL, true), (LEFTCTRL, false), (LEFTCTRL, true)])).then_some(());
    world.wait(held);
    world.host.keyboard().release(LEFTCTRL);
    world.settle();
    assert_eq!(world.canvas.seen().keys().last(), Some(&(LEFTCTRL, false)));
    world.canvas.forget();
    world.host.keyboard().tap(KEY_Q).chord(&[LEFTSHIFT, KEY_7]).chord(&[ALTGR, KEY_E]);
    world.settle();
    assert_eq!(world.canvas.seen().typed(), "a7€");

    // A keymap of the session goes with it; the desktop's own setting stays.
    let World { host, gnome, bridge, canvas } = world;
    bridge.end();
    canvas.forget();
    let bridge = Bridge::start(host.socket(), &env(&gnome, suite), &[]);
    world = World { host, gnome, bridge, canvas };
    world.wait(|seen| seen.keyboard.then_some(()));
    wait_for("a first key", SOON, || {
        world.host.keyboard().tap(KEY_A);
        world.canvas.wait(Duration::from_millis(500), |seen| seen.keys().contains(&(KEY_A, false)).then_some(())).ok()
    });
    world.waits_for_layout(if suite == Suite::Forky { "English (US)" } else { "French" });
    let World { host, gnome, bridge, canvas } = world;
    // A bridge that crashed leaves its layout behind, and the next one is not kept from its own.
    for layout in ["Spanish", "Polish"] {
        let name = if layout == "Spanish" { "es" } else { "pl" };
        let bridge = Bridge::start(host.socket(), &env(&gnome, suite), &["--layout", name]);
        let is_it = |seen: &Seen| (groups(seen).first()? == layout).then_some(());
        bridge.expect(canvas.wait(SOON, is_it));
        // Killed.
        drop(bridge);
    }
    drop(bridge);
}

#[test]
fn layouts_are_handed_over_to_gnome_50() {
    layouts_are_handed_over(Suite::Forky);
}

#[test]
fn layouts_are_handed_over_to_gnome_48() {
    layouts_are_handed_over(Suite::Trixie);
}

#[test]
fn layouts_are_handed_over_to_gnome_43() {
    layouts_are_handed_over(Suite::Bookworm);
}

/// The guest's second layout, chosen there by its own shortcut, stays whatever Wolf says of groups.
fn the_guests_layout_stays(suite: Suite) {
    if lab::skip() {
        return;
    }
    let world = World::prepared(suite, wolf(), &[], |gnome| {
        run(gnome, "gsettings set org.gnome.desktop.input-sources sources \"[('xkb', 'us'), ('xkb', 'de')]\"");
    });
    wait_for("two layouts", SOON, || (world.groups().len() >= 2).then_some(()));
    world.host.keyboard().chord(&[SUPER, SPACE]);
    let group = |seen: &Seen| seen.modifiers().map(|(.., group)| group);
    world.wait(|seen| (group(seen) == Some(1)).then_some(()));
    // Each of these makes Wolf send group 0.
    for _ in 0..3 {
        types_german(&world);
        world.host.keyboard().chord(&[LEFTCTRL, KEY_A]).leave().enter(&[]).modifiers(0, 0, 0, 0);
    }
    types_german(&world);
    assert!(world.canvas.seen().input.iter().all(|event| !matches!(event, Input::Modifiers { group: 0, .. })));
    world.end();
}

#[test]
fn the_layout_of_gnome_48_stays() {
    the_guests_layout_stays(Suite::Trixie);
}

#[test]
fn the_layout_of_gnome_50_stays() {
    the_guests_layout_stays(Suite::Forky);
}

/// Caps and Num Lock, on at the host before the window has the keyboard, and changed elsewhere meanwhile.
fn locks_are_brought_in_line(suite: Suite) {
    if lab::skip() {
        return;
    }
    // Of both keymaps.
    const CAPS_ON: u32 = 2;
    const NUM_ON: u32 = 16;
    let world = World::new(suite, wolf(), &[]);
    let locked = |mask: u32| move |seen: &Seen| seen.modifiers().filter(|it| it.0 == 0 && it.2 == mask).map(drop);
    world.host.keyboard().leave().enter(&[]).modifiers(0, 0, CAPS_ON | NUM_ON, 0);
    world.wait(locked(CAPS_ON | NUM_ON));
    world.host.keyboard().modifiers(0, 0, NUM_ON, 0);
    world.wait(locked(NUM_ON));
    world.host.keyboard().modifiers(0, 0, 0, 0);
    world.wait(locked(0));
    // A person's own presses do what they do, once.
    world.settle();
    world.canvas.forget();
    world.host.keyboard().tap(CAPS).tap(NUM).tap(NUM);
    world.settle();
    std::thread::sleep(Duration::from_secs(1));
    let tap = |code: u32| [(code, true), (code, false)];
    assert_eq!(world.canvas.seen().keys(), [tap(CAPS), tap(NUM), tap(NUM)].concat());
    assert_eq!(world.canvas.seen().modifiers().map(|it| it.2), Some(CAPS_ON));
    world.end();
}

#[test]
fn locks_of_gnome_50_are_brought_in_line() {
    locks_are_brought_in_line(Suite::Forky);
}

#[test]
fn locks_of_gnome_48_are_brought_in_line() {
    locks_are_brought_in_line(Suite::Trixie);
}

#[test]
fn locks_of_gnome_43_are_brought_in_line() {
    locks_are_brought_in_line(Suite::Bookworm);
}

/// sway's keyboard has the layout of whoever types; its window is resized while Shift is down.
#[test]
fn a_modifier_is_held_across_a_resize_and_the_layout_is_sways() {
    if lab::skip() {
        return;
    }
    let host = Sway::start(1280, 720);
    let gnome = Gnome::start_with(Suite::Trixie, &[("WB_ANIMATIONS", "0")]);
    let bridge = Bridge::start(&host.socket(), &env(&gnome, Suite::Trixie), &["--keymap", "host"]);
    let canvas = Canvas::open(&gnome.wayland_socket(), 7);
    bridge.expect(canvas.wait(SOON, |seen| (seen.size == (1280, 720) && seen.keyboard).then_some(())));
    let mut hands = Hands::connect_with(&host.socket(), 0, "de").expect("hands");
    wait_for("a first key", SOON, || {
        hands.tap(KEY_A);
        canvas.wait(Duration::from_millis(500), |seen| seen.keys().contains(&(KEY_A, false)).then_some(())).ok()
    });
    bridge.expect(canvas.wait(SOON, |seen| (groups(seen).first()? == "German").then_some(())));
    hands.key(LEFTSHIFT, true);
    bridge.expect(canvas.wait(SOON, |seen| seen.keys().contains(&(LEFTSHIFT, true)).then_some(())));
    host.resize(1000, 701);
    bridge.expect(canvas.wait_for_size(1000, 701, SOON));
    hands.tap(KEY_Y);
    hands.key(LEFTSHIFT, false);
    hands.tap(KEY_Y);
    let keys = canvas.wait(SOON, |seen| {
        (seen.keys().ends_with(&[(KEY_Y, true), (KEY_Y, false)]) && seen.typed().ends_with("Zz")).then(|| seen.keys())
    });
    let keys = bridge.expect(keys);
    let shift: Vec<_> = keys.iter().filter(|(code, _)| *code == LEFTSHIFT).collect();
    assert_eq!(shift, [&(LEFTSHIFT, true), &(LEFTSHIFT, false)]);
    bridge.end();
}

/// A key that sway has a shortcut for goes to the guest with `--grab`, and to sway without.
#[test]
fn sways_shortcuts_are_the_guests_with_grab() {
    if lab::skip() {
        return;
    }
    const F7: u32 = 65;
    for grab in [false, true] {
        let host = Sway::start(1280, 720);
        host.command("bindsym F7 nop").expect("a shortcut");
        let gnome = Gnome::start_with(Suite::Trixie, &[("WB_ANIMATIONS", "0")]);
        let args: &[&str] = if grab { &["--grab"] } else { &[] };
        let bridge = Bridge::start(&host.socket(), &gnome.env(), args);
        let canvas = Canvas::open(&gnome.wayland_socket(), 7);
        bridge.expect(canvas.wait(SOON, |seen| (seen.size == (1280, 720) && seen.keyboard).then_some(())));
        let mut hands = host.hands();
        wait_for("a first key", SOON, || {
            hands.tap(KEY_A);
            canvas.wait(Duration::from_millis(500), |seen| seen.keys().contains(&(KEY_A, false)).then_some(())).ok()
        });
        canvas.forget();
        hands.tap(F7);
        hands.tap(KEY_Q);
        let keys =
            canvas.wait(SOON, |seen| seen.keys().ends_with(&[(KEY_Q, true), (KEY_Q, false)]).then(|| seen.keys()));
        let keys = bridge.expect(keys);
        assert_eq!(keys.contains(&(F7, true)), grab, "{keys:?}");
        let log = bridge.end().log;
        assert_eq!(log.contains("the host leaves its shortcuts to the guest"), grab, "{log}");
    }
}
