//! What the guest has been told is pressed, so that all of it can be released, and nothing else.
//! Pure bookkeeping; sending is the sinks' work.

/// Codes above this are no evdev keys (`KEY_MAX` of linux/input-event-codes.h) and are dropped.
pub const MAX_CODE: u32 = 0x2ff;

/// Control, Shift, Alt and Meta, both of each.
const MODIFIERS: [u32; 8] = [29, 97, 42, 54, 56, 100, 125, 126];

/// A set of evdev codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pressed {
    bits: [u64; (MAX_CODE as usize + 1) / 64],
}

impl Pressed {
    /// Notes a press; false when it is already down or no evdev code, and must not be sent.
    pub fn press(&mut self, code: u32) -> bool {
        let Some((word, bit)) = slot(code) else { return false };
        let fresh = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        fresh
    }

    /// Notes a release; false when it was not down, and must not be sent.
    pub fn release(&mut self, code: u32) -> bool {
        let Some((word, bit)) = slot(code) else { return false };
        let was = self.bits[word] & bit != 0;
        self.bits[word] &= !bit;
        was
    }

    /// Whether nothing is pressed.
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|word| *word == 0)
    }

    /// The pressed codes as they are now, the lowest first.
    pub fn codes(&self) -> impl Iterator<Item = u32> + use<> {
        let mut left = self.clone();
        std::iter::from_fn(move || left.pop())
    }

    /// The pressed codes in an order in which they can be pressed again: what modifies comes first, or a shortcut
    /// that is held would type.
    pub fn in_order(&self) -> impl Iterator<Item = u32> + use<> {
        let is_modifier = |code: &u32| MODIFIERS.contains(code);
        self.codes().filter(is_modifier).chain(self.codes().filter(move |code| !is_modifier(code)))
    }

    /// Takes out one pressed code, the lowest first.
    pub fn pop(&mut self) -> Option<u32> {
        let word = self.bits.iter().position(|word| *word != 0)?;
        let bit = self.bits[word].trailing_zeros();
        self.bits[word] &= self.bits[word] - 1;
        Some(word as u32 * 64 + bit)
    }

    /// Forgets everything without releasing: the device that held it is gone.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn slot(code: u32) -> Option<(usize, u64)> {
    (code <= MAX_CODE).then(|| (code as usize / 64, 1 << (code % 64)))
}

/// At most this many fingers at once; EI servers offer about as many slots.
pub const MAX_TOUCHES: usize = 16;

/// The fingers that are down, by the host's id; a finger's place in here is its id for the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touches {
    slots: [Option<i32>; MAX_TOUCHES],
}

impl Touches {
    /// A finger goes down: its slot, or `None` when it is down already or all slots are taken.
    pub fn down(&mut self, id: i32) -> Option<u32> {
        if self.slot(id).is_some() {
            return None;
        }
        let free = self.slots.iter().position(Option::is_none)?;
        self.slots[free] = Some(id);
        Some(free as u32)
    }

    /// The slot of a finger that is down.
    pub fn slot(&self, id: i32) -> Option<u32> {
        self.slots.iter().position(|slot| *slot == Some(id)).map(|slot| slot as u32)
    }

    /// A finger goes up: the slot it had.
    pub fn up(&mut self, id: i32) -> Option<u32> {
        let slot = self.slot(id)?;
        self.slots[slot as usize] = None;
        Some(slot)
    }

    /// Takes out one finger that is down: its slot.
    pub fn pop(&mut self) -> Option<u32> {
        let slot = self.slots.iter().position(Option::is_some)?;
        self.slots[slot] = None;
        Some(slot as u32)
    }

    /// Forgets every finger without an up: the device is gone.
    pub fn clear(&mut self) {
        self.slots = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unknown_codes_are_never_sent() {
        let mut pressed = Pressed::default();
        assert!(!pressed.press(MAX_CODE + 1));
        assert!(!pressed.press(u32::MAX));
        assert!(!pressed.release(u32::MAX));
        assert!(pressed.press(MAX_CODE));
        assert_eq!(pressed.pop(), Some(MAX_CODE));
    }

    #[test]
    fn what_modifies_is_pressed_first() {
        let mut pressed = Pressed::default();
        for code in [16, 29, 30, 54, 125, 200] {
            pressed.press(code);
        }
        assert_eq!(pressed.in_order().collect::<Vec<_>>(), [29, 54, 125, 16, 30, 200]);
    }

    #[test]
    fn a_seventeenth_finger_is_not_sent() {
        let mut touches = Touches::default();
        for id in 0..MAX_TOUCHES as i32 {
            assert_eq!(touches.down(id + 100), Some(id as u32));
        }
        assert_eq!(touches.down(7), None);
        assert_eq!(touches.up(7), None);
        assert_eq!(touches.up(103), Some(3));
        assert_eq!(touches.down(7), Some(3));
        assert_eq!(touches.down(7), None);
    }

    proptest! {
        #[test]
        fn what_is_held_is_what_was_pressed_and_not_released(
            events in proptest::collection::vec((0u32..900, any::<bool>()), 0..200)
        ) {
            let mut pressed = Pressed::default();
            let mut model = BTreeSet::new();
            for (code, down) in events {
                let known = code <= MAX_CODE;
                if down {
                    prop_assert_eq!(pressed.press(code), known && model.insert(code));
                } else {
                    prop_assert_eq!(pressed.release(code), model.remove(&code));
                }
            }
            prop_assert_eq!(pressed.is_empty(), model.is_empty());
            let drained: BTreeSet<u32> = std::iter::from_fn(|| pressed.pop()).collect();
            prop_assert_eq!(drained, model);
            prop_assert!(pressed.is_empty());
        }
    }
}
