//! One peer for a while: CPU time and memory from /proc, and each commit as the host saw it arrive.

use std::fs;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fake_guest::read_time_code;
use rustix::time::{ClockId, clock_gettime};

use crate::case::Case;
use crate::peer::{Peer, Running};

/// Long enough for a peer to show its first frames on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// So long everything runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// What was seen of one peer in one turn.
#[derive(Debug, Default)]
pub struct Sample {
    /// CPU time of all its threads, user and system, ns.
    pub cpu_ns: u64,
    /// Resident memory at the end, kB.
    pub rss_kb: u64,
    /// Frames that the guest sent.
    pub frames_in: u64,
    /// Commits with a new frame that the host saw.
    pub committed: u64,
    /// Bytes of pixels in commits whose memory is not the guest's.
    pub copied_bytes: u64,
    /// From the guest's pts to the commit's arrival at the host, ns.
    pub latencies: Vec<i64>,
}

/// A commit as it arrived.
#[derive(Clone, Copy)]
struct Arrival {
    at: i64,
    pts: Option<i64>,
    is_guests: bool,
}

fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn arrival(file: BorrowedFd<'_>, offset: u64) -> Arrival {
    let at = now();
    let mut code = [0; 16];
    let read = rustix::io::pread(file, &mut code, offset);
    let pts = read.ok().filter(|read| *read == code.len()).and_then(|_| read_time_code(&code));
    let name = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
    Arrival { at, pts, is_guests: name.to_string_lossy().contains("fake-guest") }
}

/// Runs a peer and measures it.
pub fn run(case: &Case, peer: Peer, bridge: &Path, length: Duration) -> Result<Sample, String> {
    let arrivals = Arc::new(Mutex::new(Vec::with_capacity(1 << 16)));
    let noted = arrivals.clone();
    let note = move |file: BorrowedFd<'_>, offset| {
        let arrival = arrival(file, offset);
        if let Ok(mut arrivals) = noted.lock() {
            arrivals.push(arrival);
        }
    };
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let host = case.host().on_commit(note).start().map_err(|error| error.to_string())?;
    let running = Running::start(case, peer, bridge, host.socket(), dir.path())?;
    let producer = &running.producer;

    producer.tick(case.rate);
    let count = || arrivals.lock().map_or(0, |arrivals| arrivals.len());
    let began = Instant::now();
    while count() < 30 {
        if began.elapsed() > SOON {
            return Err(running.why(format!("it showed {} frames only", count())));
        }
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(WARM_UP);

    let before = (now(), cpu_ns(running.pid())?, producer.state().sent);
    thread::sleep(length);
    let after = (now(), cpu_ns(running.pid())?, producer.state().sent);
    let rss_kb = rss_kb(running.pid())?;
    let oddities = host.look(|seen| seen.errors.len());
    if oddities > 0 {
        return Err(running.why("the host ended it".into()));
    }

    let mut sample = Sample { cpu_ns: after.1 - before.1, frames_in: after.2 - before.2, rss_kb, ..Default::default() };
    let arrivals = arrivals.lock().map_err(|_| "the host's thread panicked")?;
    let mut last = None;
    for arrival in arrivals.iter().filter(|arrival| (before.0..after.0).contains(&arrival.at)) {
        // A commit without a new frame, such as one for a new size, is not one more frame.
        let Some(pts) = arrival.pts.filter(|pts| last.is_none_or(|last| last < *pts)) else { continue };
        last = Some(pts);
        sample.committed += 1;
        sample.latencies.push(arrival.at - pts);
        if !arrival.is_guests {
            sample.copied_bytes += u64::from(case.size.0) * u64::from(case.size.1) * 4;
        }
    }
    if sample.committed == 0 || sample.frames_in == 0 {
        return Err(running.why("no frame was shown while it was measured".into()));
    }
    Ok(sample)
}

/// CPU time of all threads of a process, to the ns: the scheduler's own count.
fn cpu_ns(pid: u32) -> Result<u64, String> {
    let gone = |_| format!("process {pid} ended, or the kernel has no schedstat");
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(gone)?;
    let mut sum = 0;
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("schedstat")).map_err(gone)?;
        let ns = text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok());
        sum += ns.ok_or("schedstat has another form")?;
    }
    Ok(sum)
}

fn rss_kb(pid: u32) -> Result<u64, String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|error| error.to_string())?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.split_whitespace().next()).and_then(|kb| kb.parse().ok());
    kb.ok_or_else(|| "no VmRSS".into())
}
