//! Which frame goes to the host next, and which go back to the guest unseen. Pure.
//!
//! The newest frame wins and goes at once, but with two commits unanswered by frame callbacks it waits
//! here, where a newer one can still take its place.

/// So many commits may be unanswered by frame callbacks.
pub const MAX_UNANSWERED: u32 = 2;

/// The one waiting frame, and how many commits the host has not answered.
#[derive(Debug)]
pub struct Mailbox<F> {
    waiting: Option<F>,
    unanswered: u32,
}

impl<F> Default for Mailbox<F> {
    fn default() -> Self {
        Self { waiting: None, unanswered: 0 }
    }
}

impl<F> Mailbox<F> {
    /// Puts in the newest frame; what it overtook goes back to the guest.
    #[must_use = "the overtaken frame has to go back to the guest"]
    pub fn put(&mut self, frame: F) -> Option<F> {
        self.waiting.replace(frame)
    }

    /// Whether the host can take a frame now.
    pub fn is_open(&self) -> bool {
        self.unanswered < MAX_UNANSWERED
    }

    /// The frame to commit now, if there is one and `ready` says that it can be.
    pub fn take_if(&mut self, ready: impl FnOnce(&F) -> bool) -> Option<F> {
        if !self.is_open() {
            return None;
        }
        self.waiting.take_if(|frame| ready(frame))
    }

    /// The frame that waits.
    pub fn waiting(&self) -> Option<&F> {
        self.waiting.as_ref()
    }

    /// A commit with a frame callback was made.
    pub fn committed(&mut self) {
        self.unanswered += 1;
    }

    /// A frame callback came.
    pub fn answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// Takes out the waiting frame when `gone` says so: its buffer was removed, or the stream ended.
    #[must_use = "the frame has to go back to the guest if its buffer lives"]
    pub fn discard_if(&mut self, gone: impl FnOnce(&F) -> bool) -> Option<F> {
        self.waiting.take_if(|frame| gone(frame))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Frame,
        Callback,
        Remove,
    }

    proptest! {
        #[test]
        fn every_frame_leaves_once_and_none_is_overtaken(
            steps in proptest::collection::vec(
                prop_oneof![3 => Just(Step::Frame), 2 => Just(Step::Callback), 1 => Just(Step::Remove)], 0..300)
        ) {
            let mut mailbox = Mailbox::default();
            let (mut next, mut last, mut left, mut open) = (0u32, None, 0u32, 0u32);
            for step in steps {
                match step {
                    Step::Frame => {
                        left += u32::from(mailbox.put(next).is_some());
                        next += 1;
                    }
                    Step::Callback => {
                        mailbox.answered();
                        open = open.saturating_sub(1);
                    }
                    Step::Remove => left += u32::from(mailbox.discard_if(|_| true).is_some()),
                }
                while let Some(frame) = mailbox.take_if(|_| true) {
                    prop_assert!(last.is_none_or(|last| last < frame));
                    last = Some(frame);
                    left += 1;
                    mailbox.committed();
                    open += 1;
                    prop_assert!(open <= MAX_UNANSWERED);
                }
                prop_assert_eq!(left + u32::from(mailbox.waiting().is_some()), next);
                // A frame waits only while the host owes two answers.
                prop_assert!(mailbox.waiting().is_none() || open == MAX_UNANSWERED);
            }
        }
    }
}
