//! The small extensions around a surface: viewport, fractional scale, decoration, single-pixel
//! buffers, sync timelines. Each is a few requests into the surface's pending state.

use smithay::reexports::wayland_protocols::wp::fractional_scale::v1::server::wp_fractional_scale_manager_v1::{
    self, WpFractionalScaleManagerV1,
};
use smithay::reexports::wayland_protocols::wp::fractional_scale::v1::server::wp_fractional_scale_v1::{
    self, WpFractionalScaleV1,
};
use smithay::reexports::wayland_protocols::wp::linux_drm_syncobj::v1::server::wp_linux_drm_syncobj_surface_v1::WpLinuxDrmSyncobjSurfaceV1;
use smithay::reexports::wayland_protocols::wp::single_pixel_buffer::v1::server::wp_single_pixel_buffer_manager_v1::{
    self, WpSinglePixelBufferManagerV1,
};
use smithay::reexports::wayland_protocols::wp::viewporter::server::wp_viewport::{self, WpViewport};
use smithay::reexports::wayland_protocols::wp::viewporter::server::wp_viewporter::{self, WpViewporter};
use smithay::reexports::wayland_protocols::xdg::decoration::zv1::server::zxdg_decoration_manager_v1::{
    self, ZxdgDecorationManagerV1,
};
use smithay::reexports::wayland_protocols::xdg::decoration::zv1::server::zxdg_toplevel_decoration_v1::{
    self, Mode, ZxdgToplevelDecorationV1,
};
use wayland_server::backend::ClientId;
use wayland_server::protocol::wl_surface::{self, WlSurface};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource};

use crate::picture::Store;
use crate::record::BufferKind;
use crate::server::State;

/// Objects hung on a surface.
#[derive(Debug, Default)]
pub(crate) struct SurfaceExtras {
    pub viewport: Option<WpViewport>,
    fractional: Option<WpFractionalScaleV1>,
    pub synced: Option<WpLinuxDrmSyncobjSurfaceV1>,
}

/// A `bind` that only notes itself.
macro_rules! plain_global {
    ($($interface:ty),* $(,)?) => {$(
        impl GlobalDispatch<$interface, ()> for State {
            fn bind(
                state: &mut Self,
                _dh: &DisplayHandle,
                _client: &Client,
                resource: New<$interface>,
                _data: &(),
                init: &mut DataInit<'_, Self>,
            ) {
                let resource = init.init(resource, ());
                state.bound(&resource);
            }
        }
    )*};
}
pub(crate) use plain_global;

plain_global!(WpViewporter, WpFractionalScaleManagerV1, ZxdgDecorationManagerV1, WpSinglePixelBufferManagerV1,);

impl Dispatch<WpViewporter, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        viewporter: &WpViewporter,
        request: wp_viewporter::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let wp_viewporter::Request::GetViewport { id, surface } = request else {
            return;
        };
        let taken = state.surface(&surface).is_some_and(|s| s.extras.viewport.is_some());
        if taken {
            let message = "the surface has a viewport already";
            state.fatal(viewporter, wp_viewporter::Error::ViewportExists, message);
            return;
        }
        let viewport = init.init(id, surface.clone());
        if let Some(surface) = state.surface_mut(&surface) {
            surface.extras.viewport = Some(viewport);
        }
    }
}

impl Dispatch<WpViewport, WlSurface> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        viewport: &WpViewport,
        request: wp_viewport::Request,
        surface: &WlSurface,
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
        if let wp_viewport::Request::Destroy = request {
            if let Some(surface) = state.surface_mut(surface) {
                surface.extras.viewport = None;
                surface.pending.source = Some(None);
                surface.pending.destination = Some(None);
            }
            return;
        }
        let Some(surface) = state.surface_mut(surface) else {
            let message = "the surface of this viewport is gone";
            state.fatal(viewport, wp_viewport::Error::NoSurface, message);
            return;
        };
        let bad = match request {
            wp_viewport::Request::SetSource { x, y, width, height } => {
                let source = (x, y, width, height);
                if source == (-1.0, -1.0, -1.0, -1.0) {
                    surface.pending.source = Some(None);
                    None
                } else if x >= 0.0 && y >= 0.0 && width > 0.0 && height > 0.0 {
                    surface.pending.source = Some(Some(source));
                    None
                } else {
                    Some(format!("bad source {source:?}"))
                }
            }
            wp_viewport::Request::SetDestination { width, height } => {
                if (width, height) == (-1, -1) {
                    surface.pending.destination = Some(None);
                    None
                } else if width > 0 && height > 0 {
                    surface.pending.destination = Some(Some((width, height)));
                    None
                } else {
                    Some(format!("bad destination {width}x{height}"))
                }
            }
            _ => None,
        };
        if let Some(message) = bad {
            state.fatal(viewport, wp_viewport::Error::BadValue, message);
        }
    }
}

impl State {
    /// Tells every surface the scale it should be drawn at.
    pub fn prefer_scale(&mut self, scale: f64) {
        self.log(format!("preferred scale {scale}"));
        for surface in self.surfaces.values() {
            if let Some(fractional) = &surface.extras.fractional {
                fractional.preferred_scale((scale * 120.0).round() as u32);
            }
            if surface.resource.version() >= wl_surface::EVT_PREFERRED_BUFFER_SCALE_SINCE {
                surface.resource.preferred_buffer_scale(scale.ceil() as i32);
            }
        }
    }
}

impl Dispatch<WpFractionalScaleManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        manager: &WpFractionalScaleManagerV1,
        request: wp_fractional_scale_manager_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let wp_fractional_scale_manager_v1::Request::GetFractionalScale { id, surface } = request else {
            return;
        };
        let scale = state.first_output().map_or(1, |(_, spec)| spec.scale);
        let taken = state.surface(&surface).is_some_and(|s| s.extras.fractional.is_some());
        if taken {
            let code = wp_fractional_scale_manager_v1::Error::FractionalScaleExists;
            state.fatal(manager, code, "the surface has a fractional scale already");
            return;
        }
        let fractional = init.init(id, surface.clone());
        fractional.preferred_scale(scale as u32 * 120);
        if let Some(surface) = state.surface_mut(&surface) {
            surface.extras.fractional = Some(fractional);
        }
    }
}

impl Dispatch<WpFractionalScaleV1, WlSurface> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _fractional: &WpFractionalScaleV1,
        _request: wp_fractional_scale_v1::Request,
        _surface: &WlSurface,
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, _fractional: &WpFractionalScaleV1, surface: &WlSurface) {
        if let Some(surface) = state.surface_mut(surface) {
            surface.extras.fractional = None;
        }
    }
}

impl Dispatch<ZxdgDecorationManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &ZxdgDecorationManagerV1,
        request: zxdg_decoration_manager_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let zxdg_decoration_manager_v1::Request::GetToplevelDecoration { id, toplevel } = request else {
            return;
        };
        let window = Self::window_of(&toplevel).unwrap_or_default();
        let decoration = init.init(id, window);
        let taken = state.toplevels[window].decoration.is_some();
        if taken {
            let code = zxdg_toplevel_decoration_v1::Error::AlreadyConstructed;
            state.fatal(&decoration, code, "the toplevel has a decoration already");
            return;
        }
        state.toplevels[window].decoration = Some(decoration);
    }
}

impl Dispatch<ZxdgToplevelDecorationV1, usize> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        decoration: &ZxdgToplevelDecorationV1,
        request: zxdg_toplevel_decoration_v1::Request,
        window: &usize,
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
        let mode = match request {
            zxdg_toplevel_decoration_v1::Request::SetMode { mode } => Some(u32::from(mode)),
            zxdg_toplevel_decoration_v1::Request::UnsetMode => None,
            _ => return,
        };
        state.asked_decoration(*window, mode);
        // The server's choice when it is left to it; it takes what the client says otherwise.
        decoration.configure(match mode {
            Some(1) => Mode::ClientSide,
            _ => Mode::ServerSide,
        });
        let size_known = state.toplevels[*window].is_shown();
        if size_known {
            let (size, states) = state.last_configure(*window);
            state.configure(*window, size, &states);
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, _decoration: &ZxdgToplevelDecorationV1, window: &usize) {
        state.toplevels[*window].decoration = None;
    }
}

impl Dispatch<WpSinglePixelBufferManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &WpSinglePixelBufferManagerV1,
        request: wp_single_pixel_buffer_manager_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if let wp_single_pixel_buffer_manager_v1::Request::CreateU32RgbaBuffer { id, r, g, b, a } = request {
            let bytes = [b, g, r, a].map(|channel| (channel >> 24) as u8);
            let kind = BufferKind::SinglePixel([r, g, b, a]);
            let name = state.name_buffer(kind, Store::Pixel(bytes), Vec::new());
            let resource = init.init(id, name);
            state.buffer_made(name, resource);
        }
    }
}
