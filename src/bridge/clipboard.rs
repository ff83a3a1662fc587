//! Where the clipboards of host and guest meet: announcements across, and one bounded transfer for each paste.
//!
//! A paste in the guest asks Mutter for a pipe to write, the host for one to read, and joins them; a paste in the host comes with
//! its pipe and waits until Mutter reads for it, which does one thing at a time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{AbortHandle, Abortable};
use tracing::{debug, warn};

use crate::bridge::Bridge;
use crate::clipboard::asks::{Ask, Asks};
use crate::clipboard::shared::{Act, Shared};
use crate::clipboard::transfer::{self, Outcome, Progress, WaitsFor};
use crate::clipboard::{GuestClipboard, HostClipboard};
use crate::options::Options;

/// Pastes into the guest at once, and pastes into the host that wait for their turn: a person makes one, a clipboard manager one
/// for each type.
const MOST: usize = 16;

/// A guest that takes longer to open a pipe is frozen. Mutter's own patience with us.
const OPENING: Duration = Duration::from_secs(15);

/// The bridge's part of the clipboard.
pub(super) struct Clipboard {
    shared: Shared,
    /// The most bytes of one paste.
    limit: u64,
    /// The guest's, while there is one.
    asks: Option<Asks>,
    transfers: Vec<Transfer>,
    last_id: u64,
    /// Transfers that have ended by themselves.
    done: Rc<RefCell<VecDeque<(u64, Outcome)>>>,
    /// Pastes in the guest that its pipe is being opened for.
    opening: Vec<Opening>,
    reading: Reading,
    /// Pastes in the host whose turn has not come: a type of the guest's owner, and where to write.
    waiting: VecDeque<(String, OwnedFd)>,
}

/// A paste under way; its pipes are closed with its task.
struct Transfer {
    id: u64,
    paste: Paste,
    progress: Progress,
    task: AbortHandle,
    /// What is read has another owner by now.
    is_stale: bool,
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whose paste it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paste {
    /// An application's of the guest: Mutter's number of it.
    InGuest(u32),
    /// An application's of the host.
    InHost,
}

/// A question of Mutter's that waits for its pipe.
struct Opening {
    serial: u32,
    /// The host's owner's name of the type.
    mime: String,
    until: Instant,
}

/// What Mutter reads for us.
enum Reading {
    Nothing,
    /// A pipe is being opened for this.
    Opening {
        into: OwnedFd,
        until: Instant,
    },
    /// A pipe is being opened for something that was given up: its answer has to come before the next can be asked for.
    Late,
    /// This transfer goes on.
    Running,
}

impl Clipboard {
    pub fn new(options: &Options) -> Self {
        Self {
            shared: Shared::new(options.clipboard),
            limit: options.clipboard_limit,
            asks: None,
            transfers: Vec::new(),
            last_id: 0,
            done: Rc::default(),
            opening: Vec::new(),
            reading: Reading::Nothing,
            waiting: VecDeque::new(),
        }
    }

    /// A transfer that has ended, and how.
    pub fn next_done(&mut self) -> Option<(u64, Outcome)> {
        self.done.borrow_mut().pop_front()
    }

    /// When [`Bridge::check_clipboard`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let reading = match &self.reading {
            Reading::Opening { until, .. } => Some(*until),
            _ => None,
        };
        let opening = self.opening.iter().map(|opening| opening.until);
        self.transfers.iter().map(|transfer| self.deadline_of(transfer)).chain(opening).chain(reading).min()
    }

    fn deadline_of(&self, transfer: &Transfer) -> Instant {
        let is_in_the_way = transfer.paste == Paste::InHost && !self.waiting.is_empty();
        transfer.progress.deadline(is_in_the_way, transfer.is_stale)
    }

    /// Asks the guest, if there is one that listens.
    fn ask(&mut self, ask: Ask) {
        let Some(asks) = &self.asks else { return };
        let is_offer = matches!(ask, Ask::Offer(_));
        if !asks.push(ask) {
            debug!("the guest's clipboard answers nothing");
            if is_offer {
                self.shared.offered();
            }
        }
    }

    fn in_guest(&self) -> usize {
        let running = self.transfers.iter().filter(|transfer| transfer.paste != Paste::InHost).count();
        running + self.opening.len()
    }
}

impl Bridge {
    pub(super) fn host_clipboard(&mut self, event: HostClipboard) {
        match event {
            HostClipboard::Owns(mimes) => {
                let act = self.clipboard.shared.host_owns(mimes);
                self.clipboard_act(act);
            }
            HostClipboard::Taken => self.clipboard.shared.host_took(),
            HostClipboard::Wants { mime, into } => self.host_pastes(&mime, into),
        }
    }

    pub(super) fn guest_clipboard(&mut self, number: u64, event: GuestClipboard) {
        if !self.guest.is_live(number) {
            return;
        }
        match event {
            GuestClipboard::Owns(mimes) => {
                // What was asked for was another owner's.
                self.clipboard.waiting.clear();
                for transfer in self.clipboard.transfers.iter_mut().filter(|it| it.paste == Paste::InHost) {
                    transfer.is_stale = true;
                }
                let act = self.clipboard.shared.guest_owns(mimes);
                self.clipboard_act(act);
            }
            GuestClipboard::Offered => self.clipboard.shared.offered(),
            GuestClipboard::Wants { mime, serial } => self.guest_pastes(&mime, serial),
            GuestClipboard::Read(from) => self.guest_reads(from),
            GuestClipboard::Write(serial, into) => self.guest_takes(serial, into),
        }
    }

    fn clipboard_act(&mut self, act: Act) {
        match act {
            Act::None => {}
            Act::OfferToGuest(mimes) => self.clipboard.ask(Ask::Offer(mimes)),
            Act::OfferToHost(Some(mimes)) => self.host.offer_clipboard(mimes),
            Act::OfferToHost(None) => self.host.withdraw_clipboard(),
        }
    }

    /// There is a guest; `None` for one without a clipboard.
    pub(super) fn attach_clipboard(&mut self, asks: Option<Asks>) {
        self.clipboard.asks = asks;
        if self.clipboard.asks.is_some() {
            let act = self.clipboard.shared.guest_came();
            self.clipboard_act(act);
        }
    }

    /// The guest is gone: nothing of it can be pasted, and nobody there pastes.
    pub(super) fn detach_clipboard(&mut self) {
        let clipboard = &mut self.clipboard;
        clipboard.asks = None;
        clipboard.transfers.clear();
        clipboard.opening.clear();
        clipboard.waiting.clear();
        clipboard.reading = Reading::Nothing;
        let act = clipboard.shared.guest_gone();
        self.clipboard_act(act);
    }

    /// An application of the guest wants what the host has.
    fn guest_pastes(&mut self, mime: &str, serial: u32) {
        let clipboard = &mut self.clipboard;
        let mime = clipboard.shared.for_guest().and_then(|mimes| mimes.owners_name(mime)).map(str::to_owned);
        let Some(mime) = mime.filter(|_| clipboard.in_guest() < MOST) else {
            debug!(serial, "a paste in the guest is refused: nothing of this type is there, or too many are under way");
            return clipboard.ask(Ask::Refuse(serial));
        };
        clipboard.opening.push(Opening { serial, mime, until: Instant::now() + OPENING });
        clipboard.ask(Ask::Write(serial));
    }

    /// The guest has opened its pipe for a paste, or not.
    fn guest_takes(&mut self, serial: u32, into: Result<OwnedFd, String>) {
        let clipboard = &mut self.clipboard;
        let Some(at) = clipboard.opening.iter().position(|opening| opening.serial == serial) else { return };
        let mime = clipboard.opening.swap_remove(at).mime;
        let into = match into {
            Ok(into) => into,
            // It was too late, or the clipboard has changed.
            Err(why) => return debug!(serial, why, "a paste in the guest has come to nothing"),
        };
        let started = match self.host.read_clipboard(&mime) {
            Ok(Some(from)) => self.start_transfer(Paste::InGuest(serial), from, into),
            Ok(None) => Err("the host has it no longer".into()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = started {
            warn!("a paste of {mime} in the guest has come to nothing: {why}");
            self.clipboard.ask(Ask::Written(serial, false));
        }
    }

    /// An application of the host wants what the guest has.
    fn host_pastes(&mut self, mime: &str, into: OwnedFd) {
        let clipboard = &mut self.clipboard;
        let mime = clipboard.shared.for_host().and_then(|mimes| mimes.owners_name(mime)).map(str::to_owned);
        let is_open = clipboard.waiting.len() < MOST && !matches!(clipboard.reading, Reading::Late);
        match mime.filter(|_| is_open) {
            Some(mime) => clipboard.waiting.push_back((mime, into)),
            None => {
                debug!("a paste in the host is refused: nothing of this type is there, or others have to be waited for")
            }
        }
        self.next_read();
    }

    /// Has the guest read for the next paste in the host, if nothing is being read.
    fn next_read(&mut self) {
        let clipboard = &mut self.clipboard;
        if !matches!(clipboard.reading, Reading::Nothing) {
            return;
        }
        if let Some((mime, into)) = clipboard.waiting.pop_front() {
            clipboard.reading = Reading::Opening { into, until: Instant::now() + OPENING };
            clipboard.ask(Ask::Read(mime));
        }
    }

    /// The guest has opened a pipe for a paste in the host, or not.
    fn guest_reads(&mut self, from: Result<OwnedFd, String>) {
        let reading = std::mem::replace(&mut self.clipboard.reading, Reading::Nothing);
        match reading {
            Reading::Opening { into, .. } => match from.and_then(|from| self.start_transfer(Paste::InHost, from, into))
            {
                Ok(()) => self.clipboard.reading = Reading::Running,
                Err(why) => warn!("a paste in the host has come to nothing: {why}"),
            },
            Reading::Late => {}
            // Not asked for.
            Reading::Nothing | Reading::Running => self.clipboard.reading = reading,
        }
        self.next_read();
    }

    fn start_transfer(&mut self, paste: Paste, from: OwnedFd, into: OwnedFd) -> Result<(), String> {
        let from = transfer::watch(&self.handle, from)?;
        let into = transfer::watch(&self.handle, into)?;
        let clipboard = &mut self.clipboard;
        clipboard.last_id += 1;
        let id = clipboard.last_id;
        let progress = Progress::new(Instant::now());
        let done = Rc::clone(&clipboard.done);
        let moving = transfer::transfer(from, into, clipboard.limit, progress.clone());
        let (task, registration) = AbortHandle::new_pair();
        let moving = moving.map(move |outcome| done.borrow_mut().push_back((id, outcome)));
        self.scheduler.schedule(Abortable::new(moving, registration).map(drop)).map_err(|error| error.to_string())?;
        debug!(?paste, id, "a paste begins");
        clipboard.transfers.push(Transfer { id, paste, progress, task, is_stale: false });
        Ok(())
    }

    /// A transfer has ended by itself.
    pub(super) fn transfer_done(&mut self, id: u64, outcome: Outcome) {
        let Some(transfer) = self.take_transfer(id) else { return };
        let paste = transfer.paste;
        match outcome {
            Outcome::Complete(bytes) => debug!(?paste, id, bytes, "a paste is complete"),
            Outcome::Unwanted => debug!(?paste, id, "a paste was given up by who asked for it"),
            Outcome::TooLarge => {
                let limit = self.clipboard.limit;
                warn!("a paste was cut after {limit} bytes; --clipboard-limit allows no more");
            }
            Outcome::Failed(errno) => warn!("a paste broke off: {errno}"),
        }
        self.transfer_over(paste, matches!(outcome, Outcome::Complete(_)));
    }

    /// Ends what nobody moves any more.
    pub(super) fn check_clipboard(&mut self, now: Instant) {
        let clipboard = &mut self.clipboard;
        clipboard.opening.retain(|opening| opening.until > now);
        if matches!(clipboard.reading, Reading::Opening { until, .. } if until <= now) {
            warn!("a paste in the host has come to nothing: the guest does not answer");
            clipboard.reading = Reading::Late;
            clipboard.waiting.clear();
        }
        while let Some(id) = self.stuck_transfer(now) {
            let Some(transfer) = self.take_transfer(id) else { break };
            let whom = match transfer.progress.waits_for_whom() {
                WaitsFor::Owner => "its owner writes nothing",
                WaitsFor::Reader => "whoever asked for it reads nothing",
            };
            warn!("a paste was cut: {whom}");
            let paste = transfer.paste;
            // Mutter reads nothing else before this pipe is closed.
            drop(transfer);
            self.transfer_over(paste, false);
        }
    }

    fn stuck_transfer(&self, now: Instant) -> Option<u64> {
        let clipboard = &self.clipboard;
        clipboard.transfers.iter().find(|transfer| clipboard.deadline_of(transfer) <= now).map(|transfer| transfer.id)
    }

    fn take_transfer(&mut self, id: u64) -> Option<Transfer> {
        let transfers = &mut self.clipboard.transfers;
        let at = transfers.iter().position(|transfer| transfer.id == id)?;
        Some(transfers.swap_remove(at))
    }

    fn transfer_over(&mut self, paste: Paste, is_all: bool) {
        match paste {
            Paste::InGuest(serial) => self.clipboard.ask(Ask::Written(serial, is_all)),
            Paste::InHost => {
                self.clipboard.reading = Reading::Nothing;
                self.next_read();
            }
        }
    }
}
