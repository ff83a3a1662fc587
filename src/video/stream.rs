//! The PipeWire stream of one session: connection, negotiation, buffers in and back.
//! Callbacks only note what happened in a queue; [`VideoStream::next_event`] hands it to the bridge.
//!
//! PipeWire's C structs are touched in `raw` only.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use libspa::param::ParamType;
use libspa::pod::Pod;
use libspa::utils::Direction;
use pipewire::context::ContextRc;
use pipewire::core::{CoreRc, Listener as CoreListener};
use pipewire::keys;
use pipewire::link::Link;
use pipewire::properties::properties;
use pipewire::stream::{Stream, StreamFlags, StreamListener, StreamRc, StreamState};
use thiserror::Error;
use tracing::{debug, info, trace};

use crate::clock;
use crate::video::cursor::{Cursor, CursorNews, CursorTracker, Place};
use crate::video::driver::{Guest, Probe, SUPPORTS_LAZY};
use crate::video::frame::{BufferId, Frame, Negotiated, Plane};
use crate::video::main_loop::{MainLoop, ON_MAIN_LOOP};
use crate::video::meta::BadMeta;
use crate::video::negotiation::Offer;
use crate::video::pods::{self, Settled, StreamSize};
use crate::video::rate::MaxRate;
use crate::video::raw;
use crate::video::requests::Requests;
use crate::video::sync::{FrameSync, Points, Timelines};
use crate::video::syncobj::SyncDevice;
use crate::video::target::Target;

/// What cannot be done with PipeWire.
#[derive(Debug, Error)]
pub enum VideoError {
    /// libpipewire itself does not start.
    #[error(
        "libpipewire cannot start here; install its client.conf and modules (on Debian: pipewire-bin, libpipewire-0.3-modules)"
    )]
    NoContext,
    /// No loop or connection.
    #[error("no PipeWire answers ({0}); start pipewire in the guest's session, or set PIPEWIRE_RUNTIME_DIR")]
    Connect(pipewire::Error),
    /// Its descriptor cannot be watched.
    #[error("PipeWire's connection cannot be watched ({0}); are there file descriptors left?")]
    Watch(std::io::Error),
    /// It answered, and ended the connection.
    #[error("PipeWire ended the connection ({0}); does its log say why?")]
    Lost(String),
    /// Other formats were not offered.
    #[error("PipeWire took no other format ({0})")]
    Offer(pipewire::Error),
    /// The stream was not made.
    #[error("PipeWire made no stream ({0})")]
    Stream(pipewire::Error),
}

/// What happened on the stream, in order.
#[allow(clippy::large_enum_variant, reason = "most of them are frames: no allocation")]
#[derive(Debug)]
pub enum VideoEvent {
    /// Format and size are settled.
    Format(Negotiated),
    /// The guest settled on something that was not offered.
    UnknownFormat,
    /// The stream carries frames.
    Streaming,
    /// The stream is linked but carries nothing.
    Paused,
    /// The guest has something to draw, and waits for [`VideoStream::trigger`].
    Asked,
    /// A frame with pixels; to be given back with [`VideoStream::give_back`].
    Frame(Frame),
    /// A buffer without pixels came and went.
    Empty {
        /// It told of the guest's pointer, and that may be what it came for.
        tells_pointer: bool,
    },
    /// The guest's pointer looks like this from now on.
    Cursor(Cursor),
    /// The guest's pointer is here from now on; `None`: not in the stream.
    Pointer(Option<Place>),
    /// The guest's timelines cannot be used: [`VideoStream::forgo_sync`], and offer formats again.
    SyncUnusable(String),
    /// This buffer is gone; it must not be given back any more.
    Removed(BufferId),
    /// The stream failed or its node went away.
    Lost(String),
}

struct Live {
    pointer: raw::BufferPtr,
    id: BufferId,
    planes: Rc<[Plane]>,
    timelines: Option<Rc<Timelines>>,
    /// The points it came with last.
    points: Option<Points>,
    /// Points that it was seen with on the guest's side, and has not come with.
    missing: Option<Points>,
}

impl Live {
    /// The sync of the frame that it was just dequeued with.
    fn sync(&mut self) -> Option<FrameSync> {
        let timelines = self.timelines.as_ref()?;
        let points = raw::points(self.pointer).filter(|points| points.are_new(self.points))?;
        trace!(id = ?self.id, ?points, reached = ?timelines.reached(), "frame");
        self.points = Some(points);
        Some(FrameSync::new(Rc::clone(timelines), points))
    }

    /// Whether the guest has sent it with points that have not come. When they had not the last time either, PipeWire has
    /// lost the frame: its release is signalled, or the guest would wait for ever to draw in it again.
    fn is_missing(&mut self) -> bool {
        let Some(timelines) = &self.timelines else { return false };
        let sent = raw::points(self.pointer).filter(|points| points.are_new(self.points));
        let is_lost = sent.is_some() && sent == self.missing;
        self.missing = sent.filter(|_| !is_lost);
        if let (true, Some(points)) = (is_lost, sent) {
            debug!(id = ?self.id, ?points, "a frame was lost on its way");
            self.points = Some(points);
            drop(FrameSync::new(Rc::clone(timelines), points));
        }
        self.missing.is_some()
    }
}

#[derive(Default)]
struct Shared {
    events: VecDeque<VideoEvent>,
    buffers: Vec<Live>,
    negotiated: Option<Negotiated>,
    /// With the guest's pointer beside the frames instead of in them.
    cursor: Option<CursorTracker>,
    /// Where timelines are opened; without it none are asked for.
    sync: Option<SyncDevice>,
}

impl Shared {
    /// The answer to a format.
    fn buffer_params(&self, is_dmabuf: bool) -> Vec<Vec<u8>> {
        pods::buffer_params(is_dmabuf, self.cursor.is_some(), is_dmabuf && self.sync.is_some())
    }

    /// Looks for the guest's pointer in any buffer, before it goes back.
    /// Whether it tells of one.
    fn read_cursor(&mut self, buffer: raw::BufferPtr) -> bool {
        let Some((tracker, bytes)) = self.cursor.as_mut().zip(raw::cursor(buffer)) else { return false };
        let news = tracker.read(bytes);
        let tells = tracker.is_there() || news.as_ref().is_ok_and(|news| news.place.is_some());
        match news {
            Ok(CursorNews { look, place }) => {
                if let Some(look) = look {
                    debug!(?look, "the guest's pointer");
                    self.events.push_back(VideoEvent::Cursor(look));
                }
                if let Some(place) = place {
                    trace!(?place, "the guest's pointer");
                    self.events.push_back(VideoEvent::Pointer(place));
                }
            }
            Err(bad) => complain(bad),
        }
        tells
    }
}

/// Says what is wrong with a guest's metadata, once for each kind: it comes with every frame.
fn complain(bad: BadMeta) {
    static TOLD: AtomicU8 = AtomicU8::new(0);
    let kind = 1 << bad as u8;
    if TOLD.fetch_or(kind, Ordering::Relaxed) & kind == 0 {
        info!("the guest {bad}");
    }
}

/// Ids go on over all streams: the host may still hold buffers of one that is gone.
static LAST_ID: AtomicU64 = AtomicU64::new(0);

/// What is asked of the guest besides its formats.
pub struct Wishes {
    /// The size.
    pub size: StreamSize,
    /// The rate.
    pub rate: MaxRate,
    /// Whether its pointer is to come beside the frames.
    pub cursor: bool,
    /// For explicit sync where frames are DMA-BUFs.
    pub sync: Option<SyncDevice>,
    /// Whether it is to follow [`VideoStream::trigger`], if it can.
    pub drive: bool,
}

/// One consumer stream, with its own connection.
///
/// Fields are in the order they must be dropped in: a listener before what it listens to.
pub struct VideoStream {
    link: Option<Link>,
    probe: RefCell<Option<Probe>>,
    /// To be offered when the probe has its answer.
    offered: RefCell<Vec<Vec<u8>>>,
    guest: Cell<Guest>,
    may_drive: bool,
    requests: Requests,
    listener: Option<StreamListener<()>>,
    stream: StreamRc,
    _core_listener: CoreListener,
    core: CoreRc,
    _context: ContextRc,
    main_loop: MainLoop,
    shared: Rc<RefCell<Shared>>,
    node: Target,
}

impl VideoStream {
    /// Connects to the guest's PipeWire (`remote`: a portal's connection; else by the environment) and
    /// asks `node` for these formats.
    ///
    /// # Errors
    ///
    /// When there is no PipeWire, or it makes no stream.
    pub fn connect(
        remote: Option<OwnedFd>,
        node: Target,
        offers: &[Offer],
        wishes: Wishes,
    ) -> Result<Self, VideoError> {
        let Wishes { size, rate, cursor, sync, drive } = wishes;
        pipewire::init();
        let main_loop = MainLoop::new().map_err(VideoError::Connect)?;
        let context = ContextRc::new(main_loop.get(), None).map_err(|_| VideoError::NoContext)?;
        let core = match remote {
            Some(fd) => context.connect_fd_rc(fd, None),
            None => context.connect_rc(None),
        }
        .map_err(VideoError::Connect)?;
        let cursor = cursor.then(CursorTracker::default);
        let shared = Rc::new(RefCell::new(Shared {
            cursor,
            sync,
            // More than come at once, so that frames never make it grow.
            events: VecDeque::with_capacity(32),
            ..Shared::default()
        }));
        let core_listener = core
            .add_listener_local()
            .error({
                let shared = Rc::clone(&shared);
                move |id, _seq, res, message| {
                    debug!(id, res, message, "PipeWire error");
                    // Object 0 is the connection itself; -EPIPE is the daemon's end.
                    if id == 0 {
                        shared.borrow_mut().events.push_back(VideoEvent::Lost(format!("PipeWire: {message}")));
                    }
                }
            })
            .register();
        let properties = properties! {
            *keys::MEDIA_TYPE => "Video",
            *keys::MEDIA_CATEGORY => "Capture",
            *keys::MEDIA_ROLE => "Screen",
            *keys::NODE_NAME => "wolf-bridge",
            // Never end up on another camera or screen when the node goes away.
            *keys::NODE_DONT_RECONNECT => "true",
            ON_MAIN_LOOP.0 => ON_MAIN_LOOP.1,
        };
        let stream = StreamRc::new(core.clone(), "wolf-bridge", properties).map_err(VideoError::Stream)?;
        let requests = Requests::listen(&stream);
        let listener = listen(&stream, &shared).map_err(VideoError::Stream)?;
        let probe = Probe::ask(&core, node.id).map_err(VideoError::Stream)?;
        Ok(Self {
            link: None,
            probe: RefCell::new(Some(probe)),
            offered: RefCell::new(pods::enum_formats(offers, size, rate)),
            guest: Cell::default(),
            may_drive: drive,
            requests,
            listener: Some(listener),
            stream,
            _core_listener: core_listener,
            core,
            _context: context,
            main_loop,
            shared,
            node,
        })
    }

    /// The descriptor to watch for reading; call [`iterate`](Self::iterate) when it is readable.
    pub fn loop_fd(&self) -> BorrowedFd<'_> {
        self.main_loop.fd()
    }

    /// Runs what PipeWire has to do, without waiting.
    pub fn iterate(&self) {
        self.main_loop.iterate();
        let answer = self.probe.borrow().as_ref().and_then(Probe::answer);
        if let Some(guest) = answer {
            self.probe.take();
            self.guest.set(guest);
            if let Err(error) = self.start(self.may_drive && guest.can_follow) {
                let lost = VideoEvent::Lost(VideoError::Stream(error).to_string());
                self.shared.borrow_mut().events.push_back(lost);
            }
        }
    }

    /// Offers the formats to the guest, now that it is known who drives.
    fn start(&self, drive: bool) -> Result<(), pipewire::Error> {
        let mut flags = StreamFlags::AUTOCONNECT | StreamFlags::DONT_RECONNECT;
        if drive {
            flags |= StreamFlags::DRIVER;
            raw::set_property(&self.stream, SUPPORTS_LAZY.0, SUPPORTS_LAZY.1);
        }
        // By its id another node may be meant by now.
        let id = match self.node.serial {
            Some(serial) => {
                raw::set_property(&self.stream, &keys::TARGET_OBJECT, &serial.to_string());
                None
            }
            None => Some(self.node.id),
        };
        let offered = self.offered.take();
        self.stream.connect(Direction::Input, id, flags, &mut as_pods(&offered))
    }

    /// The next thing that happened.
    pub fn next_event(&self) -> Option<VideoEvent> {
        if self.requests.take() {
            return Some(VideoEvent::Asked);
        }
        self.shared.borrow_mut().events.pop_front()
    }

    /// Whether the guest draws only on [`trigger`](Self::trigger); known while the stream runs.
    pub fn is_driving(&self) -> bool {
        self.may_drive && self.guest.get().can_follow && self.stream.is_driving()
    }

    /// Whether the guest drops no frames for being too early, so that the rate it is offered needs no second step.
    pub fn takes_every_frame(&self) -> bool {
        self.guest.get().asks
    }

    /// Lets the guest draw once.
    pub fn trigger(&self) {
        trace!("trigger");
        if let Err(error) = self.stream.trigger_process() {
            debug!(%error, "no cycle could be started");
        }
    }

    /// Offers other formats, sizes or rates; frames of the old ones go on until the guest has settled.
    ///
    /// # Errors
    ///
    /// When PipeWire takes none any more.
    pub fn offer(&self, offers: &[Offer], size: StreamSize, rate: MaxRate) -> Result<(), VideoError> {
        let offered = pods::enum_formats(offers, size, rate);
        if self.probe.borrow().is_some() {
            self.offered.replace(offered);
            return Ok(());
        }
        self.stream.update_params(&mut as_pods(&offered)).map_err(VideoError::Offer)
    }

    /// Asks for no timelines any more, from the next format on.
    pub fn forgo_sync(&self) {
        self.shared.borrow_mut().sync = None;
    }

    /// Looks for frames that PipeWire has lost: it gives a buffer back unseen when the next one comes too soon. True when
    /// some may be, and it is to be looked again a while later.
    pub fn look_for_lost(&self) -> bool {
        let mut shared = self.shared.borrow_mut();
        // Each one, whatever the others say.
        shared.buffers.iter_mut().filter_map(|live| live.is_missing().then_some(())).count() > 0
    }

    /// Whether the guest has not taken this buffer away.
    pub fn has_buffer(&self, id: BufferId) -> bool {
        self.shared.borrow().buffers.iter().any(|live| live.id == id)
    }

    /// Gives a buffer back to the guest; false when it is gone.
    pub fn give_back(&self, id: BufferId) -> bool {
        // The borrow ends before PipeWire is called.
        let pointer = self.shared.borrow().buffers.iter().find(|live| live.id == id).map(|live| live.pointer);
        trace!(?id, is_there = pointer.is_some(), "given back");
        if let Some(pointer) = pointer {
            raw::queue(&self.stream, pointer);
        }
        pointer.is_some()
    }

    /// How many buffers the guest and we share at the moment.
    pub fn pool_size(&self) -> usize {
        self.shared.borrow().buffers.len()
    }

    /// Hands the pixels of a buffer in memory without a file to `read`; false when the buffer is gone or
    /// its memory cannot be seen.
    pub fn with_memory(&self, id: BufferId, read: impl FnOnce(&[u8])) -> bool {
        let shared = self.shared.borrow();
        shared.buffers.iter().find(|live| live.id == id).is_some_and(|live| raw::with_memory(live.pointer, read))
    }

    /// Links the stream to its node by hand, for sessions without a session manager.
    ///
    /// # Errors
    ///
    /// When PipeWire has no link-factory or refuses.
    pub fn link_by_hand(&mut self) -> Result<(), pipewire::Error> {
        let link = self.core.create_object::<Link>(
            "link-factory",
            &properties! {
                *keys::LINK_OUTPUT_NODE => self.node.id.to_string(),
                *keys::LINK_INPUT_NODE => self.stream.node_id().to_string(),
            },
        )?;
        self.link = Some(link);
        Ok(())
    }
}

impl Drop for VideoStream {
    fn drop(&mut self) {
        // No callback may run while the stream is taken down.
        self.link.take();
        self.probe.take();
        self.listener.take();
        if let Err(error) = self.stream.disconnect() {
            debug!(%error, "the stream did not disconnect cleanly");
        }
    }
}

fn as_pods(serialized: &[Vec<u8>]) -> Vec<&Pod> {
    serialized.iter().filter_map(|bytes| Pod::from_bytes(bytes)).collect()
}

fn listen(stream: &StreamRc, shared: &Rc<RefCell<Shared>>) -> Result<StreamListener<()>, pipewire::Error> {
    let [on_state, on_param, on_add, on_remove, on_process] = std::array::from_fn(|_| Rc::clone(shared));
    stream
        .add_local_listener::<()>()
        .state_changed(move |_, (), old, new| {
            debug!(?old, ?new, "stream state");
            let event = match new {
                StreamState::Streaming => VideoEvent::Streaming,
                StreamState::Paused => VideoEvent::Paused,
                StreamState::Error(message) => VideoEvent::Lost(format!("the stream failed: {message}")),
                StreamState::Unconnected if old != StreamState::Unconnected => {
                    VideoEvent::Lost("the stream was disconnected".to_owned())
                }
                _ => return,
            };
            on_state.borrow_mut().events.push_back(event);
        })
        .param_changed(move |stream, (), id, pod| {
            if id != ParamType::Format.as_raw() {
                return;
            }
            let Some(pod) = pod else {
                on_param.borrow_mut().negotiated = None;
                return;
            };
            let settled = pods::parse_format(pod);
            debug!(?settled, "stream format");
            match settled {
                Settled::Fixed(negotiated) => {
                    let mut shared = on_param.borrow_mut();
                    shared.negotiated = Some(negotiated);
                    shared.events.push_back(VideoEvent::Format(negotiated));
                    let is_dmabuf = negotiated.modifier.is_some();
                    let params = shared.buffer_params(is_dmabuf);
                    drop(shared);
                    answer(stream, &params);
                }
                Settled::Choosing => {
                    let params = on_param.borrow().buffer_params(true);
                    answer(stream, &params);
                }
                Settled::Unknown => on_param.borrow_mut().events.push_back(VideoEvent::UnknownFormat),
            }
        })
        .add_buffer(move |_, (), buffer| {
            let mut shared = on_add.borrow_mut();
            let id = BufferId(LAST_ID.fetch_add(1, Ordering::Relaxed));
            let (pointer, planes) = raw::describe(buffer);
            let fds = raw::sync_fds(pointer);
            trace!(?id, ?planes, ?fds, "buffer added");
            let timelines = match (&shared.sync, fds) {
                (Some(device), Some(fds)) => match Timelines::import(device, fds) {
                    Ok(timelines) => Some(Rc::new(timelines)),
                    Err(error) => {
                        shared.events.push_back(VideoEvent::SyncUnusable(error.to_string()));
                        None
                    }
                },
                _ => None,
            };
            shared.buffers.push(Live { pointer, id, planes, timelines, points: None, missing: None });
        })
        .remove_buffer(move |_, (), buffer| {
            let mut shared = on_remove.borrow_mut();
            if let Some(at) = shared.buffers.iter().position(|live| live.pointer.is(buffer)) {
                let id = shared.buffers.swap_remove(at).id;
                trace!(?id, "buffer removed");
                shared.events.push_back(VideoEvent::Removed(id));
            }
        })
        .process(move |stream, ()| {
            while let Some(pointer) = raw::dequeue(stream) {
                let mut shared = on_process.borrow_mut();
                let tells_pointer = shared.read_cursor(pointer);
                let Shared { events, buffers, negotiated, .. } = &mut *shared;
                let mut live = buffers.iter_mut().find(|live| live.pointer == pointer);
                let sync = live.as_mut().and_then(|live| live.sync());
                let content = raw::read(pointer);
                match (live, *negotiated, content) {
                    (Some(live), Some(negotiated), Some(content)) => {
                        let frame = Frame {
                            buffer: live.id,
                            planes: Rc::clone(&live.planes),
                            layouts: content.layouts,
                            negotiated,
                            pts: content.pts,
                            received: clock::now(),
                            metas: raw::metas(pointer, (negotiated.width, negotiated.height), complain),
                            sync,
                        };
                        trace!(id = ?frame.buffer, "taken");
                        events.push_back(VideoEvent::Frame(frame));
                    }
                    _ => {
                        events.push_back(VideoEvent::Empty { tells_pointer });
                        drop(shared);
                        // The release point comes before the buffer.
                        drop(sync);
                        raw::queue(stream, pointer);
                    }
                }
            }
        })
        .register()
}

fn answer(stream: &Stream, params: &[Vec<u8>]) {
    if let Err(error) = stream.update_params(&mut as_pods(params)) {
        debug!(%error, "buffer parameters were refused");
    }
}
