//! What applications that copy and paste do with the pipes they are given, the bad ones too.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};

/// Writes into a pipe that it is given; the fakes' `Writer`s are the same.
pub type Writer = Arc<dyn Fn(OwnedFd) + Send + Sync>;

/// An application that has this.
pub fn has(content: impl Into<Vec<u8>>) -> Writer {
    let content = content.into();
    Arc::new(move |into| {
        // Whoever asked may not want all of it.
        let _ = File::from(into).write_all(&content);
    })
}

/// An application that never writes what it says it has.
pub fn silent() -> Writer {
    Arc::new(|into| {
        // Until nobody reads any more.
        let _ = poll(&mut [PollFd::new(&into, PollFlags::empty())], None);
    })
}

/// Bytes that are different wherever one looks.
pub fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The first of what comes out of a pipe.
pub fn some(from: &OwnedFd) -> Vec<u8> {
    let mut chunk = vec![0; 4096];
    let count = rustix::io::read(from, &mut chunk).expect("a pipe");
    chunk.truncate(count);
    chunk
}

/// Everything that comes out of a pipe.
///
/// # Panics
/// When it has not ended in time.
pub fn all(from: OwnedFd, timeout: Duration) -> Vec<u8> {
    fcntl_setfl(&from, OFlags::NONBLOCK).expect("a pipe");
    let mut from = File::from(from);
    let until = Instant::now() + timeout;
    let (mut all, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return all,
            Ok(count) => all.extend(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let left = until.saturating_duration_since(Instant::now());
                assert!(!left.is_zero(), "after {timeout:?} the pipe has not ended, only {} bytes came", all.len());
                let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
                let _ = poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&left));
            }
            Err(error) => panic!("the pipe: {error}"),
        }
    }
}
