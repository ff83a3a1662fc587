//! Getting in: the socket, a host that answers, and the globals.
//! The only round trips of the program are here, bounded.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use smithay_client_toolkit::compositor::CompositorState;
use smithay_client_toolkit::output::OutputState;
use smithay_client_toolkit::registry::RegistryState;
use smithay_client_toolkit::shell::xdg::XdgShell;
use smithay_client_toolkit::shm::Shm;
use tracing::{debug, info};
use wayland_client::globals::GlobalList;
use wayland_client::{Connection, EventQueue, Proxy, QueueHandle};
use wayland_protocols::wp::linux_dmabuf::zv1::client::zwp_linux_dmabuf_v1::ZwpLinuxDmabufV1;

use crate::error::Error;
use crate::host::answer::{self, NoAnswer, PATIENCE, Stop};
use crate::host::buffers::Buffers;
use crate::host::clipboard::Clipboard;
use crate::host::cursor::Cursors;
use crate::host::feedback::{Feedback, Scope};
use crate::host::overlay::Overlay;
use crate::host::sync::Sync;
use crate::host::timing::{Presentation, Timing};
use crate::host::{Extras, Host, Quiet, keyboard};
use crate::options::{ClipboardFlow, Options};

/// What nothing works without.
const REQUIRED: [&str; 3] = ["wl_compositor", "wl_shm", "xdg_wm_base"];

/// Where the host's socket is.
///
/// # Errors
///
/// When neither the flag nor the environment says.
pub fn socket_path(host: Option<&Path>, runtime_dir: Option<PathBuf>) -> Result<PathBuf, Error> {
    let Some(host) = host else {
        return Err(Error::Host("no host: set WAYLAND_DISPLAY, or name its socket with --host".into()));
    };
    if host.is_absolute() {
        return Ok(host.to_owned());
    }
    match runtime_dir {
        Some(dir) => Ok(dir.join(host)),
        None => Err(Error::Host(format!(
            "XDG_RUNTIME_DIR is not set, so the host {} cannot be found; set it, or give --host an absolute path",
            host.display()
        ))),
    }
}

impl Host {
    /// Connects, checks that the host answers and has what is needed, binds everything and waits until
    /// the host has told all about it. `None` when the program is asked to end meanwhile.
    ///
    /// # Errors
    ///
    /// One line about what the host lacks, or why it cannot be reached.
    pub fn connect(options: &Options, stop: &mut impl Stop) -> Result<Option<(Self, EventQueue<Self>)>, Error> {
        match Self::reach(options, stop) {
            Ok(reached) => Ok(Some(reached)),
            Err(Unreached::Stopped) => Ok(None),
            Err(Unreached::Failed(error)) => Err(error),
        }
    }

    fn reach(options: &Options, stop: &mut impl Stop) -> Result<(Self, EventQueue<Self>), Unreached> {
        let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let path = socket_path(options.host.as_deref(), runtime_dir)?;
        let gone = |why: &str| Error::Host(format!("the host at {} {why}", path.display()));
        let silent = || gone(&format!("did not answer within {} s; is it frozen?", PATIENCE.as_secs()));
        let unanswered = |why: NoAnswer| Unreached::new(why, silent, gone);
        let socket = answer::connect(&path, stop).map_err(unanswered)?.map_err(|error| {
            Error::Host(format!(
                "no host at {} ({error}); start the compositor first, or name its socket with --host",
                path.display()
            ))
        })?;
        let connection = Connection::from_socket(socket).map_err(|error| gone(&format!("cannot be used: {error}")))?;
        answer::round_trip(&connection, stop).map_err(|why| {
            Unreached::new(why, silent, |error| match connection.protocol_error() {
                Some(_) => gone(&format!("does not speak Wayland as it should ({error}); is it the right socket?")),
                None => gone(&format!("closed the connection at once ({error}); is it a compositor?")),
            })
        })?;

        let (globals, mut events) = answer::globals(&connection, stop).map_err(unanswered)?;
        check_required(&globals).map_err(|why| gone(&why))?;
        let queue = events.handle();
        let mut host = Self::bind(&connection, &globals, &queue, options)
            .map_err(|error| gone(&format!("would not bind its globals: {error}")))?;
        // The first brings what globals say of themselves, the second what those objects say, seats included.
        for _ in 0..2 {
            answer::round_trip(&connection, stop)
                .map_err(|why| Unreached::new(why, silent, |error| Error::Host(host.lost(&error))))?;
            events.dispatch_pending(&mut host).map_err(|error| Error::Host(host.lost(&error)))?;
        }
        info!(socket = %path.display(), dmabuf_pairs = host.feedback.formats().len(), "connected to the host");
        Ok((host, events))
    }

    fn bind(
        connection: &Connection,
        globals: &GlobalList,
        queue: &QueueHandle<Self>,
        options: &Options,
    ) -> Result<Self, wayland_client::globals::BindError> {
        let extras = Extras {
            dmabuf: globals.bind(queue, 3..=5, Quiet).ok(),
            viewporter: globals.bind(queue, 1..=1, Quiet).ok(),
            fractional_scale: globals.bind(queue, 1..=1, Quiet).ok(),
            relative_pointer: globals.bind(queue, 1..=1, Quiet).ok(),
            constraints: globals.bind(queue, 1..=1, Quiet).ok(),
        };
        let presentation = options.stats.and_then(|_| globals.bind(queue, 1..=2, Presentation).ok());
        debug!(?extras, ?presentation, "optional globals");
        // Version 4 and up say nothing by themselves: feedback has to be asked for.
        if let Some(dmabuf) = extras.dmabuf.as_ref().filter(|dmabuf: &&ZwpLinuxDmabufV1| dmabuf.version() >= 4) {
            dmabuf.get_default_feedback(queue, Scope::Default);
        }
        let mut host = Self {
            connection: connection.clone(),
            queue: queue.clone(),
            registry: RegistryState::new(globals),
            outputs: OutputState::new(globals, queue),
            compositor: CompositorState::bind(globals, queue)?,
            xdg: XdgShell::bind(globals, queue)?,
            shm: Shm::bind(globals, queue)?,
            extras,
            feedback: Feedback::default(),
            timing: Timing::new(queue, presentation),
            buffers: Buffers::default(),
            sync: Sync::new(globals.bind(queue, 1..=1, Quiet).ok()),
            window: None,
            seats: Vec::new(),
            clipboard: Clipboard::bind(globals, queue, options.clipboard != ClipboardFlow::Off),
            cursors: Cursors::default(),
            overlay: Overlay::new(globals.bind(queue, 1..=1, Quiet).ok()),
            inhibit: keyboard::inhibit_manager(globals, queue, options.grab),
            bad_keymap: None,
            lock_wanted: false,
            // More than come at once, so that frames never make it grow.
            events: VecDeque::with_capacity(64),
            wants_fullscreen: options.windowed.is_none(),
            windowed: options.windowed.map(|size| (size.width, size.height)),
            fallback: options.fallback,
        };
        let seats: Vec<(u32, u32)> =
            host.registry.globals_by_interface("wl_seat").map(|global| (global.name, global.version)).collect();
        for (name, version) in seats {
            host.add_seat(name, version);
        }
        Ok(host)
    }
}

/// Why there is no connection.
enum Unreached {
    /// The program is to end.
    Stopped,
    Failed(Error),
}

impl Unreached {
    fn new(why: NoAnswer, silent: impl FnOnce() -> Error, closed: impl FnOnce(&str) -> Error) -> Self {
        match why {
            NoAnswer::Stopped => Self::Stopped,
            NoAnswer::Silent => Self::Failed(silent()),
            NoAnswer::Closed(error) => Self::Failed(closed(&error)),
        }
    }
}

impl From<Error> for Unreached {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

fn check_required(globals: &GlobalList) -> Result<(), String> {
    let missing = globals
        .contents()
        .with_list(|list| REQUIRED.into_iter().find(|name| !list.iter().any(|global| global.interface == *name)));
    match missing {
        None => Ok(()),
        Some(name) => Err(format!("has no {name}, which every desktop compositor has; is it the right socket?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_and_a_path_is_not() {
        let dir = || Some(PathBuf::from("/run/user/1000"));
        let path = |host: &str| socket_path(Some(Path::new(host)), dir()).unwrap();
        assert_eq!(path("wayland-1"), Path::new("/run/user/1000/wayland-1"));
        assert_eq!(path("/tmp/w"), Path::new("/tmp/w"));
        assert_eq!(socket_path(None, dir()).unwrap_err().exit_code(), 3);
        assert_eq!(socket_path(Some(Path::new("wayland-1")), None).unwrap_err().exit_code(), 3);
    }
}
