//! `wl_shm`: pools and the buffers cut from them, with every bound checked.
//! Reads no pixel; `picture` does.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use wayland_server::backend::ClientId;
use wayland_server::protocol::wl_shm::{self, WlShm};
use wayland_server::protocol::wl_shm_pool::{self, WlShmPool};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource, WEnum};

use crate::builder::fourcc;
use crate::picture::Store;
use crate::record::{BufferKind, ShmBuffer};
use crate::seen::Pool;
use crate::server::State;

/// What a `wl_shm_pool` refers to.
#[derive(Debug)]
pub(crate) struct PoolData {
    number: usize,
    fd: Arc<OwnedFd>,
    size: AtomicI32,
}

/// wl_shm calls the two mandatory formats 0 and 1, all others by their fourcc.
fn to_shm(fourcc: u32) -> Option<wl_shm::Format> {
    let value = match fourcc {
        fourcc::ARGB8888 => 0,
        fourcc::XRGB8888 => 1,
        other => other,
    };
    wl_shm::Format::try_from(value).ok()
}

fn to_fourcc(format: WEnum<wl_shm::Format>) -> u32 {
    match u32::from(format) {
        0 => fourcc::ARGB8888,
        1 => fourcc::XRGB8888,
        other => other,
    }
}

/// Bytes per pixel, as far as needed to check a stride. Unknown formats get the smallest.
fn bytes_per_pixel(format: u32) -> i32 {
    let [a, b, c, d] = format.to_le_bytes();
    match (format, &[a, b, c, d]) {
        (fourcc::ARGB8888 | fourcc::XRGB8888 | fourcc::ABGR8888 | fourcc::XBGR8888, _) => 4,
        (_, b"AR30" | b"XR30" | b"AB30" | b"XB30" | b"RA24" | b"RX24" | b"BA24" | b"BX24") => 4,
        (_, b"RG24" | b"BG24") => 3,
        (_, b"RG16" | b"BG16" | b"P010") => 2,
        (_, b"AB4H") => 8,
        _ => 1,
    }
}

fn file_size(fd: &OwnedFd) -> Option<u64> {
    let stat = rustix::fs::fstat(fd).ok()?;
    // Pipes, sockets and the like cannot be mapped, and have no size to speak of.
    let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    regular.then(|| stat.st_size.try_into().unwrap_or(0))
}

impl GlobalDispatch<WlShm, ()> for State {
    fn bind(
        state: &mut Self,
        _dh: &DisplayHandle,
        _client: &Client,
        resource: New<WlShm>,
        _data: &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let shm = init.init(resource, ());
        state.bound(&shm);
        for format in state.config.shm_formats.iter().filter_map(|f| to_shm(*f)) {
            shm.format(format);
        }
    }
}

impl Dispatch<WlShm, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        shm: &WlShm,
        request: wl_shm::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let wl_shm::Request::CreatePool { id, fd, size } = request else {
            return;
        };
        if size <= 0 {
            state.fatal(shm, wl_shm::Error::InvalidStride, "invalid wl_shm_pool size");
            return;
        }
        // A compositor would map it, and be killed by the kernel at the first missing page.
        if file_size(&fd).is_none_or(|have| have < size as u64) {
            state.fatal(shm, wl_shm::Error::InvalidFd, format!("the fd cannot be mapped over {size} bytes"));
            return;
        }
        let number = state.notes.note(|seen| {
            seen.pools.push(Pool { size, alive: true });
            seen.pools.len() - 1
        });
        state.log(format!("pool {number} of {size} bytes"));
        init.init(id, PoolData { number, fd: Arc::new(fd), size: AtomicI32::new(size) });
    }
}

impl Dispatch<WlShmPool, PoolData> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        pool: &WlShmPool,
        request: wl_shm_pool::Request,
        data: &PoolData,
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        match request {
            wl_shm_pool::Request::CreateBuffer { id, offset, width, height, stride, format } => {
                let buffer = ShmBuffer { pool: data.number, offset, width, height, stride, fourcc: to_fourcc(format) };
                if let Err((code, message)) = check(state, data, &buffer) {
                    state.fatal(pool, code, message);
                    return;
                }
                let store = Store::File { fd: data.fd.clone(), offset: offset as u64, stride: stride as u64 };
                let planes = vec![(data.fd.clone(), offset as u64)];
                let name = state.name_buffer(BufferKind::Shm(buffer), store, planes);
                let resource = init.init(id, name);
                state.buffer_made(name, resource);
            }
            wl_shm_pool::Request::Resize { size } => {
                let old = data.size.load(Ordering::Relaxed);
                if size < old {
                    state.fatal(pool, wl_shm::Error::InvalidFd, "cannot shrink wl_shm_pool");
                } else if file_size(&data.fd).is_none_or(|have| have < size as u64) {
                    state.fatal(pool, wl_shm::Error::InvalidFd, format!("the fd cannot be mapped over {size} bytes"));
                } else {
                    data.size.store(size, Ordering::Relaxed);
                    state.log(format!("pool {} grows to {size} bytes", data.number));
                    state.notes.note(|seen| seen.pools[data.number].size = size);
                }
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, pool: &WlShmPool, data: &PoolData) {
        state.log(format!("pool {} destroyed ({})", data.number, pool.id()));
        state.notes.note(|seen| seen.pools[data.number].alive = false);
    }
}

fn check(state: &State, pool: &PoolData, b: &ShmBuffer) -> Result<(), (wl_shm::Error, String)> {
    let bad = |message: String| Err((wl_shm::Error::InvalidStride, message));
    if !state.config.shm_formats.contains(&b.fourcc) {
        let message = format!("format {:#x} is not supported", b.fourcc);
        return Err((wl_shm::Error::InvalidFormat, message));
    }
    if b.offset < 0 {
        return bad("offset must not be negative".into());
    }
    if b.width <= 0 || b.height <= 0 {
        return bad(format!("invalid width or height ({}x{})", b.width, b.height));
    }
    if b.stride / bytes_per_pixel(b.fourcc) < b.width {
        return bad(format!("stride {} is too short for width {}", b.stride, b.width));
    }
    // As wlroots has it.
    if b.stride % bytes_per_pixel(b.fourcc) != 0 {
        return bad(format!("stride {} ends within a pixel", b.stride));
    }
    // The planes of subsampled colours follow, as weston reads them.
    let rows = match &b.fourcc.to_le_bytes() {
        b"NV12" | b"P010" | b"YU12" => i64::from(b.height) * 3 / 2,
        _ => b.height.into(),
    };
    let end = i64::from(b.offset) + i64::from(b.stride) * rows;
    let size = pool.size.load(Ordering::Relaxed);
    if end > i64::from(size) {
        return bad(format!("buffer ends at {end}, pool {} at {size}", pool.number));
    }
    Ok(())
}
