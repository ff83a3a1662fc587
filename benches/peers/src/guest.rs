//! What is shown to a peer: the frames of a producer that draws nothing but the time, or a real GNOME with an animated window.
//! Knows how to tell from a few bytes of a shown frame when that frame was made.

use std::collections::HashMap;
use std::error::Error;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_guest::{FakeGuest, GuestOptions, Linker, MutterOptions, PipeWireDaemon, Producer, read_time_code};
use lab::{Canvas, Gnome, Kwin, Suite, SwayGuest, pattern};
use tempfile::TempDir;

use crate::case::{Case, Frames, Source};
use crate::cast::Cast;
use crate::peer::Peer;

/// The bytes of a shown frame that are looked at.
pub type Code = [u8; 16];

/// The first of the pixels that are looked at in a window: away from what may lie in its corner.
const LOOK_AT: (u32, u32) = (320, 200);

/// A window has the monitor's size by then, or it opened too soon.
const SETTLED: Duration = Duration::from_secs(3);

/// A running guest; all of it ends when dropped.
pub struct Guest {
    size: (u32, u32),
    kind: Kind,
}

/// In each, the parts are in the order they have to end in.
enum Kind {
    /// The bridge's: Mutter's calls are answered by a fake, which makes the stream.
    Fake {
        producer: Option<Arc<Producer>>,
        rate: f64,
        guest: FakeGuest,
    },
    /// A stream alone, for those who are told where it is.
    Stream {
        producer: Arc<Producer>,
        rate: f64,
        daemon: PipeWireDaemon,
        _dir: TempDir,
    },
    Desktop {
        canvas: Option<Canvas>,
        cast: Option<Cast>,
        desktop: Desktop,
    },
}

/// A real one.
pub enum Desktop {
    Gnome(Gnome),
    Sway(SwayGuest),
    Kwin(Kwin),
}

impl Desktop {
    /// What its clients have in their environment.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Gnome(gnome) => gnome.env(),
            Self::Sway(sway) => sway.env(),
            Self::Kwin(kwin) => kwin.env(),
        }
    }

    /// The socket for its Wayland clients.
    pub fn wayland_socket(&self) -> PathBuf {
        match self {
            Self::Gnome(gnome) => gnome.wayland_socket(),
            Self::Sway(sway) => sway.socket(),
            Self::Kwin(kwin) => kwin.wayland_socket(),
        }
    }

    /// All its logs.
    pub fn log(&self) -> String {
        match self {
            Self::Gnome(gnome) => gnome.log(),
            Self::Sway(sway) => sway.log(),
            Self::Kwin(kwin) => kwin.log(),
        }
    }

    /// The namespace in which a program has to be whom its portal is to talk to.
    pub fn processes(&self) -> Option<File> {
        match self {
            Self::Gnome(_) => None,
            Self::Sway(sway) => Some(sway.processes()),
            Self::Kwin(kwin) => Some(kwin.processes()),
        }
    }

    /// What the bridge has to be told of it.
    pub fn bridge_args(&self) -> Vec<String> {
        match self {
            Self::Gnome(_) => Vec::new(),
            Self::Sway(sway) => ["--guest", "wlroots", "--guest-socket"]
                .map(String::from)
                .into_iter()
                .chain([sway.socket().display().to_string()])
                .collect(),
            Self::Kwin(_) => ["--guest", "portal"].map(String::from).into(),
        }
    }
}

impl Guest {
    /// Starts the guest that this peer needs in this case.
    ///
    /// # Errors
    /// What did not start.
    pub fn start(case: &Case, peer: Peer) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let kind = match case.source {
            Source::Frames(frames) => Self::frames(frames, case.size, peer)?,
            Source::Gnome(suite) => Self::gnome(suite, peer)?,
            Source::Sway => Self::desktop(Desktop::Sway(SwayGuest::start(case.size.0, case.size.1))),
            Source::Kwin => Self::desktop(Desktop::Kwin(Kwin::start(case.size.0, case.size.1))),
        };
        Ok(Self { size: case.size, kind })
    }

    fn frames(frames: Frames, size: (u32, u32), peer: Peer) -> Result<Kind, Box<dyn Error + Send + Sync>> {
        let rate = frames.rate;
        Ok(match peer {
            Peer::Bridge => {
                let mutter = MutterOptions { producer: frames.stream(size, false), ..Default::default() };
                let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() })?;
                Kind::Fake { producer: None, rate, guest }
            }
            Peer::Gst { .. } => {
                let dir = tempfile::tempdir()?;
                let daemon = PipeWireDaemon::start(dir.path(), Linker::Auto)?;
                let producer = Arc::new(Producer::start(&daemon.socket(), frames.stream(size, true))?);
                Kind::Stream { producer, rate, daemon, _dir: dir }
            }
            Peer::Devkit => return Err("Mutter's viewer shows nothing but Mutter".into()),
        })
    }

    fn desktop(desktop: Desktop) -> Kind {
        Kind::Desktop { canvas: None, cast: None, desktop }
    }

    fn gnome(suite: Suite, peer: Peer) -> Result<Kind, Box<dyn Error + Send + Sync>> {
        let mode = if peer == Peer::Devkit { "--devkit" } else { "--headless" };
        let gnome = Gnome::start_with(suite, &[("WB_ANIMATIONS", "0"), ("WB_SHELL_MODE", mode)]);
        let cast = matches!(peer, Peer::Gst { .. }).then(|| Cast::start(&gnome.bus())).transpose()?;
        Ok(Kind::Desktop { canvas: None, cast, desktop: Desktop::Gnome(gnome) })
    }

    /// What a peer needs in its environment to find the guest.
    pub fn env(&self) -> Vec<(String, String)> {
        match &self.kind {
            Kind::Fake { guest, .. } => guest.env(),
            Kind::Stream { daemon, .. } => {
                let dir = daemon.runtime_dir().display().to_string();
                ["PIPEWIRE_RUNTIME_DIR", "XDG_RUNTIME_DIR"].map(|name| (name.to_owned(), dir.clone())).into()
            }
            Kind::Desktop { desktop, .. } => {
                desktop.env().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }
        }
    }

    /// The stream's node, for those who have to be told.
    ///
    /// # Errors
    /// There is none.
    pub fn node(&self, timeout: Duration) -> Result<u32, String> {
        match &self.kind {
            Kind::Stream { producer, .. } => producer.node_id(timeout),
            Kind::Desktop { cast: Some(cast), .. } => Ok(cast.node),
            _ => Err("this guest waits to be asked for a stream".into()),
        }
    }

    /// The desktop, if it is a real one.
    pub fn real(&self) -> Option<&Desktop> {
        if let Kind::Desktop { desktop, .. } = &self.kind { Some(desktop) } else { None }
    }

    /// GNOME, if it is one.
    pub fn gnome_mut(&mut self) -> Option<&mut Gnome> {
        if let Kind::Desktop { desktop: Desktop::Gnome(gnome), .. } = &mut self.kind { Some(gnome) } else { None }
    }

    /// Waits until the peer takes frames, and begins to send them.
    ///
    /// # Errors
    /// It takes none.
    pub fn begin(&mut self, timeout: Duration) -> Result<(), String> {
        let size = self.size;
        let tick = |producer: &Producer, rate| {
            producer.streaming_at(size, timeout)?;
            producer.tick(rate);
            Ok(())
        };
        match &mut self.kind {
            Kind::Fake { producer, rate, guest } => tick(producer.insert(guest.mutter.producer(timeout)?), *rate),
            Kind::Stream { producer, rate, .. } => tick(producer, *rate),
            Kind::Desktop { canvas, desktop, .. } => {
                let began = Instant::now();
                loop {
                    drop(canvas.take());
                    let window = canvas.insert(Canvas::open(&desktop.wayland_socket(), 1));
                    // As high as the monitor: that of a viewer with a title bar is less than the host's.
                    let there = |seen: &lab::Seen| (seen.fullscreen && seen.size.0 == size.0).then_some(());
                    match window.wait(lab::patience(SETTLED), there) {
                        Ok(()) => break window.animate(true),
                        // It opened while the monitor still changed, or before there was one.
                        Err(why) if began.elapsed() > timeout => return Err(why),
                        Err(_) => {}
                    }
                }
                Ok(())
            }
        }
    }

    /// Frames or pictures made so far.
    pub fn made(&self) -> u64 {
        match &self.kind {
            Kind::Fake { producer, .. } => producer.as_ref().map_or(0, |producer| producer.state().sent),
            Kind::Stream { producer, .. } => producer.state().sent,
            Kind::Desktop { canvas, .. } => canvas.as_ref().map_or(0, |canvas| canvas.seen().drawn),
        }
    }

    /// Where the bytes that tell a frame's time are: the pixel, and how many bytes that is from the first one on, in rows
    /// without padding.
    pub fn look_at(case: &Case) -> ((u32, u32), u64) {
        let (x, y) = if case.needs_desktop() { LOOK_AT } else { (0, 0) };
        ((x, y), u64::from(y * case.size.0 + x) * 4)
    }

    /// The names that the guest's own memory has among files: what a peer commits under another one is a copy.
    pub fn is_own(&self, file: &str) -> bool {
        let own = match &self.kind {
            Kind::Desktop { desktop: Desktop::Sway(_), .. } => "xdpw",
            Kind::Desktop { .. } => "mutter",
            _ => "fake-guest",
        };
        file.contains(own) || file.starts_with("/dmabuf")
    }

    /// Tells when the frame with these bytes was made, CLOCK_MONOTONIC in ns: its pts, or when the window handed the picture
    /// to GNOME.
    pub fn clock(&self) -> impl Fn(&Code) -> Option<i64> + use<> {
        let drawn = match &self.kind {
            Kind::Desktop { canvas: Some(canvas), .. } => {
                let times: HashMap<u32, i64> = canvas.times().into_iter().collect();
                Some((self.size.1.saturating_sub(canvas.seen().size.1), times))
            }
            Kind::Desktop { .. } => Some((0, HashMap::new())),
            _ => None,
        };
        move |code| {
            let Some((above, times)) = &drawn else { return read_time_code(code) };
            let mut seeds = code.chunks_exact(4).zip(LOOK_AT.0..).map(|(pixel, x)| {
                let pixel = u32::from_le_bytes([pixel[0], pixel[1], pixel[2], pixel[3]]);
                pattern::seed_at(pixel, x, LOOK_AT.1 - above)
            });
            let seed = seeds.next().filter(|seed| seeds.all(|it| it == *seed))?;
            times.get(&seed).copied()
        }
    }

    /// The guest's logs, where it has any.
    pub fn log(&self) -> String {
        if let Some(desktop) = self.real() { desktop.log() } else { String::new() }
    }

    /// Puts the host's socket and a folder of programs where a desktop in namespaces of its own sees them; gives both places.
    ///
    /// # Errors
    /// They cannot be put there.
    pub fn hand_in(gnome: &Gnome, host: &std::path::Path, folder: &std::path::Path) -> Result<[PathBuf; 2], String> {
        let [socket, programs] = ["host", "programs"].map(|name| gnome.dir().join(name));
        fs::hard_link(host, &socket).map_err(|error| format!("the host's socket: {error}"))?;
        let copied = std::process::Command::new("cp").arg("-a").args([folder, &programs]).status();
        match copied {
            Ok(status) if status.success() => Ok([socket, programs]),
            other => Err(format!("{} cannot be copied: {other:?}", folder.display())),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        match &self.kind {
            Kind::Fake { producer: Some(producer), .. } | Kind::Stream { producer, .. } => producer.stop(),
            _ => {}
        }
    }
}
