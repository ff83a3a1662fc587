//! Owns the fake Mutter's clipboard: who owns it, the reads and transfers under way, and the errors that real ones give.
//! It never touches the bus: it says which signals are due.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};

use super::sessions::Refused;

/// Mutter's patience with a session that does not answer a SelectionTransfer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Writes what an application of the guest has into a pipe, on a thread of its own.
pub type Writer = Arc<dyn Fn(OwnedFd) + Send + Sync>;

/// Who owns the clipboard.
#[derive(Clone, Default)]
enum Owner {
    #[default]
    Nobody,
    /// An application: types, each with its writer.
    Application(Vec<(String, Writer)>),
    /// The session at this path, with these types.
    Session(String, Vec<String>),
}

/// The clipboard.
#[derive(Default)]
pub(crate) struct Clipboard {
    enabled: BTreeSet<String>,
    owner: Owner,
    serial: u32,
    /// SelectionTransfers without an answer, and who waits for each.
    asked: BTreeMap<u32, mpsc::Sender<OwnedFd>>,
    /// True while somebody writes for the last SelectionRead.
    reading: Option<Arc<AtomicBool>>,
}

/// A SelectionOwnerChanged: the session to be told, the types if there is an owner, and whether that is the session.
pub(crate) type Told = (String, Option<(Vec<String>, bool)>);

fn failed<T>(text: impl Into<String>) -> Result<T, Refused> {
    Err(("Failed", text.into()))
}

/// Whether this is a method of the clipboard.
pub(crate) fn has(member: &str) -> bool {
    ["EnableClipboard", "DisableClipboard", "SetSelection", "SelectionRead", "SelectionWrite", "SelectionWriteDone"]
        .contains(&member)
}

impl Clipboard {
    fn told(&self, session: &str) -> Told {
        let owner = match &self.owner {
            Owner::Nobody => None,
            Owner::Application(content) => Some((content.iter().map(|(mime, _)| mime.clone()).collect(), false)),
            Owner::Session(path, mimes) => Some((mimes.clone(), path == session)),
        };
        (session.to_owned(), owner)
    }

    fn own(&mut self, owner: Owner) -> Vec<Told> {
        self.owner = owner;
        self.enabled.iter().map(|session| self.told(session)).collect()
    }

    fn must_be_enabled(&self, session: &str) -> Result<(), Refused> {
        if self.enabled.contains(session) { Ok(()) } else { failed("Clipboard not enabled") }
    }

    /// EnableClipboard: the owner is told at once, if there is one.
    pub(crate) fn enable(&mut self, session: &str, mimes: Option<Vec<String>>) -> Result<Vec<Told>, Refused> {
        if self.enabled.contains(session) {
            return failed("Already enabled");
        }
        let told = match (mimes, &self.owner) {
            (Some(mimes), _) => self.own(Owner::Session(session.to_owned(), mimes)),
            (None, Owner::Nobody) => Vec::new(),
            (None, _) => vec![self.told(session)],
        };
        self.enabled.insert(session.to_owned());
        Ok(told)
    }

    /// SetSelection.
    pub(crate) fn set(&mut self, session: &str, mimes: Option<Vec<String>>) -> Result<Vec<Told>, Refused> {
        self.must_be_enabled(session)?;
        self.asked.clear();
        Ok(match mimes {
            Some(mimes) => self.own(Owner::Session(session.to_owned(), mimes)),
            None if matches!(&self.owner, Owner::Session(owner, _) if owner == session) => self.own(Owner::Nobody),
            None => Vec::new(),
        })
    }

    /// SelectionRead.
    pub(crate) fn read(&mut self, session: &str, mime: &str) -> Result<OwnedFd, Refused> {
        self.must_be_enabled(session)?;
        let content = match &self.owner {
            Owner::Nobody => return Err(("FileNotFound", "No selection owner available".into())),
            Owner::Session(owner, _) if owner == session => return failed("Tried to read own selection"),
            Owner::Session(..) => return failed("the fake knows one session"),
            Owner::Application(content) => content,
        };
        if self.reading.as_ref().is_some_and(|reading| reading.load(Ordering::SeqCst)) {
            return Err(("LimitsExceeded", "Tried to read in parallel".into()));
        }
        let (reader, into) = pipe()?;
        let writer = content.iter().find(|(known, _)| known == mime).map(|(_, writer)| Arc::clone(writer));
        let reading = Arc::new(AtomicBool::new(true));
        self.reading = Some(Arc::clone(&reading));
        thread::spawn(move || {
            // A type that nobody has is an empty pipe.
            if let Some(writer) = writer {
                writer(into);
            }
            reading.store(false, Ordering::SeqCst);
        });
        Ok(reader)
    }

    /// SelectionWrite.
    pub(crate) fn write(&mut self, session: &str, serial: u32) -> Result<OwnedFd, Refused> {
        self.must_be_enabled(session)?;
        if !matches!(&self.owner, Owner::Session(owner, _) if owner == session) {
            return failed("No current selection owned");
        }
        let Some(asker) = self.asked.remove(&serial) else {
            return failed(format!("Transfer serial {serial} doesn't match any transfer request"));
        };
        let (reader, writer) = pipe()?;
        // It may have lost its patience.
        let _ = asker.send(reader);
        Ok(writer)
    }

    /// SelectionWriteDone.
    pub(crate) fn done(&self, session: &str) -> Result<(), Refused> {
        self.must_be_enabled(session)
    }

    /// A session ended, and with it what it owned.
    pub(crate) fn end(&mut self, session: &str) -> Vec<Told> {
        self.enabled.remove(session);
        if !matches!(&self.owner, Owner::Session(owner, _) if owner == session) {
            return Vec::new();
        }
        self.asked.clear();
        self.own(Owner::Nobody)
    }

    /// An application copies something, or nobody owns the clipboard any more.
    pub(crate) fn copy(&mut self, content: Option<Vec<(String, Writer)>>) -> Vec<Told> {
        self.own(content.map_or(Owner::Nobody, Owner::Application))
    }

    /// An application pastes what a session owns: that session, the SelectionTransfer's serial, and where the pipe will come.
    pub(crate) fn paste(&mut self, mime: &str) -> Option<(String, u32, mpsc::Receiver<OwnedFd>)> {
        let Owner::Session(session, mimes) = &self.owner else { return None };
        if !mimes.iter().any(|known| known == mime) {
            return None;
        }
        self.serial += 1;
        let (asker, answer) = mpsc::channel();
        self.asked.insert(self.serial, asker);
        Some((session.clone(), self.serial, answer))
    }

    /// What a session owns the clipboard with.
    pub(crate) fn offered(&self) -> Option<Vec<String>> {
        match &self.owner {
            Owner::Session(_, mimes) => Some(mimes.clone()),
            _ => None,
        }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Refused> {
    pipe_with(PipeFlags::CLOEXEC).map_err(|errno| ("Failed", format!("Failed open pipe: {errno}")))
}
