//! Owns what a test sees of the EIS server: typed events, devices, and what is held.
//! It never judges; `ledger` does.

use std::collections::BTreeSet;

use super::options::{DeviceKind, Region};

/// What a client did on a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input {
    /// `ei_pointer.motion_relative`, in logical pixels.
    Motion(f32, f32),
    /// `ei_pointer_absolute.motion_absolute` within a region.
    MotionAbsolute(f32, f32),
    /// The same outside every region: silently dropped by the server.
    MotionDropped(f32, f32),
    /// `ei_button.button`: evdev code, pressed.
    Button(u32, bool),
    /// `ei_keyboard.key`: evdev code, pressed.
    Key(u32, bool),
    /// `ei_scroll.scroll`; 10.0 is a notch.
    Scroll(f32, f32),
    /// `ei_scroll.scroll_discrete`; 120 is a notch.
    ScrollDiscrete(i32, i32),
    /// `ei_scroll.scroll_stop`: x, y, and whether it is a cancel.
    ScrollStop(bool, bool, bool),
    /// `ei_touchscreen.down` within a region: id, x, y.
    TouchDown(u32, f32, f32),
    /// The same outside every region: silently dropped by the server.
    TouchDropped(u32, f32, f32),
    /// `ei_touchscreen.motion`.
    TouchMotion(u32, f32, f32),
    /// `ei_touchscreen.up`.
    TouchUp(u32),
    /// `ei_touchscreen.cancel` (version 2).
    TouchCancel(u32),
    /// `ei_device.frame`: the group of events before it is complete; µs of CLOCK_MONOTONIC.
    Frame(u64),
    /// `ei_device.start_emulating`, with its sequence.
    StartEmulating(u32),
    /// `ei_device.stop_emulating`.
    StopEmulating,
    /// `ei_device.ready` (version 3).
    Ready,
    /// `ei_device.release`.
    Released,
}

/// An [`Input`], with the device it came on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logged {
    /// The device's kind.
    pub kind: DeviceKind,
    /// The device's number: every device ever made has its own.
    pub device: u32,
    /// What was done.
    pub input: Input,
}

/// A device, as it stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeenDevice {
    /// Its kind.
    pub kind: Option<DeviceKind>,
    /// Still there.
    pub alive: bool,
    /// Resumed: the client may emulate.
    pub resumed: bool,
    /// The client has started emulating, with this sequence.
    pub emulating: Option<u32>,
    /// Its regions.
    pub regions: Vec<Region>,
    /// Keys held, by evdev code.
    pub keys: BTreeSet<u32>,
    /// Buttons held, by evdev code.
    pub buttons: BTreeSet<u32>,
    /// Touches held, by id.
    pub touches: BTreeSet<u32>,
}

impl SeenDevice {
    /// Nothing is held on it.
    pub fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.buttons.is_empty() && self.touches.is_empty()
    }
}

/// Everything the server has seen.
#[derive(Debug, Clone, Default)]
pub struct EisState {
    /// Connections ever accepted.
    pub connections: u32,
    /// Connections alive after their handshake.
    pub connected: u32,
    /// The last client's name.
    pub client: Option<String>,
    /// Whether the last client said it is a sender, as one that emulates must.
    pub sender: Option<bool>,
    /// Binds of the seat's capabilities.
    pub binds: u32,
    /// Every device ever made; its number is the index.
    pub devices: Vec<SeenDevice>,
    /// Every event, in the order of arrival.
    pub log: Vec<Logged>,
    /// What a client must not do, and did.
    pub violations: Vec<String>,
    /// Keys pressed and released within one frame: the server sees nothing of them.
    pub no_ops: Vec<u32>,
    /// What was still held when its device or its client went: "key 30 on Keyboard".
    pub left_held: Vec<String>,
    /// Buttons that stick for good, as on Mutter, since they were held on the absolute device when it was re-created.
    pub stuck_buttons: BTreeSet<u32>,
    /// Presses of stuck buttons: lost on every device.
    pub lost_presses: Vec<u32>,
}

impl EisState {
    /// The device of this kind that is there now, and its number.
    pub fn device(&self, kind: DeviceKind) -> Option<(u32, &SeenDevice)> {
        let mut devices = self.devices.iter().enumerate().rev();
        devices
            .find(|(_, device)| device.alive && device.kind == Some(kind))
            .map(|(number, device)| (number as u32, device))
    }

    /// The device of this kind, if the client emulates on it.
    pub fn emulating(&self, kind: DeviceKind) -> Option<u32> {
        self.device(kind).filter(|(_, device)| device.emulating.is_some()).map(|(number, _)| number)
    }

    /// Every input on devices of this kind, without frames and starts.
    pub fn inputs(&self, kind: DeviceKind) -> Vec<Input> {
        let plain = |input: &Input| {
            !matches!(input, Input::Frame(_) | Input::StartEmulating(_) | Input::StopEmulating | Input::Ready)
        };
        let of_kind = self.log.iter().filter(|logged| logged.kind == kind);
        of_kind.map(|logged| logged.input).filter(plain).collect()
    }

    /// How many events came that `wanted` accepts.
    pub fn count(&self, wanted: impl Fn(&Logged) -> bool) -> usize {
        self.log.iter().filter(|logged| wanted(logged)).count()
    }

    /// How many devices of this kind there ever were.
    pub fn made(&self, kind: DeviceKind) -> usize {
        let of_kind = |device: &&SeenDevice| device.kind == Some(kind);
        self.devices.iter().filter(of_kind).count()
    }

    /// Everything held now: "key 30 on Keyboard".
    pub fn held(&self) -> Vec<String> {
        let alive = self.devices.iter().filter(|device| device.alive);
        alive.flat_map(held_on).collect()
    }
}

/// What is held on a device, in words.
pub(crate) fn held_on(device: &SeenDevice) -> Vec<String> {
    let Some(kind) = device.kind else {
        return Vec::new();
    };
    let say = |what: &'static str| move |code: &u32| format!("{what} {code} on {kind:?}");
    let keys = device.keys.iter().map(say("key"));
    let buttons = device.buttons.iter().map(say("button"));
    let touches = device.touches.iter().map(say("touch"));
    keys.chain(buttons).chain(touches).collect()
}
