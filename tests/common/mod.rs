//! What the integration tests share: the bridge as a process, with its log, exit code and counters.
//! Every test file uses a part of it.
#![allow(dead_code)]

use rustix::process::Signal;
use std::fmt::Debug;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for anything on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Polls until `look` answers; panics with `what` when the time is over.
pub fn wait_for<T>(what: &str, timeout: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(began.elapsed() < timeout, "{what}: not within {timeout:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Does this where it starts processes among those of this namespace. That takes root.
pub fn among<T: Send>(processes: &File, start: impl FnOnce() -> T + Send) -> T {
    let started = thread::scope(|scope| {
        // Children of this thread alone.
        let thread = scope.spawn(|| {
            let kind = Some(rustix::thread::LinkNameSpaceType::ProcessID);
            rustix::thread::move_into_link_name_space(processes.as_fd(), kind)
                .expect("tests beside a portal need root");
            start()
        });
        thread.join()
    });
    started.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// How a bridge ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All it wrote, log included.
    pub log: String,
}

impl Ended {
    /// What it said last, the one line of an error.
    pub fn last_line(&self) -> &str {
        self.log.lines().last().unwrap_or("")
    }

    /// One of the counters it gives at its end.
    pub fn counter(&self, name: &str) -> i64 {
        counter(&self.log, name)
    }
}

/// A counter as it was told last in this log.
fn counter(log: &str, name: &str) -> i64 {
    let line = log.lines().rfind(|line| line.contains("counters: ")).unwrap_or_else(|| panic!("no counters in {log}"));
    let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no counter {name} in {line}"))
}

/// A running bridge; killed when dropped.
pub struct Bridge {
    child: Child,
    dir: tempfile::TempDir,
}

impl Bridge {
    /// Starts it in an environment of these variables alone, with this host.
    pub fn start<K: AsRef<str>, V: AsRef<str>>(host: &Path, env: &[(K, V)], args: &[&str]) -> Self {
        let host = host.to_str().expect("tests use plain paths");
        Self::start_bare(env, &[&["--host", host], args].concat())
    }

    /// Starts it with these arguments and variables alone.
    pub fn start_bare<K: AsRef<str>, V: AsRef<str>>(env: &[(K, V)], args: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_wolf-bridge")), env, args)
    }

    /// As [`start`](Self::start), beside a GNOME of this system: with that system's libraries where they can do what those
    /// here cannot, which is to drive the guest.
    pub fn start_beside<K: AsRef<str>, V: AsRef<str>>(
        suite: lab::Suite,
        host: &Path,
        env: &[(K, V)],
        args: &[&str],
    ) -> Self {
        match suite {
            lab::Suite::Forky => Self::start_with_libraries(&suite.root(), host, env, args),
            _ => Self::start(host, env, args),
        }
    }

    /// As [`start`](Self::start), with the libraries of another system's tree, PipeWire's above all.
    fn start_with_libraries<K: AsRef<str>, V: AsRef<str>>(
        root: &Path,
        host: &Path,
        env: &[(K, V)],
        args: &[&str],
    ) -> Self {
        let command = lab::with_libraries(root, Path::new(env!("CARGO_BIN_EXE_wolf-bridge")));
        let text = |text: &std::ffi::OsStr| text.to_str().expect("tests use plain paths").to_owned();
        let mut all: Vec<_> = command.get_envs().filter_map(|(name, value)| Some((text(name), text(value?)))).collect();
        all.extend(env.iter().map(|(name, value)| (name.as_ref().to_owned(), value.as_ref().to_owned())));
        let host = host.to_str().expect("tests use plain paths");
        Self::spawn(command, &all, &[&["--host", host], args].concat())
    }

    /// As [`start`](Self::start), with a DRM to it as that of Linux before 6.6.
    pub fn start_on_an_old_kernel<K: AsRef<str>, V: AsRef<str>>(host: &Path, env: &[(K, V)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wolf-bridge"));
        // SAFETY: between fork and exec it makes two system calls and touches nothing but its own stack.
        unsafe { command.pre_exec(move || seccomp::deny_ioctl(seccomp::DRM_IOCTL_SYNCOBJ_EVENTFD)) };
        Self::spawn(command, env, &["--host", host.to_str().expect("tests use plain paths")])
    }

    /// As [`start`](Self::start), among the processes of this namespace. That takes root.
    pub fn start_among<K: AsRef<str> + Sync, V: AsRef<str> + Sync>(
        processes: &File,
        host: &Path,
        env: &[(K, V)],
        args: &[&str],
    ) -> Self {
        among(processes, || Self::start(host, env, args))
    }

    fn spawn<K: AsRef<str>, V: AsRef<str>>(mut command: Command, env: &[(K, V)], args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let log = File::create(dir.path().join("log")).expect("a log file");
        command.args(args).env_clear().env("RUST_BACKTRACE", "1");
        if !args.contains(&"--log") {
            command.args(["--log", "debug"]);
        }
        command.envs(env.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let child = command.spawn().expect("the bridge starts");
        Self { child, dir }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Ended {
        let began = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Ended { code: status.code(), log: self.log() };
            }
            assert!(began.elapsed() < SOON, "the bridge does not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends it this.
    pub fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Asks it to end and waits for that; it must end as asked.
    pub fn end(self) -> Ended {
        self.signal(Signal::TERM);
        let ended = self.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        ended
    }

    /// Fails with its log added to what is wrong.
    pub fn expect<T, E: Debug>(&self, result: Result<T, E>) -> T {
        result.unwrap_or_else(|error| panic!("{error:?}\nthe bridge's log:\n{}", self.log()))
    }

    /// One of its counters, now.
    pub fn counter(&self, name: &str) -> i64 {
        let told = |log: &str| log.matches("counters: ").count();
        let before = told(&self.log());
        self.signal(Signal::USR1);
        let log = wait_for("the counters", SOON, || Some(self.log()).filter(|log| told(log) > before));
        counter(&log, name)
    }

    /// Whether it takes signals in its loop by now, instead of being ended by them.
    pub fn blocks_signals(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap_or("0").trim();
        u64::from_str_radix(blocked, 16).is_ok_and(|blocked| blocked & 1 << (Signal::TERM.as_raw() - 1) != 0)
    }

    /// Descriptors it has open.
    pub fn open_fds(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the bridge's log:\n{}", self.log());
        }
    }
}

pub mod copies;
pub mod desktops;
pub mod held;
pub mod pipes;
pub mod seccomp;
pub mod started;
pub mod usage;
pub mod vm;
pub mod world;

/// Sends a picture until the host has got one: PipeWire may lose what is sent while formats or buffers change.
pub fn picture(bridge: &Bridge, host: &fake_host::FakeHost, producer: &fake_guest::Producer, fill: fake_guest::Fill) {
    let before = host.look(|seen| seen.frame_count());
    wait_for("a frame in the host", SOON, || {
        bridge.expect(producer.send(fill, SOON));
        host.wait(|seen| seen.frame_count() > before, Duration::from_millis(500)).ok()
    });
}
