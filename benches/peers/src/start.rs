//! How long a guest of each kind takes to be seen: from the start of the bridge's process to its first picture's commit at the
//! host, by the host's clock. Starts guests, the bridge again and again, and tells; what is in the picture does not matter.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use fake_guest::{EisOptions, FakeEis, Linker, PipeWireDaemon, Producer, ProducerOptions, SizePolicy};
use fake_host::{FakeHost, Output};
use lab::{Canvas, Gnome, Kwin, Suite, SwayGuest};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::guest::Desktop;
use crate::measure::now;
use crate::peer::spawn_among;

/// Pixels of host and guest: what a guest does to take another size is no part of this.
const SIZE: (u32, u32) = (1280, 720);

/// Long enough for a first picture on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Whose picture it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Gnome,
    Sway,
    Kwin,
    Gamescope,
    Node,
}

/// A kind of guest, by what it is asked for.
#[derive(Debug)]
pub struct Way {
    /// Its name in reports.
    pub name: &'static str,
    source: Source,
    /// The bridge's.
    args: &'static [&'static str],
}

/// All of them. The guests run before the bridge does, and draw all the while: a window in sway and KWin, a fake that sends 60
/// frames a second. GNOME has no monitor until the bridge asks for one, and draws its own picture there.
pub const WAYS: [Way; 6] = [
    Way { name: "mutter-gnome48", source: Source::Gnome, args: &["--guest", "mutter"] },
    Way { name: "portal-sway", source: Source::Sway, args: &["--guest", "portal"] },
    Way { name: "portal-kwin", source: Source::Kwin, args: &["--guest", "portal"] },
    // and where that is
    Way { name: "wlroots-sway", source: Source::Sway, args: &["--guest", "wlroots", "--guest-socket"] },
    Way { name: "gamescope-fake", source: Source::Gamescope, args: &["--guest", "gamescope", "--eis-socket", "eis"] },
    Way { name: "node-fake", source: Source::Node, args: &["--node", "camera"] },
];

impl Way {
    /// KWin records nothing without a GPU; the virtual machine has one.
    pub fn needs_gpu(&self) -> bool {
        self.source == Source::Kwin
    }

    /// It needs a real desktop.
    pub fn needs_desktop(&self) -> bool {
        !matches!(self.source, Source::Gamescope | Source::Node)
    }

    fn guest(&self) -> Result<Inside, String> {
        let (width, height) = SIZE;
        let desktop = match self.source {
            // Its monitor comes with the bridge.
            Source::Gnome => {
                return Ok(Inside::Desktop { _canvas: None, desktop: Desktop::Gnome(Gnome::start(Suite::Trixie)) });
            }
            Source::Sway => Desktop::Sway(SwayGuest::start(width, height)),
            Source::Kwin => Desktop::Kwin(Kwin::start(width, height)),
            Source::Gamescope => return Inside::fake(ProducerOptions::gamescope(width, height)),
            Source::Node => {
                let size = SizePolicy::Fixed(width, height);
                return Inside::fake(ProducerOptions { name: "camera".into(), size, ..Default::default() });
            }
        };
        let canvas = Canvas::open(&desktop.wayland_socket(), 1);
        canvas.wait_for_size(width, height, lab::patience(SOON))?;
        canvas.animate(true);
        Ok(Inside::Desktop { _canvas: Some(canvas), desktop })
    }
}

/// A guest that runs; the parts are in the order they have to end in.
enum Inside {
    Desktop { _canvas: Option<Canvas>, desktop: Desktop },
    Fake { producer: Producer, _eis: FakeEis, daemon: PipeWireDaemon, _dir: TempDir },
}

impl Inside {
    fn fake(options: ProducerOptions) -> Result<Self, String> {
        let text = |error: io::Error| error.to_string();
        let dir = tempfile::tempdir().map_err(text)?;
        let daemon = PipeWireDaemon::start(dir.path(), Linker::Auto).map_err(text)?;
        let eis = FakeEis::start(EisOptions::gamescope()).map_err(text)?;
        eis.listen(&dir.path().join("eis")).map_err(text)?;
        let producer = Producer::start(&daemon.socket(), options).map_err(text)?;
        producer.node_id(SOON)?;
        producer.tick(60.0);
        Ok(Self::Fake { producer, _eis: eis, daemon, _dir: dir })
    }

    fn command(&self, bridge: &Path, way: &Way) -> Command {
        let mut command = Command::new(bridge);
        for name in ["WAYLAND_DISPLAY", "DISPLAY", "PIPEWIRE_REMOTE", "LIBEI_SOCKET"] {
            command.env_remove(name);
        }
        command.args(way.args);
        match self {
            Self::Desktop { desktop, .. } => {
                command.envs(desktop.env());
                if way.args.ends_with(&["--guest-socket"]) {
                    command.arg(desktop.wayland_socket());
                }
            }
            Self::Fake { daemon, .. } => {
                let dir = daemon.runtime_dir();
                command.envs([("PIPEWIRE_RUNTIME_DIR", dir), ("XDG_RUNTIME_DIR", dir)]);
            }
        }
        command
    }

    fn log(&self) -> String {
        match self {
            Self::Desktop { desktop, .. } => desktop.log(),
            Self::Fake { producer, .. } => producer.state().errors.join("\n"),
        }
    }
}

/// A bridge that runs; killed when dropped.
struct Bridge(Child);

impl Bridge {
    /// Asks it to end, and waits for that, so that its session is over before the next one begins.
    fn end(mut self) -> Result<(), String> {
        kill_process(Pid::from_child(&self.0), Signal::TERM).map_err(|error| format!("the bridge: {error}"))?;
        let began = Instant::now();
        while began.elapsed() < lab::patience(SOON) {
            match self.0.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(2)),
                Ok(Some(status)) if status.success() => return Ok(()),
                other => return Err(format!("the bridge ended otherwise than asked: {other:?}")),
            }
        }
        Err("the bridge does not end".into())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One start in front of a new host: from the process's to the first picture, ns.
fn first_picture(inside: &Inside, bridge: &Path, way: &Way, state: &Path) -> Result<i64, String> {
    let (tell, told) = mpsc::channel();
    let output = Output::new(SIZE.0.cast_signed(), SIZE.1.cast_signed(), 60_000);
    let wolf = FakeHost::builder();
    let wolf = if way.needs_gpu() { wolf.wolf_with_gpu() } else { wolf.wolf() };
    let host = wolf.output(output).blind().on_commit(move |_, _| {
        // Those after the first are heard by nobody.
        let _ = tell.send(now());
    });
    let host = host.start().map_err(|error| error.to_string())?;
    let mut command = inside.command(bridge, way);
    let log = std::fs::File::create(state.join("log")).map_err(|error| error.to_string())?;
    command.arg("--host").arg(host.socket()).env("XDG_STATE_HOME", state);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let processes = if let Inside::Desktop { desktop, .. } = inside { desktop.processes() } else { None };
    let began = now();
    let spawned = spawn_among(command, processes).map_err(|error| format!("the bridge does not start: {error}"))?;
    let bridge = Bridge(spawned);
    let seen = told.recv_timeout(lab::patience(SOON)).map_err(|_| {
        let log = std::fs::read_to_string(state.join("log")).unwrap_or_default();
        format!("no picture was committed\n{log}\n{}", inside.log())
    })?;
    bridge.end()?;
    Ok(seen - began)
}

/// What was found.
#[derive(Debug, Default)]
pub struct Starts {
    /// Of each way, each start, ns.
    ways: Vec<(&'static str, Vec<i64>)>,
    /// What could not be measured, and why, a line each.
    pub missing: Vec<String>,
}

impl Starts {
    /// Starts the bridge so often, one time after another, beside one desktop of this kind, or a new fake each time.
    pub fn measure(&mut self, way: &'static Way, bridge: &Path, rounds: u32) {
        let mut starts = Vec::new();
        // A desktop that does not start panics with its logs.
        let turn = || {
            let mut inside = way.guest()?;
            let state = tempfile::tempdir().map_err(|error| error.to_string())?;
            for round in 1..=rounds {
                eprintln!("{} ({round} of {rounds})", way.name);
                // A fake's node brings no picture any more when it was linked six times (seen on PipeWire 0.3.65).
                if round > 1 && !way.needs_desktop() {
                    inside = way.guest()?;
                }
                starts.push(first_picture(&inside, bridge, way, state.path())?);
            }
            Ok::<(), String>(())
        };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(turn));
        if let Err(why) = done.unwrap_or_else(|_| Err("the desktop did not start".into())) {
            eprintln!("{}: {why}", way.name);
            self.missing.push(format!("{}: {}", way.name, why.lines().next().unwrap_or_default()));
        }
        self.ways.push((way.name, starts));
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut table = format!("{:<16} {:>7} {:>9} {:>9} {:>9}\n", "guest", "starts", "p50 ms", "min ms", "max ms");
        for (name, starts) in self.ways.iter().filter(|(_, starts)| !starts.is_empty()) {
            let mut sorted = starts.clone();
            sorted.sort_unstable();
            let [middle, first, last] = [sorted.len() / 2, 0, sorted.len() - 1].map(|at| sorted[at] as f64 / 1e6);
            let _ = writeln!(table, "{name:<16} {:>7} {middle:>9.0} {first:>9.0} {last:>9.0}", sorted.len());
        }
        table
    }

    /// For other programs.
    pub fn json(&self) -> String {
        let ways = self.ways.iter().map(|(name, starts)| json!({ "name": name, "starts_ns": starts }));
        let all = json!({ "guests": ways.collect::<Vec<_>>(), "not_measured": self.missing });
        format!("{all:#}\n")
    }

    /// Takes over what [`json`](Self::json) gave elsewhere; false if that is something else.
    pub fn merge(&mut self, json: &str) -> bool {
        let Ok(all) = serde_json::from_str::<Value>(json) else { return false };
        let list = |name: &str| all.get(name).and_then(Value::as_array).cloned();
        let (Some(guests), Some(missing)) = (list("guests"), list("not_measured")) else { return false };
        for guest in guests {
            let name = guest.get("name").and_then(|name| WAYS.iter().find(|way| *name == way.name));
            let starts = guest.get("starts_ns").and_then(Value::as_array);
            let (Some(way), Some(starts)) = (name, starts) else { return false };
            self.ways.push((way.name, starts.iter().filter_map(Value::as_i64).collect()));
        }
        self.missing.extend(missing.iter().filter_map(|line| line.as_str().map(str::to_owned)));
        true
    }
}
