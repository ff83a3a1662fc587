//! The one toplevel: when it may be committed, how large it is, and what goes on it.

use std::sync::Once;
use std::time::{Duration, Instant};

use smithay_client_toolkit::shell::WaylandSurface;
use smithay_client_toolkit::shell::xdg::window::{Window, WindowConfigure, WindowDecorations};
use tracing::{debug, info, warn};
use wayland_client::Proxy as _;
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_output::{Transform, WlOutput};
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_v1::WpFractionalScaleV1;
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;

use crate::host::feedback::Scope;
use crate::host::size::{OutputFacts, SizeFacts, WindowSize, decide};
use crate::host::{Host, HostEvent, Quiet};
use crate::video;
use crate::video::frame::Frame;
use crate::video::meta::{Damage, Metas, Rect};
use crate::video::rate::MaxRate;

/// Old hosts drop a window for ever that comes before their output; hosts without one must not hang us.
pub const OUTPUT_PATIENCE: Duration = Duration::from_secs(5);

/// How far the window has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was committed: there is no output yet.
    WaitingForOutput {
        /// Then it goes on without.
        until: Instant,
    },
    /// The first commit, without a buffer, was made.
    AwaitingConfigure,
    /// Configured; buffers may be attached.
    Configured,
    /// A buffer was shown; there is always one from now on.
    Mapped,
}

/// The window and what is on it.
pub struct Toplevel {
    window: Window,
    viewport: Option<WpViewport>,
    _fractional_scale: Option<WpFractionalScaleV1>,
    stage: Stage,
    facts: SizeFacts,
    entered: Option<WlOutput>,
    size: Option<WindowSize>,
    /// What the surface's state was last set to, so that it is sent only when it changes.
    destination: Option<(u32, u32)>,
    opaque: Option<(u32, u32)>,
    source: Option<Rect>,
    transform: video::meta::Transform,
    said_uncropped: bool,
}

/// An output's refresh rate (mHz), which is not always one.
fn believed(refresh: i32) -> Option<MaxRate> {
    static TOLD: Once = Once::new();
    let rate = MaxRate::of_output(refresh);
    if refresh != 0 && rate.is_none() {
        let said = f64::from(refresh) / 1000.0;
        TOLD.call_once(|| info!("the host's output claims {said} Hz, which is ignored (see --fallback and --refresh)"));
    }
    rate
}

impl Host {
    /// Makes the window; it is committed as soon as there is an output, or after [`OUTPUT_PATIENCE`].
    pub fn open_window(&mut self, now: Instant) {
        let surface = self.compositor.create_surface(&self.queue);
        let window = self.xdg.create_window(surface, WindowDecorations::RequestServer, &self.queue);
        window.set_title("wolf-bridge");
        window.set_app_id("wolf-bridge");
        // From version 4 on a host can say what suits this window best, such as what its screen takes directly.
        if let Some(dmabuf) = self.extras.dmabuf.as_ref().filter(|dmabuf| dmabuf.version() >= 4) {
            dmabuf.get_surface_feedback(window.wl_surface(), &self.queue, Scope::Window);
        }
        let viewport =
            self.extras.viewporter.as_ref().map(|it| it.get_viewport(window.wl_surface(), &self.queue, Quiet));
        let fractional_scale = viewport.as_ref().and(self.extras.fractional_scale.as_ref());
        let fractional_scale =
            fractional_scale.map(|it| it.get_fractional_scale(window.wl_surface(), &self.queue, Quiet));
        self.window = Some(Toplevel {
            facts: SizeFacts {
                windowed: self.windowed,
                fallback: self.fallback,
                viewport: viewport.is_some(),
                ..Default::default()
            },
            window,
            viewport,
            _fractional_scale: fractional_scale,
            stage: Stage::WaitingForOutput { until: now + OUTPUT_PATIENCE },
            entered: None,
            size: None,
            destination: None,
            opaque: None,
            source: None,
            transform: video::meta::Transform::default(),
            said_uncropped: false,
        });
        self.output_changed();
    }

    /// When [`check_output_patience`](Self::check_output_patience) has something to do.
    pub fn output_deadline(&self) -> Option<Instant> {
        match self.window.as_ref()?.stage {
            Stage::WaitingForOutput { until } => Some(until),
            _ => None,
        }
    }

    /// Goes on without an output when none came in time.
    pub fn check_output_patience(&mut self, now: Instant) {
        if let Some(window) = &mut self.window {
            if matches!(window.stage, Stage::WaitingForOutput { until } if until <= now) {
                warn!("the host has no output after {} s; going on without", OUTPUT_PATIENCE.as_secs());
                window.first_commit();
            }
        }
    }

    pub(super) fn output_changed(&mut self) {
        self.look_at_outputs(None);
    }

    /// The toolkit tells before it forgets the output.
    pub(super) fn output_gone(&mut self, gone: &WlOutput) {
        if let Some(window) = &mut self.window {
            window.entered.take_if(|entered| entered == gone);
        }
        self.look_at_outputs(Some(gone));
    }

    fn look_at_outputs(&mut self, gone: Option<&WlOutput>) {
        let Some(window) = &mut self.window else { return };
        let known = |output: &WlOutput| Some(output) != gone && self.outputs.info(output).is_some();
        let output = window.entered.clone().filter(known).or_else(|| self.outputs.outputs().find(known));
        let info = output.and_then(|output| self.outputs.info(&output));
        window.facts.output = info.and_then(|info| {
            let mode = info.modes.iter().find(|mode| mode.current)?;
            let side = |side: i32| u32::try_from(side).ok().filter(|side| *side > 0);
            let (width, height) = (side(mode.dimensions.0)?, side(mode.dimensions.1)?);
            let turned = matches!(
                info.transform,
                Transform::_90 | Transform::_270 | Transform::Flipped90 | Transform::Flipped270
            );
            Some(OutputFacts {
                pixels: if turned { (height, width) } else { (width, height) },
                logical: info.logical_size.and_then(|(width, height)| Some((side(width)?, side(height)?))),
                scale: side(info.scale_factor).unwrap_or(1),
                refresh: believed(mode.refresh_rate),
            })
        });
        if window.facts.output.is_some() && matches!(window.stage, Stage::WaitingForOutput { .. }) {
            window.first_commit();
        }
        self.resize();
    }

    pub(super) fn entered_output(&mut self, output: WlOutput) {
        if let Some(window) = &mut self.window {
            window.entered = Some(output);
        }
        self.output_changed();
    }

    pub(super) fn scale_changed(&mut self, scale: Option<u32>) {
        if let Some(window) = &mut self.window {
            window.facts.scale = scale;
        }
        self.resize();
    }

    pub(super) fn fractional_scale_changed(&mut self, scale_120: u32) {
        if let Some(window) = &mut self.window {
            window.facts.scale_120 = (scale_120 > 0).then_some(scale_120);
        }
        self.resize();
    }

    pub(super) fn configured(&mut self, configure: &WindowConfigure) {
        let Some(window) = &mut self.window else { return };
        debug!(?configure.new_size, ?configure.state, "configure");
        window.facts.configured =
            (configure.new_size.0.map(|side| side.get()), configure.new_size.1.map(|side| side.get()));
        if matches!(window.stage, Stage::AwaitingConfigure | Stage::WaitingForOutput { .. }) {
            window.stage = Stage::Configured;
            // Only now: before the first configure it would break the mapping on Wolf.
            if self.wants_fullscreen && !configure.is_fullscreen() {
                window.window.set_fullscreen(None);
            }
        }
        self.resize();
        // The acknowledged configure takes effect with a commit; a mapped window may get no frame for long.
        if let Some(window) = &mut self.window {
            if window.stage == Stage::Mapped {
                window.update_destination();
                window.window.wl_surface().commit();
            }
        }
    }

    /// Tells about the size when it is known and has changed.
    fn resize(&mut self) {
        let Some(window) = &mut self.window else { return };
        if !matches!(window.stage, Stage::Configured | Stage::Mapped) {
            return;
        }
        let size = decide(&window.facts);
        if window.size != Some(size) {
            window.size = Some(size);
            self.events.push_back(HostEvent::Resized(size));
        }
    }

    /// The part of a frame that the window shows of it, upright, in pixels.
    pub fn visible(&self, frame: &Frame) -> Rect {
        let size = (frame.negotiated.width, frame.negotiated.height);
        match &self.extras.viewporter {
            Some(_) => frame.metas.visible(size),
            None => Rect::whole(frame.metas.transform.upright(size)),
        }
    }

    /// Shows a buffer with this frame: attach, damage since the frame shown before, geometry, frame callback, commit.
    ///
    /// False when the window may not show anything yet.
    pub(super) fn show(&mut self, buffer: &WlBuffer, frame: &Frame, damage: &Damage) -> bool {
        let Some(window) = &mut self.window else { return false };
        if !window.can_show() {
            return false;
        }
        let surface = window.window.wl_surface();
        surface.attach(Some(buffer), 0, 0);
        match damage {
            Damage::Parts(parts) if window.stage == Stage::Mapped => {
                for Rect { x, y, width, height } in parts.rects() {
                    surface.damage_buffer(*x as i32, *y as i32, *width as i32, *height as i32);
                }
            }
            _ => surface.damage_buffer(0, 0, i32::MAX, i32::MAX),
        }
        self.timing.ask(surface);
        window.update_destination();
        let visible = window.place(&frame.metas, (frame.negotiated.width, frame.negotiated.height));
        let logical = window.size.map(|size| size.logical);
        let area = logical.filter(|_| frame.negotiated.format.is_opaque());
        if window.opaque != area {
            window.opaque = area;
            match area {
                None => surface_region(window, None),
                Some((width, height)) => {
                    let region = self.compositor.wl_compositor().create_region(&self.queue, Quiet);
                    region.add(0, 0, width as i32, height as i32);
                    surface_region(window, Some(&region));
                    region.destroy();
                }
            }
        }
        let surface = window.window.wl_surface();
        surface.commit();
        if window.stage != Stage::Mapped {
            window.stage = Stage::Mapped;
            // Wolf shows the first buffer only when another commit follows.
            surface.commit();
        }
        if let Some(logical) = logical {
            let origin = frame.metas.crop.map_or((0, 0), |_| {
                let visible = frame.metas.visible((frame.negotiated.width, frame.negotiated.height));
                (visible.x, visible.y)
            });
            self.scale_cursors(origin, visible, logical);
        }
        true
    }
}

fn surface_region(window: &Toplevel, region: Option<&wayland_client::protocol::wl_region::WlRegion>) {
    window.window.wl_surface().set_opaque_region(region);
}

impl Toplevel {
    /// The surface of the window.
    pub(super) fn wl_surface(&self) -> &WlSurface {
        self.window.wl_surface()
    }

    fn first_commit(&mut self) {
        self.window.commit();
        self.stage = Stage::AwaitingConfigure;
    }

    pub(super) fn surface(&self) -> &WlSurface {
        self.window.wl_surface()
    }

    /// Whether buffers may be attached.
    pub fn can_show(&self) -> bool {
        matches!(self.stage, Stage::Configured | Stage::Mapped)
    }

    /// Whether it shows something, as it will from then on.
    pub(super) fn is_mapped(&self) -> bool {
        self.stage == Stage::Mapped
    }

    /// The size, once configured.
    pub fn size(&self) -> Option<WindowSize> {
        self.size
    }

    /// Turns the next buffer upright and cuts off what is not the picture; the size of what is to be seen.
    fn place(&mut self, metas: &Metas, frame: (u32, u32)) -> (u32, u32) {
        if self.transform != metas.transform {
            self.transform = metas.transform;
            // Both count as wl_output.transform does.
            let transform = Transform::try_from(metas.transform as u32).unwrap_or(Transform::Normal);
            self.window.wl_surface().set_buffer_transform(transform);
        }
        // In the coordinates of the upright buffer; one that ends outside of it would be fatal.
        let visible = metas.visible(frame);
        let source = metas.crop.map(|_| visible);
        match (&self.viewport, source) {
            (None, None) => {}
            (None, Some(_)) => {
                if !std::mem::replace(&mut self.said_uncropped, true) {
                    warn!("the host has no wp_viewporter: what the guest crops away of its frames is shown as well");
                }
                return metas.transform.upright(frame);
            }
            (Some(_), source) if source == self.source => {}
            (Some(viewport), None) => viewport.set_source(-1.0, -1.0, -1.0, -1.0),
            (Some(viewport), Some(Rect { x, y, width, height })) => {
                viewport.set_source(x.into(), y.into(), width.into(), height.into());
            }
        }
        self.source = source;
        (visible.width, visible.height)
    }

    /// Scales whatever is on the surface to the window.
    fn update_destination(&mut self) {
        let (Some(viewport), Some(size)) = (&self.viewport, self.size) else { return };
        if self.destination != Some(size.logical) {
            self.destination = Some(size.logical);
            viewport.set_destination(size.logical.0 as i32, size.logical.1 as i32);
        }
    }
}
