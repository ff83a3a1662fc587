//! Figures of the input path: how long an event takes while frames flow, and what a fast mouse costs.
//! `cargo test --release --test input_figures -- --ignored --nocapture`, on a busy machine under `chrt -r 5`.

mod common;

use std::time::{Duration, Instant};

use common::usage::cpu;
use common::world::{World, wolf};
use common::{SOON, wait_for};
use fake_guest::GuestOptions;
use fake_host::code::BTN_LEFT;
use serde_json::Value;

/// Moves the host's pointer so often a second, for so long.
fn moves(world: &World, hertz: u32, seconds: u32) {
    let began = Instant::now();
    for step in 0..hertz * seconds {
        let due = began + Duration::from_secs(1) * step / hertz;
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(early);
        }
        world.host.pointer().move_by(if step % 200 < 100 { 1.0 } else { -1.0 }, 0.0);
    }
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
        let told = std::fs::read_to_string(&file).unwrap();
        let line: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        println!(
            "{mode} {hertz} Hz, frames {frames}: {:.0} events/s, CPU {:.2} %, read to sent {}",
            sent as f64 / seconds,
            used.as_secs_f64() / seconds * 100.0,
            line["latency_us"]["input_read_to_sent"]
        );
    }
}
