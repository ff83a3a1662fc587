//! `xdg_shell`: toplevels, their configures, and every way in which Wolf maps one wrongly.
//! Popups are accepted and left unmapped.

use smithay::reexports::wayland_protocols::xdg::decoration::zv1::server::zxdg_toplevel_decoration_v1::ZxdgToplevelDecorationV1;
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_popup::{self, XdgPopup};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_positioner::{self, XdgPositioner};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_surface::{self, XdgSurface};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_toplevel::{self, XdgToplevel};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_wm_base::{self, XdgWmBase};
use wayland_server::backend::ClientId;
use wayland_server::protocol::wl_surface::WlSurface;
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource};

use crate::record::{Configure, Rect, Request, Role, Window, WindowState};
use crate::seen::BufferId;
use crate::server::State;

/// The host's side of one `xdg_toplevel`.
#[derive(Debug)]
pub(crate) struct Toplevel {
    pub surface: WlSurface,
    xdg_surface: XdgSurface,
    /// `None` once the client destroyed it.
    toplevel: Option<XdgToplevel>,
    pub decoration: Option<ZxdgToplevelDecorationV1>,
    /// Configure serials not acknowledged yet, oldest first.
    unacked: Vec<u32>,
    mapping: Mapping,
    asked_fullscreen: bool,
    max_size: (i32, i32),
    /// What the newest configure said.
    last: ((i32, i32), Vec<WindowState>),
    /// An early request was answered with a stateless 0x0.
    unsized_early: bool,
    pub dropped: bool,
    acked: bool,
    greeted: bool,
}

/// How far a toplevel has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mapping {
    /// No initial configure yet.
    New,
    /// First commit made, no output to size it by.
    WaitsForOutput,
    /// Initial configure sent, no buffer.
    Configured,
    /// The first buffer is there and not on screen, as Wolf does it.
    FirstBufferHidden,
    /// On screen.
    Shown,
}

impl Toplevel {
    pub fn is_alive(&self) -> bool {
        self.toplevel.is_some()
    }

    pub fn is_shown(&self) -> bool {
        self.mapping == Mapping::Shown
    }

    fn is_mapped(&self) -> bool {
        matches!(self.mapping, Mapping::FirstBufferHidden | Mapping::Shown)
    }
}

impl State {
    /// The newest toplevel that is alive.
    pub fn live_window(&self) -> Option<usize> {
        self.toplevels.iter().rposition(Toplevel::is_alive)
    }

    /// The surface input goes to unless a focus was set: that of the newest live toplevel.
    pub fn live_surface(&self) -> Option<WlSurface> {
        let window = self.live_window()?;
        Some(self.toplevels[window].surface.clone())
    }

    fn asked(&self, window: usize, request: Request) {
        self.log(format!("window {window}: {request:?}"));
        self.notes.note(|seen| seen.windows[window].requests.push(request));
    }

    fn window_note(&self, window: usize, change: impl FnOnce(&mut Window)) {
        self.notes.note(|seen| change(&mut seen.windows[window]));
    }

    /// Sends a configure. `None` if the toplevel is gone.
    pub fn configure(&mut self, window: usize, size: (i32, i32), states: &[WindowState]) -> Option<u32> {
        let serial = self.next_serial();
        let output = self.output_size();
        let t = self.toplevels.get_mut(window)?;
        let toplevel = t.toplevel.as_ref()?;
        if !std::mem::replace(&mut t.greeted, true) {
            if toplevel.version() >= xdg_toplevel::EVT_WM_CAPABILITIES_SINCE {
                let all: Vec<u8> = (1u32..=4).flat_map(u32::to_ne_bytes).collect();
                toplevel.wm_capabilities(all);
            }
            if toplevel.version() >= xdg_toplevel::EVT_CONFIGURE_BOUNDS_SINCE
                && let Some((width, height)) = output
                && !self.config.quirks.opens_fullscreen
            {
                toplevel.configure_bounds(width, height);
            }
        }
        let known = |state: &WindowState| match *state as u32 {
            5..=8 => toplevel.version() >= 2,
            9 => toplevel.version() >= 6,
            _ => true,
        };
        let states: Vec<WindowState> = states.iter().copied().filter(known).collect();
        let bytes = states.iter().flat_map(|s| (*s as u32).to_ne_bytes()).collect();
        toplevel.configure(size.0, size.1, bytes);
        t.xdg_surface.configure(serial);
        t.unacked.push(serial);
        t.last = (size, states.clone());
        if matches!(t.mapping, Mapping::New | Mapping::WaitsForOutput) {
            t.mapping = Mapping::Configured;
        }
        self.log(format!("window {window}: configure {}x{} {states:?}, serial {serial}", size.0, size.1));
        self.window_note(window, |w| {
            w.configures.push(Configure { serial, size, states });
        });
        Some(serial)
    }

    /// Size and states of the newest configure.
    pub fn last_configure(&self, window: usize) -> ((i32, i32), Vec<WindowState>) {
        self.toplevels[window].last.clone()
    }

    pub fn close_window(&mut self, window: usize) -> bool {
        let toplevel = self.toplevels.get(window).and_then(|t| t.toplevel.as_ref());
        let Some(toplevel) = toplevel else {
            return false;
        };
        toplevel.close();
        self.log(format!("window {window}: close"));
        self.window_note(window, |w| w.closes += 1);
        true
    }

    /// The surface lost its content, or is gone.
    pub fn unmap(&mut self, window: usize) {
        let t = &mut self.toplevels[window];
        t.mapping = Mapping::New;
        t.acked = false;
        t.unacked.clear();
        let surface = t.surface.clone();
        self.window_note(window, |w| {
            w.mapped = false;
            w.shown = false;
        });
        self.forget_focus(&surface);
    }

    /// An output came: windows that waited for one get their size.
    pub fn configure_waiting(&mut self) {
        for window in 0..self.toplevels.len() {
            if self.toplevels[window].mapping == Mapping::WaitsForOutput {
                initial_configure(self, window);
            }
        }
    }

    /// An output changed its mode: what the host tells its windows.
    pub fn configure_for_mode(&mut self) {
        let Some(size) = self.output_size() else {
            return;
        };
        for window in 0..self.toplevels.len() {
            let t = &self.toplevels[window];
            if !t.is_alive() || t.mapping == Mapping::New {
                continue;
            }
            let states = t.last.1.clone();
            if self.config.quirks.resizes_by_mode {
                self.configure(window, (0, 0), &states);
            } else if states.contains(&WindowState::Fullscreen) {
                self.configure(window, size, &states);
            }
        }
    }
}

/// Whether the commit is allowed. Sends the protocol error if not.
pub(crate) fn may_commit(state: &mut State, window: usize, attaches: bool) -> bool {
    state.asked(window, Request::Commit(attaches));
    let t = &state.toplevels[window];
    if attaches && !t.acked && t.is_alive() {
        let message = "a buffer was committed before the first configure was acknowledged";
        let on = t.xdg_surface.clone();
        state.fatal(&on, xdg_surface::Error::UnconfiguredBuffer, message);
        return false;
    }
    true
}

/// The role's part of a commit. `attach` is what the commit attached, `content` whether the surface
/// has a buffer now.
pub(crate) fn after_commit(state: &mut State, window: usize, attach: Option<Option<BufferId>>, content: bool) {
    let t = &state.toplevels[window];
    if !t.is_alive() || t.dropped {
        return;
    }
    match (t.mapping, attach) {
        (Mapping::New, _) if !content => initial_configure(state, window),
        (Mapping::Configured, Some(Some(_))) => map(state, window),
        (Mapping::FirstBufferHidden, None | Some(Some(_))) => show(state, window),
        (Mapping::FirstBufferHidden | Mapping::Shown, Some(None)) => state.unmap(window),
        _ => {}
    }
}

fn initial_configure(state: &mut State, window: usize) {
    let quirks = state.config.quirks;
    let output = state.output_size();
    if output.is_none() && quirks.drops_window_without_output {
        state.log(format!("window {window} is dropped: there is no output"));
        state.toplevels[window].dropped = true;
        state.window_note(window, |w| w.dropped = true);
        return;
    }
    if !state.config.auto_configure {
        return;
    }
    let t = &mut state.toplevels[window];
    let fullscreen = [WindowState::Fullscreen, WindowState::Activated];
    match output {
        None if quirks.opens_fullscreen => t.mapping = Mapping::WaitsForOutput,
        Some(size) if quirks.opens_fullscreen && t.max_size == (0, 0) => {
            state.configure(window, size, &fullscreen);
        }
        _ if quirks.opens_fullscreen => {
            state.configure(window, (0, 0), &[]);
        }
        _ if t.asked_fullscreen => {
            state.configure(window, output.unwrap_or((0, 0)), &fullscreen);
        }
        _ => {
            let (size, states) = state.config.initial.clone();
            state.configure(window, size, &states);
        }
    }
}

fn map(state: &mut State, window: usize) {
    let hides = state.config.quirks.hides_first_buffer;
    let t = &mut state.toplevels[window];
    let unsized_early = t.unsized_early;
    let surface = t.surface.clone();
    t.mapping = Mapping::FirstBufferHidden;
    state.log(format!("window {window} is mapped"));
    state.window_note(window, |w| {
        w.mapped = true;
        w.mapped_unsized |= unsized_early;
    });
    state.enter_outputs(&surface);
    if !hides {
        show(state, window);
    }
    if state.config.auto_focus {
        state.focus_keyboard(Some(surface), &[]);
    }
}

fn show(state: &mut State, window: usize) {
    let t = &mut state.toplevels[window];
    t.mapping = Mapping::Shown;
    let surface = t.surface.clone();
    if let Some(surface) = state.surface_mut(&surface) {
        // Everything is new on screen.
        surface.timing.damaged = true;
    }
    state.log(format!("window {window} is shown"));
    state.window_note(window, |w| w.shown = true);
}

impl GlobalDispatch<XdgWmBase, ()> for State {
    fn bind(
        state: &mut Self,
        _dh: &DisplayHandle,
        _client: &Client,
        resource: New<XdgWmBase>,
        _data: &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let wm_base = init.init(resource, ());
        state.bound(&wm_base);
        state.wm_bases.push(wm_base);
    }
}

/// What an `xdg_surface` belongs to.
#[derive(Debug)]
pub(crate) struct XdgSurfaceData {
    surface: WlSurface,
    wm_base: XdgWmBase,
}

impl Dispatch<XdgWmBase, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        wm_base: &XdgWmBase,
        request: xdg_wm_base::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        match request {
            xdg_wm_base::Request::CreatePositioner { id } => {
                init.init(id, ());
            }
            xdg_wm_base::Request::GetXdgSurface { id, surface } => {
                let taken = state
                    .surface(&surface)
                    .is_some_and(|s| s.current.buffer.is_some() || matches!(s.pending.attach, Some(Some(_))));
                if taken {
                    let message = "the surface has a buffer already";
                    let code = xdg_wm_base::Error::InvalidSurfaceState;
                    state.fatal(wm_base, code, message);
                    return;
                }
                let wm_base = wm_base.clone();
                init.init(id, XdgSurfaceData { surface, wm_base });
            }
            xdg_wm_base::Request::Pong { serial } => {
                state.log(format!("pong {serial}"));
                state.notes.note(|seen| seen.pongs.push(serial));
            }
            xdg_wm_base::Request::Destroy => {
                let alive = state.toplevels.iter().any(|t| {
                    t.is_alive() && t.xdg_surface.data::<XdgSurfaceData>().is_some_and(|d| d.wm_base == *wm_base)
                });
                if alive {
                    let message = "xdg_wm_base was destroyed before its surfaces";
                    state.fatal(wm_base, xdg_wm_base::Error::DefunctSurfaces, message);
                }
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, wm_base: &XdgWmBase, _data: &()) {
        state.wm_bases.retain(|w| w.id() != wm_base.id());
    }
}

impl Dispatch<XdgSurface, XdgSurfaceData> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        xdg_surface: &XdgSurface,
        request: xdg_surface::Request,
        data: &XdgSurfaceData,
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let window = state.toplevels.iter().position(|t| t.is_alive() && t.xdg_surface == *xdg_surface);
        match request {
            xdg_surface::Request::GetToplevel { id } => {
                let role = state.surface(&data.surface).map_or(Role::None, |s| s.role);
                // A surface keeps its role for life, but may have its toplevel anew.
                if window.is_some() || !matches!(role, Role::None | Role::Toplevel) {
                    let message = format!("the surface has the role {role:?} already");
                    state.fatal(&data.wm_base, xdg_wm_base::Error::Role, message);
                    return;
                }
                new_toplevel(state, xdg_surface, data, id, init);
            }
            xdg_surface::Request::GetPopup { id, .. } => {
                init.init(id, ());
                if let Some(surface) = state.surface_mut(&data.surface) {
                    surface.role = Role::Popup;
                }
            }
            xdg_surface::Request::SetWindowGeometry { x, y, width, height } => {
                let rect = Rect::new(x, y, width, height);
                if width < 1 || height < 1 {
                    let message = format!("invalid window geometry {rect:?}");
                    state.fatal(xdg_surface, xdg_surface::Error::InvalidSize, message);
                } else if let Some(window) = window {
                    state.asked(window, Request::Geometry(rect));
                } else {
                    not_constructed(state, xdg_surface);
                }
            }
            xdg_surface::Request::AckConfigure { serial } => {
                let Some(window) = window else {
                    not_constructed(state, xdg_surface);
                    return;
                };
                let t = &mut state.toplevels[window];
                let Some(at) = t.unacked.iter().position(|s| *s == serial) else {
                    let message = format!("wrong configure serial: {serial}");
                    let code = xdg_wm_base::Error::InvalidSurfaceState;
                    state.fatal(&data.wm_base, code, message);
                    return;
                };
                t.unacked.drain(..=at);
                t.acked = true;
                state.window_note(window, |w| w.acked.push(serial));
                state.asked(window, Request::Ack(serial));
            }
            xdg_surface::Request::Destroy if window.is_some() => {
                let message = "xdg_surface was destroyed before its toplevel";
                state.fatal(&data.wm_base, xdg_wm_base::Error::Role, message);
            }
            _ => {}
        }
    }
}

fn not_constructed(state: &State, xdg_surface: &XdgSurface) {
    let code = xdg_surface::Error::NotConstructed;
    state.fatal(xdg_surface, code, "xdg_surface must have a role");
}

fn new_toplevel(
    state: &mut State,
    xdg_surface: &XdgSurface,
    data: &XdgSurfaceData,
    id: New<XdgToplevel>,
    init: &mut DataInit<'_, State>,
) {
    let window = state.toplevels.len();
    let toplevel = init.init(id, window);
    state.toplevels.push(Toplevel {
        surface: data.surface.clone(),
        xdg_surface: xdg_surface.clone(),
        toplevel: Some(toplevel),
        decoration: None,
        unacked: Vec::new(),
        mapping: Mapping::New,
        asked_fullscreen: false,
        max_size: (0, 0),
        last: ((0, 0), Vec::new()),
        unsized_early: false,
        dropped: false,
        acked: false,
        greeted: false,
    });
    state.log(format!("window {window} is made"));
    state.notes.note(|seen| seen.windows.push(Window::default()));
    if let Some(surface) = state.surface_mut(&data.surface) {
        surface.role = Role::Toplevel;
        surface.window = Some(window);
    }
}

impl Dispatch<XdgToplevel, usize> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        toplevel: &XdgToplevel,
        request: xdg_toplevel::Request,
        window: &usize,
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
        let window = *window;
        let record = match request {
            xdg_toplevel::Request::SetTitle { title } => {
                state.window_note(window, |w| w.title = Some(title.clone()));
                Request::Title(title)
            }
            xdg_toplevel::Request::SetAppId { app_id } => {
                state.window_note(window, |w| w.app_id = Some(app_id.clone()));
                Request::AppId(app_id)
            }
            xdg_toplevel::Request::SetMinSize { width, height } => Request::MinSize(width, height),
            xdg_toplevel::Request::SetMaxSize { width, height } => Request::MaxSize(width, height),
            xdg_toplevel::Request::SetFullscreen { .. } => Request::Fullscreen,
            xdg_toplevel::Request::UnsetFullscreen => Request::UnsetFullscreen,
            xdg_toplevel::Request::SetMaximized => Request::Maximized,
            xdg_toplevel::Request::UnsetMaximized => Request::UnsetMaximized,
            xdg_toplevel::Request::SetMinimized => Request::Minimized,
            xdg_toplevel::Request::SetParent { .. } => Request::Parent,
            xdg_toplevel::Request::Move { .. } => Request::Move,
            xdg_toplevel::Request::Resize { .. } => Request::Resize,
            xdg_toplevel::Request::ShowWindowMenu { .. } => Request::ShowMenu,
            xdg_toplevel::Request::Destroy => Request::Destroy,
            _ => return,
        };
        state.asked(window, record.clone());
        if let Request::MinSize(w, h) | Request::MaxSize(w, h) = record
            && (w < 0 || h < 0)
        {
            let message = format!("invalid size {w}x{h}");
            state.fatal(toplevel, xdg_toplevel::Error::InvalidSize, message);
            return;
        }
        react(state, window, &record);
    }

    fn destroyed(state: &mut Self, _client: ClientId, _toplevel: &XdgToplevel, window: &usize) {
        state.toplevels[*window].toplevel = None;
        state.unmap(*window);
        state.window_note(*window, |w| w.destroyed = true);
        // The surface may get another toplevel, which then is another window.
        let surface = state.toplevels[*window].surface.clone();
        if let Some(surface) = state.surface_mut(&surface) {
            surface.window = None;
        }
    }
}

/// What the host does about a request, beyond recording it.
fn react(state: &mut State, window: usize, request: &Request) {
    let quirks = state.config.quirks;
    let output = state.output_size();
    let t = &mut state.toplevels[window];
    let early = t.mapping == Mapping::New;
    match request {
        Request::Fullscreen => t.asked_fullscreen = true,
        Request::UnsetFullscreen => t.asked_fullscreen = false,
        Request::MaxSize(w, h) => t.max_size = (*w, *h),
        _ => {}
    }
    let sizes = match request {
        Request::Fullscreen => true,
        Request::MaxSize(w, h) => (*w, *h) != (0, 0),
        _ => false,
    };
    if quirks.early_requests_unsize && early && sizes {
        t.unsized_early = true;
        state.configure(window, (0, 0), &[]);
        return;
    }
    if early || !state.config.auto_configure {
        return;
    }
    let (last_size, last_states) = t.last.clone();
    let mapped = t.is_mapped() || t.mapping == Mapping::Configured;
    match request {
        // Smithay's default answer repeats the state in force.
        Request::Fullscreen | Request::UnsetFullscreen if quirks.opens_fullscreen => {
            state.configure(window, last_size, &last_states);
        }
        Request::Fullscreen if mapped => {
            let states = [WindowState::Fullscreen, WindowState::Activated];
            state.configure(window, output.unwrap_or(last_size), &states);
        }
        Request::Maximized if mapped => {
            let states = [WindowState::Maximized, WindowState::Activated];
            state.configure(window, output.unwrap_or(last_size), &states);
        }
        Request::UnsetFullscreen | Request::UnsetMaximized if mapped => {
            let (size, states) = state.config.initial.clone();
            state.configure(window, size, &states);
        }
        _ => {}
    }
}

impl State {
    /// For the decoration module: a decoration request is part of the window's story.
    pub fn asked_decoration(&self, window: usize, mode: Option<u32>) {
        self.asked(window, Request::Decoration(mode));
    }

    /// The window of a toplevel object.
    pub fn window_of(toplevel: &XdgToplevel) -> Option<usize> {
        toplevel.data::<usize>().copied()
    }
}

impl Dispatch<XdgPositioner, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _positioner: &XdgPositioner,
        _request: xdg_positioner::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }
}

impl Dispatch<XdgPopup, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _popup: &XdgPopup,
        _request: xdg_popup::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }
}
