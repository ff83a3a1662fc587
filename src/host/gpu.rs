//! Which GPU the host draws on, for who starts a guest: it is to draw on the same one.

use std::fmt;
use std::path::PathBuf;

use crate::device;
use crate::host::Host;

/// Where the host draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostGpu {
    /// On the device of this render node.
    Node(PathBuf),
    /// It takes DMA-BUFs and does not say whose: linux-dmabuf below version 4.
    Untold,
    /// In software: it takes no DMA-BUFs, or its device has no render node.
    None,
}

impl fmt::Display for HostGpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "{}", node.display()),
            Self::Untold => f.write_str("any"),
            Self::None => f.write_str("none"),
        }
    }
}

impl Host {
    /// Where it draws, as far as it has said so.
    pub fn gpu(&self) -> HostGpu {
        match self.feedback.main_device() {
            Some(number) => device::render_node(number).map_or(HostGpu::None, HostGpu::Node),
            None if self.feedback.formats().is_empty() => HostGpu::None,
            None => HostGpu::Untold,
        }
    }
}
