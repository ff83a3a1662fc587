//! What a pointer has beside its places, where the host offers it: distances (zwp_relative_pointer_v1), and a lock that
//! keeps it where it is (zwp_pointer_constraints_v1). When to lock is not decided here.

use tracing::debug;
use wayland_client::protocol::wl_pointer::WlPointer;
use wayland_client::{Connection, Dispatch, Proxy as _, QueueHandle};
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_locked_pointer_v1::{self, ZwpLockedPointerV1};
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_pointer_constraints_v1::{
    self, Lifetime, ZwpPointerConstraintsV1,
};
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_manager_v1::{
    self, ZwpRelativePointerManagerV1,
};
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_v1::{self, ZwpRelativePointerV1};

use crate::host::seat::OfSeat;
use crate::host::{Host, HostEvent, Quiet};
use crate::input::event::InputEvent;

/// What one seat's pointer has of it.
#[derive(Debug, Default)]
pub(super) struct SeatPointer {
    relative: Option<ZwpRelativePointerV1>,
    lock: Option<ZwpLockedPointerV1>,
    /// The lock is in force.
    locked: bool,
}

impl Host {
    /// Whether the host tells pointer motion as distances too.
    pub fn has_relative_pointer(&self) -> bool {
        self.extras.relative_pointer.is_some()
    }

    pub(super) fn add_pointer(&mut self, extra: &mut SeatPointer, pointer: &WlPointer, of: OfSeat) {
        let manager = self.extras.relative_pointer.as_ref();
        extra.relative = manager.map(|manager| manager.get_relative_pointer(pointer, &self.queue, of));
        if self.lock_wanted {
            self.lock(extra, pointer, of);
        }
    }

    /// Before the pointer itself goes.
    pub(super) fn drop_pointer(&mut self, extra: &mut SeatPointer) {
        if let Some(relative) = extra.relative.take() {
            relative.destroy();
        }
        if let Some(lock) = extra.lock.take() {
            lock.destroy();
        }
        self.lock_changed(extra, false);
    }

    fn lock(&self, extra: &mut SeatPointer, pointer: &WlPointer, of: OfSeat) {
        // A locked pointer of which no distances are told would tell nothing at all.
        if extra.relative.is_none() {
            return;
        }
        let window = self.window.as_ref().map(|window| window.surface());
        if let (Some(constraints), Some(surface), None) = (&self.extras.constraints, window, &extra.lock) {
            // It takes force whenever the pointer is over the window.
            let lock = constraints.lock_pointer(surface, pointer, None, Lifetime::Persistent, &self.queue, of);
            extra.lock = Some(lock);
        }
    }

    fn lock_changed(&mut self, extra: &mut SeatPointer, locked: bool) {
        if std::mem::replace(&mut extra.locked, locked) != locked {
            debug!(locked, "the host's pointer");
            self.events.push_back(HostEvent::Locked(locked));
        }
    }

    /// Keeps every pointer where it is while it is over the window.
    pub fn lock_pointers(&mut self) {
        if std::mem::replace(&mut self.lock_wanted, true) {
            return;
        }
        for mut seat in std::mem::take(&mut self.seats) {
            if let Some(pointer) = &seat.pointer {
                self.lock(&mut seat.extra, pointer, OfSeat(seat.name));
            }
            self.seats.push(seat);
        }
    }

    /// Lets every pointer go again; to this place of the window, if one is given.
    pub fn free_pointers(&mut self, to: Option<(f64, f64)>) {
        if !std::mem::replace(&mut self.lock_wanted, false) {
            return;
        }
        for mut seat in std::mem::take(&mut self.seats) {
            if let Some(lock) = seat.extra.lock.take() {
                if let (Some((x, y)), Some(window)) = (to, &self.window) {
                    lock.set_cursor_position_hint(x, y);
                    // The hint takes effect with the surface's next commit.
                    window.surface().commit();
                }
                lock.destroy();
            }
            self.lock_changed(&mut seat.extra, false);
            self.seats.push(seat);
        }
    }
}

impl Dispatch<ZwpLockedPointerV1, OfSeat> for Host {
    fn event(
        host: &mut Self,
        lock: &ZwpLockedPointerV1,
        event: zwp_locked_pointer_v1::Event,
        of: &OfSeat,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let Some(at) = host.seats.iter().position(|seat| seat.name == of.0) else { return };
        let mut extra = std::mem::take(&mut host.seats[at].extra);
        // One that was destroyed meanwhile says nothing any more.
        if extra.lock.as_ref() == Some(lock) {
            host.lock_changed(&mut extra, matches!(event, zwp_locked_pointer_v1::Event::Locked));
        }
        host.seats[at].extra = extra;
    }
}

impl Dispatch<ZwpRelativePointerV1, OfSeat> for Host {
    fn event(
        host: &mut Self,
        _: &ZwpRelativePointerV1,
        event: zwp_relative_pointer_v1::Event,
        of: &OfSeat,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let zwp_relative_pointer_v1::Event::RelativeMotion { dx_unaccel: dx, dy_unaccel: dy, .. } = event else {
            return;
        };
        host.input(InputEvent::RelativeMotion { dx, dy });
        let pointer = host.seats.iter().find(|seat| seat.name == of.0).and_then(|seat| seat.pointer.as_ref());
        // Before version 5 every event is a frame of its own.
        if pointer.is_some_and(|pointer| pointer.version() < 5) {
            host.pointer_frame(*of);
        }
    }
}

impl Dispatch<ZwpPointerConstraintsV1, Quiet> for Host {
    fn event(
        _: &mut Self,
        _: &ZwpPointerConstraintsV1,
        _: zwp_pointer_constraints_v1::Event,
        _: &Quiet,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

impl Dispatch<ZwpRelativePointerManagerV1, Quiet> for Host {
    fn event(
        _: &mut Self,
        _: &ZwpRelativePointerManagerV1,
        _: zwp_relative_pointer_manager_v1::Event,
        _: &Quiet,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}
