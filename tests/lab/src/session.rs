//! A session script (scripts/guest-gnome, host-sway, host-weston) running through scripts/enter: its start, its commands and its end.
//! The script ends with its stdin, so it ends with this process too, however that goes. Never looks into what the session is.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const READY: Duration = Duration::from_secs(120);
const END: Duration = Duration::from_secs(5);

/// A Debian release, and with it the GNOME of that release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12: GNOME 43, without EIS.
    Bookworm,
    /// Debian 13: GNOME 48.
    Trixie,
    /// Debian testing: GNOME 50.
    Forky,
}

impl Suite {
    /// The release's name.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Bookworm => "bookworm",
            Suite::Trixie => "trixie",
            Suite::Forky => "forky",
        }
    }

    /// The tree of its system.
    ///
    /// # Panics
    /// When it is not built.
    pub fn root(self) -> PathBuf {
        self.built().unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// The built rootfs.
    pub(crate) fn built(self) -> Result<PathBuf, String> {
        let out = Command::new(crate::scripts().join("rootfs"))
            .args([self.name(), "--built"])
            .output()
            .map_err(|error| format!("scripts/rootfs does not run: {error}"))?;
        match String::from_utf8_lossy(&out.stdout).trim() {
            path if out.status.success() && !path.is_empty() => Ok(path.into()),
            _ => {
                Err(format!("no real desktops here: the {0} rootfs is not built (run scripts/rootfs {0})", self.name()))
            }
        }
    }
}

/// A command that runs this program of the machine with the libraries of another system's tree, PipeWire's and its modules among them.
///
/// # Panics
/// When the tree has no PipeWire.
pub fn with_libraries(root: &Path, program: &Path) -> Command {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let libraries = entries(&root.join("usr/lib")).find(|dir| dir.join("libpipewire-0.3.so.0").exists());
    let libraries = libraries.expect("the tree has PipeWire");
    let is_loader =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"));
    let mut command = Command::new(entries(&libraries).find(is_loader).expect("the tree has a loader"));
    command.arg("--library-path").arg(&libraries).arg(program);
    command.env("PIPEWIRE_MODULE_DIR", libraries.join("pipewire-0.3"));
    command.env("SPA_PLUGIN_DIR", libraries.join("spa-0.2"));
    command.env("PIPEWIRE_CONFIG_DIR", root.join("usr/share/pipewire"));
    command
}

/// A running session script.
#[derive(Debug)]
pub struct Session {
    script: Script,
    child: Child,
    /// `None` once it is told to end.
    stdin: Option<ChildStdin>,
    /// What the script said after `ready`.
    pub ready: Vec<String>,
    // dropped last: the sockets lie in it
    run: Arc<Folder>,
}

/// A run directory.
#[derive(Debug)]
enum Folder {
    Own(TempDir),
    Given(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Folder::Own(dir) => dir.path(),
            Folder::Given(path) => path,
        }
    }
}

/// What a session runs.
#[derive(Clone, Debug)]
struct Script {
    suite: Suite,
    name: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Script {
    fn new(suite: Suite, name: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let args = args.iter().copied().map(str::to_owned).collect();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { suite, name: name.to_owned(), args, env }
    }
}

impl Session {
    /// Starts a script of `scripts/` in that release's system, and waits until it says that it is ready.
    ///
    /// # Panics
    /// With its logs, when it does not.
    pub(crate) fn start(suite: Suite, script: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_prepared(suite, script, args, env, |_| {})
    }

    /// As [`start`](Self::start), after `prepare` has put something into the run directory.
    pub(crate) fn start_prepared(
        suite: Suite,
        script: &str,
        args: &[&str],
        env: &[(&str, &str)],
        prepare: impl FnOnce(&Path),
    ) -> Self {
        // short, since the paths of sockets in it may have 107 bytes
        let run = tempfile::Builder::new().prefix("wb-").tempdir_in("/tmp").expect("a run directory in /tmp");
        prepare(run.path());
        Self::start_script(Arc::new(Folder::Own(run)), Script::new(suite, script, args, env))
    }

    /// As [`start`](Self::start), with a run directory that is made if missing, and stays.
    pub(crate) fn start_in(run: &Path, suite: Suite, script: &str, args: &[&str]) -> Self {
        Self::start_script(Arc::new(Folder::Given(run.to_owned())), Script::new(suite, script, args, &[]))
    }

    /// Ends it, does `meanwhile`, and starts it again with all its sockets at the same places.
    pub(crate) fn restart(&mut self, meanwhile: impl FnOnce()) {
        self.end();
        meanwhile();
        for entry in fs::read_dir(self.dir()).expect("the run directory").flatten() {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        *self = Self::start_script(Arc::clone(&self.run), self.script.clone());
    }

    fn start_script(run: Arc<Folder>, script: Script) -> Self {
        let Script { suite, name, args, env } = &script;
        let root = suite.built().unwrap_or_else(|reason| panic!("{reason}"));
        let began = Instant::now();
        let mut child = Command::new(crate::scripts().join("enter"))
            .args([root.as_path(), run.path()])
            .arg(format!("/opt/wolf-bridge/{name}"))
            .args(args)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .env("WB_LIFELINE", "stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("scripts/enter runs");

        let (tell, told) = mpsc::channel();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let stderr = child.stderr.take().expect("stderr is a pipe");
        let errors = thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());

        let stdin = child.stdin.take();
        let (suite, name) = (*suite, name.clone());
        let mut session = Session { script, child, stdin, ready: Vec::new(), run };
        let line = told.recv_timeout(crate::patience(READY));
        match line.as_deref().ok().and_then(|line| line.strip_prefix("ready ")) {
            Some(rest) => session.ready = rest.split(' ').map(str::to_owned).collect(),
            None => {
                let log = session.log();
                session.end();
                panic!(
                    "{name} on {} did not start ({:.0?}): {line:?}\n{}\n{log}",
                    suite.name(),
                    began.elapsed(),
                    errors.join().unwrap_or_default()
                );
            }
        }
        session
    }

    /// Runs a shell command inside, in the background; its output is in [`log`](Self::log).
    ///
    /// # Panics
    /// When the session has ended.
    pub fn run(&mut self, command: &str) {
        assert!(!command.contains('\n'), "one line a command");
        let stdin = self.stdin.as_mut().expect("the session runs");
        writeln!(stdin, "{command}").expect("the session runs");
    }

    /// Its run directory, at the same path inside and outside: bus, pipewire-0, wayland-0 and the logs.
    pub fn dir(&self) -> &Path {
        self.run.path()
    }

    /// What the bridge, or any client of a guest, has in its environment: the session bus and PipeWire's folder.
    /// `XDG_RUNTIME_DIR` is the guest's too, so the host's socket has to be named by its whole path.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let dir = self.dir().display();
        vec![
            ("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={dir}/bus")),
            ("PIPEWIRE_RUNTIME_DIR", dir.to_string()),
            ("XDG_RUNTIME_DIR", dir.to_string()),
        ]
    }

    /// The namespace that its processes have their numbers in, for the rest of its life.
    pub fn processes(&self) -> File {
        let path = format!("/proc/{}/ns/pid_for_children", self.child.id());
        File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Every log of the session, each under its name.
    pub fn log(&self) -> String {
        let mut files: Vec<_> =
            fs::read_dir(self.dir()).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|ext| ext == "log"));
        files.sort();
        let mut log = String::new();
        for path in files {
            let text = fs::read(&path).unwrap_or_default();
            if !text.is_empty() {
                log += &format!(
                    "--- {}\n{}\n",
                    path.file_name().unwrap_or_default().display(),
                    String::from_utf8_lossy(&text)
                );
            }
        }
        log
    }

    /// Ends it now, as a drop would.
    pub fn end(&mut self) {
        drop(self.stdin.take());
        let began = Instant::now();
        while self.alive() {
            if began.elapsed() > END {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}
