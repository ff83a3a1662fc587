//! What a guest holds pressed is what the person holds, whatever happens to keyboards and guests on the way: the input
//! path against a real EIS server's rules (GNOME 45 and later) and against the Notify* calls (43, 44), at random.

mod common;

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use common::SOON;
use fake_guest::{DeviceKind, EisOptions, FakeEis, KEYMAP_US};
use proptest::prelude::*;
use wolf_bridge::input::ei::{EiSink, Scrolling};
use wolf_bridge::input::event::InputEvent;
use wolf_bridge::input::notify::{Call, Calls, NotifySink};
use wolf_bridge::input::path::{InputPath, Sink};
use wolf_bridge::input::place::Place;

/// Something that happens. Codes are few, so that they meet; lock keys are none of them.
#[derive(Clone, Debug)]
enum Step {
    /// The host says that a key goes down or up, rightly or not.
    Key(u32, bool),
    Leave,
    /// With these down.
    Enter(BTreeSet<u32>),
    /// The guest's keyboard.
    Pause,
    Resume,
    /// It goes, and another one comes.
    Renew,
    /// The guest gets another layout, and answers or not.
    Layout(bool),
    /// The guest is lost, and is there again or not.
    Lose,
    Attach,
    /// All that is on its way arrives.
    Settle,
}

const CODES: [u32; 6] = [16, 29, 30, 42, 100, 0x2ff];

fn step() -> impl Strategy<Value = Step> {
    let code = || proptest::sample::select(&CODES[..]);
    prop_oneof![
        12 => (code(), any::<bool>()).prop_map(|(code, down)| Step::Key(code, down)),
        // No evdev codes.
        1 => (0x300u32..=u32::MAX, any::<bool>()).prop_map(|(code, down)| Step::Key(code, down)),
        2 => Just(Step::Leave),
        2 => proptest::collection::btree_set(code(), 0..4).prop_map(Step::Enter),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        2 => Just(Step::Renew),
        1 => any::<bool>().prop_map(Step::Layout),
        1 => Just(Step::Lose),
        2 => Just(Step::Attach),
        2 => Just(Step::Settle),
    ]
}

/// What the host holds, by its own events.
#[derive(Default)]
struct Host(BTreeSet<u32>);

impl Host {
    fn events(&mut self, step: &Step) -> Vec<InputEvent> {
        let key = |code: u32, pressed| InputEvent::Key { code, pressed };
        match step {
            Step::Key(code, down) => {
                if *code <= 0x2ff {
                    let _ = if *down { self.0.insert(*code) } else { self.0.remove(code) };
                }
                vec![key(*code, *down)]
            }
            Step::Leave => {
                self.0.clear();
                vec![InputEvent::KeyboardLeave]
            }
            Step::Enter(keys) => {
                // An enter without a leave before it is the host's fault; hosts do not do that.
                self.0.clone_from(keys);
                std::iter::once(InputEvent::KeyboardLeave).chain(keys.iter().map(|code| key(*code, true))).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A key that no step presses.
const MARK: u32 = 183;

/// One server with one client after the other.
struct Eis {
    eis: FakeEis,
    paused: bool,
    attached: bool,
    marks: usize,
}

impl Eis {
    fn held(&self) -> BTreeSet<u32> {
        let state = self.eis.state();
        state.device(DeviceKind::Keyboard).map(|(_, device)| device.keys.clone()).unwrap_or_default()
    }

    /// Everything that was sent has been read: a pause or a new keyboard that crosses a key on its way loses it, on
    /// real servers too, and nobody can tell then what is down.
    fn settle(&mut self, path: &mut InputPath, watch: Option<&OwnedFd>) {
        if self.paused || !self.attached {
            return;
        }
        self.marks += 1;
        for pressed in [true, false] {
            path.push(Instant::now(), InputEvent::Key { code: MARK, pressed });
        }
        let is_mark = |logged: &fake_guest::Logged| logged.input == fake_guest::Input::Key(MARK, false);
        work(path, watch, "all that was sent", || self.eis.state().count(is_mark) >= self.marks);
    }
}

/// Gives the client's socket, to wait for.
fn attach(path: &mut InputPath, eis: &FakeEis) -> OwnedFd {
    let socket = eis.connect(u32::MAX).expect("a socket");
    let watch = socket.try_clone().expect("a descriptor");
    path.attach(Sink::Ei(Box::new(EiSink::new(socket, Place::default(), Scrolling::Mutter).expect("a sink"))), None);
    watch
}

/// Lets the path work until `done`, as the bridge's loop does: woken by the socket or by time.
#[track_caller]
fn work(path: &mut InputPath, watch: Option<&OwnedFd>, what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    loop {
        path.read().expect("the server is there");
        path.pump(Instant::now()).expect("the server is there");
        if done() {
            return;
        }
        assert!(began.elapsed() < SOON, "{what}: not within {SOON:?}");
        let now = Instant::now();
        let wait = path.deadline(now).map_or(Duration::from_millis(2), |at| at.saturating_duration_since(now));
        let wait = wait.clamp(Duration::from_micros(200), Duration::from_millis(2));
        match watch {
            Some(watch) => {
                let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
                let mut fds = [rustix::event::PollFd::new(watch, rustix::event::PollFlags::IN)];
                let _ = rustix::event::poll(&mut fds, Some(&timeout));
            }
            None => std::thread::sleep(wait),
        }
    }
}

fn over_eis(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut guest =
        Eis { eis: FakeEis::start(EisOptions::default()).expect("a server"), paused: false, attached: true, marks: 0 };
    let mut path = InputPath::default();
    let mut watch = Some(attach(&mut path, &guest.eis));
    let mut host = Host::default();
    for step in steps.iter().chain([&Step::Attach, &Step::Resume, &Step::Settle]) {
        let now = Instant::now();
        for event in host.events(step) {
            path.push(now, event);
        }
        match step {
            Step::Pause => {
                guest.settle(&mut path, watch.as_ref());
                guest.eis.pause(DeviceKind::Keyboard);
                guest.paused = true;
            }
            Step::Resume if guest.paused => {
                guest.eis.resume(DeviceKind::Keyboard);
                guest.paused = false;
            }
            Step::Renew => {
                guest.settle(&mut path, watch.as_ref());
                guest.eis.set_keymap(Some(KEYMAP_US));
                guest.paused = false;
            }
            Step::Layout(answers) => {
                path.layout_asked(now);
                path.pump(now).expect("the server is there");
                if *answers {
                    path.layout_answered(now);
                }
            }
            Step::Lose if guest.attached => {
                path.detach();
                guest.attached = false;
                watch = None;
            }
            Step::Attach if !guest.attached => {
                watch = Some(attach(&mut path, &guest.eis));
                (guest.attached, guest.paused) = (true, false);
            }
            // A paused keyboard has its events for as long as they wait.
            Step::Settle if guest.attached && !guest.paused => {
                guest.settle(&mut path, watch.as_ref());
                prop_assert_eq!(guest.held(), host.0.clone());
            }
            _ => {}
        }
        if guest.attached {
            path.read().expect("the server is there");
        }
        path.pump(Instant::now()).expect("the server is there");
    }
    prop_assert_eq!(guest.held(), host.0);
    path.release_all();
    drop((path, watch));
    let left = guest.eis.wait(|state| (state.connected == 0).then(|| state.clone()), SOON);
    let state = left.map_err(TestCaseError::fail)?;
    // Unmatched releases, and presses of what is down.
    prop_assert_eq!(&state.violations, &Vec::<String>::new());
    prop_assert_eq!(&state.no_ops, &Vec::<u32>::new());
    // Only a server that takes a keyboard away with keys on it may find some.
    if !steps.iter().any(|step| matches!(step, Step::Renew)) {
        prop_assert_eq!(&state.left_held, &Vec::<String>::new());
    }
    Ok(())
}

/// What a guest of Notify* calls holds; a press of what is down or a release of what is not is an error.
#[derive(Default)]
struct Called(BTreeSet<u32>);

impl Called {
    fn take(&mut self, calls: &Calls) -> Result<(), TestCaseError> {
        while let Some(call) = calls.pop() {
            let Call::Key(code, down) = call else { continue };
            let right = if down { self.0.insert(code) } else { self.0.remove(&code) };
            prop_assert!(right, "{:?} while {:?} are down", call, self.0);
        }
        Ok(())
    }
}

fn over_calls(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut path = InputPath::default();
    let mut host = Host::default();
    let attach = |path: &mut InputPath| {
        let calls = Calls::default();
        path.attach(Sink::Notify(Box::new(NotifySink::new(calls.clone()))), None);
        path.set_stream(640, 360);
        (calls, Called::default())
    };
    let mut guest = Some(attach(&mut path));
    // Time passes at a step's own word: nothing here has a clock of its own.
    let mut now = Instant::now();
    for step in steps.iter().chain([&Step::Attach, &Step::Settle]) {
        for event in host.events(step) {
            path.push(now, event);
        }
        match step {
            Step::Layout(answers) => {
                path.layout_asked(now);
                if *answers {
                    path.layout_answered(now);
                }
            }
            Step::Lose => {
                path.detach();
                if let Some((calls, mut called)) = guest.take() {
                    called.take(&calls)?;
                    prop_assert!(called.0.is_empty(), "{:?} are left behind", called.0);
                }
            }
            Step::Attach if guest.is_none() => guest = Some(attach(&mut path)),
            Step::Settle => now += Duration::from_secs(1),
            _ => {}
        }
        path.pump(now).expect("calls do not fail");
        if let Some((calls, called)) = &mut guest {
            called.take(calls)?;
            if matches!(step, Step::Settle) {
                prop_assert_eq!(&called.0, &host.0);
            }
        }
    }
    path.release_all();
    let (calls, mut called) = guest.expect("it was attached");
    called.take(&calls)?;
    prop_assert!(called.0.is_empty(), "{:?} are left behind", called.0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 30, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_eis_server_holds_what_the_host_holds(steps in proptest::collection::vec(step(), 1..60)) {
        over_eis(&steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_guest_of_calls_holds_what_the_host_holds(steps in proptest::collection::vec(step(), 1..60)) {
        over_calls(&steps)?;
    }
}
