//! KWin (Plasma 6) by its portal, in sway: in the virtual machine, since KWin records nothing without a GPU.
//! Needs the rootfs of scripts/rootfs.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::desktops::{HostKind, RealHost, soon};
use common::vm::on_gpu;
use common::{Bridge, wait_for};
use fake_host::FakeHost;
use lab::keys::BTN_LEFT;
use lab::{Canvas, Hands, Image, Input, Kwin, Seen};

/// KWin takes long to start in there: one is for all tests.
static KWIN: Mutex<Option<Kwin>> = Mutex::new(None);

struct World {
    host: RealHost,
    bridge: Bridge,
    canvas: Canvas,
}

/// With the KWin that they share.
fn with_kwin(test: impl FnOnce(&mut Kwin)) {
    let mut kwin = KWIN.lock().unwrap_or_else(PoisonError::into_inner);
    if !kwin.as_mut().is_some_and(|kwin| kwin.alive()) {
        *kwin = None;
        *kwin = Some(Kwin::start(960, 540));
    }
    test(kwin.as_mut().expect("it was started"));
}

/// A bridge from it to that host, that keeps its state there.
fn bridge(kwin: &Kwin, host: &Path, state: &Path, args: &[&str]) -> Bridge {
    let mut env = kwin.env();
    env.push(("XDG_STATE_HOME", state.display().to_string()));
    let args = [&["--guest", "portal", "--log", "debug,wolf_bridge=trace,calloop=info,zbus=info"], args].concat();
    Bridge::start_among(&kwin.processes(), host, &env, &args)
}

/// A canvas in KWin, in the bridge, in sway, all of them of 960x540.
fn with_world(args: &[&str], test: impl FnOnce(&mut World)) {
    with_kwin(|kwin| with_world_of(kwin, args, test));
}

fn with_world_of(kwin: &Kwin, args: &[&str], test: impl FnOnce(&mut World)) {
    let state = tempfile::tempdir().expect("a folder");
    let host = RealHost::start_with(HostKind::Sway, 960, 540, lab::ON_GPU);
    let canvas = Canvas::open(&kwin.wayland_socket(), 7);
    canvas.wait_for_size(960, 540, soon()).unwrap_or_else(|error| panic!("{error}\n{}", kwin.log()));
    let began = Instant::now();
    let bridge = bridge(kwin, &host.socket(), state.path(), args);
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

#[test]
fn fingers_reach_into_kwin() {
    on_gpu(|| {
        with_kwin(|kwin| {
            let host = FakeHost::builder().wolf().start().expect("a host");
            let canvas = Canvas::open(&kwin.wayland_socket(), 7);
            canvas.wait_for_size(960, 540, soon()).unwrap_or_else(|error| panic!("{error}\n{}", kwin.log()));
            let state = tempfile::tempdir().expect("a folder");
            let bridge = bridge(kwin, host.socket(), state.path(), &[]);
            bridge.expect(host.wait(|seen| seen.shown(), soon()));
            wait_for("a finger", soon(), || {
                host.touch().tap(640.0, 360.0);
                let down = |event: &Input| matches!(event, Input::TouchDown { x: 480.0, y: 270.0, .. });
                canvas.wait(Duration::from_secs(1), |seen| seen.input.iter().any(down).then_some(())).ok()
            });
            bridge.expect(canvas.wait(soon(), |seen| {
                let up = |event: &Input| matches!(event, Input::TouchUp(_));
                seen.input.iter().any(up).then_some(())
            }));
            bridge.end();
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

/// Grants remote control to everybody in there, or takes that back.
fn grant(kwin: &mut Kwin, answer: &str) {
    let done = kwin.dir().join("granted");
    let _ = std::fs::remove_file(&done);
    let store = "org.freedesktop.impl.portal.PermissionStore";
    kwin.run(&format!(
        "dbus-send --session --print-reply --dest={store} /org/freedesktop/impl/portal/PermissionStore \
         {store}.SetPermission string:kde-authorized boolean:true string:remote-desktop string: array:string:{answer} \
         && touch {}",
        done.display()
    ));
    wait_for("the permission store", soon(), || done.exists().then_some(()));
}

/// The token that the portal gave while all was granted is as good as the grant; without either, the way to one is told.
#[test]
fn a_token_is_as_good_as_the_grant() {
    on_gpu(|| {
        with_kwin(|kwin| {
            let host = RealHost::start_with(HostKind::Sway, 960, 540, lab::ON_GPU);
            let state = tempfile::tempdir().expect("a folder");
            let path = state.path().join("wolf-bridge/portal.token");
            let shows = |kwin: &Kwin| {
                let bridge = bridge(kwin, &host.socket(), state.path(), &[]);
                wait_for("a first frame", soon(), || bridge.log().contains("first frame shown").then_some(()));
                bridge.end();
                assert_eq!(path.metadata().expect("a token").permissions().mode() & 0o777, 0o600);
            };
            shows(kwin);
            grant(kwin, "no");
            shows(kwin);
            // Its dialog is a part of Plasma that is not installed here: it says no itself.
            std::fs::remove_file(&path).expect("a token");
            let ended = bridge(kwin, &host.socket(), state.path(), &["--guest-timeout", "10"]).ended();
            grant(kwin, "yes");
            assert_eq!(ended.code, Some(4), "{}", ended.log);
            let told = "flatpak permission-set kde-authorized remote-desktop \"\" yes";
            assert!(ended.last_line().contains(told), "{}", ended.last_line());
        });
    });
}

/// Two outputs are one picture, as wide as both, unless each is asked for; the pointer is where it is seen.
#[test]
fn of_two_outputs_each_point_is_where_it_is_seen() {
    on_gpu(|| {
        // The one that others share would be in its way: there is one GPU.
        *KWIN.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let kwin = Kwin::start_with(960, 540, &[("WB_OUTPUTS", "2")]);
        with_world_of(&kwin, &[], |world| {
            let mut hands = world.host.hands();
            // The window is in one of the two.
            let mut halves = [240.0, 720.0].into_iter().cycle();
            wait_for("the guest's pointer", soon(), || {
                let x = halves.next()?;
                hands.move_to(x + 1.0, 270.0);
                hands.move_to(x, 270.0);
                let there = |seen: &Seen| seen.pointer.filter(|at| *at == (480.0, 270.0));
                world.canvas.wait(Duration::from_secs(1), there).ok()
            });
        });
        // KWin 6.3 names neither its streams nor their regions.
        with_world_of(&kwin, &["--monitor", "Virtual-0"], |world| {
            assert!(
                world.bridge.log().contains("does not say which of its 2 monitors is Virtual-0; showing the first")
            );
            world.points(&mut world.host.hands(), (480.0, 270.0), (480.0, 270.0));
        });
    });
}
