//! What is shown: whose frames, in which memory, of which size and rate, and by whom. Only describes.

use fake_guest::{Dmabufs, Layout, Offer, PlainMemory, ProducerOptions, SizePolicy};
use fake_host::{Builder, Dmabuf, FakeHost, Output, fourcc, modifier};
use lab::Suite;

use crate::peer::{GST_PEERS, PEERS, Peer};

/// Whose frames are shown.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// Those of a producer that draws nothing but the time.
    Frames(Frames),
    /// A real GNOME's, on whose monitor a window shows another picture at every chance.
    Gnome(Suite),
    /// A real sway's.
    Sway,
    /// A real KWin's, which records nothing unless a GPU draws it.
    Kwin,
}

/// Frames of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    /// Frames a second that the guest draws; the host always renders 60.
    pub rate: f64,
    /// How the buffers lie in files.
    pub layout: Layout,
    /// Whether they are in files at all.
    pub plain: PlainMemory,
    /// They are DMA-BUFs: the virtio GPU's own, which takes one.
    pub dmabuf: bool,
}

/// What is measured together.
#[derive(Debug)]
pub struct Case {
    /// Its name in reports.
    pub name: &'static str,
    /// Pixels.
    pub size: (u32, u32),
    pub source: Source,
    /// Who shows it, in the order of their turns.
    pub peers: &'static [Peer],
}

const PLAIN: Frames = Frames { rate: 60.0, layout: Layout::OneFdEach, plain: PlainMemory::MemFd, dmabuf: false };

const fn frames(name: &'static str, width: u32, height: u32, frames: Frames) -> Case {
    Case { name, size: (width, height), source: Source::Frames(frames), peers: &GST_PEERS }
}

/// All of them. Each buffer is a file of its own, as Mutter's are; or all share one; or they are memory without a file, as
/// what PipeWire itself allocates is to its consumers, which every peer has to copy; or they are DMA-BUFs of a GPU.
pub const CASES: [Case; 11] = [
    frames("memfd-720p60", 1280, 720, PLAIN),
    frames("memfd-1080p60", 1920, 1080, PLAIN),
    frames("memfd-2160p60", 3840, 2160, PLAIN),
    frames("memfd-1080p240", 1920, 1080, Frames { rate: 240.0, ..PLAIN }),
    frames("onefile-1080p60", 1920, 1080, Frames { layout: Layout::SharedFd, ..PLAIN }),
    frames("memptr-1080p60", 1920, 1080, Frames { plain: PlainMemory::MemPtr, ..PLAIN }),
    frames("dmabuf-720p60", 1280, 720, Frames { dmabuf: true, ..PLAIN }),
    Case { name: "gnome48-720p60", size: (1280, 720), source: Source::Gnome(Suite::Trixie), peers: &GST_PEERS },
    Case {
        name: "gnome50-720p60",
        size: (1280, 720),
        source: Source::Gnome(Suite::Forky),
        peers: &[Peer::Bridge, Peer::Devkit],
    },
    // Its portal, and what that needs to hand a stream to another program, is not the peers' to know.
    Case { name: "sway-720p60", size: (1280, 720), source: Source::Sway, peers: &[Peer::Bridge] },
    Case { name: "kwin-720p60", size: (1280, 720), source: Source::Kwin, peers: &[Peer::Bridge] },
];

const _: () = assert!(PEERS.len() == GST_PEERS.len() + 1);

impl Case {
    /// It needs a GPU: the virtual machine has one.
    pub fn needs_gpu(&self) -> bool {
        self.is_drawn_on_gpu() || matches!(self.source, Source::Frames(Frames { dmabuf: true, .. }))
    }

    /// Its frames are DMA-BUFs that a GPU draws; else a CPU does.
    pub fn is_drawn_on_gpu(&self) -> bool {
        matches!(self.source, Source::Kwin)
    }

    /// It needs a real desktop.
    pub fn needs_desktop(&self) -> bool {
        !matches!(self.source, Source::Frames(_))
    }

    /// A host of that size that behaves as Wolf does, without looking at pixels.
    pub fn host(&self) -> Builder {
        let output = Output::new(self.size.0 as i32, self.size.1 as i32, 60_000);
        let host = FakeHost::builder().wolf().output(output).blind();
        // GStreamer has no word for DRM_FORMAT_MOD_INVALID: with that alone it would not take part. KWin's GPU knows no other.
        let modifier = if self.is_drawn_on_gpu() { modifier::INVALID } else { modifier::LINEAR };
        if self.needs_gpu() { host.dmabuf(Dmabuf::feedback(5, 0, vec![(fourcc::XRGB8888, modifier)])) } else { host }
    }
}

impl Frames {
    /// The guest's stream; `fixed` for consumers that do not ask for a size.
    pub fn stream(&self, (width, height): (u32, u32), fixed: bool) -> ProducerOptions {
        ProducerOptions {
            offers: if self.dmabuf { Offer::gpu(&[modifier::LINEAR]) } else { Offer::software() },
            dmabufs: if self.dmabuf { Dmabufs::VirtioGpu } else { Dmabufs::Pretended },
            size: if fixed { SizePolicy::Fixed(width, height) } else { SizePolicy::Any(width, height) },
            layout: self.layout,
            plain: self.plain,
            ..Default::default()
        }
    }
}
