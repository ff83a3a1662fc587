//! Brings the guest's lock keys in line with the host's: which one is to be tapped, and when. Pure.
//!
//! The host's say counts when it is heard: at an enter, and when it changes. What the guest does to its own locks
//! afterwards is the guest's business; answering that would be a quarrel.

use std::time::{Duration, Instant};

/// So long after a lock key went to the guest its report of it may be on its way, by a bus as well.
const ON_ITS_WAY: Duration = Duration::from_millis(500);

/// A key that locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Caps Lock.
    Caps,
    /// Num Lock.
    Num,
    /// Scroll Lock, which most layouts have no use for.
    Scroll,
}

/// All of them, in the order of [`Locks`].
pub const LOCKS: [Lock; 3] = [Lock::Caps, Lock::Num, Lock::Scroll];

impl Lock {
    /// XKB's name of its light.
    pub fn led(self) -> &'static str {
        match self {
            Self::Caps => "Caps Lock",
            Self::Num => "Num Lock",
            Self::Scroll => "Scroll Lock",
        }
    }

    /// The keysym of its key.
    pub fn keysym(self) -> u32 {
        match self {
            Self::Caps => 0xffe5,
            Self::Num => 0xff7f,
            Self::Scroll => 0xff14,
        }
    }

    /// Its evdev code where no keymap says otherwise.
    pub fn code(self) -> u32 {
        match self {
            Self::Caps => 58,
            Self::Num => 69,
            Self::Scroll => 70,
        }
    }
}

/// Which locks are on; `None` where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks(pub [Option<bool>; LOCKS.len()]);

impl Locks {
    /// One of them.
    pub fn get(&self, lock: Lock) -> Option<bool> {
        self.0[lock as usize]
    }
}

/// One lock, on both sides.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    host: Option<bool>,
    guest: Option<bool>,
    /// What the guest is to be brought to; `None` when it is, or when that was in vain.
    wanted: Option<bool>,
    /// A key of ours or of the person is on its way until then.
    quiet: Option<Instant>,
    /// It was our own tap that is on its way.
    tapped: bool,
}

impl Line {
    fn host(&mut self, on: Option<bool>) {
        if self.host == on {
            return;
        }
        (self.host, self.wanted, self.tapped) = (on, on, false);
        self.settle();
    }

    fn guest(&mut self, on: Option<bool>) {
        self.guest = on.or(self.guest);
        self.settle();
    }

    /// The guest is where it should be.
    fn settle(&mut self) {
        // What it said while a key is on its way may be of before.
        if self.quiet.is_none() && self.wanted == self.guest {
            (self.wanted, self.tapped) = (None, false);
        }
    }

    fn elapse(&mut self, now: Instant) {
        if self.quiet.is_some_and(|until| until <= now) {
            self.quiet = None;
            self.settle();
            if self.tapped {
                // A tap that changed nothing would change nothing again.
                (self.wanted, self.tapped) = (None, false);
            }
        }
    }

    fn differs(&self) -> bool {
        matches!((self.wanted, self.guest), (Some(wanted), Some(guest)) if wanted != guest)
    }
}

/// Both sides' locks, as last heard.
#[derive(Clone, Debug, Default)]
pub struct LockSync {
    lines: [Line; LOCKS.len()],
    /// The guest's keys; `None` until its keymap is known.
    keys: Option<[Option<u32>; LOCKS.len()]>,
}

impl LockSync {
    /// The host says how its locks are; it says so only to a window with the keyboard.
    pub fn host(&mut self, locks: Locks) {
        for (line, on) in self.lines.iter_mut().zip(locks.0) {
            line.host(on);
        }
    }

    /// The keyboard has left the window: what the host's locks do is not known any more, and nobody's business here.
    pub fn left(&mut self) {
        for line in &mut self.lines {
            line.host(None);
        }
    }

    /// The guest says how its locks are.
    pub fn guest(&mut self, locks: Locks) {
        for (line, on) in self.lines.iter_mut().zip(locks.0) {
            line.guest(on);
        }
    }

    /// The keys of the guest's keymap, where it is known.
    pub fn guest_keys(&mut self, keys: Option<[Option<u32>; LOCKS.len()]>) {
        self.keys = keys;
    }

    /// Another guest: nothing is known of it, and it is to be brought in line too.
    pub fn guest_gone(&mut self) {
        self.keys = None;
        for line in &mut self.lines {
            *line = Line { host: line.host, wanted: line.host, ..Line::default() };
        }
    }

    /// The guest's keyboard is another one, or something was done to it that it was not told to: what the host said
    /// last counts again.
    pub fn compare_again(&mut self) {
        for line in &mut self.lines {
            line.wanted = line.host;
            line.settle();
        }
    }

    /// This key of the person's went to the guest, which will tell what it did.
    pub fn sent(&mut self, now: Instant, code: u32) {
        for index in 0..LOCKS.len() {
            if self.key(index) == Some(code) {
                self.lines[index].quiet = Some(now + ON_ITS_WAY);
            }
        }
    }

    fn key(&self, index: usize) -> Option<u32> {
        match &self.keys {
            Some(keys) => keys[index],
            None => Some(LOCKS[index].code()),
        }
    }

    /// Times that have passed are no longer waited for.
    pub fn elapse(&mut self, now: Instant) {
        self.lines.iter_mut().for_each(|line| line.elapse(now));
    }

    /// The lock key to tap now, if any: to be asked when nothing is held and nothing waits.
    pub fn tap(&mut self, now: Instant) -> Option<u32> {
        self.elapse(now);
        for index in 0..LOCKS.len() {
            let line = &self.lines[index];
            if line.quiet.is_some() || !line.differs() {
                continue;
            }
            let key = self.key(index);
            let line = &mut self.lines[index];
            if key.is_none() {
                // The guest's layout has other things to do with that key.
                line.wanted = None;
                continue;
            }
            (line.quiet, line.tapped) = (Some(now + ON_ITS_WAY), true);
            return key;
        }
        None
    }

    /// When [`elapse`](Self::elapse) and [`tap`](Self::tap) should be asked again although nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.lines.iter().filter(|line| line.wanted.is_some()).filter_map(|line| line.quiet).min()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAPS: u32 = 58;

    fn caps(on: bool) -> Locks {
        Locks([Some(on), None, None])
    }

    fn later(now: Instant) -> Instant {
        now + ON_ITS_WAY
    }

    /// Both sides have said that Caps Lock is off.
    fn off() -> LockSync {
        let mut sync = LockSync::default();
        sync.guest(caps(false));
        sync.host(caps(false));
        sync
    }

    #[test]
    fn a_guest_that_differs_is_tapped_once() {
        let now = Instant::now();
        let mut sync = LockSync::default();
        sync.host(caps(true));
        assert_eq!(sync.tap(now), None, "nothing is known of the guest");
        sync.guest(caps(false));
        assert_eq!(sync.tap(now), Some(CAPS));
        assert_eq!(sync.tap(now), None, "it is on its way");
        sync.guest(caps(true));
        assert_eq!(sync.tap(later(now)), None);
        assert_eq!(sync.deadline(), None);
    }

    #[test]
    fn a_persons_own_press_is_not_doubled() {
        let now = Instant::now();
        let mut sync = off();
        sync.sent(now, CAPS);
        sync.host(caps(true));
        assert_eq!(sync.tap(now), None);
        sync.guest(caps(true));
        assert_eq!(sync.tap(later(now)), None);
        // Twice in a row, with the guest's reports late.
        sync.sent(now, CAPS);
        sync.host(caps(false));
        sync.sent(now, CAPS);
        sync.host(caps(true));
        sync.guest(caps(false));
        assert_eq!(sync.tap(now), None);
        sync.guest(caps(true));
        assert_eq!(sync.tap(later(now)), None);
    }

    #[test]
    fn a_press_that_the_guest_did_not_take_is_made_up_for() {
        let now = Instant::now();
        let mut sync = off();
        sync.sent(now, CAPS);
        sync.host(caps(true));
        assert_eq!(sync.deadline(), Some(later(now)));
        assert_eq!(sync.tap(later(now)), Some(CAPS));
    }

    #[test]
    fn a_guest_that_does_not_lock_is_left_alone() {
        let now = Instant::now();
        let mut sync = LockSync::default();
        sync.guest(caps(false));
        sync.host(caps(true));
        assert_eq!(sync.tap(now), Some(CAPS));
        let now = later(now);
        assert_eq!(sync.tap(now), None);
        assert_eq!(sync.tap(later(now)), None);
        assert_eq!(sync.deadline(), None);
        // Until the host says something new.
        sync.host(caps(false));
        assert_eq!(sync.tap(later(now)), None, "it is off already");
        sync.host(caps(true));
        assert_eq!(sync.tap(later(now)), Some(CAPS));
        // A layout without such a key.
        let mut sync = LockSync::default();
        sync.guest_keys(Some([None, Some(69), None]));
        sync.guest(caps(false));
        sync.host(caps(true));
        assert_eq!(sync.tap(now), None);
        // Elsewhere on the keyboard.
        sync.guest_keys(Some([Some(1), None, None]));
        sync.host(caps(false));
        sync.host(caps(true));
        assert_eq!(sync.tap(now), Some(1));
    }

    #[test]
    fn what_the_guest_does_by_itself_is_its_own() {
        let now = Instant::now();
        let mut sync = off();
        sync.guest(caps(true));
        assert_eq!(sync.tap(now), None);
        sync.host(caps(false));
        assert_eq!(sync.tap(now), None);
        // It is brought in line at the next enter.
        sync.left();
        assert_eq!(sync.tap(now), None);
        sync.host(caps(false));
        assert_eq!(sync.tap(now), Some(CAPS));
    }

    #[test]
    fn nothing_is_tapped_while_the_keyboard_is_away_and_a_new_guest_is_brought_in_line() {
        let now = Instant::now();
        let mut sync = LockSync::default();
        sync.host(caps(true));
        sync.left();
        sync.guest(caps(false));
        assert_eq!(sync.tap(now), None);
        sync.host(caps(true));
        assert_eq!(sync.tap(now), Some(CAPS));
        sync.guest(caps(true));
        sync.guest_gone();
        assert_eq!(sync.tap(later(now)), None);
        sync.guest(caps(false));
        assert_eq!(sync.tap(later(now)), Some(CAPS));
    }

    proptest! {
        /// A guest that does as it is told, and reports it a while later, ends where the host is, with at most one
        /// tap for each word of the host.
        #[test]
        fn the_guest_ends_where_the_host_is(
            steps in proptest::collection::vec((0u8..5, any::<bool>(), 0u64..700), 1..60)
        ) {
            let mut now = Instant::now();
            let mut sync = LockSync::default();
            // The guest's lock, and its reports that are on their way, each since when.
            let (mut lock, mut reports) = (false, vec![(now, false)]);
            let (mut host, mut focus) = (false, true);
            let (mut words, mut taps) = (1, 0);
            sync.host(caps(host));
            let end = [(9, false, 600); 3];
            for (what, on, wait) in steps.into_iter().chain(end) {
                match what {
                    // The host's own lock changes elsewhere, and it says so.
                    0 => {
                        words += usize::from(focus && host != on);
                        host = on;
                        if focus { sync.host(caps(host)); }
                    }
                    // The person presses the key, here.
                    1 if focus => {
                        (host, lock) = (!host, !lock);
                        sync.sent(now, CAPS);
                        reports.push((now, lock));
                        words += 1;
                        sync.host(caps(host));
                    }
                    2 if !reports.is_empty() => sync.guest(caps(reports.remove(0).1)),
                    3 => { focus = false; sync.left(); }
                    4 if !focus => { focus = true; words += 1; sync.host(caps(host)); }
                    _ => now += Duration::from_millis(wait),
                }
                while reports.first().is_some_and(|(since, _)| later(*since) <= now) {
                    sync.guest(caps(reports.remove(0).1));
                }
                if sync.tap(now).is_some() {
                    prop_assert!(focus);
                    taps += 1;
                    lock = !lock;
                    reports.push((now, lock));
                }
            }
            prop_assert!(taps <= words, "{} taps for {} words", taps, words);
            prop_assert_eq!(sync.deadline(), None);
            prop_assert!(!focus || lock == host, "the guest is {} and the host {}", lock, host);
        }
    }
}
