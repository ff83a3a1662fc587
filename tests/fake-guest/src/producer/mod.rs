//! Owns the fake cast stream: a PipeWire producer on a thread of its own, as Mutter's, that a test commands and observes.
//! It never links itself to anyone.

mod frame;
mod gpu;
mod memory;
mod options;
mod pods;
mod raw;
mod settled;
mod timeline;
mod worker;

use std::{
    io,
    os::unix::net::UnixStream,
    path::Path,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use pipewire as pw;

pub use frame::{Chunk, Cursor, Fill, Frame, Header, Pushed, Rect, coded_pixel, read_time_code, time_code};
pub use options::{
    Blocks, Dmabufs, Layout, Metas, Offer, OnEvent, Pixels, PlainMemory, ProducerEvent, ProducerOptions, Rate, Seal,
    Shape, SizePolicy, Timelines,
};
pub use pods::{FormatEvent, Negotiated};

use crate::wait::Watched;
use worker::{Animation, Job, Worker};

const ANSWER: Duration = Duration::from_secs(10);

/// A stream's state, as `enum pw_stream_state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// With PipeWire's message, e.g. "no more input formats".
    Error(String),
    /// Not connected, or the daemon is gone.
    Unconnected,
    /// Connecting.
    Connecting,
    /// Connected; not linked, or not all negotiated.
    Paused,
    /// Frames can flow.
    Streaming,
}

/// What a producer has seen and done.
#[derive(Debug, Clone, Default)]
pub struct ProducerState {
    /// The node on the daemon.
    pub node_id: Option<u32>,
    /// Every state, in order.
    pub states: Vec<State>,
    /// Every Format event, in order.
    pub formats: Vec<FormatEvent>,
    /// The link has agreed on the format in force and on its buffers.
    pub link_settled: bool,
    /// The consumer at the link's end has started.
    pub consumer_running: bool,
    /// Both, for a moment already: a frame sent now arrives. One sent before may be late or lost, as Mutter's may.
    pub settled: bool,
    /// Buffers there are now.
    pub buffers: usize,
    /// Buffers ever added.
    pub buffers_added: usize,
    /// Buffers ever removed.
    pub buffers_removed: usize,
    /// The mask (`1 << SPA_DATA_*`) left when both sides' Buffers params were intersected.
    pub data_types: u32,
    /// Buffers at home.
    pub free: usize,
    /// Of those at home, buffers whose release point is not signalled: they cannot be used again.
    pub unreleased: usize,
    /// Of those that are not, buffers whose release point is not signalled.
    pub unreleased_out: usize,
    /// Buffers queued and not yet back.
    pub out: usize,
    /// Frames queued.
    pub sent: u64,
    /// Frames of an animation that came sooner than the negotiated maxFramerate allows, as far as that limits at all:
    /// dropped, as Mutter does (43 to 48, and monitors in later versions).
    pub too_early: u64,
    /// Frames skipped since no buffer was free.
    pub skipped: u64,
    /// Frames refused since the stream was not STREAMING.
    pub not_streaming: u64,
    /// Errors of the daemon and of this producer.
    pub errors: Vec<String>,
    /// The thread has ended.
    pub ended: bool,
}

impl ProducerState {
    fn unsettle(&mut self) {
        self.link_settled = false;
        self.settled = false;
    }

    /// The state now.
    pub fn state(&self) -> State {
        self.states.last().cloned().unwrap_or(State::Unconnected)
    }

    /// Whether it is STREAMING now.
    pub fn is_streaming(&self) -> bool {
        self.state() == State::Streaming
    }

    /// The format in force: the last final one, unless it was taken away.
    pub fn format(&self) -> Option<Negotiated> {
        let last = self.formats.iter().rev().find(|event| !matches!(event, FormatEvent::Choice { .. }));
        match last {
            Some(FormatEvent::Fixed(format)) => Some(*format),
            _ => None,
        }
    }

    /// The format, if a frame sent now arrives.
    pub fn ready(&self) -> Option<Negotiated> {
        let ready = self.is_streaming() && self.settled && self.buffers > 0;
        self.format().filter(|_| ready)
    }

    /// Every final format, in order.
    pub fn negotiated(&self) -> Vec<Negotiated> {
        let fixed = |event: &FormatEvent| match event {
            FormatEvent::Fixed(format) => Some(*format),
            _ => None,
        };
        self.formats.iter().filter_map(fixed).collect()
    }
}

/// A running producer; its node goes away when dropped.
pub struct Producer {
    jobs: pw::channel::Sender<Job>,
    watch: Watched<ProducerState>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Producer").field(&self.state()).finish()
    }
}

impl Producer {
    /// Connects to the daemon at `socket` and makes the stream. The node's id comes later:
    /// [`node_id`](Self::node_id) waits for it.
    ///
    /// # Errors
    /// When the daemon cannot be reached.
    pub fn start(socket: &Path, options: ProducerOptions) -> io::Result<Self> {
        let connection = UnixStream::connect(socket)?;
        let (jobs, inbox) = pw::channel::channel();
        let watch = Watched::new(ProducerState::default());
        let state = watch.clone();
        let thread = thread::Builder::new().name("fake-guest-cast".into()).spawn(move || {
            let result = worker::run(connection, options, state.clone(), inbox);
            state.update(|s| {
                s.ended = true;
                s.errors.extend(result.err().map(|e| e.to_string()));
            });
        })?;
        Ok(Self { jobs, watch, thread: Some(thread) })
    }

    /// The state now.
    pub fn state(&self) -> ProducerState {
        self.watch.read(ProducerState::clone)
    }

    /// Waits until `look` gives a value.
    ///
    /// # Errors
    /// After `timeout`: what was seen.
    pub fn wait<R>(&self, look: impl FnMut(&ProducerState) -> Option<R>, timeout: Duration) -> Result<R, String> {
        self.watch.wait(look, timeout)
    }

    /// Waits for the node's id.
    ///
    /// # Errors
    /// After `timeout`: what was seen.
    pub fn node_id(&self, timeout: Duration) -> Result<u32, String> {
        self.wait(|s| s.node_id, timeout)
    }

    /// Waits until frames can flow, and gives the format.
    ///
    /// # Errors
    /// After `timeout`: what was seen.
    pub fn streaming(&self, timeout: Duration) -> Result<Negotiated, String> {
        self.wait(ProducerState::ready, timeout)
    }

    /// Waits until frames can flow at this size.
    ///
    /// # Errors
    /// After `timeout`: what was seen.
    pub fn streaming_at(&self, size: (u32, u32), timeout: Duration) -> Result<Negotiated, String> {
        self.wait(|s| s.ready().filter(|f| f.size == size), timeout)
    }

    /// Runs `job` on the producer's thread and gives its result; `None` when the thread has ended.
    fn on_thread<R: Send + 'static>(&self, job: impl FnOnce(&Worker) -> R + Send + 'static) -> Option<R> {
        if self.watch.read(|s| s.ended) {
            return None;
        }
        let (answer, result) = mpsc::channel();
        let job: Job = Box::new(move |worker| {
            let _ = answer.send(job(worker));
        });
        self.jobs.send(job).ok()?;
        result.recv_timeout(ANSWER).ok()
    }

    /// Pushes one frame.
    pub fn frame(&self, fill: Fill) -> Pushed {
        self.frame_with(fill, |_| {})
    }

    /// Pushes one frame that `bend` has changed: everything in it is right when `bend` gets it.
    pub fn frame_with(&self, fill: Fill, bend: impl FnOnce(&mut Frame) + Send + 'static) -> Pushed {
        self.on_thread(move |worker| worker.push(fill, bend)).unwrap_or(Pushed::NotStreaming)
    }

    /// Pushes one frame that is not drawn before [`draw`](Self::draw): its acquire point is not signalled.
    pub fn undrawn_frame(&self, fill: Fill) -> Pushed {
        self.frame_with(fill, |frame| frame.is_drawn = false)
    }

    /// Finishes every frame that was not drawn.
    pub fn draw(&self) {
        self.on_thread(Worker::draw);
    }

    /// Pushes one frame as soon as there is a stream and a free buffer, and gives its sequence number.
    ///
    /// # Errors
    /// After `timeout`: what was seen.
    pub fn send(&self, fill: Fill, timeout: Duration) -> Result<u64, String> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let ready = |s: &ProducerState| s.ready().filter(|_| s.free > s.unreleased);
            self.wait(ready, left)?;
            if self.watch.read(|s| s.ended) {
                return Err("the stream has ended".into());
            }
            // It may have changed since: a renegotiation passes through PAUSED.
            if let Pushed::Sent(seq) = self.frame(fill) {
                return Ok(seq);
            }
        }
    }

    /// Pushes `n` frames at once, coded 1, 2, 3 …
    pub fn burst(&self, n: u8) -> Vec<Pushed> {
        self.on_thread(move |worker| {
            let push = |i| worker.push(Fill::Coded(i), |_| {});
            (1..=n).map(push).collect()
        })
        .unwrap_or_default()
    }

    /// Pushes coded frames at this rate until [`stop`](Self::stop), counting up and around.
    pub fn animate(&self, hz: f64) {
        self.set_animation(hz, false);
    }

    /// Pushes frames of [`Fill::Time`] at this rate until [`stop`](Self::stop): nothing but their time is drawn, and none
    /// is too early.
    pub fn tick(&self, hz: f64) {
        self.set_animation(hz, true);
    }

    fn set_animation(&self, hz: f64, timed: bool) {
        let period = Duration::from_secs_f64(1.0 / hz);
        self.on_thread(move |worker| {
            worker.animation.set(Some(Animation { period, next: Instant::now(), frame: 0, timed }));
        });
    }

    /// Ends an animation: the picture stands still and nothing is sent.
    pub fn stop(&self) {
        self.on_thread(|worker| worker.animation.set(None));
    }

    /// Offers other formats, live.
    pub fn offer(&self, offers: Vec<Offer>) {
        self.on_thread(move |worker| {
            worker.options.borrow_mut().offers = offers;
            worker.offer();
        });
    }

    /// Changes any of the options and offers again: sizes, rates, metas, layout.
    pub fn reconfigure(&self, change: impl FnOnce(&mut ProducerOptions) + Send + 'static) {
        self.on_thread(move |worker| {
            change(&mut worker.options.borrow_mut());
            worker.offer();
        });
    }

    /// Takes every buffer away from the consumer, those it holds too, and gives it new ones: a renegotiation to the
    /// same format, as a monitor change makes. Gives back how many were removed.
    ///
    /// # Errors
    /// After `timeout`: what was seen.
    pub fn remove_buffers(&self, timeout: Duration) -> Result<usize, String> {
        self.streaming(timeout)?;
        let before = self.state();
        self.repeat_format();
        self.wait(
            |s| {
                let removed = s.buffers_removed - before.buffers_removed;
                let renewed = s.buffers_added - before.buffers_added;
                s.ready()?;
                (removed >= before.buffers && renewed >= before.buffers).then_some(removed)
            },
            timeout,
        )
    }

    /// Offers the same formats again: the consumer gets the format once more, and new buffers.
    pub fn repeat_format(&self) {
        self.on_thread(Worker::offer);
    }

    /// Ends the stream: its node goes away, and the thread with it. The last state stays readable.
    pub fn end(&self) {
        let quit: Job = Box::new(|worker| worker.quit.set(true));
        let _ = self.jobs.send(quit);
        let on_its_thread = self.thread.as_ref().is_some_and(|thread| thread.thread().id() == thread::current().id());
        if !on_its_thread {
            let _ = self.wait(|s| s.ended.then_some(()), ANSWER);
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let quit: Job = Box::new(|worker| worker.quit.set(true));
        let _ = self.jobs.send(quit);
        if let Some(thread) = self.thread.take() {
            // Dropped by its own event listener: the thread cannot wait for itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
    }
}
