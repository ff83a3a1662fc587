//! Frames that the guest is still drawing, held until their acquire points are signalled. Pure.
//!
//! The oldest keeps its turn and the newest waits behind it; those between are overtaken. A guest that draws slower than
//! it sends is shown all the same: if each new frame took the place of the one before, none would ever be finished.

use std::time::{Duration, Instant};

/// So long a frame may be drawn; then the next one has its turn.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// At most two frames, the older one and since when it has its turn.
#[derive(Debug)]
pub struct Unfinished<F> {
    first: Option<(F, Instant)>,
    newest: Option<F>,
}

impl<F> Default for Unfinished<F> {
    fn default() -> Self {
        Self { first: None, newest: None }
    }
}

impl<F> Unfinished<F> {
    /// Puts in the newest frame; what it overtook.
    #[must_use = "the overtaken frame has to go back to the guest"]
    pub fn put(&mut self, frame: F, now: Instant) -> Option<F> {
        if self.first.is_none() {
            self.first = Some((frame, now));
            return None;
        }
        self.newest.replace(frame)
    }

    /// The newest frame that is finished, and the one that it overtook.
    #[must_use = "both frames have to go somewhere"]
    pub fn take_finished(&mut self, mut is_finished: impl FnMut(&F) -> bool, now: Instant) -> (Option<F>, Option<F>) {
        if let Some(newest) = self.newest.take_if(|frame| is_finished(frame)) {
            return (Some(newest), self.first.take().map(|(frame, _)| frame));
        }
        let finished = self.first.take_if(|(frame, _)| is_finished(frame)).map(|(frame, _)| frame);
        self.next_turn(now);
        (finished, None)
    }

    /// The frame that came last.
    pub fn newest_mut(&mut self) -> Option<&mut F> {
        self.newest.as_mut().or(self.first.as_mut().map(|(frame, _)| frame))
    }

    /// When [`give_up`](Self::give_up) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.first.as_ref().map(|(_, since)| *since + PATIENCE)
    }

    /// Takes out the frame that has been drawn for too long; the next one has its turn.
    #[must_use = "the frame has to go back to the guest"]
    pub fn give_up(&mut self, now: Instant) -> Option<F> {
        let late = self.first.take_if(|(_, since)| now >= *since + PATIENCE).map(|(frame, _)| frame);
        self.next_turn(now);
        late
    }

    /// Takes out all frames, the older one first.
    pub fn take_all(&mut self) -> [Option<F>; 2] {
        [self.first.take().map(|(frame, _)| frame), self.newest.take()]
    }

    /// The frames in it.
    pub fn frames(&self) -> impl Iterator<Item = &F> {
        self.first.iter().map(|(frame, _)| frame).chain(&self.newest)
    }

    fn next_turn(&mut self, now: Instant) {
        if self.first.is_none() {
            self.first = self.newest.take().map(|frame| (frame, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Frame,
        Finish(u32),
        Time(u64),
    }

    proptest! {
        #[test]
        fn every_frame_leaves_once_and_the_newest_finished_one_is_shown(
            steps in proptest::collection::vec(prop_oneof![
                3 => Just(Step::Frame), 3 => (0u32..4).prop_map(Step::Finish), 1 => (0u64..1500).prop_map(Step::Time),
            ], 0..200)
        ) {
            let (mut unfinished, mut now) = (Unfinished::default(), Instant::now());
            let (mut next, mut shown, mut left, mut finished) = (0u32, None, BTreeSet::new(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Frame => {
                        if let Some(frame) = unfinished.put(next, now) {
                            prop_assert!(left.insert(frame));
                        }
                        next += 1;
                    }
                    // One of the last few, so that they finish out of order too.
                    Step::Finish(back) => {
                        finished.insert(next.saturating_sub(1 + back));
                    }
                    Step::Time(ms) => {
                        now += Duration::from_millis(ms);
                        if let Some(late) = unfinished.give_up(now) {
                            prop_assert!(!finished.contains(&late) && left.insert(late));
                        }
                    }
                }
                while let (Some(frame), overtaken) = unfinished.take_finished(|frame| finished.contains(frame), now) {
                    prop_assert!(finished.contains(&frame) && left.insert(frame));
                    prop_assert!(shown.is_none_or(|shown| shown < frame) && overtaken.is_none_or(|old| old < frame));
                    shown = Some(frame);
                    if let Some(old) = overtaken {
                        prop_assert!(left.insert(old));
                    }
                }
                prop_assert!(unfinished.frames().all(|frame| !finished.contains(frame)));
                prop_assert_eq!(left.len() + unfinished.frames().count(), next as usize);
                // Nobody waits longer than he may, and none waits for nothing.
                prop_assert_eq!(unfinished.deadline().is_some(), unfinished.frames().next().is_some());
            }
        }

        #[test]
        fn a_guest_that_draws_slower_than_it_sends_is_shown(frames_late in 1u32..6) {
            let (mut unfinished, now) = (Unfinished::default(), Instant::now());
            let mut shown = 0;
            for frame in 0u32..600 {
                let _ = unfinished.put(frame, now);
                while let (Some(_), _) = unfinished.take_finished(|drawn| drawn + frames_late <= frame, now) {
                    shown += 1;
                }
            }
            prop_assert!(shown >= 600 / (frames_late + 1) - 1, "{shown}");
        }
    }

    #[test]
    fn a_frame_that_is_never_finished_gives_way() {
        let mut unfinished = Unfinished::default();
        let start = Instant::now();
        assert_eq!(unfinished.put(1, start), None);
        assert_eq!(unfinished.put(2, start), None);
        assert_eq!(unfinished.give_up(start + PATIENCE / 2), None);
        assert_eq!(unfinished.give_up(start + PATIENCE), Some(1));
        assert_eq!(unfinished.take_finished(|frame| *frame == 2, start + PATIENCE), (Some(2), None));
        assert_eq!(unfinished.deadline(), None);
    }
}
