//! How smooth a real GNOME is in a host that shows exactly 60 frames a second: the fake one, since sway's and weston's
//! headless outputs tick every 16 ms. A measurement, not a check:
//! `cargo test --release --test rates -- --ignored --nocapture`, on a busy machine under `chrt -r 5`.
//! WB_SUITES (bookworm,trixie,forky), WB_SOURCES (virtual,monitor), WB_PACES (guest,host), WB_SIZE and WB_SECONDS choose.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::usage::{cpu, switches};
use common::{Bridge, wait_for};
use fake_host::{FakeHost, Output};
use lab::{Canvas, Gnome, Suite};

const SOON: Duration = Duration::from_secs(30);

/// The gnome-shell of the session with this run directory.
fn shell(dir: &Path) -> u32 {
    let ours = format!("XDG_RUNTIME_DIR={}\0", dir.display());
    let is_it = |pid: u32| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        (comm.trim() == "gnome-shell" && String::from_utf8_lossy(&environ).contains(&ours)).then_some(pid)
    };
    let pids = std::fs::read_dir("/proc").expect("/proc").flatten();
    pids.filter_map(|entry| is_it(entry.file_name().to_str()?.parse().ok()?)).next().expect("a gnome-shell")
}

fn listed(name: &str, default: &str) -> Vec<String> {
    std::env::var(name).unwrap_or_else(|_| default.into()).split(',').map(str::to_owned).collect()
}

fn measure(suite: Suite, source: &str, pace: &str, seconds: f64) {
    let size = std::env::var("WB_SIZE").unwrap_or_else(|_| "1280x720".into());
    let (width, height) =
        size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?))).expect("WxH");
    let host = FakeHost::builder().wolf().output(Output::new(width, height, 60_000)).blind().start().unwrap();
    let monitor = source == "monitor";
    let arguments = format!("--virtual-monitor {width}x{height}@60");
    let mut env = vec![("WB_ANIMATIONS", "0")];
    if monitor {
        env.push(("GNOME_ARGS", &arguments));
    }
    let gnome = Gnome::start_with(suite, &env);
    let shell = shell(gnome.dir());
    let window = |what: &str, canvas: &Canvas, bridge: Option<&Bridge>| {
        let counts = || {
            let host = host.look(|seen| (seen.ticks, seen.presented));
            let bridge = bridge.map(|it| {
                let of = |name| it.counter(name);
                (of("frames_in"), of("committed"), of("dropped"), cpu(it.pid()))
            });
            (Instant::now(), canvas.seen().shown, host, bridge, cpu(shell))
        };
        let before = counts();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        let after = counts();
        let took = (after.0 - before.0).as_secs_f64();
        let rate = |from: i64, to: i64| (to - from) as f64 / took;
        print!(
            "{:8} {source:7} {pace:5} {what:6} canvas {:5.1}/s shell {:4.1} %",
            suite.name(),
            rate(before.1 as i64, after.1 as i64),
            (after.4 - before.4).as_secs_f64() / took * 100.0
        );
        if let (Some(before_bridge), Some(after_bridge)) = (before.3, after.3) {
            let ticks = (after.2.0 - before.2.0) as f64;
            print!(
                " in {:5.1}/s committed {:5.1}/s dropped {:4.1}/s ticks {:5.1}/s new {:5.1} % bridge {:.2} %",
                rate(before_bridge.0, after_bridge.0),
                rate(before_bridge.1, after_bridge.1),
                rate(before_bridge.2, after_bridge.2),
                ticks / took,
                (after.2.1 - before.2.1) as f64 / ticks * 100.0,
                (after_bridge.3 - before_bridge.3).as_secs_f64() / took * 100.0
            );
        }
        println!();
    };
    let canvas = if monitor {
        let canvas = Canvas::open(&gnome.wayland_socket(), 7);
        canvas.wait_for_size(width as u32, height as u32, SOON).unwrap();
        canvas.animate(true);
        std::thread::sleep(Duration::from_secs(2));
        window("alone", &canvas, None);
        Some(canvas)
    } else {
        None
    };
    let mut args = vec!["--log", "info", "--stats=text", "--stats-period", "4", "--pace", pace];
    if monitor {
        args.extend(["--monitor", "Meta-0"]);
    }
    let bridge = Bridge::start_beside(suite, host.socket(), &gnome.env(), &args);
    wait_for("a picture in the host", SOON, || (host.look(|seen| seen.frame_count()) > 0).then_some(()));
    let canvas = canvas.unwrap_or_else(|| Canvas::open(&gnome.wayland_socket(), 7));
    bridge.expect(canvas.wait_for_size(width as u32, height as u32, SOON));
    if !monitor {
        std::thread::sleep(Duration::from_secs(3));
        let sleeps = switches(bridge.pid());
        std::thread::sleep(Duration::from_secs(5));
        println!(
            "{:8} {source:7} {pace:5} wake-ups in 5 s with nothing new: {}",
            suite.name(),
            switches(bridge.pid()) - sleeps
        );
    }
    canvas.animate(true);
    std::thread::sleep(Duration::from_secs(3));
    for _ in 0..2 {
        window("bridge", &canvas, Some(&bridge));
    }
    let ended = bridge.end();
    // The period before the last one is one of the animation alone.
    let told: Vec<&str> = ended.log.lines().filter(|line| line.contains("guest to ")).collect();
    let third = told.len() / 3;
    println!("{}", told[told.len().saturating_sub(third)..].join("\n"));
}

#[test]
#[ignore = "a measurement, not a check: machines are noisy"]
fn rates() {
    if lab::skip() {
        return;
    }
    let seconds = std::env::var("WB_SECONDS").ok().and_then(|it| it.parse().ok()).unwrap_or(8.0);
    for suite in [Suite::Bookworm, Suite::Trixie, Suite::Forky] {
        if !listed("WB_SUITES", "bookworm,trixie,forky").iter().any(|it| it == suite.name()) {
            continue;
        }
        for source in listed("WB_SOURCES", "virtual,monitor") {
            for pace in listed("WB_PACES", "guest,host") {
                if pace == "host" && (suite != Suite::Forky || source != "virtual") {
                    // Such a guest keeps its own clock.
                    continue;
                }
                measure(suite, &source, &pace, seconds);
            }
        }
    }
}
