//! GNOME's clipboard: Mutter's calls and signals for [`clipboard`](crate::guest::clipboard).

use std::collections::HashMap;
use std::future::ready;

use futures_util::stream::{StreamExt, select};
use tracing::{debug, warn};
use zbus::message::Sequence;
use zbus::zvariant::{OwnedFd, Value};

use crate::guest::clipboard::{Names, Selection, Signal, Signals, owner};
use crate::guest::mutter::remote_desktop::{RemoteDesktopSessionProxy, SelectionOwnerChanged, SelectionTransfer};

const NAMES: Names = Names { is_ours: "session-is-owner", mimes: "mime-types" };

/// Makes the clipboard of a session ours to use; `None`, and a line in the log, when Mutter will not have it.
pub(super) async fn enable(remote: &RemoteDesktopSessionProxy<'_>) -> Option<impl Signals + use<>> {
    let enabled = async {
        let owners = remote.receive_selection_owner_changed().await?;
        let transfers = remote.receive_selection_transfer().await?;
        remote.enable_clipboard(HashMap::new()).await?;
        zbus::Result::Ok(select(owners.map(owned), transfers.filter_map(|signal| ready(wanted(&signal)))))
    };
    match enabled.await {
        Ok(signals) => Some(signals),
        Err(error) => {
            warn!("Mutter refused EnableClipboard ({error}); going on without the clipboard");
            None
        }
    }
}

fn owned(signal: SelectionOwnerChanged) -> Signal {
    let owner = signal.args().ok().and_then(|args| owner(args.options, &NAMES));
    Signal::Owner { at: signal.message().recv_position(), owner }
}

fn wanted(signal: &SelectionTransfer) -> Option<Signal> {
    match signal.args() {
        Ok(args) => Some(Signal::Transfer { mime: args.mime_type, serial: args.serial }),
        Err(error) => {
            debug!(%error, "a SelectionTransfer without its arguments");
            None
        }
    }
}

impl Selection for RemoteDesktopSessionProxy<'_> {
    const WHO: &'static str = "Mutter";

    async fn set(&self, mimes: Option<Vec<&str>>) -> zbus::Result<Sequence> {
        let options: HashMap<&str, Value<'_>> =
            mimes.into_iter().map(|mimes| (NAMES.mimes, Value::from(mimes))).collect();
        Ok(self.inner().call_method("SetSelection", &(options,)).await?.recv_position())
    }

    async fn read(&self, mime: &str) -> zbus::Result<OwnedFd> {
        self.selection_read(mime).await
    }

    async fn write(&self, serial: u32) -> zbus::Result<OwnedFd> {
        self.selection_write(serial).await
    }

    async fn done(&self, serial: u32, is_all: bool) -> zbus::Result<()> {
        self.selection_write_done(serial, is_all).await
    }
}
