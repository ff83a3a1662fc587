//! The interfaces in protocols/ are those of the real desktops.

mod common;

use std::fs::File;
use std::process::Command;

use common::{Bridge, SOON, wait_for};
use fake_host::FakeHost;
use lab::{Gnome, Suite};
use zbus_xml::{Annotation, Arg, Interface, Node};

/// The annotation that gives the release a member came with.
const SINCE: &str = "dev.wolf_bridge.Since";

const OBJECTS: [(&str, &[&str]); 2] = [
    ("org.gnome.Mutter.RemoteDesktop", &["", "/Session/u1"]),
    ("org.gnome.Mutter.ScreenCast", &["", "/Session/u1", "/Stream/u1"]),
];

/// Names and types of everything an interface has, a line each; members newer than `version` are left out.
fn members(interface: &Interface<'_>, version: u32) -> Vec<String> {
    // Where no direction is given it is "in" for a method and "out" for a signal.
    let args = |args: &[Arg], otherwise: &str| -> Vec<String> {
        let line = |arg: &Arg| {
            let direction = arg.direction().map_or(otherwise.to_owned(), |it| format!("{it:?}").to_lowercase());
            format!("{direction} {:?}", arg.ty())
        };
        args.iter().map(line).collect()
    };
    let is_there = |annotations: &[Annotation]| {
        let since = annotations.iter().find(|it| it.name() == SINCE).map_or("0", |it| it.value());
        since.parse::<u32>().expect("a release") <= version
    };
    let mut lines = Vec::new();
    for method in interface.methods() {
        if is_there(method.annotations()) {
            lines.push(format!("method {} {:?}", method.name(), args(method.args(), "in")));
        }
    }
    for signal in interface.signals() {
        lines.push(format!("signal {} {:?}", signal.name(), args(signal.args(), "out")));
    }
    for property in interface.properties().iter().filter(|it| is_there(it.annotations())) {
        lines.push(format!("property {} {:?}", property.name(), property.ty()));
    }
    lines
}

fn introspect(gnome: &Gnome, service: &str, path: &str) -> Option<Node<'static>> {
    let out = Command::new("gdbus")
        .args(["introspect", "--session", "--xml", "--dest", service, "--object-path", path])
        .env("DBUS_SESSION_BUS_ADDRESS", gnome.bus())
        .output()
        .expect("gdbus runs");
    let node = Node::from_reader(out.stdout.as_slice()).ok()?;
    (!node.interfaces().is_empty()).then_some(node)
}

fn holds(suite: Suite, version: u32) {
    if lab::skip() {
        return;
    }
    let gnome = Gnome::start(suite);
    let host = FakeHost::builder().wolf().start().expect("a host");
    // Somebody has to have a session to be looked at.
    let bridge = Bridge::start(host.socket(), &gnome.env(), &[]);
    bridge.expect(host.wait(|seen| seen.shown(), SOON));
    for (service, paths) in OBJECTS {
        let file = format!("{}/protocols/{service}.xml", env!("CARGO_MANIFEST_DIR"));
        let ours = Node::from_reader(File::open(&file).expect("the file")).expect("valid XML");
        assert_eq!(ours.interfaces().len(), paths.len(), "{file}");
        for (interface, place) in ours.interfaces().iter().zip(paths) {
            let path = format!("/{}{place}", service.replace('.', "/"));
            let theirs = wait_for(&path, SOON, || introspect(&gnome, service, &path));
            let theirs = theirs.interfaces().iter().find(|it| it.name() == interface.name());
            let theirs = members(theirs.unwrap_or_else(|| panic!("no {} at {path}", interface.name())), version);
            let ours = members(interface, version);
            assert!(!ours.is_empty(), "{}", interface.name());
            for member in ours {
                assert!(theirs.contains(&member), "{} has no {member}, but {theirs:#?}", interface.name());
            }
        }
    }
    bridge.end();
}

#[test]
fn of_gnome_50() {
    holds(Suite::Forky, 50);
}

#[test]
fn of_gnome_48() {
    holds(Suite::Trixie, 48);
}

#[test]
fn of_gnome_43() {
    holds(Suite::Bookworm, 43);
}
