//! The script's hands: pointer, keyboard and touch, event by event or as whole gestures.
//! Knows the order real hosts send things in; the objects are `seat`'s and `pointer`'s.

use wayland_server::Resource;
use wayland_server::protocol::wl_keyboard::{KeyState, KeymapFormat};
use wayland_server::protocol::wl_pointer::{self, AxisSource, ButtonState, WlPointer};
use wayland_server::protocol::wl_touch;

use crate::FakeHost;
use crate::server::State;

/// Evdev codes tests need.
#[allow(missing_docs, reason = "input-event-codes.h names them")]
pub mod code {
    pub const BTN_LEFT: u32 = 0x110;
    pub const BTN_RIGHT: u32 = 0x111;
    pub const BTN_MIDDLE: u32 = 0x112;
    pub const KEY_ESC: u32 = 1;
    pub const KEY_Q: u32 = 16;
    pub const KEY_ENTER: u32 = 28;
    pub const KEY_LEFTCTRL: u32 = 29;
    pub const KEY_A: u32 = 30;
    pub const KEY_LEFTSHIFT: u32 = 42;
    pub const KEY_LEFTALT: u32 = 56;
    pub const KEY_RIGHTCTRL: u32 = 97;
    pub const KEY_RIGHTALT: u32 = 100;
    pub const KEY_RIGHTSHIFT: u32 = 54;
}

/// A scroll axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Positive is down.
    Vertical,
    /// Positive is right.
    Horizontal,
}

impl From<Axis> for wl_pointer::Axis {
    fn from(axis: Axis) -> Self {
        match axis {
            Axis::Vertical => Self::VerticalScroll,
            Axis::Horizontal => Self::HorizontalScroll,
        }
    }
}

/// What a scroll comes from; the values are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the protocol's")]
pub enum Source {
    Wheel,
    Finger,
    Continuous,
    WheelTilt,
}

/// The host's pointer. Every call is on the wire when it returns; events that the client's
/// version lacks are left out. Without a focus, events go to the newest window's client.
#[derive(Clone, Copy, Debug)]
pub struct Pointer<'a>(pub(crate) &'a FakeHost);

impl State {
    fn each_pointer(&self, since: u32, send: impl Fn(&WlPointer)) {
        let pointers = self.pointers();
        for pointer in pointers.iter().filter(|p| p.version() >= since) {
            send(pointer);
        }
    }

    fn pointer_frame(&self) {
        self.each_pointer(wl_pointer::EVT_FRAME_SINCE, WlPointer::frame);
    }

    fn pointer_motion(&mut self, x: f64, y: f64) {
        self.seat.position = (x, y);
        let time = self.millis();
        self.each_pointer(1, |p| p.motion(time, x, y));
    }

    fn pointer_button(&mut self, code: u32, pressed: bool) {
        let serial = self.next_serial();
        let time = self.millis();
        let state = if pressed { ButtonState::Pressed } else { ButtonState::Released };
        self.each_pointer(1, |p| p.button(serial, time, code, state));
        self.log(format!("button {code:#x} {state:?}"));
    }

    /// The last reachable position on hosts that lose the last row and column.
    fn clamp(&self, (x, y): (f64, f64)) -> (f64, f64) {
        match self.output_size() {
            Some((width, height)) if self.config.quirks.clamps_pointer => {
                (x.clamp(0.0, f64::from((width - 2).max(0))), y.clamp(0.0, f64::from((height - 2).max(0))))
            }
            _ => (x, y),
        }
    }

    /// As hosts do it: motion, relative motion, frame; only the relative part under a lock; enter
    /// in place of the first motion.
    fn pointer_move_to(&mut self, to: (f64, f64), by: Option<(f64, f64)>) {
        let (x, y) = self.clamp(to);
        let (old_x, old_y) = self.seat.position;
        let (dx, dy) = by.unwrap_or((x - old_x, y - old_y));
        if self.seat.pointer_focus.is_none() {
            self.pointer_enter(x, y);
        } else if !self.pointer_is_locked() {
            self.pointer_motion(x, y);
        }
        self.pointer_relative(dx, dy, dx, dy);
        self.pointer_frame();
        self.log(format!("pointer at {x} {y}, moved by {dx} {dy}"));
    }
}

impl Pointer<'_> {
    fn act(self, act: impl FnOnce(&mut State) + Send + 'static) -> Self {
        self.0.run(act);
        self
    }

    /// `enter` the newest window, in surface coordinates. No frame.
    pub fn enter(self, x: f64, y: f64) -> Self {
        self.act(move |s| s.pointer_enter(x, y))
    }

    /// `leave`, if the pointer is somewhere; ends active constraints. No frame.
    pub fn leave(self) -> Self {
        self.act(State::pointer_leave)
    }

    /// `motion` alone, unclamped, even under a lock. No frame.
    pub fn motion(self, x: f64, y: f64) -> Self {
        self.act(move |s| s.pointer_motion(x, y))
    }

    /// `relative_motion` alone, accelerated and not the same. No frame.
    pub fn relative(self, dx: f64, dy: f64) -> Self {
        self.relative_raw(dx, dy, dx, dy)
    }

    /// `relative_motion` alone with different unaccelerated values. No frame.
    pub fn relative_raw(self, dx: f64, dy: f64, raw_dx: f64, raw_dy: f64) -> Self {
        self.act(move |s| s.pointer_relative(dx, dy, raw_dx, raw_dy))
    }

    /// `button` with an evdev code. No frame.
    pub fn button(self, code: u32, pressed: bool) -> Self {
        self.act(move |s| s.pointer_button(code, pressed))
    }

    /// `axis`, in surface coordinates. No frame.
    pub fn axis(self, axis: Axis, value: f64) -> Self {
        self.act(move |s| {
            let time = s.millis();
            s.each_pointer(1, |p| p.axis(time, axis.into(), value));
        })
    }

    /// `axis_value120` (seat version 8). No frame.
    pub fn axis_value120(self, axis: Axis, value120: i32) -> Self {
        self.act(move |s| {
            s.each_pointer(wl_pointer::EVT_AXIS_VALUE120_SINCE, |p| {
                p.axis_value120(axis.into(), value120);
            });
        })
    }

    /// `axis_discrete` (seat versions 5 to 7). No frame.
    pub fn axis_discrete(self, axis: Axis, steps: i32) -> Self {
        self.act(move |s| s.axis_discrete(axis, steps))
    }

    /// `axis_source`. No frame.
    pub fn axis_source(self, source: Source) -> Self {
        self.act(move |s| s.axis_source(source))
    }

    /// `axis_stop`. No frame.
    pub fn axis_stop(self, axis: Axis) -> Self {
        self.act(move |s| s.axis_stop(axis))
    }

    /// `frame`.
    pub fn frame(self) -> Self {
        self.act(|s| s.pointer_frame())
    }

    /// Moves to a position as this host does it, with relative motion and frame. Enters first if
    /// need be; under a lock only the relative part is sent.
    pub fn move_to(self, x: f64, y: f64) -> Self {
        self.act(move |s| s.pointer_move_to((x, y), None))
    }

    /// Moves by a distance, otherwise as [`Self::move_to`].
    pub fn move_by(self, dx: f64, dy: f64) -> Self {
        self.act(move |s| {
            let (x, y) = s.seat.position;
            s.pointer_move_to((x + dx, y + dy), Some((dx, dy)));
        })
    }

    /// Presses a button, with frame.
    pub fn press(self, code: u32) -> Self {
        self.button(code, true).frame()
    }

    /// Releases a button, with frame.
    pub fn release(self, code: u32) -> Self {
        self.button(code, false).frame()
    }

    /// Presses and releases a button, each with its frame.
    pub fn click(self, code: u32) -> Self {
        self.press(code).release(code)
    }

    /// Turns the wheel by 120ths of a notch in one frame: source, value120 (or discrete, in old
    /// versions), and the axis value this host makes of it.
    pub fn wheel(self, axis: Axis, value120: i32) -> Self {
        self.act(move |s| {
            let time = s.millis();
            let value = f64::from(value120) / 120.0 * s.config.quirks.wheel_notch;
            s.axis_source(Source::Wheel);
            s.each_pointer(wl_pointer::EVT_AXIS_VALUE120_SINCE, |p| {
                p.axis_value120(axis.into(), value120);
            });
            if value120 / 120 != 0 {
                s.axis_discrete(axis, value120 / 120);
            }
            s.each_pointer(1, |p| p.axis(time, axis.into(), value));
            s.pointer_frame();
            s.log(format!("wheel {axis:?} {value120}, value {value}"));
        })
    }

    /// Scrolls with fingers by surface coordinates, in one frame.
    pub fn fingers(self, dx: f64, dy: f64) -> Self {
        self.act(move |s| {
            let time = s.millis();
            s.axis_source(Source::Finger);
            for (axis, value) in [(Axis::Horizontal, dx), (Axis::Vertical, dy)] {
                if value != 0.0 {
                    s.each_pointer(1, |p| p.axis(time, axis.into(), value));
                }
            }
            s.pointer_frame();
        })
    }

    /// Lifts the fingers: stops on both axes, in one frame.
    pub fn fingers_up(self) -> Self {
        self.act(|s| {
            s.axis_source(Source::Finger);
            s.axis_stop(Axis::Horizontal);
            s.axis_stop(Axis::Vertical);
            s.pointer_frame();
        })
    }

    /// This many motions to and fro by one pixel, in one burst: a fast mouse, or a slow reader.
    pub fn jiggle(self, motions: usize) -> Self {
        self.act(move |s| {
            for i in 0..motions {
                let d = if i % 2 == 0 { 1.0 } else { -1.0 };
                let (x, y) = s.seat.position;
                s.pointer_move_to((x + d, y), Some((d, 0.0)));
            }
        })
    }

    /// Puts constraints on the focused surface in force. Returns how many.
    pub fn activate_constraint(self) -> usize {
        self.0.run(State::activate_constraints)
    }

    /// Takes all constraints out of force. Returns how many.
    pub fn deactivate_constraint(self) -> usize {
        self.0.run(State::deactivate_constraints)
    }

    /// Where it is, in surface coordinates.
    pub fn position(self) -> (f64, f64) {
        self.0.run(|s| s.seat.position)
    }
}

impl State {
    fn axis_source(&self, source: Source) {
        let (since, wire) = match source {
            Source::Wheel => (wl_pointer::EVT_AXIS_SOURCE_SINCE, AxisSource::Wheel),
            Source::Finger => (wl_pointer::EVT_AXIS_SOURCE_SINCE, AxisSource::Finger),
            Source::Continuous => (wl_pointer::EVT_AXIS_SOURCE_SINCE, AxisSource::Continuous),
            Source::WheelTilt => (6, AxisSource::WheelTilt),
        };
        self.each_pointer(since, |p| p.axis_source(wire));
    }

    fn axis_stop(&self, axis: Axis) {
        let time = self.millis();
        self.each_pointer(wl_pointer::EVT_AXIS_STOP_SINCE, |p| {
            p.axis_stop(time, axis.into());
        });
    }

    /// Version 8 replaced it by value120.
    fn axis_discrete(&self, axis: Axis, steps: i32) {
        self.each_pointer(wl_pointer::EVT_AXIS_DISCRETE_SINCE, |p| {
            if p.version() < wl_pointer::EVT_AXIS_VALUE120_SINCE {
                p.axis_discrete(axis.into(), steps);
            }
        });
    }

    fn key(&mut self, code: u32, pressed: bool) {
        let serial = self.next_serial();
        let time = self.millis();
        let state = if pressed { KeyState::Pressed } else { KeyState::Released };
        for keyboard in self.keyboards() {
            keyboard.key(serial, time, code, state);
        }
        self.log(format!("key {code} {state:?}"));
    }

    /// A key as hosts deliver it: shortcut first, then key, then the modifiers it changed.
    fn key_and_modifiers(&mut self, code: u32, pressed: bool) {
        let held = |s: &Self, codes: [u32; 2]| codes.iter().any(|code| s.seat.keys.pressed.contains(code));
        if pressed
            && code == code::KEY_Q
            && self.config.quirks.close_on_ctrl_shift_q
            && held(self, [code::KEY_LEFTCTRL, code::KEY_RIGHTCTRL])
            && held(self, [code::KEY_LEFTSHIFT, code::KEY_RIGHTSHIFT])
        {
            self.seat.keys.swallowed.insert(code);
            if let Some(window) = self.live_window() {
                self.close_window(window);
            }
            return;
        }
        if !pressed && self.seat.keys.swallowed.remove(&code) {
            return;
        }
        self.key(code, pressed);
        if let Some(modifiers) = self.seat.keys.turn(code, pressed) {
            self.send_tracked_modifiers(modifiers);
        }
    }
}

/// The host's keyboard. Keys are evdev codes. Every call is on the wire when it returns.
#[derive(Clone, Copy, Debug)]
pub struct Keyboard<'a>(pub(crate) &'a FakeHost);

impl Keyboard<'_> {
    fn act(self, act: impl FnOnce(&mut State) + Send + 'static) -> Self {
        self.0.run(act);
        self
    }

    /// Gives the newest window the focus: `enter` with these keys down, then `modifiers`.
    pub fn enter(self, keys: &[u32]) -> Self {
        let keys = keys.to_vec();
        self.act(move |s| {
            let surface = s.live_surface();
            s.focus_keyboard(surface, &keys);
        })
    }

    /// Takes the focus: `leave`.
    pub fn leave(self) -> Self {
        self.act(|s| s.focus_keyboard(None, &[]))
    }

    /// `key` alone: no shortcut, no modifiers.
    pub fn key(self, code: u32, pressed: bool) -> Self {
        self.act(move |s| s.key(code, pressed))
    }

    /// `modifiers` alone and as given, group included.
    pub fn modifiers(self, depressed: u32, latched: u32, locked: u32, group: u32) -> Self {
        self.act(move |s| s.send_modifiers((depressed, latched, locked, group)))
    }

    /// Presses a key as this host does it: its shortcuts apply, and modifiers follow.
    pub fn press(self, code: u32) -> Self {
        self.act(move |s| s.key_and_modifiers(code, true))
    }

    /// Releases a key as this host does it.
    pub fn release(self, code: u32) -> Self {
        self.act(move |s| s.key_and_modifiers(code, false))
    }

    /// Presses and releases a key.
    pub fn tap(self, code: u32) -> Self {
        self.press(code).release(code)
    }

    /// Presses keys in order and releases them in reverse.
    pub fn chord(self, codes: &[u32]) -> Self {
        let codes = codes.to_vec();
        self.act(move |s| {
            for code in &codes {
                s.key_and_modifiers(*code, true);
            }
            for code in codes.iter().rev() {
                s.key_and_modifiers(*code, false);
            }
        })
    }

    /// Sends another keymap. False if it does not compile, and nothing is sent.
    pub fn set_keymap(self, layout: &str, variant: &str) -> bool {
        let (layout, variant) = (layout.to_owned(), variant.to_owned());
        self.0.run(move |s| s.change_keymap(&layout, &variant))
    }

    /// Sends these bytes as a keymap, and says that they are so many: whatever a test likes.
    pub fn send_keymap(self, bytes: &[u8], size: u32) -> Self {
        let bytes = bytes.to_vec();
        self.act(move |s| s.send_bad_keymap(&bytes, size, KeymapFormat::XkbV1))
    }

    /// Says that there is no keymap.
    pub fn send_no_keymap(self) -> Self {
        self.act(|s| s.send_bad_keymap(b"\0", 0, KeymapFormat::NoKeymap))
    }

    /// What a person does to the inhibitors of shortcuts, by whatever the host has for that. Returns how many there are.
    pub fn inhibit(self, active: bool) -> usize {
        self.0.run(move |s| s.set_inhibitors(active))
    }

    /// Sends another repeat rate per second and delay in ms.
    pub fn set_repeat(self, rate: i32, delay_ms: i32) -> Self {
        self.act(move |s| s.change_repeat(rate, delay_ms))
    }
}

/// The host's touch screen. Positions are in surface coordinates of the newest window. Every call
/// is on the wire when it returns.
#[derive(Clone, Copy, Debug)]
pub struct Touch<'a>(pub(crate) &'a FakeHost);

impl State {
    fn touch_down(&mut self, id: i32, x: f64, y: f64) {
        let Some(surface) = self.live_surface() else {
            return;
        };
        let (serial, time) = (self.next_serial(), self.millis());
        for touch in self.touches() {
            touch.down(serial, time, &surface, id, x, y);
        }
        self.log(format!("touch {id} down at {x} {y}"));
    }

    fn touch_up(&mut self, id: i32) {
        let (serial, time) = (self.next_serial(), self.millis());
        for touch in self.touches() {
            touch.up(serial, time, id);
        }
        self.log(format!("touch {id} up"));
    }
}

impl Touch<'_> {
    fn act(self, act: impl FnOnce(&mut State) + Send + 'static) -> Self {
        self.0.run(act);
        self
    }

    /// `down`. No frame.
    pub fn down(self, id: i32, x: f64, y: f64) -> Self {
        self.act(move |s| s.touch_down(id, x, y))
    }

    /// `motion`. No frame.
    pub fn motion(self, id: i32, x: f64, y: f64) -> Self {
        self.act(move |s| {
            let time = s.millis();
            s.touches().iter().for_each(|t| t.motion(time, id, x, y));
        })
    }

    /// `up`. No frame.
    pub fn up(self, id: i32) -> Self {
        self.act(move |s| s.touch_up(id))
    }

    /// `shape` (seat version 6). No frame.
    pub fn shape(self, id: i32, major: f64, minor: f64) -> Self {
        self.act(move |s| {
            for touch in s.touches() {
                if touch.version() >= wl_touch::EVT_SHAPE_SINCE {
                    touch.shape(id, major, minor);
                }
            }
        })
    }

    /// `frame`.
    pub fn frame(self) -> Self {
        self.act(|s| s.touches().iter().for_each(wl_touch::WlTouch::frame))
    }

    /// `cancel`.
    pub fn cancel(self) -> Self {
        self.act(|s| s.touches().iter().for_each(wl_touch::WlTouch::cancel))
    }

    /// One finger down and up, each with its frame.
    pub fn tap(self, x: f64, y: f64) -> Self {
        self.down(0, x, y).frame().up(0).frame()
    }

    /// One finger from a point to another in this many motions, each with its frame.
    pub fn swipe(self, from: (f64, f64), to: (f64, f64), steps: u32) -> Self {
        self.down(0, from.0, from.1).frame();
        for step in 1..=steps {
            let t = f64::from(step) / f64::from(steps);
            let (x, y) = (from.0 + (to.0 - from.0) * t, from.1 + (to.1 - from.1) * t);
            self.motion(0, x, y).frame();
        }
        self.up(0).frame()
    }
}
