//! Real parts only: what GNOME says of its frames, as sway shows it. Needs the rootfs of scripts/rootfs.

mod common;

use std::time::Duration;

use common::{Bridge, wait_for};
use lab::{Canvas, Difference, Gnome, Image, Suite, Sway, pattern};

/// Long enough for GNOME on a busy machine.
const SOON: Duration = Duration::from_secs(30);

const SIZE: (u32, u32) = (1280, 720);

struct World {
    host: Sway,
    gnome: Gnome,
    bridge: Bridge,
    canvas: Canvas,
}

/// A picture in GNOME, in the bridge, in sway; what the bridge asks of sway is in its log.
fn world(suite: Suite, args: &[&str]) -> World {
    let host = Sway::start(SIZE.0, SIZE.1);
    let gnome = Gnome::start_with(suite, &[("WB_ANIMATIONS", "0")]);
    let mut env = gnome.env();
    env.push(("WAYLAND_DEBUG", "client".to_owned()));
    let bridge = Bridge::start(&host.socket(), &env, args);
    wait_for("a picture in the host", SOON, || (!host.screenshot().is_uniform()).then_some(()));
    let canvas = Canvas::open(&gnome.wayland_socket(), 7);
    bridge.expect(canvas.wait_for_size(SIZE.0, SIZE.1, SOON));
    let world = World { host, gnome, bridge, canvas };
    let mut hands = world.host.hands();
    wait_for("the guest's pointer", SOON, || {
        hands.move_to(600.0, 300.0);
        hands.move_to(640.0, 360.0);
        world.canvas.wait(Duration::from_millis(300), |seen| seen.pointer).ok()
    });
    world
}

impl World {
    /// Waits until the host shows exactly this, but for the guest's pointer at the bottom right.
    fn shows(&self, expected: &Image) {
        let area = |image: &Image| image.region(0, 0, SIZE.0, SIZE.1 - 64);
        let mut wrong = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for("the guest's picture", SOON, || {
                let checked = area(&self.host.screenshot()).check(&area(expected));
                checked.map_err(|error| wrong = error.to_string()).ok()
            });
        }));
        assert!(found.is_ok(), "{wrong}\n{}", self.bridge.log());
    }

    /// What the host shows once nothing comes any more.
    fn still(&self) -> Image {
        wait_for("a still picture", SOON, || {
            let (image, frames) = (self.host.screenshot(), self.bridge.counter("frames_in"));
            let same = (0..10).all(|_| self.host.screenshot() == image);
            (same && self.bridge.counter("frames_in") == frames).then_some(image)
        })
    }

    /// The picture is the same when all of it is sent once more: nothing that changed was left out.
    fn shows_all(&self) {
        let before = self.still();
        self.canvas.redraw();
        self.bridge.expect(self.canvas.wait(SOON, |seen| (seen.redraws > 0).then_some(())));
        let area = |image: Image| image.region(0, 0, SIZE.0, SIZE.1 - 64);
        area(before).check(&area(self.still())).unwrap_or_else(|error| panic!("{error}\n{}", self.bridge.log()));
    }

    /// Gives the guest's monitor this scale, with which the canvas has this size.
    fn scale(&self, scale: f64, size: (u32, u32)) {
        const DISPLAYS: &str = "org.gnome.Mutter.DisplayConfig";
        let call = |method: &str, args: &[&str]| {
            let method = format!("{DISPLAYS}.{method}");
            let answer = self.gnome.call(DISPLAYS, "/org/gnome/Mutter/DisplayConfig", &method, args);
            self.bridge.expect(answer)
        };
        let state = call("GetCurrentState", &[]);
        let after = |text: &str| state.split_once(text).map(|(_, rest)| rest).unwrap_or_else(|| panic!("{state}"));
        let serial = after("uint32 ").split(',').next().unwrap_or_default();
        let connector = after("((\'").split('\'').next().unwrap_or_default();
        let mode = after("[(\'").split('\'').next().unwrap_or_default();
        let monitors = format!("[(0, 0, {scale}, uint32 0, true, [('{connector}', '{mode}', @a{{sv}} {{}})])]");
        // 1: until the session ends.
        call("ApplyMonitorsConfig", &[serial, "1", &monitors, "@a{sv} {}"]);
        self.bridge.expect(self.canvas.wait_for_size(size.0, size.1, SOON));
    }

    /// Sizes of the damage that the host was told of, after this many bytes of the log.
    fn damage(&self, from: usize) -> Vec<String> {
        let log = self.bridge.log();
        let told = log[from..].lines().filter_map(|line| Some(line.split_once("damage_buffer")?.1.to_owned()));
        told.collect()
    }
}

/// Draws parts of a picture while the pointer moves over it, and holds what the host shows against it.
fn parts_move(world: &World, scaled: bool) -> Vec<String> {
    let mut hands = world.host.hands();
    let mut expected = Image::pattern(SIZE.0, SIZE.1, 7);
    let from = world.bridge.log().len();
    for step in 0..40u32 {
        let (left, top, seed) = (step * 23, step * 12, 100 + step);
        world.canvas.paint((left, top, 60, 40, seed));
        // A trail of it would be seen.
        hands.move_to(f64::from(left + 90), f64::from(top + 20));
        let inside = |x: u32, y: u32| (left..left + 60).contains(&x) && (top..top + 40).contains(&y);
        expected = Image::from_fn(SIZE.0, SIZE.1, |x, y| match inside(x, y) {
            true => pattern::pattern(x, y, seed),
            false => expected.pixel(x, y),
        });
        // Now and then, so that frames are overtaken too.
        if step % 8 == 7 {
            hands.move_to(1279.0, 719.0);
            if !scaled {
                world.shows(&expected);
            }
        }
    }
    if scaled {
        world.shows_all();
    }
    world.damage(from)
}

fn says_what_has_changed(suite: Suite) {
    if lab::skip() {
        return;
    }
    let world = world(suite, &[]);
    world.host.hands().move_to(1279.0, 719.0);
    world.shows(&Image::pattern(SIZE.0, SIZE.1, 7));
    let damage = parts_move(&world, false);
    let partial = damage.iter().filter(|it| !it.ends_with("2147483647)") && !it.ends_with("1280, 720)")).count();
    assert!(partial > damage.len() / 2, "{damage:?}");
    // Mutter before 50 tells damage in other pixels than the stream's then.
    world.scale(1.25, (1024, 576));
    let damage = parts_move(&world, true);
    let partial = damage.iter().filter(|it| !it.ends_with("2147483647)")).count();
    assert_eq!(partial > 0, suite == Suite::Forky, "{damage:?}");
}

#[test]
fn gnome_48_says_what_has_changed() {
    says_what_has_changed(Suite::Trixie);
}

#[test]
fn gnome_50_says_what_has_changed() {
    says_what_has_changed(Suite::Forky);
}

/// Around what differs within 32 pixels of a place: left, top, right and bottom, counted from there.
fn differs(one: &Image, other: &Image, (x, y): (u32, u32)) -> Option<(i32, i32, i32, i32)> {
    let around = |image: &Image| image.region(x - 32, y - 32, 64, 64);
    match around(one).check(&around(other)) {
        Ok(()) => None,
        Err(Difference::Pixels { within: (left, top, right, bottom), .. }) => {
            Some((left as i32 - 32, top as i32 - 32, right as i32 - 32, bottom as i32 - 32))
        }
        Err(Difference::Size { .. }) => unreachable!("both are of this size"),
    }
}

fn lends_its_pointer(suite: Suite) {
    if lab::skip() {
        return;
    }
    // Sway draws cursors into its pictures itself.
    let World { host, gnome, bridge, canvas } = world(suite, &["--cursor", "host"]);
    // It has hidden the pointer over itself.
    drop(canvas);
    let mut hands = host.hands();
    let (here, there) = ((700, 300), (300, 500));
    let mut at = |(x, y): (u32, u32)| {
        hands.move_to(f64::from(x) - 3.0, f64::from(y));
        hands.move_to(f64::from(x), f64::from(y));
        host.screenshot()
    };
    let is_arrow = |found| matches!(found, Some((-4..=0, -2..=0, 8..=24, 10..=26)));
    wait_for("the guest's arrow on the host's cursor", SOON, || {
        let (one, other) = (at(here), at(there));
        (is_arrow(differs(&one, &other, here)) && is_arrow(differs(&one, &other, there))).then_some(())
    });
    drop(gnome);
    let ended = bridge.end();
    let shown = ended.log.lines().filter(|line| line.contains("set_cursor") && line.contains("wl_surface"));
    assert!(shown.count() > 0, "{}", ended.log);
    assert!(ended.counter("empty") > 0, "{}", ended.log);
}

#[test]
fn gnome_48_lends_its_pointer() {
    lends_its_pointer(Suite::Trixie);
}

#[test]
fn gnome_50_lends_its_pointer() {
    lends_its_pointer(Suite::Forky);
}
