//! Frame callbacks and presentation feedback: asked for with each commit, and what is made of the answers.
//!
//! All objects of a kind share one user data: wayland-client would allocate one for each of them.

use std::collections::VecDeque;
use std::sync::Arc;

use tracing::debug;
use wayland_client::backend::{ObjectData, ObjectId};
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_surface::{self, WlSurface};
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle};
use wayland_protocols::wp::presentation_time::client::wp_presentation::{self, WpPresentation};
use wayland_protocols::wp::presentation_time::client::wp_presentation_feedback::{self, WpPresentationFeedback};

use crate::clock;
use crate::host::{Host, HostEvent};

/// A host that leaves more feedback than this unanswered never answers.
const OPEN: usize = 16;

/// User data of frame callbacks.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameDone;

/// User data of presentation feedback.
#[derive(Clone, Copy, Debug)]
pub(super) struct Feedback;

/// User data of wp_presentation itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presentation;

/// What the surface's commits are answered by.
pub(super) struct Timing {
    frame_done: Arc<dyn ObjectData>,
    feedback: Arc<dyn ObjectData>,
    presentation: Option<WpPresentation>,
    /// The clock of wp_presentation.
    clock: Option<u32>,
    /// Feedback that was asked for and has not come, with the number of its commit; the oldest first.
    open: VecDeque<(ObjectId, u64)>,
    commits: u64,
}

impl Timing {
    /// `presentation` only where somebody wants to know: an answer for every frame wakes the bridge up.
    pub fn new(queue: &QueueHandle<Host>, presentation: Option<WpPresentation>) -> Self {
        Self {
            frame_done: queue.make_data::<WlCallback, _>(FrameDone),
            feedback: queue.make_data::<WpPresentationFeedback, _>(Feedback),
            presentation,
            clock: None,
            open: VecDeque::with_capacity(OPEN),
            commits: 0,
        }
    }

    /// Asks to be told of the commit that comes next.
    pub fn ask(&mut self, surface: &WlSurface) {
        self.commits += 1;
        // Errors mean that the connection is over, of which reading it will tell.
        let _ = surface.send_constructor::<WlCallback>(wl_surface::Request::Frame {}, Arc::clone(&self.frame_done));
        let Some(presentation) = &self.presentation else { return };
        let request = wp_presentation::Request::Feedback { surface: surface.clone() };
        let feedback = presentation.send_constructor::<WpPresentationFeedback>(request, Arc::clone(&self.feedback));
        if let Ok(feedback) = feedback {
            if self.open.len() == OPEN {
                self.open.pop_front();
            }
            self.open.push_back((feedback.id(), self.commits));
        }
    }

    /// The number of the commit that this feedback was asked for.
    fn answered(&mut self, feedback: &WpPresentationFeedback) -> Option<u64> {
        let id = feedback.id();
        let at = self.open.iter().position(|(open, _)| *open == id)?;
        self.open.remove(at).map(|(_, commit)| commit)
    }
}

impl Host {
    /// The number of the latest commit with a buffer, counted from 1.
    pub fn last_commit(&self) -> u64 {
        self.timing.commits
    }
}

impl Dispatch<WlCallback, FrameDone> for Host {
    fn event(
        host: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        _: &FrameDone,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        host.sync.answered();
        host.events.push_back(HostEvent::FrameDone);
    }
}

impl Dispatch<WpPresentation, Presentation> for Host {
    fn event(
        host: &mut Self,
        _: &WpPresentation,
        event: wp_presentation::Event,
        _: &Presentation,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wp_presentation::Event::ClockId { clk_id } = event {
            debug!(clk_id, "the host's presentation clock");
            host.timing.clock = Some(clk_id);
        }
    }
}

impl Dispatch<WpPresentationFeedback, Feedback> for Host {
    fn event(
        host: &mut Self,
        feedback: &WpPresentationFeedback,
        event: wp_presentation_feedback::Event,
        _: &Feedback,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            wp_presentation_feedback::Event::Presented { tv_sec_hi, tv_sec_lo, tv_nsec, .. } => {
                let Some(commit) = host.timing.answered(feedback) else { return };
                let seconds = i64::from(tv_sec_hi) << 32 | i64::from(tv_sec_lo);
                let at = seconds.checked_mul(1_000_000_000).and_then(|at| at.checked_add(tv_nsec.into()));
                // The times of another clock cannot be compared with ours.
                let at = at.filter(|_| host.timing.clock == Some(clock::ID));
                host.events.push_back(HostEvent::Presented { commit, at });
            }
            wp_presentation_feedback::Event::Discarded => drop(host.timing.answered(feedback)),
            _ => {}
        }
    }
}
