//! The whole input path, from a fake host's seat to a fake GNOME: over libei (GNOME 48) and over the
//! Notify* methods (GNOME 43). What is held, what waits, where it arrives, and that nothing sticks.

#[path = "../common/mod.rs"]
mod common;
mod devices;
mod held;
mod keys;
mod layouts;
mod locked;
mod locks;
mod pointer;
mod random;
mod scroll;
mod touch;

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
    Relative(f64, f64),
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
        // No programs: what would change settings of this machine is not found.
        Self::starting_in(way, host, options, args, &[("PATH".into(), "/nonexistent".into())])
    }

    /// The same, with these variables besides the guest's.
    fn starting_in(way: Way, host: Builder, options: GuestOptions, args: &[&str], env: &[(String, String)]) -> Self {
        let host = host.start().unwrap();
        let guest = FakeGuest::start(options).unwrap();
        let bridge = Bridge::start(host.socket(), &[&guest.env(), env].concat(), args);
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
        (Input::Motion(dx, dy), _) => Got::Relative(dx.into(), dy.into()),
        (Input::MotionDropped(x, y) | Input::TouchDropped(_, x, y), _) => Got::Dropped(x.into(), y.into()),
        (Input::Button(code, down), DeviceKind::Pointer) => Button(code, down),
        (Input::Button(code, down), _) => Got::ButtonOnAbsolute(code, down),
        (Input::Scroll(x, y), _) => Scroll(x.into(), y.into()),
        (Input::ScrollStop(_, _, false), _) => ScrollStop,
        (Input::Key(code, down), _) => Key(code, down),
        (Input::TouchDown(id, x, y), _) => TouchDown(id, x.into(), y.into()),
        (Input::TouchMotion(id, x, y), _) => TouchMotion(id, x.into(), y.into()),
        // Mutter takes one for the other, and there is no cancel among the calls.
        (Input::TouchUp(id) | Input::TouchCancel(id), _) => TouchUp(id),
        (Input::Frame(_) | Input::StartEmulating(_) | Input::StopEmulating | Input::Ready, _) => return None,
        _ => Got::Other,
    })
}

fn from_notify(call: &Notify) -> Option<Got> {
    Some(match call {
        Notify::MotionAbsolute(_, x, y) => Motion(*x, *y),
        // The one that takes the blow of the first call.
        Notify::MotionRelative(0.0, 0.0) => return None,
        Notify::MotionRelative(dx, dy) => Got::Relative(*dx, *dy),
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
