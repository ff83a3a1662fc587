//! What one wl_pointer.frame says about scrolling, over all versions of the protocol. Pure.
//! Each turn counts once: v120 before discrete steps before plain distances.

use crate::input::event::{Axis, InputEvent};

/// wl_pointer.axis_source, as far as it makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A wheel (or a wheel's tilt): steps.
    Wheel,
    /// Fingers or anything else continuous: distances, ended by a stop.
    Continuous,
}

/// Logical pixels per notch where a host tells a wheel's turn by distance only (libinput's 15° = 10).
const PIXELS_PER_NOTCH: f64 = 10.0;

#[derive(Clone, Copy, Debug, Default)]
struct OneAxis {
    distance: f64,
    discrete: i32,
    v120: i32,
    stop: bool,
}

/// Collects the axis events of one frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScrollFrame {
    source: Option<Source>,
    axes: [OneAxis; 2],
    used: bool,
    /// What distances without steps have left below one unit, for old hosts' wheels.
    rest: [f64; 2],
}

impl ScrollFrame {
    fn axis(&mut self, axis: Axis) -> &mut OneAxis {
        self.used = true;
        &mut self.axes[axis as usize]
    }

    /// wl_pointer.axis_source.
    pub fn source(&mut self, source: Source) {
        self.source = Some(source);
    }

    /// wl_pointer.axis: a distance in logical pixels.
    pub fn distance(&mut self, axis: Axis, distance: f64) {
        if distance.is_finite() {
            self.axis(axis).distance += distance;
        }
    }

    /// wl_pointer.axis_discrete (seat 5 to 7): whole steps.
    pub fn discrete(&mut self, axis: Axis, steps: i32) {
        let axis = self.axis(axis);
        axis.discrete = axis.discrete.saturating_add(steps);
    }

    /// wl_pointer.axis_value120 (seat 8).
    pub fn value120(&mut self, axis: Axis, v120: i32) {
        let axis = self.axis(axis);
        axis.v120 = axis.v120.saturating_add(v120);
    }

    /// wl_pointer.axis_stop.
    pub fn stop(&mut self, axis: Axis) {
        self.axis(axis).stop = true;
    }

    /// The frame is complete: hands its scrolling to `emit` and starts anew.
    pub fn finish(&mut self, mut emit: impl FnMut(InputEvent)) {
        if !self.used {
            self.source = None;
            return;
        }
        for axis in [Axis::Vertical, Axis::Horizontal] {
            let seen = self.axes[axis as usize];
            if seen.v120 != 0 {
                emit(InputEvent::Wheel { axis, v120: seen.v120 });
            } else if seen.discrete != 0 {
                emit(InputEvent::Wheel { axis, v120: seen.discrete.saturating_mul(120) });
            } else if seen.distance != 0.0 {
                if self.source == Some(Source::Continuous) {
                    emit(InputEvent::Scroll { axis, delta: seen.distance });
                } else {
                    let rest = &mut self.rest[axis as usize];
                    *rest += seen.distance * 120.0 / PIXELS_PER_NOTCH;
                    let v120 = rest.trunc();
                    *rest -= v120;
                    if v120 != 0.0 {
                        emit(InputEvent::Wheel { axis, v120: v120 as i32 });
                    }
                }
            }
            if seen.stop {
                emit(InputEvent::ScrollStop { axis });
            }
        }
        *self = Self { rest: self.rest, ..Self::default() };
    }
}

/// Turns v120 units into whole notches for sinks that know nothing smaller, keeping the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notches {
    rest: [i32; 2],
}

impl Notches {
    /// Adds units; the whole notches that are now complete.
    pub fn add(&mut self, axis: Axis, v120: i32) -> i32 {
        let rest = &mut self.rest[axis as usize];
        // A turn the other way starts from nothing, as wheels' own drivers do.
        if (*rest > 0) != (v120 > 0) {
            *rest = 0;
        }
        let sum = rest.saturating_add(v120);
        *rest = sum % 120;
        sum / 120
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finish(frame: &mut ScrollFrame) -> Vec<InputEvent> {
        let mut events = Vec::new();
        frame.finish(|event| events.push(event));
        events
    }

    #[test]
    fn wolfs_wheel_counts_once_by_its_v120() {
        let mut frame = ScrollFrame::default();
        frame.source(Source::Wheel);
        frame.distance(Axis::Vertical, 3.0);
        frame.value120(Axis::Vertical, 120);
        assert_eq!(finish(&mut frame), [InputEvent::Wheel { axis: Axis::Vertical, v120: 120 }]);
        assert_eq!(finish(&mut frame), []);
    }

    #[test]
    fn old_seats_have_steps_or_distances() {
        let mut frame = ScrollFrame::default();
        frame.distance(Axis::Horizontal, -10.0);
        frame.discrete(Axis::Horizontal, -1);
        assert_eq!(finish(&mut frame), [InputEvent::Wheel { axis: Axis::Horizontal, v120: -120 }]);
        frame.distance(Axis::Vertical, 10.0);
        assert_eq!(finish(&mut frame), [InputEvent::Wheel { axis: Axis::Vertical, v120: 120 }]);
    }

    #[test]
    fn fingers_scroll_by_distance_and_stop() {
        let mut frame = ScrollFrame::default();
        frame.source(Source::Continuous);
        frame.distance(Axis::Vertical, 2.5);
        assert_eq!(finish(&mut frame), [InputEvent::Scroll { axis: Axis::Vertical, delta: 2.5 }]);
        frame.source(Source::Continuous);
        frame.stop(Axis::Vertical);
        assert_eq!(finish(&mut frame), [InputEvent::ScrollStop { axis: Axis::Vertical }]);
    }

    #[test]
    fn eighths_of_a_notch_add_up() {
        let mut notches = Notches::default();
        let sum: i32 = (0..16).map(|_| notches.add(Axis::Vertical, 15)).sum();
        assert_eq!(sum, 2);
        assert_eq!(notches.add(Axis::Vertical, -120), -1);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_in_distances(parts in proptest::collection::vec(0.01f64..3.0, 1..100)) {
            let mut frame = ScrollFrame::default();
            let mut sum = 0i64;
            for part in &parts {
                frame.distance(Axis::Vertical, *part);
                for event in finish(&mut frame) {
                    if let InputEvent::Wheel { v120, .. } = event {
                        sum += i64::from(v120);
                    }
                }
            }
            let meant = parts.iter().sum::<f64>() * 12.0;
            prop_assert!((meant - sum as f64).abs() < 1.001);
        }
    }
}
