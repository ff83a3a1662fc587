//! `wl_compositor`, `wl_surface`, `wl_region` and `wl_subcompositor`: collects the pending state.
//! What a commit then does is `commit`'s. Subsurfaces are recorded, not composed.

use wayland_server::backend::{ClientId, ObjectId};
use wayland_server::protocol::wl_callback::{self, WlCallback};
use wayland_server::protocol::wl_compositor::{self, WlCompositor};
use wayland_server::protocol::wl_region::{self, WlRegion};
use wayland_server::protocol::wl_subcompositor::{self, WlSubcompositor};
use wayland_server::protocol::wl_subsurface::{self, WlSubsurface};
use wayland_server::protocol::wl_surface::{self, WlSurface};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource};

use crate::commit;
use crate::extras::SurfaceExtras;
use crate::picture::Picture;
use crate::record::{Rect, Role};
use crate::seen::BufferId;
use crate::server::State;
use crate::sync::SyncPoint;
use crate::timing::SurfaceTiming;

/// One live `wl_surface`.
#[derive(Debug)]
pub(crate) struct Surface {
    pub resource: WlSurface,
    pub number: u32,
    pub role: Role,
    /// Index into `State::toplevels` if the role is a toplevel.
    pub window: Option<usize>,
    pub pending: Pending,
    pub current: Current,
    pub picture: Option<Picture>,
    pub timing: SurfaceTiming,
    pub extras: SurfaceExtras,
}

/// A viewport source: x, y, width, height.
pub(crate) type Source = (f64, f64, f64, f64);

/// Double-buffered state since the last commit. `None` means "not said".
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub attach: Option<Option<BufferId>>,
    pub surface_damage: Vec<Rect>,
    pub buffer_damage: Vec<Rect>,
    pub scale: Option<i32>,
    pub transform: Option<u32>,
    pub opaque: Option<Vec<Rect>>,
    pub input: Option<Option<Vec<Rect>>>,
    pub source: Option<Option<Source>>,
    pub destination: Option<Option<(i32, i32)>>,
    pub acquire_point: Option<SyncPoint>,
    pub release_point: Option<SyncPoint>,
}

/// Double-buffered state in force.
#[derive(Debug)]
pub(crate) struct Current {
    pub buffer: Option<BufferId>,
    pub scale: i32,
    pub transform: u32,
    pub opaque: Vec<Rect>,
    pub input: Option<Vec<Rect>>,
    pub source: Option<Source>,
    pub destination: Option<(i32, i32)>,
}

impl Default for Current {
    fn default() -> Self {
        Self { buffer: None, scale: 1, transform: 0, opaque: Vec::new(), input: None, source: None, destination: None }
    }
}

impl State {
    pub fn surface(&self, surface: &WlSurface) -> Option<&Surface> {
        self.surfaces.get(&surface.id())
    }

    pub fn surface_mut(&mut self, surface: &WlSurface) -> Option<&mut Surface> {
        self.surfaces.get_mut(&surface.id())
    }
}

impl GlobalDispatch<WlCompositor, ()> for State {
    fn bind(
        state: &mut Self,
        _dh: &DisplayHandle,
        _client: &Client,
        resource: New<WlCompositor>,
        _data: &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let compositor = init.init(resource, ());
        state.bound(&compositor);
    }
}

impl Dispatch<WlCompositor, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _compositor: &WlCompositor,
        request: wl_compositor::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        match request {
            wl_compositor::Request::CreateSurface { id } => {
                state.surfaces_made += 1;
                let number = state.surfaces_made;
                let resource = init.init(id, ());
                state.log(format!("surface {number} ({})", resource.id()));
                state.surfaces.insert(
                    resource.id(),
                    Surface {
                        resource,
                        number,
                        role: Role::None,
                        window: None,
                        pending: Pending::default(),
                        current: Current::default(),
                        picture: None,
                        timing: SurfaceTiming::default(),
                        extras: SurfaceExtras::default(),
                    },
                );
            }
            wl_compositor::Request::CreateRegion { id } => {
                let region = init.init(id, ());
                state.regions.insert(region.id(), Vec::new());
            }
            _ => {}
        }
    }
}

impl Dispatch<WlRegion, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        region: &WlRegion,
        request: wl_region::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
        let Some(rects) = state.regions.get_mut(&region.id()) else {
            return;
        };
        match request {
            wl_region::Request::Add { x, y, width, height } => rects.push(Rect::new(x, y, width, height)),
            wl_region::Request::Subtract { x, y, width, height } => {
                // Only whole rectangles: enough for what is recorded, and said where it is not.
                let hole = Rect::new(x, y, width, height);
                rects.retain(|r| hole.union(*r) != hole);
                if rects.iter().any(|r| overlaps(*r, hole)) {
                    let line = "a region subtraction cut through a rectangle; recorded uncut";
                    state.log(line);
                }
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, region: &WlRegion, _data: &()) {
        state.regions.remove(&region.id());
    }
}

fn overlaps(a: Rect, b: Rect) -> bool {
    Rect::new(a.x.saturating_sub(b.x), a.y.saturating_sub(b.y), a.width, a.height).clip(b.width, b.height).is_some()
}

impl Dispatch<WlCallback, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _callback: &WlCallback,
        _request: wl_callback::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, callback: &WlCallback, _data: &()) {
        for surface in state.surfaces.values_mut() {
            surface.timing.forget_callback(callback);
        }
    }
}

impl Dispatch<WlSurface, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        resource: &WlSurface,
        request: wl_surface::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let id = resource.id();
        if let wl_surface::Request::Commit = request {
            commit::commit(state, &id);
            return;
        }
        if let wl_surface::Request::Destroy = request {
            check_destroy(state, &id);
            return;
        }
        let fault = collect(state, &id, request, init);
        if let Err((code, message)) = fault {
            state.fatal(resource, code, message);
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, resource: &WlSurface, _data: &()) {
        let Some(surface) = state.surfaces.remove(&resource.id()) else {
            return;
        };
        state.log(format!("surface {} destroyed", surface.number));
        if let Some(buffer) = surface.current.buffer {
            state.release_buffer(buffer);
        }
        state.forget_focus(resource);
        if let Some(window) = surface.window {
            state.unmap(window);
        }
    }
}

/// A surface may not go before its role object; ordinary compositors kill for it since version 6,
/// Wolf's does not.
fn check_destroy(state: &State, id: &ObjectId) {
    let Some(surface) = state.surfaces.get(id) else {
        return;
    };
    let alive = surface.window.is_some_and(|w| state.toplevels[w].is_alive());
    if alive {
        let number = surface.number;
        state.notes.oddity(format!("surface {number} is destroyed before its toplevel"));
    }
}

type Fault = (wl_surface::Error, String);

fn collect(
    state: &mut State,
    id: &ObjectId,
    request: wl_surface::Request,
    init: &mut DataInit<'_, State>,
) -> Result<(), Fault> {
    let region_of = |state: &State, region: Option<wl_region::WlRegion>| {
        region.map(|r| state.regions.get(&r.id()).cloned().unwrap_or_default())
    };
    // Regions are looked up before the surface is borrowed.
    let region = match &request {
        wl_surface::Request::SetOpaqueRegion { region } | wl_surface::Request::SetInputRegion { region } => {
            region_of(state, region.clone())
        }
        _ => None,
    };
    let Some(surface) = state.surfaces.get_mut(id) else {
        return Ok(());
    };
    let pending = &mut surface.pending;
    match request {
        wl_surface::Request::Attach { buffer, x, y } => {
            if (x, y) != (0, 0) && surface.resource.version() >= 5 {
                let message = "attach with an offset is not allowed since version 5".into();
                return Err((wl_surface::Error::InvalidOffset, message));
            }
            pending.attach = Some(buffer.and_then(|b| b.data::<BufferId>().copied()));
        }
        wl_surface::Request::Damage { x, y, width, height } => {
            pending.surface_damage.push(Rect::new(x, y, width, height))
        }
        wl_surface::Request::DamageBuffer { x, y, width, height } => {
            pending.buffer_damage.push(Rect::new(x, y, width, height))
        }
        wl_surface::Request::Frame { callback } => {
            let callback = init.init(callback, ());
            surface.timing.asked(callback);
        }
        wl_surface::Request::SetOpaqueRegion { .. } => {
            pending.opaque = Some(region.unwrap_or_default());
        }
        wl_surface::Request::SetInputRegion { .. } => pending.input = Some(region),
        wl_surface::Request::SetBufferTransform { transform } => {
            let Ok(transform) = transform.into_result() else {
                let message = "no such transform".into();
                return Err((wl_surface::Error::InvalidTransform, message));
            };
            pending.transform = Some(transform.into());
        }
        wl_surface::Request::SetBufferScale { scale } => {
            if scale < 1 {
                let message = format!("buffer scale {scale} is not positive");
                return Err((wl_surface::Error::InvalidScale, message));
            }
            pending.scale = Some(scale);
        }
        wl_surface::Request::Offset { .. } => {}
        _ => {}
    }
    Ok(())
}

impl GlobalDispatch<WlSubcompositor, ()> for State {
    fn bind(
        state: &mut Self,
        _dh: &DisplayHandle,
        _client: &Client,
        resource: New<WlSubcompositor>,
        _data: &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let subcompositor = init.init(resource, ());
        state.bound(&subcompositor);
    }
}

impl Dispatch<WlSubcompositor, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        subcompositor: &WlSubcompositor,
        request: wl_subcompositor::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let wl_subcompositor::Request::GetSubsurface { id, surface, parent } = request else {
            return;
        };
        let role = state.surface(&surface).map_or(Role::None, |s| s.role);
        if role != Role::None || surface == parent {
            let message = format!("the surface is a {role:?} or its own parent");
            state.fatal(subcompositor, wl_subcompositor::Error::BadSurface, message);
            return;
        }
        init.init(id, ());
        if let Some(surface) = state.surface_mut(&surface) {
            surface.role = Role::Subsurface;
            let number = surface.number;
            state.log(format!("surface {number} is a subsurface"));
        }
    }
}

impl Dispatch<WlSubsurface, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _subsurface: &WlSubsurface,
        _request: wl_subsurface::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }
}
