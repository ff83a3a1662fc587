//! Owns the words for the fake Mutter: its version, its monitors, its refusals, and what it has seen.
//! It never touches the bus.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{Producer, ProducerOptions};

/// A monitor that RecordMonitor can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// The connector, e.g. `Meta-0`.
    pub connector: String,
    /// Where it is on the desktop, in logical pixels.
    pub position: (i32, i32),
    /// Its size in pixels.
    pub size: (u32, u32),
}

/// A Mutter, described.
#[derive(Debug, Clone)]
pub struct MutterOptions {
    /// GNOME's major version. Below 45 there is no ConnectToEIS in the introspection, from 50 there is SetKeymap.
    pub version: u32,
    /// Monitors there are besides virtual ones.
    pub monitors: Vec<Monitor>,
    /// The stream of RecordVirtual. RecordMonitor's is the same with the monitor's fixed size.
    pub producer: ProducerOptions,
    /// Methods that fail ("refused by the test"), by name.
    pub refuse: Vec<String>,
    /// Methods that are never answered, by name.
    pub hang: Vec<String>,
    /// How long methods take to answer, by name.
    pub delays: BTreeMap<String, Duration>,
    /// PipeWireStreamAdded never comes.
    pub never_node: bool,
    /// The lock keys' state (CapsLockState, NumLockState) at the start.
    pub locks: (bool, bool),
    /// `supported-keymap-types` and `supported-xkb-keymap-formats` of KeymapCapabilities; `None` leaves it empty, as
    /// GNOME 50 does.
    pub keymaps: Option<(Vec<u32>, Vec<u32>)>,
}

impl Default for MutterOptions {
    /// GNOME 48 without monitors.
    fn default() -> Self {
        Self {
            version: 48,
            monitors: Vec::new(),
            producer: ProducerOptions::default(),
            refuse: Vec::new(),
            hang: Vec::new(),
            delays: BTreeMap::new(),
            never_node: false,
            locks: (false, false),
            keymaps: None,
        }
    }
}

/// An input method of RemoteDesktop.Session, typed.
#[derive(Debug, Clone, PartialEq)]
pub enum Notify {
    /// Evdev code, pressed.
    Keycode(u32, bool),
    /// Keysym, pressed.
    Keysym(u32, bool),
    /// Evdev code, pressed.
    Button(i32, bool),
    /// dx, dy, flags (1 finish, 2 wheel, 4 finger, 8 continuous).
    Axis(f64, f64, u32),
    /// Axis (0 vertical, 1 horizontal), steps.
    AxisDiscrete(u32, i32),
    /// dx, dy.
    MotionRelative(f64, f64),
    /// Stream path, x, y in stream pixels.
    MotionAbsolute(String, f64, f64),
    /// Stream path, slot, x, y.
    TouchDown(String, u32, f64, f64),
    /// Stream path, slot, x, y.
    TouchMotion(String, u32, f64, f64),
    /// Slot.
    TouchUp(u32),
}

/// A method call, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Unique name of the caller.
    pub sender: String,
    /// Object path.
    pub path: String,
    /// Interface without `org.gnome.Mutter.`, e.g. `RemoteDesktop.Session`.
    pub interface: String,
    /// Method.
    pub member: String,
    /// Arguments, printed.
    pub args: String,
    /// The error it was answered with.
    pub error: Option<String>,
}

/// What a stream records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// RecordMonitor of this connector.
    Monitor(String),
    /// RecordVirtual.
    Virtual,
}

/// A stream of a running session.
#[derive(Debug, Clone)]
pub struct Cast {
    /// Object path.
    pub path: String,
    /// What it records.
    pub source: Source,
    /// The options given to Record*, printed.
    pub options: BTreeMap<String, String>,
    /// Its mapping id.
    pub mapping_id: String,
    /// Its producer, from Start on.
    pub producer: Option<Arc<Producer>>,
}

/// Everything the fake Mutter has seen.
#[derive(Debug, Clone, Default)]
pub struct MutterState {
    /// Its names are on the bus.
    pub present: bool,
    /// Every call, in order; but those of Properties, Introspectable and Peer.
    pub calls: Vec<Call>,
    /// Every accepted input call, in order.
    pub notified: Vec<Notify>,
    /// Keymaps set by SetKeymap: their text, initial layout, and whether they are locked.
    pub keymaps: Vec<(String, u32, bool)>,
    /// The session whose keymap it is, and whether it is locked; `None` for the desktop's own.
    pub keymap_owner: Option<(String, bool)>,
    /// Indices set by SetKeymapLayoutIndex.
    pub layout_indices: Vec<u32>,
    /// Remote desktop sessions alive, by path.
    pub remote_sessions: Vec<String>,
    /// Screen cast sessions alive, by path.
    pub cast_sessions: Vec<String>,
    /// Streams alive.
    pub casts: Vec<Cast>,
    /// Remote desktop sessions ever made.
    pub sessions_made: u32,
    /// Sessions that ended since their client left the bus.
    pub sessions_vanished: u32,
    /// The types that a session owns the clipboard with, if one does.
    pub clipboard: Option<Vec<String>>,
    /// Every SelectionWriteDone: serial, and whether that was all.
    pub written: Vec<(u32, bool)>,
    /// `device-types` of each ConnectToEIS; `None` when not given.
    pub eis_connections: Vec<Option<u32>>,
}

impl MutterState {
    /// The calls as `Interface.Member`, in order: the shape of a session.
    pub fn order(&self) -> Vec<String> {
        let name = |call: &Call| format!("{}.{}", call.interface, call.member);
        self.calls.iter().map(name).collect()
    }

    /// The errors given, as `Member: message`.
    pub fn errors(&self) -> Vec<String> {
        let error = |call: &Call| Some(format!("{}: {}", call.member, call.error.as_ref()?));
        self.calls.iter().filter_map(error).collect()
    }

    /// The producer of the newest stream that has one and runs.
    pub fn producer(&self) -> Option<Arc<Producer>> {
        self.casts.iter().rev().find_map(|cast| cast.producer.clone())
    }
}
