//! Owns a small XKB keymap, complete in itself, for machines without xkeyboard-config.
//! It never grows to a whole layout: a few letters, digits and the usual modifiers are enough to be told apart.

use std::{fs::File, io, io::Write, os::fd::OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// A keymap of the evdev keys a test presses, with Shift, Control, Alt, Caps Lock and Num Lock.
pub const US: &str = r#"xkb_keymap {
xkb_keycodes "fake" {
  minimum = 8; maximum = 255;
  <ESC> = 9; <AE01> = 10; <AE02> = 11; <AE03> = 12; <BKSP> = 22; <TAB> = 23;
  <AD01> = 24; <AD02> = 25; <AD03> = 26; <AD04> = 27; <AD05> = 28; <AD06> = 29;
  <RTRN> = 36; <LCTL> = 37; <AC01> = 38; <AC02> = 39; <AC03> = 40; <AC04> = 41;
  <LFSH> = 50; <AB01> = 52; <AB02> = 53; <AB03> = 54; <RTSH> = 62; <LALT> = 64;
  <SPCE> = 65; <CAPS> = 66; <NMLK> = 77; <UP> = 111; <LEFT> = 113; <RGHT> = 114; <DOWN> = 116;
  indicator 1 = "Caps Lock"; indicator 2 = "Num Lock";
};
xkb_types "fake" {
  virtual_modifiers NumLock, Alt;
  type "ONE_LEVEL" { modifiers = none; level_name[Level1] = "Any"; };
  type "TWO_LEVEL" { modifiers = Shift; map[Shift] = Level2;
    level_name[Level1] = "Base"; level_name[Level2] = "Shift"; };
  type "ALPHABETIC" { modifiers = Shift + Lock; map[Shift] = Level2; map[Lock] = Level2;
    level_name[Level1] = "Base"; level_name[Level2] = "Caps"; };
};
xkb_compatibility "fake" {
  virtual_modifiers NumLock, Alt;
  interpret.useModMapMods = AnyLevel; interpret.repeat = False;
  interpret Shift_L + AnyOf(all) { action = SetMods(modifiers = Shift); };
  interpret Shift_R + AnyOf(all) { action = SetMods(modifiers = Shift); };
  interpret Control_L + AnyOf(all) { action = SetMods(modifiers = Control); };
  interpret Caps_Lock + AnyOf(all) { action = LockMods(modifiers = Lock); };
  interpret Num_Lock + AnyOf(all) { virtualModifier = NumLock; action = LockMods(modifiers = NumLock); };
  interpret Alt_L + AnyOf(all) { virtualModifier = Alt; action = SetMods(modifiers = modMapMods); };
  indicator "Caps Lock" { whichModState = locked; modifiers = Lock; };
  indicator "Num Lock" { whichModState = locked; modifiers = NumLock; };
};
xkb_symbols "fake" {
  name[Group1] = "English (US)";
  key <ESC> { [ Escape ] }; key <AE01> { [ 1, exclam ] }; key <AE02> { [ 2, at ] };
  key <AE03> { [ 3, numbersign ] }; key <BKSP> { [ BackSpace ] }; key <TAB> { [ Tab, ISO_Left_Tab ] };
  key <AD01> { [ q, Q ] }; key <AD02> { [ w, W ] }; key <AD03> { [ e, E ] }; key <AD04> { [ r, R ] };
  key <AD05> { [ t, T ] }; key <AD06> { [ y, Y ] }; key <RTRN> { [ Return ] }; key <LCTL> { [ Control_L ] };
  key <AC01> { [ a, A ] }; key <AC02> { [ s, S ] }; key <AC03> { [ d, D ] }; key <AC04> { [ f, F ] };
  key <LFSH> { [ Shift_L ] }; key <AB01> { [ z, Z ] }; key <AB02> { [ x, X ] }; key <AB03> { [ c, C ] };
  key <RTSH> { [ Shift_R ] }; key <LALT> { [ Alt_L ] }; key <SPCE> { [ space ] }; key <CAPS> { [ Caps_Lock ] };
  key <NMLK> { [ Num_Lock ] }; key <UP> { [ Up ] }; key <LEFT> { [ Left ] }; key <RGHT> { [ Right ] };
  key <DOWN> { [ Down ] };
  modifier_map Shift { <LFSH>, <RTSH> }; modifier_map Lock { <CAPS> }; modifier_map Control { <LCTL> };
  modifier_map Mod1 { <LALT> }; modifier_map Mod2 { <NMLK> };
};
};
"#;

/// A sealed fd with the keymap, and its size with the closing NUL, as `ei_keyboard.keymap` wants them.
pub(crate) fn fd(text: &str) -> io::Result<(OwnedFd, u32)> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("keymap", flags)?);
    file.write_all(text.as_bytes())?;
    file.write_all(&[0])?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok((file.into(), text.len() as u32 + 1))
}
