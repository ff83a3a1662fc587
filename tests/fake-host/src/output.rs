//! `wl_output` and `zxdg_output_v1`: outputs that come, change and go by script.
//! Knows nothing of windows but that they enter outputs and follow modes.

use std::collections::HashMap;
use std::io;

use smithay::reexports::wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_manager_v1::{
    self, ZxdgOutputManagerV1,
};
use smithay::reexports::wayland_protocols::xdg::xdg_output::zv1::server::zxdg_output_v1::{self, ZxdgOutputV1};
use wayland_server::backend::{ClientId, GlobalId};
use wayland_server::protocol::wl_output::{self, Mode, Subpixel, Transform, WlOutput};
use wayland_server::protocol::wl_surface::WlSurface;
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource};

use crate::builder::Output;
use crate::globals;
use crate::server::State;

/// One output. Its index in `State::outputs` is its number; removed ones stay there.
#[derive(Debug)]
pub(crate) struct OutputState {
    spec: Output,
    global: Option<GlobalId>,
    present: bool,
    resources: Vec<WlOutput>,
    xdg: Vec<ZxdgOutputV1>,
}

/// Adds an output and its global. Returns its number.
pub(crate) fn add(state: &mut State, spec: Output) -> io::Result<usize> {
    let number = state.outputs.len();
    let global = globals::output_global(state, number)?;
    state.log(format!("output {number} is {spec:?}"));
    state.outputs.push(OutputState { spec, global, present: true, resources: Vec::new(), xdg: Vec::new() });
    state.configure_waiting();
    Ok(number)
}

impl State {
    pub fn remove_output(&mut self, number: usize) -> bool {
        let Some(output) = self.outputs.get_mut(number) else {
            return false;
        };
        output.present = false;
        let global = output.global.take();
        self.log(format!("output {number} is withdrawn"));
        if let Some(global) = global {
            self.dh.disable_global::<Self>(global);
        }
        true
    }

    /// Changes an output and tells everyone, in the protocol's order. Windows are not told.
    pub fn change_output(&mut self, number: usize, change: impl FnOnce(&mut Output)) -> bool {
        let Some(output) = self.outputs.get_mut(number) else {
            return false;
        };
        change(&mut output.spec);
        let spec = output.spec;
        for xdg in &output.xdg {
            describe_xdg(xdg, spec);
        }
        for resource in &output.resources {
            describe_mode(resource, spec);
            done(resource);
        }
        self.log(format!("output {number} is now {spec:?}"));
        true
    }

    /// The first output that is there.
    pub fn first_output(&self) -> Option<(usize, Output)> {
        let number = self.outputs.iter().position(|o| o.present)?;
        Some((number, self.outputs[number].spec))
    }

    /// Logical size of the first output.
    pub fn output_size(&self) -> Option<(i32, i32)> {
        self.first_output().map(|(_, spec)| spec.logical())
    }

    /// Each client's bindings of the first output.
    pub fn output_resources(&self) -> HashMap<ClientId, Vec<WlOutput>> {
        let mut all: HashMap<ClientId, Vec<WlOutput>> = HashMap::new();
        if let Some((number, _)) = self.first_output() {
            for resource in &self.outputs[number].resources {
                if let Some(client) = resource.client() {
                    all.entry(client.id()).or_default().push(resource.clone());
                }
            }
        }
        all
    }

    /// Tells a surface that it is on the first output.
    pub fn enter_outputs(&self, surface: &WlSurface) {
        let Some((number, _)) = self.first_output() else {
            return;
        };
        for output in &self.outputs[number].resources {
            if output.id().same_client_as(&surface.id()) {
                surface.enter(output);
            }
        }
    }
}

fn describe_mode(output: &WlOutput, spec: Output) {
    output.mode(Mode::Current | Mode::Preferred, spec.width, spec.height, spec.refresh_mhz);
    if output.version() >= wl_output::EVT_SCALE_SINCE {
        output.scale(spec.scale);
    }
}

fn done(output: &WlOutput) {
    if output.version() >= wl_output::EVT_DONE_SINCE {
        output.done();
    }
}

fn describe_xdg(output: &ZxdgOutputV1, spec: Output) {
    let (width, height) = spec.logical();
    output.logical_position(0, 0);
    output.logical_size(width, height);
    if output.version() < 3 {
        output.done();
    }
}

impl GlobalDispatch<WlOutput, usize> for State {
    fn bind(
        state: &mut Self,
        _dh: &DisplayHandle,
        _client: &Client,
        resource: New<WlOutput>,
        number: &usize,
        init: &mut DataInit<'_, Self>,
    ) {
        let output = init.init(resource, *number);
        state.bound(&output);
        let record = &mut state.outputs[*number];
        let spec = record.spec;
        record.resources.push(output.clone());
        output.geometry(0, 0, 0, 0, Subpixel::Unknown, "Fake".into(), "Host".into(), Transform::Normal);
        describe_mode(&output, spec);
        if output.version() >= wl_output::EVT_NAME_SINCE {
            output.name(format!("HEADLESS-{}", number + 1));
            output.description("an output nobody sees".into());
        }
        done(&output);
    }
}

impl Dispatch<WlOutput, usize> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _output: &WlOutput,
        _request: wl_output::Request,
        _number: &usize,
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, output: &WlOutput, number: &usize) {
        let record = &mut state.outputs[*number];
        record.resources.retain(|o| o.id() != output.id());
    }
}

impl GlobalDispatch<ZxdgOutputManagerV1, ()> for State {
    fn bind(
        state: &mut Self,
        _dh: &DisplayHandle,
        _client: &Client,
        resource: New<ZxdgOutputManagerV1>,
        _data: &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let manager = init.init(resource, ());
        state.bound(&manager);
    }
}

impl Dispatch<ZxdgOutputManagerV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &ZxdgOutputManagerV1,
        request: zxdg_output_manager_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let zxdg_output_manager_v1::Request::GetXdgOutput { id, output } = request else {
            return;
        };
        let number = output.data::<usize>().copied().unwrap_or_default();
        let xdg = init.init(id, number);
        let record = &mut state.outputs[number];
        record.xdg.push(xdg.clone());
        if xdg.version() >= zxdg_output_v1::EVT_NAME_SINCE {
            xdg.name(format!("HEADLESS-{}", number + 1));
            xdg.description("an output nobody sees".into());
        }
        describe_xdg(&xdg, record.spec);
        if xdg.version() >= 3 {
            done(&output);
        }
    }
}

impl Dispatch<ZxdgOutputV1, usize> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _output: &ZxdgOutputV1,
        _request: zxdg_output_v1::Request,
        _number: &usize,
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, output: &ZxdgOutputV1, number: &usize) {
        let record = &mut state.outputs[*number];
        record.xdg.retain(|o| o.id() != output.id());
    }
}
