//! org.gnome.Mutter.RemoteDesktop as zbus proxies; facts from `protocols/org.gnome.Mutter.RemoteDesktop.xml`.

use std::collections::HashMap;

use zbus::proxy;
use zbus::zvariant::{OwnedFd, OwnedObjectPath, OwnedValue, Value};

/// See the interface of this name in `protocols/`.
#[proxy(
    interface = "org.gnome.Mutter.RemoteDesktop",
    default_service = "org.gnome.Mutter.RemoteDesktop",
    default_path = "/org/gnome/Mutter/RemoteDesktop",
    gen_blocking = false
)]
pub trait RemoteDesktop {
    fn create_session(&self) -> zbus::Result<OwnedObjectPath>;
}

/// See the interface of this name in `protocols/`.
#[proxy(
    interface = "org.gnome.Mutter.RemoteDesktop.Session",
    default_service = "org.gnome.Mutter.RemoteDesktop",
    gen_blocking = false
)]
pub trait RemoteDesktopSession {
    #[zbus(property(emits_changed_signal = "const"))]
    fn session_id(&self) -> zbus::Result<String>;

    #[zbus(property)]
    fn caps_lock_state(&self) -> zbus::Result<bool>;

    #[zbus(property)]
    fn num_lock_state(&self) -> zbus::Result<bool>;

    #[zbus(property)]
    fn keymap_capabilities(&self) -> zbus::Result<HashMap<String, OwnedValue>>;

    fn set_keymap(&self, options: HashMap<&str, Value<'_>>) -> zbus::Result<()>;

    // At the end, when nobody waits any more.
    #[zbus(name = "SetKeymap", no_reply)]
    fn reset_keymap(&self, options: HashMap<&str, Value<'_>>) -> zbus::Result<()>;

    fn set_keymap_layout_index(&self, index: u32) -> zbus::Result<()>;

    fn start(&self) -> zbus::Result<()>;

    // Leaving the bus follows, and does the same: a frozen shell is not waited for.
    #[zbus(no_reply)]
    fn stop(&self) -> zbus::Result<()>;

    #[zbus(name = "ConnectToEIS")]
    fn connect_to_eis(&self, options: HashMap<&str, Value<'_>>) -> zbus::Result<OwnedFd>;

    #[zbus(no_reply)]
    fn notify_keyboard_keycode(&self, keycode: u32, state: bool) -> zbus::Result<()>;

    #[zbus(no_reply)]
    fn notify_pointer_button(&self, button: i32, state: bool) -> zbus::Result<()>;

    #[zbus(no_reply)]
    fn notify_pointer_axis(&self, dx: f64, dy: f64, flags: u32) -> zbus::Result<()>;

    #[zbus(no_reply)]
    fn notify_pointer_axis_discrete(&self, axis: u32, steps: i32) -> zbus::Result<()>;

    #[zbus(no_reply)]
    fn notify_pointer_motion_relative(&self, dx: f64, dy: f64) -> zbus::Result<()>;

    #[zbus(no_reply)]
    fn notify_pointer_motion_absolute(&self, stream: &str, x: f64, y: f64) -> zbus::Result<()>;

    #[zbus(no_reply)]
    fn notify_touch_down(&self, stream: &str, slot: u32, x: f64, y: f64) -> zbus::Result<()>;

    #[zbus(no_reply)]
    fn notify_touch_motion(&self, stream: &str, slot: u32, x: f64, y: f64) -> zbus::Result<()>;

    #[zbus(no_reply)]
    fn notify_touch_up(&self, slot: u32) -> zbus::Result<()>;

    fn enable_clipboard(&self, options: HashMap<&str, Value<'_>>) -> zbus::Result<()>;

    fn selection_read(&self, mime_type: &str) -> zbus::Result<OwnedFd>;

    fn selection_write(&self, serial: u32) -> zbus::Result<OwnedFd>;

    #[zbus(no_reply)]
    fn selection_write_done(&self, serial: u32, success: bool) -> zbus::Result<()>;

    #[zbus(signal)]
    fn selection_owner_changed(&self, options: HashMap<String, OwnedValue>) -> zbus::Result<()>;

    #[zbus(signal)]
    fn selection_transfer(&self, mime_type: String, serial: u32) -> zbus::Result<()>;

    #[zbus(signal)]
    fn closed(&self) -> zbus::Result<()>;
}
