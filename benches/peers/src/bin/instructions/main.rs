//! How many instructions the pure parts of a frame's way take, and all of it, counted by valgrind: the same on every machine of a kind
//! and at any load, so a change that makes them slower is seen. Started by scripts/bench.
//!
//! Without arguments it counts itself: each part so many times and three times as many, and the difference for one.

mod whole;

use std::fs::File;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::time::Instant;

use wolf_bridge::options::VideoMemory;
use wolf_bridge::stats::Latencies;
use wolf_bridge::video::format::PixelFormat;
use wolf_bridge::video::frame::{BufferId, Frame, Kind, Layout, MAX_PLANES, Negotiated, Plane};
use wolf_bridge::video::mailbox::{Mailbox, Return};
use wolf_bridge::video::meta::{Damage, Metas};
use wolf_bridge::video::negotiation::{HostFormats, Negotiation};

const TIMES: u64 = 1000;

/// A part, what does it so many times, and the most instructions that one time may take: what it took when it was written,
/// and a quarter.
type Part = (&'static str, fn(u64), u64);

const PARTS: [Part; 7] = [
    ("mailbox: a frame goes on, is answered and comes back", shown, 140),
    ("mailbox: a frame is overtaken", overtaken, 24),
    ("metas: damage is read and united", damage, 745),
    ("frame: 4K in shared memory is checked", checked, 390),
    ("latencies: a frame is committed and presented", recorded, 490),
    ("negotiation: a pair among 32 refused ones is looked up", looked_up, 190),
    ("negotiation: offers for a host of 256 pairs", offered, 109_000),
];

/// The most instructions that a frame may take of all the bridge, and its name. How its wake-ups fall makes a fifth of them.
const WHOLE: (&str, u64) = ("the whole bridge: one frame more", 26_000);

/// So many frames are shown, and three times as many.
const FRAMES: u64 = 100;

fn shown(times: u64) {
    let mut mailbox = Mailbox::default();
    for frame in 0..times {
        let id = BufferId(frame % 6);
        black_box(mailbox.put(id, frame));
        if let Some(taken) = mailbox.take_if(|_| true) {
            let _ = black_box(mailbox.commit(taken, Return::OnRelease));
        }
        mailbox.answered();
        let _ = black_box(mailbox.release(id));
    }
}

fn overtaken(times: u64) {
    let mut mailbox = Mailbox::default();
    for frame in 0..times {
        black_box(mailbox.put(BufferId(frame % 6), frame));
    }
}

fn damage(times: u64) {
    // Two rectangles, as struct spa_meta_region: x, y, width, height.
    let words: [u32; 12] = [10, 20, 300, 200, 700, 500, 64, 64, 0, 0, 0, 0];
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    for _ in 0..times {
        let metas = Metas::read(Some(black_box(&bytes)), None, None, (1920, 1080), |_| {});
        let mut unshown = Damage::NONE;
        unshown.add(&metas.damage);
        black_box(unshown);
    }
}

fn checked(times: u64) {
    let (width, height) = (3840, 2160);
    let size = width * height * 4;
    let Ok(file) = tempfile::tempfile() else { return };
    let Ok(()) = File::set_len(&file, size.into()) else { return };
    let mut layouts = [Layout { offset: 0, stride: 0, size: 0 }; MAX_PLANES];
    layouts[0] = Layout { offset: 0, stride: width as i32 * 4, size };
    let frame = Frame {
        buffer: BufferId(1),
        planes: Rc::new([Plane { kind: Kind::MemFd, fd: Some(file), map_offset: 0, max_size: size }]),
        layouts,
        negotiated: Negotiated { format: PixelFormat::Xrgb8888, modifier: None, width, height },
        pts: None,
        received: 0,
        metas: Metas::default(),
        sync: None,
    };
    for _ in 0..times {
        assert!(black_box(&frame).check_shm().is_ok());
    }
}

fn recorded(times: u64) {
    let mut latencies = Latencies::keep();
    for frame in 0..times {
        let pts = frame as i64 * 16_666_667;
        latencies.committed(frame, Some(pts), pts + 200_000, pts + 260_000);
        latencies.presented(frame, pts + 9_000_000);
    }
    black_box(latencies);
}

/// What a GPU lists: its formats in 32 layouts each, the best ones in a tranche of their own.
fn host_formats() -> HostFormats {
    let formats = [
        PixelFormat::Xrgb8888,
        PixelFormat::Argb8888,
        PixelFormat::Xbgr8888,
        PixelFormat::Abgr8888,
        PixelFormat::Xrgb2101010,
        PixelFormat::Argb2101010,
        PixelFormat::Rgb565,
        PixelFormat::Nv12,
    ];
    let pairs = formats.into_iter().flat_map(|format| (0..32).map(move |modifier| (format, modifier)));
    HostFormats { dmabuf: pairs.collect(), tranche_ends: vec![64], shm: formats[..2].to_vec(), ..Default::default() }
}

fn looked_up(times: u64) {
    let mut negotiation = Negotiation::new(VideoMemory::Auto);
    for (format, modifier) in host_formats().dmabuf.into_iter().step_by(8) {
        negotiation.refuse(format, modifier, Instant::now());
    }
    for time in 0..times {
        black_box(negotiation.is_refused(PixelFormat::Xrgb2101010, black_box(time % 32)));
    }
}

fn offered(times: u64) {
    let (negotiation, host) = (Negotiation::new(VideoMemory::Auto), host_formats());
    for _ in 0..times {
        black_box(negotiation.offers(black_box(&host)));
    }
}

/// What callgrind says it has counted.
fn collected(told: &str) -> Option<u64> {
    told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
}

/// The instructions of a part, so many times.
fn count(part: usize, times: u64) -> Result<u64, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(own);
    let output = valgrind.args([part.to_string(), times.to_string()]).output();
    let output = output.map_err(|error| format!("valgrind does not run: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    collected(&told).filter(|_| output.status.success()).ok_or_else(|| format!("valgrind counted nothing:\n{told}"))
}

/// Tells a count, and whether it is no more than it may be.
fn judge(name: &str, count: u64, limit: u64) -> bool {
    let word = if count <= limit { "reached" } else { "MISSED" };
    println!("{word}: instructions of {name}: {count} (at most {limit})");
    count <= limit
}

fn count_all() -> Result<bool, String> {
    let mut all_met = true;
    for (part, (name, _, limit)) in PARTS.iter().enumerate() {
        let once = (count(part, 3 * TIMES)?.saturating_sub(count(part, TIMES)?)) / (2 * TIMES);
        all_met &= judge(name, once, *limit);
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let bridge = own.with_file_name("wolf-bridge");
    let once = (whole::count(&bridge, 3 * FRAMES)?.saturating_sub(whole::count(&bridge, FRAMES)?)) / (2 * FRAMES);
    all_met &= judge(WHOLE.0, once, WHOLE.1);
    Ok(all_met)
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    if let (Some(part), Some(times)) = (words.next(), words.next()) {
        let Some((_, run, _)) = PARTS.get(part as usize) else { return ExitCode::from(2) };
        run(times);
        return ExitCode::SUCCESS;
    }
    match count_all() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("instructions: {why}");
            ExitCode::from(2)
        }
    }
}
