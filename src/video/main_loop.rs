//! PipeWire's loop on this thread: negotiation, buffers and, from PipeWire 1.2 on, the frames themselves.
//!
//! By itself PipeWire handles each frame in a thread of its own, which wakes up only to wake up this one. Libraries before
//! 1.2 know no other way.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use pipewire::loop_::{LoopRc, Timeout};

/// A stream's property: its frames come on the main loop. Older libraries ignore it.
pub const ON_MAIN_LOOP: (&str, &str) = ("node.loop.class", "main");

/// A main loop that belongs to this thread until this is dropped.
///
/// Outside of an iteration a loop that nobody entered has no thread, and other threads of PipeWire then run our
/// callbacks themselves instead of waking us.
pub struct MainLoop(LoopRc);

impl MainLoop {
    /// Makes a loop.
    ///
    /// # Errors
    ///
    /// When there is no descriptor left for it.
    pub fn new() -> Result<Self, pipewire::Error> {
        let main_loop = LoopRc::new(None)?;
        // SAFETY: left in drop, on the same thread, since LoopRc does not move to another one.
        unsafe { main_loop.enter() };
        Ok(Self(main_loop))
    }

    /// For a context on it.
    pub fn get(&self) -> &LoopRc {
        &self.0
    }

    /// The descriptor to watch for reading; call [`iterate`](Self::iterate) when it is readable.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.fd()
    }

    /// Runs what PipeWire has to do, without waiting.
    pub fn iterate(&self) {
        self.0.iterate(Timeout::Finite(Duration::ZERO));
    }
}

impl Drop for MainLoop {
    fn drop(&mut self) {
        // SAFETY: entered in `new`, and nowhere else left.
        unsafe { self.0.leave() };
    }
}
