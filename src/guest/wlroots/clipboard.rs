//! The clipboard of a wlroots guest: a client of its own socket that owns and reads the selection without a window.
//! Decides nothing about whose copy counts; it reports, and does what it is asked.
//!
//! What somebody had copied before the session is not news: the host's copy is rather what a person means.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;

use futures_util::future::{Either, select};
use rustix::pipe::{PipeFlags, pipe_with};
use tracing::{debug, info, warn};
use wayland_client::protocol::wl_callback::WlCallback;
use wayland_client::protocol::wl_registry::{self, WlRegistry};
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, Dispatch, QueueHandle, delegate_dispatch, delegate_noop};

use crate::clipboard::GuestClipboard;
use crate::clipboard::asks::{Ask, Asks};
use crate::clipboard::mimes::{self, LONGEST, MOST, Mimes};
use crate::guest::wlroots::client::{Answered, Client, Lost};
use crate::guest::wlroots::data_control::{Device, INTERFACES, Manager, Offer, Source};

/// Offers that may be described before it is said what they are for; a good compositor has one of them at a time.
const FRESH: usize = 8;

/// Pastes that may wait for the bridge's answer: more than it lets begin.
const PASTES: usize = 64;

/// User data of a source: its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfSource(u32);

/// What the compositor says.
pub enum Heard<'a> {
    /// Somebody offers something.
    New(Offer),
    /// It can be had in this type.
    Type(&'a Offer, String),
    /// It is the selection's; or nobody owns that.
    Selection(Option<Offer>),
    /// It is the primary selection's.
    Primary(Offer),
    /// The seat is gone.
    Finished,
    /// Somebody wants what a source of ours offers, in this type.
    Send(OfSource, String, OwnedFd),
    /// A source of ours is the selection no longer.
    Cancelled(OfSource),
}

/// The guest's selection, ready to be served.
pub struct Clipboard {
    client: Client<Selections>,
    manager: Manager,
    device: Device,
}

impl Clipboard {
    /// Begins on a connected socket that does not block; `None`, and a line in the log, where there is no clipboard to be had.
    pub async fn open(socket: UnixStream) -> Option<Self> {
        match Self::try_open(socket).await {
            Ok(Some(clipboard)) => return Some(clipboard),
            Ok(None) => {
                let lacking = INTERFACES.join(" and no ");
                info!("going on without the clipboard: the guest's compositor has no {lacking}, or no seat");
            }
            Err(Lost::Gone(why)) => debug!(why, "no clipboard: the guest's compositor went away"),
            Err(Lost::Refused(why)) => {
                warn!("going on without the clipboard: the guest's compositor refused it ({why})")
            }
        }
        None
    }

    async fn try_open(socket: UnixStream) -> Result<Option<Self>, Lost> {
        let mut client = Client::new(socket, Selections::new())?;
        let queue = client.queue.handle();
        let registry = client.connection.display().get_registry(&queue, ());
        client.answered().await?;
        let name_of = |wanted: &str| {
            let found = client.state.globals.iter().find(|(_, interface)| interface == wanted);
            found.map(|(name, _)| *name)
        };
        let Some(manager) = Manager::bind(&registry, &queue, name_of) else { return Ok(None) };
        // The seat that input goes to.
        let Some(seat) = name_of("wl_seat") else { return Ok(None) };
        let seat: WlSeat = registry.bind(seat, 1, &queue, ());
        let device = manager.device(&seat, &queue);
        client.answered().await?;
        client.state.events.clear();
        Ok(Some(Self { client, manager, device }))
    }

    /// Carries out what is asked and reports what is heard, as long as the connection lasts; never ends.
    pub async fn serve(mut self, asks: &Asks, report: impl Fn(GuestClipboard)) -> std::convert::Infallible {
        let lost = match self.try_serve(asks, &report).await {
            Ok(never) => match never {},
            Err(lost) => lost,
        };
        match lost {
            Lost::Gone(why) => debug!(why, "the guest's clipboard is out of reach"),
            Lost::Refused(why) => warn!("the guest's clipboard is out of reach from here on ({why})"),
        }
        self.client.state.set_is_handled();
        self.client.state.events.push_back(GuestClipboard::Owns(None));
        self.report(&report);
        // Who waits for a paste hears that there is none.
        drop(self);
        std::future::pending().await
    }

    async fn try_serve(
        &mut self,
        asks: &Asks,
        report: &impl Fn(GuestClipboard),
    ) -> Result<std::convert::Infallible, Lost> {
        loop {
            let asked = match select(pin!(asks.next()), pin!(self.client.turn())).await {
                Either::Left((ask, _)) => Some(ask),
                Either::Right((heard, _)) => {
                    heard?;
                    None
                }
            };
            if let Some(ask) = asked {
                debug!(?ask, "asked of the guest's clipboard");
                self.carry_out(ask).await?;
            }
            self.report(report);
            if self.client.state.is_finished {
                return Err(Lost::Refused("its seat is gone".into()));
            }
        }
    }

    fn report(&mut self, report: &impl Fn(GuestClipboard)) {
        for event in self.client.state.events.drain(..) {
            report(event);
        }
    }

    async fn carry_out(&mut self, ask: Ask) -> Result<(), Lost> {
        let state = &mut self.client.state;
        match ask {
            Ask::Offer(mimes) => return self.offer(mimes).await,
            Ask::Read(mime) => {
                let read = state.read(&mime);
                state.events.push_back(GuestClipboard::Read(read));
            }
            Ask::Write(serial) => {
                let into = state.take_paste(serial).ok_or_else(|| "it was too long ago".to_owned());
                state.events.push_back(GuestClipboard::Write(serial, into));
            }
            // A closed pipe says all that there is to say.
            Ask::Refuse(serial) => drop(state.take_paste(serial)),
            Ask::Written(..) => {}
        }
        Ok(())
    }

    /// Owns the selection with this, or no longer. One at a time: a compositor that does not read gets no more.
    async fn offer(&mut self, mimes: Option<Mimes>) -> Result<(), Lost> {
        let queue = self.client.queue.handle();
        let state = &mut self.client.state;
        state.is_setting = true;
        let gives_up = mimes.is_none();
        // What is replaced is destroyed afterwards, or nobody would own the selection in between.
        let replaced = match mimes {
            Some(mimes) => {
                state.last_source += 1;
                let source = self.manager.source(&queue, OfSource(state.last_source));
                let mark = format!("{}{}", state.mark, state.last_source);
                for mime in mimes.offered().chain([mark.as_str()]) {
                    source.offer(mime.to_owned());
                }
                self.device.set_selection(&source);
                state.source.replace(source)
            }
            None => state.source.take(),
        };
        if let Some(replaced) = replaced {
            replaced.destroy();
        }
        self.client.answered().await?;
        let state = &mut self.client.state;
        state.set_is_handled();
        // Giving up displaces nobody: who owns it now came before, and was not told of.
        if let Some(owned) = state.selection.as_ref().filter(|_| gives_up) {
            let mimes = Mimes::new(owned.mimes.iter().cloned());
            state.events.push_back(GuestClipboard::Owns(mimes));
        }
        Ok(())
    }
}

/// What the compositor has told.
pub struct Selections {
    /// Name and interface of each global.
    globals: Vec<(u32, String)>,
    /// What the type begins with by which our own offers are known; their source's number follows.
    mark: String,
    /// What is being described.
    fresh: Vec<Described>,
    /// What an application owns.
    selection: Option<Described>,
    /// What we own, or are about to.
    source: Option<Source>,
    last_source: u32,
    /// An offer of ours is on its way: what is told of others meanwhile was overtaken by it.
    is_setting: bool,
    /// Who waits for an answer, and where that is to be written.
    pastes: VecDeque<(u32, OwnedFd)>,
    last_paste: u32,
    is_finished: bool,
    /// To be reported.
    events: VecDeque<GuestClipboard>,
}

/// An offer with the types told so far.
struct Described {
    offer: Offer,
    mimes: Vec<String>,
    /// The number of the source that it is of, if that is ours.
    source: Option<u32>,
}

impl Drop for Described {
    fn drop(&mut self) {
        self.offer.destroy();
    }
}

impl Selections {
    fn new() -> Self {
        Self {
            globals: Vec::new(),
            mark: mimes::new_mark(),
            fresh: Vec::new(),
            selection: None,
            source: None,
            last_source: 0,
            is_setting: false,
            pastes: VecDeque::new(),
            last_paste: 0,
            is_finished: false,
            events: VecDeque::new(),
        }
    }

    /// Either protocol's event.
    pub fn heard(&mut self, heard: Heard<'_>) {
        match heard {
            Heard::New(offer) => {
                if self.fresh.len() == FRESH {
                    self.fresh.remove(0);
                }
                self.fresh.push(Described { offer, mimes: Vec::new(), source: None });
            }
            Heard::Type(offer, mime) => {
                let Some(fresh) = self.fresh.iter_mut().find(|fresh| fresh.offer == *offer) else { return };
                if let Some(number) = mime.strip_prefix(&self.mark) {
                    fresh.source = number.parse().ok();
                } else if fresh.mimes.len() < MOST && mime.len() <= LONGEST {
                    fresh.mimes.push(mime);
                }
            }
            Heard::Selection(offer) => {
                let described = offer.and_then(|offer| self.take_fresh(&offer));
                self.selected(described);
            }
            Heard::Primary(offer) => drop(self.take_fresh(&offer)),
            Heard::Finished => self.is_finished = true,
            Heard::Send(of, mime, into) => {
                if !self.is_current(of) {
                    return;
                }
                if self.pastes.len() == PASTES {
                    self.pastes.pop_front();
                }
                self.last_paste = self.last_paste.wrapping_add(1);
                self.pastes.push_back((self.last_paste, into));
                self.events.push_back(GuestClipboard::Wants { mime, serial: self.last_paste });
            }
            Heard::Cancelled(of) => {
                if self.is_current(of) {
                    if let Some(source) = self.source.take() {
                        source.destroy();
                    }
                }
            }
        }
    }

    fn take_fresh(&mut self, offer: &Offer) -> Option<Described> {
        let at = self.fresh.iter().position(|fresh| fresh.offer == *offer)?;
        Some(self.fresh.swap_remove(at))
    }

    fn is_current(&self, of: OfSource) -> bool {
        self.source.is_some() && of.0 == self.last_source
    }

    fn selected(&mut self, described: Option<Described>) {
        debug!(mimes = ?described.as_ref().map(|it| &it.mimes), "the guest's selection");
        if let Some(source) = described.as_ref().and_then(|it| it.source) {
            // What follows this came after it.
            if source == self.last_source {
                self.set_is_handled();
            }
            self.selection = None;
            return;
        }
        let mimes = described.as_ref().and_then(|it| Mimes::new(it.mimes.iter().cloned()));
        self.selection = described;
        if !self.is_setting {
            self.events.push_back(GuestClipboard::Owns(mimes));
        }
    }

    fn set_is_handled(&mut self) {
        if std::mem::take(&mut self.is_setting) {
            self.events.push_back(GuestClipboard::Offered);
        }
    }

    /// Has what the application owns written into a new pipe; the end to read.
    fn read(&self, mime: &str) -> Result<OwnedFd, String> {
        let offer = self.selection.as_ref().filter(|it| it.mimes.iter().any(|known| known == mime));
        let offer = offer.ok_or("nobody in the guest has it any more")?;
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| error.to_string())?;
        offer.offer.receive(mime.to_owned(), writer.as_fd());
        Ok(reader)
    }

    fn take_paste(&mut self, serial: u32) -> Option<OwnedFd> {
        let at = self.pastes.iter().position(|(paste, _)| *paste == serial)?;
        self.pastes.remove(at).map(|(_, into)| into)
    }
}

impl Dispatch<WlRegistry, ()> for Selections {
    fn event(
        selections: &mut Self,
        _: &WlRegistry,
        event: wl_registry::Event,
        (): &(),
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        if let wl_registry::Event::Global { name, interface, .. } = event {
            if interface == "wl_seat" || INTERFACES.contains(&interface.as_str()) {
                selections.globals.push((name, interface));
            }
        }
    }
}

delegate_dispatch!(Selections: [WlCallback: Answered] => Answered);
delegate_noop!(Selections: ignore WlSeat);
