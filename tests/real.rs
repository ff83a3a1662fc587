//! Real parts only: GNOME 43, 48 and 50 bridged into sway and weston, looked at and used through the host.
//! Needs the rootfs of scripts/rootfs.

mod common;

use std::time::Duration;

use common::desktops::{HostKind, RealHost, shows};
use common::usage::{cpu, has_no_data_thread, switches};
use common::{Bridge, wait_for};
use lab::{Canvas, Gnome, Hands, Suite, Sway, keys};
use rustix::process::Signal;

/// Long enough for GNOME on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// The pointer reaches this pixel, in the guest.
fn points(hands: &mut Hands, canvas: &Canvas, x: u32, y: u32) {
    hands.move_to(f64::from(x), f64::from(y));
    let reached = canvas.wait(SOON, |seen| {
        let (at_x, at_y) = seen.pointer?;
        ((at_x.floor(), at_y.floor()) == (f64::from(x), f64::from(y))).then_some(())
    });
    reached.unwrap_or_else(|error| panic!("the pixel {x},{y}: {error}"));
}

fn a_guest_in_a_host(suite: Suite, kind: HostKind) {
    if lab::skip() {
        return;
    }
    let exact_wheel = matches!(kind, HostKind::Sway);
    // The nested weston keeps its window's last pixels to itself, to be resized by.
    let edge = if matches!(kind, HostKind::Sway) { 0 } else { 8 };
    let host = RealHost::start(kind, 1280, 720);
    let gnome = Gnome::start_with(suite, &[("WB_ANIMATIONS", "0")]);
    let args = ["--log", "debug,wolf_bridge=trace,calloop=info,zbus=info"];
    let bridge = Bridge::start_beside(suite, &host.socket(), &gnome.env(), &args);
    wait_for("a picture in the host", SOON, || (!host.screenshot().is_uniform()).then_some(()));

    let canvas = Canvas::open(&gnome.wayland_socket(), 7);
    bridge.expect(canvas.wait_for_size(1280, 720, SOON));
    let mut hands = host.hands();
    // Weston loses the motion that makes its pointer, and GNOME one while its monitor changes; hosts do not repeat
    // the place of a mouse that rests.
    wait_for("the guest's pointer", SOON, || {
        hands.move_to(600.0, 300.0);
        hands.move_to(640.0, 360.0);
        let there = |seen: &lab::Seen| seen.pointer.filter(|at| *at == (640.0, 360.0));
        canvas.wait(Duration::from_millis(300), there).ok()
    });
    points(&mut hands, &canvas, 1279 - edge, 719 - edge);
    shows(&host, 1280, 720, 7);
    canvas.show(8);
    shows(&host, 1280, 720, 8);

    for (x, y) in [(edge, edge), (1279 - edge, edge), (edge, 719 - edge), (1279 - edge, 719 - edge), (641, 359)] {
        points(&mut hands, &canvas, x, y);
    }
    // Weston gives its keyboard to what is clicked.
    hands.click(641.0, 359.0);
    bridge.expect(canvas.wait(SOON, |seen| (seen.keyboard && seen.buttons().len() == 2).then_some(())));
    canvas.forget();
    hands.type_text("Hello, World! {[~]}");
    let text = canvas.wait(SOON, |seen| seen.text().ends_with('}').then(|| seen.text()));
    assert_eq!(bridge.expect(text), "Hello, World! {[~]}");
    hands.click(319.0, 5.0);
    hands.wheel(2);
    hands.wheel(-3);
    hands.chord("ctrl+a").unwrap();
    let seen = canvas.wait(SOON, |seen| seen.keys().ends_with(&[(30, false), (29, false)]).then(|| seen.clone()));
    let seen = bridge.expect(seen);
    assert_eq!(seen.buttons(), [(keys::BTN_LEFT, true), (keys::BTN_LEFT, false)]);
    if exact_wheel {
        assert_eq!(seen.wheel(), -120, "{seen}");
    } else {
        assert!(seen.scrolled() < 0.0, "{seen}");
    }

    host.resize(1000, 701);
    bridge.expect(canvas.wait_for_size(1000, 701, SOON));
    // GNOME's panel may be over the window until its monitor has settled.
    shows(&host, 1000, 701, 8);
    for (x, y) in [(edge, edge), (999 - edge, 700 - edge)] {
        points(&mut hands, &canvas, x, y);
    }
    shows(&host, 1000, 701, 8);
    canvas.forget();
    hands.type_text("again");
    let text = canvas.wait(SOON, |seen| (seen.text().len() >= 5).then(|| seen.text()));
    assert_eq!(bridge.expect(text), "again");

    // The library here may be too old for that.
    if suite == Suite::Forky {
        has_no_data_thread(bridge.pid());
    }
    let ended = bridge.end();
    assert_eq!(ended.log.contains("driving=true"), suite == Suite::Forky, "{}", ended.log);
    assert_eq!(ended.counter("copied_bytes"), 0, "{}", ended.log);
    assert_eq!(ended.counter("bad"), 0, "{}", ended.log);
}

#[test]
fn gnome_50_in_sway() {
    a_guest_in_a_host(Suite::Forky, HostKind::Sway);
}

/// Host-driven frames: a host that shows nothing of the guest slows it down, and nothing else.
#[test]
fn gnome_50_goes_on_in_a_host_that_never_calls_back() {
    if lab::skip() {
        return;
    }
    let host = fake_host::FakeHost::builder().wolf().blind().start().unwrap();
    let gnome = Gnome::start_with(Suite::Forky, &[("WB_ANIMATIONS", "0")]);
    let bridge = Bridge::start_beside(Suite::Forky, host.socket(), &gnome.env(), &[]);
    wait_for("a picture in the host", SOON, || (host.look(fake_host::Seen::frame_count) > 0).then_some(()));
    let canvas = Canvas::open(&gnome.wayland_socket(), 7);
    bridge.expect(canvas.wait(SOON, |seen| (seen.fullscreen && seen.drawn > 0).then_some(())));
    canvas.animate(true);
    let goes_on = |frames: u64| {
        let start = canvas.seen().shown;
        bridge.expect(canvas.wait(SOON, |seen| (seen.shown >= start + frames).then_some(())));
    };
    goes_on(60);
    host.pause_frames();
    let before = bridge.counter("committed");
    goes_on(30);
    // Two commits, and one for each second of silence.
    let committed = bridge.counter("committed") - before;
    assert!(committed < 20, "{committed}");
    host.resume_frames();
    goes_on(60);
    let (shown, newest) = (canvas.seen().shown, host.look(fake_host::Seen::frame_count));
    host.wait(|seen| seen.frame_count() > newest + 30, SOON).unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert!(bridge.end().log.contains("driving=true"));
}

/// A bridge that gets no processor for a while, as beside a game that takes all: it shows what is newest afterwards, and
/// not what was queued for it.
fn catches_up(suite: Suite) {
    if lab::skip() {
        return;
    }
    let host = RealHost::start(HostKind::Sway, 1280, 720);
    let gnome = Gnome::start_with(suite, &[("WB_ANIMATIONS", "0")]);
    let bridge = Bridge::start_beside(suite, &host.socket(), &gnome.env(), &[]);
    let canvas = Canvas::open(&gnome.wayland_socket(), 7);
    bridge.expect(canvas.wait_for_size(1280, 720, SOON));
    shows(&host, 1280, 720, 7);
    for (seed, stopped) in [(8, 40), (9, 300), (10, 1500)] {
        canvas.animate(true);
        let before = bridge.counter("committed");
        wait_for("frames", SOON, || (bridge.counter("committed") > before + 30).then_some(()));
        bridge.signal(Signal::STOP);
        // The time is what is tested.
        std::thread::sleep(Duration::from_millis(stopped));
        bridge.signal(Signal::CONT);
        let before = bridge.counter("committed");
        wait_for("frames", SOON, || (bridge.counter("committed") > before + 30).then_some(()));
        canvas.animate(false);
        canvas.show(seed);
        shows(&host, 1280, 720, seed);
    }
    bridge.end();
}

#[test]
fn gnome_50_is_caught_up_with() {
    catches_up(Suite::Forky);
}

#[test]
fn gnome_48_is_caught_up_with() {
    catches_up(Suite::Trixie);
}

#[test]
fn gnome_43_is_caught_up_with() {
    catches_up(Suite::Bookworm);
}

#[test]
fn gnome_48_in_sway() {
    a_guest_in_a_host(Suite::Trixie, HostKind::Sway);
}

#[test]
fn gnome_48_in_weston() {
    a_guest_in_a_host(Suite::Trixie, HostKind::Weston);
}

#[test]
fn gnome_43_in_sway() {
    a_guest_in_a_host(Suite::Bookworm, HostKind::Sway);
}

#[test]
fn gnome_43_in_weston() {
    a_guest_in_a_host(Suite::Bookworm, HostKind::Weston);
}

/// CPU time of all threads of a process, and its resident memory in KiB.
fn cost(pid: u32) -> (Duration, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().split(' ').next()?.parse().ok());
    (cpu(pid), resident.expect("VmRSS"))
}

/// The figures of the frame path with software rendering: an animated window in GNOME 48, 1280x720, in sway.
/// `cargo test --release --test real -- --ignored --nocapture figures`
#[test]
#[ignore = "a measurement, not a check: machines are noisy"]
fn figures() {
    if lab::skip() {
        return;
    }
    let host = Sway::start(1280, 720);
    let gnome = Gnome::start_with(Suite::Trixie, &[("WB_ANIMATIONS", "0")]);
    let bridge = Bridge::start(&host.socket(), &gnome.env(), &["--log", "info"]);
    wait_for("a picture in the host", SOON, || (!host.screenshot().is_uniform()).then_some(()));
    let canvas = Canvas::open(&gnome.wayland_socket(), 7);
    bridge.expect(canvas.wait_for_size(1280, 720, SOON));
    let idle = switches(bridge.pid());
    std::thread::sleep(Duration::from_secs(10));
    println!("wake-ups in 10 s with nothing to show: {}", switches(bridge.pid()) - idle);
    canvas.animate(true);
    let start = canvas.seen().shown + 120;
    let before = bridge.expect(canvas.wait(SOON, |seen| (seen.shown >= start).then_some(seen.shown)));
    let (committed, copied, (cpu, _)) =
        (bridge.counter("committed"), bridge.counter("copied_bytes"), cost(bridge.pid()));
    let began = std::time::Instant::now();
    let after = bridge.expect(canvas.wait(SOON, |seen| (seen.shown >= before + 600).then_some(seen.shown)));
    let seconds = began.elapsed().as_secs_f64();
    let (committed_after, (cpu_after, resident)) = (bridge.counter("committed"), cost(bridge.pid()));
    let frames = (committed_after - committed) as f64;
    let produced = (after - before) as f64;
    println!(
        "guest frames {produced} in {seconds:.1} s ({:.1}/s); committed {frames} ({:.1} %)",
        produced / seconds,
        100.0 * frames / produced
    );
    println!(
        "bridge CPU per frame {:.3} ms; resident {:.1} MiB",
        (cpu_after - cpu).as_secs_f64() * 1000.0 / frames,
        resident as f64 / 1024.0
    );
    println!("copied bytes {copied}; first frame to first commit {} us", bridge.counter("first_frame_to_commit_us"));
    println!("{}", bridge.end().last_line());
}
