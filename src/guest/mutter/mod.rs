//! GNOME's own way in: org.gnome.Mutter.RemoteDesktop and org.gnome.Mutter.ScreenCast, linked.
//!
//! The interfaces are private and unversioned (`protocols/*.xml` has the facts), so features are found by
//! introspection. Every call comes from one connection, which lives as long as the session.

use std::cell::Cell;
use std::collections::HashMap;
use std::os::fd::AsFd as _;

use futures_util::future::{AbortHandle, Abortable, Either, select, select_all};
use futures_util::{FutureExt, StreamExt};
use tracing::{debug, warn};
use zbus::Connection;
use zbus::zvariant::{OwnedObjectPath, Value};

use crate::clipboard::asks::Asks;
use crate::device;
use crate::guest::clipboard as selection;
use crate::guest::keymaps::Keymaps;
use crate::guest::mutter::remote_desktop::{RemoteDesktopProxy, RemoteDesktopSessionProxy};
use crate::guest::mutter::screen_cast::{ScreenCastProxy, ScreenCastSessionProxy, ScreenCastStreamProxy};
use crate::guest::{GuestError, InputRoute, Reporter, Session, TaskGuard, Wishes, bus};
use crate::input::ei::Scrolling;
use crate::input::notify::{Call, Calls};
use crate::input::place::Place;
use crate::options::CursorMode;

mod clipboard;
mod keymap;
mod locks;
mod remote_desktop;
mod screen_cast;

/// `device-types` of ConnectToEIS: keyboard, pointer and touchscreen.
const ALL_DEVICES: u32 = 1 | 2 | 4;

/// A call's failure in words; an absent name is the one that people meet.
fn refused(call: &'static str) -> impl Fn(zbus::Error) -> GuestError {
    move |error| {
        if bus::is_absent(&error) {
            return GuestError::NoMutter;
        }
        GuestError::Refused { who: "Mutter", call, why: bus::reason(error), next: "gnome-shell's log says more" }
    }
}

/// Makes a session, reports it and keeps it alive; why it ended.
pub(super) async fn session(
    connection: &Connection,
    wishes: &Wishes,
    reporter: &Reporter<'_>,
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

    let cursor_mode: u32 = match wishes.cursor {
        CursorMode::Hidden => 0,
        CursorMode::Embedded => 1,
        // As metadata, beside the frames.
        CursorMode::Overlay | CursorMode::Host => 2,
    };
    let mut properties = HashMap::from([("cursor-mode", Value::from(cursor_mode))]);
    let stream_path = match &wishes.monitor {
        None => {
            // A monitor of the desktop, not something that is being recorded.
            properties.insert("is-platform", Value::from(true));
            cast.record_virtual(properties).await.map_err(refused("RecordVirtual"))?
        }
        Some(connector) => {
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
    let has_clipboard = wishes.clipboard && methods.iter().any(|method| method == "EnableClipboard");
    let signals = if has_clipboard { clipboard::enable(&remote).await } else { None };
    let mut gone = bus::name_lost(connection, "org.gnome.Mutter.ScreenCast").boxed_local();
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
        InputRoute::Notify(calls) => Some(calls.clone()),
        InputRoute::Eis { fingers, .. } => fingers.clone(),
        InputRoute::Wlr { .. } | InputRoute::None => None,
    };
    let keymaps = Keymaps::default();
    let (abort, aborted) = AbortHandle::new_pair();
    reporter.made(Session {
        place: Place { mapping_id, ..Place::default() },
        input,
        keymaps: Some(keymaps.clone()),
        clipboard: signals.is_some().then(|| asks.clone()),
        devices: devices(connection).await,
        resizable: wishes.monitor.is_none(),
        // Since 50, and so has this been there.
        damage_in_pixels: methods.iter().any(|method| method == "SetKeymap"),
        ..Session::of(node.into(), format!("GNOME (Mutter), input by {kind}"), TaskGuard(abort))
    });

    let last_calls = calls.clone();

    let sending = async {
        match calls {
            Some(calls) => send_calls(&calls, &remote, stream_path.as_str()).await,
            None => std::future::pending().await,
        }
    };
    // These two never end; they are here to be polled.
    let has_our_keymap = Cell::new(false);
    let layouts = keymap::follow(&keymaps, &remote, &methods, &has_our_keymap, || reporter.layout_answered());
    let locks = locks::watch(connection, &path, &remote, |locks| reporter.locks(locks));
    let clipboard = async {
        if let Some(signals) = signals {
            selection::serve(&remote, &asks, signals, |event| reporter.clipboard(event)).await;
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
        Ok(fd) => {
            let (socket, fingers) = (fd.into(), Some(Calls::default()));
            (InputRoute::Eis { socket, scrolling: Scrolling::Mutter, fingers }, "EIS")
        }
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
