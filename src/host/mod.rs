//! The outside: a Wayland client of the compositor that Wolf (or anybody) runs.
//! [`connect`] gets in, [`answer`] waits for it to answer meanwhile, [`window`] is the one toplevel, [`feedback`] what
//! buffers the host takes, [`buffers`] turns guest memory into wl_buffers, [`seat`] and `keyboard` read input,
//! `pointer` locks the host's pointer, `clipboard` tells and owns its selection,
//! `sync` hands timelines on, `timing` the answers to commits, `cursor` and `overlay` show the guest's pointer. Nothing here knows of the guest.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use smithay_client_toolkit::compositor::CompositorState;
use smithay_client_toolkit::output::OutputState;
use smithay_client_toolkit::registry::RegistryState;
use smithay_client_toolkit::shell::xdg::XdgShell;
use smithay_client_toolkit::shm::Shm;
use wayland_client::backend::{ReadEventsGuard, WaylandError};
use wayland_client::{Connection, Proxy, QueueHandle};
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_manager_v1::WpFractionalScaleManagerV1;
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_pointer_constraints_v1::ZwpPointerConstraintsV1;
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;

use crate::clipboard::HostClipboard;
use crate::host::buffers::Buffers;
use crate::host::clipboard::Clipboard;
use crate::host::cursor::Cursors;
use crate::host::feedback::Feedback;
use crate::host::overlay::Overlay;
use crate::host::seat::Seat;
use crate::host::size::WindowSize;
use crate::host::sync::Sync;
use crate::host::timing::Timing;
use crate::host::window::Toplevel;
use crate::input::event::InputEvent;
use crate::input::keymap::Keymap;
use crate::input::locks::Locks;
use crate::options::Fallback;
use crate::video::frame::{BufferId, Negotiated};
use crate::video::negotiation::HostFormats;

pub mod answer;
pub mod buffers;
mod clipboard;
pub mod connect;
mod cursor;
mod dispatch;
pub mod feedback;
pub mod gpu;
mod keyboard;
mod overlay;
pub mod pointer;
pub mod seat;
pub mod size;
mod sync;
mod timing;
pub mod window;

/// What the host did, in order.
#[derive(Debug)]
pub enum HostEvent {
    /// The window has this size and rate from now on.
    Resized(WindowSize),
    /// The host asks the window to close.
    CloseRequested,
    /// A commit was answered: the host wants the next frame.
    FrameDone,
    /// This commit was on the screen.
    Presented {
        /// Its number, see [`Host::last_commit`].
        commit: u64,
        /// When: CLOCK_MONOTONIC, ns; `None` when the host goes by another clock.
        at: Option<i64>,
    },
    /// The host no longer reads this guest buffer.
    Released(BufferId),
    /// The host took the DMA-BUF of this buffer.
    Imported(BufferId),
    /// The host refused the DMA-BUF of this buffer, which was of this kind.
    ImportRefused(BufferId, Negotiated),
    /// The host takes no timelines any more.
    SyncLost,
    /// What the host takes has changed.
    FormatsChanged,
    /// The host has stopped or begun to answer for DMA-BUFs.
    AnswersChanged,
    /// The host has locked its pointer, or let it go.
    Locked(bool),
    /// Somebody did something.
    Input(InputEvent),
    /// The host's lock keys, told to the window that has the keyboard.
    Locks(Locks),
    /// The host has another keymap.
    Keymap(Rc<Keymap>),
    /// Another layout of it, from 0.
    Group(u32),
    /// Somebody copied or pastes something.
    Clipboard(HostClipboard),
}

/// Globals that are used when they are there.
#[derive(Debug, Default)]
struct Extras {
    dmabuf: Option<ZwpLinuxDmabufV1>,
    viewporter: Option<WpViewporter>,
    fractional_scale: Option<WpFractionalScaleManagerV1>,
    relative_pointer: Option<ZwpRelativePointerManagerV1>,
    constraints: Option<ZwpPointerConstraintsV1>,
}

/// The connection to the host and all that lives on it.
pub struct Host {
    connection: Connection,
    queue: QueueHandle<Host>,
    registry: RegistryState,
    outputs: OutputState,
    compositor: CompositorState,
    xdg: XdgShell,
    shm: Shm,
    extras: Extras,
    feedback: Feedback,
    timing: Timing,
    buffers: Buffers,
    sync: Sync,
    window: Option<Toplevel>,
    seats: Vec<Seat>,
    clipboard: Clipboard,
    cursors: Cursors,
    overlay: Overlay,
    /// Where shortcuts are asked for, with `--grab`.
    inhibit: Option<ZwpKeyboardShortcutsInhibitManagerV1>,
    /// What was wrong with the last bad keymap.
    bad_keymap: Option<String>,
    /// Pointers are to be locked.
    lock_wanted: bool,
    events: VecDeque<HostEvent>,
    wants_fullscreen: bool,
    windowed: Option<(u32, u32)>,
    fallback: Fallback,
}

/// User data of objects that have no events, or none that matter.
#[derive(Clone, Copy, Debug)]
struct Quiet;

/// The connection's socket, to be watched for reading.
impl AsFd for Host {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl Host {
    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<HostEvent> {
        self.events.pop_front()
    }

    /// Reads what the host sent into the queue that [`connect`](Self::connect) gave, without waiting.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub fn read(&self) -> Result<(), String> {
        match self.connection.prepare_read().map_or(Ok(0), ReadEventsGuard::read) {
            Ok(_) => Ok(()),
            Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// What buffers the host takes.
    pub fn formats(&self) -> HostFormats {
        HostFormats {
            dmabuf: self.feedback.formats().to_vec(),
            tranche_ends: self.feedback.tranche_ends().to_vec(),
            silent: !self.answers_imports(),
            elsewhere: false,
            shm: self.shm_formats(),
        }
    }

    /// The dev_t of the device that the host composes on; `None` when it does not say.
    pub fn main_device(&self) -> Option<u64> {
        self.feedback.main_device()
    }

    fn shm_formats(&self) -> Vec<crate::video::format::PixelFormat> {
        let listed = |format: &crate::video::format::PixelFormat| {
            self.shm.formats().iter().any(|code| *code as u32 == format.shm())
        };
        crate::video::format::ALL.into_iter().filter(listed).collect()
    }

    /// Sends what is buffered; false when the host does not take it now.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub fn flush(&self) -> Result<bool, String> {
        match self.connection.flush() {
            Ok(()) => Ok(true),
            Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// One line about why the connection ended.
    pub fn lost(&self, error: &dyn std::fmt::Display) -> String {
        match self.connection.protocol_error() {
            Some(protocol) => format!(
                "the host ended the connection: {} on {}@{}: {}; this is a bug of one of the two, please report it",
                protocol.code, protocol.object_interface, protocol.object_id, protocol.message
            ),
            None => format!("the host went away ({error}); start the bridge again when it is back"),
        }
    }

    /// The host's window.
    pub fn window(&mut self) -> Option<&mut Toplevel> {
        self.window.as_mut()
    }

    fn alive<P: Proxy>(proxy: &Option<P>) -> bool {
        proxy.as_ref().is_some_and(Proxy::is_alive)
    }
}
