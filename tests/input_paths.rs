//! The input path against a real EIS connection, in one process: whatever host and guest do, what the guest holds is what
//! the host holds, nothing is released that was not pressed, and nothing is lost or comes in another order.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fake_guest::{DeviceKind, EisOptions, EisState, FakeEis, Input, Region, RegionMode};
use proptest::prelude::*;
use wolf_bridge::input::ei::{EiSink, Scrolling};
use wolf_bridge::input::event::{Axis, InputEvent};
use wolf_bridge::input::path::{InputPath, Sink};
use wolf_bridge::input::place::Place;
use wolf_bridge::options::PointerMode;

const SOON: Duration = Duration::from_secs(20);

/// KEY_F13: no test uses it otherwise.
const MARK: u32 = 183;

const SIZE: (u32, u32) = (1280, 720);

struct World {
    eis: FakeEis,
    path: InputPath,
    connected: bool,
}

impl World {
    fn new(mode: PointerMode, options: EisOptions) -> Self {
        let mut path = InputPath::new(mode);
        path.set_window(SIZE.0, SIZE.1);
        path.set_has_relative(true);
        let mut world = Self { eis: FakeEis::start(options).unwrap(), path, connected: false };
        world.eis.stream_ready(Region::new(SIZE.0, SIZE.1, None));
        world.connect();
        world
    }

    fn connect(&mut self) {
        let socket = self.eis.connect(u32::MAX).unwrap();
        self.path.attach(Sink::Ei(Box::new(EiSink::new(socket, Place::default(), Scrolling::Mutter).unwrap())), None);
        self.path.set_stream(SIZE.0, SIZE.1);
        self.connected = true;
    }

    /// One turn of the loop.
    fn turn(&mut self) {
        let now = Instant::now();
        if self.connected && (self.path.read().is_err() || self.path.pump(now).is_err()) {
            self.lose();
        }
    }

    fn lose(&mut self) {
        self.path.detach();
        self.connected = false;
    }

    /// Turns until the server has seen what it is to see.
    #[track_caller]
    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&EisState) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            self.turn();
            if let Ok(found) = self.eis.wait(&mut look, Duration::from_millis(1)) {
                return found;
            }
            assert!(began.elapsed() < SOON, "{what}: {:?}", self.eis.state());
        }
    }

    #[track_caller]
    fn ready(&mut self) {
        for kind in [DeviceKind::Pointer, DeviceKind::Absolute, DeviceKind::Keyboard, DeviceKind::Touch] {
            self.until("devices", |state| state.emulating(kind));
        }
    }

    fn push(&mut self, event: InputEvent) {
        self.path.push(Instant::now(), event);
    }

    /// All that was written has been read by the server, and all that it did is here: a job waits for what came before.
    /// A new device is announced, asked for, resumed and used: that goes there and back three times.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.turn();
            for _ in 0..3 {
                self.eis.reconfigure(|_| {});
            }
        }
        self.turn();
    }

    /// All that waits has arrived.
    #[track_caller]
    fn arrived(&mut self) {
        let before = self.eis.state().count(|logged| logged.input == Input::Key(MARK, false));
        for pressed in [true, false] {
            self.push(InputEvent::Key { code: MARK, pressed });
        }
        let marks = |state: &EisState| state.count(|logged| logged.input == Input::Key(MARK, false));
        self.until("a key behind all that was sent", |state| (marks(state) > before).then_some(()));
    }
}

/// What may happen, on either side.
#[derive(Clone, Copy, Debug)]
enum Step {
    Motion(f64, f64),
    Relative(f64, f64),
    Button(u32, bool),
    Wheel(i32),
    Fingers(f64, bool),
    Touch(i32, f64),
    TouchMotion(i32, f64),
    TouchUp(i32),
    TouchCancel,
    Leave,
    Pause(DeviceKind),
    Resume,
    StreamGone,
    Stream(u32, u32),
    Recreate,
    GuestLost,
}

fn kind() -> impl Strategy<Value = DeviceKind> {
    prop_oneof![Just(DeviceKind::Pointer), Just(DeviceKind::Absolute), Just(DeviceKind::Touch)]
}

fn step() -> impl Strategy<Value = Step> {
    let place = || prop_oneof![4 => -10.0..1300.0, 1 => prop_oneof![Just(-8e6), Just(8e6)]];
    prop_oneof![
        6 => (place(), place()).prop_map(|(x, y)| Step::Motion(x, y)),
        3 => (-9.0..9.0, -9.0..9.0).prop_map(|(x, y)| Step::Relative(x, y)),
        8 => (0x110u32..0x114, any::<bool>()).prop_map(|(code, pressed)| Step::Button(code, pressed)),
        2 => (-240i32..240).prop_map(Step::Wheel),
        2 => (-9.0..9.0, any::<bool>()).prop_map(|(delta, stop)| Step::Fingers(delta, stop)),
        6 => (0i32..100, place()).prop_map(|(id, x)| Step::Touch(id, x)),
        4 => (0i32..100, place()).prop_map(|(id, x)| Step::TouchMotion(id, x)),
        4 => (0i32..100).prop_map(Step::TouchUp),
        1 => Just(Step::TouchCancel),
        1 => Just(Step::Leave),
        1 => kind().prop_map(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::StreamGone),
        2 => (1u32..4000, 1u32..4000).prop_map(|(width, height)| Step::Stream(width, height)),
        1 => Just(Step::Recreate),
        1 => Just(Step::GuestLost),
    ]
}

/// What is down at the host, and what of it the guest must know of.
#[derive(Debug, Default)]
struct Model {
    buttons: BTreeSet<u32>,
    must_buttons: BTreeSet<u32>,
    touches: BTreeSet<i32>,
    must_touches: BTreeSet<i32>,
    paused: BTreeSet<DeviceKind>,
    gone: bool,
}

impl Model {
    /// The device lets go of everything by itself.
    fn lets_go(&mut self, kind: DeviceKind) {
        match kind {
            DeviceKind::Pointer => self.must_buttons.clear(),
            DeviceKind::Touch => self.must_touches.clear(),
            _ => {}
        }
    }

    fn waits(&self) -> bool {
        self.gone || !self.paused.is_empty()
    }
}

/// As many fingers as the guest has slots for.
const SLOTS: usize = wolf_bridge::input::held::MAX_TOUCHES;

fn play(world: &mut World, model: &mut Model, step: Step) {
    let events: &[InputEvent] = match step {
        Step::Motion(x, y) => &[InputEvent::Motion { x, y }, InputEvent::PointerFrame],
        Step::Relative(dx, dy) => &[InputEvent::RelativeMotion { dx, dy }, InputEvent::PointerFrame],
        Step::Button(code, pressed) => {
            if pressed {
                if model.buttons.insert(code) {
                    model.must_buttons.insert(code);
                }
            } else {
                model.buttons.remove(&code);
                model.must_buttons.remove(&code);
            }
            &[InputEvent::Button { code, pressed }, InputEvent::PointerFrame]
        }
        Step::Wheel(v120) => &[InputEvent::Wheel { axis: Axis::Vertical, v120 }, InputEvent::PointerFrame],
        Step::Fingers(delta, stop) => {
            let axis = Axis::Horizontal;
            let stop = if stop { InputEvent::ScrollStop { axis } } else { InputEvent::PointerFrame };
            &[InputEvent::Scroll { axis, delta }, stop, InputEvent::PointerFrame]
        }
        Step::Touch(id, x) => {
            // A host's ids are unique while they are down, and this one's hand has as many fingers as there are slots:
            // which of more are dropped is another test.
            if model.touches.len() >= SLOTS || !model.touches.insert(id) {
                return;
            }
            model.must_touches.insert(id);
            &[InputEvent::TouchDown { id, x, y: 1.0 }, InputEvent::TouchFrame]
        }
        Step::TouchMotion(id, x) => &[InputEvent::TouchMotion { id, x, y: 1.0 }, InputEvent::TouchFrame],
        Step::TouchUp(id) => {
            model.touches.remove(&id);
            model.must_touches.remove(&id);
            &[InputEvent::TouchUp { id }, InputEvent::TouchFrame]
        }
        Step::TouchCancel => {
            model.touches.clear();
            model.must_touches.clear();
            &[InputEvent::TouchCancel]
        }
        Step::Leave => {
            model.buttons.clear();
            model.must_buttons.clear();
            &[InputEvent::PointerLeave]
        }
        Step::Pause(kind) => {
            // Only what is there and runs can be paused.
            if model.paused.insert(kind) {
                world.settle();
                world.eis.pause(kind);
                model.lets_go(kind);
            }
            &[]
        }
        Step::Resume => {
            for kind in std::mem::take(&mut model.paused) {
                world.eis.resume(kind);
            }
            &[]
        }
        Step::StreamGone | Step::Recreate | Step::Stream(..) => {
            world.settle();
            match step {
                Step::StreamGone => world.eis.stream_gone(),
                Step::Recreate => world.eis.recreate(),
                Step::Stream(width, height) => world.eis.resize(Region::new(width, height, None)),
                _ => {}
            }
            model.gone = match step {
                Step::Recreate => model.gone,
                _ => matches!(step, Step::StreamGone),
            };
            model.lets_go(DeviceKind::Touch);
            // New devices are not paused.
            model.paused.retain(|kind| *kind == DeviceKind::Pointer);
            &[]
        }
        Step::GuestLost => {
            world.settle();
            world.eis.sever();
            for kind in [DeviceKind::Pointer, DeviceKind::Touch] {
                model.lets_go(kind);
            }
            model.paused.clear();
            while world.connected {
                world.turn();
            }
            world.connect();
            world.until("a keyboard", |state| state.emulating(DeviceKind::Keyboard));
            &[]
        }
    };
    for event in events {
        world.push(*event);
    }
    world.settle();
}

/// What the bridge did wrong. What was on its way when a device was paused cannot be called back, and is nobody's fault.
fn faults(state: &EisState) -> Vec<&String> {
    state.violations.iter().filter(|violation| !violation.ends_with(" while paused")).collect()
}

/// What is wrong between the host's hand and the guest.
fn compare(model: &Model, state: &EisState) -> Result<(), TestCaseError> {
    let of = |kind| state.device(kind).map(|(_, device)| device.clone()).unwrap_or_default();
    let (pointer, touch) = (of(DeviceKind::Pointer), of(DeviceKind::Touch));
    prop_assert!(pointer.buttons.is_superset(&model.must_buttons), "{:?} in {:?}", model, pointer);
    prop_assert!(pointer.buttons.is_subset(&model.buttons), "{:?} in {:?}", model, pointer);
    prop_assert!(touch.touches.len() >= model.must_touches.len(), "{:?} in {:?}", model, touch);
    prop_assert!(touch.touches.len() <= model.touches.len(), "{:?} in {:?}", model, touch);
    prop_assert!(of(DeviceKind::Absolute).buttons.is_empty());
    prop_assert_eq!(faults(state), Vec::<&String>::new());
    prop_assert_eq!(&state.no_ops, &Vec::<u32>::new());
    let astray =
        |logged: &fake_guest::Logged| matches!(logged.input, Input::MotionDropped(..) | Input::TouchDropped(..));
    prop_assert_eq!(state.count(astray), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_the_guest_holds_is_what_the_host_holds(
        steps in proptest::collection::vec(step(), 0..80), relative in any::<bool>(),
    ) {
        let mode = if relative { PointerMode::Relative } else { PointerMode::Absolute };
        let mut world = World::new(mode, EisOptions::default());
        world.ready();
        let mut model = Model::default();
        for step in steps {
            play(&mut world, &mut model, step);
            if !model.waits() {
                world.arrived();
                compare(&model, &world.eis.state())?;
            }
        }
        play(&mut world, &mut model, Step::Resume);
        play(&mut world, &mut model, Step::Stream(640, 480));
        world.ready();
        world.arrived();
        compare(&model, &world.eis.state())?;
        // The end: nothing is left for the server to let go of.
        let left = world.eis.state().left_held;
        world.lose();
        let state = world.eis.wait(|state| (state.connected == 0).then(|| state.clone()), SOON).unwrap();
        prop_assert_eq!(state.held(), Vec::<String>::new());
        prop_assert_eq!(faults(&state), Vec::<&String>::new());
        prop_assert_eq!(state.left_held, left);
    }
}

/// A million events: each comes, and in the order it was made.
#[test]
fn of_a_million_events_none_is_lost_or_overtaken() {
    let mut world = World::new(PointerMode::Relative, EisOptions::default());
    world.ready();
    // The keyboard takes a moment, and what waits for it would be one motion.
    world.arrived();
    let (mut wanted, mut motion) = (Vec::new(), (0.0, 0.0));
    for step in 0..1_000_000u32 {
        let (code, pressed) = (0x110 + step / 10 % 4, step / 5 % 2 == 0);
        match step % 5 {
            0 => {
                world.push(InputEvent::Button { code, pressed });
                wanted.push(Input::Button(code, pressed));
            }
            1 => {
                world.push(InputEvent::Key { code: 2 + step / 10 % 50, pressed });
                wanted.push(Input::Key(2 + step / 10 % 50, pressed));
            }
            2 => {
                let v120 = step as i32 % 7 * 15 + 15;
                world.push(InputEvent::Wheel { axis: Axis::Vertical, v120 });
                wanted.push(Input::Scroll(0.0, v120 as f32 / 12.0));
            }
            _ => {
                let (dx, dy) = (f64::from(step % 3) - 1.0, f64::from(step % 2));
                world.push(InputEvent::RelativeMotion { dx, dy });
                motion = (motion.0 + dx, motion.1 + dy);
            }
        }
        world.push(InputEvent::PointerFrame);
        // An 8 kHz mouse and more: as many as are read at once.
        if step % 32 == 31 {
            world.turn();
            // Even a server that reads as fast as it can is overtaken by this loop; a hand would not.
            while world.path.is_full() {
                world.turn();
            }
        }
    }
    world.arrived();
    let state = world.eis.state();
    assert_eq!(state.violations, Vec::<String>::new());
    let (mut got, mut moved) = (Vec::new(), (0.0, 0.0));
    for logged in &state.log {
        match logged.input {
            Input::Motion(dx, dy) => moved = (moved.0 + f64::from(dx), moved.1 + f64::from(dy)),
            Input::Key(MARK, _) | Input::Frame(_) | Input::StartEmulating(_) | Input::Ready => {}
            other => got.push(other),
        }
    }
    assert_eq!(got.len(), wanted.len());
    assert!(got == wanted, "they came in another order");
    assert_eq!(moved, motion);
}

/// A guest that does not read: motion becomes one motion, in its place among the rest, and nothing else is lost.
#[test]
fn a_guest_that_does_not_read_costs_motion_and_nothing_else() {
    let mut world = World::new(PointerMode::Relative, EisOptions::default());
    world.ready();
    world.arrived();
    let before = world.eis.state().log.len();
    let (asleep, wake) = (std::sync::mpsc::channel::<()>(), std::sync::mpsc::channel::<()>());
    let (told, sleeps) = (asleep.0, wake.1);
    let pushed = std::thread::scope(|scope| {
        let eis = &world.eis;
        // The server's thread is busy until it is let go.
        scope.spawn(move || {
            eis.reconfigure(move |_| {
                told.send(()).unwrap();
                sleeps.recv().unwrap();
            });
        });
        asleep.1.recv().unwrap();
        let path = &mut world.path;
        let mut pushed = 0u32;
        let mut push = |path: &mut InputPath| {
            // Two clicks and keys now and then among the motion of a fast mouse.
            path.push(Instant::now(), InputEvent::RelativeMotion { dx: 1.0, dy: -0.5 });
            path.push(Instant::now(), InputEvent::PointerFrame);
            if pushed % 1000 == 999 {
                let pressed = (pushed / 1000).is_multiple_of(2);
                path.push(Instant::now(), InputEvent::Button { code: 0x110, pressed });
                path.push(Instant::now(), InputEvent::Key { code: 30, pressed });
            }
            pushed += 1;
        };
        while !path.is_full() {
            push(path);
            path.pump(Instant::now()).unwrap();
            assert!(path.sent < 10_000_000, "its socket takes all");
        }
        let written = path.sent;
        for _ in 0..200_000 {
            push(path);
        }
        path.pump(Instant::now()).unwrap();
        // Nothing more was written, so nothing piles up.
        assert_eq!(path.sent, written);
        wake.0.send(()).unwrap();
        pushed
    });
    let (motions, clicks) = (f64::from(pushed), pushed / 1000);
    world.arrived();
    let state = world.eis.state();
    assert_eq!(state.violations, Vec::<String>::new());
    let after = &state.log[before..];
    let moved = after.iter().fold((0.0, 0.0), |(x, y), logged| match logged.input {
        Input::Motion(dx, dy) => (x + f64::from(dx), y + f64::from(dy)),
        _ => (x, y),
    });
    assert_eq!(moved, (motions, motions * -0.5));
    let came = after.iter().filter(|logged| matches!(logged.input, Input::Motion(..))).count();
    assert!(came < 100_000, "{came} motions");
    let actions: Vec<Input> = after.iter().map(|logged| logged.input).filter(is_action).collect();
    let wanted: Vec<Input> =
        (0..clicks).flat_map(|click| [Input::Button(0x110, click % 2 == 0), Input::Key(30, click % 2 == 0)]).collect();
    assert_eq!(actions, wanted);
}

fn is_action(input: &Input) -> bool {
    matches!(input, Input::Button(..) | Input::Key(..)) && !matches!(input, Input::Key(MARK, _))
}

/// Regions that make no sense cost the pointer's place, and neither the rest of the input nor the program.
#[test]
fn regions_of_every_size_are_survived() {
    for (regions, places) in
        [(RegionMode::Empty, 0), (RegionMode::None, 0), (RegionMode::Endless, 3), (RegionMode::Scaled, 3)]
    {
        let mut world = World::new(PointerMode::Absolute, EisOptions { regions, ..Default::default() });
        world.ready();
        for (x, y) in [(0.0, 0.0), (-8e6, 8e6), (8e6, -8e6)] {
            world.push(InputEvent::Motion { x, y });
            world.push(InputEvent::PointerFrame);
            world.push(InputEvent::TouchDown { id: 1, x, y });
            world.push(InputEvent::TouchFrame);
            world.push(InputEvent::TouchUp { id: 1 });
            world.push(InputEvent::TouchFrame);
        }
        world.push(InputEvent::Button { code: 0x110, pressed: true });
        world.arrived();
        let state = world.eis.state();
        let motions = state.count(|logged| matches!(logged.input, Input::MotionAbsolute(..)));
        assert_eq!(motions, places, "{regions:?}: {:?}", state.log);
        let touches = state.count(|logged| matches!(logged.input, Input::TouchDown(..)));
        assert_eq!(touches, places, "{regions:?}: {:?}", state.log);
        assert_eq!(state.count(|logged| logged.input == Input::Button(0x110, true)), 1, "{regions:?}");
        assert_eq!(state.violations, Vec::<String>::new(), "{regions:?}");
    }
}

/// A hundred fingers: as many as the guest has slots for touch, and go up again.
#[test]
fn of_a_hundred_fingers_those_that_there_are_slots_for_touch() {
    let mut world = World::new(PointerMode::Absolute, EisOptions::default());
    world.ready();
    for round in 0..3 {
        for id in 0..100 {
            world.push(InputEvent::TouchDown { id: id + round, x: f64::from(id), y: 5.0 });
        }
        world.push(InputEvent::TouchFrame);
        for id in 0..100 {
            world.push(InputEvent::TouchMotion { id: id + round, x: f64::from(id), y: 9.0 });
        }
        world.push(InputEvent::TouchFrame);
        match round {
            0 => world.push(InputEvent::TouchCancel),
            _ => (0..100).for_each(|id| world.push(InputEvent::TouchUp { id: id + round })),
        }
        world.push(InputEvent::TouchFrame);
    }
    world.arrived();
    let state = world.eis.state();
    let count = |wanted: fn(&Input) -> bool| state.count(|logged| wanted(&logged.input));
    assert_eq!(count(|input| matches!(input, Input::TouchDown(..))), 3 * SLOTS);
    assert_eq!(count(|input| matches!(input, Input::TouchMotion(..))), 3 * SLOTS);
    assert_eq!(count(|input| matches!(input, Input::TouchCancel(..))), SLOTS);
    assert_eq!(count(|input| matches!(input, Input::TouchUp(..))), 2 * SLOTS);
    assert_eq!(state.violations, Vec::<String>::new());
    assert_eq!(state.held(), Vec::<String>::new());
}

/// What a frame ends must not wait for a device that it has nothing to do with.
#[test]
fn a_motion_arrives_though_the_other_pointer_is_paused() {
    let mut world = World::new(PointerMode::Absolute, EisOptions::default());
    world.ready();
    world.eis.pause(DeviceKind::Pointer);
    world.settle();
    for event in [InputEvent::Motion { x: 7.0, y: 8.0 }, InputEvent::PointerFrame] {
        world.push(event);
    }
    let motion = |logged: &fake_guest::Logged| logged.input == Input::MotionAbsolute(7.0, 8.0);
    world.until("the motion", |state| (state.count(motion) == 1).then_some(()));
}
