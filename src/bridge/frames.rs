//! Frames from the guest to the window: connecting the stream, offering formats and sizes, and the way
//! of each frame through the mailbox to a commit or back.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::bridge::Bridge;
use crate::bridge::devices::exporter;
use crate::bridge::sync::Drawing;
use crate::host::buffers::{CopyReason, Pixels, Prepared};
use crate::host::size::WindowSize;
use crate::options::{CursorMode, Pace, VideoMemory};
use crate::stats::Path;
use crate::video::frame::{BufferId, Frame, Kind, Negotiated};
use crate::video::mailbox::{Fate, MAX_UNANSWERED, Mailbox, Return, Taken};
use crate::video::meta::{Damage, Transform};
use crate::video::negotiation::{Negotiation, Offer};
use crate::video::pace::Pacer;
use crate::video::pods::StreamSize;
use crate::video::rate::RateStep;
use crate::video::resize::Debounce;
use crate::video::stream::{VideoEvent, VideoStream, Wishes};

/// Session managers link within milliseconds; after this long there is none.
const LINK_PATIENCE: Duration = Duration::from_millis(1500);

/// A stream that has no format after this long will not get one.
const FORMAT_PATIENCE: Duration = Duration::from_secs(8);

/// Hosts answer for a DMA-BUF within milliseconds; after this long it is asked whether it will at all.
const IMPORT_PATIENCE: Duration = Duration::from_secs(1);

/// A host that answers no commit for so long may be hidden, or never answer at all: it is shown a new frame now and
/// then, so that what it has is never older than this.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// Hosts release a buffer soon after it was replaced; one that has them all for so long stops the guest.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

/// Where the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Nobody has linked it yet.
    Missing {
        /// Since when.
        since: Instant,
    },
    /// We did it ourselves.
    ByHand {
        /// Since when the stream exists.
        since: Instant,
    },
    /// It has a format.
    Settled,
}

struct Connected {
    stream: VideoStream,
    link: Link,
    asked: StreamSize,
    step: RateStep,
    /// What the guest was offered last, and whether it has not settled on any of it yet.
    offers: Vec<Offer>,
    unsettled: bool,
}

/// The frame path's state.
#[derive(Default)]
pub struct Frames {
    video: Option<Connected>,
    pub(super) mailbox: Mailbox<Frame>,
    /// Frames that come before the mailbox, or have passed it.
    pub(super) drawing: Drawing,
    negotiation: Negotiation,
    window: Option<WindowSize>,
    resizing: Debounce,
    /// Since when frames have waited for the host to answer for a DMA-BUF.
    importing: Option<Instant>,
    /// Since when a frame has waited for the host to answer a commit.
    stalled: Option<Instant>,
    /// Since when the host has had every buffer of the guest.
    starved: Option<Instant>,
    /// What the stream settled on, until it brings a frame.
    new_format: Option<Negotiated>,
    /// The guest has a single buffer: one that the host keeps would be its last.
    only_buffer: bool,
    /// What the last commit was of and how it went; another one has nothing in common with it.
    shown: Option<(Negotiated, Path)>,
    /// What changed in frames that were not shown, since the last commit.
    pub(super) unshown: Damage,
    /// The frame on the screen is cropped or turned.
    placed: bool,
    said_bad: bool,
    said_copy: bool,
    said_stalled: bool,
    said_starved: bool,
    pub(super) said_pace: bool,
    pub(super) pacer: Pacer,
}

impl Frames {
    /// No stream yet; the ones to come have frames in this memory.
    pub fn new(memory: VideoMemory) -> Self {
        Self { negotiation: Negotiation::new(memory), ..Self::default() }
    }

    /// The next thing that happened on the stream.
    pub fn next_event(&self) -> Option<VideoEvent> {
        self.video.as_ref()?.stream.next_event()
    }

    /// PipeWire's descriptor, to be watched for reading while there is a stream.
    pub fn loop_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.video.as_ref()?.stream.loop_fd())
    }

    /// Runs what PipeWire has to do, without waiting.
    pub fn iterate(&self) {
        if let Some(video) = &self.video {
            video.stream.iterate();
        }
    }

    /// Whether the guest draws when it is triggered, and not by itself.
    pub fn is_driving(&self) -> bool {
        self.video.as_ref().is_some_and(|video| video.stream.is_driving())
    }

    /// Lets the guest draw once.
    pub fn trigger(&self) {
        if let Some(video) = &self.video {
            video.stream.trigger();
        }
    }

    /// Whether the host has said how large the window is.
    pub fn has_window(&self) -> bool {
        self.window.is_some()
    }

    /// The stream of the session that there is.
    pub(super) fn stream(&self) -> Option<&VideoStream> {
        self.video.as_ref().map(|video| &video.stream)
    }

    /// When [`Bridge::check_resize`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let link = self.video.as_ref().and_then(|video| match video.link {
            Link::Missing { since } => Some(since + LINK_PATIENCE),
            Link::ByHand { since } => Some(since + FORMAT_PATIENCE),
            Link::Settled => None,
        });
        let import = self.importing.map(|since| since + IMPORT_PATIENCE);
        let stalled = self.stalled.map(|since| since + ANSWER_PATIENCE);
        let starved = self.starved.map(|since| since + RELEASE_PATIENCE);
        let drawing = self.drawing.deadline();
        let pace = self.pacer.deadline(self.mailbox.is_open());
        let waits = [link, import, stalled, starved, drawing, pace, self.resizing.deadline()];
        waits.into_iter().flatten().min()
    }
}

impl Bridge {
    /// Connects the stream as soon as there are both a session and a size to ask for.
    pub(super) fn connect_video(&mut self) {
        let (Some(session), Some(window), None) = (self.guest.session(), self.frames.window, &self.frames.video) else {
            return;
        };
        let asked =
            if session.resizable { StreamSize::Fixed(window.pixels.0, window.pixels.1) } else { StreamSize::Any };
        self.frames.negotiation.forgive(Instant::now());
        let offers = self.frames.negotiation.offers(&self.host_formats());
        if offers.is_empty() {
            return self.nothing_to_offer();
        }
        let sync = self.sync_device();
        let cursor = self.options.cursor == CursorMode::Host;
        let wishes = Wishes {
            size: asked,
            rate: self.options.refresh(window.refresh),
            cursor,
            sync,
            drive: self.options.pace == Pace::Host,
        };
        match VideoStream::connect(None, session.node, &offers, wishes) {
            Ok(stream) => {
                let link = Link::Missing { since: Instant::now() };
                let step = RateStep::Refresh;
                let unsettled = true;
                self.frames.video = Some(Connected { stream, link, asked, step, offers, unsettled });
            }
            Err(error) => self.lose_session(&error.to_string()),
        }
    }

    /// There is nothing that may be asked of the guest, or it has nothing of it.
    fn nothing_to_offer(&mut self) {
        let why = self.frames.negotiation.why_not_dmabuf(&self.host_formats());
        self.lose_session(&format!("no frames: {why}, and --video dmabuf asks for nothing else; leave that out"));
    }

    /// Takes the stream down; the picture stays.
    pub(super) fn disconnect_video(&mut self) {
        self.frames.pacer.set_driving(false, Instant::now());
        if let Some(video) = self.frames.video.take() {
            // Memory that only the stream has dies with it; a waiting frame with files of its own is still shown.
            drop(video);
            self.frames.new_format = None;
            self.keep_drawn();
            self.frames.mailbox.remove_all();
            self.frames.unshown = Damage::Whole;
            self.drop_waiting_if(|frame| frame.kind() == Some(Kind::MemPtr));
            let mailbox = &self.frames.mailbox;
            self.host.forget_unless(|id| mailbox.holds(id));
        }
    }

    /// The stream failed. One that does so again and again before its first frame has the wrong kind of buffers.
    pub(super) fn stream_lost(&mut self, why: &str) {
        if let Some(Negotiated { format, modifier: Some(modifier), .. }) = self.frames.new_format {
            if self.frames.negotiation.failed_early(format, modifier, Instant::now()) {
                info!(?format, modifier = %format!("{modifier:#x}"), "streams with this kind of dmabuf fail before their first frame; offering without it");
            }
        }
        let never_settled = self.frames.video.as_ref().is_some_and(|video| video.link != Link::Settled);
        if never_settled && self.frames.negotiation.is_dmabuf_only() {
            debug!(why, "the stream failed");
            return self.nothing_to_offer();
        }
        self.lose_session(why);
    }

    pub(super) fn window_resized(&mut self, size: WindowSize) {
        debug!(?size, "window size");
        self.input.set_window(size.logical.0, size.logical.1);
        let first = self.frames.window.replace(size).is_none();
        self.frames.pacer.set_rate(self.options.refresh(size.refresh));
        if first {
            self.connect_video();
            self.commit_waiting();
        } else {
            self.frames.resizing.changed(Instant::now());
        }
    }

    /// What time brings to the stream: a size that has settled, a DMA-BUF that the host says nothing about, a link
    /// that nobody made.
    pub(super) fn check_resize(&mut self, now: Instant) {
        if self.frames.resizing.take(now) {
            self.ask_for_window_size();
        }
        self.check_pace(now);
        if self.frames.importing.is_some_and(|since| now >= since + IMPORT_PATIENCE) {
            self.frames.importing = None;
            if let Some(frame) = self.frames.mailbox.waiting() {
                self.host.doubt_import(frame.buffer);
            }
        }
        if self.frames.stalled.is_some_and(|since| now >= since + ANSWER_PATIENCE) {
            self.frames.stalled = None;
            // One that does not even release what was replaced is frozen: it would only take the guest's last buffers.
            let kept = self.frames.mailbox.lent().max(self.host.kept_copies());
            if self.frames.mailbox.waiting().is_some() && kept <= MAX_UNANSWERED as usize {
                if !std::mem::replace(&mut self.frames.said_stalled, true) {
                    info!("the host answers no frame; showing it a new one every {} s", ANSWER_PATIENCE.as_secs());
                }
                self.frames.mailbox.forgive();
                self.commit_waiting();
            }
        }
        if self.frames.starved.is_some_and(|since| now >= since + RELEASE_PATIENCE) {
            self.frames.starved = None;
            if !std::mem::replace(&mut self.frames.said_starved, true) {
                let count = self.frames.mailbox.lent();
                info!("the host has all {count} buffers of the guest; the picture stands still until it releases one");
            }
        }
        let Some(video) = &mut self.frames.video else { return };
        match video.link {
            Link::Missing { since } if now >= since + LINK_PATIENCE => {
                info!("no session manager linked the stream; linking it by hand");
                video.link = Link::ByHand { since };
                if let Err(error) = video.stream.link_by_hand() {
                    self.lose_session(&format!("nobody links the guest's stream, and PipeWire refused to ({error}); start wireplumber in the guest's session"));
                }
            }
            Link::ByHand { since } if now >= since + FORMAT_PATIENCE => {
                self.lose_session("the guest's stream got no format; start wireplumber in the guest's session");
            }
            _ => {}
        }
    }

    fn ask_for_window_size(&mut self) {
        let resizable = self.guest.session().is_some_and(|session| session.resizable);
        let (Some(window), Some(video), true) = (self.frames.window, &mut self.frames.video, resizable) else { return };
        let asked = StreamSize::Fixed(window.pixels.0, window.pixels.1);
        if video.asked != asked {
            video.asked = asked;
            video.step = RateStep::Refresh;
            self.frames.negotiation.forgive(Instant::now());
            self.offer_again("the window has another size");
        }
    }

    /// Offers formats again, for the size that was last asked for.
    pub(super) fn offer_again(&mut self, why: &str) {
        let host = self.host_formats();
        let (Some(video), Some(window)) = (&mut self.frames.video, self.frames.window) else { return };
        let rate = video.step.offered(self.options.refresh(window.refresh));
        let offers = self.frames.negotiation.offers(&host);
        debug!(why, asked = ?video.asked, ?rate, offers = offers.len(), "offering formats");
        if offers.is_empty() {
            return self.nothing_to_offer();
        }
        video.stream.offer(&offers, video.asked, rate);
        video.offers = offers;
        video.unsettled = true;
    }

    /// Offers formats again if they are others than the last time.
    pub(super) fn offer_changes(&mut self, why: &str) {
        let offers = self.frames.negotiation.offers(&self.host_formats());
        if self.frames.video.as_ref().is_some_and(|video| video.offers != offers) {
            self.offer_again(why);
        }
    }

    pub(super) fn host_formats_changed(&mut self) {
        self.frames.negotiation.forget();
        self.offer_changes("the host's formats changed");
    }

    pub(super) fn format_settled(&mut self, negotiated: Negotiated) {
        debug!(?negotiated, "the guest's format");
        self.input.set_stream(negotiated.width, negotiated.height);
        self.frames.new_format = Some(negotiated);
        let Some(video) = &mut self.frames.video else { return };
        video.link = Link::Settled;
        // A guest that renegotiates by itself has other buffers now: maybe ones that the host does take.
        if !std::mem::take(&mut video.unsettled) && self.frames.negotiation.forgive(Instant::now()) {
            self.offer_changes("the guest has other buffers");
        }
    }

    pub(super) fn frame_arrived(&mut self, mut frame: Frame) {
        self.stats.frame_received(frame.received);
        self.guest.is_here();
        if self.frames.new_format.take().is_some() {
            self.frames.negotiation.carried();
            // All buffers are there by now.
            self.frames.only_buffer = self.frames.video.as_ref().is_some_and(|video| video.stream.pool_size() == 1);
            self.input.stream_shown();
        }
        let size = (frame.negotiated.width, frame.negotiated.height);
        let in_pixels = self.guest.session().is_some_and(|session| session.damage_in_pixels);
        if !in_pixels && !self.input.is_unscaled(size) {
            frame.metas.damage = Damage::Whole;
        }
        self.frame_to_draw(frame);
    }

    /// The newest frame that can be shown.
    pub(super) fn put_frame(&mut self, frame: Frame) {
        let id = frame.buffer;
        self.frames.pacer.arrived(Instant::now());
        if let Some((overtaken, fate)) = self.frames.mailbox.put(id, frame) {
            self.stats.dropped += 1;
            self.frames.unshown.add(&overtaken.metas.damage);
            // Its release point comes before its buffer.
            drop(overtaken);
            self.settle(fate);
        }
        if self.frames.stream().is_none_or(|stream| !stream.has_buffer(id)) {
            let fate = self.frames.mailbox.remove(id);
            self.settle(fate);
        }
        self.commit_waiting();
    }

    /// A buffer came without pixels. With the pointer beside the frames that is how it moves; else a frame was lost.
    pub(super) fn empty_arrived(&mut self) {
        self.stats.empty += 1;
        self.frames.pacer.arrived(Instant::now());
        if self.options.cursor != CursorMode::Host {
            self.frames.drawing.missed(&Damage::Whole);
        }
    }

    /// Does what the mailbox says of a buffer.
    pub(super) fn settle(&mut self, fate: Fate) {
        match fate {
            Fate::Keep => {}
            Fate::GiveBack(id) => {
                if let Some(video) = &self.frames.video {
                    video.stream.give_back(id);
                }
            }
            Fate::Forget(id) => self.host.forget(id),
        }
    }

    /// A frame will not be shown.
    fn drop_frame(&mut self, taken: Taken<Frame>) {
        let (frame, fate) = self.frames.mailbox.discard(taken);
        self.stats.dropped += 1;
        self.frames.unshown.add(&frame.metas.damage);
        drop(frame);
        self.settle(fate);
    }

    /// The waiting frame will not be shown if `which` says so.
    pub(super) fn drop_waiting_if(&mut self, which: impl FnOnce(&Frame) -> bool) {
        if let Some(taken) = self.frames.mailbox.take_if(which) {
            self.drop_frame(taken);
        }
    }

    /// Moves the waiting frame on, if it can.
    pub(super) fn commit_waiting(&mut self) {
        if self.host.window().is_none_or(|window| !window.can_show()) {
            return;
        }
        let Some(frame) = self.frames.mailbox.waiting() else { return };
        if !self.frames.mailbox.is_open() {
            self.frames.stalled.get_or_insert_with(Instant::now);
            return;
        }
        let mut prepared = self.host.prepare(frame);
        if prepared == Prepared::Pending {
            self.frames.importing.get_or_insert_with(Instant::now);
            return;
        }
        self.frames.importing = None;
        if prepared == Prepared::Ready && self.frames.only_buffer && frame.kind() != Some(Kind::DmaBuf) {
            prepared = Prepared::MustCopy(CopyReason::OnlyBuffer);
        }
        let Some(taken) = self.frames.mailbox.take_if(|_| true) else { return };
        let frame = taken.frame();
        let path = match (&prepared, frame.kind()) {
            (Prepared::MustCopy(_), _) => Path::Copy,
            (_, Some(Kind::DmaBuf)) => Path::DmaBuf,
            _ => Path::MemFd,
        };
        let mut damage = frame.metas.damage;
        match self.frames.shown {
            Some(shown) if shown == (frame.negotiated, path) => damage.add(&self.frames.unshown),
            _ => damage = Damage::Whole,
        }
        let back = if prepared == Prepared::Ready { self.host.commit(frame, &damage) } else { None };
        match prepared {
            Prepared::Ready if back.is_some() => {
                let why = match path {
                    Path::DmaBuf => "nothing is copied",
                    // Found out once, not for every frame.
                    _ if self.stats.path == Path::MemFd => self.stats.why,
                    _ => self.frames.negotiation.why_not_dmabuf(&self.host_formats()),
                };
                self.committed(taken, back.unwrap_or(Return::OnRelease), path, why);
                self.spare_only_buffer(path);
                return;
            }
            Prepared::MustCopy(reason) => {
                if self.commit_copy(frame, &damage, reason) {
                    self.committed(taken, Return::Copied, Path::Copy, reason.text());
                    return;
                }
                if !std::mem::replace(&mut self.frames.said_bad, true) {
                    warn!(
                        "a frame of the guest cannot be copied ({}); not shown, the last good one stays",
                        reason.text()
                    );
                }
            }
            Prepared::Refused => self.refused(frame.negotiated, exporter(frame).as_deref()),
            Prepared::Unlisted => debug!(negotiated = ?frame.negotiated, "the host takes this no more"),
            Prepared::Bad(bad) => {
                self.stats.bad_frames += 1;
                if !std::mem::replace(&mut self.frames.said_bad, true) {
                    warn!("a frame of the guest {bad}; not shown, the last good one stays");
                }
            }
            Prepared::Ready | Prepared::Pending => {}
        }
        self.drop_frame(taken);
    }

    fn commit_copy(&mut self, frame: &Frame, damage: &Damage, reason: CopyReason) -> bool {
        let host = &mut self.host;
        let mut copied = None;
        match (frame.planes.first().and_then(|plane| plane.fd.as_ref()), &self.frames.video) {
            (Some(_), _) => copied = host.commit_copy(frame, damage, Pixels::Files(&frame.planes)),
            (None, Some(video)) => {
                video.stream.with_memory(frame.buffer, |memory| {
                    copied = host.commit_copy(frame, damage, Pixels::Memory(memory));
                });
            }
            (None, None) => {}
        }
        let Some(bytes) = copied else { return false };
        self.stats.copied_bytes += bytes;
        if !std::mem::replace(&mut self.frames.said_copy, true) {
            warn!("frames are copied: {}", reason.text());
        }
        true
    }

    fn committed(&mut self, taken: Taken<Frame>, back: Return, path: Path, why: &'static str) {
        let (mut frame, fate) = self.frames.mailbox.commit(taken, back);
        self.frame_lent(&mut frame, back);
        self.frames.shown = Some((frame.negotiated, path));
        self.frames.unshown = Damage::NONE;
        let placed = frame.metas.crop.is_some() || frame.metas.transform != Transform::Normal;
        if placed || std::mem::replace(&mut self.frames.placed, placed) {
            self.frames.placed = placed;
            let visible = self.host.visible(&frame);
            self.input.set_visible((visible.x, visible.y), (visible.width, visible.height));
        }
        self.settle(fate);
        self.count_lent();
        if self.stats.path != path {
            self.stats.path = path;
            self.stats.why = why;
            let Negotiated { format, modifier, width, height } = frame.negotiated;
            info!(
                ?format,
                modifier = modifier.map(|it| format!("{it:#x}")),
                "frames of {width}x{height} by {path} ({why})"
            );
        }
        if self.stats.frame_committed(self.host.last_commit(), &frame) {
            info!(latency_us = self.stats.first_frame_to_commit.map(|it| it.as_micros() as u64), "first frame shown");
        }
        let size = StreamSize::Fixed(frame.negotiated.width, frame.negotiated.height);
        if let Some(video) = &mut self.frames.video {
            if video.step.shown(video.asked, size, video.stream.takes_every_frame()) {
                self.offer_again("the refresh rate is settled");
            }
        }
    }

    pub(super) fn frame_done(&mut self) {
        self.frames.stalled = None;
        self.frames.mailbox.answered();
        self.frames.pacer.taken(Instant::now());
        self.commit_waiting();
    }

    pub(super) fn buffer_released(&mut self, id: BufferId) {
        self.signal_release(id);
        let fate = self.frames.mailbox.release(id);
        self.settle(fate);
        self.count_lent();
        // A host that releases is not frozen, though it may owe answers.
        self.commit_waiting();
    }

    fn count_lent(&mut self) {
        let lent = self.frames.mailbox.lent();
        self.stats.lent_now(lent);
        let is_starved = self.frames.video.as_ref().is_some_and(|video| lent > 1 && lent >= video.stream.pool_size());
        self.frames.starved = is_starved.then(|| self.frames.starved.unwrap_or_else(Instant::now));
    }

    pub(super) fn buffer_removed(&mut self, id: BufferId) {
        let fate = self.frames.mailbox.remove(id);
        self.settle(fate);
        // With descriptors of ours it can still be shown, and may be the guest's only picture for long.
        self.drop_waiting_if(|frame| frame.buffer == id && frame.kind() == Some(Kind::MemPtr));
    }

    pub(super) fn import_refused(&mut self, id: BufferId, negotiated: Negotiated) {
        let exporter = self.frames.mailbox.waiting().filter(|frame| frame.buffer == id).and_then(exporter);
        self.drop_waiting_if(|frame| frame.buffer == id);
        self.refused(negotiated, exporter.as_deref());
    }

    /// The host keeps what it shows, and a DMA-BUF cannot be copied: a guest with a single one needs other memory.
    fn spare_only_buffer(&mut self, path: Path) {
        if self.frames.only_buffer && path == Path::DmaBuf {
            info!("the guest has only one buffer, which the host keeps; offering without dmabufs");
            self.frames.negotiation.refuse_all(&self.host.formats(), Instant::now());
            self.offer_changes("the guest has only one buffer");
        }
    }

    /// The host takes no DMA-BUFs of this pair: offer without it.
    fn refused(&mut self, negotiated: Negotiated, exporter: Option<&str>) {
        let Some(modifier) = negotiated.modifier else { return };
        if self.frames.negotiation.refuse(negotiated.format, modifier, Instant::now()) {
            self.tell_refusal(negotiated, modifier, exporter);
            self.offer_changes("the host refused a dmabuf");
        }
    }
}
