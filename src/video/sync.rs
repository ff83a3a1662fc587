//! Explicit sync as a frame carries it: when its pixels may be read, and the point that tells the guest that nobody
//! reads them any more. Whoever lets go of a frame signals that, or has passed the duty on.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use std::rc::Rc;

use tracing::debug;

use crate::video::syncobj::{Alarm, SyncDevice, Timeline};

/// Descriptors of a buffer's timelines, our own duplicates.
#[derive(Debug)]
pub struct SyncFds {
    /// Where the guest signals that a frame is drawn.
    pub acquire: File,
    /// Where the guest waits until a frame is no longer read; `None` when it is the same timeline.
    pub release: Option<File>,
}

/// The timelines of one buffer.
#[derive(Debug)]
pub struct Timelines {
    fds: SyncFds,
    acquire: Timeline,
    release: Option<Timeline>,
}

impl Timelines {
    /// Opens them.
    ///
    /// # Errors
    ///
    /// When a descriptor is no timeline.
    pub fn import(device: &SyncDevice, fds: SyncFds) -> io::Result<Self> {
        let acquire = device.import(fds.acquire.as_fd())?;
        let release = fds.release.as_ref().map(|fd| device.import(fd.as_fd())).transpose()?;
        Ok(Self { fds, acquire, release })
    }

    /// The descriptor of the acquire timeline.
    pub fn acquire_fd(&self) -> BorrowedFd<'_> {
        self.fds.acquire.as_fd()
    }

    /// The descriptor of the release timeline; `None` when it is the same one.
    pub fn release_fd(&self) -> Option<BorrowedFd<'_>> {
        self.fds.release.as_ref().map(File::as_fd)
    }

    /// The last points that are signalled on both.
    pub fn reached(&self) -> (io::Result<u64>, io::Result<u64>) {
        (self.acquire.reached(), self.release().reached())
    }

    fn release(&self) -> &Timeline {
        self.release.as_ref().unwrap_or(&self.acquire)
    }
}

/// The points of one frame on its buffer's timelines (`spa_meta_sync_timeline`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Points {
    /// Signalled when the pixels are drawn.
    pub acquire: u64,
    /// To be signalled when nobody reads them any more.
    pub release: u64,
}

impl Points {
    /// Whether these are the points of a new frame; guests leave the last ones in buffers without a picture.
    pub fn are_new(self, last: Option<Self>) -> bool {
        let after = last.map_or(0, |last| last.release);
        self.acquire > 0 && self.release > after
    }
}

/// The sync of one frame. Dropped, it tells the guest that its buffer is free, unless somebody else will.
#[derive(Debug)]
pub struct FrameSync {
    timelines: Rc<Timelines>,
    points: Points,
    owed: Cell<bool>,
    watched: Cell<bool>,
}

impl FrameSync {
    /// Of a frame that was just received.
    pub fn new(timelines: Rc<Timelines>, points: Points) -> Self {
        Self { timelines, points, owed: Cell::new(true), watched: Cell::new(false) }
    }

    /// Its points.
    pub fn points(&self) -> Points {
        self.points
    }

    /// Its buffer's timelines.
    pub fn timelines(&self) -> &Rc<Timelines> {
        &self.timelines
    }

    /// Whether the guest has drawn it.
    pub fn is_drawn(&self) -> bool {
        self.timelines.acquire.is_signalled(self.points.acquire)
    }

    /// Whether an alarm will wake when it is drawn.
    pub fn is_watched(&self) -> bool {
        self.watched.get()
    }

    /// Has the alarm wake when it is drawn.
    ///
    /// # Errors
    ///
    /// When the kernel cannot.
    pub fn watch(&self, alarm: &mut Alarm) -> io::Result<()> {
        alarm.watch(&self.timelines.acquire, self.points.acquire)?;
        self.watched.set(true);
        Ok(())
    }

    /// The host has taken both points, and will signal the release itself.
    pub fn passed_on(&self) {
        self.owed.set(false);
    }
}

impl Drop for FrameSync {
    fn drop(&mut self) {
        if self.owed.get() {
            signal(self.timelines.release(), self.points.release);
        }
    }
}

/// What a host that took points has not done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// Nothing is amiss.
    No,
    /// It waits for a picture that the guest never finishes.
    Undrawn,
    /// It has another picture by now, but does not say that it has done with this one.
    Unreleased,
}

/// Points that a host has taken.
#[derive(Debug)]
pub struct Handed {
    /// The buffer's timelines.
    pub timelines: Rc<Timelines>,
    /// The frame's points.
    pub points: Points,
}

impl Handed {
    /// How the host stands with them.
    pub fn stuck(&self, is_replaced: bool) -> Stuck {
        if !self.is_drawn() {
            Stuck::Undrawn
        } else if is_replaced && !self.is_released() {
            Stuck::Unreleased
        } else {
            Stuck::No
        }
    }

    /// Whether the guest has drawn it.
    pub fn is_drawn(&self) -> bool {
        self.timelines.acquire.is_signalled(self.points.acquire)
    }

    /// Whether the guest has its buffer back.
    pub fn is_released(&self) -> bool {
        self.timelines.release().is_signalled(self.points.release)
    }

    /// Signals what somebody else should have, so that both sides go on.
    pub fn unstick(&self, stuck: Stuck) {
        match stuck {
            Stuck::No => {}
            Stuck::Undrawn => signal(&self.timelines.acquire, self.points.acquire),
            Stuck::Unreleased => signal(self.timelines.release(), self.points.release),
        }
    }
}

fn signal(timeline: &Timeline, point: u64) {
    if let Err(error) = timeline.signal(point) {
        debug!(%error, point, "a point could not be signalled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_that_were_seen_before_are_not_new() {
        let points = |acquire, release| Points { acquire, release };
        assert!(points(1, 2).are_new(None));
        assert!(points(3, 4).are_new(Some(points(1, 2))));
        // The guest wrote none, or left those of the picture before in a buffer without one.
        assert!(!points(0, 0).are_new(None));
        assert!(!points(1, 2).are_new(Some(points(1, 2))));
        assert!(!points(0, 9).are_new(Some(points(1, 2))));
    }
}
