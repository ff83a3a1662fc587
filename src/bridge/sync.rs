//! Frames with explicit sync on their way: held until the guest has drawn them where the host does not wait for that
//! itself, and their release points kept while the host reads them.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use tracing::{debug, info, trace, warn};

use crate::bridge::Bridge;
use crate::stats::SyncKind;
use crate::video::frame::{BufferId, Frame};
use crate::video::mailbox::{Fate, Return};
use crate::video::meta::Damage;
use crate::video::sync::FrameSync;
use crate::video::syncobj::{Alarm, SyncDevice};
use crate::video::unfinished::{PATIENCE, Unfinished};

/// No frame is on its way from the guest for so long.
const TRAVEL: Duration = Duration::from_millis(500);

/// So soon a held frame is looked at again that no alarm can be had for.
const RETRY: Duration = Duration::from_millis(2);

/// After so many frames in a row that were never finished the guest's timelines count as broken.
const BROKEN: u32 = 2;

/// Frames between the guest's drawing and the host's release.
#[derive(Default)]
pub(super) struct Drawing {
    held: Unfinished<Frame>,
    /// What was lost since the last frame came.
    unshown: Damage,
    /// Wakes the loop when a held frame is drawn.
    alarm: Option<Alarm>,
    /// When to look at a held frame that nothing will wake the loop for.
    retry: Option<Instant>,
    /// Of frames that the host reads: dropped, they tell the guest that it has done so.
    lent: HashMap<BufferId, FrameSync>,
    /// When to look for frames that were lost on their way here, and how long after the last look that is.
    look: Option<(Instant, Duration)>,
    late_in_row: u32,
    said_late: bool,
    /// Timelines were tried and do not work.
    forgone: bool,
}

impl Drawing {
    /// When [`Bridge::check_drawn`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = [self.held.deadline(), self.retry, self.look.map(|(at, _)| at)];
        waits.into_iter().flatten().min()
    }

    /// A frame was lost that came after all others: the next one has its changes too.
    pub(super) fn missed(&mut self, damage: &Damage) {
        self.unshown.add(damage);
    }

    /// Readable when a held frame is drawn; then [`woken`](Self::woken).
    pub(super) fn alarm_fd(&self) -> Option<BorrowedFd<'_>> {
        self.alarm.as_ref().map(|alarm| alarm.as_fd())
    }

    /// Has the loop woken when held frames are drawn. Before Linux 6.6 it takes a point whose work is submitted, of which
    /// nothing tells: such a frame is looked at often.
    fn watch(&mut self, now: Instant) {
        let Self { held, alarm, retry, .. } = self;
        *retry = None;
        for sync in
            held.frames().filter_map(|frame| frame.sync.as_ref()).filter(|it| !it.is_drawn() && !it.is_watched())
        {
            if alarm.is_none() {
                *alarm = Alarm::new().inspect_err(|error| debug!(%error, "no alarm")).ok();
            }
            let watched = alarm.as_mut().is_some_and(|alarm| {
                let watched = sync.watch(alarm);
                watched.inspect_err(|error| trace!(%error, "a frame's acquire point cannot be watched yet")).is_ok()
            });
            if !watched {
                *retry = Some(now + RETRY);
            }
        }
    }

    /// Takes note of the alarm. What is drawn is looked at in every turn.
    pub(super) fn woken(&mut self) {
        if let Some(alarm) = &mut self.alarm {
            alarm.silence();
        }
    }
}

impl Bridge {
    /// Where timelines can be opened, if they are to be used at all.
    pub(super) fn sync_device(&self) -> Option<SyncDevice> {
        let wanted = !self.frames.drawing.forgone && self.host.has_dmabuf();
        let device = wanted.then(|| SyncDevice::open(self.host.main_device())).flatten();
        if wanted && device.is_none() {
            debug!("no device that knows timelines; going on with implicit sync");
        }
        device
    }

    /// Takes in a frame that may not be drawn yet.
    pub(super) fn frame_to_draw(&mut self, mut frame: Frame) {
        let now = Instant::now();
        if frame.sync.is_some() {
            let look = self.frames.drawing.look.filter(|(_, pause)| *pause == TRAVEL);
            self.frames.drawing.look = look.or(Some((now + TRAVEL, TRAVEL)));
        }
        let missed = std::mem::replace(&mut self.frames.drawing.unshown, Damage::NONE);
        frame.metas.damage.add(&missed);
        if frame.sync.is_none() || self.host.takes_timelines() {
            for older in self.frames.drawing.held.take_all().into_iter().flatten() {
                self.frames.unshown.add(&older.metas.damage);
                self.return_unseen(older);
            }
            self.put_frame(frame);
            return;
        }
        if let Some(overtaken) = self.frames.drawing.held.put(frame, now) {
            if let Some(frame) = self.frames.drawing.held.newest_mut() {
                frame.metas.damage.add(&overtaken.metas.damage);
            }
            self.return_unseen(overtaken);
        }
        self.check_drawn(now);
        self.frames.drawing.watch(now);
    }

    /// Moves on frames that are drawn by now, and does without those that never will be.
    pub(super) fn check_drawn(&mut self, now: Instant) {
        loop {
            let (drawn, overtaken) = self.frames.drawing.held.take_finished(Frame::is_drawn, now);
            if let Some(overtaken) = overtaken {
                self.frames.unshown.add(&overtaken.metas.damage);
                self.return_unseen(overtaken);
            }
            let Some(frame) = drawn else { break };
            self.frames.drawing.late_in_row = 0;
            self.put_frame(frame);
        }
        if self.frames.drawing.retry.is_some_and(|at| now >= at) {
            self.frames.drawing.watch(now);
        }
        self.look_for_lost(now);
        while let Some(late) = self.frames.drawing.held.give_up(now) {
            match self.frames.drawing.held.newest_mut() {
                Some(next) => next.metas.damage.add(&late.metas.damage),
                None => self.frames.drawing.missed(&late.metas.damage),
            }
            self.return_unseen(late);
            if !std::mem::replace(&mut self.frames.drawing.said_late, true) {
                warn!("the guest does not finish a frame within {} s; the next one has its turn", PATIENCE.as_secs());
            }
            self.frames.drawing.late_in_row += 1;
            if self.frames.drawing.late_in_row == BROKEN {
                self.forgo_sync("the guest's frames are never finished");
            }
        }
    }

    /// A guest that has lost all its buffers sends no more frames, after which one could look: so it is looked again and
    /// again, but less and less often.
    fn look_for_lost(&mut self, now: Instant) {
        let Some((_, pause)) = self.frames.drawing.look.filter(|(at, _)| now >= *at) else { return };
        self.frames.drawing.look = self.cast.stream().map(|stream| {
            let pause = if stream.look_for_lost() { TRAVEL } else { pause * 2 };
            (now + pause, pause)
        });
    }

    /// A frame that was never committed goes back, its release point before its buffer.
    fn return_unseen(&mut self, frame: Frame) {
        let id = frame.buffer;
        drop(frame);
        self.stats.dropped += 1;
        self.settle(Fate::GiveBack(id));
    }

    /// A frame was committed: keeps its release point for as long as the host reads it.
    pub(super) fn frame_lent(&mut self, frame: &mut Frame, back: Return) {
        let sync = frame.sync.take();
        let kind = match (back, &sync) {
            (Return::AtOnce, _) => SyncKind::Explicit,
            (_, Some(_)) => SyncKind::Waited,
            (_, None) => SyncKind::Implicit,
        };
        if let (Return::OnRelease, Some(sync)) = (back, sync) {
            self.frames.drawing.lent.insert(frame.buffer, sync);
        }
        if self.stats.sync != kind {
            self.stats.sync = kind;
            info!("sync is {kind} now: {}", why(kind));
        }
    }

    /// The host no longer reads this buffer.
    pub(super) fn signal_release(&mut self, id: BufferId) {
        self.frames.drawing.lent.remove(&id);
    }

    /// The stream is gone: frames that are drawn can still be shown.
    pub(super) fn keep_drawn(&mut self) {
        for frame in self.frames.drawing.held.take_all().into_iter().flatten() {
            if frame.is_drawn() {
                self.put_frame(frame);
            } else {
                self.return_unseen(frame);
            }
        }
    }

    /// The host takes no timelines any more: frames have to be waited for here.
    pub(super) fn sync_lost(&mut self) {
        self.drop_waiting_if(|frame| !frame.is_drawn());
    }

    pub(super) fn sync_unusable(&mut self, why: &str) {
        if !self.frames.drawing.forgone {
            self.forgo_sync(why);
        }
    }

    /// Goes on without timelines.
    fn forgo_sync(&mut self, why: &str) {
        self.frames.drawing.forgone = true;
        warn!("explicit sync does not work here ({why}); going on with implicit sync");
        if let Some(stream) = self.cast.stream() {
            stream.forgo_sync();
        }
        self.offer_again("timelines do not work");
    }
}

fn why(kind: SyncKind) -> &'static str {
    match kind {
        SyncKind::Implicit => "left to the memory's drivers",
        SyncKind::Waited => "frames are held here until they are drawn, since the host takes no timelines",
        SyncKind::Explicit => "the host takes the guest's timelines",
    }
}
