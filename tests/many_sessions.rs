//! `scripts/sessions`: several desktops at once, each in a host of its own, and what is left of them. Needs the rootfs of scripts/rootfs.

mod common;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::desktops::soon;
use common::started::kill;
use common::wait_for;
use lab::Sway;
use rustix::process::Signal;

/// The kind of desktop that they are.
const GUEST: &str = "sway";

/// One at a time: a run is known by the folder that is new.
static ALONE: Mutex<()> = Mutex::new(());

fn sessions(args: &[&str]) -> Command {
    // Whatever starts tests in the background has them ignore SIGINT, which a shell cannot undo.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,QUIT").arg(lab::scripts().join("sessions")).args(args);
    command.env("WB_BRIDGE", env!("CARGO_BIN_EXE_wolf-bridge")).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The folders of all that run now, on this machine.
fn folders() -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir("/tmp").into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.to_string_lossy().starts_with("/tmp/wb-many.")).collect()
}

/// Every process with this folder in its arguments or its environment.
fn processes(folder: &Path) -> Vec<String> {
    let names = |file: PathBuf| {
        let text = std::fs::read(file).unwrap_or_default();
        String::from_utf8_lossy(&text).contains(&*folder.to_string_lossy())
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let of_it = all.filter(|it| names(it.join("cmdline")) || names(it.join("environ")));
    of_it.filter_map(|it| std::fs::read_to_string(it.join("comm")).ok()).collect()
}

/// Reads lines until this one is among them.
fn lines_until(child: &mut Child, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.as_mut().expect("a pipe")).lines() {
        lines.push(line.expect("text"));
        if lines[lines.len() - 1].contains(last) {
            return lines;
        }
    }
    let mut errors = String::new();
    let _ = std::io::Read::read_to_string(child.stderr.as_mut().expect("a pipe"), &mut errors);
    panic!("no {last:?} in {lines:?}\n{errors}");
}

#[test]
fn a_few_at_once_show_their_frames_and_leave_nothing() {
    if lab::skip() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let host = Sway::start(1280, 720);
    let before = folders();
    let socket = host.socket();
    let socket = socket.to_str().expect("a plain path");
    let mut child = sessions(&["2", "--guest", GUEST, "--host", socket, "--measure", "1"]).spawn().expect("it runs");
    let lines = lines_until(&mut child, "all 2 run");
    for number in 1..=2 {
        let count =
            |text: &str| lines.iter().filter(|line| line.starts_with(&format!("session {number}: {text}"))).count();
        assert_eq!(count("first frame after "), 1, "{lines:#?}");
        assert_eq!(count(""), 2, "{lines:#?}");
    }
    for part in ["wolf-bridge", "wireplumber", "pipewire-pulse"] {
        let with =
            lines.iter().filter(|line| line.split_whitespace().next() == Some(part) && line.contains(" MB ")).count();
        assert_eq!(with, 2, "{part}: {lines:#?}");
    }
    wait_for("a picture in the given host", soon(), || (!host.screenshot().is_uniform()).then_some(()));
    let folder = folders().difference(&before).next().cloned().expect("its folder");
    assert!(processes(&folder).len() > 20, "{:?}", processes(&folder));

    kill(child.id(), Signal::INT);
    let Output { status, stderr, .. } = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(!folder.exists(), "{stderr}");
    wait_for("the end of all its processes", Duration::from_secs(5), || processes(&folder).is_empty().then_some(()));
}

#[test]
fn when_one_ends_all_do() {
    if lab::skip() {
        return;
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut host = Sway::start(1280, 720);
    let before = folders();
    let socket = host.socket();
    let socket = socket.to_str().expect("a plain path");
    let mut child = sessions(&["2", "--guest", GUEST, "--host", socket, "--measure", "1"]).spawn().expect("it runs");
    lines_until(&mut child, "all 2 run");
    let folder = folders().difference(&before).next().cloned().expect("its folder");
    host.end();
    let Output { status, stderr, .. } = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("sessions: session 1 ended: bridge: "), "{stderr}");
    assert!(!folder.exists(), "{stderr}");
    wait_for("the end of all its processes", Duration::from_secs(5), || processes(&folder).is_empty().then_some(()));
}

#[test]
fn what_makes_no_sense_is_told_before_anything_starts() {
    for args in
        [&[][..], &["0"], &["two"], &["1", "2"], &["1", "--guest", "win"], &["1", "--size", "0x1"], &["1", "--host"]]
    {
        let output = sessions(args).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("usage: sessions N"), "{args:?}");
    }
}
