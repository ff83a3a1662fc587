//! PipeWire's two loops, both on this thread: the main loop, where negotiation and buffers come and go, and the data
//! loop, where each frame comes. By itself PipeWire runs the latter in a thread of its own, which wakes up for every
//! frame only to wake up this one.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::time::Duration;

use libspa::utils::result::SpaResult;
use pipewire::context::ContextRc;
use pipewire::loop_::{Loop, LoopRc, Timeout};
use pipewire::sys::{pw_context_get_data_loop, pw_data_loop_get_loop, pw_data_loop_stop};
use tracing::debug;

use crate::video::library;

/// A stream's property from [`ONE_LOOP`] on: its frames come on the main loop.
pub const ON_MAIN_LOOP: (&str, &str) = ("node.loop.class", "main");

/// The first library that knows of [`ON_MAIN_LOOP`]. Those before have one data loop, which has to be taken over.
const ONE_LOOP: [u32; 3] = [1, 2, 0];

/// Which of the loops have something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Woken {
    /// The main loop.
    pub main: bool,
    /// The data loop, where it is one of its own.
    pub data: bool,
}

/// Both loops; they belong to this thread until this is dropped.
pub struct Loops {
    data: Option<DataLoop>,
    main: MainLoop,
}

impl Loops {
    /// Makes this thread the one of the context's loops.
    pub fn new(main: MainLoop, context: &ContextRc) -> Self {
        let data = if library::is_at_least(ONE_LOOP) { None } else { DataLoop::take_over(context) };
        Self { data, main }
    }

    /// The descriptors to watch for reading: of the main loop, and of the data loop where it is one of its own.
    pub fn fds(&self) -> (BorrowedFd<'_>, Option<BorrowedFd<'_>>) {
        (self.main.0.fd(), self.data.as_ref().map(|data| data.get().fd()))
    }

    /// Lets these loops do what they have to, without waiting.
    pub fn iterate(&self, woken: Woken) {
        let now = || Timeout::Finite(Duration::ZERO);
        // Frames first; what has become of their buffers comes by the main loop.
        if let Some(data) = self.data.as_ref().filter(|_| woken.data) {
            data.get().iterate(now());
        }
        if woken.main {
            self.main.0.iterate(now());
        }
    }
}

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
}

impl Drop for MainLoop {
    fn drop(&mut self) {
        // SAFETY: entered in `new`, and nowhere else left.
        unsafe { self.0.leave() };
    }
}

/// The loop of PipeWire's data thread, without the thread.
struct DataLoop {
    data: NonNull<Loop>,
    /// Owns it.
    _context: ContextRc,
}

impl DataLoop {
    /// Ends the data thread and takes its place; `None` when PipeWire keeps it, which costs a thread's wake-up a frame.
    fn take_over(context: &ContextRc) -> Option<Self> {
        // SAFETY: the context is alive, and so is its data loop or it is null.
        let data = unsafe {
            let data = NonNull::new(pw_context_get_data_loop(context.as_raw_ptr()))?;
            if let Err(error) = SpaResult::from_c(pw_data_loop_stop(data.as_ptr())).into_sync_result() {
                debug!(%error, "PipeWire keeps its data thread");
                return None;
            }
            // `Loop` is nothing but a pw_loop.
            NonNull::new(pw_data_loop_get_loop(data.as_ptr()))?.cast::<Loop>()
        };
        let taken = Self { data, _context: context.clone() };
        // SAFETY: left in drop, on the same thread, since neither pointer nor ContextRc move to another one.
        unsafe { taken.get().enter() };
        Some(taken)
    }

    fn get(&self) -> &Loop {
        // SAFETY: it lives as long as the context.
        unsafe { self.data.as_ref() }
    }
}

impl Drop for DataLoop {
    fn drop(&mut self) {
        // SAFETY: entered in `take_over`, and nowhere else left.
        unsafe { self.get().leave() };
    }
}
