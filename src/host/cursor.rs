//! The guest's pointer as the host's: a picture on a cursor surface for every pointer that is over the window.
//! Without a picture the host's pointer is hidden there, since then the guest draws one, or none is wanted.

use smithay_client_toolkit::shm::slot::{Buffer, SlotPool};
use tracing::warn;
use wayland_client::protocol::wl_shm::Format;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;

use crate::host::{Host, Quiet};
use crate::video::cursor::{Cursor, CursorImage};

/// Bytes that cursors may take together: reached only with a host that gives none back.
const ENOUGH: usize = 64 << 20;

/// What pointers look like over the window.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    pub(super) image: Option<CursorImage>,
    /// Counts the images.
    pub(super) generation: u64,
    pool: Option<SlotPool>,
    /// Pixels of the stream to be seen, and the window's logical pixels they are shown on.
    pub(super) scale: Option<Scale>,
}

/// How large a pixel of the guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// Where what is to be seen begins.
    origin: (u32, u32),
    stream: (u32, u32),
    window: (u32, u32),
}

impl Scale {
    /// A distance in the guest's pixels, in logical ones of the host.
    fn apply(scale: Option<Self>, (x, y): (u32, u32)) -> (i32, i32) {
        let Some(Self { stream, window, .. }) = scale else { return (x as i32, y as i32) };
        let side = |at: u32, from: u32, to: u32| {
            let from = u64::from(from.max(1));
            // Bounded by the sides of cursors and windows.
            ((u64::from(at) * u64::from(to) + from / 2) / from).min(i32::MAX as u64) as i32
        };
        (side(x, stream.0, window.0), side(y, stream.1, window.1))
    }

    /// A place in the guest's pixels, in logical ones of the window; it may lie outside.
    pub(super) fn place(scale: Option<Self>, (x, y): (i32, i32)) -> (i32, i32) {
        let Some(Self { origin, stream, window }) = scale else { return (x, y) };
        let side = |at: i32, from: u32, stream: u32, window: u32| {
            let at = (f64::from(at) - f64::from(from)) * f64::from(window) / f64::from(stream.max(1));
            // No window is larger, and no host takes more.
            at.round().clamp(-1e6, 1e6) as i32
        };
        (side(x, origin.0, stream.0, window.0), side(y, origin.1, stream.1, window.1))
    }
}

/// The cursor of one pointer.
#[derive(Debug, Default)]
pub(super) struct SeatCursor {
    /// The serial of the last enter, while the pointer is over the window.
    entered: Option<u32>,
    surface: Option<CursorSurface>,
}

/// A surface for the guest's pointer.
#[derive(Debug)]
pub(super) struct CursorSurface {
    surface: WlSurface,
    viewport: Option<WpViewport>,
    /// What was attached last, and which image it is of. Destroyed when it is replaced and released.
    buffer: Option<(Buffer, u64)>,
}

impl CursorSurface {
    pub(super) fn surface(&self) -> &WlSurface {
        &self.surface
    }

    /// Shows nothing any more.
    pub(super) fn clear(&mut self) {
        self.surface.attach(None, 0, 0);
        self.surface.commit();
        self.buffer = None;
    }
}

impl Drop for CursorSurface {
    fn drop(&mut self) {
        if let Some(viewport) = &self.viewport {
            viewport.destroy();
        }
        self.surface.destroy();
    }
}

impl Host {
    /// Gives every pointer over the window another look.
    pub fn set_cursor(&mut self, cursor: Cursor) {
        self.cursors.image = match cursor {
            Cursor::Hidden => None,
            Cursor::Image(image) => Some(image),
        };
        self.cursors.generation += 1;
        self.overlay.changed();
        self.update_cursors();
    }

    /// A pointer came into the window: its look is ours to say, every time.
    pub(super) fn pointer_entered(&mut self, seat: u32, serial: u32) {
        if let Some(seat) = self.seats.iter_mut().find(|it| it.name == seat) {
            seat.cursor.entered = Some(serial);
        }
        self.update_cursor(seat);
    }

    /// A pointer left the window.
    pub(super) fn pointer_left(&mut self, seat: u32) {
        if let Some(seat) = self.seats.iter_mut().find(|it| it.name == seat) {
            seat.cursor.entered = None;
        }
    }

    /// So much of the stream is to be seen on so much of the window: cursors keep the guest's pixel size.
    pub(super) fn scale_cursors(&mut self, origin: (u32, u32), stream: (u32, u32), window: (u32, u32)) {
        let scale = Some(Scale { origin, stream, window }).filter(|_| self.extras.viewporter.is_some());
        if self.cursors.scale != scale {
            self.cursors.scale = scale;
            self.overlay.changed();
            self.update_cursors();
        }
    }

    fn update_cursors(&mut self) {
        for at in 0..self.seats.len() {
            self.update_cursor(self.seats[at].name);
        }
    }

    fn update_cursor(&mut self, seat: u32) {
        let Some(at) = self.seats.iter().position(|it| it.name == seat) else { return };
        let seat = &mut self.seats[at];
        let (Some(pointer), Some(serial)) = (seat.pointer.clone(), seat.cursor.entered) else { return };
        let image = self.cursors.image.as_ref().filter(|_| !self.overlay.is_on);
        let Some(hotspot) = image.map(|image| image.hotspot) else {
            pointer.set_cursor(serial, None, 0, 0);
            return;
        };
        let mut cursor = seat.cursor.surface.take().unwrap_or_else(|| self.cursor_surface());
        let (x, y) = Scale::apply(self.cursors.scale, hotspot);
        pointer.set_cursor(serial, Some(&cursor.surface), x, y);
        if self.draw_on(&mut cursor).is_none() {
            pointer.set_cursor(serial, None, 0, 0);
        }
        self.seats[at].cursor.surface = Some(cursor);
    }

    pub(super) fn cursor_surface(&self) -> CursorSurface {
        let surface = self.compositor.wl_compositor().create_surface(&self.queue, Quiet);
        let viewport = self.extras.viewporter.as_ref().map(|it| it.get_viewport(&surface, &self.queue, Quiet));
        CursorSurface { surface, viewport, buffer: None }
    }

    /// Shows the image; `None` when there is none, or no memory for it.
    pub(super) fn draw_on(&mut self, cursor: &mut CursorSurface) -> Option<()> {
        let (scale, generation) = (self.cursors.scale, self.cursors.generation);
        // One that the host still has must not be attached a second time.
        let reusable = cursor.buffer.take_if(|(buffer, of)| *of == generation && buffer.activate().is_ok());
        let (buffer, _) = match reusable {
            Some(buffer) => buffer,
            None => {
                let buffer = self.cursor_buffer()?;
                buffer.activate().ok()?;
                (buffer, generation)
            }
        };
        let size = self.cursors.image.as_ref()?.size;
        cursor.surface.attach(Some(buffer.wl_buffer()), 0, 0);
        cursor.surface.damage(0, 0, i32::MAX, i32::MAX);
        if let Some(viewport) = &cursor.viewport {
            let (width, height) = Scale::apply(scale, size);
            viewport.set_destination(width.max(1), height.max(1));
        }
        cursor.surface.commit();
        // What it replaced goes when the host has released it.
        cursor.buffer = Some((buffer, generation));
        Some(())
    }

    /// A copy of the image for one surface; buffers of the guest go back long before the host is done with one.
    fn cursor_buffer(&mut self) -> Option<Buffer> {
        let cursors = &mut self.cursors;
        let CursorImage { size: (width, height), pixels, .. } = cursors.image.as_ref()?;
        if cursors.pool.is_none() {
            match SlotPool::new(pixels.len(), &self.shm) {
                Ok(pool) => cursors.pool = Some(pool),
                Err(error) => warn!("no memory for the guest's pointer: {error}"),
            }
        }
        let pool = cursors.pool.as_mut().filter(|pool| pool.len() < ENOUGH)?;
        let (width, height) = (*width as i32, *height as i32);
        let (buffer, canvas) = pool.create_buffer(width, height, width * 4, Format::Argb8888).ok()?;
        canvas.get_mut(..pixels.len())?.copy_from_slice(pixels);
        Some(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_where_its_pixel_is_shown() {
        let scale = Some(Scale { origin: (100, 10), stream: (640, 480), window: (1280, 240) });
        assert_eq!(Scale::place(scale, (100, 10)), (0, 0));
        assert_eq!(Scale::place(scale, (110, 20)), (20, 5));
        assert_eq!(Scale::place(scale, (90, 0)), (-20, -5));
        assert_eq!(Scale::place(None, (7, -7)), (7, -7));
        assert_eq!(Scale::place(scale, (i32::MIN, i32::MAX)), (-1_000_000, 1_000_000));
    }

    #[test]
    fn a_cursor_has_the_size_of_the_guests_pixels() {
        let scale = |stream, window| Some(Scale { origin: (0, 0), stream, window });
        assert_eq!(Scale::apply(None, (24, 7)), (24, 7));
        assert_eq!(Scale::apply(scale((1920, 1080), (1920, 1080)), (24, 7)), (24, 7));
        // A host of scale 2: the guest draws twice as many pixels.
        assert_eq!(Scale::apply(scale((3840, 2160), (1920, 1080)), (48, 7)), (24, 4));
        // A guest of a fixed size, shown larger.
        assert_eq!(Scale::apply(scale((640, 480), (1920, 1080)), (24, 24)), (72, 54));
        assert_eq!(Scale::apply(scale((1, 1), (u32::MAX, u32::MAX)), (1024, 0)), (i32::MAX, 0));
    }
}
