//! The host's thread: socket, event loop, clients, and the state all protocol modules share.
//! Speaks no protocol of its own; see `globals` for who does.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventLoop, Interest, LoopHandle, Mode, PostAction, RegistrationToken, channel};
use smithay::reexports::wayland_protocols::xdg::shell::server::xdg_wm_base::XdgWmBase;
use wayland_server::backend::{ClientData, ClientId, DisconnectReason, GlobalId, ObjectId};
use wayland_server::{Display, DisplayHandle, Resource};

use crate::buffer::BufferState;
use crate::builder::{Broken, Builder, Config};
use crate::dmabuf::DmabufState;
use crate::notes::Notes;
use crate::output::OutputState;
use crate::record::Rect;
use crate::seat::SeatState;
use crate::seen::{Bound, Client, Link, ProtocolFault};
use crate::selection::SelectionState;
use crate::shell::Toplevel;
use crate::surface::Surface;
use crate::{globals, timing};

/// Something the script wants done on the host's thread.
pub(crate) type Job = Box<dyn FnOnce(&mut State) + Send>;

/// Everything the protocol modules share. Lives on the host's thread.
pub(crate) struct State {
    pub dh: DisplayHandle,
    pub config: Config,
    pub notes: Arc<Notes>,
    pub globals: Vec<(String, GlobalId)>,
    pub surfaces: HashMap<ObjectId, Surface>,
    pub surfaces_made: u32,
    pub regions: HashMap<ObjectId, Vec<Rect>>,
    /// Indexed like [`crate::Seen::windows`]; entries stay after their end.
    pub toplevels: Vec<Toplevel>,
    pub wm_bases: Vec<XdgWmBase>,
    pub outputs: Vec<OutputState>,
    /// Indexed by `BufferId - 1`; entries stay after their end.
    pub buffers: Vec<BufferState>,
    pub dmabuf: DmabufState,
    pub seat: SeatState,
    pub selection: SelectionState,
    pub stopping: bool,
    socket: Option<RegistrationToken>,
    broken: Option<Broken>,
    /// Streams of clients that are never answered.
    limbo: Vec<UnixStream>,
    frozen: bool,
    serial: u32,
    born: Instant,
    handle: LoopHandle<'static, State>,
    display_source: Option<RegistrationToken>,
}

impl State {
    pub fn next_serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    /// The newest serial sent.
    pub fn last_serial(&self) -> u32 {
        self.serial
    }

    /// Event timestamps.
    pub fn millis(&self) -> u32 {
        self.born.elapsed().as_millis() as u32
    }

    pub fn log(&self, line: impl AsRef<str>) {
        self.notes.log(line.as_ref());
    }

    /// Notes a bind. Every `GlobalDispatch` calls this once.
    pub fn bound<R: Resource>(&self, resource: &R) {
        let (global, version) = (R::interface().name.to_owned(), resource.version());
        self.log(format!("bind {global} {version}"));
        self.notes.note(|seen| seen.bound.push(Bound { global, version }));
    }

    /// Sends a protocol error, which ends the connection.
    pub fn fatal<R: Resource>(&self, on: &R, code: impl Into<u32>, message: impl Into<String>) {
        let (code, message) = (code.into(), message.into());
        let interface = R::interface().name.to_owned();
        self.log(format!("protocol error {interface} {code}: {message}"));
        let text = message.clone();
        // Noted first: the error is on the wire at once, and the client may act on it.
        self.notes.note(|seen| {
            seen.errors.push(ProtocolFault { interface, code, message });
        });
        on.post_error(code, text);
    }

    /// Closes every connection without a reason.
    pub fn drop_clients(&mut self) {
        let handle = self.dh.backend_handle();
        let mut clients = Vec::new();
        handle.with_all_clients(|id| clients.push(id));
        for id in clients {
            if let Ok(data) = handle.get_client_data(id.clone())
                && let Ok(peer) = data.downcast_arc::<Peer>()
            {
                self.notes.note(|seen| seen.clients[peer.number].link = Link::Dropped);
                // wayland-server closes a killed client's socket when that client speaks next, and a quiet one
                // would never know.
                if let Some(stream) = &peer.stream {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
            handle.kill_client(id, DisconnectReason::ConnectionClosed);
        }
        self.limbo.clear();
    }

    pub fn stop_listening(&mut self) {
        if let Some(token) = self.socket.take() {
            self.handle.remove(token);
        }
    }

    /// Stops or resumes reading from and writing to clients.
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
        let Some(token) = &self.display_source else {
            return;
        };
        let done = if frozen { self.handle.disable(token) } else { self.handle.enable(token) };
        if let Err(e) = done {
            self.log(format!("cannot freeze or thaw: {e}"));
        }
    }

    fn accept(&mut self, stream: UnixStream) {
        self.log("a client connects");
        let number = self.notes.note(|seen| {
            seen.clients.push(Client { connected_at: Instant::now(), link: Link::Connected });
            seen.clients.len() - 1
        });
        let end = |link| self.notes.note(|seen| seen.clients[number].link = link);
        match self.broken {
            Some(Broken::CloseAtOnce) => end(Link::Dropped),
            Some(Broken::NeverAnswers) => self.limbo.push(stream),
            Some(Broken::Garbage) => {
                // The client may be gone already; that is its affair.
                let _ = (&stream).write_all(&[0xff; 64]);
                self.limbo.push(stream);
            }
            _ => {
                let peer = Arc::new(Peer { number, notes: self.notes.clone(), stream: stream.try_clone().ok() });
                if let Err(e) = self.dh.insert_client(stream, peer) {
                    end(Link::Killed(format!("not taken in: {e}")));
                }
            }
        }
    }
}

/// What the backend knows of a client: enough to note its end.
struct Peer {
    number: usize,
    notes: Arc<Notes>,
    /// The connection, to end it at once.
    stream: Option<UnixStream>,
}

impl ClientData for Peer {
    fn initialized(&self, _client: ClientId) {}

    fn disconnected(&self, _client: ClientId, reason: DisconnectReason) {
        let link = match reason {
            DisconnectReason::ConnectionClosed => Link::Left,
            DisconnectReason::ProtocolError(e) => {
                Link::Killed(format!("{} {}: {}", e.object_interface, e.code, e.message))
            }
        };
        self.notes.log(&format!("client {} is gone: {link:?}", self.number));
        self.notes.note(|seen| {
            let known = &mut seen.clients[self.number].link;
            if *known == Link::Connected {
                *known = link;
            }
        });
    }
}

/// The thread's body. Tells `ready` once, when clients can connect or why they never will.
pub(crate) fn serve(
    builder: Builder,
    listener: UnixListener,
    jobs: channel::Channel<Job>,
    notes: Arc<Notes>,
    ready: &mpsc::Sender<io::Result<()>>,
) {
    let (mut display, mut events, mut state) = match prepare(builder, listener, jobs, notes) {
        Ok(parts) => parts,
        Err(e) => {
            // The starter is waiting for exactly this.
            let _ = ready.send(Err(e));
            return;
        }
    };
    let _ = ready.send(Ok(()));
    while !state.stopping {
        if let Err(e) = events.dispatch(None, &mut state) {
            state.log(format!("the event loop failed: {e}"));
            return;
        }
        if !state.frozen {
            // A request is seen with all that follows from it, or not yet.
            let _whole = state.notes.whole();
            if let Err(e) = display.dispatch_clients(&mut state) {
                state.log(format!("dispatching clients failed: {e}"));
            }
            // A client that cannot be written to is found dead at the next read.
            let _ = display.flush_clients();
        }
    }
}

type Parts = (Display<State>, EventLoop<'static, State>, State);

/// The loop's refusals carry the source, which cannot leave the thread.
fn refused<T>(e: calloop::InsertError<T>) -> io::Error {
    io::Error::other(e.error.to_string())
}

fn prepare(
    builder: Builder,
    listener: UnixListener,
    jobs: channel::Channel<Job>,
    notes: Arc<Notes>,
) -> io::Result<Parts> {
    let mut display = Display::<State>::new().map_err(io::Error::other)?;
    let events = EventLoop::<State>::try_new().map_err(io::Error::other)?;
    let handle = events.handle();
    let seat = SeatState::new(&builder.config)?;
    let mut state = State {
        dh: display.handle(),
        globals: Vec::new(),
        surfaces: HashMap::new(),
        surfaces_made: 0,
        regions: HashMap::new(),
        toplevels: Vec::new(),
        wm_bases: Vec::new(),
        outputs: Vec::new(),
        buffers: Vec::new(),
        dmabuf: DmabufState::default(),
        seat,
        selection: SelectionState::default(),
        stopping: false,
        socket: None,
        broken: builder.broken,
        limbo: Vec::new(),
        frozen: false,
        serial: 0,
        born: Instant::now(),
        handle: handle.clone(),
        display_source: None,
        config: builder.config,
        notes,
    };
    globals::create_all(&mut state, &builder.outputs)?;

    if state.broken == Some(Broken::NobodyListens) {
        // Not only closed: a process that is being started beside us may have a copy until it is.
        rustix::net::shutdown(&listener, rustix::net::Shutdown::Both)?;
    } else {
        let source = Generic::new(listener, Interest::READ, Mode::Level);
        let token = handle
            .insert_source(source, |_, listener, state| {
                loop {
                    match listener.accept() {
                        Ok((stream, _)) => state.accept(stream),
                        Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                        Err(e) => return Err(e),
                    }
                }
                Ok(PostAction::Continue)
            })
            .map_err(io::Error::other)?;
        state.socket = Some(token);
    }

    // Only wakes the loop: `serve` dispatches clients after every wake-up.
    let fd = display.backend().poll_fd().as_fd().try_clone_to_owned()?;
    let source = Generic::new(fd, Interest::READ, Mode::Level);
    let token = handle.insert_source(source, |_, _, _| Ok(PostAction::Continue)).map_err(io::Error::other)?;
    state.display_source = Some(token);

    handle
        .insert_source(jobs, |event, (), state| match event {
            channel::Event::Msg(job) => job(state),
            channel::Event::Closed => state.stopping = true,
        })
        .map_err(refused)?;

    handle
        .insert_source(Timer::from_duration(state.config.tick), |due, (), state| {
            if !state.config.manual_frames {
                timing::render(state);
            }
            let now = Instant::now();
            let next = due + state.config.tick;
            // Ticks that were missed are not made up for, as on a display.
            TimeoutAction::ToInstant(if next < now { now + state.config.tick } else { next })
        })
        .map_err(refused)?;
    Ok((display, events, state))
}

impl State {
    /// Writes what was queued, so that a script's call is on the wire when it returns.
    pub fn flush(&mut self) {
        if !self.frozen {
            // A client that cannot be written to is found dead at the next read.
            let _ = self.dh.flush_clients();
        }
    }
}
