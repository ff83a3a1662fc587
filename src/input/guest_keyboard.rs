//! What an EIS server tells of its keyboard besides the keys it takes: the keymap, and how its lock keys are.
//! Neither changes what is sent; both are for bringing lock keys in line.

use reis::ei::keyboard::KeymapType;
use reis::event::{Device, KeyboardModifiers};
use tracing::{debug, warn};

use crate::input::keymap::{Keymap, LockReader};
use crate::input::locks::{LOCKS, Locks};

/// What is known of the guest's keyboard.
#[derive(Default)]
pub struct GuestKeyboard {
    /// Of the keymap that modifiers are told in; `None` without one that can be used.
    reader: Option<LockReader>,
    /// Reported and not yet asked for.
    locks: Option<Locks>,
    /// It has ever told modifiers, as Mutter does from 49 on.
    tells: bool,
}

impl GuestKeyboard {
    /// A keyboard has come, with its keymap if the server told one.
    pub fn added(&mut self, device: &Device) {
        self.reader = None;
        let Some(keymap) = device.keymap().filter(|keymap| keymap.type_ == KeymapType::Xkb) else { return };
        let read = match keymap.fd.try_clone() {
            Ok(fd) => Keymap::read(fd, keymap.size).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok(keymap) => {
                debug!(?keymap, "the guest's keyboard");
                self.reader = Some(keymap.lock_reader());
            }
            Err(why) => warn!("the guest's keymap cannot be used ({why}); its lock keys stay as they are"),
        }
    }

    /// The modifiers of the keyboard have changed.
    pub fn modifiers(&mut self, modifiers: &KeyboardModifiers) {
        self.tells = true;
        if let Some(reader) = &mut self.reader {
            let locks = reader.read(modifiers.depressed, modifiers.latched, modifiers.locked);
            self.locks = Some(locks);
        }
    }

    /// What was reported since this was last called.
    pub fn take_locks(&mut self) -> Option<Locks> {
        self.locks.take()
    }

    /// Whether the server tells of modifiers by itself.
    pub fn tells_locks(&self) -> bool {
        self.tells
    }

    /// The evdev codes of its lock keys; `None` without a keymap.
    pub fn lock_keys(&self) -> Option<[Option<u32>; LOCKS.len()]> {
        self.reader.as_ref().map(LockReader::keys)
    }
}
