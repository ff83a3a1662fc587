//! Makes the virtual pointer and keyboard of a wlroots guest: what the compositor has, which of its seats and outputs they
//! belong to, and the guest's own layout. One step a turn of the loop, each ended by the compositor's answer; sends no
//! input.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tracing::{debug, info, warn};
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_keyboard::{self, KeyState, KeymapFormat, WlKeyboard};
use wayland_client::protocol::wl_output::{self, WlOutput};
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::{self, Capability, WlSeat};
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, WEnum, delegate_noop};
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_manager_v1::ZwpVirtualKeyboardManagerV1;
use wayland_protocols_misc::zwp_virtual_keyboard_v1::client::zwp_virtual_keyboard_v1::ZwpVirtualKeyboardV1;
use wayland_protocols_wlr::virtual_pointer::v1::client::zwlr_virtual_pointer_manager_v1::ZwlrVirtualPointerManagerV1;
pub(super) use wayland_protocols_wlr::virtual_pointer::v1::client::zwlr_virtual_pointer_v1::ZwlrVirtualPointerV1 as Pointer;

use crate::input::keymap::{Keymap, LockReader, Typing};
use crate::input::locks::{LOCKS, Locks};

/// What an answer means.
pub(super) enum Answer {
    /// It ends a step of the setup.
    Step,
    /// All input has been handled.
    Goodbye,
}

/// What the compositor has told.
#[derive(Default)]
pub(super) struct Compositor {
    /// Name, interface and version of each global.
    globals: Vec<(u32, String, u32)>,
    /// Steps that it has answered.
    steps: u32,
    /// Goodbyes that it has answered.
    pub goodbyes: u32,
    /// Its outputs that have told their names, in its order.
    outputs: Vec<(WlOutput, String)>,
    /// Asked for once the seat has one: the only way to its keymap.
    keyboard: Option<WlKeyboard>,
    keymap: Option<Keymap>,
}

impl Compositor {
    /// Binds the first global of an interface, in a version that both sides know.
    fn bind<P>(&self, registry: &WlRegistry, queue: &QueueHandle<Self>, newest: u32) -> Option<P>
    where
        P: Proxy + 'static,
        Self: Dispatch<P, ()>,
    {
        let (name, _, version) = self.globals.iter().find(|(_, interface, _)| interface == P::interface().name)?;
        Some(registry.bind(*name, (*version).min(newest), queue, ()))
    }
}

/// How far the setup has come.
enum Asked {
    /// For its globals.
    Globals,
    /// For what these say of themselves.
    Seat,
    /// For the keymap of the seat's keyboard, if it has one: ours would take its place.
    Keymap,
}

/// The devices in the making.
pub(super) struct Setup {
    asked: Asked,
    registry: WlRegistry,
    seat: Option<WlSeat>,
    pointers: Option<ZwlrVirtualPointerManagerV1>,
    keyboards: Option<ZwpVirtualKeyboardManagerV1>,
    /// The output that is shown, if it was named.
    output: Option<String>,
}

impl Setup {
    /// Asks for the globals.
    pub fn begin(connection: &Connection, queue: &QueueHandle<Compositor>, output: Option<String>) -> Self {
        let registry = connection.display().get_registry(queue, ());
        connection.display().sync(queue, Answer::Step);
        Self { asked: Asked::Globals, registry, seat: None, pointers: None, keyboards: None, output }
    }

    /// Does what can be done with what the compositor has told by now; the devices, at the end.
    pub fn advance(
        &mut self,
        compositor: &mut Compositor,
        connection: &Connection,
        queue: &QueueHandle<Compositor>,
    ) -> Option<Devices> {
        if std::mem::take(&mut compositor.steps) == 0 {
            return None;
        }
        match self.asked {
            Asked::Globals => {
                self.bind(compositor, queue);
                self.asked = Asked::Seat;
            }
            // The keyboard was asked for as soon as the seat had one.
            Asked::Seat => self.asked = Asked::Keymap,
            Asked::Keymap => return Some(self.devices(compositor, queue)),
        }
        connection.display().sync(queue, Answer::Step);
        None
    }

    fn bind(&mut self, compositor: &Compositor, queue: &QueueHandle<Compositor>) {
        self.seat = compositor.bind(&self.registry, queue, 5);
        self.pointers = compositor.bind(&self.registry, queue, 2);
        self.keyboards = compositor.bind(&self.registry, queue, 1);
        for (name, interface, version) in &compositor.globals {
            if *interface == WlOutput::interface().name && *version >= 4 {
                let _: WlOutput = self.registry.bind(*name, 4, queue, ());
            }
        }
    }

    fn devices(&mut self, compositor: &mut Compositor, queue: &QueueHandle<Compositor>) -> Devices {
        let output = self.output(&compositor.outputs);
        let pointer = self.pointers.as_ref().map(|pointers| match output {
            Some(output) if pointers.version() >= 2 => {
                pointers.create_virtual_pointer_with_output(self.seat.as_ref(), Some(output), queue, ())
            }
            _ => pointers.create_virtual_pointer(self.seat.as_ref(), queue, ()),
        });
        for (output, _) in compositor.outputs.drain(..) {
            output.release();
        }
        if let Some(keyboard) = compositor.keyboard.take().filter(|keyboard| keyboard.version() >= 3) {
            keyboard.release();
        }
        let keyboard = self.keyboards.as_ref().zip(self.seat.as_ref()).and_then(|(keyboards, seat)| {
            let keymap = compositor.keymap.take().or_else(here)?;
            Some(Keyboard::new(keyboards.create_virtual_keyboard(seat, queue, ()), &keymap))
        });
        let lacks = match (&pointer, &keyboard) {
            (Some(_), Some(_)) => None,
            (None, Some(_)) => {
                Some("no pointer moves in the guest (its compositor has no zwlr_virtual_pointer_manager_v1)")
            }
            (Some(_), None) => {
                Some("nobody types in the guest (its compositor has no zwp_virtual_keyboard_manager_v1)")
            }
            (None, None) => Some(
                "the guest is looked at only: its compositor has neither zwlr_virtual_pointer_manager_v1 nor zwp_virtual_keyboard_manager_v1; does --guest-socket name that of a wlroots compositor?",
            ),
        };
        if let Some(lacks) = lacks {
            warn!("{lacks}");
        }
        Devices { pointer, keyboard }
    }

    /// The output that absolute positions are of; `None` when there is no choice.
    fn output<'a>(&self, outputs: &'a [(WlOutput, String)]) -> Option<&'a WlOutput> {
        match &self.output {
            Some(wanted) => {
                let found = outputs.iter().find(|(_, name)| name == wanted);
                if found.is_none() {
                    warn!("the guest has no output {wanted}: the pointer goes over all of them");
                }
                found.map(|(output, _)| output)
            }
            None => {
                let (output, name) = outputs.first()?;
                if outputs.len() > 1 {
                    info!("the guest has {} outputs; the pointer goes to {name}", outputs.len());
                }
                Some(output)
            }
        }
    }
}

/// The devices that there are.
pub(super) struct Devices {
    /// The mouse.
    pub pointer: Option<Pointer>,
    /// The keyboard.
    pub keyboard: Option<Keyboard>,
}

/// A virtual keyboard. Its modifiers are told beside its keys, so it keeps them as a keyboard's driver does.
pub(super) struct Keyboard {
    proxy: ZwpVirtualKeyboardV1,
    typing: Typing,
    locks: LockReader,
}

impl Keyboard {
    fn new(proxy: ZwpVirtualKeyboardV1, keymap: &Keymap) -> Self {
        let keyboard = Self { proxy, typing: keymap.typing(), locks: keymap.lock_reader() };
        keyboard.hand_over(keymap);
        keyboard
    }

    /// Has this keymap from now on, with no key down.
    pub fn set_keymap(&mut self, keymap: &Keymap, group: u32) {
        (self.typing, self.locks) = (keymap.typing(), keymap.lock_reader());
        self.hand_over(keymap);
        self.set_group(group);
    }

    fn hand_over(&self, keymap: &Keymap) {
        debug!(?keymap, "the virtual keyboard's");
        match in_memory(keymap.text()) {
            Ok((fd, size)) => self.proxy.keymap(KeymapFormat::XkbV1.into(), fd.as_fd(), size),
            Err(error) => warn!("the keymap cannot be handed over: {error}"),
        }
    }

    /// Has this group of its keymap from now on.
    pub fn set_group(&mut self, group: u32) {
        self.typing.set_group(group);
        self.tell_modifiers();
    }

    fn tell_modifiers(&self) {
        let [depressed, latched, locked, group] = self.typing.modifiers();
        self.proxy.modifiers(depressed, latched, locked, group);
    }

    /// Presses or releases a key, by its evdev code, at a time in ms; whether a modifier has changed, which is told.
    pub fn key(&mut self, time: u32, code: u32, pressed: bool) -> bool {
        let state = if pressed { KeyState::Pressed } else { KeyState::Released };
        self.proxy.key(time, code, state.into());
        let changed = self.typing.key(code, pressed);
        if changed {
            self.tell_modifiers();
        }
        changed
    }

    /// How its lock keys are.
    pub fn locks(&mut self) -> Locks {
        let [depressed, latched, locked, _] = self.typing.modifiers();
        self.locks.read(depressed, latched, locked)
    }

    /// The evdev codes of its lock keys.
    pub fn lock_keys(&self) -> [Option<u32>; LOCKS.len()] {
        self.locks.keys()
    }
}

/// The layout of a guest that has no keyboard: what its environment says, which is the bridge's too.
fn here() -> Option<Keymap> {
    let keymap = Keymap::of_environment().or_else(|_| {
        warn!("XKB_DEFAULT_LAYOUT and its like name no keyboard layout that is known here; typing on an American one");
        Keymap::of_layouts(&[])
    });
    keymap.inspect_err(|_| warn!("there are no keyboard layouts here: install xkb-data")).ok()
}

/// A keymap's text with a closing NUL, in memory that nobody can change, and its size in bytes.
fn in_memory(text: &str) -> std::io::Result<(OwnedFd, u32)> {
    let mut file = File::from(memfd_create("keymap", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(text.as_bytes())?;
    file.write_all(&[0])?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    let size = u32::try_from(text.len() + 1).map_err(std::io::Error::other)?;
    Ok((file.into(), size))
}

impl Dispatch<WlRegistry, ()> for Compositor {
    fn event(
        compositor: &mut Self,
        _: &WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_registry::Event::Global { name, interface, version } = event {
            compositor.globals.push((name, interface, version));
        }
    }
}

impl Dispatch<WlCallback, Answer> for Compositor {
    fn event(
        compositor: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        answer: &Answer,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match answer {
            Answer::Step => compositor.steps += 1,
            Answer::Goodbye => compositor.goodbyes += 1,
        }
    }
}

impl Dispatch<WlSeat, ()> for Compositor {
    fn event(
        compositor: &mut Self,
        seat: &WlSeat,
        event: wl_seat::Event,
        (): &(),
        _: &Connection,
        queue: &QueueHandle<Self>,
    ) {
        let wl_seat::Event::Capabilities { capabilities: WEnum::Value(capabilities) } = event else { return };
        if capabilities.contains(Capability::Keyboard) && compositor.keyboard.is_none() {
            compositor.keyboard = Some(seat.get_keyboard(queue, ()));
        }
    }
}

impl Dispatch<WlKeyboard, ()> for Compositor {
    fn event(
        compositor: &mut Self,
        _: &WlKeyboard,
        event: wl_keyboard::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_keyboard::Event::Keymap { format: WEnum::Value(KeymapFormat::XkbV1), fd, size } = event {
            match Keymap::read(fd, size) {
                Ok(keymap) => compositor.keymap = Some(keymap),
                Err(why) => warn!("the guest's keymap cannot be used: {why}"),
            }
        }
    }
}

impl Dispatch<WlOutput, ()> for Compositor {
    fn event(
        compositor: &mut Self,
        output: &WlOutput,
        event: wl_output::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_output::Event::Name { name } = event {
            compositor.outputs.push((output.clone(), name));
        }
    }
}

delegate_noop!(Compositor: ZwlrVirtualPointerManagerV1);
delegate_noop!(Compositor: Pointer);
delegate_noop!(Compositor: ZwpVirtualKeyboardManagerV1);
delegate_noop!(Compositor: ZwpVirtualKeyboardV1);
