//! What an owner of the clipboard offers: a list of MIME types, bounded in number and length whatever the other side sends.

use std::hash::{BuildHasher as _, Hasher as _};

/// More types than any application offers (an office suite: some thirty).
pub const MOST: usize = 64;

/// The longest name: RFC 6838 allows 127 characters on each side of the slash.
pub const LONGEST: usize = 255;

/// What the bridge adds to the types it announces, so that it knows its own announcement when it is told of it. Followed by
/// what tells bridges apart; never carried on.
pub const MARK: &str = "application/x-wolf-bridge-";

/// A mark that is nobody else's: what follows it is for its owner to say.
pub fn new_mark() -> String {
    // Every hasher is seeded anew.
    let number = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{MARK}{number:016x}-")
}

/// Two names of the same bytes: UTF-8 text. Some applications offer one of them and others look for the other.
const TEXT: [&str; 2] = ["text/plain;charset=utf-8", "UTF8_STRING"];

/// MIME types in their owner's order, the best first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mimes(Vec<String>);

impl Mimes {
    /// Those of these names that can be types, each once; `None` when there is none.
    pub fn new(names: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut list = Vec::new();
        for name in names {
            if list.len() == MOST {
                break;
            }
            if is_name(&name) && !name.starts_with(MARK) && !list.contains(&name) {
                list.push(name);
            }
        }
        (!list.is_empty()).then_some(Self(list))
    }

    /// What to announce: all that the owner has, and plain text under its other name too.
    pub fn offered(&self) -> impl Iterator<Item = &str> {
        let alias = TEXT.into_iter().filter(|name| !self.has(name) && self.has(other(name)));
        self.0.iter().map(String::as_str).chain(alias)
    }

    /// What its owner calls a type that was announced; `None` for one that was not.
    pub fn owners_name<'a>(&self, mime: &'a str) -> Option<&'a str> {
        if self.has(mime) {
            return Some(mime);
        }
        TEXT.contains(&mime).then(|| other(mime)).filter(|name| self.has(name))
    }

    fn has(&self, mime: &str) -> bool {
        self.0.iter().any(|name| name == mime)
    }
}

/// The other name of plain text.
fn other(name: &str) -> &'static str {
    if name == TEXT[0] { TEXT[1] } else { TEXT[0] }
}

/// Whether this can name a type: X11's names count, which have no slash.
pub fn is_name(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mimes(names: &[&str]) -> Option<Mimes> {
        Mimes::new(names.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn what_cannot_be_a_type_is_left_out() {
        let long = "a".repeat(LONGEST + 1);
        let longest = "a".repeat(LONGEST);
        assert_eq!(mimes(&["", "a\0b", "a\nb", "täxt", &long, &format!("{MARK}1")]), None);
        assert_eq!(mimes(&["b/c", "a/b", "b/c", &longest]), Some(Mimes(vec!["b/c".into(), "a/b".into(), longest])));
    }

    #[test]
    fn plain_text_goes_by_both_its_names() {
        for [one, other] in [TEXT, [TEXT[1], TEXT[0]]] {
            let text = mimes(&["image/png", one, "text/plain"]).unwrap();
            assert_eq!(text.offered().collect::<Vec<_>>(), ["image/png", one, "text/plain", other]);
            assert_eq!(text.owners_name(other), Some(one));
            assert_eq!(text.owners_name(one), Some(one));
        }
        let both = mimes(&TEXT).unwrap();
        assert_eq!(both.offered().collect::<Vec<_>>(), TEXT);
        let image = mimes(&["image/png", "text/plain"]).unwrap();
        assert_eq!(image.offered().collect::<Vec<_>>(), ["image/png", "text/plain"]);
        assert_eq!(image.owners_name(TEXT[0]), None);
        assert_eq!(image.owners_name("image/jpeg"), None);
    }

    proptest! {
        #[test]
        fn a_list_is_bounded_and_answers_for_what_it_offers(names in prop::collection::vec("[ -~]{0,3}|x{254,257}|text/[a-c]|UTF8_STRING", 0..80)) {
            let Some(list) = Mimes::new(names) else { return Ok(()) };
            let offered: Vec<&str> = list.offered().collect();
            prop_assert!((1..=MOST + 1).contains(&offered.len()));
            for name in offered {
                prop_assert!(is_name(name));
                prop_assert!(list.owners_name(name).is_some_and(|name| list.has(name)));
            }
        }
    }
}
