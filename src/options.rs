//! Every flag and environment variable of the program, with its default.
//! Parsing only: nothing here opens, connects or logs.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::error::Error;
use crate::guest::{Kind, Wishes};
use crate::input::layouts::Layouts;
use crate::video::rate::{FALLBACK, MaxRate};

/// What to do when the host asks the window to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnClose {
    /// End the program with exit code 0.
    Exit,
    /// Stay: Wolf makes a close request out of Ctrl+Shift+Q.
    Ignore,
}

/// How `--stats` tells its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatsFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Who draws the guest's pointer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CursorMode {
    /// The guest, into its frames; the host's is hidden over the window. The default: each frame is the whole picture. A
    /// game that locks the pointer is not noticed then
    #[default]
    Embedded,
    /// The bridge, over the window where the guest has it, on a surface of its own: moving it costs no frames, and the
    /// guest tells by it when a game has locked it (--pointer auto): the one for games. On a busy machine a frame may be
    /// missed when the pointer moves right after it, until something changes again. Where the host has no such surfaces
    /// the pointer is embedded
    Overlay,
    /// The host, with the guest's picture of it: it moves before the guest knows of it, and costs no frames. Needs
    /// a host that heeds the hotspot (older builds of Wolf do not, and all hide it 5 s after its last motion)
    Host,
    /// Nobody
    Hidden,
}

/// How the host's pointer motion goes to the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PointerMode {
    /// As places; as distances while a game has locked the guest's pointer, with the host's pointer locked where the host
    /// can. The guest tells that by its pointer, which takes --cursor overlay or host
    #[default]
    Auto,
    /// As places always: the host's pointer is never locked
    Absolute,
    /// As distances always: the host's pointer is locked while it is over the window
    Relative,
}

impl CursorMode {
    /// Whether the guest is asked to tell of its pointer beside its frames.
    pub fn is_beside(self) -> bool {
        matches!(self, Self::Overlay | Self::Host)
    }
}

/// In what memory frames may come from the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum VideoMemory {
    /// DMA-BUFs where both sides can, else shared memory.
    #[default]
    Auto,
    /// DMA-BUFs or nothing.
    Dmabuf,
    /// Shared memory; DMA-BUFs are never asked for.
    Shm,
}

/// Whose clock the guest's frames follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Pace {
    /// The host's: the guest draws its next frame when the host has taken the one before. It takes GNOME 49 and PipeWire
    /// 1.4, or newer; elsewhere, and with --monitor, it is the guest's
    Host,
    /// The guest's own
    Guest,
}

/// Whose keyboard layout counts in the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KeymapOwner {
    /// The guest's own, as set there; the host's is ignored. The default, since some hosts (Wolf) have an American
    /// keymap whatever the person's keyboard is
    #[default]
    Guest,
    /// The host's: its keymap is handed to the guest, and so is every change of it. GNOME 50 and later take the keymap
    /// itself, and forget it with the session; before, the desktop's setting of its input sources is changed, and stays
    Host,
}

/// Which way the clipboard goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ClipboardFlow {
    /// Neither
    Off,
    /// What is copied in the host can be pasted in the guest, and not the other way
    ToGuest,
    /// What is copied in the guest can be pasted in the host, and not the other way
    ToHost,
    /// Both ways
    #[default]
    Both,
}

impl ClipboardFlow {
    /// Whether the guest gets what is copied in the host.
    pub fn to_guest(self) -> bool {
        matches!(self, Self::ToGuest | Self::Both)
    }

    /// Whether the host gets what is copied in the guest.
    pub fn to_host(self) -> bool {
        matches!(self, Self::ToHost | Self::Both)
    }
}

/// A window size in logical pixels, both sides 1 to 16384.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// What the window has where the host says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Of a host that leaves it to its windows, and has no output.
    pub size: Size,
    /// Where the output has none, or an absurd one.
    pub rate: MaxRate,
}

impl Default for Fallback {
    fn default() -> Self {
        Self { size: Size { width: 1280, height: 720 }, rate: FALLBACK }
    }
}

/// The largest side of a window or stream; Mutter's virtual monitors end here too.
pub const MAX_SIDE: u32 = 16384;

const HELP_AFTER: &str = "\
Environment:
  WAYLAND_DISPLAY           the host, when --host is not given
  XDG_RUNTIME_DIR           where relative socket names are looked up
  DBUS_SESSION_BUS_ADDRESS  the guest's session bus
  PIPEWIRE_REMOTE, PIPEWIRE_RUNTIME_DIR
                            the guest's PipeWire
  LIBEI_SOCKET              gamescope's EIS socket, when --eis-socket is not given
  WOLF_BRIDGE_LOG           the same as --log

Signals:
  SIGINT, SIGTERM           end, with everything released
  SIGUSR1                   log the counters: frames, copies, buffers lent, input

Exit codes:
  0  ended as asked (the window was closed, or SIGINT/SIGTERM)
  1  an internal error
  2  a flag or its value is wrong
  3  the host cannot be reached, lacks something, or went away
  4  the guest could not be reached within --guest-timeout

Examples:
  WAYLAND_DISPLAY=wayland-1 wolf-bridge
  wolf-bridge --host /run/user/1000/wayland-1 --windowed 1600x900
  wolf-bridge --monitor Meta-0 --on-close ignore --log debug
  wolf-bridge --guest gamescope --eis-socket gamescope-0-ei
  wolf-bridge --node 41";

/// Shows a headless desktop inside another Wayland compositor and lets you use it there.
///
/// The compositor outside is the host (Wolf, or any other); the desktop inside is the guest (GNOME,
/// started as `gnome-shell --headless`). Frames come from the guest over PipeWire and are handed on
/// without a copy; input goes back over libei.
#[derive(Clone, Debug, Parser)]
#[command(name = "wolf-bridge", version, after_help = HELP_AFTER)]
pub struct Options {
    /// The host's Wayland socket: a name in XDG_RUNTIME_DIR, or an absolute path
    #[arg(long, env = "WAYLAND_DISPLAY", value_name = "NAME|PATH", hide_env_values = true, value_parser = parse_socket)]
    pub host: Option<PathBuf>,

    /// What the guest is
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub guest: Kind,

    /// The guest's Wayland socket, for input into wlroots: a name in XDG_RUNTIME_DIR, or an absolute path
    #[arg(long, value_name = "NAME|PATH", value_parser = parse_socket)]
    pub guest_socket: Option<PathBuf>,

    /// The guest's EIS socket, for input into gamescope or beside a --node: a name in XDG_RUNTIME_DIR, or an absolute path
    #[arg(long, value_name = "NAME|PATH", value_parser = parse_socket)]
    pub eis_socket: Option<PathBuf>,

    /// Show this node of the guest's PipeWire, by its name or its object.serial
    #[arg(long, value_name = "NAME|SERIAL", value_parser = parse_node)]
    pub node: Option<String>,

    /// Be a window of this size instead of asking for fullscreen
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    pub windowed: Option<Size>,

    /// Size and rate while the host says none: it leaves the size to its windows and has no output, or one without a rate
    #[arg(long, value_name = "WxH[@HZ]", default_value = "1280x720@60", value_parser = parse_fallback)]
    pub fallback: Fallback,

    /// Show this monitor of the guest instead of making one of the host's size
    #[arg(long, value_name = "CONNECTOR", value_parser = parse_name)]
    pub monitor: Option<String>,

    /// The refresh rate to ask of the guest in Hz, such as 59.94, instead of the host's
    #[arg(long, value_name = "HZ", value_parser = parse_refresh, allow_negative_numbers = true)]
    pub refresh: Option<MaxRate>,

    /// Whose clock the guest's frames follow
    #[arg(long, value_name = "WHOSE", default_value = "host")]
    pub pace: Pace,

    /// Who draws the pointer
    #[arg(long, value_name = "WHO", default_value = "embedded")]
    pub cursor: CursorMode,

    /// Whose keyboard layout counts in the guest
    #[arg(long, value_name = "WHOSE", default_value = "guest")]
    pub keymap: KeymapOwner,

    /// Give the guest these keyboard layouts, by XKB's names: de, or us:intl,de:nodeadkeys (as --keymap host does it)
    #[arg(long, value_name = "LAYOUT[:VARIANT][,…]", conflicts_with = "keymap")]
    pub layout: Option<Layouts>,

    /// Ask the host to leave its shortcuts (Alt+Tab, Super …) to the guest while the window has the keyboard
    #[arg(long)]
    pub grab: bool,
    /// How pointer motion goes to the guest: as places, as distances, or as it needs
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub pointer: PointerMode,

    /// What memory to ask frames in: DMA-BUFs of the GPU, shared memory, or the former where both sides can
    #[arg(long, value_name = "MEMORY", default_value = "auto")]
    pub video: VideoMemory,

    /// Which way what is copied can be pasted
    #[arg(long, value_name = "WAY", default_value = "both")]
    pub clipboard: ClipboardFlow,

    /// The most bytes that one paste carries, such as 4096, 512K, 64M or 1G; one that has more is cut there
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = parse_bytes)]
    pub clipboard_limit: u64,

    /// What to do when the host asks the window to close
    #[arg(long, value_name = "WHAT", default_value = "exit")]
    pub on_close: OnClose,

    /// How long to wait for the guest, at the start and when it is lost (0: for ever)
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds, allow_negative_numbers = true)]
    pub guest_timeout: Duration,

    /// Tell rates, latencies and counts every few seconds: as text, or a JSON object a line
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub stats: Option<StatsFormat>,

    /// How long a period of --stats is
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_period, allow_negative_numbers = true)]
    pub stats_period: Duration,

    /// Append what --stats tells to this file, instead of stderr
    #[arg(long, value_name = "PATH", requires = "stats")]
    pub stats_file: Option<PathBuf>,

    /// Print which GPU the host draws on, and end: its render node, such as /dev/dri/renderD128, any (it does not say), or none
    #[arg(long)]
    pub print_gpu: bool,

    /// What to log: error, warn, info, debug, trace, or a filter such as wolf_bridge::video=trace
    #[arg(long, env = "WOLF_BRIDGE_LOG", value_name = "FILTER", default_value = "info", hide_env_values = true)]
    pub log: String,
}

impl Options {
    /// Reads the command line and the environment. Asked for help or the version, it prints that and ends
    /// the program.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line.
    pub fn read() -> Result<Self, Error> {
        let options = Self::try_parse().map_err(|error| {
            if !error.use_stderr() {
                error.exit();
            }
            Error::Usage(one_line(&error.to_string()))
        })?;
        match options.contradiction() {
            Some(why) => Err(Error::Usage(format!("{why}; see wolf-bridge --help"))),
            None => Ok(options),
        }
    }

    /// What makes no sense together: no kind of guest has use for all of it, or one lacks what it needs.
    fn contradiction(&self) -> Option<String> {
        use Kind::{Auto, Gamescope, Mutter, Node, Portal, Wlroots};
        let mut possible = match self.guest {
            Auto => vec![Mutter, Portal, Wlroots, Gamescope, Node],
            kind => vec![kind],
        };
        let mut said = if self.guest == Auto { Vec::new() } else { vec![format!("--guest {}", self.guest)] };
        for (flag, is_given, kinds) in [
            ("--guest-socket", self.guest_socket.is_some(), &[Wlroots][..]),
            ("--node", self.node.is_some(), &[Node, Gamescope]),
            ("--eis-socket", self.eis_socket.is_some(), &[Node, Gamescope]),
            ("--monitor", self.monitor.is_some(), &[Mutter, Portal, Wlroots]),
        ] {
            if is_given {
                possible.retain(|kind| kinds.contains(kind));
                if possible.is_empty() {
                    return Some(format!("{flag} means nothing with {}; leave one of them out", said.join(" ")));
                }
                said.push(flag.to_owned());
            }
        }
        match self.guest {
            Node if self.node.is_none() => Some("--guest node needs --node NAME|SERIAL".to_owned()),
            Wlroots if self.guest_socket.is_none() => Some("--guest wlroots needs --guest-socket NAME|PATH".to_owned()),
            _ => None,
        }
    }

    /// What is wished of the guest.
    pub fn wishes(&self) -> Wishes {
        Wishes {
            monitor: self.monitor.clone(),
            cursor: self.cursor,
            clipboard: self.clipboard != ClipboardFlow::Off,
            socket: self.guest_socket.clone(),
            eis: self.eis_socket.clone(),
            node: self.node.clone(),
        }
    }

    /// The rate to ask of the guest on a host with this refresh (mHz).
    pub fn refresh(&self, host: u32) -> MaxRate {
        self.refresh.unwrap_or(MaxRate(host))
    }

    /// The time limit for the guest; `None` waits for ever.
    pub fn guest_limit(&self) -> Option<Duration> {
        (!self.guest_timeout.is_zero()).then_some(self.guest_timeout)
    }
}

/// The parser's complaint without its paragraphs about usage.
fn one_line(complaint: &str) -> String {
    let lines = complaint.lines().map(str::trim).take_while(|line| !line.is_empty());
    let complaint = lines.collect::<Vec<_>>().join(" ");
    format!("{}; see wolf-bridge --help", complaint.trim_start_matches("error: "))
}

fn parse_socket(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("is empty; name a socket such as wayland-1, or give its absolute path".into());
    }
    if text.contains('\0') {
        return Err("contains a NUL byte".into());
    }
    let path = PathBuf::from(text);
    if path.is_relative() && path.components().count() > 1 {
        return Err("is a relative path; give a socket name or an absolute path".into());
    }
    Ok(path)
}

fn parse_node(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("is not a node's name or serial; pw-cli ls Node lists them".into());
    }
    Ok(text.to_owned())
}

fn parse_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("is not a connector's name such as HDMI-1 or Meta-0".into());
    }
    Ok(text.to_owned())
}

fn parse_size(text: &str) -> Result<Size, String> {
    let wrong = || format!("is not a size: write WIDTHxHEIGHT, each 1 to {MAX_SIDE}, such as 1280x720");
    let (width, height) = text.split_once('x').ok_or_else(wrong)?;
    let side = |digits: &str| -> Option<u32> {
        // A sign or a space would parse or be trimmed elsewhere; only digits are meant.
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok().filter(|side| (1..=MAX_SIDE).contains(side))
    };
    match (side(width), side(height)) {
        (Some(width), Some(height)) => Ok(Size { width, height }),
        _ => Err(wrong()),
    }
}

fn parse_fallback(text: &str) -> Result<Fallback, String> {
    let (size, rate) = text.split_once('@').map_or((text, None), |(size, rate)| (size, Some(rate)));
    let rate = rate.map_or(Ok(Fallback::default().rate), parse_refresh)?;
    Ok(Fallback { size: parse_size(size)?, rate })
}

fn parse_refresh(text: &str) -> Result<MaxRate, String> {
    let millihertz = text.parse::<f64>().ok().map(|hertz| (hertz * 1000.0).round()).filter(|it| it.is_finite());
    // Casts saturate, so that what is too much stays so.
    let rate = millihertz.map(|it| it as u32).filter(|it| MaxRate::BOUNDS.contains(it));
    rate.map(MaxRate).ok_or_else(|| "is not a rate in Hz from 1 to 1000, such as 60 or 59.94".into())
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || "is not a number of bytes from 1 on, such as 4096, 512K, 64M or 1G".to_owned();
    let units = [("K", 10), ("M", 20), ("G", 30)];
    let scaled = units.into_iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)));
    let (digits, shift) = scaled.unwrap_or((text, 0));
    // A sign would parse too.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let bytes = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(1 << shift));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| *duration <= Duration::from_secs(86_400))
        .ok_or_else(|| "is not a number of seconds from 0 to 86400".into())
}

fn parse_period(text: &str) -> Result<Duration, String> {
    let wrong = "is not a number of seconds from 0.1 to 86400";
    parse_seconds(text).ok().filter(|period| *period >= Duration::from_millis(100)).ok_or_else(|| wrong.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn only_real_sizes_are_taken() {
        assert_eq!(parse_size("1280x720"), Ok(Size { width: 1280, height: 720 }));
        for wrong in ["0x0", "1e9x1", "16385x1", "x", "1280", "-1x5", "+1x5", " 1x1", "1x1x1", "4294967297x1"] {
            assert!(parse_size(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn a_fallback_is_a_size_and_perhaps_a_rate() {
        let size = Size { width: 1600, height: 900 };
        assert_eq!(parse_fallback("1600x900@120"), Ok(Fallback { size, rate: MaxRate(120_000) }));
        assert_eq!(parse_fallback("1600x900"), Ok(Fallback { size, rate: MaxRate(60_000) }));
        for wrong in ["", "@60", "1600x900@", "1600x900@0", "1600x900@foo", "0x0@60", "1600@60", "1600x900@60@60"] {
            assert!(parse_fallback(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_absolute_path() {
        assert!(parse_socket("wayland-1").is_ok());
        assert!(parse_socket("/run/user/0/wayland-1").is_ok());
        assert!(parse_socket("").is_err());
        assert!(parse_socket("a/b").is_err());
        assert!(parse_socket("a\0b").is_err());
    }

    #[test]
    fn rates_are_those_of_screens() {
        for (text, millihertz) in
            [("60", 60_000), ("59.94", 59_940), ("143.9999", 144_000), ("1", 1_000), ("1e3", 1_000_000)]
        {
            assert_eq!(parse_refresh(text), Ok(MaxRate(millihertz)), "{text}");
        }
        for wrong in ["0", "-60", "nan", "inf", "-inf", "0.5", "1000.1", "1e99", "fast", ""] {
            assert!(parse_refresh(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn periods_are_long_enough_to_be_some() {
        assert_eq!(parse_period("0.1"), Ok(Duration::from_millis(100)));
        for wrong in ["0", "0.01", "-1", "nan", "often"] {
            assert!(parse_period(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn bytes_go_by_their_units() {
        for (text, bytes) in [("1", 1), ("512K", 512 << 10), ("64M", 64 << 20), ("1G", 1 << 30)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "0", "0M", "-1", "+1", "1.5G", "64MB", "M", "64m", "99999999999G", "much"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn seconds_are_bounded() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["-1", "nan", "inf", "1e99", "soon"] {
            assert!(parse_seconds(wrong).is_err(), "{wrong} was taken");
        }
    }
}
