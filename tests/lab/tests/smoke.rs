//! The lab itself: real hosts show and take what they should, and a real GNOME starts and ends.
//! Needs the rootfs of scripts/rootfs; knows nothing of the bridge.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use lab::{Canvas, Gnome, Hands, Image, Input, Suite, Sway, Weston, keys};

const SOON: Duration = Duration::from_secs(10);

/// Takes pictures until one is right, or tells what is wrong with the last.
fn shows(shot: impl Fn() -> Image, width: u32, height: u32, seed: u32) {
    let began = Instant::now();
    loop {
        let image = shot();
        let checked = image.check(&Image::pattern(width, height, seed)).and_then(|()| image.check_pattern(seed));
        match checked {
            Ok(()) => return,
            Err(error) if began.elapsed() > SOON => panic!("{error}"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A click and some typing arrive in the canvas as they were made.
fn takes_input(canvas: &Canvas, hands: &mut Hands) {
    hands.move_to(100.5, 70.25);
    canvas.wait(SOON, |seen| (seen.pointer == Some((100.5, 70.25))).then_some(())).unwrap();
    hands.click(319.0, 5.0);
    hands.wheel(2);
    hands.wheel(-3);
    canvas.wait(SOON, |seen| seen.keyboard.then_some(())).unwrap();
    hands.type_text("Hello, World! {[~]}");
    let text = canvas.wait(SOON, |seen| seen.text().ends_with('}').then(|| seen.text())).unwrap();
    assert_eq!(text, "Hello, World! {[~]}");
    hands.chord("ctrl+a").unwrap();
    let seen =
        canvas.wait(SOON, |seen| seen.keys().ends_with(&[(30, false), (29, false)]).then(|| seen.clone())).unwrap();
    assert_eq!(seen.buttons(), [(keys::BTN_LEFT, true), (keys::BTN_LEFT, false)]);
    assert_eq!(seen.pointer, Some((319.0, 5.0)));
    assert!((seen.scrolled() + 15.0).abs() < 0.01, "{seen}");
    assert!(seen.input.iter().any(|event| matches!(event, Input::Modifiers { depressed: 4, .. })), "{seen}");
}

#[test]
fn sway_shows_the_canvas_and_hands_reach_it() {
    if lab::skip() {
        return;
    }
    let sway = Sway::start(640, 360);
    let canvas = Canvas::open(&sway.socket(), 1);
    shows(|| sway.screenshot(), 640, 360, 1);
    canvas.show(2);
    shows(|| sway.screenshot(), 640, 360, 2);
    let mut hands = sway.hands();
    takes_input(&canvas, &mut hands);
    assert_eq!(canvas.seen().wheel(), -120);
    sway.resize(1000, 701);
    canvas.wait_for_size(1000, 701, SOON).unwrap();
    shows(|| sway.screenshot(), 1000, 701, 2);
    canvas.forget();
    hands.move_to(999.0, 700.0);
    canvas.wait(SOON, |seen| (seen.pointer == Some((999.0, 700.0))).then_some(())).unwrap();

    canvas.animate(true);
    canvas.wait(SOON, |seen| (seen.shown > 60).then_some(())).unwrap();
    for _ in 0..10 {
        sway.screenshot().seed().unwrap();
    }
}

#[test]
fn weston_shows_the_canvas_and_hands_reach_it() {
    if lab::skip() {
        return;
    }
    let weston = Weston::start(640, 360);
    let canvas = Canvas::open(&weston.socket(), 3);
    shows(|| weston.screenshot(), 640, 360, 3);
    let mut hands = weston.hands();
    takes_input(&canvas, &mut hands);
    // as a nested compositor it passes on the axis events alone
    assert_eq!(canvas.seen().wheel(), 0);
    weston.resize(800, 450);
    canvas.wait_for_size(800, 450, SOON).unwrap();
    shows(|| weston.screenshot(), 800, 450, 3);
}

fn overview(gnome: &Gnome) -> Result<String, String> {
    gnome.call(
        "org.gnome.Shell",
        "/org/gnome/Shell",
        "org.freedesktop.DBus.Properties.Get",
        &["org.gnome.Shell", "OverviewActive"],
    )
}

fn gnome_starts_and_ends(suite: Suite, version: &str) {
    if lab::skip() {
        return;
    }
    let mut gnome = Gnome::start_with(suite, &[("GNOME_ARGS", "--virtual-monitor 800x600")]);
    let answer = gnome
        .call("org.gnome.Shell", "/org/gnome/Shell", "org.freedesktop.DBus.Properties.GetAll", &["org.gnome.Shell"])
        .unwrap();
    assert!(answer.contains(&format!("'ShellVersion': <'{version}.")), "{answer}");
    let canvas = Canvas::open(&gnome.wayland_socket(), 1);
    canvas.wait_for_size(800, 600, SOON).unwrap_or_else(|error| panic!("{error}\n{}", gnome.log()));
    canvas.wait(SOON, |seen| (seen.shown > 0).then_some(())).unwrap_or_else(|error| panic!("{error}\n{}", gnome.log()));
    // a slow start may show it for a moment
    let began = Instant::now();
    while overview(&gnome) != Ok("(<false>,)".into()) {
        assert!(began.elapsed() < SOON, "the overview stays: {:?}\n{}", overview(&gnome), gnome.log());
        thread::sleep(Duration::from_millis(50));
    }

    gnome.run("echo of the guest");
    let began = Instant::now();
    while !gnome.log().contains("of the guest") {
        assert!(began.elapsed() < SOON, "{}", gnome.log());
        thread::sleep(Duration::from_millis(10));
    }
    gnome.end();
    assert!(!gnome.alive());
    canvas.wait(SOON, |seen| seen.ended.clone()).unwrap();
}

#[test]
fn gnome_48_fills_the_canvas() {
    gnome_starts_and_ends(Suite::Trixie, "48");
}

#[test]
fn gnome_50_fills_the_canvas() {
    gnome_starts_and_ends(Suite::Forky, "50");
}

#[test]
fn gnome_43_fills_the_canvas() {
    gnome_starts_and_ends(Suite::Bookworm, "43");
}

#[test]
fn a_canvas_can_open_before_there_is_a_monitor() {
    if lab::skip() {
        return;
    }
    let gnome = Gnome::start(Suite::Trixie);
    let canvas = Canvas::open(&gnome.wayland_socket(), 1);
    canvas
        .wait(SOON, |seen| (seen.configures > 0 && seen.drawn > 0).then_some(()))
        .unwrap_or_else(|error| panic!("{error}\n{}", gnome.log()));
}

#[test]
fn the_command_line_hands_type_into_sway() {
    if lab::skip() {
        return;
    }
    let sway = Sway::start(320, 200);
    let canvas = Canvas::open(&sway.socket(), 0);
    canvas.wait_for_size(320, 200, SOON).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_hands"))
        .arg("--socket")
        .arg(sway.socket())
        .args(["wait", "0.5", "click", "10", "20", "type", "hi there", "key", "enter", "wait", "0.1"])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = canvas.wait(SOON, |seen| seen.text().ends_with('\n').then(|| seen.text())).unwrap();
    assert_eq!(text, "hi there\n");
}
