//! A portal's clipboard: its calls and signals for [`clipboard`](crate::guest::clipboard).

use std::collections::HashMap;
use std::future::ready;

use futures_util::stream::{LocalBoxStream, StreamExt, select};
use tracing::debug;
use zbus::Connection;
use zbus::message::Sequence;
use zbus::proxy::CacheProperties;
use zbus::zvariant::{ObjectPath, OwnedFd, OwnedObjectPath, Value};

use crate::guest::clipboard::{Names, Selection, Signal, owner};
use crate::guest::portal::proxies::ClipboardProxy;

const NAMES: Names = Names { is_ours: "session_is_owner", mimes: "mime_types" };

/// The clipboard of a session.
pub struct Clipboard<'a> {
    proxy: ClipboardProxy<'a>,
    session: OwnedObjectPath,
}

/// The signals about a session's clipboard.
pub type Heard = LocalBoxStream<'static, Signal>;

/// Asks for the clipboard of a session that has not started; `None` where the portal has none.
pub async fn request<'a>(connection: &'a Connection, session: &ObjectPath<'_>) -> Option<(Clipboard<'a>, Heard)> {
    let requested = async {
        let proxy = ClipboardProxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
        let owners = proxy.receive_selection_owner_changed().await?;
        let transfers = proxy.receive_selection_transfer().await?;
        proxy.request_clipboard(session, HashMap::new()).await?;
        // The signals are of the portal's one object, and name the session.
        let (of_owner, of_transfer) =
            (OwnedObjectPath::from(session.to_owned()), OwnedObjectPath::from(session.to_owned()));
        let owners = owners.filter_map(move |signal| {
            let at = signal.message().recv_position();
            let args = signal.args().ok().filter(|args| args.session == of_owner);
            ready(args.map(|args| Signal::Owner { at, owner: owner(args.options, &NAMES) }))
        });
        let transfers = transfers.filter_map(move |signal| {
            let args = signal.args().ok().filter(|args| args.session == of_transfer);
            ready(args.map(|args| Signal::Transfer { mime: args.mime_type, serial: args.serial }))
        });
        zbus::Result::Ok((
            Clipboard { proxy, session: session.to_owned().into() },
            select(owners, transfers).boxed_local(),
        ))
    };
    requested.await.inspect_err(|error| debug!(%error, "the portal has no clipboard")).ok()
}

impl Selection for Clipboard<'_> {
    const WHO: &'static str = "the portal";

    async fn set(&self, mimes: Option<Vec<&str>>) -> zbus::Result<Sequence> {
        let options: HashMap<&str, Value<'_>> =
            mimes.into_iter().map(|mimes| (NAMES.mimes, Value::from(mimes))).collect();
        Ok(self.proxy.inner().call_method("SetSelection", &(&self.session, options)).await?.recv_position())
    }

    async fn read(&self, mime: &str) -> zbus::Result<OwnedFd> {
        self.proxy.selection_read(&self.session, mime).await
    }

    async fn write(&self, serial: u32) -> zbus::Result<OwnedFd> {
        self.proxy.selection_write(&self.session, serial).await
    }

    async fn done(&self, serial: u32, is_all: bool) -> zbus::Result<()> {
        self.proxy.selection_write_done(&self.session, serial, is_all).await
    }
}
