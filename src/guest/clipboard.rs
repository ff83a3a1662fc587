//! The clipboard of a guest, by the same session as its input: announcements out, questions in, and the ends of pipes both
//! ways. Mutter's calls and those of portals, which were made after them, differ in their names only.
//!
//! Asks are carried out one after the other, as the bridge means them; what the guest says meanwhile is kept.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;

use futures_util::future::{Either, select};
use futures_util::stream::{Stream, StreamExt};
use tracing::{debug, warn};
use zbus::message::Sequence;
use zbus::zvariant::{OwnedFd, OwnedValue, Value};

use crate::clipboard::GuestClipboard;
use crate::clipboard::asks::{Ask, Asks};
use crate::clipboard::mimes::{MOST, Mimes};

/// Signals kept while a call is under way: more than a session can make of its own accord.
const KEPT: usize = 64;

/// What a guest says of its clipboard.
pub enum Signal {
    /// Who owns it now; `None`: told in a way that is not known.
    Owner {
        /// Where in the connection's traffic this was said.
        at: Sequence,
        /// Who it is.
        owner: Option<Owner>,
    },
    /// Somebody wants what the bridge offers.
    Transfer {
        /// In this type.
        mime: String,
        /// Names the question.
        serial: u32,
    },
}

/// A guest's signals about the clipboard of a session, in order of each kind.
pub trait Signals: Stream<Item = Signal> + Unpin {}
impl<S: Stream<Item = Signal> + Unpin> Signals for S {}

/// The calls of a session about its clipboard.
pub(in crate::guest) trait Selection {
    /// Who answers them, for the log.
    const WHO: &'static str;

    /// SetSelection: own it and offer these types, or give it up; tells where in the connection's traffic the answer was.
    async fn set(&self, mimes: Option<Vec<&str>>) -> zbus::Result<Sequence>;

    /// SelectionRead: where to read what the owner has.
    async fn read(&self, mime: &str) -> zbus::Result<OwnedFd>;

    /// SelectionWrite: where to write the answer to a question.
    async fn write(&self, serial: u32) -> zbus::Result<OwnedFd>;

    /// SelectionWriteDone: all that will come has been written.
    async fn done(&self, serial: u32, is_all: bool) -> zbus::Result<()>;
}

/// Carries out what is asked and reports what the guest says, as long as the session lasts.
pub(in crate::guest) async fn serve<C: Selection>(
    remote: &C,
    asks: &Asks,
    signals: impl Signals,
    report: impl Fn(GuestClipboard),
) {
    let mut line = Line { signals, kept: VecDeque::new(), offered: None };
    loop {
        if let Some(signal) = line.kept.pop_front() {
            line.heard(signal, &report);
            continue;
        }
        let asked = match select(pin!(asks.next()), line.signals.next()).await {
            Either::Left((ask, _)) => Ok(ask),
            Either::Right((signal, _)) => Err(signal),
        };
        match asked {
            Ok(ask) => line.carry_out(ask, remote, &report).await,
            Err(Some(signal)) => line.heard(signal, &report),
            // The connection is closed; other parts of the session notice that as well.
            Err(None) => return,
        }
    }
}

struct Line<S> {
    signals: S,
    kept: VecDeque<Signal>,
    /// Where in the connection's traffic the answer to the last offer was: owners told before were overtaken by it.
    offered: Option<Sequence>,
}

impl<S: Signals> Line<S> {
    /// Waits for the answer to a call, and keeps what is heard meanwhile: an unread signal would block the connection.
    async fn call<T>(&mut self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        loop {
            match select(call.as_mut(), self.signals.next()).await {
                Either::Left((answer, _)) => return answer,
                Either::Right((Some(signal), _)) => {
                    if self.kept.len() == KEPT {
                        self.kept.pop_front();
                    }
                    self.kept.push_back(signal);
                }
                Either::Right((None, _)) => return call.await,
            }
        }
    }

    async fn carry_out<C: Selection>(&mut self, ask: Ask, remote: &C, report: &impl Fn(GuestClipboard)) {
        debug!(?ask, "asked of the guest's clipboard");
        match ask {
            Ask::Offer(mimes) => {
                let mimes: Option<Vec<&str>> = mimes.as_ref().map(|mimes| mimes.offered().collect());
                match self.call(remote.set(mimes)).await {
                    Ok(answered) => self.offered = Some(answered),
                    Err(error) => warn!("{} refused SetSelection ({error}); the guest does not get this copy", C::WHO),
                }
                report(GuestClipboard::Offered);
            }
            Ask::Read(mime) => {
                let read = self.call(remote.read(&mime)).await;
                report(GuestClipboard::Read(end(read)));
            }
            Ask::Write(serial) => {
                let write = self.call(remote.write(serial)).await;
                report(GuestClipboard::Write(serial, end(write)));
            }
            Ask::Refuse(serial) => {
                // An end that is closed at once tells the asker now, and not when the guest loses patience.
                drop(self.call(remote.write(serial)).await);
                self.written(remote, serial, false).await;
            }
            Ask::Written(serial, is_all) => self.written(remote, serial, is_all).await,
        }
    }

    async fn written<C: Selection>(&mut self, remote: &C, serial: u32, is_all: bool) {
        if let Err(error) = self.call(remote.done(serial, is_all)).await {
            debug!(%error, "SelectionWriteDone failed");
        }
    }

    fn heard(&self, signal: Signal, report: &impl Fn(GuestClipboard)) {
        match signal {
            Signal::Owner { at, owner } => {
                if self.offered.is_some_and(|offered| at < offered) {
                    return;
                }
                debug!(?owner, "the owner of the guest's clipboard");
                match owner {
                    Some(Owner::Us) => {}
                    Some(Owner::Application(mimes)) => report(GuestClipboard::Owns(mimes)),
                    None => warn!("the guest told an owner of its clipboard in a way that is not known; ignored"),
                }
            }
            Signal::Transfer { mime, serial } => report(GuestClipboard::Wants { mime, serial }),
        }
    }
}

fn end(answer: zbus::Result<OwnedFd>) -> Result<std::os::fd::OwnedFd, String> {
    answer.map(std::os::fd::OwnedFd::from).map_err(|error| error.to_string())
}

/// Who owns the guest's clipboard.
#[derive(Debug, PartialEq, Eq)]
pub enum Owner {
    /// The bridge, by this session.
    Us,
    /// Another application, or nobody.
    Application(Option<Mimes>),
}

/// The names that options have in one interface.
pub struct Names {
    /// Whether the session is the owner.
    pub is_ours: &'static str,
    /// The types that it offers.
    pub mimes: &'static str,
}

/// What the options of SelectionOwnerChanged say; `None` when it makes no sense.
pub fn owner(mut options: HashMap<String, OwnedValue>, names: &Names) -> Option<Owner> {
    if options.get(names.is_ours).is_some_and(|value| matches!(**value, Value::Bool(true))) {
        return Some(Owner::Us);
    }
    let Some(mimes) = options.remove(names.mimes) else { return Some(Owner::Application(None)) };
    let list = match Value::from(mimes) {
        // A structure of one list (seen on 43, 48 and 50), where a list is meant.
        Value::Structure(structure) => structure.into_fields().into_iter().next()?,
        list => list,
    };
    let Value::Array(list) = list else { return None };
    let names = list.iter().map(|name| if let Value::Str(name) = name { name.to_string() } else { String::new() });
    // Some that cannot be types may be among them.
    Some(Owner::Application(Mimes::new(names.take(2 * MOST))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(options: HashMap<String, OwnedValue>) -> Option<Owner> {
        super::owner(options, &Names { is_ours: "session-is-owner", mimes: "mime-types" })
    }

    fn options(all: Vec<(&str, Value<'static>)>) -> HashMap<String, OwnedValue> {
        all.into_iter().map(|(name, value)| (name.to_owned(), OwnedValue::try_from(value).unwrap())).collect()
    }

    #[test]
    fn owners_are_understood_however_their_types_are_wrapped() {
        let mimes = || vec!["text/plain".to_owned(), "image/png".to_owned()];
        let application = Some(Owner::Application(Mimes::new(mimes())));
        assert_eq!(owner(options(vec![("mime-types", Value::from((mimes(),)))])), application);
        assert_eq!(owner(options(vec![("mime-types", Value::from(mimes()))])), application);
        assert_eq!(owner(options(vec![])), Some(Owner::Application(None)));
        let ours = vec![("mime-types", Value::from((mimes(),))), ("session-is-owner", Value::Bool(true))];
        assert_eq!(owner(options(ours)), Some(Owner::Us));
        assert_eq!(owner(options(vec![("mime-types", Value::from("text/plain"))])), None);
        assert_eq!(owner(options(vec![("mime-types", Value::from((1u32,)))])), None);
    }
}
