//! The programs that are compared, and how each is started between a guest and a host.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fake_guest::{FakeGuest, GuestOptions, Linker, MutterOptions, PipeWireDaemon, Producer};
use tempfile::TempDir;

use crate::case::Case;

/// Long enough for any of them to start.
const SOON: Duration = Duration::from_secs(30);

/// One of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// wolf-bridge.
    Bridge,
    /// GStreamer's `pipewiresrc ! queue ! waylandsink`.
    Gst {
        /// As it is by default: frames wait for their time.
        sync: bool,
    },
}

/// In the order of their turns.
pub const PEERS: [Peer; 3] = [Peer::Bridge, Peer::Gst { sync: true }, Peer::Gst { sync: false }];

impl Peer {
    /// Its name in JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Gst { sync: true } => "gst",
            Self::Gst { sync: false } => "gst_sync_false",
        }
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "wolf-bridge",
            Self::Gst { sync: true } => "GStreamer",
            Self::Gst { sync: false } => "GStreamer sync=false",
        }
    }
}

/// A guest that is shown by a peer; everything ends when dropped.
pub struct Running {
    pub producer: Arc<Producer>,
    child: Child,
    log: std::path::PathBuf,
    _guest: Guest,
}

/// What the guest consists of, in the order it has to end in.
#[expect(dead_code, reason = "held for their ends")]
enum Guest {
    Whole(FakeGuest),
    Stream(PipeWireDaemon, TempDir),
}

impl Running {
    /// Starts guest and peer, and waits until frames can flow.
    pub fn start(case: &Case, peer: Peer, bridge: &Path, host: &Path, dir: &Path) -> Result<Self, String> {
        let log = dir.join("log");
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let (guest, mut command, producer) = match peer {
            Peer::Bridge => {
                let mutter = MutterOptions { producer: case.stream(false), ..Default::default() };
                let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() }).map_err(|e| text(&e))?;
                let mut command = Command::new(bridge);
                command.arg("--host").arg(host).env_clear().envs(guest.env());
                (Guest::Whole(guest), command, None)
            }
            Peer::Gst { sync } => {
                let dir = tempfile::tempdir().map_err(|e| text(&e))?;
                let daemon = PipeWireDaemon::start(dir.path(), Linker::Auto).map_err(|e| text(&e))?;
                let producer = Producer::start(&daemon.socket(), case.stream(true)).map_err(|e| text(&e))?;
                let node = producer.node_id(SOON)?;
                let mut command = Command::new("gst-launch-1.0");
                command.args(["-q", "pipewiresrc", &format!("path={node}"), "!", "video/x-raw", "!", "queue", "!"]);
                command.args(["waylandsink", if sync { "sync=true" } else { "sync=false" }]);
                command.env("PIPEWIRE_RUNTIME_DIR", dir.path()).env("XDG_RUNTIME_DIR", dir.path());
                command.env("WAYLAND_DISPLAY", host).env_remove("DISPLAY").env_remove("PIPEWIRE_REMOTE");
                (Guest::Stream(daemon, dir), command, Some(Arc::new(producer)))
            }
        };
        let file = File::create(&log).map_err(|e| text(&e))?;
        let output = file.try_clone().map_err(|e| text(&e))?;
        command.stdin(Stdio::null()).stdout(output).stderr(file);
        let child = command.spawn().map_err(|error| format!("{} does not start: {error}", peer.name()))?;
        let producer = match (&guest, producer) {
            (_, Some(producer)) => Ok(producer),
            (Guest::Whole(guest), None) => guest.mutter.producer(SOON),
            (Guest::Stream(..), None) => Err("no stream".into()),
        };
        let producer =
            producer.map_err(|why| format!("{why}\n{}", std::fs::read_to_string(&log).unwrap_or_default()))?;
        let running = Self { producer, child, log, _guest: guest };
        running.producer.streaming_at(case.size, SOON).map_err(|why| running.why(why))?;
        Ok(running)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with what the peer wrote.
    pub fn why(&self, why: String) -> String {
        format!("{why}\n{}", std::fs::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.producer.stop();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
