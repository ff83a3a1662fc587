//! Waiting for the host before there is a loop: the connection and the first questions. Each wait has an end, and is over
//! at once when the program is asked to end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use wayland_client::backend::protocol::Message;
use wayland_client::backend::{Backend, ObjectData, ObjectId, WaylandError};
use wayland_client::globals::{GlobalList, registry_queue_init};
use wayland_client::protocol::wl_callback::WlCallback;
use wayland_client::protocol::wl_display;
use wayland_client::{Connection, EventQueue, Proxy as _};

use crate::host::Host;

/// So long a host may take to answer a question.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A socket whose host accepts nobody at the moment says so only when asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// Somebody who may ask the program to end while it waits: the descriptor becomes readable then.
pub trait Stop: AsFd {
    /// Whether it is to end; asked when the descriptor is readable.
    fn is_asked(&mut self) -> bool;
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The program is to end.
    Stopped,
    /// The host said nothing for [`PATIENCE`].
    Silent,
    /// The connection is over.
    Closed(String),
}

impl From<WaylandError> for NoAnswer {
    fn from(error: WaylandError) -> Self {
        Self::Closed(error.to_string())
    }
}

impl From<Errno> for NoAnswer {
    fn from(errno: Errno) -> Self {
        Self::Closed(errno.to_string())
    }
}

/// Sleeps until `fd` has one of these, at most until `until`. False when that time has come.
fn wait(fd: BorrowedFd<'_>, events: PollFlags, stop: &mut impl Stop, until: Instant) -> Result<bool, NoAnswer> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let (ready, is_stop) = {
            let mut fds = [PollFd::from_borrowed_fd(fd, events), PollFd::new(&*stop, PollFlags::IN)];
            match rustix::event::poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Ok(false),
                Ok(_) => (!fds[0].revents().is_empty(), !fds[1].revents().is_empty()),
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
        };
        if is_stop && stop.is_asked() {
            return Err(NoAnswer::Stopped);
        }
        if ready {
            return Ok(true);
        }
    }
}

/// Connects to a socket. A host that accepts nobody would block an ordinary connect for ever.
pub(super) fn connect(path: &Path, stop: &mut impl Stop) -> Result<io::Result<UnixStream>, NoAnswer> {
    let until = Instant::now() + PATIENCE;
    let socket = || -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(socket)
    };
    loop {
        match socket() {
            Ok(socket) => return Ok(Ok(UnixStream::from(socket))),
            Err(Errno::AGAIN) if Instant::now() >= until => return Err(NoAnswer::Silent),
            // Nothing tells when there is room again.
            Err(Errno::AGAIN) => {
                let nothing = eventfd(0, EventfdFlags::CLOEXEC)?;
                wait(nothing.as_fd(), PollFlags::IN, stop, until.min(Instant::now() + AGAIN))?;
            }
            Err(errno) => return Ok(Err(errno.into())),
        }
    }
}

/// The answer to one question; it belongs to no queue.
#[derive(Default)]
struct Answer(AtomicBool);

impl ObjectData for Answer {
    fn event(self: Arc<Self>, _: &Backend, _: Message<ObjectId, OwnedFd>) -> Option<Arc<dyn ObjectData>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn destroyed(&self, _: ObjectId) {}
}

/// Waits until the host has answered all that was asked so far; what it said before is in its queues then.
pub(super) fn round_trip(connection: &Connection, stop: &mut impl Stop) -> Result<(), NoAnswer> {
    let answer = Arc::new(Answer::default());
    let question = connection.display().send_constructor::<WlCallback>(wl_display::Request::Sync {}, answer.clone());
    question.map_err(|error| NoAnswer::Closed(error.to_string()))?;
    let until = Instant::now() + PATIENCE;
    while !answer.0.load(Ordering::Relaxed) {
        let mut events = PollFlags::IN;
        match connection.flush() {
            Ok(()) => {}
            Err(WaylandError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => events |= PollFlags::OUT,
            Err(error) => return Err(error.into()),
        }
        let Some(guard) = connection.prepare_read() else { continue };
        if !wait(guard.connection_fd(), events, stop, until)? {
            return Err(NoAnswer::Silent);
        }
        match guard.read() {
            Ok(_) => {}
            Err(WaylandError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The host's globals, and a queue for its events. The library waits for them itself, without an end: on a thread of
/// their own, which lives no longer than that, or than the program.
pub(super) fn globals(
    connection: &Connection,
    stop: &mut impl Stop,
) -> Result<(GlobalList, EventQueue<Host>), NoAnswer> {
    let is_done = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
    let thread = thread::Builder::new().name("globals".to_owned()).spawn({
        let (connection, is_done) = (connection.clone(), Arc::clone(&is_done));
        move || {
            let listed = registry_queue_init::<Host>(&connection);
            // An eventfd takes eight bytes at any time.
            let _ = rustix::io::write(&*is_done, &1u64.to_ne_bytes());
            listed
        }
    });
    let thread = thread.map_err(|error| NoAnswer::Closed(error.to_string()))?;
    if !wait(is_done.as_fd(), PollFlags::IN, stop, Instant::now() + PATIENCE)? {
        return Err(NoAnswer::Silent);
    }
    match thread.join() {
        Ok(listed) => listed.map_err(|error| NoAnswer::Closed(format!("listed no globals: {error}"))),
        Err(_) => Err(NoAnswer::Closed("listed no globals".to_owned())),
    }
}
