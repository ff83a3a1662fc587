//! What Mutter says of its lock keys: properties of the session, which its input protocol makes up for only from 49 on.

use futures_util::StreamExt as _;
use zbus::Connection;
use zbus::fdo::PropertiesProxy;
use zbus::zvariant::OwnedObjectPath;

use crate::guest::mutter::remote_desktop::RemoteDesktopSessionProxy;
use crate::input::locks::Locks;

const CAPS: &str = "CapsLockState";
const NUM: &str = "NumLockState";

/// Reports them, now and whenever they change, for ever. Without an answer nothing is known, and nothing is done.
pub(super) async fn watch(
    connection: &Connection,
    path: &OwnedObjectPath,
    remote: &RemoteDesktopSessionProxy<'_>,
    report: impl Fn(Locks),
) -> String {
    // Before the first look, so that nothing falls between.
    let changes = async {
        let properties =
            PropertiesProxy::builder(connection).destination("org.gnome.Mutter.RemoteDesktop")?.path(path)?;
        properties.build().await?.receive_properties_changed().await
    };
    let changes = changes.await;
    let mut locks = Locks([remote.caps_lock_state().await.ok(), remote.num_lock_state().await.ok(), None]);
    report(locks);
    if let Ok(mut changes) = changes {
        while let Some(change) = changes.next().await {
            let Ok(change) = change.args() else { continue };
            let state = |name| change.changed_properties().get(name).and_then(|value| bool::try_from(value).ok());
            let [caps, num, scroll] = locks.0;
            let now = Locks([state(CAPS).or(caps), state(NUM).or(num), scroll]);
            if now != locks {
                locks = now;
                report(locks);
            }
        }
    }
    std::future::pending().await
}
