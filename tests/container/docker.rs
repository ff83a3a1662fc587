//! This machine's Docker: the image that scripts/image makes, and containers of it. Knows nothing of Wolf.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::desktops::soon;

/// The image that is built.
const IMAGE: &str = "wolf-bridge/test:latest";
/// On all containers here, with the process whose they are.
const LABEL: &str = "wolf-bridge.test";

/// True when the test is to end here, since no container or no real desktop can run; in CI that is a failure.
pub fn skip() -> bool {
    lab::skip() || lab::skip_unless(docker(&["info"]).map(drop))
}

/// Builds the image as it is now, once for all tests of a run; `WB_IMAGE` names one that is built already.
pub fn image() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| {
        remove_left();
        if let Ok(image) = std::env::var("WB_IMAGE") {
            return image;
        }
        let out = Command::new(lab::scripts().join("image")).args(["--quick", IMAGE]).output().expect("it runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        IMAGE.to_owned()
    })
}

/// Removes containers of test runs that were killed.
fn remove_left() {
    let all = docker(&[
        "ps",
        "-a",
        "--filter",
        &format!("label={LABEL}"),
        "--format",
        &format!("{{{{.ID}}}} {{{{.Label \"{LABEL}\"}}}}"),
    ]);
    for line in all.expect("docker ps").lines() {
        let (id, owner) = line.split_once(' ').expect("a container and its label");
        if !Path::new("/proc").join(owner).exists() {
            let _ = docker(&["rm", "-f", id]);
        }
    }
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr)).trim().to_owned()
}

/// Runs Docker's command; all that it says, whichever way that goes.
pub fn docker(args: &[&str]) -> Result<String, String> {
    let out =
        Command::new("docker").args(args).output().map_err(|error| format!("no containers here: docker: {error}"))?;
    if out.status.success() { Ok(text(&out)) } else { Err(text(&out)) }
}

/// Calls the engine as Wolf does.
fn call(path: &str, body: &str) -> Result<Value, String> {
    let ask = || -> std::io::Result<String> {
        let mut socket = UnixStream::connect("/var/run/docker.sock")?;
        let length = body.len();
        write!(
            socket,
            "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error| format!("Docker's socket: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| answer.clone())?;
    let code = head.split(' ').nth(1).unwrap_or_default();
    if !code.starts_with('2') {
        return Err(format!("{path}: {code} {body}"));
    }
    Ok(serde_json::from_str(body).unwrap_or_default())
}

/// A process of a container.
#[derive(Clone, Debug)]
pub struct Process {
    /// As this system numbers it.
    pub pid: u32,
    pub uid: u32,
    pub gid: u32,
    /// Its whole command line.
    pub args: String,
}

/// A container; removed when dropped.
#[derive(Debug)]
pub struct Container {
    pub id: String,
}

impl Container {
    /// Makes and starts one of this description, in the words of the engine's `POST /containers/create`.
    pub fn start(name: &str, config: &Value) -> Self {
        let container = Self::create(name, config);
        container.start_again();
        container
    }

    pub fn create(name: &str, config: &Value) -> Self {
        let mut config = config.clone();
        config["Image"] = json!(image());
        config["Labels"] = json!({ LABEL: std::process::id().to_string() });
        let made = call(&format!("/containers/create?name={name}"), &config.to_string())
            .unwrap_or_else(|error| panic!("{error}: {config:#}"));
        Self { id: made["Id"].as_str().expect("its id").to_owned() }
    }

    pub fn start_again(&self) {
        call(&format!("/containers/{}/start", self.id), "").unwrap_or_else(|error| panic!("{error}"));
    }

    /// What `docker COMMAND CONTAINER ARG…` says.
    pub fn docker(&self, command: &str, args: &[&str]) -> String {
        docker(&[&[command, &self.id], args].concat())
            .unwrap_or_else(|error| panic!("docker {command}: {error}\n{}", self.log()))
    }

    /// All it has written.
    pub fn log(&self) -> String {
        docker(&["logs", &self.id]).unwrap_or_else(|error| error)
    }

    /// A value of `docker inspect`.
    pub fn state(&self, path: &str) -> String {
        docker(&["inspect", "-f", &format!("{{{{{path}}}}}"), &self.id]).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs a shell command in it as root, which is what Wolf does.
    pub fn exec(&self, command: &str) -> Result<String, String> {
        docker(&["exec", "--user", "root", &self.id, "/bin/bash", "-c", command])
    }

    /// The same as its user, in the desktop's environment.
    pub fn exec_as_user(&self, command: &str) -> Result<String, String> {
        self.exec_with(&[], command)
    }

    /// The same in the background.
    pub fn run_as_user(&self, command: &str) {
        self.exec_with(&["--detach"], command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }

    fn exec_with(&self, options: &[&str], command: &str) -> Result<String, String> {
        let folder = self.inner_folder();
        let env = [format!("XDG_RUNTIME_DIR={folder}"), format!("DBUS_SESSION_BUS_ADDRESS=unix:path={folder}/bus")];
        let first = &self.processes()[0];
        let user = format!("{}:{}", first.uid, first.gid);
        let args = ["exec", "--user", &user, "-e", &env[0], "-e", &env[1]];
        docker(&[&args, options, &[&self.id, "/bin/bash", "-c", command]].concat())
    }

    /// Waits until this answers; fails with its log. It looks rarely: it starts programs to do so.
    pub fn wait<T>(&self, what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(answer) = look() {
                return answer;
            }
            assert!(began.elapsed() < limit, "{what}: not within {limit:?}\nits log:\n{}", self.log());
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn is_running(&self) -> bool {
        self.state(".State.Running") == "true"
    }

    /// Waits for its end: its exit code, and all that it wrote.
    pub fn ended(&self, limit: Duration) -> (i32, String) {
        self.wait("its end", limit, || (!self.is_running()).then_some(()));
        (self.state(".State.ExitCode").parse().expect("a number"), self.log())
    }

    /// Its processes, the first one first.
    pub fn processes(&self) -> Vec<Process> {
        let table = self.docker("top", &["-eo", "pid,uid,gid,args"]);
        let process = |line: &str| {
            let mut words = line.split_whitespace();
            let mut number = || words.next()?.parse().ok();
            let (pid, uid, gid) = (number()?, number()?, number()?);
            Some(Process { pid, uid, gid, args: words.collect::<Vec<_>>().join(" ") })
        };
        table.lines().skip(1).map(|line| process(line).unwrap_or_else(|| panic!("{line}"))).collect()
    }

    /// Its process of this program.
    pub fn process(&self, program: &str) -> Process {
        let is_it = |args: &str| args.split(' ').next().is_some_and(|name| name.rsplit('/').next() == Some(program));
        self.wait(program, soon(), || self.processes().into_iter().find(|it| is_it(&it.args)))
    }

    /// A path in it, as this system reaches that.
    pub fn path(&self, inner: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inner}", self.state(".State.Pid")))
    }

    /// The desktop's folder, the XDG_RUNTIME_DIR of all in it, as the container knows it.
    pub fn inner_folder(&self) -> String {
        let is_it = |name: &String| name.starts_with("wolf-bridge.");
        let names = || std::fs::read_dir(self.path("/tmp")).into_iter().flatten().flatten();
        let find = || names().filter_map(|entry| entry.file_name().into_string().ok()).find(is_it);
        format!("/tmp/{}", self.wait("the desktop's folder", soon(), find))
    }

    /// A file in that folder, as this system reaches it.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.path(&format!("{}/{name}", self.inner_folder()))
    }

    /// Waits until it is well.
    pub fn is_healthy(&self) {
        self.wait("health", soon(), || (self.state(".State.Health.Status") == "healthy").then_some(()));
    }

    /// Waits until it is not, for this reason.
    pub fn is_unhealthy(&self, why: &str) {
        self.wait("illness", soon(), || (self.state(".State.Health.Status") == "unhealthy").then_some(()));
        let log = self.state("json .State.Health.Log");
        assert!(log.contains(why), "{log}");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the container's log:\n{}", self.log());
        }
        let _ = docker(&["rm", "-f", &self.id]);
    }
}
