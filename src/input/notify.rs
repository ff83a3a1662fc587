//! The guest's input by Mutter's `Notify*` methods, for GNOME 43 and 44, which have no EIS.
//! Turns events into calls and queues them; the task that owns the bus connection sends them in order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;

use crate::input::event::InputEvent;
use crate::input::fingers::axis_call;
use crate::input::held::{Pressed, Touches};
use crate::input::scroll::Notches;

/// One call of org.gnome.Mutter.RemoteDesktop.Session, with its arguments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    /// NotifyPointerMotionAbsolute(stream, x, y): stream pixels.
    MotionAbsolute(f64, f64),
    /// NotifyPointerMotionRelative(dx, dy).
    MotionRelative(f64, f64),
    /// NotifyPointerButton(button, state): evdev code.
    Button(i32, bool),
    /// NotifyPointerAxisDiscrete(axis, steps): axis 0 is vertical.
    AxisDiscrete(u32, i32),
    /// NotifyPointerAxis(dx, dy, flags): 1 finish, 4 finger.
    Axis(f64, f64, u32),
    /// NotifyKeyboardKeycode(keycode, state): evdev code.
    Key(u32, bool),
    /// NotifyTouchDown(stream, slot, x, y).
    TouchDown(u32, f64, f64),
    /// NotifyTouchMotion(stream, slot, x, y).
    TouchMotion(u32, f64, f64),
    /// NotifyTouchUp(slot).
    TouchUp(u32),
}

#[derive(Debug, Default)]
struct Queue {
    calls: VecDeque<Call>,
    waker: Option<Waker>,
}

/// Calls on their way to the bus; both ends share it on one thread.
#[derive(Clone, Debug, Default)]
pub struct Calls(Rc<RefCell<Queue>>);

impl Calls {
    pub(super) fn push(&self, call: Call) {
        let mut queue = self.0.borrow_mut();
        queue.calls.push_back(call);
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }

    /// The next call, as soon as there is one.
    pub async fn next(&self) -> Call {
        std::future::poll_fn(|context| {
            let mut queue = self.0.borrow_mut();
            match queue.calls.pop_front() {
                Some(call) => std::task::Poll::Ready(call),
                None => {
                    queue.waker = Some(context.waker().clone());
                    std::task::Poll::Pending
                }
            }
        })
        .await
    }

    /// The next call, if there is one.
    pub fn pop(&self) -> Option<Call> {
        self.0.borrow_mut().calls.pop_front()
    }

    /// Whether the bus takes calls more slowly than they come.
    pub fn is_full(&self) -> bool {
        self.0.borrow().calls.len() >= ENOUGH
    }

    /// Whether everything has been taken by the bus's task.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().calls.is_empty()
    }
}

/// So many calls may wait for the bus; what comes then waits where motion becomes one.
const ENOUGH: usize = 128;

/// Scroll flags of NotifyPointerAxis: the end of a finger's scroll, and that a finger scrolls.
pub(super) const FINISH: u32 = 1;
pub(super) const FINGER: u32 = 4;

/// KEY_UNKNOWN of linux/input-event-codes.h: on no keyboard.
const KEY_UNKNOWN: u32 = 240;

/// The sink.
#[derive(Debug)]
pub struct NotifySink {
    calls: Calls,
    keys: Pressed,
    buttons: Pressed,
    touches: Touches,
    notches: Notches,
}

impl NotifySink {
    /// A sink that queues its calls in `calls`.
    pub fn new(calls: Calls) -> Self {
        // The first Notify* call makes the guest's pointer leave and the event after it is swallowed by the
        // re-enter; an empty motion takes that blow.
        calls.push(Call::MotionRelative(0.0, 0.0));
        // The guest makes its keyboard at the first press (not at a release, seen on 43), and its windows get no
        // keys before they know the keyboard. This press is of a key that means nothing in any layout.
        calls.push(Call::Key(KEY_UNKNOWN, true));
        calls.push(Call::Key(KEY_UNKNOWN, false));
        Self {
            calls,
            keys: Pressed::default(),
            buttons: Pressed::default(),
            touches: Touches::default(),
            notches: Notches::default(),
        }
    }

    /// Sends one event; positions are already stream pixels. True when something went out.
    pub fn send(&mut self, event: InputEvent) -> bool {
        let call = match event {
            InputEvent::Motion { x, y } => Call::MotionAbsolute(x, y),
            InputEvent::RelativeMotion { dx, dy } => Call::MotionRelative(dx, dy),
            InputEvent::Button { code, pressed } => {
                if !(if pressed { self.buttons.press(code) } else { self.buttons.release(code) }) {
                    return false;
                }
                // Held codes are at most MAX_CODE, so they fit.
                Call::Button(code as i32, pressed)
            }
            InputEvent::Wheel { axis, v120 } => match self.notches.add(axis, v120) {
                0 => return false,
                steps => Call::AxisDiscrete(axis as u32, steps),
            },
            InputEvent::Scroll { .. } | InputEvent::ScrollStop { .. } => match axis_call(event) {
                Some(call) => call,
                None => return false,
            },
            InputEvent::Key { code, pressed } => {
                if !(if pressed { self.keys.press(code) } else { self.keys.release(code) }) {
                    return false;
                }
                Call::Key(code, pressed)
            }
            InputEvent::TouchDown { id, x, y } => match self.touches.down(id) {
                Some(slot) => Call::TouchDown(slot, x, y),
                None => return false,
            },
            InputEvent::TouchMotion { id, x, y } => match self.touches.slot(id) {
                Some(slot) => Call::TouchMotion(slot, x, y),
                None => return false,
            },
            InputEvent::TouchUp { id } => match self.touches.up(id) {
                Some(slot) => Call::TouchUp(slot),
                None => return false,
            },
            InputEvent::PointerLeave => return self.release_buttons(),
            InputEvent::KeyboardLeave => return self.release_keys(),
            InputEvent::TouchCancel => return self.release_touches(),
            InputEvent::PointerFrame | InputEvent::TouchFrame => return false,
        };
        self.calls.push(call);
        true
    }

    fn release_buttons(&mut self) -> bool {
        let mut any = false;
        while let Some(code) = self.buttons.pop() {
            self.calls.push(Call::Button(code as i32, false));
            any = true;
        }
        any
    }

    fn release_keys(&mut self) -> bool {
        let mut any = false;
        while let Some(code) = self.keys.pop() {
            self.calls.push(Call::Key(code, false));
            any = true;
        }
        any
    }

    fn release_touches(&mut self) -> bool {
        let mut any = false;
        while let Some(slot) = self.touches.pop() {
            self.calls.push(Call::TouchUp(slot));
            any = true;
        }
        any
    }

    /// Releases everything that is held.
    pub fn release_all(&mut self) {
        self.release_buttons();
        self.release_keys();
        self.release_touches();
    }

    /// Whether the bus takes calls more slowly than they come.
    pub fn is_full(&self) -> bool {
        self.calls.is_full()
    }

    /// Whether every call has been handed to the bus.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }
}
