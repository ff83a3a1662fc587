//! The guest's session bus: one connection a session, which moves only while the session's task is polled, and is left
//! to its last byte.

use std::pin::pin;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use tracing::debug;
use zbus::Connection;
use zbus::fdo::DBusProxy;

use crate::guest::GuestError;

/// A session's connection to the bus, made when it is first needed.
#[derive(Debug, Default)]
pub struct Bus(Option<Connection>);

impl Bus {
    /// Does this with the connection.
    ///
    /// # Errors
    ///
    /// When there is no bus; else what `work` says.
    pub async fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, GuestError>,
    ) -> Result<T, GuestError> {
        let connection = match &mut self.0 {
            Some(connection) => &*connection,
            none => &*none.insert(connect().await?),
        };
        // Without an executor of its own zbus moves only while this is polled.
        let driver = async {
            loop {
                connection.executor().tick().await;
            }
        };
        match select(pin!(driver), pin!(work(connection))).await {
            Either::Left((never, _)) => never,
            Either::Right((outcome, _)) => outcome,
        }
    }

    /// Leaves the bus. Signal streams that were dropped have left tasks behind that hold the connection: unless they
    /// run to their end it stays open for ever.
    pub async fn leave(self) {
        let Some(connection) = self.0 else { return };
        let executor = connection.executor().clone();
        if let Err(error) = connection.close().await {
            debug!(%error, "the session bus was not left cleanly");
        }
        while !executor.is_empty() {
            executor.tick().await;
        }
    }
}

async fn connect() -> Result<Connection, GuestError> {
    let address = match std::env::var("DBUS_SESSION_BUS_ADDRESS") {
        Ok(address) if address.is_empty() => "an empty address".to_owned(),
        Ok(address) => address,
        Err(_) => "the default place, as DBUS_SESSION_BUS_ADDRESS is not set".to_owned(),
    };
    let no_bus = |error: zbus::Error| GuestError::NoBus { address: address.clone(), why: error.to_string() };
    zbus::connection::Builder::session().map_err(no_bus)?.internal_executor(false).build().await.map_err(no_bus)
}

/// Whether a call failed because nobody on the bus has the name that it went to.
pub fn is_absent(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::MethodError(name, ..) => name.as_str() == "org.freedesktop.DBus.Error.ServiceUnknown",
        zbus::Error::FDO(fdo) => matches!(**fdo, zbus::fdo::Error::ServiceUnknown(_)),
        _ => false,
    }
}

/// What a failed call says of itself.
pub fn reason(error: zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(_, Some(text), _) => text,
        other => other.to_string(),
    }
}

/// Ends when the owner of this name has left the bus.
pub async fn name_lost(connection: &Connection, name: &str) {
    let watched = async {
        let bus = DBusProxy::new(connection).await.ok()?;
        let mut changes = bus.receive_name_owner_changed_with_args(&[(0, name)]).await.ok()?;
        while let Some(change) = changes.next().await {
            if change.args().ok()?.new_owner().is_none() {
                return Some(());
            }
        }
        None
    };
    let _ = watched.await;
}
