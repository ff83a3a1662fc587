//! The guest's side of a session: one file per kind of desktop, each yields a [`Session`].
//! Nothing here knows of the host, of frames or of events; it only opens the ways to the guest.

use std::os::fd::OwnedFd;

use futures_util::future::AbortHandle;
use thiserror::Error;

use crate::clipboard::GuestClipboard;
use crate::clipboard::asks::Asks;
use crate::guest::keymaps::Keymaps;
use crate::input::locks::Locks;
use crate::input::notify::Calls;

pub mod backoff;
pub mod keymaps;
pub mod mutter;

/// How input reaches the guest.
#[derive(Debug)]
pub enum InputRoute {
    /// A connected EIS socket, and calls beside it for what EIS has no word for.
    Eis(OwnedFd, Calls),
    /// Calls that a task of the session sends.
    Notify(Calls),
    /// No way.
    None,
}

/// One screencast and input connection to a guest. It ends when it is dropped.
#[derive(Debug)]
pub struct Session {
    /// The PipeWire node that carries the frames.
    pub node: u32,
    /// The name of the stream's region in the input protocol.
    pub mapping_id: Option<String>,
    /// How input gets in; taken out by whoever sends.
    pub input: InputRoute,
    /// Keyboard layouts for the guest, if it is to have others than its own.
    pub keymaps: Keymaps,
    /// The way to its clipboard, if there is one and it is wanted.
    pub clipboard: Option<Asks>,
    /// What the guest is, for the log.
    pub description: String,
    /// The DRM nodes that the desktop has open; empty when that cannot be seen.
    pub devices: Vec<u64>,
    /// Whether the stream's size follows what is asked for.
    pub resizable: bool,
    /// Whether damage is told in the stream's pixels on any monitor. Mutter before 50 tells it in logical pixels of
    /// the whole desktop, which are the same only on a monitor of scale 1 at its top left.
    pub damage_in_pixels: bool,
    /// Stops the tasks that keep the session alive.
    pub guard: TaskGuard,
}

/// Stops a task when dropped.
#[derive(Debug)]
pub struct TaskGuard(pub AbortHandle);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a guest's tasks report. The number tells sessions apart: one that was replaced may still speak.
#[derive(Debug)]
pub enum SessionEvent {
    /// The session is there.
    Made(u64, Box<Session>),
    /// How the guest's lock keys are, where its input protocol does not tell.
    Locks(u64, Locks),
    /// A layout that was asked for is the guest's now, or was refused.
    LayoutAnswered(u64),
    /// It could not be made.
    Failed(u64, GuestError),
    /// Somebody copied or pastes something there.
    Clipboard(u64, GuestClipboard),
    /// It was there and ended.
    Closed(u64, String),
}

/// Why there is no session, with the next thing to do.
#[derive(Debug, Error)]
pub enum GuestError {
    /// The session bus is not there.
    #[error(
        "no session bus at {address} ({why}); start the guest inside dbus-run-session and set DBUS_SESSION_BUS_ADDRESS"
    )]
    NoBus {
        /// Where it was looked for.
        address: String,
        /// What the connection said.
        why: String,
    },
    /// Nobody owns Mutter's name.
    #[error(
        "no GNOME Shell on the session bus; start `gnome-shell --headless --wayland --no-x11` in the guest's session"
    )]
    NoMutter,
    /// A call failed.
    #[error("Mutter refused {call} ({why}); gnome-shell's log says more")]
    Refused {
        /// The method.
        call: &'static str,
        /// The error's text.
        why: String,
    },
    /// There is no such monitor, or it cannot be recorded.
    #[error(
        "Mutter does not show the monitor {connector} ({why}); leave --monitor out, or name one that the guest has"
    )]
    NoMonitor {
        /// The name that was given.
        connector: String,
        /// The error's text.
        why: String,
    },
    /// A call was never answered.
    #[error("Mutter did not answer within {0} s; is gnome-shell frozen?")]
    Silent(u64),
    /// PipeWire cannot be used.
    #[error("{0}")]
    Video(String),
    /// The session ended.
    #[error("{0}")]
    Ended(String),
}
