//! The programs that are compared, and how each is started between a guest and a host.

use std::env;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::Suite;

use crate::case::{Case, Source};
use crate::guest::{Desktop, Guest};

/// Where scripts/bench has put programs that the systems of the desktops lack: GStreamer for the virtual machine, and
/// Mutter's viewer.
const GST: &str = "WB_BENCH_GST";
const DEVKIT: &str = "WB_BENCH_DEVKIT";

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
    /// The viewer of `gnome-shell --devkit`.
    Devkit,
}

/// All of them.
pub const PEERS: [Peer; 4] = [Peer::Bridge, Peer::Gst { sync: true }, Peer::Gst { sync: false }, Peer::Devkit];

/// Those that show any stream, in the order of their turns.
pub const GST_PEERS: [Peer; 3] = [Peer::Bridge, Peer::Gst { sync: true }, Peer::Gst { sync: false }];

impl Peer {
    /// Its name in JSON.
    pub fn key(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Gst { sync: true } => "gst",
            Self::Gst { sync: false } => "gst_sync_false",
            Self::Devkit => "devkit",
        }
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bridge => "wolf-bridge",
            Self::Gst { sync: true } => "GStreamer",
            Self::Gst { sync: false } => "GStreamer sync=false",
            Self::Devkit => "Mutter's viewer",
        }
    }
}

/// The process of a peer.
enum Process {
    Ours(Child),
    /// It runs in the guest's namespaces, and ends with the guest.
    Guests(u32),
}

/// A guest that is shown by a peer; everything ends when dropped.
pub struct Running {
    process: Process,
    pub guest: Guest,
    log: PathBuf,
}

/// Where everything is.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// wolf-bridge.
    pub bridge: &'a Path,
    /// The host's socket.
    pub host: &'a Path,
    /// A folder for this turn.
    pub dir: &'a Path,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn folder(variable: &str, what: &str) -> Result<PathBuf, String> {
    env::var_os(variable).map(PathBuf::from).ok_or_else(|| format!("{what} is not installed (scripts/bench does that)"))
}

fn bridge(case: &Case, guest: &Guest, places: Places<'_>) -> Command {
    // The library of that system can drive such a guest.
    let mut command = match case.source {
        Source::Gnome(suite @ Suite::Forky) => lab::with_libraries(&suite.root(), places.bridge),
        _ => Command::new(places.bridge),
    };
    command.arg("--host").arg(places.host).args(guest.real().map(Desktop::bridge_args).unwrap_or_default());
    for name in ["WAYLAND_DISPLAY", "DISPLAY", "PIPEWIRE_REMOTE"] {
        command.env_remove(name);
    }
    // for a portal's permission
    command.env("XDG_STATE_HOME", places.dir);
    command
}

fn gst(case: &Case, guest: &Guest, places: Places<'_>, sync: bool, soon: Duration) -> Result<Command, String> {
    let mut command = if lab::in_vm() {
        let tree = folder(GST, "GStreamer")?;
        let mut command = Command::new(tree.join("usr/bin/gst-launch-1.0"));
        command.env("LD_LIBRARY_PATH", tree.join("lib")).env("GST_PLUGIN_PATH", tree.join("plugins"));
        command.env("GST_REGISTRY", "/tmp/gst-registry").env("GST_REGISTRY_FORK", "no");
        command
    } else {
        Command::new("gst-launch-1.0")
    };
    let caps = match case.source {
        Source::Frames(frames) if frames.dmabuf => "video/x-raw(memory:DMABuf)".to_owned(),
        Source::Frames(_) => "video/x-raw".to_owned(),
        _ => format!("video/x-raw,width={},height={},max-framerate=60/1", case.size.0, case.size.1),
    };
    command.args(["-q", "pipewiresrc", &format!("path={}", guest.node(soon)?), "!", &caps, "!", "queue", "!"]);
    command.args(["waylandsink", if sync { "sync=true" } else { "sync=false" }]);
    command.env("WAYLAND_DISPLAY", places.host).env_remove("DISPLAY").env_remove("PIPEWIRE_REMOTE");
    Ok(command)
}

/// Starts Mutter's viewer in the guest's session; gives its process id.
fn devkit(guest: &mut Guest, places: Places<'_>, soon: Duration) -> Result<u32, String> {
    let tree = folder(DEVKIT, "Mutter's viewer")?;
    let gnome = guest.gnome_mut().ok_or("there is no Mutter")?;
    let [socket, programs] = Guest::hand_in(gnome, places.host, &tree)?;
    let (socket, programs) = (socket.display(), programs.display());
    gnome.run(&format!(
        "WAYLAND_DISPLAY={socket} LD_LIBRARY_PATH={programs}/lib exec {programs}/usr/libexec/mutter-devkit"
    ));
    let mark = format!("WAYLAND_DISPLAY={socket}");
    let is_it = |pid: &u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "mutter-devkit")
            && fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|all| all.split(|byte| *byte == 0).any(|it| it == mark.as_bytes()))
    };
    let began = Instant::now();
    while began.elapsed() < soon {
        let all = fs::read_dir("/proc").map_err(text)?.flatten();
        if let Some(pid) = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_it) {
            return Ok(pid);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err("the viewer does not start".into())
}

/// Starts it, among the processes of that namespace if there is one.
pub fn spawn_among(mut command: Command, processes: Option<File>) -> std::io::Result<Child> {
    let Some(processes) = processes else { return command.spawn() };
    // Children of this thread alone.
    let thread = thread::spawn(move || {
        rustix::thread::move_into_link_name_space(
            processes.as_fd(),
            Some(rustix::thread::LinkNameSpaceType::ProcessID),
        )?;
        command.spawn()
    });
    thread.join().unwrap_or_else(|_| Err(std::io::Error::other("its thread panicked")))
}

impl Running {
    /// Starts guest and peer.
    ///
    /// # Errors
    /// What did not start, and why.
    pub fn start(case: &Case, peer: Peer, places: Places<'_>, soon: Duration) -> Result<Self, String> {
        let log = places.dir.join("log");
        let mut guest = Guest::start(case, peer).map_err(text)?;
        let command = match peer {
            Peer::Bridge => Some(bridge(case, &guest, places)),
            Peer::Gst { sync } => Some(gst(case, &guest, places, sync, soon)?),
            Peer::Devkit => None,
        };
        let process = match command {
            Some(mut command) => {
                let file = File::create(&log).map_err(text)?;
                let output = file.try_clone().map_err(text)?;
                command.envs(guest.env()).stdin(Stdio::null()).stdout(output).stderr(file);
                let spawned = spawn_among(command, guest.real().and_then(Desktop::processes));
                Process::Ours(spawned.map_err(|error| format!("{} does not start: {error}", peer.name()))?)
            }
            None => Process::Guests(devkit(&mut guest, places, soon)?),
        };
        Ok(Self { process, guest, log })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        match &self.process {
            Process::Ours(child) => child.id(),
            Process::Guests(pid) => *pid,
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        match &mut self.process {
            Process::Ours(child) => child.try_wait().ok().flatten().map(|status| status.to_string()),
            Process::Guests(pid) => (!Path::new(&format!("/proc/{pid}")).exists()).then(|| "it is gone".into()),
        }
    }

    /// An error with what the peer wrote.
    pub fn why(&self, why: String) -> String {
        let told = fs::read_to_string(&self.log).unwrap_or_else(|_| self.guest.log());
        format!("{why}\n{told}")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Process::Ours(child) = &mut self.process {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
