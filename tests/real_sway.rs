//! sway as the guest, in sway as the host: looked at and used through the host; its end, and ours.
//! Needs the rootfs of scripts/rootfs.

mod common;

use std::time::{Duration, Instant};

use common::desktops::RealHost;
use common::usage::cpu;
use common::{Bridge, wait_for};
use lab::{Canvas, Hands, Image, Seen, Sway, SwayGuest, keys};
use rustix::process::{Pid, Signal, kill_process};

/// Long enough for a desktop on a busy machine.
const SOON: Duration = Duration::from_secs(30);

const KEY_Y: u32 = 21;

/// A bridge from this guest to that host.
fn bridge(host: &RealHost, guest: &SwayGuest, args: &[&str]) -> Bridge {
    let socket = guest.socket();
    let guest_args = ["--guest", "wlroots", "--guest-socket", socket.to_str().unwrap()];
    Bridge::start_among(&guest.processes(), &host.socket(), &guest.env(), &[&guest_args, args].concat())
}

/// Waits for a first frame of a desktop at rest: its portal may miss the first picture (seen on xdg-desktop-portal-wlr
/// 0.8.4), and then has to be asked again.
fn shows_something(bridge: &Bridge) {
    let shown = || bridge.log().contains("first frame shown").then_some(());
    wait_for("a first frame", SOON, shown);
}

/// Waits until the host shows this picture of the window, which is drawn again until then: the portal may miss one later too.
fn shows_at_last(host: &RealHost, canvas: &Canvas, (width, height): (u32, u32), seed: u32) {
    let area = |image: &Image| image.region(0, 64, width - 64, height - 128);
    let expected = area(&Image::pattern(width, height, seed));
    wait_for("the picture", SOON, || {
        canvas.redraw();
        let image = host.screenshot();
        ((image.width, image.height) == (width, height) && area(&image).check(&expected).is_ok()).then_some(())
    });
}

/// A host, a guest of that size and a bridge between them, with a window in the guest that the host's hands are over.
struct World {
    host: RealHost,
    guest: SwayGuest,
    bridge: Bridge,
    canvas: Canvas,
    hands: Hands,
}

impl World {
    fn new(args: &[&str]) -> Self {
        Self::of(SwayGuest::start(1280, 720), args)
    }

    fn of(guest: SwayGuest, args: &[&str]) -> Self {
        let host = RealHost::Sway(Sway::start(1280, 720));
        let canvas = Canvas::open(&guest.socket(), 7);
        let bridge = bridge(&host, &guest, args);
        bridge.expect(canvas.wait_for_size(1280, 720, SOON));
        shows_something(&bridge);
        shows_at_last(&host, &canvas, (1280, 720), 7);
        let mut hands = host.hands();
        // The host's window hears of its first pointer and keyboard while these move already.
        wait_for("the guest's pointer", SOON, || {
            hands.move_to(600.0, 300.0);
            hands.move_to(640.0, 360.0);
            let there = |seen: &Seen| (seen.keyboard && seen.pointer == Some((640.0, 360.0))).then_some(());
            canvas.wait(Duration::from_millis(300), there).ok()
        });
        canvas.forget();
        Self { host, guest, bridge, canvas, hands }
    }

    #[track_caller]
    fn wait<T>(&self, look: impl FnMut(&Seen) -> Option<T>) -> T {
        self.bridge.expect(self.canvas.wait(SOON, look))
    }

    /// The pointer reaches this pixel, in the guest.
    #[track_caller]
    fn points(&mut self, x: u32, y: u32) {
        let at = (f64::from(x), f64::from(y));
        self.hands.move_to(at.0, at.1);
        self.wait(|seen| (seen.pointer?.0.floor() == at.0 && seen.pointer?.1.floor() == at.1).then_some(()));
    }

    #[track_caller]
    fn types(&mut self, text: &str) {
        self.canvas.forget();
        self.hands.type_text(text);
        let typed = self.wait(|seen| (seen.typed().len() >= text.len()).then(|| seen.typed()));
        assert_eq!(typed, text);
    }
}

#[test]
fn sway_is_shown_and_used_and_has_the_hosts_size() {
    if lab::skip() {
        return;
    }
    // The host's size is not the guest's at first.
    let mut world = World::of(SwayGuest::start(800, 600), &[]);
    world.canvas.show(8);
    shows_at_last(&world.host, &world.canvas, (1280, 720), 8);
    for (x, y) in [(0, 0), (1279, 0), (0, 719), (1279, 719), (641, 359)] {
        world.points(x, y);
    }
    world.types("Hello, World! {[~]}");
    world.canvas.forget();
    world.hands.click(319.0, 5.0);
    world.hands.wheel(2);
    world.hands.wheel(-3);
    world.hands.chord("ctrl+a").unwrap();
    let seen = world.wait(|seen| seen.keys().ends_with(&[(30, false), (29, false)]).then(|| seen.clone()));
    assert_eq!(seen.buttons(), [(keys::BTN_LEFT, true), (keys::BTN_LEFT, false)]);
    assert_eq!(seen.wheel(), -120, "{seen}");

    world.host.resize(1000, 701);
    world.bridge.expect(world.canvas.wait_for_size(1000, 701, SOON));
    shows_at_last(&world.host, &world.canvas, (1000, 701), 8);
    for (x, y) in [(0, 0), (999, 700)] {
        world.points(x, y);
    }
    world.types("again");

    let ended = world.bridge.end();
    assert_eq!(ended.counter("copied_bytes"), 0, "{}", ended.log);
    assert_eq!(ended.counter("bad"), 0, "{}", ended.log);
}

/// Nothing in it moves, from before the start on: whatever its portal loses, there is a picture, each time.
#[test]
fn a_sway_at_rest_is_shown() {
    if lab::skip() {
        return;
    }
    let guest = SwayGuest::start(1280, 720);
    let host = RealHost::Sway(Sway::start(1280, 720));
    let mut lost = 0;
    for start in 0..12 {
        // The guest's output changes as the stream begins.
        host.resize(1280 - start % 2 * 280, 720);
        let bridge = bridge(&host, &guest, &[]);
        shows_something(&bridge);
        lost += bridge.end().log.matches("sent no picture").count();
    }
    println!("{lost} pictures lost in 12 starts");
}

#[test]
fn a_monitor_that_was_named_keeps_its_size() {
    if lab::skip() {
        return;
    }
    let host = RealHost::Sway(Sway::start(1280, 720));
    let guest = SwayGuest::start(800, 600);
    let canvas = Canvas::open(&guest.socket(), 7);
    let bridge = bridge(&host, &guest, &["--monitor", "HEADLESS-1"]);
    shows_something(&bridge);
    let mut hands = host.hands();
    // The window's end is the output's, whatever their sizes.
    wait_for("the last pixel", SOON, || {
        hands.move_to(600.0, 300.0);
        hands.move_to(1279.0, 719.0);
        let there =
            |seen: &Seen| seen.pointer.filter(|(x, y)| (799.0..800.0).contains(x) && (599.0..600.0).contains(y));
        canvas.wait(Duration::from_millis(300), there).ok()
    });
    assert_eq!(canvas.seen().size, (800, 600));
    bridge.end();
}

#[test]
fn nothing_stays_down_when_the_bridge_ends() {
    if lab::skip() {
        return;
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let mut world = World::new(&[]);
        world.hands.key(keys::KEY_LEFTSHIFT, true);
        world.hands.key(KEY_Y, true);
        world.hands.button(keys::BTN_LEFT, true);
        world.wait(|seen| (seen.keys().len() == 2 && seen.buttons().len() == 1).then_some(()));
        kill_process(Pid::from_raw(world.bridge.pid().cast_signed()).unwrap(), signal).unwrap();
        world.wait(|seen| {
            let released = [keys::KEY_LEFTSHIFT, KEY_Y].iter().all(|code| seen.keys().contains(&(*code, false)));
            let free = released && seen.buttons().contains(&(keys::BTN_LEFT, false));
            // A keyboard that is gone has no modifiers.
            let plain = seen.modifiers().is_some_and(|(depressed, ..)| depressed == 0) || !seen.keyboard;
            (free && plain).then_some(())
        });
        let ended = world.bridge.ended();
        assert_eq!(ended.code, (signal == Signal::TERM).then_some(0), "{}", ended.log);
    }
}

#[test]
fn a_sway_that_is_killed_comes_back_in_the_same_window() {
    if lab::skip() {
        return;
    }
    let guest = SwayGuest::start_with(1280, 720, &[("WB_AGAIN", "1")]);
    let World { host, mut guest, bridge, canvas, hands } = World::of(guest, &[]);
    let before = host.screenshot();
    drop((canvas, hands));
    std::fs::remove_file(guest.dir().join("sway.display")).unwrap();
    guest.run("pkill -KILL -x sway");
    wait_for("word of the loss", SOON, || bridge.log().contains("trying again").then_some(()));
    let image = host.screenshot();
    assert_eq!((image.width, image.height), (before.width, before.height));
    assert!(!image.is_uniform(), "the window went blank");
    wait_for("another sway", SOON, || guest.dir().join("sway.display").exists().then_some(()));
    let canvas = Canvas::open(&guest.socket(), 9);
    bridge.expect(canvas.wait_for_size(1280, 720, SOON));
    let before = bridge.counter("committed");
    wait_for("a frame again", SOON, || {
        canvas.redraw();
        (bridge.counter("committed") > before).then_some(())
    });
    shows_at_last(&host, &canvas, (1280, 720), 9);
    let mut hands = host.hands();
    wait_for("the pointer again", SOON, || {
        hands.move_to(300.0, 300.0);
        hands.move_to(310.0, 310.0);
        canvas.wait(Duration::from_millis(300), |seen| seen.pointer.filter(|at| *at == (310.0, 310.0))).ok()
    });
    let ended = bridge.end();
    assert_eq!(ended.counter("sessions"), 2, "{}", ended.log);
}

#[test]
fn the_layout_is_that_of_the_environment_or_the_one_asked_for() {
    if lab::skip() {
        return;
    }
    let german = &[("XKB_DEFAULT_LAYOUT", "de")];
    let host = RealHost::Sway(Sway::start(1280, 720));
    let guest = SwayGuest::start(1280, 720);
    let canvas = Canvas::open(&guest.socket(), 7);
    let socket = guest.socket();
    let mut hands = host.hands();
    for (args, typed) in [(&[][..], "z"), (&["--layout", "us"][..], "y")] {
        let guest_args = ["--guest", "wlroots", "--guest-socket", socket.to_str().unwrap()];
        let env = [guest.env(), german.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()].concat();
        let bridge = Bridge::start_among(&guest.processes(), &host.socket(), &env, &[&guest_args, args].concat());
        shows_something(&bridge);
        shows_at_last(&host, &canvas, (1280, 720), 7);
        canvas.forget();
        wait_for("a key", SOON, || {
            hands.tap(KEY_Y);
            canvas.wait(Duration::from_millis(300), |seen| seen.typed().ends_with(typed).then_some(())).ok()
        });
        bridge.end();
    }
}

/// Bad sockets: one line, and the exit code that says whose fault it is.
#[test]
fn a_guest_socket_that_is_none_is_told() {
    let host = fake_host::FakeHost::builder().wolf().start().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let runtime = dir.path().to_str().unwrap().to_owned();
    let bus = fake_guest::Bus::start(dir.path()).unwrap();
    let env = [("XDG_RUNTIME_DIR", runtime), ("DBUS_SESSION_BUS_ADDRESS", bus.address())];
    let link = dir.path().join("wayland-9");
    std::os::unix::fs::symlink(host.socket(), &link).unwrap();
    let cases = [("wayland-9", 2, "the host's own socket"), ("wayland-7", 4, "no compositor at")];
    for (socket, code, words) in cases {
        let args = ["--guest", "wlroots", "--guest-socket", socket, "--guest-timeout", "0.5"];
        let ended = Bridge::start(host.socket(), &env, &args).ended();
        assert_eq!(ended.code, Some(code), "{}", ended.log);
        assert!(ended.last_line().contains(words), "{}", ended.log);
    }
}

/// The figures of sway as a guest, with an animated window of 1280x720: from the start to the first frame, and what a frame
/// costs. `cargo test --release --test real_sway -- --ignored --nocapture figures`
#[test]
#[ignore = "a measurement, not a check: machines are noisy"]
fn figures() {
    if lab::skip() {
        return;
    }
    let host = RealHost::Sway(Sway::start(1280, 720));
    let guest = SwayGuest::start(1280, 720);
    let canvas = Canvas::open(&guest.socket(), 7);
    canvas.wait_for_size(1280, 720, SOON).unwrap();
    for _ in 0..5 {
        let began = Instant::now();
        let bridge = bridge(&host, &guest, &["--log", "info"]);
        wait_for("a first frame", SOON, || bridge.log().contains("first frame shown").then_some(()));
        println!("start to first frame: {} ms", began.elapsed().as_millis());
        bridge.end();
    }
    let bridge = bridge(&host, &guest, &["--log", "info"]);
    wait_for("a first frame", SOON, || bridge.log().contains("first frame shown").then_some(()));
    canvas.animate(true);
    let measure = || (bridge.counter("committed"), cpu(bridge.pid()), canvas.seen().shown, Instant::now());
    let start = canvas.seen().shown;
    bridge.expect(canvas.wait(SOON, |seen| (seen.shown >= start + 120).then_some(())));
    let (frames, used, drawn, began) = measure();
    bridge.expect(canvas.wait(SOON, |seen| (seen.shown >= drawn + 600).then_some(())));
    let (frames_after, used_after, drawn_after, ended) = measure();
    let frames = (frames_after - frames) as f64;
    println!(
        "guest frames {} in {:.1} s; committed {frames}; bridge CPU per frame {:.3} ms; copied bytes {}",
        drawn_after - drawn,
        (ended - began).as_secs_f64(),
        (used_after - used).as_secs_f64() * 1000.0 / frames,
        bridge.counter("copied_bytes"),
    );
}
