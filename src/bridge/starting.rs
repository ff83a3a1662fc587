//! Before there is a bridge: whether host and guest are two, and signals that come while the host is waited for.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use calloop::signals::{Signal, Signals};
use calloop::{Dispatcher, EventLoop, RegistrationToken};
use tracing::info;

use crate::error::Error;
use crate::guest::wlroots;
use crate::host::answer::Stop;
use crate::host::connect::socket_path;
use crate::options::Options;

/// A window that shows the desktop that it is in would show itself.
///
/// # Errors
///
/// When the guest's socket is the host's.
pub(super) fn are_two(options: &Options) -> Result<(), Error> {
    let Some(name) = &options.guest_socket else { return Ok(()) };
    let dir = || std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    match (socket_path(options.host.as_deref(), dir()), wlroots::socket::path(name, dir())) {
        (Ok(host), Ok(guest)) if wlroots::socket::is_same(&host, &guest) => Err(Error::Usage(format!(
            "--guest-socket {} is the host's own socket; name the guest's, by its absolute path to be sure",
            name.display()
        ))),
        // Whoever connects says what else is wrong.
        _ => Ok(()),
    }
}

/// A loop of signals alone.
pub(super) struct Starting {
    event_loop: EventLoop<'static, bool>,
    signals: Dispatcher<'static, Signals, bool>,
    token: RegistrationToken,
}

impl Starting {
    /// Watches these.
    pub fn new(signals: Signals) -> Result<Self, Error> {
        let event_loop = EventLoop::try_new().context("no event loop")?;
        let signals = Dispatcher::new(signals, |event: calloop::signals::Event, (), asked: &mut bool| {
            // There is nothing to count yet.
            if event.signal() != Signal::SIGUSR1 {
                info!("{:?}: ending", event.signal());
                *asked = true;
            }
        });
        let token = event_loop.handle().register_dispatcher(signals.clone()).context("signals cannot be watched")?;
        Ok(Self { event_loop, signals, token })
    }

    /// The signals again, for the loop that follows.
    pub fn into_signals(self) -> Signals {
        self.event_loop.handle().remove(self.token);
        drop(self.event_loop);
        self.signals.into_source_inner()
    }
}

impl AsFd for Starting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event_loop.as_fd()
    }
}

impl Stop for Starting {
    fn is_asked(&mut self) -> bool {
        let mut asked = false;
        // Signals that cannot be read are no reason to end.
        let _ = self.event_loop.dispatch(Some(Duration::ZERO), &mut asked);
        asked
    }
}
