//! Owns the memory of the producer's buffers: memfds and DMA-BUFs, their mappings and seals.
//! It never hands out a mapping that outlives its fd's owner, and knows nothing of PipeWire.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    ptr::{self, NonNull},
    rc::Rc,
};

use rustix::{
    fs::{self, MemfdFlags, Mode, OFlags, SealFlags},
    mm::{self, MapFlags, ProtFlags},
};

use super::{
    gpu::{self, Resource},
    options::{Dmabufs, Seal},
};

const PAGE: usize = 4096;

/// Rounds up to whole pages, as a mapping's offset must be.
pub(crate) fn pages(size: usize) -> usize {
    size.div_ceil(PAGE) * PAGE
}

/// A mapped memfd or DMA-BUF, and the fd to give away.
#[derive(Debug)]
pub(crate) struct Memory {
    given: OwnedFd,
    mapping: NonNull<u8>,
    size: usize,
    resource: Option<Resource>,
}

impl Memory {
    /// Makes `size` bytes, zeroed.
    pub(crate) fn new(size: usize, seal: Seal) -> io::Result<Rc<Self>> {
        let size = pages(size);
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = fs::memfd_create("fake-guest", flags)?;
        fs::ftruncate(&fd, size as u64)?;
        let mapping = map(&fd, 0, size)?;
        // libwayland wants F_SEAL_SHRINK to trust a pool without a SIGBUS handler; Mutter seals so too.
        fs::fcntl_add_seals(&fd, SealFlags::SHRINK)?;
        let given = match seal {
            Seal::None => fd,
            Seal::Write => {
                fs::fcntl_add_seals(&fd, SealFlags::FUTURE_WRITE)?;
                fd
            }
            Seal::ReadOnlyFd => {
                let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
                fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?
            }
        };
        Ok(Rc::new(Self { given, mapping, size, resource: None }))
    }

    /// Makes a real DMA-BUF for a picture of this size in pixels and bytes.
    pub(crate) fn dmabuf(kind: Dmabufs, picture: (u32, u32), size: usize) -> io::Result<Rc<Self>> {
        let made = gpu::allocate(kind, picture, size)?;
        let (file, offset) = made.map;
        let size = pages(size);
        let mapping = map(&file, offset, size)?;
        Ok(Rc::new(Self { given: made.fd, mapping, size, resource: made.resource }))
    }

    /// What was drawn is to be seen.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.resource.as_ref().map_or(Ok(()), Resource::flush)
    }

    /// The fd for the consumer.
    pub(crate) fn fd(&self) -> i32 {
        self.given.as_raw_fd()
    }

    /// The start of the mapping.
    pub(crate) fn start(&self) -> *mut u8 {
        self.mapping.as_ptr()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map` with this size, and every user holds the Rc it lives in.
        let _ = unsafe { mm::munmap(self.mapping.as_ptr().cast(), self.size) };
    }
}

fn map(fd: &OwnedFd, offset: u64, size: usize) -> io::Result<NonNull<u8>> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new shared mapping at an address of the kernel's choice aliases nothing of ours.
    let start = unsafe { mm::mmap(ptr::null_mut(), size, protection, MapFlags::SHARED, fd, offset) }?;
    NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at null"))
}

/// One buffer's part of a [`Memory`].
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) memory: Rc<Memory>,
    pub(crate) offset: usize,
    pub(crate) size: usize,
}
