//! A fake host, a fake guest and a bridge between them: what tests of the frame path and of the window start from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fake_guest::{FakeGuest, Fill, GuestOptions, MutterOptions, Offer, Producer, ProducerOptions, coded_pixel};
use fake_host::{BufferKind, Builder, Commit, FakeHost, Request, Seen};

use super::{Bridge, Ended, SOON, wait_for};

/// DRM fourccs.
pub const XR24: u32 = u32::from_le_bytes(*b"XR24");
pub const AR24: u32 = u32::from_le_bytes(*b"AR24");

/// DRM_FORMAT_MOD_LINEAR, and two that only a GPU knows.
pub const LINEAR: u64 = 0;
pub const TILED: u64 = 0x0100_0000_0000_0002;
pub const ODD: u64 = 0x0300_0000_0060_6014;

/// Memory order blue, green, red, unused; and what that is on the screen.
pub const RED: (Fill, u32) = (Fill::Solid([0, 0, 255, 0]), 0xffff_0000);
pub const GREEN: (Fill, u32) = (Fill::Solid([0, 255, 0, 0]), 0xff00_ff00);
pub const BLUE: (Fill, u32) = (Fill::Solid([255, 0, 0, 0]), 0xff00_00ff);

pub fn wolf() -> Builder {
    FakeHost::builder().wolf()
}

/// A guest with a GPU of these modifiers.
pub fn gpu(modifiers: &[u64]) -> ProducerOptions {
    ProducerOptions { offers: Offer::gpu(modifiers), ..Default::default() }
}

/// What a pixel of a coded frame is on the screen.
pub fn coded(x: u32, y: u32, frame: u8) -> u32 {
    let [blue, green, red, _] = coded_pixel(x, y, frame);
    u32::from_be_bytes([255, red, green, blue])
}

pub struct World {
    pub host: FakeHost,
    pub guest: FakeGuest,
    pub bridge: Bridge,
}

impl World {
    /// With this stream.
    pub fn new(host: Builder, producer: ProducerOptions) -> Self {
        let mutter = MutterOptions { producer, ..Default::default() };
        Self::with(host, GuestOptions { mutter, ..Default::default() }, &[])
    }

    /// With a bridge to which the kernel's DRM is that of Linux before 6.6.
    pub fn on_an_old_kernel(host: Builder, producer: ProducerOptions) -> Self {
        let host = host.start().unwrap();
        let mutter = MutterOptions { producer, ..Default::default() };
        let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() }).unwrap();
        let bridge = Bridge::start_on_an_old_kernel(host.socket(), &guest.env());
        Self { host, guest, bridge }
    }

    /// With these arguments.
    pub fn with_args(host: Builder, args: &[&str]) -> Self {
        Self::with(host, GuestOptions::default(), args)
    }

    pub fn with(host: Builder, guest: GuestOptions, args: &[&str]) -> Self {
        let host = host.start().unwrap();
        let guest = FakeGuest::start(guest).unwrap();
        let bridge = Bridge::start(host.socket(), &guest.env(), args);
        Self { host, guest, bridge }
    }

    /// The stream of the session that runs.
    pub fn producer(&self) -> Arc<Producer> {
        self.bridge.expect(self.guest.mutter.producer(SOON))
    }

    /// Sends this until the host has got it: PipeWire may lose what is sent while formats or buffers change.
    pub fn send(&self, fill: Fill) {
        let before = self.frame_count();
        let began = Instant::now();
        loop {
            let producer = self.producer();
            self.bridge.expect(producer.streaming(SOON));
            self.bridge.expect(producer.send(fill, SOON));
            match self.host.wait(|seen| seen.frame_count() > before, Duration::from_millis(500)) {
                Err(error) if began.elapsed() > SOON => panic!("{error}"),
                Err(_) => {}
                Ok(()) => return,
            }
        }
    }

    /// Sends a colour until it is on the screen.
    pub fn show(&self, (fill, colour): (Fill, u32)) {
        wait_for("the colour", SOON, || {
            self.send(fill);
            (self.pixel() == Some(colour)).then_some(())
        });
    }

    /// Waits for a colour that was sent already.
    pub fn shows(&self, colour: u32) {
        wait_for("the colour", SOON, || (self.pixel() == Some(colour)).then_some(()));
    }

    /// A pixel that every window has.
    pub fn pixel(&self) -> Option<u32> {
        self.host.pixel(100, 100)
    }

    /// The rate's second step is done: the stream has been renegotiated for the last time.
    pub fn settle(&self) {
        self.send(Fill::Coded(0));
        self.bridge.expect(self.producer().wait(|s| s.ready().filter(|f| f.max_framerate == (1000, 1)), SOON));
    }

    /// The guest has a monitor of this size, and shows it.
    pub fn has_size(&self, width: u32, height: u32) {
        self.bridge.expect(self.producer().streaming_at((width, height), SOON));
    }

    pub fn frame_count(&self) -> usize {
        self.host.look(Seen::frame_count)
    }

    pub fn last_frame(&self) -> Commit {
        self.host.look(|seen| seen.last_frame().cloned()).expect("a frame")
    }

    /// What the newest frame is made of.
    pub fn kind(&self) -> BufferKind {
        self.last_frame().kind().expect("a buffer").clone()
    }

    /// Fourcc and modifier of the newest frame, if it is a DMA-BUF.
    pub fn modifier(&self) -> Option<(u32, u64)> {
        self.kind().dmabuf().map(|buffer| (buffer.fourcc, buffer.modifier))
    }

    /// Waits until frames come as DMA-BUFs of this pair, or not as DMA-BUFs at all.
    pub fn comes_as(&self, pair: Option<(u32, u64)>) {
        wait_for(&format!("frames as {pair:x?}"), SOON, || {
            (self.frame_count() > 0 && self.modifier() == pair).then_some(())
        });
    }

    /// What the bridge asked of its window so far.
    pub fn requests(&self) -> Vec<Request> {
        self.host.look(|seen| seen.window().expect("a window").requests.clone())
    }

    /// Waits until the host has handled all that the bridge has asked of it so far, and what the bridge made of its answers.
    pub fn heard(&self) {
        for _ in 0..2 {
            let ping = self.host.ping();
            self.bridge.expect(self.host.wait(|seen| seen.pongs.contains(&ping), SOON));
        }
    }

    /// Waits until a counter has this value.
    pub fn counts(&self, name: &str, value: i64) {
        wait_for(name, SOON, || (self.bridge.counter(name) == value).then_some(()));
    }

    /// What the bridge has open, by kind.
    pub fn open_files(&self) -> Vec<String> {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", self.bridge.pid())).expect("it runs");
        let targets = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
        // Without inode numbers, so that they compare.
        let kind = |target: std::path::PathBuf| {
            let target = target.display().to_string();
            target.split(":[").next().unwrap_or_default().to_owned()
        };
        let mut files: Vec<String> = targets.map(kind).collect();
        files.sort();
        files
    }

    /// Ends the bridge; neither side may have found anything to complain of, and no frame may have been a hole.
    pub fn end(self) -> Ended {
        // The daemon complains of a link that ends, whoever's fault that is: before.
        assert_eq!(self.producer().state().errors, Vec::<String>::new());
        // A session that ended by itself is stopped all the same.
        let errors = self.guest.mutter.state().errors().into_iter().filter(|error| !error.starts_with("Stop: "));
        assert_eq!(errors.collect::<Vec<_>>(), Vec::<String>::new());
        let ended = self.bridge.end();
        let seen = self.host.seen();
        assert_eq!(seen.oddities, Vec::<String>::new(), "{seen}");
        assert!(seen.errors.is_empty(), "{seen}");
        assert!(!ended.log.contains("panicked"), "{}", ended.log);
        let shown = seen.window_commits().skip_while(|commit| commit.buffer().is_none());
        assert!(shown.into_iter().all(|commit| commit.size.is_some()), "the window was blank: {seen}");
        ended
    }
}
