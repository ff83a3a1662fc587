//! A few bytes of a shown frame, whatever memory it lies in, without a look at the rest. The only room with unsafe code.
#![allow(unsafe_code)]

use std::os::fd::BorrowedFd;
use std::ptr;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::guest::Code;

const PAGE: u64 = 4096;

/// The bytes at this place of a file; a DMA-BUF's are those that its exporter lets a CPU see.
pub fn read(file: BorrowedFd<'_>, at: u64) -> Option<Code> {
    let mut code = Code::default();
    match rustix::io::pread(file, &mut code, at) {
        Ok(read) => (read == code.len()).then_some(code),
        Err(_) => mapped(file, at),
    }
}

fn mapped(file: BorrowedFd<'_>, at: u64) -> Option<Code> {
    let start = at / PAGE * PAGE;
    let skip = usize::try_from(at - start).ok()?;
    let length = skip + size_of::<Code>();
    // SAFETY: a new mapping at a place of the kernel's choice takes nothing from anybody.
    let map = unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, start) }.ok()?;
    let mut code = Code::default();
    // SAFETY: the mapping has `length` bytes, of which these are the last; a DMA-BUF does not shrink.
    unsafe { ptr::copy_nonoverlapping(map.cast::<u8>().add(skip), code.as_mut_ptr(), code.len()) };
    // SAFETY: it is our own mapping, and nothing points into it any more.
    let _ = unsafe { munmap(map, length) };
    Some(code)
}
