//! The interfaces of xdg-desktop-portal as zbus proxies, as far as they are used.

use std::collections::HashMap;

use zbus::proxy;
use zbus::zvariant::{ObjectPath, OwnedFd, OwnedObjectPath, OwnedValue, Value};

/// Options of a call.
pub type Options<'a> = HashMap<&'a str, Value<'a>>;

/// org.freedesktop.portal.RemoteDesktop.
#[proxy(
    interface = "org.freedesktop.portal.RemoteDesktop",
    default_service = "org.freedesktop.portal.Desktop",
    default_path = "/org/freedesktop/portal/desktop",
    gen_blocking = false
)]
pub trait RemoteDesktop {
    /// Persistence and EIS came with 2.
    #[zbus(property, name = "version")]
    fn version(&self) -> zbus::Result<u32>;

    /// Bits: 1 keyboard, 2 pointer, 4 touchscreen.
    #[zbus(property)]
    fn available_device_types(&self) -> zbus::Result<u32>;

    fn create_session(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    fn select_devices(&self, session: &ObjectPath<'_>, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    fn start(&self, session: &ObjectPath<'_>, parent: &str, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    #[zbus(name = "ConnectToEIS")]
    fn connect_to_eis(&self, session: &ObjectPath<'_>, options: Options<'_>) -> zbus::Result<OwnedFd>;
}

/// org.freedesktop.portal.ScreenCast.
#[proxy(
    interface = "org.freedesktop.portal.ScreenCast",
    default_service = "org.freedesktop.portal.Desktop",
    default_path = "/org/freedesktop/portal/desktop",
    gen_blocking = false
)]
pub trait ScreenCast {
    /// Cursor modes came with 2, persistence with 4.
    #[zbus(property, name = "version")]
    fn version(&self) -> zbus::Result<u32>;

    /// Bits: 1 monitors, 2 windows, 4 virtual monitors.
    #[zbus(property)]
    fn available_source_types(&self) -> zbus::Result<u32>;

    /// Bits: 1 hidden, 2 embedded, 4 as metadata.
    #[zbus(property)]
    fn available_cursor_modes(&self) -> zbus::Result<u32>;

    fn create_session(&self, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    fn select_sources(&self, session: &ObjectPath<'_>, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    fn start(&self, session: &ObjectPath<'_>, parent: &str, options: Options<'_>) -> zbus::Result<OwnedObjectPath>;

    fn open_pipe_wire_remote(&self, session: &ObjectPath<'_>, options: Options<'_>) -> zbus::Result<OwnedFd>;
}

/// org.freedesktop.portal.Clipboard.
#[proxy(
    interface = "org.freedesktop.portal.Clipboard",
    default_service = "org.freedesktop.portal.Desktop",
    default_path = "/org/freedesktop/portal/desktop",
    gen_blocking = false
)]
pub trait Clipboard {
    fn request_clipboard(&self, session: &ObjectPath<'_>, options: Options<'_>) -> zbus::Result<()>;

    fn selection_read(&self, session: &ObjectPath<'_>, mime_type: &str) -> zbus::Result<OwnedFd>;

    fn selection_write(&self, session: &ObjectPath<'_>, serial: u32) -> zbus::Result<OwnedFd>;

    #[zbus(no_reply)]
    fn selection_write_done(&self, session: &ObjectPath<'_>, serial: u32, success: bool) -> zbus::Result<()>;

    #[zbus(signal)]
    fn selection_owner_changed(
        &self,
        session: OwnedObjectPath,
        options: HashMap<String, OwnedValue>,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    fn selection_transfer(&self, session: OwnedObjectPath, mime_type: String, serial: u32) -> zbus::Result<()>;
}

/// org.freedesktop.portal.Request: the answer to a call comes as its signal.
#[proxy(
    interface = "org.freedesktop.portal.Request",
    default_service = "org.freedesktop.portal.Desktop",
    gen_blocking = false
)]
pub trait Request {
    #[zbus(signal)]
    fn response(&self, response: u32, results: HashMap<String, OwnedValue>) -> zbus::Result<()>;
}

/// org.freedesktop.portal.Session.
#[proxy(
    interface = "org.freedesktop.portal.Session",
    default_service = "org.freedesktop.portal.Desktop",
    gen_blocking = false
)]
pub trait Session {
    // Leaving the bus follows, and does the same: a frozen portal is not waited for.
    #[zbus(no_reply)]
    fn close(&self) -> zbus::Result<()>;

    #[zbus(signal)]
    fn closed(&self, details: HashMap<String, OwnedValue>) -> zbus::Result<()>;
}
