//! Frames from the guest to the window: the way of each through the mailbox to a commit or back.

use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::bridge::Bridge;
use crate::bridge::devices::exporter;
use crate::bridge::sync::Drawing;
use crate::host::buffers::{CopyReason, Pixels, Prepared};
use crate::stats::Path;
use crate::video::frame::{BufferId, Frame, Kind, Negotiated};
use crate::video::mailbox::{Fate, MAX_UNANSWERED, Mailbox, Return, Taken};
use crate::video::meta::{Damage, Rect, Transform};
use crate::video::pace::Pacer;

/// Hosts answer for a DMA-BUF within milliseconds; after this long it is asked whether it will at all.
const IMPORT_PATIENCE: Duration = Duration::from_secs(1);

/// A host that answers no commit for so long may be hidden, or never answer at all: it is shown a new frame now and
/// then, so that what it has is never older than this.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// Hosts release a buffer soon after it was replaced; one that has them all for so long stops the guest.
const RELEASE_PATIENCE: Duration = Duration::from_secs(1);

/// How a picture lies in its buffer: see [`Metas::placement`](crate::video::meta::Metas::placement).
type Placement = (Option<Rect>, Transform);

/// The frame path's state.
#[derive(Default)]
pub(super) struct Frames {
    pub(super) mailbox: Mailbox<Frame>,
    /// Frames that come before the mailbox, or have passed it.
    pub(super) drawing: Drawing,
    /// Since when frames have waited for the host to answer for a DMA-BUF.
    importing: Option<Instant>,
    /// Since when a frame has waited for the host to answer a commit.
    stalled: Option<Instant>,
    /// Since when the host has had every buffer of the guest.
    starved: Option<Instant>,
    /// What the last commit was of and how it went; another one has nothing in common with it.
    shown: Option<(Negotiated, Path, Placement)>,
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
    /// When [`Bridge::check_frames`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let import = self.importing.map(|since| since + IMPORT_PATIENCE);
        let stalled = self.stalled.map(|since| since + ANSWER_PATIENCE);
        let starved = self.starved.map(|since| since + RELEASE_PATIENCE);
        let drawing = self.drawing.deadline();
        let pace = self.pacer.deadline(self.mailbox.is_open());
        [import, stalled, starved, drawing, pace].into_iter().flatten().min()
    }
}

impl Bridge {
    /// What time brings to frames: one that the guest may draw now, or a host that says nothing of a DMA-BUF, answers
    /// no commit or releases no buffer.
    pub(super) fn check_frames(&mut self, now: Instant) {
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
    }

    pub(super) fn frame_arrived(&mut self, mut frame: Frame) {
        self.stats.frame_received(frame.received);
        self.guest.is_here();
        self.format_carries();
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
        if self.cast.stream().is_none_or(|stream| !stream.has_buffer(id)) {
            let fate = self.frames.mailbox.remove(id);
            self.settle(fate);
        }
        self.commit_waiting();
    }

    /// A buffer came without pixels. With the pointer beside the frames that is how it moves; else a frame was lost.
    pub(super) fn empty_arrived(&mut self, tells_pointer: bool) {
        self.stats.empty += 1;
        self.frames.pacer.arrived(Instant::now());
        if !tells_pointer {
            self.frames.drawing.missed(&Damage::Whole);
            if self.guest.is_missing() {
                self.cast.came_bare(Instant::now());
            }
        }
    }

    /// Does what the mailbox says of a buffer.
    pub(super) fn settle(&mut self, fate: Fate) {
        match fate {
            Fate::Keep => {}
            Fate::GiveBack(id) => {
                if let Some(stream) = self.cast.stream() {
                    stream.give_back(id);
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
        if prepared == Prepared::Ready && self.cast.has_only_buffer() && frame.kind() != Some(Kind::DmaBuf) {
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
            Some(shown) if shown == (frame.negotiated, path, frame.metas.placement()) => {
                damage.add(&self.frames.unshown)
            }
            _ => damage = Damage::Whole,
        }
        let back = if prepared == Prepared::Ready { self.host.commit(frame, &damage) } else { None };
        match prepared {
            Prepared::Ready if back.is_some() => {
                let why = match path {
                    Path::DmaBuf => "nothing is copied",
                    // Found out once, not for every frame.
                    _ if self.stats.path == Path::MemFd => self.stats.why,
                    _ => self.why_not_dmabuf(),
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
        match (frame.planes.first().and_then(|plane| plane.fd.as_ref()), self.cast.stream()) {
            (Some(_), _) => copied = host.commit_copy(frame, damage, Pixels::Files(&frame.planes)),
            (None, Some(stream)) => {
                stream.with_memory(frame.buffer, |memory| {
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
        self.frames.shown = Some((frame.negotiated, path, frame.metas.placement()));
        self.frames.unshown = Damage::NONE;
        let placed = frame.metas.placement() != Placement::default();
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
        self.size_shown(frame.negotiated);
    }

    /// The stream is gone: memory that only it had died with it; a waiting frame with files of its own is still shown.
    pub(super) fn stream_gone(&mut self) {
        self.keep_drawn();
        self.frames.mailbox.remove_all();
        self.frames.unshown = Damage::Whole;
        self.drop_waiting_if(|frame| frame.kind() == Some(Kind::MemPtr));
        let mailbox = &self.frames.mailbox;
        self.host.forget_unless(|id| mailbox.holds(id));
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
        let is_starved = self.cast.stream().is_some_and(|stream| lent > 1 && lent >= stream.pool_size());
        self.frames.starved = is_starved.then(|| self.frames.starved.unwrap_or_else(Instant::now));
    }

    pub(super) fn buffer_removed(&mut self, id: BufferId) {
        let fate = self.frames.mailbox.remove(id);
        self.settle(fate);
        // With descriptors of ours it can still be shown, and may be the guest's only picture for long.
        self.drop_waiting_if(|frame| frame.buffer == id && frame.kind() == Some(Kind::MemPtr));
    }
}
