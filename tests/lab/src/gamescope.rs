//! gamescope as a guest: one or several headless ones on one PipeWire. It draws by Vulkan, here by lavapipe. Owns their session;
//! draws and types nothing itself.

use std::{
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Suite, desktops::session, session::Session};

/// Headless gamescopes, each with its own Wayland socket (`xdg_shell`, no decorations), EIS socket and PipeWire node.
#[derive(Debug)]
pub struct Gamescope {
    session: Session,
}

session!(Gamescope);

impl Gamescope {
    /// Starts so many of that size in pixels, and waits until each has started what runs in it.
    ///
    /// # Panics
    /// With its logs, when one does not start.
    pub fn start(width: u32, height: u32, count: usize) -> Self {
        Self::start_with(width, height, count, &[])
    }

    /// As [`start`](Self::start), with environment variables for `scripts/guest-gamescope`: `("WB_AGAIN", "1")`.
    ///
    /// # Panics
    /// With its logs, when one does not start.
    pub fn start_with(width: u32, height: u32, count: usize, env: &[(&str, &str)]) -> Self {
        let args = [format!("{width}x{height}"), count.to_string()];
        let session = Session::start_prepared(
            Suite::Forky,
            "guest-gamescope",
            &args.each_ref().map(String::as_str),
            env,
            prepare,
        );
        Self { session }
    }

    /// The socket for Wayland clients of this one of them, such as [`Canvas`](crate::Canvas).
    pub fn wayland_socket(&self, number: usize) -> PathBuf {
        PathBuf::from(&self.session.ready[number])
    }

    /// What this one of them has in `LIBEI_SOCKET` for what runs in it: a name in its `XDG_RUNTIME_DIR`.
    pub fn eis_socket(&self, number: usize) -> String {
        let name = self.wayland_socket(number);
        format!("{}-ei", name.file_name().expect("a socket has a name").display())
    }

    /// What X11 clients of this one need as `DISPLAY`.
    ///
    /// # Panics
    /// When it was not started.
    pub fn display(&self, number: usize) -> String {
        std::fs::read_to_string(self.told(number)).expect("it was started").trim().to_owned()
    }

    /// Whether this one has started what runs in it since the last [`forget_started`](Self::forget_started).
    pub fn started(&self, number: usize) -> bool {
        self.told(number).exists()
    }

    /// Of one that is about to be ended and started again.
    ///
    /// # Panics
    /// When it was not started.
    pub fn forget_started(&self, number: usize) {
        std::fs::remove_file(self.told(number)).expect("it was started");
    }

    /// Where what runs in it tells its display.
    fn told(&self, number: usize) -> PathBuf {
        self.wayland_socket(number).with_extension("display")
    }
}

/// lavapipe allocates by `/dev/udmabuf`: what stands for it where there is none.
fn prepare(run: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/udmabuf.c");
    let done = Command::new("cc").args(["-O1", "-shared", "-fPIC", source, "-o"]).arg(run.join("udmabuf.so")).status();
    assert!(done.as_ref().is_ok_and(|done| done.success()), "no C compiler? {done:?}");
}
