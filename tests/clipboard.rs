//! The clipboard between a host as strict as Wolf's and a Mutter as strict as the real one: what is copied on one side is
//! pasted on the other, byte for byte, and bad neighbours hurt nobody but themselves.

mod common;

use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use common::SOON;
use common::pipes::{Writer, all, has, noise, silent, some};
use common::wait_for;
use common::world::{RED, World, wolf};
use fake_guest::{GuestOptions, MutterOptions};
use fake_host::{Builder, FakeHost, Selection, SelectionOwner, code};

const TEXT: &str = "text/plain;charset=utf-8";
const PNG: &str = "image/png";
const MIB: usize = 1 << 20;

/// A window with the keyboard's focus, and a session whose clipboard is enabled.
fn world(host: Builder, args: &[&str]) -> World {
    ready(World::with(host, GuestOptions::default(), args))
}

fn ready(world: World) -> World {
    world.show(RED);
    if !world.bridge.log().contains("without the clipboard") {
        let is_enabled =
            |s: &fake_guest::MutterState| s.order().iter().any(|it| it.ends_with("EnableClipboard")).then_some(());
        world.bridge.expect(world.guest.mutter.wait(is_enabled, SOON));
    }
    world
}

impl World {
    fn host_copies(&self, content: &[(&str, Writer)]) {
        self.host.clipboard().copy(content);
    }

    /// The guest is offered this.
    fn guest_has(&self, mime: &str) {
        let offered = |s: &fake_guest::MutterState| s.clipboard.as_ref()?.iter().any(|it| it == mime).then_some(());
        self.bridge.expect(self.guest.mutter.wait(offered, SOON));
    }

    /// The host is offered this.
    fn host_has(&self, mime: &str) {
        let offered = |seen: &fake_host::Seen| owned(seen).is_some_and(|mimes| mimes.iter().any(|it| it == mime));
        self.bridge.expect(self.host.wait(offered, SOON));
    }

    fn guest_pastes(&self, mime: &str) -> OwnedFd {
        self.bridge.expect(self.guest.mutter.paste(mime))
    }

    fn host_pastes(&self, mime: &str) -> OwnedFd {
        self.host.clipboard().paste(mime).expect("the bridge owns the host's selection")
    }

    /// How the paste of this number ended in the guest.
    fn written(&self, number: usize) -> bool {
        self.bridge.expect(self.guest.mutter.wait(|s| s.written.get(number).copied(), SOON)).1
    }

    /// Calls of this method, so far.
    fn calls(&self, member: &str) -> usize {
        self.guest.mutter.state().order().iter().filter(|it| it.ends_with(&format!(".{member}"))).count()
    }

    fn warnings(&self, of: &str) -> usize {
        self.bridge.log().lines().filter(|line| line.contains(" WARN ") && line.contains(of)).count()
    }
}

/// What a client owns the host's selection with.
fn owned(seen: &fake_host::Seen) -> Option<&[String]> {
    match &seen.selection_owner {
        SelectionOwner::Client(mimes) => Some(mimes),
        _ => None,
    }
}

#[test]
fn what_the_host_copies_is_pasted_in_the_guest() {
    let world = world(wolf(), &[]);
    let png = noise(70_000);
    world.host_copies(&[(TEXT, has("grüße")), (PNG, has(png.clone()))]);
    world.guest_has(PNG);
    assert_eq!(all(world.guest_pastes(TEXT), SOON), "grüße".as_bytes());
    assert!(world.written(0));
    assert!(all(world.guest_pastes(PNG), SOON) == png);
    assert!(world.written(1));
    // The other name of plain text, which the owner does not have.
    assert_eq!(all(world.guest_pastes("UTF8_STRING"), SOON), "grüße".as_bytes());
    world.host_copies(&[("text/html", has("<b>"))]);
    world.guest_has("text/html");
    assert_eq!(world.guest.mutter.state().clipboard.unwrap(), ["text/html"]);
    assert_eq!(all(world.guest_pastes("text/html"), SOON), b"<b>");
    world.host.clipboard().clear();
    world.bridge.expect(world.guest.mutter.wait(|s| s.clipboard.is_none().then_some(()), SOON));
    // Nothing of this went back.
    assert_eq!(world.host.look(|seen| seen.selections.clone()), []);
    world.end();
}

#[test]
fn what_the_guest_copies_is_pasted_in_the_host() {
    let world = world(wolf(), &[]);
    let png = noise(70_000);
    world.guest.mutter.copy(&[("UTF8_STRING", has("grüße")), (PNG, has(png.clone()))]);
    world.host_has(PNG);
    assert_eq!(all(world.host_pastes("UTF8_STRING"), SOON), "grüße".as_bytes());
    assert!(all(world.host_pastes(PNG), SOON) == png);
    assert_eq!(all(world.host_pastes(TEXT), SOON), "grüße".as_bytes());
    world.guest.mutter.copy(&[("text/html", has("<b>"))]);
    world.host_has("text/html");
    assert_eq!(all(world.host_pastes("text/html"), SOON), b"<b>");
    assert!(world.host.clipboard().paste(PNG).is_none());
    // The host tells it again with the focus; it is known again, and not announced once more.
    world.host.keyboard().leave().enter(&[]).tap(code::KEY_A);
    assert_eq!(all(world.host_pastes("text/html"), SOON), b"<b>");
    assert_eq!(world.host.look(|seen| seen.selections.len()), 2);
    world.guest.mutter.clear_clipboard();
    world.bridge.expect(world.host.wait(|seen| seen.selection_owner == SelectionOwner::Nobody, SOON));
    wait_for("the sources to go", SOON, || (world.host.look(|seen| seen.sources_alive) == 0).then_some(()));
    // Nothing of this went back.
    assert_eq!(world.calls("SetSelection"), 0);
    world.end();
}

#[test]
fn the_newest_copy_wins_wherever_it_is_made() {
    for host in [wolf(), FakeHost::builder()] {
        let world = world(host, &[]);
        for round in 0..5 {
            let (mine, yours) = (format!("a/{round}"), format!("b/{round}"));
            world.host_copies(&[(&mine, has(mine.clone()))]);
            world.guest_has(&mine);
            assert_eq!(all(world.guest_pastes(&mine), SOON), mine.as_bytes());
            world.guest.mutter.copy(&[(&yours, has(yours.clone()))]);
            world.host_has(&yours);
            assert_eq!(all(world.host_pastes(&yours), SOON), yours.as_bytes());
        }
        assert_eq!((world.calls("SetSelection"), world.host.look(|seen| seen.selections.len())), (5, 5));
        world.end();
    }
}

/// Sizes up to the limit and beyond, in one direction: what is pasted of so many bytes.
fn sizes(mut paste: impl FnMut(Vec<u8>) -> Vec<u8>) {
    for size in [0, 1, MIB, 64 * MIB] {
        let content = noise(size);
        assert!(paste(content.clone()) == content, "{size} bytes");
    }
    let content = noise(64 * MIB + 1);
    let pasted = paste(content.clone());
    assert!(pasted.len() == 64 * MIB && content.starts_with(&pasted), "{} bytes", pasted.len());
}

#[test]
fn sizes_into_the_guest() {
    let world = world(wolf(), &[]);
    let mut round = 0;
    sizes(|content| {
        let mime = format!("application/{round}");
        world.host_copies(&[(&mime, has(content))]);
        world.guest_has(&mime);
        let pasted = all(world.guest_pastes(&mime), SOON);
        assert_eq!(world.written(round), round < 4);
        round += 1;
        pasted
    });
    assert_eq!(world.warnings("--clipboard-limit"), 1);
    world.end();
}

#[test]
fn sizes_into_the_host() {
    let world = world(wolf(), &[]);
    let mut round = 0;
    sizes(|content| {
        let mime = format!("application/{round}");
        round += 1;
        world.guest.mutter.copy(&[(&mime, has(content))]);
        world.host_has(&mime);
        all(world.host_pastes(&mime), SOON)
    });
    assert_eq!(world.warnings("--clipboard-limit"), 1);
    world.end();
}

#[test]
fn the_limit_is_what_was_asked_for() {
    let world = world(wolf(), &["--clipboard-limit", "1K"]);
    world.host_copies(&[("a/b", has(vec![1; 1024])), ("a/c", has(vec![1; 1025]))]);
    world.guest_has("a/b");
    assert_eq!(all(world.guest_pastes("a/b"), SOON).len(), 1024);
    assert_eq!(all(world.guest_pastes("a/c"), SOON).len(), 1024);
    assert_eq!([world.written(0), world.written(1)], [true, false]);
    world.end();
}

#[test]
fn an_owner_that_dies_amid_a_paste_leaves_what_it_wrote() {
    let world = world(wolf(), &[]);
    // The pipe of an owner that dies is closed by the kernel, which is all that anybody sees of it.
    let half = noise(3 * MIB);
    world.host_copies(&[(PNG, has(half.clone())), (TEXT, has("after"))]);
    world.guest_has(PNG);
    let paste = world.guest_pastes(PNG);
    let start = some(&paste);
    world.host.clipboard().clear();
    assert!([start, all(paste, SOON)].concat() == half);
    world.guest.mutter.copy(&[(PNG, has(half.clone())), (TEXT, has("after"))]);
    world.host_has(PNG);
    let paste = world.host_pastes(PNG);
    let start = some(&paste);
    world.guest.mutter.clear_clipboard();
    assert!([start, all(paste, SOON)].concat() == half);
    world.guest.mutter.copy(&[(TEXT, has("after"))]);
    world.host_has(TEXT);
    assert_eq!(all(world.host_pastes(TEXT), SOON), b"after");
    world.end();
}

#[test]
fn an_owner_in_the_host_that_never_writes_is_given_up() {
    let world = world(wolf(), &[]);
    world.host_copies(&[(PNG, silent()), (TEXT, has("text"))]);
    world.guest_has(PNG);
    let stuck = world.guest_pastes(PNG);
    // Others do not wait for it.
    assert_eq!(all(world.guest_pastes(TEXT), Duration::from_secs(5)), b"text");
    assert_eq!(all(stuck, SOON), b"");
    assert_eq!([world.written(0), world.written(1)], [true, false]);
    assert_eq!(world.warnings("its owner writes nothing"), 1);
    world.end();
}

#[test]
fn a_reader_in_the_guest_that_never_reads_is_given_up() {
    let world = world(wolf(), &[]);
    world.host_copies(&[(PNG, has(noise(MIB))), (TEXT, has("text"))]);
    world.guest_has(PNG);
    let files = world.open_files();
    let unread = world.guest_pastes(PNG);
    assert_eq!(all(world.guest_pastes(TEXT), Duration::from_secs(5)), b"text");
    assert!(world.written(0), "the text");
    assert!(!world.written(1), "the picture");
    assert_eq!(world.warnings("reads nothing"), 1);
    wait_for("its pipes to be closed", SOON, || (world.open_files() == files).then_some(()));
    drop(unread);
    world.end();
}

#[test]
fn an_owner_in_the_guest_that_never_writes_is_given_up() {
    let world = world(wolf(), &[]);
    world.guest.mutter.copy(&[(PNG, silent()), (TEXT, has("text"))]);
    world.host_has(PNG);
    let files = world.open_files();
    let stuck = world.host_pastes(PNG);
    let next = world.host_pastes(TEXT);
    assert_eq!(all(stuck, SOON), b"");
    // Mutter reads one thing at a time.
    assert_eq!(all(next, SOON), b"text");
    assert_eq!(world.warnings("its owner writes nothing"), 1);
    wait_for("its pipes to be closed", SOON, || (world.open_files() == files).then_some(()));
    world.end();
}

#[test]
fn another_copy_in_the_guest_does_not_wait_for_an_owner_that_never_writes() {
    let world = world(wolf(), &[]);
    world.guest.mutter.copy(&[(PNG, silent())]);
    world.host_has(PNG);
    let _stuck = world.host_pastes(PNG);
    wait_for("the read", SOON, || (world.calls("SelectionRead") == 1).then_some(()));
    world.guest.mutter.copy(&[(TEXT, has("text"))]);
    world.host_has(TEXT);
    assert_eq!(all(world.host_pastes(TEXT), Duration::from_secs(6)), b"text");
    world.end();
}

#[test]
fn a_reader_in_the_host_that_never_reads_holds_nobody_up() {
    let world = world(wolf(), &[]);
    world.guest.mutter.copy(&[(PNG, has(noise(MIB))), (TEXT, has("text"))]);
    world.host_has(PNG);
    let unread = world.host_pastes(PNG);
    // Less than the patience with a reader whom nobody waits for.
    assert_eq!(all(world.host_pastes(TEXT), Duration::from_secs(6)), b"text");
    assert_eq!(world.warnings("reads nothing"), 1);
    drop(unread);
    world.end();
}

#[test]
fn pastes_leave_no_descriptors_behind() {
    let world = world(wolf(), &[]);
    world.host_copies(&[(TEXT, has("text"))]);
    world.guest_has(TEXT);
    let mut files = None;
    for round in 0..40 {
        assert_eq!(all(world.guest_pastes(TEXT), SOON), b"text");
        // One that wants nothing of it.
        drop(world.guest_pastes(TEXT));
        assert!(world.written(2 * round));
        world.written(2 * round + 1);
        if round == 0 {
            files = Some(world.open_files());
        }
    }
    wait_for("the pipes to be closed", SOON, || (Some(world.open_files()) == files).then_some(()));
    world.guest.mutter.copy(&[(TEXT, has("back"))]);
    world.host_has(TEXT);
    for _ in 0..40 {
        assert_eq!(all(world.host_pastes(TEXT), SOON), b"back");
        drop(world.host_pastes(TEXT));
    }
    wait_for("the pipes to be closed", SOON, || (Some(world.open_files()) == files).then_some(()));
    world.end();
}

#[test]
fn more_pastes_than_are_sane_are_refused_and_not_kept() {
    let world = world(wolf(), &[]);
    world.host_copies(&[(PNG, silent())]);
    world.guest_has(PNG);
    let files = world.open_files();
    let began = Instant::now();
    let pastes: Vec<OwnedFd> = (0..40).map(|_| world.guest_pastes(PNG)).collect();
    let is_refused = |s: &fake_guest::MutterState| (s.written.len() >= 24).then(|| s.written.clone());
    let refused = world.bridge.expect(world.guest.mutter.wait(is_refused, SOON));
    assert!(began.elapsed() < Duration::from_secs(9), "refused at once, and not given up later");
    assert!(refused.iter().all(|(_, is_all)| !is_all), "{refused:?}");
    assert_eq!(world.open_files().len(), files.len() + 2 * 16);
    for paste in pastes {
        assert_eq!(all(paste, SOON), b"");
    }
    wait_for("the pipes to be closed", SOON, || (world.open_files() == files).then_some(()));

    world.guest.mutter.copy(&[(PNG, silent())]);
    world.host_has(PNG);
    let pastes: Vec<OwnedFd> = (0..40).map(|_| world.host_pastes(PNG)).collect();
    // One is read, sixteen wait, and the others' pipes are closed.
    let is_closed = |paste: &&OwnedFd| {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(paste, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok_and(|count| count == 1)
    };
    wait_for("the refusals", Duration::from_secs(9), || (pastes.iter().filter(is_closed).count() == 23).then_some(()));
    world.end();
}

#[test]
fn a_paste_into_what_is_no_pipe_is_refused() {
    let world = world(wolf(), &[]);
    world.guest.mutter.copy(&[(TEXT, has("text"))]);
    world.host_has(TEXT);
    let file = tempfile::tempfile().unwrap();
    assert!(world.host.clipboard().paste_into(TEXT, file.into()));
    assert_eq!(all(world.host_pastes(TEXT), SOON), b"text");
    assert_eq!(world.warnings("not a pipe"), 1);
    let (mine, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    assert!(world.host.clipboard().paste_into(TEXT, theirs.into()));
    assert_eq!(all(mine.into(), SOON), b"text");
    world.end();
}

#[test]
fn off_means_off() {
    let world = World::with_args(wolf(), &["--clipboard", "off"]);
    world.show(RED);
    world.host_copies(&[(TEXT, has("text"))]);
    world.guest.mutter.copy(&[(TEXT, has("text"))]);
    world.settle();
    assert_eq!(world.calls("EnableClipboard"), 0);
    assert_eq!(world.host.look(|seen| seen.bound_version("wl_data_device_manager")), None);
    world.end();
}

#[test]
fn one_way_is_one_way() {
    let world = world(wolf(), &["--clipboard", "to-guest"]);
    world.guest.mutter.copy(&[("a/b", has("no"))]);
    world.host_copies(&[(TEXT, has("text"))]);
    world.guest_has(TEXT);
    assert_eq!(all(world.guest_pastes(TEXT), SOON), b"text");
    assert_eq!(world.host.look(|seen| seen.selections.clone()), []);
    world.end();

    let world = self::world(wolf(), &["--clipboard", "to-host"]);
    world.host_copies(&[("a/b", has("no"))]);
    world.guest.mutter.copy(&[(TEXT, has("text"))]);
    world.host_has(TEXT);
    assert_eq!(all(world.host_pastes(TEXT), SOON), b"text");
    assert_eq!(world.calls("SetSelection"), 0);
    world.end();
}

#[test]
fn without_the_focus_a_copy_in_the_guest_waits_for_it() {
    // Wolf tells what it has after the focus, others before.
    for host in [wolf(), FakeHost::builder()] {
        let world = world(host, &[]);
        world.host_copies(&[("a/old", has("old"))]);
        world.guest_has("a/old");
        world.host.keyboard().leave();
        // Guest and host have ways of their own: the bridge has heard of this first.
        world.heard();
        world.guest.mutter.copy(&[(TEXT, has("text"))]);
        wait_for("the copy", SOON, || {
            world.bridge.log().contains("Application(Some(Mimes([\"text/plain").then_some(())
        });
        world.host_copies(&[("a/older", has("older"))]);
        world.heard();
        assert_eq!(world.host.look(|seen| seen.selections.clone()), []);
        world.host.keyboard().enter(&[]);
        world.host_has(TEXT);
        assert_eq!(all(world.host_pastes(TEXT), SOON), b"text");
        // The other way again.
        world.host_copies(&[("a/new", has("new"))]);
        world.guest_has("a/new");
        assert_eq!(all(world.guest_pastes("a/new"), SOON), b"new");
        assert_eq!(world.host.look(|seen| seen.selections.len()), 1);
        world.end();
    }
}

#[test]
fn what_the_host_copies_while_the_window_has_no_focus_comes_with_it() {
    let world = world(wolf(), &[]);
    world.host.keyboard().leave();
    world.host_copies(&[(TEXT, has("text"))]);
    world.host.keyboard().enter(&[]);
    world.guest_has(TEXT);
    assert_eq!(all(world.guest_pastes(TEXT), SOON), b"text");
    world.end();
}

#[test]
fn a_copy_that_the_host_ignores_is_tried_again_with_the_next_key() {
    let world = world(wolf(), &[]);
    world.host.clipboard().ignore_next(1);
    world.guest.mutter.copy(&[(TEXT, has("text"))]);
    let ignored = |seen: &fake_host::Seen| seen.selections.first().cloned();
    let Selection { serial, is_taken, .. } = world.bridge.expect(world.host.wait(ignored, SOON));
    assert!(!is_taken);
    wait_for("the next key", SOON, || {
        world.host.keyboard().tap(code::KEY_A);
        world.host.look(|seen| seen.selections.len() == 2).then_some(())
    });
    world.host_has(TEXT);
    assert!(world.host.look(|seen| seen.selections[1].serial) > serial);
    assert_eq!(all(world.host_pastes(TEXT), SOON), b"text");
    world.end();
}

#[test]
fn a_guest_that_comes_again_is_offered_what_the_host_has() {
    let world = world(wolf(), &[]);
    world.host_copies(&[(TEXT, has("text"))]);
    world.guest_has(TEXT);
    let unfinished = world.guest_pastes(TEXT);
    world.guest.mutter.close_session();
    world.guest_has(TEXT);
    assert_eq!(all(world.guest_pastes(TEXT), SOON), b"text");
    drop(unfinished);
    world.end();
}

#[test]
fn what_a_guest_copied_goes_with_it() {
    let world = world(wolf(), &[]);
    world.guest.mutter.copy(&[(PNG, silent())]);
    world.host_has(PNG);
    let files = world.open_files();
    let paste = world.host_pastes(PNG);
    wait_for("the read", SOON, || (world.calls("SelectionRead") == 1).then_some(()));
    world.guest.mutter.vanish();
    world.bridge.expect(world.host.wait(|seen| seen.selection_owner == SelectionOwner::Nobody, SOON));
    assert_eq!(all(paste, Duration::from_secs(5)), b"");
    world.guest.mutter.reappear().unwrap();
    world.guest.mutter.copy(&[(TEXT, has("again"))]);
    world.host_has(TEXT);
    assert_eq!(all(world.host_pastes(TEXT), SOON), b"again");
    wait_for("the pipes to be closed", SOON, || (world.open_files().len() <= files.len()).then_some(()));
    world.bridge.end();
}

#[test]
fn a_seat_that_goes_and_comes_takes_nothing_with_it() {
    let world = world(wolf(), &[]);
    world.guest.mutter.copy(&[(TEXT, has("text"))]);
    world.host_has(TEXT);
    world.host.remove_global("wl_seat");
    world.host.add_global("wl_seat", 9).unwrap();
    world.settle();
    world.host.keyboard().leave();
    world.host.keyboard().enter(&[]);
    wait_for("the second announcement", SOON, || {
        world.host.look(|seen| seen.selections.len() == 2 && owned(seen).is_some()).then_some(())
    });
    assert_eq!(all(world.host_pastes(TEXT), SOON), b"text");
    world.end();
}

#[test]
fn a_mutter_without_a_clipboard_to_share_costs_the_clipboard_alone() {
    for refused in ["EnableClipboard", "SetSelection", "SelectionRead", "SelectionWrite"] {
        let mutter = MutterOptions { refuse: vec![refused.into()], ..Default::default() };
        let world = ready(World::with(wolf(), GuestOptions { mutter, ..Default::default() }, &[]));
        world.host_copies(&[(TEXT, has("text"))]);
        match refused {
            "EnableClipboard" => assert_eq!(world.warnings("EnableClipboard"), 1),
            "SetSelection" => wait_for("a line", SOON, || (world.warnings("SetSelection") == 1).then_some(())),
            _ => {
                world.guest_has(TEXT);
                if refused == "SelectionWrite" {
                    let guest = &world.guest.mutter;
                    thread::scope(|scope| {
                        scope.spawn(|| assert!(guest.paste(TEXT).is_err()));
                    });
                }
            }
        }
        if refused != "EnableClipboard" {
            world.guest.mutter.copy(&[(PNG, has("png"))]);
            world.host_has(PNG);
            let pasted = all(world.host_pastes(PNG), SOON);
            assert_eq!(pasted, if refused == "SelectionRead" { b"".as_slice() } else { b"png" });
        }
        world.show(RED);
        let ended = world.bridge.end();
        assert!(!ended.log.contains("panicked"), "{}", ended.log);
    }
}

#[test]
fn absurd_offers_are_cut_to_size() {
    let world = world(wolf(), &[]);
    let long = "x".repeat(3000);
    let many: Vec<String> = (0..500).map(|at| format!("a/{at}")).collect();
    let mut content: Vec<(&str, Writer)> =
        vec![(&long, has("long")), ("", has("")), ("tab\there", has("tab")), (TEXT, has("text"))];
    content.extend(many.iter().map(|mime| (mime.as_str(), has(mime.clone()))));
    world.host_copies(&content);
    world.guest_has(TEXT);
    let offered = world.guest.mutter.state().clipboard.unwrap();
    assert!((60..=65).contains(&offered.len()), "{offered:?}");
    assert_eq!(all(world.guest_pastes("a/7"), SOON), b"a/7");

    world.guest.mutter.copy(&content);
    world.host_has(TEXT);
    let offered = world.host.look(|seen| owned(seen).map(<[String]>::len)).unwrap();
    assert!((60..=66).contains(&offered), "{offered}");
    assert_eq!(all(world.host_pastes("a/7"), SOON), b"a/7");

    // What can be no type at all is nothing.
    world.host_copies(&[(&long, has("long"))]);
    wait_for("the news", SOON, || world.host.look(|seen| owned(seen).is_none()).then_some(()));
    world.host_copies(&[(TEXT, has("text"))]);
    world.guest_has(TEXT);
    world.end();
}

#[test]
fn drags_and_offers_for_nothing_pass_over() {
    let world = world(wolf(), &[]);
    world.host_copies(&[(TEXT, has("text"))]);
    world.guest_has(TEXT);
    for _ in 0..20 {
        world.host.clipboard().drag_over(&[TEXT, "text/uri-list"]);
    }
    world.host.clipboard().describe_offers(100);
    world.host_copies(&[(PNG, has("png"))]);
    world.guest_has(PNG);
    wait_for("the offers to go", SOON, || world.host.look(|seen| seen.offers_alive <= 9).then_some(()));
    assert_eq!(all(world.guest_pastes(PNG), SOON), b"png");
    world.end();
}

#[test]
fn a_host_without_a_clipboard_is_a_host_all_the_same() {
    let world = world(wolf().without("wl_data_device_manager"), &[]);
    world.guest.mutter.copy(&[(TEXT, has("text"))]);
    world.settle();
    world.end();
}
