//! Whether the host's selection is what the bridge announced. Pure: the host's side does what the answers say.
//!
//! A client sets a selection only while it has the keyboard focus, and is told of selections only then. So an announcement waits
//! for the focus, and from being sent until the host has seen it, what the host tells of selections was overtaken by it.
//! Smithay (and so Wolf) tells the selection after the focus, and others before it; either way it is older.
//!
//! Hosts ignore an announcement in silence when they deem it older than what they have: wlroots, when the event it names is
//! (seen). They tell those they take; so one of which nothing is told was ignored, and is tried again with the next event.

/// How far an announcement has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ours {
    /// There is none.
    #[default]
    None,
    /// It is to be made as soon as the host lets us.
    Waiting,
    /// It was sent; the host may not have seen it.
    Sent,
    /// The host has seen it, and told nothing.
    Ignored,
    /// The host has told of it.
    Set,
}

/// Whose selection it is that the host tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// What was announced last.
    Ours,
    /// What was announced before that.
    Older,
    /// Somebody else's, or nobody's.
    Theirs,
}

/// What to make of what the host tells of its selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Our own: nothing new.
    Ours,
    /// Older than what is to be announced: kept, and not told.
    Overtaken,
    /// News, which ends any announcement.
    News,
}

impl Ours {
    /// The host tells of its selection.
    pub fn told(&mut self, whose: Told) -> Verdict {
        match (*self, whose) {
            (Self::Sent | Self::Ignored | Self::Set, Told::Ours) => {
                *self = Self::Set;
                Verdict::Ours
            }
            (Self::Waiting | Self::Sent, _) => Verdict::Overtaken,
            // What was taken back or replaced says nothing of the host: its end will be told as well.
            (_, Told::Ours | Told::Older) => Verdict::Ours,
            (Self::None | Self::Ignored | Self::Set, Told::Theirs) => {
                *self = Self::None;
                Verdict::News
            }
        }
    }

    /// The host has handled all that was sent before. Without the focus that was too late, and it waits for the next.
    pub fn seen(&mut self, has_focus: bool) {
        if *self == Self::Sent {
            *self = if has_focus { Self::Ignored } else { Self::Waiting };
        }
    }

    /// The focus is gone: what the host tells when it comes again is not news by itself.
    pub fn focus_lost(&mut self) {
        if *self == Self::Ignored {
            *self = Self::Waiting;
        }
    }

    /// The host cancelled the announcement: true when what it told meanwhile, and was kept, is the selection.
    pub fn cancelled(&mut self) -> bool {
        matches!(std::mem::take(self), Self::Sent | Self::Ignored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_overtakes_what_the_host_told_before_it_saw_it() {
        for whose in [Told::Theirs, Told::Older] {
            let mut ours = Ours::Waiting;
            assert_eq!(ours.told(whose), Verdict::Overtaken);
            assert_eq!(ours, Ours::Waiting);
        }
        let mut ours = Ours::Sent;
        assert_eq!(ours.told(Told::Theirs), Verdict::Overtaken);
        assert_eq!(ours.told(Told::Older), Verdict::Overtaken);
        assert_eq!(ours.told(Told::Ours), Verdict::Ours);
        ours.seen(true);
        assert_eq!(ours, Ours::Set);
        assert_eq!(ours.told(Told::Ours), Verdict::Ours);
        assert_eq!(ours.told(Told::Theirs), Verdict::News);
        assert_eq!(ours, Ours::None);
    }

    #[test]
    fn one_that_was_ignored_waits_and_gives_way_to_news() {
        let mut ours = Ours::Sent;
        ours.seen(true);
        assert_eq!(ours, Ours::Ignored);
        let mut unfocused = ours;
        unfocused.focus_lost();
        assert_eq!(unfocused.told(Told::Theirs), Verdict::Overtaken);
        let mut crossed = Ours::Sent;
        crossed.focus_lost();
        crossed.seen(false);
        assert_eq!(crossed.told(Told::Theirs), Verdict::Overtaken);
        let mut late = ours;
        assert_eq!(late.told(Told::Ours), Verdict::Ours);
        assert_eq!(late, Ours::Set);
        assert_eq!(ours.told(Told::Theirs), Verdict::News);
    }

    #[test]
    fn one_that_is_cancelled_before_it_was_told_lets_what_was_kept_count() {
        let mut ours = Ours::Sent;
        assert_eq!(ours.told(Told::Theirs), Verdict::Overtaken);
        assert!(ours.cancelled());
        let mut ours = Ours::Set;
        // What took its place will be told.
        assert!(!ours.cancelled());
    }

    #[test]
    fn our_own_is_no_news_even_when_it_was_taken_back() {
        let mut ours = Ours::None;
        assert_eq!(ours.told(Told::Older), Verdict::Ours);
        assert_eq!(ours.told(Told::Theirs), Verdict::News);
    }
}
