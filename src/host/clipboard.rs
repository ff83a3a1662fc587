//! The host's selection: told as it changes, read on request, and owned for the guest.
//!
//! A wl_data_device for each seat; of several seats' selections the one told last counts. Drags are let pass over.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use tracing::debug;
use wayland_client::globals::GlobalList;
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::protocol::wl_data_device::{self, WlDataDevice};
use wayland_client::protocol::wl_data_device_manager::WlDataDeviceManager;
use wayland_client::protocol::wl_data_offer::{self, WlDataOffer};
use wayland_client::protocol::wl_data_source::{self, WlDataSource};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle};

use crate::clipboard::HostClipboard;
use crate::clipboard::mimes::{self, LONGEST, MOST, Mimes};
use crate::clipboard::ours::{Ours, Told, Verdict};
use crate::host::{Host, HostEvent, Quiet};

/// Offers that the host may describe before it says what they are for; a good one has one of them at a time.
const FRESH: usize = 8;

/// So often an announcement is tried: a host that ignores all of them tells nobody what it has taken.
const TRIES: u32 = 4;

/// User data of a seat's wl_data_device: the seat's global name.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfSeat(u32);

/// User data of what belongs to one announcement: its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfAnnouncement(u64);

/// The host's side of the clipboard.
#[derive(Debug)]
pub(super) struct Clipboard {
    manager: Option<WlDataDeviceManager>,
    /// What the type begins with by which this bridge knows its own announcements; their number follows.
    mark: String,
    seats: Vec<SeatDevice>,
    /// What the host describes.
    fresh: Vec<Offer>,
    /// What an application of the host owns, and the seat it was told by.
    selection: Option<(u32, Offer)>,
    ours: Ours,
    announcement: Option<Announcement>,
    announced: u64,
}

/// What there is of a seat for the clipboard.
#[derive(Debug)]
struct SeatDevice {
    name: u32,
    device: WlDataDevice,
    /// The newest input event, which a selection has to name.
    serial: u32,
    /// It has the keyboard's focus, and so may set the selection.
    is_focused: bool,
}

/// A wl_data_offer with the types told so far.
#[derive(Debug)]
struct Offer {
    offer: WlDataOffer,
    mimes: Vec<String>,
    /// The number of the announcement that it is of, if it is ours.
    announcement: Option<u64>,
}

/// What the guest has, for the host.
#[derive(Debug)]
struct Announcement {
    number: u64,
    mimes: Mimes,
    tries: u32,
    /// The event that the last try named.
    serial: u32,
    /// From being sent on: the seat whose selection it is to be.
    sent: Option<(u32, WlDataSource)>,
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.offer.destroy();
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if let Some((_, source)) = &self.sent {
            source.destroy();
        }
    }
}

impl Clipboard {
    /// Without `is_wanted` nothing is bound, and nothing will be told.
    pub fn bind(globals: &GlobalList, queue: &QueueHandle<Host>, is_wanted: bool) -> Self {
        Self {
            manager: is_wanted.then(|| globals.bind(queue, 1..=3, Quiet).ok()).flatten(),
            mark: mimes::new_mark(),
            seats: Vec::new(),
            fresh: Vec::new(),
            selection: None,
            ours: Ours::None,
            announcement: None,
            announced: 0,
        }
    }

    fn seat(&mut self, name: u32) -> Option<&mut SeatDevice> {
        self.seats.iter_mut().find(|seat| seat.name == name)
    }

    fn take_fresh(&mut self, offer: &WlDataOffer) -> Option<Offer> {
        let at = self.fresh.iter().position(|fresh| fresh.offer == *offer)?;
        Some(self.fresh.swap_remove(at))
    }

    /// What an application of the host owns, as types.
    fn owned(&self) -> Option<Mimes> {
        self.selection.as_ref().and_then(|(_, offer)| Mimes::new(offer.mimes.iter().cloned()))
    }

    fn is_current(&self, of: OfAnnouncement) -> bool {
        self.announcement.as_ref().is_some_and(|it| it.number == of.0)
    }
}

impl Host {
    /// Owns the host's selection with these types, as soon as the host lets us: with the keyboard's focus. Reported as
    /// [`HostClipboard::Taken`].
    pub fn offer_clipboard(&mut self, mimes: Mimes) {
        let clipboard = &mut self.clipboard;
        clipboard.announced += 1;
        // What it replaces on the host is destroyed after it, or nobody would own the selection in between.
        let replaced = clipboard.announcement.replace(Announcement {
            number: clipboard.announced,
            mimes,
            tries: 0,
            serial: 0,
            sent: None,
        });
        clipboard.ours = Ours::Waiting;
        self.announce();
        drop(replaced);
    }

    /// Owns the host's selection no longer.
    pub fn withdraw_clipboard(&mut self) {
        let clipboard = &mut self.clipboard;
        clipboard.announcement = None;
        if !matches!(std::mem::take(&mut clipboard.ours), Ours::None | Ours::Set) {
            // What the host told meanwhile was kept back.
            self.tell_owner();
        }
    }

    /// Has what the host's application owns written into a new pipe, in one of its own types; the end to read. `None` when
    /// nobody has anything of this type.
    ///
    /// # Errors
    ///
    /// No descriptors are left.
    pub fn read_clipboard(&self, mime: &str) -> io::Result<Option<OwnedFd>> {
        let Some((_, offer)) = &self.clipboard.selection else { return Ok(None) };
        if !offer.mimes.iter().any(|known| known == mime) {
            return Ok(None);
        }
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        offer.offer.receive(mime.to_owned(), writer.as_fd());
        Ok(Some(reader))
    }

    /// A seat is there: it gets a data device before it can get a focus, as hosts tell selections with the focus only.
    pub(super) fn clipboard_seat_added(&mut self, name: u32, seat: &WlSeat) {
        let Some(manager) = &self.clipboard.manager else { return };
        let device = manager.get_data_device(seat, &self.queue, OfSeat(name));
        self.clipboard.seats.push(SeatDevice { name, device, serial: 0, is_focused: false });
    }

    /// A seat is gone, and what it had with it.
    pub(super) fn clipboard_seat_removed(&mut self, name: u32) {
        let clipboard = &mut self.clipboard;
        let Some(at) = clipboard.seats.iter().position(|seat| seat.name == name) else { return };
        let seat = clipboard.seats.swap_remove(at);
        if seat.device.version() >= 2 {
            seat.device.release();
        }
        if let Some(announcement) = &mut clipboard.announcement {
            if announcement.sent.as_ref().is_some_and(|(of, _)| *of == name) {
                // It waits for another seat, or for this one to come again.
                let (number, mimes) = (clipboard.announced + 1, announcement.mimes.clone());
                clipboard.announced = number;
                *announcement = Announcement { number, mimes, tries: 0, serial: 0, sent: None };
                clipboard.ours = Ours::Waiting;
            }
        }
        if clipboard.selection.take_if(|(of, _)| *of == name).is_some() && clipboard.ours == Ours::None {
            self.tell_owner();
        }
        self.announce();
    }

    /// The window has this seat's keyboard focus since the event of this serial, or no longer.
    pub(super) fn clipboard_focus(&mut self, name: u32, entered: Option<u32>) {
        let Some(seat) = self.clipboard.seat(name) else { return };
        seat.is_focused = entered.is_some();
        match entered {
            Some(serial) => self.clipboard_serial(name, serial),
            None => self.clipboard.ours.focus_lost(),
        }
    }

    /// The newest input event of a seat.
    pub(super) fn clipboard_serial(&mut self, name: u32, serial: u32) {
        if let Some(seat) = self.clipboard.seat(name) {
            seat.serial = serial;
            self.announce();
        }
    }

    /// Sends an announcement that waits, or was ignored, if a seat has the focus.
    fn announce(&mut self) {
        let clipboard = &mut self.clipboard;
        if !matches!(clipboard.ours, Ours::Waiting | Ours::Ignored) {
            return;
        }
        let focused = clipboard.seats.iter().find(|seat| seat.is_focused);
        let (Some(manager), Some(announcement), Some(seat)) =
            (&clipboard.manager, &mut clipboard.announcement, focused)
        else {
            return;
        };
        // The same again would be ignored again.
        if announcement.tries == TRIES || (announcement.tries > 0 && announcement.serial == seat.serial) {
            return;
        }
        announcement.tries += 1;
        announcement.serial = seat.serial;
        if let Some((_, ignored)) = announcement.sent.take() {
            ignored.destroy();
            clipboard.announced += 1;
            announcement.number = clipboard.announced;
        }
        let of = OfAnnouncement(announcement.number);
        let source = manager.create_data_source(&self.queue, of);
        let mark = format!("{}{}", clipboard.mark, announcement.number);
        for mime in announcement.mimes.offered().chain([mark.as_str()]) {
            source.offer(mime.to_owned());
        }
        seat.device.set_selection(Some(&source), seat.serial);
        debug!(serial = seat.serial, "announced the guest's clipboard to the host");
        announcement.sent = Some((seat.name, source));
        clipboard.ours = Ours::Sent;
        self.connection.display().sync(&self.queue, of);
    }

    fn clipboard_event(&mut self, event: HostClipboard) {
        self.events.push_back(HostEvent::Clipboard(event));
    }

    fn tell_owner(&mut self) {
        let owned = self.clipboard.owned();
        self.clipboard_event(HostClipboard::Owns(owned));
    }

    fn selection_told(&mut self, seat: u32, offer: Option<Offer>) {
        let clipboard = &mut self.clipboard;
        let current = clipboard.announcement.as_ref().map(|announcement| announcement.number);
        let whose = match offer.as_ref().and_then(|offer| offer.announcement) {
            None => Told::Theirs,
            number if number == current => Told::Ours,
            Some(_) => Told::Older,
        };
        let was_set = clipboard.ours == Ours::Set;
        let verdict = clipboard.ours.told(whose);
        debug!(?verdict, mimes = ?offer.as_ref().map(|offer| &offer.mimes), "the host's selection");
        // A bridge reads nothing from itself.
        clipboard.selection = offer.filter(|offer| offer.announcement.is_none()).map(|offer| (seat, offer));
        match verdict {
            Verdict::Ours if !was_set && clipboard.ours == Ours::Set => self.clipboard_event(HostClipboard::Taken),
            Verdict::Ours | Verdict::Overtaken => {}
            Verdict::News => {
                clipboard.announcement = None;
                self.tell_owner();
            }
        }
    }
}

impl Dispatch<WlDataDevice, OfSeat> for Host {
    fn event(
        host: &mut Self,
        _: &WlDataDevice,
        event: wl_data_device::Event,
        of: &OfSeat,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use wl_data_device::Event;
        let clipboard = &mut host.clipboard;
        match event {
            Event::DataOffer { id } => {
                if clipboard.fresh.len() == FRESH {
                    clipboard.fresh.remove(0);
                }
                clipboard.fresh.push(Offer { offer: id, mimes: Vec::new(), announcement: None });
            }
            Event::Selection { id } => {
                let offer = id.and_then(|id| clipboard.take_fresh(&id));
                host.selection_told(of.0, offer);
            }
            Event::Enter { id: Some(id), .. } => {
                // Not accepted, so nothing can be dropped here.
                drop(clipboard.take_fresh(&id));
            }
            _ => {}
        }
    }

    wayland_client::event_created_child!(Host, WlDataDevice, [
        wl_data_device::EVT_DATA_OFFER_OPCODE => (WlDataOffer, Quiet),
    ]);
}

impl Dispatch<WlDataOffer, Quiet> for Host {
    fn event(
        host: &mut Self,
        offer: &WlDataOffer,
        event: wl_data_offer::Event,
        _: &Quiet,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        let wl_data_offer::Event::Offer { mime_type } = event else { return };
        let Clipboard { fresh, mark, .. } = &mut host.clipboard;
        if let Some(fresh) = fresh.iter_mut().find(|fresh| fresh.offer == *offer) {
            if let Some(number) = mime_type.strip_prefix(mark.as_str()) {
                fresh.announcement = number.parse().ok();
            } else if fresh.mimes.len() < MOST && mime_type.len() <= LONGEST {
                fresh.mimes.push(mime_type);
            }
        }
    }
}

impl Dispatch<WlDataSource, OfAnnouncement> for Host {
    fn event(
        host: &mut Self,
        _: &WlDataSource,
        event: wl_data_source::Event,
        of: &OfAnnouncement,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if !host.clipboard.is_current(*of) {
            return;
        }
        match event {
            wl_data_source::Event::Send { mime_type: mime, fd: into } => {
                host.clipboard_event(HostClipboard::Wants { mime, into });
            }
            wl_data_source::Event::Cancelled => {
                debug!("another application of the host owns its selection");
                host.clipboard.announcement = None;
                if host.clipboard.ours.cancelled() {
                    host.tell_owner();
                }
            }
            _ => {}
        }
    }
}

impl Dispatch<WlCallback, OfAnnouncement> for Host {
    fn event(
        host: &mut Self,
        _: &WlCallback,
        _: wl_callback::Event,
        of: &OfAnnouncement,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if host.clipboard.is_current(*of) {
            let has_focus = host.clipboard.seats.iter().any(|seat| seat.is_focused);
            host.clipboard.ours.seen(has_focus);
            // The focus may have come and gone meanwhile.
            host.announce();
        }
    }
}
