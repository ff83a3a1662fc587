//! Any desktop by xdg-desktop-portal: ScreenCast for the picture, RemoteDesktop for input over EIS, and the clipboard where
//! it is offered.
//!
//! Not by ashpd: it does not know `pipewire-serial`, panics on a session handle that it did not expect, and loses the order
//! of the clipboard's signals and answers, which tells whose copy is the newest.

use futures_util::future::{AbortHandle, Abortable, Aborted, select_all};
use futures_util::{FutureExt, StreamExt};
use tracing::debug;
use zbus::Connection;

use crate::clipboard::asks::Asks;
use crate::guest::clipboard as selection;
use crate::guest::portal::cast::{Asked, Cast};
use crate::guest::{GuestError, InputRoute, Reporter, Session, TaskGuard, Wishes, bus};
use crate::input::ei::Scrolling;

pub mod cast;
mod clipboard;
mod proxies;
mod request;
mod streams;
mod token;

/// The portal's name on the bus.
pub const NAME: &str = "org.freedesktop.portal.Desktop";

/// Makes a session, reports it and keeps it alive; why it ended.
pub(super) async fn session(
    connection: &Connection,
    wishes: &Wishes,
    reporter: &Reporter<'_>,
) -> Result<String, GuestError> {
    let asked = Asked { wishes, with_input: true, name: "portal" };
    let Cast { session, mut closed, remote, stream, input, clipboard, .. } =
        cast::open(connection, &asked, reporter).await?;
    let asks = Asks::default();
    let (abort, aborted) = AbortHandle::new_pair();
    let kind = if input.is_some() { "input by EIS" } else { "look only" };
    let eis = |socket| InputRoute::Eis { socket, scrolling: Scrolling::Plain, fingers: None };
    reporter.made(Session {
        remote: Some(remote),
        place: stream.place(),
        input: input.map_or(InputRoute::None, eis),
        clipboard: clipboard.is_some().then(|| asks.clone()),
        ..Session::of(stream.target(), format!("the desktop's portal, {kind}"), TaskGuard(abort))
    });
    let clipboard = async {
        if let Some((calls, heard)) = clipboard {
            selection::serve(&calls, &asks, heard, |event| reporter.clipboard(event)).await;
        }
        // Its end is not the session's.
        std::future::pending::<String>().await
    };
    let ends = select_all([
        closed.next().map(|_| "the portal closed the session".to_owned()).boxed_local(),
        bus::name_lost(connection, NAME).map(|()| "the portal left the session bus".to_owned()).boxed_local(),
        clipboard.boxed_local(),
    ]);
    match Abortable::new(ends, aborted).await {
        Ok((why, ..)) => Ok(why),
        Err(Aborted) => {
            // Leaving the bus would end the session as well.
            if let Err(error) = session.close().await {
                debug!(%error, "the portal's session was not closed");
            }
            Ok("ended by us".to_owned())
        }
    }
}
