//! Render ticks: frame callbacks and presentation feedback. Draws nothing.

use std::collections::HashMap;

use rustix::time::{ClockId, clock_gettime};
use smithay::reexports::wayland_protocols::wp::presentation_time::server::wp_presentation::{self, WpPresentation};
use smithay::reexports::wayland_protocols::wp::presentation_time::server::wp_presentation_feedback::{
    self, Kind, WpPresentationFeedback,
};
use wayland_server::backend::ClientId;
use wayland_server::protocol::wl_callback::WlCallback;
use wayland_server::protocol::wl_output::WlOutput;
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource};

use crate::record::Role;
use crate::server::State;

/// A surface's unanswered callbacks and feedbacks, and whether it changed since the last tick.
#[derive(Debug, Default)]
pub(crate) struct SurfaceTiming {
    pending_callbacks: Vec<WlCallback>,
    callbacks: Vec<WlCallback>,
    pending_feedbacks: Vec<WpPresentationFeedback>,
    feedbacks: Vec<WpPresentationFeedback>,
    pub damaged: bool,
}

/// What a commit asked for.
pub(crate) struct Asked {
    pub callbacks: usize,
    pub feedbacks: usize,
    /// Feedbacks of content that was replaced before it was presented.
    pub superseded: usize,
}

impl SurfaceTiming {
    pub fn asked(&mut self, callback: WlCallback) {
        self.pending_callbacks.push(callback);
    }

    pub fn forget_callback(&mut self, callback: &WlCallback) {
        self.pending_callbacks.retain(|c| c.id() != callback.id());
        self.callbacks.retain(|c| c.id() != callback.id());
    }

    pub fn commit(&mut self) -> Asked {
        let superseded = self.feedbacks.len();
        for feedback in self.feedbacks.drain(..) {
            feedback.discarded();
        }
        let asked =
            Asked { callbacks: self.pending_callbacks.len(), feedbacks: self.pending_feedbacks.len(), superseded };
        self.callbacks.append(&mut self.pending_callbacks);
        self.feedbacks.append(&mut self.pending_feedbacks);
        asked
    }
}

/// One render tick. Returns how many frame callbacks it answered.
pub(crate) fn render(state: &mut State) -> usize {
    let now = state.millis();
    let refresh_ns = state.config.tick.as_nanos() as u32;
    let time = clock_gettime(ClockId::Monotonic);
    let tick = state.notes.note(|seen| {
        seen.ticks += 1;
        seen.ticks
    });
    let damage_only = state.config.quirks.presents_damage_only;
    let outputs: HashMap<ClientId, Vec<WlOutput>> = state.output_resources();
    let (mut done, mut presented) = (Vec::new(), Vec::new());
    for surface in state.surfaces.values_mut() {
        let window = surface.window.map(|w| &state.toplevels[w]);
        if window.is_some_and(|w| w.dropped) {
            continue;
        }
        done.append(&mut surface.timing.callbacks);
        let visible = match surface.role {
            Role::Toplevel => window.is_some_and(|w| w.is_shown()),
            _ => surface.current.buffer.is_some(),
        };
        let damaged = visible && std::mem::take(&mut surface.timing.damaged);
        if visible && (damaged || !damage_only) {
            presented.append(&mut surface.timing.feedbacks);
        }
    }
    // Counted first: the client may act on an event before this thread goes on.
    let answered = done.len();
    if answered > 0 || !presented.is_empty() {
        state.log(format!("tick {tick}: {answered} callbacks, {} presented", presented.len()));
        state.notes.note(|seen| {
            seen.callbacks_done += answered;
            seen.presented += presented.len();
        });
    }
    for callback in done {
        callback.done(now);
    }
    let seconds = time.tv_sec as u64;
    for feedback in presented {
        let own = feedback.client().and_then(|c| outputs.get(&c.id())).and_then(|o| o.first());
        if let Some(output) = own {
            feedback.sync_output(output);
        }
        feedback.presented(
            (seconds >> 32) as u32,
            seconds as u32,
            time.tv_nsec as u32,
            refresh_ns,
            (tick >> 32) as u32,
            tick as u32,
            Kind::empty(),
        );
    }
    answered
}

impl GlobalDispatch<WpPresentation, ()> for State {
    fn bind(
        state: &mut Self,
        _dh: &DisplayHandle,
        _client: &Client,
        resource: New<WpPresentation>,
        _data: &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let presentation = init.init(resource, ());
        state.bound(&presentation);
        presentation.clock_id(ClockId::Monotonic as u32);
    }
}

impl Dispatch<WpPresentation, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _presentation: &WpPresentation,
        request: wp_presentation::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        if let wp_presentation::Request::Feedback { surface, callback } = request {
            let feedback = init.init(callback, ());
            if let Some(surface) = state.surface_mut(&surface) {
                surface.timing.pending_feedbacks.push(feedback);
            }
        }
    }
}

impl Dispatch<WpPresentationFeedback, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _feedback: &WpPresentationFeedback,
        _request: wp_presentation_feedback::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }
}
