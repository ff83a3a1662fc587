//! The one language between the host's seat and the guest's input: typed, plain values.

/// Which of the two scroll axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Up and down; positive is down.
    Vertical,
    /// Left and right; positive is right.
    Horizontal,
}

/// One input event of the host, in the order the host sent it.
///
/// Positions are surface-local logical pixels of the host's window. Codes are evdev codes
/// (`linux/input-event-codes.h`), untouched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InputEvent {
    /// The pointer is at this place of the window (wl_pointer.motion or enter).
    Motion {
        /// From the left edge.
        x: f64,
        /// From the top edge.
        y: f64,
    },
    /// The pointer moved by this much (zwp_relative_pointer_v1); hosts tell most motion as a place too.
    RelativeMotion {
        /// To the right, unaccelerated.
        dx: f64,
        /// Downwards, unaccelerated.
        dy: f64,
    },
    /// A mouse button (BTN_*).
    Button {
        /// Evdev code.
        code: u32,
        /// Down or up.
        pressed: bool,
    },
    /// A wheel turned: 120 units are one notch.
    Wheel {
        /// Axis.
        axis: Axis,
        /// Units, positive down or right.
        v120: i32,
    },
    /// Fingers or another continuous source scrolled, in logical pixels.
    Scroll {
        /// Axis.
        axis: Axis,
        /// Distance, positive down or right.
        delta: f64,
    },
    /// A continuous scroll ended on this axis.
    ScrollStop {
        /// Axis.
        axis: Axis,
    },
    /// The end of a group of pointer events that belong together (wl_pointer.frame).
    PointerFrame,
    /// The pointer left the window: nothing may stay pressed by it.
    PointerLeave,
    /// A key (KEY_*).
    Key {
        /// Evdev code.
        code: u32,
        /// Down or up.
        pressed: bool,
    },
    /// The keyboard left the window: nothing may stay pressed by it.
    KeyboardLeave,
    /// A finger went down.
    TouchDown {
        /// The host's id of the finger.
        id: i32,
        /// From the left edge.
        x: f64,
        /// From the top edge.
        y: f64,
    },
    /// A finger moved.
    TouchMotion {
        /// The host's id of the finger.
        id: i32,
        /// From the left edge.
        x: f64,
        /// From the top edge.
        y: f64,
    },
    /// A finger went up.
    TouchUp {
        /// The host's id of the finger.
        id: i32,
    },
    /// The end of a group of touch events.
    TouchFrame,
    /// All fingers are void (the host took the gesture).
    TouchCancel,
}

/// What kind of guest device an event needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The absolute pointer.
    Absolute,
    /// The relative pointer: motion, buttons, scroll.
    Relative,
    /// The keyboard.
    Keyboard,
    /// The touchscreen.
    Touch,
}

impl InputEvent {
    /// The guest device that this event goes to.
    pub fn need(&self) -> Need {
        match self {
            Self::Motion { .. } => Need::Absolute,
            Self::RelativeMotion { .. }
            | Self::Button { .. }
            | Self::Wheel { .. }
            | Self::Scroll { .. }
            | Self::ScrollStop { .. }
            | Self::PointerFrame
            | Self::PointerLeave => Need::Relative,
            Self::Key { .. } | Self::KeyboardLeave => Need::Keyboard,
            Self::TouchDown { .. }
            | Self::TouchMotion { .. }
            | Self::TouchUp { .. }
            | Self::TouchFrame
            | Self::TouchCancel => Need::Touch,
        }
    }
}
