//! sway and other wlroots compositors: the picture from their screencast portal; input, the clipboard, and the size of their
//! headless output, by their own Wayland socket, which lets clients do all of that.

use std::path::PathBuf;

use futures_util::future::{AbortHandle, Abortable, Aborted, select_all};
use futures_util::{FutureExt as _, StreamExt as _};
use tracing::debug;
use zbus::Connection;

use crate::clipboard::asks::Asks;
use crate::guest::bus;
use crate::guest::latest::Latest;
use crate::guest::portal;
use crate::guest::portal::cast::{self, Asked, Cast};
use crate::guest::wlroots::clipboard::Clipboard;
use crate::guest::wlroots::outputs::Mode;
use crate::guest::{GuestError, InputRoute, Reporter, Session, TaskGuard, Wishes};

mod client;
pub mod clipboard;
mod data_control;
pub mod outputs;
pub mod socket;

/// Makes a session with the compositor whose socket is wished, and keeps it to its end; why that came.
///
/// # Errors
///
/// Why there is none.
pub async fn session(connection: &Connection, wishes: &Wishes, reporter: &Reporter<'_>) -> Result<String, GuestError> {
    let name = wishes.socket.as_deref().ok_or_else(|| GuestError::Ended("no --guest-socket".into()))?;
    let socket = socket::path(name, std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from))?;
    // Before the portal, which would wait for it.
    let input = socket::connect(&socket).await?;
    let asked = Asked { wishes, with_input: false, name: "wlroots" };
    let Cast { session, mut closed, remote, stream, .. } = cast::open(connection, &asked, reporter).await?;
    let sizes = Latest::<Mode>::default();
    let size = async {
        // An output that was chosen keeps the mode that it has.
        if wishes.monitor.is_none() {
            if let Ok(socket) = socket::connect(&socket).await {
                outputs::follow(socket, &sizes).await;
            }
        }
        std::future::pending::<String>().await
    };
    let clipboard = match wishes.clipboard {
        true => Clipboard::open(socket::connect(&socket).await?).await,
        false => None,
    };
    let asks = Asks::default();
    let (abort, aborted) = AbortHandle::new_pair();
    reporter.made(Session {
        remote: Some(remote),
        input: InputRoute::Wlr { socket: input, output: wishes.monitor.clone() },
        // Seen of xdg-desktop-portal-wlr 0.8.4, about once in five starts or changes of size.
        may_lose_first: true,
        output: wishes.monitor.is_none().then(|| sizes.clone()),
        clipboard: clipboard.is_some().then(|| asks.clone()),
        ..Session::of(stream.target(), "a wlroots compositor, input by virtual devices".into(), TaskGuard(abort))
    });
    let clipboard = async {
        match clipboard {
            Some(clipboard) => match clipboard.serve(&asks, |event| reporter.clipboard(event)).await {},
            None => std::future::pending::<String>().await,
        }
    };
    let ends = select_all([
        closed.next().map(|_| "the portal closed the session".to_owned()).boxed_local(),
        bus::name_lost(connection, portal::NAME).map(|()| "the portal left the session bus".to_owned()).boxed_local(),
        size.boxed_local(),
        clipboard.boxed_local(),
    ]);
    match Abortable::new(ends, aborted).await {
        Ok((why, ..)) => Ok(why),
        Err(Aborted) => {
            let closed = session.close().await;
            debug!(?closed, "session closed");
            Ok("ended by us".to_owned())
        }
    }
}
