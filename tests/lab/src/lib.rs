//! Real desktops and real hosts for the tests: GNOME, KWin, sway and gamescope as guests, sway and weston as hosts, each in a rootfs and namespaces of its own
//! (`scripts/enter`), and Wayland clients that look and act in them. Owns the sessions it starts and ends them; knows nothing of the bridge.
//!
//! | part | is |
//! |---|---|
//! | [`Gnome`], [`Kwin`], [`SwayGuest`], [`Gamescope`], [`Sway`], [`Weston`] | running desktops, ended by drop |
//! | [`Machine`] | a system in which nothing runs yet, ended by drop |
//! | [`SoundServer`], [`Recording`], [`tone`] | a sound server outside, and what is heard there |
//! | [`Hands`] | a mouse and a keyboard in a wlroots host |
//! | [`Canvas`] | a window that shows [`pattern()`](pattern::pattern) and remembers its input |
//! | [`Image`] | a picture of a host, and what is wrong with it |
//! | [`watch`] | waiting for what a host shows |
//!
//! Starting a desktop panics with the end of its logs when it does not start: that is what a test wants. Call [`skip`] first.

#![forbid(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

mod canvas;
mod desktops;
mod gamescope;
mod hands;
mod image;
pub mod keys;
mod machine;
mod memory;
pub mod pattern;
mod screencopy;
mod session;
mod sound;
pub mod tone;
pub mod watch;

use std::{path::PathBuf, process::Command, sync::OnceLock};

pub use canvas::{Canvas, Input, Play, Seen};
pub use desktops::{Gnome, Kwin, ON_GPU, Sway, SwayGuest, Weston};
pub use gamescope::Gamescope;
pub use hands::Hands;
pub use image::{Difference, Image};
pub use machine::{Machine, Process};
pub use session::{Session, Suite, with_libraries};
pub use sound::{Recording, SoundKind, SoundServer};

/// The folder of the checkout's scripts.
pub fn scripts() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts"))
}

/// Whether real desktops can run here: root (or sudo without a password), namespaces and a built rootfs of each suite.
///
/// # Errors
/// The reason, and what to do about it, in one line.
pub fn available() -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER.get_or_init(look).clone()
}

fn look() -> Result<(), String> {
    let mut namespaces = if rustix::process::getuid().is_root() {
        Command::new("unshare")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "unshare"]);
        sudo
    };
    let done = namespaces.args(["--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "t", "/mnt"]).output();
    match done {
        Err(error) => return Err(format!("no real desktops here: {error}")),
        Ok(out) if !out.status.success() => {
            return Err("no real desktops here: namespaces need root, or sudo without a password (run `sudo -v`, or scripts/test)".into());
        }
        Ok(_) => {}
    }
    let suites: &[Suite] = if in_vm() { &[Suite::Trixie] } else { &[Suite::Bookworm, Suite::Trixie, Suite::Forky] };
    suites.iter().try_for_each(|suite| suite.built().map(drop))
}

/// Whether this runs in the virtual machine of `scripts/vm`: with a GPU, and with GNOME 48 alone.
pub fn in_vm() -> bool {
    std::env::var_os("WB_VM").is_some()
}

/// A time limit, longer where everything is slower.
pub fn patience(limit: std::time::Duration) -> std::time::Duration {
    if in_vm() { limit * 6 } else { limit }
}

/// True when the test is to end here since no real desktop can run; says so in a line starting with `SKIP: `.
///
/// # Panics
/// In CI (`CI` is set and not empty), where skipping would hide that nothing was tested.
pub fn skip() -> bool {
    skip_unless(available())
}

/// The same of something else that is needed: what is missing, in one line.
///
/// # Panics
/// In CI, as [`skip`].
pub fn skip_unless(available: Result<(), String>) -> bool {
    let Err(reason) = available else {
        return false;
    };
    assert!(std::env::var_os("CI").is_none_or(|v| v.is_empty()), "{reason}");
    println!("SKIP: {reason}");
    true
}
