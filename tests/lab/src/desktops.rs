//! GNOME and sway as guests, sway and weston as hosts: what a test asks of a running desktop. Owns their sessions; draws and types nothing itself.

use std::{
    fmt::Write as _,
    io::{self, Read, Write},
    ops::{Deref, DerefMut},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{Hands, Image, Suite, screencopy, session::Session};

/// How long a host may take to show a new size.
const RESIZE: Duration = Duration::from_secs(10);

/// The environment in which sway and weston render on the GPU of the virtual machine; GNOME does by itself.
pub const ON_GPU: &[(&str, &str)] =
    &[("WLR_RENDERER", "gles2"), ("WLR_RENDER_DRM_DEVICE", "/dev/dri/renderD128"), ("WB_WESTON_RENDERER", "gl")];

/// A headless GNOME Shell without monitors: a cast makes the only one.
#[derive(Debug)]
pub struct Gnome {
    session: Session,
}

impl Gnome {
    /// Starts it, and waits until its screencast and input interfaces answer.
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn start(suite: Suite) -> Self {
        Self::start_with(suite, &[])
    }

    /// As [`start`](Self::start), with environment variables for `scripts/guest-gnome`:
    /// `("WB_ANIMATIONS", "0")`, `("GNOME_ARGS", "--virtual-monitor 1280x720")`, `("MUTTER_DEBUG", …)`.
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn start_with(suite: Suite, env: &[(&str, &str)]) -> Self {
        Gnome { session: Session::start(suite, "guest-gnome", &[], env) }
    }

    /// The address of its session bus.
    pub fn bus(&self) -> String {
        format!("unix:path={}/bus", self.dir().display())
    }

    /// The socket for its Wayland clients, such as [`Canvas`](crate::Canvas).
    pub fn wayland_socket(&self) -> PathBuf {
        self.dir().join("wayland-0")
    }

    /// Calls a method on its session bus with the machine's `gdbus`: destination, path, method, arguments in GVariant's text format.
    ///
    /// # Errors
    /// What gdbus said.
    pub fn call(&self, destination: &str, path: &str, method: &str, args: &[&str]) -> Result<String, String> {
        let out = Command::new("gdbus")
            .args([
                "call",
                "--session",
                "--timeout",
                "20",
                "--dest",
                destination,
                "--object-path",
                path,
                "--method",
                method,
                "--",
            ])
            .args(args)
            .env("DBUS_SESSION_BUS_ADDRESS", self.bus())
            .output()
            .map_err(|error| format!("gdbus: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) }
    }

    /// Gives its only monitor this scale, until the session ends or the monitor is another one.
    ///
    /// # Errors
    /// What Mutter said.
    pub fn scale(&self, scale: f64) -> Result<(), String> {
        const DISPLAYS: &str = "org.gnome.Mutter.DisplayConfig";
        let call = |method: &str, args: &[&str]| {
            self.call(DISPLAYS, "/org/gnome/Mutter/DisplayConfig", &format!("{DISPLAYS}.{method}"), args)
        };
        let state = call("GetCurrentState", &[])?;
        let after = |text: &str| state.split_once(text).map(|(_, rest)| rest).ok_or_else(|| state.clone());
        let serial = after("uint32 ")?.split(',').next().unwrap_or_default();
        let connector = after("((\'")?.split('\'').next().unwrap_or_default();
        let mode = after("[(\'")?.split('\'').next().unwrap_or_default();
        let monitors = format!("[(0, 0, {scale}, uint32 0, true, [('{connector}', '{mode}', @a{{sv}} {{}})])]");
        // 1: until the session ends.
        call("ApplyMonitorsConfig", &[serial, "1", &monitors, "@a{sv} {}"]).map(drop)
    }
}

/// They are sessions.
macro_rules! session {
    ($($desktop:ty),*) => {
        $(
            impl Deref for $desktop {
                type Target = Session;

                fn deref(&self) -> &Session {
                    &self.session
                }
            }

            impl DerefMut for $desktop {
                fn deref_mut(&mut self) -> &mut Session {
                    &mut self.session
                }
            }
        )*
    };
}
session!(Gnome, Kwin, Sway, Weston);
pub(crate) use session;

/// Headless sway as a guest: a [`Sway`] with a session bus, PipeWire and a screencast portal that records its output.
#[derive(Debug)]
pub struct SwayGuest(Sway);

impl SwayGuest {
    /// Starts it with an output of that size in pixels, and waits until its portal answers.
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn start(width: u32, height: u32) -> Self {
        Self::start_with(width, height, &[])
    }

    /// As [`start`](Self::start), with environment variables for `scripts/guest-sway`: `("WB_AGAIN", "1")`, `WB_SHOWN`,
    /// `WB_CHOOSER`, `WLR_*`.
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn start_with(width: u32, height: u32, env: &[(&str, &str)]) -> Self {
        Self(Sway { session: Session::start(Suite::Forky, "guest-sway", &[&format!("{width}x{height}")], env) })
    }
}

impl Deref for SwayGuest {
    type Target = Sway;

    fn deref(&self) -> &Sway {
        &self.0
    }
}

impl DerefMut for SwayGuest {
    fn deref_mut(&mut self) -> &mut Sway {
        &mut self.0
    }
}

/// A headless KWin with one virtual output, and KDE's portal, which asks nobody. It draws by OpenGL or records nothing, and
/// so takes a GPU: that of the virtual machine.
#[derive(Debug)]
pub struct Kwin {
    session: Session,
}

impl Kwin {
    /// Starts it with an output of that size in pixels, and waits until its portal answers.
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn start(width: u32, height: u32) -> Self {
        Self::start_with(width, height, &[])
    }

    /// As [`start`](Self::start), with environment variables for `scripts/guest-kwin`: `("WB_GRANTED", "0")`, `WB_OUTPUTS`.
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn start_with(width: u32, height: u32, env: &[(&str, &str)]) -> Self {
        Kwin { session: Session::start(Suite::Trixie, "guest-kwin", &[&format!("{width}x{height}")], env) }
    }

    /// The socket for its Wayland clients, such as [`Canvas`](crate::Canvas).
    pub fn wayland_socket(&self) -> PathBuf {
        self.session.dir().join("wayland-0")
    }
}

/// Headless sway with one output, which its only window fills.
#[derive(Debug)]
pub struct Sway {
    session: Session,
}

impl Sway {
    /// Starts it with an output of that size in pixels, at 60 Hz.
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn start(width: u32, height: u32) -> Self {
        Self::start_with(width, height, &[])
    }

    /// As [`start`](Self::start), with environment variables for sway (`WLR_*`, `WAYLAND_DEBUG`).
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn start_with(width: u32, height: u32, env: &[(&str, &str)]) -> Self {
        Sway { session: Session::start(Suite::Trixie, "host-sway", &[&format!("{width}x{height}")], env) }
    }

    /// The socket for its Wayland clients.
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(&self.session.ready[0])
    }

    /// Gives the output another size, and waits until it has it.
    ///
    /// # Panics
    /// When sway refuses.
    pub fn resize(&self, width: u32, height: u32) {
        self.set_mode(width, height, 60);
    }

    /// Gives the output another size (pixels) and refresh (Hz), and waits until it has them.
    ///
    /// # Panics
    /// When sway refuses.
    pub fn set_mode(&self, width: u32, height: u32, hz: u32) {
        resize(self.dir(), width, height, hz);
    }

    /// Runs a sway command, such as `[app_id=x] kill`.
    ///
    /// # Errors
    /// Sway's answer, when that is not success.
    pub fn command(&self, command: &str) -> Result<(), String> {
        run_command(self.dir(), command)
    }

    /// Sway's answer (JSON) to `get_tree`.
    ///
    /// # Errors
    /// When sway does not answer.
    pub fn tree(&self) -> io::Result<String> {
        ipc(self.dir(), GET_TREE, "")
    }

    /// What the output shows, without the cursor.
    ///
    /// # Panics
    /// When sway does not deliver.
    pub fn screenshot(&self) -> Image {
        screencopy::capture(&self.socket())
            .unwrap_or_else(|error| panic!("no screenshot of sway: {error}\n{}", self.log()))
    }

    /// A mouse and a keyboard in it.
    ///
    /// # Panics
    /// When sway refuses.
    pub fn hands(&self) -> Hands {
        self.hands_of(0)
    }

    /// A mouse and a keyboard of another seat, plugged in until dropped; `seat NAME fallback` as a command makes one.
    ///
    /// # Panics
    /// When sway refuses.
    pub fn hands_of(&self, seat: usize) -> Hands {
        Hands::connect_to(&self.socket(), seat).unwrap_or_else(|error| panic!("no hands in sway: {error}"))
    }
}

/// Weston with the kiosk shell, as a window of a headless sway: so it has a seat with [`Hands`], and sway takes its picture.
#[derive(Debug)]
pub struct Weston {
    session: Session,
    /// Where weston's output lies in sway's.
    origin: (u32, u32),
    /// What weston's window frame adds to its output's size.
    frame: (u32, u32),
}

impl Weston {
    /// Starts it with an output of that size in pixels.
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn start(width: u32, height: u32) -> Self {
        Self::start_with(width, height, &[])
    }

    /// As [`start`](Self::start), with environment variables for `scripts/host-weston`: [`ON_GPU`].
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn start_with(width: u32, height: u32, env: &[(&str, &str)]) -> Self {
        let session = Session::start(Suite::Trixie, "host-weston", &[&format!("{width}x{height}")], env);
        let number =
            |index: usize| -> u32 { session.ready[index].parse().expect("host-weston says where its output lies") };
        let origin = (number(2), number(3));
        let outer = screencopy::capture(Path::new(&session.ready[1])).expect("a screenshot of the sway around weston");
        let frame = (outer.width - width, outer.height - height);
        Weston { session, origin, frame }
    }

    /// The socket for its Wayland clients.
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(&self.session.ready[0])
    }

    /// Gives its output another size in pixels; clients hear of it soon after.
    ///
    /// # Panics
    /// When the sway around it refuses.
    pub fn resize(&self, width: u32, height: u32) {
        resize(self.session.dir(), width + self.frame.0, height + self.frame.1, 60);
    }

    /// What its output shows, without the cursor.
    ///
    /// # Panics
    /// When the sway around it does not deliver.
    pub fn screenshot(&self) -> Image {
        let outer = screencopy::capture(self.outer())
            .unwrap_or_else(|error| panic!("no screenshot of weston: {error}\n{}", self.log()));
        outer.region(self.origin.0, self.origin.1, outer.width - self.frame.0, outer.height - self.frame.1)
    }

    /// A mouse and a keyboard in it.
    ///
    /// # Panics
    /// When the sway around it refuses.
    pub fn hands(&self) -> Hands {
        let hands = Hands::connect(self.outer()).unwrap_or_else(|error| panic!("no hands in weston: {error}"));
        hands.with_origin(f64::from(self.origin.0), f64::from(self.origin.1))
    }

    fn outer(&self) -> &Path {
        Path::new(&self.session.ready[1])
    }
}

// sway's socket: sway-ipc(7)
const RUN_COMMAND: u32 = 0;
const GET_OUTPUTS: u32 = 3;
const GET_TREE: u32 = 4;
const MAGIC: &[u8; 6] = b"i3-ipc";

fn ipc(dir: &Path, kind: u32, payload: &str) -> io::Result<String> {
    let mut socket = UnixStream::connect(dir.join("sway.sock"))?;
    socket.set_read_timeout(Some(crate::patience(RESIZE)))?;
    let length = u32::try_from(payload.len()).expect("a short payload");
    let mut message = MAGIC.to_vec();
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(payload.as_bytes());
    socket.write_all(&message)?;
    let mut header = [0; 14];
    socket.read_exact(&mut header)?;
    let length = u32::from_ne_bytes([header[6], header[7], header[8], header[9]]);
    let mut body = vec![0; length as usize];
    socket.read_exact(&mut body)?;
    String::from_utf8(body).map_err(io::Error::other)
}

fn run_command(dir: &Path, command: &str) -> Result<(), String> {
    let answer = ipc(dir, RUN_COMMAND, command).map_err(|error| format!("sway: {error}"))?;
    if answer.replace(' ', "").contains("\"success\":false") {
        Err(format!("sway refuses `{command}`: {answer}"))
    } else {
        Ok(())
    }
}

fn resize(dir: &Path, width: u32, height: u32, hz: u32) {
    run_command(dir, &format!("output HEADLESS-1 mode --custom {width}x{height}@{hz}Hz"))
        .unwrap_or_else(|error| panic!("{error}"));
    let mut wanted = String::new();
    let _ = write!(wanted, "\"current_mode\":{{\"width\":{width},\"height\":{height},\"refresh\":{}", hz * 1000);
    let began = Instant::now();
    loop {
        let outputs = ipc(dir, GET_OUTPUTS, "").unwrap_or_else(|error| panic!("sway: {error}"));
        if outputs.split_whitespace().collect::<String>().contains(&wanted) {
            return;
        }
        assert!(
            began.elapsed() < crate::patience(RESIZE),
            "sway's output did not become {width}x{height}@{hz}: {outputs}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}
