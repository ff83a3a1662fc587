//! What the host saw its client do: plain records that a test can read, clone and compare.
//! Holds no Wayland object and decides nothing; the modules that speak the protocol fill it in.

use std::fmt::{self, Write as _};
use std::time::Instant;

use crate::record::{BufferKind, Commit, CursorRequest, Rect, Window};

/// Everything the host has observed since it started, over all connections. Lists only grow.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Connections in the order they were accepted.
    pub clients: Vec<Client>,
    /// Globals bound, in order.
    pub bound: Vec<Bound>,
    /// Toplevels in the order they were created. An index into this is a "window number".
    pub windows: Vec<Window>,
    /// Every `wl_surface.commit`, on whatever surface, in order.
    pub commits: Vec<Commit>,
    /// Every `wl_buffer` ever made; `BufferId(n)` is at index `n - 1`.
    pub buffers: Vec<Buffer>,
    /// Every `wl_shm_pool` ever made.
    pub pools: Vec<Pool>,
    /// Every `zwp_linux_buffer_params_v1` ever made.
    pub params: Vec<Params>,
    /// Serials of the `wl_pointer.enter` events sent.
    pub pointer_enters: Vec<u32>,
    /// Every `wl_pointer.set_cursor`.
    pub cursors: Vec<CursorRequest>,
    /// Pointer constraints asked for.
    pub constraints: Vec<Constraint>,
    /// Keyboard shortcut inhibitors asked for.
    pub inhibitors: usize,
    /// Sync timelines imported through `wp_linux_drm_syncobj_manager_v1`.
    pub timelines: usize,
    /// Commits whose acquire point was not signalled.
    pub undrawn: usize,
    /// Frame callbacks the client asked for with its commits.
    pub callbacks_asked: usize,
    /// Frame callbacks answered.
    pub callbacks_done: usize,
    /// Presentation feedbacks answered `presented`.
    pub presented: usize,
    /// Presentation feedbacks answered `discarded`.
    pub discarded: usize,
    /// Render ticks so far, by timer or by script.
    pub ticks: u64,
    /// Serials of the `xdg_wm_base.pong`s received.
    pub pongs: Vec<u32>,
    /// Every `wl_data_device.set_selection`.
    pub selections: Vec<Selection>,
    /// Who owns the selection.
    pub selection_owner: SelectionOwner,
    /// `wl_data_source`s the client has not destroyed.
    pub sources_alive: usize,
    /// `wl_data_offer`s the client has not destroyed.
    pub offers_alive: usize,
    /// Protocol errors sent. Each has killed its connection.
    pub errors: Vec<ProtocolFault>,
    /// Things no compositor kills for, yet no good client does: a shown buffer destroyed, a lent
    /// buffer committed again or written to, a request on a dropped role.
    pub oddities: Vec<String>,
    /// Everything in order, for people. Only the newest lines are kept.
    pub log: Vec<String>,
}

/// One connection.
#[derive(Clone, Debug)]
pub struct Client {
    /// When it was accepted.
    pub connected_at: Instant,
    /// How it ended, or that it has not.
    pub link: Link,
}

/// The state of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Alive.
    Connected,
    /// The client closed it, or went away.
    Left,
    /// The host closed it, by script and without a reason.
    Dropped,
    /// The host ended it with this protocol error.
    Killed(String),
}

/// A bound global.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Interface name.
    pub global: String,
    /// The version the client chose.
    pub version: u32,
}

/// Names one `wl_buffer` for the whole life of the host, starting at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// One `wl_buffer`.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Its name.
    pub id: BufferId,
    /// What it is made of.
    pub kind: BufferKind,
    /// Not yet destroyed by the client.
    pub alive: bool,
    /// Committed and not released: the client must not touch it.
    pub held: bool,
    /// Commits that attached it.
    pub commits: usize,
    /// `wl_buffer.release` events sent.
    pub releases: usize,
}

/// One `wl_shm_pool`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Current size in bytes.
    pub size: i32,
    /// Not yet destroyed by the client.
    pub alive: bool,
}

/// One `zwp_linux_buffer_params_v1` and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// What `create` or `create_immed` asked for.
    pub asked: Option<(u32, u64)>,
    /// The host's answer.
    pub answer: ImportAnswer,
    /// Not yet destroyed by the client.
    pub alive: bool,
}

/// How an import ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportAnswer {
    /// Nothing asked, or nothing answered yet.
    None,
    /// `created`, or a successful `create_immed`.
    Created(BufferId),
    /// `failed`.
    Failed,
    /// A protocol error.
    Fatal,
}

/// A pointer constraint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constraint {
    /// Where a lock's pointer is to be when it is let go, as its client said last.
    pub hint: Option<(f64, f64)>,
    /// Lock (true) or confinement (false).
    pub lock: bool,
    /// Lasts over deactivations.
    pub persistent: bool,
    /// In force now.
    pub active: bool,
    /// Not yet destroyed by the client.
    pub alive: bool,
}

/// A `wl_data_device.set_selection`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The source's types; empty without a source.
    pub mimes: Vec<String>,
    /// The serial of the event that it names.
    pub serial: u32,
    /// It is the selection now; otherwise it was ignored.
    pub is_taken: bool,
}

/// Who owns the selection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SelectionOwner {
    /// Nobody.
    #[default]
    Nobody,
    /// An application of the host.
    Host,
    /// A client, with these types.
    Client(Vec<String>),
}

/// A protocol error the host sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolFault {
    /// Interface of the object the error was posted on.
    pub interface: String,
    /// Code from that interface's `error` enum.
    pub code: u32,
    /// The text sent along.
    pub message: String,
}

impl Seen {
    /// Connections alive now.
    pub fn connected(&self) -> usize {
        self.clients.iter().filter(|c| c.link == Link::Connected).count()
    }

    /// A client came, and none is connected any more.
    pub fn client_gone(&self) -> bool {
        !self.clients.is_empty() && self.connected() == 0
    }

    /// The version last bound of a global, if any.
    pub fn bound_version(&self, global: &str) -> Option<u32> {
        self.bound.iter().rev().find(|b| b.global == global).map(|b| b.version)
    }

    /// The newest toplevel, alive or not.
    pub fn window(&self) -> Option<&Window> {
        self.windows.last()
    }

    /// A pixel of the newest toplevel can be on screen (see [`Window::shown`]).
    pub fn shown(&self) -> bool {
        self.window().is_some_and(|w| w.shown)
    }

    /// Commits on toplevels, oldest first.
    pub fn window_commits(&self) -> impl DoubleEndedIterator<Item = &Commit> {
        self.commits.iter().filter(|c| c.window.is_some())
    }

    /// Commits on toplevels that attached a buffer: the frames, oldest first.
    pub fn frames(&self) -> impl DoubleEndedIterator<Item = &Commit> {
        self.window_commits().filter(|c| c.buffer().is_some())
    }

    /// How many frames were committed.
    pub fn frame_count(&self) -> usize {
        self.frames().count()
    }

    /// The newest frame.
    pub fn last_frame(&self) -> Option<&Commit> {
        self.frames().next_back()
    }

    /// One buffer's record.
    pub fn buffer(&self, id: BufferId) -> Option<&Buffer> {
        self.buffers.get((id.0 as usize).checked_sub(1)?)
    }

    /// `wl_buffer`s the client has not destroyed.
    pub fn buffers_alive(&self) -> usize {
        self.buffers.iter().filter(|b| b.alive).count()
    }

    /// Shm pools the client has not destroyed.
    pub fn pools_alive(&self) -> usize {
        self.pools.iter().filter(|p| p.alive).count()
    }

    /// Dmabuf params objects the client has not destroyed.
    pub fn params_alive(&self) -> usize {
        self.params.iter().filter(|p| p.alive).count()
    }

    /// Buffers committed and not released.
    pub fn held(&self) -> Vec<BufferId> {
        self.buffers.iter().filter(|b| b.held).map(|b| b.id).collect()
    }

    /// `wl_buffer.release` events sent, over all buffers.
    pub fn releases(&self) -> usize {
        self.buffers.iter().map(|b| b.releases).sum()
    }

    /// Every `enter` so far was followed by a `set_cursor(NULL)` with its serial.
    pub fn cursor_hidden_after_every_enter(&self) -> bool {
        self.pointer_enters.iter().all(|serial| self.cursors.iter().any(|c| c.serial == *serial && c.surface.is_none()))
    }

    /// A constraint of this kind is in force.
    pub fn pointer_locked(&self) -> bool {
        self.constraints.iter().any(|c| c.lock && c.active && c.alive)
    }

    /// The union of everything the frames from `first` on said was damaged, in buffer coordinates.
    /// Only `damage_buffer` counts; `None` if nothing was damaged.
    pub fn damage_since(&self, first: usize) -> Option<Rect> {
        self.frames().skip(first).flat_map(|c| &c.buffer_damage).copied().reduce(Rect::union)
    }
}

impl fmt::Display for Seen {
    /// A page for a person whose test has just failed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients: Vec<_> = self.clients.iter().map(|c| &c.link).collect();
        writeln!(f, "clients:  {clients:?}")?;
        let mut bound = String::new();
        for b in &self.bound {
            write!(bound, "{} {}, ", b.global, b.version)?;
        }
        writeln!(f, "bound:    {}", bound.trim_end_matches(", "))?;
        for (number, w) in self.windows.iter().enumerate() {
            writeln!(f, "window {number}: {}", w.summary())?;
        }
        writeln!(
            f,
            "commits:  {} ({} frames), callbacks {}/{}, presented {}, discarded {}, ticks {}",
            self.commits.len(),
            self.frame_count(),
            self.callbacks_done,
            self.callbacks_asked,
            self.presented,
            self.discarded,
            self.ticks
        )?;
        writeln!(
            f,
            "buffers:  {} made, {} alive, held {:?}, {} releases; pools {}/{} alive, params {}/{} alive",
            self.buffers.len(),
            self.buffers_alive(),
            self.held().iter().map(|b| b.0).collect::<Vec<_>>(),
            self.releases(),
            self.pools_alive(),
            self.pools.len(),
            self.params_alive(),
            self.params.len()
        )?;
        for e in &self.errors {
            writeln!(f, "error:    {} {}: {}", e.interface, e.code, e.message)?;
        }
        for oddity in &self.oddities {
            writeln!(f, "oddity:   {oddity}")?;
        }
        writeln!(f, "the newest of the log:")?;
        let from = self.log.len().saturating_sub(60);
        for line in &self.log[from..] {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}
