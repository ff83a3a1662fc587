//! Owns the one way tests wait here: state behind a mutex, and a condition variable told of each change.
//! It never polls and never sleeps; a wait that fails says what the state was.

use std::{
    fmt::Debug,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// State that threads change and tests wait on. Cloning shares it.
pub struct Watched<T> {
    inner: Arc<(Mutex<T>, Condvar)>,
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T> Watched<T> {
    /// Starts with `state`.
    pub fn new(state: T) -> Self {
        Self { inner: Arc::new((Mutex::new(state), Condvar::new())) }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        // A test that panicked while looking must not hide the state from the others.
        self.inner.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Changes the state and wakes everyone who waits on it.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.inner.1.notify_all();
        result
    }

    /// Looks at the state.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }
}

impl<T: Debug> Watched<T> {
    /// Waits until `look` gives a value.
    ///
    /// # Errors
    /// After `timeout`: the state as it was then, for the test's failure message.
    pub fn wait<R>(&self, mut look: impl FnMut(&T) -> Option<R>, timeout: Duration) -> Result<R, String> {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("not within {timeout:?}; seen: {:#?}", *state));
            }
            state = self.inner.1.wait_timeout(state, left).unwrap_or_else(|e| e.into_inner()).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_sees_a_change_made_by_another_thread() {
        let number = Watched::new(0);
        let other = number.clone();
        let thread = std::thread::spawn(move || other.update(|n| *n = 7));
        let seen = number.wait(|n| (*n == 7).then_some(*n), Duration::from_secs(5));
        assert_eq!(seen, Ok(7));
        thread.join().unwrap();
    }

    #[test]
    fn a_failed_wait_says_what_was_seen() {
        let error = Watched::new("only this").wait(|_| None::<()>, Duration::ZERO).unwrap_err();
        assert!(error.contains("only this"), "{error}");
    }
}
