//! Owns a private PipeWire: a real daemon with a minimal configuration, and what links streams on it.
//! It never loads audio, device or desktop modules, and never sees the PipeWire of the session outside.

use std::{
    fs::{self, File},
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{child::Daemon, linker::AutoLinker};

const SOCKET: &str = "pipewire-0";
const START: Duration = Duration::from_secs(10);

/// Who links a consumer's stream to the node it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Linker {
    /// A thread of this crate, following the same rule as a session manager: stream nodes of class
    /// `Stream/Input/Video` with `target.object` or `node.target`. Quick and without surprises.
    #[default]
    Auto,
    /// The real WirePlumber, with its policy scripts but without device monitors.
    WirePlumber,
    /// Nobody: a consumer with AUTOCONNECT waits for ever.
    None,
}

/// A running PipeWire daemon; killed when dropped.
#[derive(Debug)]
pub struct PipeWireDaemon {
    dir: PathBuf,
    linker: Linker,
    session_bus: Option<String>,
    restricted: Option<Restricted>,
    running: Option<Running>,
}

/// Clients that see one node only.
#[derive(Debug, Clone)]
pub struct Restricted {
    /// What they were started as: their `argv[0]`.
    pub program: PathBuf,
    /// The node's name.
    pub node: String,
}

/// Fields are dropped in order: the linkers first, so that they don't complain of a lost daemon.
#[derive(Debug)]
struct Running {
    _wireplumber: Option<Daemon>,
    _auto: Option<AutoLinker>,
    daemon: Daemon,
}

impl PipeWireDaemon {
    /// Starts PipeWire with its socket at `<dir>/pipewire-0`.
    ///
    /// # Errors
    /// When the programs are not installed, or do not answer within 10 s.
    pub fn start(dir: &Path, linker: Linker) -> io::Result<Self> {
        Self::start_on_bus(dir, linker, None)
    }

    /// The same, with a session bus for WirePlumber to use.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_on_bus(dir: &Path, linker: Linker, session_bus: Option<String>) -> io::Result<Self> {
        let mut this = Self { dir: dir.into(), linker, session_bus, restricted: None, running: None };
        this.restart()?;
        Ok(this)
    }

    /// The same with [`Linker::Auto`], and with clients that are let see no more than a portal lets them.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_restricted(dir: &Path, restricted: Restricted) -> io::Result<Self> {
        let linker = Linker::Auto;
        let mut this = Self { dir: dir.into(), linker, session_bus: None, restricted: Some(restricted), running: None };
        this.restart()?;
        Ok(this)
    }

    /// Kills the daemon: every client gets EPIPE.
    pub fn stop(&mut self) {
        self.running = None;
    }

    /// Kills the daemon if it runs, and starts a new one on the same socket. Nodes of before are gone.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop();
        let socket = self.socket();
        for leftover in [SOCKET.to_owned(), format!("{SOCKET}.lock")] {
            let _ = fs::remove_file(self.dir.join(leftover));
        }
        let config = self.dir.join("pipewire.conf");
        let programs = self.restricted.iter().map(|it| format!("\"{}\"", it.program.display())).collect::<String>();
        fs::write(&config, PIPEWIRE_CONF.replace("@restricted@", &programs))?;

        let mut command = Command::new("pipewire");
        command.arg("-c").arg(&config);
        self.environment(&mut command, "pipewire")?;
        let mut daemon = Daemon::spawn(command)?;
        answers(&socket, &mut daemon).map_err(|error| io::Error::other(format!("{error}\n{}", self.log())))?;

        let wireplumber = match self.linker {
            Linker::WirePlumber => Some(self.wireplumber()?),
            _ => None,
        };
        let auto = match self.linker {
            Linker::Auto => Some(AutoLinker::start(&socket, self.restricted.as_ref().map(|it| it.node.clone()))?),
            _ => None,
        };
        self.running = Some(Running { _wireplumber: wireplumber, _auto: auto, daemon });
        Ok(())
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join(SOCKET)
    }

    /// What PIPEWIRE_RUNTIME_DIR is to be.
    pub fn runtime_dir(&self) -> &Path {
        &self.dir
    }

    /// The daemon's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.daemon.id())
    }

    /// What the daemons have logged.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        read("pipewire.log") + &read("wireplumber.log")
    }

    fn environment(&self, command: &mut Command, name: &str) -> io::Result<()> {
        command
            .env("PIPEWIRE_RUNTIME_DIR", &self.dir)
            .env("XDG_RUNTIME_DIR", &self.dir)
            .env_remove("PIPEWIRE_REMOTE")
            .env_remove("PIPEWIRE_CORE")
            .env_remove("PIPEWIRE_CONFIG_DIR")
            .stdin(Stdio::null());
        // The bus outside must not be reached by accident; none at all is better.
        let bus = self.session_bus.as_deref().unwrap_or("disabled:");
        command.env("DBUS_SESSION_BUS_ADDRESS", bus).env("DBUS_SYSTEM_BUS_ADDRESS", "disabled:");
        let log = File::create(self.dir.join(format!("{name}.log")))?;
        command.stdout(log.try_clone()?).stderr(log);
        Ok(())
    }

    fn wireplumber(&self) -> io::Result<Daemon> {
        let config = self.dir.join("wireplumber");
        let lua = config.join("fake-guest.lua.d");
        fs::create_dir_all(&lua)?;
        fs::write(config.join("wireplumber.conf"), WIREPLUMBER_CONF)?;
        fs::write(lua.join("00-all.lua"), WIREPLUMBER_LUA)?;
        let mut command = Command::new("wireplumber");
        command.arg("-c").arg(config.join("wireplumber.conf"));
        self.environment(&mut command, "wireplumber")?;
        command
            .env("WIREPLUMBER_CONFIG_DIR", &config)
            .env("XDG_STATE_HOME", self.dir.join("state"))
            .env("XDG_CONFIG_HOME", self.dir.join("config"));
        Daemon::spawn(command)
    }
}

/// Waits until the socket takes connections. There is nothing to be told by, hence the short naps.
fn answers(socket: &Path, daemon: &mut Daemon) -> io::Result<()> {
    let deadline = Instant::now() + START;
    loop {
        if UnixStream::connect(socket).is_ok() {
            return Ok(());
        }
        if let Some(status) = daemon.ended() {
            return Err(io::Error::other(format!("pipewire did not start: {status}")));
        }
        if Instant::now() > deadline {
            return Err(io::Error::other("pipewire does not answer"));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

const PIPEWIRE_CONF: &str = r#"
context.properties = {
    core.daemon = true
    core.name = pipewire-0
    link.max-buffers = 16
    settings.check-quantum = true
    settings.check-rate = true
    support.dbus = false
}
context.spa-libs = { support.* = support/libspa-support }
context.modules = [
    { name = libpipewire-module-protocol-native }
    { name = libpipewire-module-metadata }
    { name = libpipewire-module-spa-node-factory }
    { name = libpipewire-module-client-node }
    { name = libpipewire-module-client-device }
    { name = libpipewire-module-access args = { access.restricted = [ @restricted@ ] } }
    { name = libpipewire-module-adapter }
    { name = libpipewire-module-link-factory }
    { name = libpipewire-module-session-manager }
]
context.objects = [
    { factory = metadata args = { metadata.name = default } }
    { factory = spa-node-factory args = {
        factory.name = support.node.driver
        node.name = Dummy-Driver
        node.group = pipewire.dummy
        priority.driver = 20000
    } }
]
"#;

const WIREPLUMBER_CONF: &str = r#"
context.properties = {
    log.level = 2
    wireplumber.script-engine = lua-scripting
    support.dbus = false
}
context.spa-libs = {
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}
context.modules = [
    { name = libpipewire-module-protocol-native }
    { name = libpipewire-module-client-node }
    { name = libpipewire-module-client-device }
    { name = libpipewire-module-adapter }
    { name = libpipewire-module-metadata }
    { name = libpipewire-module-session-manager }
]
wireplumber.components = [
    { name = libwireplumber-module-lua-scripting, type = module }
    { name = fake-guest.lua, type = config/lua }
]
"#;

/// The part of WirePlumber's policy that links streams: no devices, no portals, no stored state.
const WIREPLUMBER_LUA: &str = r#"
components = {
  ["metadata"] = { "libwireplumber-module-metadata", type = "module" },
  ["si-node"] = { "libwireplumber-module-si-node", type = "module" },
  ["si-audio-adapter"] = { "libwireplumber-module-si-audio-adapter", type = "module" },
  ["si-audio-endpoint"] = { "libwireplumber-module-si-audio-endpoint", type = "module" },
  ["si-standard-link"] = { "libwireplumber-module-si-standard-link", type = "module" },
  ["default-nodes-api"] = { "libwireplumber-module-default-nodes-api", type = "module" },
  ["mixer-api"] = { "libwireplumber-module-mixer-api", type = "module" },
  ["access"] = { "access/access-default.lua", type = "script/lua", args = { rules = {} } },
  ["create-item"] = { "create-item.lua", type = "script/lua" },
  ["policy-node"] = { "policy-node.lua", type = "script/lua", args = { move = true, follow = true } },
  ["suspend-node"] = { "suspend-node.lua", type = "script/lua" },
}
"#;
