//! KWin (Plasma 6) by its portal, in sway: in the virtual machine, since KWin records nothing without a GPU.
//! Needs the rootfs of scripts/rootfs.

mod common;

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::desktops::{HostKind, RealHost, soon};
use common::vm::on_gpu;
use common::{Bridge, wait_for};
use lab::keys::BTN_LEFT;
use lab::{Canvas, Hands, Image, Kwin, Seen};

/// KWin takes long to start in there: one is for all tests.
static KWIN: Mutex<Option<Kwin>> = Mutex::new(None);

struct World {
    host: RealHost,
    bridge: Bridge,
    canvas: Canvas,
}

/// A canvas in KWin, in the bridge, in sway, all of them of 960x540.
fn with_world(args: &[&str], test: impl FnOnce(&mut World)) {
    let mut kwin = KWIN.lock().unwrap_or_else(PoisonError::into_inner);
    if !kwin.as_mut().is_some_and(Kwin::alive) {
        *kwin = None;
        *kwin = Some(Kwin::start(960, 540));
    }
    let kwin = kwin.as_ref().expect("it was started");
    let state = tempfile::tempdir().expect("a folder");
    let mut env = kwin.env();
    env.push(("XDG_STATE_HOME", state.path().display().to_string()));
    let host = RealHost::start_with(HostKind::Sway, 960, 540, lab::ON_GPU);
    let canvas = Canvas::open(&kwin.wayland_socket(), 7);
    canvas.wait_for_size(960, 540, soon()).unwrap_or_else(|error| panic!("{error}\n{}", kwin.log()));
    let args = [&["--guest", "portal", "--log", "debug,wolf_bridge=trace,calloop=info,zbus=info"], args].concat();
    let began = Instant::now();
    let bridge = Bridge::start_among(&kwin.processes(), &host.socket(), &env, &args);
    wait_for("a picture in the host", soon(), || (!host.screenshot().is_uniform()).then_some(()));
    println!("start to first frame seen: {:.0?}", began.elapsed());
    let mut world = World { host, bridge, canvas };
    test(&mut world);
    let ended = world.bridge.end();
    println!("{}", ended.log.lines().rfind(|it| it.contains("counters")).unwrap());
}

impl World {
    /// Moves the pointer there in the host, until it is in this place of KWin's.
    fn points(&self, hands: &mut Hands, host: (f64, f64), guest: (f64, f64)) {
        wait_for("the guest's pointer", soon(), || {
            hands.move_to(host.0 + 1.0, host.1);
            hands.move_to(host.0, host.1);
            let there = |seen: &Seen| seen.pointer.filter(|at| *at == guest);
            self.canvas.wait(Duration::from_millis(500), there).ok()
        });
    }
}

/// A headless KWin's portal may lose a picture, and its pointer stands where it was: the window draws again until it is
/// seen, and its middle is looked at.
#[test]
fn kwins_picture_is_shown_as_it_is() {
    on_gpu(|| {
        with_world(&[], |world| {
            let area = |image: &Image| image.region(64, 64, 320, 160);
            for seed in [7, 8] {
                world.canvas.show(seed);
                let expected = area(&Image::pattern(960, 540, seed));
                wait_for("the picture", soon(), || {
                    world.canvas.redraw();
                    area(&world.host.screenshot()).check(&expected).is_ok().then_some(())
                });
            }
        });
    });
}

#[test]
fn hands_reach_into_kwin() {
    on_gpu(|| {
        with_world(&[], |world| {
            let mut hands = world.host.hands();
            world.points(&mut hands, (640.0, 360.0), (640.0, 360.0));
            hands.button(BTN_LEFT, true);
            hands.button(BTN_LEFT, false);
            let click = [(BTN_LEFT, true), (BTN_LEFT, false)];
            world.bridge.expect(world.canvas.wait(soon(), |seen| (seen.buttons() == click).then_some(())));

            hands.wheel(2);
            hands.wheel(-1);
            world.bridge.expect(world.canvas.wait(soon(), |seen| (seen.wheel() == 120).then_some(())));

            world.bridge.expect(world.canvas.wait(soon(), |seen| seen.keyboard.then_some(())));
            hands.type_text("Hello, KWin!");
            world.bridge.expect(world.canvas.wait(soon(), |seen| (seen.typed() == "Hello, KWin!").then_some(())));
        });
    });
}

/// KWin's output keeps its size: its picture is scaled to the window's, and points are where they are seen.
#[test]
fn a_window_of_another_size_shows_all_of_kwin() {
    on_gpu(|| {
        with_world(&[], |world| {
            world.host.resize(480, 270);
            world.points(&mut world.host.hands(), (240.0, 135.0), (480.0, 270.0));
            let image = world.host.screenshot();
            assert_eq!((image.width, image.height), (480, 270));
            let corners = [(0, 200), (400, 0), (400, 200)].map(|(x, y)| image.region(x, y, 60, 60));
            assert!(corners.iter().all(|corner| !corner.is_uniform()), "the picture does not fill the window");
        });
    });
}
