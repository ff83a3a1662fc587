//! Owns the EIS server's thread: connections, seats and devices, in the order Mutter makes them.
//! It never judges events; they go to the ledger as they come.

use std::{collections::HashMap, io, os::fd::OwnedFd, os::unix::net::UnixStream};

use calloop::{EventLoop, LoopHandle, PostAction, RegistrationToken, channel};
use reis::{
    calloop::{EisListenerSource, EisRequestSource, EisRequestSourceEvent},
    eis::{self, connection::DisconnectReason, device::DeviceType, keyboard::KeymapType},
    request::{Connection, Device, DeviceCapability as Cap, EisRequest, Seat},
};

use super::{
    events::{EisState, Input, SeenDevice},
    keymap,
    ledger::{self, OpenFrame},
    options::{DeviceKind, EisOptions, KEYBOARD, POINTER, Refusal, Region, RegionMode, TOUCH},
};
use crate::wait::Watched;

/// The crate's own set of capabilities; its name is another crate's.
type Caps = <Cap as std::ops::BitOr>::Output;

/// Something to do on the server's thread.
pub(crate) type Job = Box<dyn FnOnce(&mut Server) + Send>;

pub(crate) struct Server {
    pub(crate) options: EisOptions,
    handle: LoopHandle<'static, Server>,
    watch: Watched<EisState>,
    connections: HashMap<u32, Client>,
    /// The stream's region while there is a stream.
    region: Option<Region>,
    pub(crate) quit: bool,
}

struct Client {
    connection: Option<Connection>,
    token: Option<RegistrationToken>,
    seat: Option<Seat>,
    types: u32,
    bound: Bound,
    devices: Vec<Made>,
}

/// What the client bound of the seat.
#[derive(Default, Clone, Copy)]
struct Bound {
    pointer: bool,
    absolute: bool,
    keyboard: bool,
    touch: bool,
}

struct Made {
    kind: DeviceKind,
    number: u32,
    device: Device,
    open: OpenFrame,
}

/// Runs until a job sets `quit`.
pub(crate) fn run(options: EisOptions, watch: Watched<EisState>, jobs: channel::Channel<Job>) -> calloop::Result<()> {
    let mut event_loop: EventLoop<'static, Server> = EventLoop::try_new()?;
    let handle = event_loop.handle();
    handle.insert_source(jobs, |event, (), server| match event {
        channel::Event::Msg(job) => {
            job(server);
            server.flush();
        }
        channel::Event::Closed => server.quit = true,
    })?;
    let mut server = Server { options, handle, watch, connections: HashMap::new(), region: None, quit: false };
    while !server.quit {
        event_loop.dispatch(None, &mut server)?;
    }
    Ok(())
}

impl Server {
    /// Serves a client on one end of a socket pair; `types` as ConnectToEIS's `device-types`.
    pub(crate) fn serve(&mut self, socket: UnixStream, types: u32) -> io::Result<()> {
        self.add(eis::Context::new(socket)?, types)
    }

    pub(crate) fn listen(&mut self, listener: eis::Listener) -> io::Result<()> {
        self.handle
            .insert_source(EisListenerSource::new(listener), |context, (), server| {
                server.add(context, u32::MAX)?;
                Ok(PostAction::Continue)
            })
            .map_err(io::Error::other)?;
        Ok(())
    }

    fn add(&mut self, context: eis::Context, types: u32) -> io::Result<()> {
        let id = self.watch.update(|s| {
            s.connections += 1;
            s.connections
        });
        let source = EisRequestSource::new(context, 1);
        let token = self
            .handle
            .insert_source(source, move |event, connection, server| Ok(server.event(id, event, connection)))
            .map_err(io::Error::other)?;
        let client = Client {
            connection: None,
            token: Some(token),
            seat: None,
            types: types & self.options.device_types,
            bound: Bound::default(),
            devices: Vec::new(),
        };
        self.connections.insert(id, client);
        Ok(())
    }

    fn event(
        &mut self,
        id: u32,
        event: Result<EisRequestSourceEvent, reis::Error>,
        connection: &mut Connection,
    ) -> PostAction {
        match event {
            Err(error) => {
                // The end of the socket is how most clients leave; anything else is their fault.
                if !matches!(&error, reis::Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof || e.kind() == io::ErrorKind::ConnectionReset)
                {
                    self.watch.update(|s| s.violations.push(error.to_string()));
                }
                self.lost(id);
                return PostAction::Remove;
            }
            Ok(EisRequestSourceEvent::Connected) => self.connected(id, connection),
            Ok(EisRequestSourceEvent::Request(EisRequest::Disconnect)) => {
                self.lost(id);
                return PostAction::Remove;
            }
            Ok(EisRequestSourceEvent::Request(request)) => self.request(id, request),
        }
        let _ = connection.flush();
        PostAction::Continue
    }

    fn connected(&mut self, id: u32, connection: &Connection) {
        let sender = connection.context_type() == eis::handshake::ContextType::Sender;
        self.watch.update(|s| {
            s.connected += 1;
            s.client = connection.name().map(str::to_owned);
            s.sender = Some(sender);
        });
        let Some(client) = self.connections.get_mut(&id) else {
            return;
        };
        client.connection = Some(connection.clone());
        if self.options.refuse == Some(Refusal::Disconnect) {
            connection.disconnected(DisconnectReason::Disconnected, None);
            return;
        }
        let types = client.types;
        let mut caps = Caps::empty();
        if types & POINTER != 0 {
            caps |= Cap::Pointer | Cap::PointerAbsolute | Cap::Scroll | Cap::Button;
        }
        if types & KEYBOARD != 0 {
            caps |= Cap::Keyboard;
        }
        if types & TOUCH != 0 {
            caps |= Cap::Touch;
        }
        client.seat = Some(connection.add_seat(Some("default"), caps));
    }

    fn lost(&mut self, id: u32) {
        let Some(client) = self.connections.remove(&id) else {
            return;
        };
        self.watch.update(|s| {
            s.connected -= u32::from(client.connection.is_some());
            for made in &client.devices {
                ledger::remove(s, made.number);
            }
        });
    }

    fn request(&mut self, id: u32, request: EisRequest) {
        if let EisRequest::Bind(bind) = &request {
            let has = |cap: Cap| bind.capabilities.contains(cap);
            let bound = Bound {
                pointer: has(Cap::Pointer),
                absolute: has(Cap::PointerAbsolute),
                keyboard: has(Cap::Keyboard),
                touch: has(Cap::Touch),
            };
            self.watch.update(|s| s.binds += 1);
            if let Some(client) = self.connections.get_mut(&id) {
                client.bound = bound;
            }
            self.settle(id);
            return;
        }
        let Some((device, input)) = typed(&request) else {
            return;
        };
        let Some(client) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(made) = client.devices.iter_mut().find(|m| m.device == *device) else {
            return;
        };
        self.watch.update(|s| ledger::apply(s, made.number, &mut made.open, input));
        if input == Input::Released {
            self.remove(id, |made_device| made_device == device);
        }
    }

    /// Makes the devices that should be there, and removes those that should not.
    fn settle(&mut self, id: u32) {
        let Some(client) = self.connections.get(&id) else {
            return;
        };
        if self.options.refuse == Some(Refusal::NoDevices) {
            return;
        }
        let (bound, types) = (client.bound, client.types);
        let pointing = types & POINTER != 0;
        if self.options.whole {
            return if self.connections.get(&id).is_some_and(|client| client.devices.is_empty()) {
                self.make(id, DeviceKind::Whole);
            };
        }
        for (kind, wanted) in [
            (DeviceKind::Pointer, bound.pointer && pointing),
            (DeviceKind::Keyboard, bound.keyboard && types & KEYBOARD != 0),
            (DeviceKind::Absolute, bound.absolute && pointing && self.region.is_some()),
            (DeviceKind::Touch, bound.touch && types & TOUCH != 0 && self.region.is_some()),
        ] {
            let there =
                self.connections.get(&id).is_some_and(|client| client.devices.iter().any(|made| made.kind == kind));
            match (wanted, there) {
                (true, false) => self.make(id, kind),
                (false, true) => self.remove_kind(id, kind),
                _ => {}
            }
        }
    }

    fn regions(&self, kind: DeviceKind) -> Vec<Region> {
        if matches!(kind, DeviceKind::Pointer | DeviceKind::Keyboard) {
            return Vec::new();
        }
        let endless = Region::new(i32::MAX as u32, i32::MAX as u32, None);
        if kind == DeviceKind::Whole {
            return vec![Region { mapping_id: Some("Mr. Worldwide".into()), ..endless }];
        }
        let Some(stream) = self.region.clone() else {
            return Vec::new();
        };
        match self.options.regions {
            RegionMode::Stream => vec![stream],
            RegionMode::Scaled => {
                vec![Region { width: stream.width / 2, height: stream.height / 2, scale: 2.0, ..stream }]
            }
            RegionMode::Empty => vec![Region { width: 0, height: 0, ..stream }],
            RegionMode::Endless => vec![endless],
            RegionMode::None => Vec::new(),
        }
    }

    fn make(&mut self, id: u32, kind: DeviceKind) {
        let regions = self.regions(kind);
        let keymap = self.options.keymap.as_deref().map(keymap::fd);
        let Some(client) = self.connections.get_mut(&id) else {
            return;
        };
        let Some(seat) = &client.seat else { return };
        let (name, caps) = match kind {
            DeviceKind::Pointer => ("virtual pointer", Cap::Pointer | Cap::Button | Cap::Scroll),
            DeviceKind::Keyboard => ("virtual keyboard", Cap::Keyboard.into()),
            DeviceKind::Absolute => {
                ("shared virtual absolute pointer", Cap::PointerAbsolute | Cap::Button | Cap::Scroll)
            }
            DeviceKind::Touch => ("virtual touchscreen", Cap::Touch.into()),
            DeviceKind::Whole => (
                "Gamescope Virtual Input",
                Cap::Pointer | Cap::PointerAbsolute | Cap::Button | Cap::Scroll | Cap::Keyboard,
            ),
        };
        let mapping = client
            .connection
            .as_ref()
            .and_then(|c| c.interface_version("ei_device"))
            .is_some_and(|version| version >= 2);
        let device = seat.add_device(Some(name), DeviceType::Virtual, caps, |device| {
            for region in &regions {
                // region_mapping_id belongs to the region that follows it, and exists from version 2.
                if let Some(mapping_id) = region.mapping_id.as_deref().filter(|_| mapping) {
                    device.device().region_mapping_id(mapping_id);
                }
                device.device().region(region.x, region.y, region.width, region.height, region.scale);
            }
            announce_keymap(device, keymap);
        });
        let resumed = self.options.refuse != Some(Refusal::NeverResumed);
        let number = self.watch.update(|s| {
            s.devices.push(SeenDevice { kind: Some(kind), alive: true, resumed, regions, ..Default::default() });
            s.devices.len() as u32 - 1
        });
        if resumed {
            device.resumed();
        }
        client.devices.push(Made { kind, number, device, open: OpenFrame::default() });
    }

    fn remove_kind(&mut self, id: u32, kind: DeviceKind) {
        let doomed = self.connections.get(&id).and_then(|client| {
            let made = client.devices.iter().find(|made| made.kind == kind);
            made.map(|made| made.device.clone())
        });
        if let Some(doomed) = doomed {
            self.remove(id, |device| *device == doomed);
        }
    }

    fn remove(&mut self, id: u32, doomed: impl Fn(&Device) -> bool) {
        let Some(client) = self.connections.get_mut(&id) else {
            return;
        };
        let watch = &self.watch;
        client.devices.retain(|made| {
            if !doomed(&made.device) {
                return true;
            }
            watch.update(|s| ledger::remove(s, made.number));
            made.device.remove();
            false
        });
    }

    fn ids(&self) -> Vec<u32> {
        self.connections.keys().copied().collect()
    }

    /// The stream has this region, or none: devices come, move or go.
    pub(crate) fn set_region(&mut self, region: Option<Region>) {
        self.region = region;
        self.recreate(&[DeviceKind::Absolute, DeviceKind::Touch]);
    }

    /// Removes the devices of these kinds and makes them again, as far as they should be there.
    pub(crate) fn recreate(&mut self, kinds: &[DeviceKind]) {
        for id in self.ids() {
            for kind in kinds {
                self.remove_kind(id, *kind);
            }
            self.settle(id);
        }
    }

    /// Whether the stream's devices are there.
    pub(crate) fn has_region(&self) -> bool {
        self.region.is_some()
    }

    /// Pauses or resumes devices.
    pub(crate) fn set_paused(&mut self, kind: DeviceKind, paused: bool) {
        for client in self.connections.values() {
            for made in client.devices.iter().filter(|made| made.kind == kind) {
                match paused {
                    true => made.device.paused(),
                    false => made.device.resumed(),
                }
                self.watch.update(|s| {
                    let Some(seen) = s.devices.get_mut(made.number as usize) else {
                        return;
                    };
                    match paused {
                        true => ledger::pause(seen),
                        false => seen.resumed = true,
                    }
                });
            }
        }
    }

    /// Tells the clients of the modifiers' state, as Mutter from 49.
    pub(crate) fn modifiers(&mut self, depressed: u32, locked: u32, latched: u32, group: u32) {
        for client in self.connections.values() {
            let Some(connection) = &client.connection else {
                continue;
            };
            for made in &client.devices {
                if let Some(keyboard) = made.device.interface::<eis::Keyboard>() {
                    connection.with_next_serial(|serial| {
                        keyboard.modifiers(serial, depressed, locked, latched, group);
                    });
                }
            }
        }
    }

    /// Ends every connection: politely with a message, or by closing the socket.
    pub(crate) fn disconnect(&mut self, politely: bool) {
        for id in self.ids() {
            let Some(client) = self.connections.get_mut(&id) else {
                continue;
            };
            if let Some(connection) = client.connection.as_ref().filter(|_| politely) {
                connection.disconnected(DisconnectReason::Disconnected, None);
            }
            if let Some(token) = client.token.take() {
                self.handle.remove(token);
            }
            self.lost(id);
        }
    }

    pub(crate) fn flush(&self) {
        for client in self.connections.values() {
            if let Some(connection) = &client.connection {
                let _ = connection.flush();
            }
        }
    }
}

fn announce_keymap(device: &Device, keymap: Option<io::Result<(OwnedFd, u32)>>) {
    use std::os::fd::AsFd;
    if let (Some(keyboard), Some(Ok((fd, size)))) = (device.interface::<eis::Keyboard>(), keymap) {
        keyboard.keymap(KeymapType::Xkb, size, fd.as_fd());
    }
}

/// The device and the typed event of a request.
fn typed(request: &EisRequest) -> Option<(&Device, Input)> {
    use eis::{button::ButtonState, keyboard::KeyState};
    let input = match request {
        EisRequest::PointerMotion(e) => Input::Motion(e.dx, e.dy),
        EisRequest::PointerMotionAbsolute(e) => Input::MotionAbsolute(e.dx_absolute, e.dy_absolute),
        EisRequest::Button(e) => Input::Button(e.button, e.state == ButtonState::Press),
        EisRequest::KeyboardKey(e) => Input::Key(e.key, e.state == KeyState::Press),
        EisRequest::ScrollDelta(e) => Input::Scroll(e.dx, e.dy),
        EisRequest::ScrollDiscrete(e) => Input::ScrollDiscrete(e.discrete_dx, e.discrete_dy),
        EisRequest::ScrollStop(e) => Input::ScrollStop(e.x, e.y, false),
        EisRequest::ScrollCancel(e) => Input::ScrollStop(e.x, e.y, true),
        EisRequest::TouchDown(e) => Input::TouchDown(e.touch_id, e.x, e.y),
        EisRequest::TouchMotion(e) => Input::TouchMotion(e.touch_id, e.x, e.y),
        EisRequest::TouchUp(e) => Input::TouchUp(e.touch_id),
        EisRequest::TouchCancel(e) => Input::TouchCancel(e.touch_id),
        EisRequest::Frame(e) => Input::Frame(e.time),
        EisRequest::DeviceStartEmulating(e) => Input::StartEmulating(e.sequence),
        EisRequest::DeviceStopEmulating(_) => Input::StopEmulating,
        EisRequest::Ready(_) => Input::Ready,
        EisRequest::DeviceClosed(_) => Input::Released,
        _ => return None,
    };
    Some((request.device()?, input))
}
