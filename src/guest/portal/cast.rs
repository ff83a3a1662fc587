//! One session of a portal, up to the descriptors: what the desktop shows, and the way in for input where that is asked for too.
//!
//! The order is the portal's: CreateSession, SelectDevices, SelectSources, RequestClipboard, Start, then OpenPipeWireRemote
//! and ConnectToEIS. Start is where a person may be asked.

use std::os::fd::OwnedFd;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use tracing::{debug, info, warn};
use zbus::Connection;
use zbus::fdo::DBusProxy;
use zbus::proxy::CacheProperties;
use zbus::zvariant::{ObjectPath, OwnedObjectPath, Value};

use crate::guest::portal::clipboard;
use crate::guest::portal::proxies::{ClosedStream, Options, RemoteDesktopProxy, ScreenCastProxy, SessionProxy};
use crate::guest::portal::request::{Results, UNKNOWN_WAY, ask, handle_token, refusal, refused};
use crate::guest::portal::streams::{self, Shared};
use crate::guest::portal::token::TokenFile;
use crate::guest::{GuestError, Kind, Patience, Reporter, Wishes, bus};
use crate::options::CursorMode;

/// `types` of SelectDevices: keyboard, pointer and touchscreen.
const ALL_DEVICES: u32 = 1 | 2 | 4;

/// `types` of SelectSources: monitors, and where there are none virtual ones.
const MONITORS: u32 = 1;
const VIRTUAL: u32 = 4;

/// `persist_mode`: until it is revoked.
const FOR_GOOD: u32 = 2;

/// What a session is to have.
pub struct Asked<'a> {
    /// What is wished of the guest.
    pub wishes: &'a Wishes,
    /// Whether input, and the clipboard with it, is to go through the portal as well.
    pub with_input: bool,
    /// Names the kind of guest: its permission is kept under this.
    pub name: &'static str,
}

/// A started session; it ends when it is closed, or with its connection.
pub struct Cast<'a> {
    /// The session.
    pub session: SessionProxy<'a>,
    /// Speaks when the portal has ended the session.
    pub closed: ClosedStream,
    /// The PipeWire connection that sees the stream and nothing else.
    pub remote: OwnedFd,
    /// The stream that is shown.
    pub stream: Shared,
    /// The EIS socket.
    pub input: Option<OwnedFd>,
    /// The clipboard's signals, heard since before the session started.
    pub clipboard: Option<(clipboard::Clipboard<'a>, clipboard::Heard)>,
    /// Where the permission is kept.
    tokens: Option<TokenFile>,
    /// It was started by that, and not by asking.
    restored: bool,
}

impl Cast<'_> {
    /// Has the portal ask again next time; false when it has asked just now.
    pub fn forget_permission(&self) -> bool {
        if let Some(file) = &self.tokens {
            file.remove();
        }
        self.restored
    }
}

/// Makes a session; `reporter` hears when a person may be asked.
///
/// # Errors
///
/// Why there is none.
pub async fn open<'a>(
    connection: &'a Connection,
    asked: &Asked<'_>,
    reporter: &Reporter<'_>,
) -> Result<Cast<'a>, GuestError> {
    let wishes = asked.wishes;
    let cast = ScreenCastProxy::builder(connection).cache_properties(CacheProperties::No).build().await;
    let cast = cast.map_err(refused("ScreenCast"))?;
    let version = cast.version().await.map_err(|error| GuestError::NoPortal(bus::reason(error)))?;
    let remote = if asked.with_input { remote_desktop(connection).await? } else { None };
    let tokens = TokenFile::of(asked.name);
    let token = tokens.as_ref().and_then(|file| {
        file.read().unwrap_or_else(|error| {
            warn!("{error}");
            None
        })
    });

    let create = Options::from([("session_handle_token", Value::from(handle_token()))]);
    let created = match &remote {
        Some(remote) => {
            let call = async |options: Options<'_>| remote.create_session(options).await;
            ask(connection, "RemoteDesktop.CreateSession", create, call).await?
        }
        None => {
            let call = async |options: Options<'_>| cast.create_session(options).await;
            ask(connection, "ScreenCast.CreateSession", create, call).await?
        }
    };
    let path = session_handle(&created).ok_or_else(|| refusal("CreateSession", "it named no session"))?;
    let session = SessionProxy::builder(connection)
        .path(path.clone())
        .map_err(refused("Session"))?
        .cache_properties(CacheProperties::No)
        .build()
        .await
        .map_err(refused("Session"))?;
    let mut closed = session.receive_closed().await.map_err(refused("Session.Closed"))?;

    let selected = choose_sources(connection, &cast, remote.as_ref(), &path, version, wishes, token.as_deref());
    selected.await.inspect_err(|_| forget(&tokens, &token))?;
    let clipboard = match &remote {
        Some(_) if wishes.clipboard => clipboard::request(connection, &path).await,
        _ => None,
    };
    let how = without_dialog(connection).await;
    tell_of_dialog(how, reporter, token.is_none());
    let start = async {
        match &remote {
            Some(remote) => {
                let call = async |options: Options<'_>| remote.start(&path, "", options).await;
                ask(connection, "RemoteDesktop.Start", Options::new(), call).await
            }
            None => {
                let call = async |options: Options<'_>| cast.start(&path, "", options).await;
                ask(connection, "ScreenCast.Start", Options::new(), call).await
            }
        }
    };
    // A session that is closed answers nothing any more.
    let started = match select(pin!(start), closed.next()).await {
        Either::Left((started, _)) => started,
        Either::Right(_) => Err(GuestError::Ended("the portal closed the session before it had started".into())),
    };
    let started = started.map_err(|error| match error {
        GuestError::Denied { .. } => GuestError::Denied { how },
        error => error,
    });
    let mut results = started.inspect_err(|_| forget(&tokens, &token))?;
    reporter.waits(Kind::Portal.patience());
    keep(&tokens, &mut results);

    let all = streams::shared(&results);
    let Some((stream, is_wanted)) = streams::choose(&all, wishes.monitor.as_deref()) else {
        return Err(GuestError::NothingShared);
    };
    tell_choice(&all, stream, is_wanted, wishes.monitor.as_deref());
    let stream = stream.clone();
    let opened = cast.open_pipe_wire_remote(&path, Options::new()).await.map_err(refused("OpenPipeWireRemote"))?;
    let input = match &remote {
        Some(remote) => connect_to_eis(remote, &path, &results).await,
        None => None,
    };
    let clipboard = clipboard.filter(|_| is_true(&results, "clipboard_enabled"));
    let restored = token.is_some();
    Ok(Cast { session, closed, remote: opened.into(), stream, input, clipboard, tokens, restored })
}

/// The portal's way in for input; `None` where it has none that can be used.
async fn remote_desktop(connection: &Connection) -> Result<Option<RemoteDesktopProxy<'_>>, GuestError> {
    let remote = RemoteDesktopProxy::builder(connection).cache_properties(CacheProperties::No).build().await;
    let remote = remote.map_err(refused("RemoteDesktop"))?;
    match remote.version().await {
        // EIS came with 2.
        Ok(2..) => Ok(Some(remote)),
        Ok(version) => {
            warn!("the portal's RemoteDesktop is of version {version}, without EIS (2); going on without input");
            Ok(None)
        }
        Err(error) => {
            warn!("the portal has no RemoteDesktop ({error}); going on without input");
            Ok(None)
        }
    }
}

/// So long a person has to answer a dialog.
const FOR_A_PERSON: Duration = Duration::from_secs(60);

/// How the portal is told to ask nobody.
async fn without_dialog(connection: &Connection) -> &'static str {
    let has = async |name: &'static str| {
        let bus = DBusProxy::new(connection).await.ok()?;
        bus.name_has_owner(name.try_into().ok()?).await.ok().filter(|has| *has)
    };
    if has("org.kde.KWin").await.is_some() {
        "or beforehand by `flatpak permission-set kde-authorized remote-desktop \"\" yes` (KDE Plasma 6.3 or later)"
    } else if has("org.gnome.Mutter.ScreenCast").await.is_some() {
        "or use --guest mutter, which asks nobody"
    } else if has("org.freedesktop.impl.portal.desktop.wlr").await.is_some() {
        "or set chooser_type=none and output_name in xdg-desktop-portal-wlr's config"
    } else {
        UNKNOWN_WAY
    }
}

/// A person may be asked from here on: says so, and how it goes without, and lets the answer take its time.
fn tell_of_dialog(how: &str, reporter: &Reporter<'_>, is_likely: bool) {
    if is_likely {
        info!("the portal may be asking at the guest whether its screen is to be shared; allow it there, {how}");
    }
    let why = format!("nobody at the guest has answered the portal's dialog; allow it there, {how}");
    reporter.waits(Patience { limit: FOR_A_PERSON, why });
}

/// Says what is to be shared.
async fn choose_sources(
    connection: &Connection,
    cast: &ScreenCastProxy<'_>,
    remote: Option<&RemoteDesktopProxy<'_>>,
    path: &ObjectPath<'_>,
    version: u32,
    wishes: &Wishes,
    token: Option<&str>,
) -> Result<(), GuestError> {
    // A session of RemoteDesktop is persistent by its devices, and must not be by its sources.
    let mut persist = Options::new();
    if remote.is_some() || version >= 4 {
        persist.insert("persist_mode", Value::from(FOR_GOOD));
        if let Some(token) = token {
            persist.insert("restore_token", Value::from(token.to_owned()));
        }
    }
    let mut sources = Options::new();
    match remote {
        Some(remote) => {
            let available = remote.available_device_types().await.unwrap_or(ALL_DEVICES);
            persist.insert("types", Value::from(ALL_DEVICES & available));
            let call = async |options: Options<'_>| remote.select_devices(path, options).await;
            ask(connection, "SelectDevices", persist, call).await?;
        }
        None => sources = persist,
    }
    let available = cast.available_source_types().await.unwrap_or(MONITORS);
    sources.insert("types", Value::from(if available & MONITORS != 0 { MONITORS } else { VIRTUAL }));
    // To find the named one among them.
    sources.insert("multiple", Value::from(wishes.monitor.is_some()));
    if version >= 2 {
        let modes = cast.available_cursor_modes().await.unwrap_or_default();
        if let Some((mode, is_wanted)) = cursor_mode(wishes.cursor, modes) {
            if !is_wanted {
                info!("the portal cannot do what --cursor says: the pointer is {}", drawn(mode));
            }
            sources.insert("cursor_mode", Value::from(mode));
        }
    }
    let call = async |options: Options<'_>| cast.select_sources(path, options).await;
    ask(connection, "SelectSources", sources, call).await.map(drop)
}

// `cursor_mode` of SelectSources.
const HIDDEN: u32 = 1;
const EMBEDDED: u32 = 2;
const METADATA: u32 = 4;

/// The mode to ask for, of those in `available`, and whether it is what was wanted; `None` where there is nothing to choose.
fn cursor_mode(wanted: CursorMode, available: u32) -> Option<(u32, bool)> {
    let order = match wanted {
        CursorMode::Hidden => [HIDDEN, METADATA, EMBEDDED],
        CursorMode::Embedded => [EMBEDDED, METADATA, HIDDEN],
        CursorMode::Overlay | CursorMode::Host => [METADATA, EMBEDDED, HIDDEN],
    };
    let mode = order.into_iter().find(|mode| available & mode != 0)?;
    Some((mode, mode == order[0]))
}

fn drawn(mode: u32) -> &'static str {
    match mode {
        EMBEDDED => "in its frames",
        METADATA => "beside its frames (--cursor overlay shows it)",
        _ => "not to be seen",
    }
}

/// A token that was refused, or whose session was, is stale: the next try asks without.
fn forget(tokens: &Option<TokenFile>, token: &Option<String>) {
    if let (Some(file), Some(_)) = (tokens, token) {
        info!("the stored permission is of no use any more, and forgotten");
        file.remove();
    }
}

/// Stores the token of a start for the next one.
fn keep(tokens: &Option<TokenFile>, results: &mut Results) {
    let Some(token) = results.remove("restore_token").and_then(|token| String::try_from(token).ok()) else { return };
    let Some(file) = tokens else {
        warn!("neither XDG_STATE_HOME nor HOME is set: the portal's permission is not kept for the next start");
        return;
    };
    match file.store(&token) {
        Ok(()) => debug!(path = %file.path().display(), "kept the portal's permission"),
        Err(error) => {
            let path = file.path().display();
            warn!("{path} cannot be written ({error}); the portal will ask again at the next start");
        }
    }
}

fn tell_choice(all: &[Shared], stream: &Shared, is_wanted: bool, monitor: Option<&str>) {
    let name = stream.name().unwrap_or("one without a name");
    if let (false, Some(monitor)) = (is_wanted, monitor) {
        if all.iter().any(|stream| stream.name().is_some()) {
            warn!("the portal shares no monitor {monitor}; showing {name} instead");
        } else if all.len() > 1 {
            warn!("the portal does not say which of its {} monitors is {monitor}; showing the first", all.len());
        } else {
            debug!("the portal does not say whether this is {monitor}");
        }
    } else if all.len() > 1 {
        info!("the portal shares {} screens; showing {name} (--monitor NAME chooses)", all.len());
    }
    debug!(?all, ?stream, "what the portal shares");
}

/// The way in for input, if devices were granted.
async fn connect_to_eis(remote: &RemoteDesktopProxy<'_>, path: &ObjectPath<'_>, results: &Results) -> Option<OwnedFd> {
    let devices = results.get("devices").and_then(|value| u32::try_from(value).ok());
    if devices == Some(0) {
        warn!("the portal shares the screen, but no input devices: look only");
        return None;
    }
    match remote.connect_to_eis(path, Options::new()).await {
        Ok(fd) => Some(fd.into()),
        Err(error) => {
            warn!("the portal refused ConnectToEIS ({error}); going on without input");
            None
        }
    }
}

/// Portals name it by a string, where a path is meant.
fn session_handle(results: &Results) -> Option<OwnedObjectPath> {
    match &**results.get("session_handle")? {
        Value::Str(path) => OwnedObjectPath::try_from(path.as_str()).ok(),
        Value::ObjectPath(path) => Some(path.clone().into()),
        _ => None,
    }
}

fn is_true(results: &Results, name: &str) -> bool {
    matches!(results.get(name).map(|value| &**value), Some(Value::Bool(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_is_as_wanted_or_as_near_as_can_be() {
        assert_eq!(cursor_mode(CursorMode::Hidden, 7), Some((HIDDEN, true)));
        assert_eq!(cursor_mode(CursorMode::Embedded, 7), Some((EMBEDDED, true)));
        assert_eq!(cursor_mode(CursorMode::Overlay, 7), Some((METADATA, true)));
        // xdg-desktop-portal-wlr of Debian 13
        assert_eq!(cursor_mode(CursorMode::Host, 3), Some((EMBEDDED, false)));
        assert_eq!(cursor_mode(CursorMode::Embedded, 4), Some((METADATA, false)));
        assert_eq!(cursor_mode(CursorMode::Overlay, 0), None);
    }

    #[test]
    fn a_session_is_named_by_a_string_or_a_path() {
        let named = |value: Value<'static>| {
            session_handle(&Results::from([("session_handle".into(), value.try_to_owned().unwrap())]))
        };
        let path = ObjectPath::try_from("/a/b").unwrap();
        assert_eq!(named(Value::from("/a/b")).unwrap().as_str(), "/a/b");
        assert_eq!(named(Value::from(path)).unwrap().as_str(), "/a/b");
        assert_eq!(named(Value::from("no path")), None);
        assert_eq!(named(Value::from(5u32)), None);
        assert_eq!(session_handle(&Results::new()), None);
    }
}
