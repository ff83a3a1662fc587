//! Names of keys to evdev codes (linux/input-event-codes.h), for a US keyboard. Pure.

/// Modifiers and keys by name; letters and digits go by their character.
const NAMED: &[(&str, u32)] = &[
    ("ctrl", 29),
    ("shift", 42),
    ("alt", 56),
    ("altgr", 100),
    ("super", 125),
    ("esc", 1),
    ("backspace", 14),
    ("tab", 15),
    ("enter", 28),
    ("space", 57),
    ("capslock", 58),
    ("home", 102),
    ("up", 103),
    ("pageup", 104),
    ("left", 105),
    ("right", 106),
    ("end", 107),
    ("down", 108),
    ("pagedown", 109),
    ("insert", 110),
    ("delete", 111),
];

/// The rows of the keyboard, unshifted and shifted, with the code of their first key.
const ROWS: &[(u32, &str, &str)] = &[
    (2, "1234567890-=", "!@#$%^&*()_+"),
    (16, "qwertyuiop[]", "QWERTYUIOP{}"),
    (30, "asdfghjkl;'`", "ASDFGHJKL:\"~"),
    (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
];

/// Left button of a mouse.
pub const BTN_LEFT: u32 = 0x110;
/// Right button of a mouse.
pub const BTN_RIGHT: u32 = 0x111;
/// Middle button of a mouse.
pub const BTN_MIDDLE: u32 = 0x112;
/// Left shift.
pub const KEY_LEFTSHIFT: u32 = 42;

/// The key (and whether shift goes with it) that types an ASCII character.
pub fn of_char(char: char) -> Option<(u32, bool)> {
    match char {
        '\n' => return Some((28, false)),
        '\t' => return Some((15, false)),
        ' ' => return Some((57, false)),
        _ => {}
    }
    ROWS.iter().find_map(|(first, plain, shifted)| {
        let at = |row: &str| row.find(char).and_then(|index| u32::try_from(index).ok()).map(|index| first + index);
        at(plain).map(|code| (code, false)).or_else(|| at(shifted).map(|code| (code, true)))
    })
}

/// The codes of a chord such as `ctrl+a`, `alt+f4` or `shift+tab`, in the order they are pressed.
///
/// # Errors
/// The name that is unknown.
pub fn chord(name: &str) -> Result<Vec<u32>, String> {
    name.split('+').map(named).collect()
}

fn named(name: &str) -> Result<u32, String> {
    let mut chars = name.chars();
    if let (Some(char), None) = (chars.next(), chars.next()) {
        if let Some((code, false)) = of_char(char.to_ascii_lowercase()) {
            return Ok(code);
        }
    }
    let function = name.strip_prefix('f').and_then(|number| number.parse::<u32>().ok());
    match function {
        Some(number @ 1..=10) => return Ok(58 + number),
        Some(number @ 11..=12) => return Ok(76 + number),
        _ => {}
    }
    NAMED
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, code)| *code)
        .ok_or_else(|| format!("no key is named `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_ascii_character_has_a_key() {
        for char in (' '..='~').chain(['\n', '\t']) {
            assert!(of_char(char).is_some(), "{char:?}");
        }
    }

    #[test]
    fn chords_are_codes() {
        assert_eq!(chord("ctrl+shift+a"), Ok(vec![29, 42, 30]));
        assert_eq!(chord("alt+f4"), Ok(vec![56, 62]));
        assert_eq!(chord("f12"), Ok(vec![88]));
        assert_eq!(chord("m"), Ok(vec![50]));
        assert!(chord("ctrl+nope").is_err());
    }
}
