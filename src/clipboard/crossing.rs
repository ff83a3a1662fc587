//! A property test of [`Shared`] and [`Ours`] together: a host and a guest that are reached by queues, in which everything
//! crosses everything. Whatever happens, both sides end with the same clipboard, and never own each other's.

use std::collections::VecDeque;

use proptest::prelude::*;

use crate::clipboard::mimes::Mimes;
use crate::clipboard::ours::{Ours, Told, Verdict};
use crate::clipboard::shared::{Act, Shared};
use crate::options::ClipboardFlow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    /// An application, with this copy.
    Application(u32),
    /// The bridge; in the host with the number of its announcement, in the guest with that of the copy it offers.
    Bridge(u32),
}

enum FromHost {
    Told(Owner),
    Cancelled(u32),
    Seen(u32),
    Focus(bool),
}

enum ToHost {
    Set(u32),
    Destroy(u32),
    Sync(u32),
}

#[derive(Debug)]
enum FromGuest {
    Owns(Option<u32>),
    Offered,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    HostCopies,
    GuestCopies,
    HostQuits,
    GuestQuits,
    Focus(bool),
    HostReads,
    HostWrites,
    GuestReads,
    GuestWrites,
}

struct World {
    host: Owner,
    guest: Owner,
    is_focused: bool,
    /// Whether the host tells its selection before the focus, as the protocol says.
    tells_first: bool,
    copies: u32,
    to_host: VecDeque<ToHost>,
    from_host: VecDeque<FromHost>,
    to_guest: VecDeque<Option<u32>>,
    from_guest: VecDeque<FromGuest>,
    shared: Shared,
    // What host/clipboard.rs has.
    ours: Ours,
    announcement: Option<(u32, bool)>,
    tried: u32,
    announced: u32,
    /// Counts the events of the host that an announcement can name.
    serial: u32,
    kept: Owner,
    has_focus: bool,
}

fn mimes(copy: u32) -> Mimes {
    Mimes::new([format!("copy/{copy}")]).unwrap()
}

fn copy(mimes: &Mimes) -> u32 {
    mimes.offered().next().unwrap().strip_prefix("copy/").unwrap().parse().unwrap()
}

impl World {
    fn new(tells_first: bool) -> Self {
        let mut shared = Shared::new(ClipboardFlow::Both);
        assert_eq!(shared.guest_came(), Act::None);
        Self {
            host: Owner::Nobody,
            guest: Owner::Nobody,
            is_focused: false,
            tells_first,
            copies: 0,
            to_host: VecDeque::new(),
            from_host: VecDeque::new(),
            to_guest: VecDeque::new(),
            from_guest: VecDeque::new(),
            shared,
            ours: Ours::None,
            announcement: None,
            tried: 0,
            announced: 0,
            serial: 0,
            kept: Owner::Nobody,
            has_focus: false,
        }
    }

    fn host_owns(&mut self, owner: Owner) {
        match self.host {
            Owner::Bridge(number) if owner != self.host => self.from_host.push_back(FromHost::Cancelled(number)),
            _ => {}
        }
        self.host = owner;
        if self.is_focused {
            self.from_host.push_back(FromHost::Told(owner));
        }
    }

    fn step(&mut self, step: Step) -> bool {
        self.copies += 1;
        match step {
            Step::HostCopies => self.host_owns(Owner::Application(self.copies)),
            Step::HostQuits if matches!(self.host, Owner::Application(_)) => self.host_owns(Owner::Nobody),
            Step::GuestCopies => {
                self.guest = Owner::Application(self.copies);
                self.from_guest.push_back(FromGuest::Owns(Some(self.copies)));
            }
            Step::GuestQuits if matches!(self.guest, Owner::Application(_)) => {
                self.guest = Owner::Nobody;
                self.from_guest.push_back(FromGuest::Owns(None));
            }
            Step::Focus(focus) if focus != self.is_focused => {
                self.is_focused = focus;
                let told = focus.then_some(FromHost::Told(self.host));
                if self.tells_first {
                    self.from_host.extend(told.into_iter().chain([FromHost::Focus(focus)]));
                } else {
                    self.from_host.extend([FromHost::Focus(focus)].into_iter().chain(told));
                }
            }
            Step::HostReads => match self.to_host.pop_front() {
                None => return false,
                Some(ToHost::Set(number)) if self.is_focused => self.host_owns(Owner::Bridge(number)),
                Some(ToHost::Destroy(number)) if self.host == Owner::Bridge(number) => {
                    self.host = Owner::Nobody;
                    self.host_owns(Owner::Nobody);
                }
                Some(ToHost::Sync(number)) => self.from_host.push_back(FromHost::Seen(number)),
                Some(_) => {}
            },
            Step::GuestReads => match self.to_guest.pop_front() {
                None => return false,
                Some(offer) => {
                    match offer {
                        Some(copy) => self.guest = Owner::Bridge(copy),
                        None if matches!(self.guest, Owner::Bridge(_)) => self.guest = Owner::Nobody,
                        None => {}
                    }
                    self.from_guest.push_back(FromGuest::Offered);
                }
            },
            Step::HostWrites => match self.from_host.pop_front() {
                None => return false,
                Some(event) => self.heard(event),
            },
            Step::GuestWrites => match self.from_guest.pop_front() {
                None => return false,
                Some(FromGuest::Offered) => self.shared.offered(),
                Some(FromGuest::Owns(copy)) => {
                    let act = self.shared.guest_owns(copy.map(mimes));
                    self.act(act);
                }
            },
            _ => {}
        }
        true
    }

    /// As host/clipboard.rs does it.
    fn heard(&mut self, event: FromHost) {
        match event {
            FromHost::Told(owner) => {
                let whose = match (owner, self.announcement) {
                    (Owner::Bridge(number), Some((current, _))) if number == current => Told::Ours,
                    (Owner::Bridge(_), _) => Told::Older,
                    _ => Told::Theirs,
                };
                let was_set = self.ours == Ours::Set;
                let verdict = self.ours.told(whose);
                self.kept = if whose == Told::Theirs { owner } else { Owner::Nobody };
                match verdict {
                    Verdict::Ours if !was_set && self.ours == Ours::Set => self.shared.host_took(),
                    Verdict::Ours | Verdict::Overtaken => {}
                    Verdict::News => {
                        self.drop_announcement();
                        self.tell_owner();
                    }
                }
            }
            FromHost::Cancelled(number) if self.announcement == Some((number, true)) => {
                self.drop_announcement();
                if self.ours.cancelled() {
                    self.tell_owner();
                }
            }
            FromHost::Seen(number) if self.announcement == Some((number, true)) => {
                self.ours.seen(self.has_focus);
                self.announce();
            }
            FromHost::Cancelled(_) | FromHost::Seen(_) => {}
            FromHost::Focus(focus) => {
                self.has_focus = focus;
                self.serial += u32::from(focus);
                if focus { self.announce() } else { self.ours.focus_lost() }
            }
        }
    }

    fn drop_announcement(&mut self) {
        if let Some((number, true)) = self.announcement.take() {
            self.to_host.push_back(ToHost::Destroy(number));
        }
    }

    fn tell_owner(&mut self) {
        let owner = if let Owner::Application(copy) = self.kept { Some(mimes(copy)) } else { None };
        let act = self.shared.host_owns(owner);
        self.act(act);
    }

    fn announce(&mut self) {
        if !matches!(self.ours, Ours::Waiting | Ours::Ignored) || !self.has_focus || self.tried == self.serial {
            return;
        }
        self.tried = self.serial;
        self.drop_announcement();
        self.announced += 1;
        self.announcement = Some((self.announced, true));
        self.ours = Ours::Sent;
        self.to_host.extend([ToHost::Set(self.announced), ToHost::Sync(self.announced)]);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::None => {}
            Act::OfferToGuest(mimes) => self.to_guest.push_back(mimes.as_ref().map(copy)),
            Act::OfferToHost(Some(_)) => {
                let replaced = self.announcement.take();
                self.ours = Ours::Waiting;
                self.tried = 0;
                self.announced += 1;
                self.announcement = Some((self.announced, false));
                self.announce();
                if let Some((number, true)) = replaced {
                    self.to_host.push_back(ToHost::Destroy(number));
                }
            }
            Act::OfferToHost(None) => {
                self.drop_announcement();
                if !matches!(std::mem::take(&mut self.ours), Ours::None | Ours::Set) {
                    self.tell_owner();
                }
            }
        }
    }

    /// Lets everything arrive.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let steps = [Step::HostReads, Step::HostWrites, Step::GuestReads, Step::GuestWrites];
            if steps.into_iter().filter(|step| self.step(*step)).count() == 0 {
                return;
            }
        }
        panic!("the sides talk for ever");
    }
}

fn step(quits: bool) -> impl Strategy<Value = Step> {
    let quit = u32::from(quits);
    prop_oneof![
        3 => Just(Step::HostCopies),
        3 => Just(Step::GuestCopies),
        quit => Just(Step::HostQuits),
        quit => Just(Step::GuestQuits),
        1 => any::<bool>().prop_map(Step::Focus),
        6 => Just(Step::HostReads),
        6 => Just(Step::HostWrites),
        6 => Just(Step::GuestReads),
        6 => Just(Step::GuestWrites),
    ]
}

/// What has become of it when all of that has happened and everything has arrived, with the focus on the window.
fn after(tells_first: bool, steps: Vec<Step>) -> World {
    let mut world = World::new(tells_first);
    world.step(Step::Focus(true));
    for step in steps {
        world.step(step);
    }
    world.step(Step::Focus(true));
    world.settle();
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn both_sides_end_with_the_same(tells_first: bool, steps in prop::collection::vec(step(false), 1..60)) {
        let world = after(tells_first, steps);
        let same = match (world.host, world.guest) {
            (Owner::Application(copy), Owner::Bridge(offered)) => copy == offered,
            (Owner::Bridge(_), Owner::Application(_)) | (Owner::Nobody, Owner::Nobody) => true,
            _ => false,
        };
        prop_assert!(same, "{:?} in the host, {:?} in the guest", world.host, world.guest);
    }

    #[test]
    fn nobody_offers_what_nobody_has(tells_first: bool, steps in prop::collection::vec(step(true), 1..60)) {
        let world = after(tells_first, steps);
        match (world.host, world.guest) {
            (Owner::Bridge(_), guest) => prop_assert!(matches!(guest, Owner::Application(_)), "{guest:?}"),
            (host, Owner::Bridge(offered)) => prop_assert_eq!(host, Owner::Application(offered)),
            _ => {}
        }
    }
}
