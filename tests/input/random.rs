//! Keys at random through the whole bridge, with everything that may happen to them on their way: the guest holds what
//! the host holds, and nothing after the end. `tests/held_keys.rs` does the same with the input path alone, at length.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Key(u32, bool),
    Leave,
    Enter(Vec<u32>),
    /// The seat loses its keyboard, and has it again.
    Unplug,
    /// The guest's keyboard pauses, and goes on.
    Pause,
    /// The guest gets another keymap, and with it another keyboard.
    Renew,
    /// The guest ends the session; another one follows.
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let code = || proptest::sample::select(&[16u32, 29, 30, 42, 100][..]);
    prop_oneof![
        16 => (code(), any::<bool>()).prop_map(|(code, down)| Step::Key(code, down)),
        2 => Just(Step::Leave),
        2 => proptest::collection::btree_set(code(), 0..4).prop_map(|keys| Step::Enter(keys.into_iter().collect())),
        1 => Just(Step::Unplug),
        2 => Just(Step::Pause),
        2 => Just(Step::Renew),
        1 => Just(Step::Close),
    ]
}

impl World {
    /// What is down on the guest's keyboard; of what it got, the first `before` were in sessions that are over.
    fn guest_holds(&self, before: usize) -> BTreeSet<u32> {
        let keys = held(&self.got()[before..]).into_iter().filter_map(|got| match got {
            Key(code, _) => Some(code),
            _ => None,
        });
        match self.way {
            Way::Eis => {
                let state = self.guest.eis.state();
                state.device(DeviceKind::Keyboard).map(|(_, device)| device.keys.clone()).unwrap_or_default()
            }
            Way::Notify => keys.collect(),
        }
    }

    /// The host's keyboard is in the window, and its keys arrive.
    fn plugged(&self, before: usize) {
        wait_for("the bridge sees the seat change", SOON, || {
            (self.bridge.log().matches("seat capabilities=").count() > before).then_some(())
        });
        let pong = self.host.ping();
        self.bridge.expect(self.host.wait(|seen| seen.pongs.contains(&pong), SOON));
    }
}

fn through_the_bridge(way: Way, steps: &[Step]) {
    let world = World::new(way);
    let keyboard = world.host.keyboard();
    let mut down = BTreeSet::new();
    let mut focus = true;
    // What went to sessions that are over: what was down there is so no more, released or not.
    let mut over = 0;
    for step in steps {
        match step {
            // A host has its keys where the keyboard is, and knows them.
            Step::Key(code, pressed) if focus => {
                let right = if *pressed { down.insert(*code) } else { down.remove(code) };
                if right {
                    keyboard.key(*code, *pressed);
                }
            }
            Step::Key(..) => {}
            Step::Leave => {
                keyboard.leave();
                down.clear();
                focus = false;
            }
            Step::Enter(keys) => {
                // With a leave before it.
                keyboard.enter(keys);
                down = keys.iter().copied().collect();
                focus = true;
            }
            Step::Unplug => {
                let seats = || world.bridge.log().matches("seat capabilities=").count();
                let before = seats();
                world.host.set_seat(true, false, true);
                world.plugged(before);
                let before = seats();
                world.host.set_seat(true, true, true);
                world.plugged(before);
                keyboard.enter(&[]);
                down.clear();
                focus = true;
            }
            // What crosses a pause or a new keyboard on its way is lost, on real servers too.
            Step::Pause if way == Way::Eis && focus => {
                world.arrived();
                world.guest.eis.pause(DeviceKind::Keyboard);
                world.guest.eis.resume(DeviceKind::Keyboard);
                world.bridge.expect(world.guest.eis.emulating(DeviceKind::Keyboard, SOON));
            }
            Step::Renew if way == Way::Eis && focus => {
                world.arrived();
                world.guest.eis.set_keymap(Some(fake_guest::KEYMAP_US));
                world.bridge.expect(world.guest.eis.emulating(DeviceKind::Keyboard, SOON));
            }
            Step::Pause | Step::Renew => {}
            Step::Close => {
                if focus {
                    world.arrived();
                }
                over = world.got().len();
                let before = world.sessions();
                world.guest.mutter.close_session();
                wait_for("another session", SOON, || (world.sessions() > before).then_some(()));
                let made = |s: &fake_guest::MutterState| s.producer().filter(|_| s.remote_sessions.len() == 1);
                world.bridge.expect(world.guest.mutter.wait(made, SOON));
                world.settle();
            }
        }
        if focus && matches!(step, Step::Pause | Step::Renew | Step::Close) {
            world.arrived();
            wait_for("the guest holds what the host holds", SOON, || (world.guest_holds(over) == down).then_some(()));
        }
    }
    if !focus {
        keyboard.enter(&[]);
    }
    world.arrived();
    wait_for("the guest holds what the host holds", SOON, || (world.guest_holds(over) == down).then_some(()));
    let eis = world.guest.eis.state();
    assert_eq!(eis.violations, Vec::<String>::new());
    let before = eis.left_held;
    let World { guest, bridge, .. } = world;
    bridge.end();
    match way {
        Way::Eis => {
            guest.eis.wait(|s| (s.connected == 0).then_some(()), SOON).unwrap();
            assert_eq!(guest.eis.state().left_held, before, "what was down was released by its end");
        }
        Way::Notify => {
            // Its last calls may be on their way still.
            let none = |state: &fake_guest::MutterState| state.remote_sessions.is_empty().then_some(());
            guest.mutter.wait(none, SOON).unwrap();
            let all = guest.mutter.state().notified;
            let all: Vec<Got> =
                all.iter().filter_map(from_notify).filter(|it| !matches!(it, Key(MARK | WAKE, _))).collect();
            assert_eq!(held(&all[over..]), Vec::<Got>::new());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn over_eis(steps in proptest::collection::vec(step(), 1..40)) {
        through_the_bridge(Way::Eis, &steps);
    }

    #[test]
    fn over_calls(steps in proptest::collection::vec(step(), 1..40)) {
        through_the_bridge(Way::Notify, &steps);
    }
}
