//! The clipboard between host and guest: what both sides say of it, and what follows from that. No side is known here.
//!
//! [`mimes`] is what an owner offers, [`shared`] who owns the clipboard that both sides share, [`ours`] whether the host's
//! selection is ours, [`asks`] the way to the guest, [`transfer`] bytes from one pipe into another.
//!
//! There is only the regular clipboard: but for those of wlroots no guest has a way in for the primary selection (what a
//! middle click pastes).

use std::os::fd::OwnedFd;

use crate::clipboard::mimes::Mimes;

pub mod asks;
#[cfg(test)]
mod crossing;
pub mod mimes;
pub mod ours;
pub mod shared;
pub mod transfer;

/// What the host's side reports, in order.
#[derive(Debug)]
pub enum HostClipboard {
    /// An application of the host owns the selection, or nobody does; never the bridge.
    Owns(Option<Mimes>),
    /// What [`Host::offer_clipboard`](crate::host::Host::offer_clipboard) announced is the host's selection now.
    Taken,
    /// An application of the host wants what the bridge announced, in this type, written here.
    Wants {
        /// One of the announced types.
        mime: String,
        /// Where to; closed when it is over.
        into: OwnedFd,
    },
}

/// What the guest's side reports, in order.
#[derive(Debug)]
pub enum GuestClipboard {
    /// An application of the guest owns the clipboard, or nobody does; never the bridge.
    Owns(Option<Mimes>),
    /// The answer to [`Ask::Offer`](asks::Ask::Offer): what is reported from here on came after it.
    Offered,
    /// Somebody in the guest wants what the bridge offers; to be answered by [`Ask::Write`](asks::Ask::Write) or
    /// [`Ask::Refuse`](asks::Ask::Refuse).
    Wants {
        /// The type that is asked for.
        mime: String,
        /// Names the question.
        serial: u32,
    },
    /// The answer to [`Ask::Read`](asks::Ask::Read): where to read, or why not.
    Read(Result<OwnedFd, String>),
    /// The answer to [`Ask::Write`](asks::Ask::Write): where to write, or why not.
    Write(u32, Result<OwnedFd, String>),
}
