//! Owns the words for the fake portal: what it has, its faults, and what it has seen. It never touches the bus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::{Producer, ProducerOptions};

/// What a method does instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call itself fails.
    Refuse,
    /// The request is answered by 1: a person said no.
    Deny,
    /// The request is answered by 2: it ended in another way.
    End,
    /// The request is never answered.
    Hang,
    /// The request is never answered, and the session is closed.
    Close,
}

/// A stream, as Start's answer has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedStream {
    /// `source_type`: 1 a monitor, 2 a window.
    pub source_type: u32,
    /// `mapping_id`, which is also its region's.
    pub mapping_id: Option<String>,
    /// `position` and `size` on the desktop, which are its region's too.
    pub place: Option<((i32, i32), (u32, u32))>,
    /// Whether `pipewire-serial` is told.
    pub by_serial: bool,
}

impl Default for SharedStream {
    /// A monitor at the origin of the desktop, without a name.
    fn default() -> Self {
        Self { source_type: 1, mapping_id: None, place: Some(((0, 0), (1280, 720))), by_serial: false }
    }
}

/// A portal, described.
#[derive(Debug, Clone)]
pub struct PortalOptions {
    /// Whether there is a RemoteDesktop beside ScreenCast. For good: it is not looked at again.
    pub remote_desktop: bool,
    /// Whether there is a Clipboard beside that. For good, too.
    pub clipboard: bool,
    /// `AvailableCursorModes`.
    pub cursor_modes: u32,
    /// What methods do wrong, by name.
    pub faults: BTreeMap<String, Fault>,
    /// What Start shares; each one's frames come from a producer of its own.
    pub streams: Vec<SharedStream>,
    /// Those producers.
    pub producer: ProducerOptions,
    /// Whether a token that is not valid is refused, and not just useless.
    pub strict_tokens: bool,
}

impl Default for PortalOptions {
    /// A whole portal with one monitor.
    fn default() -> Self {
        Self {
            remote_desktop: true,
            clipboard: true,
            cursor_modes: 7,
            faults: BTreeMap::new(),
            streams: vec![SharedStream::default()],
            producer: ProducerOptions::default(),
            strict_tokens: false,
        }
    }
}

/// A method call, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalCall {
    /// Method.
    pub member: String,
    /// Its options, printed.
    pub options: BTreeMap<String, String>,
}

/// What the portal has seen.
#[derive(Debug, Clone, Default)]
pub struct PortalState {
    /// Every call, in order.
    pub calls: Vec<PortalCall>,
    /// Sessions that there are, by path, and whether they have started.
    pub sessions: BTreeMap<String, bool>,
    /// How often a person would have been asked.
    pub dialogs: u32,
    /// Tokens that are valid.
    pub tokens: BTreeSet<String>,
    /// How many tokens were given.
    pub tokens_given: u32,
    /// Whether what was selected last needs no dialog.
    pub restored: bool,
    /// Sessions that the client closed.
    pub closed: u32,
    /// What the session offers on the clipboard, if it owns that.
    pub offered: Option<Vec<String>>,
    /// The streams of the last Start.
    pub producers: Vec<Arc<Producer>>,
}

impl PortalState {
    /// The options of the last call of a method.
    pub fn last(&self, member: &str) -> Option<&BTreeMap<String, String>> {
        self.calls.iter().rfind(|call| call.member == member).map(|call| &call.options)
    }
}
