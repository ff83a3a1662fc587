//! One frame as it came from the guest, and the check that its memory holds what it claims. Pure but
//! for fstat.

use std::fs::File;
use std::rc::Rc;

use thiserror::Error;

use crate::video::format::PixelFormat;
use crate::video::meta::Metas;

/// A PipeWire buffer: unique for the life of the program, unlike its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u64);

/// What the stream has settled on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Pixel format.
    pub format: PixelFormat,
    /// Modifier of DMA-BUFs; `None` is shared memory.
    pub modifier: Option<u64>,
    /// Width in pixels, 1 to 16384.
    pub width: u32,
    /// Height in pixels, 1 to 16384.
    pub height: u32,
}

/// What kind of memory a plane is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A DMA-BUF.
    DmaBuf,
    /// A file that can be mapped.
    MemFd,
    /// Memory that only this process sees.
    MemPtr,
}

/// The memory of one plane of a buffer; the descriptor is our own duplicate.
#[derive(Debug)]
pub struct Plane {
    /// Kind of memory.
    pub kind: Kind,
    /// The file; `None` for [`Kind::MemPtr`].
    pub fd: Option<File>,
    /// Where the plane's memory starts in the file, in bytes.
    pub map_offset: u32,
    /// Bytes of the plane's memory.
    pub max_size: u32,
}

/// Where the pixels of one plane are in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes from the start of the plane's memory.
    pub offset: u32,
    /// Bytes from one row to the next.
    pub stride: i32,
    /// Bytes with pixels.
    pub size: u32,
}

/// At most so many planes (linux-dmabuf's limit).
pub const MAX_PLANES: usize = 4;

/// A frame with pixels.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The buffer it is in, to be given back.
    pub buffer: BufferId,
    /// Its memory.
    pub planes: Rc<[Plane]>,
    /// The layout of each plane.
    pub layouts: [Layout; MAX_PLANES],
    /// Format and size of the pixels.
    pub negotiated: Negotiated,
    /// The guest's clock when it was drawn: CLOCK_MONOTONIC, ns.
    pub pts: Option<i64>,
    /// When it was taken from PipeWire: CLOCK_MONOTONIC, ns.
    pub received: i64,
    /// What changed in it, and how the picture lies in the buffer.
    pub metas: Metas,
}

/// Why a frame must not reach the host.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadFrame {
    /// Nothing in it.
    #[error("has no memory")]
    NoMemory,
    /// Negative, or shorter than a row of pixels.
    #[error("has a row length of {0} bytes, too short for its width")]
    Stride(i32),
    /// Fewer bytes with pixels than the picture has.
    #[error("has only {0} bytes of pixels, too few for its size")]
    Truncated(u32),
    /// Pixels end past the plane's memory.
    #[error("claims {0} bytes, more than its memory has")]
    TooLarge(u64),
    /// The file is shorter than the plane claims, so reading it would be fatal.
    #[error("needs {needs} bytes of a file that has {has}")]
    ShortFile {
        /// Bytes needed.
        needs: u64,
        /// Bytes there are.
        has: u64,
    },
    /// The file cannot be asked for its size.
    #[error("has a descriptor that is no file")]
    NoFile,
}

/// Pixels in shared memory, checked against the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShmLayout {
    /// Bytes from the start of the file (or memory).
    pub offset: u64,
    /// Bytes from row to row.
    pub stride: u32,
    /// Bytes of the whole file; the plane's own size for memory without a file.
    pub file_size: u64,
}

impl Frame {
    /// The kind of memory that the pixels are in.
    pub fn kind(&self) -> Option<Kind> {
        self.planes.first().map(|plane| plane.kind)
    }

    /// Checks that a frame in one plane of shared memory is all there.
    ///
    /// # Errors
    ///
    /// What does not fit; such a frame must not reach the host.
    pub fn check_shm(&self) -> Result<ShmLayout, BadFrame> {
        let plane = self.planes.first().ok_or(BadFrame::NoMemory)?;
        let layout = self.layouts[0];
        let negotiated = &self.negotiated;
        let row = u64::from(negotiated.width) * u64::from(negotiated.format.bytes_per_pixel());
        let stride = u32::try_from(layout.stride).map_err(|_| BadFrame::Stride(layout.stride))?;
        if u64::from(stride) < row {
            return Err(BadFrame::Stride(layout.stride));
        }
        // More than the memory has is no harm: PipeWire tells consumers to clamp it.
        let pixels = u64::from(stride) * u64::from(negotiated.height.saturating_sub(1)) + row;
        if u64::from(layout.size) < pixels {
            return Err(BadFrame::Truncated(layout.size));
        }
        // wl_shm wants whole rows, the last one's padding included.
        let bytes = u64::from(stride) * u64::from(negotiated.height);
        let end = u64::from(layout.offset) + bytes;
        if end > u64::from(plane.max_size) {
            return Err(BadFrame::TooLarge(end));
        }
        let offset = u64::from(plane.map_offset) + u64::from(layout.offset);
        let file_size = match &plane.fd {
            None => u64::from(plane.max_size),
            Some(fd) => {
                let has = rustix::fs::fstat(fd).map_err(|_| BadFrame::NoFile)?.st_size;
                let has = u64::try_from(has).map_err(|_| BadFrame::NoFile)?;
                let needs = offset + bytes;
                if needs > has {
                    return Err(BadFrame::ShortFile { needs, has });
                }
                has
            }
        };
        Ok(ShmLayout { offset, stride, file_size })
    }

    /// Checks what can be checked of a DMA-BUF: its planes have descriptors and sane rows. The number of
    /// planes; sizes are the driver's business.
    ///
    /// # Errors
    ///
    /// What is wrong; such a frame must not reach the host.
    pub fn check_dmabuf(&self) -> Result<usize, BadFrame> {
        let count = self.planes.iter().take_while(|plane| plane.kind == Kind::DmaBuf).count().min(MAX_PLANES);
        if count == 0 || self.planes[..count].iter().any(|plane| plane.fd.is_none()) {
            return Err(BadFrame::NoMemory);
        }
        for layout in &self.layouts[..count] {
            if layout.stride <= 0 {
                return Err(BadFrame::Stride(layout.stride));
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(file: u64, max_size: u32, layout: Layout, width: u32, height: u32) -> Frame {
        let fd = rustix::fs::memfd_create("frame", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&fd, file).unwrap();
        Frame {
            buffer: BufferId(1),
            planes: Rc::new([Plane { kind: Kind::MemFd, fd: Some(File::from(fd)), map_offset: 0, max_size }]),
            layouts: [layout; MAX_PLANES],
            negotiated: Negotiated { format: PixelFormat::Xrgb8888, modifier: None, width, height },
            pts: None,
            received: 0,
            metas: Metas::default(),
        }
    }

    #[test]
    fn a_whole_frame_passes() {
        let whole = Layout { offset: 0, stride: 40, size: 400 };
        assert_eq!(frame(400, 400, whole, 10, 10).check_shm(), Ok(ShmLayout { offset: 0, stride: 40, file_size: 400 }));
    }

    #[test]
    fn what_does_not_fit_is_caught() {
        let layout = |offset, stride| Layout { offset, stride, size: 400 };
        assert_eq!(frame(400, 400, layout(0, 39), 10, 10).check_shm(), Err(BadFrame::Stride(39)));
        assert_eq!(frame(400, 400, layout(0, -40), 10, 10).check_shm(), Err(BadFrame::Stride(-40)));
        assert_eq!(frame(400, 400, layout(4, 40), 10, 10).check_shm(), Err(BadFrame::TooLarge(404)));
        let truncated = Layout { offset: 0, stride: 40, size: 399 };
        assert_eq!(frame(400, 400, truncated, 10, 10).check_shm(), Err(BadFrame::Truncated(399)));
        assert_eq!(
            frame(100, 400, layout(0, 40), 10, 10).check_shm(),
            Err(BadFrame::ShortFile { needs: 400, has: 100 })
        );
    }

    proptest! {
        #[test]
        fn nothing_past_the_file_ever_passes(
            file in 0u64..100_000, max_size in any::<u32>(), offset in any::<u32>(), stride in any::<i32>(),
            size in any::<u32>(), width in 1u32..200, height in 1u32..200,
        ) {
            let frame = frame(file, max_size, Layout { offset, stride, size }, width, height);
            if let Ok(shm) = frame.check_shm() {
                prop_assert!(shm.offset + u64::from(shm.stride) * u64::from(height) <= file);
                prop_assert!(shm.stride >= width * 4);
            }
        }
    }
}
