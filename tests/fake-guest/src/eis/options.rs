//! Owns the words for the EIS server: its kinds of devices, its regions and its ways to refuse.
//! It never talks to a client.

/// `device-types` of ConnectToEIS: keyboard.
pub const KEYBOARD: u32 = 1;
/// `device-types` of ConnectToEIS: both pointers.
pub const POINTER: u32 = 2;
/// `device-types` of ConnectToEIS: touchscreen.
pub const TOUCH: u32 = 4;

/// A device, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceKind {
    /// Relative pointer, with buttons and scroll.
    Pointer,
    /// Keyboard, with a keymap.
    Keyboard,
    /// Absolute pointer, with buttons and scroll; there only while a stream is.
    Absolute,
    /// Touchscreen; there only while a stream is.
    Touch,
    /// Pointers and keyboard in one, there at once and with one region of INT32_MAX by INT32_MAX, as gamescope's.
    Whole,
}

/// A region: where on the desktop the stream lies, in logical pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Physical scale.
    pub scale: f32,
    /// The stream's `mapping-id`; `None` as from Mutter 43, KWin and gamescope.
    pub mapping_id: Option<String>,
}

impl Region {
    /// One at the origin, without scale.
    pub fn new(width: u32, height: u32, mapping_id: Option<&str>) -> Self {
        Self { x: 0, y: 0, width, height, scale: 1.0, mapping_id: mapping_id.map(str::to_owned) }
    }

    /// Whether a point is in it. Its right and bottom edges are outside.
    pub fn contains(&self, x: f32, y: f32) -> bool {
        let within =
            |v: f32, start: u32, length: u32| v >= start as f32 && f64::from(v) < f64::from(start) + f64::from(length);
        within(x, self.x, self.width) && within(y, self.y, self.height)
    }
}

/// What regions the absolute and touch devices get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegionMode {
    /// The stream's.
    #[default]
    Stream,
    /// The stream's on a monitor of scale 2.
    Scaled,
    /// The stream's, but 0x0.
    Empty,
    /// One of INT32_MAX by INT32_MAX without mapping id.
    Endless,
    /// None: every point is taken.
    None,
}

/// A server that will not play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Closes the connection as soon as the handshake is done.
    Disconnect,
    /// Offers a seat, and never a device.
    NoDevices,
    /// Devices come, and are never resumed.
    NeverResumed,
}

/// An EIS server, described.
#[derive(Debug, Clone, PartialEq)]
pub struct EisOptions {
    /// How it refuses, if it does.
    pub refuse: Option<Refusal>,
    /// Regions of the absolute and touch devices.
    pub regions: RegionMode,
    /// Which devices exist: [`KEYBOARD`], [`POINTER`], [`TOUCH`].
    pub device_types: u32,
    /// There is but one device, [`DeviceKind::Whole`].
    pub whole: bool,
    /// The keyboard's keymap as XKB text; `None` for a keyboard without.
    pub keymap: Option<String>,
}

impl EisOptions {
    /// gamescope's: one device, without keymap and touch.
    pub fn gamescope() -> Self {
        Self { device_types: KEYBOARD | POINTER, whole: true, keymap: None, ..Self::default() }
    }
}

impl Default for EisOptions {
    fn default() -> Self {
        Self {
            refuse: None,
            regions: RegionMode::Stream,
            device_types: KEYBOARD | POINTER | TOUCH,
            whole: false,
            keymap: Some(super::keymap::US.to_owned()),
        }
    }
}
