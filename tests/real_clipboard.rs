//! The clipboard between real desktops: what wl-copy takes in one, wl-paste finds in the other, byte for byte.
//! Needs the rootfs of scripts/rootfs, and wl-clipboard.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::copies::{client, copy, finds, types};
use common::desktops::soon;
use common::pipes::{all, has, noise, silent};
use common::{Bridge, wait_for};
use fake_host::{FakeHost, SelectionOwner};
use lab::{Canvas, Gnome, Suite, Sway, SwayGuest};

const TEXT: &str = "text/plain;charset=utf-8";
const PNG: &str = "image/png";

fn between_sway_and_gnome(suite: Suite) {
    if lab::skip() {
        return;
    }
    let host = Sway::start(1280, 720);
    // A seat without a keyboard has no focus, and so nobody may set a selection.
    let mut hands = host.hands();
    let gnome = Gnome::start_with(suite, &[("WB_ANIMATIONS", "0")]);
    let bridge = Bridge::start(&host.socket(), &gnome.env(), &["--log", "debug,zbus=info"]);
    wait_for("a picture in the host", soon(), || (!host.screenshot().is_uniform()).then_some(()));
    let (host, guest) = (host.socket(), gnome.wayland_socket());
    let canvas = Canvas::open(&guest, 7);
    bridge.expect(canvas.wait(soon(), |seen| seen.keyboard.then_some(())));

    go_both_ways(&host, &guest, &mut hands);

    // An owner that dies leaves its text with GNOME, which offers it from then on.
    let owner = copy(&guest, TEXT, b"kept");
    is_announced(&host, &mut hands);
    drop(owner);
    wait_for("the announcement of what is kept", soon(), || (types(&host).len() == 3).then_some(()));
    finds(&host, "UTF8_STRING", b"kept");
    let ended = bridge.end();
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
    assert!(!ended.log.contains(" WARN "), "{}", ended.log);
}

/// What each copies, the other finds; and nobody is displaced by a copy of their own.
fn go_both_ways(host: &Path, guest: &Path, hands: &mut lab::Hands) {
    let png = picture();
    for (mime, content) in [(TEXT, "grüße".as_bytes()), (PNG, png.as_slice()), (TEXT, b"x"), (PNG, &noise(8 << 20))] {
        let mut owner = copy(host, mime, content);
        finds(guest, mime, content);
        assert!(owner.is_owner(), "the host's copy came back to it");
    }
    for (mime, content) in [(TEXT, "ñandú".as_bytes()), (PNG, png.as_slice()), (TEXT, b"y"), (PNG, &noise(8 << 20))] {
        let mut owner = copy(guest, mime, content);
        is_announced(host, hands);
        finds(host, mime, content);
        assert!(owner.is_owner(), "the guest's copy came back to it");
        let _owner = copy(host, TEXT, b"between");
        finds(guest, TEXT, b"between");
    }
}

/// The guest's clipboard is the host's.
fn is_announced(host: &Path, hands: &mut lab::Hands) {
    wait_for("the announcement", soon(), || {
        // Sway has a selection that is newer than its last input event: a person would have pressed keys to copy.
        hands.type_text("c");
        types(host).iter().any(|it| it.starts_with("application/x-wolf-bridge-")).then_some(())
    });
}

/// A picture as an application would copy it.
fn picture() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("a.png");
    lab::Image::pattern(300, 200, 3).save(&path).expect("a picture");
    std::fs::read(path).expect("a picture")
}

/// As large as the limit, and a byte more, with a host as strict as Wolf's.
#[test]
fn gnome_48_and_wolf_at_the_limit() {
    if lab::skip() {
        return;
    }
    let host = FakeHost::builder().wolf().start().expect("a host");
    let gnome = Gnome::start_with(Suite::Trixie, &[("WB_ANIMATIONS", "0")]);
    let bridge = Bridge::start(host.socket(), &gnome.env(), &[]);
    bridge.expect(host.wait(|seen| seen.shown(), soon()));
    let guest = gnome.wayland_socket();
    let canvas = Canvas::open(&guest, 7);
    bridge.expect(canvas.wait(soon(), |seen| seen.keyboard.then_some(())));
    // GNOME's clipboard manager reads pictures too.
    at_the_limit(&host, &guest, bridge, |cut| cut >= 2);
}

/// One byte, as many as go through, and one more, each way.
fn at_the_limit(host: &FakeHost, guest: &Path, bridge: Bridge, is_right: impl Fn(usize) -> bool) {
    const LIMIT: usize = 64 << 20;
    for size in [1, LIMIT, LIMIT + 1] {
        let content = noise(size);
        let passed = &content[..size.min(LIMIT)];
        host.clipboard().copy(&[(PNG, has(content.clone()))]);
        finds(guest, PNG, passed);
        let _owner = copy(guest, PNG, &content);
        bridge.expect(host.wait(bridge_owns, soon()));
        let paste = host.clipboard().paste(PNG).expect("the bridge owns the host's selection");
        assert!(all(paste, soon()) == passed, "{size} bytes");
    }
    let ended = bridge.end();
    assert_eq!(host.seen().oddities, Vec::<String>::new());
    // In each direction, and perhaps once more.
    let cut = ended.log.lines().filter(|line| line.contains(" WARN ")).count();
    assert_eq!(cut, ended.log.matches("--clipboard-limit allows no more").count(), "{}", ended.log);
    assert!(is_right(cut), "{}", ended.log);
}

/// The host's selection is the guest's picture.
fn bridge_owns(seen: &fake_host::Seen) -> bool {
    matches!(&seen.selection_owner, SelectionOwner::Client(mimes) if mimes.contains(&PNG.into()))
}

/// A bridge from that guest to this host.
fn from_sway(guest: &SwayGuest, host: &Path) -> Bridge {
    let socket = guest.socket();
    let args = ["--guest", "wlroots", "--guest-socket", socket.to_str().unwrap(), "--log", "debug,zbus=info"];
    let mut env = guest.env();
    env.push(("HOME", guest.dir().join("home").display().to_string()));
    Bridge::start_among(&guest.processes(), host, &env, &args)
}

#[test]
fn sway_and_sway() {
    if lab::skip() {
        return;
    }
    let host = Sway::start(1280, 720);
    let mut hands = host.hands();
    let guest = SwayGuest::start(1280, 720);
    let early = copy(&guest.socket(), TEXT, b"from before the bridge");
    finds(&guest.socket(), TEXT, b"from before the bridge");
    let bridge = from_sway(&guest, &host.socket());
    wait_for("a picture in the host", soon(), || bridge.log().contains("first frame shown").then_some(()));
    let (host, guest) = (host.socket(), guest.socket());
    go_both_ways(&host, &guest, &mut hands);
    drop(early);

    // Nobody keeps what an owner had that dies.
    let owner = copy(&guest, TEXT, b"lost");
    is_announced(&host, &mut hands);
    drop(owner);
    wait_for("the end of the announcement", soon(), || types(&host).is_empty().then_some(()));
    let ended = bridge.end();
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
    assert!(!ended.log.contains(" WARN "), "{}", ended.log);
}

#[test]
fn sway_and_wolf_at_the_limit() {
    if lab::skip() {
        return;
    }
    let host = FakeHost::builder().wolf().start().expect("a host");
    let guest = SwayGuest::start(1280, 720);
    let bridge = from_sway(&guest, host.socket());
    bridge.expect(host.wait(|seen| seen.shown(), soon()));
    at_the_limit(&host, &guest.socket(), bridge, |cut| cut == 2);
}

/// Nothing is read before somebody wants it; and a guest that dies amid a paste leaves nothing behind.
#[test]
fn sway_pastes_what_it_wants_and_dies_amid_it() {
    if lab::skip() {
        return;
    }
    let host = FakeHost::builder().wolf().start().expect("a host");
    let mut guest = SwayGuest::start_with(1280, 720, &[("WB_AGAIN", "1")]);
    let bridge = from_sway(&guest, host.socket());
    bridge.expect(host.wait(|seen| seen.shown(), soon()));
    let socket = guest.socket();

    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let writes = has("now");
    let content: fake_host::Writer = Arc::new(move |into| {
        counted.fetch_add(1, Ordering::Relaxed);
        writes(into);
    });
    host.clipboard().copy(&[(TEXT, content)]);
    wait_for("the host's types", soon(), || types(&socket).iter().any(|it| it == TEXT).then_some(()));
    assert_eq!(reads.load(Ordering::Relaxed), 0, "something was read that nobody wanted");
    finds(&socket, TEXT, b"now");
    assert!(reads.load(Ordering::Relaxed) > 0);

    host.clipboard().copy(&[(PNG, silent())]);
    wait_for("the host's types", soon(), || types(&socket).iter().any(|it| it == PNG).then_some(()));
    let before = bridge.open_fds();
    let mut paste = client("wl-paste", &socket, &["--type", PNG]).stdout(std::process::Stdio::null()).spawn().unwrap();
    wait_for("the paste", soon(), || (bridge.log().matches("a paste begins").count() > 1).then_some(()));
    std::fs::remove_file(guest.dir().join("sway.display")).unwrap();
    guest.run("pkill -KILL -x sway");
    wait_for("word of the loss", soon(), || bridge.log().contains("trying again").then_some(()));
    wait_for("another sway", soon(), || guest.dir().join("sway.display").exists().then_some(()));
    wait_for("another session", soon(), || (bridge.log().matches(" session with ").count() > 1).then_some(()));
    paste.kill().unwrap();
    paste.wait().unwrap();
    // What the host has, the new one is offered.
    let socket = guest.socket();
    wait_for("the host's types", soon(), || types(&socket).iter().any(|it| it == PNG).then_some(()));
    wait_for("the descriptors of the first", soon(), || (bridge.open_fds() <= before).then_some(()));
    let ended = bridge.end();
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
}

#[test]
fn gnome_50_and_sway() {
    between_sway_and_gnome(Suite::Forky);
}

#[test]
fn gnome_48_and_sway() {
    between_sway_and_gnome(Suite::Trixie);
}

#[test]
fn gnome_43_and_sway() {
    between_sway_and_gnome(Suite::Bookworm);
}
