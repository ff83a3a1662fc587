//! Pointers in a real GNOME, by a real sway: a game that locks the pointer, wheels, corners and drags.
//! Needs the rootfs of scripts/rootfs.

mod common;

use std::time::Duration;

use common::{Bridge, wait_for};
use fake_host::code::BTN_LEFT;
use fake_host::{Axis, FakeHost, Seen};
use lab::{Canvas, Gnome, Hands, Input, Play, Suite, Sway};

/// Long enough for GNOME on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A canvas in GNOME, in the bridge, in sway, with the pointer over it.
struct World {
    bridge: Bridge,
    canvas: Canvas,
    hands: Hands,
    host: Sway,
    _gnome: Gnome,
}

fn world(suite: Suite, args: &[&str]) -> World {
    let host = Sway::start(1280, 720);
    let gnome = Gnome::start_with(suite, &[("WB_ANIMATIONS", "0")]);
    let args = [&["--log", "debug,wolf_bridge=trace,calloop=info,zbus=info"], args].concat();
    let bridge = Bridge::start_beside(suite, &host.socket(), &gnome.env(), &args);
    wait_for("a picture in the host", SOON, || (!host.screenshot().is_uniform()).then_some(()));
    let canvas = Canvas::open(&gnome.wayland_socket(), 7);
    bridge.expect(canvas.wait_for_size(1280, 720, SOON));
    let mut world = World { bridge, canvas, hands: host.hands(), host, _gnome: gnome };
    world.points(640.0, 360.0);
    world
}

impl World {
    /// Moves the pointer until it is there in the guest: GNOME loses motion while its monitor changes.
    fn points(&mut self, x: f64, y: f64) {
        wait_for("the guest's pointer", SOON, || {
            self.hands.move_to(600.0, 300.0);
            self.hands.move_to(x, y);
            self.canvas.wait(Duration::from_millis(300), |seen| seen.pointer.filter(|at| *at == (x, y))).ok()
        });
    }

    /// The distances that the game has been told of, each as it came.
    fn travels(&self) -> Vec<(f64, f64)> {
        let distance = |event: &Input| match event {
            Input::Relative { dx, dy } => Some((*dx, *dy)),
            _ => None,
        };
        self.canvas.seen().input.iter().filter_map(distance).collect()
    }

    /// A hand moves until the game hears of it.
    fn until_the_game_hears(&mut self) {
        wait_for("the game hears of motion", SOON, || {
            self.hands.move_by(1.0, 0.0);
            self.canvas.wait(Duration::from_millis(10), |seen| (seen.travelled() != (0.0, 0.0)).then_some(())).ok()
        });
    }

    /// What a hand does is what the game hears of, no more and no less.
    fn plays(&mut self) {
        // All that is on its way has arrived.
        self.hands.button(lab::keys::BTN_MIDDLE, true);
        self.hands.button(lab::keys::BTN_MIDDLE, false);
        self.bridge.expect(self.canvas.wait(SOON, |seen| (seen.buttons().len() == 2).then_some(())));
        self.canvas.forget();
        // Far beyond the edges of either screen.
        let distances: Vec<(f64, f64)> =
            (0..400).map(|step| (f64::from(step % 41) * 2.25 - 13.0, f64::from(step % 7) * -1.5)).collect();
        for (dx, dy) in &distances {
            self.hands.move_by(*dx, *dy);
        }
        let wanted = distances.iter().filter(|distance| **distance != (0.0, 0.0)).count();
        let came = self.canvas.wait(SOON, |seen| {
            let count = seen.input.iter().filter(|event| matches!(event, Input::Relative { .. })).count();
            (count >= wanted).then_some(())
        });
        self.bridge.expect(came);
        assert_eq!(self.travels(), distances);
        let motion = |event: &Input| matches!(event, Input::Motion { .. });
        assert!(!self.canvas.seen().input.iter().any(motion), "{}", self.canvas.seen());
    }

    fn is_locked(&self) -> bool {
        let log = self.bridge.log();
        let told = log.lines().rfind(|line| line.contains("the host's pointer locked="));
        told.is_some_and(|line| line.contains("locked=true"))
    }
}

fn a_game_gets_every_motion(suite: Suite, args: &[&str]) {
    if lab::skip() {
        return;
    }
    let mut world = world(suite, &[&["--cursor", "overlay"], args].concat());
    world.canvas.play(Play::Locked);
    // The lock takes force when the pointer is over the window, which it may have left with a device of GNOME's.
    world.until_the_game_hears();
    wait_for("the host's pointer is locked", SOON, || world.is_locked().then_some(()));
    world.plays();
    // The host shows something else, and the game again.
    world.host.command("workspace 2").unwrap();
    wait_for("the host's pointer is free", SOON, || (!world.is_locked()).then_some(()));
    world.host.command("workspace 1").unwrap();
    world.canvas.forget();
    world.until_the_game_hears();
    wait_for("the host's pointer is locked", SOON, || world.is_locked().then_some(()));
    world.canvas.forget();
    world.plays();
    // The game opens its menu.
    world.canvas.play(Play::Cursor);
    wait_for("the host's pointer is free", SOON, || (!world.is_locked()).then_some(()));
    world.points(100.0, 50.0);
    world.bridge.end();
}

#[test]
fn a_game_gets_every_motion_in_gnome_48() {
    a_game_gets_every_motion(Suite::Trixie, &[]);
}

#[test]
fn a_game_gets_every_motion_in_gnome_50() {
    a_game_gets_every_motion(Suite::Forky, &[]);
}

/// Where the canvas's red square is in the host: its middle, if it is there at all.
fn red(world: &World) -> Option<(u32, u32)> {
    let image = world.host.screenshot();
    let is_red = |x: u32, y: u32| image.pixel(x, y) & 0xff_ffff == 0xff_0000;
    let all: Vec<(u32, u32)> =
        (0..image.height).flat_map(|y| (0..image.width).map(move |x| (x, y))).filter(|(x, y)| is_red(*x, *y)).collect();
    let (left, top) = (all.iter().map(|at| at.0).min()?, all.iter().map(|at| at.1).min()?);
    // All of it, and nothing else.
    (all.len() == 256).then_some((left + 8, top + 8))
}

fn the_pointer_is_where_the_guest_has_it(suite: Suite) {
    if lab::skip() {
        return;
    }
    let mut world = world(suite, &["--cursor", "overlay"]);
    assert_eq!(red(&world), None);
    world.canvas.play(Play::Cursor);
    for (x, y) in [(100, 100), (1000, 650), (641, 359)] {
        world.points(f64::from(x), f64::from(y));
        wait_for("the pointer's picture", SOON, || (red(&world) == Some((x, y))).then_some(()));
    }
    let frames = world.bridge.counter("committed");
    world.canvas.play(Play::Hidden);
    wait_for("no picture of the pointer", SOON, || red(&world).is_none().then_some(()));
    world.canvas.play(Play::Cursor);
    for step in 0..20 {
        world.hands.move_to(300.0 + f64::from(step), 300.0);
    }
    wait_for("the pointer's picture", SOON, || (red(&world) == Some((319, 300))).then_some(()));
    let ended = world.bridge.end();
    // GNOME 43 draws a frame for each of its moves all the same.
    if suite != Suite::Bookworm {
        assert!(ended.counter("committed") - frames <= 2, "{}", ended.log);
    }
}

#[test]
fn the_pointer_of_gnome_43_is_where_it_has_it() {
    the_pointer_is_where_the_guest_has_it(Suite::Bookworm);
}

#[test]
fn the_pointer_of_gnome_48_is_where_it_has_it() {
    the_pointer_is_where_the_guest_has_it(Suite::Trixie);
}

/// A canvas in GNOME, in the bridge, in a host as Wolf, with the pointer over it.
struct Wolf {
    bridge: Bridge,
    canvas: Canvas,
    host: FakeHost,
    gnome: Gnome,
}

impl Wolf {
    fn new(suite: Suite, (width, height): (u32, u32), env: &[(&str, &str)], args: &[&str]) -> Self {
        let host = FakeHost::builder().wolf().start().unwrap();
        let gnome = Gnome::start_with(suite, &[&[("WB_ANIMATIONS", "0")], env].concat());
        let bridge = Bridge::start_beside(suite, host.socket(), &gnome.env(), args);
        bridge.expect(host.wait(Seen::shown, SOON));
        let canvas = Canvas::open(&gnome.wayland_socket(), 7);
        bridge.expect(canvas.wait_for_size(width, height, SOON));
        let wolf = Self { bridge, canvas, host, gnome };
        wolf.is_over(600.0, 300.0);
        wolf
    }

    /// The pointer is over the canvas: GNOME loses motion while its monitor changes.
    fn is_over(&self, x: f64, y: f64) {
        wait_for("the guest's pointer", SOON, || {
            self.host.pointer().move_to(x - 5.0, y).move_to(x, y);
            self.canvas.wait(Duration::from_millis(300), |seen| seen.pointer).ok()
        });
    }

    /// Clicks where the pointer is; where that is in the canvas.
    fn click(&self) -> (f64, f64) {
        // GNOME 48 keeps a press to itself that comes while it makes its pointers anew.
        wait_for("a click", SOON, || {
            self.canvas.forget();
            self.host.pointer().click(BTN_LEFT);
            let clicked = |seen: &lab::Seen| (seen.buttons().len() == 2).then_some(seen.pointer).flatten();
            self.canvas.wait(Duration::from_secs(1), clicked).ok()
        })
    }

    /// Every corner of the host is the same corner of a canvas of this size.
    fn has_corners(&self, (width, height): (u32, u32)) {
        // A host such as Wolf clamps to where its window's last but one pixel is.
        for (right, bottom) in [(false, false), (true, false), (false, true), (true, true)] {
            let far = |is_far: bool| if is_far { 99_999.0 } else { 0.0 };
            let last = |is_far: bool, side: u32| if is_far { f64::from(side - 1) } else { 0.0 };
            let wanted = (last(right, width), last(bottom, height));
            let is_there = |(x, y): (f64, f64)| (x.floor(), y.floor()) == wanted;
            // GNOME's panel may be over the window until its monitor has settled: it must not be clicked.
            wait_for(&format!("the corner {wanted:?}"), SOON, || {
                self.host.pointer().move_to(300.0, 300.0).move_to(far(right), far(bottom));
                self.canvas.wait(Duration::from_millis(300), |seen| seen.pointer.filter(|at| is_there(*at))).ok()
            });
            let clicked = self.click();
            assert!(is_there(clicked), "{clicked:?} is not {wanted:?}");
        }
    }
}

fn small_steps_add_up(suite: Suite) {
    if lab::skip() {
        return;
    }
    let wolf = Wolf::new(suite, (1280, 720), &[], &[]);
    wolf.canvas.forget();
    let pointer = wolf.host.pointer();
    for _ in 0..24 {
        pointer.wheel(Axis::Vertical, 15);
    }
    wolf.bridge.expect(wolf.canvas.wait(SOON, |seen| (seen.wheel() == 360).then_some(())));
    for _ in 0..16 {
        pointer.wheel(Axis::Vertical, -15);
    }
    wolf.bridge.expect(wolf.canvas.wait(SOON, |seen| (seen.wheel() == 120).then_some(())));
    // And nothing comes after it.
    pointer.click(BTN_LEFT);
    wolf.bridge.expect(wolf.canvas.wait(SOON, |seen| (seen.buttons().len() == 2).then_some(())));
    assert_eq!(wolf.canvas.seen().wheel(), 120, "{}", wolf.canvas.seen());
    wolf.bridge.end();
}

#[test]
fn small_steps_of_a_wheel_add_up_in_gnome_43() {
    small_steps_add_up(Suite::Bookworm);
}

#[test]
fn small_steps_of_a_wheel_add_up_in_gnome_48() {
    small_steps_add_up(Suite::Trixie);
}

#[test]
fn small_steps_of_a_wheel_add_up_in_gnome_50() {
    small_steps_add_up(Suite::Forky);
}

/// A finger's scroll arrives pixel for pixel, as one, with its end.
fn fingers_scroll(suite: Suite) {
    if lab::skip() {
        return;
    }
    let wolf = Wolf::new(suite, (1280, 720), &[], &[]);
    wolf.has_corners((1280, 720));
    wolf.canvas.forget();
    let pointer = wolf.host.pointer();
    for _ in 0..6 {
        pointer.fingers(0.0, 2.5);
    }
    pointer.fingers_up();
    let stopped = |seen: &lab::Seen| {
        let last = seen.input.last();
        // GNOME 43 tells its windows nothing but the source of an end.
        let is_end = |event: &Input| matches!(event, Input::AxisStop { vertical: true } | Input::AxisSource(1));
        if suite == Suite::Bookworm {
            last.is_some_and(is_end) && seen.scrolled() == 15.0
        } else {
            seen.input.iter().any(|event| matches!(event, Input::AxisStop { vertical: true }))
        }
    };
    let seen = wolf.bridge.expect(wolf.canvas.wait(SOON, |seen| stopped(seen).then(|| seen.clone())));
    assert_eq!(seen.scrolled(), 15.0, "{seen}");
    assert_eq!(seen.wheel(), 0, "{seen}");
    let sources =
        seen.input.iter().filter_map(|event| if let Input::AxisSource(source) = event { Some(*source) } else { None });
    assert!(sources.clone().count() > 0 && sources.clone().all(|source| source == 1), "{seen}");
    wolf.bridge.end();
}

#[test]
fn fingers_scroll_in_gnome_43() {
    fingers_scroll(Suite::Bookworm);
}

#[test]
fn fingers_scroll_in_gnome_48() {
    fingers_scroll(Suite::Trixie);
}

#[test]
fn fingers_scroll_in_gnome_50() {
    fingers_scroll(Suite::Forky);
}

fn corners_can_be_clicked(suite: Suite) {
    if lab::skip() {
        return;
    }
    let wolf = Wolf::new(suite, (1280, 720), &[], &[]);
    wolf.has_corners((1280, 720));
    wolf.host.set_output_mode(1920, 1080, 60_000);
    wolf.bridge.expect(wolf.canvas.wait_for_size(1920, 1080, SOON));
    for (scale, size) in [(1.0, (1920, 1080)), (1.5, (1280, 720)), (2.0, (960, 540))] {
        if scale != 1.0 {
            wolf.bridge.expect(wolf.gnome.scale(scale));
        }
        wolf.bridge.expect(wolf.canvas.wait_for_size(size.0, size.1, SOON));
        wolf.has_corners(size);
    }
    wolf.bridge.end();
}

#[test]
fn corners_can_be_clicked_at_every_scale_of_gnome_48() {
    corners_can_be_clicked(Suite::Trixie);
}

#[test]
fn corners_can_be_clicked_at_every_scale_of_gnome_50() {
    corners_can_be_clicked(Suite::Forky);
}

#[test]
fn corners_can_be_clicked_where_the_guest_has_another_size() {
    if lab::skip() {
        return;
    }
    let monitor = [("GNOME_ARGS", "--virtual-monitor 1600x900")];
    let wolf = Wolf::new(Suite::Trixie, (1600, 900), &monitor, &["--monitor", "Meta-0"]);
    wolf.has_corners((1600, 900));
    wolf.bridge.end();
}

fn a_drag_survives_a_resize(suite: Suite) {
    if lab::skip() {
        return;
    }
    let wolf = Wolf::new(suite, (1280, 720), &[], &[]);
    wolf.canvas.forget();
    let pointer = wolf.host.pointer().press(BTN_LEFT);
    wolf.bridge.expect(wolf.canvas.wait(SOON, |seen| (seen.buttons() == [(BTN_LEFT, true)]).then_some(())));
    for (width, height) in [(1920, 1080), (1000, 700)] {
        wolf.host.set_output_mode(width, height, 60_000);
        wolf.bridge.expect(wolf.canvas.wait_for_size(width as u32, height as u32, SOON));
        pointer.move_to(400.0, 300.0).move_to(500.0, 350.0);
    }
    assert_eq!(wolf.canvas.seen().buttons(), [(BTN_LEFT, true)], "{}", wolf.canvas.seen());
    pointer.release(BTN_LEFT);
    let dropped = [(BTN_LEFT, true), (BTN_LEFT, false)];
    wolf.bridge.expect(wolf.canvas.wait(SOON, |seen| (seen.buttons() == dropped).then_some(())));
    // It is not stuck: the next click is one.
    wolf.is_over(300.0, 200.0);
    wolf.click();
    wolf.bridge.end();
}

#[test]
fn a_drag_survives_a_resize_of_gnome_48() {
    a_drag_survives_a_resize(Suite::Trixie);
}

#[test]
fn a_drag_survives_a_resize_of_gnome_50() {
    a_drag_survives_a_resize(Suite::Forky);
}
