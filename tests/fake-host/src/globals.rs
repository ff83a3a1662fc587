//! The table of globals by name, and globals of which nothing but the name exists.
//! Each real global's behaviour is in the module of its concern.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use smithay::reexports::wayland_protocols::wp::fractional_scale::v1::server::wp_fractional_scale_manager_v1::WpFractionalScaleManagerV1;
use smithay::reexports::wayland_protocols::wp::keyboard_shortcuts_inhibit::zv1::server::zwp_keyboard_shortcuts_inhibit_manager_v1::ZwpKeyboardShortcutsInhibitManagerV1;
use smithay::reexports::wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;
use smithay::reexports::wayland_protocols::wp::linux_drm_syncobj::v1::server::wp_linux_drm_syncobj_manager_v1::WpLinuxDrmSyncobjManagerV1;
use smithay::reexports::wayland_protocols::wp::pointer_constraints::zv1::server::zwp_pointer_constraints_v1::ZwpPointerConstraintsV1;
use smithay::reexports::wayland_protocols::wp::presentation_time::server::wp_presentation::WpPresentation;
use smithay::reexports::wayland_protocols::wp::relative_pointer::zv1::server::zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1;
use smithay::reexports::wayland_protocols::wp::single_pixel_buffer::v1::server::wp_single_pixel_buffer_manager_v1::WpSinglePixelBufferManagerV1;
use smithay::reexports::wayland_protocols::wp::viewporter::server::wp_viewporter::WpViewporter;
use smithay::reexports::wayland_protocols::xdg::decoration::zv1::server::zxdg_decoration_manager_v1::ZxdgDecorationManagerV1;
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_wm_base::XdgWmBase;
use smithay::reexports::wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_manager_v1::ZxdgOutputManagerV1;
use wayland_server::backend::protocol::{Interface, Message};
use wayland_server::backend::{ClientId, GlobalHandler, GlobalId, Handle, ObjectData, ObjectId};
use wayland_server::protocol::wl_compositor::WlCompositor;
use wayland_server::protocol::wl_data_device_manager::WlDataDeviceManager;
use wayland_server::protocol::wl_output::WlOutput;
use wayland_server::protocol::wl_seat::WlSeat;
use wayland_server::protocol::wl_shm::WlShm;
use wayland_server::protocol::wl_subcompositor::WlSubcompositor;
use wayland_server::{GlobalDispatch, Resource};

use crate::builder::Output;
use crate::output;
use crate::seen::Bound;
use crate::server::State;

/// Everything the configuration asks for. Outputs last, as where they depend on a stream's caps.
pub(crate) fn create_all(state: &mut State, outputs: &[Output]) -> io::Result<()> {
    let mut globals = state.config.globals.clone();
    if let Some(version) = state.config.dmabuf.version()
        && !globals.iter().any(|(n, _)| n == "zwp_linux_dmabuf_v1")
    {
        globals.push(("zwp_linux_dmabuf_v1".into(), version));
    }
    for (name, version) in &globals {
        if name != "wl_output" {
            create(state, name, *version)?;
        }
    }
    for spec in outputs {
        output::add(state, *spec)?;
    }
    Ok(())
}

/// One global by its interface's name.
pub(crate) fn create(state: &mut State, name: &str, version: u32) -> io::Result<()> {
    let id = match name {
        "wl_compositor" => known::<WlCompositor>(state, version)?,
        "wl_subcompositor" => known::<WlSubcompositor>(state, version)?,
        "wl_shm" => known::<WlShm>(state, version)?,
        "wl_seat" => known::<WlSeat>(state, version)?,
        "wl_data_device_manager" => known::<WlDataDeviceManager>(state, version)?,
        "xdg_wm_base" => known::<XdgWmBase>(state, version)?,
        "zxdg_output_manager_v1" => known::<ZxdgOutputManagerV1>(state, version)?,
        "wp_viewporter" => known::<WpViewporter>(state, version)?,
        "wp_presentation" => known::<WpPresentation>(state, version)?,
        "zwp_relative_pointer_manager_v1" => known::<ZwpRelativePointerManagerV1>(state, version)?,
        "zwp_pointer_constraints_v1" => known::<ZwpPointerConstraintsV1>(state, version)?,
        "wp_single_pixel_buffer_manager_v1" => known::<WpSinglePixelBufferManagerV1>(state, version)?,
        "wp_fractional_scale_manager_v1" => known::<WpFractionalScaleManagerV1>(state, version)?,
        "zxdg_decoration_manager_v1" => known::<ZxdgDecorationManagerV1>(state, version)?,
        "zwp_keyboard_shortcuts_inhibit_manager_v1" => known::<ZwpKeyboardShortcutsInhibitManagerV1>(state, version)?,
        "zwp_linux_dmabuf_v1" => known::<ZwpLinuxDmabufV1>(state, version)?,
        "wp_linux_drm_syncobj_manager_v1" => known::<WpLinuxDrmSyncobjManagerV1>(state, version)?,
        _ => in_name_only(state, name, version),
    };
    state.log(format!("global {name} {version}"));
    state.globals.push((name.into(), id));
    Ok(())
}

/// Withdraws every global of this name. Binds under way still succeed, as they should.
pub(crate) fn remove(state: &mut State, name: &str) {
    state.log(format!("global {name} withdrawn"));
    let (gone, kept) = std::mem::take(&mut state.globals).into_iter().partition(|(n, _)| n == name);
    state.globals = kept;
    let gone: Vec<(String, GlobalId)> = gone;
    for (_, id) in gone {
        state.dh.disable_global::<State>(id);
    }
}

fn known<I: Resource + 'static>(state: &State, version: u32) -> io::Result<GlobalId>
where
    State: GlobalDispatch<I, ()>,
{
    check_version::<I>(version)?;
    Ok(state.dh.create_global::<State, I, ()>(version, ()))
}

/// The backend panics on versions it has no tables for.
fn check_version<I: Resource>(version: u32) -> io::Result<()> {
    let Interface { name, version: newest, .. } = I::interface();
    if (1..=*newest).contains(&version) {
        return Ok(());
    }
    Err(io::Error::other(format!("{name} has versions 1 to {newest}, not {version}")))
}

/// For the output module, whose global carries data.
pub(crate) fn output_global(state: &State, number: usize) -> io::Result<Option<GlobalId>> {
    let wanted = state.config.globals.iter().find(|(n, _)| n == "wl_output");
    let Some(version) = wanted.map(|(_, v)| *v) else {
        return Ok(None);
    };
    check_version::<WlOutput>(version)?;
    Ok(Some(state.dh.create_global::<State, WlOutput, usize>(version, number)))
}

/// A global that can be bound and then understands nothing.
fn in_name_only(state: &State, name: &str, version: u32) -> GlobalId {
    // The backend wants an interface that lives for ever; a test makes a handful of them.
    let interface: &'static Interface = Box::leak(Box::new(Interface {
        name: Box::leak(name.to_owned().into_boxed_str()),
        version,
        requests: &[],
        events: &[],
        c_ptr: None,
    }));
    let handler = Arc::new(InNameOnly(interface));
    state.dh.backend_handle().create_global::<State>(interface, version, handler)
}

struct InNameOnly(&'static Interface);

impl GlobalHandler<State> for InNameOnly {
    fn bind(
        self: Arc<Self>,
        handle: &Handle,
        state: &mut State,
        _client: ClientId,
        _global: GlobalId,
        object: ObjectId,
    ) -> Arc<dyn ObjectData<State>> {
        let version = handle.object_info(object).map_or(0, |info| info.version);
        let global = self.0.name.to_owned();
        state.log(format!("bind {global} {version}, of which only the name exists"));
        state.notes.note(|seen| seen.bound.push(Bound { global, version }));
        self
    }
}

impl ObjectData<State> for InNameOnly {
    fn request(
        self: Arc<Self>,
        _handle: &Handle,
        _state: &mut State,
        _client: ClientId,
        _msg: Message<ObjectId, OwnedFd>,
    ) -> Option<Arc<dyn ObjectData<State>>> {
        None
    }

    fn destroyed(self: Arc<Self>, _handle: &Handle, _state: &mut State, _client: ClientId, _object: ObjectId) {}
}
