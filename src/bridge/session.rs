//! Bringing the guest up, and up again: sessions come and go, the window stays.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use calloop::generic::Generic;
use calloop::{Interest, Mode, PostAction, RegistrationToken};
use futures_util::future::AbortHandle;
use tracing::{debug, info, warn};

use crate::bridge::Bridge;
use crate::error::Error;
use crate::guest::backoff::Backoff;
use crate::guest::{self, GuestError, InputRoute, Kind, Patience, Session};
use crate::input::ei::EiSink;
use crate::input::fingers::Fingers;
use crate::input::notify::NotifySink;
use crate::input::path::{Sink, SinkError};
use crate::input::place::Place;
use crate::input::wlr::WlrSink;
use crate::options::CursorMode;
use crate::video::cursor::Cursor;

/// So long the last input may take to reach the guest at the end.
pub const GOODBYE: Duration = Duration::from_millis(500);

/// How far the connection to the guest has come.
enum State {
    /// Nothing; another try at this time.
    Waiting(Instant),
    /// A session is being made.
    Making {
        /// Which one.
        number: u64,
        /// Stops trying.
        abort: AbortHandle,
        /// Then it has taken too long.
        until: Instant,
        /// What is wrong then.
        why: String,
    },
    /// There is one.
    Live {
        /// Which one.
        number: u64,
        /// Ends it when dropped.
        session: Box<Session>,
        /// The EIS socket in the loop.
        input: Option<RegistrationToken>,
    },
}

/// The guest's state over all its sessions.
pub struct Guest {
    state: State,
    last_number: u64,
    backoff: Backoff,
    /// Since when there has been no picture, and how long that may last.
    missing_since: Option<Instant>,
    limit: Option<Duration>,
    /// Why the last try failed; said aloud once per distinct reason.
    last_failure: Option<String>,
    /// What was found last; said aloud when it is something else.
    last_found: Option<(Kind, String)>,
}

impl Guest {
    /// No guest yet.
    pub fn new(now: Instant, limit: Option<Duration>) -> Self {
        Self {
            state: State::Waiting(now),
            last_number: 0,
            backoff: Backoff::default(),
            missing_since: Some(now),
            limit,
            last_failure: None,
            last_found: None,
        }
    }

    /// The session, if there is one.
    pub fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Live { session, .. } => Some(session),
            _ => None,
        }
    }

    /// The session's own connection to PipeWire, for its stream.
    pub fn take_remote(&mut self) -> Option<OwnedFd> {
        match &mut self.state {
            State::Live { session, .. } => session.remote.take(),
            _ => None,
        }
    }

    /// The guest sends pictures: failures start from the beginning.
    pub fn is_here(&mut self) {
        self.backoff.reset();
        self.missing_since = None;
        self.last_failure = None;
    }

    /// Whether there has been no picture since the bridge's start, or since the last session's end.
    pub fn is_missing(&self) -> bool {
        self.missing_since.is_some()
    }

    /// When [`Bridge::check_guest`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Waiting(until) => Some(*until),
            State::Making { until, .. } => Some(*until),
            State::Live { .. } => None,
        };
        let limit = self.missing_since.zip(self.limit).map(|(since, limit)| since + limit);
        own.into_iter().chain(limit).min()
    }

    /// Whether this session is there.
    pub fn is_live(&self, number: u64) -> bool {
        matches!(&self.state, State::Live { number: current, .. } if *current == number)
    }

    /// Whether this is the session that there is, or is being made.
    pub(super) fn is_current(&self, number: u64) -> bool {
        match &self.state {
            State::Waiting(_) => false,
            State::Making { number: current, .. } | State::Live { number: current, .. } => *current == number,
        }
    }
}

impl Bridge {
    /// Tries again when it is time, gives up when it is over.
    pub(super) fn check_guest(&mut self, now: Instant) {
        if let (Some(since), Some(limit)) = (self.guest.missing_since, self.guest.limit) {
            if now >= since + limit {
                let seconds = limit.as_secs_f64();
                let is_live = matches!(self.guest.state, State::Live { .. });
                let unanswered = match &self.guest.state {
                    State::Making { why, .. } => why,
                    State::Live { session, .. } => session.silence,
                    State::Waiting(_) => guest::SILENCE,
                };
                let end = if is_live && !self.cast.has_window() {
                    Error::Host(format!(
                        "the host gave the window no size within {seconds} s; is it frozen, or locked?"
                    ))
                } else {
                    let why = match &self.guest.last_failure {
                        Some(why) => why,
                        None => unanswered,
                    };
                    Error::Guest(format!("no guest within {seconds} s: {why}"))
                };
                self.end.get_or_insert(Err(end));
                return;
            }
        }
        match &self.guest.state {
            State::Waiting(until) if *until <= now => self.make_session(now),
            State::Making { until, why, .. } if *until <= now => {
                let why = why.clone();
                self.lose_session(&why);
            }
            _ => {}
        }
    }

    fn make_session(&mut self, now: Instant) {
        self.guest.last_number += 1;
        let number = self.guest.last_number;
        let events = Rc::clone(&self.session_events);
        let (abort, stop) = AbortHandle::new_pair();
        let report = move |event| events.borrow_mut().push_back(event);
        let Patience { limit, why } = self.options.guest.patience();
        let task = guest::start(self.options.guest, number, self.options.wishes(), stop, report);
        // The executor lives as long as the loop.
        if self.scheduler.schedule(task).is_err() {
            debug!("the executor is gone");
        }
        self.guest.state = State::Making { number, abort, until: now + limit, why };
    }

    /// A guest was found that was not named.
    pub(super) fn guest_found(&mut self, number: u64, kind: Kind, why: String) {
        self.session_waits(number, kind.patience());
        let found = Some((kind, why));
        if self.guest.is_current(number) && self.guest.last_found != found {
            self.guest.last_found = found;
            if let Some((kind, why)) = &self.guest.last_found {
                info!("the guest is {kind}: {why}");
            }
        }
    }

    /// Making the session takes its time.
    pub(super) fn session_waits(&mut self, number: u64, patience: Patience) {
        match &mut self.guest.state {
            State::Making { number: current, until, why, .. } if *current == number => {
                *until = Instant::now() + patience.limit;
                *why = patience.why;
            }
            _ => {}
        }
    }

    pub(super) fn session_made(&mut self, number: u64, mut session: Box<Session>) {
        if !self.guest.is_current(number) {
            return;
        }
        self.stats.sessions += 1;
        info!("session with {}", session.description);
        if !session.shows_pointer {
            self.stand_in_for_pointer();
        }
        let mut route = std::mem::replace(&mut session.input, InputRoute::None);
        let fingers = match &mut route {
            InputRoute::Eis { fingers, .. } => fingers.take().map(Fingers::new),
            _ => None,
        };
        let (sink, input) = self.open_input(route, session.place.clone()).unwrap_or_else(|error| {
            warn!("{error}; going on without input");
            (Sink::None, None)
        });
        self.input.attach(sink, fingers);
        let clipboard = session.clipboard.take();
        self.guest.state = State::Live { number, session, input };
        self.attach_clipboard(clipboard);
        self.tell_devices();
        self.set_guest_layout();
        self.connect_video();
    }

    /// The guest never tells of its pointer: the host can show one, though not the guest's.
    fn stand_in_for_pointer(&mut self) {
        match self.options.cursor {
            CursorMode::Host => self.host.set_cursor(Cursor::plain()),
            CursorMode::Embedded | CursorMode::Overlay => {
                info!("the guest's pictures are without its pointer; --cursor host shows a plain one over the window");
            }
            CursorMode::Hidden => {}
        }
    }

    /// The end of this way to the guest's input that events are put in, and its connection in the loop.
    fn open_input(&self, route: InputRoute, place: Place) -> Result<(Sink, Option<RegistrationToken>), SinkError> {
        Ok(match route {
            InputRoute::Eis { socket, scrolling, fingers: _ } => {
                let sink = EiSink::new(socket, place, scrolling)?;
                let token = self.watch_input(sink.context());
                (Sink::Ei(Box::new(sink)), token)
            }
            InputRoute::Wlr { socket, output } => {
                let sink = WlrSink::new(socket, output)?;
                let token = self.watch_input(sink.connection());
                (Sink::Wlr(Box::new(sink)), token)
            }
            InputRoute::Notify(calls) => (Sink::Notify(Box::new(NotifySink::new(calls))), None),
            InputRoute::None => (Sink::None, None),
        })
    }

    /// Reads the sink's connection when it has something.
    fn watch_input(&self, connection: impl AsFd + 'static) -> Option<RegistrationToken> {
        // Edge: a full socket wakes us once when it has room again, and never otherwise.
        let source = Generic::new(connection, Interest::BOTH, Mode::Edge);
        let token = self.handle.insert_source(source, |_, _, bridge: &mut Bridge| {
            if let Err(error) = bridge.input.read() {
                bridge.input_lost = Some(error);
                return Ok(PostAction::Remove);
            }
            Ok(PostAction::Continue)
        });
        token.ok()
    }

    pub(super) fn session_failed(&mut self, number: u64, error: &GuestError) {
        if !self.guest.is_current(number) {
            return;
        }
        self.lose_session(&error.to_string());
        if error.is_final() {
            self.end.get_or_insert(Err(Error::Guest(error.to_string())));
        }
    }

    pub(super) fn session_closed(&mut self, number: u64, why: &str) {
        if self.guest.is_current(number) {
            self.lose_session(why);
        }
    }

    /// The session is over: what is held is released, the picture stays, and another try follows.
    pub(super) fn lose_session(&mut self, why: &str) {
        if matches!(self.guest.state, State::Waiting(_)) {
            return;
        }
        let now = Instant::now();
        self.end_session();
        let pause = self.guest.backoff.next_pause();
        self.guest.state = State::Waiting(now + pause);
        self.guest.missing_since.get_or_insert(now);
        if self.guest.last_failure.as_deref() != Some(why) {
            warn!("{why}; trying again");
            self.guest.last_failure = Some(why.to_owned());
        }
        debug!(?pause, why, "session lost");
    }

    /// Takes everything of the session down, in order.
    pub(super) fn end_session(&mut self) {
        self.input.detach();
        self.detach_clipboard();
        self.input_lost = None;
        self.disconnect_video();
        match std::mem::replace(&mut self.guest.state, State::Waiting(Instant::now())) {
            State::Waiting(_) => {}
            State::Making { abort, .. } => abort.abort(),
            State::Live { session, input, .. } => {
                if let Some(token) = input {
                    self.handle.remove(token);
                }
                drop(session);
            }
        }
    }
}
