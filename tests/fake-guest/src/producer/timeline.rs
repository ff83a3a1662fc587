//! Owns the producer's sync timelines, and what pretends to be one. It knows nothing of PipeWire.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

/// A timeline and the descriptor of it that the consumer gets.
pub(crate) struct Timeline {
    /// `None` for one that is none: an ordinary file.
    object: Option<timelines::Timeline>,
    given: OwnedFd,
}

impl Timeline {
    /// A real one.
    pub(crate) fn new() -> io::Result<Self> {
        let object = timelines::Timeline::new()?;
        let given = object.export()?;
        Ok(Self { object: Some(object), given })
    }

    /// One that nobody can use.
    pub(crate) fn unusable() -> io::Result<Self> {
        let given = rustix::fs::memfd_create("no timeline", rustix::fs::MemfdFlags::CLOEXEC)?;
        Ok(Self { object: None, given })
    }

    /// The fd for the consumer.
    pub(crate) fn fd(&self) -> i64 {
        self.given.as_raw_fd().into()
    }

    /// Signals a point.
    pub(crate) fn signal(&self, point: u64) {
        if let Some(object) = &self.object {
            object.signal(point);
        }
    }

    /// Whether a point is signalled. One that nobody can use never is.
    pub(crate) fn has_reached(&self, point: u64) -> bool {
        self.object.as_ref().map_or(point == 0, |object| object.has_reached(point))
    }
}
