//! A frame on its way through the bridge allocates nothing, but for what wayland-backend does with each new object.
//!
//! The bridge runs as a library in a child process, this test binary itself, whose allocator counts on the bridge's
//! thread alone; the fakes are in the parent.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser as _;
use common::SOON;
use common::world::{BLUE, LINEAR, RED, XR24, gpu, wolf};
use fake_guest::{FakeGuest, Fill, GuestOptions, MutterOptions, ProducerOptions};
use fake_host::{Builder, Dmabuf, FakeHost, Output, Seen};
use wolf_bridge::bridge::Bridge;
use wolf_bridge::options::Options;

/// Set in the child: the bridge's arguments, separated by line breaks.
const ARGS: &str = "WB_COUNTED_BRIDGE";

/// Sizes from this on are counted together.
const LARGE: usize = 4096;

static ALLOCATIONS: [AtomicU64; LARGE + 1] = [const { AtomicU64::new(0) }; LARGE + 1];

thread_local! {
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

fn count(size: usize) {
    if COUNTED.try_with(Cell::get) == Ok(true) {
        ALLOCATIONS[size.min(LARGE)].fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is the system's; counting touches no memory of the allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The child: a bridge on this thread, and another thread that tells the counts for each line it reads.
fn be_the_bridge(args: &str) {
    wolf_bridge::logging::init("info").unwrap();
    std::thread::spawn(|| {
        for _ in std::io::stdin().lines().map_while(Result::ok) {
            let sizes = ALLOCATIONS.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
            let told: Vec<String> =
                sizes.filter(|(_, count)| *count > 0).map(|(size, count)| format!("{size}:{count}")).collect();
            println!("counts {}", told.join(" "));
        }
        std::process::exit(0);
    });
    let options = Options::try_parse_from(std::iter::once("wolf-bridge").chain(args.lines())).unwrap();
    COUNTED.set(true);
    let end = Bridge::run(options);
    COUNTED.set(false);
    end.unwrap();
}

struct Counted {
    child: Child,
    asks: ChildStdin,
    tells: BufReader<ChildStdout>,
}

impl Counted {
    fn start(host: &Path, guest: &FakeGuest, args: &[&str]) -> Self {
        let args = [&["--host", host.to_str().unwrap()], args].concat().join("\n");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_frame_allocates_nothing", "--nocapture"]).env_clear().envs(guest.env());
        command.env(ARGS, args).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (asks, tells) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, asks, tells }
    }

    /// Allocations so far, by size in bytes.
    fn counts(&mut self) -> Vec<(usize, u64)> {
        self.asks.write_all(b"\n").unwrap();
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.tells.read_line(&mut line).unwrap() > 0, "the bridge has ended");
            // libtest puts its own words before the first.
            let Some((_, counts)) = line.split_once("counts ") else { continue };
            let pair =
                |pair: &str| pair.split_once(':').map(|(size, count)| (size.parse().unwrap(), count.parse().unwrap()));
            return counts.split_whitespace().filter_map(pair).collect();
        }
    }
}

impl Counted {
    /// Taken while nothing happens.
    fn snapshot(&mut self, host: &FakeHost) -> Snapshot {
        let seen = || host.look(|seen| (frames_of(seen), seen.presented as u64));
        common::wait_for("a moment of rest", SOON, || {
            // Before the rest: what the host has sent by now, the bridge has handled then.
            let (commits, presented) = seen();
            rest(host);
            let allocations = self.counts();
            rest(host);
            (seen() == (commits, presented)).then_some(Snapshot { allocations, commits, presented })
        })
    }
}

/// Waits until both sides have handled all that the other has sent.
fn rest(host: &FakeHost) {
    host.wait(|seen| seen.callbacks_done == seen.callbacks_asked, SOON).unwrap();
    let ping = host.ping();
    host.wait(|seen| seen.pongs.contains(&ping), SOON).unwrap();
}

/// What the bridge has allocated, by size, and what the host has seen of it, at one moment.
struct Snapshot {
    allocations: Vec<(usize, u64)>,
    commits: u64,
    presented: u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is allocated between two counts.
fn difference(before: &[(usize, u64)], after: &[(usize, u64)]) -> Vec<(usize, u64)> {
    let was = |size: usize| before.iter().find(|(known, _)| *known == size).map_or(0, |(_, count)| *count);
    after.iter().map(|(size, count)| (*size, count - was(*size))).filter(|(_, count)| *count > 0).collect()
}

/// PipeWire 0.3.65 may lose a frame, or keep all of a stream's buffers, where there is too much else to do: there is nothing to
/// count then.
const TRIES: usize = 4;

#[test]
fn a_frame_allocates_nothing() {
    if let Ok(args) = std::env::var(ARGS) {
        return be_the_bridge(&args);
    }
    let dmabuf = || wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)]));
    let (shm, gpu) = (ProducerOptions::default(), gpu(&[LINEAR]));
    let stats = ["--stats=json", "--stats-file", "/dev/null", "--stats-period", "86400"];
    let cases = [
        ("memfd", wolf as fn() -> Builder, &shm, &[][..]),
        ("dmabuf", dmabuf, &gpu, &[]),
        ("memfd with --stats", wolf, &shm, &stats),
    ];
    for (name, host, producer, args) in cases {
        let lost = |try_| match compare(name, host(), producer.clone(), args) {
            Ok(()) => false,
            Err(why) => {
                println!("{name}, try {try_}: {why}");
                true
            }
        };
        assert!(!(0..TRIES).all(lost), "{name}: frames were lost each time");
    }
}

/// Compares what a bridge allocates while frames go by with what is known of that; says so when they do not.
fn compare(name: &str, host: Builder, producer: ProducerOptions, args: &[&str]) -> Result<(), String> {
    // Small, for the producer's sake: it draws every pixel of every frame.
    let host = host.output(Output::new(320, 200, 60_000)).start().unwrap();
    let mutter = MutterOptions { producer, ..Default::default() };
    let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() }).unwrap();
    let mut bridge = Counted::start(host.socket(), &guest, args);
    let producer = guest.mutter.producer(SOON).unwrap();
    // The rate's second step, and a warm-up of everything that grows once.
    show(&host, &producer, RED);
    producer.wait(|s| s.ready().filter(|f| f.max_framerate == (1000, 1)), SOON).unwrap();
    (0..100).try_for_each(|_| send(&host, &producer))?;
    for (rate, hz) in [("as fast as they are answered", None), ("at four times the host's rate", Some(240.0))] {
        show(&host, &producer, BLUE);
        let before = bridge.snapshot(&host);
        match hz {
            None => (0..200).try_for_each(|_| send(&host, &producer))?,
            Some(hz) => {
                producer.animate(hz);
                let enough = host.wait(|seen| frames_of(seen) >= before.commits + 200, SOON);
                enough.map_err(|error| format!("{error}\n{:?}", producer.state()))?;
                producer.stop();
            }
        }
        show(&host, &producer, RED);
        let after = bridge.snapshot(&host);
        let (commits, presented) = (after.commits - before.commits, after.presented - before.presented);
        let allocations = difference(&before.allocations, &after.allocations);
        println!("{name}, {rate}: {commits} commits, {presented} presented; size and number: {allocations:?}");
        // Arc::new(DumbObjectData) in wayland-backend 0.3.17's send_request, for every object made: the frame
        // callback, and the presentation feedback. What presented says has more arguments than fit in line there.
        let expected = match args {
            [] => vec![(16, commits)],
            _ => vec![(16, 2 * commits), (128, presented), (168, presented)],
        };
        assert_eq!(allocations, expected, "{name}, {rate}");
    }
    assert!(host.look(|seen| seen.oddities.is_empty()));
    Ok(())
}

fn frames_of(seen: &Seen) -> u64 {
    seen.frame_count() as u64
}

/// Sends a frame and waits until the host has it.
fn send(host: &FakeHost, producer: &fake_guest::Producer) -> Result<(), String> {
    let before = host.look(frames_of);
    producer.send(Fill::Keep, SOON).unwrap();
    let there = host.wait(|seen| frames_of(seen) > before, SOON);
    there.map_err(|error| format!("{error}\n{:?}", producer.state()))
}

/// Sends a colour until the host shows it.
fn show(host: &FakeHost, producer: &fake_guest::Producer, (fill, colour): (Fill, u32)) {
    common::wait_for("the colour", SOON, || {
        producer.send(fill, SOON).unwrap();
        (host.pixel(100, 100) == Some(colour)).then_some(())
    });
}
