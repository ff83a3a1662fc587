//! How long each stage of a frame's way takes, and the way of input, as histograms that never allocate once made.
//! Times are CLOCK_MONOTONIC in ns; another stage is one more [`Stage`].

use std::time::Duration;

use hdrhistogram::Histogram;

/// The shortest and the longest time that is told apart, µs; longer ones count as the longest.
const RANGE: (u64, u64) = (1, 60_000_000);

/// Two digits that are right: 5 % of a histogram's memory for three.
const DIGITS: u8 = 2;

/// So many commits can wait for their presentation feedback; more than any host leaves unanswered.
const OPEN: usize = 16;

/// A part of the way of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From the guest's own time of the frame (its pts) until the bridge had it.
    GuestToReceived,
    /// Until it was committed to the host.
    ReceivedToCommitted,
    /// Until the host says it was on the screen (wp_presentation).
    CommittedToPresented,
    /// The first two together.
    GuestToCommitted,
    /// All of it.
    GuestToPresented,
    /// The way of input: from the read of a host's event until it was written to the guest.
    InputReadToSent,
}

/// Every stage, in the order of its histogram.
pub const STAGES: [Stage; 6] = [
    Stage::GuestToReceived,
    Stage::ReceivedToCommitted,
    Stage::CommittedToPresented,
    Stage::GuestToCommitted,
    Stage::GuestToPresented,
    Stage::InputReadToSent,
];

impl Stage {
    /// Its name in reports: letters and underscores only.
    pub fn name(self) -> &'static str {
        match self {
            Self::GuestToReceived => "guest_to_received",
            Self::ReceivedToCommitted => "received_to_committed",
            Self::CommittedToPresented => "committed_to_presented",
            Self::GuestToCommitted => "guest_to_committed",
            Self::GuestToPresented => "guest_to_presented",
            Self::InputReadToSent => "input_read_to_sent",
        }
    }
}

/// What is told of one stage, µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many frames, or events of input.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: u64,
    /// 95 % took no longer.
    pub p95: u64,
    /// 99 % took no longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

#[derive(Clone, Copy, Debug)]
struct Commit {
    number: u64,
    pts: Option<i64>,
    at: i64,
}

#[derive(Debug)]
struct Kept {
    histograms: [Histogram<u64>; STAGES.len()],
    /// Commits by their number modulo the length.
    commits: [Option<Commit>; OPEN],
}

/// The histograms of every stage since they were last cleared; none are kept unless asked for.
#[derive(Debug, Default)]
pub struct Latencies(Option<Box<Kept>>);

impl Latencies {
    /// Keeps histograms from now on.
    pub fn keep() -> Self {
        // Only bounds that make no sense are refused; these are constants, and a test makes them.
        let [a, b, c, d, e, f] = STAGES.map(|_| Histogram::new_with_bounds(RANGE.0, RANGE.1, DIGITS).ok());
        let histograms = a.zip(b).zip(c).zip(d).zip(e).zip(f).map(|(((((a, b), c), d), e), f)| [a, b, c, d, e, f]);
        Self(histograms.map(|histograms| Box::new(Kept { histograms, commits: [None; OPEN] })))
    }

    /// Whether anything is kept.
    pub fn are_kept(&self) -> bool {
        self.0.is_some()
    }

    /// A frame drawn at `pts` and received at `received` became the host's commit `number` at `at`.
    pub fn committed(&mut self, number: u64, pts: Option<i64>, received: i64, at: i64) {
        let Some(kept) = &mut self.0 else { return };
        kept.record(Stage::GuestToReceived, pts, received);
        kept.record(Stage::ReceivedToCommitted, Some(received), at);
        kept.record(Stage::GuestToCommitted, pts, at);
        kept.commits[number as usize % OPEN] = Some(Commit { number, pts, at });
    }

    /// Commit `number` was on the screen at `at`.
    pub fn presented(&mut self, number: u64, at: i64) {
        let Some(kept) = &mut self.0 else { return };
        let commit = kept.commits[number as usize % OPEN].take_if(|commit| commit.number == number);
        let Some(commit) = commit else { return };
        kept.record(Stage::CommittedToPresented, Some(commit.at), at);
        kept.record(Stage::GuestToPresented, commit.pts, at);
    }

    /// So many events of input were written to the guest, none later than this after it was read from the host.
    pub fn input_sent(&mut self, took: Duration, count: u64) {
        let Some(kept) = &mut self.0 else { return };
        let us = u64::try_from(took.as_micros()).unwrap_or(RANGE.1).clamp(RANGE.0, RANGE.1);
        kept.histograms[Stage::InputReadToSent as usize].saturating_record_n(us, count);
    }

    /// What there is of a stage.
    pub fn summary(&self, stage: Stage) -> Summary {
        let Some(histogram) = self.0.as_ref().map(|kept| &kept.histograms[stage as usize]) else {
            return Summary::default();
        };
        Summary {
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.5),
            p95: histogram.value_at_quantile(0.95),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        }
    }

    /// Begins anew; commits that are not presented yet are remembered.
    pub fn clear(&mut self) {
        if let Some(kept) = &mut self.0 {
            kept.histograms.iter_mut().for_each(Histogram::reset);
        }
    }
}

impl Kept {
    fn record(&mut self, stage: Stage, from: Option<i64>, to: i64) {
        // A guest whose clock is another one, or ahead, says nothing about latency.
        let Some(ns) = from.and_then(|from| u64::try_from(to.checked_sub(from)?).ok()) else { return };
        if ns / 1000 <= RANGE.1 {
            self.histograms[stage as usize].saturating_record((ns / 1000).max(RANGE.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_gets_its_own_time() {
        let mut latencies = Latencies::keep();
        latencies.committed(7, Some(1_000_000), 1_200_000, 1_250_000);
        latencies.presented(7, 5_250_000);
        latencies.input_sent(Duration::from_micros(100), 3);
        let p50 = STAGES.map(|stage| latencies.summary(stage).p50);
        // Two digits are right.
        assert_eq!(p50.map(|us| us / 50 * 50), [200, 50, 4000, 250, 4250, 100]);
        assert_eq!(STAGES.map(|stage| latencies.summary(stage).count), [1, 1, 1, 1, 1, 3]);
        assert_eq!(STAGES.map(|stage| stage as usize), [0, 1, 2, 3, 4, 5]);
        latencies.clear();
        assert_eq!(STAGES.map(|stage| latencies.summary(stage)), [Summary::default(); 6]);
    }

    #[test]
    fn times_that_make_no_sense_are_left_out() {
        let mut latencies = Latencies::keep();
        // No pts, one of the future, one of another clock; a commit that nobody made.
        latencies.committed(1, None, 10, 20);
        latencies.committed(2, Some(i64::MAX), 10, 20);
        latencies.committed(3, Some(i64::MIN), 10, 20);
        latencies.committed(4, Some(1), 100_000_000_000_000, 100_000_000_000_020);
        latencies.presented(99, 30);
        latencies.presented(4, i64::MIN);
        assert_eq!(STAGES.map(|stage| latencies.summary(stage).count), [0, 4, 0, 0, 0, 0]);
    }

    #[test]
    fn nothing_is_kept_unless_asked_for() {
        let mut latencies = Latencies::default();
        latencies.committed(1, Some(1), 2, 3);
        assert!(!latencies.are_kept());
        assert_eq!(latencies.summary(Stage::ReceivedToCommitted), Summary::default());
    }
}
