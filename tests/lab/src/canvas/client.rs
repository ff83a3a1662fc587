//! The canvas's Wayland client: one thread, one xdg_toplevel, wl_shm buffers, one seat. Writes what it hears into `Shared`, and waits
//! for nothing but the compositor and its orders.

use std::{
    collections::HashMap, error::Error, io::ErrorKind, os::unix::fs::FileExt as _, os::unix::net::UnixStream, sync::Arc,
};

use rustix::event::{PollFd, PollFlags, poll};
use wayland_client::{
    Connection, Dispatch, Proxy, QueueHandle, WEnum,
    backend::WaylandError,
    delegate_noop,
    globals::{GlobalListContents, registry_queue_init},
    protocol::{
        wl_buffer::{self, WlBuffer},
        wl_callback::{self, WlCallback},
        wl_compositor::WlCompositor,
        wl_keyboard::{self, WlKeyboard},
        wl_pointer::{self, WlPointer},
        wl_registry::{self, WlRegistry},
        wl_seat::{self, Capability, WlSeat},
        wl_shm::{Format, WlShm},
        wl_shm_pool::WlShmPool,
        wl_surface::WlSurface,
        wl_touch::{self, WlTouch},
    },
};
use wayland_protocols::xdg::shell::client::{
    xdg_surface::{self, XdgSurface},
    xdg_toplevel::{self, XdgToplevel},
    xdg_wm_base::{self, XdgWmBase},
};

use super::{Input, Orders, Seen, Shared, grab::Grab};
use crate::{memory::Memory, pattern};

/// The newest wl_seat this client knows.
const SEAT: u32 = 9;
/// What the window is while the desktop has no idea.
const SIZE: (u32, u32) = (640, 480);

struct Buffer {
    memory: Memory,
    buffer: WlBuffer,
    size: (u32, u32),
    busy: bool,
}

pub(super) struct Client {
    shared: Arc<Shared>,
    shm: WlShm,
    surface: WlSurface,
    toplevel: XdgToplevel,
    buffers: HashMap<u32, Buffer>,
    next_buffer: u32,
    /// From the last configure.
    size: (u32, u32),
    configured: bool,
    callback_pending: bool,
    pointer: Option<WlPointer>,
    grab: Grab,
    keyboard: Option<WlKeyboard>,
    touch: Option<WlTouch>,
    closed: bool,
    error: Option<String>,
}

pub(super) fn run(stream: UnixStream, shared: &Arc<Shared>) -> Result<(), Box<dyn Error>> {
    let connection = Connection::from_socket(stream)?;
    let (globals, mut queue) = registry_queue_init::<Client>(&connection)?;
    let handle = queue.handle();
    let compositor: WlCompositor = globals.bind(&handle, 4..=4, ())?;
    let shell: XdgWmBase = globals.bind(&handle, 1..=3, ())?;
    let shm: WlShm = globals.bind(&handle, 1..=1, ())?;
    // kept by the queue; a desktop without a seat is fine
    let _seat: Option<WlSeat> = globals.bind(&handle, 1..=SEAT, ()).ok();
    let surface = compositor.create_surface(&handle, ());
    let xdg_surface = shell.get_xdg_surface(&surface, &handle, ());
    let toplevel = xdg_surface.get_toplevel(&handle, ());
    toplevel.set_title("canvas".into());
    toplevel.set_app_id("canvas".into());
    toplevel.set_fullscreen(None);
    surface.commit();

    let grab = Grab::new(&globals, &handle, compositor, shm.clone());
    let mut client = Client {
        shared: Arc::clone(shared),
        shm,
        surface,
        toplevel,
        buffers: HashMap::new(),
        next_buffer: 0,
        size: SIZE,
        configured: false,
        callback_pending: false,
        pointer: None,
        grab,
        keyboard: None,
        touch: None,
        closed: false,
        error: None,
    };
    loop {
        queue.dispatch_pending(&mut client)?;
        if let Some(error) = client.error.take() {
            return Err(error.into());
        }
        let orders = shared.orders();
        if orders.quit || client.closed {
            let _ = connection.flush();
            return Ok(());
        }
        client.grab.play(&handle, client.pointer.as_ref(), &client.surface, orders.play);
        let Seen { seed: drawn, parts, redraws, .. } = shared.seen().clone();
        let wanted = (orders.seed, orders.parts.len(), orders.redraws);
        if client.configured && !orders.animate && (drawn, parts, redraws) != wanted {
            client.draw(&handle, orders.seed)?;
        } else if client.configured && orders.animate && !client.callback_pending {
            client.draw(&handle, next(drawn))?;
        }
        connection.flush()?;
        let Some(guard) = queue.prepare_read() else {
            continue;
        };
        let mut waits = [PollFd::new(&connection, PollFlags::IN), PollFd::new(&shared.wake, PollFlags::IN)];
        poll(&mut waits, None)?;
        let (readable, woken) = (!waits[0].revents().is_empty(), !waits[1].revents().is_empty());
        if readable {
            match guard.read() {
                // Only for objects that are gone by now.
                Err(WaylandError::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                read => drop(read?),
            }
        } else {
            drop(guard);
        }
        if woken {
            let _ = rustix::io::read(&shared.wake, &mut [0; 8]);
        }
    }
}

fn next(seed: u32) -> u32 {
    (seed + 1) & 0xFF_FFFF
}

impl Client {
    pub(super) fn note(&self, change: impl FnOnce(&mut Seen)) {
        self.shared.note(change);
    }

    pub(super) fn hear(&self, input: Input) {
        self.shared.note(|seen| seen.input.push(input));
    }

    fn draw(&mut self, handle: &QueueHandle<Self>, seed: u32) -> Result<(), Box<dyn Error>> {
        let size = self.size;
        self.buffers.retain(|_, buffer| {
            let keep = buffer.busy || buffer.size == size;
            if !keep {
                buffer.buffer.destroy();
            }
            keep
        });
        let free = self.buffers.iter().find(|(_, buffer)| !buffer.busy && buffer.size == size).map(|(id, _)| *id);
        let id = match free {
            Some(id) => id,
            None => self.new_buffer(handle, size)?,
        };
        let buffer = self.buffers.get_mut(&id).ok_or("a buffer")?;
        pattern::draw(buffer.memory.pixels(), size.0, seed);
        let Orders { parts, redraws, .. } = self.shared.orders();
        for (left, top, width, height, seed) in &parts {
            for y in *top..(top + height).min(size.1) {
                for x in *left..(left + width).min(size.0) {
                    buffer.memory.pixels()[(y * size.0 + x) as usize] = pattern::pattern(x, y, *seed);
                }
            }
        }
        buffer.busy = true;
        self.surface.attach(Some(&buffer.buffer), 0, 0);
        let before = self.shared.seen().clone();
        if (before.size, before.seed, before.redraws) == (size, seed, redraws) && before.parts < parts.len() {
            for (left, top, width, height, _) in &parts[before.parts..] {
                self.surface.damage_buffer(*left as i32, *top as i32, *width as i32, *height as i32);
            }
        } else {
            self.surface.damage_buffer(0, 0, i32::MAX, i32::MAX);
        }
        if !self.callback_pending {
            self.surface.frame(handle, ());
            self.callback_pending = true;
        }
        self.surface.commit();
        self.shared.time(seed);
        self.shared.note(|seen| {
            (seen.size, seen.seed, seen.parts, seen.redraws) = (size, seed, parts.len(), redraws);
            seen.drawn += 1;
        });
        Ok(())
    }

    fn new_buffer(&mut self, handle: &QueueHandle<Self>, size: (u32, u32)) -> Result<u32, Box<dyn Error>> {
        let (width, height) = (i32::try_from(size.0)?, i32::try_from(size.1)?);
        let memory = Memory::new((size.0 * size.1) as usize)?;
        let pool = self.shm.create_pool(memory.fd(), width * height * 4, handle, ());
        let id = self.next_buffer;
        self.next_buffer += 1;
        let buffer = pool.create_buffer(0, width, height, width * 4, Format::Xrgb8888, handle, id);
        pool.destroy();
        self.buffers.insert(id, Buffer { memory, buffer, size, busy: false });
        Ok(id)
    }
}

impl Dispatch<XdgSurface, ()> for Client {
    fn event(
        state: &mut Self,
        surface: &XdgSurface,
        event: xdg_surface::Event,
        (): &(),
        _: &Connection,
        handle: &QueueHandle<Self>,
    ) {
        let xdg_surface::Event::Configure { serial } = event else {
            return;
        };
        surface.ack_configure(serial);
        state.configured = true;
        state.shared.note(|seen| seen.configures += 1);
        let (size, drawn, seed) = {
            let seen = state.shared.seen();
            (seen.size, seen.drawn, seen.seed)
        };
        if size != state.size || drawn == 0 {
            let seed = if drawn == 0 { state.shared.orders().seed } else { seed };
            if let Err(error) = state.draw(handle, seed) {
                state.error = Some(error.to_string());
            }
        } else {
            state.surface.commit();
        }
    }
}

impl Dispatch<XdgToplevel, ()> for Client {
    fn event(
        state: &mut Self,
        _: &XdgToplevel,
        event: xdg_toplevel::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            xdg_toplevel::Event::Configure { width, height, states } => {
                if let (Ok(width @ 1..), Ok(height @ 1..)) = (u32::try_from(width), u32::try_from(height)) {
                    state.size = (width, height);
                }
                let fullscreen = u32::from(xdg_toplevel::State::Fullscreen);
                let is = states
                    .chunks_exact(4)
                    .any(|state| u32::from_ne_bytes([state[0], state[1], state[2], state[3]]) == fullscreen);
                state.shared.note(|seen| seen.fullscreen = is);
            }
            xdg_toplevel::Event::Close => state.closed = true,
            _ => {}
        }
    }
}

impl Dispatch<WlCallback, ()> for Client {
    fn event(
        state: &mut Self,
        _: &WlCallback,
        event: wl_callback::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_callback::Event::Done { .. } = event {
            // the loop draws the next picture, if it is to
            state.callback_pending = false;
            state.shared.note(|seen| seen.shown += 1);
        }
    }
}

impl Dispatch<WlBuffer, u32> for Client {
    fn event(state: &mut Self, _: &WlBuffer, event: wl_buffer::Event, id: &u32, _: &Connection, _: &QueueHandle<Self>) {
        if let (wl_buffer::Event::Release, Some(buffer)) = (event, state.buffers.get_mut(id)) {
            buffer.busy = false;
        }
    }
}

impl Dispatch<XdgWmBase, ()> for Client {
    fn event(
        _: &mut Self,
        shell: &XdgWmBase,
        event: xdg_wm_base::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let xdg_wm_base::Event::Ping { serial } = event {
            shell.pong(serial);
        }
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for Client {
    fn event(
        state: &mut Self,
        _: &WlRegistry,
        event: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        // a window that was mapped while there was no monitor is not fullscreen on the first one unless it asks again
        if matches!(&event, wl_registry::Event::Global { interface, .. } if interface == "wl_output") {
            state.toplevel.set_fullscreen(None);
        }
    }
}

impl Dispatch<WlSeat, ()> for Client {
    fn event(
        state: &mut Self,
        seat: &WlSeat,
        event: wl_seat::Event,
        (): &(),
        _: &Connection,
        handle: &QueueHandle<Self>,
    ) {
        let wl_seat::Event::Capabilities { capabilities: WEnum::Value(has) } = event else {
            return;
        };
        let old = seat.version() < 3;
        if has.contains(Capability::Pointer) != state.pointer.is_some() {
            match state.pointer.take() {
                Some(pointer) if !old => pointer.release(),
                Some(_) => {}
                None => state.pointer = Some(seat.get_pointer(handle, ())),
            }
            state.grab.pointer(handle, state.pointer.as_ref());
        }
        if has.contains(Capability::Keyboard) != state.keyboard.is_some() {
            match state.keyboard.take() {
                Some(keyboard) if !old => keyboard.release(),
                Some(_) => {}
                None => state.keyboard = Some(seat.get_keyboard(handle, ())),
            }
        }
        if has.contains(Capability::Touch) != state.touch.is_some() {
            match state.touch.take() {
                Some(touch) if !old => touch.release(),
                Some(_) => {}
                None => state.touch = Some(seat.get_touch(handle, ())),
            }
        }
    }
}

impl Dispatch<WlPointer, ()> for Client {
    fn event(
        state: &mut Self,
        pointer: &WlPointer,
        event: wl_pointer::Event,
        (): &(),
        _: &Connection,
        handle: &QueueHandle<Self>,
    ) {
        use wl_pointer::{Axis, ButtonState, Event};
        let is_vertical = |axis| axis == WEnum::Value(Axis::VerticalScroll);
        match event {
            Event::Enter { serial, surface_x: x, surface_y: y, .. } => {
                state.grab.entered(handle, pointer, serial);
                state.shared.note(|seen| seen.pointer = Some((x, y)));
                state.hear(Input::PointerEnter { x, y });
            }
            Event::Leave { .. } => {
                state.shared.note(|seen| seen.pointer = None);
                state.hear(Input::PointerLeave);
            }
            Event::Motion { surface_x: x, surface_y: y, .. } => {
                state.shared.note(|seen| seen.pointer = Some((x, y)));
                state.hear(Input::Motion { x, y });
            }
            Event::Button { button: code, state: pressed, .. } => {
                state.hear(Input::Button { code, pressed: pressed == WEnum::Value(ButtonState::Pressed) });
            }
            Event::Axis { axis, value, .. } => state.hear(Input::Axis { vertical: is_vertical(axis), value }),
            Event::AxisSource { axis_source } => state.hear(Input::AxisSource(axis_source.into())),
            Event::AxisDiscrete { axis, discrete } => {
                state.hear(Input::AxisDiscrete { vertical: is_vertical(axis), notches: discrete })
            }
            Event::AxisValue120 { axis, value120 } => {
                state.hear(Input::AxisValue120 { vertical: is_vertical(axis), v120: value120 })
            }
            Event::AxisStop { axis, .. } => state.hear(Input::AxisStop { vertical: is_vertical(axis) }),
            _ => {}
        }
    }
}

impl Dispatch<WlKeyboard, ()> for Client {
    fn event(
        state: &mut Self,
        _: &WlKeyboard,
        event: wl_keyboard::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use wl_keyboard::{Event, KeyState};
        match event {
            Event::Keymap { size, fd, .. } => {
                let mut text = vec![0; size as usize];
                let read = std::fs::File::from(fd).read_exact_at(&mut text, 0);
                let text = String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned();
                state.shared.note(|seen| seen.keymap = read.map_or_else(|error| error.to_string(), |()| text));
                state.hear(Input::Keymap(size));
            }
            Event::Enter { keys, .. } => {
                let keys =
                    keys.chunks_exact(4).map(|key| u32::from_ne_bytes([key[0], key[1], key[2], key[3]])).collect();
                state.shared.note(|seen| seen.keyboard = true);
                state.hear(Input::KeyboardEnter(keys));
            }
            Event::Leave { .. } => {
                state.shared.note(|seen| seen.keyboard = false);
                state.hear(Input::KeyboardLeave);
            }
            Event::Key { key: code, state: pressed, .. } => {
                state.hear(Input::Key { code, pressed: pressed == WEnum::Value(KeyState::Pressed) });
            }
            Event::Modifiers {
                mods_depressed: depressed, mods_latched: latched, mods_locked: locked, group, ..
            } => {
                state.hear(Input::Modifiers { depressed, latched, locked, group });
            }
            _ => {}
        }
    }
}

impl Dispatch<WlTouch, ()> for Client {
    fn event(state: &mut Self, _: &WlTouch, event: wl_touch::Event, (): &(), _: &Connection, _: &QueueHandle<Self>) {
        match event {
            wl_touch::Event::Down { id, x, y, .. } => state.hear(Input::TouchDown { id, x, y }),
            wl_touch::Event::Motion { id, x, y, .. } => state.hear(Input::TouchMotion { id, x, y }),
            wl_touch::Event::Up { id, .. } => state.hear(Input::TouchUp(id)),
            wl_touch::Event::Cancel => state.hear(Input::TouchCancel),
            _ => {}
        }
    }
}

delegate_noop!(Client: ignore WlSurface);
delegate_noop!(Client: ignore WlShm);
delegate_noop!(Client: WlShmPool);
delegate_noop!(Client: WlCompositor);
