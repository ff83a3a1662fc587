//! The input path, host to guest: what the host sends becomes an [`event::InputEvent`]; the pure
//! modules ([`held`], [`geometry`], [`scroll`], [`waiting`]) decide, the sinks ([`ei`], [`notify`]) send.
//! Nothing here knows of windows, surfaces or frames.

pub mod ei;
pub mod event;
pub mod geometry;
pub mod held;
pub mod notify;
pub mod path;
pub mod scroll;
pub mod waiting;
