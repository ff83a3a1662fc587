//! `wp_linux_drm_syncobj_v1`, with its protocol errors. Release points are signalled with the buffer's release; a commit
//! before its acquire point is noted, not put off. Where there is no render node timelines are only counted.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use smithay::reexports::wayland_protocols::wp::linux_drm_syncobj::v1::server::wp_linux_drm_syncobj_manager_v1::{
    self, WpLinuxDrmSyncobjManagerV1,
};
use smithay::reexports::wayland_protocols::wp::linux_drm_syncobj::v1::server::wp_linux_drm_syncobj_surface_v1::{
    self, WpLinuxDrmSyncobjSurfaceV1,
};
use smithay::reexports::wayland_protocols::wp::linux_drm_syncobj::v1::server::wp_linux_drm_syncobj_timeline_v1::{
    self, WpLinuxDrmSyncobjTimelineV1,
};
use wayland_server::backend::ClientId;
use wayland_server::protocol::wl_surface::WlSurface;
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource as _};

use crate::extras::plain_global;
use crate::server::State;
use crate::surface::{Pending, Surface};

plain_global!(WpLinuxDrmSyncobjManagerV1);

/// A client's timeline; `None` where there is no node to reach it through.
#[derive(Debug)]
pub(crate) struct Timeline(Option<timelines::Timeline>);

impl Timeline {
    /// `None` for what is no timeline.
    fn import(fd: &OwnedFd) -> Option<Arc<Self>> {
        let is_real = timelines::Timeline::can_be();
        let imported = is_real.then(|| timelines::Timeline::import(fd.as_fd())).transpose().ok()?;
        Some(Arc::new(Self(imported)))
    }

    fn has_reached(&self, point: u64) -> bool {
        self.0.as_ref().is_none_or(|timeline| timeline.has_reached(point))
    }
}

/// A point of a timeline.
#[derive(Clone, Debug)]
pub(crate) struct SyncPoint {
    timeline: Arc<Timeline>,
    pub point: u64,
}

impl SyncPoint {
    pub fn signal(&self) {
        if let Some(timeline) = &self.timeline.0 {
            timeline.signal(self.point);
        }
    }
}

/// What a synced surface must have with a commit. False if the client was killed.
pub(crate) fn check(state: &State, surface: &Surface, pending: &Pending) -> bool {
    use wp_linux_drm_syncobj_surface_v1::Error;
    let Some(synced) = &surface.extras.synced else { return true };
    let (acquire, release) = (&pending.acquire_point, &pending.release_point);
    let wrong = match pending.attach {
        Some(Some(id)) if state.buffer_ref(id).kind.dmabuf().is_none() => {
            Some((Error::UnsupportedBuffer, "a synced surface takes DMA-BUFs only"))
        }
        Some(Some(_)) if acquire.is_none() => Some((Error::NoAcquirePoint, "a buffer without an acquire point")),
        Some(Some(_)) if release.is_none() => Some((Error::NoReleasePoint, "a buffer without a release point")),
        None | Some(None) if acquire.is_some() || release.is_some() => {
            Some((Error::NoBuffer, "points without a buffer"))
        }
        _ => None,
    };
    let conflict = acquire.as_ref().zip(release.as_ref()).is_some_and(|(acquire, release)| {
        Arc::ptr_eq(&acquire.timeline, &release.timeline) && acquire.point >= release.point
    });
    let wrong = wrong.or(conflict.then_some((Error::ConflictingPoints, "released before it is acquired")));
    if let Some((code, message)) = wrong {
        state.fatal(synced, code, message);
        return false;
    }
    if acquire.as_ref().is_some_and(|acquire| !acquire.timeline.has_reached(acquire.point)) {
        state.notes.note(|seen| seen.undrawn += 1);
    }
    true
}

impl Dispatch<WpLinuxDrmSyncobjManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        manager: &WpLinuxDrmSyncobjManagerV1,
        request: wp_linux_drm_syncobj_manager_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        match request {
            wp_linux_drm_syncobj_manager_v1::Request::GetSurface { id, surface } => {
                let taken = state.surface(&surface).is_some_and(|s| s.extras.synced.is_some());
                if taken {
                    let code = wp_linux_drm_syncobj_manager_v1::Error::SurfaceExists;
                    state.fatal(manager, code, "the surface is synced already");
                    return;
                }
                let synced = init.init(id, surface.clone());
                if let Some(surface) = state.surface_mut(&surface) {
                    surface.extras.synced = Some(synced);
                }
            }
            wp_linux_drm_syncobj_manager_v1::Request::ImportTimeline { id, fd } => {
                let Some(timeline) = Timeline::import(&fd) else {
                    let code = wp_linux_drm_syncobj_manager_v1::Error::InvalidTimeline;
                    state.fatal(manager, code, "that is no timeline");
                    return;
                };
                init.init(id, timeline);
                state.log("a timeline is imported");
                state.notes.note(|seen| seen.timelines += 1);
            }
            _ => {}
        }
    }
}

impl Dispatch<WpLinuxDrmSyncobjTimelineV1, Arc<Timeline>> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _timeline: &WpLinuxDrmSyncobjTimelineV1,
        _request: wp_linux_drm_syncobj_timeline_v1::Request,
        _data: &Arc<Timeline>,
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }
}

impl Dispatch<WpLinuxDrmSyncobjSurfaceV1, WlSurface> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        synced: &WpLinuxDrmSyncobjSurfaceV1,
        request: wp_linux_drm_syncobj_surface_v1::Request,
        surface: &WlSurface,
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
        if let wp_linux_drm_syncobj_surface_v1::Request::Destroy = request {
            return;
        }
        let point = |timeline: WpLinuxDrmSyncobjTimelineV1, hi: u32, lo: u32| {
            let timeline = Arc::clone(timeline.data::<Arc<Timeline>>()?);
            Some(SyncPoint { timeline, point: u64::from(hi) << 32 | u64::from(lo) })
        };
        let Some(surface) = state.surface_mut(surface) else {
            let code = wp_linux_drm_syncobj_surface_v1::Error::NoSurface;
            state.fatal(synced, code, "the surface is gone");
            return;
        };
        match request {
            wp_linux_drm_syncobj_surface_v1::Request::SetAcquirePoint { timeline, point_hi, point_lo } => {
                surface.pending.acquire_point = point(timeline, point_hi, point_lo)
            }
            wp_linux_drm_syncobj_surface_v1::Request::SetReleasePoint { timeline, point_hi, point_lo } => {
                surface.pending.release_point = point(timeline, point_hi, point_lo)
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, _synced: &WpLinuxDrmSyncobjSurfaceV1, surface: &WlSurface) {
        if let Some(surface) = state.surface_mut(surface) {
            surface.extras.synced = None;
            surface.pending.acquire_point = None;
            surface.pending.release_point = None;
        }
    }
}
