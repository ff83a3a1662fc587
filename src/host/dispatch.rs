//! Wayland events into the host's state: one small handler per interface, deciding nothing.

use smithay_client_toolkit::compositor::CompositorHandler;
use smithay_client_toolkit::output::{OutputHandler, OutputState};
use smithay_client_toolkit::registry::{ProvidesRegistryState, RegistryState};
use smithay_client_toolkit::shell::xdg::window::{Window, WindowConfigure, WindowHandler};
use smithay_client_toolkit::shm::{Shm, ShmHandler};
use smithay_client_toolkit::{delegate_dispatch2, delegate_registry};
use wayland_client::backend::ObjectData;
use wayland_client::protocol::wl_data_device_manager::WlDataDeviceManager;
use wayland_client::protocol::wl_output::{Transform, WlOutput};
use wayland_client::protocol::wl_region::WlRegion;
use wayland_client::protocol::wl_shm_pool::WlShmPool;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle};
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_manager_v1::WpFractionalScaleManagerV1;
use wayland_protocols::wp::fractional_scale::v1::client::wp_fractional_scale_v1::{self, WpFractionalScaleV1};
use wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::client::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_feedback_v1::{self, ZwpLinuxDmabufFeedbackV1};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::{self, ZwpLinuxDmabufV1};
use wayland_protocols::wp::linux_drm_syncobj::v1::client::wp_linux_drm_syncobj_manager_v1::WpLinuxDrmSyncobjManagerV1;
use wayland_protocols::wp::linux_drm_syncobj::v1::client::wp_linux_drm_syncobj_surface_v1::WpLinuxDrmSyncobjSurfaceV1;
use wayland_protocols::wp::linux_drm_syncobj::v1::client::wp_linux_drm_syncobj_timeline_v1::WpLinuxDrmSyncobjTimelineV1;
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;

use crate::host::feedback::Scope;
use crate::host::{Host, HostEvent, Quiet};

delegate_dispatch2!(Host);
delegate_registry!(Host);

impl ProvidesRegistryState for Host {
    fn registry(&mut self) -> &mut RegistryState {
        &mut self.registry
    }

    fn runtime_add_global(
        &mut self,
        connection: &Connection,
        queue: &QueueHandle<Self>,
        name: u32,
        interface: &str,
        version: u32,
    ) {
        use smithay_client_toolkit::registry::RegistryHandler;
        <OutputState as RegistryHandler<Self>>::new_global(self, connection, queue, name, interface, version);
        if interface == "wl_seat" {
            self.add_seat(name, version);
        }
    }

    fn runtime_remove_global(
        &mut self,
        connection: &Connection,
        queue: &QueueHandle<Self>,
        name: u32,
        interface: &str,
    ) {
        use smithay_client_toolkit::registry::RegistryHandler;
        <OutputState as RegistryHandler<Self>>::remove_global(self, connection, queue, name, interface);
        if interface == "wl_seat" {
            self.remove_seat(name);
        }
        if interface == "wp_linux_drm_syncobj_manager_v1" {
            self.sync_withdrawn();
        }
    }
}

impl ShmHandler for Host {
    fn shm_state(&mut self) -> &mut Shm {
        &mut self.shm
    }
}

impl OutputHandler for Host {
    fn output_state(&mut self) -> &mut OutputState {
        &mut self.outputs
    }

    fn new_output(&mut self, _: &Connection, _: &QueueHandle<Self>, _: WlOutput) {
        self.output_changed();
    }

    fn update_output(&mut self, _: &Connection, _: &QueueHandle<Self>, _: WlOutput) {
        self.output_changed();
    }

    fn output_destroyed(&mut self, _: &Connection, _: &QueueHandle<Self>, output: WlOutput) {
        self.output_gone(&output);
    }
}

impl CompositorHandler for Host {
    fn scale_factor_changed(&mut self, _: &Connection, _: &QueueHandle<Self>, _: &WlSurface, factor: i32) {
        self.scale_changed(u32::try_from(factor).ok().filter(|factor| *factor > 0));
    }

    fn transform_changed(&mut self, _: &Connection, _: &QueueHandle<Self>, _: &WlSurface, _: Transform) {}

    fn frame(&mut self, _: &Connection, _: &QueueHandle<Self>, _: &WlSurface, _: u32) {}

    fn surface_enter(&mut self, _: &Connection, _: &QueueHandle<Self>, _: &WlSurface, output: &WlOutput) {
        self.entered_output(output.clone());
    }

    fn surface_leave(&mut self, _: &Connection, _: &QueueHandle<Self>, _: &WlSurface, _: &WlOutput) {}
}

impl WindowHandler for Host {
    fn request_close(&mut self, _: &Connection, _: &QueueHandle<Self>, _: &Window) {
        self.events.push_back(HostEvent::CloseRequested);
    }

    fn configure(&mut self, _: &Connection, _: &QueueHandle<Self>, _: &Window, configure: WindowConfigure, _: u32) {
        self.configured(&configure);
    }
}

impl Dispatch<WpFractionalScaleV1, Quiet> for Host {
    fn event(
        host: &mut Self,
        _: &WpFractionalScaleV1,
        event: wp_fractional_scale_v1::Event,
        _: &Quiet,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wp_fractional_scale_v1::Event::PreferredScale { scale } = event {
            host.fractional_scale_changed(scale);
        }
    }
}

impl Dispatch<ZwpLinuxDmabufV1, Quiet> for Host {
    fn event(
        host: &mut Self,
        dmabuf: &ZwpLinuxDmabufV1,
        event: zwp_linux_dmabuf_v1::Event,
        _: &Quiet,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        // From version 4 on only feedback counts.
        if let (3, zwp_linux_dmabuf_v1::Event::Modifier { format, modifier_hi, modifier_lo }) =
            (dmabuf.version(), event)
        {
            host.feedback.modifier(format, u64::from(modifier_hi) << 32 | u64::from(modifier_lo));
        }
    }
}

impl Dispatch<ZwpLinuxDmabufFeedbackV1, Scope> for Host {
    fn event(
        host: &mut Self,
        _: &ZwpLinuxDmabufFeedbackV1,
        event: zwp_linux_dmabuf_feedback_v1::Event,
        scope: &Scope,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use zwp_linux_dmabuf_feedback_v1::{Event, TrancheFlags};
        let feedback = &mut host.feedback;
        match event {
            Event::FormatTable { fd, size } => feedback.format_table(*scope, fd, size),
            Event::MainDevice { device } => feedback.device(*scope, &device),
            Event::TrancheTargetDevice { device } => feedback.tranche_device(*scope, &device),
            Event::TrancheFlags { flags } => {
                let scanout = flags.into_result().is_ok_and(|flags| flags.contains(TrancheFlags::Scanout));
                feedback.tranche_scanout(*scope, scanout);
            }
            Event::TrancheFormats { indices } => feedback.tranche_formats(*scope, &indices),
            Event::TrancheDone => feedback.tranche_done(*scope),
            Event::Done if feedback.done(*scope) => host.events.push_back(HostEvent::FormatsChanged),
            _ => {}
        }
    }
}

/// Objects whose events say nothing that matters here.
macro_rules! quiet {
    ($($interface:ty),+ $(,)?) => {$(
        impl Dispatch<$interface, Quiet> for Host {
            fn event(
                _: &mut Self,
                _: &$interface,
                _: <$interface as Proxy>::Event,
                _: &Quiet,
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
            }

            fn event_created_child(opcode: u16, _: &QueueHandle<Self>) -> std::sync::Arc<dyn ObjectData> {
                unreachable!("{} has no event {opcode} that makes an object", <$interface>::interface().name)
            }
        }
    )+};
}

quiet!(
    ZwpKeyboardShortcutsInhibitManagerV1,
    WlDataDeviceManager,
    WlRegion,
    WlSurface,
    WlShmPool,
    WpViewporter,
    WpViewport,
    WpFractionalScaleManagerV1
);
quiet!(WpLinuxDrmSyncobjManagerV1, WpLinuxDrmSyncobjSurfaceV1, WpLinuxDrmSyncobjTimelineV1);
