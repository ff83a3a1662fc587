//! Input that came while the guest's devices were away: bounded, in order, motion coalesced.
//! Pure; the sinks ask for the next event that may go.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::input::event::{InputEvent, Need};

/// So many events wait at most, motion aside; a person makes far fewer in the time that a device is away, or a guest does
/// not read.
const LIMIT: usize = 2048;

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
    /// All of them, or none.
    pub fn all(up: bool) -> Self {
        Self { absolute: up, relative: up, keyboard: up, touch: up }
    }

    /// Whether a device of this kind can take events.
    pub fn has(&self, need: Need) -> bool {
        match need {
            Need::Absolute => self.absolute,
            Need::Relative => self.relative,
            Need::Keyboard => self.keyboard,
            Need::Touch => self.touch,
        }
    }

    /// Whether this event can go now. A pointer's frame only ends what went before it, on whichever of the two.
    pub fn takes(&self, event: &InputEvent) -> bool {
        match event {
            InputEvent::PointerFrame => self.absolute || self.relative,
            event => self.has(event.need()),
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

/// What a waiting event makes of one that comes after it.
enum Merged {
    /// It has been taken in.
    In,
    /// It may be taken in by one before this one.
    Beside,
    /// It stays behind this one.
    Apart,
}

fn merged(waits: &mut InputEvent, event: InputEvent) -> Merged {
    use InputEvent::{Motion, PointerFrame, RelativeMotion, Scroll, TouchFrame, TouchMotion, Wheel};
    match (waits, event) {
        (waits @ Motion { .. }, Motion { .. }) => *waits = event,
        (RelativeMotion { dx, dy }, RelativeMotion { dx: more_x, dy: more_y }) => {
            *dx += more_x;
            *dy += more_y;
        }
        (Scroll { axis: one, delta }, Scroll { axis, delta: more }) if *one == axis => *delta += more,
        (Wheel { axis: one, v120 }, Wheel { axis, v120: more }) if *one == axis => *v120 = v120.saturating_add(more),
        (waits @ TouchMotion { .. }, TouchMotion { .. }) if finger(waits) == finger(&event) => *waits = event,
        (Scroll { .. }, Scroll { .. }) | (Wheel { .. }, Wheel { .. }) => return Merged::Beside,
        (PointerFrame, Motion { .. } | RelativeMotion { .. } | Scroll { .. } | Wheel { .. }) => return Merged::Beside,
        (TouchMotion { .. } | TouchFrame, TouchMotion { .. }) => return Merged::Beside,
        _ => return Merged::Apart,
    }
    Merged::In
}

fn finger(event: &InputEvent) -> Option<i32> {
    match event {
        InputEvent::TouchMotion { id, .. } => Some(*id),
        _ => None,
    }
}

/// Whether only the way there is lost without it.
fn is_motion(event: &InputEvent) -> bool {
    use InputEvent::{Motion, PointerFrame, RelativeMotion, Scroll, TouchFrame, TouchMotion, Wheel};
    matches!(
        event,
        Motion { .. }
            | RelativeMotion { .. }
            | Scroll { .. }
            | Wheel { .. }
            | TouchMotion { .. }
            | PointerFrame
            | TouchFrame
    )
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
        if self.merge(event) {
            return None;
        }
        // The oldest motion goes, or what is oldest of all. A press's release may still be in here: releases without a
        // press are dropped later.
        let lost = if self.queue.len() == LIMIT {
            let oldest = self.queue.iter().position(|(_, event)| is_motion(event)).unwrap_or(0);
            self.queue.remove(oldest)
        } else {
            None
        };
        self.lost += u64::from(lost.is_some());
        self.queue.push_back((now, event));
        lost.map(|(_, event)| event)
    }

    /// Lets an event that waits take this one in: motion that nothing came after is one motion. Nothing else is lost
    /// by waiting, and what a hand can do without end takes no room.
    fn merge(&mut self, event: InputEvent) -> bool {
        // A frame after a frame, or after what has been merged into something before its own.
        if matches!(event, InputEvent::PointerFrame | InputEvent::TouchFrame) {
            return self.queue.back().is_some_and(|(_, last)| *last == event);
        }
        let tail = self.queue.iter_mut().rev().map(|(_, waits)| waits);
        tail.map_while(|waits| match merged(waits, event) {
            Merged::Apart => None,
            Merged::Beside => Some(false),
            Merged::In => Some(true),
        })
        .any(|merged| merged)
    }

    /// The next event that can go now, or whose device has not come in time, and when it came; `None` while the first one
    /// waits.
    pub fn next(&mut self, now: Instant, ready: Ready) -> Option<(Instant, Leaving)> {
        self.absent = self.absent.without(ready);
        let (since, event) = self.queue.front()?;
        let need = event.need();
        let is_ready = ready.takes(event);
        if !is_ready && !self.absent.has(need) && now.saturating_duration_since(*since) < PATIENCE {
            return None;
        }
        let (since, event) = self.queue.pop_front()?;
        if is_ready {
            return Some((since, Leaving::Ready(event)));
        }
        self.absent.add(need);
        self.lost += 1;
        Some((since, Leaving::Lost(event)))
    }

    /// When the first event in the queue will have waited too long.
    pub fn deadline(&self) -> Option<Instant> {
        self.queue.front().map(|(since, _)| *since + PATIENCE)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
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
                match self.next(now, ready)?.1 {
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
        assert_eq!(waiting.next_ready(now, no_absolute), Some(InputEvent::PointerFrame));
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
        for code in 0..5000 {
            waiting.push(now, InputEvent::Key { code: code % 200, pressed: true });
        }
        assert_eq!(waiting.queue.len(), LIMIT);
        assert_eq!(waiting.lost, 5000 - LIMIT as u64);
    }

    #[test]
    fn keys_are_lost_last() {
        let now = Instant::now();
        let mut waiting = Waiting::default();
        for step in 0..3000 {
            waiting.push(now, InputEvent::Motion { x: f64::from(step), y: 0.0 });
            waiting.push(now, InputEvent::Wheel { axis: crate::input::event::Axis::Vertical, v120: 1 });
            if step % 3 == 0 {
                waiting.push(now, InputEvent::Key { code: step as u32 % 200, pressed: true });
            }
        }
        let keys = all(&mut waiting).into_iter().filter(|event| matches!(event, InputEvent::Key { .. }));
        assert_eq!(keys.count(), 1000);
        assert!(waiting.lost > 0);
    }

    /// Everything that waits, in order.
    fn all(waiting: &mut Waiting) -> Vec<InputEvent> {
        let now = Instant::now();
        std::iter::from_fn(|| waiting.next_ready(now, ALL)).collect()
    }

    #[test]
    fn motion_that_waits_is_one_motion_and_nothing_else_is_lost() {
        use InputEvent::{Button, PointerFrame, RelativeMotion, Scroll, Wheel};
        let now = Instant::now();
        let mut waiting = Waiting::default();
        let click = |pressed| Button { code: 0x110, pressed };
        let events =
            [RelativeMotion { dx: 1.0, dy: 2.0 }, PointerFrame, RelativeMotion { dx: 3.0, dy: -1.0 }, PointerFrame];
        let scroll = |axis, delta| Scroll { axis, delta };
        let (down, right) = (crate::input::event::Axis::Vertical, crate::input::event::Axis::Horizontal);
        for event in events.into_iter().chain([click(true), PointerFrame]).chain(events).chain([click(false)]) {
            waiting.push(now, event);
        }
        for event in [scroll(down, 1.0), scroll(right, 2.0), PointerFrame, scroll(right, 0.5), scroll(down, 4.0)] {
            waiting.push(now, event);
        }
        for v120 in [15, 15, -60] {
            waiting.push(now, Wheel { axis: down, v120 });
            waiting.push(now, PointerFrame);
        }
        let moved = RelativeMotion { dx: 4.0, dy: 1.0 };
        let wanted = [
            moved,
            PointerFrame,
            click(true),
            PointerFrame,
            moved,
            PointerFrame,
            click(false),
            scroll(down, 5.0),
            scroll(right, 2.5),
            PointerFrame,
            Wheel { axis: down, v120: -30 },
            PointerFrame,
        ];
        assert_eq!(all(&mut waiting), wanted);
    }

    #[test]
    fn fingers_that_move_on_take_no_room() {
        use InputEvent::{TouchDown, TouchFrame, TouchMotion, TouchUp};
        let now = Instant::now();
        let mut waiting = Waiting::default();
        let at = |id, x| TouchMotion { id, x, y: 0.0 };
        waiting.push(now, TouchDown { id: 1, x: 0.0, y: 0.0 });
        waiting.push(now, TouchFrame);
        for step in 0..10_000 {
            for id in [1, 2] {
                waiting.push(now, at(id, f64::from(step)));
            }
            waiting.push(now, TouchFrame);
        }
        waiting.push(now, TouchUp { id: 1 });
        waiting.push(now, at(2, 5.0));
        waiting.push(now, at(1, 6.0));
        let wanted = [
            TouchDown { id: 1, x: 0.0, y: 0.0 },
            TouchFrame,
            at(1, 9999.0),
            at(2, 9999.0),
            TouchFrame,
            TouchUp { id: 1 },
            at(2, 5.0),
            at(1, 6.0),
        ];
        assert_eq!(all(&mut waiting), wanted);
    }
}
