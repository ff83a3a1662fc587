//! The fake Mutter and its EIS server, against a real bus, a zbus client and a reis client.

mod common;

use std::{collections::HashMap, os::unix::net::UnixStream, sync::Arc};

use common::{Ask, Consumer, SOON};
use fake_guest::{
    DeviceKind, FakeEis, FakeGuest, Fill, GuestOptions, Input, Linker, Monitor, MutterOptions, Notify, Pushed, State,
    TOUCH,
};
use reis::{
    PendingRequestResult, ei,
    event::{DeviceCapability, EiEvent, EiEventConverter},
};
use zbus::{
    blocking::{Connection, MessageIterator},
    zvariant::{OwnedFd, OwnedObjectPath, OwnedValue, Value},
};

const REMOTE: &str = "org.gnome.Mutter.RemoteDesktop";
const CAST: &str = "org.gnome.Mutter.ScreenCast";

struct Client {
    bus: Connection,
    remote: OwnedObjectPath,
    cast: OwnedObjectPath,
    stream: OwnedObjectPath,
}

/// Calls a method of one of Mutter's two names, by the path's.
macro_rules! call {
    ($client:expr, $path:expr, $interface:expr, $member:expr, $body:expr $(,)?) => {{
        let path: &str = &$path;
        let name = if path.contains("Remote") { REMOTE } else { CAST };
        let reply = $client.bus.call_method(Some(name), path, Some($interface), $member, $body);
        reply.and_then(|reply| reply.body().deserialize())
    }};
}

/// Calls a method of the remote desktop session.
macro_rules! remote_call {
    ($client:expr, $member:expr, $body:expr $(,)?) => {
        call!($client, $client.remote, "org.gnome.Mutter.RemoteDesktop.Session", $member, $body)
    };
}

fn no_options() -> HashMap<&'static str, Value<'static>> {
    HashMap::new()
}

impl Client {
    /// Walks through the session as gnome-remote-desktop does, up to the point before Start.
    fn prepare(guest: &FakeGuest) -> Self {
        let bus = guest.bus.connect().unwrap();
        let root = OwnedObjectPath::try_from("/org").unwrap();
        let mut this = Self { bus, remote: root.clone(), cast: root.clone(), stream: root };
        let remote_root = "/org/gnome/Mutter/RemoteDesktop";
        this.remote = call!(this, remote_root, REMOTE, "CreateSession", &()).unwrap();
        let id: OwnedValue = call!(
            this,
            this.remote,
            "org.freedesktop.DBus.Properties",
            "Get",
            &("org.gnome.Mutter.RemoteDesktop.Session", "SessionId"),
        )
        .unwrap();
        let mut options = no_options();
        options.insert("remote-desktop-session-id", id.into());
        let cast_root = "/org/gnome/Mutter/ScreenCast";
        this.cast = call!(this, cast_root, CAST, "CreateSession", &options).unwrap();
        let mut options = no_options();
        options.insert("cursor-mode", Value::U32(2));
        let session = "org.gnome.Mutter.ScreenCast.Session";
        this.stream = call!(this, this.cast, session, "RecordVirtual", &options).unwrap();
        this
    }

    fn start(&self) -> u32 {
        let rule = zbus::MatchRule::builder().member("PipeWireStreamAdded").unwrap().build();
        let mut signals = MessageIterator::for_match_rule(rule, &self.bus, None).unwrap();
        let started: zbus::Result<()> = remote_call!(self, "Start", &());
        started.unwrap();
        let signal = signals.next().unwrap().unwrap();
        assert_eq!(signal.header().path().unwrap().as_str(), self.stream.as_str());
        signal.body().deserialize().unwrap()
    }
}

/// A small libei client that emulates on every device it gets.
struct Ei {
    context: ei::Context,
    converter: EiEventConverter,
    devices: Vec<reis::event::Device>,
}

impl Ei {
    fn new(socket: UnixStream) -> Self {
        let context = ei::Context::new(socket).unwrap();
        let shake =
            reis::handshake::ei_handshake_blocking(&context, "test", ei::handshake::ContextType::Sender).unwrap();
        let converter = EiEventConverter::new(&context, shake);
        Self { context, converter, devices: Vec::new() }
    }

    /// Reads until `done`; starts emulating on resumed devices.
    fn until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        loop {
            while let Some(result) = self.context.pending_event() {
                let PendingRequestResult::Request(event) = result else {
                    panic!("bad event");
                };
                self.converter.handle_event(event).unwrap();
            }
            while let Some(event) = self.converter.next_event() {
                self.event(event);
            }
            self.context.flush().unwrap();
            if done(self) {
                return;
            }
            let mut fds = [rustix::event::PollFd::new(&self.context, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut fds, None).unwrap();
            self.context.read().unwrap();
        }
    }

    fn event(&mut self, event: EiEvent) {
        match event {
            EiEvent::SeatAdded(added) => {
                added.seat.bind_capabilities(
                    DeviceCapability::Pointer
                        | DeviceCapability::PointerAbsolute
                        | DeviceCapability::Keyboard
                        | DeviceCapability::Touch
                        | DeviceCapability::Scroll
                        | DeviceCapability::Button,
                );
            }
            EiEvent::DeviceResumed(resumed) => {
                resumed.device.device().start_emulating(resumed.serial, 1);
                self.devices.push(resumed.device);
            }
            EiEvent::DeviceRemoved(removed) => {
                self.devices.retain(|device| *device != removed.device);
            }
            _ => {}
        }
    }

    fn with(&self, capability: DeviceCapability) -> &reis::event::Device {
        let mut devices = self.devices.iter();
        devices.find(|d| d.has_capability(capability)).unwrap()
    }
}

#[test]
fn a_session_from_creation_to_the_first_frame_and_the_users_stop() {
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let client = Client::prepare(&guest);
    let fd: OwnedFd = remote_call!(client, "ConnectToEIS", &no_options()).unwrap();
    let mut ei = Ei::new(UnixStream::from(std::os::fd::OwnedFd::from(fd)));
    ei.until(|ei| ei.devices.len() == 2);
    assert!(guest.eis.state().device(DeviceKind::Absolute).is_none());

    let node = client.start();
    let producer = guest.mutter.producer(SOON).unwrap();
    assert_eq!(producer.node_id(SOON), Ok(node));
    let consumer = Consumer::start(&guest.pipewire.socket(), node, Ask::size(800, 600));
    producer.streaming_at((800, 600), SOON).unwrap();
    assert_eq!(producer.frame(Fill::Coded(1)), Pushed::Sent(1));
    consumer.frames(1);

    ei.until(|ei| ei.devices.len() == 4);
    let (_, absolute) = {
        let state = guest.eis.state();
        let (n, device) = state.device(DeviceKind::Absolute).unwrap();
        (n, device.clone())
    };
    let region = &absolute.regions[0];
    assert_eq!((region.width, region.height), (800, 600));
    let cast = guest.mutter.state().casts[0].clone();
    assert_eq!(region.mapping_id.as_ref(), Some(&cast.mapping_id));
    assert_eq!(cast.options["cursor-mode"], "2");

    let device = ei.with(DeviceCapability::PointerAbsolute);
    let pointer = device.interface::<ei::PointerAbsolute>().unwrap();
    pointer.motion_absolute(10.0, 20.0);
    device.device().frame(0, 1);
    pointer.motion_absolute(800.0, 20.0);
    device.device().frame(0, 2);
    let keyboard = ei.with(DeviceCapability::Keyboard);
    keyboard.interface::<ei::Keyboard>().unwrap().key(30, ei::keyboard::KeyState::Press);
    keyboard.device().frame(0, 3);
    ei.context.flush().unwrap();
    let key = |s: &fake_guest::EisState| (!s.inputs(DeviceKind::Keyboard).is_empty()).then_some(());
    guest.eis.wait(key, SOON).unwrap();
    let state = guest.eis.state();
    assert_eq!(
        state.inputs(DeviceKind::Absolute),
        [Input::MotionAbsolute(10.0, 20.0), Input::MotionDropped(800.0, 20.0)]
    );
    assert_eq!(state.held(), ["key 30 on Keyboard"]);
    assert_eq!(state.violations, Vec::<String>::new());

    // A resize re-creates the stream's devices, twice.
    consumer.ask(Ask::size(1000, 700));
    producer.streaming_at((1000, 700), SOON).unwrap();
    let three = |s: &fake_guest::EisState| (s.made(DeviceKind::Touch) == 3).then_some(());
    guest.eis.wait(three, SOON).unwrap();

    guest.mutter.close_session();
    let ended = |s: &fake_guest::ProducerState| s.ended.then_some(());
    producer.wait(ended, SOON).unwrap();
    assert!(guest.mutter.state().remote_sessions.is_empty());
    assert_eq!(guest.eis.state().left_held, ["key 30 on Keyboard"]);
    assert_eq!(
        guest.mutter.state().order(),
        [
            "RemoteDesktop.CreateSession",
            "ScreenCast.CreateSession",
            "ScreenCast.Session.RecordVirtual",
            "RemoteDesktop.Session.ConnectToEIS",
            "RemoteDesktop.Session.Start",
        ]
    );
}

#[test]
fn the_order_and_the_owner_of_a_session_are_enforced() {
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let client = Client::prepare(&guest);
    let cast_session = "org.gnome.Mutter.ScreenCast.Session";
    let started: zbus::Result<()> = call!(client, client.cast, cast_session, "Start", &());
    assert!(started.unwrap_err().to_string().contains("Must be started"));
    let early: zbus::Result<()> = remote_call!(client, "NotifyPointerButton", &(272i32, true));
    assert!(early.unwrap_err().to_string().contains("not started"));
    let monitor = ("DP-9", no_options());
    let unknown: zbus::Result<OwnedObjectPath> = call!(client, client.cast, cast_session, "RecordMonitor", &monitor);
    assert!(unknown.unwrap_err().to_string().contains("Unknown monitor"));

    let mut stranger = Client::prepare(&guest);
    stranger.remote = client.remote.clone();
    let denied: zbus::Result<()> = remote_call!(stranger, "Start", &());
    assert!(denied.unwrap_err().to_string().contains("AccessDenied"));

    client.start();
    let path = client.stream.as_str();
    let motion =
        |body: &(&str, f64, f64)| -> zbus::Result<()> { remote_call!(client, "NotifyPointerMotionAbsolute", body) };
    motion(&(path, 1.0, 2.0)).unwrap();
    assert!(motion(&("/nowhere", 1.0, 2.0)).is_err());
    let as_path: zbus::Result<()> = remote_call!(client, "NotifyPointerMotionAbsolute", &(&client.stream, 1.0, 2.0));
    assert!(as_path.unwrap_err().to_string().contains("InvalidArgs"));
    let expected = Notify::MotionAbsolute(path.to_owned(), 1.0, 2.0);
    assert_eq!(guest.mutter.state().notified, [expected]);

    // The client's name leaves the bus, and its session with it.
    let producer = guest.mutter.producer(SOON).unwrap();
    client.bus.close().unwrap();
    producer.wait(|s| s.ended.then_some(()), SOON).unwrap();
    let gone = |s: &fake_guest::MutterState| (s.sessions_vanished == 1).then_some(());
    guest.mutter.wait(gone, SOON).unwrap();
}

#[test]
fn an_old_mutter_has_no_eis_and_a_vanished_one_no_name() {
    let options = GuestOptions {
        mutter: MutterOptions {
            version: 43,
            monitors: vec![Monitor { connector: "Meta-0".into(), position: (0, 0), size: (1280, 720) }],
            ..Default::default()
        },
        ..Default::default()
    };
    let guest = FakeGuest::start(options).unwrap();
    let client = Client::prepare(&guest);
    let xml: String = call!(client, client.remote, "org.freedesktop.DBus.Introspectable", "Introspect", &(),).unwrap();
    assert!(xml.contains("NotifyTouchDown") && !xml.contains("ConnectToEIS"));
    let eis: zbus::Result<OwnedFd> = remote_call!(client, "ConnectToEIS", &no_options());
    assert!(eis.unwrap_err().to_string().contains("UnknownMethod"));

    guest.mutter.vanish();
    let gone: zbus::Result<()> = remote_call!(client, "Start", &());
    assert!(gone.is_err());
    guest.mutter.reappear().unwrap();
    Client::prepare(&guest).start();
}

#[test]
fn an_eis_client_that_breaks_the_rules_is_noticed() {
    let eis = Arc::new(FakeEis::start(Default::default()).unwrap());
    let fd = eis.connect(!TOUCH).unwrap();
    let mut ei = Ei::new(UnixStream::from(fd));
    ei.until(|ei| ei.devices.len() == 2);
    let device = ei.with(DeviceCapability::Button);
    let button = device.interface::<ei::Button>().unwrap();
    button.button(272, ei::button::ButtonState::Released);
    device.device().frame(0, 1);
    ei.context.flush().unwrap();
    let two = |n: usize| move |s: &fake_guest::EisState| (s.violations.len() == n).then_some(());
    eis.wait(two(1), SOON).unwrap();
    eis.pause(DeviceKind::Pointer);
    button.button(272, ei::button::ButtonState::Press);
    device.device().frame(0, 2);
    ei.context.flush().unwrap();
    eis.wait(two(2), SOON).unwrap();
    assert!(eis.state().held().is_empty());
}

#[test]
fn a_lost_pipewire_closes_the_session_and_a_new_one_serves_the_next() {
    let mut guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let client = Client::prepare(&guest);
    client.start();
    guest.pipewire.stop();
    let closed = |s: &fake_guest::MutterState| s.remote_sessions.is_empty().then_some(());
    guest.mutter.wait(closed, SOON).unwrap();
    guest.pipewire.restart().unwrap();
    Client::prepare(&guest).start();
}

#[test]
fn wireplumber_links_too() {
    let options = GuestOptions { linker: Linker::WirePlumber, ..Default::default() };
    let guest = FakeGuest::start(options).unwrap();
    let client = Client::prepare(&guest);
    let node = client.start();
    let producer = guest.mutter.producer(SOON).unwrap();
    let consumer = Consumer::start(&guest.pipewire.socket(), node, Ask::size(640, 480));
    producer.streaming(SOON).unwrap();
    producer.frame(Fill::Solid([1, 2, 3, 4]));
    let pixels = consumer.frames(1)[0].pixels.unwrap();
    assert_eq!(pixels, ([1, 2, 3, 4], [1, 2, 3, 4]));
    assert_eq!(producer.state().state(), State::Streaming);
}
