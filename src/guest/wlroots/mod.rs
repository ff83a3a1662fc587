//! sway and other wlroots compositors: the picture from their screencast portal; input, the clipboard, and the size of their
//! headless output, by their own Wayland socket, which lets clients do all of that.

use std::path::PathBuf;

use futures_util::future::{AbortHandle, Abortable, Aborted, select_all};
use futures_util::{FutureExt as _, StreamExt as _};
use tracing::{debug, info, warn};
use zbus::Connection;

use crate::clipboard::asks::Asks;
use crate::guest::bus;
use crate::guest::latest::Latest;
use crate::guest::portal;
use crate::guest::portal::cast::{self, Asked, Cast};
use crate::guest::wlroots::clipboard::Clipboard;
use crate::guest::wlroots::outputs::{Fixed, Heads, Mode};
use crate::guest::{GuestError, InputRoute, Kind, Patience, Reporter, Session, TaskGuard, Wishes};

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
    let cast = cast::open(connection, &asked, reporter).await?;
    let why = format!("the compositor at {} does not answer; is it frozen?", socket.display());
    reporter.waits(Patience { why, ..Kind::Wlroots.patience() });
    let heads = match socket::connect(&socket).await {
        Ok(socket) => Heads::open(socket).await,
        Err(error) => Err(Fixed::Gone(error.to_string())),
    };
    let shown = shown_output(&cast, heads.as_ref().ok(), wishes.monitor.as_deref())?;
    let Cast { session, mut closed, remote, stream, .. } = cast;
    let sizes = Latest::<Mode>::default();
    let size = async {
        // An output that was chosen keeps the mode that it has.
        match wishes.monitor {
            None => match outputs::follow(heads, shown.clone(), &sizes).await {},
            Some(_) => {
                // Nobody would read what the compositor goes on telling.
                drop(heads);
                std::future::pending::<String>().await
            }
        }
    };
    let clipboard = match wishes.clipboard {
        true => Clipboard::open(socket::connect(&socket).await?).await,
        false => None,
    };
    let asks = Asks::default();
    let (abort, aborted) = AbortHandle::new_pair();
    reporter.made(Session {
        remote: Some(remote),
        input: InputRoute::Wlr { socket: input, output: shown.clone() },
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

/// The output that the portal shows, by its name: its place tells. Without a place it can only be the one that is wanted.
///
/// # Errors
///
/// A stored permission was for another output than the one that is wanted: it is forgotten, and the portal to be asked again.
fn shown_output(cast: &Cast<'_>, heads: Option<&Heads>, wanted: Option<&str>) -> Result<Option<String>, GuestError> {
    let at = |heads: &Heads| heads.at(cast.stream.monitor_position()?, wanted).map(str::to_owned);
    let Some((heads, shown)) = heads.and_then(|heads| Some((heads, at(heads)?))) else {
        return Ok(wanted.map(str::to_owned));
    };
    match wanted {
        Some(wanted) if wanted != shown => {
            if cast.forget_permission() {
                let why = format!("the portal's permission was for {shown}, and is forgotten: {wanted} is wanted");
                return Err(GuestError::Ended(why));
            }
            warn!(
                "the portal shows {shown}: for {wanted}, set output_name={wanted} in xdg-desktop-portal-wlr's config"
            );
        }
        None if heads.count() > 1 => info!("the guest has {} outputs; the portal shows {shown}", heads.count()),
        _ => {}
    }
    Ok(Some(shown))
}
