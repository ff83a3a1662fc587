//! The guest's input by zwlr_virtual_pointer_v1 and zwp_virtual_keyboard_v1: a client of a wlroots compositor's own socket.
//! Decides nothing about order or waiting; it says whether it is ready and sends what it is given. `wlr_devices` makes
//! the devices, over several turns of the loop: nothing here waits.
//!
//! Protocols: wlr-virtual-pointer-unstable-v1, virtual-keyboard-unstable-v1. What wlroots makes of them is noted where it
//! matters.

use std::os::unix::net::UnixStream;
use std::rc::Rc;

use thiserror::Error;
use tracing::info;
use wayland_client::backend::WaylandError;
use wayland_client::protocol::wl_pointer::{self, AxisSource, ButtonState};
use wayland_client::{Connection, EventQueue};

use crate::input::event::{Axis, InputEvent};
use crate::input::geometry::Region;
use crate::input::held::Pressed;
use crate::input::keymap::Keymap;
use crate::input::locks::Locks;
use crate::input::scroll::Notches;
use crate::input::wlr_devices::{Answer, Compositor, Devices, Pointer, Setup};

/// So many steps has a stream's pixel: motion_absolute takes whole numbers of any extent, wl_fixed has as many.
const STEPS: f64 = 256.0;

/// What a notch scrolls in wl_pointer.axis's units: a wheel's 15 degrees, as from libinput.
const NOTCH: f64 = 15.0;

/// So many requests may be written before the socket is asked whether it takes them. The library's buffer has room for
/// some hundred, and a connection whose buffer runs over is lost.
const ENOUGH: u32 = 32;

/// Why the connection to the guest's compositor ended.
#[derive(Debug, Error)]
pub enum WlrError {
    /// Reading or writing the socket failed: most often, the compositor has ended.
    #[error("the guest's compositor went away ({0})")]
    Gone(String),
    /// It found fault with a request.
    #[error("the guest's compositor refused its input: {0}")]
    Refused(String),
}

/// How far the connection has come.
enum Stage {
    /// The compositor is being asked what it has.
    Setup(Setup),
    /// These are the devices that there are.
    Ready(Devices),
}

/// The client end of one connection.
pub struct WlrSink {
    connection: Connection,
    queue: EventQueue<Compositor>,
    compositor: Compositor,
    stage: Stage,
    /// The layout that was asked for, and its group; the guest's own otherwise.
    layout: Option<(Rc<Keymap>, u32)>,
    keys: Pressed,
    buttons: Pressed,
    notches: Notches,
    /// Something was sent since the pointer's last frame.
    unframed: bool,
    /// It was said that fingers go nowhere.
    touch_told: bool,
    /// Lock keys have changed since they were last asked for.
    locks: Option<Locks>,
    /// Requests since the last flush.
    unflushed: u32,
    /// The socket took not all that was written.
    is_full: bool,
    /// The compositor is to say that it has handled everything: so many answers are missing.
    goodbyes: u32,
}

impl WlrSink {
    /// Begins on a connected socket. Absolute positions go to the output of that name, or to the guest's first.
    ///
    /// # Errors
    ///
    /// When the socket cannot be used.
    pub fn new(socket: UnixStream, output: Option<String>) -> Result<Self, WlrError> {
        let connection = Connection::from_socket(socket).map_err(|error| WlrError::Gone(error.to_string()))?;
        let queue = connection.new_event_queue();
        let setup = Setup::begin(&connection, &queue.handle(), output);
        let mut sink = Self {
            connection,
            queue,
            compositor: Compositor::default(),
            stage: Stage::Setup(setup),
            layout: None,
            keys: Pressed::default(),
            buttons: Pressed::default(),
            notches: Notches::default(),
            unframed: false,
            touch_told: false,
            locks: None,
            unflushed: 0,
            is_full: false,
            goodbyes: 0,
        };
        sink.flush()?;
        Ok(sink)
    }

    /// Another handle to the connection, for the event loop to watch.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// Reads and handles all that the compositor has sent.
    ///
    /// # Errors
    ///
    /// The connection is over then; nothing more can be sent.
    pub fn read(&mut self) -> Result<(), WlrError> {
        // One read takes all that there is.
        let read = self.connection.prepare_read().map_or(Ok(0), |guard| guard.read());
        // What came before an end says why.
        let dispatched = self.queue.dispatch_pending(&mut self.compositor);
        match read {
            Ok(_) => {}
            Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(self.lost(&error)),
        }
        dispatched.map_err(|error| self.lost(&error))?;
        if let Stage::Setup(setup) = &mut self.stage {
            let queue = self.queue.handle();
            if let Some(mut devices) = setup.advance(&mut self.compositor, &self.connection, &queue) {
                if let (Some(keyboard), Some((keymap, group))) = (&mut devices.keyboard, &self.layout) {
                    keyboard.set_keymap(keymap, *group);
                }
                self.locks = devices.keyboard.as_mut().map(|keyboard| keyboard.locks());
                self.stage = Stage::Ready(devices);
            }
        }
        self.flush().map(drop)
    }

    fn lost(&self, error: &dyn std::fmt::Display) -> WlrError {
        match self.connection.protocol_error() {
            Some(protocol) => {
                WlrError::Refused(format!("{} on {}: {}", protocol.code, protocol.object_interface, protocol.message))
            }
            None => WlrError::Gone(error.to_string()),
        }
    }

    /// Whether events can be sent.
    pub fn is_ready(&self) -> bool {
        matches!(self.stage, Stage::Ready(_))
    }

    /// Whether the compositor reads more slowly than is written: what is sent now would wait without bound.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Types in this layout from now on, beginning with this group; what is down is released before.
    pub fn set_layout(&mut self, keymap: &Rc<Keymap>, group: u32) {
        self.release_keys();
        if let Stage::Ready(Devices { keyboard: Some(keyboard), .. }) = &mut self.stage {
            keyboard.set_keymap(keymap, group);
            self.locks = Some(keyboard.locks());
            self.unflushed += 2;
        }
        self.layout = Some((Rc::clone(keymap), group));
    }

    /// Types in this group of the layout that was asked for.
    pub fn set_group(&mut self, group: u32) {
        let Some((_, current)) = &mut self.layout else { return };
        *current = group;
        if let Stage::Ready(Devices { keyboard: Some(keyboard), .. }) = &mut self.stage {
            keyboard.set_group(group);
            self.unflushed += 1;
        }
    }

    /// The evdev codes of the keys that lock; `None` without a keyboard.
    pub fn lock_keys(&self) -> Option<[Option<u32>; crate::input::locks::LOCKS.len()]> {
        match &self.stage {
            Stage::Ready(Devices { keyboard: Some(keyboard), .. }) => Some(keyboard.lock_keys()),
            _ => None,
        }
    }

    /// How the guest's lock keys are, if that has changed since this was last asked: they are this keyboard's.
    pub fn take_locks(&mut self) -> Option<Locks> {
        self.locks.take()
    }

    /// Sends one event; positions are already pixels of `output`, which is the part of the stream that the guest's output
    /// is. True when something went out.
    pub fn send(&mut self, event: InputEvent, output: Option<Region>) -> bool {
        let sent = match event {
            InputEvent::Motion { x, y } => self.motion_absolute(x, y, output),
            InputEvent::RelativeMotion { dx, dy } => {
                self.pointer(|devices, time| devices.pointer.as_ref().map(|pointer| pointer.motion(time, dx, dy)))
            }
            InputEvent::Button { code, pressed } => self.button(code, pressed),
            InputEvent::Wheel { axis, v120 } => match self.notches.add(axis, v120) {
                // The protocol knows whole notches only.
                0 => false,
                notches => self.axis(AxisSource::Wheel, |pointer, time| {
                    pointer.axis_discrete(time, wayland(axis), NOTCH * f64::from(notches), notches);
                }),
            },
            InputEvent::Scroll { axis, delta } => {
                self.axis(AxisSource::Finger, |pointer, time| pointer.axis(time, wayland(axis), delta))
            }
            InputEvent::ScrollStop { axis } => {
                // wlroots has room for one event of an axis in a frame: a stop would replace the distance before it.
                self.frame();
                self.axis(AxisSource::Finger, |pointer, time| pointer.axis_stop(time, wayland(axis)))
            }
            InputEvent::PointerFrame => {
                self.frame();
                false
            }
            InputEvent::PointerLeave => self.release_buttons(),
            InputEvent::Key { code, pressed } => self.key(code, pressed),
            InputEvent::KeyboardLeave => self.release_keys(),
            InputEvent::TouchDown { .. } => {
                if !std::mem::replace(&mut self.touch_told, true) {
                    info!("touch goes nowhere: wlroots has no protocol for it");
                }
                false
            }
            InputEvent::TouchMotion { .. }
            | InputEvent::TouchUp { .. }
            | InputEvent::TouchFrame
            | InputEvent::TouchCancel => false,
        };
        if self.unflushed >= ENOUGH {
            // A connection that is over says so again when it is read.
            let _ = self.flush();
        }
        sent
    }

    fn motion_absolute(&mut self, x: f64, y: f64, output: Option<Region>) -> bool {
        let Some(output) = output else { return false };
        let steps = |length: f64| (length * STEPS).round() as u32;
        let (x, y) = (steps(x - output.x), steps(y - output.y));
        let (width, height) = (steps(output.width), steps(output.height));
        self.pointer(|devices, time| {
            devices.pointer.as_ref().map(|pointer| pointer.motion_absolute(time, x, y, width, height))
        })
    }

    /// Sends on the pointer; what it is given is the time.
    fn pointer(&mut self, request: impl FnOnce(&Devices, u32) -> Option<()>) -> bool {
        let Stage::Ready(devices) = &self.stage else { return false };
        let sent = request(devices, monotonic_ms()).is_some();
        self.unframed |= sent;
        self.unflushed += u32::from(sent);
        sent
    }

    fn button(&mut self, code: u32, pressed: bool) -> bool {
        if !(if pressed { self.buttons.press(code) } else { self.buttons.release(code) }) {
            return false;
        }
        let state = if pressed { ButtonState::Pressed } else { ButtonState::Released };
        self.pointer(|devices, time| devices.pointer.as_ref().map(|pointer| pointer.button(time, code, state)))
    }

    /// A scroll of one axis. The source comes after: wlroots notes it for the axis that was named last.
    fn axis(&mut self, source: AxisSource, scroll: impl FnOnce(&Pointer, u32)) -> bool {
        self.pointer(|devices, time| {
            let pointer = devices.pointer.as_ref()?;
            scroll(pointer, time);
            pointer.axis_source(source);
            Some(())
        })
    }

    fn frame(&mut self) {
        let Stage::Ready(Devices { pointer: Some(pointer), .. }) = &self.stage else { return };
        if std::mem::take(&mut self.unframed) {
            pointer.frame();
            self.unflushed += 1;
        }
    }

    fn key(&mut self, code: u32, pressed: bool) -> bool {
        if !(if pressed { self.keys.press(code) } else { self.keys.release(code) }) {
            return false;
        }
        // A click before a key stays before it.
        self.frame();
        let Stage::Ready(Devices { keyboard: Some(keyboard), .. }) = &mut self.stage else { return false };
        if keyboard.key(monotonic_ms(), code, pressed) {
            self.locks = Some(keyboard.locks());
        }
        self.unflushed += 2;
        true
    }

    fn release_buttons(&mut self) -> bool {
        let any = self.buttons.codes().filter(|code| self.button(*code, false)).count() > 0;
        self.frame();
        any
    }

    fn release_keys(&mut self) -> bool {
        self.keys.codes().filter(|code| self.key(*code, false)).count() > 0
    }

    /// Releases everything that is held, and asks the compositor to say when it has.
    pub fn release_all(&mut self) {
        self.release_buttons();
        self.release_keys();
        // A compositor that sees the connection end drops what it has not read of it.
        self.connection.display().sync(&self.queue.handle(), Answer::Goodbye);
        self.goodbyes += 1;
    }

    /// Whether the compositor has said so.
    pub fn is_idle(&self) -> bool {
        self.goodbyes <= self.compositor.goodbyes
    }

    /// Writes what is buffered; false when the socket does not take all of it now, and the rest waits for it to become
    /// writable.
    ///
    /// # Errors
    ///
    /// When the connection is over.
    pub fn flush(&mut self) -> Result<bool, WlrError> {
        self.is_full = match self.connection.flush() {
            Ok(()) => false,
            Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => true,
            Err(error) => return Err(self.lost(&error)),
        };
        self.unflushed = 0;
        Ok(!self.is_full)
    }
}

fn wayland(axis: Axis) -> wl_pointer::Axis {
    match axis {
        Axis::Vertical => wl_pointer::Axis::VerticalScroll,
        Axis::Horizontal => wl_pointer::Axis::HorizontalScroll,
    }
}

/// CLOCK_MONOTONIC in ms, as wl_pointer's and wl_keyboard's events have it.
fn monotonic_ms() -> u32 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    (now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000) as u32
}
