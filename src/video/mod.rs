//! The frame path's guest end: PipeWire. [`mod@format`] and [`negotiation`] decide what to ask for (pure),
//! [`mailbox`] which frame goes next and [`unfinished`] which are still being drawn (pure), [`pods`] and [`stream`] talk
//! to PipeWire, [`nodes`] says which there are, [`sync`] and [`syncobj`] are explicit sync.
//! Nothing here knows of Wayland.

pub mod cursor;
pub mod driver;
pub mod format;
pub mod frame;
pub(crate) mod library;
pub mod mailbox;
pub(crate) mod main_loop;
pub mod meta;
pub mod negotiation;
pub mod nodes;
pub mod pace;
pub mod pods;
pub mod rate;
pub(crate) mod raw;
pub(crate) mod requests;
pub mod resize;
pub mod stream;
pub mod sync;
pub mod sync_spa;
pub mod syncobj;
pub mod target;
pub mod unfinished;
