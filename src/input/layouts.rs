//! Keyboard layouts by name: what `--layout` says, and what a keymap is called. Pure.

use std::fmt;

use crate::input::keymap::Keymap;

/// XKB has no more groups.
const MOST: usize = 4;

/// A layout as XKB names it, such as `de` with the variant `nodeadkeys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Its name.
    pub name: String,
    /// Its variant; empty for none.
    pub variant: String,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variant.as_str() {
            "" => f.write_str(&self.name),
            variant => write!(f, "{}:{variant}", self.name),
        }
    }
}

/// Some layouts, the first of which is the one to begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layouts(Vec<Layout>);

impl Layouts {
    /// The layouts.
    pub fn as_slice(&self) -> &[Layout] {
        &self.0
    }
}

impl fmt::Display for Layouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, layout) in self.0.iter().enumerate() {
            write!(f, "{}{layout}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Layouts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let layouts: Option<Vec<Layout>> = text.split(',').map(layout).collect();
        layouts.filter(|all| all.len() <= MOST).map(Self).ok_or_else(|| {
            format!("is not LAYOUT[:VARIANT][,…] with at most {MOST} layouts, such as de or us:intl,de:nodeadkeys")
        })
    }
}

fn layout(text: &str) -> Option<Layout> {
    // What rules and file names of XKB data are made of; a list or a path must not get in by a variant.
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let (name, variant) = text.split_once(':').map_or((text, None), |(name, variant)| (name, Some(variant)));
    (is_name(name) && variant.is_none_or(is_name))
        .then(|| Layout { name: name.into(), variant: variant.unwrap_or_default().into() })
}

/// What the layouts of a keymap are called in XKB's list (`rules/evdev.lst`): the names whose description is the
/// group's own, and of several the one whose keys are most like it. `None` when one of them cannot be told.
pub fn names(keymap: &Keymap, list: &str) -> Option<Layouts> {
    // The data here may be older or newer than what the keymap was made from, so that some keys may differ.
    const FAR: usize = 12;
    let name = |(group, description): (usize, &str)| {
        let compiled = described(list, description).filter_map(|layout| {
            let candidate = Keymap::of_layouts(std::slice::from_ref(&layout)).ok()?;
            let far = keymap.differences(group as u32, &candidate, 0);
            (far <= FAR).then_some((far, layout))
        });
        compiled.min_by_key(|(far, _)| *far).map(|(_, layout)| layout)
    };
    let names: Option<Vec<Layout>> = keymap.groups().take(MOST).enumerate().map(name).collect();
    names.filter(|all| !all.is_empty()).map(Layouts)
}

/// The layouts and variants that the list describes so.
fn described<'a>(list: &'a str, description: &'a str) -> impl Iterator<Item = Layout> + 'a {
    let mut section = "";
    list.lines().filter_map(move |line| {
        if let Some(title) = line.strip_prefix('!') {
            section = title.trim();
            return None;
        }
        let (name, rest) = line.trim().split_once(char::is_whitespace)?;
        let rest = rest.trim();
        match section {
            "layout" if rest == description => Some(Layout { name: name.into(), variant: String::new() }),
            "variant" => {
                let (layout, words) = rest.split_once(": ")?;
                (words == description).then(|| Layout { name: layout.into(), variant: name.into() })
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        text.parse::<Layouts>().map(|layouts| layouts.to_string())
    }

    #[test]
    fn layouts_are_names_with_variants() {
        for text in ["de", "us:intl", "us,de:nodeadkeys", "us,de,fr,es:winkeys", "cz:qwerty-mac", "jp:OADG109A"] {
            assert_eq!(parse(text).as_deref(), Ok(text));
        }
        for wrong in ["", ",", "de,", ":", "de:", ":intl", "de:a:b", "../de", "de(basic)", "us,us,us,us,us", "d e", "é"]
        {
            assert!(parse(wrong).is_err(), "{wrong} was taken");
        }
    }

    /// The list of this machine, whose XKB data the tests need anyway.
    fn list() -> String {
        std::fs::read_to_string("/usr/share/X11/xkb/rules/evdev.lst").unwrap()
    }

    #[test]
    fn a_keymap_is_called_what_it_was_made_of() {
        for text in ["us", "de", "de:nodeadkeys", "us:intl", "fr:oss", "gb", "ru", "us,de", "es:winkeys,us,ch:fr"] {
            let layouts: Layouts = text.parse().unwrap();
            let keymap = Keymap::of_layouts(layouts.as_slice()).unwrap();
            assert_eq!(names(&keymap, &list()), Some(layouts), "{text}");
        }
    }

    #[test]
    fn a_keymap_that_only_has_the_name_of_another_is_not_it() {
        let french: Layouts = "fr".parse().unwrap();
        let french = Keymap::of_layouts(french.as_slice()).unwrap();
        let name = french.groups().next().unwrap().to_owned();
        let liar = Keymap::compile(french.text().replace(&format!("\"{name}\""), "\"German\"")).unwrap();
        assert_eq!(liar.groups().collect::<Vec<_>>(), ["German"]);
        assert_eq!(names(&liar, &list()), None);
        assert_eq!(names(&french, ""), None);
        assert_eq!(names(&french, "! layout\n  fr\n! variant\n x fr French\n nonsense"), None);
    }
}
