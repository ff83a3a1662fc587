//! The cursor that a person would see: which surface is set as one, and what is on it.
//! Strict as the protocol: a surface that stops being a cursor is unmapped, so its content is gone.

use wayland_server::Resource;
use wayland_server::protocol::wl_surface::WlSurface;

use crate::builder::ReleasePolicy;
use crate::server::State;

/// A cursor on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// In surface coordinates: as large as it looks.
    pub size: (i32, i32),
    /// The point that is at the pointer's place, in surface coordinates.
    pub hotspot: (i32, i32),
    /// Width and height of the buffer.
    pub buffer: (i32, i32),
    /// The buffer's pixels, row by row, as little-endian words: ARGB8888 is `0xAARRGGBB`.
    pub pixels: Vec<u32>,
}

/// What `wl_pointer.set_cursor` last set, while the pointer is in the window.
#[derive(Debug)]
pub(crate) struct Set {
    pub surface: WlSurface,
    pub hotspot: (i32, i32),
}

impl State {
    /// Sets another cursor, or none.
    pub fn cursor_set(&mut self, cursor: Option<Set>) {
        let after = cursor.as_ref().map(|set| set.surface.id());
        let before = std::mem::replace(&mut self.seat.cursor, cursor);
        let ended = before.map(|set| set.surface.id()).filter(|id| after.as_ref() != Some(id));
        let Some(surface) = ended.and_then(|id| self.surfaces.get_mut(&id)) else { return };
        surface.picture = None;
        let shown = surface.current.buffer.take();
        if let (Some(shown), true) = (shown, self.config.release != ReleasePolicy::Manual) {
            self.release_buffer(shown);
        }
    }

    /// The cursor to be seen now.
    pub fn cursor(&self) -> Option<Cursor> {
        let set = self.seat.cursor.as_ref()?;
        let surface = self.surface(&set.surface)?;
        let picture = surface.picture.as_ref().filter(|picture| picture.is_readable())?;
        let size = surface.current.layout((picture.width, picture.height)).size;
        Some(Cursor { size, hotspot: set.hotspot, buffer: (picture.width, picture.height), pixels: picture.words() })
    }
}
