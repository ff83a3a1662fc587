//! The rate that is asked of the guest, as its monitor's refresh and as the most frames a second. Pure.
//!
//! Mutter makes the first rate that comes with a size the virtual monitor's refresh, and then drops each frame that comes
//! sooner than 1/rate after the one before: with clocks that are never exact, up to half of them. The same size
//! with a higher rate leaves the refresh as it is and lifts that limit. A monitor that is there already offers its own
//! refresh at most; with a rate of 0/0, which is neither more nor less than any other, it drops none (seen with 43, 48 and 50).

use crate::video::pods::StreamSize;

/// Frames in a thousand seconds; 0 for no rate at all, which is 0/0 as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxRate(pub u32);

/// Lifts Mutter's limit; the most that it takes.
pub const UNLIMITED: MaxRate = MaxRate(1_000_000);

/// No limit, where the rate is not the monitor's refresh.
pub const NO_RATE: MaxRate = MaxRate(0);

/// What is assumed while nothing is known.
pub const FALLBACK: MaxRate = MaxRate(60_000);

impl MaxRate {
    /// The slowest and the fastest that can be asked for.
    pub const BOUNDS: std::ops::RangeInclusive<u32> = 1_000..=1_000_000;

    /// What an output's refresh (mHz) says, if that can be believed: nobody draws a thousand frames a second, or one, for
    /// a screen.
    pub fn of_output(refresh: i32) -> Option<Self> {
        u32::try_from(refresh).ok().filter(|rate| (10_000..1_000_000).contains(rate)).map(Self)
    }
}

/// How far the guest has been told of a rate, for one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateStep {
    /// The refresh rate.
    Refresh,
    /// That there is no limit.
    Lifted,
}

impl RateStep {
    /// What to offer now.
    pub fn offered(self, refresh: MaxRate) -> MaxRate {
        match self {
            Self::Refresh => refresh,
            Self::Lifted => UNLIMITED,
        }
    }

    /// A picture of this size is on the host's screen: whether another offer has to be made. Not before there is
    /// one, since it takes a moment in which the guest sends none; and not of a guest that `takes_every_frame`.
    pub fn shown(&mut self, asked: StreamSize, shown: StreamSize, takes_every_frame: bool) -> bool {
        let lift = *self == Self::Refresh && asked == shown && !takes_every_frame;
        if lift {
            *self = Self::Lifted;
        }
        lift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: StreamSize = StreamSize::Fixed(1280, 720);

    #[test]
    fn the_limit_is_lifted_once_when_a_picture_of_that_size_is_up() {
        let mut step = RateStep::Refresh;
        assert_eq!(step.offered(MaxRate(59_940)), MaxRate(59_940));
        assert!(!step.shown(SIZE, StreamSize::Fixed(640, 360), false));
        assert!(step.shown(SIZE, SIZE, false));
        assert_eq!(step.offered(MaxRate(59_940)), UNLIMITED);
        assert!(!step.shown(SIZE, SIZE, false));
    }

    #[test]
    fn a_guest_without_the_limit_is_left_alone() {
        let mut step = RateStep::Refresh;
        assert!(!step.shown(SIZE, SIZE, true));
        assert_eq!(step, RateStep::Refresh);
    }

    #[test]
    fn not_every_host_can_be_believed() {
        for said in [59_940, 240_000] {
            assert_eq!(MaxRate::of_output(said), Some(MaxRate(said as u32)));
        }
        for absurd in [0, 1, -60_000, 1_000_000, 1_000_001, i32::MAX, i32::MIN] {
            assert_eq!(MaxRate::of_output(absurd), None, "{absurd}");
        }
    }
}
