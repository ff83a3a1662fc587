//! GNOME's keyboard layout: SetKeymap where Mutter has it (from 50 on), else the desktop's own setting of its input
//! sources. What goes wrong costs a line in the log; the guest keeps the layout it has.
//!
//! Mutter keeps a keymap of SetKeymap when the session ends (seen on 50), so it is taken back before, as far as there
//! is a before. The setting is the desktop's, and stays: what would put it back does not run after a crash either, and
//! the same person's keyboard is there the next time.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, SealFlags};
use tracing::{debug, info, warn};
use zbus::zvariant::{Fd, OwnedValue, Value};

use crate::guest::keymaps::{Keymaps, Request, Wanted};
use crate::guest::mutter::remote_desktop::RemoteDesktopSessionProxy;
use crate::input::layouts::{self, Layout, Layouts};

/// `keymap-type` XKB and `xkb-keymap-format` text format 1, of SetKeymap.
const XKB: u32 = 0;
const TEXT_V1: u32 = 1;

/// Where XKB keeps its list of layouts, below its root.
const LIST: &str = "rules/evdev.lst";

/// Does what is asked for, one after the other, for ever. `ours` tells whether Mutter has a keymap of the session;
/// `answered` hears of every layout that is done with.
pub(super) async fn follow(
    keymaps: &Keymaps,
    remote: &RemoteDesktopSessionProxy<'_>,
    methods: &[String],
    ours: &Cell<bool>,
    answered: impl Fn(),
) -> String {
    let takes_keymaps = methods.iter().any(|method| method == "SetKeymap") && supports_text(remote).await;
    loop {
        match keymaps.next().await {
            Request::Layout(wanted) => {
                match takes_keymaps {
                    true => set_keymap(remote, &wanted, ours).await,
                    false => set_sources(&wanted).await,
                }
                answered();
            }
            Request::Group(group) if takes_keymaps => {
                if let Err(error) = remote.set_keymap_layout_index(group).await {
                    warn!("Mutter refused SetKeymapLayoutIndex ({error}); the guest's layout stays");
                }
            }
            // Input sources are switched by the guest's own keys.
            Request::Group(_) => {}
        }
    }
}

/// Whether keymaps in the text format 1 are taken. Some releases leave the property empty, and take them.
async fn supports_text(remote: &RemoteDesktopSessionProxy<'_>) -> bool {
    let capabilities = remote.keymap_capabilities().await.unwrap_or_default();
    let lists = |name: &str, number: u32| {
        let numbers = |value: &OwnedValue| Vec::<u32>::try_from(value.try_clone().ok()?).ok();
        capabilities.get(name).and_then(numbers).is_none_or(|all| all.contains(&number))
    };
    debug!(?capabilities, "keymaps that Mutter takes");
    lists("supported-keymap-types", XKB) && lists("supported-xkb-keymap-formats", TEXT_V1)
}

async fn set_keymap(remote: &RemoteDesktopSessionProxy<'_>, wanted: &Wanted, ours: &Cell<bool>) {
    let file = match sealed(wanted.keymap.text()) {
        Ok(file) => file,
        Err(error) => return warn!("no memory file for a keymap ({error}); the guest's layout stays"),
    };
    let options = HashMap::from([
        ("keymap-type", Value::from(XKB)),
        ("xkb-keymap-format", Value::from(TEXT_V1)),
        ("xkb-keymap", Value::from(Fd::from(file))),
        ("xkb-keymap-layout-index", Value::from(wanted.group)),
    ]);
    // Never `lock-keymap`: the lock outlives its session, and refuses every one to come (seen on 50).
    match remote.set_keymap(options).await {
        Ok(()) => {
            ours.set(true);
            info!("the guest's keyboard layout is {:?} now", wanted.keymap);
        }
        Err(error) => warn!("Mutter refused SetKeymap ({error}); the guest's layout stays"),
    }
}

/// Takes a keymap of the session back, without waiting for an answer.
pub(super) async fn give_back(remote: &RemoteDesktopSessionProxy<'_>, ours: &Cell<bool>) {
    if ours.take() {
        // Without a type: the desktop's own counts again. Leaving comes right after, whatever comes of this.
        let _ = remote.reset_keymap(HashMap::new()).await;
    }
}

/// A file in memory that nobody can change any more.
fn sealed(text: &str) -> std::io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("keymap", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(text.as_bytes())?;
    file.write_all(&[0])?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(file.into())
}

/// Sets GNOME's input sources by GLib's own program, which finds whatever keeps the settings of this environment.
async fn set_sources(wanted: &Wanted) {
    let Some(names) = wanted.names.clone().or_else(|| names(wanted)) else {
        warn!(
            "the host's keymap {:?} has no name that XKB's list here knows; the guest's layout stays (name one with --layout)",
            wanted.keymap
        );
        return;
    };
    let sources = sources(&names);
    let mut command = async_process::Command::new("gsettings");
    // Where a session ends while it runs it is not waited for.
    command.args(["set", "org.gnome.desktop.input-sources", "sources", &sources]).kill_on_drop(true);
    let why = match command.output().await {
        Ok(output) if output.status.success() => return info!("the guest's input sources are {sources} now"),
        Ok(output) => String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("it failed").to_owned(),
        Err(error) => error.to_string(),
    };
    warn!(
        "the guest's layout cannot be set by gsettings ({why}); install libglib2.0-bin and gsettings-desktop-schemas"
    );
}

fn names(wanted: &Wanted) -> Option<Layouts> {
    let root = std::env::var_os("XKB_CONFIG_ROOT").unwrap_or_else(|| "/usr/share/X11/xkb".into());
    let list = std::fs::read_to_string(std::path::Path::new(&root).join(LIST)).ok()?;
    layouts::names(&wanted.keymap, &list)
}

/// As GNOME writes them down: a list of kind and name, the variant after a plus.
fn sources(layouts: &Layouts) -> String {
    let source = |layout: &Layout| match layout.variant.as_str() {
        "" => format!("('xkb', '{}')", layout.name),
        variant => format!("('xkb', '{}+{variant}')", layout.name),
    };
    let all: Vec<String> = layouts.as_slice().iter().map(source).collect();
    format!("[{}]", all.join(", "))
}

#[cfg(test)]
mod tests {
    #[test]
    fn sources_are_written_as_gnome_does() {
        let layouts = "us,de:nodeadkeys".parse().unwrap();
        assert_eq!(super::sources(&layouts), "[('xkb', 'us'), ('xkb', 'de+nodeadkeys')]");
    }
}
