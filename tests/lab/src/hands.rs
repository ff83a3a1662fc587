//! A mouse and a keyboard in a wlroots host: zwlr_virtual_pointer_v1 and zwp_virtual_keyboard_v1, in the calling thread.
//! Owns the devices for as long as it lives; never looks at what its input does.

use std::{
    error::Error,
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use wayland_client::{
    Connection, Dispatch, EventQueue, Proxy as _, QueueHandle, WEnum, delegate_noop,
    globals::{GlobalListContents, registry_queue_init},
    protocol::{
        wl_keyboard::{KeyState, KeymapFormat},
        wl_output::{self, WlOutput},
        wl_pointer::{Axis, AxisSource, ButtonState},
        wl_registry::{self, WlRegistry},
        wl_seat::WlSeat,
    },
};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::{
    zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1, zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1,
};
use wayland_protocols_wlr::virtual_pointer::v1::client::{
    zwlr_virtual_pointer_manager_v1::ZwlrVirtualPointerManagerV1, zwlr_virtual_pointer_v1::ZwlrVirtualPointerV1,
};
use xkbcommon::xkb;

use crate::{keys, memory::Memory};

/// Positions go out as fractions of the output; this many to a pixel, as wl_fixed has.
const FRACTIONS: f64 = 256.0;
/// What a notch of a wheel scrolls, in the units of wl_pointer.axis: libinput's.
const NOTCH: f64 = 15.0;

/// A mouse and a US keyboard, plugged in until dropped. Every call returns when the host has taken it.
///
/// A client hears of the first devices of a seat when they are plugged in: let it have its keyboard focus before typing.
pub struct Hands {
    queue: EventQueue<State>,
    state: State,
    pointer: ZwlrVirtualPointerV1,
    keyboard: ZwpVirtualKeyboardV1,
    modifiers: xkb::State,
    origin: (f64, f64),
    began: Instant,
    // the host maps it whenever it likes
    _keymap: Memory,
}

impl std::fmt::Debug for Hands {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Hands").field("origin", &self.origin).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    /// Of the output, in pixels.
    size: (i32, i32),
}

impl Hands {
    /// Plugs a mouse and a keyboard into the host at that socket.
    ///
    /// # Errors
    /// When there is no host, or it is none that lets clients do this.
    pub fn connect(socket: &Path) -> Result<Self, Box<dyn Error>> {
        Self::connect_with(socket, 0, "us")
    }

    /// The same, to the host's seat of that number, counted from 0 in the order in which it lists them.
    ///
    /// # Errors
    /// The same, and when it has fewer seats.
    pub fn connect_to(socket: &Path, seat: usize) -> Result<Self, Box<dyn Error>> {
        Self::connect_with(socket, seat, "us")
    }

    /// The same with a keyboard of another layout; [`type_text`](Self::type_text) still presses the keys of a US one.
    ///
    /// # Errors
    /// The same, and when there is no such layout.
    pub fn connect_with(socket: &Path, seat: usize, layout: &str) -> Result<Self, Box<dyn Error>> {
        let stream = UnixStream::connect(socket).map_err(|error| format!("{}: {error}", socket.display()))?;
        let connection = Connection::from_socket(stream)?;
        let (globals, mut queue) = registry_queue_init::<State>(&connection)?;
        let handle = queue.handle();
        let seats = globals.contents().clone_list().into_iter().filter(|it| it.interface == WlSeat::interface().name);
        let seat = seats.map(|it| it.name).nth(seat).ok_or("the host has no such seat")?;
        let seat: WlSeat = globals.registry().bind(seat, 1, &handle, ());
        let _output: WlOutput = globals.bind(&handle, 1..=1, ())?;
        let pointers: ZwlrVirtualPointerManagerV1 = globals.bind(&handle, 1..=1, ())?;
        let keyboards: ZwpVirtualKeyboardManagerV1 = globals.bind(&handle, 1..=1, ())?;
        let pointer = pointers.create_virtual_pointer(Some(&seat), &handle, ());
        let keyboard = keyboards.create_virtual_keyboard(&seat, &handle, ());

        let context = xkb::Context::new(xkb::CONTEXT_NO_FLAGS);
        let keymap =
            xkb::Keymap::new_from_names(&context, "evdev", "pc105", layout, "", None, xkb::KEYMAP_COMPILE_NO_FLAGS)
                .ok_or("xkbcommon has no such keymap here (is xkb-data installed?)")?;
        let mut text = keymap.get_as_string(xkb::KEYMAP_FORMAT_TEXT_V1).into_bytes();
        text.push(0);
        let length = u32::try_from(text.len())?;
        text.resize(text.len().next_multiple_of(4), 0);
        let mut memory = Memory::new(text.len() / 4)?;
        for (pixel, bytes) in memory.pixels().iter_mut().zip(text.chunks_exact(4)) {
            *pixel = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        keyboard.keymap(KeymapFormat::XkbV1.into(), memory.fd(), length);

        let mut state = State::default();
        queue.roundtrip(&mut state)?;
        Ok(Hands {
            queue,
            state,
            pointer,
            keyboard,
            modifiers: xkb::State::new(&keymap),
            origin: (0.0, 0.0),
            began: Instant::now(),
            _keymap: memory,
        })
    }

    /// The same hands, with every position counted from (`x`, `y`) of the output.
    #[must_use]
    pub fn with_origin(mut self, x: f64, y: f64) -> Self {
        self.origin = (x, y);
        self
    }

    /// Milliseconds, for the host's events.
    fn now(&self) -> u32 {
        u32::try_from(self.began.elapsed().as_millis() & 0xFFFF_FFFF).unwrap_or_default()
    }

    fn done(&mut self) {
        self.queue.roundtrip(&mut self.state).expect("the host takes the input");
    }

    /// Moves the pointer to a position in pixels of the output; fractions of 1/256 arrive.
    ///
    /// # Panics
    /// When the host is gone; so do all the others.
    pub fn move_to(&mut self, x: f64, y: f64) {
        // the output may have another size by now
        self.done();
        let scaled = |value: f64| (value.max(0.0) * FRACTIONS).round() as u32;
        let (width, height) = (scaled(f64::from(self.state.size.0)), scaled(f64::from(self.state.size.1)));
        self.pointer.motion_absolute(self.now(), scaled(x + self.origin.0), scaled(y + self.origin.1), width, height);
        self.pointer.frame();
        self.done();
    }

    /// Moves the pointer by so many pixels.
    pub fn move_by(&mut self, dx: f64, dy: f64) {
        self.pointer.motion(self.now(), dx, dy);
        self.pointer.frame();
        self.done();
    }

    /// Presses or releases a button: an evdev code, such as [`keys::BTN_LEFT`].
    pub fn button(&mut self, code: u32, pressed: bool) {
        self.pointer.button(self.now(), code, if pressed { ButtonState::Pressed } else { ButtonState::Released });
        self.pointer.frame();
        self.done();
    }

    /// Moves there and clicks the left button.
    pub fn click(&mut self, x: f64, y: f64) {
        self.move_to(x, y);
        self.button(keys::BTN_LEFT, true);
        self.button(keys::BTN_LEFT, false);
    }

    /// Turns the wheel by whole notches, down for positive ones.
    pub fn wheel(&mut self, notches: i32) {
        self.wheel_axis(Axis::VerticalScroll, notches);
    }

    /// Turns the horizontal wheel by whole notches, right for positive ones.
    pub fn wheel_horizontal(&mut self, notches: i32) {
        self.wheel_axis(Axis::HorizontalScroll, notches);
    }

    fn wheel_axis(&mut self, axis: Axis, notches: i32) {
        self.pointer.axis_source(AxisSource::Wheel);
        self.pointer.axis_discrete(self.now(), axis, NOTCH * f64::from(notches), notches);
        self.pointer.frame();
        self.done();
    }

    /// Scrolls with two fingers by so many pixels down.
    pub fn scroll(&mut self, dy: f64) {
        self.pointer.axis_source(AxisSource::Finger);
        self.pointer.axis(self.now(), Axis::VerticalScroll, dy);
        self.pointer.frame();
        self.done();
    }

    /// Lifts the two fingers.
    pub fn scroll_stop(&mut self) {
        self.pointer.axis_source(AxisSource::Finger);
        self.pointer.axis_stop(self.now(), Axis::VerticalScroll);
        self.pointer.frame();
        self.done();
    }

    /// Presses or releases a key: an evdev code. The modifiers it makes follow it, as from a real keyboard.
    pub fn key(&mut self, code: u32, pressed: bool) {
        let (state, direction) = if pressed {
            (KeyState::Pressed, xkb::KeyDirection::Down)
        } else {
            (KeyState::Released, xkb::KeyDirection::Up)
        };
        self.keyboard.key(self.now(), code, state.into());
        // X keycodes are evdev's plus 8
        if self.modifiers.update_key(xkb::Keycode::new(code + 8), direction) != 0 {
            let modifiers = &self.modifiers;
            self.keyboard.modifiers(
                modifiers.serialize_mods(xkb::STATE_MODS_DEPRESSED),
                modifiers.serialize_mods(xkb::STATE_MODS_LATCHED),
                modifiers.serialize_mods(xkb::STATE_MODS_LOCKED),
                modifiers.serialize_layout(xkb::STATE_LAYOUT_EFFECTIVE),
            );
        }
        self.done();
    }

    /// Presses a key and releases it.
    pub fn tap(&mut self, code: u32) {
        self.key(code, true);
        self.key(code, false);
    }

    /// Presses a chord such as `ctrl+a` and releases it.
    ///
    /// # Errors
    /// When a key has another name.
    pub fn chord(&mut self, name: &str) -> Result<(), String> {
        let codes = keys::chord(name)?;
        codes.iter().for_each(|code| self.key(*code, true));
        codes.iter().rev().for_each(|code| self.key(*code, false));
        Ok(())
    }

    /// Types ASCII text on the US layout.
    ///
    /// # Panics
    /// At a character that has no key.
    pub fn type_text(&mut self, text: &str) {
        for char in text.chars() {
            let (code, shift) = keys::of_char(char).unwrap_or_else(|| panic!("no key types {char:?}"));
            if shift {
                self.key(keys::KEY_LEFTSHIFT, true);
            }
            self.tap(code);
            if shift {
                self.key(keys::KEY_LEFTSHIFT, false);
            }
            // a fast typist's, and time for clients that look at each
            thread::sleep(Duration::from_millis(8));
        }
    }
}

impl Dispatch<WlOutput, ()> for State {
    fn event(state: &mut Self, _: &WlOutput, event: wl_output::Event, (): &(), _: &Connection, _: &QueueHandle<Self>) {
        if let wl_output::Event::Mode { flags: WEnum::Value(flags), width, height, .. } = event {
            if flags.contains(wl_output::Mode::Current) {
                state.size = (width, height);
            }
        }
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for State {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

delegate_noop!(State: ignore WlSeat);
delegate_noop!(State: ZwlrVirtualPointerManagerV1);
delegate_noop!(State: ZwlrVirtualPointerV1);
delegate_noop!(State: ZwpVirtualKeyboardManagerV1);
delegate_noop!(State: ZwpVirtualKeyboardV1);
