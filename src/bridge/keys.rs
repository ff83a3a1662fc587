//! Whose keyboard layout the guest has, and how the lock keys of both sides meet.

use std::rc::Rc;
use std::time::Instant;

use tracing::info;

use crate::bridge::Bridge;
use crate::error::Error;
use crate::guest::keymaps::Wanted;
use crate::input::keymap::Keymap;
use crate::input::locks::Locks;
use crate::options::{KeymapOwner, Options};

/// What `--keymap` and `--layout` come to.
enum Policy {
    /// The guest's own layout is left alone.
    Guest,
    /// The host's keymap and group.
    Host,
    /// That of these names.
    Named(Wanted),
}

/// The layout that the guest is to have.
pub(super) struct Keys {
    policy: Policy,
    /// The host's, as last heard.
    host: Option<Rc<Keymap>>,
    group: u32,
}

impl Keys {
    /// What the options ask for.
    ///
    /// # Errors
    ///
    /// Layouts that this system does not know.
    pub(super) fn new(options: &Options) -> Result<Self, Error> {
        let policy = match (&options.layout, options.keymap) {
            (Some(layouts), _) => {
                let keymap = Keymap::of_layouts(layouts.as_slice()).map_err(|_| {
                    Error::Usage(format!(
                        "--layout {layouts}: there is no such keyboard layout here; /usr/share/X11/xkb/rules/evdev.lst (package xkb-data) lists them"
                    ))
                })?;
                Policy::Named(Wanted { keymap: Rc::new(keymap), names: Some(layouts.clone()), group: 0 })
            }
            (None, KeymapOwner::Guest) => Policy::Guest,
            (None, KeymapOwner::Host) => Policy::Host,
        };
        Ok(Self { policy, host: None, group: 0 })
    }

    fn wanted(&self) -> Option<Wanted> {
        match &self.policy {
            Policy::Guest => None,
            Policy::Host => Some(Wanted { keymap: Rc::clone(self.host.as_ref()?), names: None, group: self.group }),
            Policy::Named(wanted) => Some(wanted.clone()),
        }
    }
}

impl Bridge {
    /// The host has another keymap; its group is told with the next modifiers.
    pub(super) fn host_keymap(&mut self, keymap: Rc<Keymap>) {
        self.keys.host = Some(keymap);
        if matches!(self.keys.policy, Policy::Host) {
            self.set_guest_layout();
        }
    }

    /// The host's layout has become this one of its keymap. Unless the guest has that keymap it means nothing to it:
    /// Wolf says 0 with every modifier, whatever the guest is set to.
    pub(super) fn host_group(&mut self, group: u32) {
        self.keys.group = group;
        if !matches!(self.keys.policy, Policy::Host) || self.input.set_group(group) {
            return;
        }
        if let Some(keymaps) = self.guest.session().and_then(|session| session.keymaps.as_ref()) {
            keymaps.set_group(group);
        }
    }

    /// Gives the session's guest the layout that it is to have.
    pub(super) fn set_guest_layout(&mut self) {
        if let (Some(wanted), Some(session)) = (self.keys.wanted(), self.guest.session()) {
            if self.input.set_layout(&wanted.keymap, wanted.group) {
                return;
            }
            let Some(keymaps) = &session.keymaps else {
                return info!("this guest takes no keyboard layout; it keeps its own");
            };
            // Before: the calls of the session's task come after.
            self.input.layout_asked(Instant::now());
            keymaps.set(wanted);
        }
    }

    /// The session's guest has taken the layout, or refused it.
    pub(super) fn layout_answered(&mut self, number: u64) {
        if self.guest.is_current(number) {
            self.input.layout_answered(Instant::now());
        }
    }

    /// How the session's guest says its lock keys are.
    pub(super) fn guest_locks(&mut self, number: u64, locks: Locks) {
        if self.guest.is_current(number) {
            self.input.guest_locks(locks);
        }
    }
}
