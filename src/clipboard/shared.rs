//! Who owns the clipboard that host and guest share, and whom that has to be told. Pure: the bridge does what [`Act`] says.
//!
//! Loops cannot happen as neither side ever reports the bridge itself as an owner. What is left are crossings: both sides get
//! a new owner at the same time. While an offer is on its way into the guest ([`Shared::offered`] has not come) what the
//! guest reports was overtaken by it; the host's side does the same in [`ours`](crate::clipboard::ours).

use crate::clipboard::mimes::Mimes;
use crate::options::ClipboardFlow;

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Act {
    /// Nothing.
    None,
    /// Own the guest's clipboard with this, or give it up.
    OfferToGuest(Option<Mimes>),
    /// Own the host's selection with this, or give it up.
    OfferToHost(Option<Mimes>),
}

/// What is known of both sides' owners.
#[derive(Debug)]
pub struct Shared {
    flow: ClipboardFlow,
    /// What an application of the host owns, as last told.
    host: Option<Mimes>,
    /// What an application of the guest owns, while that is newer than what the host has.
    guest: Option<Mimes>,
    /// There is a guest whose clipboard can be reached.
    is_guest_here: bool,
    /// The guest's clipboard is owned by us, or will be.
    is_ours_in_guest: bool,
    /// Offers that the guest has not taken yet.
    on_their_way: u32,
}

impl Shared {
    /// Nobody owns anything.
    pub fn new(flow: ClipboardFlow) -> Self {
        Self { flow, host: None, guest: None, is_guest_here: false, is_ours_in_guest: false, on_their_way: 0 }
    }

    /// What the guest may read: what the host's application has.
    pub fn for_guest(&self) -> Option<&Mimes> {
        self.host.as_ref().filter(|_| self.flow.to_guest() && self.guest.is_none())
    }

    /// What the host may read: what the guest's application has.
    pub fn for_host(&self) -> Option<&Mimes> {
        self.guest.as_ref().filter(|_| self.flow.to_host())
    }

    /// The host has another owner, or none.
    pub fn host_owns(&mut self, mimes: Option<Mimes>) -> Act {
        self.guest = None;
        self.host = mimes;
        if self.for_guest().is_some() || self.is_ours_in_guest { self.offer_to_guest() } else { Act::None }
    }

    /// What the guest has is the host's selection now.
    pub fn host_took(&mut self) {
        if self.guest.is_some() {
            self.host = None;
        }
    }

    /// The guest has another owner, or none.
    pub fn guest_owns(&mut self, mimes: Option<Mimes>) -> Act {
        if self.on_their_way > 0 {
            return Act::None;
        }
        self.is_ours_in_guest = false;
        if !self.flow.to_host() {
            return Act::None;
        }
        let had = self.guest.is_some();
        match mimes {
            Some(mimes) => {
                self.guest = Some(mimes.clone());
                Act::OfferToHost(Some(mimes))
            }
            None if had => {
                self.guest = None;
                Act::OfferToHost(None)
            }
            None => Act::None,
        }
    }

    /// An offer has arrived in the guest, or failed.
    pub fn offered(&mut self) {
        self.on_their_way = self.on_their_way.saturating_sub(1);
    }

    /// There is a guest, new or again: what the host has is offered to it.
    pub fn guest_came(&mut self) -> Act {
        self.is_guest_here = true;
        if self.for_guest().is_some() { self.offer_to_guest() } else { Act::None }
    }

    /// The guest is gone, and with it what it owned.
    pub fn guest_gone(&mut self) -> Act {
        self.is_guest_here = false;
        self.is_ours_in_guest = false;
        self.on_their_way = 0;
        if self.guest.take().is_some() { Act::OfferToHost(None) } else { Act::None }
    }

    fn offer_to_guest(&mut self) -> Act {
        if !self.is_guest_here {
            return Act::None;
        }
        self.on_their_way += 1;
        let mimes = self.for_guest().cloned();
        self.is_ours_in_guest = mimes.is_some();
        Act::OfferToGuest(mimes)
    }
}
