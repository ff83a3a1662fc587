//! Figures of the input path: how long an event takes while frames flow, and what a fast mouse costs; beside a fake guest, and
//! beside GNOME 48, sway and (in the virtual machine) KWin.
//! `cargo test --release --test input_figures -- --ignored --nocapture --test-threads 1`, on a busy machine under `chrt -r 5`.

mod common;

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use common::desktops::soon;
use common::usage::cpu;
use common::vm::on_gpu;
use common::world::{World, wolf};
use common::{Bridge, SOON, wait_for};
use fake_guest::GuestOptions;
use fake_host::FakeHost;
use fake_host::code::BTN_LEFT;
use lab::{Canvas, Gnome, Input, Kwin, Suite, SwayGuest};
use serde_json::Value;

/// Does so often a second, for so long, with the number of the step.
fn paced(hertz: u32, seconds: u32, mut act: impl FnMut(u32)) {
    let began = Instant::now();
    for step in 0..hertz * seconds {
        let due = began + Duration::from_secs(1) * step / hertz;
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(early);
        }
        act(step);
    }
}

/// Moves the host's pointer so often a second, for so long.
fn moves(world: &World, hertz: u32, seconds: u32) {
    paced(hertz, seconds, |step| {
        world.host.pointer().move_by(if step % 200 < 100 { 1.0 } else { -1.0 }, 0.0);
    });
}

/// What the bridge told of its times in this file.
fn told(file: &Path) -> Value {
    let told = std::fs::read_to_string(file).unwrap();
    let line: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    line["latency_us"]["input_read_to_sent"].clone()
}

#[test]
#[ignore = "a measurement, not a check: machines are noisy"]
fn figures() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats");
    for (hertz, frames, mode) in [
        (0, true, "absolute"),
        (1000, false, "absolute"),
        (1000, true, "absolute"),
        (1000, true, "relative"),
        (8000, true, "relative"),
    ] {
        let _ = std::fs::remove_file(&file);
        let args = ["--pointer", mode, "--stats=json", "--stats-period", "600", "--stats-file", file.to_str().unwrap()];
        let world = World::with(wolf(), GuestOptions::default(), &args);
        world.settle();
        world.host.pointer().move_to(600.0, 300.0).click(BTN_LEFT);
        wait_for("input in the guest", SOON, || {
            let got = world.guest.eis.state().log;
            got.iter().any(|logged| logged.input == fake_guest::Input::Button(BTN_LEFT, false)).then_some(())
        });
        if frames {
            world.producer().animate(60.0);
        }
        let (before, sent, began) = (cpu(world.bridge.pid()), world.bridge.counter("input_sent"), Instant::now());
        match hertz {
            0 => std::thread::sleep(Duration::from_secs(10)),
            hertz => moves(&world, hertz, 10),
        }
        let (seconds, used) = (began.elapsed().as_secs_f64(), cpu(world.bridge.pid()) - before);
        let sent = world.bridge.counter("input_sent") - sent;
        world.producer().stop();
        world.bridge.end();
        println!(
            "{mode} {hertz} Hz, frames {frames}: {:.0} events/s, CPU {:.2} %, read to sent {}",
            sent as f64 / seconds,
            used.as_secs_f64() / seconds * 100.0,
            told(&file)
        );
    }
}

/// A real guest, and how a bridge gets into it.
struct Guest<'a> {
    env: Vec<(&'static str, String)>,
    processes: Option<File>,
    /// For its Wayland clients.
    socket: &'a Path,
    args: &'a [&'a str],
}

/// So many different places are in a row.
const ROW: u32 = 1200;

/// The place of each step, a pixel that no other step of the same run has.
fn place(step: u32) -> (f64, f64) {
    (f64::from(10 + step % ROW), f64::from(10 + step / ROW))
}

/// The step of a place.
fn step((x, y): (f64, f64)) -> Option<u32> {
    let [column, row] = [x, y].map(|at| at.round() as i64 - 10);
    (0..i64::from(ROW)).contains(&column).then(|| u32::try_from(row * i64::from(ROW) + column).ok())?
}

/// Points at one pixel after another in a window of this guest, which draws another picture at every chance, and prints what
/// that took, and how many of the places the window heard of. None comes late: each is behind the one before.
fn measure(name: &str, guest: &Guest<'_>, host: &FakeHost, hertz: u32, seconds: u32) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats");
    let mut env = guest.env.clone();
    env.push(("XDG_STATE_HOME", dir.path().display().to_string()));
    let stats = ["--stats=json", "--stats-period", "600", "--stats-file", file.to_str().unwrap()];
    let args = [guest.args, &["--pointer", "absolute"], &stats].concat();
    let bridge = match &guest.processes {
        Some(processes) => Bridge::start_among(processes, host.socket(), &env, &args),
        None => Bridge::start(host.socket(), &env, &args),
    };
    bridge.expect(host.wait(|seen| seen.frame_count() > 0, soon()));
    let canvas = Canvas::open(guest.socket, 1);
    bridge.expect(canvas.wait_for_size(1280, 720, soon()));
    canvas.animate(true);
    let points_at = |at: (f64, f64)| {
        wait_for("the guest's pointer", soon(), || {
            host.pointer().move_to(at.0 + 1.0, at.1).move_to(at.0, at.1);
            canvas.wait(Duration::from_millis(500), |seen| (seen.pointer == Some(at)).then_some(())).ok()
        });
    };
    points_at((5.0, 5.0));
    canvas.forget();
    let frames = host.look(fake_host::Seen::frame_count);
    let (before, sent, began) = (cpu(bridge.pid()), bridge.counter("input_sent"), Instant::now());
    paced(hertz, seconds, |step| {
        let (x, y) = place(step);
        host.pointer().move_to(x, y);
    });
    let (took, used) = (began.elapsed().as_secs_f64(), cpu(bridge.pid()) - before);
    let steps = hertz * seconds;
    let last = place(steps - 1);
    bridge.expect(canvas.wait(soon(), |seen| (seen.pointer == Some(last)).then_some(())));
    let late = began.elapsed().as_secs_f64() - took;
    let sent = bridge.counter("input_sent") - sent;
    let frames = host.look(fake_host::Seen::frame_count) - frames;
    let heard: Vec<u32> = canvas
        .seen()
        .input
        .iter()
        .filter_map(|input| match input {
            Input::Motion { x, y } => step((*x, *y)),
            _ => None,
        })
        .collect();
    assert!(heard.is_sorted(), "{name}: places came in another order");
    let mut different = heard.clone();
    different.dedup();
    bridge.end();
    println!(
        "{name}, asked for {hertz} Hz: {:.0} places/s and {:.0} frames/s, CPU {:.2} %, read to sent {}; sent {sent}, the window heard of {} of {steps}, of the last after {late:.2} s",
        f64::from(steps) / took,
        frames as f64 / took,
        used.as_secs_f64() / took * 100.0,
        told(&file),
        different.len(),
    );
}

#[test]
#[ignore = "a measurement, not a check: machines are noisy"]
fn figures_of_real_guests() {
    if lab::skip() {
        return;
    }
    let host = || wolf().blind().start().unwrap();
    let gnome = Gnome::start_with(Suite::Trixie, &[("WB_ANIMATIONS", "0")]);
    let socket = gnome.wayland_socket();
    let guest = Guest { env: gnome.env(), processes: None, socket: &socket, args: &["--guest", "mutter"] };
    measure("GNOME 48", &guest, &host(), 1000, 10);
    drop(gnome);

    let sway = SwayGuest::start(1280, 720);
    let socket = sway.socket();
    let args = ["--guest", "wlroots", "--guest-socket", socket.to_str().unwrap()];
    let guest = Guest { env: sway.env(), processes: Some(sway.processes()), socket: &socket, args: &args };
    measure("sway", &guest, &host(), 1000, 10);
}

#[test]
#[ignore = "a measurement, not a check: machines are noisy"]
fn figures_of_kwin() {
    on_gpu(|| {
        let kwin = Kwin::start(1280, 720);
        let socket = kwin.wayland_socket();
        let args = ["--guest", "portal"];
        let guest = Guest { env: kwin.env(), processes: Some(kwin.processes()), socket: &socket, args: &args };
        for hertz in [125, 1000] {
            let host = FakeHost::builder().wolf_with_gpu().blind().start().unwrap();
            measure("KWin in the virtual machine", &guest, &host, hertz, 10);
        }
    });
}
