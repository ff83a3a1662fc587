//! The way to the guest's clipboard: what the bridge asks of it, in order. The task that owns the connection answers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::clipboard::mimes::Mimes;

/// More than can be under way at once: a guest that leaves so many unanswered is frozen.
const MOST: usize = 64;

/// One thing asked of the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Own the guest's clipboard and offer this, or give up owning it. Reported as
    /// [`Offered`](crate::clipboard::GuestClipboard::Offered).
    Offer(Option<Mimes>),
    /// Read what the guest's owner has of this type. One at a time: Mutter reads nothing beside it.
    Read(String),
    /// Open the way for the answer to this question.
    Write(u32),
    /// This question gets no answer.
    Refuse(u32),
    /// All that will come has been written; whether that is all there is.
    Written(u32, bool),
}

#[derive(Debug, Default)]
struct Queue {
    asks: VecDeque<Ask>,
    waker: Option<Waker>,
}

/// Both ends share it on one thread.
#[derive(Clone, Debug, Default)]
pub struct Asks(Rc<RefCell<Queue>>);

impl Asks {
    /// Asks for this after all that was asked before; false when the guest has left too much unanswered.
    #[must_use]
    pub fn push(&self, ask: Ask) -> bool {
        let mut queue = self.0.borrow_mut();
        if queue.asks.len() == MOST {
            return false;
        }
        queue.asks.push_back(ask);
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
        true
    }

    /// The next, as soon as there is one.
    pub async fn next(&self) -> Ask {
        std::future::poll_fn(|context| {
            let mut queue = self.0.borrow_mut();
            match queue.asks.pop_front() {
                Some(ask) => Poll::Ready(ask),
                None => {
                    queue.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_answers_nothing_is_not_asked_for_ever() {
        let asks = Asks::default();
        assert_eq!((0..1000).filter(|serial| asks.push(Ask::Write(*serial))).count(), MOST);
    }
}
