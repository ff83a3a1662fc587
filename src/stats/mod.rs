//! Numbers about the bridge itself: [`counters`] are always kept, [`histograms`] and [`report`] only with `--stats`.
//! Only numbers: whoever does a thing counts it here.

pub mod counters;
pub mod histograms;
pub mod report;

pub use counters::{Path, Stats, SyncKind};
pub use histograms::{Latencies, Stage};
pub use report::Report;
