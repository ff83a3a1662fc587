//! Owns the whole fake guest: bus, PipeWire, EIS and Mutter in one private directory, and the environment to reach them.
//! It never adds behaviour of its own.

use std::{
    error::Error,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{Bus, EisOptions, FakeEis, FakeMutter, Linker, MutterOptions, PipeWireDaemon};

/// A guest, described.
#[derive(Debug, Clone, Default)]
pub struct GuestOptions {
    /// The shell.
    pub mutter: MutterOptions,
    /// Its EIS server.
    pub eis: EisOptions,
    /// Who links streams.
    pub linker: Linker,
}

/// A running guest. Fields are public: a test commands the parts. They go in this order.
#[derive(Debug)]
pub struct FakeGuest {
    /// The shell.
    pub mutter: FakeMutter,
    /// Its EIS server.
    pub eis: Arc<FakeEis>,
    /// The PipeWire daemon.
    pub pipewire: PipeWireDaemon,
    /// The session bus.
    pub bus: Bus,
    dir: tempfile::TempDir,
}

impl FakeGuest {
    /// Starts everything, in a new directory with mode 0700.
    ///
    /// # Errors
    /// When a daemon is not installed or does not start.
    pub fn start(options: GuestOptions) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let dir = tempfile::Builder::new().prefix("guest-").tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700))?;
        let bus = Bus::start(dir.path())?;
        let pipewire = PipeWireDaemon::start_on_bus(dir.path(), options.linker, Some(bus.address()))?;
        let eis = Arc::new(FakeEis::start(options.eis)?);
        let mutter = FakeMutter::start(&bus, &pipewire.socket(), eis.clone(), options.mutter)?;
        Ok(Self { mutter, eis, pipewire, bus, dir })
    }

    /// The private directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the program under test needs to find the guest, and to find nothing of the desktop outside. Set it first and
    /// the host's after it: XDG_RUNTIME_DIR is the host's where there is one.
    pub fn env(&self) -> Vec<(String, String)> {
        let dir = self.dir.path().display().to_string();
        let pair = |name: &str, value: String| (name.to_owned(), value);
        vec![
            pair("DBUS_SESSION_BUS_ADDRESS", self.bus.address()),
            pair("DBUS_SYSTEM_BUS_ADDRESS", "disabled:".into()),
            pair("PIPEWIRE_RUNTIME_DIR", dir.clone()),
            pair("PIPEWIRE_REMOTE", "pipewire-0".into()),
            pair("XDG_RUNTIME_DIR", dir),
        ]
    }

    /// Makes the EIS server listen on a socket as well, and gives its path for LIBEI_SOCKET.
    ///
    /// # Errors
    /// When the socket cannot be bound.
    pub fn listen_eis(&self) -> std::io::Result<PathBuf> {
        let path = self.dir.path().join("eis-0");
        self.eis.listen(&path)?;
        Ok(path)
    }
}
