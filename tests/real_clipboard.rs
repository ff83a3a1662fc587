//! The clipboard between real desktops: what wl-copy takes in one, wl-paste finds in the other, byte for byte.
//! Needs the rootfs of scripts/rootfs, and wl-clipboard.

mod common;

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use common::desktops::soon;
use common::pipes::{all, has, noise};
use common::{Bridge, wait_for};
use fake_host::{FakeHost, SelectionOwner};
use lab::{Canvas, Gnome, Suite, Sway};

/// An application that has copied something. It ends as if it crashed.
struct Owner {
    child: Child,
    /// Where wl-copy keeps what it has, and leaves it when it crashes.
    buffer: PathBuf,
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.buffer);
    }
}

/// Where wl-copy processes keep what they have.
fn buffers() -> HashSet<PathBuf> {
    let all = std::fs::read_dir("/tmp").into_iter().flatten().flatten().map(|entry| entry.path());
    all.filter(|path| path.to_string_lossy().starts_with("/tmp/wl-copy-buffer-")).collect()
}

fn client(program: &str, socket: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("WAYLAND_DISPLAY", socket)
        .env("XDG_RUNTIME_DIR", socket.parent().expect("a folder"));
    command.env("PATH", "/usr/bin:/bin");
    command
}

/// Copies this; it can be pasted as long as the answer lives.
fn copy(socket: &Path, mime: &str, content: &[u8]) -> Owner {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(content).expect("room");
    file.rewind().expect("a file");
    let mut command = client("wl-copy", socket, &["--foreground", "--type", mime]);
    // One at a time, so that its buffer can be told from others'.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    let before = buffers();
    let child = command.stdin(file).stdout(Stdio::null()).spawn().expect("wl-clipboard is installed");
    let buffer = wait_for("wl-copy's buffer", soon(), || buffers().difference(&before).next().cloned());
    Owner { child, buffer }
}

/// What can be pasted there now.
fn paste(socket: &Path, mime: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("pasted");
    let mut command = client("timeout", socket, &["20", "wl-paste", "--no-newline", "--type", mime]);
    let out = File::create(&path).expect("a file");
    let _ = command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(out).status();
    std::fs::read(path).expect("a file")
}

fn types(socket: &Path) -> Vec<String> {
    let out = client("timeout", socket, &["20", "wl-paste", "--list-types"]).output().expect("it runs");
    String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect()
}

/// Pastes until this comes.
fn finds(socket: &Path, mime: &str, content: &[u8]) {
    let mut last = Vec::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("the paste", 2 * soon(), || {
            last = paste(socket, mime);
            (last == content).then_some(())
        });
    }));
    assert!(found.is_ok(), "pasted {} bytes and not {}; types {:?}", last.len(), content.len(), types(socket));
}

const TEXT: &str = "text/plain;charset=utf-8";
const PNG: &str = "image/png";

fn between_sway_and_gnome(suite: Suite) {
    if lab::skip() {
        return;
    }
    let host = Sway::start(1280, 720);
    // A seat without a keyboard has no focus, and so nobody may set a selection.
    let mut hands = host.hands();
    let gnome = Gnome::start_with(suite, &[("WB_ANIMATIONS", "0")]);
    let bridge = Bridge::start(&host.socket(), &gnome.env(), &["--log", "debug,zbus=info"]);
    wait_for("a picture in the host", soon(), || (!host.screenshot().is_uniform()).then_some(()));
    let (host, guest) = (host.socket(), gnome.wayland_socket());
    let canvas = Canvas::open(&guest, 7);
    bridge.expect(canvas.wait(soon(), |seen| seen.keyboard.then_some(())));

    let png = picture();
    for (mime, content) in [(TEXT, "grüße".as_bytes()), (PNG, png.as_slice()), (TEXT, b"x"), (PNG, &noise(8 << 20))] {
        let _owner = copy(&host, mime, content);
        finds(&guest, mime, content);
    }
    for (mime, content) in [(TEXT, "ñandú".as_bytes()), (PNG, png.as_slice()), (TEXT, b"y"), (PNG, &noise(8 << 20))] {
        let _owner = copy(&guest, mime, content);
        is_announced(&host, &mut hands);
        finds(&host, mime, content);
        let _owner = copy(&host, TEXT, b"between");
        finds(&guest, TEXT, b"between");
    }

    // An owner that dies leaves its text with GNOME, which offers it from then on.
    let owner = copy(&guest, TEXT, b"kept");
    is_announced(&host, &mut hands);
    drop(owner);
    wait_for("the announcement of what is kept", soon(), || (types(&host).len() == 3).then_some(()));
    finds(&host, "UTF8_STRING", b"kept");
    let ended = bridge.end();
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
    assert!(!ended.log.contains(" WARN "), "{}", ended.log);
}

/// The guest's clipboard is the host's.
fn is_announced(host: &Path, hands: &mut lab::Hands) {
    wait_for("the announcement", soon(), || {
        // Sway has a selection that is newer than its last input event: a person would have pressed keys to copy.
        hands.type_text("c");
        types(host).iter().any(|it| it.starts_with("application/x-wolf-bridge-")).then_some(())
    });
}

/// A picture as an application would copy it.
fn picture() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.png");
    lab::Image::pattern(300, 200, 3).save(&path).expect("a picture");
    std::fs::read(path).expect("a picture")
}

/// As large as the limit, and a byte more, with a host as strict as Wolf's.
#[test]
fn gnome_48_and_wolf_at_the_limit() {
    if lab::skip() {
        return;
    }
    let host = FakeHost::builder().wolf().start().expect("a host");
    let gnome = Gnome::start_with(Suite::Trixie, &[("WB_ANIMATIONS", "0")]);
    let bridge = Bridge::start(host.socket(), &gnome.env(), &[]);
    bridge.expect(host.wait(|seen| seen.shown(), soon()));
    let guest = gnome.wayland_socket();
    let canvas = Canvas::open(&guest, 7);
    bridge.expect(canvas.wait(soon(), |seen| seen.keyboard.then_some(())));
    let owned = |seen: &fake_host::Seen| matches!(&seen.selection_owner, SelectionOwner::Client(mimes) if mimes.contains(&PNG.into()));

    const LIMIT: usize = 64 << 20;
    for size in [1, LIMIT, LIMIT + 1] {
        let content = noise(size);
        let passed = &content[..size.min(LIMIT)];
        host.clipboard().copy(&[(PNG, has(content.clone()))]);
        finds(&guest, PNG, passed);
        let _owner = copy(&guest, PNG, &content);
        bridge.expect(host.wait(owned, soon()));
        let paste = host.clipboard().paste(PNG).expect("the bridge owns the host's selection");
        assert!(all(paste, soon()) == passed, "{size} bytes");
    }
    let ended = bridge.end();
    assert_eq!(host.seen().oddities, Vec::<String>::new());
    // In each direction, and perhaps once more: GNOME's clipboard manager reads pictures too.
    let cut = ended.log.lines().filter(|line| line.contains(" WARN ")).count();
    assert_eq!(cut, ended.log.matches("--clipboard-limit allows no more").count(), "{}", ended.log);
    assert!(cut >= 2, "{}", ended.log);
}

#[test]
fn gnome_50_and_sway() {
    between_sway_and_gnome(Suite::Forky);
}

#[test]
fn gnome_48_and_sway() {
    between_sway_and_gnome(Suite::Trixie);
}

#[test]
fn gnome_43_and_sway() {
    between_sway_and_gnome(Suite::Bookworm);
}
