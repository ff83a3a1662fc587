//! A fake headless desktop for the tests of wolf-bridge: real D-Bus and PipeWire daemons in a private directory,
//! with a cast stream, Mutter's two services and its EIS server played by threads that a test scripts and observes.
//! It never touches the desktop, the bus or the PipeWire of the session that runs the tests.
//!
//! ```no_run
//! use std::time::Duration;
//! use fake_guest::{DeviceKind, FakeGuest, Fill, GuestOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let soon = Duration::from_secs(10);
//! let guest = FakeGuest::start(GuestOptions::default())?;
//! let mut bridge = std::process::Command::new("wolf-bridge");
//! bridge.envs(guest.env());
//! let _running = bridge.spawn()?;
//!
//! let cast = guest.mutter.producer(soon)?;
//! cast.streaming_at((1280, 720), soon)?;
//! cast.send(Fill::Coded(1), soon)?;
//! guest.eis.emulating(DeviceKind::Absolute, soon)?;
//! assert!(guest.eis.state().violations.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! | Room | Plays |
//! |---|---|
//! | [`Bus`], [`PipeWireDaemon`] | the two daemons, real ones |
//! | [`Producer`] | a cast stream of Mutter's |
//! | [`FakeMutter`] | `org.gnome.Mutter.RemoteDesktop` and `.ScreenCast` |
//! | [`FakePortal`] | `org.freedesktop.portal.RemoteDesktop` and `.ScreenCast` |
//! | [`FakeEis`] | Mutter's EIS server |
//! | [`FakeGuest`] | all of it together |

mod bus;
mod child;
mod daemon;
mod eis;
mod guest;
mod linker;
mod mutter;
mod portal;
mod producer;
mod wait;

pub use bus::Bus;
pub use daemon::{Linker, PipeWireDaemon, Restricted};
pub use eis::*;
pub use guest::{FakeGuest, GuestOptions};
pub use mutter::*;
pub use portal::*;
pub use producer::*;
pub use wait::Watched;
