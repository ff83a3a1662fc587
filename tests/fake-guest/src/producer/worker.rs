//! Owns the producer's PipeWire thread: the stream, its negotiation and its buffers.
//! It never steals a buffer from the consumer, and decides nothing that a test has not configured.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    os::unix::net::UnixStream,
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

use libspa::{pod::Pod, sys, utils::Direction};
use pipewire as pw;
use pw::{
    loop_::Timeout,
    stream::{Stream, StreamFlags, StreamRc, StreamState},
};
use rustix::time::{ClockId, clock_gettime};

use super::{
    ProducerState, State,
    frame::{Chunk, Fill, Frame, Header, Pushed},
    memory::{Memory, Slot, pages},
    options::{Blocks, Dmabufs, Layout, PlainMemory, ProducerEvent, ProducerOptions, Seal, Timelines},
    pods::{self, FormatEvent, Negotiated, Place},
    raw::{self, Raw},
    settled::Settled,
    timeline::Timeline,
};
use crate::wait::Watched;

/// How often returned buffers are looked for: libpipewire has no event for it in a driver's stream.
const LOOK: Duration = Duration::from_millis(4);

/// How long a stream must have been ready before a frame is sure to arrive, and to keep its buffer until it is returned:
/// the daemon reports a consumer as running a little before its thread is woken by the producer's cycles. (Seen: frames
/// sent within 0.1 ms of it are delivered late, and their buffer comes home while the consumer holds it.)
const SETTLE: Duration = Duration::from_millis(25);

/// Something to do on the producer's thread.
pub(crate) type Job = Box<dyn FnOnce(&Worker) + Send>;

pub(crate) struct Worker {
    stream: StreamRc,
    pub(crate) options: RefCell<ProducerOptions>,
    watch: Watched<ProducerState>,
    inner: RefCell<Inner>,
    pub(crate) quit: Cell<bool>,
    pub(crate) animation: Cell<Option<Animation>>,
    calm_since: Cell<Option<Instant>>,
    /// When the last frame of an animation was sent.
    recorded: Cell<Option<Instant>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Animation {
    pub(crate) period: Duration,
    pub(crate) next: Instant,
    pub(crate) frame: u8,
    pub(crate) timed: bool,
}

#[derive(Default)]
struct Inner {
    format: Option<Negotiated>,
    streaming: bool,
    slots: HashMap<Raw, Vec<Slot>>,
    free: VecDeque<Raw>,
    synced: HashMap<Raw, Synced>,
    shared: Option<(Rc<Memory>, usize)>,
    seq: u64,
}

/// A buffer's timelines.
struct Synced {
    timeline: Timeline,
    /// `None` when the release points are on the same.
    releases: Option<Timeline>,
    /// The points of its last frame.
    acquire: u64,
    release: u64,
}

impl Inner {
    /// Whether nobody reads it any more, as far as its timeline says.
    fn is_released(&self, buffer: Raw) -> bool {
        let reached = |it: &Synced| it.releases.as_ref().unwrap_or(&it.timeline).has_reached(it.release);
        self.synced.get(&buffer).is_none_or(reached)
    }
}

/// Runs until a job sets `quit`.
pub(crate) fn run(
    connection: UnixStream,
    options: ProducerOptions,
    watch: Watched<ProducerState>,
    inbox: pw::channel::Receiver<Job>,
) -> Result<(), pw::Error> {
    pw::init();
    let main_loop = pw::main_loop::MainLoopRc::new(None)?;
    let context = pw::context::ContextRc::new(&main_loop, None)?;
    let core = context.connect_fd_rc(connection.into(), None)?;
    let lost = watch.clone();
    let _core = core
        .add_listener_local()
        .error(move |id, _seq, res, message| {
            lost.update(|s| s.errors.push(format!("object {id}: {res} {message}")));
        })
        .register();

    let settled = Settled::watch(&core, &watch)?;
    let props = pw::properties::properties! {
        "node.name" => options.name.as_str(),
        "media.class" => options.media_class.as_str(),
        "media.type" => "Video",
        "media.category" => "Source",
    };
    let stream = StreamRc::new(core, &options.name, props)?;
    let mut flags = StreamFlags::DRIVER;
    flags |= match options.plain {
        PlainMemory::MemFd => StreamFlags::ALLOC_BUFFERS,
        PlainMemory::MemPtr => StreamFlags::MAP_BUFFERS,
    };
    let worker = Rc::new(Worker {
        stream: stream.clone(),
        options: RefCell::new(options),
        watch,
        inner: RefCell::default(),
        quit: Cell::new(false),
        animation: Cell::new(None),
        calm_since: Cell::new(None),
        recorded: Cell::new(None),
    });
    let listener = listen(&stream, &worker)?;
    let offers = pods::offers(&worker.options.borrow());
    stream.connect(Direction::Output, None, flags, &mut pods::as_pods(&offers))?;

    let jobs = worker.clone();
    let attached = inbox.attach(main_loop.loop_(), move |job: Job| job(&jobs));
    while !worker.quit.get() {
        main_loop.loop_().iterate(Timeout::Finite(worker.patience()));
        worker.tick();
    }
    drop(attached);
    drop(settled);
    // The listener is part of the stream's hook list: it has to go first.
    drop(listener);
    let _ = stream.disconnect();
    Ok(())
}

fn listen(stream: &StreamRc, worker: &Rc<Worker>) -> Result<pw::stream::StreamListener<Weak<Worker>>, pw::Error> {
    stream
        .add_local_listener_with_user_data(Rc::downgrade(worker))
        .state_changed(|stream, worker, _old, new| {
            if let Some(worker) = worker.upgrade() {
                worker.state_changed(stream, new);
            }
        })
        .param_changed(|stream, worker, id, pod| {
            if let Some(worker) = worker.upgrade()
                && id == sys::SPA_PARAM_Format
            {
                worker.format_changed(stream, pod);
            }
        })
        .add_buffer(|_stream, worker, buffer| {
            if let Some(worker) = worker.upgrade() {
                worker.add_buffer(Raw(buffer));
            }
        })
        .remove_buffer(|_stream, worker, buffer| {
            if let Some(worker) = worker.upgrade() {
                worker.remove_buffer(Raw(buffer));
            }
        })
        .process(|_stream, worker| {
            if let Some(worker) = worker.upgrade() {
                worker.collect();
            }
        })
        .register()
}

impl Worker {
    fn event(&self, event: ProducerEvent) {
        let listener = self.options.borrow().on_event.clone();
        if let Some(listener) = listener {
            (listener.0)(event);
        }
    }

    fn state_changed(&self, stream: &Stream, new: StreamState) {
        let state = match new {
            StreamState::Error(message) => State::Error(message),
            StreamState::Unconnected => State::Unconnected,
            StreamState::Connecting => State::Connecting,
            StreamState::Paused => State::Paused,
            StreamState::Streaming => State::Streaming,
        };
        let streaming = state == State::Streaming;
        let lost = matches!(state, State::Unconnected | State::Error(_));
        let was_streaming = {
            let mut inner = self.inner.borrow_mut();
            std::mem::replace(&mut inner.streaming, streaming)
        };
        let node = match stream.node_id() {
            u32::MAX => None,
            id => Some(id),
        };
        let first = self.watch.update(|s| {
            s.states.push(state);
            let first = s.node_id.is_none();
            s.node_id = s.node_id.or(node);
            first
        });
        if let Some(node) = node.filter(|_| first) {
            self.event(ProducerEvent::Node(node));
        }
        if streaming {
            self.collect();
            self.event(ProducerEvent::Streaming);
        } else if was_streaming {
            self.watch.update(|s| s.settled = false);
            self.event(ProducerEvent::Stopped);
        }
        if lost {
            self.event(ProducerEvent::Lost);
        }
    }

    fn format_changed(&self, stream: &Stream, pod: Option<&Pod>) {
        let read = match pod {
            None => Some(FormatEvent::Cleared),
            Some(pod) => pods::read_format(pod),
        };
        self.calm_since.set(None);
        let Some(event) = read else {
            let error = "a format that is not raw video".to_owned();
            self.watch.update(|s| s.errors.push(error));
            return;
        };
        self.watch.update(|s| {
            s.unsettle();
            s.formats.push(event.clone());
        });
        match event {
            FormatEvent::Cleared => self.inner.borrow_mut().format = None,
            FormatEvent::Choice { format, modifiers } => {
                let pods = {
                    let options = self.options.borrow();
                    let preferred = options.prefer_modifier.filter(|m| modifiers.contains(m));
                    let Some(modifier) = preferred.or(modifiers.first().copied()) else {
                        return;
                    };
                    pods::fixated(&options, format.pixels, modifier)
                };
                self.update(stream, &pods);
            }
            FormatEvent::Fixed(format) => {
                if format.modifier.is_some() && format.modifier == self.options.borrow().fails_with {
                    self.quit.set(true);
                    return;
                }
                let before = {
                    let mut inner = self.inner.borrow_mut();
                    inner.shared = None;
                    inner.format.replace(format)
                };
                let new_size = before.is_none_or(|before| before.size != format.size);
                let pods = {
                    let options = self.options.borrow();
                    let type_ = match (format.modifier, options.plain) {
                        (Some(_), _) => sys::SPA_DATA_DmaBuf,
                        (None, PlainMemory::MemFd) => sys::SPA_DATA_MemFd,
                        (None, PlainMemory::MemPtr) => sys::SPA_DATA_MemPtr,
                    };
                    pods::buffers(&options, &format, 1 << type_)
                };
                self.update(stream, &pods);
                self.event(ProducerEvent::Format { size: format.size, new_size });
            }
        }
    }

    fn update(&self, stream: &Stream, pods: &[pods::Bytes]) {
        if let Err(error) = stream.update_params(&mut pods::as_pods(pods)) {
            let error = format!("update_params: {error}");
            self.watch.update(|s| s.errors.push(error));
        }
    }

    /// Offers the formats of the options again.
    pub(crate) fn offer(&self) {
        let pods = pods::offers(&self.options.borrow());
        self.update(&self.stream, &pods);
    }

    fn add_buffer(&self, buffer: Raw) {
        let types = buffer.allowed_types();
        match self.allocate(buffer).and_then(|slot| self.add_timeline(buffer).map(|()| slot)) {
            Ok(slot) => {
                self.inner.borrow_mut().slots.insert(buffer, slot);
            }
            Err(error) => self.watch.update(|s| s.errors.push(error.to_string())),
        }
        self.watch.update(|s| {
            s.buffers += 1;
            s.buffers_added += 1;
            s.data_types = types;
        });
    }

    fn add_timeline(&self, buffer: Raw) -> std::io::Result<()> {
        let (timeline, releases) = match self.options.borrow().timelines {
            Timelines::None => return Ok(()),
            _ if !buffer.is_synced() => return Ok(()),
            Timelines::Real => (Timeline::new()?, None),
            Timelines::Apart => (Timeline::new()?, Some(Timeline::new()?)),
            Timelines::Unusable => (Timeline::unusable()?, None),
        };
        buffer.add_timelines([timeline.fd(), releases.as_ref().unwrap_or(&timeline).fd()]);
        self.inner.borrow_mut().synced.insert(buffer, Synced { timeline, releases, acquire: 0, release: 0 });
        Ok(())
    }

    /// Signals the acquire points of all frames.
    pub(crate) fn draw(&self) {
        self.inner.borrow().synced.values().for_each(|synced| synced.timeline.signal(synced.acquire));
    }

    /// Its datas' memory; none when the daemon allocates.
    fn allocate(&self, buffer: Raw) -> std::io::Result<Vec<Slot>> {
        let options = self.options.borrow();
        let mut inner = self.inner.borrow_mut();
        let Some(format) = inner.format else {
            return Err(std::io::Error::other("a buffer before its format"));
        };
        if options.plain == PlainMemory::MemPtr {
            return Ok(Vec::new());
        }
        let sizes = pods::data_sizes(&options, &pods::places(&options, &format));
        let mut slots: Vec<Slot> = Vec::new();
        for size in sizes {
            let slot = match (options.layout, options.blocks, slots.first()) {
                (_, Blocks::EachInOneFd, Some(first)) => first.clone(),
                _ if format.modifier.is_some() && options.dmabufs != Dmabufs::Pretended => {
                    Slot { memory: Memory::dmabuf(options.dmabufs, format.size, size)?, offset: 0, size }
                }
                (Layout::OneFdEach, ..) => Slot { memory: Memory::new(size, options.seal)?, offset: 0, size },
                (Layout::SharedFd, ..) => {
                    let (memory, used) = match inner.shared.take() {
                        Some(shared) => shared,
                        None => {
                            let all = pages(size) * options.buffers.2 as usize;
                            (Memory::new(all, options.seal)?, 0)
                        }
                    };
                    inner.shared = Some((memory.clone(), used + 1));
                    Slot { memory, offset: used * pages(size), size }
                }
            };
            slots.push(slot);
        }
        let type_ = match format.modifier.is_some() != options.mistyped {
            true => sys::SPA_DATA_DmaBuf,
            false => sys::SPA_DATA_MemFd,
        };
        let flags = match options.seal {
            Seal::None => sys::SPA_DATA_FLAG_READWRITE,
            Seal::Write | Seal::ReadOnlyFd => sys::SPA_DATA_FLAG_READABLE,
        };
        for (index, slot) in slots.iter().enumerate() {
            buffer.allocate(index, type_, slot, flags);
        }
        Ok(slots)
    }

    fn remove_buffer(&self, buffer: Raw) {
        let slots = {
            let mut inner = self.inner.borrow_mut();
            inner.free.retain(|free| *free != buffer);
            inner.synced.remove(&buffer);
            inner.slots.remove(&buffer)
        };
        if slots.is_some_and(|slots| !slots.is_empty()) {
            buffer.forget();
        }
        self.watch.update(|s| {
            s.buffers = s.buffers.saturating_sub(1);
            s.buffers_removed += 1;
        });
        self.count();
    }

    /// Takes home what the consumer gave back.
    fn collect(&self) {
        let mut found = false;
        while let Some(buffer) = raw::dequeue(&self.stream) {
            let mut inner = self.inner.borrow_mut();
            if inner.slots.contains_key(&buffer) && !inner.free.contains(&buffer) {
                inner.free.push_back(buffer);
                found = true;
            }
        }
        if found {
            self.count();
        }
    }

    fn count(&self) {
        let (free, unreleased, unreleased_out) = {
            let inner = self.inner.borrow();
            let read = |is_home: bool| {
                let buffers = inner.slots.keys().filter(|buffer| inner.free.contains(buffer) == is_home);
                buffers.filter(|buffer| !inner.is_released(**buffer)).count()
            };
            (inner.free.len(), read(true), read(false))
        };
        self.watch.update(|s| {
            s.free = free;
            s.unreleased = unreleased;
            s.unreleased_out = unreleased_out;
            s.out = s.buffers.saturating_sub(free);
        });
    }

    /// Makes a frame, lets `bend` have it, and sends it.
    pub(crate) fn push(&self, fill: Fill, bend: impl FnOnce(&mut Frame)) -> Pushed {
        self.collect();
        let (buffer, frame, size, places) = {
            let mut inner = self.inner.borrow_mut();
            let Some(format) = inner.format.filter(|_| inner.streaming) else {
                drop(inner);
                self.watch.update(|s| s.not_streaming += 1);
                return Pushed::NotStreaming;
            };
            let released = inner.free.iter().position(|buffer| inner.is_released(*buffer));
            let Some(buffer) = released.and_then(|at| inner.free.remove(at)) else {
                drop(inner);
                self.watch.update(|s| s.skipped += 1);
                return Pushed::NoFreeBuffer;
            };
            inner.seq += 1;
            let options = self.options.borrow();
            let places = pods::places(&options, &format);
            let mut frame = right_frame(fill, inner.seq, format.size, &places);
            frame.chunk.size = frame.chunk.size.min(buffer.room());
            bend(&mut frame);
            (buffer, frame, format.size, places)
        };
        let seq = self.inner.borrow().seq;
        buffer.write(&frame, size, &places);
        let slots = self.inner.borrow().slots.get(&buffer).cloned().unwrap_or_default();
        for error in slots.iter().filter_map(|slot| slot.memory.flush().err()) {
            self.watch.update(|s| s.errors.push(format!("the GPU does not take a frame: {error}")));
        }
        if let Some(synced) = self.inner.borrow_mut().synced.get_mut(&buffer) {
            synced.acquire = synced.release + 1;
            synced.release = synced.acquire + 1;
            buffer.write_points(synced.acquire, synced.release);
            if frame.is_drawn {
                synced.timeline.signal(synced.acquire);
            }
        }
        // Queueing starts the cycle, as in Mutter. `pw_stream_trigger_process` is left alone: with it, 0.3.65 brings
        // buffers home that the consumer still holds.
        raw::queue(&self.stream, buffer);
        self.count();
        self.watch.update(|s| s.sent += 1);
        Pushed::Sent(seq)
    }

    /// Calls the stream settled when nothing has changed for a while: see [`SETTLE`].
    fn settle(&self) {
        let now = Instant::now();
        let (calm, settled) = self.watch.read(|s| {
            let calm = s.link_settled && s.consumer_running && s.is_streaming();
            (calm, s.settled)
        });
        match self.calm_since.get() {
            _ if !calm => self.calm_since.set(None),
            None => self.calm_since.set(Some(now)),
            Some(since) if !settled && now - since >= SETTLE => {
                self.watch.update(|s| s.settled = true);
            }
            Some(_) => {}
        }
    }

    /// Mutter's rule: whole microseconds since the last frame, against those of the rate; a rate of 0 is none.
    fn is_too_early(&self, now: Instant) -> bool {
        let rate = self.inner.borrow().format.map_or((0, 1), |format| format.max_framerate);
        let Some(last) = self.recorded.get().filter(|_| rate.0 > 0) else {
            return false;
        };
        now.duration_since(last).as_micros() < 1_000_000 * u128::from(rate.1) / u128::from(rate.0)
    }

    fn patience(&self) -> Duration {
        let animated =
            self.animation.get().map(|animation| animation.next.saturating_duration_since(Instant::now()).min(LOOK));
        animated.unwrap_or(LOOK)
    }

    fn tick(&self) {
        self.collect();
        if !self.inner.borrow().synced.is_empty() {
            self.count();
        }
        self.settle();
        let Some(mut animation) = self.animation.get() else {
            return;
        };
        let now = Instant::now();
        if now < animation.next {
            return;
        }
        animation.frame = animation.frame.wrapping_add(1);
        // A late tick is not made up for: frames come on time or not at all, as a display's do.
        animation.next = (animation.next + animation.period).max(now);
        self.animation.set(Some(animation));
        // A clock is not a monitor.
        if !animation.timed && self.is_too_early(now) {
            self.watch.update(|s| s.too_early += 1);
            return;
        }
        self.recorded.set(Some(now));
        let fill = if animation.timed { Fill::Time } else { Fill::Coded(animation.frame) };
        self.push(fill, |_| {});
    }
}

fn right_frame(fill: Fill, seq: u64, (width, height): (u32, u32), places: &[Place]) -> Frame {
    let now = clock_gettime(ClockId::Monotonic);
    // What is in one data has one chunk.
    let chunk = |data: usize| {
        let mut here = places.iter().filter(move |place| place.data == data);
        let first = here.next()?;
        let size = first.size() + here.map(Place::size).sum::<u32>();
        Some(Chunk { offset: first.offset, size, stride: first.stride as i32, flags: 0 })
    };
    let mut chunks = (0..).map_while(chunk);
    Frame {
        fill,
        chunk: chunks.next().expect("a first plane"),
        more: chunks.collect(),
        header: Some(Header { flags: 0, pts: now.tv_sec * 1_000_000_000 + now.tv_nsec, seq }),
        damage: vec![(0, 0, width, height)],
        crop: Some((0, 0, width, height)),
        transform: 0,
        cursor: None,
        is_drawn: true,
    }
}
