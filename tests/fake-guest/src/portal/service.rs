//! Owns the portal's objects on the bus, and the rules of their calls.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::os::fd::OwnedFd as StdFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use zbus::message::Header;
use zbus::zvariant::{ObjectPath, OwnedFd, OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, fdo, interface};

use super::options::{Fault, PortalCall, PortalOptions, PortalState, SharedStream};
use crate::wait::Watched;
use crate::{FakeEis, Producer, Region};

const PATH: &str = "/org/freedesktop/portal/desktop";
const SOON: Duration = Duration::from_secs(10);

type Options = HashMap<String, OwnedValue>;
type Results = HashMap<&'static str, Value<'static>>;

pub(super) struct Service {
    pub(super) socket: PathBuf,
    pub(super) eis: Arc<FakeEis>,
    pub(super) options: Mutex<PortalOptions>,
    pub(super) watch: Watched<PortalState>,
    /// Where the answers to questions go, by their serials.
    pub(super) pastes: Mutex<HashMap<u32, StdFd>>,
}

/// Puts the objects on the bus and takes the name.
pub(super) fn appear(service: &Arc<Service>, bus: &str) -> zbus::Result<zbus::blocking::Connection> {
    let mut builder = zbus::blocking::connection::Builder::address(bus)?.serve_at(PATH, ScreenCast(service.clone()))?;
    if service.options().remote_desktop {
        builder = builder.serve_at(PATH, RemoteDesktop(service.clone()))?;
    }
    if service.options().clipboard {
        builder = builder.serve_at(PATH, Clipboard(service.clone()))?;
    }
    builder.name("org.freedesktop.portal.Desktop")?.build()
}

/// Says Closed on every session, whose streams end.
pub(super) async fn close_sessions(service: &Service, connection: &Connection) {
    let (sessions, producers) =
        service.watch.update(|state| (std::mem::take(&mut state.sessions), std::mem::take(&mut state.producers)));
    service.eis.sever();
    for path in sessions.keys() {
        let interface = "org.freedesktop.portal.Session";
        let _ = connection.emit_signal(None::<&str>, path.as_str(), interface, "Closed", &(Options::new(),)).await;
    }
    drop(producers);
}

impl Service {
    pub(super) fn options(&self) -> MutexGuard<'_, PortalOptions> {
        self.options.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Notes a call; the error that it is to end with.
    fn called(&self, member: &str, options: &Options) -> fdo::Result<()> {
        let printed = options.iter().map(|(name, value)| (name.clone(), print(value))).collect::<BTreeMap<_, _>>();
        self.watch.update(|state| state.calls.push(PortalCall { member: member.into(), options: printed }));
        match self.options().faults.get(member) {
            Some(Fault::Refuse) => Err(fdo::Error::Failed("refused by the test".into())),
            _ => Ok(()),
        }
    }

    /// A session that exists, and has started or not.
    fn session(&self, path: &ObjectPath<'_>, started: bool) -> fdo::Result<()> {
        match self.watch.read(|state| state.sessions.get(path.as_str()).copied()) {
            Some(is) if is == started => Ok(()),
            Some(_) => Err(fdo::Error::Failed("Invalid state".into())),
            None => Err(fdo::Error::AccessDenied("Invalid session".into())),
        }
    }

    /// Answers a request, as the method's fault says or with what `results` makes.
    async fn request(
        &self,
        header: &Header<'_>,
        connection: &Connection,
        member: &str,
        options: &Options,
        results: impl FnOnce() -> fdo::Result<Results>,
    ) -> fdo::Result<OwnedObjectPath> {
        self.called(member, options)?;
        let sender = header.sender().map(|name| name.to_string()).unwrap_or_default();
        let token = text(options, "handle_token").unwrap_or_default();
        let handle = format!("{PATH}/request/{}/{token}", sender.trim_start_matches(':').replace('.', "_"));
        let handle = OwnedObjectPath::try_from(handle).map_err(|e| fdo::Error::InvalidArgs(e.to_string()))?;
        let fault = self.options().faults.get(member).copied();
        let (response, results) = match fault {
            Some(Fault::Hang) => return Ok(handle),
            Some(Fault::Close) => {
                close_sessions(self, connection).await;
                return Ok(handle);
            }
            Some(Fault::Deny) => (1u32, Results::new()),
            Some(Fault::End) => (2, Results::new()),
            _ => (0, results()?),
        };
        let body = (response, results);
        connection
            .emit_signal(Some(sender.as_str()), &handle, "org.freedesktop.portal.Request", "Response", &body)
            .await?;
        Ok(handle)
    }

    /// Makes a session.
    async fn create(
        &self,
        header: &Header<'_>,
        connection: &Connection,
        options: &Options,
        this: &Arc<Self>,
    ) -> fdo::Result<OwnedObjectPath> {
        let sender = header.sender().map(|name| name.to_string()).unwrap_or_default();
        let token = text(options, "session_handle_token").unwrap_or_default();
        let path = format!("{PATH}/session/{}/{token}", sender.trim_start_matches(':').replace('.', "_"));
        connection.object_server().at(path.as_str(), Session(this.clone(), path.clone())).await?;
        self.request(header, connection, "CreateSession", options, || {
            self.watch.update(|state| state.sessions.insert(path.clone(), false));
            // A string, where a path is meant: as the real one has it.
            Ok(Results::from([("session_handle", Value::from(path.clone()))]))
        })
        .await
    }

    /// Looks at the token of what is selected: a valid one is used up, and nobody need be asked.
    fn select(&self, options: &Options) -> fdo::Result<()> {
        if !options.contains_key("persist_mode") {
            return Ok(());
        }
        let token = text(options, "restore_token");
        let is_valid = self.watch.update(|state| {
            state.restored = token.as_ref().is_some_and(|token| state.tokens.remove(token));
            state.restored
        });
        match token {
            Some(_) if !is_valid && self.options().strict_tokens => {
                Err(fdo::Error::InvalidArgs("Restore token is not valid".into()))
            }
            _ => Ok(()),
        }
    }

    /// Makes the streams, and what Start answers.
    fn start(&self, path: &ObjectPath<'_>) -> Results {
        let options = self.options().clone();
        let mut producers = Vec::new();
        let mut told = Vec::new();
        for stream in &options.streams {
            let mut producer = options.producer.clone();
            producer.on_event = None;
            let producer = Producer::start(&self.socket, producer).expect("the fake PipeWire runs");
            let node = producer.node_id(SOON).expect("it has a node");
            told.push(describe(stream, node, &self.socket));
            if let Some(((x, y), (width, height))) = stream.place {
                let mut region = Region::new(width, height, stream.mapping_id.as_deref());
                (region.x, region.y) = (x.unsigned_abs(), y.unsigned_abs());
                self.eis.stream_ready(region);
            }
            producers.push(Arc::new(producer));
        }
        let token = self.watch.update(|state| {
            state.sessions.insert(path.to_string(), true);
            state.producers = producers;
            state.tokens_given += 1;
            let token = format!("token-{}", state.tokens_given);
            state.tokens.insert(token.clone());
            token
        });
        Results::from([
            ("streams", Value::from(told)),
            ("devices", Value::from(7u32)),
            ("restore_token", Value::from(token)),
            ("clipboard_enabled", Value::from(options.clipboard)),
        ])
    }

    /// Start, of either interface.
    async fn started(
        &self,
        header: &Header<'_>,
        connection: &Connection,
        path: &ObjectPath<'_>,
        options: &Options,
    ) -> fdo::Result<OwnedObjectPath> {
        self.session(path, false)?;
        self.watch.update(|state| state.dialogs += u32::from(!state.restored));
        self.request(header, connection, "Start", options, || Ok(self.start(path))).await
    }
}

fn describe(stream: &SharedStream, node: u32, socket: &Path) -> (u32, Results) {
    let mut properties = Results::from([("source_type", Value::from(stream.source_type))]);
    if let Some(id) = &stream.mapping_id {
        properties.insert("mapping_id", Value::from(id.clone()));
    }
    if let Some((position, (width, height))) = stream.place {
        properties.insert("position", Value::from(position));
        properties.insert("size", Value::from((width.cast_signed(), height.cast_signed())));
    }
    if stream.by_serial {
        properties.insert("pipewire-serial", Value::from(serial(socket, node)));
    }
    (node, properties)
}

/// The `object.serial` of a node.
fn serial(socket: &Path, node: u32) -> u64 {
    let out = Command::new("pw-dump").arg("--remote").arg(socket).arg(node.to_string()).output().expect("pw-dump runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let after = text.split("\"object.serial\":").nth(1).unwrap_or_else(|| panic!("no serial of {node}: {text}"));
    let digits: String = after.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

fn text(options: &Options, name: &str) -> Option<String> {
    options.get(name).and_then(|value| value.downcast_ref::<String>().ok())
}

fn print(value: &OwnedValue) -> String {
    match &**value {
        Value::U32(number) => number.to_string(),
        Value::Bool(is) => is.to_string(),
        Value::Str(text) => text.to_string(),
        other => format!("{other:?}"),
    }
}

struct ScreenCast(Arc<Service>);

#[interface(name = "org.freedesktop.portal.ScreenCast")]
impl ScreenCast {
    #[zbus(property(emits_changed_signal = "const"), name = "version")]
    fn version(&self) -> u32 {
        5
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn available_source_types(&self) -> u32 {
        7
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn available_cursor_modes(&self) -> u32 {
        self.0.options().cursor_modes
    }

    async fn create_session(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<OwnedObjectPath> {
        self.0.create(&header, connection, &options, &self.0).await
    }

    async fn select_sources(
        &self,
        session: OwnedObjectPath,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<OwnedObjectPath> {
        self.0.session(&session, false)?;
        if self.0.options().remote_desktop && options.contains_key("persist_mode") {
            return Err(fdo::Error::InvalidArgs("Remote desktop sessions cannot persist".into()));
        }
        self.0.select(&options)?;
        self.0.request(&header, connection, "SelectSources", &options, || Ok(Results::new())).await
    }

    async fn start(
        &self,
        session: OwnedObjectPath,
        _parent: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<OwnedObjectPath> {
        self.0.started(&header, connection, &session, &options).await
    }

    fn open_pipe_wire_remote(&self, session: OwnedObjectPath, options: Options) -> fdo::Result<OwnedFd> {
        self.0.called("OpenPipeWireRemote", &options)?;
        self.0.session(&session, true)?;
        let socket = UnixStream::connect(&self.0.socket).map_err(|e| fdo::Error::Failed(e.to_string()))?;
        Ok(StdFd::from(socket).into())
    }
}

struct RemoteDesktop(Arc<Service>);

#[interface(name = "org.freedesktop.portal.RemoteDesktop")]
impl RemoteDesktop {
    #[zbus(property(emits_changed_signal = "const"), name = "version")]
    fn version(&self) -> u32 {
        2
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn available_device_types(&self) -> u32 {
        7
    }

    async fn create_session(
        &self,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<OwnedObjectPath> {
        self.0.create(&header, connection, &options, &self.0).await
    }

    async fn select_devices(
        &self,
        session: OwnedObjectPath,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<OwnedObjectPath> {
        self.0.session(&session, false)?;
        self.0.select(&options)?;
        self.0.request(&header, connection, "SelectDevices", &options, || Ok(Results::new())).await
    }

    async fn start(
        &self,
        session: OwnedObjectPath,
        _parent: String,
        options: Options,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<OwnedObjectPath> {
        self.0.started(&header, connection, &session, &options).await
    }

    #[zbus(name = "ConnectToEIS")]
    fn connect_to_eis(&self, session: OwnedObjectPath, options: Options) -> fdo::Result<OwnedFd> {
        self.0.called("ConnectToEIS", &options)?;
        self.0.session(&session, true)?;
        let socket = self.0.eis.connect(u32::MAX).map_err(|e| fdo::Error::Failed(e.to_string()))?;
        Ok(socket.into())
    }
}

struct Clipboard(Arc<Service>);

#[interface(name = "org.freedesktop.portal.Clipboard")]
impl Clipboard {
    fn request_clipboard(&self, session: OwnedObjectPath, options: Options) -> fdo::Result<()> {
        self.0.called("RequestClipboard", &options)?;
        self.0.session(&session, false)
    }

    async fn set_selection(
        &self,
        session: OwnedObjectPath,
        options: Options,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        self.0.called("SetSelection", &options)?;
        self.0.session(&session, true)?;
        let mimes = options.get("mime_types").and_then(|mimes| Vec::<String>::try_from(mimes.try_clone().ok()?).ok());
        self.0.watch.update(|state| state.offered.clone_from(&mimes));
        // The real one tells of itself, too.
        let told = owner(mimes.as_deref().unwrap_or_default(), true);
        connection.emit_signal(None::<&str>, PATH, CLIPBOARD, "SelectionOwnerChanged", &(session, told)).await?;
        Ok(())
    }

    /// The type is what there is to read.
    fn selection_read(&self, session: OwnedObjectPath, mime_type: String) -> fdo::Result<OwnedFd> {
        self.0.called("SelectionRead", &Options::new())?;
        self.0.session(&session, true)?;
        let (read, mut write) = std::io::pipe().map_err(|e| fdo::Error::Failed(e.to_string()))?;
        write.write_all(mime_type.as_bytes()).map_err(|e| fdo::Error::Failed(e.to_string()))?;
        Ok(StdFd::from(read).into())
    }

    fn selection_write(&self, session: OwnedObjectPath, serial: u32) -> fdo::Result<OwnedFd> {
        self.0.called("SelectionWrite", &Options::new())?;
        self.0.session(&session, true)?;
        let write = self.0.pastes.lock().unwrap_or_else(|e| e.into_inner()).remove(&serial);
        write.map(OwnedFd::from).ok_or_else(|| fdo::Error::Failed("no such question".into()))
    }

    fn selection_write_done(&self, session: OwnedObjectPath, serial: u32, success: bool) -> fdo::Result<()> {
        let options = Options::from([("serial".into(), serial.into()), ("success".into(), success.into())]);
        self.0.called("SelectionWriteDone", &options)?;
        self.0.session(&session, true)
    }
}

const CLIPBOARD: &str = "org.freedesktop.portal.Clipboard";

/// What SelectionOwnerChanged tells.
fn owner(mimes: &[String], is_session: bool) -> HashMap<&'static str, Value<'static>> {
    HashMap::from([("mime_types", Value::from(mimes.to_vec())), ("session_is_owner", Value::from(is_session))])
}

/// An application of the guest owns the clipboard.
pub(super) async fn copy(service: &Service, connection: &Connection, mimes: &[&str]) {
    let mimes: Vec<String> = mimes.iter().map(|mime| (*mime).to_owned()).collect();
    let sessions = service.watch.update(|state| {
        state.offered = None;
        state.sessions.clone()
    });
    for path in sessions.keys() {
        let Ok(path) = ObjectPath::try_from(path.as_str()) else { continue };
        let told = &(path, owner(&mimes, false));
        let _ = connection.emit_signal(None::<&str>, PATH, CLIPBOARD, "SelectionOwnerChanged", told).await;
    }
}

/// An application of the guest wants what the session offers, here.
pub(super) async fn paste(service: &Service, connection: &Connection, mime: &str, serial: u32, into: StdFd) {
    service.pastes.lock().unwrap_or_else(|e| e.into_inner()).insert(serial, into);
    for path in service.watch.read(|state| state.sessions.clone()).keys() {
        let Ok(path) = ObjectPath::try_from(path.as_str()) else { continue };
        let told = &(path, mime, serial);
        let _ = connection.emit_signal(None::<&str>, PATH, CLIPBOARD, "SelectionTransfer", told).await;
    }
}

/// A session's own object.
struct Session(Arc<Service>, String);

#[interface(name = "org.freedesktop.portal.Session")]
impl Session {
    fn close(&self) {
        let producers = self.0.watch.update(|state| {
            state.closed += 1;
            state.sessions.remove(&self.1);
            std::mem::take(&mut state.producers)
        });
        drop(producers);
    }
}
