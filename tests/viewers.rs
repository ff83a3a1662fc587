//! One real GNOME 48, shown and used by several bridges at once, each in a host of its own: nobody disturbs another, and
//! who leaves takes nothing along but what was held there. Needs the rootfs of scripts/rootfs.

mod common;

use common::desktops::soon;
use common::{Bridge, wait_for};
use fake_host::code::{BTN_LEFT, KEY_A, KEY_Q};
use fake_host::{FakeHost, Output};
use lab::{Canvas, Gnome, Seen, Suite, pattern};

/// Not among those of the fake host.
const KEY_S: u32 = 31;

const SIZE: (i32, i32) = (1280, 720);

/// Away from the panel and from the pointer, which is in the frames.
const PLACES: [(i32, i32); 3] = [(300, 200), (700, 500), (1000, 600)];

/// A host, and its bridge to the shared desktop.
struct Viewer {
    host: FakeHost,
    bridge: Bridge,
}

impl Viewer {
    fn new(gnome: &Gnome) -> Self {
        let host = FakeHost::builder().wolf().output(Output::new(SIZE.0, SIZE.1, 60_000)).start().unwrap();
        let bridge = Bridge::start(host.socket(), &gnome.env(), &["--monitor", "Meta-0"]);
        Self { host, bridge }
    }

    /// Waits until the host shows the pattern of this seed.
    #[track_caller]
    fn shows(&self, seed: u32) {
        let is_there = |(x, y): (i32, i32)| {
            let pixel = self.host.pixel(x, y).map(|pixel| pixel & 0xff_ffff);
            pixel == Some(pattern::pattern(x as u32, y as u32, seed) & 0xff_ffff)
        };
        wait_for(&format!("the pattern {seed}\n{}", self.bridge.log()), soon(), || {
            PLACES.into_iter().all(is_there).then_some(())
        });
    }

    /// Waits until the guest's pointer is where this host's is moved to, in front of the window.
    #[track_caller]
    fn points(&self, canvas: &Canvas, x: f64, y: f64) {
        self.host.pointer().move_to(x, y);
        self.bridge.expect(canvas.wait(soon(), |seen| (seen.pointer == Some((x, y))).then_some(())));
    }

    /// Waits until the guest's window got this key.
    #[track_caller]
    fn gets(&self, canvas: &Canvas, key: (u32, bool)) {
        self.bridge.expect(canvas.wait(soon(), |seen| seen.keys().contains(&key).then_some(())));
    }

    /// Presses and releases a key that nobody else uses; all that came before it is there then.
    #[track_caller]
    fn types(&self, canvas: &Canvas, code: u32) {
        self.host.keyboard().tap(code);
        self.gets(canvas, (code, false));
    }
}

/// How often this key was pressed, and how often released.
fn count(seen: &Seen, code: u32) -> (usize, usize) {
    let of = |pressed| seen.keys().iter().filter(|key| **key == (code, pressed)).count();
    (of(true), of(false))
}

#[test]
fn several_see_and_use_one_desktop_and_who_leaves_disturbs_nobody() {
    if lab::skip() {
        return;
    }
    let arguments = format!("--virtual-monitor {}x{}", SIZE.0, SIZE.1);
    let gnome = Gnome::start_with(Suite::Trixie, &[("WB_ANIMATIONS", "0"), ("GNOME_ARGS", &arguments)]);
    let canvas = Canvas::open(&gnome.wayland_socket(), 7);
    canvas.wait_for_size(SIZE.0 as u32, SIZE.1 as u32, soon()).unwrap();
    let [one, two, three] = [(); 3].map(|()| Viewer::new(&gnome));

    // All show it, and what comes next.
    for seed in [7, 8] {
        canvas.show(seed);
        for viewer in [&one, &two, &three] {
            viewer.shows(seed);
        }
    }

    // All drive it.
    for (viewer, code, at) in [(&one, KEY_A, 100.0), (&two, KEY_S, 200.0), (&three, KEY_Q, 300.0)] {
        viewer.points(&canvas, at, at);
        canvas.forget();
        viewer.host.pointer().click(BTN_LEFT);
        viewer.types(&canvas, code);
        assert_eq!(canvas.seen().buttons(), [(BTN_LEFT, true), (BTN_LEFT, false)]);
    }

    // One leaves, with a key of its own and one that another holds too: its own comes up, the other's stays down.
    canvas.forget();
    one.host.keyboard().press(KEY_A);
    one.gets(&canvas, (KEY_A, true));
    three.host.keyboard().press(KEY_A).press(KEY_S);
    three.gets(&canvas, (KEY_S, true));
    let Viewer { host, bridge } = three;
    bridge.end();
    drop(host);
    one.gets(&canvas, (KEY_S, false));
    two.types(&canvas, KEY_Q);
    assert_eq!(count(&canvas.seen(), KEY_A), (1, 0), "{}", canvas.seen());

    // Another one dies while it holds a key: that comes up too.
    two.host.keyboard().press(KEY_S);
    bridge_holds(&two, &canvas);
    drop(two);
    one.bridge.expect(canvas.wait(soon(), |seen| (count(seen, KEY_S) == (2, 2)).then_some(())));
    one.types(&canvas, KEY_Q);
    assert_eq!(count(&canvas.seen(), KEY_A), (1, 0), "{}", canvas.seen());
    one.host.keyboard().release(KEY_A);
    one.gets(&canvas, (KEY_A, false));

    // The one that is left has lost nothing, and somebody may come again.
    canvas.show(9);
    one.shows(9);
    one.points(&canvas, 400.0, 300.0);
    let again = Viewer::new(&gnome);
    again.shows(9);
    again.points(&canvas, 500.0, 400.0);
    for viewer in [one, again] {
        let ended = viewer.bridge.end();
        assert_eq!(ended.counter("sessions"), 1, "nobody was thrown out: {}", ended.log);
    }
}

/// The guest knows of the key that this one holds.
#[track_caller]
fn bridge_holds(viewer: &Viewer, canvas: &Canvas) {
    viewer.bridge.expect(canvas.wait(soon(), |seen| (count(seen, KEY_S) == (2, 1)).then_some(())));
}
