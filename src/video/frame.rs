//! One frame as it came from the guest, and the check that its memory holds what it claims. Pure but
//! for fstat.

use std::fs::File;
use std::rc::Rc;

use rustix::fs::SeekFrom;
use thiserror::Error;

use crate::video::format::PixelFormat;
use crate::video::meta::Metas;
use crate::video::negotiation::MOD_LINEAR;
use crate::video::sync::FrameSync;

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
#[derive(Debug)]
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
    /// Explicit sync, when the guest does it.
    pub sync: Option<FrameSync>,
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
    /// Another number of memory blocks than the format has planes.
    #[error("has {has} planes, where its format has {needs}")]
    Planes {
        /// Blocks there are.
        has: usize,
        /// Planes there should be.
        needs: usize,
    },
    /// Shared memory where a DMA-BUF was agreed on, or the other way round.
    #[error("is in another kind of memory than was agreed on")]
    Mistyped,
}

/// One plane of a picture, checked against its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Which of the frame's memory blocks it is in.
    pub block: usize,
    /// Bytes from the start of the block's file (or memory).
    pub offset: u64,
    /// Bytes from row to row.
    pub stride: u32,
}

/// Pixels in shared memory, checked against the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShmLayout {
    parts: [Part; MAX_PLANES],
    count: usize,
    /// Bytes of the whole picture from its first plane on, as wl_shm wants it: whole rows, planes without gaps.
    /// `None` when its planes are not so.
    pub contiguous: Option<u64>,
    /// Bytes of the first plane's whole file; the block's own size for memory without a file.
    pub file_size: u64,
}

impl ShmLayout {
    /// Each plane of the picture.
    pub fn parts(&self) -> &[Part] {
        &self.parts[..self.count]
    }

    /// The first plane.
    pub fn first(&self) -> Part {
        self.parts[0]
    }
}

/// The planes of a DMA-BUF, checked against their files as hosts check them. Offsets and strides fit 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmabufLayout {
    parts: [Part; MAX_PLANES],
    count: usize,
}

impl DmabufLayout {
    /// Each plane, those that only the modifier has included.
    pub fn parts(&self) -> &[Part] {
        &self.parts[..self.count]
    }
}

impl Frame {
    /// Whether its pixels can be read: the guest has drawn it, as far as it says.
    pub fn is_drawn(&self) -> bool {
        self.sync.as_ref().is_none_or(FrameSync::is_drawn)
    }

    /// The kind of memory that the pixels are in.
    pub fn kind(&self) -> Option<Kind> {
        self.planes.first().map(|plane| plane.kind)
    }

    /// Memory blocks with pixels: those of the first one's kind.
    fn blocks(&self) -> &[Plane] {
        let kind = self.kind();
        let count = self.planes.iter().take_while(|plane| Some(plane.kind) == kind).count();
        &self.planes[..count.min(MAX_PLANES)]
    }

    /// Which block each plane of the format is in, and where from its start. Guests give each plane a block of its
    /// own, or one block for all of them without gaps. Of more blocks than planes the first `most` count.
    fn parts(&self, most: usize) -> Result<[Part; MAX_PLANES], BadFrame> {
        let format = self.negotiated.format;
        let (has, needs) = (self.blocks().len(), format.planes().len());
        let mut parts = [Part::default(); MAX_PLANES];
        let stride = |layout: &Layout| u32::try_from(layout.stride).map_err(|_| BadFrame::Stride(layout.stride));
        if has >= needs {
            for (block, (part, layout)) in parts.iter_mut().zip(&self.layouts[..has.min(most)]).enumerate() {
                *part = Part { block, offset: layout.offset.into(), stride: stride(layout)? };
            }
        } else if has == 1 {
            let layout = &self.layouts[0];
            let places = format.contiguous(stride(layout)?, self.negotiated.height);
            for (part, (start, stride)) in parts.iter_mut().zip(places.ok_or(BadFrame::Stride(layout.stride))?) {
                *part = Part { block: 0, offset: u64::from(layout.offset) + start, stride };
            }
        } else {
            return Err(BadFrame::Planes { has, needs });
        }
        Ok(parts)
    }

    /// Checks that a frame in shared memory is all there.
    ///
    /// # Errors
    ///
    /// What does not fit; such a frame must not reach the host.
    pub fn check_shm(&self) -> Result<ShmLayout, BadFrame> {
        let negotiated = &self.negotiated;
        if negotiated.modifier.is_some_and(|modifier| modifier != MOD_LINEAR) {
            return Err(BadFrame::Mistyped);
        }
        if self.blocks().is_empty() {
            return Err(BadFrame::NoMemory);
        }
        let shapes = negotiated.format.planes();
        let mut parts = self.parts(shapes.len())?;
        let mut files = [(0, 0); MAX_PLANES];
        let mut file_size = 0;
        // How much of a block is used, and how much of that are pixels: the last row may end with its last pixel.
        let (mut bytes, mut pixels) = ([0; MAX_PLANES], [0; MAX_PLANES]);
        for (shape, part) in shapes.iter().zip(&parts) {
            let (row, stride) = (shape.row(negotiated.width), u64::from(part.stride));
            if stride < row {
                return Err(BadFrame::Stride(self.layouts[part.block].stride));
            }
            let rows = u64::from(shape.rows(negotiated.height));
            // wl_shm wants whole rows, the last one's padding included.
            bytes[part.block] = part.offset + stride * rows;
            pixels[part.block] = part.offset + stride * rows.saturating_sub(1) + row;
        }
        for (index, block) in self.blocks().iter().enumerate().filter(|(index, _)| bytes[*index] > 0) {
            let layout = &self.layouts[index];
            // More than the memory has is no harm: PipeWire tells consumers to clamp it.
            if u64::from(layout.offset) + u64::from(layout.size) < pixels[index] {
                return Err(BadFrame::Truncated(layout.size));
            }
            if bytes[index] > u64::from(block.max_size) {
                return Err(BadFrame::TooLarge(bytes[index]));
            }
            let has = match &block.fd {
                None if block.kind == Kind::MemPtr => u64::from(block.max_size),
                None => return Err(BadFrame::NoFile),
                Some(fd) => {
                    let stat = rustix::fs::fstat(fd).map_err(|_| BadFrame::NoFile)?;
                    files[index] = (stat.st_dev, stat.st_ino);
                    let has = u64::try_from(stat.st_size).map_err(|_| BadFrame::NoFile)?;
                    let needs = u64::from(block.map_offset) + bytes[index];
                    if needs > has {
                        return Err(BadFrame::ShortFile { needs, has });
                    }
                    has
                }
            };
            if index == 0 {
                file_size = has;
            }
        }
        for part in &mut parts[..shapes.len()] {
            part.offset += u64::from(self.planes[part.block].map_offset);
        }
        let parts_used = &parts[..shapes.len()];
        let first = parts[0];
        let end = shapes.iter().zip(parts_used).map(|(shape, part)| {
            let end = part.offset + u64::from(part.stride) * u64::from(shape.rows(negotiated.height));
            end.saturating_sub(first.offset)
        });
        let in_a_row = negotiated.format.contiguous(first.stride, negotiated.height).is_some_and(|places| {
            places.zip(parts_used).all(|((start, stride), part)| {
                part.offset == first.offset + start
                    && part.stride == stride
                    && files[part.block] == files[0]
                    && self.planes[part.block].fd.is_some() == self.planes[0].fd.is_some()
            })
        });
        let contiguous = end.max().filter(|_| in_a_row);
        Ok(ShmLayout { parts, count: shapes.len(), contiguous, file_size })
    }

    /// Checks a DMA-BUF as hosts do, since what they find ends the connection: every plane is there and inside its
    /// file. The layout of anything but LINEAR is the driver's business.
    ///
    /// # Errors
    ///
    /// What is wrong; such a frame must not reach the host.
    pub fn check_dmabuf(&self) -> Result<DmabufLayout, BadFrame> {
        let negotiated = &self.negotiated;
        let blocks = self.blocks();
        let modifier = negotiated.modifier.ok_or(BadFrame::Mistyped)?;
        if blocks.is_empty() || blocks.iter().any(|plane| plane.fd.is_none()) {
            return Err(BadFrame::NoMemory);
        }
        let shapes = negotiated.format.planes();
        let linear = modifier == MOD_LINEAR;
        // Only LINEAR says where a plane ends and the next begins; modifiers can have planes of their own.
        if blocks.len() < shapes.len() && !linear || blocks.len() > shapes.len() && linear {
            return Err(BadFrame::Planes { has: blocks.len(), needs: shapes.len() });
        }
        let mut parts = self.parts(MAX_PLANES)?;
        let count = blocks.len().max(shapes.len());
        for (index, part) in parts[..count].iter_mut().enumerate() {
            part.offset += u64::from(blocks[part.block].map_offset);
            let stride = u64::from(part.stride);
            let (mut row, mut rows) = (1, if index == 0 { u64::from(negotiated.height) } else { 1 });
            if let Some(shape) = shapes.get(index).filter(|_| linear) {
                (row, rows) = (shape.row(negotiated.width), u64::from(shape.rows(negotiated.height)));
            }
            if stride < row {
                return Err(BadFrame::Stride(self.layouts[part.block].stride));
            }
            let needs = part.offset + stride * rows;
            if needs > u64::from(u32::MAX) {
                return Err(BadFrame::TooLarge(needs));
            }
            // Not every kernel tells; then the host has to find out.
            let has = blocks[part.block].fd.as_ref().and_then(|fd| rustix::fs::seek(fd, SeekFrom::End(0)).ok());
            if let Some(has) = has.filter(|has| needs > *has) {
                return Err(BadFrame::ShortFile { needs, has });
            }
        }
        Ok(DmabufLayout { parts, count })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn memfd(size: u64) -> File {
        let fd = rustix::fs::memfd_create("frame", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&fd, size).unwrap();
        fd.into()
    }

    fn frame(file: u64, max_size: u32, layout: Layout, width: u32, height: u32) -> Frame {
        let mut frame = Frame {
            buffer: BufferId(1),
            planes: Rc::new([Plane { kind: Kind::MemFd, fd: Some(memfd(file)), map_offset: 0, max_size }]),
            layouts: [NOTHING; MAX_PLANES],
            negotiated: Negotiated { format: PixelFormat::Xrgb8888, modifier: None, width, height },
            pts: None,
            received: 0,
            metas: Metas::default(),
            sync: None,
        };
        frame.layouts[0] = layout;
        frame
    }

    const NOTHING: Layout = Layout { offset: 0, stride: 0, size: 0 };

    /// A picture of 8x6 pixels in as many blocks as `layouts`, each in a file of its own.
    fn planar(format: PixelFormat, modifier: Option<u64>, file: u64, layouts: &[Layout]) -> Frame {
        let kind = if modifier.is_some() { Kind::DmaBuf } else { Kind::MemFd };
        let block = |_: &Layout| Plane { kind, fd: Some(memfd(file)), map_offset: 0, max_size: file as u32 };
        let mut frame = frame(0, 0, NOTHING, 8, 6);
        frame.planes = layouts.iter().map(block).collect();
        frame.layouts[..layouts.len()].copy_from_slice(layouts);
        (frame.negotiated.format, frame.negotiated.modifier) = (format, modifier);
        frame
    }

    fn layout(offset: u32, stride: i32, size: u32) -> Layout {
        Layout { offset, stride, size }
    }

    fn places(parts: &[Part]) -> Vec<(usize, u64, u32)> {
        parts.iter().map(|part| (part.block, part.offset, part.stride)).collect()
    }

    #[test]
    fn planes_in_one_block_follow_each_other() {
        let nv12 = planar(PixelFormat::Nv12, None, 72, &[layout(0, 8, 72)]).check_shm().unwrap();
        assert_eq!(places(nv12.parts()), [(0, 0, 8), (0, 48, 8)]);
        assert_eq!(nv12.contiguous, Some(72));
        let short = planar(PixelFormat::Nv12, None, 71, &[layout(0, 8, 72)]);
        assert_eq!(short.check_shm(), Err(BadFrame::TooLarge(72)));
        let truncated = planar(PixelFormat::Nv12, None, 72, &[layout(0, 8, 71)]);
        assert_eq!(truncated.check_shm(), Err(BadFrame::Truncated(71)));
        let odd = planar(PixelFormat::Yuv420, None, 720, &[layout(0, 9, 720)]);
        assert_eq!(odd.check_shm(), Err(BadFrame::Stride(9)));
    }

    #[test]
    fn planes_apart_are_found_but_are_not_contiguous() {
        let layouts = [layout(0, 8, 48), layout(4, 4, 12), layout(0, 4, 12)];
        let shm = planar(PixelFormat::Yuv420, None, 64, &layouts).check_shm().unwrap();
        assert_eq!(places(shm.parts()), [(0, 0, 8), (1, 4, 4), (2, 0, 4)]);
        assert_eq!(shm.contiguous, None);
        let two = planar(PixelFormat::Yuv420, None, 64, &layouts[..2]);
        assert_eq!(two.check_shm(), Err(BadFrame::Planes { has: 2, needs: 3 }));
        let mut short = layouts;
        short[2].offset = 53;
        let short = planar(PixelFormat::Yuv420, None, 64, &short);
        assert_eq!(short.check_shm(), Err(BadFrame::TooLarge(65)));
    }

    #[test]
    fn blocks_of_one_file_may_be_contiguous() {
        let mut frame = planar(PixelFormat::Nv12, None, 80, &[layout(0, 8, 48), layout(0, 8, 24)]);
        let file = memfd(80);
        let block = |map_offset, max_size| {
            let fd = Some(file.try_clone().unwrap());
            Plane { kind: Kind::MemFd, fd, map_offset, max_size }
        };
        frame.planes = Rc::new([block(8, 48), block(56, 24)]);
        let shm = frame.check_shm().unwrap();
        assert_eq!((shm.first().offset, shm.contiguous), (8, Some(72)));
        frame.planes = Rc::new([block(0, 48), block(56, 24)]);
        assert_eq!(frame.check_shm().unwrap().contiguous, None);
        frame.planes = Rc::new([block(8, 48), block(57, 24)]);
        assert_eq!(frame.check_shm(), Err(BadFrame::ShortFile { needs: 81, has: 80 }));
    }

    #[test]
    fn a_dmabuf_is_checked_as_hosts_do() {
        const TILED: Option<u64> = Some(0x0100_0000_0000_0002);
        const LINEAR: Option<u64> = Some(MOD_LINEAR);
        let rgb = |modifier, file, layouts: &[Layout]| {
            let checked = planar(PixelFormat::Xrgb8888, modifier, file, layouts).check_dmabuf();
            checked.map(|layout| places(layout.parts()))
        };
        assert_eq!(rgb(LINEAR, 192, &[layout(0, 32, 0)]), Ok(vec![(0, 0, 32)]));
        assert_eq!(rgb(LINEAR, 191, &[layout(0, 32, 0)]), Err(BadFrame::ShortFile { needs: 192, has: 191 }));
        assert_eq!(rgb(LINEAR, 192, &[layout(4, 32, 0)]), Err(BadFrame::ShortFile { needs: 196, has: 192 }));
        assert_eq!(rgb(LINEAR, 192, &[layout(0, 31, 0)]), Err(BadFrame::Stride(31)));
        assert_eq!(rgb(LINEAR, 192, &[layout(0, -32, 0)]), Err(BadFrame::Stride(-32)));
        assert_eq!(rgb(TILED, 192, &[layout(0, 0, 0)]), Err(BadFrame::Stride(0)));
        assert_eq!(rgb(LINEAR, 192, &[layout(u32::MAX, 32, 0)]), Err(BadFrame::TooLarge(u64::from(u32::MAX) + 192)));
        assert_eq!(rgb(None, 192, &[layout(0, 32, 0)]), Err(BadFrame::Mistyped));
        // A compressed picture has a plane more; a plain one has not.
        let two = [layout(0, 32, 0), layout(0, 8, 0)];
        assert_eq!(rgb(TILED, 192, &two), Ok(vec![(0, 0, 32), (1, 0, 8)]));
        assert_eq!(rgb(LINEAR, 192, &two), Err(BadFrame::Planes { has: 2, needs: 1 }));
        let mut far = two;
        far[1].offset = 185;
        assert_eq!(rgb(TILED, 192, &far), Err(BadFrame::ShortFile { needs: 193, has: 192 }));
        // Where the second plane of a picture begins is known of LINEAR only.
        let nv12 = |modifier| {
            let checked = planar(PixelFormat::Nv12, modifier, 72, &[layout(0, 8, 0)]).check_dmabuf();
            checked.map(|layout| places(layout.parts()))
        };
        assert_eq!(nv12(LINEAR), Ok(vec![(0, 0, 8), (0, 48, 8)]));
        assert_eq!(nv12(TILED), Err(BadFrame::Planes { has: 1, needs: 2 }));
    }

    #[test]
    fn another_kind_of_memory_than_agreed_on_is_not_shown() {
        let mut frame = planar(PixelFormat::Xrgb8888, None, 192, &[layout(0, 32, 192)]);
        frame.negotiated.modifier = Some(5);
        assert_eq!(frame.check_shm(), Err(BadFrame::Mistyped));
        let mut frame = planar(PixelFormat::Xrgb8888, Some(5), 192, &[layout(0, 32, 192)]);
        frame.negotiated.modifier = None;
        assert_eq!(frame.check_dmabuf(), Err(BadFrame::Mistyped));
    }

    #[test]
    fn a_whole_frame_passes() {
        let whole = Layout { offset: 0, stride: 40, size: 400 };
        assert_eq!(frame(400, 400, whole, 10, 10).check_shm().unwrap().contiguous, Some(400));
    }

    #[test]
    fn what_does_not_fit_is_caught() {
        let layout = |offset, stride| layout(offset, stride, 400);
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
                let first = shm.first();
                prop_assert!(first.offset + u64::from(first.stride) * u64::from(height) <= file);
                prop_assert!(first.stride >= width * 4);
                prop_assert_eq!(shm.contiguous, Some(u64::from(first.stride) * u64::from(height)));
            }
        }

        #[test]
        fn no_plane_past_its_file_ever_passes(
            at in 0..crate::video::format::ALL.len(), dmabuf in any::<bool>(), linear in any::<bool>(),
            file in 0u64..4000, map_offset in 0u32..100, width in 1u32..40, height in 1u32..40,
            layouts in proptest::collection::vec((0u32..600, -10i32..400, any::<u32>()), 0..5),
        ) {
            let format = crate::video::format::ALL[at];
            let layouts: Vec<Layout> =
                layouts.into_iter().take(MAX_PLANES).map(|(offset, stride, size)| layout(offset, stride, size)).collect();
            let modifier = dmabuf.then_some(if linear { MOD_LINEAR } else { 7 });
            let mut frame = planar(format, modifier, file, &layouts);
            frame.planes = layouts.iter().map(|_| {
                let kind = if dmabuf { Kind::DmaBuf } else { Kind::MemFd };
                Plane { kind, fd: Some(memfd(file)), map_offset, max_size: u32::MAX }
            }).collect();
            (frame.negotiated.width, frame.negotiated.height) = (width, height);
            let shapes = format.planes();
            if let Ok(shm) = frame.check_shm() {
                prop_assert_eq!(shm.parts().len(), shapes.len());
                for (part, shape) in shm.parts().iter().zip(shapes) {
                    prop_assert!(u64::from(part.stride) >= shape.row(width));
                    prop_assert!(part.offset + u64::from(part.stride) * u64::from(shape.rows(height)) <= file);
                }
                if let Some(bytes) = shm.contiguous {
                    prop_assert!(shm.first().offset + bytes <= shm.file_size);
                }
            }
            if let Ok(dmabuf) = frame.check_dmabuf() {
                prop_assert!(dmabuf.parts().len() >= shapes.len());
                for (index, part) in dmabuf.parts().iter().enumerate() {
                    // What every host checks.
                    let rows = if index == 0 { u64::from(height) } else { 1 };
                    prop_assert!(part.stride > 0 && part.offset + u64::from(part.stride) * rows <= file);
                }
            }
        }
    }
}
