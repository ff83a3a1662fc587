//! Owns the fake Mutter: its two private D-Bus services, with the order and strictness of the real ones.
//! It never renders: its streams are [`Producer`]s, its input goes to a [`FakeEis`] or into a log.

mod clipboard;
mod notify;
mod options;
mod selection;
mod service;
mod sessions;
mod xml;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

pub use clipboard::Writer;
pub use options::{Call, Cast, Monitor, MutterOptions, MutterState, Notify, Source};

use crate::{Bus, FakeEis, Producer, wait::Watched};
use service::Service;

/// A Mutter on a bus; it vanishes when dropped.
pub struct FakeMutter {
    bus: String,
    socket: std::path::PathBuf,
    eis: Arc<FakeEis>,
    options: Arc<Mutex<MutterOptions>>,
    watch: Watched<MutterState>,
    service: Mutex<Option<Arc<Service>>>,
}

impl FakeMutter {
    /// Takes the names on `bus`. Streams are made on the PipeWire daemon at `socket`, input goes to `eis`.
    ///
    /// # Errors
    /// When the bus cannot be reached.
    pub fn start(bus: &Bus, socket: &Path, eis: Arc<FakeEis>, options: MutterOptions) -> zbus::Result<Self> {
        let this = Self {
            bus: bus.address(),
            socket: socket.into(),
            eis,
            options: Arc::new(Mutex::new(options)),
            watch: Watched::new(MutterState::default()),
            service: Mutex::new(None),
        };
        this.reappear()?;
        Ok(this)
    }

    fn service(&self) -> Option<Arc<Service>> {
        let service = self.service.lock().unwrap_or_else(|e| e.into_inner());
        service.clone()
    }

    /// Ends every session as the user's "stop" does: streams end, EIS says goodbye, Closed on both kinds of session.
    pub fn close_session(&self) {
        if let Some(service) = self.service() {
            service.close_sessions();
        }
    }

    /// Leaves the bus at once, as a crashed shell: streams and EIS connections break without a Closed.
    pub fn vanish(&self) {
        let service = self.service.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(service) = service {
            service.vanish();
        }
    }

    /// Takes the names again, after [`vanish`](Self::vanish). Sessions of before are gone.
    ///
    /// # Errors
    /// When the bus cannot be reached.
    pub fn reappear(&self) -> zbus::Result<()> {
        self.vanish();
        let builder = zbus::blocking::connection::Builder::address(self.bus.as_str())?;
        let service = Service::appear(
            builder.build()?,
            self.socket.clone(),
            self.eis.clone(),
            self.options.clone(),
            self.watch.clone(),
        )?;
        *self.service.lock().unwrap_or_else(|e| e.into_inner()) = Some(service);
        Ok(())
    }

    /// An application of the guest copies this: types, each with what writes it.
    pub fn copy(&self, content: &[(&str, Writer)]) {
        let content = content.iter().map(|(mime, writer)| ((*mime).to_owned(), Arc::clone(writer))).collect();
        if let Some(service) = self.service() {
            service.copy(Some(content));
        }
    }

    /// No application of the guest owns the clipboard any more.
    pub fn clear_clipboard(&self) {
        if let Some(service) = self.service() {
            service.copy(None);
        }
    }

    /// An application of the guest pastes what a session owns: the end to read.
    ///
    /// # Errors
    /// When no session offers this, or the one that does left the question unanswered for 15 s.
    pub fn paste(&self, mime: &str) -> Result<std::os::fd::OwnedFd, String> {
        self.service().ok_or("there is no Mutter")?.paste(mime)
    }

    /// Changes the options, for calls and streams to come.
    pub fn reconfigure(&self, change: impl FnOnce(&mut MutterOptions)) {
        change(&mut self.options.lock().unwrap_or_else(|e| e.into_inner()));
    }

    /// The lock keys are like this now (caps, num): the sessions' properties say so, with a signal.
    pub fn set_locks(&self, caps: bool, num: bool) {
        self.reconfigure(|options| options.locks = (caps, num));
        if let Some(service) = self.service() {
            service.emit_locks(caps, num);
        }
    }

    /// The state now.
    pub fn state(&self) -> MutterState {
        self.watch.read(MutterState::clone)
    }

    /// Waits until `look` gives a value.
    ///
    /// # Errors
    /// After `timeout`: what was seen.
    pub fn wait<R>(&self, look: impl FnMut(&MutterState) -> Option<R>, timeout: Duration) -> Result<R, String> {
        self.watch.wait(look, timeout)
    }

    /// Waits for a started stream's producer, the newest one's.
    ///
    /// # Errors
    /// After `timeout`: what was seen.
    pub fn producer(&self, timeout: Duration) -> Result<Arc<Producer>, String> {
        self.wait(MutterState::producer, timeout)
    }
}

impl Drop for FakeMutter {
    fn drop(&mut self) {
        self.vanish();
    }
}

impl std::fmt::Debug for FakeMutter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FakeMutter").field(&self.state()).finish()
    }
}
