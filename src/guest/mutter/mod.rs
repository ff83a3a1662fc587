//! GNOME's own way in: org.gnome.Mutter.RemoteDesktop and org.gnome.Mutter.ScreenCast, linked.
//!
//! The interfaces are private and unversioned (`protocols/*.xml` has the facts), so features are found by
//! introspection. Every call comes from one connection, which lives as long as the session.

use std::cell::Cell;
use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::pin::pin;

use futures_util::future::{AbortHandle, AbortRegistration, Abortable, Aborted, Either, select, select_all};
use futures_util::{FutureExt, StreamExt};
use tracing::{debug, warn};
use zbus::Connection;
use zbus::zvariant::{OwnedObjectPath, Value};

use crate::clipboard::asks::Asks;
use crate::device;
use crate::guest::keymaps::Keymaps;
use crate::guest::mutter::remote_desktop::{RemoteDesktopProxy, RemoteDesktopSessionProxy};
use crate::guest::mutter::screen_cast::{ScreenCastProxy, ScreenCastSessionProxy, ScreenCastStreamProxy};
use crate::guest::{GuestError, InputRoute, Session, SessionEvent, TaskGuard};
use crate::input::notify::{Call, Calls};
use crate::options::CursorMode;

mod clipboard;
mod keymap;
mod locks;
mod remote_desktop;
mod screen_cast;

/// `device-types` of ConnectToEIS: keyboard, pointer and touchscreen.
const ALL_DEVICES: u32 = 1 | 2 | 4;

/// What to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A monitor of its own, whose size follows the stream's.
    Virtual,
    /// A monitor that the guest has.
    Monitor(String),
}

/// Where events go as they happen; called on the loop's own thread.
pub trait Report: Fn(SessionEvent) + 'static {}
impl<F: Fn(SessionEvent) + 'static> Report for F {}

/// Makes a session, reports it, keeps it alive and reports its end, unless `stop` says to give up before there
/// is one. Runs on the bridge's own loop.
///
/// Dropping the session's guard ends the session.
pub async fn run(
    number: u64,
    source: Source,
    cursor: CursorMode,
    with_clipboard: bool,
    stop: AbortRegistration,
    report: impl Report,
) {
    let mut connection = None;
    match Abortable::new(session(number, source, cursor, with_clipboard, &mut connection, &report), stop).await {
        Ok(Ok(why)) => report(SessionEvent::Closed(number, why)),
        Ok(Err(error)) => report(SessionEvent::Failed(number, error)),
        Err(Aborted) => {}
    }
    if let Some(connection) = connection {
        hang_up(connection).await;
    }
}

async fn session(
    number: u64,
    source: Source,
    cursor: CursorMode,
    with_clipboard: bool,
    connection: &mut Option<Connection>,
    report: &impl Report,
) -> Result<String, GuestError> {
    let connection = &*connection.insert(connect().await?);
    // Without an executor of its own zbus moves only while this is polled.
    let driver = async {
        loop {
            connection.executor().tick().await;
        }
    };
    match select(pin!(driver), pin!(make_and_keep(number, connection, source, cursor, with_clipboard, report))).await {
        Either::Left((never, _)) => never,
        Either::Right((outcome, _)) => outcome,
    }
}

/// Leaves the bus. Signal streams that were dropped have left tasks behind that hold the connection: unless they
/// run to their end it stays open for ever.
async fn hang_up(connection: Connection) {
    let executor = connection.executor().clone();
    if let Err(error) = connection.close().await {
        debug!(%error, "the session bus was not left cleanly");
    }
    while !executor.is_empty() {
        executor.tick().await;
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

/// A call's failure in words; an absent name is the one that people meet.
fn refused(call: &'static str) -> impl Fn(zbus::Error) -> GuestError {
    move |error| match &error {
        zbus::Error::MethodError(name, ..) if name.as_str() == "org.freedesktop.DBus.Error.ServiceUnknown" => {
            GuestError::NoMutter
        }
        zbus::Error::FDO(fdo) if matches!(**fdo, zbus::fdo::Error::ServiceUnknown(_)) => GuestError::NoMutter,
        zbus::Error::MethodError(_, Some(text), _) => GuestError::Refused { call, why: text.clone() },
        other => GuestError::Refused { call, why: other.to_string() },
    }
}

async fn make_and_keep(
    number: u64,
    connection: &Connection,
    source: Source,
    cursor: CursorMode,
    with_clipboard: bool,
    report: &impl Report,
) -> Result<String, GuestError> {
    let remote_desktop = RemoteDesktopProxy::builder(connection)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .map_err(refused("RemoteDesktop"))?;
    let path = remote_desktop.create_session().await.map_err(refused("RemoteDesktop.CreateSession"))?;
    let remote = RemoteDesktopSessionProxy::builder(connection)
        .path(&path)
        .map_err(refused("RemoteDesktop.Session"))?
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .map_err(refused("RemoteDesktop.Session"))?;
    let mut remote_closed = remote.receive_closed().await.map_err(refused("Closed"))?;
    let session_id = remote.session_id().await.map_err(refused("SessionId"))?;

    let screen_cast = ScreenCastProxy::builder(connection)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .map_err(refused("ScreenCast"))?;
    let linked = HashMap::from([("remote-desktop-session-id", Value::from(session_id))]);
    let cast_path = screen_cast.create_session(linked).await.map_err(refused("ScreenCast.CreateSession"))?;
    let cast = ScreenCastSessionProxy::builder(connection)
        .path(&cast_path)
        .map_err(refused("ScreenCast.Session"))?
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .map_err(refused("ScreenCast.Session"))?;
    let mut cast_closed = cast.receive_closed().await.map_err(refused("Closed"))?;

    let cursor_mode: u32 = match cursor {
        CursorMode::Hidden => 0,
        CursorMode::Embedded => 1,
        // As metadata, beside the frames.
        CursorMode::Overlay | CursorMode::Host => 2,
    };
    let mut properties = HashMap::from([("cursor-mode", Value::from(cursor_mode))]);
    let stream_path = match &source {
        Source::Virtual => {
            // A monitor of the desktop, not something that is being recorded.
            properties.insert("is-platform", Value::from(true));
            cast.record_virtual(properties).await.map_err(refused("RecordVirtual"))?
        }
        Source::Monitor(connector) => {
            cast.record_monitor(connector, properties).await.map_err(|error| match refused("RecordMonitor")(error) {
                GuestError::Refused { why, .. } => GuestError::NoMonitor { connector: connector.clone(), why },
                other => other,
            })?
        }
    };
    let stream = ScreenCastStreamProxy::builder(connection)
        .path(&stream_path)
        .map_err(refused("ScreenCast.Stream"))?
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .map_err(refused("ScreenCast.Stream"))?;
    let mut added = stream.receive_pipe_wire_stream_added().await.map_err(refused("PipeWireStreamAdded"))?;

    let methods = methods(connection, &path, "org.gnome.Mutter.RemoteDesktop.Session").await;
    let (input, kind) = input_route(&methods, &remote).await;
    let mapping_id = stream
        .parameters()
        .await
        .ok()
        .and_then(|mut parameters| parameters.remove("mapping-id").and_then(|value| String::try_from(value).ok()));
    remote.start().await.map_err(refused("RemoteDesktop.Session.Start"))?;
    let asks = Asks::default();
    let has_clipboard = with_clipboard && methods.iter().any(|method| method == "EnableClipboard");
    let signals = if has_clipboard { clipboard::enable(&remote).await } else { None };
    let mut gone = name_lost(connection).boxed_local();
    // Without PipeWire there will be no node, and Mutter ends the session.
    let ended = select(select(remote_closed.next(), cast_closed.next()), &mut gone);
    let node = match select(added.next(), ended).await {
        Either::Left((Some(signal), _)) => signal.args().map_err(refused("PipeWireStreamAdded"))?.node_id,
        _ => {
            let why = "Mutter ended the session before it had a stream; does pipewire run in the guest's session?";
            return Err(GuestError::Ended(why.into()));
        }
    };
    debug!(node, ?mapping_id, %stream_path, kind, "session started");

    let calls = match &input {
        InputRoute::Eis(_, calls) | InputRoute::Notify(calls) => Some(calls.clone()),
        InputRoute::None => None,
    };
    let keymaps = Keymaps::default();
    let (abort, aborted) = AbortHandle::new_pair();
    report(SessionEvent::Made(
        number,
        Box::new(Session {
            node,
            mapping_id,
            input,
            keymaps: keymaps.clone(),
            devices: devices(connection).await,
            description: format!("GNOME (Mutter), input by {kind}"),
            resizable: source == Source::Virtual,
            // Since 50, and so has this been there.
            clipboard: signals.is_some().then(|| asks.clone()),
            damage_in_pixels: methods.iter().any(|method| method == "SetKeymap"),
            guard: TaskGuard(abort),
        }),
    ));

    let last_calls = calls.clone();

    let sending = async {
        match calls {
            Some(calls) => send_calls(&calls, &remote, stream_path.as_str()).await,
            None => std::future::pending().await,
        }
    };
    // These two never end; they are here to be polled.
    let has_our_keymap = Cell::new(false);
    let layouts =
        keymap::follow(&keymaps, &remote, &methods, &has_our_keymap, || report(SessionEvent::LayoutAnswered(number)));
    let locks = locks::watch(connection, &path, &remote, |locks| report(SessionEvent::Locks(number, locks)));
    let clipboard = async {
        if let Some(signals) = signals {
            clipboard::serve(&remote, &asks, signals, |event| report(SessionEvent::Clipboard(number, event))).await;
        }
        // Its end is not the session's.
        std::future::pending::<String>().await
    };
    let ends = select_all([
        remote_closed.next().map(|_| "Mutter closed the input session".to_owned()).boxed_local(),
        cast_closed.next().map(|_| "Mutter closed the screencast".to_owned()).boxed_local(),
        gone.map(|_| "GNOME Shell left the session bus".to_owned()).boxed_local(),
        sending.map(|error: zbus::Error| format!("input calls fail: {error}")).boxed_local(),
        layouts.boxed_local(),
        locks.boxed_local(),
        clipboard.boxed_local(),
    ]);
    let why = match Abortable::new(ends, aborted).await {
        Ok((why, ..)) => why,
        Err(_) => {
            // What was pressed is released by the last calls; they must not be lost with the session.
            send_waiting(&last_calls, &remote, stream_path.as_str()).await;
            keymap::give_back(&remote, &has_our_keymap).await;
            // Leaving the bus would end the session as well, but looks like a crash.
            let _ = remote.stop().await;
            "ended by us".to_owned()
        }
    };
    Ok(why)
}

/// Ends when GNOME Shell has left the bus.
async fn name_lost(connection: &Connection) {
    let watched = async {
        let bus = zbus::fdo::DBusProxy::new(connection).await.ok()?;
        let mut changes = bus.receive_name_owner_changed_with_args(&[(0, "org.gnome.Mutter.ScreenCast")]).await.ok()?;
        while let Some(change) = changes.next().await {
            if change.args().ok()?.new_owner().is_none() {
                return Some(());
            }
        }
        None
    };
    let _ = watched.await;
}

/// The DRM nodes that GNOME Shell has open, where its process can be seen from here.
async fn devices(connection: &Connection) -> Vec<u64> {
    let process = async {
        let bus = zbus::fdo::DBusProxy::new(connection).await.ok()?;
        let name = "org.gnome.Mutter.ScreenCast".try_into().ok()?;
        let shell = bus.get_connection_credentials(name).await.ok()?;
        if let Some(pidfd) = shell.process_fd() {
            return device::process_of(pidfd.as_fd());
        }
        // Buses before 1.16 tell a number, which means something only in their own namespace.
        let daemon = connection.peer_creds().await.ok()?.process_id()?;
        shell.process_id().filter(|_| device::shares_pids(daemon))
    };
    process.await.map(device::open_in).unwrap_or_default()
}

/// EIS where there is one, else (GNOME 43, 44, or a refusal) the Notify* methods.
async fn input_route(methods: &[String], remote: &RemoteDesktopSessionProxy<'_>) -> (InputRoute, &'static str) {
    if !methods.iter().any(|method| method == "ConnectToEIS") {
        return (InputRoute::Notify(Calls::default()), "Notify* calls (no ConnectToEIS before GNOME 45)");
    }
    // Before Start, or Mutter sets up its viewports twice.
    match remote.connect_to_eis(HashMap::from([("device-types", Value::from(ALL_DEVICES))])).await {
        Ok(fd) => (InputRoute::Eis(fd.into(), Calls::default()), "EIS"),
        Err(error) => {
            warn!("Mutter refused ConnectToEIS ({error}); using its Notify* calls for input instead");
            (InputRoute::Notify(Calls::default()), "Notify* calls (EIS was refused)")
        }
    }
}

/// The methods that an interface of an object has in this version of Mutter.
async fn methods(connection: &Connection, path: &OwnedObjectPath, interface: &str) -> Vec<String> {
    let introspected = async {
        let proxy = zbus::fdo::IntrospectableProxy::builder(connection)
            .destination("org.gnome.Mutter.RemoteDesktop")
            .ok()?
            .path(path)
            .ok()?
            .build()
            .await
            .ok()?;
        let xml = proxy.introspect().await.ok()?;
        let node = zbus_xml::Node::from_reader(xml.as_bytes()).ok()?;
        let interface = node.interfaces().iter().find(|found| found.name().as_str() == interface)?;
        Some(interface.methods().iter().map(|found| found.name().to_string()).collect())
    };
    introspected.await.unwrap_or_default()
}

/// Sends queued calls in order until one fails.
async fn send_calls(calls: &Calls, remote: &RemoteDesktopSessionProxy<'_>, stream: &str) -> zbus::Error {
    loop {
        if let Err(error) = send_call(calls.next().await, remote, stream).await {
            return error;
        }
    }
}

/// Sends what is queued now.
async fn send_waiting(calls: &Option<Calls>, remote: &RemoteDesktopSessionProxy<'_>, stream: &str) {
    while let Some(call) = calls.as_ref().and_then(Calls::pop) {
        if send_call(call, remote, stream).await.is_err() {
            break;
        }
    }
}

async fn send_call(call: Call, remote: &RemoteDesktopSessionProxy<'_>, stream: &str) -> zbus::Result<()> {
    match call {
        Call::MotionAbsolute(x, y) => remote.notify_pointer_motion_absolute(stream, x, y).await,
        Call::MotionRelative(dx, dy) => remote.notify_pointer_motion_relative(dx, dy).await,
        Call::Button(button, state) => remote.notify_pointer_button(button, state).await,
        Call::AxisDiscrete(axis, steps) => remote.notify_pointer_axis_discrete(axis, steps).await,
        Call::Axis(dx, dy, flags) => remote.notify_pointer_axis(dx, dy, flags).await,
        Call::Key(keycode, state) => remote.notify_keyboard_keycode(keycode, state).await,
        Call::TouchDown(slot, x, y) => remote.notify_touch_down(stream, slot, x, y).await,
        Call::TouchMotion(slot, x, y) => remote.notify_touch_motion(stream, slot, x, y).await,
        Call::TouchUp(slot) => remote.notify_touch_up(slot).await,
    }
}
