//! Owns the introspection data, by version: what exists and what does not, as a client must find out.
//! It never dispatches.

/// The bus names and their root objects.
pub(crate) const REMOTE: &str = "org.gnome.Mutter.RemoteDesktop";
pub(crate) const CAST: &str = "org.gnome.Mutter.ScreenCast";
pub(crate) const REMOTE_PATH: &str = "/org/gnome/Mutter/RemoteDesktop";
pub(crate) const CAST_PATH: &str = "/org/gnome/Mutter/ScreenCast";

/// A method: name, names and types of what goes in, and of what comes out.
type Method = (&'static str, &'static [(&'static str, &'static str)], &'static [(&'static str, &'static str)]);

const NOTIFY: &[Method] = &[
    ("NotifyKeyboardKeycode", &[("keycode", "u"), ("state", "b")], &[]),
    ("NotifyKeyboardKeysym", &[("keysym", "u"), ("state", "b")], &[]),
    ("NotifyPointerButton", &[("button", "i"), ("state", "b")], &[]),
    ("NotifyPointerAxis", &[("dx", "d"), ("dy", "d"), ("flags", "u")], &[]),
    ("NotifyPointerAxisDiscrete", &[("axis", "u"), ("steps", "i")], &[]),
    ("NotifyPointerMotionRelative", &[("dx", "d"), ("dy", "d")], &[]),
    ("NotifyPointerMotionAbsolute", &[("stream", "s"), ("x", "d"), ("y", "d")], &[]),
    ("NotifyTouchDown", &[("stream", "s"), ("slot", "u"), ("x", "d"), ("y", "d")], &[]),
    ("NotifyTouchMotion", &[("stream", "s"), ("slot", "u"), ("x", "d"), ("y", "d")], &[]),
    ("NotifyTouchUp", &[("slot", "u")], &[]),
];

const CLIPBOARD: &[Method] = &[
    ("EnableClipboard", &[("options", "a{sv}")], &[]),
    ("DisableClipboard", &[], &[]),
    ("SetSelection", &[("options", "a{sv}")], &[]),
    ("SelectionRead", &[("mime_type", "s")], &[("fd", "h")]),
    ("SelectionWrite", &[("serial", "u")], &[("fd", "h")]),
    ("SelectionWriteDone", &[("serial", "u"), ("success", "b")], &[]),
];

/// The methods of an interface at a version; `None` for an interface that is not Mutter's.
pub(crate) fn methods(interface: &str, version: u32) -> Option<Vec<Method>> {
    const START_STOP: [Method; 2] = [("Start", &[], &[]), ("Stop", &[], &[])];
    let options = &[("options", "a{sv}")];
    let properties = &[("properties", "a{sv}")];
    let session = &[("session_path", "o")];
    let stream = &[("stream_path", "o")];
    Some(match interface {
        "org.gnome.Mutter.RemoteDesktop" => vec![("CreateSession", &[], session)],
        "org.gnome.Mutter.RemoteDesktop.Session" => {
            let mut all = START_STOP.to_vec();
            all.extend(NOTIFY);
            all.extend(CLIPBOARD);
            if version >= 45 {
                all.push(("ConnectToEIS", options, &[("fd", "h")]));
            }
            if version >= 50 {
                all.push(("SetKeymap", options, &[]));
                all.push(("SetKeymapLayoutIndex", &[("index", "u")], &[]));
            }
            all
        }
        "org.gnome.Mutter.ScreenCast" => vec![("CreateSession", properties, session)],
        "org.gnome.Mutter.ScreenCast.Session" => {
            let mut all = START_STOP.to_vec();
            all.push(("RecordMonitor", &[("connector", "s"), ("properties", "a{sv}")], stream));
            all.push(("RecordVirtual", properties, stream));
            all
        }
        "org.gnome.Mutter.ScreenCast.Stream" if version >= 48 => START_STOP.to_vec(),
        "org.gnome.Mutter.ScreenCast.Stream" => Vec::new(),
        _ => return None,
    })
}

/// The signature a call of this method must have; `None` when there is no such method.
pub(crate) fn signature(interface: &str, member: &str, version: u32) -> Option<String> {
    let methods = methods(interface, version)?;
    let method = methods.iter().find(|(name, ..)| *name == member)?;
    Some(method.1.iter().map(|(_, type_)| *type_).collect())
}

/// The interface whose method of this name an object at `path` would have.
pub(crate) fn interfaces_at(path: &str) -> &'static [&'static str] {
    if path == REMOTE_PATH {
        &["org.gnome.Mutter.RemoteDesktop"]
    } else if path == CAST_PATH {
        &["org.gnome.Mutter.ScreenCast"]
    } else if path.starts_with("/org/gnome/Mutter/RemoteDesktop/Session/") {
        &["org.gnome.Mutter.RemoteDesktop.Session"]
    } else if path.starts_with("/org/gnome/Mutter/ScreenCast/Session/") {
        &["org.gnome.Mutter.ScreenCast.Session"]
    } else if path.starts_with("/org/gnome/Mutter/ScreenCast/Stream/") {
        &["org.gnome.Mutter.ScreenCast.Stream"]
    } else {
        &[]
    }
}

/// Signals and properties, which are few enough to be written out.
fn extras(interface: &str, version: u32) -> String {
    let property =
        |name: &str, type_: &str| format!("    <property name=\"{name}\" type=\"{type_}\" access=\"read\"/>\n");
    let closed = "    <signal name=\"Closed\"/>\n".to_owned();
    match interface {
        "org.gnome.Mutter.RemoteDesktop" => property("SupportedDeviceTypes", "u") + &property("Version", "i"),
        "org.gnome.Mutter.ScreenCast" => property("Version", "i"),
        "org.gnome.Mutter.RemoteDesktop.Session" => {
            let keymap = match version {
                50.. => property("KeymapCapabilities", "a{sv}"),
                _ => String::new(),
            };
            closed
                + &property("SessionId", "s")
                + &property("CapsLockState", "b")
                + &property("NumLockState", "b")
                + &keymap
        }
        "org.gnome.Mutter.ScreenCast.Session" => closed,
        "org.gnome.Mutter.ScreenCast.Stream" => {
            let signal =
                "    <signal name=\"PipeWireStreamAdded\">\n      <arg name=\"node_id\" type=\"u\"/>\n    </signal>\n";
            signal.to_owned() + &property("Parameters", "a{sv}")
        }
        _ => String::new(),
    }
}

/// The introspection document of an object that exists.
pub(crate) fn document(path: &str, version: u32) -> String {
    let mut xml = String::from("<node>\n");
    for interface in interfaces_at(path) {
        xml += &format!("  <interface name=\"{interface}\">\n");
        for (name, ins, outs) in methods(interface, version).unwrap_or_default() {
            xml += &format!("    <method name=\"{name}\">\n");
            for (direction, args) in [("in", ins), ("out", outs)] {
                for (arg, type_) in args {
                    xml += &format!("      <arg name=\"{arg}\" type=\"{type_}\" direction=\"{direction}\"/>\n");
                }
            }
            xml += "    </method>\n";
        }
        xml += &extras(interface, version);
        xml += "  </interface>\n";
    }
    for standard in ["Introspectable", "Properties", "Peer"] {
        xml += &format!("  <interface name=\"org.freedesktop.DBus.{standard}\"/>\n");
    }
    xml + "</node>\n"
}
