//! The clock that PipeWire's headers and, on all hosts seen, wp_presentation go by.

use rustix::time::{ClockId, clock_gettime};

/// CLOCK_MONOTONIC, ns.
pub fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Its number in protocols.
pub const ID: u32 = ClockId::Monotonic as u32;
