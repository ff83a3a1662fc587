//! Desktops as people start them (`scripts/start-gnome-headless.sh` and its like), on a machine of their own: their environment, their
//! processes, their log and their end. Needs the rootfs of scripts/rootfs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{Machine, Process};
use rustix::process::{Pid, Signal, kill_process};

use super::desktops::soon;
use super::wait_for;

pub const GNOME: &str = "start-gnome-headless.sh";

/// A started desktop; what is left of it is killed with its machine.
pub struct Started {
    /// Of the process that ends it all, as this system numbers it.
    pid: u32,
    /// Where its number is followed by what is of it.
    files: PathBuf,
    /// Where the folder for its sockets is made.
    base: PathBuf,
}

/// One of the system's devices, in a machine: character device `major`:`minor` that root alone may open. Taken away with it.
pub fn closed_device(machine: &Machine, path: &str, (major, minor): (u32, u32)) {
    as_root_in(machine, &format!("mkdir -p $(dirname {path}) && mknod -m 600 {path} c {major} {minor}"));
}

/// A file system of so many KiB, in a machine, for its user.
pub fn small_disk(machine: &Machine, path: &Path, size: u32) {
    as_root_in(machine, &format!("mkdir -p {0} && mount -t tmpfs -o size={size}k,mode=1777 small {0}", path.display()));
}

/// Runs this as root in a machine, as tests of real desktops may.
fn as_root_in(machine: &Machine, script: &str) {
    // Its first process only holds the rest together, and has this system's files.
    let is_in_it = |it: &lab::Process| it.args.first().is_some_and(|name| name == "sleep");
    let inside = machine.processes().into_iter().find(is_in_it).expect("it runs").pid.to_string();
    let mut words = vec!["sudo", "-n", "nsenter", "--target", &inside, "--mount", "--root", "sh", "-c", script];
    if rustix::process::getuid().is_root() {
        words.drain(..2);
    }
    let done = std::process::Command::new(words[0]).args(&words[1..]).output().expect("it can be run");
    assert!(done.status.success(), "{script}: {done:?}");
}

/// What the machine's user has in its environment, and where the host is: `socket`, brought there as a container gets it, mounted.
pub fn with_host(machine: &Machine, socket: &Path) -> Vec<(&'static str, String)> {
    let number = std::fs::read_dir(machine.dir()).into_iter().flatten().count();
    let brought = machine.bring(socket, &format!("host-{number}"));
    let name = brought.file_name().expect("it has one").to_string_lossy().into_owned();
    vec![("WAYLAND_DISPLAY", name), ("XDG_RUNTIME_DIR", machine.dir().display().to_string())]
}

impl Started {
    /// Starts GNOME in this environment, beside what every user has in theirs.
    pub fn start<K: AsRef<str>, V: AsRef<str>>(machine: &mut Machine, env: &[(K, V)], args: &[&str]) -> Self {
        Self::start_script(machine, GNOME, env, args)
    }

    /// Starts one of the scripts, with the bridge that this is a test of.
    pub fn start_script<K: AsRef<str>, V: AsRef<str>>(
        machine: &mut Machine,
        script: &str,
        env: &[(K, V)],
        args: &[&str],
    ) -> Self {
        let bridge = machine.dir().join("wolf-bridge");
        if !bridge.exists() {
            let built = std::env::var_os("WB_BRIDGE").unwrap_or_else(|| env!("CARGO_BIN_EXE_wolf-bridge").into());
            machine.bring(Path::new(&built), "wolf-bridge");
        }
        let dir = tempfile::Builder::new().prefix("s").rand_bytes(3).tempdir_in(machine.dir());
        let base = dir.expect("a folder in the machine's").keep();
        machine.give(&base);
        let home = machine.dir().join("home");
        let usual = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("LANG", "C.UTF-8".into()),
            ("HOME", home.display().to_string()),
            ("WOLF_BRIDGE", bridge.display().to_string()),
            ("WOLF_BRIDGE_RUN", base.display().to_string()),
            ("WOLF_BRIDGE_NAME", base.file_name().expect("it has one").to_string_lossy().into_owned()),
            ("WOLF_BRIDGE_LOG", "debug".into()),
        ];
        let usual = usual.iter().map(|(name, value)| (*name, value.as_str()));
        let env: Vec<String> = usual
            .chain(env.iter().map(|(name, value)| (name.as_ref(), value.as_ref())))
            .map(|(name, value)| quoted(&format!("{name}={value}")))
            .collect();
        let args: Vec<String> = args.iter().map(|arg| quoted(arg)).collect();
        let files = base.display();
        // A shell's children in the background ignore SIGINT.
        machine.run(&format!(
            "env -i --default-signal=INT,QUIT {} /opt/wolf-bridge/{script} {} >{files}.log 2>&1 & \
             echo $! >{files}.new; mv {files}.new {files}.pid; wait $!; echo $? >{files}.new; mv {files}.new {files}.code",
            env.join(" "),
            args.join(" "),
        ));
        let pid = base.with_extension("pid");
        let inner = wait_for("its process", soon(), || std::fs::read_to_string(&pid).ok()?.trim().parse::<u32>().ok());
        // One that has ended already is nobody.
        let pid = machine.processes().iter().find(|it| it.inner == inner).map_or(0, |it| it.pid);
        Self { pid, files: base.clone(), base }
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.files.with_extension("log")).unwrap_or_default()
    }

    /// Fails with its log added to what is wrong.
    pub fn expect<T, E: std::fmt::Debug>(&self, result: Result<T, E>) -> T {
        result.unwrap_or_else(|error| panic!("{error:?}\nits log:\n{}", self.log()))
    }

    /// Waits until this answers; fails with its log.
    pub fn wait<T>(&self, what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
        let began = std::time::Instant::now();
        loop {
            if let Some(answer) = look() {
                return answer;
            }
            assert!(began.elapsed() < limit, "{what}: not within {limit:?}\nits log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The folder with its sockets, the session's XDG_RUNTIME_DIR; `None` before there is one and after the end.
    pub fn run_dir(&self) -> Option<PathBuf> {
        let mut entries = std::fs::read_dir(&self.base).ok()?.flatten().map(|entry| entry.path());
        entries.find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("wolf-bridge.")))
    }

    /// The process of one of its parts, as the supervisor's folders call them; `None` while it does not run.
    pub fn part(&self, machine: &Machine, name: &str) -> Option<Process> {
        let processes = self.processes(machine);
        let supervisor = processes.iter().find(|it| it.args == ["s6-supervise", name])?.pid;
        let starts = |it: &Process| {
            it.args.first().is_none_or(|name| name == "sh" || name == "/bin/sh" || name.starts_with("s6-"))
        };
        processes.into_iter().find(|it| it.parent == supervisor && !starts(it))
    }

    /// All of its processes, those that its buses have started too.
    pub fn processes(&self, machine: &Machine) -> Vec<Process> {
        let Some(run) = self.run_dir() else { return Vec::new() };
        let of_it = format!("XDG_RUNTIME_DIR={}", run.display());
        let is_of_it = |it: &Process| environment(it.pid).contains(&of_it);
        machine.processes().into_iter().filter(is_of_it).collect()
    }

    /// Runs a shell command in its desktop, as an application would, and returns what that printed.
    pub fn run(&self, machine: &mut Machine, command: &str) -> String {
        let desktop = environment(self.running(machine, "gnome").pid);
        let file = self.files.with_extension("sh");
        let exports: String = desktop.iter().map(|it| format!("export {}\n", quoted(it))).collect();
        std::fs::write(&file, format!("{exports}{command}\n")).expect("a script");
        machine.output(&format!("env -i bash {}", file.display()))
    }

    /// Waits for that process.
    pub fn running(&self, machine: &Machine, name: &str) -> Process {
        self.wait(name, soon(), || self.part(machine, name))
    }

    /// Sends the signal that ends it.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal);
    }

    /// Waits for its end: its exit code, and all that it wrote.
    pub fn ended(&self, limit: Duration) -> (i32, String) {
        let code = self.files.with_extension("code");
        let code = self.wait("its end", limit, || std::fs::read_to_string(&code).ok());
        (code.trim().parse().expect("a number"), self.log())
    }

    /// Removes what this harness has made for it, and fails if it has left anything.
    pub fn forget(self) {
        std::fs::remove_dir(&self.base).unwrap_or_else(|error| panic!("{error}: {}", self.log()));
    }

    /// Asks it to end and waits for that; it must end as asked, and leave none of its files.
    pub fn end(self) -> String {
        self.signal(Signal::TERM);
        let (code, log) = self.ended(soon());
        assert_eq!(code, 0, "{log}");
        assert_eq!(self.run_dir(), None, "{log}");
        log
    }
}

/// As one word of a shell command.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What a process has in its environment: NAME=VALUE.
pub fn environment(pid: u32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).split_terminator('\0').map(str::to_owned).collect()
}

/// Sends a signal to a process, which may have ended.
pub fn kill(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, signal));
}
