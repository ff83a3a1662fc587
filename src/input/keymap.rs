//! XKB keymaps: read from whoever hands one over, compiled, and asked about. Both sides' keymaps are only looked
//! at: keys travel as evdev codes whatever they mean. Bad ones cost a line in the log, never more.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use thiserror::Error;
use xkbcommon::xkb;

use crate::input::layouts::Layout;
use crate::input::locks::{LOCKS, Lock, Locks};

/// No keymap is larger; those of four layouts have about 100 kB.
const LARGEST: u32 = 1 << 20;

/// What XKB adds to evdev's codes.
const EVDEV: u32 = 8;

/// Why a keymap cannot be used.
#[derive(Debug, Error)]
pub enum KeymapError {
    /// Its size makes no sense.
    #[error("it says that it has {0} bytes")]
    Size(u32),
    /// The descriptor gives less than was said, or nothing.
    #[error("its {size} bytes cannot be read: {why}")]
    Read {
        /// The size that was told.
        size: u32,
        /// What reading gave.
        why: std::io::Error,
    },
    /// It is no text.
    #[error("it is no text")]
    NoText,
    /// xkbcommon takes it for none.
    #[error("it does not compile")]
    Invalid,
}

/// A keymap that compiles.
pub struct Keymap {
    text: String,
    compiled: xkb::Keymap,
}

impl std::fmt::Debug for Keymap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keymap").field(&self.groups().collect::<Vec<_>>()).finish()
    }
}

impl PartialEq for Keymap {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Keymap {
    /// Reads the keymap of this size in bytes, its closing NUL included, from a descriptor of which anything may be
    /// wrong. It is read, not mapped: a file that shrinks meanwhile is an error then, not a signal.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(fd: OwnedFd, size: u32) -> Result<Self, KeymapError> {
        if !(2..=LARGEST).contains(&size) {
            return Err(KeymapError::Size(size));
        }
        let mut bytes = vec![0; size as usize];
        // At an offset: the file's own position is shared with whoever else has it. Pipes and sockets refuse this.
        File::from(fd).read_exact_at(&mut bytes, 0).map_err(|why| KeymapError::Read { size, why })?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        Self::compile(String::from_utf8(bytes).map_err(|_| KeymapError::NoText)?)
    }

    /// Compiles a keymap in XKB's text format 1.
    ///
    /// # Errors
    ///
    /// When that fails.
    pub fn compile(text: String) -> Result<Self, KeymapError> {
        if text.contains('\0') {
            return Err(KeymapError::NoText);
        }
        let (format, flags) = (xkb::KEYMAP_FORMAT_TEXT_V1, xkb::KEYMAP_COMPILE_NO_FLAGS);
        let compiled = xkb::Keymap::new_from_string(&context(), text.clone(), format, flags);
        Ok(Self { text, compiled: compiled.ok_or(KeymapError::Invalid)? })
    }

    /// The keymap that a PC keyboard has with these layouts, from the XKB data of this system.
    ///
    /// # Errors
    ///
    /// When there is no such layout, or no XKB data.
    pub fn of_layouts(layouts: &[Layout]) -> Result<Self, KeymapError> {
        let join = |part: fn(&Layout) -> &str| layouts.iter().map(part).collect::<Vec<_>>().join(",");
        let (names, variants) = (join(|it| &it.name), join(|it| &it.variant));
        Self::of_names(context(), "evdev", "pc105", &names, &variants)
    }

    /// The keymap that `XKB_DEFAULT_LAYOUT` and its like name, or an American keyboard's.
    ///
    /// # Errors
    ///
    /// As [`of_layouts`](Self::of_layouts).
    pub fn of_environment() -> Result<Self, KeymapError> {
        let mut context = xkb::Context::new(xkb::CONTEXT_NO_DEFAULT_INCLUDES);
        context.set_log_level(xkb::LogLevel::Critical);
        Self::of_names(context, "", "", "", "")
    }

    fn of_names(
        mut context: xkb::Context,
        rules: &str,
        model: &str,
        layouts: &str,
        variants: &str,
    ) -> Result<Self, KeymapError> {
        if !context.include_path_append_default() {
            return Err(KeymapError::Invalid);
        }
        let flags = xkb::KEYMAP_COMPILE_NO_FLAGS;
        let compiled = xkb::Keymap::new_from_names(&context, rules, model, layouts, variants, None, flags);
        let compiled = compiled.ok_or(KeymapError::Invalid)?;
        Ok(Self { text: compiled.get_as_string(xkb::KEYMAP_FORMAT_TEXT_V1), compiled })
    }

    /// It in XKB's text format 1, as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names of its groups, such as "German (no dead keys)".
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.compiled.layouts()
    }

    /// On how many of the keys that type text this group and that of another keymap differ.
    pub fn differences(&self, group: u32, other: &Self, its_group: u32) -> usize {
        let differs = |code: &u32| {
            let key = xkb::Keycode::new(code + EVDEV);
            // Four levels: plain, Shift, AltGr and both.
            (0..4).any(|level| {
                self.compiled.key_get_syms_by_level(key, group, level)
                    != other.compiled.key_get_syms_by_level(key, its_group, level)
            })
        };
        // The digits' row to the right Shift, and the key between the left Shift and Z.
        (2..=13).chain(16..=27).chain(30..=41).chain(43..=53).chain([86]).filter(differs).count()
    }

    /// A keyboard of this keymap with nothing down, in its first group.
    pub fn typing(&self) -> Typing {
        Typing(xkb::State::new(&self.compiled))
    }

    /// Something that reads lock keys off the modifiers that go with this keymap.
    pub fn lock_reader(&self) -> LockReader {
        let led = |lock: Lock| {
            let index = self.compiled.led_get_index(lock.led());
            (index < self.compiled.num_leds()).then_some(index)
        };
        let key = |lock: Lock| {
            (0..=crate::input::held::MAX_CODE).find(|code| {
                let symbols = self.compiled.key_get_syms_by_level(xkb::Keycode::new(code + EVDEV), 0, 0);
                symbols.iter().any(|symbol| symbol.raw() == lock.keysym())
            })
        };
        LockReader { state: xkb::State::new(&self.compiled), leds: LOCKS.map(led), keys: LOCKS.map(key) }
    }
}

/// Tells which locks are on from masks of modifiers.
pub struct LockReader {
    state: xkb::State,
    /// By their lights, since which modifier a lock is differs from keymap to keymap.
    leds: [Option<xkb::LedIndex>; LOCKS.len()],
    keys: [Option<u32>; LOCKS.len()],
}

impl LockReader {
    /// What these masks mean. Nothing is allocated.
    pub fn read(&mut self, depressed: u32, latched: u32, locked: u32) -> Locks {
        self.state.update_mask(depressed, latched, locked, 0, 0, 0);
        Locks(self.leds.map(|led| led.map(|led| self.state.led_index_is_active(led))))
    }

    /// The evdev codes of the keys that lock, where there are any.
    pub fn keys(&self) -> [Option<u32>; LOCKS.len()] {
        self.keys
    }
}

/// What keys make of modifiers, for a keyboard that has to tell both.
pub struct Typing(xkb::State);

impl Typing {
    /// A key goes down or up, by its evdev code; whether that changed what [`modifiers`](Self::modifiers) says.
    pub fn key(&mut self, code: u32, pressed: bool) -> bool {
        let before = self.modifiers();
        let direction = if pressed { xkb::KeyDirection::Down } else { xkb::KeyDirection::Up };
        self.0.update_key(xkb::Keycode::new(code + EVDEV), direction);
        before != self.modifiers()
    }

    /// Has this group, from 0, until a key says otherwise.
    pub fn set_group(&mut self, group: u32) {
        let [depressed, latched, locked, _] = self.modifiers();
        self.0.update_mask(depressed, latched, locked, 0, 0, group);
    }

    /// The masks of depressed, latched and locked modifiers, and the effective group, as wl_keyboard tells them.
    pub fn modifiers(&self) -> [u32; 4] {
        [
            self.0.serialize_mods(xkb::STATE_MODS_DEPRESSED),
            self.0.serialize_mods(xkb::STATE_MODS_LATCHED),
            self.0.serialize_mods(xkb::STATE_MODS_LOCKED),
            self.0.serialize_layout(xkb::STATE_LAYOUT_EFFECTIVE),
        ]
    }
}

/// A context that looks nothing up in files or the environment, and leaves stderr alone.
fn context() -> xkb::Context {
    let mut context = xkb::Context::new(xkb::CONTEXT_NO_DEFAULT_INCLUDES | xkb::CONTEXT_NO_ENVIRONMENT_NAMES);
    context.set_log_level(xkb::LogLevel::Critical);
    context
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn layout(name: &str, variant: &str) -> Keymap {
        Keymap::of_layouts(&[Layout { name: name.into(), variant: variant.into() }]).unwrap()
    }

    fn file(bytes: &[u8]) -> OwnedFd {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.into()
    }

    #[test]
    fn a_keymap_is_read_with_or_without_its_nul() {
        let us = layout("us", "");
        let text = us.text().as_bytes();
        let with_nul = [text, b"\0rubbish"].concat();
        assert_eq!(Keymap::read(file(text), text.len() as u32).unwrap(), us);
        assert_eq!(Keymap::read(file(&with_nul), text.len() as u32 + 1).unwrap(), us);
        assert_eq!(Keymap::read(file(&with_nul), with_nul.len() as u32).unwrap(), us);
    }

    #[test]
    fn what_is_no_keymap_is_told_and_nothing_else() {
        let us = layout("us", "");
        let text = us.text().as_bytes();
        let len = text.len() as u32;
        assert!(matches!(Keymap::read(file(text), 0), Err(KeymapError::Size(0))));
        assert!(matches!(Keymap::read(file(text), u32::MAX), Err(KeymapError::Size(_))));
        assert!(matches!(Keymap::read(file(text), len + 1), Err(KeymapError::Read { .. })));
        assert!(matches!(Keymap::read(file(text), len / 2), Err(KeymapError::Invalid)));
        assert!(matches!(Keymap::read(file(b"\xff\xfe\0"), 3), Err(KeymapError::NoText)));
        assert!(matches!(Keymap::read(file(b"\0\0\0"), 3), Err(KeymapError::Invalid)));
        assert!(matches!(Keymap::compile("xkb_keymap { };\0".into()), Err(KeymapError::NoText)));
        // Nothing of this machine is looked up for what somebody else says.
        let includes = "xkb_keymap { xkb_keycodes { include \"evdev\" }; xkb_types { include \"complete\" }; \
                        xkb_compat { include \"complete\" }; xkb_symbols { include \"pc+us\" }; };";
        assert!(matches!(Keymap::compile(includes.into()), Err(KeymapError::Invalid)));
        let (pipe, _writer) = rustix::pipe::pipe().unwrap();
        assert!(matches!(Keymap::read(pipe, 100), Err(KeymapError::Read { .. })));
        let zeros = File::open("/dev/zero").unwrap();
        assert!(Keymap::read(zeros.into(), LARGEST).is_err());
        assert!(Keymap::of_layouts(&[Layout { name: "nowhere".into(), variant: String::new() }]).is_err());
    }

    #[test]
    fn locks_are_read_off_the_masks_whatever_modifiers_they_are() {
        let mut us = layout("us", "").lock_reader();
        assert_eq!(us.keys(), [Some(58), Some(69), Some(70)]);
        assert_eq!(us.read(0, 0, 0), Locks([Some(false), Some(false), Some(false)]));
        assert_eq!(us.read(0, 0, 2).get(Lock::Caps), Some(true));
        // Held is not locked.
        assert_eq!(us.read(1, 0, 0).get(Lock::Caps), Some(false));
        assert_eq!(us.read(0, 0, 16), Locks([Some(false), Some(true), Some(false)]));
    }

    #[test]
    fn a_keyboard_keeps_its_modifiers() {
        let mut typing = Keymap::of_layouts(&[]).unwrap().typing();
        assert_eq!(typing.modifiers(), [0; 4]);
        assert!(!typing.key(30, true) && !typing.key(30, false), "a letter modifies nothing");
        assert!(typing.key(42, true));
        assert_eq!(typing.modifiers(), [1, 0, 0, 0], "Shift");
        assert!(!typing.key(54, true), "both Shifts");
        assert!(!typing.key(42, false));
        assert!(typing.key(54, false));
        assert!(typing.key(58, true) && typing.key(58, false));
        assert_eq!(typing.modifiers(), [0, 0, 2, 0], "Caps Lock");
    }

    #[test]
    fn a_keyboard_has_the_group_it_is_given_and_keeps_what_is_down() {
        let layouts = ["us", "de"].map(|name| Layout { name: name.into(), variant: String::new() });
        let mut typing = Keymap::of_layouts(&layouts).unwrap().typing();
        typing.key(42, true);
        typing.set_group(1);
        assert_eq!(typing.modifiers(), [1, 0, 0, 1]);
        typing.key(42, false);
        assert_eq!(typing.modifiers(), [0, 0, 0, 1]);
    }

    #[test]
    fn differences_are_counted_by_key() {
        let (us, de, dead) = (layout("us", ""), layout("de", ""), layout("de", "nodeadkeys"));
        assert_eq!(us.differences(0, &layout("us", ""), 0), 0);
        assert!(us.differences(0, &de, 0) > 12);
        let few = de.differences(0, &dead, 0);
        assert!((1..12).contains(&few), "{few}");
        assert_eq!(de.groups().collect::<Vec<_>>(), ["German"]);
    }
}
