//! The guest's side of a session: one file per kind of desktop, each yields a [`Session`].
//! Nothing here knows of the host, of frames or of events; it only opens the ways to the guest.
//!
//! Another kind is a file, a [`Kind`], and its line in [`start`]: it makes a session, tells the [`Reporter`] of it, and
//! ends with the session.

use std::fmt;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use futures_util::future::{AbortHandle, AbortRegistration, Abortable, Aborted};
use thiserror::Error;

use crate::clipboard::GuestClipboard;
use crate::clipboard::asks::Asks;
use crate::guest::bus::Bus;
use crate::guest::keymaps::Keymaps;
use crate::guest::latest::Latest;
use crate::guest::wlroots::outputs::Mode;
use crate::input::ei::Scrolling;
use crate::input::locks::Locks;
use crate::input::notify::Calls;
use crate::input::place::Place;
use crate::options::CursorMode;
use crate::video::target::Target;

pub mod backoff;
pub mod bus;
mod clipboard;
mod detect;
pub mod eis_socket;
mod gamescope;
pub mod keymaps;
pub mod latest;
pub mod mutter;
mod node;
pub mod portal;
mod unix;
pub mod wlroots;

/// What the guest is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// What is there; the log says which, and why
    #[default]
    Auto,
    /// GNOME, by its own interfaces: a monitor of the window's size, every kind of input, the clipboard, layouts
    Mutter,
    /// Any desktop with a portal for remote desktops (KDE Plasma, GNOME …): a person, or a setting, has to allow it once
    Portal,
    /// sway and others of wlroots: the picture by the screencast portal, input and the clipboard by --guest-socket
    Wlroots,
    /// gamescope: its PipeWire node, and input by --eis-socket or LIBEI_SOCKET
    Gamescope,
    /// The PipeWire node that --node says; to be looked at only, unless there is an --eis-socket
    Node,
}

impl Kind {
    /// So long it may take until there is a session, and why there is none then.
    pub fn patience(self) -> Patience {
        let why = match self {
            Self::Auto => "it does not answer on the session bus; is gnome-shell frozen?",
            Self::Mutter => "Mutter does not answer on the session bus; is gnome-shell frozen?",
            Self::Portal | Self::Wlroots => "the desktop portal does not answer on the session bus; is it frozen?",
            Self::Gamescope => "gamescope does not answer, or its PipeWire; is it frozen?",
            Self::Node => "the guest's PipeWire does not answer, or its EIS server; is it frozen?",
        };
        Patience { limit: Duration::from_secs(15), why: why.to_owned() }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Auto => "auto",
            Self::Mutter => "mutter",
            Self::Portal => "portal",
            Self::Wlroots => "wlroots",
            Self::Gamescope => "gamescope",
            Self::Node => "node",
        })
    }
}

/// How long something may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// So long from when this was said.
    pub limit: Duration,
    /// What is wrong when it takes longer, and what to do then.
    pub why: String,
}

/// What is wished of a guest. Each kind heeds what it can.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// A monitor that the guest has, by its connector, instead of one of the window's size.
    pub monitor: Option<String>,
    /// Where its pointer is to be drawn.
    pub cursor: CursorMode,
    /// Whether its clipboard is wanted.
    pub clipboard: bool,
    /// Its Wayland socket.
    pub socket: Option<PathBuf>,
    /// Its EIS socket, as given; LIBEI_SOCKET is not in here.
    pub eis: Option<PathBuf>,
    /// Its PipeWire node, by name or serial.
    pub node: Option<String>,
}

/// How input reaches the guest.
#[derive(Debug)]
pub enum InputRoute {
    /// An EIS server.
    Eis {
        /// Connected.
        socket: OwnedFd,
        /// What its scroll events mean.
        scrolling: Scrolling,
        /// Calls beside it, where it has no word for fingers that scroll.
        fingers: Option<Calls>,
    },
    /// Calls that a task of the session sends.
    Notify(Calls),
    /// A connection to the guest's own Wayland socket, whose compositor lets clients type and point.
    Wlr {
        /// Connected, and not blocking.
        socket: UnixStream,
        /// The output that is shown, by its name, where the guest has others.
        output: Option<String>,
    },
    /// No way.
    None,
}

/// What is likely wrong where a guest sends no picture.
pub const SILENCE: &str = "it sends no picture; is its session locked or frozen?";

/// One screencast and input connection to a guest. It ends when it is dropped.
#[derive(Debug)]
pub struct Session {
    /// The PipeWire node that carries the frames.
    pub node: Target,
    /// The connection to PipeWire on which the node is seen, for one stream; without it, the one that the environment says.
    pub remote: Option<OwnedFd>,
    /// Where the stream lies on the desktop.
    pub place: Place,
    /// How input gets in; taken out by whoever sends.
    pub input: InputRoute,
    /// Keyboard layouts for the guest, if it takes others than its own.
    pub keymaps: Option<Keymaps>,
    /// The way to its clipboard, if there is one and it is wanted.
    pub clipboard: Option<Asks>,
    /// What the guest is, for the log.
    pub description: String,
    /// The DRM nodes that the desktop has open; empty when that cannot be seen.
    pub devices: Vec<u64>,
    /// Whether the stream's size follows what is asked for.
    pub resizable: bool,
    /// Whether its first picture may be lost, so that a desktop at rest shows none: another session brings another.
    pub may_lose_first: bool,
    /// The way to give its output the window's size and rate, where the stream's follow those.
    pub output: Option<Latest<Mode>>,
    /// Whether damage is told in the stream's pixels on any monitor. Mutter before 50 tells it in logical pixels of
    /// the whole desktop, which are the same only on a monitor of scale 1 at its top left.
    pub damage_in_pixels: bool,
    /// Whether its pictures, or what comes beside them, show its pointer at all.
    pub shows_pointer: bool,
    /// What is wrong where it sends no picture.
    pub silence: &'static str,
    /// Stops the tasks that keep the session alive.
    pub guard: TaskGuard,
}

impl Session {
    /// One that shows this node and can do nothing else, to be filled with what the guest can.
    pub fn of(node: Target, description: String, guard: TaskGuard) -> Self {
        Self {
            node,
            remote: None,
            place: Place::default(),
            input: InputRoute::None,
            keymaps: None,
            clipboard: None,
            description,
            devices: Vec::new(),
            resizable: false,
            may_lose_first: false,
            output: None,
            damage_in_pixels: true,
            shows_pointer: true,
            silence: SILENCE,
            guard,
        }
    }
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
    /// This kind of guest is there, and that is why it was taken.
    Found(u64, Kind, String),
    /// The session is not there yet, and this is under way.
    Waits(u64, Patience),
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

/// Where the tasks of one session report; it may be cloned for each of them.
#[derive(Clone)]
pub struct Reporter<'a> {
    number: u64,
    report: &'a dyn Fn(SessionEvent),
}

impl Reporter<'_> {
    /// This kind of guest was found, for this reason.
    pub fn found(&self, kind: Kind, why: String) {
        (self.report)(SessionEvent::Found(self.number, kind, why));
    }

    /// What comes next takes its time: a person has to agree, say.
    pub fn waits(&self, patience: Patience) {
        (self.report)(SessionEvent::Waits(self.number, patience));
    }

    /// The session is there.
    pub fn made(&self, session: Session) {
        (self.report)(SessionEvent::Made(self.number, Box::new(session)));
    }

    /// The guest's lock keys are like this.
    pub fn locks(&self, locks: Locks) {
        (self.report)(SessionEvent::Locks(self.number, locks));
    }

    /// The guest has taken a layout, or refused it.
    pub fn layout_answered(&self) {
        (self.report)(SessionEvent::LayoutAnswered(self.number));
    }

    /// Something happened to its clipboard.
    pub fn clipboard(&self, event: GuestClipboard) {
        (self.report)(SessionEvent::Clipboard(self.number, event));
    }
}

/// Makes a session with a guest of this kind, reports it, keeps it alive and reports its end, unless `stop` says to give up
/// before there is one. Runs on the bridge's own loop; events are reported as they happen, on its thread.
///
/// Dropping the session's guard ends the session.
pub async fn start(
    kind: Kind,
    number: u64,
    wishes: Wishes,
    stop: AbortRegistration,
    report: impl Fn(SessionEvent) + 'static,
) {
    let mut bus = Bus::default();
    let reporter = Reporter { number, report: &report };
    match Abortable::new(session(kind, &wishes, &mut bus, &reporter), stop).await {
        Ok(Ok(why)) => report(SessionEvent::Closed(number, why)),
        Ok(Err(error)) => report(SessionEvent::Failed(number, error)),
        Err(Aborted) => {}
    }
    bus.leave().await;
}

/// One session from its beginning to its end; why it ended.
async fn session(kind: Kind, wishes: &Wishes, bus: &mut Bus, reporter: &Reporter<'_>) -> Result<String, GuestError> {
    match kind {
        Kind::Auto => {
            let (found, why) = detect::find(wishes, bus).await?;
            reporter.found(found, why);
            Box::pin(session(found, wishes, bus, reporter)).await
        }
        Kind::Mutter => bus.run(async |bus| mutter::session(bus, wishes, reporter).await).await,
        Kind::Gamescope => gamescope::session(wishes, reporter).await,
        Kind::Node => node::session(wishes, reporter).await,
        Kind::Portal => bus.run(async |bus| portal::session(bus, wishes, reporter).await).await,
        Kind::Wlroots => bus.run(async |bus| wlroots::session(bus, wishes, reporter).await).await,
    }
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
    #[error("{who} refused {call} ({why}); {next}")]
    Refused {
        /// Whom it was made to.
        who: &'static str,
        /// The method.
        call: &'static str,
        /// The error's text.
        why: String,
        /// What to do.
        next: &'static str,
    },
    /// There is no such monitor, or it cannot be recorded.
    #[error(
        "the guest does not show the monitor {connector} ({why}); leave --monitor out, or name one that the guest has"
    )]
    NoMonitor {
        /// The name that was given.
        connector: String,
        /// The error's text.
        why: String,
    },
    /// PipeWire cannot be used.
    #[error("{0}")]
    Video(String),
    /// Nothing that is known as a guest was found; what is the matter with the most common one.
    #[error("{0}; looked in vain for gamescope and for a desktop portal, too (--guest names any other)")]
    Nothing(Box<GuestError>),
    /// No such node.
    #[error("no PipeWire node {wanted} (there are {there}); start what makes it, or name another with --node")]
    NoNode {
        /// The name or serial.
        wanted: String,
        /// What could be shown.
        there: String,
    },
    /// Several of them.
    #[error("several PipeWire nodes are called {wanted}; say which by its serial: --guest {kind} --node {serials}")]
    ManyNodes {
        /// What was looked for.
        kind: Kind,
        /// Their name.
        wanted: String,
        /// Their serials.
        serials: String,
    },
    /// The node is of another kind.
    #[error("the PipeWire node {wanted} has no pictures (it is {class}); name another with --node")]
    NoPictures {
        /// The name or serial.
        wanted: String,
        /// Its `media.class`.
        class: String,
    },
    /// The EIS socket cannot be used.
    #[error("{0}")]
    Eis(String),
    /// There is no portal, or none that shares screens.
    #[error(
        "no portal on the session bus shares screens ({0}); start xdg-desktop-portal and the backend of the guest's desktop"
    )]
    NoPortal(String),
    /// A person said no; or the portal did, that has no dialog to ask with (KDE's, without the rest of Plasma).
    #[error(
        "the guest refused to share its screen: somebody said no, or there is no dialog to say yes in; allow it there, {how}"
    )]
    Denied {
        /// The way to allow it without a dialog.
        how: &'static str,
    },
    /// A portal shares nothing that can be shown.
    #[error("the portal shares no screen; does the guest have a monitor?")]
    NothingShared,
    /// The session ended.
    #[error("{0}")]
    Ended(String),
}

impl GuestError {
    /// Whether trying again is of no use: nobody is asked a second time who has said no.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }
}
