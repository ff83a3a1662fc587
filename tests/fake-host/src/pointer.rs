//! Relative motion, pointer constraints, and the data device that never has anything to offer.
//! Where the pointer is and who has it; not what a gesture consists of.

use smithay::reexports::wayland_protocols::wp::pointer_constraints::zv1::server::zwp_confined_pointer_v1::{
    self, ZwpConfinedPointerV1,
};
use smithay::reexports::wayland_protocols::wp::pointer_constraints::zv1::server::zwp_locked_pointer_v1::{
    self, ZwpLockedPointerV1,
};
use smithay::reexports::wayland_protocols::wp::pointer_constraints::zv1::server::zwp_pointer_constraints_v1::{
    self, Lifetime, ZwpPointerConstraintsV1,
};
use smithay::reexports::wayland_protocols::wp::relative_pointer::zv1::server::zwp_relative_pointer_manager_v1::{
    self, ZwpRelativePointerManagerV1,
};
use smithay::reexports::wayland_protocols::wp::relative_pointer::zv1::server::zwp_relative_pointer_v1::{
    self, ZwpRelativePointerV1,
};
use wayland_server::backend::ClientId;
use wayland_server::protocol::wl_pointer::{self, WlPointer};
use wayland_server::protocol::wl_surface::WlSurface;
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum};

use crate::builder::ConstraintPolicy;
use crate::extras::plain_global;
use crate::seen::Constraint;
use crate::server::State;

plain_global!(ZwpRelativePointerManagerV1, ZwpPointerConstraintsV1,);

/// A constraint object that is alive.
#[derive(Debug)]
pub(crate) struct ConstraintState {
    /// Index into [`crate::Seen::constraints`].
    number: usize,
    object: ConstraintObject,
    surface: WlSurface,
    persistent: bool,
    active: bool,
    /// A oneshot that was in force once.
    spent: bool,
}

#[derive(Debug)]
enum ConstraintObject {
    Lock(ZwpLockedPointerV1),
    Confinement(ZwpConfinedPointerV1),
}

impl State {
    pub fn pointer_enter(&mut self, x: f64, y: f64) {
        let Some(surface) = self.live_surface() else {
            self.log("pointer enter without a window: not sent");
            return;
        };
        self.seat.pointer_focus = Some(surface.clone());
        self.seat.position = (x, y);
        let serial = self.next_serial();
        self.notes.note(|seen| seen.pointer_enters.push(serial));
        for pointer in self.pointers() {
            pointer.enter(serial, &surface, x, y);
        }
        self.log(format!("pointer enter {x} {y}, serial {serial}"));
        if self.config.constraints == ConstraintPolicy::AtOnce {
            self.activate_constraints();
        }
    }

    pub fn pointer_leave(&mut self) {
        let Some(surface) = self.seat.pointer_focus.clone() else {
            return;
        };
        let serial = self.next_serial();
        for pointer in self.pointers() {
            pointer.leave(serial, &surface);
        }
        self.seat.pointer_focus = None;
        self.cursor_set(None);
        self.log("pointer leave");
        self.deactivate_constraints();
    }

    /// A pointer that was asked for while its client has the focus hears of it at once.
    pub fn greet_pointer(&mut self, pointer: &WlPointer) {
        let Some(surface) = self.seat.pointer_focus.clone() else {
            return;
        };
        if surface.id().same_client_as(&pointer.id()) {
            let serial = self.next_serial();
            self.notes.note(|seen| seen.pointer_enters.push(serial));
            let (x, y) = self.seat.position;
            pointer.enter(serial, &surface, x, y);
            if pointer.version() >= wl_pointer::EVT_FRAME_SINCE {
                pointer.frame();
            }
        }
    }

    /// Sends relative motion to the relative pointers of whoever has the pointer.
    pub fn pointer_relative(&mut self, dx: f64, dy: f64, raw_dx: f64, raw_dy: f64) {
        let micros = u64::from(self.millis()) * 1000;
        let pointers = self.pointers();
        for (relative, pointer) in &self.seat.relatives {
            if pointers.contains(pointer) {
                let (hi, lo) = ((micros >> 32) as u32, micros as u32);
                relative.relative_motion(hi, lo, dx, dy, raw_dx, raw_dy);
            }
        }
    }

    pub fn pointer_is_locked(&self) -> bool {
        let mut all = self.seat.constraints.iter();
        all.any(|c| c.active && matches!(c.object, ConstraintObject::Lock(_)))
    }

    /// Puts every constraint on the focused surface in force. Returns how many changed.
    pub fn activate_constraints(&mut self) -> usize {
        let Some(focus) = self.seat.pointer_focus.clone() else {
            return 0;
        };
        self.set_constraints(|c| c.surface == focus && !c.spent, true)
    }

    pub fn deactivate_constraints(&mut self) -> usize {
        self.set_constraints(|_| true, false)
    }

    fn set_constraints(&mut self, which: impl Fn(&ConstraintState) -> bool, active: bool) -> usize {
        let mut changed = Vec::new();
        for c in &mut self.seat.constraints {
            if c.active == active || !which(c) {
                continue;
            }
            c.active = active;
            c.spent |= !active && !c.persistent;
            match (&c.object, active) {
                (ConstraintObject::Lock(lock), true) => lock.locked(),
                (ConstraintObject::Lock(lock), false) => lock.unlocked(),
                (ConstraintObject::Confinement(confined), true) => confined.confined(),
                (ConstraintObject::Confinement(confined), false) => confined.unconfined(),
            }
            changed.push(c.number);
        }
        for number in &changed {
            self.log(format!("constraint {number} in force: {active}"));
        }
        self.notes.note(|seen| {
            for number in &changed {
                seen.constraints[*number].active = active;
            }
        });
        changed.len()
    }

    fn add_constraint(&mut self, object: ConstraintObject, surface: WlSurface, lifetime: WEnum<Lifetime>) {
        let persistent = matches!(lifetime, WEnum::Value(Lifetime::Persistent));
        let lock = matches!(object, ConstraintObject::Lock(_));
        let number = self.notes.note(|seen| {
            seen.constraints.push(Constraint { hint: None, lock, persistent, active: false, alive: true });
            seen.constraints.len() - 1
        });
        self.log(format!("constraint {number}, lock {lock}"));
        self.seat.constraints.push(ConstraintState {
            number,
            object,
            surface,
            persistent,
            active: false,
            spent: false,
        });
        if self.config.constraints == ConstraintPolicy::AtOnce {
            self.activate_constraints();
        }
    }

    fn end_constraint(&mut self, is_it: impl Fn(&ConstraintObject) -> bool) {
        let all = &mut self.seat.constraints;
        let Some(index) = all.iter().position(|c| is_it(&c.object)) else {
            return;
        };
        let number = all.remove(index).number;
        self.notes.note(|seen| {
            seen.constraints[number].alive = false;
            seen.constraints[number].active = false;
        });
    }
}

impl Dispatch<ZwpRelativePointerManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &ZwpRelativePointerManagerV1,
        request: zwp_relative_pointer_manager_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if let zwp_relative_pointer_manager_v1::Request::GetRelativePointer { id, pointer } = request {
            let relative = init.init(id, ());
            state.seat.relatives.push((relative, pointer));
        }
    }
}

impl Dispatch<ZwpRelativePointerV1, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _relative: &ZwpRelativePointerV1,
        _request: zwp_relative_pointer_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, relative: &ZwpRelativePointerV1, _data: &()) {
        state.seat.relatives.retain(|(r, _)| r.id() != relative.id());
    }
}

impl Dispatch<ZwpPointerConstraintsV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        constraints: &ZwpPointerConstraintsV1,
        request: zwp_pointer_constraints_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let on = match &request {
            zwp_pointer_constraints_v1::Request::LockPointer { surface, .. }
            | zwp_pointer_constraints_v1::Request::ConfinePointer { surface, .. } => surface,
            _ => return,
        };
        if state.seat.constraints.iter().any(|c| c.surface == *on) {
            let code = zwp_pointer_constraints_v1::Error::AlreadyConstrained;
            state.fatal(constraints, code, "the pointer is constrained already");
            return;
        }
        match request {
            zwp_pointer_constraints_v1::Request::LockPointer { id, surface, lifetime, .. } => {
                let lock = ConstraintObject::Lock(init.init(id, ()));
                state.add_constraint(lock, surface, lifetime);
            }
            zwp_pointer_constraints_v1::Request::ConfinePointer { id, surface, lifetime, .. } => {
                let confinement = ConstraintObject::Confinement(init.init(id, ()));
                state.add_constraint(confinement, surface, lifetime);
            }
            _ => {}
        }
    }
}

impl Dispatch<ZwpLockedPointerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        lock: &ZwpLockedPointerV1,
        request: zwp_locked_pointer_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
        let zwp_locked_pointer_v1::Request::SetCursorPositionHint { surface_x, surface_y } = request else { return };
        let is_it = |c: &&ConstraintState| matches!(&c.object, ConstraintObject::Lock(mine) if mine.id() == lock.id());
        let Some(number) = state.seat.constraints.iter().find(is_it).map(|c| c.number) else { return };
        state.notes.note(|seen| seen.constraints[number].hint = Some((surface_x, surface_y)));
    }

    fn destroyed(state: &mut Self, _client: ClientId, lock: &ZwpLockedPointerV1, _data: &()) {
        state.end_constraint(|o| matches!(o, ConstraintObject::Lock(mine) if mine.id() == lock.id()));
    }
}

impl Dispatch<ZwpConfinedPointerV1, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _confined: &ZwpConfinedPointerV1,
        _request: zwp_confined_pointer_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, confined: &ZwpConfinedPointerV1, _d: &()) {
        state.end_constraint(|o| matches!(o, ConstraintObject::Confinement(mine) if mine.id() == confined.id()));
    }
}
