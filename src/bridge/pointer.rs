//! The two pointers, the host's and the guest's: what the guest says of its own decides what the host's does.

use crate::bridge::Bridge;
use crate::input::pointer::{GuestPointer, Lock};
use crate::video::cursor::Place;

impl Bridge {
    /// The guest's pointer is here from now on.
    pub(super) fn guest_pointer_moved(&mut self, place: Option<Place>) {
        let guest = place.map(|Place { at: (x, y), visible }| GuestPointer { at: (x.into(), y.into()), visible });
        self.input.guest_moved(guest);
        self.host.move_overlay(place);
    }

    /// Locks the host's pointer, or lets it go, as the guest needs it.
    pub(super) fn update_lock(&mut self) {
        match self.input.lock() {
            Lock::Wanted => self.host.lock_pointers(),
            Lock::Free(to) => self.host.free_pointers(to),
        }
    }
}
