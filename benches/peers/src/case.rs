//! What is shown: memory, size and rate. Only describes.

use fake_guest::{Layout, Offer, PlainMemory, ProducerOptions, SizePolicy};
use fake_host::{Builder, Dmabuf, FakeHost, Output, fourcc, modifier};

/// Frames of one kind.
#[derive(Debug)]
pub struct Case {
    /// Its name in reports.
    pub name: &'static str,
    /// Pixels.
    pub size: (u32, u32),
    /// Frames a second that the guest draws; the host always renders 60.
    pub rate: f64,
    /// How the buffers lie in files.
    pub layout: Layout,
    /// Whether they are in files at all.
    pub plain: PlainMemory,
    /// The frames are said to be DMA-BUFs (they are files: nobody here looks into them but by reading).
    pub dmabuf: bool,
}

const fn memfd(name: &'static str, width: u32, height: u32, rate: f64) -> Case {
    Case { name, size: (width, height), rate, layout: Layout::OneFdEach, plain: PlainMemory::MemFd, dmabuf: false }
}

/// All of them. Each buffer is a file of its own, as Mutter's are; or all share one; or they are memory without a file, as
/// what PipeWire itself allocates is to its consumers, which every peer has to copy.
pub const CASES: [Case; 6] = [
    memfd("memfd-720p60", 1280, 720, 60.0),
    memfd("memfd-1080p60", 1920, 1080, 60.0),
    memfd("memfd-2160p60", 3840, 2160, 60.0),
    memfd("memfd-1080p240", 1920, 1080, 240.0),
    Case { layout: Layout::SharedFd, ..memfd("onefile-1080p60", 1920, 1080, 60.0) },
    Case { plain: PlainMemory::MemPtr, ..memfd("memptr-1080p60", 1920, 1080, 60.0) },
];

impl Case {
    /// A host of that size that behaves as Wolf does, without looking at pixels.
    pub fn host(&self) -> Builder {
        let host =
            FakeHost::builder().wolf().output(Output::new(self.size.0 as i32, self.size.1 as i32, 60_000)).blind();
        if self.dmabuf { host.dmabuf(Dmabuf::feedback(5, 0, vec![(fourcc::XRGB8888, modifier::LINEAR)])) } else { host }
    }

    /// The guest's stream; `fixed` for consumers that do not ask for a size.
    pub fn stream(&self, fixed: bool) -> ProducerOptions {
        let (width, height) = self.size;
        ProducerOptions {
            offers: if self.dmabuf { Offer::gpu(&[modifier::LINEAR]) } else { Offer::software() },
            size: if fixed { SizePolicy::Fixed(width, height) } else { SizePolicy::Any(width, height) },
            layout: self.layout,
            plain: self.plain,
            ..Default::default()
        }
    }
}
