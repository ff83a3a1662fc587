//! Which frame goes to the host next, and when each buffer goes back to the guest. Pure.
//!
//! The newest frame wins and goes at once, but with two commits unanswered by frame callbacks it waits
//! here, where a newer one can still take its place. A buffer that the host reads is *lent*.

use crate::video::frame::BufferId;

/// So many commits may be unanswered by frame callbacks.
pub const MAX_UNANSWERED: u32 = 2;

/// What has to happen to a buffer now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "the guest waits for its buffer"]
pub enum Fate {
    /// Somebody still needs it, or it is back already.
    Keep,
    /// It goes back to the guest.
    GiveBack(BufferId),
    /// The guest has taken it away and nobody reads it any more: what was made of it can go.
    Forget(BufferId),
}

/// When a buffer that was committed goes back to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// When the host has released it: until then the guest may not draw in it.
    OnRelease,
    /// At once: the guest waits for the host's release point by itself.
    AtOnce,
    /// At once, and the host never saw it: its pixels were copied.
    Copied,
}

#[derive(Debug)]
struct Waiting<F> {
    id: BufferId,
    frame: F,
    removed: bool,
}

/// A frame on its way out of the mailbox; goes to [`Mailbox::commit`] or [`Mailbox::discard`].
#[derive(Debug)]
#[must_use = "its buffer would never go back"]
pub struct Taken<F>(Waiting<F>);

impl<F> Taken<F> {
    /// The frame.
    pub fn frame(&self) -> &F {
        &self.0.frame
    }
}

/// A buffer whose wl_buffer the host has not released.
#[derive(Clone, Copy, Debug)]
struct Lent {
    id: BufferId,
    back: Return,
    removed: bool,
}

/// The one waiting frame, the buffers that the host has, and how many commits it has not answered.
#[derive(Debug)]
pub struct Mailbox<F> {
    waiting: Option<Waiting<F>>,
    lent: Vec<Lent>,
    unanswered: u32,
    /// Of the commits that were never answered, those not waited for any more.
    forgiven: u32,
}

impl<F> Default for Mailbox<F> {
    fn default() -> Self {
        // More than any pool has, so that lending allocates nothing.
        Self { waiting: None, lent: Vec::with_capacity(64), unanswered: 0, forgiven: 0 }
    }
}

impl<F> Mailbox<F> {
    /// Puts in the newest frame. What it overtook, and what becomes of that one's buffer.
    pub fn put(&mut self, id: BufferId, frame: F) -> Option<(F, Fate)> {
        let overtaken = self.waiting.replace(Waiting { id, frame, removed: false })?;
        let fate = self.fate(overtaken.id, overtaken.removed);
        Some((overtaken.frame, fate))
    }

    /// Whether the host can take a frame now.
    pub fn is_open(&self) -> bool {
        self.unanswered < MAX_UNANSWERED
    }

    /// The frame that waits.
    pub fn waiting(&self) -> Option<&F> {
        self.waiting.as_ref().map(|waiting| &waiting.frame)
    }

    /// Takes out the waiting frame when `which` says so.
    pub fn take_if(&mut self, which: impl FnOnce(&F) -> bool) -> Option<Taken<F>> {
        self.waiting.take_if(|waiting| which(&waiting.frame)).map(Taken)
    }

    /// The frame was committed, with a frame callback. The frame, and what becomes of its buffer.
    pub fn commit(&mut self, taken: Taken<F>, back: Return) -> (F, Fate) {
        let Waiting { id, frame, removed } = taken.0;
        self.unanswered += 1;
        if back != Return::Copied {
            // A buffer that came back early may be committed again before its first release, which then is the only one.
            self.lent.retain(|lent| lent.id != id);
            self.lent.push(Lent { id, back, removed });
        }
        (frame, self.fate(id, removed))
    }

    /// The frame will not be shown. What becomes of its buffer.
    pub fn discard(&mut self, taken: Taken<F>) -> (F, Fate) {
        let Waiting { id, frame, removed } = taken.0;
        (frame, self.fate(id, removed))
    }

    /// The host released this buffer. Hosts that say so twice change nothing.
    pub fn release(&mut self, id: BufferId) -> Fate {
        let Some(at) = self.lent.iter().position(|lent| lent.id == id) else { return Fate::Keep };
        let lent = self.lent.swap_remove(at);
        match self.fate(id, lent.removed) {
            // It went back with its commit.
            Fate::GiveBack(_) if lent.back == Return::AtOnce => Fate::Keep,
            fate => fate,
        }
    }

    /// The guest took this buffer away: it must not go back any more. What waits or is lent stays as it is.
    pub fn remove(&mut self, id: BufferId) -> Fate {
        self.mark_removed(|buffer| buffer == id);
        self.fate(id, true)
    }

    /// The stream ended and all of its buffers with it.
    pub fn remove_all(&mut self) {
        self.mark_removed(|_| true);
    }

    fn mark_removed(&mut self, which: impl Fn(BufferId) -> bool) {
        self.waiting.iter_mut().filter(|waiting| which(waiting.id)).for_each(|waiting| waiting.removed = true);
        self.lent.iter_mut().filter(|lent| which(lent.id)).for_each(|lent| lent.removed = true);
    }

    /// Whether this buffer waits here or is lent, so that what was made of it has to stay.
    pub fn holds(&self, id: BufferId) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.id == id) || self.lent.iter().any(|lent| lent.id == id)
    }

    /// Buffers that the guest does not have because the host has not released them.
    pub fn lent(&self) -> usize {
        self.lent.iter().filter(|lent| lent.back == Return::OnRelease).count()
    }

    /// A frame callback came.
    pub fn answered(&mut self) {
        if self.forgiven > 0 {
            self.forgiven -= 1;
        } else {
            self.unanswered = self.unanswered.saturating_sub(1);
        }
    }

    /// The host has not answered for long: one commit is not waited for any more.
    pub fn forgive(&mut self) {
        if self.unanswered > 0 {
            self.unanswered -= 1;
            self.forgiven += 1;
        }
    }

    /// What becomes of a buffer that has just left one of its places here.
    fn fate(&self, id: BufferId, removed: bool) -> Fate {
        let is_waiting = self.waiting.as_ref().is_some_and(|waiting| waiting.id == id);
        let lent = self.lent.iter().find(|lent| lent.id == id).map(|lent| lent.back);
        match (is_waiting, lent) {
            (true, _) | (_, Some(Return::OnRelease)) => Fate::Keep,
            _ if !removed => Fate::GiveBack(id),
            (_, Some(_)) => Fate::Keep,
            (_, None) => Fate::Forget(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, VecDeque};

    use proptest::prelude::*;

    use super::*;

    /// One thing that somebody does. Numbers choose among what is there.
    #[derive(Clone, Debug)]
    enum Step {
        Frame,
        Answer,
        Stall,
        Release(usize),
        ReleaseTwice(u64),
        Refuse,
        Remove(usize),
        NewPool,
        StreamEnds,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Owner {
        Guest,
        Bridge,
        /// Taken away by the guest while the bridge had it, or before.
        Nobody,
    }

    /// The guest, the host and the bridge as far as buffers go.
    struct World {
        mailbox: Mailbox<u32>,
        pool: usize,
        back: Return,
        owners: BTreeMap<BufferId, Owner>,
        wl_buffers: BTreeSet<BufferId>,
        /// What the host reads, the newest last: released only once it is replaced.
        reads: VecDeque<BufferId>,
        calls_owed: u32,
        forgiven: u32,
        next_frame: u32,
        last_committed: Option<u32>,
    }

    impl World {
        fn new(pool: usize, back: Return) -> Self {
            let mut world = Self {
                mailbox: Mailbox::default(),
                pool,
                back,
                owners: BTreeMap::new(),
                wl_buffers: BTreeSet::new(),
                reads: VecDeque::new(),
                calls_owed: 0,
                forgiven: 0,
                next_frame: 0,
                last_committed: None,
            };
            world.add_pool();
            world
        }

        fn add_pool(&mut self) {
            let first = self.owners.len() as u64;
            self.owners.extend((first..first + self.pool as u64).map(|id| (BufferId(id), Owner::Guest)));
        }

        fn apply(&mut self, fate: Fate) {
            match fate {
                Fate::Keep => {}
                Fate::GiveBack(id) => {
                    assert_eq!(
                        self.owners.insert(id, Owner::Guest),
                        Some(Owner::Bridge),
                        "given back twice or never had"
                    );
                    if self.back == Return::OnRelease {
                        assert!(!self.reads.contains(&id), "given back while the host reads it");
                    }
                }
                Fate::Forget(id) => {
                    assert_eq!(self.owners[&id], Owner::Nobody, "forgotten while it lives");
                    assert!(!self.reads.contains(&id), "its wl_buffer is destroyed while the host reads it");
                    self.wl_buffers.remove(&id);
                }
            }
        }

        fn frame(&mut self) -> bool {
            let free = self.owners.iter().find(|(_, owner)| **owner == Owner::Guest).map(|(id, _)| *id);
            let Some(id) = free else { return false };
            self.owners.insert(id, Owner::Bridge);
            let frame = self.next_frame;
            self.next_frame += 1;
            if let Some((overtaken, fate)) = self.mailbox.put(id, frame) {
                assert!(overtaken < frame);
                self.apply(fate);
            }
            self.commit_waiting();
            true
        }

        fn commit_waiting(&mut self) {
            if !self.mailbox.is_open() {
                return;
            }
            let Some(taken) = self.mailbox.take_if(|_| true) else { return };
            let id = taken.0.id;
            assert!(self.last_committed.is_none_or(|last| last < *taken.frame()), "overtaken by an older frame");
            self.last_committed = Some(*taken.frame());
            let (_, fate) = self.mailbox.commit(taken, self.back);
            self.calls_owed += 1;
            if self.back != Return::Copied {
                self.wl_buffers.insert(id);
                self.reads.retain(|read| *read != id);
                self.reads.push_back(id);
            }
            self.apply(fate);
            assert!(self.calls_owed - self.forgiven <= MAX_UNANSWERED, "too many commits unanswered");
        }

        fn remove(&mut self, id: BufferId) {
            self.owners.insert(id, Owner::Nobody);
            let fate = self.mailbox.remove(id);
            self.apply(fate);
        }

        fn step(&mut self, step: &Step) {
            match *step {
                Step::Frame => drop(self.frame()),
                Step::Answer if self.calls_owed > 0 => {
                    self.calls_owed -= 1;
                    self.forgiven = self.forgiven.saturating_sub(1);
                    self.mailbox.answered();
                    self.commit_waiting();
                }
                Step::Stall if !self.mailbox.is_open() => {
                    self.forgiven += 1;
                    self.mailbox.forgive();
                    self.commit_waiting();
                }
                // The newest is on the screen and stays with the host.
                Step::Release(which) if self.reads.len() > 1 => {
                    let id = self.reads.remove(which % (self.reads.len() - 1)).unwrap();
                    let fate = self.mailbox.release(id);
                    self.apply(fate);
                }
                Step::ReleaseTwice(which) => {
                    let id = BufferId(which % self.owners.len() as u64);
                    if !self.reads.contains(&id) {
                        assert_eq!(self.mailbox.release(id), Fate::Keep);
                    }
                }
                Step::Refuse => {
                    if let Some(taken) = self.mailbox.take_if(|_| true) {
                        let (_, fate) = self.mailbox.discard(taken);
                        self.apply(fate);
                    }
                }
                Step::Remove(which) => {
                    let id = BufferId((which % self.owners.len()) as u64);
                    if self.owners[&id] != Owner::Nobody {
                        self.remove(id);
                    }
                }
                Step::NewPool => {
                    let alive = self.owners.iter().filter(|(_, owner)| **owner != Owner::Nobody);
                    for id in alive.map(|(id, _)| *id).collect::<Vec<_>>() {
                        self.remove(id);
                    }
                    self.add_pool();
                }
                Step::StreamEnds => {
                    self.mailbox.remove_all();
                    self.owners.values_mut().for_each(|owner| *owner = Owner::Nobody);
                    let mailbox = &self.mailbox;
                    self.wl_buffers.retain(|id| mailbox.holds(*id));
                    self.add_pool();
                }
                Step::Answer | Step::Stall | Step::Release(_) => {}
            }
            assert!(self.reads.iter().all(|id| self.wl_buffers.contains(id)), "the host reads a destroyed wl_buffer");
            // What went back with its commit is the guest's already.
            let lent = if self.back == Return::OnRelease { self.reads.len() } else { 0 };
            assert_eq!(self.mailbox.lent(), lent);
            let waits = self.mailbox.waiting().is_some();
            assert!(!waits || !self.mailbox.is_open(), "a frame waits though the host could take it");
        }

        /// The host answers and releases as it should: everything but the picture on the screen has to come back.
        fn settle(&mut self) {
            while self.calls_owed > 0 || self.reads.len() > 1 {
                self.step(&Step::Answer);
                self.step(&Step::Release(0));
            }
            let on_screen: Vec<BufferId> = self.reads.iter().copied().collect();
            for (id, owner) in &self.owners {
                let may_be_lent = self.back == Return::OnRelease && on_screen.contains(id);
                assert!(*owner != Owner::Bridge || may_be_lent, "{id:?} was never given back");
            }
            let idle = |id: &&BufferId| self.owners[*id] == Owner::Nobody && !on_screen.contains(id);
            assert_eq!(self.wl_buffers.iter().find(idle), None, "a wl_buffer of a removed buffer is left");
        }
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            12 => Just(Step::Frame),
            8 => Just(Step::Answer),
            2 => Just(Step::Stall),
            8 => any::<usize>().prop_map(Step::Release),
            1 => any::<u64>().prop_map(Step::ReleaseTwice),
            1 => Just(Step::Refuse),
            2 => any::<usize>().prop_map(Step::Remove),
            1 => Just(Step::NewPool),
            1 => Just(Step::StreamEnds),
        ];
        proptest::collection::vec(step, 0..400)
    }

    fn returns() -> impl Strategy<Value = Return> {
        prop_oneof![Just(Return::OnRelease), Just(Return::AtOnce), Just(Return::Copied)]
    }

    proptest! {
        #[test]
        fn every_buffer_goes_back_once_and_no_frame_is_overtaken(steps in steps(), back in returns(), pool in 1usize..8) {
            let mut world = World::new(pool, back);
            for step in &steps {
                world.step(step);
            }
            world.settle();
        }

        #[test]
        fn a_pool_of_two_never_starves(steps in steps(), back in returns()) {
            let mut world = World::new(2, back);
            for step in &steps {
                world.step(step);
            }
            world.step(&Step::NewPool);
            for _ in 0..10 {
                let before = world.last_committed;
                prop_assert!(world.frame(), "the guest has no buffer to draw in");
                world.settle();
                prop_assert!(world.last_committed > before, "a frame was not shown");
            }
        }
    }

    #[test]
    fn a_late_answer_to_a_forgiven_commit_opens_nothing() {
        let mut mailbox = Mailbox::default();
        for (id, frame) in [(BufferId(1), 'a'), (BufferId(2), 'b')] {
            assert!(mailbox.put(id, frame).is_none());
            let taken = mailbox.take_if(|_| true).unwrap();
            assert_eq!(mailbox.commit(taken, Return::OnRelease).1, Fate::Keep);
        }
        mailbox.forgive();
        assert!(mailbox.put(BufferId(3), 'c').is_none());
        let taken = mailbox.take_if(|_| true).unwrap();
        assert_eq!(mailbox.commit(taken, Return::OnRelease).1, Fate::Keep);
        mailbox.answered();
        assert!(!mailbox.is_open());
        mailbox.answered();
        assert!(mailbox.is_open());
    }
}
