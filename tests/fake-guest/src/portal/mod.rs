//! Owns the fake portal: `org.freedesktop.portal.RemoteDesktop` and `.ScreenCast` on a private bus, with the real one's order and
//! its single-use tokens. Its streams are [`Producer`]s, its input goes to a [`FakeEis`]; nobody is asked anything, and the clipboard is its word.

mod options;
mod service;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use options::{Fault, PortalCall, PortalOptions, PortalState, SharedStream};

use crate::wait::Watched;
use crate::{Bus, FakeEis};
use service::Service;

/// A portal on a bus; it vanishes when dropped.
pub struct FakePortal {
    service: Arc<Service>,
    connection: zbus::blocking::Connection,
}

impl FakePortal {
    /// Takes the name on `bus`. Streams are made on the PipeWire daemon at `socket`, input goes to `eis`.
    ///
    /// # Errors
    /// When the bus cannot be reached.
    pub fn start(bus: &Bus, socket: &Path, eis: Arc<FakeEis>, options: PortalOptions) -> zbus::Result<Self> {
        let service = Arc::new(Service {
            socket: socket.into(),
            eis,
            options: Mutex::new(options),
            watch: Watched::new(PortalState::default()),
            pastes: Mutex::default(),
        });
        let connection = service::appear(&service, &bus.address())?;
        Ok(Self { service, connection })
    }

    /// Changes the options, for calls to come.
    pub fn reconfigure(&self, change: impl FnOnce(&mut PortalOptions)) {
        change(&mut self.service.options());
    }

    /// Ends every session, as a person's "stop" does: their streams end, and Closed is said.
    pub fn close_sessions(&self) {
        zbus::block_on(service::close_sessions(&self.service, self.connection.inner()));
    }

    /// An application of the guest copies something that it has in these types; what is read of it is the type's name.
    pub fn copy(&self, mimes: &[&str]) {
        zbus::block_on(service::copy(&self.service, self.connection.inner(), mimes));
    }

    /// An application of the guest pastes what the session offers: the end to read.
    ///
    /// # Errors
    /// When there are no pipes left.
    pub fn paste(&self, mime: &str, serial: u32) -> std::io::Result<std::io::PipeReader> {
        let (read, write) = std::io::pipe()?;
        zbus::block_on(service::paste(&self.service, self.connection.inner(), mime, serial, write.into()));
        Ok(read)
    }

    /// The state now.
    pub fn state(&self) -> PortalState {
        self.service.watch.read(PortalState::clone)
    }

    /// Waits until `look` gives a value.
    ///
    /// # Errors
    /// After `timeout`: what was seen.
    pub fn wait<R>(&self, look: impl FnMut(&PortalState) -> Option<R>, timeout: Duration) -> Result<R, String> {
        self.service.watch.wait(look, timeout)
    }
}

impl std::fmt::Debug for FakePortal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FakePortal").field(&self.state()).finish()
    }
}
