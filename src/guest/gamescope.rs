//! gamescope: the PipeWire node of that name, and its own EIS socket, which it names in `LIBEI_SOCKET` to what it starts.
//!
//! It draws at its own size, without a pointer, tells of no damage, sends each picture once, and has no touchscreen and no
//! keymap, and one device for everything else, with one region without end: positions are pixels of the window that has the
//! pointer, which are the stream's where the game is as large as gamescope.

use std::ffi::OsString;
use std::path::PathBuf;

use tracing::warn;

use crate::guest::{GuestError, InputRoute, Kind, Reporter, Session, Wishes, node};
use crate::input::ei::Scrolling;

/// Its node's name.
pub(super) const NODE: &str = "gamescope";

/// Makes a session, reports it and keeps it alive; why it ended.
pub(super) async fn session(wishes: &Wishes, reporter: &Reporter<'_>) -> Result<String, GuestError> {
    let nodes = node::look().await?;
    let shown = node::pick(Kind::Gamescope, &nodes.all(), wishes.node.as_deref().unwrap_or(NODE))?;
    let input = match wishes.eis.clone().or_else(|| named(std::env::var_os("LIBEI_SOCKET"))) {
        Some(path) => node::eis(&path, Scrolling::Discrete).await?,
        None => {
            warn!(
                "gamescope's EIS socket is not known: going on without input; set LIBEI_SOCKET, or give --eis-socket"
            );
            InputRoute::None
        }
    };
    let description = node::describe("gamescope", &input);
    let made = |guard| Session {
        input,
        shows_pointer: false,
        silence: "gamescope sends no picture; it does when its game draws again",
        ..Session::of(shown.target(), description, guard)
    };
    node::keep(nodes, &shown, reporter, made).await
}

/// What LIBEI_SOCKET says.
pub(super) fn named(variable: Option<OsString>) -> Option<PathBuf> {
    variable.filter(|path| !path.is_empty()).map(PathBuf::from)
}
