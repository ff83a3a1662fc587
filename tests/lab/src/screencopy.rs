//! Takes the picture of a wlroots host's first output (zwlr_screencopy_manager_v1), exact to the pixel and without the cursor.
//! A connection of its own for each picture.

use std::{error::Error, os::unix::net::UnixStream, path::Path};

use wayland_client::{
    Connection, Dispatch, QueueHandle, WEnum, delegate_noop,
    globals::{GlobalListContents, registry_queue_init},
    protocol::{
        wl_buffer::WlBuffer,
        wl_output::WlOutput,
        wl_registry::{self, WlRegistry},
        wl_shm::{Format, WlShm},
        wl_shm_pool::WlShmPool,
    },
};
use wayland_protocols_wlr::screencopy::v1::client::{
    zwlr_screencopy_frame_v1::{Event, Flags, ZwlrScreencopyFrameV1},
    zwlr_screencopy_manager_v1::ZwlrScreencopyManagerV1,
};

use crate::{Image, memory::Memory};

#[derive(Clone, Copy, Debug)]
struct Layout {
    format: WEnum<Format>,
    width: u32,
    height: u32,
    stride: u32,
}

#[derive(Debug, Default)]
struct Capture {
    layout: Option<Layout>,
    offered: bool,
    upside_down: bool,
    /// `Some(true)`: the picture is there; `Some(false)`: the host could not.
    done: Option<bool>,
}

pub(crate) fn capture(socket: &Path) -> Result<Image, Box<dyn Error>> {
    let stream = UnixStream::connect(socket).map_err(|error| format!("{}: {error}", socket.display()))?;
    let connection = Connection::from_socket(stream)?;
    let (globals, mut queue) = registry_queue_init::<Capture>(&connection)?;
    let handle = queue.handle();
    let shm: WlShm = globals.bind(&handle, 1..=1, ())?;
    let output: WlOutput = globals.bind(&handle, 1..=1, ())?;
    let manager: ZwlrScreencopyManagerV1 = globals.bind(&handle, 3..=3, ())?;

    let mut capture = Capture::default();
    let frame = manager.capture_output(0, &output, &handle, ());
    while !capture.offered && capture.done.is_none() {
        queue.blocking_dispatch(&mut capture)?;
    }
    let layout = capture.layout.ok_or("the host offers no wl_shm layout")?;
    // A host that renders on a GPU hands out what that reads best.
    let red_first = match layout.format {
        WEnum::Value(Format::Xrgb8888 | Format::Argb8888) => true,
        WEnum::Value(Format::Xbgr8888 | Format::Abgr8888) => false,
        other => return Err(format!("the host's pixels are {other:?}").into()),
    };
    let stride = layout.stride / 4;
    let mut memory = Memory::new((stride * layout.height) as usize)?;
    let bytes = i32::try_from(layout.stride * layout.height)?;
    let pool = shm.create_pool(memory.fd(), bytes, &handle, ());
    let (width, height) = (i32::try_from(layout.width)?, i32::try_from(layout.height)?);
    let buffer =
        pool.create_buffer(0, width, height, i32::try_from(layout.stride)?, layout.format.into_result()?, &handle, ());
    frame.copy(&buffer);
    while capture.done.is_none() {
        queue.blocking_dispatch(&mut capture)?;
    }
    if capture.done != Some(true) {
        return Err("the host could not copy its picture".into());
    }
    let pixels = memory.pixels();
    Ok(Image::from_fn(layout.width, layout.height, |x, y| {
        let row = if capture.upside_down { layout.height - 1 - y } else { y };
        let pixel = pixels[(row * stride + x) as usize];
        if red_first { pixel & 0xFF_FFFF } else { pixel.swap_bytes() >> 8 }
    }))
}

impl Dispatch<ZwlrScreencopyFrameV1, ()> for Capture {
    fn event(
        state: &mut Self,
        _: &ZwlrScreencopyFrameV1,
        event: Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        match event {
            Event::Buffer { format, width, height, stride } => {
                state.layout = Some(Layout { format, width, height, stride })
            }
            Event::BufferDone => state.offered = true,
            Event::Flags { flags: WEnum::Value(flags) } => state.upside_down = flags.contains(Flags::YInvert),
            Event::Ready { .. } => state.done = Some(true),
            Event::Failed => state.done = Some(false),
            _ => {}
        }
    }
}

impl Dispatch<WlRegistry, GlobalListContents> for Capture {
    fn event(
        _: &mut Self,
        _: &WlRegistry,
        _: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
    }
}

delegate_noop!(Capture: ignore WlShm);
delegate_noop!(Capture: ignore WlOutput);
delegate_noop!(Capture: ignore WlBuffer);
delegate_noop!(Capture: WlShmPool);
delegate_noop!(Capture: ZwlrScreencopyManagerV1);
