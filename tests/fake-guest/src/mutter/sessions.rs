//! Owns the sessions: who made them, what is linked to what, and the rules of their order.
//! It never touches the bus nor PipeWire: it answers, and says what has to be done.

use std::collections::BTreeMap;

use super::options::Source;

/// An error as D-Bus has it: name without `org.freedesktop.DBus.Error.`, message.
pub(crate) type Refused = (&'static str, String);

fn failed<T>(message: &str) -> Result<T, Refused> {
    Err(("Failed", message.to_owned()))
}

#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) owner: String,
    pub(crate) id: String,
    pub(crate) started: bool,
}

#[derive(Debug)]
struct CastSession {
    owner: String,
    /// Path of the remote desktop session that starts and stops it.
    remote: Option<String>,
    started: bool,
}

#[derive(Debug)]
pub(crate) struct Stream {
    session: String,
    pub(crate) source: Source,
    pub(crate) mapping_id: String,
    pub(crate) linked: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    pub(crate) remotes: BTreeMap<String, Remote>,
    casts: BTreeMap<String, CastSession>,
    pub(crate) streams: BTreeMap<String, Stream>,
    made: u32,
}

/// What ended: paths of each kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) remotes: Vec<String>,
    pub(crate) casts: Vec<String>,
    pub(crate) streams: Vec<String>,
}

impl Sessions {
    fn next(&mut self) -> u32 {
        self.made += 1;
        self.made
    }

    /// Whether there is an object at this path.
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.remotes.contains_key(path) || self.casts.contains_key(path) || self.streams.contains_key(path)
    }

    /// The connection that may call an object's methods.
    pub(crate) fn owner(&self, path: &str) -> Option<&str> {
        let session = self.streams.get(path).map_or(path, |s| &s.session);
        let remote = self.remotes.get(session).map(|s| &s.owner);
        remote.or_else(|| self.casts.get(session).map(|s| &s.owner)).map(String::as_str)
    }

    pub(crate) fn create_remote(&mut self, owner: &str) -> String {
        let number = self.next();
        let path = format!("/org/gnome/Mutter/RemoteDesktop/Session/u{number}");
        let session =
            Remote { owner: owner.to_owned(), id: format!("fake-remote-desktop-session-{number}"), started: false };
        self.remotes.insert(path.clone(), session);
        path
    }

    /// `remote_id` is the SessionId property of the session to link with.
    pub(crate) fn create_cast(&mut self, owner: &str, remote_id: Option<&str>) -> Result<String, Refused> {
        let mut remote = None;
        if let Some(id) = remote_id {
            let found = self.remotes.iter().find(|(_, session)| session.id == id);
            let Some((path, session)) = found else {
                return failed("No remote desktop session found");
            };
            if session.owner != owner {
                return Err(("AccessDenied", "Permission denied".into()));
            }
            if self.casts.values().any(|c| c.remote.as_ref() == Some(path)) {
                return failed("Remote desktop session already have an associated screen cast session");
            }
            remote = Some(path.clone());
        }
        let path = format!("/org/gnome/Mutter/ScreenCast/Session/u{}", self.next());
        let session = CastSession { owner: owner.to_owned(), remote, started: false };
        self.casts.insert(path.clone(), session);
        Ok(path)
    }

    pub(crate) fn record(&mut self, session: &str, source: Source) -> Result<String, Refused> {
        let Some(linked) = self.casts.get(session).map(|s| s.remote.is_some()) else {
            return failed("No such session");
        };
        let number = self.next();
        let path = format!("/org/gnome/Mutter/ScreenCast/Stream/u{number}");
        let stream =
            Stream { session: session.to_owned(), source, mapping_id: format!("fake-mapping-{number}"), linked };
        self.streams.insert(path.clone(), stream);
        Ok(path)
    }

    /// Starts a remote desktop session, and gives the streams to start with it.
    pub(crate) fn start_remote(&mut self, path: &str) -> Result<Vec<String>, Refused> {
        match self.remotes.get_mut(path) {
            Some(session) if session.started => return failed("Session already started"),
            Some(session) => session.started = true,
            None => return failed("No such session"),
        }
        let linked = |session: &&mut CastSession| session.remote.as_deref() == Some(path);
        let Some(cast) = self.casts.values_mut().find(linked) else {
            return Ok(Vec::new());
        };
        cast.started = true;
        let cast = self.cast_of(path).unwrap_or_default();
        Ok(self.streams_of(&cast))
    }

    /// Starts a screen cast session of its own, and gives its streams.
    pub(crate) fn start_cast(&mut self, path: &str) -> Result<Vec<String>, Refused> {
        match self.casts.get_mut(path) {
            Some(session) if session.remote.is_some() => {
                return failed("Must be started from remote desktop session");
            }
            Some(session) if session.started => return failed("Session already started"),
            Some(session) => session.started = true,
            None => return failed("No such session"),
        }
        Ok(self.streams_of(path))
    }

    /// A linked screen cast session may not be stopped by itself either.
    pub(crate) fn may_stop_cast(&self, path: &str) -> Result<(), Refused> {
        match self.casts.get(path) {
            Some(session) if session.remote.is_some() => failed("Must be stopped from remote desktop session"),
            Some(session) if !session.started => failed("Session not started"),
            Some(_) => Ok(()),
            None => failed("No such session"),
        }
    }

    /// Whether input may be sent.
    pub(crate) fn may_notify(&self, path: &str) -> Result<(), Refused> {
        match self.remotes.get(path) {
            Some(session) if session.started => Ok(()),
            _ => failed("Session not started"),
        }
    }

    /// Whether a stream named in an input call belongs to the session.
    pub(crate) fn may_point_at(&self, path: &str, stream: &str) -> Result<(), Refused> {
        let cast = self.cast_of(path);
        match self.streams.get(stream) {
            Some(known) if Some(&known.session) == cast.as_ref() => Ok(()),
            _ => failed("Unknown stream"),
        }
    }

    fn cast_of(&self, remote: &str) -> Option<String> {
        let mut casts = self.casts.iter();
        casts.find(|(_, session)| session.remote.as_deref() == Some(remote)).map(|(path, _)| path.clone())
    }

    fn streams_of(&self, cast: &str) -> Vec<String> {
        let streams = self.streams.iter();
        let of_cast = streams.filter(|(_, stream)| stream.session == cast);
        of_cast.map(|(path, _)| path.clone()).collect()
    }

    /// Ends the session at `path`, and what is linked to it.
    pub(crate) fn end(&mut self, path: &str) -> Ended {
        let mut ended = Ended::default();
        let cast = match self.casts.get(path) {
            Some(session) => {
                ended.remotes.extend(session.remote.clone());
                Some(path.to_owned())
            }
            None => {
                ended.remotes.push(path.to_owned());
                self.cast_of(path)
            }
        };
        if let Some(cast) = cast {
            ended.streams = self.streams_of(&cast);
            self.casts.remove(&cast);
            ended.casts.push(cast);
        }
        ended.remotes.retain(|path| self.remotes.remove(path).is_some());
        for stream in &ended.streams {
            self.streams.remove(stream);
        }
        ended
    }

    /// The screen cast session of a stream.
    pub(crate) fn session_of(&self, stream: &str) -> Option<String> {
        self.streams.get(stream).map(|s| s.session.clone())
    }

    /// Sessions of a connection that left, remote ones first.
    pub(crate) fn owned_by(&self, owner: &str) -> Vec<String> {
        let remotes = self.remotes.iter().filter(|(_, s)| s.owner == owner);
        let casts = self.casts.iter().filter(|(_, s)| s.owner == owner);
        let remotes = remotes.map(|(path, _)| path.clone());
        remotes.chain(casts.map(|(path, _)| path.clone())).collect()
    }

    /// Every session, remote ones first.
    pub(crate) fn all(&self) -> Vec<String> {
        self.remotes.keys().chain(self.casts.keys()).cloned().collect()
    }

    /// Paths of the screen cast sessions.
    pub(crate) fn cast_paths(&self) -> Vec<String> {
        self.casts.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linked_cast_is_started_by_its_remote_session_only() {
        let mut sessions = Sessions::default();
        let remote = sessions.create_remote(":1.1");
        assert!(sessions.create_cast(":1.1", Some(&remote)).is_err(), "a path is no id");
        let id = sessions.remotes[&remote].id.clone();
        let cast = sessions.create_cast(":1.1", Some(&id)).unwrap();
        let stream = sessions.record(&cast, Source::Virtual).unwrap();
        assert!(sessions.create_cast(":1.1", Some(&id)).is_err(), "only one");
        assert!(sessions.start_cast(&cast).is_err());
        assert!(sessions.may_notify(&remote).is_err());
        assert_eq!(sessions.start_remote(&remote), Ok(vec![stream.clone()]));
        assert!(sessions.may_point_at(&remote, &stream).is_ok());
        let ended = sessions.end(&remote);
        assert_eq!((ended.casts, ended.streams), (vec![cast], vec![stream]));
        assert!(sessions.all().is_empty());
    }
}
