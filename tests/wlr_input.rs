//! The input path into a real wlroots compositor, by virtual pointer and keyboard: what a window in it gets, without a
//! bridge around. Needs the rootfs of scripts/rootfs.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lab::{Canvas, Hands, Input, Sway, Weston, keys};
use rustix::event::{PollFd, PollFlags, Timespec};
use wolf_bridge::input::event::{Axis, InputEvent};
use wolf_bridge::input::keymap::Keymap;
use wolf_bridge::input::layouts::Layouts;
use wolf_bridge::input::locks::Locks;
use wolf_bridge::input::path::{InputPath, Sink};
use wolf_bridge::input::wlr::WlrSink;
use wolf_bridge::options::PointerMode;

const SOON: Duration = Duration::from_secs(20);
const SIZE: (u32, u32) = (640, 360);
const CAPS: u32 = 58;

/// An input path to the compositor at a socket, with the loop that a bridge would be.
struct Driver {
    path: InputPath,
    connection: wayland_client::Connection,
}

impl Driver {
    fn connect(socket: &Path) -> Self {
        let mut driver = Self::begin(socket);
        driver.path.set_window(SIZE.0, SIZE.1);
        driver.path.set_stream(SIZE.0, SIZE.1);
        driver
    }

    fn begin(socket: &Path) -> Self {
        let sink = WlrSink::new(UnixStream::connect(socket).unwrap(), None).unwrap();
        let connection = sink.connection();
        let mut path = InputPath::new(PointerMode::Absolute);
        path.attach(Sink::Wlr(Box::new(sink)), None);
        Self { path, connection }
    }

    /// One turn of the loop.
    fn turn(&mut self) {
        let timeout = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        rustix::event::poll(&mut [PollFd::new(&self.connection, PollFlags::IN)], Some(&timeout)).unwrap();
        self.path.read().unwrap();
        self.path.pump(Instant::now()).unwrap();
    }

    fn push(&mut self, event: InputEvent) {
        self.path.push(Instant::now(), event);
    }

    fn point(&mut self, x: f64, y: f64) {
        self.push(InputEvent::Motion { x, y });
        self.push(InputEvent::PointerFrame);
    }

    fn key(&mut self, code: u32, pressed: bool) {
        self.push(InputEvent::Key { code, pressed });
    }

    fn tap(&mut self, code: u32) {
        self.key(code, true);
        self.key(code, false);
    }

    fn button(&mut self, pressed: bool) {
        self.push(InputEvent::Button { code: keys::BTN_LEFT, pressed });
        self.push(InputEvent::PointerFrame);
    }

    /// Turns until the window has seen this.
    fn until<T>(&mut self, canvas: &Canvas, what: &str, look: impl Fn(&lab::Seen) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            self.turn();
            let seen = canvas.seen();
            if let Some(found) = look(&seen) {
                return found;
            }
            assert!(began.elapsed() < SOON, "{what}: {seen}");
        }
    }

    /// Points at the window until that knows, and has the keyboard.
    fn arrive(&mut self, canvas: &Canvas) {
        self.point(10.0, 10.0);
        self.until(canvas, "the pointer", |seen| seen.pointer.is_some().then_some(()));
        self.until(canvas, "the keyboard", |seen| seen.keyboard.then_some(()));
        canvas.forget();
    }
}

/// A sway with a window that the driver's pointer and keyboard are in.
fn begin() -> (Sway, Canvas, Driver) {
    let sway = Sway::start(SIZE.0, SIZE.1);
    let canvas = window_in(&sway);
    let mut driver = Driver::connect(&sway.socket());
    driver.arrive(&canvas);
    (sway, canvas, driver)
}

fn window_in(sway: &Sway) -> Canvas {
    let canvas = Canvas::open(&sway.socket(), 1);
    canvas.wait_for_size(SIZE.0, SIZE.1, SOON).unwrap();
    canvas
}

#[test]
fn everything_arrives_as_it_was_sent() {
    if lab::skip() {
        return;
    }
    let (_sway, canvas, mut driver) = begin();

    let (right, bottom) = (639.99609375, 359.99609375);
    for place in [(100.5, 70.25), (0.0, 0.0), (right, 0.0), (0.0, bottom), (right, bottom), (319.0, 5.0)] {
        driver.point(place.0, place.1);
        driver.until(&canvas, &format!("{place:?}"), |seen| (seen.pointer == Some(place)).then_some(()));
    }

    driver.button(true);
    driver.button(false);
    driver.push(InputEvent::Wheel { axis: Axis::Vertical, v120: 240 });
    driver.push(InputEvent::PointerFrame);
    // Eighths of a notch: nothing smaller than a notch can be said.
    for _ in 0..24 {
        driver.push(InputEvent::Wheel { axis: Axis::Vertical, v120: -15 });
        driver.push(InputEvent::PointerFrame);
    }
    let seen = driver.until(&canvas, "the wheel", |seen| (seen.scrolled() == -15.0).then(|| seen.clone()));
    assert_eq!(seen.buttons(), [(keys::BTN_LEFT, true), (keys::BTN_LEFT, false)]);
    assert_eq!(seen.wheel(), -120, "{seen}");
    let sources: Vec<u32> = seen.input.iter().filter_map(source).collect();
    assert_eq!(sources, [0; 4], "{seen}");

    canvas.forget();
    for axis in [Axis::Vertical, Axis::Horizontal] {
        driver.push(InputEvent::Scroll { axis, delta: 3.25 });
        driver.push(InputEvent::PointerFrame);
        driver.push(InputEvent::Scroll { axis, delta: -1.0 });
        driver.push(InputEvent::ScrollStop { axis });
        driver.push(InputEvent::PointerFrame);
    }
    let seen = driver.until(&canvas, "the fingers", |seen| {
        let stops = seen.input.iter().filter(|event| matches!(event, Input::AxisStop { .. }));
        (stops.count() == 2).then(|| seen.clone())
    });
    assert_eq!(seen.scrolled(), 2.25, "{seen}");
    let sources: Vec<u32> = seen.input.iter().filter_map(source).collect();
    assert_eq!(sources, [1; 6], "{seen}");
    assert_eq!(seen.wheel(), 0, "{seen}");

    for (code, shift) in "Hello, World! {[~]}".chars().filter_map(keys::of_char) {
        if shift {
            driver.key(keys::KEY_LEFTSHIFT, true);
        }
        driver.tap(code);
        if shift {
            driver.key(keys::KEY_LEFTSHIFT, false);
        }
    }
    let typed = driver.until(&canvas, "the text", |seen| seen.typed().ends_with('}').then(|| seen.typed()));
    assert_eq!(typed, "Hello, World! {[~]}");
}

fn source(event: &Input) -> Option<u32> {
    match event {
        Input::AxisSource(source) => Some(*source),
        _ => None,
    }
}

#[test]
fn the_guest_owns_its_layout_unless_another_is_asked_for() {
    if lab::skip() {
        return;
    }
    let sway = Sway::start(SIZE.0, SIZE.1);
    let _keyboard = Hands::connect_with(&sway.socket(), 0, "de").unwrap();
    let canvas = window_in(&sway);
    let mut driver = Driver::connect(&sway.socket());
    driver.arrive(&canvas);
    const KEY_Y: u32 = 21;
    driver.tap(KEY_Y);
    let typed = driver.until(&canvas, "a key", |seen| (seen.keys().len() == 2).then(|| seen.typed()));
    assert_eq!(typed, "z", "the guest's keyboard is German");

    let layouts: Layouts = "us,fr".parse().unwrap();
    let keymap = Rc::new(Keymap::of_layouts(layouts.as_slice()).unwrap());
    canvas.forget();
    // A key that is down meanwhile is pressed again.
    const KEY_Q: u32 = 16;
    driver.key(KEY_Q, true);
    driver.until(&canvas, "q", |seen| seen.typed().ends_with('q').then_some(()));
    assert!(driver.path.set_layout(&keymap, 0));
    driver.until(&canvas, "q again", |seen| {
        (seen.keys() == [(KEY_Q, true), (KEY_Q, false), (KEY_Q, true)]).then_some(())
    });
    driver.key(KEY_Q, false);
    driver.until(&canvas, "its release", |seen| (seen.keys().len() == 4).then_some(()));
    canvas.forget();
    driver.tap(KEY_Y);
    let typed = driver.until(&canvas, "a key", |seen| (seen.keys().len() == 2).then(|| seen.typed()));
    assert_eq!(typed, "y");
    assert!(driver.path.set_group(1));
    canvas.forget();
    driver.tap(KEY_Q);
    let typed = driver.until(&canvas, "a key", |seen| (seen.keys().len() == 2).then(|| seen.typed()));
    assert_eq!(typed, "a", "French");
}

#[test]
fn lock_keys_follow_the_host() {
    if lab::skip() {
        return;
    }
    let (_sway, canvas, mut driver) = begin();
    let locked = |seen: &lab::Seen| seen.modifiers().map(|(_, _, locked, _)| locked);
    driver.path.host_locks(Locks([Some(true), Some(false), None]));
    driver.until(&canvas, "Caps Lock on", |seen| (locked(seen) == Some(2)).then_some(()));
    // The person's own press is not undone.
    driver.tap(CAPS);
    driver.path.host_locks(Locks([Some(false), Some(false), None]));
    driver.until(&canvas, "Caps Lock off", |seen| (locked(seen) == Some(0)).then_some(()));
    driver.tap(30);
    let seen = driver.until(&canvas, "a", |seen| seen.keys().ends_with(&[(30, false)]).then(|| seen.clone()));
    assert_eq!(seen.keys().iter().filter(|key| **key == (CAPS, true)).count(), 2, "{seen}");
    assert!(seen.typed().ends_with('a'), "{seen}");
}

#[test]
fn nothing_stays_down_when_the_guest_is_left() {
    if lab::skip() {
        return;
    }
    let (_sway, canvas, mut driver) = begin();
    let held = |driver: &mut Driver| {
        driver.key(keys::KEY_LEFTSHIFT, true);
        driver.key(30, true);
        driver.button(true);
        driver
            .until(&canvas, "what is held", |seen| (seen.keys().len() == 2 && seen.buttons().len() == 1).then_some(()));
    };
    let is_free = |seen: &lab::Seen| {
        let keys = seen.keys();
        let released = |code| keys.contains(&(code, false));
        let modifiers = seen.modifiers().is_some_and(|(depressed, ..)| depressed == 0);
        released(keys::KEY_LEFTSHIFT) && released(30) && seen.buttons().contains(&(keys::BTN_LEFT, false)) && modifiers
    };
    held(&mut driver);
    driver.path.release_all();
    assert!(!driver.path.is_idle(), "the compositor has not said yet that it has handled all of it");
    driver.until(&canvas, "the releases", |seen| is_free(seen).then_some(()));
    let began = Instant::now();
    while !driver.path.is_idle() {
        assert!(began.elapsed() < SOON);
        driver.turn();
    }

    // A guest that is left at once, as when its screencast ends, is left just as clean.
    canvas.forget();
    held(&mut driver);
    driver.path.detach();
    canvas.wait(SOON, |seen| is_free(seen).then_some(())).unwrap();
}

#[test]
fn a_guest_that_does_not_read_gets_all_of_it_in_order_later() {
    if lab::skip() {
        return;
    }
    let mut sway = Sway::start(SIZE.0, SIZE.1);
    let canvas = window_in(&sway);
    let mut driver = Driver::connect(&sway.socket());
    driver.arrive(&canvas);
    sway.run("echo $(pidof sway) > $XDG_RUNTIME_DIR/stopped; kill -STOP $(pidof sway)");
    let began = Instant::now();
    while !sway.dir().join("stopped").exists() {
        assert!(began.elapsed() < SOON);
        std::thread::sleep(Duration::from_millis(5));
    }
    // More than any socket holds.
    let mut step = 0;
    while !driver.path.is_full() {
        step += 1;
        assert!(step < 1_000_000, "the socket takes everything");
        // As all that one turn of the loop brings.
        driver.point(f64::from(step % 600), 50.0);
    }
    for _ in 0..50_000 {
        step += 1;
        driver.point(f64::from(step % 600), 50.0);
    }
    let word = [35, 18, 38, 38, 24];
    for code in word {
        driver.tap(code);
    }
    driver.point(600.5, 300.0);
    driver.path.pump(Instant::now()).unwrap();
    sway.run("kill -CONT $(pidof sway)");
    driver.until(&canvas, "the last motion", |seen| (seen.pointer == Some((600.5, 300.0))).then_some(()));
    assert_eq!(canvas.seen().typed(), "hello");
}

#[test]
fn a_compositor_that_lets_nobody_in_is_looked_at_only() {
    if lab::skip() {
        return;
    }
    let weston = Weston::start(SIZE.0, SIZE.1);
    let mut driver = Driver::connect(&weston.socket());
    let began = Instant::now();
    driver.point(10.0, 10.0);
    driver.tap(30);
    // Taken, and gone.
    while driver.path.deadline(Instant::now()).is_some() {
        assert!(began.elapsed() < SOON);
        driver.turn();
    }
    assert_eq!(driver.path.sent, 0);
}
