//! When the guest is told of the window's new size: not for every step of a drag, but soon. Pure.

use std::time::{Duration, Instant};

/// The window has to hold still for this long.
const QUIET: Duration = Duration::from_millis(40);

/// A window that never holds still is followed this often.
const LONGEST: Duration = Duration::from_millis(200);

/// Waits for the last of several changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Debounce {
    since: Option<Instant>,
    last: Option<Instant>,
}

impl Debounce {
    /// Something changed.
    pub fn changed(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.last = Some(now);
    }

    /// When [`take`](Self::take) will say yes.
    pub fn deadline(&self) -> Option<Instant> {
        Some((self.last? + QUIET).min(self.since? + LONGEST))
    }

    /// True once when the time has come.
    pub fn take(&mut self, now: Instant) -> bool {
        let due = self.deadline().is_some_and(|deadline| deadline <= now);
        if due {
            *self = Self::default();
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_followed_now_and_then_and_at_its_end() {
        let start = Instant::now();
        let mut debounce = Debounce::default();
        let mut told = Vec::new();
        for step in 0..100u64 {
            let now = start + Duration::from_millis(step * 10);
            if step < 50 {
                debounce.changed(now);
            }
            if debounce.take(now) {
                told.push(step * 10);
            }
        }
        assert!(told.len() <= 4, "{told:?}");
        assert_eq!(told.last(), Some(&530), "{told:?}");
        assert_eq!(debounce.deadline(), None);
    }
}
