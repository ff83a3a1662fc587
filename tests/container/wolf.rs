//! Wolf's part: what it takes from a profile, and what it gives to the container that it starts, as its runner does (runners/docker.cpp and
//! sessions/common.cpp of its public source). Its compositor is a headless sway, whose socket is root's alone, as that of most Wolfs is.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use lab::{Canvas, SoundKind, SoundServer, Sway};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::desktops::{RealHost, soon};
use crate::docker::Container;

/// Where Wolf's sockets are, in the container.
pub const SOCKETS: &str = "/tmp/sockets";

/// A file of this checkout.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A profile as its reader uses it: pasted at the end of a configuration.
pub fn pasted(profile: &str, config: &str) -> toml::Table {
    let text = fs::read_to_string(file(profile)).unwrap_or_else(|error| panic!("{profile}: {error}"));
    format!("{config}\n{text}").parse().unwrap_or_else(|error| panic!("{profile}: {error}"))
}

/// The runner of an app in Wolf's configuration.
#[derive(Debug)]
pub struct Runner {
    pub name: String,
    pub image: String,
    pub env: Vec<String>,
    pub mounts: Vec<String>,
    /// `base_create_json`: what the container is made of, but for what Wolf adds.
    pub base: Value,
}

impl Runner {
    /// Of our profile for Wolfs of today.
    pub fn ours() -> Self {
        Self::read(
            &pasted("container/wolf-app.toml", "[[profiles]]\nid = 'user'\n")["profiles"][0]["apps"][0]["runner"],
        )
    }

    pub fn read(table: &toml::Value) -> Self {
        let text = |name: &str| table[name].as_str().unwrap_or_else(|| panic!("{name} is no text")).to_owned();
        let list = |name: &str| {
            let all = table[name].as_array().unwrap_or_else(|| panic!("{name} is no list")).iter();
            all.map(|it| it.as_str().expect("a text").to_owned()).collect()
        };
        assert_eq!(text("type"), "docker");
        Self {
            name: text("name"),
            image: text("image"),
            env: list("env"),
            mounts: list("mounts"),
            base: serde_json::from_str(&text("base_create_json")).expect("JSON"),
        }
    }
}

/// A Wolf: its sound server, and what it has for each of its streams.
pub struct Wolf {
    pub sound: SoundServer,
    pub streams: Vec<Stream>,
    // dropped last: the server's socket lies in it
    _sockets: TempDir,
}

impl Wolf {
    /// With so many streams.
    pub fn start(streams: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = || format!("{}{:02}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let names: Vec<String> = (0..streams).map(|_| name()).collect();
        let sockets = tempfile::tempdir().expect("a folder");
        let sinks: Vec<String> = names.iter().map(|name| sink(name)).collect();
        let sinks: Vec<&str> = sinks.iter().map(String::as_str).collect();
        let sound = SoundServer::start(&sockets.path().join("sound"), SoundKind::PulseAudio, &sinks);
        let streams = names.into_iter().map(|name| Stream::start(name, sound.socket())).collect();
        Self { sound, streams, _sockets: sockets }
    }
}

fn sink(stream: &str) -> String {
    format!("virtual_sink_{stream}")
}

/// What Wolf has for one stream: a compositor, and the folder of this app and user.
pub struct Stream {
    pub host: RealHost,
    /// Its name among all streams.
    pub name: String,
    /// The app's state, which becomes the user's home.
    pub state: TempDir,
    /// The sound server's socket.
    sound: PathBuf,
    /// A stand-in for the program by which Wolf tells an app of new devices.
    fake_udev: PathBuf,
    pub uid: u32,
}

impl Stream {
    fn start(name: String, sound: PathBuf) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let fake_udev = state.path().join("fake-udev");
        fs::write(&fake_udev, "#!/bin/sh\n").expect("a file");
        fs::set_permissions(&fake_udev, fs::Permissions::from_mode(0o755)).expect("it is ours");
        fs::create_dir_all(state.path().join("app/udev/data")).expect("a folder");
        let me = rustix::process::getuid();
        let uid = if me.is_root() { 1000 } else { me.as_raw() };
        Self { host: RealHost::Sway(Sway::start(1280, 720)), name, state, sound, fake_udev, uid }
    }

    /// The sink that is its own.
    pub fn sink(&self) -> String {
        sink(&self.name)
    }

    /// The user's home, on this side.
    pub fn home(&self) -> PathBuf {
        self.state.path().join("app")
    }

    /// What Wolf asks the engine for.
    pub fn config(&self, runner: &Runner) -> Value {
        let socket = self.host.socket();
        let display = socket.file_name().expect("it has a name").to_string_lossy().into_owned();
        let sink = self.sink();
        let mut env = runner.env.clone();
        env.extend([
            format!("XDG_RUNTIME_DIR={SOCKETS}"),
            format!("WOLF_SESSION_ID={}", self.name),
            format!("PULSE_SINK={sink}"),
            format!("PULSE_SOURCE={sink}.monitor"),
            format!("PULSE_SERVER={SOCKETS}/pulse-socket"),
            "GAMESCOPE_WIDTH=1280".into(),
            "GAMESCOPE_HEIGHT=720".into(),
            "GAMESCOPE_REFRESH=60".into(),
            "WOLF_VIDEO_BUFFER_CAPS=video/x-raw".into(),
            format!("WAYLAND_DISPLAY={display}"),
            format!("PUID={}", self.uid),
            format!("PGID={}", self.uid),
            "UNAME=retro".into(),
        ]);
        let mut binds = runner.mounts.clone();
        binds.extend([
            format!("{}:{SOCKETS}/{display}:rw", socket.display()),
            format!("{}:{SOCKETS}/pulse-socket:rw", self.sound.display()),
            format!("{}:/home/retro:rw", self.home().display()),
            format!("{}:/usr/bin/fake-udev:rw", self.fake_udev.display()),
            format!("{}/udev:/run/udev/:rw", self.home().display()),
        ]);
        let mut config = runner.base.clone();
        config["Env"] = json!(env);
        config["HostConfig"]["Binds"] = json!(binds);
        config
    }

    /// Starts our app.
    pub fn app(&self) -> Container {
        self.app_with(|_| {})
    }

    /// Starts it with something changed.
    pub fn app_with(&self, change: impl FnOnce(&mut Value)) -> Container {
        let runner = Runner::ours();
        let mut config = self.config(&runner);
        // The rate of a test.
        config["Healthcheck"] = json!({ "Interval": 1_000_000_000_u64 });
        change(&mut config);
        Container::start(&format!("{}_{}", runner.name, self.name), &config)
    }

    /// Waits for the first frame.
    pub fn shows_something(&self, app: &Container) {
        app.wait("a picture in the host", soon(), || (!self.host.screenshot().is_uniform()).then_some(()));
    }
}

/// A window in an app's desktop, as large as the host's.
pub fn canvas(app: &Container, seed: u32) -> Canvas {
    let canvas = Canvas::open(&app.folder("wayland-0"), seed);
    let has_size = canvas.wait_for_size(1280, 720, soon());
    has_size.unwrap_or_else(|error| panic!("{error}\n{}", app.log()));
    canvas
}

/// Makes this file or folder that user's, where this may be done.
pub fn give(path: &Path, uid: u32) {
    if rustix::process::getuid().is_root() {
        chown(path, Some(uid), Some(uid)).expect("root may do this");
    }
}
