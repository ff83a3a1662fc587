//! The loop, the one `match` where the paths meet, and the life cycle.
//!
//! Sources turn bytes into events and queue them; after every turn of the loop `Bridge::drain` takes
//! them in order. `wait` sleeps, `session` brings guests up again, `stream` settles with them what their frames are like,
//! `frames` moves frames, `pace` lets the guest draw them, `sync` holds those that are not drawn yet, `pointer` knows
//! where both pointers are.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use calloop::futures::Scheduler;
use calloop::signals::{Signal, Signals};
use calloop::{EventLoop, LoopHandle, RegistrationToken};
use tracing::{debug, info};
use wayland_client::EventQueue;

use crate::bridge::clipboard::Clipboard;
use crate::bridge::frames::Frames;
use crate::bridge::keys::Keys;
use crate::bridge::session::Guest;
use crate::bridge::starting::Starting;
use crate::bridge::stream::Cast;
use crate::clipboard::transfer::Outcome;
use crate::error::Error;
use crate::guest::SessionEvent;
use crate::host::{Host, HostEvent};
use crate::input::event::InputEvent;
use crate::input::path::{InputPath, SinkError};
use crate::options::{CursorMode, OnClose, Options};
use crate::stats::{Latencies, Report, Stats};
use crate::video::stream::VideoEvent;

mod clipboard;
mod devices;
mod frames;
mod keys;
mod pace;
mod pointer;
mod session;
mod starting;
mod stream;
mod sync;
mod wait;

/// So often the counters are told at debug level, while something happens.
const TELL: Duration = Duration::from_secs(10);

/// How the run ends.
type End = Result<(), Error>;

/// Everything there is, owned by the one loop.
pub struct Bridge {
    options: Options,
    handle: LoopHandle<'static, Bridge>,
    host: Host,
    /// The host's events, read but not handled.
    host_queue: EventQueue<Host>,
    guest: Guest,
    cast: Cast,
    frames: Frames,
    input: InputPath,
    keys: Keys,
    clipboard: Clipboard,
    stats: Stats,
    report: Option<Report>,
    /// When the counters were last told at debug level.
    told: Instant,
    scheduler: Scheduler<()>,
    session_events: Rc<RefCell<VecDeque<SessionEvent>>>,
    /// What the connection for input died of, noted by its source.
    input_lost: Option<SinkError>,
    /// When the host's events were read that are being handled.
    host_read: Instant,
    /// The host's socket takes nothing.
    host_blocked: bool,
    end: Option<End>,
}

impl Bridge {
    /// Runs until the window is closed, a signal comes, or nothing can go on.
    ///
    /// # Errors
    ///
    /// Why it ended other than as asked; see [`Error::exit_code`].
    pub fn run(options: Options) -> Result<(), Error> {
        // Before any thread exists, so that every thread has them blocked.
        let signals =
            Signals::new(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1]).context("signals cannot be handled")?;
        let keys = Keys::new(&options)?;
        let report = Report::open(&options, Instant::now())?;
        let mut stats = Stats::default();
        if report.is_some() {
            stats.latencies = Latencies::keep();
        }
        starting::are_two(&options)?;
        let mut starting = Starting::new(signals)?;
        let Some((host, host_queue)) = Host::connect(&options, &mut starting)? else { return Ok(()) };
        let mut event_loop = EventLoop::<Bridge>::try_new().context("no event loop")?;
        let handle = event_loop.handle();
        insert(&handle, starting.into_signals(), |event, _, bridge| {
            if event.signal() == Signal::SIGUSR1 {
                info!("counters: {}", bridge.stats);
                return;
            }
            info!("{:?}: ending", event.signal());
            bridge.end.get_or_insert(Ok(()));
        })?;
        let (executor, scheduler) = calloop::futures::executor().context("no executor")?;
        insert(&handle, executor, |(), _, _| {})?;

        let now = Instant::now();
        let pointer = options.pointer;
        let mut bridge = Self {
            guest: Guest::new(now, options.guest_limit()),
            cast: Cast::new(options.video),
            frames: Frames::default(),
            clipboard: Clipboard::new(&options),
            options,
            handle,
            host,
            host_queue,
            input: InputPath::new(pointer),
            keys,
            stats,
            report,
            told: now,
            scheduler,
            session_events: Rc::default(),
            input_lost: None,
            host_read: now,
            host_blocked: false,
            end: None,
        };
        if bridge.options.cursor == CursorMode::Overlay && !bridge.host.show_overlay() {
            info!("the host has no wl_subcompositor: the pointer is drawn into the frames, as --cursor embedded says");
            bridge.options.cursor = CursorMode::Embedded;
        }
        bridge.input.set_has_relative(bridge.host.has_relative_pointer());
        bridge.host.open_window(now);
        let end = bridge.turn(&mut event_loop);
        bridge.shut_down(&mut event_loop);
        end
    }

    /// Asks the host which GPU it draws on, and prints that: the path of its render node, `any` where it does not say, `none`
    /// where it has none.
    ///
    /// # Errors
    ///
    /// When the host cannot be reached, or nothing can be written.
    pub fn print_gpu(options: &Options) -> Result<(), Error> {
        let signals = Signals::new(&[Signal::SIGINT, Signal::SIGTERM]).context("signals cannot be handled")?;
        if let Some((host, _)) = Host::connect(options, &mut Starting::new(signals)?)? {
            writeln!(std::io::stdout(), "{}", host.gpu()).context("the answer cannot be written")?;
        }
        Ok(())
    }

    fn turn(&mut self, event_loop: &mut EventLoop<'static, Self>) -> End {
        loop {
            self.drain();
            if let Some(end) = self.end.take() {
                return end;
            }
            self.wait(event_loop)?;
        }
    }

    /// Handles everything that is queued, then what time has brought, and writes what that made.
    fn drain(&mut self) {
        self.host.check_sync(Instant::now());
        while let Some(event) = self.next_event() {
            match event {
                Event::Host(HostEvent::Input(event)) => self.host_input(event),
                Event::Host(HostEvent::Locks(locks)) => self.input.host_locks(locks),
                Event::Host(HostEvent::Keymap(keymap)) => self.host_keymap(keymap),
                Event::Host(HostEvent::Group(group)) => self.host_group(group),
                Event::Host(HostEvent::Locked(locked)) => self.input.set_locked(locked),
                Event::Host(HostEvent::Clipboard(event)) => self.host_clipboard(event),
                Event::Host(HostEvent::Resized(size)) => self.window_resized(size),
                Event::Host(HostEvent::CloseRequested) => self.close_requested(),
                Event::Host(HostEvent::FrameDone) => self.frame_done(),
                Event::Host(HostEvent::Presented { commit, at }) => self.stats.frame_presented(commit, at),
                Event::Host(HostEvent::Released(id)) => self.buffer_released(id),
                Event::Host(HostEvent::Imported(_)) => self.commit_waiting(),
                Event::Host(HostEvent::ImportRefused(id, negotiated)) => self.import_refused(id, negotiated),
                Event::Host(HostEvent::SyncLost) => self.sync_lost(),
                Event::Host(HostEvent::FormatsChanged) => self.host_formats_changed(),
                Event::Host(HostEvent::AnswersChanged) => self.offer_changes("the host's answers changed"),
                Event::Video(VideoEvent::Frame(frame)) => self.frame_arrived(frame),
                Event::Video(VideoEvent::Empty { tells_pointer }) => self.empty_arrived(tells_pointer),
                Event::Video(VideoEvent::SyncUnusable(why)) => self.sync_unusable(&why),
                Event::Video(VideoEvent::Cursor(cursor)) => self.host.set_cursor(cursor),
                Event::Video(VideoEvent::Pointer(place)) => self.guest_pointer_moved(place),
                Event::Video(VideoEvent::Asked) => self.frames.pacer.asked(),
                Event::Video(VideoEvent::Removed(id)) => self.buffer_removed(id),
                Event::Video(VideoEvent::Format(negotiated)) => self.format_settled(negotiated),
                Event::Video(VideoEvent::UnknownFormat) => {
                    self.lose_session("the guest chose a format that was not offered")
                }
                Event::Video(VideoEvent::Streaming) => self.stream_runs(true),
                Event::Video(VideoEvent::Paused) => self.stream_runs(false),
                Event::Video(VideoEvent::Lost(why)) => self.stream_lost(&why),
                Event::Session(SessionEvent::Found(number, kind, why)) => self.guest_found(number, kind, why),
                Event::Session(SessionEvent::Waits(number, patience)) => self.session_waits(number, patience),
                Event::Session(SessionEvent::Made(number, session)) => self.session_made(number, session),
                Event::Session(SessionEvent::Locks(number, locks)) => self.guest_locks(number, locks),
                Event::Session(SessionEvent::LayoutAnswered(number)) => self.layout_answered(number),
                Event::Session(SessionEvent::Failed(number, error)) => self.session_failed(number, &error),
                Event::Session(SessionEvent::Clipboard(number, event)) => self.guest_clipboard(number, event),
                Event::Session(SessionEvent::Closed(number, why)) => self.session_closed(number, &why),
                Event::Transferred(id, outcome) => self.transfer_done(id, outcome),
            }
        }
        if let Some(error) = self.input_lost.take() {
            self.lose_session(&error.to_string());
        }
        let now = Instant::now();
        self.host.check_output_patience(now);
        self.check_stream(now);
        self.check_frames(now);
        self.check_drawn(now);
        self.check_guest(now);
        self.check_clipboard(now);
        match self.input.pump(now) {
            Ok(Some((took, count))) => self.stats.latencies.input_sent(took, count),
            Ok(None) => {}
            Err(error) => self.lose_session(&error.to_string()),
        }
        self.update_lock();
        self.host.commit_overlay(now);
        self.stats.imports = self.host.imports();
        self.stats.input_sent = self.input.sent;
        self.flush_host();
        if let Some(report) = self.report.as_mut().filter(|report| now >= report.deadline()) {
            report.tell(now, &mut self.stats);
        }
        // With whatever woke us: telling is no reason to wake up.
        if now >= self.told + TELL {
            self.told = now;
            debug!("counters: {}", self.stats);
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        // Input first: it is what a person waits for.
        if let Some(event) = self.host.next_event() {
            return Some(Event::Host(event));
        }
        if let Some(event) = self.cast.next_event() {
            return Some(Event::Video(event));
        }
        if let Some((id, outcome)) = self.clipboard.next_done() {
            return Some(Event::Transferred(id, outcome));
        }
        self.session_events.borrow_mut().pop_front().map(Event::Session)
    }

    fn host_input(&mut self, event: InputEvent) {
        if !matches!(event, InputEvent::PointerFrame | InputEvent::TouchFrame) {
            self.stats.input_events += 1;
        }
        self.input.push(self.host_read, event);
    }

    fn close_requested(&mut self) {
        match self.options.on_close {
            OnClose::Exit => {
                info!("the host closed the window: ending");
                self.end.get_or_insert(Ok(()));
            }
            OnClose::Ignore => info!("the host asked to close the window; staying, as --on-close ignore says"),
        }
    }

    /// Without this, what is buffered would wait for the next event.
    fn flush_host(&mut self) {
        match self.host.flush() {
            Ok(flushed) => self.host_blocked = !flushed,
            Err(lost) => {
                self.end.get_or_insert(Err(Error::Host(lost)));
            }
        }
    }

    /// The earliest of all that waits for its time.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        let report = self.report.as_ref().map(Report::deadline);
        let host = [self.host.output_deadline(), self.host.sync_deadline(), self.host.overlay_deadline()];
        let others =
            [self.cast.deadline(), self.frames.deadline(), self.guest.deadline(), self.input.deadline(now), report];
        host.into_iter().chain(others).chain([self.clipboard.deadline()]).flatten().min()
    }

    /// Releases what is held, lets the guest hear of it, and says what was counted.
    fn shut_down(&mut self, event_loop: &mut EventLoop<'static, Self>) {
        self.input.release_all();
        let deadline = Instant::now() + session::GOODBYE;
        while !self.input.is_idle() && Instant::now() < deadline {
            if event_loop.dispatch(Some(session::GOODBYE / 10), self).is_err() {
                break;
            }
        }
        self.end_session();
        // The guest's side of the session is told to stop; a moment is enough.
        let _ = event_loop.dispatch(Some(Duration::ZERO), self);
        if let Some(report) = &mut self.report {
            report.tell(Instant::now(), &mut self.stats);
        }
        info!("counters: {}", self.stats);
    }
}

/// Everything that can happen, from whichever source.
#[allow(clippy::large_enum_variant, reason = "it lives for one turn of a loop, and is not kept")]
enum Event {
    Host(HostEvent),
    Video(VideoEvent),
    Session(SessionEvent),
    Transferred(u64, Outcome),
}

fn insert<S, F>(handle: &LoopHandle<'static, Bridge>, source: S, callback: F) -> Result<RegistrationToken, Error>
where
    S: calloop::EventSource + 'static,
    F: FnMut(S::Event, &mut S::Metadata, &mut Bridge) -> S::Ret + 'static,
{
    handle
        .insert_source(source, callback)
        .map_err(|failed| Error::Internal(anyhow::anyhow!("the loop took no source: {}", failed.error)))
}
