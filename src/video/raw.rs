//! The few functions that touch PipeWire's C structs, each with the reason why it may.
//! They only read, dequeue and queue; all decisions are elsewhere.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use libspa::sys;
use pipewire::stream::Stream;
use pipewire::sys::{pw_buffer, pw_stream_update_properties};

use crate::video::frame::{Kind, Layout, MAX_PLANES, Plane};
use crate::video::meta::{BadMeta, Metas};
use crate::video::sync::{Points, SyncFds};
use crate::video::sync_spa::{SPA_DATA_SYNC_OBJ, SPA_META_SYNC_TIMELINE, read_points};

/// A pw_buffer of a stream, between its add_buffer and its remove_buffer.
///
/// Only [`describe`] and [`dequeue`] make one, from pointers that PipeWire hands out; the stream forgets it
/// in remove_buffer, so one that can still be looked up is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferPtr(*mut pw_buffer);

impl BufferPtr {
    /// Whether this is the buffer at that address.
    pub fn is(self, buffer: *mut pw_buffer) -> bool {
        self.0 == buffer
    }
}

/// What a dequeued buffer holds.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    /// Layout of each plane.
    pub layouts: [Layout; MAX_PLANES],
    /// The header's time, ns.
    pub pts: Option<i64>,
}

/// Sets a property of a stream that is not connected yet.
pub fn set_property(stream: &Stream, key: &str, value: &str) {
    let (Ok(key), Ok(value)) = (CString::new(key), CString::new(value)) else { return };
    let item = sys::spa_dict_item { key: key.as_ptr(), value: value.as_ptr() };
    let dict = sys::spa_dict { flags: 0, n_items: 1, items: &raw const item };
    // SAFETY: both strings and the item live through the call, which copies them.
    unsafe { pw_stream_update_properties(stream.as_raw_ptr(), &raw const dict) };
}

/// Takes the next filled buffer.
pub fn dequeue(stream: &Stream) -> Option<BufferPtr> {
    // SAFETY: the stream is connected and this is its loop's thread; null means none.
    let buffer = unsafe { stream.dequeue_raw_buffer() };
    (!buffer.is_null()).then_some(BufferPtr(buffer))
}

/// Gives a buffer back.
pub fn queue(stream: &Stream, buffer: BufferPtr) {
    // SAFETY: callers look the buffer up among those not removed, and it was dequeued from this stream.
    unsafe { stream.queue_raw_buffer(buffer.0) }
}

/// The data blocks of a buffer.
fn datas(buffer: BufferPtr) -> &'static [sys::spa_data] {
    // SAFETY: between add_buffer and remove_buffer, pw_buffer.buffer and its arrays are valid and their
    // lengths fixed; no caller keeps the slice past its own call from a PipeWire callback or a look-up.
    unsafe {
        let Some(buffer) = buffer.0.as_ref().and_then(|buffer| buffer.buffer.as_ref()) else { return &[] };
        if buffer.datas.is_null() {
            return &[];
        }
        std::slice::from_raw_parts(buffer.datas, buffer.n_datas as usize)
    }
}

/// Describes a buffer that was just added, with duplicates of its descriptors.
pub fn describe(buffer: *mut pw_buffer) -> (BufferPtr, Rc<[Plane]>) {
    let pointer = BufferPtr(buffer);
    let planes = datas(pointer)
        .iter()
        .take(MAX_PLANES)
        .map_while(|data| {
            let kind = match data.type_ {
                sys::SPA_DATA_DmaBuf => Kind::DmaBuf,
                sys::SPA_DATA_MemFd => Kind::MemFd,
                sys::SPA_DATA_MemPtr => Kind::MemPtr,
                _ => return None,
            };
            let fd = match kind {
                Kind::MemPtr => None,
                Kind::DmaBuf | Kind::MemFd => duplicate(data.fd),
            };
            Some(Plane { kind, fd, map_offset: data.mapoffset, max_size: data.maxsize })
        })
        .collect();
    (pointer, planes)
}

/// Duplicates of the descriptors of a buffer's timelines: those of acquire and release are its last two data blocks.
pub fn sync_fds(buffer: BufferPtr) -> Option<SyncFds> {
    let [.., acquire, release] = datas(buffer) else { return None };
    if acquire.type_ != SPA_DATA_SYNC_OBJ || release.type_ != SPA_DATA_SYNC_OBJ {
        return None;
    }
    let release_fd = if release.fd == acquire.fd { None } else { Some(duplicate(release.fd)?) };
    Some(SyncFds { acquire: duplicate(acquire.fd)?, release: release_fd })
}

fn duplicate(fd: i64) -> Option<File> {
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
    // SAFETY: PipeWire keeps the buffer's descriptor open at least until this callback returns; it is only
    // borrowed to be duplicated.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned().ok().map(File::from)
}

/// Reads a dequeued buffer's chunks and header; `None` when it carries no pixels.
pub fn read(buffer: BufferPtr) -> Option<Content> {
    let mut layouts = [Layout { offset: 0, stride: 0, size: 0 }; MAX_PLANES];
    let datas = datas(buffer);
    let planes = datas.iter().take_while(|data| data.type_ != SPA_DATA_SYNC_OBJ);
    for (layout, data) in layouts.iter_mut().zip(planes) {
        // SAFETY: as for `datas`; every data block has a chunk or null.
        let chunk = unsafe { data.chunk.as_ref() }?;
        if chunk.flags as u32 & sys::SPA_CHUNK_FLAG_CORRUPTED != 0 {
            return None;
        }
        // PipeWire defines the offset modulo the block's size; DMA-BUFs may have none.
        let offset = if data.maxsize > 0 && data.type_ != sys::SPA_DATA_DmaBuf {
            chunk.offset % data.maxsize
        } else {
            chunk.offset
        };
        *layout = Layout { offset, stride: chunk.stride, size: chunk.size };
    }
    if datas.is_empty() || layouts[0].size == 0 {
        return None;
    }
    let mut pts = None;
    if let Some(header) = header(buffer) {
        if header.flags & sys::SPA_META_HEADER_FLAG_CORRUPTED != 0 {
            return None;
        }
        pts = (header.pts > 0).then_some(header.pts);
    }
    Some(Content { layouts, pts })
}

fn header(buffer: BufferPtr) -> Option<sys::spa_meta_header> {
    // SAFETY: as for `datas`; the lookup checks the size, and the header is copied out unaligned.
    unsafe {
        let buffer = buffer.0.as_ref()?.buffer;
        let size = size_of::<sys::spa_meta_header>();
        let data = sys::spa_buffer_find_meta_data(buffer, sys::SPA_META_Header, size);
        (!data.is_null()).then(|| data.cast::<sys::spa_meta_header>().read_unaligned())
    }
}

/// The contents of a buffer's meta of this kind.
fn meta(buffer: BufferPtr, kind: u32) -> Option<&'static [u8]> {
    // SAFETY: as for `datas`; a meta's data covers its size until remove_buffer. The guest may write while we read,
    // which can only bring nonsense: readers check every number they take, and take it once.
    unsafe {
        let buffer = buffer.0.as_ref()?.buffer.as_ref()?;
        if buffer.metas.is_null() {
            return None;
        }
        let metas = std::slice::from_raw_parts(buffer.metas, buffer.n_metas as usize);
        let meta = metas.iter().find(|meta| meta.type_ == kind && !meta.data.is_null())?;
        Some(std::slice::from_raw_parts(meta.data.cast::<u8>(), meta.size as usize))
    }
}

/// The points of a dequeued buffer, as its guest left them.
pub fn points(buffer: BufferPtr) -> Option<Points> {
    read_points(meta(buffer, SPA_META_SYNC_TIMELINE)?)
}

/// Reads what came with the pixels of a frame of this size.
pub fn metas(buffer: BufferPtr, frame: (u32, u32), complain: impl FnMut(BadMeta)) -> Metas {
    let [damage, crop, transform] =
        [sys::SPA_META_VideoDamage, sys::SPA_META_VideoCrop, sys::SPA_META_VideoTransform].map(|it| meta(buffer, it));
    Metas::read(damage, crop, transform, frame, complain)
}

/// The bytes of a buffer's cursor meta.
pub fn cursor(buffer: BufferPtr) -> Option<&'static [u8]> {
    meta(buffer, sys::SPA_META_Cursor)
}

/// Hands the memory of the first data block to `read`; false when it is not mapped in this process.
pub fn with_memory(buffer: BufferPtr, read: impl FnOnce(&[u8])) -> bool {
    let Some(data) = datas(buffer).first().filter(|data| !data.data.is_null()) else { return false };
    // SAFETY: a data pointer that PipeWire sets covers maxsize bytes until remove_buffer; the guest may write
    // while we read, which can only tear pixels of a buffer it does not own at the moment.
    let memory = unsafe { std::slice::from_raw_parts(data.data.cast::<u8>(), data.maxsize as usize) };
    read(memory);
    true
}
