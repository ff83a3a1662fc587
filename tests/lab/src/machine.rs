//! A system in which nothing runs yet, for what brings its desktop itself: what is started in it shares processes, sockets and /tmp, as on
//! any machine. Owns the system, and all that runs in it ends with it; knows nothing of what is started.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{Suite, session::Session};

/// Nobody's user in particular.
const USER: u32 = 1000;
const SOON: Duration = Duration::from_secs(20);

/// A Debian 13, and a user without any rights.
#[derive(Debug)]
pub struct Machine {
    session: Session,
    /// Its PID namespace, as /proc names it.
    pids: PathBuf,
}

/// A process in a [`Machine`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// As this system numbers it.
    pub pid: u32,
    /// As the machine does.
    pub inner: u32,
    /// Its parent, as this system numbers it.
    pub parent: u32,
    /// Its arguments; empty for one that has ended and was not waited for.
    pub args: Vec<String>,
}

impl Machine {
    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let session = Session::start(Suite::Trixie, "machine", &[], &[("WB_UID", &USER.to_string())]);
        let mut machine = Machine { session, pids: PathBuf::new() };
        machine.pids = PathBuf::from(machine.output("readlink /proc/self/ns/pid"));
        machine
    }

    /// Its run directory, at the same path inside and outside; XDG_RUNTIME_DIR of its user, and short.
    pub fn dir(&self) -> &Path {
        self.session.dir()
    }

    /// Runs a shell command as its user, in the background; what it prints is in [`log`](Self::log).
    ///
    /// # Panics
    /// When the machine has ended.
    pub fn run(&mut self, command: &str) {
        self.session.run(command);
    }

    /// Runs a shell command as its user, and returns what it printed, without the last line's end.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn output(&mut self, command: &str) -> String {
        let (out, done) = (self.dir().join("output"), self.dir().join("output.done"));
        let _ = fs::remove_file(&done);
        self.run(&format!("( {command} ) >{} 2>&1; touch {}", out.display(), done.display()));
        let began = Instant::now();
        while !done.exists() {
            assert!(began.elapsed() < SOON, "`{command}` does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
        fs::read_to_string(out).unwrap_or_default().trim_end().to_owned()
    }

    /// A file of this system under that name in the machine, in [`dir`](Self::dir), where its user may use it: a program, or a socket, which
    /// stays the one that it is.
    ///
    /// # Panics
    /// When it can neither be linked nor copied.
    pub fn bring(&self, file: &Path, name: &str) -> PathBuf {
        let path = self.dir().join(name);
        let brought = fs::hard_link(file, &path).or_else(|_| fs::copy(file, &path).map(drop));
        brought.unwrap_or_else(|error| panic!("{} cannot be brought: {error}", file.display()));
        self.give(&path);
        path
    }

    /// Makes this file or folder its user's.
    ///
    /// # Panics
    /// When it cannot be.
    pub fn give(&self, path: &Path) {
        if rustix::process::getuid().is_root() {
            chown(path, Some(USER), Some(USER)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
    }

    /// Every process in it, its own few among them.
    pub fn processes(&self) -> Vec<Process> {
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|it| it == self.pids))
            .filter_map(|pid| process(pid).ok())
            .collect()
    }

    /// The names of all Unix sockets that its processes have open: paths, and abstract ones with an `@`.
    pub fn sockets(&self) -> Vec<String> {
        let open = |process: Process| fs::read_dir(format!("/proc/{}/fd", process.pid)).into_iter().flatten().flatten();
        let targets = self.processes().into_iter().flat_map(open).filter_map(|fd| fs::read_link(fd.path()).ok());
        let inode = |target: PathBuf| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned());
        let open: HashSet<String> = targets.filter_map(inode).collect();
        let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
        let name = |line: &str| {
            let mut words = line.split_whitespace().skip(6);
            open.contains(words.next()?).then(|| words.next().map(str::to_owned)).flatten()
        };
        table.lines().filter_map(name).collect()
    }

    /// All logs in its run directory.
    pub fn log(&self) -> String {
        self.session.log()
    }
}

fn process(pid: u32) -> io::Result<Process> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.and_then(|value| value.split_whitespace().last()?.parse().ok()).ok_or(io::ErrorKind::InvalidData)
    };
    let args = fs::read(format!("/proc/{pid}/cmdline"))?;
    let args = String::from_utf8_lossy(&args).split_terminator('\0').map(str::to_owned).collect();
    Ok(Process { pid, inner: field("NSpid")?, parent: field("PPid")?, args })
}
