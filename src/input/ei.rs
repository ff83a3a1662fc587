//! The guest's input over libei: handshake, devices that come and go, and the requests themselves.
//! Decides nothing about order or waiting; it says what is ready and sends what it is given.
//!
//! Protocol: libei's ei-protocol (reis); Mutter's peculiarities are noted where they matter.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use reis::PendingRequestResult;
use reis::ei;
use reis::ei::button::ButtonState;
use reis::ei::handshake::ContextType;
use reis::ei::keyboard::KeyState;
use reis::event::{Device, DeviceCapability, EiEvent, EiEventConverter};
use reis::handshake::EiHandshaker;
use thiserror::Error;
use tracing::debug;

use crate::input::event::{Axis, InputEvent, Need};
use crate::input::geometry::Region;
use crate::input::guest_keyboard::GuestKeyboard;
use crate::input::held::{Pressed, Touches};
use crate::input::place::Place;
use crate::input::waiting::Ready;

/// Keys sent sooner after the keyboard's first resume are lost: the guest's clients have to see the
/// keyboard first (measured on Mutter 48: lost at 9 ms, there at 30 ms).
const KEYBOARD_SETTLES: Duration = Duration::from_millis(40);

/// What an EIS server makes of scroll events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrolling {
    /// What the protocol says: `scroll_discrete` is a wheel's, in 120ths of a notch; `scroll` is a finger's, in logical
    /// pixels.
    Plain,
    /// Mutter: `scroll` is a wheel with ten units a notch, fractions kept; `scroll_discrete` would lose everything below a
    /// whole notch.
    Mutter,
    /// gamescope: `scroll` has whole notches for units and a stop is an error, so that all is `scroll_discrete`.
    Discrete,
}

/// Mutter's; as many logical pixels are a notch where fingers have to be told as a wheel.
const UNITS_PER_NOTCH: f64 = 10.0;

/// Why the EIS connection ended.
#[derive(Debug, Error)]
pub enum EiError {
    /// Reading or writing the socket failed.
    #[error("the guest's input socket failed: {0}")]
    Io(#[from] std::io::Error),
    /// The server sent something that the protocol forbids.
    #[error("the guest's input server broke the protocol: {0}")]
    Protocol(String),
    /// The server said goodbye.
    #[error("the guest's input server ended the connection: {0}")]
    Disconnected(String),
}

impl From<rustix::io::Errno> for EiError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// A device that can be sent to.
struct Open {
    device: Device,
    resumed: bool,
    ready_at: Instant,
    /// Something was sent since the last frame.
    unframed: bool,
    /// A button changed since the last frame: the next change needs a frame of its own.
    unframed_button: bool,
}

enum Stage {
    Handshake(EiHandshaker<'static>),
    Live(Box<EiEventConverter>),
}

/// The client end of one EIS connection.
pub struct EiSink {
    context: ei::Context,
    stage: Stage,
    place: Place,
    scrolling: Scrolling,
    /// What fingers have left below one unit of a wheel, by axis.
    rest: [f64; 2],
    relative: Option<Open>,
    absolute: Option<Open>,
    keyboard: Option<Open>,
    touch: Option<Open>,
    keys: Pressed,
    buttons: Pressed,
    touches: Touches,
    sequence: u32,
    keyboards_seen: u32,
    /// What the server tells of its keyboard.
    pub guest_keyboard: GuestKeyboard,
    /// The keyboard was resumed since this was last asked for.
    keyboard_renewed: bool,
    /// The absolute pointer was resumed since this was last asked for.
    absolute_renewed: bool,
    /// The socket took not all that was written.
    is_full: bool,
}

impl EiSink {
    /// Starts the handshake on a connected socket; `place` is where the stream lies.
    ///
    /// # Errors
    ///
    /// When the socket cannot be made non-blocking or written.
    pub fn new(socket: OwnedFd, place: Place, scrolling: Scrolling) -> Result<Self, EiError> {
        let context = ei::Context::new(UnixStream::from(socket))?;
        context.flush().or_else(would_block)?;
        Ok(Self {
            context,
            stage: Stage::Handshake(EiHandshaker::new("wolf-bridge", ContextType::Sender)),
            place,
            scrolling,
            rest: [0.0; 2],
            relative: None,
            absolute: None,
            keyboard: None,
            touch: None,
            keys: Pressed::default(),
            buttons: Pressed::default(),
            touches: Touches::default(),
            sequence: 0,
            keyboards_seen: 0,
            guest_keyboard: GuestKeyboard::default(),
            keyboard_renewed: false,
            absolute_renewed: false,
            is_full: false,
        })
    }

    /// Another handle to the connection, for the event loop to watch.
    pub fn context(&self) -> ei::Context {
        self.context.clone()
    }

    /// Reads and handles all that the server has sent.
    ///
    /// # Errors
    ///
    /// The connection is over then; nothing more can be sent.
    pub fn read(&mut self) -> Result<(), EiError> {
        // Until there is no more: an end that came right after data would not wake us again.
        let end = loop {
            match self.context.read() {
                Ok(0) => break None,
                Ok(_) => {}
                Err(error) => break Some(error),
            }
        };
        while let Some(result) = self.context.pending_event() {
            match result {
                PendingRequestResult::Request(event) => self.handle(event)?,
                PendingRequestResult::ParseError(error) => return Err(EiError::Protocol(error.to_string())),
                // An event for an object that was destroyed meanwhile.
                PendingRequestResult::InvalidObject(_) => {}
            }
        }
        match end {
            Some(error) => Err(error.into()),
            None => self.flush().map(drop),
        }
    }

    fn handle(&mut self, event: ei::Event) -> Result<(), EiError> {
        match &mut self.stage {
            Stage::Handshake(handshaker) => {
                let done = handshaker.handle_event(event).map_err(|error| EiError::Protocol(error.to_string()))?;
                if let Some(response) = done {
                    self.stage = Stage::Live(Box::new(EiEventConverter::new(&self.context, response)));
                }
                return Ok(());
            }
            Stage::Live(converter) => {
                converter.handle_event(event).map_err(|error| EiError::Protocol(error.to_string()))?;
            }
        }
        while let Stage::Live(converter) = &mut self.stage {
            let Some(event) = converter.next_event() else { break };
            self.event(event)?;
        }
        Ok(())
    }

    fn event(&mut self, event: EiEvent) -> Result<(), EiError> {
        match event {
            EiEvent::Disconnected(end) => {
                let why = end.explanation.unwrap_or_else(|| format!("{:?}", end.reason));
                return Err(EiError::Disconnected(why));
            }
            EiEvent::SeatAdded(added) => added.seat.bind_capabilities(
                DeviceCapability::Pointer
                    | DeviceCapability::PointerAbsolute
                    | DeviceCapability::Keyboard
                    | DeviceCapability::Touch
                    | DeviceCapability::Scroll
                    | DeviceCapability::Button,
            ),
            EiEvent::DeviceAdded(added) => self.added(added.device),
            EiEvent::DeviceRemoved(removed) => self.removed(&removed.device),
            EiEvent::DevicePaused(paused) => {
                debug!(device = ?paused.device, "input device paused");
                for open in self.places(&paused.device) {
                    open.resumed = false;
                    open.unframed = false;
                    open.unframed_button = false;
                }
                self.forget_held(&paused.device);
            }
            EiEvent::DeviceResumed(resumed) => self.resumed(&resumed.device),
            EiEvent::KeyboardModifiers(modifiers) => self.guest_keyboard.modifiers(&modifiers),
            _ => {}
        }
        Ok(())
    }

    fn added(&mut self, device: Device) {
        debug!(?device, regions = ?device.regions(), "input device added");
        // Servers with ei_device 3 wait for this; reis leaves it to us.
        if device.device().version() >= 3 {
            device.device().ready();
        }
        let settles = if device.has_capability(DeviceCapability::Keyboard) && self.keyboards_seen == 0 {
            self.keyboards_seen += 1;
            KEYBOARD_SETTLES
        } else {
            Duration::ZERO
        };
        if device.has_capability(DeviceCapability::Keyboard) {
            // One that was there is used no more: nothing may stay down on it.
            self.release_keys();
            self.guest_keyboard.added(&device);
        }
        let now = Instant::now();
        // gamescope has one device for everything.
        for (capability, place, ready_at) in [
            (DeviceCapability::PointerAbsolute, &mut self.absolute, now),
            (DeviceCapability::Pointer, &mut self.relative, now),
            (DeviceCapability::Keyboard, &mut self.keyboard, now + settles),
            (DeviceCapability::Touch, &mut self.touch, now),
        ] {
            if device.has_capability(capability) {
                *place = Some(Open {
                    device: device.clone(),
                    resumed: false,
                    ready_at,
                    unframed: false,
                    unframed_button: false,
                });
            }
        }
    }

    fn resumed(&mut self, device: &Device) {
        self.sequence = self.sequence.wrapping_add(1);
        let (sequence, serial) = (self.sequence, self.serial());
        let is_keyboard = self.keyboard.as_ref().is_some_and(|open| open.device == *device);
        let mut is_used = false;
        for open in self.places(device) {
            is_used = true;
            open.resumed = true;
        }
        if is_used {
            device.device().start_emulating(serial, sequence);
        }
        let now = Instant::now();
        // The settling time runs from the resume, not from the announcement.
        if let Some(keyboard) = self.keyboard.as_mut().filter(|open| is_keyboard && open.ready_at > now) {
            keyboard.ready_at = now + KEYBOARD_SETTLES;
        }
        self.absolute_renewed |= self.absolute.as_ref().is_some_and(|open| open.device == *device);
        self.keyboard_renewed |= is_keyboard;
    }

    /// Whether the keyboard came up, newly or again, since this was last called: nothing is down on it then.
    pub fn take_keyboard_renewed(&mut self) -> bool {
        std::mem::take(&mut self.keyboard_renewed)
    }

    /// Whether the absolute pointer came up, newly or again, since this was last called.
    pub fn take_absolute_renewed(&mut self) -> bool {
        std::mem::take(&mut self.absolute_renewed)
    }

    fn removed(&mut self, device: &Device) {
        debug!(?device, "input device removed");
        self.forget_held(device);
        for place in [&mut self.relative, &mut self.absolute, &mut self.keyboard, &mut self.touch] {
            if place.as_ref().is_some_and(|open| open.device == *device) {
                *place = None;
            }
        }
    }

    /// A paused or removed device holds nothing: the server has let go of it by itself.
    fn forget_held(&mut self, device: &Device) {
        let is = |place: &Option<Open>| place.as_ref().is_some_and(|open| open.device == *device);
        if is(&self.keyboard) {
            self.keys.clear();
        }
        if is(&self.touch) {
            self.touches.clear();
        }
        if is(&self.relative) || (self.relative.is_none() && is(&self.absolute)) {
            self.buttons.clear();
        }
    }

    /// All that this device is for.
    fn places<'a>(&'a mut self, device: &Device) -> impl Iterator<Item = &'a mut Open> {
        [&mut self.relative, &mut self.absolute, &mut self.keyboard, &mut self.touch]
            .into_iter()
            .flatten()
            .filter(move |open| open.device == *device)
    }

    fn serial(&self) -> u32 {
        match &self.stage {
            Stage::Live(converter) => converter.connection().serial(),
            Stage::Handshake(_) => 0,
        }
    }

    /// Whether the server reads more slowly than is written: what is sent now would wait without bound.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The devices that can take events at `now`.
    pub fn ready(&self, now: Instant) -> Ready {
        let up = |place: &Option<Open>| place.as_ref().is_some_and(|open| open.resumed && open.ready_at <= now);
        Ready {
            absolute: up(&self.absolute) && self.region(Need::Absolute).is_some(),
            relative: up(&self.relative) || (self.relative.is_none() && up(&self.absolute)),
            keyboard: up(&self.keyboard),
            touch: up(&self.touch) && self.region(Need::Touch).is_some(),
        }
    }

    /// When the keyboard will be ready, if that is a matter of time only.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        let open = self.keyboard.as_ref()?;
        (open.resumed && open.ready_at > now).then_some(open.ready_at)
    }

    /// The region that points of the window go to: the stream's own, as its [`Place`] tells.
    pub fn region(&self, need: Need) -> Option<Region> {
        let open = match need {
            Need::Touch => self.touch.as_ref(),
            _ => self.absolute.as_ref(),
        }?;
        self.place.region(open.device.regions().iter().map(|region| {
            let (x, y) = (region.x.into(), region.y.into());
            let (width, height) = (region.width.into(), region.height.into());
            (region.mapping_id.as_deref(), Region { x, y, width, height })
        }))
    }

    /// Sends one event; positions are already those of the guest's region. True when something went out.
    pub fn send(&mut self, event: InputEvent) -> bool {
        match event {
            InputEvent::Motion { x, y } => self.pointer(true, |device| {
                device.interface::<ei::PointerAbsolute>().map(|pointer| pointer.motion_absolute(x as f32, y as f32))
            }),
            InputEvent::RelativeMotion { dx, dy } => self.pointer(false, |device| {
                device.interface::<ei::Pointer>().map(|pointer| pointer.motion_relative(dx as f32, dy as f32))
            }),
            InputEvent::Button { code, pressed } => self.button(code, pressed),
            InputEvent::Wheel { axis, v120 } => match self.scrolling {
                Scrolling::Plain | Scrolling::Discrete => self.scroll_discrete(axis, v120),
                Scrolling::Mutter => self.scroll(axis, f64::from(v120) * UNITS_PER_NOTCH / 120.0),
            },
            InputEvent::Scroll { axis, delta } => match self.scrolling {
                Scrolling::Plain | Scrolling::Mutter => self.scroll(axis, delta),
                Scrolling::Discrete => {
                    let rest = &mut self.rest[axis as usize];
                    *rest += delta * 120.0 / UNITS_PER_NOTCH;
                    // The cast saturates: no finger is so fast.
                    let v120 = rest.trunc() as i32;
                    *rest -= f64::from(v120);
                    v120 != 0 && self.scroll_discrete(axis, v120)
                }
            },
            InputEvent::ScrollStop { axis } if self.scrolling == Scrolling::Discrete => {
                self.rest[axis as usize] = 0.0;
                false
            }
            InputEvent::ScrollStop { axis } => {
                // A stop must not be in one frame with the distance it follows.
                self.frame_pointers();
                let (x, y) = (u32::from(axis == Axis::Horizontal), u32::from(axis == Axis::Vertical));
                self.pointer(false, |device| device.interface::<ei::Scroll>().map(|scroll| scroll.scroll_stop(x, y, 0)))
            }
            InputEvent::PointerFrame => {
                self.frame_pointers();
                false
            }
            InputEvent::PointerLeave => self.release_buttons(),
            InputEvent::Key { code, pressed } => self.key(code, pressed),
            InputEvent::KeyboardLeave => self.release_keys(),
            InputEvent::TouchDown { id, x, y } => {
                let Some(slot) = self.touches.down(id) else { return false };
                self.touch(|touch| touch.down(slot, x as f32, y as f32))
            }
            InputEvent::TouchMotion { id, x, y } => {
                let Some(slot) = self.touches.slot(id) else { return false };
                self.touch(|touch| touch.motion(slot, x as f32, y as f32))
            }
            InputEvent::TouchUp { id } => {
                let Some(slot) = self.touches.up(id) else { return false };
                // A motion and an up of one finger in one frame are legal; a down and its up are not.
                self.frame_touch();
                self.touch(|touch| touch.up(slot))
            }
            InputEvent::TouchFrame => {
                self.frame_touch();
                false
            }
            InputEvent::TouchCancel => self.release_touches(),
        }
    }

    /// Sends on the absolute or the relative pointer, framing the other one first: order between devices
    /// is the order of their frames.
    fn pointer(&mut self, absolute: bool, request: impl FnOnce(&Device) -> Option<()>) -> bool {
        let serial = self.serial();
        let (this, other) = match absolute {
            true => (&mut self.absolute, &mut self.relative),
            false if self.relative.is_some() => (&mut self.relative, &mut self.absolute),
            false => (&mut self.absolute, &mut self.relative),
        };
        frame(other, serial);
        let Some(open) = this.as_mut().filter(|open| open.resumed) else { return false };
        let sent = request(&open.device).is_some();
        open.unframed |= sent;
        sent
    }

    fn button(&mut self, code: u32, pressed: bool) -> bool {
        if !(if pressed { self.buttons.press(code) } else { self.buttons.release(code) }) {
            return false;
        }
        let serial = self.serial();
        for place in [&mut self.relative, &mut self.absolute] {
            if place.as_ref().is_some_and(|open| open.unframed_button) {
                frame(place, serial);
            }
        }
        let state = if pressed { ButtonState::Press } else { ButtonState::Released };
        let sent =
            self.pointer(false, |device| device.interface::<ei::Button>().map(|button| button.button(code, state)));
        let place = if self.relative.is_some() { &mut self.relative } else { &mut self.absolute };
        if let Some(open) = place {
            open.unframed_button |= sent;
        }
        sent
    }

    fn scroll(&mut self, axis: Axis, delta: f64) -> bool {
        let (x, y) = if axis == Axis::Horizontal { (delta as f32, 0.0) } else { (0.0, delta as f32) };
        self.pointer(false, |device| device.interface::<ei::Scroll>().map(|scroll| scroll.scroll(x, y)))
    }

    fn scroll_discrete(&mut self, axis: Axis, v120: i32) -> bool {
        let (x, y) = if axis == Axis::Horizontal { (v120, 0) } else { (0, v120) };
        self.pointer(false, |device| device.interface::<ei::Scroll>().map(|scroll| scroll.scroll_discrete(x, y)))
    }

    /// A key and its frame at once: a press and its release in one frame would cancel out.
    fn key(&mut self, code: u32, pressed: bool) -> bool {
        if !(if pressed { self.keys.press(code) } else { self.keys.release(code) }) {
            return false;
        }
        let serial = self.serial();
        frame(&mut self.relative, serial);
        frame(&mut self.absolute, serial);
        let Some(open) = self.keyboard.as_mut().filter(|open| open.resumed) else { return false };
        let Some(keyboard) = open.device.interface::<ei::Keyboard>() else { return false };
        keyboard.key(code, if pressed { KeyState::Press } else { KeyState::Released });
        open.unframed = true;
        frame(&mut self.keyboard, serial);
        true
    }

    fn touch(&mut self, request: impl FnOnce(&ei::Touchscreen)) -> bool {
        let Some(open) = self.touch.as_mut().filter(|open| open.resumed) else { return false };
        let Some(touchscreen) = open.device.interface::<ei::Touchscreen>() else { return false };
        request(&touchscreen);
        open.unframed = true;
        true
    }

    fn frame_pointers(&mut self) {
        let serial = self.serial();
        frame(&mut self.absolute, serial);
        frame(&mut self.relative, serial);
    }

    fn frame_touch(&mut self) {
        let serial = self.serial();
        frame(&mut self.touch, serial);
    }

    fn release_buttons(&mut self) -> bool {
        let any = self.buttons.codes().filter(|code| self.button(*code, false)).count() > 0;
        self.frame_pointers();
        any
    }

    fn release_keys(&mut self) -> bool {
        self.keys.codes().filter(|code| self.key(*code, false)).count() > 0
    }

    /// Lets go of every finger: what they did so far is void where the server knows how to be told so.
    fn release_touches(&mut self) -> bool {
        // A down and its end in one frame are illegal.
        self.frame_touch();
        let mut any = false;
        while let Some(slot) = self.touches.pop() {
            any |= self.touch(|touch| if touch.version() >= 2 { touch.cancel(slot) } else { touch.up(slot) });
        }
        self.frame_touch();
        any
    }

    /// Releases everything that is held.
    pub fn release_all(&mut self) {
        self.release_buttons();
        self.release_keys();
        self.release_touches();
    }

    /// Writes what is buffered; false when the socket does not take all of it now, and the rest waits for it to become
    /// writable.
    ///
    /// # Errors
    ///
    /// When the connection is over.
    pub fn flush(&mut self) -> Result<bool, EiError> {
        self.is_full = match self.context.flush() {
            Ok(()) => false,
            Err(rustix::io::Errno::AGAIN) => true,
            Err(errno) => return Err(errno.into()),
        };
        Ok(!self.is_full)
    }
}

impl AsFd for EiSink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.context.as_fd()
    }
}

fn frame(place: &mut Option<Open>, serial: u32) {
    if let Some(open) = place.as_mut().filter(|open| open.unframed) {
        open.device.device().frame(serial, monotonic_us());
        open.unframed = false;
        open.unframed_button = false;
    }
}

fn would_block(errno: rustix::io::Errno) -> rustix::io::Result<()> {
    if errno == rustix::io::Errno::AGAIN { Ok(()) } else { Err(errno) }
}

/// CLOCK_MONOTONIC in µs, the clock of ei_device.frame.
fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}
