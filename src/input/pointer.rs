//! Whether the host's pointer motion goes to the guest as places or as distances, and whether the host's pointer is to
//! be locked for that. Pure.
//!
//! A host tells most motion twice, as a place and as a distance, and only the distance while its pointer is locked. Of
//! each motion exactly one goes on. Games lock the guest's pointer: then places do nothing there, and the guest says of
//! it only that it is hidden and stays where it is.

use std::time::{Duration, Instant};

use crate::input::event::InputEvent;
use crate::options::PointerMode;

/// A hidden pointer that places do not move for so long is locked. A guest that draws only at the host's frames may be
/// told of a motion, and tell of it, this late (up to 250 ms seen on Mutter 50).
const FROZEN_AFTER: Duration = Duration::from_millis(300);

/// So many places in vain before a pointer counts as frozen: the first may meet devices that are being re-created.
const MIN_MOTIONS: u32 = 3;

/// Places are told in whole pixels, and a lock may move the pointer by one (seen on Mutter 43).
const TOLERANCE: f64 = 3.0;

/// The guest's pointer, in pixels of the stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GuestPointer {
    /// What it points at.
    pub at: (f64, f64),
    /// Whether the guest shows it.
    pub visible: bool,
}

/// What the host is asked to do with its own pointer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lock {
    /// Let it go, and put it there if a place is given (pixels of the stream).
    Free(Option<(f64, f64)>),
    /// Keep it where it is, while it is over the window.
    Wanted,
}

/// What becomes of motion.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Absolute,
    Relative,
}

/// Places that were sent and did not move the guest's pointer.
#[derive(Clone, Copy, Debug)]
struct InVain {
    since: Instant,
    motions: u32,
    /// Where the guest's pointer has been all the time.
    at: (f64, f64),
}

/// Decides of every motion how it goes on.
#[derive(Clone, Copy, Debug)]
pub struct PointerPath {
    mode: PointerMode,
    way: Way,
    /// Holds from the next frame on: the events of one belong together.
    next: Way,
    mid_frame: bool,
    /// The host tells distances.
    has_relative: bool,
    /// The host's pointer is locked by us.
    locked: bool,
    guest: Option<GuestPointer>,
    in_vain: Option<InVain>,
    /// Where the guest's pointer was when it was found frozen.
    frozen_at: Option<(f64, f64)>,
    /// The last place, for hosts that tell no distances.
    place: Option<(f64, f64)>,
}

impl Default for PointerPath {
    fn default() -> Self {
        Self::new(PointerMode::default())
    }
}

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.0 - b.0).abs().max((a.1 - b.1).abs())
}

impl PointerPath {
    /// A guest's pointer of which nothing is known, on a host that tells no distances.
    pub fn new(mode: PointerMode) -> Self {
        let way = if mode == PointerMode::Relative { Way::Relative } else { Way::Absolute };
        Self {
            mode,
            way,
            next: way,
            mid_frame: false,
            has_relative: false,
            locked: false,
            guest: None,
            in_vain: None,
            frozen_at: None,
            place: None,
        }
    }

    /// Whether the host tells distances.
    pub fn set_has_relative(&mut self, has_relative: bool) {
        self.has_relative = has_relative;
    }

    /// The host has locked its pointer as it was asked to, or has let it go.
    pub fn set_locked(&mut self, locked: bool) {
        self.locked = locked;
        // Places told before say nothing of distances now.
        self.place = None;
    }

    /// Another guest: nothing is known of its pointer.
    pub fn forget_guest(&mut self) {
        self.guest = None;
        self.in_vain = None;
        self.thaw();
    }

    /// The guest's pointer is here from now on; `None`: not to be seen anywhere.
    pub fn guest_moved(&mut self, guest: Option<GuestPointer>) {
        self.guest = guest;
        let moved = |from: (f64, f64)| guest.is_some_and(|guest| distance(guest.at, from) >= TOLERANCE);
        if self.in_vain.is_some_and(|in_vain| moved(in_vain.at)) || guest.is_none_or(|guest| guest.visible) {
            self.in_vain = None;
        }
        let Some(frozen_at) = self.frozen_at else { return };
        // Distances that move it are no better than places, which are exact.
        if moved(frozen_at) || guest.is_some_and(|guest| guest.visible) {
            self.thaw();
        }
    }

    fn thaw(&mut self) {
        self.frozen_at = None;
        if self.mode == PointerMode::Auto {
            self.turn(Way::Absolute);
        }
    }

    fn turn(&mut self, way: Way) {
        self.next = way;
        if !self.mid_frame {
            self.way = way;
        }
    }

    /// What the host is to do with its pointer, now.
    pub fn lock(&self) -> Lock {
        match self.next {
            Way::Relative => Lock::Wanted,
            Way::Absolute => Lock::Free(self.guest.map(|guest| guest.at)),
        }
    }

    /// Whether motion goes on as distances.
    pub fn is_relative(&self) -> bool {
        self.way == Way::Relative
    }

    /// What goes on of an event of the host; `target` is where a place is in the stream, in pixels.
    pub fn take(&mut self, now: Instant, event: InputEvent, target: Option<(f64, f64)>) -> Option<InputEvent> {
        match event {
            InputEvent::Motion { x, y } => {
                self.mid_frame = true;
                self.placed(now, (x, y), target)
            }
            InputEvent::RelativeMotion { dx, dy } => {
                self.mid_frame = true;
                let counts = self.way == Way::Relative && (dx, dy) != (0.0, 0.0);
                counts.then_some(event)
            }
            InputEvent::PointerFrame => {
                self.mid_frame = false;
                self.way = self.next;
                Some(event)
            }
            InputEvent::PointerLeave => {
                // It comes back elsewhere, and that is no motion.
                self.place = None;
                self.in_vain = None;
                self.mid_frame = false;
                self.way = self.next;
                Some(event)
            }
            other => Some(other),
        }
    }

    fn placed(&mut self, now: Instant, (x, y): (f64, f64), target: Option<(f64, f64)>) -> Option<InputEvent> {
        let before = self.place.replace((x, y));
        match self.way {
            Way::Absolute => {
                if self.mode == PointerMode::Auto {
                    self.look(now, target);
                }
                Some(InputEvent::Motion { x, y })
            }
            Way::Relative if self.has_relative || self.locked => None,
            Way::Relative => {
                let (old_x, old_y) = before?;
                let (dx, dy) = (x - old_x, y - old_y);
                ((dx, dy) != (0.0, 0.0)).then_some(InputEvent::RelativeMotion { dx, dy })
            }
        }
    }

    /// Looks whether the guest's pointer follows.
    fn look(&mut self, now: Instant, target: Option<(f64, f64)>) {
        let (Some(guest), Some(target)) = (self.guest.filter(|guest| !guest.visible), target) else {
            self.in_vain = None;
            return;
        };
        if distance(guest.at, target) < TOLERANCE {
            self.in_vain = None;
            return;
        }
        let in_vain = self.in_vain.get_or_insert(InVain { since: now, motions: 0, at: guest.at });
        in_vain.motions = in_vain.motions.saturating_add(1);
        if in_vain.motions >= MIN_MOTIONS && now.saturating_duration_since(in_vain.since) >= FROZEN_AFTER {
            self.in_vain = None;
            self.frozen_at = Some(guest.at);
            // The rest of this frame goes as it began.
            self.next = Way::Relative;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: InputEvent = InputEvent::PointerFrame;

    fn motion(x: f64) -> InputEvent {
        InputEvent::Motion { x, y: 0.0 }
    }

    fn by(dx: f64) -> InputEvent {
        InputEvent::RelativeMotion { dx, dy: 0.0 }
    }

    fn guest(x: f64, visible: bool) -> Option<GuestPointer> {
        Some(GuestPointer { at: (x, 0.0), visible })
    }

    struct Host {
        path: PointerPath,
        now: Instant,
    }

    impl Host {
        fn new(mode: PointerMode) -> Self {
            let mut path = PointerPath::new(mode);
            path.set_has_relative(true);
            Self { path, now: Instant::now() }
        }

        /// A motion as hosts tell it, 10 ms after the last; what goes on of it, without its frame.
        fn moves(&mut self, x: f64, dx: f64) -> Vec<InputEvent> {
            self.now += Duration::from_millis(10);
            let events = [motion(x), by(dx), FRAME];
            let taken = events.into_iter().filter_map(|event| self.path.take(self.now, event, Some((x, 0.0))));
            taken.filter(|event| *event != FRAME).collect()
        }

        /// The guest's pointer is hidden and does not move any more.
        fn freeze(&mut self) {
            self.path.guest_moved(guest(100.0, false));
            for step in 0..40 {
                self.moves(110.0 + f64::from(step), 1.0);
            }
            assert!(self.path.is_relative());
        }
    }

    #[test]
    fn a_motion_goes_on_once_and_as_a_place() {
        let mut host = Host::new(PointerMode::Auto);
        assert_eq!(host.moves(7.0, 7.0), [motion(7.0)]);
        assert_eq!(host.path.lock(), Lock::Free(None));
        let mut host = Host::new(PointerMode::Relative);
        assert_eq!(host.moves(7.0, 7.0), [by(7.0)]);
        assert_eq!(host.path.lock(), Lock::Wanted);
    }

    #[test]
    fn a_hidden_pointer_that_does_not_follow_is_frozen_and_thaws_when_it_shows() {
        let mut host = Host::new(PointerMode::Auto);
        host.path.guest_moved(guest(100.0, false));
        let relative = (0..100).position(|_| host.moves(200.0, 3.0) == [by(3.0)]).unwrap();
        assert!((29..=32).contains(&relative), "{relative}");
        assert_eq!(host.path.lock(), Lock::Wanted);
        host.path.set_locked(true);
        // Its picture coming at the same place is the game's end.
        host.path.guest_moved(guest(101.0, false));
        assert!(host.path.is_relative());
        host.path.guest_moved(guest(101.0, true));
        assert_eq!(host.path.lock(), Lock::Free(Some((101.0, 0.0))));
        assert_eq!(host.moves(105.0, 4.0), [motion(105.0)]);
    }

    #[test]
    fn a_hidden_pointer_that_follows_is_left_alone() {
        let mut host = Host::new(PointerMode::Auto);
        for step in 0..200 {
            let x = f64::from(step) * 5.0;
            assert_eq!(host.moves(x, 5.0), [motion(x)]);
            // A guest that is late by 10 motions.
            host.path.guest_moved(guest((x - 50.0).max(0.0), false));
        }
        let mut host = Host::new(PointerMode::Auto);
        host.path.guest_moved(guest(100.0, true));
        (0..100).for_each(|_| assert_eq!(host.moves(200.0, 3.0), [motion(200.0)]));
        let mut host = Host::new(PointerMode::Absolute);
        host.path.guest_moved(guest(100.0, false));
        (0..100).for_each(|_| assert_eq!(host.moves(200.0, 3.0), [motion(200.0)]));
    }

    #[test]
    fn a_pointer_that_distances_move_was_not_frozen() {
        let mut host = Host::new(PointerMode::Auto);
        host.freeze();
        host.path.guest_moved(guest(120.0, false));
        assert!(!host.path.is_relative());
    }

    #[test]
    fn the_focus_may_go_and_come() {
        let mut host = Host::new(PointerMode::Auto);
        host.freeze();
        host.path.set_locked(true);
        assert_eq!(host.path.take(host.now, InputEvent::PointerLeave, None), Some(InputEvent::PointerLeave));
        host.path.set_locked(false);
        assert_eq!(host.path.lock(), Lock::Wanted);
        // The enter says where, which is no motion.
        assert_eq!(host.path.take(host.now, motion(900.0), Some((900.0, 0.0))), None);
        host.path.set_locked(true);
        assert_eq!(host.path.take(host.now, by(2.0), None), Some(by(2.0)));
    }

    #[test]
    fn hosts_without_distances_have_them_in_their_places() {
        let mut host = Host::new(PointerMode::Relative);
        host.path.set_has_relative(false);
        let mut place = |x: f64| host.path.take(host.now, motion(x), None);
        assert_eq!(place(500.0), None);
        assert_eq!(place(510.0), Some(by(10.0)));
        assert_eq!(place(510.0), None);
        assert_eq!(place(507.0), Some(by(-3.0)));
    }

    #[test]
    fn another_guest_begins_with_places() {
        let mut host = Host::new(PointerMode::Auto);
        host.freeze();
        host.path.forget_guest();
        assert_eq!(host.moves(7.0, 7.0), [motion(7.0)]);
        assert_eq!(host.path.lock(), Lock::Free(None));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Move(f64),
        Guest(f64, bool),
        Gone,
        Locked(bool),
        Leave,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (1.0f64..50.0).prop_map(Step::Move),
            2 => (0.0f64..500.0, any::<bool>()).prop_map(|(x, visible)| Step::Guest(x, visible)),
            1 => Just(Step::Gone),
            1 => any::<bool>().prop_map(Step::Locked),
            1 => Just(Step::Leave),
        ]
    }

    proptest! {
        #[test]
        fn every_motion_goes_on_exactly_once(steps in proptest::collection::vec(step(), 0..300), flip in any::<bool>()) {
            let mut path = PointerPath::new(PointerMode::Auto);
            path.set_has_relative(true);
            let mut now = Instant::now();
            let mut x = 0.0;
            for step in steps {
                now += Duration::from_millis(40);
                match step {
                    Step::Move(dx) => {
                        x += dx;
                        let told = if flip { [by(dx), motion(x)] } else { [motion(x), by(dx)] };
                        let taken: Vec<_> = told.into_iter().filter_map(|it| path.take(now, it, Some((x, 0.0)))).collect();
                        prop_assert_eq!(taken.len(), 1, "{:?}", taken);
                        prop_assert_eq!(path.take(now, FRAME, None), Some(FRAME));
                    }
                    Step::Guest(x, visible) => path.guest_moved(guest(x, visible)),
                    Step::Gone => path.guest_moved(None),
                    Step::Locked(locked) => path.set_locked(locked),
                    Step::Leave => prop_assert!(path.take(now, InputEvent::PointerLeave, None).is_some()),
                }
            }
        }
    }
}
