//! Input that came while the guest's devices were away: bounded, in order, motion coalesced.
//! Pure; the sinks ask for the next event that may go.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::input::event::{InputEvent, Need};

/// So many events wait at most; a person makes far fewer in the time a device is away.
const LIMIT: usize = 512;

/// So long an event waits for its device; then the device counts as absent and its events are dropped.
pub const PATIENCE: Duration = Duration::from_millis(1500);

/// The devices that can take events now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// The absolute pointer has a region and is resumed.
    pub absolute: bool,
    /// The relative pointer is resumed.
    pub relative: bool,
    /// The keyboard is resumed and known to the guest's clients.
    pub keyboard: bool,
    /// The touchscreen has a region and is resumed.
    pub touch: bool,
}

impl Ready {
    /// Whether a device of this kind can take events.
    pub fn has(&self, need: Need) -> bool {
        match need {
            Need::Absolute => self.absolute,
            Need::Relative => self.relative,
            Need::Keyboard => self.keyboard,
            Need::Touch => self.touch,
        }
    }

    fn add(&mut self, need: Need) {
        match need {
            Need::Absolute => self.absolute = true,
            Need::Relative => self.relative = true,
            Need::Keyboard => self.keyboard = true,
            Need::Touch => self.touch = true,
        }
    }

    fn without(self, other: Self) -> Self {
        Self {
            absolute: self.absolute && !other.absolute,
            relative: self.relative && !other.relative,
            keyboard: self.keyboard && !other.keyboard,
            touch: self.touch && !other.touch,
        }
    }
}

/// An event that leaves the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Leaving {
    /// Its device is there.
    Ready(InputEvent),
    /// Its device did not come in time: it goes nowhere.
    Lost(InputEvent),
}

/// The queue. Events leave in the order they came, whatever device they need: a click after a motion
/// must not overtake it.
#[derive(Debug, Default)]
pub struct Waiting {
    queue: VecDeque<(Instant, InputEvent)>,
    /// Devices that have not come in time: until they do, nobody waits behind them any more.
    absent: Ready,
    /// Events lost because the queue was full, or their device did not come.
    pub lost: u64,
}

impl Waiting {
    /// Adds an event that came at `now`; gives back the one that it costs, if the queue is full.
    pub fn push(&mut self, now: Instant, event: InputEvent) -> Option<InputEvent> {
        if let (InputEvent::Motion { .. }, Some((_, last @ InputEvent::Motion { .. }))) = (event, self.queue.back_mut())
        {
            *last = event;
            return None;
        }
        // A motion's own frame between two motions: the pair collapses into the newer motion.
        if let InputEvent::Motion { .. } = event {
            let len = self.queue.len();
            if len >= 2
                && matches!(self.queue[len - 1].1, InputEvent::PointerFrame)
                && matches!(self.queue[len - 2].1, InputEvent::Motion { .. })
            {
                self.queue.pop_back();
                self.queue[len - 2].1 = event;
                return None;
            }
        }
        // The oldest goes. Its release may still be in here: releases without a press are dropped later.
        let lost = if self.queue.len() == LIMIT { self.queue.pop_front() } else { None };
        self.lost += u64::from(lost.is_some());
        self.queue.push_back((now, event));
        lost.map(|(_, event)| event)
    }

    /// The next event that can go now, or whose device has not come in time; `None` while the first one waits.
    pub fn next(&mut self, now: Instant, ready: Ready) -> Option<Leaving> {
        self.absent = self.absent.without(ready);
        let (since, event) = self.queue.front()?;
        let need = event.need();
        let is_ready = ready.has(need);
        if !is_ready && !self.absent.has(need) && now.saturating_duration_since(*since) < PATIENCE {
            return None;
        }
        let (_, event) = self.queue.pop_front()?;
        if is_ready {
            return Some(Leaving::Ready(event));
        }
        self.absent.add(need);
        self.lost += 1;
        Some(Leaving::Lost(event))
    }

    /// When the first event in the queue will have waited too long.
    pub fn deadline(&self) -> Option<Instant> {
        self.queue.front().map(|(since, _)| *since + PATIENCE)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the next push costs the oldest event.
    pub fn is_full(&self) -> bool {
        self.queue.len() >= LIMIT
    }

    /// Takes everything out, in order: the guest it was meant for is gone.
    pub fn drain(&mut self) -> impl Iterator<Item = InputEvent> {
        self.absent = Ready::default();
        self.queue.drain(..).map(|(_, event)| event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Ready = Ready { absolute: true, relative: true, keyboard: true, touch: true };

    impl Waiting {
        /// The next event that goes somewhere.
        fn next_ready(&mut self, now: Instant, ready: Ready) -> Option<InputEvent> {
            loop {
                match self.next(now, ready)? {
                    Leaving::Ready(event) => return Some(event),
                    Leaving::Lost(_) => {}
                }
            }
        }
    }

    #[test]
    fn a_click_waits_for_the_motion_before_it() {
        let now = Instant::now();
        let mut waiting = Waiting::default();
        let click = InputEvent::Button { code: 0x110, pressed: true };
        waiting.push(now, InputEvent::Motion { x: 1.0, y: 1.0 });
        waiting.push(now, InputEvent::PointerFrame);
        waiting.push(now, InputEvent::Motion { x: 2.0, y: 2.0 });
        waiting.push(now, click);
        let no_absolute = Ready { absolute: false, ..ALL };
        assert_eq!(waiting.next_ready(now, no_absolute), None);
        assert_eq!(waiting.next_ready(now, ALL), Some(InputEvent::Motion { x: 2.0, y: 2.0 }));
        assert_eq!(waiting.next_ready(now, no_absolute), Some(click));
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_device_that_never_comes_blocks_nobody_for_long() {
        let now = Instant::now();
        let mut waiting = Waiting::default();
        let key = InputEvent::Key { code: 30, pressed: true };
        waiting.push(now, InputEvent::Motion { x: 1.0, y: 1.0 });
        waiting.push(now, key);
        let no_absolute = Ready { absolute: false, ..ALL };
        assert_eq!(waiting.next_ready(now + PATIENCE / 2, no_absolute), None);
        assert_eq!(waiting.next_ready(now + PATIENCE, no_absolute), Some(key));
        assert_eq!(waiting.lost, 1);
        // It is known now: what comes later does not wait, until the device is there after all.
        waiting.push(now, InputEvent::Motion { x: 2.0, y: 2.0 });
        waiting.push(now, key);
        assert_eq!(waiting.next_ready(now, no_absolute), Some(key));
        waiting.push(now, InputEvent::Motion { x: 3.0, y: 3.0 });
        assert_eq!(waiting.next_ready(now, ALL), Some(InputEvent::Motion { x: 3.0, y: 3.0 }));
        waiting.push(now, InputEvent::Motion { x: 4.0, y: 4.0 });
        assert_eq!(waiting.next_ready(now, no_absolute), None);
    }

    #[test]
    fn the_queue_is_bounded() {
        let now = Instant::now();
        let mut waiting = Waiting::default();
        for code in 0..2000 {
            waiting.push(now, InputEvent::Key { code: code % 200, pressed: true });
        }
        assert_eq!(waiting.queue.len(), LIMIT);
        assert_eq!(waiting.lost, 2000 - LIMIT as u64);
    }
}
