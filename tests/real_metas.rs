//! What a real GNOME says of its frames: its damage, to a host that is strict about it, and its pointer, in sway.
//! Needs the rootfs of scripts/rootfs.

mod common;

use std::time::{Duration, Instant};

use common::{Bridge, wait_for};
use fake_guest::{Cursor, FakeGuest, Fill, GuestOptions, Metas, MutterOptions, ProducerOptions};
use fake_host::{FakeHost, Rect, Seen};
use lab::{Canvas, Difference, Gnome, Image, Suite, Sway, pattern};

/// Long enough for GNOME on a busy machine.
const SOON: Duration = Duration::from_secs(30);

const SIZE: (u32, u32) = (1280, 720);

/// A picture in GNOME, in the bridge, in a host that looks at nothing but what is damaged.
struct World {
    host: FakeHost,
    gnome: Gnome,
    bridge: Bridge,
    canvas: Canvas,
}

fn world(suite: Suite) -> World {
    let host = FakeHost::builder().wolf().start().expect("a host");
    let gnome = Gnome::start_with(suite, &[("WB_ANIMATIONS", "0")]);
    let bridge = Bridge::start(host.socket(), &gnome.env(), &[]);
    bridge.expect(host.wait(Seen::shown, SOON));
    let canvas = Canvas::open(&gnome.wayland_socket(), 7);
    bridge.expect(canvas.wait_for_size(SIZE.0, SIZE.1, SOON));
    let world = World { host, gnome, bridge, canvas };
    wait_for("the guest's pointer", SOON, || {
        world.host.pointer().move_to(600.0, 300.0).move_to(640.0, 360.0);
        world.canvas.wait(Duration::from_millis(300), |seen| seen.pointer).ok()
    });
    world
}

impl World {
    /// What the host shows, but for the guest's pointer at the bottom.
    fn screen(&self) -> Image {
        let shot = self.host.screenshot().expect("a picture that can be read");
        Image::from_fn(SIZE.0, SIZE.1 - 64, |x, y| shot.pixels[(y * SIZE.0 + x) as usize] & 0xff_ffff)
    }

    /// Waits until the host shows exactly this.
    fn shows(&self, expected: &Image) {
        let expected = expected.region(0, 0, SIZE.0, SIZE.1 - 64);
        let began = Instant::now();
        while let Err(error) = self.screen().check(&expected) {
            assert!(began.elapsed() < SOON, "{error}\n{}", self.bridge.log());
        }
    }

    /// What the host shows of the newest frame is all that has changed.
    fn shows_all(&self) {
        // Only between frames: a newer one may be there already when the picture is taken.
        let (mut shown, mut whole) = (self.screen(), self.screen());
        for _ in 0..20 {
            let frames = self.host.look(Seen::frame_count);
            shown = self.screen();
            self.host.refresh();
            whole = self.screen();
            if self.host.look(Seen::frame_count) == frames {
                break;
            }
        }
        shown.check(&whole).unwrap_or_else(|error| panic!("{error}\n{}", self.bridge.log()));
    }

    /// The damage of all frames from this one on.
    fn damage(&self, from: usize) -> Vec<Rect> {
        self.host.look(|seen| seen.frames().skip(from).flat_map(|frame| frame.buffer_damage.clone()).collect())
    }

    /// Gives the guest's monitor this scale, with which the canvas has this size.
    fn scale(&self, scale: f64, size: (u32, u32)) {
        self.bridge.expect(self.gnome.scale(scale));
        self.bridge.expect(self.canvas.wait_for_size(size.0, size.1, SOON));
    }
}

/// Draws parts of a picture while the pointer moves over it, and holds what the host shows against it.
fn parts_move(world: &World, scaled: bool) -> Vec<Rect> {
    let pointer = world.host.pointer();
    let mut expected = Image::pattern(SIZE.0, SIZE.1, 7);
    let from = world.host.look(Seen::frame_count);
    for step in 0..40u32 {
        let (left, top, seed) = (step * 23, step * 12, 100 + step);
        world.canvas.paint((left, top, 60, 40, seed));
        // A trail of it would be seen.
        pointer.move_to(f64::from(left + 90), f64::from(top + 20));
        let inside = |x: u32, y: u32| (left..left + 60).contains(&x) && (top..top + 40).contains(&y);
        expected = Image::from_fn(SIZE.0, SIZE.1, |x, y| match inside(x, y) {
            true => pattern::pattern(x, y, seed),
            false => expected.pixel(x, y),
        });
        // Now and then, so that frames are overtaken too.
        if step % 8 == 7 {
            pointer.move_to(1279.0, 719.0);
            if !scaled {
                world.shows(&expected);
            }
        }
    }
    // All of it has come.
    world.bridge.expect(world.canvas.wait(SOON, |seen| (seen.parts % 40 == 0).then_some(())));
    world.shows_all();
    world.damage(from)
}

fn says_what_has_changed(suite: Suite) {
    if lab::skip() {
        return;
    }
    let world = world(suite);
    world.host.pointer().move_to(1279.0, 719.0);
    world.shows(&Image::pattern(SIZE.0, SIZE.1, 7));
    let is_part = |rect: &&Rect| rect.width < SIZE.0 as i32;
    let damage = parts_move(&world, false);
    assert!(damage.iter().filter(is_part).count() > damage.len() / 2, "{damage:?}");
    // Mutter before 50 tells damage in other pixels than the stream's then.
    world.scale(1.25, (1024, 576));
    let damage = parts_move(&world, true);
    assert_eq!(damage.iter().filter(is_part).count() > 0, suite == Suite::Forky, "{damage:?}");
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
    let host = Sway::start(SIZE.0, SIZE.1);
    let gnome = Gnome::start_with(suite, &[("WB_ANIMATIONS", "0")]);
    let mut env = gnome.env();
    env.push(("WAYLAND_DEBUG", "client".to_owned()));
    let bridge = Bridge::start(&host.socket(), &env, &["--cursor", "host"]);
    wait_for("a picture in the host", SOON, || (!host.screenshot().is_uniform()).then_some(()));
    let mut hands = host.hands();
    hands.move_to(100.0, 100.0);
    // It hides the pointer over itself, so GNOME tells another picture of it when it is gone.
    let canvas = Canvas::open(&gnome.wayland_socket(), 7);
    bridge.expect(canvas.wait_for_size(SIZE.0, SIZE.1, SOON));
    drop(canvas);
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

/// Two people with a pointer each: both look as the guest says, wherever they are, and neither minds that the other one goes.
#[test]
fn every_seat_has_the_guests_pointer() {
    if lab::skip() {
        return;
    }
    let host = Sway::start(640, 400);
    host.command("seat second fallback false").expect("a second seat");
    let producer = ProducerOptions { metas: Metas::ALL, ..Default::default() };
    let mutter = MutterOptions { producer, ..Default::default() };
    let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() }).expect("a guest");
    let bridge = Bridge::start(&host.socket(), &guest.env(), &["--cursor", "host"]);
    let producer = bridge.expect(guest.mutter.producer(SOON));
    bridge.expect(producer.streaming(SOON));
    // A square of one colour, as blue, green and red.
    let send = |colour: [u8; 3]| {
        let pixels = [colour[2], colour[1], colour[0], 255].repeat(16 * 16);
        let cursor = Cursor { id: 1, position: (5, 5), hotspot: (0, 0), bitmap: Some(((16, 16), pixels)) };
        let _ = producer.frame_with(Fill::Solid([255, 0, 0, 0]), move |frame| frame.cursor = Some(cursor));
    };
    let (here, there) = ((100, 100), (400, 300));
    let mut first = host.hands();
    let mut second = host.hands_of(1);
    let shows = |what: &str, colour: [u8; 3], places: &[(u32, u32)]| {
        let [blue, green, red] = colour.map(u32::from);
        let expected = red << 16 | green << 8 | blue;
        wait_for(what, SOON, || {
            send(colour);
            let image = host.screenshot();
            places.iter().all(|(x, y)| image.pixel(x + 8, y + 8) & 0xff_ffff == expected).then_some(())
        });
    };
    wait_for("a picture in the host", SOON, || {
        send([0, 255, 0]);
        (host.screenshot().pixel(600, 20) & 0xff_ffff == 0xff).then_some(())
    });
    let at = |hands: &mut lab::Hands, (x, y): (u32, u32)| {
        hands.move_to(f64::from(x) + 1.0, f64::from(y));
        hands.move_to(f64::from(x), f64::from(y));
    };
    at(&mut first, here);
    at(&mut second, there);
    shows("both pointers", [0, 255, 0], &[here, there]);
    shows("both pointers, otherwise", [0, 255, 255], &[here, there]);
    drop(first);
    at(&mut second, here);
    shows("the one that is left", [255, 255, 255], &[here]);
    let ended = bridge.end();
    assert!(!ended.log.contains("the host ended the connection"), "{}", ended.log);
}
