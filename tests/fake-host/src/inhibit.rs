//! `zwp_keyboard_shortcuts_inhibit_manager_v1`: who asked for the host's shortcuts, and whether they have them.
//! The host here has no shortcuts to give; a test says what a person does to the inhibitor.

use smithay::reexports::wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::server::zwp_keyboard_shortcuts_inhibit_manager_v1::{
    self, ZwpKeyboardShortcutsInhibitManagerV1,
};
use smithay::reexports::wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::server::zwp_keyboard_shortcuts_inhibitor_v1::{
    self, ZwpKeyboardShortcutsInhibitorV1,
};
use wayland_server::backend::ClientId;
use wayland_server::protocol::wl_seat::WlSeat;
use wayland_server::protocol::wl_surface::WlSurface;
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource};

use crate::extras::plain_global;
use crate::server::State;

/// An inhibitor that lives.
#[derive(Debug)]
pub(crate) struct Inhibitor {
    object: ZwpKeyboardShortcutsInhibitorV1,
    surface: WlSurface,
    seat: WlSeat,
}

plain_global!(ZwpKeyboardShortcutsInhibitManagerV1);

impl State {
    /// Tells every inhibitor that it is in force, or is so no more. Returns how many there are.
    pub fn set_inhibitors(&mut self, active: bool) -> usize {
        for inhibitor in &self.seat.inhibitors {
            match active {
                true => inhibitor.object.active(),
                false => inhibitor.object.inactive(),
            }
        }
        self.log(format!("inhibitors in force: {active}"));
        self.seat.inhibitors.len()
    }
}

impl Dispatch<ZwpKeyboardShortcutsInhibitManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        manager: &ZwpKeyboardShortcutsInhibitManagerV1,
        request: zwp_keyboard_shortcuts_inhibit_manager_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        use zwp_keyboard_shortcuts_inhibit_manager_v1::{Error, Request};
        let Request::InhibitShortcuts { id, surface, seat } = request else { return };
        if state.seat.inhibitors.iter().any(|it| it.surface == surface && it.seat == seat) {
            let message = "the shortcuts are inhibited for this surface and seat already";
            state.fatal(manager, Error::AlreadyInhibited, message);
            return;
        }
        let object = init.init(id, ());
        // As the protocol has it: it counts with the keyboard's focus.
        if state.seat.keyboard_focus.as_ref() == Some(&surface) {
            object.active();
        }
        state.log("shortcuts inhibited");
        state.notes.note(|seen| seen.inhibitors += 1);
        state.seat.inhibitors.push(Inhibitor { object, surface, seat });
    }
}

impl Dispatch<ZwpKeyboardShortcutsInhibitorV1, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _inhibitor: &ZwpKeyboardShortcutsInhibitorV1,
        _request: zwp_keyboard_shortcuts_inhibitor_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, inhibitor: &ZwpKeyboardShortcutsInhibitorV1, _data: &()) {
        state.seat.inhibitors.retain(|it| it.object.id() != inhibitor.id());
    }
}
