//! Owns the words a test uses to describe a cast stream: formats, sizes, memory, metas.
//! It never talks to PipeWire.

use std::{fmt, sync::Arc};

use libspa::sys;

/// A pixel format, by PipeWire's names (memory order).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pixels {
    /// DRM XRGB8888; what Mutter offers first.
    Bgrx,
    /// DRM ARGB8888.
    Bgra,
    /// DRM XBGR8888.
    Rgbx,
    /// DRM ABGR8888.
    Rgba,
    /// Any other, by its `enum spa_video_format` value.
    Other(u32),
}

impl Pixels {
    /// The `enum spa_video_format` value.
    pub fn id(self) -> u32 {
        match self {
            Self::Bgrx => sys::SPA_VIDEO_FORMAT_BGRx,
            Self::Bgra => sys::SPA_VIDEO_FORMAT_BGRA,
            Self::Rgbx => sys::SPA_VIDEO_FORMAT_RGBx,
            Self::Rgba => sys::SPA_VIDEO_FORMAT_RGBA,
            Self::Other(id) => id,
        }
    }

    /// The format of an `enum spa_video_format` value.
    pub fn from_id(id: u32) -> Self {
        [Self::Bgrx, Self::Bgra, Self::Rgbx, Self::Rgba]
            .into_iter()
            .find(|known| known.id() == id)
            .unwrap_or(Self::Other(id))
    }
}

/// One plane of a format: bytes for each block of so many pixels across and down.
pub type Shape = (u32, u32, u32);

impl Pixels {
    /// Its planes. Formats that no test asks for are taken for packed ones of four bytes.
    pub fn planes(self) -> &'static [Shape] {
        match self.id() {
            sys::SPA_VIDEO_FORMAT_RGB16 => &[(2, 1, 1)],
            sys::SPA_VIDEO_FORMAT_RGB | sys::SPA_VIDEO_FORMAT_BGR => &[(3, 1, 1)],
            sys::SPA_VIDEO_FORMAT_RGBA_F16 => &[(8, 1, 1)],
            sys::SPA_VIDEO_FORMAT_YUY2 => &[(4, 2, 1)],
            sys::SPA_VIDEO_FORMAT_NV12 => &[(1, 1, 1), (2, 2, 2)],
            sys::SPA_VIDEO_FORMAT_P010_10LE => &[(2, 1, 1), (4, 2, 2)],
            sys::SPA_VIDEO_FORMAT_I420 => &[(1, 1, 1), (1, 2, 2), (1, 2, 2)],
            _ => &[(4, 1, 1)],
        }
    }
}

/// How the planes of a picture lie in the datas of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// All in the first, one after the other.
    One,
    /// Each in its own, with a fd of its own.
    Each,
    /// Each in its own, at its own chunk offset in the same fd.
    EachInOneFd,
}

/// One EnumFormat pod: a pixel format, with modifiers (then DMA-BUF) or without (then plain memory).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The pixel format.
    pub pixels: Pixels,
    /// DRM modifiers, best first; empty for plain memory.
    pub modifiers: Vec<u64>,
}

impl Offer {
    /// Plain memory.
    pub fn plain(pixels: Pixels) -> Self {
        Self { pixels, modifiers: Vec::new() }
    }

    /// DMA-BUF with one of these modifiers, which the producer picks once the consumer has filtered them.
    pub fn dmabuf(pixels: Pixels, modifiers: &[u64]) -> Self {
        Self { pixels, modifiers: modifiers.to_vec() }
    }

    /// What Mutter 46+ offers without a GPU.
    pub fn software() -> Vec<Self> {
        vec![Self::plain(Pixels::Bgrx), Self::plain(Pixels::Bgra)]
    }

    /// What Mutter 46+ offers with a GPU: both formats with modifiers, then both without.
    pub fn gpu(modifiers: &[u64]) -> Vec<Self> {
        let mut offers = vec![Self::dmabuf(Pixels::Bgrx, modifiers), Self::dmabuf(Pixels::Bgra, modifiers)];
        offers.extend(Self::software());
        offers
    }
}

/// Whose size the stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizePolicy {
    /// The producer's, as RecordMonitor's: a consumer that wants another one gets no format.
    Fixed(u32, u32),
    /// The consumer's, from 1x1 to 16384x16386, at any time, as RecordVirtual's; this is the default of the range.
    Any(u32, u32),
}

impl SizePolicy {
    pub(crate) fn default_size(self) -> (u32, u32) {
        match self {
            Self::Fixed(w, h) | Self::Any(w, h) => (w, h),
        }
    }
}

/// Frames a second as a fraction.
pub type Rate = (u32, u32);

/// What buffers without a modifier are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainMemory {
    /// The producer's own memfds, as Mutter's.
    MemFd,
    /// Memory that the daemon allocates: the consumer sees MemPtr, with fd -1. Excludes offers with modifiers.
    MemPtr,
}

/// What buffers with a modifier are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dmabufs {
    /// Memfds that are called DMA-BUFs: what needs no device, and what only a fake host takes.
    Pretended,
    /// Of /dev/udmabuf; GPUs refuse them, or some do.
    Udmabuf,
    /// Of /dev/dma_heap/system.
    DmaHeap,
    /// Resources of the virtio GPU, filled by the CPU: its hosts take them (XRGB8888, no row padding).
    VirtioGpu,
    /// Of vgem, a DRM device that is no GPU.
    Vgem,
}

/// How buffers lie in file descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One fd for each buffer, at offset 0.
    OneFdEach,
    /// All buffers of one negotiation in one fd, each at its own page-aligned `mapoffset`.
    SharedFd,
}

/// What a consumer may do with a memfd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// Map it read-write, as libwayland does with a pool.
    None,
    /// New writable mappings are refused (F_SEAL_FUTURE_WRITE, so the producer can still draw).
    Write,
    /// The fd is open for reading only.
    ReadOnlyFd,
}

/// Which metas the producer offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metas {
    /// SPA_META_Header.
    pub header: bool,
    /// SPA_META_VideoDamage, up to 32 rectangles.
    pub damage: bool,
    /// SPA_META_VideoCrop.
    pub crop: bool,
    /// SPA_META_VideoTransform.
    pub transform: bool,
    /// SPA_META_Cursor, with room for a bitmap of 384x384.
    pub cursor: bool,
}

impl Metas {
    /// Those of Mutter 45+.
    pub const MUTTER: Self = Self { header: true, damage: true, crop: true, transform: false, cursor: true };
    /// All of them.
    pub const ALL: Self = Self { transform: true, ..Self::MUTTER };
    /// None at all.
    pub const NONE: Self = Self { header: false, damage: false, crop: false, transform: false, cursor: false };
}

/// Explicit sync on DMA-BUF streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timelines {
    /// Not offered.
    None,
    /// Offered as Mutter 48 does on a GPU: each buffer's timeline is the kernel's. Needs a render node and PipeWire 1.2.
    Real,
    /// The same, with the release points on a timeline of their own.
    Apart,
    /// Offered, but what is handed out are no timelines.
    Unusable,
}

/// What happens on the producer's side, for those who have to react to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProducerEvent {
    /// The node exists on the daemon.
    Node(u32),
    /// The stream is STREAMING.
    Streaming,
    /// A final format came.
    Format {
        /// Width and height in pixels.
        size: (u32, u32),
        /// It differs from the format's before, or is the first.
        new_size: bool,
    },
    /// The stream fell out of STREAMING.
    Stopped,
    /// The daemon is gone, or has refused the stream.
    Lost,
}

/// A listener for [`ProducerEvent`]s; called on the producer's thread.
#[derive(Clone)]
pub struct OnEvent(pub Arc<dyn Fn(ProducerEvent) + Send + Sync>);

impl fmt::Debug for OnEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnEvent")
    }
}

/// A cast stream, described.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// `node.name`.
    pub name: String,
    /// `media.class`.
    pub media_class: String,
    /// Formats, in the order offered.
    pub offers: Vec<Offer>,
    /// Whose size it is.
    pub size: SizePolicy,
    /// Range of maxFramerate: default, lowest, highest; `None` leaves it out, as gamescope does.
    pub max_framerate: Option<(Rate, Rate, Rate)>,
    /// Range of the number of buffers: default, lowest, highest.
    pub buffers: (u32, u32, u32),
    /// Memory of offers without modifiers.
    pub plain: PlainMemory,
    /// Memory of offers with modifiers; real ones are one fd each.
    pub dmabufs: Dmabufs,
    /// How buffers lie in fds.
    pub layout: Layout,
    /// How planes lie in datas; other than [`Blocks::One`] goes with [`Layout::OneFdEach`].
    pub blocks: Blocks,
    /// Datas are of the other type than was agreed on: memfd for DMA-BUF, or the other way round.
    pub mistyped: bool,
    /// What may be done with the fds.
    pub seal: Seal,
    /// Bytes added to each row's end (of the first plane; the others follow).
    pub row_padding: u32,
    /// Metas offered.
    pub metas: Metas,
    /// Explicit sync.
    pub timelines: Timelines,
    /// The modifier fixated when the consumer leaves a choice; else the first of what it left.
    pub prefer_modifier: Option<u64>,
    /// The stream ends as soon as it is to allocate buffers of this modifier.
    pub fails_with: Option<u64>,
    /// Told of what happens.
    pub on_event: Option<OnEvent>,
}

impl ProducerOptions {
    /// gamescope's node, of this size: BGRx and NV12, LINEAR or plain, and no meta but the header. (The real one leaves the
    /// choice of the modifier to PipeWire, and has a size where this has a range of one.)
    pub fn gamescope(width: u32, height: u32) -> Self {
        let nv12 = Pixels::Other(sys::SPA_VIDEO_FORMAT_NV12);
        let of = |pixels| [Offer::dmabuf(pixels, &[0]), Offer::plain(pixels)];
        Self {
            name: "gamescope".into(),
            offers: [of(Pixels::Bgrx), of(nv12)].concat(),
            size: SizePolicy::Fixed(width, height),
            max_framerate: None,
            buffers: (4, 1, 8),
            metas: Metas { header: true, ..Metas::NONE },
            ..Self::default()
        }
    }
}

impl Default for ProducerOptions {
    /// A virtual monitor of Mutter 50 without a GPU.
    fn default() -> Self {
        Self {
            name: "meta-screen-cast-src".into(),
            media_class: "Video/Source".into(),
            offers: Offer::software(),
            size: SizePolicy::Any(1280, 720),
            max_framerate: Some(((60, 1), (1, 1), (1000, 1))),
            buffers: (8, 2, 16),
            plain: PlainMemory::MemFd,
            dmabufs: Dmabufs::Pretended,
            layout: Layout::OneFdEach,
            blocks: Blocks::One,
            mistyped: false,
            seal: Seal::None,
            timelines: Timelines::None,
            row_padding: 0,
            metas: Metas::MUTTER,
            prefer_modifier: None,
            fails_with: None,
            on_event: None,
        }
    }
}
