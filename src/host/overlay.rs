//! The guest's pointer on a surface of its own, over the window: where the guest has it, and nothing else.
//! Moving it costs no frame, and it needs no hotspot of the host's. The host's own pointer is hidden there.

use std::time::{Duration, Instant};

use tracing::debug;
use wayland_client::protocol::wl_subcompositor::{self, WlSubcompositor};
use wayland_client::protocol::wl_subsurface::{self, WlSubsurface};
use wayland_client::{Connection, Dispatch, QueueHandle};

use crate::host::cursor::{CursorSurface, Scale};
use crate::host::{Host, Quiet};
use crate::video::cursor::Place;

/// A host shows some hundred places a second at most; a mouse tells of a thousand and more.
const INTERVAL: Duration = Duration::from_millis(4);

/// The guest's pointer over the window.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    subcompositor: Option<WlSubcompositor>,
    /// Whether the pointer is shown this way.
    pub(super) is_on: bool,
    shown: Option<Shown>,
    /// Where the guest's pointer is, while it is to be seen.
    place: Option<(i32, i32)>,
    /// What is on the host is not so any more.
    is_stale: bool,
    committed: Option<Instant>,
}

#[derive(Debug)]
struct Shown {
    // Destroyed before its surface.
    subsurface: WlSubsurface,
    surface: CursorSurface,
    /// The image that is on it, by its generation, and how large it is.
    image: Option<(u64, Option<Scale>)>,
    position: Option<(i32, i32)>,
}

impl Overlay {
    pub(super) fn new(subcompositor: Option<WlSubcompositor>) -> Self {
        Self { subcompositor, ..Self::default() }
    }

    /// The image, or its scale, is another one.
    pub(super) fn changed(&mut self) {
        self.is_stale = true;
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.subsurface.destroy();
    }
}

impl Host {
    /// Shows the guest's pointer over the window, from now on; false when the host has no surfaces for that.
    pub fn show_overlay(&mut self) -> bool {
        self.overlay.is_on = self.overlay.subcompositor.is_some();
        self.overlay.is_on
    }

    /// The guest's pointer is here; `None`: nowhere.
    pub fn move_overlay(&mut self, place: Option<Place>) {
        if self.overlay.is_on {
            self.overlay.place = place.filter(|place| place.visible).map(|place| place.at);
            self.overlay.is_stale = true;
        }
    }

    /// When [`commit_overlay`](Self::commit_overlay) has something to do.
    pub fn overlay_deadline(&self) -> Option<Instant> {
        let overlay = &self.overlay;
        overlay.committed.filter(|_| overlay.is_stale).map(|committed| committed + INTERVAL)
    }

    /// Brings the pointer over the window to where it is, unless it was just moved.
    pub fn commit_overlay(&mut self, now: Instant) {
        let is_due = self.overlay.committed.is_none_or(|committed| now >= committed + INTERVAL);
        let is_mapped = self.window.as_ref().is_some_and(|window| window.is_mapped());
        if !self.overlay.is_stale || !is_due || !is_mapped {
            return;
        }
        self.overlay.is_stale = false;
        let image = self.cursors.image.as_ref().map(|image| image.hotspot).zip(self.overlay.place);
        let Some((hotspot, place)) = image else { return self.hide_overlay() };
        let shown = match self.overlay.shown.take() {
            Some(shown) => Some(shown),
            None => self.make_overlay(),
        };
        let Some(mut shown) = shown else { return };
        let at = Scale::place(self.cursors.scale, (place.0 - hotspot.0 as i32, place.1 - hotspot.1 as i32));
        let image = Some((self.cursors.generation, self.cursors.scale));
        if shown.image != image {
            match self.draw_on(&mut shown.surface) {
                Some(()) => shown.image = image,
                None => debug!("no memory for the guest's pointer"),
            }
        }
        if shown.position.replace(at) != Some(at) {
            shown.subsurface.set_position(at.0, at.1);
        }
        self.overlay.shown = Some(shown);
        self.commit_window_for_overlay(now);
    }

    fn hide_overlay(&mut self) {
        if let Some(shown) = self.overlay.shown.as_mut().filter(|shown| shown.image.is_some()) {
            shown.image = None;
            shown.surface.clear();
        }
    }

    /// A subsurface has its place with the next commit of its parent.
    fn commit_window_for_overlay(&mut self, now: Instant) {
        self.overlay.committed = Some(now);
        if let Some(window) = &self.window {
            window.surface().commit();
        }
    }

    fn make_overlay(&mut self) -> Option<Shown> {
        let (subcompositor, window) = self.overlay.subcompositor.as_ref().zip(self.window.as_ref())?;
        let surface = self.cursor_surface();
        let subsurface = subcompositor.get_subsurface(surface.surface(), window.surface(), &self.queue, Quiet);
        subsurface.set_desync();
        // What points at the pointer points at the window.
        let nothing = self.compositor.wl_compositor().create_region(&self.queue, Quiet);
        surface.surface().set_input_region(Some(&nothing));
        nothing.destroy();
        Some(Shown { subsurface, surface, image: None, position: None })
    }
}

impl Dispatch<WlSubcompositor, Quiet> for Host {
    fn event(
        _: &mut Self,
        _: &WlSubcompositor,
        _: wl_subcompositor::Event,
        _: &Quiet,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

impl Dispatch<WlSubsurface, Quiet> for Host {
    fn event(
        _: &mut Self,
        _: &WlSubsurface,
        _: wl_subsurface::Event,
        _: &Quiet,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}
