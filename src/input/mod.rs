//! The input path, host to guest: what the host sends becomes an [`event::InputEvent`]; the pure
//! modules ([`held`], [`geometry`], [`place`], [`mod@pointer`], [`scroll`], [`waiting`], [`locks`]) decide, the sinks ([`ei`], [`notify`], [`wlr`])
//! send.
//! Nothing here knows of windows, surfaces or frames.

pub mod ei;
pub mod event;
pub mod fingers;
pub mod geometry;
pub mod guest_keyboard;
pub mod held;
pub mod keymap;
pub mod layouts;
pub mod locks;
pub mod notify;
pub mod path;
pub mod place;
pub mod pointer;
pub mod scroll;
pub mod waiting;
pub mod wlr;
mod wlr_devices;
