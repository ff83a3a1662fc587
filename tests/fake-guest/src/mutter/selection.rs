//! The clipboard on the bus: its methods and signals, and what applications of the guest do with it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use zbus::Message;
use zbus::zvariant::{OwnedValue, Value};

use super::clipboard::{PATIENCE, Told, Writer};
use super::notify::args;
use super::service::{Answer, Service, lock};
use super::sessions::Refused;

type Options = HashMap<String, OwnedValue>;

const SESSION: &str = "org.gnome.Mutter.RemoteDesktop.Session";

/// The `mime-types` of options; `None` when they are not given, or not an array of strings.
fn mimes(options: &Options) -> Option<Vec<String>> {
    options.get("mime-types").and_then(|value| value.try_clone().ok()).and_then(|value| value.try_into().ok())
}

impl Service {
    /// A method of the clipboard, called on a session.
    pub(super) fn clipboard_call(&self, session: &str, member: &str, message: &Message) -> Result<Answer, Refused> {
        let mut clipboard = lock(&self.clipboard);
        // Signals go out before the answer, as the real ones do.
        match member {
            "EnableClipboard" => self.tell_owner(clipboard.enable(session, mimes(&args::<Options>(message)?))?),
            "SetSelection" => self.tell_owner(clipboard.set(session, mimes(&args::<Options>(message)?))?),
            "SelectionRead" => return Ok(Answer::Fd(clipboard.read(session, &args::<String>(message)?)?)),
            "SelectionWrite" => return Ok(Answer::Fd(clipboard.write(session, args::<u32>(message)?)?)),
            "SelectionWriteDone" => {
                let (serial, success) = args::<(u32, bool)>(message)?;
                clipboard.done(session)?;
                self.watch.update(|s| s.written.push((serial, success)));
            }
            _ => {}
        }
        let offered = clipboard.offered();
        self.watch.update(|s| s.clipboard = offered);
        Ok(Answer::Nothing)
    }

    /// What a session that ended owned is nobody's.
    pub(super) fn clipboard_end(&self, session: &str) {
        let mut clipboard = lock(&self.clipboard);
        self.tell_owner(clipboard.end(session));
        let offered = clipboard.offered();
        self.watch.update(|s| s.clipboard = offered);
    }

    pub(super) fn copy(&self, content: Option<Vec<(String, Writer)>>) {
        let _turn = lock(&self.turn);
        let mut clipboard = lock(&self.clipboard);
        self.tell_owner(clipboard.copy(content));
        self.watch.update(|s| s.clipboard = None);
    }

    pub(super) fn paste(&self, mime: &str) -> Result<OwnedFd, String> {
        let asked = lock(&self.clipboard).paste(mime);
        let Some((session, serial, answer)) = asked else { return Err(format!("no session offers {mime}")) };
        let _ = self.connection.emit_signal(None::<&str>, &*session, SESSION, "SelectionTransfer", &(mime, serial));
        answer.recv_timeout(PATIENCE).map_err(|_| "the transfer was cancelled".to_owned())
    }

    fn tell_owner(&self, told: Vec<Told>) {
        for (session, owner) in told {
            let mut options = HashMap::<&str, Value<'_>>::new();
            if let Some((mimes, is_session)) = owner {
                // A structure around the list, as the real one has it.
                options.insert("mime-types", Value::from((mimes,)));
                options.insert("session-is-owner", Value::Bool(is_session));
            }
            let signal = "SelectionOwnerChanged";
            let _ = self.connection.emit_signal(None::<&str>, &*session, SESSION, signal, &(options,));
        }
    }
}
