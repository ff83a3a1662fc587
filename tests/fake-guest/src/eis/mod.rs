//! Owns the fake EIS server: libei's other end as Mutter plays it, on a thread of its own.
//! It never does anything with the input but remember and judge it.

mod events;
mod keymap;
mod ledger;
mod options;
mod server;

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use calloop::channel;

pub use events::{EisState, Input, Logged, SeenDevice};
pub use keymap::US as KEYMAP_US;
pub use options::{DeviceKind, EisOptions, KEYBOARD, POINTER, Refusal, Region, RegionMode, TOUCH};

use crate::wait::Watched;
use server::{Job, Server};

const ANSWER: Duration = Duration::from_secs(10);

/// A running EIS server; its clients are cut off when dropped.
pub struct FakeEis {
    jobs: channel::Sender<Job>,
    watch: Watched<EisState>,
    thread: Option<JoinHandle<()>>,
}

impl FakeEis {
    /// Starts a server without clients and without a stream.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(options: EisOptions) -> io::Result<Self> {
        let (jobs, inbox) = channel::channel();
        let watch = Watched::new(EisState::default());
        let state = watch.clone();
        let thread = thread::Builder::new().name("fake-guest-eis".into()).spawn(move || {
            if let Err(error) = server::run(options, state.clone(), inbox) {
                let broken = format!("the fake server broke: {error}");
                state.update(|s| s.violations.push(broken));
            }
        })?;
        Ok(Self { jobs, watch, thread: Some(thread) })
    }

    fn on_thread<R: Send + 'static>(&self, job: impl FnOnce(&mut Server) -> R + Send + 'static) -> io::Result<R> {
        let (answer, result) = mpsc::channel();
        let job: Job = Box::new(move |server| {
            let result = job(server);
            // What it made is on the wire when the caller goes on.
            server.flush();
            let _ = answer.send(result);
        });
        self.jobs.send(job).map_err(|_| io::Error::other("the EIS thread has ended"))?;
        result.recv_timeout(ANSWER).map_err(io::Error::other)
    }

    fn command(&self, job: impl FnOnce(&mut Server) + Send + 'static) {
        let _ = self.on_thread(job);
    }

    /// Opens a connection and gives the client's end, as ConnectToEIS does. `types` is its `device-types`.
    ///
    /// # Errors
    /// When no socket pair can be made.
    pub fn connect(&self, types: u32) -> io::Result<OwnedFd> {
        let (ours, theirs) = UnixStream::pair()?;
        self.on_thread(move |server| server.serve(ours, types))??;
        Ok(theirs.into())
    }

    /// Listens on a socket as well, for LIBEI_SOCKET.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn listen(&self, path: &Path) -> io::Result<()> {
        let listener = reis::eis::Listener::bind(path)?;
        self.on_thread(move |server| server.listen(listener))?
    }

    /// The state now.
    pub fn state(&self) -> EisState {
        self.watch.read(EisState::clone)
    }

    /// Waits until `look` gives a value.
    ///
    /// # Errors
    /// After `timeout`: what was seen.
    pub fn wait<R>(&self, look: impl FnMut(&EisState) -> Option<R>, timeout: Duration) -> Result<R, String> {
        self.watch.wait(look, timeout)
    }

    /// Waits until the client emulates on a device of this kind, and gives the device's number.
    ///
    /// # Errors
    /// After `timeout`: what was seen.
    pub fn emulating(&self, kind: DeviceKind, timeout: Duration) -> Result<u32, String> {
        self.wait(|s| s.emulating(kind), timeout)
    }

    /// The stream is STREAMING: the absolute pointer and the touchscreen come, with this region.
    pub fn stream_ready(&self, region: Region) {
        self.command(move |server| server.set_region(Some(region)));
    }

    /// The stream has a new size: absolute pointer and touchscreen are re-created, twice, as Mutter does.
    pub fn resize(&self, region: Region) {
        self.command(move |server| {
            server.set_region(Some(region.clone()));
            server.set_region(Some(region));
        });
    }

    /// The stream is gone, and its devices with it.
    pub fn stream_gone(&self) {
        self.command(|server| server.set_region(None));
    }

    /// Re-creates absolute pointer and touchscreen, as any change of the monitors does.
    pub fn recreate(&self) {
        self.command(|server| server.recreate(&[DeviceKind::Absolute, DeviceKind::Touch]));
    }

    /// Changes the keymap, which re-creates the keyboard.
    pub fn set_keymap(&self, keymap: Option<&str>) {
        let keymap = keymap.map(str::to_owned);
        self.command(move |server| {
            server.options.keymap = keymap;
            server.recreate(&[DeviceKind::Keyboard]);
        });
    }

    /// Sends the modifiers' masks, as Mutter from 49.
    pub fn modifiers(&self, depressed: u32, locked: u32, latched: u32, group: u32) {
        self.command(move |server| server.modifiers(depressed, locked, latched, group));
    }

    /// Pauses the devices of this kind; what is held on them is released.
    pub fn pause(&self, kind: DeviceKind) {
        self.command(move |server| server.set_paused(kind, true));
    }

    /// Resumes the devices of this kind.
    pub fn resume(&self, kind: DeviceKind) {
        self.command(move |server| server.set_paused(kind, false));
    }

    /// Changes the options, for connections and devices to come.
    pub fn reconfigure(&self, change: impl FnOnce(&mut EisOptions) + Send + 'static) {
        self.command(move |server| change(&mut server.options));
    }

    /// Says goodbye to every client (`ei_connection.disconnected`).
    pub fn disconnect(&self) {
        self.command(|server| server.disconnect(true));
    }

    /// Closes every client's socket without a word.
    pub fn sever(&self) {
        self.command(|server| server.disconnect(false));
    }

    /// The cast streams; only the first time of a session are its devices made.
    pub(crate) fn stream_first_ready(&self, region: Region) {
        self.command(move |server| {
            if !server.has_region() {
                server.set_region(Some(region));
            }
        });
    }

    /// What a format event of the cast means for the devices: see [`resize`](Self::resize) and
    /// [`recreate`](Self::recreate). Nothing, while the stream's devices are not there yet.
    pub(crate) fn stream_renegotiated(&self, region: Region, new_size: bool) {
        self.command(move |server| {
            if server.has_region() {
                server.set_region(Some(region.clone()));
                if new_size {
                    server.set_region(Some(region));
                }
            }
        });
    }
}

impl Drop for FakeEis {
    fn drop(&mut self) {
        let quit: Job = Box::new(|server| server.quit = true);
        let _ = self.jobs.send(quit);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for FakeEis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FakeEis").field(&self.state()).finish()
    }
}
