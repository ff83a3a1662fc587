//! gamescope as the guest, in sway as the host: looked at and used through the host.
//! Needs the rootfs of scripts/rootfs.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::desktops::{HostKind, RealHost, shows_in, soon};
use common::world::{LINEAR, XR24, wolf};
use common::{Bridge, Ended, wait_for};
use fake_host::{BufferKind, Dmabuf, ImportPolicy};
use lab::{Canvas, Gamescope, Hands, Image, Seen, keys};

/// The size of all of them: the window's in gamescope, which tells it none, gamescope's, and so the host's where nothing is scaled.
const SIZE: (u32, u32) = (640, 480);

/// A host of this size.
fn host((width, height): (u32, u32)) -> RealHost {
    RealHost::start(HostKind::Sway, width, height)
}

/// A bridge from there to that host, with the EIS socket of this one in its environment, as what runs in it has.
fn bridge(guest: &Gamescope, number: usize, host: &RealHost, args: &[&str]) -> Bridge {
    bridge_to(guest, number, &host.socket(), args)
}

/// The same, to the host at this socket.
fn bridge_to(guest: &Gamescope, number: usize, host: &Path, args: &[&str]) -> Bridge {
    let env = [guest.env(), vec![("LIBEI_SOCKET", guest.eis_socket(number))]].concat();
    Bridge::start(host, &env, args)
}

/// A window in this one of them that has the focus. One that comes while gamescope starts is not seen before it draws again.
/// It shows this picture and no other: gamescope looks into a buffer of shared memory once.
fn window(guest: &Gamescope, number: usize, seed: u32) -> Canvas {
    let canvas = Canvas::open(&guest.wayland_socket(number), seed);
    let is_there = |seen: &Seen| (seen.size == SIZE && seen.shown > 0 && seen.keyboard).then_some(());
    let began = Instant::now();
    while let Err(error) = canvas.wait(Duration::from_secs(1), is_there) {
        assert!(began.elapsed() < soon(), "{error}\n{}", guest.log());
        canvas.redraw();
    }
    canvas
}

/// Waits until a bridge has shown something.
fn shows_something(bridge: &Bridge) {
    wait_for("a first frame", soon(), || bridge.log().contains("first frame shown").then_some(()));
}

/// Waits until the host shows this pattern, pixel for pixel: gamescope's pictures are without a pointer.
fn shows(host: &RealHost, seed: u32) {
    let (width, height) = SIZE;
    let all = |image: &Image| image.region(0, 0, width, height);
    shows_in(host, width, height, &Image::pattern(width, height, seed), all);
}

/// Moves the host's pointer there, until it is in this place of the guest's window.
fn points(hands: &mut Hands, host: (f64, f64), canvas: &Canvas, guest: (f64, f64)) {
    wait_for("the guest's pointer", soon(), || {
        // The host's window hears of its first pointer while that moves already.
        hands.move_to(host.0 + 1.0, host.1);
        hands.move_to(host.0, host.1);
        canvas.wait(Duration::from_millis(300), |seen| seen.pointer.filter(|at| *at == guest)).ok()
    });
}

/// Nothing was copied or odd.
fn is_well(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    for counter in ["copied_bytes", "bad"] {
        assert_eq!(ended.counter(counter), 0, "{counter}: {}", ended.log);
    }
}

#[test]
fn gamescope_is_found_and_shown_and_used() {
    if lab::skip() {
        return;
    }
    let guest = Gamescope::start(SIZE.0, SIZE.1, 1);
    let canvas = window(&guest, 0, 7);
    let host = host(SIZE);
    let began = Instant::now();
    let bridge = bridge(&guest, 0, &host, &[]);
    shows_something(&bridge);
    println!("start to first frame: {:.0?}", began.elapsed());
    let log = bridge.log();
    assert!(log.contains("the guest is gamescope: PipeWire has a node of that name"), "{log}");
    assert!(log.contains("session with gamescope, input by EIS"), "{log}");
    println!("{}", log.lines().find(|line| line.contains("frames of 640x480")).unwrap_or(&log));
    shows(&host, 7);
    drop(canvas);
    let canvas = window(&guest, 0, 8);
    shows(&host, 8);

    let mut hands = host.hands();
    for at in [(320.0, 240.0), (0.0, 0.0), (639.0, 0.0), (0.0, 479.0), (639.0, 479.0)] {
        points(&mut hands, at, &canvas, at);
    }
    canvas.forget();
    hands.click(319.0, 5.0);
    hands.wheel(2);
    hands.wheel(-3);
    // gamescope tells Wayland clients of no modifiers; X11's know them by the keys.
    hands.type_text("hello, world");
    hands.chord("ctrl+a").unwrap();
    let chord = [(29, true), (30, true), (30, false), (29, false)];
    let seen = bridge.expect(canvas.wait(soon(), |seen| seen.keys().ends_with(&chord).then(|| seen.clone())));
    assert_eq!(seen.pointer, Some((319.0, 5.0)));
    assert_eq!(seen.buttons(), [(keys::BTN_LEFT, true), (keys::BTN_LEFT, false)]);
    assert_eq!(seen.wheel(), -120, "{seen}");
    assert_eq!(seen.typed(), "hello, worlda");

    // A window of another size is pointed at where it is seen; gamescope's pointer goes no further than its last pixel.
    host.resize(1280, 960);
    for (at, there) in [((640.0, 480.0), (320.0, 240.0)), ((1279.0, 959.0), (639.0, 479.0))] {
        points(&mut hands, at, &canvas, there);
    }

    // What is held at the end is let go of.
    canvas.forget();
    hands.key(keys::KEY_LEFTSHIFT, true);
    hands.button(keys::BTN_LEFT, true);
    bridge.expect(canvas.wait(soon(), |seen| (seen.keys().len() == 1 && seen.buttons().len() == 1).then_some(())));
    is_well(&bridge.end());
    let released = |seen: &Seen| {
        let keys = seen.keys().contains(&(keys::KEY_LEFTSHIFT, false));
        (keys && seen.buttons().contains(&(keys::BTN_LEFT, false))).then_some(())
    };
    canvas.wait(soon(), released).unwrap();
}

/// What games are.
#[test]
fn an_x11_program_in_gamescope_is_used() {
    if lab::skip() {
        return;
    }
    let mut guest = Gamescope::start(SIZE.0, SIZE.1, 1);
    let display = guest.display(0);
    guest.run(&format!("DISPLAY={display} exec stdbuf -oL xev -bw 0 -geometry {}x{}", SIZE.0, SIZE.1));
    let host = host(SIZE);
    let bridge = bridge(&guest, 0, &host, &[]);
    shows_something(&bridge);
    let mut hands = host.hands();
    wait_for("the guest's pointer", soon(), || {
        hands.move_to(200.0, 100.0);
        hands.move_to(210.0, 110.0);
        guest.log().contains("(210,110), root:(210,110)").then_some(())
    });
    hands.button(keys::BTN_LEFT, true);
    hands.button(keys::BTN_LEFT, false);
    hands.wheel(1);
    hands.wheel(-2);
    let text = "Hello, World! {[~]}";
    hands.type_text(text);
    // xev says what each key press is.
    let typed = |log: &str| -> String {
        let said = log.lines().filter_map(|line| line.trim().strip_prefix("XmbLookupString gives 1 bytes: ("));
        said.filter_map(|rest| u8::from_str_radix(rest.get(..2)?, 16).ok()).map(char::from).collect()
    };
    let log = wait_for("the text", soon(), || Some(guest.log()).filter(|log| typed(log).len() >= text.len()));
    assert_eq!(typed(&log), text);
    let pressed = log.split("ButtonPress event").skip(1).filter_map(|event| event.split("button ").nth(1)?.get(..1));
    // 4 and 5 are the wheel's, up and down.
    assert_eq!(pressed.collect::<String>(), "1544");
    is_well(&bridge.end());
}

/// Without a GPU what gamescope exports are no DMA-BUFs to the kernel, but it offers, allocates and lays them out as such.
#[test]
fn dmabufs_of_gamescope_are_passed_on_and_others_asked_for_where_they_are_refused() {
    if lab::skip() {
        return;
    }
    let guest = Gamescope::start(SIZE.0, SIZE.1, 1);
    for (seed, import) in [(7, ImportPolicy::Accept), (8, ImportPolicy::RefuseAll)] {
        let canvas = window(&guest, 0, seed);
        let is_refused = import == ImportPolicy::RefuseAll;
        let host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])).import(import).start().unwrap();
        let bridge = bridge_to(&guest, 0, host.socket(), &[]);
        let expected = Image::pattern(SIZE.0, SIZE.1, seed);
        wait_for("the picture", soon(), || {
            // The refused picture does not come again.
            canvas.redraw();
            let stride = match host.look(|seen| seen.last_frame().and_then(|frame| frame.kind().cloned()))? {
                BufferKind::Dmabuf(buffer) => {
                    assert_eq!((buffer.fourcc, buffer.modifier, is_refused), (XR24, LINEAR, false));
                    buffer.planes[0].stride
                }
                BufferKind::Shm(buffer) if is_refused => buffer.stride.cast_unsigned(),
                other => panic!("{other:?}"),
            };
            let is_shown = |y: u32| {
                let row = host.plane_bytes(0, u64::from(y * stride), SIZE.0 as usize * 4).unwrap_or_default();
                let pixels = row.chunks_exact(4).map(|it| u32::from_le_bytes([it[0], it[1], it[2], 0]));
                pixels.eq((0..SIZE.0).map(|x| expected.pixel(x, y) & 0xff_ffff))
            };
            (0..SIZE.1).step_by(7).all(is_shown).then_some(())
        });
        println!("{}", bridge.log().lines().rfind(|line| line.contains("frames of 640x480")).unwrap_or_default());
        is_well(&bridge.end());
        host.look(|seen| assert_eq!(seen.oddities, Vec::<String>::new()));
    }
}

/// gamescope sends each picture once: another bridge beside one at rest waits for the next.
#[test]
fn a_bridge_that_is_started_anew_shows_what_is_drawn_next() {
    if lab::skip() {
        return;
    }
    let guest = Gamescope::start(SIZE.0, SIZE.1, 1);
    let host = host(SIZE);
    for seed in [7, 8, 9] {
        let bridge = bridge(&guest, 0, &host, &[]);
        wait_for("the stream", soon(), || bridge.log().contains("new=Streaming").then_some(()));
        let _canvas = window(&guest, 0, seed);
        shows(&host, seed);
        is_well(&bridge.end());
    }
}

#[test]
fn each_of_two_gamescopes_is_shown_and_used_by_itself() {
    if lab::skip() {
        return;
    }
    let guest = Gamescope::start(SIZE.0, SIZE.1, 2);
    let canvases = [0, 1].map(|number| window(&guest, number, 7 + number as u32));
    let hosts = [host(SIZE), host(SIZE)];
    let ended = bridge(&guest, 0, &hosts[0], &["--guest-timeout", "0.5"]).ended();
    assert_eq!(ended.code, Some(4), "{}", ended.log);
    // They are told in the order in which they were started.
    let told = ended.last_line().split("--guest gamescope --node ").nth(1).unwrap_or_else(|| panic!("{}", ended.log));
    let serials: Vec<&str> = told.split(" or ").collect();
    assert_eq!(serials.len(), 2, "{told}");

    let bridges = [0, 1].map(|number| {
        let args = ["--guest", "gamescope", "--node", serials[number]];
        bridge(&guest, number, &hosts[number], &args)
    });
    let mut hands = hosts.each_ref().map(RealHost::hands);
    for number in [0, 1] {
        shows(&hosts[number], 7 + number as u32);
        let at = (100.0 + 50.0 * number as f64, 60.0);
        points(&mut hands[number], at, &canvases[number], at);
    }
    for canvas in &canvases {
        canvas.forget();
    }
    for (number, text) in [(0, "first"), (1, "second")] {
        hands[number].type_text(text);
        let typed = |seen: &Seen| (seen.typed().len() >= text.len()).then(|| seen.typed());
        assert_eq!(bridges[number].expect(canvases[number].wait(soon(), typed)), text);
    }
    assert_eq!(canvases[0].seen().typed(), "first");
    assert_eq!(canvases[0].seen().pointer, Some((100.0, 60.0)));
    for bridge in bridges {
        is_well(&bridge.end());
    }
}

#[test]
fn a_gamescope_that_is_killed_comes_back_in_the_same_window() {
    if lab::skip() {
        return;
    }
    let mut guest = Gamescope::start_with(SIZE.0, SIZE.1, 1, &[("WB_AGAIN", "1")]);
    let canvas = window(&guest, 0, 7);
    let host = host(SIZE);
    let bridge = bridge(&guest, 0, &host, &[]);
    shows(&host, 7);
    drop(canvas);
    guest.forget_started(0);
    guest.run("pkill -KILL -x gamescope-wl");
    wait_for("word of the loss", soon(), || bridge.log().contains("; trying again").then_some(()));
    let image = host.screenshot();
    assert_eq!((image.width, image.height), SIZE);
    assert!(!image.is_uniform(), "the window went blank");
    wait_for("another gamescope", soon(), || guest.started(0).then_some(()));
    let canvas = window(&guest, 0, 9);
    shows(&host, 9);
    let mut hands = host.hands();
    points(&mut hands, (300.0, 310.0), &canvas, (300.0, 310.0));
    let ended = bridge.end();
    assert_eq!(ended.counter("sessions"), 2, "{}", ended.log);
    is_well(&ended);
}
