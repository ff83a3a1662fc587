//! The container image, built by scripts/image and started by the real Docker as Wolf starts it: from the files that a person pastes to the first
//! frame, what its user sees of it, and its ends. Needs a Docker daemon, and the rootfs of scripts/rootfs for hosts.

mod bad;
#[path = "../common/mod.rs"]
mod common;
mod docker;
mod files;
mod two;
mod wolf;

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::desktops::{RealHost, shows, soon};
use common::usage::memory;
use lab::Sway;
use serde_json::json;

use docker::Container;
use wolf::{Wolf, canvas, file};

/// What writes a log, as `docker logs` shows it: the parts of a session, and the scripts around it.
const PARTS: &[&str] =
    &["wolf-bridge", "system", "bus", "pipewire", "session", "pulse", "sound", "gnome", "bridge", "app"];

/// All files below this folder that a program has open or waits at: sockets, pipes.
fn ends(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => ends(&entry.path()),
            Ok(kind) if kind.is_socket() || kind.is_fifo() => vec![entry.path()],
            _ => vec![],
        })
        .collect()
}

fn every_line_says_whose_it_is(log: &str) {
    for line in log.lines() {
        let part = line.split_once(": ").map_or("", |(part, _)| part);
        assert!(PARTS.contains(&part), "whose line is this? {line}\n{log}");
    }
    for part in ["gnome", "bridge"] {
        assert!(log.lines().any(|line| line.starts_with(&format!("{part}: "))), "{part} says nothing: {log}");
    }
}

/// `docker stop`, which is a SIGTERM and, after 10 s, a SIGKILL: it ends in order before that, and leaves nothing.
fn stops_in_order(app: &Container) {
    let began = Instant::now();
    app.docker("stop", &["-t", "10"]);
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}: {}", began.elapsed(), app.log());
    assert_eq!(app.ended(soon()).0, 0, "{}", app.log());
}

#[test]
fn as_wolf_starts_it() {
    if docker::skip() {
        return;
    }
    let wolf = &Wolf::start(1).streams[0];
    let app = wolf.app();
    wolf.shows_something(&app);
    let window = canvas(&app, 7);
    shows(&wolf.host, 1280, 720, 7);
    app.is_healthy();

    // Nobody is root, and all have the rights of one user.
    let user = wolf.uid;
    for process in app.processes() {
        assert_eq!((process.uid, process.gid), (user, user), "{process:?}");
    }
    assert_eq!(app.exec_as_user("whoami; id -gn; echo ~retro").unwrap(), "retro\nretro\n/home/retro");
    assert_eq!(fs::metadata(wolf.home()).unwrap().uid(), user);
    // What Wolf calls when a gamepad is plugged in.
    let plug =
        "mkdir -p /dev/input && mknod /dev/input/event99 c 13 163 && chmod 777 /dev/input/event99 && fake-udev -m x";
    app.exec(plug).unwrap();
    // What it calls when the stream is paused and resumed.
    app.docker("pause", &[]);
    app.docker("unpause", &[]);
    window.show(8);
    shows(&wolf.host, 1280, 720, 8);
    // To Docker one that was paused is not well until its next look.
    app.is_healthy();

    // A desktop that hangs is not well.
    let shell = app.process("gnome-shell");
    common::started::kill(shell.pid, rustix::process::Signal::STOP);
    app.is_unhealthy("gnome does not answer");
    common::started::kill(shell.pid, rustix::process::Signal::CONT);
    app.is_healthy();

    drop(window);
    stops_in_order(&app);
    every_line_says_whose_it_is(&app.log());
    assert_eq!(ends(wolf.state.path()), Vec::<PathBuf>::new());
    let changed = app.docker("diff", &[]);
    let left = changed
        .lines()
        .filter(|line| line.contains(" /tmp/") || line.contains(" /var/tmp/") || line.contains(" /root"));
    let left: Vec<_> = left.filter(|line| !line.contains(wolf::SOCKETS)).collect();
    assert_eq!(left, Vec::<&str>::new(), "{changed}");
}

/// A user that the image knows already by another name; a window that the host closes, another start, and a host that is gone.
#[test]
fn it_ends_as_the_bridge_does() {
    if docker::skip() {
        return;
    }
    let mut wolf = Wolf::start(1);
    let wolf = &mut wolf.streams[0];
    wolf.uid = 33;
    let app = wolf.app();
    wolf.shows_something(&app);
    let whose = |path: &Path| fs::metadata(path).map(|it| (it.uid(), it.gid())).unwrap();
    assert_eq!(app.process("gnome-shell").uid, 33);
    assert_eq!(whose(&wolf.home()), (33, 33));
    assert_eq!(whose(&wolf.home().join(".config")), (33, 33));

    let RealHost::Sway(sway) = &wolf.host else { unreachable!("Wolf here is a sway") };
    sway.command("[app_id=\".*\"] kill").unwrap();
    let (code, log) = app.ended(Duration::from_secs(10));
    assert_eq!(code, 0, "{log}");

    app.start_again();
    wolf.shows_something(&app);
    let RealHost::Sway(sway) = &mut wolf.host else { unreachable!("Wolf here is a sway") };
    sway.end();
    let (code, log) = app.ended(Duration::from_secs(10));
    assert_eq!(code, 3, "{log}");
}

/// With docker-compose, on a desktop's own compositor: a read-only root, hardly any rights, and everything else as the file says.
#[test]
fn without_wolf_by_the_compose_file() {
    if docker::skip() || lab::skip_unless(docker_compose(&[], &["version"], &[]).map(drop)) {
        return;
    }
    let host = RealHost::Sway(Sway::start(1280, 720));
    let user = rustix::process::getuid().as_raw().max(1000).to_string();
    // As a login makes it: the user's own, with the user's sockets.
    let runtime = tempfile::tempdir().unwrap();
    let display = runtime.path().join("wayland-7");
    fs::hard_link(host.socket(), &display).unwrap();
    for path in [runtime.path(), &display] {
        wolf::give(path, user.parse().unwrap());
    }
    let project = format!("wolf-bridge-test-{}", std::process::id());
    let runtime_dir = runtime.path().display().to_string();
    // The file as it is, but for the image of this test and the rate of its health check.
    let test = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let changes =
        json!({ "services": { "desktop": { "image": docker::image(), "healthcheck": { "interval": "1s" } } } });
    fs::write(&test, changes.to_string()).unwrap();
    let files = [file("container/compose.yaml"), test.path().to_owned()];
    let env = [
        ("COMPOSE_PROJECT_NAME", project.as_str()),
        ("XDG_RUNTIME_DIR", &runtime_dir),
        ("WAYLAND_DISPLAY", "wayland-7"),
        ("PUID", &user),
        ("PGID", &user),
    ];
    let plain = docker_compose(&files[..1], &["config"], &env).unwrap();
    assert!(plain.contains(&format!("image: {}\n", files::image())), "{plain}");
    let compose = Compose { files: &files, env: &env };
    compose.run(&["up", "-d", "--no-build"]);
    let id = compose.run(&["ps", "-q"]).lines().last().expect("a container").to_owned();
    let app = Container { id };
    app.wait("a picture in the host", soon(), || (!host.screenshot().is_uniform()).then_some(()));
    app.is_healthy();
    assert_eq!(app.state(".HostConfig.ReadonlyRootfs"), "true");
    assert!(app.exec("touch /usr/here").is_err());
    for process in app.processes() {
        assert_eq!(process.uid.to_string(), user, "{process:?}");
    }
    // What it can do at most, as the kernel says it: CHOWN, SETGID, SETUID; and what it can do: nothing.
    let status = app.exec_as_user("cat /proc/1/status").unwrap();
    assert!(status.contains("CapBnd:\t00000000000000c1\n"), "{status}");
    assert!(status.contains("CapEff:\t0000000000000000\n"), "{status}");
    stops_in_order(&app);
    every_line_says_whose_it_is(&app.log());
    assert_eq!(fs::read_dir(&runtime).unwrap().count(), 1);
}

/// What compose files start; taken down, with its volumes, when dropped.
struct Compose<'a> {
    files: &'a [PathBuf],
    env: &'a [(&'a str, &'a str)],
}

impl Compose<'_> {
    fn run(&self, args: &[&str]) -> String {
        docker_compose(self.files, args, self.env).unwrap_or_else(|error| panic!("{args:?}: {error}"))
    }
}

impl Drop for Compose<'_> {
    fn drop(&mut self) {
        let _ = docker_compose(self.files, &["down", "-v", "-t", "1"], self.env);
    }
}

fn docker_compose(files: &[PathBuf], args: &[&str], env: &[(&str, &str)]) -> Result<String, String> {
    let mut command = std::process::Command::new("docker-compose");
    for file in files {
        command.arg("-f").arg(file);
    }
    let out = command.args(args).envs(env.iter().copied()).output();
    let out = out.map_err(|error| format!("no containers here: docker-compose: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
}

/// The groups of devices that the container is given, which are the user's then too; but not root's.
#[test]
fn the_user_may_open_the_devices() {
    if docker::skip() {
        return;
    }
    // Any device will do; the image's own scripts are looked at, in the place of a desktop.
    let made = "mkdir /dev/dri && mknod -m 660 /dev/dri/renderD128 c 1 3 && chgrp 12345 /dev/dri/renderD128 \
                && mknod -m 660 /dev/dri/card0 c 1 3 && printf '#!/bin/sh\nid -G\n' >/usr/local/lib/wolf-bridge/start-gnome-headless.sh \
                && exec /usr/local/lib/wolf-bridge/entrypoint";
    let config = json!({ "Entrypoint": ["/bin/sh", "-c", made], "Env": ["PUID=1234", "PGID=1235"] });
    let app = Container::start(&format!("devices_{}", std::process::id()), &config);
    assert_eq!(app.ended(soon()), (0, "1235 12345".to_owned()));
}

/// From `docker start` to the first frame in the host, and what each process takes then; with the image that is built for tests, or `WB_IMAGE`.
#[test]
#[ignore = "a measurement, not a check: machines are noisy"]
fn figures() {
    if docker::skip() {
        return;
    }
    let mut took = Vec::new();
    for run in 0..7 {
        let wolf = Wolf::start(1);
        let stream = &wolf.streams[0];
        docker::image();
        let began = Instant::now();
        let app = stream.app();
        common::wait_for("a picture in the host", soon(), || (!stream.host.screenshot().is_uniform()).then_some(()));
        took.push(began.elapsed());
        if run == 6 {
            let window = canvas(&app, 7);
            shows(&stream.host, 1280, 720, 7);
            drop(window);
            memory(app.processes().into_iter().map(|it| (it.pid, it.args)));
        }
        stops_in_order(&app);
    }
    took.sort();
    println!("start to first frame: p50 {:.2?} of {took:.2?}", took[took.len() / 2]);
}
