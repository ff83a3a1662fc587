//! Explicit sync with real timelines, in the virtual machine of `scripts/vm`: GNOME 48's, handed to a host that takes
//! them or waited for where it does not, and a producer's and a host's that behave as badly as they can.

mod common;

use std::time::Duration;

use common::{Bridge, wait_for};
use lab::{Canvas, Gnome, Image, Suite, Sway};

/// Long enough in an emulated machine.
const SOON: Duration = Duration::from_secs(90);

const LOG: [&str; 2] = ["--log", "debug,wolf_bridge=trace,calloop=info,zbus=info"];

/// True when the test is to end here since there is no GPU.
fn skip() -> bool {
    if lab::in_vm() {
        return lab::skip();
    }
    println!("SKIP: no GPU here: run it in scripts/vm");
    true
}

/// Whether all but the edges, where GNOME's panel and pointer are, is the pattern.
fn is_pattern(image: &Image, width: u32, height: u32, seed: u32) -> bool {
    const EDGE: u32 = 64;
    let area = |image: &Image| image.region(0, EDGE, width - EDGE, height - 2 * EDGE);
    (image.width, image.height) == (width, height)
        && area(image).check(&area(&Image::pattern(width, height, seed))).is_ok()
}

#[test]
fn frames_are_held_until_they_are_drawn_for_a_host_without_timelines() {
    if skip() {
        return;
    }
    let host = Sway::start_with(800, 600, &[("WLR_RENDERER", "gles2")]);
    let gnome = Gnome::start_with(Suite::Trixie, &[("WB_ANIMATIONS", "0")]);
    let bridge = Bridge::start(&host.socket(), &gnome.env(), &LOG);
    wait_for("a picture in the host", SOON, || (!host.screenshot().is_uniform()).then_some(()));
    let canvas = Canvas::open(&gnome.wayland_socket(), 7);
    bridge.expect(canvas.wait_for_size(800, 600, SOON));
    wait_for("the pattern", SOON, || is_pattern(&host.screenshot(), 800, 600, 7).then_some(()));
    canvas.animate(true);
    let start = bridge.counter("committed");
    wait_for("100 frames", SOON, || (bridge.counter("committed") > start + 100).then_some(()));
    canvas.animate(false);
    canvas.show(8);
    wait_for("the last pattern", SOON, || is_pattern(&host.screenshot(), 800, 600, 8).then_some(()));
    let log = bridge.log();
    assert!(log.contains("explicit sync: frames are held here"), "{log}");
    let ended = bridge.end();
    println!("{}", ended.last_line());
    assert_eq!(ended.counter("copied_bytes"), 0, "{}", ended.log);
}
