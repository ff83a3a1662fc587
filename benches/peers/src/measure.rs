//! One peer for a while: CPU time and memory from /proc, and each commit as the host saw it arrive.

use std::fs;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fake_host::FakeHost;
use rustix::time::{ClockId, clock_gettime};

use crate::case::Case;
use crate::glance::{Eyes, Place};
use crate::guest::{Code, Guest};
use crate::peer::{Peer, Places, Running};

/// Long enough for a peer to show its first frames on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// So long frames may not appear before they are sent anew.
const AGAIN: Duration = Duration::from_secs(5);

/// So long everything runs before it is measured; a real desktop takes longer to settle.
const WARM_UP: Duration = Duration::from_secs(1);

/// What was seen of one peer in one turn.
#[derive(Debug, Default)]
pub struct Sample {
    /// CPU time of all its threads, user and system, ns.
    pub cpu_ns: u64,
    /// Resident memory at the end, kB.
    pub rss_kb: u64,
    /// Frames that the guest sent; of a real one: pictures that its window drew.
    pub frames_in: u64,
    /// Commits with a new frame that the host saw.
    pub committed: u64,
    /// Frames that the host rendered meanwhile.
    pub host_frames: u64,
    /// Bytes of pixels in commits whose memory is not the guest's.
    pub copied_bytes: u64,
    /// Commits of DMA-BUFs.
    pub dmabufs: u64,
    /// From the guest's pts (of a real one: from the window's commit) to the commit's arrival at the host, ns.
    pub latencies: Vec<i64>,
}

/// A commit as it arrived.
struct Arrival {
    at: i64,
    code: Option<Code>,
    /// The name of the file with its pixels.
    file: String,
}

/// CLOCK_MONOTONIC, ns.
pub fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

fn arrival(eyes: &Eyes, file: BorrowedFd<'_>, place: Place) -> Arrival {
    let at = now();
    let code = eyes.read(file, place);
    let file = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
    Arrival { at, code, file: file.to_string_lossy().into_owned() }
}

/// Whether the peer still runs, and the host has not ended it.
fn alive(running: &mut Running, host: &FakeHost) -> Result<(), String> {
    if let Some(error) = host.look(|seen| seen.errors.first().map(|error| format!("{error:?}"))) {
        return Err(running.why(format!("the host ended it: {error}")));
    }
    match running.ended() {
        Some(status) => Err(running.why(format!("it ended by itself: {status}"))),
        None => Ok(()),
    }
}

/// Begins to send frames, until some are seen at the host.
fn show(running: &mut Running, host: &FakeHost, arrivals: &Mutex<Vec<Arrival>>) -> Result<(), String> {
    let (soon, again) = (lab::patience(SOON), lab::patience(AGAIN));
    let began = Instant::now();
    loop {
        if let Err(why) = running.guest.begin(soon) {
            return Err(running.why(why));
        }
        let since = now();
        let tried = Instant::now();
        while tried.elapsed() < again {
            thread::sleep(Duration::from_millis(20));
            alive(running, host)?;
            let clock = running.guest.clock();
            let arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
            let new = arrivals.iter().rev().take_while(|arrival| arrival.at > since);
            if new.filter(|arrival| arrival.code.as_ref().and_then(&clock).is_some()).count() >= 20 {
                return Ok(());
            }
        }
        if began.elapsed() > soon {
            let all = arrivals.lock().unwrap_or_else(PoisonError::into_inner).len();
            return Err(running.why(format!("no frames of the guest in {all} commits")));
        }
    }
}

/// Runs a peer and measures it.
pub fn run(case: &Case, peer: Peer, bridge: &Path, length: Duration) -> Result<Sample, String> {
    let arrivals = Arc::new(Mutex::new(Vec::with_capacity(1 << 16)));
    let noted = arrivals.clone();
    let (look_at, from_start) = Guest::look_at(case);
    let eyes = Eyes::new(case.is_drawn_on_gpu()).map_err(|error| format!("no GPU to look at: {error}"))?;
    let note = move |file: BorrowedFd<'_>, offset| {
        let arrival = arrival(&eyes, file, Place { pixel: look_at, offset: offset + from_start });
        noted.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
    };
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let host = case.host().on_commit(note).start().map_err(|error| error.to_string())?;
    let places = Places { bridge, host: host.socket(), dir: dir.path() };
    let mut running = Running::start(case, peer, places, lab::patience(SOON))?;
    show(&mut running, &host, &arrivals)?;
    thread::sleep(if case.needs_desktop() { WARM_UP * 2 } else { WARM_UP });

    let before = (now(), cpu_ns(running.pid())?, running.guest.made());
    thread::sleep(length);
    let after = (now(), cpu_ns(running.pid())?, running.guest.made());
    let rss_kb = rss_kb(running.pid())?;
    alive(&mut running, &host)?;

    let host_frames = ((after.0 - before.0) as f64 * 60.0 / 1e9) as u64;
    let mut sample =
        Sample { cpu_ns: after.1 - before.1, frames_in: after.2 - before.2, rss_kb, host_frames, ..Default::default() };
    let clock = running.guest.clock();
    let arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
    let mut last = None;
    for arrival in arrivals.iter().filter(|arrival| (before.0..after.0).contains(&arrival.at)) {
        // A commit without a new frame, such as one for a new size, is not one more frame.
        let made = arrival.code.as_ref().and_then(&clock);
        let Some(made) = made.filter(|made| last.is_none_or(|last| last < *made)) else { continue };
        last = Some(made);
        sample.committed += 1;
        sample.latencies.push(arrival.at - made);
        sample.dmabufs += u64::from(arrival.file.starts_with("/dmabuf"));
        if !running.guest.is_own(&arrival.file) {
            sample.copied_bytes += u64::from(case.size.0) * u64::from(case.size.1) * 4;
        }
    }
    if std::env::var_os("WB_BENCH_DEBUG").is_some() {
        eprintln!("{} {}: {:?}", case.name, peer.name(), arrivals.last().map(|it| it.file.clone()));
        eprintln!("{}", running.why(String::new()));
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
