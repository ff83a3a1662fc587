//! Owns a small real PipeWire consumer, for the tests of the fakes.
//! It never interprets pictures: it reads bytes and notes what came.

// Not every test file uses all of it.
#![allow(dead_code)]

use std::{
    cell::{Cell, RefCell},
    io::Cursor,
    os::{fd::BorrowedFd, unix::net::UnixStream},
    path::Path,
    rc::{Rc, Weak},
    thread::{self, JoinHandle},
    time::Duration,
};

use fake_guest::Watched;
use libspa::{
    pod::{
        ChoiceValue, Object, Pod, Property, PropertyFlags, Value, deserialize::PodDeserializer,
        serialize::PodSerializer,
    },
    sys,
    utils::{Choice, ChoiceEnum, ChoiceFlags, Direction, Fraction, Id, Rectangle},
};
use pipewire as pw;
use pw::{
    loop_::Timeout,
    stream::{StreamFlags, StreamRc, StreamState},
};

pub const SOON: Duration = Duration::from_secs(10);

/// What the consumer asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    pub size: (u32, u32),
    /// Empty: plain memory.
    pub modifiers: Vec<u64>,
    pub max_framerate: u32,
    pub buffers: i32,
}

impl Ask {
    pub fn size(width: u32, height: u32) -> Self {
        Self { size: (width, height), modifiers: Vec::new(), max_framerate: 60, buffers: 4 }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct SeenFrame {
    pub type_: u32,
    pub fd: i64,
    pub mapoffset: u32,
    pub maxsize: u32,
    pub chunk: (u32, u32, i32, i32),
    pub seq: Option<u64>,
    /// Which file the fd is of (0: none), and whether it can be mapped for writing.
    pub inode: u64,
    pub writable: bool,
    /// Size and bytes of the damage and cursor metas.
    pub damage: Vec<u8>,
    pub cursor: Vec<u8>,
    /// The pixels at (0,0) and (17,9), when readable.
    pub pixels: Option<([u8; 4], [u8; 4])>,
}

#[derive(Debug, Default)]
pub struct Seen {
    pub states: Vec<String>,
    /// Size, and whether the modifier is still a choice (None: there is none).
    pub formats: Vec<((u32, u32), Option<bool>)>,
    pub added: usize,
    pub removed: usize,
    pub frames: Vec<SeenFrame>,
    pub held: usize,
}

type Job = Box<dyn FnOnce(&Consumer_) + Send>;

pub struct Consumer {
    jobs: pw::channel::Sender<Job>,
    pub seen: Watched<Seen>,
    thread: Option<JoinHandle<()>>,
}

struct Consumer_ {
    stream: StreamRc,
    seen: Watched<Seen>,
    ask: RefCell<Ask>,
    hold: Cell<bool>,
    held: RefCell<Vec<*mut pw::sys::pw_buffer>>,
    quit: Cell<bool>,
}

impl Consumer {
    pub fn start(socket: &Path, target: u32, ask: Ask) -> Self {
        let connection = UnixStream::connect(socket).unwrap();
        let (jobs, inbox) = pw::channel::channel::<Job>();
        let seen = Watched::new(Seen::default());
        let watch = seen.clone();
        let thread = thread::spawn(move || run(connection, target, ask, watch, inbox).unwrap());
        Self { jobs, seen, thread: Some(thread) }
    }

    pub fn hold(&self, hold: bool) {
        let (done, is_done) = std::sync::mpsc::channel();
        self.job(move |c| {
            c.hold.set(hold);
            done.send(()).unwrap();
        });
        is_done.recv_timeout(SOON).unwrap();
    }

    pub fn release(&self) {
        self.job(|c| {
            for buffer in c.held.borrow_mut().drain(..) {
                // SAFETY: dequeued from this stream; remove_buffer takes it off the list.
                unsafe { c.stream.queue_raw_buffer(buffer) };
            }
            c.seen.update(|s| s.held = 0);
        });
    }

    pub fn ask(&self, ask: Ask) {
        self.job(move |c| {
            *c.ask.borrow_mut() = ask;
            let pods = formats(&c.ask.borrow());
            c.stream.update_params(&mut as_pods(&pods)).unwrap();
        });
    }

    fn job(&self, job: impl FnOnce(&Consumer_) + Send + 'static) {
        let _ = self.jobs.send(Box::new(job));
    }

    pub fn frames(&self, n: usize) -> Vec<SeenFrame> {
        self.seen.wait(|s| (s.frames.len() >= n).then(|| s.frames.clone()), SOON).unwrap()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.job(|c| c.quit.set(true));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn pod(type_: u32, id: u32, properties: Vec<Property>) -> Vec<u8> {
    let value = Value::Object(Object { type_, id, properties });
    PodSerializer::serialize(Cursor::new(Vec::new()), &value).unwrap().0.into_inner()
}

fn as_pods(pods: &[Vec<u8>]) -> Vec<&Pod> {
    pods.iter().map(|p| Pod::from_bytes(p).unwrap()).collect()
}

fn formats(ask: &Ask) -> Vec<Vec<u8>> {
    let mut properties = vec![
        Property::new(sys::SPA_FORMAT_mediaType, Value::Id(Id(sys::SPA_MEDIA_TYPE_video))),
        Property::new(sys::SPA_FORMAT_mediaSubtype, Value::Id(Id(sys::SPA_MEDIA_SUBTYPE_raw))),
        Property::new(sys::SPA_FORMAT_VIDEO_format, Value::Id(Id(sys::SPA_VIDEO_FORMAT_BGRx))),
    ];
    if !ask.modifiers.is_empty() {
        let all: Vec<i64> = ask.modifiers.iter().map(|m| *m as i64).collect();
        properties.push(Property {
            key: sys::SPA_FORMAT_VIDEO_modifier,
            flags: PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE,
            value: Value::Choice(ChoiceValue::Long(Choice(
                ChoiceFlags::empty(),
                ChoiceEnum::Enum { default: all[0], alternatives: all },
            ))),
        });
    }
    let range = |num| Fraction { num, denom: 1 };
    properties.extend([
        Property::new(
            sys::SPA_FORMAT_VIDEO_size,
            Value::Rectangle(Rectangle { width: ask.size.0, height: ask.size.1 }),
        ),
        Property::new(sys::SPA_FORMAT_VIDEO_framerate, Value::Fraction(range(0))),
        Property::new(sys::SPA_FORMAT_VIDEO_maxFramerate, Value::Fraction(range(ask.max_framerate))),
    ]);
    vec![pod(sys::SPA_TYPE_OBJECT_Format, sys::SPA_PARAM_EnumFormat, properties)]
}

fn meta(type_: u32, min: i32, max: i32) -> Vec<u8> {
    let range = ChoiceEnum::Range { default: max, min, max };
    let range = Choice(ChoiceFlags::empty(), range);
    pod(
        sys::SPA_TYPE_OBJECT_ParamMeta,
        sys::SPA_PARAM_Meta,
        vec![
            Property::new(sys::SPA_PARAM_META_type, Value::Id(Id(type_))),
            Property::new(sys::SPA_PARAM_META_size, Value::Choice(ChoiceValue::Int(range))),
        ],
    )
}

fn buffers(ask: &Ask) -> Vec<Vec<u8>> {
    let types = if ask.modifiers.is_empty() {
        1 << sys::SPA_DATA_MemFd | 1 << sys::SPA_DATA_MemPtr
    } else {
        1 << sys::SPA_DATA_DmaBuf
    };
    vec![
        pod(
            sys::SPA_TYPE_OBJECT_ParamBuffers,
            sys::SPA_PARAM_Buffers,
            vec![
                Property::new(sys::SPA_PARAM_BUFFERS_buffers, Value::Int(ask.buffers)),
                Property::new(
                    sys::SPA_PARAM_BUFFERS_dataType,
                    Value::Choice(ChoiceValue::Int(Choice(
                        ChoiceFlags::empty(),
                        ChoiceEnum::Flags { default: types, flags: vec![types] },
                    ))),
                ),
            ],
        ),
        pod(
            sys::SPA_TYPE_OBJECT_ParamMeta,
            sys::SPA_PARAM_Meta,
            vec![
                Property::new(sys::SPA_PARAM_META_type, Value::Id(Id(sys::SPA_META_Header))),
                Property::new(sys::SPA_PARAM_META_size, Value::Int(32)),
            ],
        ),
        meta(sys::SPA_META_VideoDamage, 16, 16 * 32),
        meta(sys::SPA_META_Cursor, 28 + 20 + 4, 28 + 20 + 384 * 384 * 4),
    ]
}

fn run(
    connection: UnixStream,
    target: u32,
    ask: Ask,
    seen: Watched<Seen>,
    inbox: pw::channel::Receiver<Job>,
) -> Result<(), pw::Error> {
    pw::init();
    let main_loop = pw::main_loop::MainLoopRc::new(None)?;
    let context = pw::context::ContextRc::new(&main_loop, None)?;
    let core = context.connect_fd_rc(connection.into(), None)?;
    let props = pw::properties::properties! {
        "media.type" => "Video",
        "media.category" => "Capture",
        "media.role" => "Screen",
        "node.target" => target.to_string(),
    };
    let stream = StreamRc::new(core, "consumer", props)?;
    let this = Rc::new(Consumer_ {
        stream: stream.clone(),
        seen,
        ask: RefCell::new(ask),
        hold: Cell::new(false),
        held: RefCell::default(),
        quit: Cell::new(false),
    });
    let listener = stream
        .add_local_listener_with_user_data(Rc::downgrade(&this))
        .state_changed(|_, c, _, new: StreamState| {
            let Some(c) = Weak::upgrade(c) else { return };
            c.seen.update(|s| s.states.push(format!("{new:?}")));
        })
        .param_changed(|stream, c, id, pod| {
            let (Some(c), sys::SPA_PARAM_Format, Some(pod)) = (Weak::upgrade(c), id, pod) else {
                return;
            };
            let (_, Value::Object(object)) = PodDeserializer::deserialize_any_from(pod.as_bytes()).unwrap() else {
                return;
            };
            let find = |key| object.properties.iter().find(|p| p.key == key);
            let size = match &find(sys::SPA_FORMAT_VIDEO_size).unwrap().value {
                Value::Rectangle(r) | Value::Choice(ChoiceValue::Rectangle(Choice(_, ChoiceEnum::None(r)))) => {
                    (r.width, r.height)
                }
                other => panic!("{other:?}"),
            };
            let choice = find(sys::SPA_FORMAT_VIDEO_modifier).map(|p| p.flags.contains(PropertyFlags::DONT_FIXATE));
            c.seen.update(|s| s.formats.push((size, choice)));
            if choice != Some(true) {
                let pods = buffers(&c.ask.borrow());
                stream.update_params(&mut as_pods(&pods)).unwrap();
            }
        })
        .add_buffer(|_, c, _| {
            if let Some(c) = Weak::upgrade(c) {
                c.seen.update(|s| s.added += 1);
            }
        })
        .remove_buffer(|_, c, buffer| {
            if let Some(c) = Weak::upgrade(c) {
                c.held.borrow_mut().retain(|held| *held != buffer);
                c.seen.update(|s| s.removed += 1);
            }
        })
        .process(|_, c| {
            if let Some(c) = Weak::upgrade(c) {
                c.process();
            }
        })
        .register()?;
    let pods = formats(&this.ask.borrow());
    stream.connect(Direction::Input, Some(target), StreamFlags::AUTOCONNECT, &mut as_pods(&pods))?;
    let jobs = this.clone();
    let _inbox = inbox.attach(main_loop.loop_(), move |job: Job| job(&jobs));
    while !this.quit.get() {
        main_loop.loop_().iterate(Timeout::Infinite);
    }
    drop(listener);
    let _ = stream.disconnect();
    Ok(())
}

impl Consumer_ {
    fn process(&self) {
        loop {
            // SAFETY: the result is checked for null, and goes back or onto the list of those held.
            let buffer = unsafe { self.stream.dequeue_raw_buffer() };
            if buffer.is_null() {
                return;
            }
            // SAFETY: just dequeued.
            let frame = unsafe { look(buffer) };
            let hold = self.hold.get();
            if hold {
                self.held.borrow_mut().push(buffer);
            } else {
                // SAFETY: just dequeued, and not kept.
                unsafe { self.stream.queue_raw_buffer(buffer) };
            }
            self.seen.update(|s| {
                s.frames.push(frame);
                s.held += usize::from(hold);
            });
        }
    }
}

/// # Safety
/// `buffer` has been dequeued and not yet queued again.
unsafe fn look(buffer: *mut pw::sys::pw_buffer) -> SeenFrame {
    // SAFETY: the caller holds the buffer: its datas, metas and fds stay until it is queued, and every range read is
    // checked against the data's size first.
    unsafe {
        let spa = (*buffer).buffer;
        let data = &*(*spa).datas;
        let chunk = &*data.chunk;
        let header = sys::spa_buffer_find_meta_data(spa, sys::SPA_META_Header, 32).cast::<sys::spa_meta_header>();
        let readable = data.fd >= 0
            && chunk.stride > 0
            && chunk.offset as usize + chunk.size as usize <= data.maxsize as usize
            && chunk.size as usize > 9 * chunk.stride as usize + 72;
        let pixels = readable.then(|| {
            let map = rustix::mm::mmap(
                std::ptr::null_mut(),
                data.maxsize as usize,
                rustix::mm::ProtFlags::READ,
                rustix::mm::MapFlags::SHARED,
                BorrowedFd::borrow_raw(data.fd as i32),
                data.mapoffset.into(),
            )
            .unwrap();
            let bytes = std::slice::from_raw_parts(map.cast::<u8>(), data.maxsize as usize);
            let at = |x: usize, y: usize| {
                let i = chunk.offset as usize + y * chunk.stride as usize + 4 * x;
                <[u8; 4]>::try_from(&bytes[i..i + 4]).unwrap()
            };
            let pixels = (at(0, 0), at(17, 9));
            rustix::mm::munmap(map, data.maxsize as usize).unwrap();
            pixels
        });
        let fd = (data.fd >= 0).then(|| BorrowedFd::borrow_raw(data.fd as i32));
        let inode = fd.map_or(0, |fd| rustix::fs::fstat(fd).unwrap().st_ino);
        let writable = fd.is_some_and(|fd| {
            let both = rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE;
            let shared = rustix::mm::MapFlags::SHARED;
            let map = rustix::mm::mmap(std::ptr::null_mut(), 4096, both, shared, fd, 0);
            map.is_ok_and(|map| rustix::mm::munmap(map, 4096).is_ok())
        });
        let bytes = |type_| {
            let meta = sys::spa_buffer_find_meta(spa, type_);
            if meta.is_null() {
                return Vec::new();
            }
            std::slice::from_raw_parts((*meta).data.cast::<u8>(), (*meta).size as usize).to_vec()
        };
        SeenFrame {
            damage: bytes(sys::SPA_META_VideoDamage),
            cursor: bytes(sys::SPA_META_Cursor),
            inode,
            writable,
            type_: data.type_,
            fd: data.fd,
            mapoffset: data.mapoffset,
            maxsize: data.maxsize,
            chunk: (chunk.offset, chunk.size, chunk.stride, chunk.flags),
            seq: (!header.is_null()).then(|| (*header).seq),
            pixels,
        }
    }
}
