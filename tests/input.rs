//! The whole input path, from a fake host's seat to a fake GNOME: over libei (GNOME 48) and over the
//! Notify* methods (GNOME 43). What is held, what waits, where it arrives, and that nothing sticks.

mod common;

use std::cell::Cell;
use std::time::{Duration, Instant};

use common::{Bridge, Ended, SOON, wait_for};
use fake_guest::{
    DeviceKind, EisOptions, EisState, FakeGuest, Fill, GuestOptions, Input, KEYBOARD, Monitor, MutterOptions, Notify,
    Offer, POINTER, Pixels, Refusal, Region,
};
use fake_host::code::{BTN_LEFT, BTN_MIDDLE, BTN_RIGHT, KEY_A, KEY_ESC, KEY_LEFTCTRL, KEY_LEFTSHIFT, KEY_Q};
use fake_host::{Axis, Builder, FakeHost};

/// The two ways input gets into a GNOME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Eis,
    Notify,
}

const BOTH: [Way; 2] = [Way::Eis, Way::Notify];

/// What a guest got, whichever way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Got {
    Motion(f64, f64),
    /// Outside every region: the guest drops it.
    Dropped(f64, f64),
    Button(u32, bool),
    /// On the absolute device, where a resize makes it stick.
    ButtonOnAbsolute(u32, bool),
    /// 10 is a notch.
    Scroll(f64, f64),
    ScrollStop,
    Key(u32, bool),
    TouchDown(u32, f64, f64),
    TouchMotion(u32, f64, f64),
    TouchUp(u32),
    Other,
}

use Got::{Button, Key, Motion, Scroll, ScrollStop, TouchDown, TouchMotion, TouchUp};

/// A key that no test uses otherwise: KEY_F13.
const MARK: u32 = 183;

/// KEY_UNKNOWN: what the bridge wakes the keyboard of a GNOME 43 with.
const WAKE: u32 = 240;

struct World {
    way: Way,
    host: FakeHost,
    guest: FakeGuest,
    bridge: Bridge,
    marks: Cell<usize>,
}

fn wolf() -> Builder {
    FakeHost::builder().wolf()
}

fn options(way: Way) -> GuestOptions {
    let version = match way {
        Way::Eis => 48,
        Way::Notify => 43,
    };
    GuestOptions { mutter: MutterOptions { version, ..Default::default() }, ..Default::default() }
}

impl World {
    /// Wolf and a GNOME, with a picture, and with devices that have stopped being re-created.
    fn new(way: Way) -> Self {
        Self::with(way, wolf(), options(way), &[])
    }

    fn with(way: Way, host: Builder, options: GuestOptions, args: &[&str]) -> Self {
        let world = Self::starting(way, host, options, args);
        world.settle();
        world
    }

    /// The same, before anything is ready.
    fn starting(way: Way, host: Builder, options: GuestOptions, args: &[&str]) -> Self {
        let host = host.start().unwrap();
        let guest = FakeGuest::start(options).unwrap();
        let bridge = Bridge::start(host.socket(), &guest.env(), args);
        Self { way, host, guest, bridge, marks: Cell::new(0) }
    }

    /// A picture is shown, the rate's second step is done, and input devices are there for good.
    fn settle(&self) {
        let producer = self.bridge.expect(self.guest.mutter.producer(SOON));
        let frames = self.host.look(|seen| seen.frame_count());
        self.bridge.expect(producer.streaming(SOON));
        common::picture(&self.bridge, &self.host, &producer, Fill::Coded(1));
        self.bridge.expect(self.host.wait(|seen| seen.shown() && seen.frame_count() > frames, SOON));
        if self.guest.mutter.state().casts.iter().any(|cast| cast.source == fake_guest::Source::Virtual) {
            self.bridge.expect(producer.wait(|s| s.ready().filter(|f| f.max_framerate == (1000, 1)), SOON));
        }
        if self.way == Way::Eis {
            for kind in [DeviceKind::Pointer, DeviceKind::Keyboard, DeviceKind::Absolute] {
                self.bridge.expect(self.guest.eis.emulating(kind, SOON));
            }
        }
    }

    /// Everything that the guest got so far, marks left out.
    fn got(&self) -> Vec<Got> {
        let all = match self.way {
            Way::Eis => self.guest.eis.state().log.iter().filter_map(from_eis).collect::<Vec<_>>(),
            Way::Notify => self.guest.mutter.state().notified.iter().filter_map(from_notify).collect(),
        };
        all.into_iter().filter(|got| !matches!(got, Key(MARK | WAKE, _))).collect()
    }

    /// Waits until everything that the host sent so far is there; gives it. Order is kept over all devices,
    /// so a key that arrives says that nothing is on its way.
    #[track_caller]
    fn arrived(&self) -> Vec<Got> {
        self.host.keyboard().key(MARK, true).key(MARK, false);
        self.marks.set(self.marks.get() + 1);
        let wanted = self.marks.get();
        let marks = || match self.way {
            Way::Eis => self.guest.eis.state().count(|logged| logged.input == Input::Key(MARK, false)),
            Way::Notify => {
                let notified = self.guest.mutter.state().notified;
                notified.iter().filter(|call| **call == Notify::Keycode(MARK, false)).count()
            }
        };
        wait_for("a key that shows that all has arrived", SOON, || (marks() >= wanted).then_some(()));
        self.got()
    }

    #[track_caller]
    fn waits_for(&self, what: Got) {
        wait_for(&format!("{what:?}"), SOON, || self.got().contains(&what).then_some(()));
    }

    fn mapping_id(&self) -> String {
        self.guest.mutter.state().casts.first().map(|cast| cast.mapping_id.clone()).expect("there is a stream")
    }

    fn region(&self, x: u32, y: u32, width: u32, height: u32) -> Region {
        Region { x, y, ..Region::new(width, height, Some(&self.mapping_id())) }
    }

    /// The bridge has seen this many devices go.
    #[track_caller]
    fn noticed_removals(&self, count: usize) {
        wait_for("the bridge notices that devices are gone", SOON, || (self.removals() >= count).then_some(()));
    }

    /// The bridge has seen this many devices pause.
    #[track_caller]
    fn noticed_pauses(&self, count: usize) {
        wait_for("the bridge notices that devices are paused", SOON, || {
            (self.bridge.log().matches("input device paused").count() >= count).then_some(())
        });
    }

    fn removals(&self) -> usize {
        self.bridge.log().matches("input device removed").count()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.bridge.pid() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn sessions(&self) -> u32 {
        self.guest.mutter.state().sessions_made
    }

    /// Nothing is left pressed, and no rule of EIS or Wayland was broken.
    #[track_caller]
    fn check(&self) {
        let eis = self.guest.eis.state();
        assert_clean(&eis);
        assert!(eis.held().is_empty(), "still held: {:?}", eis.held());
        assert_eq!(held(&self.got()), Vec::<Got>::new(), "pressed and not released");
        check_host(&self.host);
    }

    /// Ends it as asked; all must be well then.
    #[track_caller]
    fn end(self) -> Ended {
        let World { way, host, guest, bridge, .. } = self;
        let ended = bridge.end();
        if way == Way::Eis {
            guest.eis.wait(|s| (s.connected == 0).then_some(()), SOON).unwrap();
        }
        assert_clean(&guest.eis.state());
        check_host(&host);
        ended
    }
}

/// The host's pointer does not show over the guest's, and nothing was odd.
#[track_caller]
fn check_host(host: &FakeHost) {
    host.wait(|seen| seen.cursor_hidden_after_every_enter(), SOON).expect("a set_cursor(NULL) after every enter");
    assert_eq!(host.look(|seen| seen.oddities.clone()), Vec::<String>::new());
}

#[track_caller]
fn assert_clean(eis: &EisState) {
    assert_eq!(eis.violations, Vec::<String>::new());
    assert_eq!(eis.no_ops, Vec::<u32>::new());
    assert_eq!(eis.left_held, Vec::<String>::new());
    assert!(eis.stuck_buttons.is_empty(), "{:?}", eis.stuck_buttons);
    assert_eq!(eis.lost_presses, Vec::<u32>::new());
}

fn from_eis(logged: &fake_guest::Logged) -> Option<Got> {
    Some(match (logged.input, logged.kind) {
        (Input::MotionAbsolute(x, y), _) => Motion(x.into(), y.into()),
        (Input::MotionDropped(x, y) | Input::TouchDropped(_, x, y), _) => Got::Dropped(x.into(), y.into()),
        (Input::Button(code, down), DeviceKind::Pointer) => Button(code, down),
        (Input::Button(code, down), _) => Got::ButtonOnAbsolute(code, down),
        (Input::Scroll(x, y), _) => Scroll(x.into(), y.into()),
        (Input::ScrollStop(_, _, false), _) => ScrollStop,
        (Input::Key(code, down), _) => Key(code, down),
        (Input::TouchDown(id, x, y), _) => TouchDown(id, x.into(), y.into()),
        (Input::TouchMotion(id, x, y), _) => TouchMotion(id, x.into(), y.into()),
        (Input::TouchUp(id), _) => TouchUp(id),
        (Input::Frame(_) | Input::StartEmulating(_) | Input::StopEmulating | Input::Ready, _) => return None,
        _ => Got::Other,
    })
}

fn from_notify(call: &Notify) -> Option<Got> {
    Some(match call {
        Notify::MotionAbsolute(_, x, y) => Motion(*x, *y),
        // The one that takes the blow of the first call.
        Notify::MotionRelative(0.0, 0.0) => return None,
        Notify::Button(code, down) => Button(*code as u32, *down),
        Notify::AxisDiscrete(0, steps) => Scroll(0.0, f64::from(*steps) * 10.0),
        Notify::AxisDiscrete(_, steps) => Scroll(f64::from(*steps) * 10.0, 0.0),
        Notify::Axis(0.0, 0.0, 5) => ScrollStop,
        Notify::Axis(dx, dy, 4) => Scroll(*dx, *dy),
        Notify::Keycode(code, down) => Key(*code, *down),
        Notify::TouchDown(_, slot, x, y) => TouchDown(*slot, *x, *y),
        Notify::TouchMotion(_, slot, x, y) => TouchMotion(*slot, *x, *y),
        Notify::TouchUp(slot) => TouchUp(*slot),
        _ => Got::Other,
    })
}

/// The presses without a release.
fn held(all: &[Got]) -> Vec<Got> {
    let mut held = Vec::new();
    for got in all {
        match *got {
            Button(_, true) | Key(_, true) | TouchDown(..) => held.push(*got),
            Button(code, false) => held.retain(|it| *it != Button(code, true)),
            Key(code, false) => held.retain(|it| *it != Key(code, true)),
            TouchUp(id) => held.retain(|it| !matches!(it, TouchDown(held, ..) if *held == id)),
            _ => {}
        }
    }
    held
}

fn motions(all: &[Got]) -> Vec<(f64, f64)> {
    let motion = |got: &Got| match got {
        Motion(x, y) => Some((*x, *y)),
        _ => None,
    };
    all.iter().filter_map(motion).collect()
}

/// Everything but motion.
fn actions(all: &[Got]) -> Vec<Got> {
    all.iter().filter(|got| !matches!(got, Motion(..))).copied().collect()
}

fn near(a: (f64, f64), b: (f64, f64)) -> bool {
    (a.0 - b.0).abs() < 0.01 && (a.1 - b.1).abs() < 0.01
}

// Where things arrive.

#[test]
fn a_click_arrives_where_it_was_made() {
    for way in BOTH {
        let world = World::new(way);
        world.host.pointer().move_to(640.25, 359.5).click(BTN_LEFT).click(BTN_RIGHT);
        let all = world.arrived();
        let clicks =
            [Button(BTN_LEFT, true), Button(BTN_LEFT, false), Button(BTN_RIGHT, true), Button(BTN_RIGHT, false)];
        assert_eq!(all[all.len() - 5..], [&[Motion(640.25, 359.5)][..], &clicks].concat(), "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_point_is_mapped_through_a_region_of_another_size_and_place() {
    for way in BOTH {
        let mut options = options(way);
        options.mutter.monitors =
            vec![Monitor { connector: "Meta-0".into(), position: (1920, 100), size: (1600, 900) }];
        let world = World::with(way, wolf(), options, &["--monitor", "Meta-0"]);
        world.host.pointer().move_to(640.0, 360.0).click(BTN_LEFT);
        let all = world.arrived();
        // EIS regions lie on the desktop, Notify* calls on the stream.
        let wanted = if way == Way::Eis { (1920.0 + 800.0, 100.0 + 450.0) } else { (800.0, 450.0) };
        assert_eq!(motions(&all).last(), Some(&wanted), "{way:?}: {all:?}");
        world.host.pointer().move_to(0.0, 0.0).click(BTN_LEFT);
        let all = world.arrived();
        let wanted = if way == Way::Eis { (1920.0, 100.0) } else { (0.0, 0.0) };
        assert_eq!(motions(&all).last(), Some(&wanted), "{way:?}: {all:?}");
        assert!(!all.iter().any(|got| matches!(got, Got::Dropped(..))), "{all:?}");
        world.check();
        world.end();
    }
}

#[test]
fn the_corner_is_reached_through_wolfs_clamp() {
    for way in BOTH {
        let world = World::new(way);
        world.host.pointer().move_to(5000.0, 5000.0).click(BTN_LEFT);
        let all = world.arrived();
        let (x, y) = *motions(&all).last().unwrap();
        assert_eq!((x.floor(), y.floor()), (1279.0, 719.0), "{way:?}: {all:?}");
        assert!(!all.iter().any(|got| matches!(got, Got::Dropped(..))), "{all:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_host_that_does_not_clamp_keeps_all_its_pixels() {
    let world = World::with(Way::Eis, wolf().quirks(|quirks| quirks.clamps_pointer = false), options(Way::Eis), &[]);
    let pointer = world.host.pointer();
    pointer.move_to(1279.5, 719.5);
    world.arrived();
    pointer.move_to(1278.0, 718.0);
    assert_eq!(motions(&world.arrived()).last(), Some(&(1278.0, 718.0)));
    // Beyond the window, as in a drag: the edge.
    pointer.move_to(4000.0, -50.0);
    let all = world.arrived();
    assert!(near(*motions(&all).last().unwrap(), (1280.0, 0.0)), "{all:?}");
    assert!(!all.iter().any(|got| matches!(got, Got::Dropped(..))), "{all:?}");
    world.check();
    world.end();
}

#[test]
fn a_window_of_another_size_is_mapped_before_and_after_the_stream_follows() {
    for way in BOTH {
        let world = World::new(way);
        let producer = world.bridge.expect(world.guest.mutter.producer(SOON));
        world.host.pointer().move_to(320.0, 180.0);
        world.arrived();
        world.host.set_output_mode(1920, 1080, 60_000);
        world.bridge.expect(producer.streaming_at((1920, 1080), SOON));
        common::picture(&world.bridge, &world.host, &producer, Fill::Coded(2));
        world.bridge.expect(producer.wait(|s| s.ready().filter(|f| f.max_framerate == (1000, 1)), SOON));
        world.host.pointer().move_to(960.0, 540.0).click(BTN_LEFT);
        let all = world.arrived();
        assert_eq!(motions(&all).last(), Some(&(960.0, 540.0)), "{way:?}: {all:?}");
        assert!(!all.iter().any(|got| matches!(got, Got::Dropped(..))), "{all:?}");
        world.check();
        world.end();
    }
}

// What arrives.

#[test]
fn a_wheel_arrives_as_notches_whatever_the_host_makes_of_them() {
    for way in BOTH {
        let world = World::new(way);
        let pointer = world.host.pointer().move_to(10.0, 10.0);
        pointer.wheel(Axis::Vertical, 120).wheel(Axis::Vertical, -240).wheel(Axis::Horizontal, 120);
        assert_eq!(actions(&world.arrived()), [Scroll(0.0, 10.0), Scroll(0.0, -20.0), Scroll(10.0, 0.0)], "{way:?}");
        for _ in 0..8 {
            pointer.wheel(Axis::Vertical, 15);
        }
        let fine = actions(&world.arrived()).split_off(3);
        match way {
            Way::Eis => assert_eq!(fine, [Scroll(0.0, 1.25); 8]),
            Way::Notify => assert_eq!(fine, [Scroll(0.0, 10.0)]),
        }
        world.check();
        world.end();
    }
}

#[test]
fn seats_of_every_age_are_understood() {
    for version in [1, 3, 4, 5, 7, 8, 9] {
        let host = FakeHost::builder().with_version("wl_seat", version);
        let world = World::with(Way::Eis, host, options(Way::Eis), &[]);
        // 10 units a notch, where the distance is all that there is.
        let pointer = world.host.pointer().move_to(320.0, 180.0).click(BTN_LEFT);
        pointer.axis(Axis::Vertical, 10.0);
        if version >= 8 {
            pointer.axis_value120(Axis::Vertical, 120);
        } else if version >= 5 {
            pointer.axis_discrete(Axis::Vertical, 1);
        }
        pointer.frame();
        world.host.keyboard().tap(KEY_A);
        world.host.touch().tap(5.0, 5.0);
        let all = world.arrived();
        let wanted = [
            Button(BTN_LEFT, true),
            Button(BTN_LEFT, false),
            Scroll(0.0, 10.0),
            Key(KEY_A, true),
            Key(KEY_A, false),
            TouchDown(0, 5.0, 5.0),
            TouchUp(0),
        ];
        assert_eq!(actions(&all), wanted, "wl_seat {version}");
        assert_eq!(motions(&all).last(), Some(&(320.0, 180.0)), "wl_seat {version}");
        world.check();
        world.end();
    }
}

#[test]
fn fingers_scroll_and_stop() {
    for way in BOTH {
        let world = World::new(way);
        let pointer = world.host.pointer().move_to(10.0, 10.0);
        pointer.fingers(0.0, 2.5).fingers(-1.5, 0.0).fingers_up();
        let wanted = [Scroll(0.0, 2.5), Scroll(-1.5, 0.0), ScrollStop, ScrollStop];
        assert_eq!(actions(&world.arrived()), wanted, "{way:?}");
        // The last distance and the stop in one frame.
        pointer.axis_source(fake_host::Source::Finger).axis(Axis::Vertical, 1.0).axis_stop(Axis::Vertical).frame();
        assert_eq!(actions(&world.arrived())[4..], [Scroll(0.0, 1.0), ScrollStop], "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn keys_arrive_as_evdev_codes_and_once() {
    for way in BOTH {
        let world = World::new(way);
        let keyboard = world.host.keyboard();
        keyboard.key(KEY_A, true).key(KEY_A, true).key(KEY_A, false).key(KEY_A, false);
        keyboard.key(KEY_ESC, false).tap(KEY_Q).chord(&[KEY_LEFTCTRL, KEY_LEFTSHIFT, KEY_A]);
        let wanted = [
            Key(KEY_A, true),
            Key(KEY_A, false),
            Key(KEY_Q, true),
            Key(KEY_Q, false),
            Key(KEY_LEFTCTRL, true),
            Key(KEY_LEFTSHIFT, true),
            Key(KEY_A, true),
            Key(KEY_A, false),
            Key(KEY_LEFTSHIFT, false),
            Key(KEY_LEFTCTRL, false),
        ];
        assert_eq!(world.arrived(), wanted, "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn the_hosts_modifiers_and_layout_are_its_own() {
    for way in BOTH {
        let world = World::with(way, wolf().keymap("de", ""), options(way), &[]);
        let keyboard = world.host.keyboard();
        keyboard.key(KEY_LEFTSHIFT, true).modifiers(1, 0, 0, 0).modifiers(1, 2, 16, 3).key(KEY_LEFTSHIFT, false);
        assert!(keyboard.set_keymap("fr", ""));
        keyboard.set_repeat(0, 0).modifiers(0, 0, 0, 0);
        assert_eq!(world.arrived(), [Key(KEY_LEFTSHIFT, true), Key(KEY_LEFTSHIFT, false)], "{way:?}");
        let calls = world.guest.mutter.state().order();
        assert!(!calls.iter().any(|call| call.contains("SetKeymap")), "{calls:?}");
        world.check();
        world.end();
    }
}

#[test]
fn fingers_touch_where_they_are() {
    for way in BOTH {
        let world = World::new(way);
        if way == Way::Eis {
            world.bridge.expect(world.guest.eis.emulating(DeviceKind::Touch, SOON));
        }
        let touch = world.host.touch();
        // The host's ids are its own; the guest's begin at 0.
        touch.down(70, 100.0, 200.0).down(71, 300.5, 400.0).frame();
        touch.motion(71, 310.0, 410.0).frame().up(70).frame().motion(71, 5000.0, 5000.0).frame().up(71).frame();
        touch.up(71).motion(70, 1.0, 1.0).frame().tap(5.0, 6.0);
        let all = world.arrived();
        let wanted = [
            TouchDown(0, 100.0, 200.0),
            TouchDown(1, 300.5, 400.0),
            TouchMotion(1, 310.0, 410.0),
            TouchUp(0),
            TouchUp(1),
            TouchDown(0, 5.0, 6.0),
            TouchUp(0),
        ];
        let clamped: Vec<Got> =
            all.iter().filter(|got| !matches!(got, TouchMotion(_, x, _) if *x > 1279.0)).copied().collect();
        assert_eq!(clamped, wanted, "{way:?}: {all:?}");
        assert_eq!(all.len(), wanted.len() + 1, "{way:?}: {all:?}");
        touch.down(1, 1.0, 2.0).frame().cancel();
        assert_eq!(world.arrived().split_off(all.len()), [TouchDown(0, 1.0, 2.0), TouchUp(0)], "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_burst_of_keys_loses_none() {
    for way in BOTH {
        let world = World::new(way);
        world.signal(rustix::process::Signal::STOP);
        // More than wait for a device that is away, as a pasted text may be; here none is away.
        let codes: Vec<u32> = (2..152).collect();
        for _ in 0..4 {
            world.host.keyboard().chord(&codes);
        }
        world.signal(rustix::process::Signal::CONT);
        let all = world.arrived();
        let down = codes.iter().map(|code| Key(*code, true));
        let up = codes.iter().rev().map(|code| Key(*code, false));
        let once: Vec<Got> = down.chain(up).collect();
        assert_eq!(all.len(), 4 * once.len(), "{way:?}");
        assert_eq!(all, once.repeat(4), "{way:?}");
        world.check();
        world.end();
    }
}

// What is held is released, and nothing else is.

/// Presses a key and two buttons, and waits until they are down.
fn press_some(world: &World) -> [Got; 3] {
    world.host.pointer().move_to(100.0, 100.0).press(BTN_LEFT).press(BTN_MIDDLE);
    world.host.keyboard().press(KEY_LEFTCTRL);
    let pressed = [Button(BTN_LEFT, true), Button(BTN_MIDDLE, true), Key(KEY_LEFTCTRL, true)];
    world.waits_for(pressed[2]);
    assert_eq!(held(&world.got()), pressed);
    pressed
}

#[test]
fn a_leave_releases_what_that_device_holds() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        world.host.keyboard().leave();
        world.waits_for(Key(KEY_LEFTCTRL, false));
        assert_eq!(held(&world.got()), [Button(BTN_LEFT, true), Button(BTN_MIDDLE, true)], "{way:?}");
        world.host.pointer().leave();
        world.waits_for(Button(BTN_MIDDLE, false));
        // The releases that a host may send afterwards are nobody's.
        let before = world.arrived();
        world.host.pointer().button(BTN_LEFT, false).frame();
        world.host.keyboard().key(KEY_LEFTCTRL, false);
        assert_eq!(world.arrived(), before, "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn keys_that_are_down_at_the_enter_are_pressed_and_released() {
    for way in BOTH {
        let world = World::new(way);
        world.host.keyboard().leave().enter(&[KEY_LEFTCTRL, KEY_A]);
        assert_eq!(world.arrived(), [Key(KEY_LEFTCTRL, true), Key(KEY_A, true)], "{way:?}");
        world.host.keyboard().release(KEY_A).leave();
        world.waits_for(Key(KEY_LEFTCTRL, false));
        world.check();
        world.end();
    }
}

#[test]
fn a_seat_that_loses_its_devices_releases_them() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        world.host.touch().down(3, 50.0, 50.0).frame();
        world.waits_for(TouchDown(0, 50.0, 50.0));
        world.host.set_seat(false, false, false);
        wait_for("all released", SOON, || held(&world.got()).is_empty().then_some(()));
        world.host.set_seat(true, true, true);
        // The new objects have to be there before anything can be sent to them.
        wait_for("the bridge has the seat's devices again", SOON, || {
            (world.bridge.log().matches("seat capabilities=").count() >= 3).then_some(())
        });
        let pong = world.host.ping();
        world.bridge.expect(world.host.wait(|seen| seen.pongs.contains(&pong), SOON));
        world.host.pointer().move_to(20.0, 30.0);
        world.host.keyboard().enter(&[]);
        world.host.pointer().click(BTN_LEFT);
        let all = world.arrived();
        assert_eq!(all[all.len() - 2..], [Button(BTN_LEFT, true), Button(BTN_LEFT, false)], "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_signal_releases_what_is_held() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        world.host.touch().down(3, 50.0, 50.0).frame();
        world.waits_for(TouchDown(0, 50.0, 50.0));
        let World { host, guest, bridge, .. } = world;
        bridge.end();
        released_at_the_end(way, &guest);
        drop(host);
    }
}

/// All that was pressed has been released by calls or events, not by the guest's own clearing up.
#[track_caller]
fn released_at_the_end(way: Way, guest: &FakeGuest) {
    let all: Vec<Got> = match way {
        Way::Eis => {
            guest.eis.wait(|s| (s.connected == 0).then_some(()), SOON).unwrap();
            assert_clean(&guest.eis.state());
            guest.eis.state().log.iter().filter_map(from_eis).collect()
        }
        Way::Notify => {
            let empty = |s: &fake_guest::MutterState| s.remote_sessions.is_empty().then_some(());
            guest.mutter.wait(empty, SOON).unwrap();
            guest.mutter.state().notified.iter().filter_map(from_notify).collect()
        }
    };
    assert!(all.iter().any(|got| matches!(got, Button(_, true))), "{way:?}: nothing was pressed: {all:?}");
    assert_eq!(held(&all), Vec::<Got>::new(), "{way:?}: {all:?}");
}

#[test]
fn the_hosts_close_releases_what_is_held() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        // What Wolf makes of Ctrl+Shift+Q.
        world.host.keyboard().press(KEY_LEFTSHIFT).press(KEY_Q);
        let World { guest, bridge, .. } = world;
        let ended = bridge.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        released_at_the_end(way, &guest);
    }
}

#[test]
fn an_ignored_close_changes_nothing() {
    let world = World::with(Way::Eis, wolf(), options(Way::Eis), &["--on-close", "ignore"]);
    world.host.keyboard().chord(&[KEY_LEFTCTRL, KEY_LEFTSHIFT, KEY_Q]).tap(KEY_A);
    let all = world.arrived();
    assert!(!all.contains(&Key(KEY_Q, true)), "{all:?}");
    assert_eq!(all[all.len() - 2..], [Key(KEY_A, true), Key(KEY_A, false)]);
    world.check();
    world.end();
}

#[test]
fn a_lost_host_releases_what_is_held() {
    for way in BOTH {
        for by_error in [false, true] {
            let world = World::new(way);
            press_some(&world);
            let World { host, guest, bridge, .. } = world;
            match by_error {
                true => assert!(host.post_error(0, "the test says so")),
                false => host.kill(),
            }
            let ended = bridge.ended();
            assert_eq!(ended.code, Some(3), "{}", ended.log);
            released_at_the_end(way, &guest);
        }
    }
}

#[test]
fn a_lost_stream_releases_what_is_held() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        let producer = world.bridge.expect(world.guest.mutter.producer(SOON));
        // RGB16 only: the stream has nothing left in common and errs, while Mutter and EIS live on.
        producer.offer(vec![Offer::plain(Pixels::Other(libspa_rgb16()))]);
        wait_for("another session", SOON, || (world.sessions() > 1).then_some(()));
        wait_for("all released", SOON, || held(&world.got()).is_empty().then_some(()));
        if way == Way::Eis {
            assert_clean(&world.guest.eis.state());
        }
        drop(producer);
        world.end();
    }
}

/// `SPA_VIDEO_FORMAT_RGB16`, which the bridge does not speak.
fn libspa_rgb16() -> u32 {
    26
}

#[test]
fn a_paused_device_holds_nothing_afterwards() {
    let world = World::new(Way::Eis);
    press_some(&world);
    for kind in [DeviceKind::Keyboard, DeviceKind::Pointer] {
        world.guest.eis.pause(kind);
    }
    world.noticed_pauses(2);
    let log = world.guest.eis.state().log.len();
    for kind in [DeviceKind::Keyboard, DeviceKind::Pointer] {
        world.guest.eis.resume(kind);
        world.bridge.expect(world.guest.eis.emulating(kind, SOON));
    }
    world.host.keyboard().release(KEY_LEFTCTRL);
    world.host.pointer().release(BTN_LEFT).release(BTN_MIDDLE).click(BTN_RIGHT);
    world.arrived();
    let state = world.guest.eis.state();
    let after: Vec<Got> =
        state.log[log..].iter().filter_map(from_eis).filter(|got| !matches!(got, Key(MARK, _))).collect();
    assert_eq!(after, [Button(BTN_RIGHT, true), Button(BTN_RIGHT, false)]);
    assert_clean(&state);
    assert_eq!(state.held(), Vec::<String>::new());
    world.end();
}

#[test]
fn input_waits_while_its_device_is_paused() {
    let world = World::new(Way::Eis);
    world.host.pointer().move_to(1.0, 1.0);
    world.arrived();
    world.guest.eis.pause(DeviceKind::Keyboard);
    world.noticed_pauses(1);
    world.host.keyboard().tap(KEY_A);
    world.host.pointer().click(BTN_LEFT);
    world.guest.eis.resume(DeviceKind::Keyboard);
    let wanted = [Key(KEY_A, true), Key(KEY_A, false), Button(BTN_LEFT, true), Button(BTN_LEFT, false)];
    assert_eq!(actions(&world.arrived()), wanted);
    world.check();
    world.end();
}

#[test]
fn a_new_keymap_forgets_held_keys() {
    let world = World::new(Way::Eis);
    world.host.keyboard().press(KEY_A);
    world.waits_for(Key(KEY_A, true));
    let gone = world.removals();
    world.guest.eis.set_keymap(Some(fake_guest::KEYMAP_US));
    world.noticed_removals(gone + 1);
    world.host.keyboard().release(KEY_A).tap(KEY_ESC);
    let all = world.arrived();
    assert_eq!(all, [Key(KEY_A, true), Key(KEY_ESC, true), Key(KEY_ESC, false)]);
    let state = world.guest.eis.state();
    // The server took the device away with the key down; that is its own doing.
    assert_eq!(state.left_held, [format!("key {KEY_A} on Keyboard")]);
    assert_eq!(state.violations, Vec::<String>::new());
    assert_eq!(state.held(), Vec::<String>::new());
}

// Devices that come and go.

#[test]
fn a_drag_survives_the_devices_re_creation() {
    let world = World::new(Way::Eis);
    let pointer = world.host.pointer().move_to(100.0, 100.0).press(BTN_LEFT).move_to(150.0, 150.0);
    world.arrived();
    let gone = world.removals();
    for round in 0..5 {
        let at = 200.0 + f64::from(round) * 20.0;
        pointer.move_to(at, at);
        world.guest.eis.recreate();
        pointer.move_to(at + 10.0, at + 10.0);
    }
    // What goes to a device that the bridge does not know to be gone yet is lost; this is not.
    world.noticed_removals(gone + 10);
    pointer.move_to(600.0, 400.0).release(BTN_LEFT);
    let all = world.arrived();
    assert_eq!(actions(&all), [Button(BTN_LEFT, true), Button(BTN_LEFT, false)]);
    let press = all.iter().position(|got| *got == Button(BTN_LEFT, true)).unwrap();
    assert!(near(motions(&all[..press]).last().copied().unwrap(), (100.0, 100.0)), "{all:?}");
    assert_eq!(all[all.len() - 2..], [Motion(600.0, 400.0), Button(BTN_LEFT, false)]);
    world.check();
    world.end();
}

#[test]
fn input_waits_for_devices_and_arrives_in_order_in_the_new_region() {
    let world = World::new(Way::Eis);
    let pointer = world.host.pointer().move_to(100.0, 100.0).press(BTN_LEFT);
    let before = world.arrived().len();
    let gone = world.removals();
    world.guest.eis.stream_gone();
    world.noticed_removals(gone + 2);
    pointer.move_to(300.0, 300.0).move_to(640.0, 360.0).release(BTN_LEFT).click(BTN_RIGHT);
    world.host.keyboard().tap(KEY_A);
    pointer.move_to(0.0, 0.0).wheel(Axis::Vertical, 120);
    world.host.touch().tap(1278.0, 0.0);
    // The desktop has put the stream elsewhere, at another scale.
    world.guest.eis.stream_ready(world.region(1000, 500, 640, 360));
    let mut after = world.arrived().split_off(before);
    // The place the guest was last told of, in the new region; then what has waited.
    assert_eq!(after.remove(0), Motion(1050.0, 550.0));
    let touched = after.pop().zip(after.pop());
    assert!(
        matches!(touched, Some((TouchUp(0), TouchDown(0, x, 500.0))) if (1639.0..1640.0).contains(&x)),
        "{touched:?}"
    );
    assert_eq!(
        after,
        [
            Motion(1320.0, 680.0),
            Button(BTN_LEFT, false),
            Button(BTN_RIGHT, true),
            Button(BTN_RIGHT, false),
            Key(KEY_A, true),
            Key(KEY_A, false),
            Motion(1000.0, 500.0),
            Scroll(0.0, 10.0),
        ]
    );
    world.check();
    world.end();
}

#[test]
fn a_storm_of_resizes_leaves_nothing_stuck_and_nothing_astray() {
    let world = World::new(Way::Eis);
    let pointer = world.host.pointer().move_to(10.0, 10.0);
    for round in 0..20u32 {
        pointer.press(BTN_LEFT).jiggle(10);
        world.guest.eis.resize(world.region(round * 7, round * 3, 640 + round * 10, 360 + round * 10));
        pointer.move_to(640.0, 360.0).release(BTN_LEFT);
        world.host.keyboard().tap(KEY_A);
    }
    let all = world.arrived();
    let count = |wanted: Got| all.iter().filter(|got| **got == wanted).count();
    assert_eq!(count(Button(BTN_LEFT, true)), 20);
    assert_eq!(count(Button(BTN_LEFT, false)), 20);
    assert_eq!(count(Key(KEY_A, true)), 20);
    assert!(!all.iter().any(|got| matches!(got, Got::Dropped(..) | Got::ButtonOnAbsolute(..))), "{all:?}");
    world.check();
    world.end();
}

#[test]
fn a_drag_survives_a_resize_of_the_window() {
    for way in BOTH {
        let world = World::new(way);
        let pointer = world.host.pointer().move_to(100.0, 100.0).press(BTN_LEFT);
        world.arrived();
        let producer = world.bridge.expect(world.guest.mutter.producer(SOON));
        for (width, height) in [(1920, 1080), (800, 600)] {
            world.host.set_output_mode(width, height, 60_000);
            pointer.move_to(300.0, 300.0);
            let size = (width as u32, height as u32);
            world.bridge.expect(producer.streaming_at(size, SOON));
            common::picture(&world.bridge, &world.host, &producer, Fill::Coded(2));
            let lifted = |s: &fake_guest::ProducerState| s.ready().filter(|f| f.max_framerate == (1000, 1));
            world.bridge.expect(producer.wait(lifted, SOON));
            pointer.move_to(400.0, 300.0);
        }
        pointer.release(BTN_LEFT).move_to(100.0, 50.0).click(BTN_RIGHT);
        let all = world.arrived();
        let clicks = [(BTN_LEFT, true), (BTN_LEFT, false), (BTN_RIGHT, true), (BTN_RIGHT, false)];
        assert_eq!(actions(&all), clicks.map(|(code, down)| Button(code, down)), "{way:?}");
        assert_eq!(motions(&all).last(), Some(&(100.0, 50.0)), "{way:?}: {all:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_finger_that_was_down_when_its_device_went_is_forgotten() {
    let world = World::new(Way::Eis);
    world.bridge.expect(world.guest.eis.emulating(DeviceKind::Touch, SOON));
    let touch = world.host.touch().down(4, 10.0, 10.0).frame();
    world.waits_for(TouchDown(0, 10.0, 10.0));
    let gone = world.removals();
    world.guest.eis.recreate();
    world.noticed_removals(gone + 2);
    touch.motion(4, 20.0, 20.0).frame().up(4).frame().tap(30.0, 30.0);
    let wanted = [TouchDown(0, 10.0, 10.0), TouchDown(0, 30.0, 30.0), TouchUp(0)];
    assert_eq!(world.arrived(), wanted);
    let state = world.guest.eis.state();
    // The server took the device away with the finger down; that is its own doing.
    assert_eq!(state.left_held, ["touch 0 on Touch"]);
    assert_eq!(state.violations, Vec::<String>::new());
    assert_eq!(state.held(), Vec::<String>::new());
}

#[test]
fn what_an_ended_session_held_is_not_released_in_the_next() {
    for way in BOTH {
        let world = World::new(way);
        press_some(&world);
        world.guest.mutter.close_session();
        wait_for("another session", SOON, || (world.sessions() > 1).then_some(()));
        let made = |s: &fake_guest::MutterState| s.producer().filter(|_| s.remote_sessions.len() == 1);
        world.bridge.expect(world.guest.mutter.wait(made, SOON));
        world.settle();
        let before = world.arrived().len();
        world.host.pointer().release(BTN_LEFT).release(BTN_MIDDLE).click(BTN_RIGHT);
        world.host.keyboard().release(KEY_LEFTCTRL).tap(KEY_A);
        let after = world.arrived().split_off(before);
        let wanted = [Button(BTN_RIGHT, true), Button(BTN_RIGHT, false), Key(KEY_A, true), Key(KEY_A, false)];
        assert_eq!(actions(&after), wanted, "{way:?}");
        assert_eq!(world.guest.eis.state().violations, Vec::<String>::new());
        assert_eq!(world.guest.eis.state().held(), Vec::<String>::new());
    }
}

#[test]
fn a_region_of_another_stream_is_never_used() {
    // Two regions cannot be told apart but by their mapping id, and this server has none of ours: the only
    // one there is will do, as with KWin and gamescope.
    let world = World::new(Way::Eis);
    world.guest.eis.resize(Region { x: 50, y: 60, ..Region::new(1280, 720, None) });
    world.host.pointer().move_to(100.0, 100.0).click(BTN_LEFT);
    let all = world.arrived();
    assert_eq!(motions(&all).last(), Some(&(150.0, 160.0)), "{all:?}");
    world.check();
    world.end();
}

#[test]
fn a_click_without_a_motion_goes_to_the_pointers_place_in_the_new_region() {
    let world = World::new(Way::Eis);
    world.host.pointer().move_to(640.0, 360.0);
    let before = world.arrived().len();
    // All news of the new devices come in one go, so that nothing later brings the motion along.
    world.signal(rustix::process::Signal::STOP);
    world.guest.eis.resize(world.region(1000, 500, 640, 360));
    world.signal(rustix::process::Signal::CONT);
    // At once, and not with whatever comes next.
    world.waits_for(Motion(1320.0, 680.0));
    world.host.pointer().click(BTN_LEFT);
    let after = world.arrived().split_off(before);
    assert_eq!(after, [Motion(1320.0, 680.0), Button(BTN_LEFT, true), Button(BTN_LEFT, false)]);
    world.check();
    world.end();
}

#[test]
fn a_device_that_does_not_exist_holds_up_no_other_for_long() {
    // Before GNOME 48 there is no touchscreen.
    let mut options = options(Way::Eis);
    options.eis = EisOptions { device_types: KEYBOARD | POINTER, ..Default::default() };
    let world = World::with(Way::Eis, wolf(), options, &[]);
    world.host.touch().tap(5.0, 5.0);
    assert_eq!(world.arrived(), []);
    // By now it is known that there is none.
    let began = Instant::now();
    for _ in 0..3 {
        world.host.touch().tap(5.0, 5.0);
        world.arrived();
    }
    assert!(began.elapsed() < Duration::from_millis(1200), "keys waited for a touchscreen: {:?}", began.elapsed());
    world.check();
    world.end();
}

#[test]
fn a_server_without_devices_costs_the_input_and_not_the_picture() {
    for refuse in [Refusal::NoDevices, Refusal::NeverResumed] {
        let mut options = options(Way::Eis);
        options.eis.refuse = Some(refuse);
        let world = World::starting(Way::Eis, wolf(), options, &[]);
        let producer = world.bridge.expect(world.guest.mutter.producer(SOON));
        common::picture(&world.bridge, &world.host, &producer, Fill::Coded(1));
        world.bridge.expect(world.host.wait(|seen| seen.shown(), SOON));
        world.host.pointer().move_to(5.0, 5.0).click(BTN_LEFT);
        world.host.keyboard().tap(KEY_A);
        common::picture(&world.bridge, &world.host, &producer, Fill::Coded(2));
        world.bridge.expect(world.host.wait(|seen| seen.frame_count() >= 2, SOON));
        assert_eq!(world.got(), [], "{refuse:?}");
        assert_eq!(world.sessions(), 1, "{refuse:?}");
        world.end();
    }
}

#[test]
fn an_eis_server_that_leaves_is_connected_again() {
    for politely in [true, false] {
        let world = World::new(Way::Eis);
        world.host.pointer().move_to(640.0, 360.0).click(BTN_LEFT);
        world.arrived();
        let connections = world.guest.eis.state().connections;
        match politely {
            true => world.guest.eis.disconnect(),
            false => world.guest.eis.sever(),
        }
        let again = |s: &EisState| (s.connections > connections && s.connected == 1).then_some(());
        world.bridge.expect(world.guest.eis.wait(again, SOON));
        wait_for("the old session's end", SOON, || {
            (world.guest.mutter.state().remote_sessions.len() == 1).then_some(())
        });
        world.settle();
        let before = world.guest.eis.state().connections;
        assert!(before > connections);
        world.host.keyboard().tap(KEY_A);
        // The pointer has not moved: the new session's is put where the host's is before it clicks.
        world.host.pointer().click(BTN_RIGHT);
        world.arrived();
        let state = world.guest.eis.state();
        let devices = |logged: &&fake_guest::Logged| state.devices[logged.device as usize].alive;
        let after: Vec<Got> = state.log.iter().filter(devices).filter_map(from_eis).collect();
        let after: Vec<Got> = after.into_iter().filter(|got| !matches!(got, Key(MARK, _))).collect();
        let wanted = [Key(KEY_A, true), Key(KEY_A, false), Button(BTN_RIGHT, true), Button(BTN_RIGHT, false)];
        assert_eq!(actions(&after), wanted, "politely: {politely}");
        assert_eq!(motions(&after), [(640.0, 360.0)], "politely: {politely}");
        assert_eq!(state.violations, Vec::<String>::new());
        assert_eq!(state.held(), Vec::<String>::new());
        assert_eq!(world.host.look(|seen| seen.windows.len()), 1, "the window stays");
        world.end();
    }
}

#[test]
fn a_refused_eis_connection_is_made_up_for_by_calls() {
    let mut options = options(Way::Eis);
    options.mutter.refuse = vec!["ConnectToEIS".into()];
    let world = World::with(Way::Notify, wolf(), options, &[]);
    world.host.pointer().move_to(100.0, 50.0).click(BTN_LEFT);
    world.host.keyboard().tap(KEY_A);
    let all = world.arrived();
    let wanted = [Button(BTN_LEFT, true), Button(BTN_LEFT, false), Key(KEY_A, true), Key(KEY_A, false)];
    assert_eq!(actions(&all), wanted);
    assert_eq!(motions(&all).last(), Some(&(100.0, 50.0)));
    let log = world.end().log;
    assert_eq!(log.matches(" WARN ").count(), 1, "{log}");
    assert!(log.contains("Mutter refused ConnectToEIS"), "{log}");
}

#[test]
fn the_hosts_pointer_is_hidden_at_every_enter() {
    let world = World::new(Way::Eis);
    for _ in 0..5 {
        world.host.pointer().move_to(5.0, 5.0).leave();
    }
    world.host.pointer().move_to(9.0, 9.0);
    world.arrived();
    world.bridge.expect(world.host.wait(|seen| seen.cursors.len() == 6, SOON));
    world.host.look(|seen| {
        assert_eq!(seen.pointer_enters.len(), 6);
        assert!(seen.cursors.iter().all(|cursor| cursor.surface.is_none()));
    });
    world.check();
    world.end();
}

#[test]
fn input_before_the_guest_is_there_is_forgotten_and_breaks_nothing() {
    for way in BOTH {
        let mut options = options(way);
        options.mutter.delays.insert("CreateSession".into(), Duration::from_millis(300));
        let world = World::starting(way, wolf(), options, &[]);
        world.bridge.expect(world.host.wait(|seen| !seen.windows.is_empty(), SOON));
        world.host.pointer().move_to(5.0, 5.0).press(BTN_LEFT);
        world.host.keyboard().press(KEY_A);
        world.settle();
        world.host.pointer().release(BTN_LEFT);
        world.host.keyboard().release(KEY_A).tap(KEY_ESC);
        let all = world.arrived();
        assert_eq!(actions(&all), [Key(KEY_ESC, true), Key(KEY_ESC, false)], "{way:?}");
        world.check();
        world.end();
    }
}

#[test]
fn a_guest_that_reads_slowly_gets_everything_in_the_end() {
    for way in BOTH {
        let mut options = options(way);
        if way == Way::Notify {
            options.mutter.delays.insert("NotifyKeyboardKeycode".into(), Duration::from_millis(5));
        }
        let world = World::with(way, wolf(), options, &[]);
        for _ in 0..50 {
            world.host.keyboard().tap(KEY_A);
        }
        world.host.keyboard().press(KEY_LEFTCTRL);
        let World { host, guest, bridge, .. } = world;
        // It ends with calls still on their way: the last of them is the release.
        bridge.end();
        drop(host);
        let held_at_the_end = match way {
            Way::Eis => {
                guest.eis.wait(|s| (s.connected == 0).then_some(()), SOON).unwrap();
                assert_clean(&guest.eis.state());
                held(&guest.eis.state().log.iter().filter_map(from_eis).collect::<Vec<_>>())
            }
            Way::Notify => {
                let empty = |s: &fake_guest::MutterState| s.remote_sessions.is_empty().then_some(());
                guest.mutter.wait(empty, SOON).unwrap();
                held(&guest.mutter.state().notified.iter().filter_map(from_notify).collect::<Vec<_>>())
            }
        };
        assert_eq!(held_at_the_end, [], "{way:?}");
    }
}
