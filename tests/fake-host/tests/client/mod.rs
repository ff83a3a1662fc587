//! The smallest Wayland client that can show a window: what the tests of the fake host drive.
//! It writes down every event as text and never does anything on its own account.
#![allow(dead_code, reason = "each test file uses its part of the client")]

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use fake_host::FakeHost;
use rustix::fs::{MemfdFlags, memfd_create};
use wayland_client::globals::{BindError, GlobalList, GlobalListContents, registry_queue_init};
use wayland_client::protocol::wl_buffer::WlBuffer;
use wayland_client::protocol::wl_callback::WlCallback;
use wayland_client::protocol::wl_compositor::WlCompositor;
use wayland_client::protocol::wl_keyboard::WlKeyboard;
use wayland_client::protocol::wl_output::WlOutput;
use wayland_client::protocol::wl_pointer::WlPointer;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::protocol::wl_shm::{Format, WlShm};
use wayland_client::protocol::wl_shm_pool::WlShmPool;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_client::protocol::wl_touch::WlTouch;
use wayland_client::{Connection, Dispatch, EventQueue, Proxy, QueueHandle, delegate_noop, event_created_child};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_buffer_params_v1::{self, ZwpLinuxBufferParamsV1};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_feedback_v1::ZwpLinuxDmabufFeedbackV1;
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_locked_pointer_v1::ZwpLockedPointerV1;
use wayland_protocols::wp::pointer_constraints::zv1::client::zwp_pointer_constraints_v1::ZwpPointerConstraintsV1;
use wayland_protocols::wp::presentation_time::client::wp_presentation::WpPresentation;
use wayland_protocols::wp::presentation_time::client::wp_presentation_feedback::WpPresentationFeedback;
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_manager_v1::ZwpRelativePointerManagerV1;
use wayland_protocols::wp::relative_pointer::zv1::client::zwp_relative_pointer_v1::ZwpRelativePointerV1;
use wayland_protocols::wp::viewporter::client::wp_viewport::WpViewport;
use wayland_protocols::wp::viewporter::client::wp_viewporter::WpViewporter;
use wayland_protocols::xdg::shell::client::xdg_surface::{self, XdgSurface};
use wayland_protocols::xdg::shell::client::xdg_toplevel::{self, XdgToplevel};
use wayland_protocols::xdg::shell::client::xdg_wm_base::XdgWmBase;

pub const SOON: Duration = Duration::from_secs(5);
pub const RED: u32 = 0xffff_0000;
pub const BLUE: u32 = 0xff00_00ff;

#[derive(Default)]
pub struct Log {
    /// Every event, as `interface event`.
    pub events: Vec<String>,
    pub serial: Option<u32>,
    pub size: (i32, i32),
    pub created: Vec<WlBuffer>,
}

impl Log {
    pub fn count(&self, start: &str) -> usize {
        self.events.iter().filter(|e| e.starts_with(start)).count()
    }

    /// Events of interfaces with this prefix, in order, without their arguments.
    pub fn names(&self, prefix: &str) -> Vec<&str> {
        self.events
            .iter()
            .filter(|e| e.starts_with(prefix))
            .map(|e| e.split([' ', '{', '(']).nth(1).unwrap_or(""))
            .collect()
    }
}

pub struct Client {
    pub queue: EventQueue<Log>,
    pub qh: QueueHandle<Log>,
    pub globals: GlobalList,
    pub log: Log,
    pub surface: WlSurface,
    pub xdg_surface: XdgSurface,
    pub toplevel: XdgToplevel,
}

impl Client {
    /// Connects and makes a toplevel, without a commit.
    pub fn new(host: &FakeHost) -> Self {
        let stream = UnixStream::connect(host.socket()).expect("the socket is there");
        let connection = Connection::from_socket(stream).expect("a connection");
        let (globals, queue) = registry_queue_init::<Log>(&connection).expect("globals");
        let qh = queue.handle();
        let compositor: WlCompositor = globals.bind(&qh, 1..=6, ()).expect("wl_compositor");
        let wm_base: XdgWmBase = globals.bind(&qh, 1..=6, ()).expect("xdg_wm_base");
        let surface = compositor.create_surface(&qh, ());
        let xdg_surface = wm_base.get_xdg_surface(&surface, &qh, ());
        let toplevel = xdg_surface.get_toplevel(&qh, ());
        Self { queue, qh, globals, log: Log::default(), surface, xdg_surface, toplevel }
    }

    /// A toplevel that has acknowledged its first configure.
    pub fn configured(host: &FakeHost) -> Self {
        let mut client = Self::new(host);
        client.surface.commit();
        client.roundtrip();
        client.ack();
        client
    }

    pub fn bind<T: Proxy + 'static>(&self, version: u32) -> Result<T, BindError>
    where
        Log: Dispatch<T, ()>,
    {
        self.globals.bind(&self.qh, 1..=version, ())
    }

    pub fn roundtrip(&mut self) {
        self.try_roundtrip().expect("the connection lives");
    }

    /// False if the host has ended the connection.
    pub fn try_roundtrip(&mut self) -> Result<usize, wayland_client::DispatchError> {
        self.queue.roundtrip(&mut self.log)
    }

    pub fn ack(&mut self) {
        let serial = self.log.serial.take().expect("a configure came");
        self.xdg_surface.ack_configure(serial);
    }

    /// A shm buffer filled with one colour, and its file.
    pub fn buffer(&self, width: i32, height: i32, color: u32) -> (WlBuffer, File) {
        let file = filled(width, height, color);
        let shm: WlShm = self.bind(1).expect("wl_shm");
        let pool = shm.create_pool(file.as_fd(), width * height * 4, &self.qh, ());
        let buffer = pool.create_buffer(0, width, height, width * 4, Format::Xrgb8888, &self.qh, ());
        pool.destroy();
        (buffer, file)
    }

    /// Attaches with full damage and commits.
    pub fn show(&self, buffer: &WlBuffer) {
        self.surface.attach(Some(buffer), 0, 0);
        self.surface.damage_buffer(0, 0, i32::MAX, i32::MAX);
        self.surface.commit();
    }

    pub fn seat(&self) -> (WlPointer, WlKeyboard, WlTouch) {
        let seat: WlSeat = self.bind(9).expect("wl_seat");
        (seat.get_pointer(&self.qh, ()), seat.get_keyboard(&self.qh, ()), seat.get_touch(&self.qh, ()))
    }

    /// Asks for the import of a memfd as a linear DMA-BUF.
    pub fn import(&self, fourcc: u32, modifier: u64, width: i32, height: i32) {
        let dmabuf: ZwpLinuxDmabufV1 = self.bind(5).expect("dmabuf");
        let params = dmabuf.create_params(&self.qh, ());
        let file = filled(width, height, BLUE);
        let (hi, lo) = ((modifier >> 32) as u32, modifier as u32);
        params.add(file.as_fd(), 0, 0, width as u32 * 4, hi, lo);
        let flags = zwp_linux_buffer_params_v1::Flags::empty();
        params.create(width, height, fourcc, flags);
    }
}

pub fn filled(width: i32, height: i32, color: u32) -> File {
    let file = File::from(memfd_create("pixels", MemfdFlags::CLOEXEC).expect("a memfd"));
    fill(&file, width * height, color);
    file
}

pub fn fill(file: &File, pixels: i32, color: u32) {
    let bytes = color.to_le_bytes().repeat(pixels as usize);
    file.write_all_at(&bytes, 0).expect("room for pixels");
}

fn write_down<T: Proxy>(log: &mut Log, event: &dyn std::fmt::Debug) {
    log.events.push(format!("{} {event:?}", T::interface().name));
}

macro_rules! logged {
    ($($interface:ty),* $(,)?) => {$(
        impl Dispatch<$interface, ()> for Log {
            fn event(
                log: &mut Self,
                _: &$interface,
                event: <$interface as Proxy>::Event,
                _: &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                write_down::<$interface>(log, &event);
            }
        }
    )*};
}

logged!(
    WlBuffer,
    WlCallback,
    WlKeyboard,
    WlOutput,
    WlPointer,
    WlSeat,
    WlShm,
    WlSurface,
    WlTouch,
    ZwpLinuxDmabufV1,
    ZwpLinuxDmabufFeedbackV1,
    ZwpRelativePointerV1,
    ZwpLockedPointerV1,
    WpPresentation,
    WpPresentationFeedback,
    XdgWmBase,
);
delegate_noop!(Log: WpViewport);
delegate_noop!(Log: WpViewporter);
delegate_noop!(Log: ZwpPointerConstraintsV1);
delegate_noop!(Log: WlCompositor);
delegate_noop!(Log: WlShmPool);
delegate_noop!(Log: ZwpRelativePointerManagerV1);

impl Dispatch<WlRegistry, GlobalListContents> for Log {
    fn event(
        log: &mut Self,
        _: &WlRegistry,
        event: wl_registry::Event,
        _: &GlobalListContents,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        write_down::<WlRegistry>(log, &event);
    }
}

impl Dispatch<XdgSurface, ()> for Log {
    fn event(log: &mut Self, _: &XdgSurface, event: xdg_surface::Event, _: &(), _: &Connection, _: &QueueHandle<Self>) {
        write_down::<XdgSurface>(log, &event);
        if let xdg_surface::Event::Configure { serial } = event {
            log.serial = Some(serial);
        }
    }
}

impl Dispatch<XdgToplevel, ()> for Log {
    fn event(
        log: &mut Self,
        _: &XdgToplevel,
        event: xdg_toplevel::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        write_down::<XdgToplevel>(log, &event);
        if let xdg_toplevel::Event::Configure { width, height, .. } = event {
            log.size = (width, height);
        }
    }
}

impl Dispatch<ZwpLinuxBufferParamsV1, ()> for Log {
    fn event(
        log: &mut Self,
        _: &ZwpLinuxBufferParamsV1,
        event: zwp_linux_buffer_params_v1::Event,
        _: &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        write_down::<ZwpLinuxBufferParamsV1>(log, &event);
        if let zwp_linux_buffer_params_v1::Event::Created { buffer } = event {
            log.created.push(buffer);
        }
    }

    event_created_child!(Log, ZwpLinuxBufferParamsV1, [
        zwp_linux_buffer_params_v1::EVT_CREATED_OPCODE => (WlBuffer, ()),
    ]);
}
