//! Calls to a portal whose answer comes later, as a signal: when a person has been asked, or when the backend is ready.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt as _;
use zbus::Connection;
use zbus::proxy::CacheProperties;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

use crate::guest::portal::proxies::{Options, RequestProxy};
use crate::guest::{GuestError, bus};

/// What a request brings.
pub type Results = HashMap<String, OwnedValue>;

/// How a portal that is not known is told to ask nobody.
pub const UNKNOWN_WAY: &str = "or see how the portal of this desktop is told to ask nobody";

/// A word that names one object of ours on the bus.
pub fn handle_token() -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("wolf_bridge_{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// Makes the call `name`, and waits for its answer for as long as that takes.
///
/// # Errors
///
/// When the portal refuses the call, or answers that it came to nothing.
pub async fn ask(
    connection: &Connection,
    name: &'static str,
    mut options: Options<'_>,
    call: impl AsyncFnOnce(Options<'_>) -> zbus::Result<OwnedObjectPath>,
) -> Result<Results, GuestError> {
    let refused = refused(name);
    let token = handle_token();
    let sender = connection.unique_name().map(|name| name.trim_start_matches(':').replace('.', "_"));
    let handle = format!("/org/freedesktop/portal/desktop/request/{}/{token}", sender.unwrap_or_default());
    options.insert("handle_token", Value::from(token));
    // Before the call: the answer may be there as soon as the call's own.
    let request = RequestProxy::builder(connection)
        .path(handle)
        .map_err(&refused)?
        .cache_properties(CacheProperties::No)
        .build()
        .await
        .map_err(&refused)?;
    let mut responses = request.receive_response().await.map_err(&refused)?;
    call(options).await.map_err(&refused)?;
    let response = responses.next().await.ok_or_else(|| GuestError::Ended("the session bus is gone".into()))?;
    let answer = response.args().map_err(&refused)?;
    match answer.response {
        0 => Ok(answer.results),
        1 => Err(GuestError::Denied { how: UNKNOWN_WAY }),
        _ => Err(refusal(name, "it ended without a result")),
    }
}

/// A call's failure in words.
pub fn refused(call: &'static str) -> impl Fn(zbus::Error) -> GuestError {
    move |error| match bus::is_absent(&error) {
        true => GuestError::NoPortal(bus::reason(error)),
        false => refusal(call, bus::reason(error)),
    }
}

/// The portal did not do something.
pub fn refusal(call: &'static str, why: impl Into<String>) -> GuestError {
    let next = "the log of xdg-desktop-portal, or of its backend, says more";
    GuestError::Refused { who: "the portal", call, why: why.into(), next }
}
