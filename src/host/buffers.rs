//! Guest memory as wl_buffers: one per guest buffer, over the guest's own descriptors, cached until the
//! buffer goes away. Pixels are copied only where nothing else can work.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{OFlags, SealFlags};
use smithay_client_toolkit::shm::slot::{Buffer as SlotBuffer, Slot, SlotPool};
use tracing::{debug, info, warn};
use wayland_client::protocol::wl_buffer::{self, WlBuffer};
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_shm::Format;
use wayland_client::protocol::wl_shm_pool::WlShmPool;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, event_created_child};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_buffer_params_v1::{
    self, Flags, ZwpLinuxBufferParamsV1,
};

use crate::host::{Host, HostEvent, Quiet};
use crate::video::frame::{BadFrame, BufferId, Frame, Kind, Layout, MAX_PLANES, Negotiated, Part, Plane, ShmLayout};
use crate::video::mailbox::Return;
use crate::video::meta::Damage;

/// Why pixels have to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyReason {
    /// The memory is in no file.
    NoFile,
    /// The host could not map the file for writing, as libwayland does.
    NotWritable,
    /// The file is larger, or its rows longer, than wl_shm can say.
    TooLarge,
    /// Hosts take rows of whole pixels only.
    OddRows,
    /// Its planes do not follow each other as in wl_shm.
    Planes,
    /// The guest would wait for its only buffer as long as the host shows it.
    OnlyBuffer,
}

impl CopyReason {
    /// For the log and the counters.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoFile => "the guest's memory is in no file",
            Self::NotWritable => "the guest's memory cannot be mapped for writing",
            Self::TooLarge => "the guest's memory is too large for wl_shm",
            Self::OddRows => "the guest's rows end within a pixel",
            Self::Planes => "the guest's planes are apart",
            Self::OnlyBuffer => "the guest has only one buffer",
        }
    }
}

/// Where the pixels of a frame are, for those that have to be copied.
#[derive(Clone, Copy, Debug)]
pub enum Pixels<'a> {
    /// In memory of ours.
    Memory(&'a [u8]),
    /// In the guest's files. Read, not mapped: one that shrinks under a mapping would kill us.
    Files(&'a [Plane]),
}

impl Pixels<'_> {
    /// Copies rows of `row` bytes of a plane to `canvas`, where they are `stride` apart; `None` when they are not
    /// all there.
    fn copy(self, part: &Part, row: usize, stride: usize, canvas: &mut [u8]) -> Option<()> {
        let starts = (0..).map(|index: u64| part.offset + index * u64::from(part.stride));
        for (to, start) in canvas.chunks_exact_mut(stride).zip(starts) {
            let to = to.get_mut(..row)?;
            match self {
                Self::Memory(memory) => {
                    // Only the first block's is seen.
                    let start = usize::try_from(start).ok().filter(|_| part.block == 0)?;
                    to.copy_from_slice(memory.get(start..)?.get(..row)?);
                }
                Self::Files(blocks) => blocks.get(part.block)?.fd.as_ref()?.read_exact_at(to, start).ok()?,
            }
        }
        Some(())
    }
}

/// A host that keeps so many copies gets no more: their memory would have no end.
const MAX_COPIES: usize = 16;

/// What became of a frame's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prepared {
    /// It can be shown.
    Ready,
    /// The host is looking at it; an event tells.
    Pending,
    /// The host refused it.
    Refused,
    /// The host does not take the format any more; nothing was tried.
    Unlisted,
    /// Only a copy can be shown.
    MustCopy(CopyReason),
    /// It must not reach the host.
    Bad(BadFrame),
}

/// User data of wl_buffers made from guest buffers; set as soon as the buffer is known.
#[derive(Debug, Default)]
pub(super) struct GuestBuffer(AtomicU64);

#[derive(Debug)]
enum Import {
    Pending(ZwpLinuxBufferParamsV1),
    Ready(WlBuffer),
    Refused,
}

#[derive(Debug)]
struct Entry {
    import: Import,
    /// What the wl_buffer was made for; another format or layout needs another wl_buffer.
    made_for: (Negotiated, [Layout; MAX_PLANES]),
    pool: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Pool {
    pool: WlShmPool,
    size: u64,
    users: u32,
}

/// All wl_buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    entries: HashMap<BufferId, Entry>,
    /// By device and inode: several buffers may share a file, under different descriptors.
    pools: HashMap<(u64, u64), Pool>,
    copies: Option<SlotPool>,
    /// Where copies are that the host may still read.
    copied: Vec<Slot>,
    on_screen: Option<SlotBuffer>,
    /// On the screen until the next commit, and of no use after it.
    retired: Vec<WlBuffer>,
    /// wl_buffers made since the start.
    imports: u64,
    /// The host leaves DMA-BUFs unanswered.
    silent: bool,
}

/// User data of the question that is asked when a DMA-BUF stays unanswered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt(BufferId);

impl Host {
    /// wl_buffers made from guest buffers since the start.
    pub fn imports(&self) -> u64 {
        self.buffers.imports
    }

    /// Whether DMA-BUFs can be imported at all.
    pub fn has_dmabuf(&self) -> bool {
        Self::alive(&self.extras.dmabuf)
    }

    /// Whether the host answers for DMA-BUFs, as far as is known.
    pub(super) fn answers_imports(&self) -> bool {
        !self.buffers.silent
    }

    /// Asks the host for any answer at all. One that is only slow answers for this buffer first; one that does not
    /// will never, and gets no more DMA-BUFs.
    pub fn doubt_import(&self, id: BufferId) {
        debug!(?id, "no word about a dmabuf; asking the host for an answer");
        self.connection.display().sync(&self.queue, Doubt(id));
    }

    /// Makes sure that there is a wl_buffer for this frame.
    pub fn prepare(&mut self, frame: &Frame) -> Prepared {
        // Sizes only matter to memory, not to the wl_buffer.
        let made_for = (frame.negotiated, frame.layouts.map(|layout| Layout { size: 0, ..layout }));
        let stale = self.buffers.entries.get(&frame.buffer).is_some_and(|entry| entry.made_for != made_for);
        if self.take_synced_current(frame.buffer) {
            let entry = self.buffers.entries.remove(&frame.buffer);
            if let Some(Import::Ready(buffer)) = entry.map(|entry| entry.import) {
                self.buffers.retired.push(buffer);
            }
        } else if stale {
            self.forget(frame.buffer);
        }
        match frame.kind() {
            None => Prepared::Bad(BadFrame::NoMemory),
            Some(Kind::DmaBuf) => self.prepare_dmabuf(frame, made_for),
            // A file can shrink at any time: it is looked at for every frame.
            Some(Kind::MemFd | Kind::MemPtr) => match frame.check_shm() {
                Ok(layout) => self.prepare_shm(frame, layout, made_for),
                Err(bad) => Prepared::Bad(bad),
            },
        }
    }

    fn prepare_dmabuf(&mut self, frame: &Frame, made_for: (Negotiated, [Layout; MAX_PLANES])) -> Prepared {
        if let Some(entry) = self.buffers.entries.get(&frame.buffer) {
            return match entry.import {
                Import::Ready(_) => Prepared::Ready,
                Import::Pending(_) => Prepared::Pending,
                Import::Refused => Prepared::Refused,
            };
        }
        // Once is enough: a DMA-BUF keeps its size.
        let layout = match frame.check_dmabuf() {
            Ok(layout) => layout,
            Err(bad) => return Prepared::Bad(bad),
        };
        let Some(modifier) = frame.negotiated.modifier else { return Prepared::Bad(BadFrame::Mistyped) };
        // An unlisted fourcc would be fatal; frames on their way when it was taken off the list say nothing of the
        // host. With an unlisted modifier the host may be asked.
        let listed = self.feedback.formats().iter().any(|(format, _)| *format == frame.negotiated.format);
        let Some(dmabuf) = self.extras.dmabuf.as_ref().filter(|_| listed) else { return Prepared::Unlisted };
        let params = dmabuf.create_params(&self.queue, frame.buffer);
        for (index, part) in layout.parts().iter().enumerate() {
            let Some(fd) = &frame.planes[part.block].fd else { continue };
            let (hi, lo) = ((modifier >> 32) as u32, modifier as u32);
            params.add(fd.as_fd(), index as u32, part.offset as u32, part.stride, hi, lo);
        }
        let negotiated = frame.negotiated;
        params.create(negotiated.width as i32, negotiated.height as i32, negotiated.format.fourcc(), Flags::empty());
        self.buffers.imports += 1;
        let entry = Entry { import: Import::Pending(params), made_for, pool: None };
        self.buffers.entries.insert(frame.buffer, entry);
        Prepared::Pending
    }

    fn prepare_shm(
        &mut self,
        frame: &Frame,
        layout: ShmLayout,
        made_for: (Negotiated, [Layout; MAX_PLANES]),
    ) -> Prepared {
        if self.buffers.entries.contains_key(&frame.buffer) {
            return Prepared::Ready;
        }
        let negotiated = frame.negotiated;
        // An unlisted format would be fatal.
        if !self.shm.formats().iter().any(|code| *code as u32 == negotiated.format.shm()) {
            return Prepared::Unlisted;
        }
        let Some(fd) = frame.planes.first().and_then(|plane| plane.fd.as_ref()) else {
            return Prepared::MustCopy(CopyReason::NoFile);
        };
        let first = layout.first();
        let Some(bytes) = layout.contiguous else { return Prepared::MustCopy(CopyReason::Planes) };
        let (Ok(offset), Ok(stride), Ok(_)) =
            (i32::try_from(first.offset), i32::try_from(first.stride), i32::try_from(first.offset + bytes))
        else {
            return Prepared::MustCopy(CopyReason::TooLarge);
        };
        if !first.stride.is_multiple_of(negotiated.format.planes()[0].bytes) {
            return Prepared::MustCopy(CopyReason::OddRows);
        }
        if !is_writable(fd) {
            return Prepared::MustCopy(CopyReason::NotWritable);
        }
        let Ok(stat) = rustix::fs::fstat(fd) else { return Prepared::Bad(BadFrame::NoFile) };
        let file = (stat.st_dev, stat.st_ino);
        let size = layout.file_size.min(i32::MAX as u64);
        let pool = self.buffers.pools.entry(file).or_insert_with(|| Pool {
            pool: self.shm.wl_shm().create_pool(fd.as_fd(), size as i32, &self.queue, Quiet),
            size,
            users: 0,
        });
        if pool.size < size {
            pool.pool.resize(size as i32);
            pool.size = size;
        }
        pool.users += 1;
        let format = Format::try_from(negotiated.format.shm()).unwrap_or(Format::Xrgb8888);
        let (width, height) = (negotiated.width as i32, negotiated.height as i32);
        let data = GuestBuffer(AtomicU64::new(frame.buffer.0));
        let buffer = pool.pool.create_buffer(offset, width, height, stride, format, &self.queue, data);
        self.buffers.imports += 1;
        let entry = Entry { import: Import::Ready(buffer), made_for, pool: Some(file) };
        self.buffers.entries.insert(frame.buffer, entry);
        Prepared::Ready
    }

    /// Commits a prepared frame, different so much from the last one, and says when its buffer may go back; `None` when
    /// it cannot be shown.
    pub fn commit(&mut self, frame: &Frame, damage: &Damage) -> Option<Return> {
        let Import::Ready(buffer) = &self.buffers.entries.get(&frame.buffer)?.import else { return None };
        let buffer = buffer.clone();
        if self.window.as_ref().is_none_or(|window| !window.can_show()) {
            return None;
        }
        let back = if self.sync_commit(Some(frame)) { Return::AtOnce } else { Return::OnRelease };
        self.show(&buffer, frame, damage);
        self.replaced(None);
        Some(back)
    }

    /// Commits a copy of a frame's pixels; the bytes copied, or `None` when it could not be shown.
    pub fn commit_copy(&mut self, frame: &Frame, damage: &Damage, pixels: Pixels<'_>) -> Option<u64> {
        let layout = frame.check_shm().ok()?;
        let negotiated = frame.negotiated;
        let format = Format::try_from(negotiated.format.shm()).ok()?;
        let shapes = negotiated.format.planes();
        let mut stride = shapes[0].row(negotiated.width) as u32;
        if shapes.len() > 1 {
            // So that the rows of the other planes come out even.
            stride = stride.next_multiple_of(4 * shapes[0].bytes);
        }
        let places = || negotiated.format.contiguous(stride, negotiated.height);
        let ends = places()?
            .zip(shapes)
            .map(|((start, stride), shape)| start + u64::from(stride) * u64::from(shape.rows(negotiated.height)));
        let bytes = ends.max()? as usize;
        // Three fit the pool, and its size 31 bits.
        let bytes = Some(bytes).filter(|bytes| *bytes < i32::MAX as usize / 4)?;
        if self.buffers.copies.is_none() {
            match SlotPool::new(bytes * 3, &self.shm) {
                Ok(pool) => self.buffers.copies = Some(pool),
                Err(error) => {
                    warn!("no memory to copy frames into: {error}");
                    return None;
                }
            }
        }
        if self.kept_copies() >= MAX_COPIES {
            return None;
        }
        let pool = self.buffers.copies.as_mut()?;
        let (width, height) = (negotiated.width as i32, negotiated.height as i32);
        let slot = pool.new_slot(bytes).ok()?;
        let buffer = pool.create_buffer_in(&slot, width, height, stride as i32, format).ok()?;
        let canvas = pool.canvas(&slot)?;
        for ((part, (start, stride)), shape) in layout.parts().iter().zip(places()?).zip(shapes) {
            let end = start as usize + stride as usize * shape.rows(negotiated.height) as usize;
            pixels.copy(
                part,
                shape.row(negotiated.width) as usize,
                stride as usize,
                &mut canvas[start as usize..end],
            )?;
        }
        buffer.activate().ok()?;
        let wl_buffer = buffer.wl_buffer().clone();
        self.sync_commit(None);
        if !self.show(&wl_buffer, frame, damage) {
            let _ = buffer.deactivate();
            return None;
        }
        // Kept until it is replaced: dropping it destroys the wl_buffer.
        self.replaced(Some(buffer));
        self.buffers.copied.push(slot);
        Some(bytes as u64)
    }

    /// What was on the screen and nobody else has is no more: this copy is there now, or a buffer of the guest.
    fn replaced(&mut self, copy: Option<SlotBuffer>) {
        self.buffers.on_screen = copy;
        self.buffers.retired.drain(..).for_each(|buffer| buffer.destroy());
    }

    /// How many copies the host has not released.
    pub fn kept_copies(&mut self) -> usize {
        self.buffers.copied.retain(Slot::has_active_buffers);
        self.buffers.copied.len()
    }

    /// Nobody needs what was made of any buffer but those that `is_needed` names.
    pub fn forget_unless(&mut self, is_needed: impl Fn(BufferId) -> bool) {
        let ids: Vec<BufferId> = self.buffers.entries.keys().copied().filter(|id| !is_needed(*id)).collect();
        for id in ids {
            self.forget(id);
        }
    }

    /// Destroys what was made of a buffer that the guest has taken away. Not before the host has released it.
    pub fn forget(&mut self, id: BufferId) {
        self.sync.forget(id);
        let Some(entry) = self.buffers.entries.remove(&id) else { return };
        match entry.import {
            Import::Ready(buffer) => buffer.destroy(),
            // Destroyed with the answer, which may bring a buffer that nobody else would destroy.
            Import::Pending(_) | Import::Refused => {}
        }
        let Some(file) = entry.pool else { return };
        if let Some(pool) = self.buffers.pools.get_mut(&file) {
            pool.users -= 1;
            if pool.users == 0 {
                pool.pool.destroy();
                self.buffers.pools.remove(&file);
            }
        }
    }
}

/// Whether the host's libwayland can map the file: it always maps for writing.
fn is_writable(fd: impl AsFd) -> bool {
    let access = rustix::fs::fcntl_getfl(&fd).map(|flags| flags & OFlags::RWMODE);
    let sealed = rustix::fs::fcntl_get_seals(&fd)
        .is_ok_and(|seals| seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE));
    access == Ok(OFlags::RDWR) && !sealed
}

impl Dispatch<WlBuffer, GuestBuffer> for Host {
    fn event(
        host: &mut Self,
        _: &WlBuffer,
        event: wl_buffer::Event,
        data: &GuestBuffer,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_buffer::Event::Release = event {
            host.events.push_back(HostEvent::Released(BufferId(data.0.load(Ordering::Relaxed))));
        }
    }
}

impl Dispatch<WlCallback, Doubt> for Host {
    fn event(
        host: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        Doubt(id): &Doubt,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let entry = host.buffers.entries.get(id);
        let unanswered = entry.is_some_and(|entry| matches!(entry.import, Import::Pending(_)));
        if unanswered && !std::mem::replace(&mut host.buffers.silent, true) {
            warn!("the host does not say whether it takes a dmabuf; using shared memory");
            host.events.push_back(HostEvent::AnswersChanged);
        }
    }
}

impl Dispatch<ZwpLinuxBufferParamsV1, BufferId> for Host {
    fn event(
        host: &mut Self,
        params: &ZwpLinuxBufferParamsV1,
        event: zwp_linux_buffer_params_v1::Event,
        id: &BufferId,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let entry = host.buffers.entries.get_mut(id);
        // The answer may be for params that were replaced meanwhile.
        let entry = entry.filter(|entry| matches!(&entry.import, Import::Pending(pending) if pending == params));
        match event {
            zwp_linux_buffer_params_v1::Event::Created { buffer } => match entry {
                Some(entry) => {
                    if let Some(data) = buffer.data::<GuestBuffer>() {
                        data.0.store(id.0, Ordering::Relaxed);
                    }
                    entry.import = Import::Ready(buffer);
                    host.events.push_back(HostEvent::Imported(*id));
                }
                None => buffer.destroy(),
            },
            zwp_linux_buffer_params_v1::Event::Failed => {
                if let Some(entry) = entry {
                    debug!(?id, "the host refused a dmabuf");
                    entry.import = Import::Refused;
                    let (negotiated, _) = entry.made_for;
                    host.events.push_back(HostEvent::ImportRefused(*id, negotiated));
                }
            }
            _ => return,
        }
        params.destroy();
        if std::mem::take(&mut host.buffers.silent) {
            info!("the host answers for dmabufs after all");
            host.events.push_back(HostEvent::AnswersChanged);
        }
    }

    event_created_child!(Host, ZwpLinuxBufferParamsV1, [
        zwp_linux_buffer_params_v1::EVT_CREATED_OPCODE => (WlBuffer, GuestBuffer::default()),
    ]);
}
