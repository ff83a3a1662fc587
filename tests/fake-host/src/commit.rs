//! What a commit does: strictness first, then buffers, then the picture, then the role.
//! Collects nothing and renders nothing.

use std::os::fd::AsFd as _;
use std::time::Instant;

use smithay::reexports::wayland_protocols::wp::viewporter::server::wp_viewport;
use wayland_server::backend::ObjectId;
use wayland_server::protocol::wl_surface;

use crate::builder::ReleasePolicy;
use crate::picture::{Picture, Store};
use crate::record::{Attached, BufferKind, Commit, Rect, Role};
use crate::seen::BufferId;
use crate::server::State;
use crate::shell;
use crate::surface::{Current, Pending, Surface};
use crate::sync;
use crate::timing::Asked;

/// Where a surface's buffer lands: a part of the buffer, and the surface's size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layout {
    /// x, y, width, height in pixels of the upright buffer.
    pub source: (f64, f64, f64, f64),
    /// Width and height of the upright buffer.
    pub upright: (f64, f64),
    /// How the client has turned the buffer, as wl_output.transform.
    transform: u32,
    /// In surface coordinates.
    pub size: (i32, i32),
}

impl Current {
    /// `None` without a buffer of that size. Transforms other than by quarters keep the size.
    pub fn layout(&self, (width, height): (i32, i32)) -> Layout {
        let scale = f64::from(self.scale);
        // Odd transforms turn by a quarter, which swaps the sides.
        let (width, height) = match self.transform % 2 {
            0 => (width, height),
            _ => (height, width),
        };
        let (width, height) = (f64::from(width), f64::from(height));
        let (x, y, w, h) = self.source.unwrap_or((0.0, 0.0, width / scale, height / scale));
        Layout {
            source: (x * scale, y * scale, w * scale, h * scale),
            upright: (width, height),
            transform: self.transform,
            size: self.destination.unwrap_or((w as i32, h as i32)),
        }
    }
}

impl Layout {
    /// Where a point of the upright buffer lies in the buffer as it is: flipped around the vertical axis first, then
    /// turned to the left by quarters.
    pub fn to_buffer(self, (mut x, mut y): (f64, f64)) -> (f64, f64) {
        let (mut width, mut height) = self.upright;
        if self.transform >= 4 {
            x = width - x;
        }
        for _ in 0..self.transform % 4 {
            (x, y) = (y, width - x);
            (width, height) = (height, width);
        }
        (x, y)
    }
}

/// Applies the pending state of a surface.
pub(crate) fn commit(state: &mut State, id: &ObjectId) {
    // Out of the map while it is worked on, so that the rest of the state is free.
    let Some(mut surface) = state.surfaces.remove(id) else {
        return;
    };
    let applied = apply(state, &mut surface);
    let window = surface.window;
    let attached = surface.current.buffer.is_some();
    state.surfaces.insert(id.clone(), surface);
    if let (Some(attach), Some(window)) = (applied, window) {
        shell::after_commit(state, window, attach, attached);
    }
}

/// What was attached, or `None` if the client was killed for it.
fn apply(state: &mut State, surface: &mut Surface) -> Option<Option<Option<BufferId>>> {
    let mut pending = std::mem::take(&mut surface.pending);
    if let (Some(told), Some(Some(id))) = (&state.config.on_commit, pending.attach)
        && let Store::File { fd, offset, .. } = &state.buffer_ref(id).store
    {
        (told.0)(fd.as_fd(), *offset);
    }
    if let Some(Some(id)) = pending.attach
        && !state.buffer_exists(id)
    {
        let number = surface.number;
        state.notes.oddity(format!("buffer {} was destroyed between attach and commit on surface {number}", id.0));
        pending.attach = None;
    }
    let attaches = matches!(pending.attach, Some(Some(_)));
    if let Some(window) = surface.window
        && !shell::may_commit(state, window, attaches)
    {
        return None;
    }
    if !sync::check(state, surface, &pending) {
        return None;
    }
    let before = surface.current.buffer;
    let old_layout = content_size(state, before).map(|size| surface.current.layout(size));
    take_over(&mut surface.current, &mut pending);
    let content = match pending.attach {
        Some(attach) => attach,
        None => before,
    };
    // A destroyed buffer's size lives on in its record.
    let size = content_size(state, content);
    let layout = size.map(|size| surface.current.layout(size));
    if let (Some(size), Some(layout)) = (size, layout)
        && !check(state, surface, size, layout)
    {
        return None;
    }

    let asked = surface.timing.commit();
    record(state, surface, &pending, layout, &asked);

    let damaged = !pending.surface_damage.is_empty() || !pending.buffer_damage.is_empty();
    match pending.attach {
        Some(Some(id)) => {
            state.take_buffer(id, before, pending.release_point.take());
            if state.config.reads_pixels {
                paint(state, surface, id, &pending);
            }
            surface.current.buffer = Some(id);
            surface.timing.damaged |= damaged || old_layout != layout;
            replace(state, before, id);
        }
        Some(None) => {
            surface.current.buffer = None;
            surface.picture = None;
            if let Some(before) = before
                && state.config.release != ReleasePolicy::Manual
            {
                state.release_buffer(before);
            }
        }
        None => {
            let counts = damaged && !state.config.quirks.damage_needs_buffer;
            surface.timing.damaged |= counts || old_layout != layout;
        }
    }
    Some(pending.attach)
}

fn content_size(state: &State, buffer: Option<BufferId>) -> Option<(i32, i32)> {
    buffer.map(|id| state.buffer_ref(id).kind.size())
}

fn take_over(current: &mut Current, pending: &mut Pending) {
    if let Some(scale) = pending.scale {
        current.scale = scale;
    }
    if let Some(transform) = pending.transform {
        current.transform = transform;
    }
    if let Some(opaque) = pending.opaque.take() {
        current.opaque = opaque;
    }
    if let Some(input) = pending.input.take() {
        current.input = input;
    }
    if let Some(source) = pending.source {
        current.source = source;
    }
    if let Some(destination) = pending.destination {
        current.destination = destination;
    }
}

/// Sizes that do not go together are fatal. False if the client was killed.
fn check(state: &State, surface: &Surface, size: (i32, i32), layout: Layout) -> bool {
    let current = &surface.current;
    let scale = current.scale;
    if current.source.is_none() && surface.role != Role::Cursor && (size.0 % scale != 0 || size.1 % scale != 0) {
        state.fatal(
            &surface.resource,
            wl_surface::Error::InvalidSize,
            format!("buffer size {size:?} is no multiple of scale {scale}"),
        );
        return false;
    }
    let (Some((_, _, w, h)), Some(viewport)) = (current.source, &surface.extras.viewport) else {
        return true;
    };
    if current.destination.is_none() && (w.fract() != 0.0 || h.fract() != 0.0) {
        state.fatal(viewport, wp_viewport::Error::BadSize, "a fractional source needs a destination");
        return false;
    }
    let (x, y, w, h) = layout.source;
    if x + w > layout.upright.0 || y + h > layout.upright.1 {
        state.fatal(
            viewport,
            wp_viewport::Error::OutOfBuffer,
            format!("source {:?} ends behind the upright buffer {:?}", layout.source, layout.upright),
        );
        return false;
    }
    true
}

fn record(state: &State, surface: &Surface, pending: &Pending, layout: Option<Layout>, asked: &Asked) {
    let attached = match pending.attach {
        None => Attached::Nothing,
        Some(None) => Attached::Null,
        Some(Some(id)) => Attached::Buffer { id, kind: state.buffer_ref(id).kind.clone() },
    };
    let what = match &attached {
        Attached::Nothing => "nothing".into(),
        Attached::Null => "NULL".into(),
        Attached::Buffer { id, .. } => format!("buffer {}", id.0),
    };
    let current = &surface.current;
    state.log(format!(
        "commit {what} on surface {} ({:?}), damage {:?} {:?}, source {:?}, destination {:?}",
        surface.number,
        surface.role,
        pending.surface_damage,
        pending.buffer_damage,
        current.source,
        current.destination
    ));
    let commit = Commit {
        at: Instant::now(),
        surface: surface.number,
        role: surface.role,
        window: surface.window,
        attached,
        surface_damage: pending.surface_damage.clone(),
        buffer_damage: pending.buffer_damage.clone(),
        source: current.source,
        destination: current.destination,
        scale: current.scale,
        transform: current.transform,
        opaque: current.opaque.clone(),
        input: current.input.clone(),
        size: layout.map(|l| l.size),
        frame_callbacks: asked.callbacks,
        feedbacks: asked.feedbacks,
        acquire_point: pending.acquire_point.as_ref().map(|acquire| acquire.point),
        release_point: pending.release_point.as_ref().map(|release| release.point),
        acked: None,
    };
    let window = surface.window;
    state.notes.note(|seen| {
        let mut commit = commit;
        commit.acked = window.and_then(|w| seen.windows[w].acked.last().copied());
        seen.commits.push(commit);
        seen.callbacks_asked += asked.callbacks;
        seen.discarded += asked.superseded;
    });
}

/// Gives back what the policy says is done with once `new` is committed.
fn replace(state: &mut State, before: Option<BufferId>, new: BufferId) {
    let uploaded = matches!(state.buffer_ref(new).kind, BufferKind::Shm(_) | BufferKind::SinglePixel(_));
    if state.config.release == ReleasePolicy::Manual {
        return;
    }
    if let Some(before) = before
        && before != new
    {
        state.release_buffer(before);
    }
    if state.config.release == ReleasePolicy::AtOnce && uploaded {
        state.release_buffer(new);
    }
}

/// Brings the picture up to date where it is damaged, and only there.
fn paint(state: &State, surface: &mut Surface, id: BufferId, pending: &Pending) {
    let buffer = state.buffer_ref(id);
    let (width, height) = buffer.kind.size();
    let fourcc = buffer.kind.fourcc().unwrap_or_default();
    let layout = surface.current.layout((width, height));
    let mut damage = pending.buffer_damage.clone();
    damage.extend(pending.surface_damage.iter().filter_map(|rect| to_buffer(*rect, layout)));
    let mut picture = surface
        .picture
        .take()
        .filter(|p| p.fits(width, height, fourcc))
        .unwrap_or_else(|| Picture::new(width, height, fourcc));
    picture.update(&buffer.store, &damage);
    surface.picture = Some(picture);
}

/// Surface damage in buffer pixels, rounded outwards.
fn to_buffer(rect: Rect, layout: Layout) -> Option<Rect> {
    let rect = rect.clip(layout.size.0, layout.size.1)?;
    if layout.transform != 0 {
        // Nobody here damages turned surfaces but by `damage_buffer`.
        return Some(Rect::new(0, 0, i32::MAX, i32::MAX));
    }
    let (x, y, w, h) = layout.source;
    let (sx, sy) = (w / f64::from(layout.size.0), h / f64::from(layout.size.1));
    let left = (x + f64::from(rect.x) * sx).floor();
    let top = (y + f64::from(rect.y) * sy).floor();
    let right = (x + f64::from(rect.x + rect.width) * sx).ceil();
    let bottom = (y + f64::from(rect.y + rect.height) * sy).ceil();
    Some(Rect::new(left as i32, top as i32, (right - left) as i32, (bottom - top) as i32))
}
