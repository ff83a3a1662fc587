//! Owns Mutter's side of the bus: one connection with both names, and a thread that answers its calls in order.
//! It never decides what a session may do; `sessions` does.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use zbus::{
    Message,
    blocking::{Connection, MessageIterator},
    message::Type,
    zvariant::{Fd, ObjectPath, OwnedValue, Structure, Value},
};

use super::{
    clipboard::{self, Clipboard},
    notify::{args, notify},
    options::{Call, Cast, Monitor, MutterOptions, MutterState, Notify, Source},
    sessions::{Ended, Refused, Sessions},
    xml::{self, CAST, REMOTE},
};
use crate::{FakeEis, OnEvent, Producer, ProducerEvent, Region, SizePolicy, TOUCH, wait::Watched};

const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const PEER: &str = "org.freedesktop.DBus.Peer";

type Options = HashMap<String, OwnedValue>;

/// One appearance of Mutter on the bus.
pub(crate) struct Service {
    pub(super) connection: Connection,
    socket: PathBuf,
    eis: Arc<FakeEis>,
    options: Arc<Mutex<MutterOptions>>,
    pub(super) watch: Watched<MutterState>,
    sessions: Mutex<Sessions>,
    pub(super) clipboard: Mutex<Clipboard>,
    /// Held by whoever does something: Mutter has one thread, and nothing happens between a method's signals and its answer.
    pub(super) turn: Mutex<()>,
}

/// What a method gives back.
pub(super) enum Answer {
    Nothing,
    Path(String),
    Fd(std::os::fd::OwnedFd),
}

/// What has to happen after the answer is out, as Mutter's own order is.
enum After {
    Nothing,
    Start(Vec<String>),
    End(String),
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

fn failed<T>(message: impl Into<String>) -> Result<T, Refused> {
    Err(("Failed", message.into()))
}

impl Service {
    /// Takes both names and starts answering.
    pub(crate) fn appear(
        connection: Connection,
        socket: PathBuf,
        eis: Arc<FakeEis>,
        options: Arc<Mutex<MutterOptions>>,
        watch: Watched<MutterState>,
    ) -> zbus::Result<Arc<Self>> {
        let messages = MessageIterator::from(&connection);
        let rule = "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''";
        let bus = Some("org.freedesktop.DBus");
        let at = "/org/freedesktop/DBus";
        connection.call_method(bus, at, bus, "AddMatch", &rule)?;
        let this = Arc::new(Self {
            connection,
            socket,
            eis,
            options,
            watch,
            sessions: Mutex::default(),
            clipboard: Mutex::default(),
            turn: Mutex::default(),
        });
        let service = this.clone();
        thread::Builder::new()
            .name("fake-guest-mutter".into())
            .spawn(move || {
                // The end of the connection is the end of the thread.
                for message in messages {
                    match message {
                        Ok(message) => service.message(&message),
                        Err(_) => break,
                    }
                }
            })
            .map_err(|e| zbus::Error::InputOutput(Arc::new(e)))?;
        for name in [REMOTE, CAST] {
            // 4: do not queue. Requested by hand: zbus's own way would start its object server.
            let request = &(name, 4u32);
            this.connection.call_method(bus, at, bus, "RequestName", request)?;
        }
        this.watch.update(|s| s.present = true);
        Ok(this)
    }

    /// Leaves the bus as a crashed shell does: without a word.
    pub(crate) fn vanish(&self) {
        let all = lock(&self.sessions).all();
        let _ = self.connection.clone().close();
        for path in all {
            self.end(&path, false);
        }
        self.watch.update(|s| s.present = false);
    }

    /// Ends every session as the user's click on "stop" does.
    pub(crate) fn close_sessions(&self) {
        let all = lock(&self.sessions).all();
        for path in all {
            self.end(&path, true);
        }
    }

    fn message(self: &Arc<Self>, message: &Message) {
        match message.message_type() {
            Type::MethodCall => self.call(message),
            Type::Signal => {
                let header = message.header();
                let from_bus = header.sender().map(|s| s.as_str()) == Some("org.freedesktop.DBus");
                let changed = header.member().map(|m| m.as_str()) == Some("NameOwnerChanged");
                let body = message.body();
                if let (true, true, Ok((name, _, new))) =
                    (from_bus, changed, body.deserialize::<(String, String, String)>())
                    && new.is_empty()
                {
                    self.client_left(&name);
                }
            }
            _ => {}
        }
    }

    fn client_left(&self, name: &str) {
        let owned = lock(&self.sessions).owned_by(name);
        for path in owned {
            if lock(&self.sessions).exists(&path) {
                self.watch.update(|s| s.sessions_vanished += 1);
                self.end(&path, true);
            }
        }
    }

    fn call(self: &Arc<Self>, message: &Message) {
        let header = message.header();
        let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
        let path = text(header.path().map(|p| p.as_str()));
        let interface = text(header.interface().map(|i| i.as_str()));
        let member = text(header.member().map(|m| m.as_str()));
        let sender = text(header.sender().map(|s| s.as_str()));
        if [INTROSPECTABLE, PROPERTIES, PEER].contains(&interface.as_str()) {
            self.standard(message, &path, &interface, &member);
            return;
        }
        let (delay, hang) = {
            let options = lock(&self.options);
            let delay = options.delays.get(&member).copied();
            (delay, options.hang.contains(&member))
        };
        if let Some(delay) = delay {
            // The one sleep of this crate: a slow shell is slow for everyone, its main loop being one thread.
            thread::sleep(delay);
        }
        let turn = lock(&self.turn);
        let result = self.dispatch(message, &path, &interface, &member, &sender);
        let body = message.body();
        let args = match body.signature().to_string().as_str() {
            "" => String::new(),
            _ => {
                body.deserialize::<Structure<'_>>().map_or_else(|e| e.to_string(), |all| format!("{:?}", all.fields()))
            }
        };
        let call = Call {
            sender,
            path,
            interface: interface.replace("org.gnome.Mutter.", ""),
            member,
            args,
            error: result.as_ref().err().map(|(_, text)| text.clone()),
        };
        self.watch.update(|s| s.calls.push(call));
        if hang {
            return;
        }
        let after = match result {
            Ok((answer, after)) => {
                let _ = match answer {
                    Answer::Nothing => self.connection.reply(&header, &()),
                    Answer::Path(path) => match ObjectPath::try_from(path) {
                        Ok(path) => self.connection.reply(&header, &path),
                        Err(_) => Ok(()),
                    },
                    Answer::Fd(fd) => self.connection.reply(&header, &Fd::from(fd)),
                };
                after
            }
            Err((name, text)) => {
                let name = format!("org.freedesktop.DBus.Error.{name}");
                let _ = self.connection.reply_error(&header, name, &text);
                After::Nothing
            }
        };
        drop(turn);
        match after {
            After::Nothing => {}
            After::Start(streams) => {
                for stream in streams {
                    self.start_stream(&stream);
                }
            }
            After::End(path) => self.end(&path, true),
        }
    }

    fn dispatch(
        &self,
        message: &Message,
        path: &str,
        interface: &str,
        member: &str,
        sender: &str,
    ) -> Result<(Answer, After), Refused> {
        let options = lock(&self.options).clone();
        let root = [xml::REMOTE_PATH, xml::CAST_PATH].contains(&path);
        if !root && !lock(&self.sessions).exists(path) {
            let text = format!("Object does not exist at path “{path}”");
            return Err(("UnknownMethod", text));
        }
        let unknown = || {
            let text = format!("No such method “{member}” on interface “{interface}”");
            Err(("UnknownMethod", text))
        };
        if !xml::interfaces_at(path).contains(&interface) {
            return unknown();
        }
        let Some(wanted) = xml::signature(interface, member, options.version) else {
            return unknown();
        };
        // A lone struct's signature comes without its parentheses, as arguments are.
        let body = message.body();
        let given = body.signature().to_string_no_parens();
        if given != wanted {
            let text = format!("Type of message, “({given})”, does not match expected type “({wanted})”");
            return Err(("InvalidArgs", text));
        }
        if !root && lock(&self.sessions).owner(path) != Some(sender) {
            return Err(("AccessDenied", "Permission denied".into()));
        }
        if options.refuse.iter().any(|refused| refused == member) {
            return failed("refused by the test");
        }
        let mut sessions = lock(&self.sessions);
        let answer = match (interface, member) {
            ("org.gnome.Mutter.RemoteDesktop", "CreateSession") => {
                let path = sessions.create_remote(sender);
                self.watch.update(|s| s.sessions_made += 1);
                (Answer::Path(path), After::Nothing)
            }
            ("org.gnome.Mutter.ScreenCast", "CreateSession") => {
                let given = args::<Options>(message)?;
                let id = given.get("remote-desktop-session-id");
                let id = id.and_then(|v| v.downcast_ref::<String>().ok());
                let path = sessions.create_cast(sender, id.as_deref())?;
                (Answer::Path(path), After::Nothing)
            }
            ("org.gnome.Mutter.ScreenCast.Session", "RecordMonitor") => {
                let (connector, given) = args::<(String, Options)>(message)?;
                let Some(monitor) = find(&options.monitors, &connector) else {
                    return failed("Unknown monitor");
                };
                let source = Source::Monitor(monitor.connector.clone());
                let stream = self.record(&mut sessions, path, source, &given)?;
                (Answer::Path(stream), After::Nothing)
            }
            ("org.gnome.Mutter.ScreenCast.Session", "RecordVirtual") => {
                let given = args::<Options>(message)?;
                let stream = self.record(&mut sessions, path, Source::Virtual, &given)?;
                (Answer::Path(stream), After::Nothing)
            }
            ("org.gnome.Mutter.ScreenCast.Session", "Start") => {
                let streams = sessions.start_cast(path)?;
                (Answer::Nothing, After::Start(streams))
            }
            ("org.gnome.Mutter.ScreenCast.Session", "Stop") => {
                sessions.may_stop_cast(path)?;
                (Answer::Nothing, After::End(path.to_owned()))
            }
            ("org.gnome.Mutter.RemoteDesktop.Session", "Start") => {
                let streams = sessions.start_remote(path)?;
                (Answer::Nothing, After::Start(streams))
            }
            ("org.gnome.Mutter.RemoteDesktop.Session", "Stop") => {
                sessions.may_notify(path)?;
                (Answer::Nothing, After::End(path.to_owned()))
            }
            ("org.gnome.Mutter.RemoteDesktop.Session", "ConnectToEIS") => {
                let given = args::<Options>(message)?;
                let types = given.get("device-types");
                let types = types.and_then(|v| v.downcast_ref::<u32>().ok());
                self.watch.update(|s| s.eis_connections.push(types));
                let mut shown = types.unwrap_or(u32::MAX);
                if options.version < 48 {
                    shown &= !TOUCH;
                }
                match self.eis.connect(shown) {
                    Ok(fd) => (Answer::Fd(fd), After::Nothing),
                    Err(error) => return failed(error.to_string()),
                }
            }
            ("org.gnome.Mutter.RemoteDesktop.Session", member) if clipboard::has(member) => {
                (self.clipboard_call(path, member, message)?, After::Nothing)
            }
            ("org.gnome.Mutter.RemoteDesktop.Session", "SetKeymap") => {
                let given = args::<Options>(message)?;
                if self.watch.read(|s| s.keymap_owner.as_ref().is_some_and(|(owner, locked)| *locked && owner != path))
                {
                    return failed("Keymap locked by other owner");
                }
                if !given.contains_key("keymap-type") {
                    self.eis.set_keymap(Some(crate::KEYMAP_US));
                    self.watch.update(|s| s.keymap_owner = None);
                    return Ok((Answer::Nothing, After::Nothing));
                }
                let keymap = keymap(&given, options.keymaps.as_ref())?;
                // Kept, and locked, when the session has long ended: so it is on 50.
                self.watch.update(|s| s.keymap_owner = Some((path.to_owned(), keymap.2)));
                // As the real one does before it answers.
                self.eis.set_keymap(Some(&keymap.0));
                self.watch.update(|s| s.keymaps.push(keymap));
                (Answer::Nothing, After::Nothing)
            }
            ("org.gnome.Mutter.RemoteDesktop.Session", "SetKeymapLayoutIndex") => {
                if self.watch.read(|s| s.keymaps.is_empty()) {
                    return failed("Invalid current keymap (0)");
                }
                let index = args::<u32>(message)?;
                self.watch.update(|s| s.layout_indices.push(index));
                (Answer::Nothing, After::Nothing)
            }
            ("org.gnome.Mutter.RemoteDesktop.Session", _) => {
                sessions.may_notify(path)?;
                let notify = notify(message, member)?;
                if let Notify::MotionAbsolute(stream, ..)
                | Notify::TouchDown(stream, ..)
                | Notify::TouchMotion(stream, ..) = &notify
                {
                    sessions.may_point_at(path, stream)?;
                }
                self.watch.update(|s| s.notified.push(notify));
                (Answer::Nothing, After::Nothing)
            }
            _ => (Answer::Nothing, After::Nothing),
        };
        self.show(&sessions);
        Ok(answer)
    }

    fn show(&self, sessions: &Sessions) {
        self.watch.update(|s| {
            s.remote_sessions = sessions.remotes.keys().cloned().collect();
            s.cast_sessions = sessions.cast_paths();
        });
    }

    fn record(
        &self,
        sessions: &mut Sessions,
        session: &str,
        source: Source,
        given: &Options,
    ) -> Result<String, Refused> {
        let path = sessions.record(session, source.clone())?;
        let print = |(key, value): (&String, &OwnedValue)| (key.clone(), plain(value));
        let cast = Cast {
            path: path.clone(),
            source,
            options: given.iter().map(print).collect::<BTreeMap<_, _>>(),
            mapping_id: sessions.streams[&path].mapping_id.clone(),
            producer: None,
        };
        self.watch.update(|s| s.casts.push(cast));
        Ok(path)
    }

    fn start_stream(self: &Arc<Self>, path: &str) {
        let (source, mapping_id) = match lock(&self.sessions).streams.get(path) {
            Some(stream) => (stream.source.clone(), stream.mapping_id.clone()),
            None => return,
        };
        let options = lock(&self.options).clone();
        let mapping_id = (options.version >= 45).then_some(mapping_id);
        let mut cast = options.producer;
        if let Source::Monitor(connector) = &source
            && let Some(monitor) = find(&options.monitors, connector)
        {
            let (width, height) = monitor.size;
            cast.size = SizePolicy::Fixed(width, height);
            // Its own refresh at most.
            cast.max_framerate = Some(((60, 1), (1, 1), (60, 1)));
            // A monitor's devices are there before any consumer.
            let mut region = Region::new(width, height, mapping_id.as_deref());
            region.x = monitor.position.0 as u32;
            region.y = monitor.position.1 as u32;
            self.eis.stream_ready(region);
        }
        let service = Arc::downgrade(self);
        let stream = path.to_owned();
        let also = cast.on_event.take();
        let size = Mutex::new((0, 0));
        let never_node = options.never_node;
        cast.on_event = Some(OnEvent(Arc::new(move |event| {
            if let Some(also) = &also {
                (also.0)(event);
            }
            let Some(service) = service.upgrade() else {
                return;
            };
            let region = |(w, h)| Region::new(w, h, mapping_id.as_deref());
            match event {
                ProducerEvent::Node(node) if !never_node => {
                    service.emit_node(&stream, node);
                }
                // Mutter closes a session whose stream is gone.
                ProducerEvent::Lost => service.end_session_of(&stream),
                // A monitor's region does not change with its stream.
                _ if source != Source::Virtual => {}
                ProducerEvent::Format { size: new, new_size } => {
                    *lock(&size) = new;
                    service.eis.stream_renegotiated(region(new), new_size);
                }
                ProducerEvent::Streaming => service.eis.stream_first_ready(region(*lock(&size))),
                _ => {}
            }
        })));
        match Producer::start(&self.socket, cast) {
            Ok(producer) => {
                let producer = Arc::new(producer);
                self.watch.update(|s| {
                    if let Some(cast) = s.casts.iter_mut().find(|cast| cast.path == path) {
                        cast.producer = Some(producer);
                    }
                });
            }
            Err(_) => self.end_session_of(path),
        }
    }

    fn end_session_of(&self, stream: &str) {
        let session = lock(&self.sessions).session_of(stream);
        if let Some(session) = session {
            self.end(&session, true);
        }
    }

    fn emit_node(&self, stream: &str, node: u32) {
        let interface = "org.gnome.Mutter.ScreenCast.Stream";
        let signal = "PipeWireStreamAdded";
        let _ = self.connection.emit_signal(None::<&str>, stream, interface, signal, &node);
    }

    /// The lock keys have changed, for every session.
    pub(crate) fn emit_locks(&self, caps: bool, num: bool) {
        let sessions: Vec<String> = lock(&self.sessions).remotes.keys().cloned().collect();
        let changed = HashMap::from([("CapsLockState", Value::from(caps)), ("NumLockState", Value::from(num))]);
        let body = ("org.gnome.Mutter.RemoteDesktop.Session", changed, Vec::<String>::new());
        for session in sessions {
            let _ = self.connection.emit_signal(None::<&str>, session, PROPERTIES, "PropertiesChanged", &body);
        }
    }

    fn emit_closed(&self, session: &str, interface: &str) {
        let _ = self.connection.emit_signal(None::<&str>, session, interface, "Closed", &());
    }

    fn end(&self, path: &str, aloud: bool) {
        let ended = {
            let mut sessions = lock(&self.sessions);
            if !sessions.exists(path) {
                return;
            }
            let ended = sessions.end(path);
            self.show(&sessions);
            ended
        };
        let Ended { remotes, casts, streams } = ended;
        for remote in &remotes {
            self.clipboard_end(remote);
        }
        if !remotes.is_empty() {
            self.eis.stream_gone();
            self.eis.disconnect();
        }
        let gone = self.watch.update(|s| {
            let (gone, left) =
                std::mem::take(&mut s.casts).into_iter().partition::<Vec<_>, _>(|cast| streams.contains(&cast.path));
            s.casts = left;
            gone
        });
        // A test may hold on to the producer; the node goes all the same.
        for producer in gone.iter().filter_map(|cast| cast.producer.as_ref()) {
            producer.end();
        }
        if aloud {
            for path in &remotes {
                self.emit_closed(path, "org.gnome.Mutter.RemoteDesktop.Session");
            }
            for path in &casts {
                self.emit_closed(path, "org.gnome.Mutter.ScreenCast.Session");
            }
        }
    }

    fn standard(&self, message: &Message, path: &str, interface: &str, member: &str) {
        let header = message.header();
        let version = lock(&self.options).version;
        let exists = [xml::REMOTE_PATH, xml::CAST_PATH].contains(&path) || lock(&self.sessions).exists(path);
        let reply = match (interface, member) {
            (INTROSPECTABLE, "Introspect") if exists => self.connection.reply(&header, &xml::document(path, version)),
            (PEER, "Ping") => self.connection.reply(&header, &()),
            (PROPERTIES, "Get") if exists => {
                let body = message.body();
                let wanted = body.deserialize::<(String, String)>().unwrap_or_default();
                let all = self.properties(path, version);
                let found = all.into_iter().find(|(name, _)| *name == wanted.1);
                match found.filter(|_| xml::interfaces_at(path).contains(&wanted.0.as_str())) {
                    Some((_, value)) => self.connection.reply(&header, &value),
                    None => {
                        let text = format!("No such property “{}”", wanted.1);
                        let name = "org.freedesktop.DBus.Error.InvalidArgs";
                        self.connection.reply_error(&header, name, &text)
                    }
                }
            }
            (PROPERTIES, "GetAll") if exists => {
                let all: HashMap<&str, Value<'_>> = self.properties(path, version).into_iter().collect();
                self.connection.reply(&header, &all)
            }
            _ => {
                let text = format!("Object does not exist at path “{path}”");
                let name = "org.freedesktop.DBus.Error.UnknownMethod";
                self.connection.reply_error(&header, name, &text)
            }
        };
        let _ = reply;
    }

    fn properties(&self, path: &str, version: u32) -> Vec<(&'static str, Value<'static>)> {
        let options = lock(&self.options);
        let sessions = lock(&self.sessions);
        if path == xml::REMOTE_PATH {
            // The versions have not changed from 43 to 51: nothing can be told from them.
            return vec![("SupportedDeviceTypes", Value::U32(7)), ("Version", Value::I32(1))];
        }
        if path == xml::CAST_PATH {
            return vec![("Version", Value::I32(4))];
        }
        if let Some(session) = sessions.remotes.get(path) {
            let mut all = vec![
                ("SessionId", Value::from(session.id.clone())),
                ("CapsLockState", Value::Bool(options.locks.0)),
                ("NumLockState", Value::Bool(options.locks.1)),
            ];
            if version >= 50 {
                let mut keymaps = HashMap::<String, Value<'static>>::new();
                if let Some((types, formats)) = &options.keymaps {
                    keymaps.insert("supported-keymap-types".into(), types.clone().into());
                    keymaps.insert("supported-xkb-keymap-formats".into(), formats.clone().into());
                }
                all.push(("KeymapCapabilities", Value::from(keymaps)));
            }
            return all;
        }
        let Some(stream) = sessions.streams.get(path) else {
            return Vec::new();
        };
        let mut parameters = HashMap::<String, Value<'static>>::new();
        if version >= 45 && stream.linked {
            parameters.insert("mapping-id".into(), stream.mapping_id.clone().into());
        }
        if let Source::Monitor(connector) = &stream.source
            && let Some(monitor) = find(&options.monitors, connector)
        {
            let size = (monitor.size.0 as i32, monitor.size.1 as i32);
            parameters.insert("position".into(), Value::from(monitor.position));
            parameters.insert("size".into(), Value::from(size));
        }
        vec![("Parameters", Value::from(parameters))]
    }
}

/// What SetKeymap's options say: text, initial layout, locked. `supported` as KeymapCapabilities has it.
fn keymap(given: &Options, supported: Option<&(Vec<u32>, Vec<u32>)>) -> Result<(String, u32, bool), Refused> {
    use std::os::{fd::AsFd, unix::fs::FileExt};
    let number = |name: &str| given.get(name).and_then(|value| value.downcast_ref::<u32>().ok());
    let (types, formats) = supported.cloned().unwrap_or((vec![0], vec![1]));
    if number("keymap-type").is_none_or(|kind| !types.contains(&kind)) {
        return failed("Invalid keymap type");
    }
    if number("xkb-keymap-format").is_none_or(|format| !formats.contains(&format)) {
        return failed("Non-supported keymap format");
    }
    let Some(Value::Fd(fd)) = given.get("xkb-keymap").map(|value| &**value) else {
        return failed("No keymap handle");
    };
    let io = |error: std::io::Error| ("Failed", error.to_string());
    let file = std::fs::File::from(fd.as_fd().try_clone_to_owned().map_err(io)?);
    let mut text = vec![0; file.metadata().map_err(io)?.len() as usize];
    file.read_exact_at(&mut text, 0).map_err(io)?;
    let text = String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned();
    if !text.starts_with("xkb_keymap") {
        return failed("Failed to create XKB keymap from file descriptor");
    }
    let locked = given.get("lock-keymap").and_then(|value| value.downcast_ref::<bool>().ok());
    Ok((text, number("xkb-keymap-layout-index").unwrap_or(0), locked.unwrap_or(false)))
}

/// The monitor of a connector; the empty one means the first.
fn find<'a>(monitors: &'a [Monitor], connector: &str) -> Option<&'a Monitor> {
    match connector {
        "" => monitors.first(),
        _ => monitors.iter().find(|m| m.connector == connector),
    }
}

/// A value without the noise of its variant.
fn plain(value: &OwnedValue) -> String {
    match &**value {
        Value::U32(v) => v.to_string(),
        Value::I32(v) => v.to_string(),
        Value::Bool(v) => v.to_string(),
        Value::Str(v) => v.to_string(),
        other => format!("{other:?}"),
    }
}
