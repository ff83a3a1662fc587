//! Sleeping until something happens. The host's socket and PipeWire's loop, which carry every frame, and the alarm of
//! frames that are being drawn are looked at here; all that is rarer is in calloop's loop, which is one descriptor more.
//!
//! A turn of calloop's loop allocates and makes four system calls besides the one that waits; a frame takes three turns.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use calloop::EventLoop;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::bridge::{Bridge, End};
use crate::error::Error;

impl Bridge {
    /// Sleeps until something happens or has to, and lets every source that woke us queue what it has.
    ///
    /// # Errors
    ///
    /// The host is gone.
    pub(super) fn wait(&mut self, event_loop: &mut EventLoop<'static, Self>) -> End {
        let now = Instant::now();
        let timeout = self.deadline(now).and_then(|at| Timespec::try_from(at.saturating_duration_since(now)).ok());
        let [host, video, drawn, others] = match self.sleep(event_loop, timeout) {
            Ok(woken) => woken,
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(Error::Internal(anyhow::anyhow!("nothing can be waited for: {errno}"))),
        };
        if host {
            self.host_read = Instant::now();
            self.host.read().map_err(Error::Host)?;
            let handled = self.host_queue.dispatch_pending(&mut self.host);
            handled.map_err(|error| Error::Host(self.host.lost(&error)))?;
        }
        if video {
            self.cast.iterate();
        }
        if drawn {
            self.frames.drawing.woken();
        }
        if others {
            let turned = event_loop.dispatch(Some(Duration::ZERO), self);
            turned.map_err(|error| Error::Internal(anyhow::Error::new(error).context("the event loop failed")))?;
        }
        Ok(())
    }

    /// Which of the host, PipeWire, the alarm and calloop's loop have something, errors included.
    fn sleep(&self, others: &impl AsFd, timeout: Option<Timespec>) -> Result<[bool; 4], Errno> {
        let host = self.host.as_fd();
        let interest = if self.host_blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let video = self.cast.loop_fd();
        let drawn = self.frames.drawing.alarm_fd();
        // Where there is none the host's socket stands in, for nothing.
        let nothing = || PollFd::from_borrowed_fd(host, PollFlags::empty());
        let read = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = [
            PollFd::from_borrowed_fd(host, interest),
            video.map_or_else(nothing, read),
            drawn.map_or_else(nothing, read),
            PollFd::new(others, PollFlags::IN),
        ];
        rustix::event::poll(&mut fds, timeout.as_ref())?;
        let reads = |fd: &PollFd<'_>| fd.revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        Ok(fds.each_ref().map(reads))
    }
}
