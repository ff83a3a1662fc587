//! Scrolling with fingers, beside an EIS server that has no word for it: Mutter takes every `scroll` of EIS for a wheel's,
//! ten pixels for a notch. Its own call knows fingers, and their end.

use crate::input::event::{Axis, InputEvent};
use crate::input::notify::{Call, Calls, FINGER, FINISH};

/// The way of finger scrolls.
#[derive(Debug)]
pub struct Fingers {
    calls: Calls,
}

impl Fingers {
    /// Queues its calls in `calls`.
    pub fn new(calls: Calls) -> Self {
        // The first call makes the guest's pointer leave its window, and what follows is lost to it: not a scroll.
        calls.push(Call::MotionRelative(0.0, 0.0));
        Self { calls }
    }

    /// Whether this event goes this way.
    pub fn takes(event: InputEvent) -> bool {
        matches!(event, InputEvent::Scroll { .. } | InputEvent::ScrollStop { .. })
    }

    /// Sends a scroll or its end; false for anything else.
    pub fn send(&self, event: InputEvent) -> bool {
        match axis_call(event) {
            Some(call) => self.calls.push(call),
            None => return false,
        }
        true
    }

    /// Whether the bus takes calls more slowly than fingers make them.
    pub fn is_full(&self) -> bool {
        self.calls.is_full()
    }
}

/// The call that a finger's scroll is.
pub(super) fn axis_call(event: InputEvent) -> Option<Call> {
    match event {
        InputEvent::Scroll { axis: Axis::Horizontal, delta } => Some(Call::Axis(delta, 0.0, FINGER)),
        InputEvent::Scroll { axis: Axis::Vertical, delta } => Some(Call::Axis(0.0, delta, FINGER)),
        InputEvent::ScrollStop { .. } => Some(Call::Axis(0.0, 0.0, FINGER | FINISH)),
        _ => None,
    }
}
