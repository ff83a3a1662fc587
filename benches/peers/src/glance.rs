//! A few bytes of a shown frame, whatever memory it lies in, without a look at the rest. The only room with unsafe code.
//! Layouts and numbers of ioctls are those of drm/drm.h and drm/virtgpu_drm.h.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::guest::Code;

const RENDER_NODE: &str = "/dev/dri/renderD128";

/// Where the bytes are.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The first pixel, column and row; as many as make a [`Code`] follow.
    pub pixel: (u32, u32),
    /// Bytes from the file's start to that pixel.
    pub offset: u64,
}

/// Looks at frames.
#[derive(Debug)]
pub struct Eyes {
    gpu: Option<File>,
}

#[repr(C)]
struct Prime {
    handle: u32,
    flags: u32,
    fd: i32,
}

#[repr(C)]
struct Close {
    handle: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct FromHost {
    handle: u32,
    x: u32,
    y: u32,
    z: u32,
    width: u32,
    height: u32,
    depth: u32,
    level: u32,
    offset: u32,
    stride: u32,
    layer_stride: u32,
}

#[repr(C)]
struct Wait {
    handle: u32,
    flags: u32,
}

const FD_TO_HANDLE: Opcode = opcode::read_write::<Prime>(b'd', 0x2e);
const GEM_CLOSE: Opcode = opcode::write::<Close>(b'd', 0x09);
const FROM_HOST: Opcode = opcode::read_write::<FromHost>(b'd', 0x46);
const WAIT: Opcode = opcode::read_write::<Wait>(b'd', 0x48);

impl Eyes {
    /// For frames whose memory says what is in them; `drawn_on_gpu`: for DMA-BUFs of a virtio GPU, which itself draws
    /// them outside of the virtual machine, so that the machine's memory does not have them until they are asked for.
    ///
    /// # Errors
    /// There is no such GPU.
    pub fn new(drawn_on_gpu: bool) -> io::Result<Self> {
        let open = || File::options().read(true).write(true).open(RENDER_NODE);
        Ok(Self { gpu: drawn_on_gpu.then(open).transpose()? })
    }

    /// The bytes at this place of a file; a DMA-BUF's are those that its exporter lets a CPU see.
    pub fn read(&self, file: BorrowedFd<'_>, place: Place) -> Option<Code> {
        if let Some(gpu) = &self.gpu {
            fetch(gpu, file, place).ok()?;
            return mapped(file, place.offset);
        }
        let mut code = Code::default();
        match rustix::io::pread(file, &mut code, place.offset) {
            Ok(read) => (read == code.len()).then_some(code),
            Err(_) => mapped(file, place.offset),
        }
    }
}

/// Calls a GPU with a structure that it reads and writes.
fn call<const OPCODE: Opcode, T>(gpu: &File, value: &mut T) -> rustix::io::Result<()> {
    // SAFETY: every opcode above carries the size of its own structure, and is only used with that.
    unsafe { ioctl(gpu, Updater::<OPCODE, T>::new(value)) }
}

/// Has the GPU write these pixels, as they are after all that it was told to draw so far, to where they can be read.
fn fetch(gpu: &File, file: BorrowedFd<'_>, place: Place) -> rustix::io::Result<()> {
    let mut prime = Prime { handle: 0, flags: 0, fd: file.as_raw_fd() };
    call::<FD_TO_HANDLE, _>(gpu, &mut prime)?;
    let handle = prime.handle;
    let (x, y) = place.pixel;
    let offset = u32::try_from(place.offset).unwrap_or(u32::MAX);
    let width = size_of::<Code>() as u32 / 4;
    let mut transfer = FromHost { handle, x, y, width, height: 1, depth: 1, offset, ..Default::default() };
    let done =
        call::<FROM_HOST, _>(gpu, &mut transfer).and_then(|()| call::<WAIT, _>(gpu, &mut Wait { handle, flags: 0 }));
    let closed = call::<GEM_CLOSE, _>(gpu, &mut Close { handle, pad: 0 });
    done.and(closed)
}

fn mapped(file: BorrowedFd<'_>, at: u64) -> Option<Code> {
    let skip = usize::try_from(at).ok()?;
    let length = skip + size_of::<Code>();
    // From the start: virtio-gpu's DMA-BUFs are mapped from there, whatever place is asked for.
    // SAFETY: a new mapping at a place of the kernel's choice takes nothing from anybody.
    let map = unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, file, 0) }.ok()?;
    let mut code = Code::default();
    // SAFETY: the mapping has `length` bytes, of which these are the last; a DMA-BUF does not shrink.
    unsafe { ptr::copy_nonoverlapping(map.cast::<u8>().add(skip), code.as_mut_ptr(), code.len()) };
    // SAFETY: it is our own mapping, and nothing points into it any more.
    let _ = unsafe { munmap(map, length) };
    Some(code)
}
