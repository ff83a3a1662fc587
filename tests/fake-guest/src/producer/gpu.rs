//! Owns real DMA-BUFs that a CPU can fill: of the kernel's own exporters and of DRM devices, by their ioctls.
//! It never draws and knows nothing of PipeWire. Layouts and numbers are those of linux/udmabuf.h, linux/dma-heap.h, drm/drm.h,
//! drm/drm_mode.h and drm/virtgpu_drm.h.

use std::{
    ffi::c_void,
    fs::{File, OpenOptions},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    fs::{self, MemfdFlags, SealFlags},
    ioctl::{self, Ioctl, IoctlOutput, Opcode, Updater, opcode},
};

use super::{memory::pages, options::Dmabufs};

/// A DMA-BUF, and where to map what it holds.
pub(crate) struct Allocated {
    pub(crate) fd: OwnedFd,
    /// The file whose mapping it is filled through, and the offset there.
    pub(crate) map: (OwnedFd, u64),
    pub(crate) resource: Option<Resource>,
}

/// A resource of the virtio GPU, whose host copy is what others see.
#[derive(Debug)]
pub(crate) struct Resource {
    device: OwnedFd,
    handle: u32,
    size: (u32, u32),
}

#[repr(C)]
struct UdmabufCreate {
    memfd: u32,
    flags: u32,
    offset: u64,
    size: u64,
}

#[repr(C)]
struct HeapAllocation {
    len: u64,
    fd: u32,
    fd_flags: u32,
    heap_flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ResourceCreate {
    target: u32,
    format: u32,
    bind: u32,
    width: u32,
    height: u32,
    depth: u32,
    array_size: u32,
    last_level: u32,
    nr_samples: u32,
    flags: u32,
    bo_handle: u32,
    res_handle: u32,
    size: u32,
    stride: u32,
}

#[repr(C)]
struct VirtgpuMap {
    offset: u64,
    handle: u32,
    pad: u32,
}

#[repr(C)]
#[derive(Default)]
struct TransferToHost {
    bo_handle: u32,
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
struct VirtgpuWait {
    handle: u32,
    flags: u32,
}

#[repr(C)]
struct PrimeHandle {
    handle: u32,
    flags: u32,
    fd: i32,
}

#[repr(C)]
#[derive(Default)]
struct CreateDumb {
    height: u32,
    width: u32,
    bpp: u32,
    flags: u32,
    handle: u32,
    pitch: u32,
    size: u64,
}

#[repr(C)]
struct MapDumb {
    handle: u32,
    pad: u32,
    offset: u64,
}

const HEAP_ALLOC: Opcode = opcode::read_write::<HeapAllocation>(b'H', 0);
const RESOURCE_CREATE: Opcode = opcode::read_write::<ResourceCreate>(b'd', 0x44);
const VIRTGPU_MAP: Opcode = opcode::read_write::<VirtgpuMap>(b'd', 0x41);
const TRANSFER_TO_HOST: Opcode = opcode::read_write::<TransferToHost>(b'd', 0x47);
const VIRTGPU_WAIT: Opcode = opcode::read_write::<VirtgpuWait>(b'd', 0x48);
const HANDLE_TO_FD: Opcode = opcode::read_write::<PrimeHandle>(b'd', 0x2d);
const CREATE_DUMB: Opcode = opcode::read_write::<CreateDumb>(b'd', 0xb2);
const MAP_DUMB: Opcode = opcode::read_write::<MapDumb>(b'd', 0xb3);

/// PIPE_TEXTURE_2D, VIRGL_FORMAT_B8G8R8X8_UNORM, and render target and sampler view.
const TEXTURE_2D: u32 = 2;
const B8G8R8X8: u32 = 2;
const BIND: u32 = 0xa;

/// UDMABUF_CREATE answers with the descriptor itself.
impl UdmabufCreate {
    fn create(mut self, device: &File) -> io::Result<OwnedFd> {
        struct Call<'a>(&'a mut UdmabufCreate);
        // SAFETY: the opcode is the one of this structure, which the kernel only reads.
        unsafe impl Ioctl for Call<'_> {
            type Output = i32;
            const IS_MUTATING: bool = false;
            fn opcode(&self) -> Opcode {
                opcode::write::<UdmabufCreate>(b'u', 0x42)
            }
            fn as_ptr(&mut self) -> *mut c_void {
                (&raw mut *self.0).cast()
            }
            unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<i32> {
                Ok(out)
            }
        }
        // SAFETY: a udmabuf device takes this call; its answer is a new descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(ioctl::ioctl(device, Call(&mut self))?) })
    }
}

/// Calls a device with a structure that it reads and writes.
fn call<const OPCODE: Opcode, T>(device: BorrowedFd<'_>, value: &mut T) -> io::Result<()> {
    // SAFETY: every opcode above carries the size of its own structure, and is only used with that.
    Ok(unsafe { ioctl::ioctl(device, Updater::<OPCODE, T>::new(value)) }?)
}

fn open(path: impl Into<PathBuf>) -> io::Result<File> {
    let path = path.into();
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    OpenOptions::new().read(true).write(true).open(&path).map_err(named)
}

/// The DRM node of this kind (`card`, `renderD`) of vgem, or of the GPU beside it.
fn node(kind: &str, of_vgem: bool) -> io::Result<File> {
    for entry in std::fs::read_dir("/sys/class/drm")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_node = name.strip_prefix(kind).is_some_and(|number| number.parse::<u32>().is_ok());
        let path = entry.path().canonicalize()?;
        if is_node && path.to_string_lossy().contains("/vgem/") == of_vgem {
            return open(format!("/dev/dri/{name}"));
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("no {kind} node ({})", if of_vgem { "vgem" } else { "a GPU" })))
}

fn export(device: &OwnedFd, handle: u32) -> io::Result<OwnedFd> {
    let flags = (fs::OFlags::CLOEXEC | fs::OFlags::RDWR).bits();
    let mut prime = PrimeHandle { handle, flags, fd: -1 };
    call::<HANDLE_TO_FD, _>(device.as_fd(), &mut prime)?;
    // SAFETY: the kernel made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(prime.fd) })
}

/// Makes a DMA-BUF for a picture of 32-bit pixels with rows of exactly `4 · width` bytes; at least `size` bytes.
pub(crate) fn allocate(kind: Dmabufs, (width, height): (u32, u32), size: usize) -> io::Result<Allocated> {
    match kind {
        Dmabufs::Pretended => Err(io::Error::other("no DMA-BUF")),
        Dmabufs::Udmabuf => {
            let memfd = fs::memfd_create("fake-guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
            fs::ftruncate(&memfd, pages(size) as u64)?;
            fs::fcntl_add_seals(&memfd, SealFlags::SHRINK)?;
            let call = UdmabufCreate { memfd: memfd.as_raw_fd() as u32, flags: 1, offset: 0, size: pages(size) as u64 };
            let fd = call.create(&open("/dev/udmabuf")?)?;
            Ok(Allocated { fd, map: (memfd, 0), resource: None })
        }
        Dmabufs::DmaHeap => {
            let fd_flags = (fs::OFlags::CLOEXEC | fs::OFlags::RDWR).bits();
            let mut heap = HeapAllocation { len: pages(size) as u64, fd: 0, fd_flags, heap_flags: 0 };
            call::<HEAP_ALLOC, _>(open("/dev/dma_heap/system")?.as_fd(), &mut heap)?;
            // SAFETY: the kernel made this descriptor for us.
            let fd = unsafe { OwnedFd::from_raw_fd(heap.fd as i32) };
            Ok(Allocated { map: (fd.try_clone()?, 0), fd, resource: None })
        }
        Dmabufs::VirtioGpu => {
            let device: OwnedFd = node("renderD", false)?.into();
            let mut made = ResourceCreate {
                target: TEXTURE_2D,
                format: B8G8R8X8,
                bind: BIND,
                width,
                height,
                depth: 1,
                array_size: 1,
                size: size as u32,
                ..Default::default()
            };
            call::<RESOURCE_CREATE, _>(device.as_fd(), &mut made)?;
            let mut map = VirtgpuMap { offset: 0, handle: made.bo_handle, pad: 0 };
            call::<VIRTGPU_MAP, _>(device.as_fd(), &mut map)?;
            let fd = export(&device, made.bo_handle)?;
            let resource = Resource { device: device.try_clone()?, handle: made.bo_handle, size: (width, height) };
            Ok(Allocated { fd, map: (device, map.offset), resource: Some(resource) })
        }
        Dmabufs::Vgem => {
            let device: OwnedFd = node("card", true)?.into();
            let mut made = CreateDumb { height, width, bpp: 32, ..Default::default() };
            call::<CREATE_DUMB, _>(device.as_fd(), &mut made)?;
            if made.pitch != width * 4 {
                return Err(io::Error::other(format!("rows of {} bytes", made.pitch)));
            }
            let mut map = MapDumb { handle: made.handle, pad: 0, offset: 0 };
            call::<MAP_DUMB, _>(device.as_fd(), &mut map)?;
            Ok(Allocated { fd: export(&device, made.handle)?, map: (device, map.offset), resource: None })
        }
    }
}

impl Resource {
    /// Makes what was drawn visible to the GPU, and waits until it is.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let (width, height) = self.size;
        let mut transfer = TransferToHost { bo_handle: self.handle, width, height, depth: 1, ..Default::default() };
        call::<TRANSFER_TO_HOST, _>(self.device.as_fd(), &mut transfer)?;
        call::<VIRTGPU_WAIT, _>(self.device.as_fd(), &mut VirtgpuWait { handle: self.handle, flags: 0 })
    }
}
