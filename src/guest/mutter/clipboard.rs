//! GNOME's clipboard, by the same session as its input: announcements out, questions in, and the ends of pipes both ways.
//!
//! Asks are carried out one after the other, as the bridge means them; what Mutter says meanwhile is kept.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::pin::pin;

use futures_util::future::{Either, select};
use futures_util::stream::{Stream, StreamExt, select as select_streams};
use tracing::{debug, warn};
use zbus::message::Sequence;
use zbus::zvariant::{OwnedValue, Value};

use crate::clipboard::GuestClipboard;
use crate::clipboard::asks::{Ask, Asks};
use crate::clipboard::mimes::{MOST, Mimes};
use crate::guest::mutter::remote_desktop::{RemoteDesktopSessionProxy, SelectionOwnerChanged, SelectionTransfer};

/// Signals kept while a call is under way: more than a session can make of its own accord.
const KEPT: usize = 64;

/// What Mutter says of the clipboard.
pub(super) enum Signal {
    Owner(SelectionOwnerChanged),
    Transfer(SelectionTransfer),
}

/// Mutter's signals about the clipboard of a session, in order of each kind.
pub(super) trait Signals: Stream<Item = Signal> + Unpin {}
impl<S: Stream<Item = Signal> + Unpin> Signals for S {}

/// Makes the clipboard of a session ours to use; `None`, and a line in the log, when Mutter will not have it.
pub(super) async fn enable(remote: &RemoteDesktopSessionProxy<'_>) -> Option<impl Signals + use<>> {
    let enabled = async {
        let owners = remote.receive_selection_owner_changed().await?;
        let transfers = remote.receive_selection_transfer().await?;
        remote.enable_clipboard(HashMap::new()).await?;
        zbus::Result::Ok(select_streams(owners.map(Signal::Owner), transfers.map(Signal::Transfer)))
    };
    match enabled.await {
        Ok(signals) => Some(signals),
        Err(error) => {
            warn!("Mutter refused EnableClipboard ({error}); going on without the clipboard");
            None
        }
    }
}

/// Carries out what is asked and reports what Mutter says, as long as the session lasts.
pub(super) async fn serve(
    remote: &RemoteDesktopSessionProxy<'_>,
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

    async fn carry_out(&mut self, ask: Ask, remote: &RemoteDesktopSessionProxy<'_>, report: &impl Fn(GuestClipboard)) {
        debug!(?ask, "asked of Mutter's clipboard");
        match ask {
            Ask::Offer(mimes) => {
                let mimes: Option<Vec<&str>> = mimes.as_ref().map(|mimes| mimes.offered().collect());
                let options: HashMap<&str, Value<'_>> =
                    mimes.into_iter().map(|mimes| ("mime-types", Value::from(mimes))).collect();
                match self.call(remote.inner().call_method("SetSelection", &(options,))).await {
                    Ok(answer) => self.offered = Some(answer.recv_position()),
                    Err(error) => warn!("Mutter refused SetSelection ({error}); the guest does not get this copy"),
                }
                report(GuestClipboard::Offered);
            }
            Ask::Read(mime) => {
                let read = self.call(remote.selection_read(&mime)).await;
                report(GuestClipboard::Read(end(read)));
            }
            Ask::Write(serial) => {
                let write = self.call(remote.selection_write(serial)).await;
                report(GuestClipboard::Write(serial, end(write)));
            }
            Ask::Refuse(serial) => {
                // An end that is closed at once tells the asker now, and not when Mutter loses patience.
                drop(self.call(remote.selection_write(serial)).await);
                self.written(remote, serial, false).await;
            }
            Ask::Written(serial, is_all) => self.written(remote, serial, is_all).await,
        }
    }

    async fn written(&mut self, remote: &RemoteDesktopSessionProxy<'_>, serial: u32, is_all: bool) {
        if let Err(error) = self.call(remote.selection_write_done(serial, is_all)).await {
            debug!(%error, "SelectionWriteDone failed");
        }
    }

    fn heard(&self, signal: Signal, report: &impl Fn(GuestClipboard)) {
        match signal {
            Signal::Owner(signal) => {
                let at = signal.message().recv_position();
                if self.offered.is_some_and(|offered| at < offered) {
                    return;
                }
                let owner = signal.args().ok().and_then(|args| owner(args.options));
                debug!(?owner, "the owner of the guest's clipboard");
                match owner {
                    Some(Owner::Us) => {}
                    Some(Owner::Application(mimes)) => report(GuestClipboard::Owns(mimes)),
                    None => warn!("Mutter told an owner of the clipboard in a way that is not known; ignored"),
                }
            }
            Signal::Transfer(signal) => match signal.args() {
                Ok(args) => report(GuestClipboard::Wants { mime: args.mime_type, serial: args.serial }),
                Err(error) => debug!(%error, "a SelectionTransfer without its arguments"),
            },
        }
    }
}

fn end(answer: zbus::Result<zbus::zvariant::OwnedFd>) -> Result<OwnedFd, String> {
    answer.map(OwnedFd::from).map_err(|error| error.to_string())
}

/// Who owns the guest's clipboard.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    /// The bridge, by this session.
    Us,
    /// Another application, or nobody.
    Application(Option<Mimes>),
}

/// What the options of SelectionOwnerChanged say; `None` when it makes no sense.
fn owner(mut options: HashMap<String, OwnedValue>) -> Option<Owner> {
    if options.get("session-is-owner").is_some_and(|value| matches!(**value, Value::Bool(true))) {
        return Some(Owner::Us);
    }
    let Some(mimes) = options.remove("mime-types") else { return Some(Owner::Application(None)) };
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
