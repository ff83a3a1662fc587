//! A fullscreen window that shows [`pattern`](crate::pattern) and remembers all its input: the eyes of the tests inside a desktop.
//! Owns the thread of its Wayland client ([`client`]) and what that has seen; draws nothing but the pattern.

mod client;
mod grab;

use std::{
    collections::VecDeque,
    fmt,
    os::unix::net::UnixStream,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::event::EventfdFlags;
use rustix::time::{ClockId, clock_gettime};
use xkbcommon::xkb;

pub use grab::Play;

/// The times of so many pictures are kept.
const TIMES: usize = 1 << 12;

/// One event of a seat, as the client hears it. Positions are in the window's logical pixels, codes are evdev's.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// wl_pointer.enter
    PointerEnter {
        #[doc = "Column."]
        x: f64,
        #[doc = "Row."]
        y: f64,
    },
    /// wl_pointer.leave
    PointerLeave,
    /// wl_pointer.motion
    Motion {
        #[doc = "Column."]
        x: f64,
        #[doc = "Row."]
        y: f64,
    },
    /// zwp_relative_pointer_v1.relative_motion, unaccelerated
    Relative {
        #[doc = "To the right."]
        dx: f64,
        #[doc = "Down."]
        dy: f64,
    },
    /// zwp_locked_pointer_v1.locked, or unlocked
    Locked(bool),
    /// wl_pointer.button
    Button {
        #[doc = "BTN_*."]
        code: u32,
        #[doc = "Or released."]
        pressed: bool,
    },
    /// wl_pointer.axis
    Axis {
        #[doc = "Or horizontal."]
        vertical: bool,
        #[doc = "In logical pixels."]
        value: f64,
    },
    /// wl_pointer.axis_source: 0 wheel, 1 finger, 2 continuous, 3 wheel tilt
    AxisSource(u32),
    /// wl_pointer.axis_discrete (seats below version 8)
    AxisDiscrete {
        #[doc = "Or horizontal."]
        vertical: bool,
        #[doc = "Whole notches."]
        notches: i32,
    },
    /// wl_pointer.axis_value120 (seats from version 8 on)
    AxisValue120 {
        #[doc = "Or horizontal."]
        vertical: bool,
        #[doc = "120 to a notch."]
        v120: i32,
    },
    /// wl_pointer.axis_stop
    AxisStop {
        #[doc = "Or horizontal."]
        vertical: bool,
    },
    /// wl_keyboard.enter, with the keys already down
    KeyboardEnter(Vec<u32>),
    /// wl_keyboard.leave
    KeyboardLeave,
    /// wl_keyboard.key
    Key {
        #[doc = "KEY_*."]
        code: u32,
        #[doc = "Or released."]
        pressed: bool,
    },
    /// wl_keyboard.modifiers
    Modifiers {
        #[doc = "Held."]
        depressed: u32,
        #[doc = "For the next key."]
        latched: u32,
        #[doc = "As caps lock."]
        locked: u32,
        #[doc = "The layout."]
        group: u32,
    },
    /// wl_keyboard.keymap: its length in bytes
    Keymap(u32),
    /// wl_touch.down
    TouchDown {
        #[doc = "The finger."]
        id: i32,
        #[doc = "Column."]
        x: f64,
        #[doc = "Row."]
        y: f64,
    },
    /// wl_touch.motion
    TouchMotion {
        #[doc = "The finger."]
        id: i32,
        #[doc = "Column."]
        x: f64,
        #[doc = "Row."]
        y: f64,
    },
    /// wl_touch.up
    TouchUp(i32),
    /// wl_touch.cancel
    TouchCancel,
}

/// What a canvas has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The size of the last picture drawn, in pixels; (0, 0) before the first.
    pub size: (u32, u32),
    /// The seed of the last picture drawn.
    pub seed: u32,
    /// How many of the orders to [`paint`](Canvas::paint) the last picture drawn has.
    pub parts: usize,
    /// How many of the orders to [`redraw`](Canvas::redraw).
    pub redraws: usize,
    /// Pictures drawn.
    pub drawn: u64,
    /// Frame callbacks: pictures that the desktop has presented, or as good as.
    pub shown: u64,
    /// xdg_surface.configure events.
    pub configures: u64,
    /// Whether the last configure said fullscreen.
    pub fullscreen: bool,
    /// Whether it has the keyboard.
    pub keyboard: bool,
    /// The pointer's position, while it is in the window.
    pub pointer: Option<(f64, f64)>,
    /// The keymap it was told last.
    pub keymap: String,
    /// Whether its lock of the pointer is in force.
    pub locked: bool,
    /// Every event, oldest first.
    pub input: Vec<Input>,
    /// Why the client ended, if it has.
    pub ended: Option<String>,
}

impl Seen {
    /// The keys (`pressed` then released) in the order they came.
    pub fn keys(&self) -> Vec<(u32, bool)> {
        self.input
            .iter()
            .filter_map(|event| if let Input::Key { code, pressed } = event { Some((*code, *pressed)) } else { None })
            .collect()
    }

    /// What the keys typed by the keymap that it was told last, with the modifiers it was told.
    ///
    /// # Panics
    /// When that keymap does not compile.
    pub fn typed(&self) -> String {
        let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
        let (format, flags) = (xkb::KEYMAP_FORMAT_TEXT_V1, xkb::KEYMAP_COMPILE_NO_FLAGS);
        let keymap = xkb::Keymap::new_from_string(&context, self.keymap.clone(), format, flags);
        let mut state = xkb::State::new(&keymap.expect("the keymap of the desktop compiles"));
        let mut typed = String::new();
        for event in &self.input {
            match event {
                Input::Key { code, pressed: true } => typed += &state.key_get_utf8(xkb::Keycode::new(code + 8)),
                Input::Modifiers { depressed, latched, locked, group } => {
                    state.update_mask(*depressed, *latched, *locked, 0, 0, *group);
                }
                _ => {}
            }
        }
        typed
    }

    /// The last modifiers: depressed, latched, locked and group.
    pub fn modifiers(&self) -> Option<(u32, u32, u32, u32)> {
        self.input.iter().rev().find_map(|event| match event {
            Input::Modifiers { depressed, latched, locked, group } => Some((*depressed, *latched, *locked, *group)),
            _ => None,
        })
    }

    /// The buttons, likewise.
    pub fn buttons(&self) -> Vec<(u32, bool)> {
        self.input
            .iter()
            .filter_map(
                |event| {
                    if let Input::Button { code, pressed } = event { Some((*code, *pressed)) } else { None }
                },
            )
            .collect()
    }

    /// All relative motion.
    pub fn travelled(&self) -> (f64, f64) {
        self.input.iter().fold((0.0, 0.0), |(x, y), event| match event {
            Input::Relative { dx, dy } => (x + dx, y + dy),
            _ => (x, y),
        })
    }

    /// All vertical wheel travel, 120 to a notch, from whichever event the seat's version has.
    pub fn wheel(&self) -> i32 {
        let travel = |event: &Input| match event {
            Input::AxisValue120 { vertical: true, v120 } => *v120,
            Input::AxisDiscrete { vertical: true, notches } => notches * 120,
            _ => 0,
        };
        self.input.iter().map(travel).sum()
    }

    /// All vertical travel of wl_pointer.axis, in logical pixels.
    pub fn scrolled(&self) -> f64 {
        self.input
            .iter()
            .filter_map(|event| if let Input::Axis { vertical: true, value } = event { Some(*value) } else { None })
            .sum()
    }

    /// What the keys typed on a US keyboard, modifiers but shift aside.
    pub fn text(&self) -> String {
        let mut shift = false;
        let mut text = String::new();
        for (code, pressed) in self.keys() {
            match code {
                crate::keys::KEY_LEFTSHIFT | 54 => shift = pressed,
                _ if pressed => text.extend(
                    (' '..='~').chain(['\n', '\t']).find(|char| crate::keys::of_char(*char) == Some((code, shift))),
                ),
                _ => {}
            }
        }
        text
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Seen {
            size,
            seed,
            parts,
            redraws: _,
            drawn,
            shown,
            configures,
            fullscreen,
            keyboard,
            pointer,
            keymap: _,
            locked,
            input,
            ended,
        } = self;
        writeln!(
            f,
            "{}x{} (fullscreen: {fullscreen}), picture {seed} with {parts} parts, drawn {drawn}, shown {shown}, configures {configures}",
            size.0, size.1
        )?;
        writeln!(f, "keyboard focus: {keyboard}, pointer: {pointer:?}, locked: {locked}, ended: {ended:?}")?;
        let skipped = input.len().saturating_sub(40);
        writeln!(f, "input ({} events, the last of them):", input.len())?;
        input[skipped..].iter().try_for_each(|event| writeln!(f, "    {event:?}"))
    }
}

/// What the thread and the tests share.
#[derive(Debug)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
    orders: Mutex<Orders>,
    /// When each picture was handed to the desktop: its seed and CLOCK_MONOTONIC in ns, oldest first.
    times: Mutex<VecDeque<(u32, i64)>>,
    /// Wakes the thread for new orders.
    wake: rustix::fd::OwnedFd,
}

/// A rectangle of another picture: left, top, width and height in pixels, and the seed.
pub type Part = (u32, u32, u32, u32, u32);

#[derive(Clone, Debug, Default)]
struct Orders {
    seed: u32,
    /// Painted over the picture, in this order.
    parts: Vec<Part>,
    redraws: usize,
    animate: bool,
    play: Play,
    quit: bool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.notify_all();
    }

    /// Notes that this picture goes to the desktop now.
    fn time(&self, seed: u32) {
        let now = clock_gettime(ClockId::Monotonic);
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() == TIMES {
            times.pop_front();
        }
        times.push_back((seed, now.tv_sec * 1_000_000_000 + now.tv_nsec));
    }

    fn orders(&self) -> Orders {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        change(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

/// The window. It goes with the drop.
#[derive(Debug)]
pub struct Canvas {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Canvas {
    /// Opens it in the desktop at that socket, fullscreen, showing picture `seed`. Returns at once: [`wait`](Self::wait) for what matters.
    ///
    /// # Panics
    /// When nobody listens at the socket.
    pub fn open(socket: &Path, seed: u32) -> Self {
        let stream = UnixStream::connect(socket)
            .unwrap_or_else(|error| panic!("no desktop for the canvas at {}: {error}", socket.display()));
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).expect("an eventfd");
        let orders = Mutex::new(Orders { seed, ..Orders::default() });
        let shared =
            Arc::new(Shared { seen: Mutex::default(), changed: Condvar::new(), orders, times: Mutex::default(), wake });
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let end =
                    client::run(stream, &shared).err().map_or_else(|| "closed".to_owned(), |error| error.to_string());
                shared.note(|seen| seen.ended = Some(end));
            }
        });
        Canvas { shared, thread: Some(thread) }
    }

    /// Draws another picture.
    pub fn show(&self, seed: u32) {
        self.shared
            .order(|orders| *orders = Orders { seed, play: orders.play, quit: orders.quit, ..Orders::default() });
    }

    /// Draws the same once more, and tells the desktop that all of it has changed.
    pub fn redraw(&self) {
        self.shared.order(|orders| orders.redraws += 1);
    }

    /// Paints a part of another picture over this one, and tells the desktop that nothing else has changed.
    pub fn paint(&self, part: Part) {
        self.shared.order(|orders| orders.parts.push(part));
    }

    /// Draws the next seed's picture at every frame callback, or stops doing so.
    pub fn animate(&self, on: bool) {
        let seed = self.seen().seed;
        self.shared.order(|orders| (orders.seed, orders.animate) = (seed, on));
    }

    /// Locks the pointer, or frees it. What is locked says [`Seen::locked`].
    pub fn play(&self, play: Play) {
        self.shared.order(|orders| orders.play = play);
    }

    /// When each of the last pictures was handed to the desktop: its seed and CLOCK_MONOTONIC in ns, oldest first.
    pub fn times(&self) -> Vec<(u32, i64)> {
        self.shared.times.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen().clone()
    }

    /// Forgets the input seen so far.
    pub fn forget(&self) {
        self.shared.note(|seen| seen.input.clear());
    }

    /// Forgets what it has seen of this key.
    pub fn forget_key(&self, key: u32) {
        self.shared.note(|seen| seen.input.retain(|event| !matches!(event, Input::Key { code, .. } if *code == key)));
    }

    /// Waits until `look` finds what it looks for.
    ///
    /// # Errors
    /// When it does not in time, or the client ended: what was seen instead.
    pub fn wait<T>(&self, timeout: Duration, mut look: impl FnMut(&Seen) -> Option<T>) -> Result<T, String> {
        let until = Instant::now() + timeout;
        let mut seen = self.shared.seen();
        loop {
            if let Some(found) = look(&seen) {
                return Ok(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || seen.ended.is_some() {
                return Err(format!("the canvas did not see it within {timeout:?}, but: {}", *seen));
            }
            seen = self.shared.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until it is fullscreen, has that size and has drawn it.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_for_size(&self, width: u32, height: u32, timeout: Duration) -> Result<(), String> {
        self.wait(timeout, |seen| (seen.size == (width, height)).then_some(()))
    }
}

impl Drop for Canvas {
    fn drop(&mut self) {
        self.shared.order(|orders| orders.quit = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
