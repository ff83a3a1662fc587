//! When to try the guest again. Pure.

use std::time::Duration;

/// The pause after the first failure.
const FIRST: Duration = Duration::from_millis(100);

/// No pause is longer: a guest that comes back is seen within this time.
const LONGEST: Duration = Duration::from_secs(2);

/// Doubling pauses, from the first to the longest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause before the next try.
    pub fn next_pause(&mut self) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        pause
    }

    /// All is well: the next failure starts from the beginning.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..7).map(|_| backoff.next_pause().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
        backoff.reset();
        assert_eq!(backoff.next_pause(), FIRST);
        backoff.failures = u32::MAX - 1;
        assert_eq!(backoff.next_pause(), LONGEST);
    }
}
