//! `wl_seat` and its pointer, keyboard and touch objects: who they are and what they are sent.
//! Sends what it is told, in the order it is told; the gestures are in `input`.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsFd as _;

use smithay::input::keyboard::xkb;
use smithay::utils::SealedFile;
use wayland_server::backend::ClientId;
use wayland_server::protocol::wl_keyboard::{self, KeymapFormat, WlKeyboard};
use wayland_server::protocol::wl_pointer::{self, WlPointer};
use wayland_server::protocol::wl_seat::{self, Capability, WlSeat};
use wayland_server::protocol::wl_surface::WlSurface;
use wayland_server::protocol::wl_touch::{self, WlTouch};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource};

use crate::builder::Config;
use crate::cursor;
use crate::inhibit::Inhibitor;
use crate::pointer::ConstraintState;
use crate::record::{CursorRequest, Role};
use crate::server::State;
use smithay::reexports::wayland_protocols::wp::relative_pointer::zv1::server::zwp_relative_pointer_v1::ZwpRelativePointerV1;

/// All input devices and where they point.
pub(crate) struct SeatState {
    seats: Vec<WlSeat>,
    capabilities: Capability,
    /// Asking for a device the seat never had is fatal, for one it lost it is not.
    ever: Capability,
    pub pointers: Vec<WlPointer>,
    keyboards: Vec<WlKeyboard>,
    touches: Vec<WlTouch>,
    pub relatives: Vec<(ZwpRelativePointerV1, WlPointer)>,
    pub constraints: Vec<ConstraintState>,
    pub inhibitors: Vec<Inhibitor>,
    pub pointer_focus: Option<WlSurface>,
    pub cursor: Option<cursor::Set>,
    /// Surface coordinates.
    pub position: (f64, f64),
    pub keyboard_focus: Option<WlSurface>,
    pub keys: Keys,
}

/// The keyboard's layout and state.
pub(crate) struct Keys {
    file: SealedFile,
    state: xkb::State,
    /// Pressed by the gesture helpers.
    pub pressed: Vec<u32>,
    /// Presses the host kept to itself: their releases are kept too.
    pub swallowed: HashSet<u32>,
}

/// Modifier masks and layout, as in `wl_keyboard.modifiers`.
pub(crate) type Modifiers = (u32, u32, u32, u32);

impl Keys {
    fn new(layout: &str, variant: &str) -> io::Result<Self> {
        let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
        let flags = xkb::KEYMAP_COMPILE_NO_FLAGS;
        let keymap = xkb::Keymap::new_from_names(&context, "", "", layout, variant, None, flags);
        let Some(keymap) = keymap else {
            let message = format!("no keymap for layout {layout:?}, variant {variant:?}");
            return Err(io::Error::other(message));
        };
        let mut text = keymap.get_as_string(xkb::KEYMAP_FORMAT_TEXT_V1).into_bytes();
        text.push(0);
        Ok(Self {
            file: SealedFile::with_data(c"keymap", &text)?,
            state: xkb::State::new(&keymap),
            pressed: Vec::new(),
            swallowed: HashSet::new(),
        })
    }

    /// Moves a key (evdev code) and returns the modifiers if that changed them.
    pub fn turn(&mut self, code: u32, pressed: bool) -> Option<Modifiers> {
        let before = self.modifiers();
        let direction = if pressed {
            self.pressed.push(code);
            xkb::KeyDirection::Down
        } else {
            self.pressed.retain(|k| *k != code);
            xkb::KeyDirection::Up
        };
        // XKB counts keys from 8, for a reason of 1987.
        self.state.update_key(xkb::Keycode::new(code + 8), direction);
        let now = self.modifiers();
        (now != before).then_some(now)
    }

    pub fn modifiers(&self) -> Modifiers {
        (
            self.state.serialize_mods(xkb::STATE_MODS_DEPRESSED),
            self.state.serialize_mods(xkb::STATE_MODS_LATCHED),
            self.state.serialize_mods(xkb::STATE_MODS_LOCKED),
            self.state.serialize_layout(xkb::STATE_LAYOUT_EFFECTIVE),
        )
    }
}

impl SeatState {
    pub fn new(config: &Config) -> io::Result<Self> {
        let all = Capability::Pointer | Capability::Keyboard | Capability::Touch;
        Ok(Self {
            seats: Vec::new(),
            capabilities: all,
            ever: all,
            pointers: Vec::new(),
            keyboards: Vec::new(),
            touches: Vec::new(),
            relatives: Vec::new(),
            constraints: Vec::new(),
            inhibitors: Vec::new(),
            pointer_focus: None,
            cursor: None,
            position: (0.0, 0.0),
            keyboard_focus: None,
            keys: Keys::new(&config.keymap.0, &config.keymap.1)?,
        })
    }
}

fn same(a: &impl Resource, b: &impl Resource) -> bool {
    a.id().same_client_as(&b.id())
}

impl State {
    /// Pointers of the client that has the focus, or would have it.
    pub fn pointers(&self) -> Vec<WlPointer> {
        let focus = self.seat.pointer_focus.clone();
        let Some(surface) = focus.or_else(|| self.live_surface()) else {
            return Vec::new();
        };
        let all = self.seat.pointers.iter();
        all.filter(|p| same(*p, &surface)).cloned().collect()
    }

    pub fn keyboards(&self) -> Vec<WlKeyboard> {
        let focus = self.seat.keyboard_focus.clone();
        let Some(surface) = focus.or_else(|| self.live_surface()) else {
            return Vec::new();
        };
        let all = self.seat.keyboards.iter();
        all.filter(|k| same(*k, &surface)).cloned().collect()
    }

    pub fn touches(&self) -> Vec<WlTouch> {
        let Some(surface) = self.live_surface() else {
            return Vec::new();
        };
        let all = self.seat.touches.iter();
        all.filter(|t| same(*t, &surface)).cloned().collect()
    }

    /// A surface is gone or unmapped: nothing points at it any more, and no leave is due.
    pub fn forget_focus(&mut self, surface: &WlSurface) {
        if self.seat.pointer_focus.as_ref() == Some(surface) {
            self.seat.pointer_focus = None;
            self.deactivate_constraints();
        }
        if self.seat.keyboard_focus.as_ref() == Some(surface) {
            self.seat.keyboard_focus = None;
        }
    }

    /// Moves the keyboard focus, with leave, enter and modifiers.
    pub fn focus_keyboard(&mut self, surface: Option<WlSurface>, keys: &[u32]) {
        if let Some(old) = self.seat.keyboard_focus.take() {
            let serial = self.next_serial();
            for keyboard in self.seat.keyboards.iter().filter(|k| same(*k, &old)) {
                keyboard.leave(serial, &old);
            }
            self.log("keyboard leave");
        }
        let Some(surface) = surface else { return };
        self.seat.keyboard_focus = Some(surface.clone());
        // The protocol says before; Smithay tells it afterwards.
        if !self.config.quirks.selection_after_enter {
            self.tell_selection();
        }
        for keyboard in self.keyboards() {
            self.keyboard_enter(&keyboard, &surface, keys);
        }
        if self.config.quirks.selection_after_enter {
            self.tell_selection();
        }
        self.log(format!("keyboard enter {keys:?}"));
    }

    fn keyboard_enter(&mut self, keyboard: &WlKeyboard, surface: &WlSurface, keys: &[u32]) {
        let serial = self.next_serial();
        let bytes = keys.iter().flat_map(|k| k.to_ne_bytes()).collect();
        keyboard.enter(serial, surface, bytes);
        let (depressed, latched, locked, group) = self.seat.keys.modifiers();
        let group = self.group(group);
        let serial = self.next_serial();
        keyboard.modifiers(serial, depressed, latched, locked, group);
    }

    fn group(&self, group: u32) -> u32 {
        if self.config.quirks.group_zero { 0 } else { group }
    }

    /// The modifiers the gesture helpers' keys amount to.
    pub fn send_tracked_modifiers(&mut self, (depressed, latched, locked, group): Modifiers) {
        let group = self.group(group);
        self.send_modifiers((depressed, latched, locked, group));
    }

    pub fn send_modifiers(&mut self, (depressed, latched, locked, group): Modifiers) {
        let serial = self.next_serial();
        for keyboard in self.keyboards() {
            keyboard.modifiers(serial, depressed, latched, locked, group);
        }
        self.log(format!("modifiers {depressed:#x} {latched:#x} {locked:#x}, group {group}"));
    }

    /// Compiles another keymap and sends it to every keyboard. False if it does not compile.
    pub fn change_keymap(&mut self, layout: &str, variant: &str) -> bool {
        let Ok(keys) = Keys::new(layout, variant) else {
            return false;
        };
        self.seat.keys = keys;
        for keyboard in &self.seat.keyboards {
            send_keymap(keyboard, &self.seat.keys);
        }
        self.log(format!("keymap {layout} {variant}"));
        true
    }

    /// Sends these bytes as a keymap that it says to be of this size; its own stays.
    pub fn send_bad_keymap(&mut self, bytes: &[u8], size: u32, format: KeymapFormat) {
        // Where there is no memory for a file there is no test either.
        let Ok(file) = SealedFile::with_data(c"keymap", bytes) else { return };
        for keyboard in &self.seat.keyboards {
            keyboard.keymap(format, file.as_fd(), size);
        }
        self.log(format!("a keymap of {} bytes, as {size}", bytes.len()));
    }

    pub fn change_repeat(&mut self, rate: i32, delay: i32) {
        self.config.repeat = (rate, delay);
        for keyboard in &self.seat.keyboards {
            if keyboard.version() >= wl_keyboard::EVT_REPEAT_INFO_SINCE {
                keyboard.repeat_info(rate, delay);
            }
        }
    }

    /// Devices come and go. Those that go take their focus with them, without a leave.
    pub fn change_capabilities(&mut self, capabilities: Capability) {
        self.seat.capabilities = capabilities;
        self.seat.ever |= capabilities;
        if !capabilities.contains(Capability::Pointer) {
            self.seat.pointer_focus = None;
        }
        if !capabilities.contains(Capability::Keyboard) {
            self.seat.keyboard_focus = None;
        }
        for seat in &self.seat.seats {
            seat.capabilities(capabilities);
        }
        self.log(format!("seat has {capabilities:?}"));
    }
}

fn send_keymap(keyboard: &WlKeyboard, keys: &Keys) {
    keyboard.keymap(KeymapFormat::XkbV1, keys.file.as_fd(), keys.file.size() as u32);
}

impl GlobalDispatch<WlSeat, ()> for State {
    fn bind(
        state: &mut Self,
        _dh: &DisplayHandle,
        _client: &Client,
        resource: New<WlSeat>,
        _data: &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let seat = init.init(resource, ());
        state.bound(&seat);
        if seat.version() >= wl_seat::EVT_NAME_SINCE {
            seat.name("seat-0".into());
        }
        seat.capabilities(state.seat.capabilities);
        state.seat.seats.push(seat);
    }
}

impl Dispatch<WlSeat, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        seat: &WlSeat,
        request: wl_seat::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let wanted = match &request {
            wl_seat::Request::GetPointer { .. } => Capability::Pointer,
            wl_seat::Request::GetKeyboard { .. } => Capability::Keyboard,
            wl_seat::Request::GetTouch { .. } => Capability::Touch,
            _ => return,
        };
        if !state.seat.ever.contains(wanted) {
            let message = format!("the seat never had {wanted:?}");
            state.fatal(seat, wl_seat::Error::MissingCapability, message);
            return;
        }
        state.log(format!("a client asks for {wanted:?}"));
        match request {
            wl_seat::Request::GetPointer { id } => {
                let pointer = init.init(id, ());
                state.seat.pointers.push(pointer.clone());
                state.greet_pointer(&pointer);
            }
            wl_seat::Request::GetKeyboard { id } => {
                let keyboard = init.init(id, ());
                send_keymap(&keyboard, &state.seat.keys);
                if keyboard.version() >= wl_keyboard::EVT_REPEAT_INFO_SINCE {
                    let (rate, delay) = state.config.repeat;
                    keyboard.repeat_info(rate, delay);
                }
                state.seat.keyboards.push(keyboard.clone());
                if let Some(focus) = state.seat.keyboard_focus.clone()
                    && same(&focus, &keyboard)
                {
                    let pressed = state.seat.keys.pressed.clone();
                    state.keyboard_enter(&keyboard, &focus, &pressed);
                }
            }
            wl_seat::Request::GetTouch { id } => {
                let touch = init.init(id, ());
                state.seat.touches.push(touch);
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, seat: &WlSeat, _data: &()) {
        state.seat.seats.retain(|s| s.id() != seat.id());
    }
}

impl Dispatch<WlPointer, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        pointer: &WlPointer,
        request: wl_pointer::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
        let wl_pointer::Request::SetCursor { serial, surface, hotspot_x, hotspot_y } = request else {
            return;
        };
        let mut number = None;
        if let Some(surface) = &surface
            && let Some(surface) = state.surface_mut(surface)
        {
            if !matches!(surface.role, Role::None | Role::Cursor) {
                let message = format!("a cursor surface that is a {:?}", surface.role);
                state.fatal(pointer, wl_pointer::Error::Role, message);
                return;
            }
            surface.role = Role::Cursor;
            number = Some(surface.number);
        }
        let hotspot = (hotspot_x, hotspot_y);
        state.cursor_set(surface.map(|surface| cursor::Set { surface, hotspot }));
        state.log(format!("set_cursor {number:?}, serial {serial}"));
        state.notes.note(|seen| {
            seen.cursors.push(CursorRequest {
                serial,
                serial_is_newest: seen.pointer_enters.last() == Some(&serial),
                surface: number,
                hotspot,
            });
        });
    }

    fn destroyed(state: &mut Self, _client: ClientId, pointer: &WlPointer, _data: &()) {
        state.seat.pointers.retain(|p| p.id() != pointer.id());
        state.seat.relatives.retain(|(_, p)| p.id() != pointer.id());
    }
}

impl Dispatch<WlKeyboard, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _keyboard: &WlKeyboard,
        _request: wl_keyboard::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, keyboard: &WlKeyboard, _data: &()) {
        state.seat.keyboards.retain(|k| k.id() != keyboard.id());
    }
}

impl Dispatch<WlTouch, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _touch: &WlTouch,
        _request: wl_touch::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, touch: &WlTouch, _data: &()) {
        state.seat.touches.retain(|t| t.id() != touch.id());
    }
}
