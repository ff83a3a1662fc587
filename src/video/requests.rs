//! The one event of a PipeWire stream that the crate does not pass on: commands. Of those, RequestProcess is what a guest
//! sends that draws only when this end starts a cycle of the graph (lazy scheduling; Mutter 49 and later).
//! It only notes that one came.

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::rc::Rc;

use libspa::sys;
use pipewire::stream::StreamRc;
use pipewire::sys::{PW_VERSION_STREAM_EVENTS, pw_stream_add_listener, pw_stream_events};

struct Registered {
    hook: sys::spa_hook,
    events: pw_stream_events,
    asked: Rc<Cell<bool>>,
    /// The stream's list of hooks points at it.
    _pinned: PhantomPinned,
}

/// Listens as long as it lives; dropped before the stream.
pub struct Requests {
    registered: Pin<Box<Registered>>,
    _stream: StreamRc,
}

impl Requests {
    /// Starts to listen on this stream.
    pub fn listen(stream: &StreamRc) -> Self {
        // SAFETY: both are C structs of pointers and integers, for which zero says "nothing" (spa_zero in C).
        let (hook, mut events): (sys::spa_hook, pw_stream_events) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        events.version = PW_VERSION_STREAM_EVENTS;
        events.command = Some(on_command);
        let mut registered = Box::pin(Registered { hook, events, asked: Rc::default(), _pinned: PhantomPinned });
        // SAFETY: nothing is moved out: the addresses of its fields are handed to PipeWire, which uses them until drop.
        let inner = unsafe { registered.as_mut().get_unchecked_mut() };
        let data = Rc::as_ptr(&inner.asked).cast_mut().cast::<c_void>();
        // SAFETY: hook, events and data live in the pinned box (and its Rc) until the hook is removed in drop.
        unsafe { pw_stream_add_listener(stream.as_raw_ptr(), &raw mut inner.hook, &raw const inner.events, data) };
        Self { registered, _stream: stream.clone() }
    }

    /// Whether the guest asked for a cycle since the last call.
    pub fn take(&self) -> bool {
        self.registered.asked.replace(false)
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // SAFETY: the hook was added in `listen`, is in the list of a stream that is still alive, and is not moved.
        let registered = unsafe { self.registered.as_mut().get_unchecked_mut() };
        libspa::utils::hook::remove(registered.hook);
    }
}

unsafe extern "C" fn on_command(data: *mut c_void, command: *const sys::spa_command) {
    // SAFETY: PipeWire passes the data of `listen`, a live Cell, and a command that is valid during the call.
    let (asked, command) = unsafe { (data.cast::<Cell<bool>>().as_ref(), command.as_ref()) };
    if let (Some(asked), Some(command)) = (asked, command) {
        let body = command.body.body;
        if body.type_ == sys::SPA_TYPE_COMMAND_Node && body.id == sys::SPA_NODE_COMMAND_RequestProcess {
            asked.set(true);
        }
    }
}
