//! Owns the rules of EIS as Mutter enforces them: what is held, what is dropped, what is a violation.
//! It never talks to a client: pure functions over the observed state.

use std::collections::BTreeSet;

use super::{
    events::{EisState, Input, Logged, SeenDevice, held_on},
    options::DeviceKind,
};

/// What one frame of a device has had so far.
#[derive(Debug, Default)]
pub(crate) struct OpenFrame {
    pressed: Vec<u32>,
    released: Vec<u32>,
    scrolled: (bool, bool),
    discrete: bool,
    touched: Vec<u32>,
}

/// Notes an event of `number` and judges it.
pub(crate) fn apply(state: &mut EisState, number: u32, open: &mut OpenFrame, input: Input) {
    let Some(device) = state.devices.get_mut(number as usize) else {
        return;
    };
    let Some(kind) = device.kind else { return };
    let mut wrong = Vec::new();
    let input = judge(device, open, input, &mut wrong);
    if let Input::Button(code, true) = input
        && state.stuck_buttons.contains(&code)
    {
        state.lost_presses.push(code);
    }
    if matches!(input, Input::Frame(_)) {
        let both = |code: &u32| open.released.contains(code);
        state.no_ops.extend(open.pressed.iter().copied().filter(both));
        *open = OpenFrame::default();
    }
    state.log.push(Logged { kind, device: number, input });
    let place = |what: String| format!("{kind:?} {number}: {what}");
    state.violations.extend(wrong.into_iter().map(place));
}

/// A device goes: what is held on it is left behind, and on the absolute one sticks.
pub(crate) fn remove(state: &mut EisState, number: u32) {
    let Some(device) = state.devices.get_mut(number as usize) else {
        return;
    };
    if !device.alive {
        return;
    }
    let held = held_on(device);
    if device.kind == Some(DeviceKind::Absolute) {
        state.stuck_buttons.extend(device.buttons.iter().copied());
    }
    device.alive = false;
    pause(device);
    state.left_held.extend(held);
}

/// A device is paused: the server releases what is held on it.
pub(crate) fn pause(device: &mut SeenDevice) {
    device.resumed = false;
    device.emulating = None;
    device.keys.clear();
    device.buttons.clear();
    device.touches.clear();
}

/// Where a press or release of this is kept.
fn held_by(device: &mut SeenDevice, input: Input) -> &mut BTreeSet<u32> {
    match input {
        Input::Key(..) => &mut device.keys,
        _ => &mut device.buttons,
    }
}

fn judge(device: &mut SeenDevice, open: &mut OpenFrame, input: Input, wrong: &mut Vec<String>) -> Input {
    let is_event = !matches!(
        input,
        Input::Frame(_) | Input::StartEmulating(_) | Input::StopEmulating | Input::Ready | Input::Released
    );
    if is_event && !device.resumed {
        wrong.push(format!("{input:?} while paused"));
        return input;
    }
    if is_event && device.emulating.is_none() {
        wrong.push(format!("{input:?} before start_emulating"));
        return input;
    }
    let inside = device.regions.is_empty()
        || match input {
            Input::MotionAbsolute(x, y) | Input::TouchDown(_, x, y) => {
                device.regions.iter().any(|region| region.contains(x, y))
            }
            _ => true,
        };
    match input {
        Input::MotionAbsolute(x, y) if !inside => return Input::MotionDropped(x, y),
        // What follows on it is nobody's either.
        Input::TouchDown(id, x, y) if !inside => return Input::TouchDropped(id, x, y),
        Input::Key(code, true) | Input::Button(code, true) => {
            let held = held_by(device, input);
            if !held.insert(code) {
                wrong.push(format!("{code} pressed while it is held"));
            }
            open.pressed.push(code);
        }
        Input::Key(code, false) | Input::Button(code, false) => {
            let held = held_by(device, input);
            if !held.remove(&code) {
                wrong.push(format!("{code} released without a press"));
            }
            if open.pressed.contains(&code) {
                open.released.push(code);
            }
        }
        Input::Scroll(x, y) => {
            open.scrolled.0 |= x != 0.0;
            open.scrolled.1 |= y != 0.0;
            if open.discrete {
                wrong.push("scroll and scroll_discrete in one frame".into());
            }
        }
        Input::ScrollDiscrete(..) => {
            open.discrete = true;
            if open.scrolled != (false, false) {
                wrong.push("scroll and scroll_discrete in one frame".into());
            }
        }
        Input::ScrollStop(x, y, _) if (x && open.scrolled.0) || (y && open.scrolled.1) => {
            wrong.push("scroll_stop on an axis that moved in this frame".into());
        }
        Input::TouchDown(id, ..) => {
            if !device.touches.insert(id) {
                wrong.push(format!("touch {id} down while it is down"));
            }
            open.touched.push(id);
        }
        Input::TouchMotion(id, ..) if !device.touches.contains(&id) => {
            wrong.push(format!("touch {id} moved without a down"));
        }
        Input::TouchUp(id) | Input::TouchCancel(id) => {
            if !device.touches.remove(&id) {
                wrong.push(format!("touch {id} up without a down"));
            }
            if open.touched.contains(&id) {
                wrong.push(format!("touch {id} down and up in one frame"));
            }
        }
        Input::StartEmulating(sequence) => {
            if !device.resumed {
                wrong.push("start_emulating while paused".into());
            } else if device.emulating.is_some() {
                wrong.push("start_emulating twice".into());
            } else {
                device.emulating = Some(sequence);
            }
        }
        Input::StopEmulating if device.emulating.take().is_none() => {
            wrong.push("stop_emulating without start".into());
        }
        _ => {}
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eis::options::Region;

    fn state(kind: DeviceKind) -> EisState {
        let device = SeenDevice {
            kind: Some(kind),
            alive: true,
            resumed: true,
            emulating: Some(1),
            regions: vec![Region::new(100, 50, None)],
            ..Default::default()
        };
        EisState { devices: vec![device], ..Default::default() }
    }

    fn play(state: &mut EisState, inputs: &[Input]) {
        let mut open = OpenFrame::default();
        for input in inputs {
            apply(state, 0, &mut open, *input);
        }
    }

    #[test]
    fn the_edge_of_a_region_is_outside() {
        let mut state = state(DeviceKind::Absolute);
        play(&mut state, &[Input::MotionAbsolute(99.996, 49.5), Input::MotionAbsolute(100.0, 0.0)]);
        assert_eq!(state.log[0].input, Input::MotionAbsolute(99.996, 49.5));
        assert_eq!(state.log[1].input, Input::MotionDropped(100.0, 0.0));
        assert!(state.violations.is_empty());
    }

    #[test]
    fn a_key_down_and_up_in_one_frame_is_a_no_op() {
        let mut state = state(DeviceKind::Keyboard);
        play(&mut state, &[Input::Key(30, true), Input::Key(30, false), Input::Frame(1)]);
        assert_eq!(state.no_ops, [30]);
    }

    #[test]
    fn a_release_without_press_and_both_kinds_of_scroll_are_violations() {
        let mut state = state(DeviceKind::Pointer);
        play(
            &mut state,
            &[Input::Button(272, false), Input::Scroll(0.0, 10.0), Input::ScrollDiscrete(0, 120), Input::Frame(1)],
        );
        assert_eq!(state.violations.len(), 2, "{:?}", state.violations);
    }

    #[test]
    fn a_button_held_on_the_absolute_device_sticks_when_it_goes() {
        let mut state = state(DeviceKind::Absolute);
        play(&mut state, &[Input::Button(272, true), Input::Frame(1)]);
        remove(&mut state, 0);
        assert!(state.stuck_buttons.contains(&272));
        assert_eq!(state.left_held, ["button 272 on Absolute"]);
    }
}
