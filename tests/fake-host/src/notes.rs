//! The shared notebook between the host's thread, which writes, and the test, which reads and waits.
//! Never blocks the writer for longer than a look takes.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::seen::Seen;

/// Lines of log kept: enough for any failing test, bounded for long benches.
const LOG_LINES: usize = 4000;

#[derive(Debug)]
pub(crate) struct Notes {
    inner: Mutex<Inner>,
    changed: Condvar,
    born: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    seen: Seen,
    /// The writer is in the middle of something that readers must see whole or not at all.
    writing: bool,
}

/// While it lives, readers wait. See [`Notes::whole`].
pub(crate) struct Whole(Arc<Notes>);

impl Drop for Whole {
    fn drop(&mut self) {
        self.0.lock().writing = false;
        self.0.changed.notify_all();
    }
}

impl Notes {
    pub fn new() -> Self {
        Self { inner: Mutex::default(), changed: Condvar::new(), born: Instant::now() }
    }

    /// A predicate that panics must not take the host down with it.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is noted until the guard drops becomes readable at once: a commit, with its release
    /// and what it maps. Guards do not nest, and the writer must not look.
    pub fn whole(self: &Arc<Self>) -> Whole {
        self.lock().writing = true;
        Whole(self.clone())
    }

    pub fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        let inner = self.changed.wait_while(self.lock(), |inner| inner.writing).unwrap_or_else(PoisonError::into_inner);
        look(&inner.seen)
    }

    pub fn note<T>(&self, change: impl FnOnce(&mut Seen) -> T) -> T {
        let result = change(&mut self.lock().seen);
        self.changed.notify_all();
        result
    }

    pub fn log(&self, line: &str) {
        tracing::debug!("{line}");
        let at = self.born.elapsed();
        self.note(|seen| {
            if seen.log.len() >= 2 * LOG_LINES {
                seen.log.drain(..LOG_LINES);
            }
            seen.log.push(format!("[{:9.3}] {line}", at.as_secs_f64()));
        });
    }

    pub fn oddity(&self, line: String) {
        self.log(&line);
        self.note(|seen| seen.oddities.push(line));
    }

    /// Looks at once and after every change until there is an answer or the time is up.
    pub fn wait<T>(&self, mut look: impl FnMut(&Seen) -> Option<T>, timeout: Duration) -> Result<T, String> {
        let deadline = Instant::now() + timeout;
        let mut inner = self.lock();
        loop {
            if !inner.writing
                && let Some(answer) = look(&inner.seen)
            {
                return Ok(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(inner.seen.to_string());
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What a predicate of [`crate::FakeHost::wait`] may answer: `bool`, or `Option` of something.
pub trait Answer {
    /// What `wait` returns.
    type Out;
    /// `None` to go on waiting.
    fn answer(self) -> Option<Self::Out>;
}

impl Answer for bool {
    type Out = ();
    fn answer(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Answer for Option<T> {
    type Out = T;
    fn answer(self) -> Self {
        self
    }
}
