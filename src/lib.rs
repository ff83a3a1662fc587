//! wolf-bridge: a headless desktop (the *guest*) in the window of another Wayland compositor (the *host*).
//!
//! Only file descriptors and small messages pass through: no GPU code, no pixel loops, one thread that
//! matters, one event loop.
//!
//! ```text
//! guest ──PipeWire──▶ video::stream ─VideoEvent▶ ┌────────┐ ─▶ host::window ──wl_surface──▶ host
//!                                                │ Bridge │
//! guest ◀──libei───── input::path ◀──InputEvent─ └────────┘ ◀─ host::seat ◀───wl_seat────── host
//!                     guest::{mutter, portal, …} ─SessionEvent▶
//! ```
//!
//! | room | what is in it |
//! |---|---|
//! | [`options`] | every flag and environment variable |
//! | [`bridge`] | the loop, the one `match` where the paths meet, the life cycle |
//! | [`host`] | the outside: connection, window, formats, buffers, seat |
//! | [`guest`] | the inside: one file per kind of desktop, each yields a [`guest::Session`] |
//! | [`video`] | PipeWire: negotiation, stream, frames, mailbox |
//! | [`input`] | input events and their travel to the guest |
//! | [`clipboard`] | who owns the clipboard that both sides share, and bytes from pipe to pipe |
//! | [`device`] | what the kernel says of DRM devices and DMA-BUFs |
//! | [`stats`] | counters, latency histograms and their reports |
//! | [`error`], [`logging`], [`clock`] | exit codes, the log, the time of frames |
//!
//! `host` and `guest` never import each other; `video`, `input` and `clipboard` import neither. Decisions (sizes,
//! formats, which frame goes next, what is held) are pure and stand apart from I/O.

#![warn(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod bridge;
pub mod clipboard;
pub mod clock;
pub mod device;
pub mod error;
pub mod guest;
pub mod host;
pub mod input;
pub mod logging;
pub mod options;
pub mod stats;
pub mod video;
