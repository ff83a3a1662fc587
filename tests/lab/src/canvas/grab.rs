//! The pointer of the canvas as a game has it: locked or free, with a cursor or without, and its relative motion.
//! Owns the constraint and the cursor; what the pointer does is told by `client`.

use wayland_client::{
    Connection, Dispatch, QueueHandle, delegate_noop,
    globals::GlobalList,
    protocol::{
        wl_compositor::WlCompositor,
        wl_pointer::WlPointer,
        wl_shm::{Format, WlShm},
        wl_surface::WlSurface,
    },
};
use wayland_protocols::wp::{
    pointer_constraints::zv1::client::{
        zwp_locked_pointer_v1::{self, ZwpLockedPointerV1},
        zwp_pointer_constraints_v1::{Lifetime, ZwpPointerConstraintsV1},
    },
    relative_pointer::zv1::client::{
        zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1,
        zwp_relative_pointer_v1::{self, ZwpRelativePointerV1},
    },
};

use super::{Input, client::Client};
use crate::memory::Memory;

/// Sides of the cursor, and the pixel that points.
const CURSOR: (u32, i32) = (16, 8);
/// Premultiplied ARGB.
const RED: u32 = 0xffff_0000;

/// What the window does with the pointer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Play {
    /// No cursor; the pointer is free. So it is from the start.
    #[default]
    Hidden,
    /// A red square; the pointer is free.
    Cursor,
    /// Locked, without a cursor: a game from the eyes of its hero.
    Locked,
}

/// The seat's pointer, and what it is made to do.
pub(super) struct Grab {
    compositor: WlCompositor,
    shm: WlShm,
    constraints: Option<ZwpPointerConstraintsV1>,
    relatives: Option<ZwpRelativePointerManagerV1>,
    relative: Option<ZwpRelativePointerV1>,
    lock: Option<ZwpLockedPointerV1>,
    cursor: Option<(WlSurface, Memory)>,
    play: Play,
    entered: Option<u32>,
}

impl Grab {
    pub fn new(globals: &GlobalList, handle: &QueueHandle<Client>, compositor: WlCompositor, shm: WlShm) -> Self {
        Self {
            compositor,
            shm,
            constraints: globals.bind(handle, 1..=1, ()).ok(),
            relatives: globals.bind(handle, 1..=1, ()).ok(),
            relative: None,
            lock: None,
            cursor: None,
            play: Play::default(),
            entered: None,
        }
    }

    /// The seat has another pointer, or none.
    pub fn pointer(&mut self, handle: &QueueHandle<Client>, pointer: Option<&WlPointer>) {
        if let Some(relative) = self.relative.take() {
            relative.destroy();
        }
        if let Some(lock) = self.lock.take() {
            lock.destroy();
        }
        self.entered = None;
        self.relative =
            self.relatives.as_ref().zip(pointer).map(|(manager, it)| manager.get_relative_pointer(it, handle, ()));
    }

    /// The pointer came into the window.
    pub fn entered(&mut self, handle: &QueueHandle<Client>, pointer: &WlPointer, serial: u32) {
        self.entered = Some(serial);
        self.show(handle, pointer);
    }

    /// Plays another way, if this is one.
    pub fn play(&mut self, handle: &QueueHandle<Client>, pointer: Option<&WlPointer>, surface: &WlSurface, play: Play) {
        let Some(pointer) = pointer.filter(|_| play != self.play) else { return };
        self.play = play;
        // Without a cursor first: what sees both changes sees them in the order of a game's.
        self.show(handle, pointer);
        match (play, &self.constraints) {
            (Play::Locked, Some(constraints)) => {
                self.lock = Some(constraints.lock_pointer(surface, pointer, None, Lifetime::Persistent, handle, ()));
            }
            _ => {
                if let Some(lock) = self.lock.take() {
                    lock.destroy();
                }
            }
        }
    }

    fn show(&mut self, handle: &QueueHandle<Client>, pointer: &WlPointer) {
        let Some(serial) = self.entered else { return };
        if self.play != Play::Cursor {
            // no cursor of its own: pictures stay exact even where cursors are drawn into them
            return pointer.set_cursor(serial, None, 0, 0);
        }
        if self.cursor.is_none() {
            self.cursor = self.make_cursor(handle);
        }
        let (_, hotspot) = CURSOR;
        pointer.set_cursor(serial, self.cursor.as_ref().map(|(surface, _)| surface), hotspot, hotspot);
    }

    fn make_cursor(&self, handle: &QueueHandle<Client>) -> Option<(WlSurface, Memory)> {
        let (side, _) = CURSOR;
        let mut memory = Memory::new((side * side) as usize).ok()?;
        memory.pixels().fill(RED);
        let side = side as i32;
        let pool = self.shm.create_pool(memory.fd(), side * side * 4, handle, ());
        // Nobody waits for it to be released: its number is none of the pictures'.
        let buffer = pool.create_buffer(0, side, side, side * 4, Format::Argb8888, handle, u32::MAX);
        pool.destroy();
        let surface = self.compositor.create_surface(handle, ());
        surface.attach(Some(&buffer), 0, 0);
        surface.damage_buffer(0, 0, side, side);
        surface.commit();
        Some((surface, memory))
    }
}

impl Dispatch<ZwpLockedPointerV1, ()> for Client {
    fn event(
        state: &mut Self,
        _: &ZwpLockedPointerV1,
        event: zwp_locked_pointer_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let locked = matches!(event, zwp_locked_pointer_v1::Event::Locked);
        state.note(|seen| seen.locked = locked);
        state.hear(Input::Locked(locked));
    }
}

impl Dispatch<ZwpRelativePointerV1, ()> for Client {
    fn event(
        state: &mut Self,
        _: &ZwpRelativePointerV1,
        event: zwp_relative_pointer_v1::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let zwp_relative_pointer_v1::Event::RelativeMotion { dx_unaccel: dx, dy_unaccel: dy, .. } = event {
            state.hear(Input::Relative { dx, dy });
        }
    }
}

delegate_noop!(Client: ZwpPointerConstraintsV1);
delegate_noop!(Client: ZwpRelativePointerManagerV1);
