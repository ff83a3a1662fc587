//! Host-driven frames: what the host and the stream say reaches the pacer here, and what that decides reaches the stream.

use std::time::Instant;

use tracing::{debug, info};

use crate::bridge::Bridge;

impl Bridge {
    /// The stream runs, or no longer does.
    pub(super) fn stream_runs(&mut self, runs: bool) {
        let driving = runs && self.cast.is_driving();
        debug!(runs, driving, "the guest's stream");
        if driving && !std::mem::replace(&mut self.frames.said_pace, true) {
            info!("the guest draws when the host has taken a frame");
        }
        self.frames.pacer.set_driving(driving, Instant::now());
    }

    /// Lets the guest draw when it is time for that.
    pub(super) fn check_pace(&mut self, now: Instant) {
        let is_open = self.frames.mailbox.is_open();
        if self.frames.pacer.take(now, is_open) {
            self.cast.trigger();
        }
    }
}
