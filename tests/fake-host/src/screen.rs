//! What a person would see: the newest window over black, at (0, 0), scaled only by its viewport.
//! Cursors and subsurfaces are not drawn.

use wayland_server::Resource as _;

use crate::record::Rect;
use crate::server::State;

/// Pixels of an output, row by row.
#[derive(Clone, PartialEq, Eq)]
pub struct Screenshot {
    /// Physical pixels of the output.
    pub width: i32,
    /// Physical pixels of the output.
    pub height: i32,
    /// `0xffRRGGBB`.
    pub pixels: Vec<u32>,
}

/// What an unlit pixel looks like.
pub const BLACK: u32 = 0xff00_0000;

impl Screenshot {
    /// One pixel; `None` outside.
    pub fn pixel(&self, x: i32, y: i32) -> Option<u32> {
        let inside = x >= 0 && y >= 0 && x < self.width && y < self.height;
        inside.then(|| self.pixels[(y * self.width + x) as usize])
    }

    /// Nothing is lit.
    pub fn is_black(&self) -> bool {
        self.pixels.iter().all(|p| *p == BLACK)
    }
}

impl std::fmt::Debug for Screenshot {
    /// Not a million numbers in a failed assertion.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lit = self.pixels.iter().filter(|p| **p != BLACK).count();
        write!(f, "Screenshot {}x{}, {lit} pixels lit", self.width, self.height)
    }
}

impl State {
    /// A pixel of the output. `None` if the shown buffer cannot be read.
    pub fn pixel(&self, x: i32, y: i32) -> Option<u32> {
        let Some(window) = self.live_window().map(|w| &self.toplevels[w]) else {
            return Some(BLACK);
        };
        let surface = self.surface(&window.surface);
        let picture = surface.and_then(|s| s.picture.as_ref());
        let (true, Some(surface)) = (window.is_shown(), surface) else {
            return Some(BLACK);
        };
        // Shown and yet without a picture: the host was told not to look.
        let picture = picture.filter(|p| p.is_readable())?;
        let scale = self.first_output().map_or(1, |(_, spec)| spec.scale.max(1));
        let layout = surface.current.layout((picture.width, picture.height));
        let (x, y) = ((f64::from(x) + 0.5) / f64::from(scale), (f64::from(y) + 0.5) / f64::from(scale));
        let (width, height) = (f64::from(layout.size.0), f64::from(layout.size.1));
        if x < 0.0 || y < 0.0 || x >= width || y >= height {
            return Some(BLACK);
        }
        let (left, top, w, h) = layout.source;
        let upright = (left + x * w / width, top + y * h / height);
        let (x, y) = layout.to_buffer(upright);
        Some(picture.color(x as i32, y as i32).unwrap_or(BLACK))
    }

    /// Looks at all of the buffer that the window shows, damaged or not.
    pub fn refresh(&mut self) {
        let Some(id) = self.live_window().map(|window| self.toplevels[window].surface.id()) else { return };
        let Some(shown) = self.surfaces.get(&id).and_then(|surface| surface.current.buffer) else { return };
        let store = self.buffer_ref(shown).store.clone();
        if let Some(picture) = self.surfaces.get_mut(&id).and_then(|surface| surface.picture.as_mut()) {
            picture.update(&store, &[Rect::new(0, 0, i32::MAX, i32::MAX)]);
        }
    }

    /// The whole output, or the window where there is none.
    pub fn screenshot(&self) -> Option<Screenshot> {
        let (width, height) = match self.first_output() {
            Some((_, spec)) => (spec.width, spec.height),
            None => {
                let window = &self.toplevels[self.live_window()?];
                let surface = self.surface(&window.surface)?;
                let picture = surface.picture.as_ref()?;
                let size = (picture.width, picture.height);
                surface.current.layout(size).size
            }
        };
        let mut pixels = Vec::with_capacity((width * height) as usize);
        for y in 0..height {
            for x in 0..width {
                pixels.push(self.pixel(x, y)?);
            }
        }
        Some(Screenshot { width, height, pixels })
    }
}
