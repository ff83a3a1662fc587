//! `wp_linux_drm_syncobj_v1`, recorded only: points are noted with the commit they belong
//! to, never waited for nor signalled, and not checked against each other.

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
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New};

use crate::extras::plain_global;
use crate::server::State;

plain_global!(WpLinuxDrmSyncobjManagerV1);

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
                let taken = state.surface(&surface).is_some_and(|s| s.extras.synced);
                if taken {
                    let code = wp_linux_drm_syncobj_manager_v1::Error::SurfaceExists;
                    state.fatal(manager, code, "the surface is synced already");
                    return;
                }
                init.init(id, surface.clone());
                if let Some(surface) = state.surface_mut(&surface) {
                    surface.extras.synced = true;
                }
            }
            wp_linux_drm_syncobj_manager_v1::Request::ImportTimeline { id, .. } => {
                init.init(id, ());
                state.log("a timeline is imported");
                state.notes.note(|seen| seen.timelines += 1);
            }
            _ => {}
        }
    }
}

impl Dispatch<WpLinuxDrmSyncobjTimelineV1, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _timeline: &WpLinuxDrmSyncobjTimelineV1,
        _request: wp_linux_drm_syncobj_timeline_v1::Request,
        _data: &(),
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
        let point = |hi: u32, lo: u32| Some(u64::from(hi) << 32 | u64::from(lo));
        let Some(surface) = state.surface_mut(surface) else {
            let code = wp_linux_drm_syncobj_surface_v1::Error::NoSurface;
            state.fatal(synced, code, "the surface is gone");
            return;
        };
        match request {
            wp_linux_drm_syncobj_surface_v1::Request::SetAcquirePoint { point_hi, point_lo, .. } => {
                surface.pending.acquire_point = point(point_hi, point_lo)
            }
            wp_linux_drm_syncobj_surface_v1::Request::SetReleasePoint { point_hi, point_lo, .. } => {
                surface.pending.release_point = point(point_hi, point_lo)
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, _synced: &WpLinuxDrmSyncobjSurfaceV1, surface: &WlSurface) {
        if let Some(surface) = state.surface_mut(surface) {
            surface.extras.synced = false;
        }
    }
}
