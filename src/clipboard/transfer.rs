//! Bytes from one pipe into another, moved by the kernel (splice): bounded in size, and in the time that nothing moves.
//!
//! A turn of the loop moves a pipe's content at most, so that frames and input come in between.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use calloop::LoopHandle;
use calloop::io::Async;
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

/// What a turn of the loop moves at most: what a pipe holds unless told otherwise.
const CHUNK: usize = 64 << 10;

/// A transfer that moves nothing for so long is over.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The same for one that others have to wait for, while it is the reader who does nothing, or what it moves is out of date.
pub const IMPATIENCE: Duration = Duration::from_secs(1);

/// Who is to do something next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The owner, to write.
    Owner,
    /// Whoever asked, to read.
    Reader,
}

/// How a transfer stands, for whoever watches it.
#[derive(Clone, Debug)]
pub struct Progress(Rc<Cell<(Instant, WaitsFor)>>);

impl Progress {
    /// Begins now.
    pub fn new(now: Instant) -> Self {
        Self(Rc::new(Cell::new((now, WaitsFor::Owner))))
    }

    fn moved(&self) {
        self.0.set((Instant::now(), WaitsFor::Owner));
    }

    fn waits_for(&self, whom: WaitsFor) {
        self.0.set((self.0.get().0, whom));
    }

    /// Who keeps it waiting.
    pub fn waits_for_whom(&self) -> WaitsFor {
        self.0.get().1
    }

    /// When it is over if nothing moves; sooner where others wait for its end and the reader does nothing, or nobody may want
    /// it any more.
    pub fn deadline(&self, is_in_the_way: bool, is_stale: bool) -> Instant {
        let (moved, whom) = self.0.get();
        moved + if is_in_the_way && (is_stale || whom == WaitsFor::Reader) { IMPATIENCE } else { PATIENCE }
    }
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The owner closed its end: so many bytes.
    Complete(u64),
    /// There is more than the limit; as much as that was handed over.
    TooLarge,
    /// Whoever asked does not want it any more.
    Unwanted,
    /// The kernel says no.
    Failed(Errno),
}

/// A pipe's or socket's end, as the loop watches it.
///
/// # Errors
///
/// What it is that cannot be watched: a file, say.
pub fn watch<Data>(handle: &LoopHandle<'static, Data>, end: OwnedFd) -> Result<Async<'static, OwnedFd>, String> {
    let kind = rustix::fs::fstat(&end).map(|stat| FileType::from_raw_mode(stat.st_mode));
    match kind {
        // Others cannot be waited for, or not be spliced.
        Ok(FileType::Fifo | FileType::Socket) => handle.adapt_io(end).map_err(|error| error.to_string()),
        Ok(other) => Err(format!("not a pipe but a {other:?}")),
        Err(errno) => Err(errno.to_string()),
    }
}

/// Moves everything from a pipe into a pipe or socket until the first ends, at most `limit` bytes.
pub async fn transfer(
    mut from: Async<'static, OwnedFd>,
    mut into: Async<'static, OwnedFd>,
    limit: u64,
    progress: Progress,
) -> Outcome {
    let mut left = limit;
    loop {
        progress.waits_for(WaitsFor::Owner);
        from.readable().await;
        if left == 0 {
            match rustix::io::read(from.get_mut().as_fd(), &mut [0; 1]) {
                Ok(0) => return Outcome::Complete(limit),
                Ok(_) => return Outcome::TooLarge,
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(errno) => return Outcome::Failed(errno),
            }
        }
        // Bounded by CHUNK.
        let most = left.min(CHUNK as u64) as usize;
        let mut moved = splice(&mut from, &mut into, most);
        if moved == Err(Errno::AGAIN) {
            // Either has nothing, or the other no room: if it is not the latter, it is the former.
            progress.waits_for(WaitsFor::Reader);
            into.writable().await;
            moved = splice(&mut from, &mut into, most);
        }
        match moved {
            Ok(0) => return Outcome::Complete(limit - left),
            Ok(count) => {
                left -= count as u64;
                progress.moved();
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Outcome::Unwanted,
            Err(errno) => return Outcome::Failed(errno),
        }
    }
}

fn splice(from: &mut Async<'static, OwnedFd>, into: &mut Async<'static, OwnedFd>, most: usize) -> Result<usize, Errno> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    rustix::pipe::splice(from.get_mut().as_fd(), None, into.get_mut().as_fd(), None, most, flags)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::rc::Rc;
    use std::thread;

    use calloop::EventLoop;
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    /// What comes out, and how it ends, when `write` has one end of a transfer and everything is read from the other.
    fn through(limit: u64, write: impl FnOnce(File) + Send + 'static) -> (Vec<u8>, Outcome) {
        let mut events = EventLoop::<Option<Outcome>>::try_new().unwrap();
        let (executor, scheduler) = calloop::futures::executor().unwrap();
        events.handle().insert_source(executor, |outcome, _, done| *done = Some(outcome)).unwrap();
        let pipe = || pipe_with(PipeFlags::CLOEXEC).unwrap();
        let ((from, owner), (reader, into)) = (pipe(), pipe());
        let owner = thread::spawn(move || write(File::from(owner)));
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            File::from(reader).read_to_end(&mut all).unwrap();
            all
        });
        let ends = [from, into].map(|end| watch(&events.handle(), end).unwrap());
        let [from, into] = ends;
        scheduler.schedule(transfer(from, into, limit, Progress::new(Instant::now()))).unwrap();
        let mut done = None;
        while done.is_none() {
            events.dispatch(None, &mut done).unwrap();
        }
        owner.join().unwrap();
        (reader.join().unwrap(), done.unwrap())
    }

    #[test]
    fn all_sizes_up_to_the_limit_pass_whole() {
        const LIMIT: u64 = 1 << 20;
        for size in [0, 1, 4095, CHUNK as u64, CHUNK as u64 + 1, LIMIT - 1, LIMIT] {
            let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let written = content.clone();
            let (read, outcome) = through(LIMIT, move |mut owner| owner.write_all(&written).unwrap());
            assert_eq!(outcome, Outcome::Complete(size));
            assert!(read == content, "{size} bytes");
        }
    }

    #[test]
    fn one_byte_too_many_is_too_large() {
        let (read, outcome) = through(100_000, |mut owner| {
            // Fails or not, as it happens: the other end may be closed already.
            let _ = owner.write_all(&[7; 100_001]);
        });
        assert_eq!(outcome, Outcome::TooLarge);
        assert_eq!(read.len(), 100_000);
    }

    #[test]
    fn drops_arrive_as_they_come() {
        let (read, outcome) = through(u64::MAX, |mut owner| {
            for byte in 0..=255 {
                owner.write_all(&[byte]).unwrap();
                thread::yield_now();
            }
        });
        assert_eq!(outcome, Outcome::Complete(256));
        assert_eq!(read, (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn what_cannot_be_waited_for_is_refused() {
        let events = EventLoop::<()>::try_new().unwrap();
        let file = tempfile::tempfile().unwrap();
        assert!(watch(&events.handle(), file.into()).is_err());
        assert!(watch(&events.handle(), File::open("/dev/null").unwrap().into()).is_err());
    }

    #[test]
    fn only_readers_that_are_in_the_way_are_hurried() {
        let now = Instant::now();
        let progress = Progress(Rc::new(Cell::new((now, WaitsFor::Reader))));
        assert_eq!(progress.deadline(false, true), now + PATIENCE);
        assert_eq!(progress.deadline(true, false), now + IMPATIENCE);
        progress.waits_for(WaitsFor::Owner);
        assert_eq!(progress.deadline(true, false), now + PATIENCE);
        assert_eq!(progress.deadline(true, true), now + IMPATIENCE);
    }
}
