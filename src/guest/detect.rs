//! Which kind of guest is there: what can be seen, and the decision (pure).
//!
//! What a flag names counts first, and then what is surest: GNOME's own interfaces, gamescope, a portal. Nothing that is
//! asked here starts anything.

use tracing::debug;
use zbus::Connection;
use zbus::fdo::DBusProxy;

use crate::guest::bus::{self, Bus};
use crate::guest::{GuestError, Kind, Wishes, gamescope, node};

const MUTTER: &str = "org.gnome.Mutter.ScreenCast";
const PORTAL: &str = "org.freedesktop.portal.Desktop";
const KWIN: &str = "org.kde.KWin";
/// What desktops' own parts of the portal are called.
const BACKENDS: &str = "org.freedesktop.impl.portal.desktop.";

/// What is on the bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    owned: Vec<String>,
    activatable: Vec<String>,
}

impl Names {
    fn has(&self, name: &str) -> bool {
        self.owned.iter().any(|owned| owned == name)
    }

    /// A name of a desktop that runs.
    fn desktop(&self) -> Option<&str> {
        self.owned.iter().map(String::as_str).find(|name| *name == KWIN || name.starts_with(BACKENDS))
    }
}

/// What can be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// --node, --guest-socket and --eis-socket were given.
    node: bool,
    socket: bool,
    eis: bool,
    /// LIBEI_SOCKET says something.
    libei: bool,
    names: Names,
    /// There is a PipeWire node of gamescope's name.
    gamescope: bool,
}

/// What that comes to, and why.
fn choose(seen: &Seen) -> Option<(Kind, String)> {
    let names = &seen.names;
    let because = |kind, why: &str| Some((kind, why.to_owned()));
    if seen.node {
        return because(Kind::Node, "--node names it");
    }
    if seen.socket {
        return because(Kind::Wlroots, "--guest-socket names it");
    }
    if seen.eis {
        return because(Kind::Gamescope, "--eis-socket names its input");
    }
    if names.has(MUTTER) {
        return because(Kind::Mutter, &format!("{MUTTER} is on the session bus"));
    }
    if seen.gamescope {
        return because(Kind::Gamescope, "PipeWire has a node of that name");
    }
    if seen.libei {
        return because(Kind::Gamescope, "LIBEI_SOCKET is set, and there is no GNOME Shell");
    }
    if names.has(PORTAL) {
        return because(Kind::Portal, &format!("{PORTAL} is on the session bus, and there is no GNOME Shell"));
    }
    // Started before its desktop it would be of no use to anybody.
    let can_start = names.activatable.iter().any(|name| name == PORTAL);
    names
        .desktop()
        .filter(|_| can_start)
        .map(|desktop| (Kind::Portal, format!("{desktop} is on the session bus, and {PORTAL} can be started there")))
}

/// Looks for a guest.
///
/// # Errors
///
/// What was looked for in vain, and what to do.
pub(super) async fn find(wishes: &Wishes, bus: &mut Bus) -> Result<(Kind, String), GuestError> {
    let mut seen = Seen {
        node: wishes.node.is_some(),
        socket: wishes.socket.is_some(),
        eis: wishes.eis.is_some(),
        ..Seen::default()
    };
    if let Some(found) = choose(&seen) {
        return Ok(found);
    }
    let names = bus.run(async |connection| names(connection).await.map_err(no_names)).await;
    if let Ok(names) = &names {
        seen.names = names.clone();
    }
    if !seen.names.has(MUTTER) {
        seen.libei = gamescope::named(std::env::var_os("LIBEI_SOCKET")).is_some();
        seen.gamescope = match node::look().await {
            Ok(nodes) => nodes.all().iter().any(|node| node.name == gamescope::NODE && node.may_show()),
            Err(error) => {
                debug!(%error, "no gamescope");
                false
            }
        };
    }
    debug!(?seen, "looked for a guest");
    choose(&seen).ok_or_else(|| GuestError::Nothing(Box::new(names.err().unwrap_or(GuestError::NoMutter))))
}

async fn names(connection: &Connection) -> zbus::Result<Names> {
    let bus = DBusProxy::new(connection).await?;
    let texts = |names: Vec<zbus::names::OwnedBusName>| names.iter().map(ToString::to_string).collect();
    Ok(Names { owned: texts(bus.list_names().await?), activatable: texts(bus.list_activatable_names().await?) })
}

fn no_names(error: zbus::Error) -> GuestError {
    let next = "is DBUS_SESSION_BUS_ADDRESS that of the guest?";
    GuestError::Refused { who: "the session bus", call: "ListNames", why: bus::reason(error), next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(owned: &[&str], activatable: &[&str]) -> Names {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Names { owned: texts(owned), activatable: texts(activatable) }
    }

    fn kind(seen: &Seen) -> Option<Kind> {
        choose(seen).map(|(kind, _)| kind)
    }

    const BACKEND: &str = "org.freedesktop.impl.portal.desktop.hyprland";

    #[test]
    fn each_kind_is_known_by_what_it_has() {
        let on_bus =
            |owned: &[&str], activatable: &[&str]| Seen { names: names(owned, activatable), ..Seen::default() };
        assert_eq!(kind(&on_bus(&[MUTTER], &[])), Some(Kind::Mutter));
        assert_eq!(kind(&on_bus(&[PORTAL], &[])), Some(Kind::Portal));
        assert_eq!(kind(&on_bus(&[KWIN], &[PORTAL])), Some(Kind::Portal));
        assert_eq!(kind(&on_bus(&[BACKEND], &[PORTAL])), Some(Kind::Portal));
        assert_eq!(kind(&Seen { gamescope: true, ..Seen::default() }), Some(Kind::Gamescope));
        assert_eq!(kind(&Seen { libei: true, ..Seen::default() }), Some(Kind::Gamescope));
        assert_eq!(kind(&Seen { socket: true, ..Seen::default() }), Some(Kind::Wlroots));
        assert_eq!(kind(&Seen { node: true, ..Seen::default() }), Some(Kind::Node));
        assert_eq!(kind(&Seen::default()), None);
    }

    #[test]
    fn a_portal_that_only_could_be_started_is_left_alone_until_there_is_a_desktop() {
        // GNOME may be about to start: a portal that comes up before it finds no desktop to speak for.
        let seen = Seen { names: names(&["org.freedesktop.DBus"], &[PORTAL]), ..Seen::default() };
        assert_eq!(kind(&seen), None);
        let no_portal = Seen { names: names(&[KWIN], &[]), ..Seen::default() };
        assert_eq!(kind(&no_portal), None);
    }

    #[test]
    fn what_is_named_counts_before_what_is_there_and_the_surest_of_that_first() {
        let mut seen = Seen {
            node: true,
            socket: true,
            eis: true,
            libei: true,
            gamescope: true,
            names: names(&[MUTTER, PORTAL, KWIN], &[PORTAL]),
        };
        let order = std::iter::from_fn(|| {
            let (kind, why) = choose(&seen)?;
            assert!(!why.is_empty());
            match kind {
                Kind::Node => seen.node = false,
                Kind::Wlroots => seen.socket = false,
                Kind::Gamescope if seen.eis => seen.eis = false,
                Kind::Gamescope => (seen.gamescope, seen.libei) = (false, false),
                Kind::Mutter => seen.names.owned.retain(|name| name != MUTTER),
                _ => seen.names = Names::default(),
            }
            Some(kind)
        });
        let order: Vec<Kind> = order.collect();
        assert_eq!(order, [Kind::Node, Kind::Wlroots, Kind::Gamescope, Kind::Mutter, Kind::Gamescope, Kind::Portal],);
    }
}
