//! Counters of one run, told at debug level while running, on SIGUSR1, and at the end.

use std::fmt;
use std::time::Duration;

use crate::clock;
use crate::stats::histograms::Latencies;
use crate::video::frame::{Frame, Negotiated};

/// How frames travel from the guest to the host at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// No frame has come yet.
    #[default]
    None,
    /// The DMA-BUF itself is handed on.
    DmaBuf,
    /// The guest's shared memory is handed on.
    MemFd,
    /// Pixels are copied once.
    Copy,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::DmaBuf => "dmabuf",
            Self::MemFd => "memfd",
            Self::Copy => "copy",
        })
    }
}

/// Who waits for the guest's drawing to be done, and the guest for the host's reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SyncKind {
    /// The kernel, where the memory's drivers do so; shared memory needs none.
    #[default]
    Implicit,
    /// The bridge: frames are held until they are drawn, and their release is signalled from here.
    Waited,
    /// The host: it is handed the guest's timelines.
    Explicit,
}

impl fmt::Display for SyncKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Implicit => "implicit",
            Self::Waited => "waited",
            Self::Explicit => "explicit",
        })
    }
}

/// The counters; all counts are totals since the start.
#[derive(Debug)]
pub struct Stats {
    /// The path in use, and why it is not a better one.
    pub path: Path,
    /// Why the path is what it is, in a few words.
    pub why: &'static str,
    /// Format, modifier and size of the frame committed last.
    pub negotiated: Option<Negotiated>,
    /// How both sides are kept from the same memory at the same time.
    pub sync: SyncKind,
    /// Frames with pixels received from the guest.
    pub frames_in: u64,
    /// Frames committed to the host.
    pub committed: u64,
    /// Frames given back unshown: overtaken, refused or bad.
    pub dropped: u64,
    /// Of those, frames whose memory did not fit what they claimed.
    pub bad_frames: u64,
    /// Buffers that carried metadata only.
    pub empty: u64,
    /// Bytes of pixels copied by the bridge.
    pub copied_bytes: u64,
    /// Guest buffers that the host holds now.
    pub lent: u32,
    /// The most guest buffers the host held at once.
    pub lent_max: u32,
    /// wl_buffers made from guest buffers.
    pub imports: u64,
    /// Frames the host reported as shown (wp_presentation); it is asked only with `--stats`.
    pub presented: u64,
    /// Input events received from the host, frames and enters left out.
    pub input_events: u64,
    /// Input events handed to the guest.
    pub input_sent: u64,
    /// Sessions made with a guest.
    pub sessions: u64,
    /// From the first frame received to the first commit.
    pub first_frame_to_commit: Option<Duration>,
    /// How long each stage takes, when asked for.
    pub latencies: Latencies,
    pub(super) first_frame: Option<i64>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            path: Path::None,
            why: "no frame yet",
            negotiated: None,
            sync: SyncKind::Implicit,
            frames_in: 0,
            committed: 0,
            dropped: 0,
            bad_frames: 0,
            empty: 0,
            copied_bytes: 0,
            lent: 0,
            lent_max: 0,
            imports: 0,
            presented: 0,
            input_events: 0,
            input_sent: 0,
            sessions: 0,
            first_frame_to_commit: None,
            latencies: Latencies::default(),
            first_frame: None,
        }
    }
}

impl Stats {
    /// Counts a frame with pixels, received at this time (CLOCK_MONOTONIC, ns).
    pub fn frame_received(&mut self, at: i64) {
        self.frames_in += 1;
        self.first_frame.get_or_insert(at);
    }

    /// Counts a commit with new pixels, the host's commit `number`; true for the very first.
    pub fn frame_committed(&mut self, number: u64, frame: &Frame) -> bool {
        self.committed += 1;
        self.negotiated = Some(frame.negotiated);
        let first = self.first_frame_to_commit.is_none();
        if first || self.latencies.are_kept() {
            let now = clock::now();
            self.latencies.committed(number, frame.pts, frame.received, now);
            let since = |from: i64| Duration::from_nanos(u64::try_from(now - from).unwrap_or(0));
            self.first_frame_to_commit = self.first_frame_to_commit.or(self.first_frame.map(since));
        }
        first
    }

    /// The host's commit `number` was on the screen, at this time if it says so (CLOCK_MONOTONIC, ns).
    pub fn frame_presented(&mut self, number: u64, at: Option<i64>) {
        self.presented += 1;
        if let Some(at) = at {
            self.latencies.presented(number, at);
        }
    }

    /// So many guest buffers are with the host now.
    pub fn lent_now(&mut self, count: usize) {
        self.lent = count as u32;
        self.lent_max = self.lent_max.max(self.lent);
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "path={} ({}) sync={} frames_in={} committed={} dropped={} bad={} empty={} copied_bytes={} lent={} lent_max={} \
             imports={} presented={} input_events={} input_sent={} sessions={} first_frame_to_commit_us={}",
            self.path,
            self.why,
            self.sync,
            self.frames_in,
            self.committed,
            self.dropped,
            self.bad_frames,
            self.empty,
            self.copied_bytes,
            self.lent,
            self.lent_max,
            self.imports,
            self.presented,
            self.input_events,
            self.input_sent,
            self.sessions,
            self.first_frame_to_commit.map_or(-1, |time| time.as_micros().min(i64::MAX as u128) as i64),
        )
    }
}
