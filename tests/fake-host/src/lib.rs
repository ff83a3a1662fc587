//! A scriptable, headless Wayland compositor for tests of a Wayland client in another process.
//!
//! It owns a thread and a socket. A test chooses what kind of host it is ([`Builder`]), drives it
//! ([`FakeHost`]), and reads or waits for what the client did ([`Seen`]). It never draws, and no
//! wait in it is a sleep.
//!
//! ```no_run
//! use std::time::Duration;
//! use fake_host::{BLACK, FakeHost};
//!
//! let host = FakeHost::builder().wolf().start()?;
//! // start the client with WAYLAND_DISPLAY set to host.socket() ...
//! host.wait(|seen| seen.frame_count() >= 1, Duration::from_secs(5))?;
//! assert_ne!(host.pixel(10, 10), Some(BLACK));
//! host.set_output_mode(1920, 1080, 60_000);
//! host.pointer().move_to(100.0, 100.0).click(fake_host::code::BTN_LEFT);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The map
//! `builder` describes, `server` runs, `notes`/`seen`/`record` remember. One module per concern of
//! the protocol: `globals`, `surface` and `commit`, `buffer` with `shm` and `dmabuf`, `shell`,
//! `output`, `seat` with `pointer`, `selection`, `timing`, `extras`, `sync`. `picture` and `screen` are what a
//! person would see, `input` what a person would do.
//!
//! # Why the protocol is spoken by hand
//! The real host is built on Smithay, and the strictness here is Smithay's. But tests need globals
//! in any version, a record of every request, and misbehaviour on purpose; Smithay's handlers have
//! fixed versions, keep pools and early requests to themselves, and behave. So Smithay supplies
//! protocol types, keymaps and sealed files, and the objects are this crate's own.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod buffer;
mod builder;
mod commit;
mod cursor;
mod dmabuf;
mod extras;
mod globals;
mod inhibit;
mod input;
mod notes;
mod output;
mod picture;
mod pointer;
mod record;
mod screen;
mod seat;
mod seen;
mod selection;
mod server;
mod shell;
mod shm;
mod surface;
mod sync;
mod timing;

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use calloop::channel;
use tempfile::TempDir;
use wayland_server::protocol::wl_seat::Capability;

pub use builder::{
    BadTable, Broken, Builder, ConstraintPolicy, Dmabuf, ImportPolicy, Output, Quirks, ReleasePolicy, Tranche, fourcc,
    modifier,
};
pub use cursor::Cursor;
pub use input::{Axis, Keyboard, Pointer, Source, Touch, code};
pub use notes::Answer;
pub use record::{
    Attached, BufferKind, Commit, Configure, CursorRequest, DmabufBuffer, Plane, Rect, Request, Role, ShmBuffer,
    Window, WindowState,
};
pub use screen::{BLACK, Screenshot};
pub use seen::{
    Bound, Buffer, BufferId, Client, Constraint, ImportAnswer, Link, Params, Pool, ProtocolFault, Seen, Selection,
    SelectionOwner,
};
pub use selection::{Clipboard, Writer};

use notes::Notes;
use server::{Job, State};

/// A running host. Dropping it disconnects its clients and removes its socket.
pub struct FakeHost {
    notes: Arc<Notes>,
    jobs: channel::Sender<Job>,
    thread: Option<JoinHandle<()>>,
    socket: PathBuf,
    /// The socket file is this host's to remove, once: another may be there afterwards.
    owns_socket: AtomicBool,
    _dir: Option<TempDir>,
}

impl fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FakeHost at {}", self.socket.display())
    }
}

impl FakeHost {
    /// Describes a host. Unless told otherwise it is an ordinary compositor with all its globals,
    /// one output of 1280x720 at 60 Hz, and linear DMA-BUFs.
    pub fn builder() -> Builder {
        Builder::new()
    }

    fn launch(builder: Builder) -> io::Result<Self> {
        let (dir, folder) = match &builder.socket_dir {
            Some(folder) => (None, folder.clone()),
            None => {
                let dir = tempfile::Builder::new().prefix("fake-host-").tempdir()?;
                let folder = dir.path().to_owned();
                (Some(dir), folder)
            }
        };
        let socket = std::path::absolute(folder.join(&builder.socket_name))?;
        // A host that was killed leaves its socket, and the next one takes its place.
        match fs::remove_file(&socket) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        let notes = Arc::new(Notes::new());
        let (jobs, inbox) = channel::channel();
        let (ready, started) = mpsc::channel();
        let theirs = notes.clone();
        let thread = thread::Builder::new()
            .name("fake-host".into())
            .spawn(move || server::serve(builder, listener, inbox, theirs, &ready))?;
        let host = Self { notes, jobs, thread: Some(thread), socket, owns_socket: AtomicBool::new(true), _dir: dir };
        match started.recv() {
            Ok(outcome) => outcome.map(|()| host),
            Err(_) => Err(io::Error::other("the fake host's thread ended early")),
        }
    }

    /// Does something on the host's thread and waits for it, flushed.
    ///
    /// # Panics
    /// If the thread is gone, which only a bug in this crate can bring about.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce(&mut State) -> T + Send + 'static) -> T {
        let (reply, answer) = mpsc::channel();
        let job: Job = Box::new(move |state| {
            let result = job(state);
            state.flush();
            // Nobody waits any more if the test has panicked.
            let _ = reply.send(result);
        });
        let answer = match self.jobs.send(job) {
            Ok(()) => answer.recv().ok(),
            Err(_) => None,
        };
        answer.expect("the fake host's thread has ended: see its panic above")
    }

    /// The socket's absolute path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A copy of everything seen so far.
    pub fn seen(&self) -> Seen {
        self.notes.look(Seen::clone)
    }

    /// Looks at what was seen without copying it.
    pub fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        self.notes.look(look)
    }

    /// Waits until `look` says `true` or `Some`, looking at once and whenever something happens.
    ///
    /// # Errors
    /// The time is up. The text says where, and shows what was seen.
    #[track_caller]
    pub fn wait<A: Answer>(&self, mut look: impl FnMut(&Seen) -> A, timeout: Duration) -> Result<A::Out, String> {
        let at = Location::caller();
        self.notes
            .wait(|seen| look(seen).answer(), timeout)
            .map_err(|seen| format!("{at}: waited {timeout:?} in vain; the host has seen\n{seen}"))
    }

    /// Sends a configure to the newest window. Returns its serial, `None` if there is no window.
    pub fn configure(&self, width: i32, height: i32, states: &[WindowState]) -> Option<u32> {
        let states = states.to_vec();
        self.run(move |s| {
            let window = s.live_window()?;
            s.configure(window, (width, height), &states)
        })
    }

    /// Sends `xdg_toplevel.close` to the newest window. False if there is none.
    pub fn close_toplevel(&self) -> bool {
        self.run(|s| match s.live_window() {
            Some(window) => s.close_window(window),
            None => false,
        })
    }

    /// Sends an `xdg_wm_base.ping`. Returns the serial its pong will carry.
    pub fn ping(&self) -> u32 {
        self.run(|s| {
            let serial = s.next_serial();
            s.wm_bases.iter().for_each(|w| w.ping(serial));
            serial
        })
    }

    /// Adds an output, as a global. Windows that waited for one are configured. Returns its number.
    ///
    /// # Errors
    /// `wl_output` does not exist in the version the builder was told.
    pub fn add_output(&self, output: Output) -> io::Result<usize> {
        self.run(move |s| output::add(s, output))
    }

    /// Withdraws an output by its number, counted from 0. False if there is none.
    pub fn remove_output(&self, number: usize) -> bool {
        self.run(move |s| s.remove_output(number))
    }

    /// Changes the first output's mode (physical pixels, mHz) and configures windows as this kind
    /// of host does: Wolf 0x0 with the states in force, others only fullscreen windows.
    pub fn set_output_mode(&self, width: i32, height: i32, refresh_mhz: i32) {
        self.run(move |s| {
            change_mode(s, width, height, refresh_mhz);
            s.configure_for_mode();
        });
    }

    /// Changes the first output's mode and sends no configure.
    pub fn set_output_mode_only(&self, width: i32, height: i32, refresh_mhz: i32) {
        self.run(move |s| change_mode(s, width, height, refresh_mhz));
    }

    /// Changes the first output's integer scale.
    pub fn set_output_scale(&self, scale: i32) {
        self.run(move |s| {
            if let Some((number, _)) = s.first_output() {
                s.change_output(number, |o| o.scale = scale);
            }
        });
    }

    /// Tells every surface a preferred scale, by `wp_fractional_scale_v1` and `wl_surface`.
    pub fn prefer_scale(&self, scale: f64) {
        self.run(move |s| s.prefer_scale(scale));
    }

    /// One render tick: answers frame callbacks, presents feedback. Returns how many callbacks it
    /// answered.
    pub fn render(&self) -> usize {
        self.run(timing::render)
    }

    /// Stops the render timer; [`Self::render`] still works. A minimised window, say.
    pub fn pause_frames(&self) {
        self.run(|s| s.config.manual_frames = true);
    }

    /// Starts the render timer again.
    pub fn resume_frames(&self) {
        self.run(|s| s.config.manual_frames = false);
    }

    /// Renders at another rate from the next tick on.
    pub fn set_refresh(&self, hz: f64) {
        let tick = Duration::from_secs_f64(1.0 / hz.clamp(0.1, 10_000.0));
        self.run(move |s| s.config.tick = tick);
    }

    /// Releases one buffer. False if it is not lent.
    pub fn release(&self, buffer: BufferId) -> bool {
        self.run(move |s| s.release_buffer(buffer))
    }

    /// Releases every lent buffer that is not shown. Returns how many.
    pub fn release_replaced(&self) -> usize {
        self.run(State::release_replaced)
    }

    /// Changes when buffers are released, from the next commit on.
    pub fn set_release(&self, policy: ReleasePolicy) {
        self.run(move |s| s.config.release = policy);
    }

    /// Changes which DMA-BUFs are taken.
    pub fn set_import(&self, policy: ImportPolicy) {
        self.run(move |s| s.config.import = policy);
    }

    /// Answers every import that [`ImportPolicy::Silent`] left without an answer, with a buffer each. How many.
    pub fn answer_imports(&self) -> usize {
        self.run(State::answer_imports)
    }

    /// Changes what the feedback of surfaces says; `None` for the same as in general.
    pub fn set_surface_dmabuf(&self, dmabuf: Option<Dmabuf>) {
        self.run(move |s| s.change_surface_dmabuf(dmabuf));
    }

    /// Changes what is advertised, and sends it to all feedback objects.
    pub fn set_dmabuf(&self, dmabuf: Dmabuf) {
        self.run(move |s| s.change_dmabuf(dmabuf));
    }

    /// Adds a global while running.
    ///
    /// # Errors
    /// The global does not exist in that version.
    pub fn add_global(&self, name: &str, version: u32) -> io::Result<()> {
        let name = name.to_owned();
        self.run(move |s| globals::create(s, &name, version))
    }

    /// Withdraws every global of that name. For outputs, [`Self::remove_output`].
    pub fn remove_global(&self, name: &str) {
        let name = name.to_owned();
        self.run(move |s| globals::remove(s, &name));
    }

    /// Changes what the seat has. A device that goes takes its focus along, without a leave.
    pub fn set_seat(&self, pointer: bool, keyboard: bool, touch: bool) {
        let mut capabilities = Capability::empty();
        capabilities.set(Capability::Pointer, pointer);
        capabilities.set(Capability::Keyboard, keyboard);
        capabilities.set(Capability::Touch, touch);
        self.run(move |s| s.change_capabilities(capabilities));
    }

    /// The pointer.
    pub fn pointer(&self) -> Pointer<'_> {
        Pointer(self)
    }

    /// The keyboard.
    pub fn keyboard(&self) -> Keyboard<'_> {
        Keyboard(self)
    }

    /// The touch screen.
    pub fn touch(&self) -> Touch<'_> {
        Touch(self)
    }

    /// The clipboard.
    pub fn clipboard(&self) -> Clipboard<'_> {
        Clipboard(self)
    }

    /// A pixel of the screen as `0xffRRGGBB`, [`BLACK`] where nothing is shown. Honest about damage:
    /// what the client did not damage is not updated. `None` if the buffer cannot be read.
    pub fn pixel(&self, x: i32, y: i32) -> Option<u32> {
        self.run(move |s| s.pixel(x, y))
    }

    /// Bytes of a plane of the buffer that the newest window shows, from `at` bytes after its start: of formats that
    /// cannot be shown here. A shm buffer has only one plane. `None` when they are not all there.
    pub fn plane_bytes(&self, plane: usize, at: u64, len: usize) -> Option<Vec<u8>> {
        self.run(move |s| s.plane_bytes(plane, at, len))
    }

    /// The cursor surface over the window; `None` while there is none, or nothing on it.
    pub fn cursor(&self) -> Option<Cursor> {
        self.run(|s| s.cursor())
    }

    /// The whole screen. `None` if the shown buffer cannot be read.
    pub fn screenshot(&self) -> Option<Screenshot> {
        self.run(|s| s.screenshot())
    }

    /// Looks once at all of what the window shows, damaged or not: what [`Self::screenshot`] shows then and not before,
    /// the client has not said.
    pub fn refresh(&self) {
        self.run(State::refresh);
    }

    /// Stops reading from and writing to clients, which does not close anything.
    pub fn freeze(&self) {
        self.run(|s| s.freeze(true));
    }

    /// Goes on after [`Self::freeze`].
    pub fn thaw(&self) {
        self.run(|s| s.freeze(false));
    }

    /// Kills the newest window's client with a protocol error on its toplevel. False without one.
    pub fn post_error(&self, code: u32, message: &str) -> bool {
        let message = message.to_owned();
        self.run(move |s| match s.live_surface() {
            Some(surface) => {
                s.fatal(&surface, code, message);
                true
            }
            None => false,
        })
    }

    /// Closes every connection. The host goes on listening.
    pub fn disconnect_clients(&self) {
        self.run(State::drop_clients);
    }

    /// Dies: closes every connection and removes the socket. What was seen can still be read.
    pub fn kill(&self) {
        self.run(|s| {
            s.drop_clients();
            s.stop_listening();
        });
        self.remove_socket();
    }

    fn remove_socket(&self) {
        if self.owns_socket.swap(false, Ordering::Relaxed) {
            // Somebody else may have removed it, which is as good.
            let _ = fs::remove_file(&self.socket);
        }
    }
}

fn change_mode(state: &mut State, width: i32, height: i32, refresh_mhz: i32) {
    if let Some((number, _)) = state.first_output() {
        state.change_output(number, |o| {
            (o.width, o.height, o.refresh_mhz) = (width, height, refresh_mhz);
        });
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        let stop: Job = Box::new(|s| {
            s.drop_clients();
            s.stopping = true;
        });
        // A thread that is gone needs no telling, and its panic has been printed.
        let _ = self.jobs.send(stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.remove_socket();
    }
}
