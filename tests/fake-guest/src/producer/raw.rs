//! Owns every access to a raw `pw_buffer` of the producer's stream: small functions, one proof each.
//! It never keeps a pointer; the worker does, between add_buffer and remove_buffer.

use std::{ptr, slice};

use libspa::sys;
use pipewire::{stream::Stream, sys as pw_sys};

use super::{
    frame::{Chunk, Cursor, Fill, Frame, coded_pixel, time_code},
    memory::Slot,
    pods::{DATA_SYNC_OBJ, META_SYNC_TIMELINE, Place},
};

/// A buffer of the stream. Valid from its add_buffer to its remove_buffer, which the worker observes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Raw(pub(crate) *mut pw_sys::pw_buffer);

impl Raw {
    fn datas(self) -> &'static mut [sys::spa_data] {
        // SAFETY: libpipewire keeps a buffer and its `n_datas` datas in place until remove_buffer has returned, the
        // worker forgets it then, and all of this happens on the one thread of the stream's loop.
        unsafe {
            let buffer = (*self.0).buffer;
            slice::from_raw_parts_mut((*buffer).datas, (*buffer).n_datas as usize)
        }
    }

    fn metas(self) -> &'static [sys::spa_meta] {
        // SAFETY: as for `datas`.
        unsafe {
            let buffer = (*self.0).buffer;
            slice::from_raw_parts((*buffer).metas, (*buffer).n_metas as usize)
        }
    }

    /// The mask of data types that both sides agreed on; only right before anyone has allocated.
    pub(crate) fn allowed_types(self) -> u32 {
        self.datas().first().map_or(0, |data| data.type_)
    }

    /// The largest picture the first data holds, in bytes.
    pub(crate) fn room(self) -> u32 {
        self.datas().first().map_or(0, |data| data.maxsize)
    }

    /// Allocates: makes a data a part of a memfd.
    pub(crate) fn allocate(self, index: usize, type_: u32, slot: &Slot, flags: u32) {
        let Some(data) = self.datas().get_mut(index) else {
            return;
        };
        data.type_ = type_;
        data.flags = flags;
        data.fd = slot.memory.fd().into();
        data.mapoffset = slot.offset as u32;
        data.maxsize = slot.size as u32;
        data.data = slot.memory.start().wrapping_add(slot.offset).cast();
    }

    /// Whether both sides agreed on points for its frames.
    pub(crate) fn is_synced(self) -> bool {
        self.datas().len() >= 3 && self.metas().iter().any(|meta| meta.type_ == META_SYNC_TIMELINE && meta.size == 24)
    }

    /// Makes the last two datas its timelines, for acquire and release.
    pub(crate) fn add_timelines(self, fds: [i64; 2]) {
        if let [.., acquire, release] = self.datas() {
            for (data, fd) in [acquire, release].into_iter().zip(fds) {
                data.type_ = DATA_SYNC_OBJ;
                data.flags = sys::SPA_DATA_FLAG_READABLE;
                data.fd = fd;
            }
        }
    }

    /// Writes the points of a frame: when it is drawn, and when it is no longer read.
    pub(crate) fn write_points(self, acquire: u64, release: u64) {
        for meta in self.metas().iter().filter(|meta| meta.type_ == META_SYNC_TIMELINE) {
            put(meta, 8, &acquire.to_ne_bytes());
            put(meta, 16, &release.to_ne_bytes());
        }
    }

    /// Undoes [`allocate`](Self::allocate), so that libpipewire sees nothing of a closed fd.
    pub(crate) fn forget(self) {
        for data in self.datas() {
            data.fd = -1;
            data.data = ptr::null_mut();
        }
    }

    /// Draws and writes the chunks and the metas.
    pub(crate) fn write(self, frame: &Frame, (width, _): (u32, u32), places: &[Place]) {
        if let (Fill::Time, Some(header)) = (frame.fill, frame.header) {
            self.draw_time(header.pts);
        }
        let mut seen = 0;
        for place in places {
            self.draw(frame.fill, width, place, seen);
            seen += place.shape.0 as usize;
        }
        for (index, chunk) in std::iter::once(&frame.chunk).chain(&frame.more).enumerate() {
            self.write_chunk(index, *chunk);
        }
        for meta in self.metas() {
            write_meta(meta, frame);
        }
    }

    fn draw_time(self, pts: i64) {
        let data = self.datas().first().filter(|data| !data.data.is_null() && data.maxsize >= 16);
        let Some(data) = data else { return };
        // SAFETY: as for `draw`: `data` points at `maxsize` bytes, which are enough.
        let start = unsafe { slice::from_raw_parts_mut(data.data.cast::<u8>(), 16) };
        start.copy_from_slice(&time_code(pts));
    }

    /// Draws one plane: its blocks take their bytes from the colour's, over and over, `skip` of them first.
    fn draw(self, fill: Fill, width: u32, place: &Place, skip: usize) {
        let Some(data) = self.datas().get(place.data) else {
            return;
        };
        if matches!(fill, Fill::Keep | Fill::Time) || data.data.is_null() {
            return;
        }
        // SAFETY: `data` points at `maxsize` bytes: ours (allocate) or mapped by libpipewire (MAP_BUFFERS). The
        // consumer only reads.
        let bytes = unsafe { slice::from_raw_parts_mut(data.data.cast::<u8>(), data.maxsize as usize) };
        let (block, across, _) = place.shape;
        let start = (place.offset as usize).min(bytes.len());
        let rows = bytes[start..].chunks_mut(place.stride as usize).take(place.rows as usize);
        for (y, row) in rows.enumerate() {
            let blocks = row.chunks_exact_mut(block as usize).take(width.div_ceil(across) as usize);
            for (x, pixel) in blocks.enumerate() {
                let colour = match fill {
                    Fill::Solid(colour) => colour,
                    Fill::Coded(frame) => coded_pixel(x as u32, y as u32, frame),
                    Fill::Keep | Fill::Time => return,
                };
                if let ([_, _, _, _], 0) = (&*pixel, skip) {
                    pixel.copy_from_slice(&colour);
                } else {
                    pixel.iter_mut().zip(colour.iter().cycle().skip(skip)).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }

    fn write_chunk(self, index: usize, chunk: Chunk) {
        let Some(data) = self.datas().get(index) else {
            return;
        };
        // SAFETY: every data has a chunk in the buffer's shared memory, for as long as the buffer lives.
        if let Some(written) = unsafe { data.chunk.as_mut() } {
            written.offset = chunk.offset;
            written.size = chunk.size;
            written.stride = chunk.stride;
            written.flags = chunk.flags;
        }
    }
}

/// Copies bytes into a meta, as far as they fit.
fn put(meta: &sys::spa_meta, at: usize, bytes: &[u8]) {
    let room = (meta.size as usize).saturating_sub(at);
    let bytes = &bytes[..bytes.len().min(room)];
    // SAFETY: a meta's data is `size` bytes of the buffer's shared memory, and `bytes` is cut to end within.
    unsafe {
        let target = meta.data.cast::<u8>().add(at.min(meta.size as usize));
        ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
    }
}

fn words<const N: usize>(values: [u32; N]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_ne_bytes()).collect()
}

fn region((x, y, width, height): super::frame::Rect) -> Vec<u8> {
    words([x as u32, y as u32, width, height])
}

fn write_meta(meta: &sys::spa_meta, frame: &Frame) {
    match meta.type_ {
        sys::SPA_META_Header => {
            let mut bytes = vec![0; size_of::<sys::spa_meta_header>()];
            if let Some(header) = frame.header {
                bytes[0..4].copy_from_slice(&header.flags.to_ne_bytes());
                bytes[8..16].copy_from_slice(&header.pts.to_ne_bytes());
                bytes[24..32].copy_from_slice(&header.seq.to_ne_bytes());
            }
            put(meta, 0, &bytes);
        }
        // As in Mutter's cursor-only buffers: nobody has touched these.
        sys::SPA_META_VideoCrop | sys::SPA_META_VideoDamage if frame.chunk.size == 0 => {}
        sys::SPA_META_VideoTransform => put(meta, 0, &frame.transform.to_ne_bytes()),
        sys::SPA_META_VideoCrop => put(meta, 0, &region(frame.crop.unwrap_or_default())),
        sys::SPA_META_VideoDamage => {
            // An invalid rectangle ends the list.
            let mut bytes: Vec<u8> = frame.damage.iter().copied().flat_map(region).collect();
            bytes.extend(region(Default::default()));
            put(meta, 0, &bytes);
        }
        sys::SPA_META_Cursor => put(meta, 0, &cursor(frame.cursor.as_ref())),
        _ => {}
    }
}

/// `struct spa_meta_cursor`, followed by `struct spa_meta_bitmap` and the pixels.
fn cursor(cursor: Option<&Cursor>) -> Vec<u8> {
    let none = Cursor::default();
    let cursor = cursor.unwrap_or(&none);
    let head = size_of::<sys::spa_meta_cursor>() as u32;
    let bitmap = cursor.bitmap.as_ref();
    let mut bytes = words([
        cursor.id,
        0,
        cursor.position.0 as u32,
        cursor.position.1 as u32,
        cursor.hotspot.0 as u32,
        cursor.hotspot.1 as u32,
        bitmap.map_or(0, |_| head),
    ]);
    if let Some(((width, height), pixels)) = bitmap {
        let after = size_of::<sys::spa_meta_bitmap>() as u32;
        let format = sys::SPA_VIDEO_FORMAT_RGBA;
        let empty = *width == 0 || *height == 0;
        let offset = if empty { 0 } else { after };
        bytes.extend(words([format, *width, *height, width.wrapping_mul(4), offset]));
        bytes.extend(pixels);
    }
    bytes
}

/// Takes a buffer that has come home, if there is one.
pub(crate) fn dequeue(stream: &Stream) -> Option<Raw> {
    // SAFETY: the pointer is null or a buffer of this stream, which goes back only through `queue`.
    let buffer = unsafe { stream.dequeue_raw_buffer() };
    (!buffer.is_null()).then_some(Raw(buffer))
}

/// Sends a buffer to the consumer.
pub(crate) fn queue(stream: &Stream, buffer: Raw) {
    // SAFETY: the worker passes only buffers that it dequeued from this stream and that were not removed since.
    unsafe { stream.queue_raw_buffer(buffer.0) }
}
