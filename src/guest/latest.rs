//! A wish on its way to a session's task: the newest one counts. Both ends share it on one thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Poll, Waker};

#[derive(Debug)]
struct Slot<T> {
    waiting: Option<T>,
    waker: Option<Waker>,
}

/// Both ends of the way.
#[derive(Debug)]
pub struct Latest<T>(Rc<RefCell<Slot<T>>>);

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(Slot { waiting: None, waker: None })))
    }
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Latest<T> {
    /// Puts this in the place of what still waits.
    pub fn set(&self, wish: T) {
        let mut slot = self.0.borrow_mut();
        slot.waiting = Some(wish);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }

    /// Takes out what waits.
    pub fn take(&self) -> Option<T> {
        self.0.borrow_mut().waiting.take()
    }

    /// The next one, as soon as there is one.
    pub async fn next(&self) -> T {
        std::future::poll_fn(|context| match self.take() {
            Some(wish) => Poll::Ready(wish),
            None => {
                self.0.borrow_mut().waker = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}
