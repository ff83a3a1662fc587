//! The selection: `wl_data_device_manager` and what hangs on it, as Smithay does it. A client sets it only while it has the
//! keyboard's focus, and is told of it only then; a source serves once; a source that is replaced is cancelled before anybody
//! is told. Drags are offered and never dropped.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::pipe::{PipeFlags, pipe_with};
use wayland_server::backend::ClientId;
use wayland_server::protocol::wl_data_device::{self, WlDataDevice};
use wayland_server::protocol::wl_data_device_manager::{self, WlDataDeviceManager};
use wayland_server::protocol::wl_data_offer::{self, WlDataOffer};
use wayland_server::protocol::wl_data_source::{self, WlDataSource};
use wayland_server::protocol::wl_surface::WlSurface;
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource};

use crate::FakeHost;
use crate::extras::plain_global;
use crate::seen::{Selection, SelectionOwner};
use crate::server::State;

plain_global!(WlDataDeviceManager);

/// Writes what an application of the host has into a pipe, on a thread of its own.
pub type Writer = Arc<dyn Fn(OwnedFd) + Send + Sync>;

/// Types with their writers.
pub(crate) type Content = Vec<(String, Writer)>;

/// What there is of the selection.
#[derive(Default)]
pub(crate) struct SelectionState {
    devices: Vec<WlDataDevice>,
    owner: Owner,
    /// Counts the owners: an offer of an earlier one gives nothing.
    generation: u64,
    /// So many of a client's selections to come are ignored, as hosts do that deem them old.
    ignores: u32,
}

#[derive(Clone, Default)]
enum Owner {
    #[default]
    Nobody,
    Host(Content),
    Client(WlDataSource),
}

/// Of a `wl_data_source`.
#[derive(Debug, Default)]
pub(crate) struct SourceData(Mutex<Source>);

#[derive(Debug, Default)]
struct Source {
    mimes: Vec<String>,
    is_used: bool,
}

/// Of a `wl_data_offer`: the owner it is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfferData(u64);

impl SourceData {
    fn with<T>(&self, look: impl FnOnce(&mut Source) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn mimes_of(source: &WlDataSource) -> Vec<String> {
    source.data::<SourceData>().map_or_else(Vec::new, |data| data.with(|source| source.mimes.clone()))
}

impl State {
    /// The devices of whoever has the keyboard's focus.
    fn focused_devices(&self) -> Vec<WlDataDevice> {
        let Some(focus) = &self.seat.keyboard_focus else { return Vec::new() };
        let mine = |device: &&WlDataDevice| device.id().same_client_as(&focus.id());
        self.selection.devices.iter().filter(mine).cloned().collect()
    }

    fn offer(&self, device: &WlDataDevice, mimes: &[String]) -> Option<WlDataOffer> {
        let client = device.client()?;
        let data = OfferData(self.selection.generation);
        let offer = client.create_resource::<WlDataOffer, OfferData, Self>(&self.dh, device.version(), data).ok()?;
        device.data_offer(&offer);
        for mime in mimes {
            offer.offer(mime.clone());
        }
        self.notes.note(|seen| seen.offers_alive += 1);
        Some(offer)
    }

    /// Tells whoever has the keyboard's focus.
    pub(crate) fn tell_selection(&self) {
        let mimes = match &self.selection.owner {
            Owner::Nobody => None,
            Owner::Host(content) => Some(content.iter().map(|(mime, _)| mime.clone()).collect::<Vec<_>>()),
            Owner::Client(source) => Some(mimes_of(source)),
        };
        for device in self.focused_devices() {
            let offer = mimes.as_ref().and_then(|mimes| self.offer(&device, mimes));
            device.selection(offer.as_ref());
        }
        self.log(format!("the selection is told: {mimes:?}"));
    }

    fn own_selection(&mut self, owner: Owner) {
        if let Owner::Client(source) = &self.selection.owner
            && source.is_alive()
        {
            source.cancelled();
        }
        let seen = match &owner {
            Owner::Nobody => SelectionOwner::Nobody,
            Owner::Host(_) => SelectionOwner::Host,
            Owner::Client(source) => SelectionOwner::Client(mimes_of(source)),
        };
        self.selection.owner = owner;
        self.selection.generation += 1;
        self.notes.note(|notes| notes.selection_owner = seen);
        self.tell_selection();
    }
}

/// The host's clipboard, as its other applications use it.
#[derive(Clone, Copy, Debug)]
pub struct Clipboard<'a>(pub(crate) &'a FakeHost);

impl Clipboard<'_> {
    /// An application of the host copies something: types, each with what writes it.
    pub fn copy(self, content: &[(&str, Writer)]) {
        let content = content.iter().map(|(mime, writer)| ((*mime).to_owned(), Arc::clone(writer))).collect();
        self.0.run(move |s| s.own_selection(Owner::Host(content)));
    }

    /// Nobody owns the selection.
    pub fn clear(self) {
        self.0.run(|s| s.own_selection(Owner::Nobody));
    }

    /// An application of the host pastes what the client owns: the end to read. `None` when no client owns this.
    pub fn paste(self, mime: &str) -> Option<OwnedFd> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).ok()?;
        self.paste_into(mime, writer).then_some(reader)
    }

    /// As [`paste`](Self::paste), into any file.
    pub fn paste_into(self, mime: &str, into: OwnedFd) -> bool {
        let mime = mime.to_owned();
        self.0.run(move |s| match &s.selection.owner {
            Owner::Client(source) if mimes_of(source).contains(&mime) => {
                source.send(mime, into.as_fd());
                true
            }
            _ => false,
        })
    }

    /// Something with these types is dragged over the window, and away again.
    pub fn drag_over(self, mimes: &[&str]) {
        let mimes: Vec<String> = mimes.iter().map(|mime| (*mime).to_owned()).collect();
        self.0.run(move |s| {
            let Some(surface) = s.seat.keyboard_focus.clone() else { return };
            let serial = s.next_serial();
            for device in s.focused_devices() {
                let offer = s.offer(&device, &mimes);
                device.enter(serial, &surface, 10.0, 10.0, offer.as_ref());
                device.motion(s.millis(), 20.0, 20.0);
                device.leave();
            }
        });
    }

    /// Describes so many offers without ever saying what they are for.
    pub fn describe_offers(self, count: usize) {
        self.0.run(move |s| {
            for device in s.focused_devices() {
                for _ in 0..count {
                    let _ = s.offer(&device, &["text/plain".to_owned()]);
                }
            }
        });
    }

    /// Ignores so many of the client's selections to come, in silence.
    pub fn ignore_next(self, count: u32) {
        self.0.run(move |s| s.selection.ignores = count);
    }
}

impl Dispatch<WlDataDeviceManager, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _manager: &WlDataDeviceManager,
        request: wl_data_device_manager::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        match request {
            wl_data_device_manager::Request::CreateDataSource { id } => {
                init.init(id, SourceData::default());
                state.notes.note(|seen| seen.sources_alive += 1);
            }
            wl_data_device_manager::Request::GetDataDevice { id, .. } => {
                // One that comes after the focus is told of nothing before the next.
                let device = init.init(id, ());
                state.selection.devices.push(device);
            }
            _ => {}
        }
    }
}

impl Dispatch<WlDataDevice, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        device: &WlDataDevice,
        request: wl_data_device::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
        let wl_data_device::Request::SetSelection { source, serial } = request else { return };
        if let Some(source) = &source
            && source.data::<SourceData>().is_some_and(|data| data.with(|it| std::mem::replace(&mut it.is_used, true)))
        {
            return state.fatal(device, wl_data_device::Error::UsedSource, "a source serves once");
        }
        let is_focused = |focus: &WlSurface| device.id().same_client_as(&focus.id());
        let is_focused = state.seat.keyboard_focus.as_ref().is_some_and(is_focused);
        let is_ignored = state.selection.ignores > 0;
        state.selection.ignores = state.selection.ignores.saturating_sub(1);
        let is_taken = is_focused && !is_ignored;
        let mimes = source.as_ref().map(mimes_of);
        state.log(format!("set_selection {mimes:?}, serial {serial}, taken: {is_taken}"));
        if serial == 0 || serial > state.last_serial() {
            state.notes.oddity(format!("set_selection with serial {serial}, which no event had"));
        }
        state.notes.note(|seen| seen.selections.push(Selection { mimes: mimes.unwrap_or_default(), serial, is_taken }));
        if is_taken {
            state.own_selection(source.map_or(Owner::Nobody, Owner::Client));
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, device: &WlDataDevice, _data: &()) {
        state.selection.devices.retain(|it| it.id() != device.id());
    }
}

impl Dispatch<WlDataSource, SourceData> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _source: &WlDataSource,
        request: wl_data_source::Request,
        data: &SourceData,
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
        if let wl_data_source::Request::Offer { mime_type } = request {
            let is_used = data.with(|source| {
                source.mimes.push(mime_type);
                source.is_used
            });
            if is_used {
                state.notes.oddity("a type was offered after the source was used".into());
            }
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, source: &WlDataSource, _data: &SourceData) {
        state.notes.note(|seen| seen.sources_alive -= 1);
        if matches!(&state.selection.owner, Owner::Client(owner) if owner.id() == source.id()) {
            state.selection.owner = Owner::Nobody;
            state.own_selection(Owner::Nobody);
        }
    }
}

impl Dispatch<WlDataOffer, OfferData> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _offer: &WlDataOffer,
        request: wl_data_offer::Request,
        of: &OfferData,
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
        let wl_data_offer::Request::Receive { mime_type, fd } = request else { return };
        state.log(format!("receive {mime_type}"));
        // What is not passed on is closed, which the reader sees as nothing.
        if of.0 != state.selection.generation {
            return;
        }
        match &state.selection.owner {
            Owner::Nobody => {}
            Owner::Host(content) => {
                if let Some((_, writer)) = content.iter().find(|(mime, _)| *mime == mime_type) {
                    let writer = Arc::clone(writer);
                    thread::spawn(move || writer(fd));
                }
            }
            Owner::Client(source) => {
                state.notes.oddity("a client reads a selection that is a client's: its own".into());
                source.send(mime_type, fd.as_fd());
            }
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, _offer: &WlDataOffer, _of: &OfferData) {
        state.notes.note(|seen| seen.offers_alive -= 1);
    }
}
