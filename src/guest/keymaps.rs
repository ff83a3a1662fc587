//! Layouts on their way to the guest.

use std::rc::Rc;

use crate::guest::latest::Latest;
use crate::input::keymap::Keymap;
use crate::input::layouts::Layouts;

/// A layout for the guest.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The keymap itself, for guests that take one.
    pub keymap: Rc<Keymap>,
    /// What it is called, where that is known, for guests that go by names.
    pub names: Option<Layouts>,
    /// The group to begin with, from 0.
    pub group: u32,
}

/// What the guest's task is to do.
#[derive(Clone, Debug)]
pub enum Request {
    /// Another layout.
    Layout(Wanted),
    /// Another group of the same, from 0.
    Group(u32),
}

/// The way from the bridge to the task of a session.
#[derive(Clone, Debug, Default)]
pub struct Keymaps(Latest<Request>);

impl Keymaps {
    /// Asks for this layout, instead of any that was not asked of the guest yet.
    pub fn set(&self, wanted: Wanted) {
        self.0.set(Request::Layout(wanted));
    }

    /// Asks for this group of it.
    pub fn set_group(&self, group: u32) {
        self.0.set(match self.0.take() {
            Some(Request::Layout(wanted)) => Request::Layout(Wanted { group, ..wanted }),
            _ => Request::Group(group),
        });
    }

    /// The next request, as soon as there is one.
    pub async fn next(&self) -> Request {
        self.0.next().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn wanted(layouts: &str) -> Wanted {
        let names: Layouts = layouts.parse().unwrap();
        let keymap = Rc::new(Keymap::of_layouts(names.as_slice()).unwrap());
        Wanted { keymap, names: Some(names), group: 0 }
    }

    #[test]
    fn the_newest_layout_counts_with_its_newest_group() {
        let keymaps = Keymaps::default();
        assert!(keymaps.next().now_or_never().is_none());
        keymaps.set(wanted("us"));
        keymaps.set(wanted("de,us"));
        keymaps.set_group(1);
        let Some(Request::Layout(layout)) = keymaps.next().now_or_never() else { panic!("nothing came") };
        assert_eq!((layout.names.unwrap().to_string().as_str(), layout.group), ("de,us", 1));
        keymaps.set_group(1);
        keymaps.set_group(0);
        assert!(matches!(keymaps.next().now_or_never(), Some(Request::Group(0))));
        assert!(keymaps.next().now_or_never().is_none());
    }
}
