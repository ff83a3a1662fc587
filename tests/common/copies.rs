//! Applications that copy and paste, by wl-clipboard.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use super::desktops::soon;
use super::wait_for;

/// An application that has copied something. It ends as if it crashed.
pub struct Owner {
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

impl Owner {
    /// Whether nobody has taken its place.
    pub fn is_owner(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// Where wl-copy processes keep what they have.
fn buffers() -> HashSet<PathBuf> {
    let all = std::fs::read_dir("/tmp").into_iter().flatten().flatten().map(|entry| entry.path());
    all.filter(|path| path.to_string_lossy().starts_with("/tmp/wl-copy-buffer-")).collect()
}

/// A program of wl-clipboard, or any other, as a client of that compositor.
pub fn client(program: &str, socket: &Path, args: &[&str]) -> Command {
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
pub fn copy(socket: &Path, mime: &str, content: &[u8]) -> Owner {
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
pub fn paste(socket: &Path, mime: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("pasted");
    let mut command = client("timeout", socket, &["20", "wl-paste", "--no-newline", "--type", mime]);
    let out = File::create(&path).expect("a file");
    let _ = command.stdin(Stdio::null()).stderr(Stdio::null()).stdout(out).status();
    std::fs::read(path).expect("a file")
}

/// The types of what can be pasted there now.
pub fn types(socket: &Path) -> Vec<String> {
    let out = client("timeout", socket, &["20", "wl-paste", "--list-types"]).output().expect("it runs");
    String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect()
}

/// Pastes until this comes.
pub fn finds(socket: &Path, mime: &str, content: &[u8]) {
    let mut last = Vec::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("the paste", 2 * soon(), || {
            last = paste(socket, mime);
            (last == content).then_some(())
        });
    }));
    assert!(found.is_ok(), "pasted {} bytes and not {}; types {:?}", last.len(), content.len(), types(socket));
}
