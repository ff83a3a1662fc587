//! Memory shared with a compositor: a sealed-size memfd, mapped here. The only unsafe code of the crate.

use std::{
    ffi::c_void,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::NonNull,
    slice,
};

use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    io,
    mm::{MapFlags, ProtFlags, mmap, munmap},
};

/// A number of pixels (or bytes, four to a pixel) in a memfd.
#[derive(Debug)]
pub(crate) struct Memory {
    fd: OwnedFd,
    start: NonNull<u32>,
    pixels: usize,
}

// SAFETY: the mapping belongs to this value alone, wherever it is moved.
unsafe impl Send for Memory {}

impl Memory {
    pub fn new(pixels: usize) -> io::Result<Self> {
        let fd = memfd_create("lab", MemfdFlags::CLOEXEC)?;
        ftruncate(&fd, pixels as u64 * 4)?;
        // SAFETY: a new mapping at an address of the kernel's choice; nothing else refers to it.
        let start = unsafe {
            mmap(std::ptr::null_mut(), pixels * 4, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &fd, 0)?
        };
        let start = NonNull::new(start.cast()).ok_or(io::Errno::NOMEM)?;
        Ok(Memory { fd, start, pixels })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub fn pixels(&mut self) -> &mut [u32] {
        // SAFETY: the mapping has this length, page alignment and lives as long as self. The compositor maps it too: it writes only
        // while a capture is under way, when nobody here holds this slice, and otherwise reads.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.pixels) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped in new with this length; no slice outlives self.
        let _ = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.pixels * 4) };
    }
}
