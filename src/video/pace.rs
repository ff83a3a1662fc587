//! When the guest draws, where the bridge decides it (host-driven frames): once for each frame of the host, as late as it
//! can and still be in time for it, and only when the guest has something to draw. Pure.
//!
//! Nothing may ever stop the guest for good: a host that answers no more is replaced by a slow clock, and a cycle
//! that brings nothing back is started again.

use std::time::{Duration, Instant};

use crate::video::rate::{FALLBACK, MaxRate};

/// A host that does not call back is off the screen or stalled: so often the guest may draw all the same.
const UNSEEN: Duration = Duration::from_millis(100);

/// A cycle that brings neither a frame nor an empty buffer within this time is lost.
const LOST: Duration = Duration::from_millis(250);

/// Where the graph's cycle is, in which the guest draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cycle {
    /// This end does not drive.
    NotOurs,
    /// The first one has to be started: what the guest asked for before is not known.
    First {
        /// From then on.
        at: Instant,
    },
    /// The guest draws.
    Drawing {
        /// Since when.
        since: Instant,
    },
    /// What it drew is here.
    Done {
        /// When it was started.
        started: Instant,
    },
}

/// Decides when to start the next cycle.
#[derive(Clone, Copy, Debug)]
pub struct Pacer {
    cycle: Cycle,
    /// The guest has something to draw.
    asked: bool,
    /// When the host has taken a frame, if that was after the last cycle began.
    taken: Option<Instant>,
    /// From one frame of the host to the next.
    interval: Duration,
    /// How long the guest takes for a cycle: the longest one, forgotten slowly.
    cost: Duration,
}

impl Default for Pacer {
    fn default() -> Self {
        let mut pacer =
            Self { cycle: Cycle::NotOurs, asked: false, taken: None, interval: Duration::ZERO, cost: Duration::MAX };
        pacer.set_rate(FALLBACK);
        pacer
    }
}

impl Pacer {
    /// The host's rate.
    pub fn set_rate(&mut self, MaxRate(millihertz): MaxRate) {
        self.interval = Duration::from_nanos(1_000_000_000_000 / u64::from(millihertz.max(1)));
        self.cost = self.interval;
    }

    /// The stream runs and this end drives it, or not (any more).
    pub fn set_driving(&mut self, driving: bool, now: Instant) {
        self.cycle = if driving { Cycle::First { at: now } } else { Cycle::NotOurs };
        (self.asked, self.taken, self.cost) = (false, None, self.interval);
    }

    /// The guest has something to draw.
    pub fn asked(&mut self) {
        self.asked = true;
    }

    /// The host has taken a frame, and wants the next one.
    pub fn taken(&mut self, now: Instant) {
        self.taken = Some(now);
    }

    /// A cycle ended, with a frame or without.
    pub fn arrived(&mut self, now: Instant) {
        let Cycle::Drawing { since } = self.cycle else { return };
        let took = now - since;
        self.cost = took.min(self.interval).max(self.cost - (self.cost.saturating_sub(took)) / 16);
        if took >= self.interval {
            // Slower than the host, whose answers come in between: the guest goes on by itself.
            self.taken = self.taken.or(Some(now - self.interval));
        }
        self.cycle = Cycle::Done { started: since };
    }

    /// When the next cycle is to start, as things are; `is_open` says that the host can take a frame.
    pub fn deadline(&self, is_open: bool) -> Option<Instant> {
        match self.cycle {
            Cycle::NotOurs => None,
            Cycle::First { at } => Some(at),
            Cycle::Drawing { since } => Some(since + LOST),
            Cycle::Done { .. } if !self.asked => None,
            Cycle::Done { started } if is_open => Some(match self.taken {
                // Two answers close to each other are not two frames.
                Some(at) => (at + self.slack()).max(started + self.interval / 2),
                // The answer is late: so is the host's frame.
                None => started + self.interval * 3 / 2,
            }),
            Cycle::Done { started } => Some(started + UNSEEN),
        }
    }

    /// How long the guest can wait after a frame of the host and still be in time for the next.
    fn slack(&self) -> Duration {
        let margin = self.interval / 5;
        self.interval.saturating_sub(self.cost).saturating_sub(margin)
    }

    /// Whether to start a cycle now.
    pub fn take(&mut self, now: Instant, is_open: bool) -> bool {
        let due = self.deadline(is_open).is_some_and(|at| at <= now);
        if due {
            self.asked = false;
            self.taken = None;
            self.cycle = Cycle::Drawing { since: now };
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK: Duration = Duration::from_nanos(16_666_666);

    fn ms(milliseconds: f64) -> Duration {
        Duration::from_secs_f64(milliseconds / 1000.0)
    }

    /// A host at 60 Hz and a guest that always has something to draw and takes `cost` for it. When each cycle began, and
    /// how many of the host's last 60 frames had a new picture.
    struct Simulated {
        started: Vec<Duration>,
        new: usize,
    }

    fn simulate(cost: Duration, answers: impl Fn(u32) -> bool) -> Simulated {
        let begin = Instant::now();
        let mut pacer = Pacer::default();
        pacer.set_driving(true, begin);
        let (mut started, mut arrival, mut committed, mut unanswered) = (Vec::new(), None, Vec::new(), 0);
        let mut shown = Vec::new();
        for step in 0..20_000u32 {
            let since = ms(f64::from(step) * 0.1);
            let now = begin + since;
            if arrival.is_some_and(|at| at <= since) {
                arrival = None;
                pacer.arrived(now);
                pacer.asked();
                // As the mailbox: with two unanswered commits it waits, and a newer one takes its place.
                if unanswered < 2 {
                    committed.push(since);
                    unanswered += 1;
                }
            }
            if (since.as_nanos() / TICK.as_nanos()) != ((since + ms(0.1)).as_nanos() / TICK.as_nanos()) {
                let tick = shown.len() as u32;
                shown.push(!committed.is_empty());
                if answers(tick) && unanswered > 0 {
                    committed.clear();
                    unanswered = 0;
                    pacer.taken(now);
                }
            }
            if pacer.take(now, unanswered < 2) {
                started.push(since);
                arrival = Some(since + cost);
            }
        }
        Simulated { started, new: shown.iter().rev().take(60).filter(|new| **new).count() }
    }

    #[test]
    fn a_guest_in_time_draws_once_a_frame_and_late_in_it() {
        for cost in [1.0, 4.0, 8.0, 12.0, 14.0] {
            let seen = simulate(ms(cost), |_| true);
            assert!(seen.new >= 59, "{cost} ms: {}", seen.new);
            assert!((115..=125).contains(&seen.started.len()), "{cost} ms: {}", seen.started.len());
            let last = seen.started.last().unwrap().as_nanos() % TICK.as_nanos();
            let late = Duration::from_nanos(last as u64) + ms(cost);
            assert!(late > TICK / 2, "{cost} ms: drawn {late:?} after the host's frame");
        }
    }

    #[test]
    fn a_slow_guest_is_not_made_slower() {
        for cost in [17.0, 20.0, 25.0, 40.0] {
            let seen = simulate(ms(cost), |_| true);
            let most = 2000.0 / cost;
            assert!(seen.started.len() as f64 > 0.95 * most, "{cost} ms: {} of {most}", seen.started.len());
        }
    }

    #[test]
    fn a_host_that_never_answers_slows_the_guest_and_does_not_stop_it() {
        let seen = simulate(ms(4.0), |_| false);
        assert!((15..=25).contains(&seen.started.len()), "{}", seen.started.len());
        // One that goes on after a second is followed at once.
        let seen = simulate(ms(4.0), |tick| !(30..60).contains(&tick));
        assert!(seen.new >= 59, "{}", seen.new);
    }

    #[test]
    fn without_something_to_draw_nothing_wakes_up() {
        let now = Instant::now();
        let mut pacer = Pacer::default();
        assert_eq!(pacer.deadline(true), None);
        pacer.set_driving(true, now);
        assert!(pacer.take(now, true));
        pacer.arrived(now + ms(4.0));
        pacer.taken(now + ms(16.0));
        assert_eq!(pacer.deadline(true), None);
        // What comes then is drawn at once.
        pacer.asked();
        assert!(pacer.take(now + ms(500.0), true));
        assert!(!pacer.take(now + ms(501.0), true));
        pacer.set_driving(false, now);
        assert_eq!(pacer.deadline(true), None);
    }

    #[test]
    fn a_cycle_that_brings_nothing_is_started_again() {
        let now = Instant::now();
        let mut pacer = Pacer::default();
        pacer.set_driving(true, now);
        assert!(pacer.take(now, true));
        assert!(!pacer.take(now + ms(249.0), true));
        assert!(pacer.take(now + ms(250.0), true));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Ask,
        Taken,
        Arrive,
        Open(bool),
        Driving(bool),
        Wait(u16),
    }

    proptest! {
        #[test]
        fn whatever_happens_the_guest_goes_on(steps in proptest::collection::vec(prop_oneof![
            Just(Step::Ask), Just(Step::Taken), Just(Step::Arrive), any::<bool>().prop_map(Step::Open),
            prop_oneof![9 => Just(Step::Driving(true)), 1 => Just(Step::Driving(false))], (0..40u16).prop_map(Step::Wait)
        ], 0..200), rate in 10_000..1_000_000u32) {
            let mut now = Instant::now() + Duration::from_secs(3600);
            let (mut pacer, mut open, mut driving) = (Pacer::default(), true, false);
            pacer.set_rate(MaxRate(rate));
            for step in steps {
                match step {
                    Step::Ask => pacer.asked(),
                    Step::Taken => pacer.taken(now),
                    Step::Arrive => pacer.arrived(now),
                    Step::Open(is_open) => open = is_open,
                    Step::Driving(does) => {
                        driving = does;
                        pacer.set_driving(does, now);
                    }
                    Step::Wait(milliseconds) => now += ms(milliseconds.into()),
                }
                pacer.take(now, open);
            }
            pacer.asked();
            let at = pacer.deadline(open);
            prop_assert_eq!(at.is_some(), driving);
            // Whoever asks is heard within a quarter of a second, and the timer that waits for it does fire.
            if let Some(at) = at {
                prop_assert!(at <= now + LOST, "{:?}", at - now);
                prop_assert!(pacer.take(at.max(now), open));
            }
        }
    }
}
