//! The host's keyboards: keys as evdev codes, the keymap and the modifiers as what they say of layout and locks,
//! and the host's own shortcuts, which `--grab` asks it to leave to the guest. Repeat is the guest's business.

use std::rc::Rc;

use tracing::{debug, info, warn};
use wayland_client::protocol::wl_keyboard::{self, KeymapFormat, WlKeyboard};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, WEnum};
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibitor_v1::{
    self, ZwpKeyboardShortcutsInhibitorV1,
};

use crate::host::seat::OfSeat;
use crate::host::{Host, HostEvent};
use crate::input::event::InputEvent;
use crate::input::keymap::{Keymap, LockReader};
use crate::input::locks::Locks;

/// The keyboard of one seat.
pub(super) struct Keyboard {
    keyboard: WlKeyboard,
    keymap: Option<Rc<Keymap>>,
    /// Of that keymap.
    locks: Option<LockReader>,
    /// What was told last: the same is not told again before the next enter.
    told: Option<Locks>,
    group: u32,
    inhibitor: Option<ZwpKeyboardShortcutsInhibitorV1>,
}

impl std::fmt::Debug for Keyboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyboard").field("keymap", &self.keymap).field("group", &self.group).finish_non_exhaustive()
    }
}

impl Keyboard {
    pub(super) fn new(seat: &WlSeat, queue: &QueueHandle<Host>, data: OfSeat) -> Self {
        Self {
            keyboard: seat.get_keyboard(queue, data),
            keymap: None,
            locks: None,
            told: None,
            group: 0,
            inhibitor: None,
        }
    }

    pub(super) fn release(self) {
        if let Some(inhibitor) = self.inhibitor {
            inhibitor.destroy();
        }
        if self.keyboard.version() >= 3 {
            self.keyboard.release();
        }
    }
}

impl Host {
    fn keyboard_of(&mut self, of: OfSeat) -> Option<&mut Keyboard> {
        self.seats.iter_mut().find(|seat| seat.name == of.0)?.keyboard.as_mut()
    }

    fn host_keymap(&mut self, of: OfSeat, read: Result<Keymap, String>) {
        let keymap = match read {
            Ok(keymap) => Some(Rc::new(keymap)),
            Err(why) => {
                // Hosts with several keyboards send a keymap at every turn between them.
                if self.bad_keymap.as_ref() != Some(&why) {
                    warn!("the host's keymap cannot be used: {why}; the guest's layout and lock keys stay as they are");
                    self.bad_keymap = Some(why);
                }
                None
            }
        };
        let Some(keyboard) = self.keyboard_of(of) else { return };
        if keyboard.keymap == keymap {
            return;
        }
        keyboard.locks = keymap.as_ref().map(|keymap| keymap.lock_reader());
        keyboard.keymap.clone_from(&keymap);
        keyboard.told = None;
        if let Some(keymap) = keymap {
            debug!(?keymap, "the host's keymap");
            self.events.push_back(HostEvent::Keymap(keymap));
        }
    }

    fn keyboard_entered(&mut self, of: OfSeat) {
        let queue = self.queue.clone();
        let surface = self.window.as_ref().map(|window| window.wl_surface().clone());
        let manager = self.inhibit.clone();
        let Some(seat) = self.seats.iter_mut().find(|seat| seat.name == of.0) else { return };
        let Some(keyboard) = seat.keyboard.as_mut() else { return };
        keyboard.told = None;
        if let (Some(manager), Some(surface), None) = (manager, surface, &keyboard.inhibitor) {
            // It counts while the window has the keyboard, and stays for the next time.
            keyboard.inhibitor = Some(manager.inhibit_shortcuts(&surface, &seat.seat, &queue, of));
        }
    }

    fn modifiers(&mut self, of: OfSeat, depressed: u32, latched: u32, locked: u32, group: u32) {
        let Some(keyboard) = self.keyboard_of(of) else { return };
        let locks = keyboard.locks.as_mut().map(|reader| reader.read(depressed, latched, locked));
        let news = locks.filter(|locks| keyboard.told != Some(*locks));
        keyboard.told = locks;
        let group_is_new = std::mem::replace(&mut keyboard.group, group) != group;
        if let Some(locks) = news {
            self.events.push_back(HostEvent::Locks(locks));
        }
        if group_is_new {
            self.events.push_back(HostEvent::Group(group));
        }
    }
}

impl Dispatch<WlKeyboard, OfSeat> for Host {
    fn event(
        host: &mut Self,
        _: &WlKeyboard,
        event: wl_keyboard::Event,
        of: &OfSeat,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use wl_keyboard::Event;
        match event {
            Event::Keymap { format, fd, size } => {
                let read = match format {
                    WEnum::Value(KeymapFormat::XkbV1) => Keymap::read(fd, size).map_err(|error| error.to_string()),
                    _ => Err("it is none of XKB's".to_owned()),
                };
                host.host_keymap(*of, read);
            }
            Event::Enter { serial, keys, .. } => {
                host.clipboard_focus(of.0, Some(serial));
                host.keyboard_entered(*of);
                // Keys that are down already: a native-endian u32 each.
                for key in keys.chunks_exact(4) {
                    let code = u32::from_ne_bytes([key[0], key[1], key[2], key[3]]);
                    host.input(InputEvent::Key { code, pressed: true });
                }
            }
            Event::Leave { .. } => {
                host.clipboard_focus(of.0, None);
                host.input(InputEvent::KeyboardLeave);
            }
            Event::Key { serial, key, state, .. } => {
                host.clipboard_serial(of.0, serial);
                match state {
                    WEnum::Value(wl_keyboard::KeyState::Pressed) => {
                        host.input(InputEvent::Key { code: key, pressed: true });
                    }
                    WEnum::Value(wl_keyboard::KeyState::Released) => {
                        host.input(InputEvent::Key { code: key, pressed: false });
                    }
                    // Repeats are the guest's to make.
                    _ => {}
                }
            }
            Event::Modifiers { mods_depressed, mods_latched, mods_locked, group, .. } => {
                host.modifiers(*of, mods_depressed, mods_latched, mods_locked, group);
            }
            _ => {}
        }
    }
}

impl Dispatch<ZwpKeyboardShortcutsInhibitorV1, OfSeat> for Host {
    fn event(
        _: &mut Self,
        _: &ZwpKeyboardShortcutsInhibitorV1,
        event: zwp_keyboard_shortcuts_inhibitor_v1::Event,
        _: &OfSeat,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwp_keyboard_shortcuts_inhibitor_v1::Event;
        match event {
            Event::Active => info!("the host leaves its shortcuts to the guest"),
            Event::Inactive => info!("the host keeps its shortcuts to itself again"),
            _ => {}
        }
    }
}

/// The global, when `--grab` asks for it; without one a line says so.
pub(super) fn inhibit_manager(
    globals: &wayland_client::globals::GlobalList,
    queue: &QueueHandle<Host>,
    grab: bool,
) -> Option<ZwpKeyboardShortcutsInhibitManagerV1> {
    if !grab {
        return None;
    }
    let manager = globals.bind(queue, 1..=1, crate::host::Quiet).ok();
    if manager.is_none() {
        warn!(
            "--grab does nothing here: the host gives its shortcuts to no window (it has no zwp_keyboard_shortcuts_inhibit_manager_v1)"
        );
    }
    manager
}
