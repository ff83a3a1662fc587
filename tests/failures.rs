//! Bad surroundings: each ends with the documented exit code and one line that says what is wrong and what
//! to do next, or is waited out. Nothing panics, nothing hangs, nothing is left behind.

mod common;

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Bridge, Ended, SOON, wait_for};
use fake_guest::{FakeGuest, Fill, GuestOptions, Linker, Monitor, MutterOptions, Refusal};
use fake_host::{BadTable, Broken, Builder, Dmabuf, FakeHost, fourcc, modifier};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use rustix::process::Signal;

const NO_ENV: &[(&str, &str)] = &[];

fn wolf() -> Builder {
    FakeHost::builder().wolf()
}

/// It ended with this code, and its last line says these words; nothing else of it is an error line.
#[track_caller]
fn failed(ended: &Ended, code: i32, words: &[&str]) {
    let last = ended.last_line();
    assert_eq!(ended.code, Some(code), "{}", ended.log);
    assert!(last.starts_with("wolf-bridge: "), "{}", ended.log);
    for word in words {
        assert!(last.contains(word), "{word:?} is not in: {last}");
    }
    let error_lines = ended.log.lines().filter(|line| line.starts_with("wolf-bridge: ")).count();
    assert_eq!(error_lines, 1, "{}", ended.log);
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
}

/// A bridge with this environment alone, to its end.
#[track_caller]
fn run(env: &[(&str, &str)], args: &[&str]) -> Ended {
    Bridge::start_bare(env, args).ended()
}

/// The names in a folder.
fn listing(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().filter_map(Result::ok);
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[track_caller]
fn shows_a_picture(host: &FakeHost, guest: &FakeGuest, bridge: &Bridge) {
    let frames = host.look(|seen| seen.frame_count());
    let producer = bridge.expect(guest.mutter.producer(SOON));
    common::picture(bridge, host, &producer, Fill::Coded(1));
    bridge.expect(host.wait(|seen| seen.shown() && seen.frame_count() > frames, SOON));
}

// The command line.

#[test]
fn a_wrong_flag_is_told_in_one_line() {
    for (args, words) in [
        (&["--windowed", "0x0"][..], &["--windowed", "1280x720"][..]),
        (&["--windowed", "1e9x1"], &["--windowed", "1280x720"]),
        (&["--windowed"], &["--windowed"]),
        (&["--host", ""], &["--host", "empty"]),
        (&["--host", "a/b"], &["--host", "absolute path"]),
        (&["--monitor", ""], &["--monitor", "HDMI-1"]),
        (&["--guest-timeout", "-1"], &["--guest-timeout"]),
        (&["--guest-timeout=-1"], &["--guest-timeout", "86400"]),
        (&["--guest-timeout", "soon"], &["--guest-timeout", "86400"]),
        (&["--on-close", "explode"], &["--on-close", "exit", "ignore"]),
        (&["--pointer", "sideways"], &["--pointer", "auto", "absolute", "relative"]),
        (&["--cursor", "blinking"], &["--cursor", "embedded", "overlay", "host", "hidden"]),
        (&["--no-such-flag"], &["--no-such-flag"]),
        (&["something"], &["something"]),
        (&["--log", "a=b=c"], &["--log", "debug"]),
    ] {
        let ended = run(NO_ENV, args);
        failed(&ended, 2, words);
        if args[0] != "--log" {
            failed(&ended, 2, &["wolf-bridge --help"]);
        }
    }
}

#[test]
fn help_and_version_are_no_failures() {
    for flag in ["--help", "--version"] {
        assert_eq!(run(NO_ENV, &[flag]).code, Some(0));
    }
}

// The host.

#[test]
fn no_host_is_named() {
    failed(&run(NO_ENV, &[]), 3, &["WAYLAND_DISPLAY", "--host"]);
}

#[test]
fn a_name_needs_a_runtime_dir() {
    failed(&run(&[("WAYLAND_DISPLAY", "wayland-1")], &[]), 3, &["XDG_RUNTIME_DIR is not set", "wayland-1"]);
}

#[test]
fn a_host_that_does_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = dir.path().to_str().unwrap();
    let ended = run(&[("WAYLAND_DISPLAY", "wayland-7"), ("XDG_RUNTIME_DIR", runtime)], &[]);
    failed(&ended, 3, &["no host at", &format!("{runtime}/wayland-7"), "start the compositor first"]);
    assert_eq!(listing(dir.path()), Vec::<String>::new());
    // A path that is too long for a socket, one that is a folder, and one that is a file.
    let long = format!("/tmp/{}", "x".repeat(200));
    failed(&run(NO_ENV, &["--host", &long]), 3, &["no host at"]);
    failed(&run(NO_ENV, &["--host", runtime]), 3, &["no host at"]);
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    failed(&run(NO_ENV, &["--host", file.to_str().unwrap()]), 3, &["no host at"]);
}

#[test]
fn a_broken_host() {
    for (how, words) in [
        (Broken::NobodyListens, &["no host at", "start the compositor first"][..]),
        (Broken::CloseAtOnce, &["the host at", "closed the connection"]),
        (Broken::NeverAnswers, &["the host at", "did not answer within 5 s"]),
        (Broken::Garbage, &["the host at", "does not speak Wayland", "is it the right socket?"]),
    ] {
        let host = FakeHost::builder().broken(how).start().unwrap();
        let began = Instant::now();
        let ended = Bridge::start(host.socket(), NO_ENV, &[]).ended();
        failed(&ended, 3, words);
        assert!(began.elapsed() < Duration::from_secs(10), "{how:?}");
    }
}

/// A host that has what it must have, and answers only so many questions (wl_display.sync). How many it was asked.
fn answers_only(times: usize) -> (tempfile::TempDir, PathBuf, Arc<AtomicUsize>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wayland-0");
    let listener = UnixListener::bind(&path).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    thread::spawn({
        let asked = Arc::clone(&asked);
        move || {
            let (mut client, _) = listener.accept().unwrap();
            let event = |object: u32, opcode: u32, body: &[u32]| {
                let words = [&[object, (8 + 4 * body.len() as u32) << 16 | opcode], body].concat();
                words.into_iter().flat_map(u32::to_ne_bytes).collect::<Vec<u8>>()
            };
            let mut head = [0; 8];
            while client.read_exact(&mut head).is_ok() {
                let [object, size_opcode] = [0, 4].map(|at| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap()));
                let mut body = vec![0; (size_opcode >> 16) as usize - 8];
                client.read_exact(&mut body).unwrap();
                let id = || u32::from_ne_bytes(body[..4].try_into().unwrap());
                match (object, size_opcode & 0xffff) {
                    // wl_display.sync; wl_callback.done
                    (1, 0) if asked.fetch_add(1, Ordering::SeqCst) < times => {
                        client.write_all(&event(id(), 0, &[0])).unwrap();
                    }
                    // wl_display.get_registry; wl_registry.global
                    (1, 1) => {
                        for (name, interface) in [(1, "wl_compositor"), (2, "wl_shm"), (3, "xdg_wm_base")] {
                            let mut text = interface.as_bytes().to_vec();
                            text.resize((interface.len() / 4 + 1) * 4, 0);
                            let text = text.chunks(4).map(|word| u32::from_ne_bytes(word.try_into().unwrap()));
                            let length = interface.len() as u32 + 1;
                            let body: Vec<u32> = [name, length].into_iter().chain(text).chain([4]).collect();
                            client.write_all(&event(id(), 0, &body)).unwrap();
                        }
                    }
                    _ => {}
                }
            }
        }
    });
    (dir, path, asked)
}

/// A host that listens and accepts nobody any more; what keeps it so.
fn full() -> (tempfile::TempDir, PathBuf, impl Sized) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wayland-0");
    let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let waiting = UnixStream::connect(&path).unwrap();
    (dir, path, (listener, waiting))
}

fn signal(bridge: &Bridge, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(bridge.pid() as i32).unwrap(), signal).unwrap();
}

#[test]
fn a_host_that_falls_silent_is_waited_for_no_longer_than_told() {
    let began = Instant::now();
    let (_full, path, _kept) = full();
    let bridges: Vec<_> = (0..4)
        .map(|times| {
            let (dir, path, _) = answers_only(times);
            (Bridge::start(&path, NO_ENV, &[]), dir)
        })
        .collect();
    let no_room = Bridge::start(&path, NO_ENV, &[]);
    let (bridges, _dirs): (Vec<_>, Vec<_>) = bridges.into_iter().unzip();
    for bridge in bridges.into_iter().chain([no_room]) {
        failed(&bridge.ended(), 3, &["the host at", "did not answer within 5 s", "frozen"]);
    }
    assert!(began.elapsed() >= Duration::from_secs(5));
}

#[test]
fn a_signal_ends_the_wait_for_a_host() {
    for (times, asked_to) in [(0, Signal::TERM), (1, Signal::TERM), (2, Signal::INT), (3, Signal::TERM)] {
        let (_dir, path, asked) = answers_only(times);
        let bridge = Bridge::start(&path, NO_ENV, &[]);
        wait_for("the last question", SOON, || (asked.load(Ordering::SeqCst) > times).then_some(()));
        // Nothing is counted yet, and this is no reason to end.
        signal(&bridge, Signal::USR1);
        let began = Instant::now();
        signal(&bridge, asked_to);
        let ended = bridge.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        // It would give up after 5 s by itself, with another code.
        assert!(began.elapsed() < Duration::from_secs(4), "{times} answers: {:?}", began.elapsed());
    }
    let (_dir, path, _kept) = full();
    let bridge = Bridge::start(&path, NO_ENV, &[]);
    wait_for("it is there", SOON, || bridge.blocks_signals().then_some(()));
    signal(&bridge, Signal::TERM);
    assert_eq!(bridge.ended().code, Some(0));
}

#[test]
fn a_missing_global_is_named() {
    for global in ["wl_compositor", "wl_shm", "xdg_wm_base"] {
        let host = wolf().without(global).start().unwrap();
        let ended = Bridge::start(host.socket(), NO_ENV, &[]).ended();
        failed(&ended, 3, &["the host at", global, "is it the right socket?"]);
    }
}

#[test]
fn a_host_with_nothing_more_than_it_must_have_will_do() {
    let mut host = FakeHost::builder();
    for global in [
        "wl_subcompositor",
        "zxdg_output_manager_v1",
        "wl_seat",
        "wl_data_device_manager",
        "wp_viewporter",
        "wp_presentation",
        "zwp_relative_pointer_manager_v1",
        "zwp_pointer_constraints_v1",
        "wp_single_pixel_buffer_manager_v1",
        "wp_fractional_scale_manager_v1",
        "zxdg_decoration_manager_v1",
        "zwp_linux_dmabuf_v1",
    ] {
        host = host.without(global);
    }
    let host = host.start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let bridge = Bridge::start(host.socket(), &guest.env(), &[]);
    shows_a_picture(&host, &guest, &bridge);
    bridge.end();
}

#[test]
fn an_unreadable_format_table_costs_dmabufs_at_most() {
    for table in
        [BadTable::Pipe, BadTable::ShorterThanSaid, BadTable::OddSize, BadTable::Empty, BadTable::IndexOutOfRange]
    {
        let formats = vec![(fourcc::XRGB8888, modifier::LINEAR), (fourcc::ARGB8888, modifier::LINEAR)];
        let host = wolf().dmabuf(Dmabuf::feedback(5, 0, formats)).broken(Broken::FormatTable(table));
        let host = host.start().unwrap();
        let guest = FakeGuest::start(GuestOptions::default()).unwrap();
        let bridge = Bridge::start(host.socket(), &guest.env(), &[]);
        shows_a_picture(&host, &guest, &bridge);
        let ended = bridge.end();
        assert!(!ended.log.contains("panicked"), "{table:?}: {}", ended.log);
        assert_eq!(host.seen().errors, [], "{table:?}");
    }
}

#[test]
fn a_hosts_protocol_error_is_told() {
    let host = wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let bridge = Bridge::start(host.socket(), &guest.env(), &[]);
    shows_a_picture(&host, &guest, &bridge);
    assert!(host.post_error(7, "the test says so"));
    failed(&bridge.ended(), 3, &["the host ended the connection", "7 on wl_surface", "the test says so", "report"]);
    all_given_back(&guest);
}

#[test]
fn a_host_that_dies_ends_the_bridge() {
    let host = wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let before = listing(guest.dir());
    let bridge = Bridge::start(host.socket(), &guest.env(), &[]);
    shows_a_picture(&host, &guest, &bridge);
    host.kill();
    failed(&bridge.ended(), 3, &["the host went away", "start the bridge again"]);
    all_given_back(&guest);
    assert_eq!(listing(guest.dir()), before, "files are left behind");
}

/// The guest has no session of the bridge any more.
#[track_caller]
fn all_given_back(guest: &FakeGuest) {
    let none = |s: &fake_guest::MutterState| (s.remote_sessions.is_empty() && s.cast_sessions.is_empty()).then_some(());
    guest.mutter.wait(none, SOON).unwrap();
    guest.eis.wait(|s| (s.connected == 0).then_some(()), SOON).unwrap();
}

// The guest.

#[test]
fn no_session_bus() {
    let host = wolf().start().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let runtime = dir.path().to_str().unwrap();
    let missing = format!("unix:path={runtime}/bus");
    for env in [
        &[][..],
        &[("XDG_RUNTIME_DIR", runtime)],
        &[("DBUS_SESSION_BUS_ADDRESS", missing.as_str())],
        &[("DBUS_SESSION_BUS_ADDRESS", "nonsense")],
        &[("DBUS_SESSION_BUS_ADDRESS", "")],
        &[("DBUS_SESSION_BUS_ADDRESS", "tcp:host=127.0.0.1,port=1")],
    ] {
        let ended = Bridge::start(host.socket(), env, &["--guest-timeout", "0.7"]).ended();
        failed(&ended, 4, &["no guest within 0.7 s", "no session bus", "DBUS_SESSION_BUS_ADDRESS"]);
        assert_eq!(ended.log.matches(" WARN ").count(), 1, "each reason is said once: {}", ended.log);
    }
    assert_eq!(listing(dir.path()), Vec::<String>::new());
}

#[test]
fn a_session_bus_that_never_answers() {
    let host = wolf().start().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let _nobody = UnixListener::bind(dir.path().join("bus")).unwrap();
    let address = format!("unix:path={}/bus", dir.path().display());
    let env = [("DBUS_SESSION_BUS_ADDRESS", address.as_str())];
    let ended = Bridge::start(host.socket(), &env, &["--guest-timeout", "0.7"]).ended();
    failed(&ended, 4, &["no guest within 0.7 s", "does not answer"]);
}

#[test]
fn a_host_that_never_says_how_large_the_window_is() {
    let host = wolf().manual_configure().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let ended = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "2"]).ended();
    failed(&ended, 3, &["the host gave the window no size within 2 s"]);
}

#[test]
fn no_mutter_on_the_bus() {
    let host = wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    guest.mutter.vanish();
    let ended = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "0.7"]).ended();
    failed(&ended, 4, &["no GNOME Shell on the session bus", "start `gnome-shell --headless"]);
}

#[test]
fn a_mutter_that_comes_in_time_is_found() {
    let host = wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    guest.mutter.vanish();
    let bridge = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "20"]);
    wait_for("the bridge misses Mutter", SOON, || bridge.log().contains("no GNOME Shell").then_some(()));
    guest.mutter.reappear().unwrap();
    shows_a_picture(&host, &guest, &bridge);
    bridge.end();
    all_given_back(&guest);
}

#[test]
fn no_pipewire() {
    let host = wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let mut env = guest.env();
    for (name, value) in &mut env {
        if name == "PIPEWIRE_REMOTE" {
            *value = "pipewire-9".into();
        }
    }
    let ended = Bridge::start(host.socket(), &env, &["--guest-timeout", "0.7"]).ended();
    failed(&ended, 4, &["PipeWire"]);
    all_given_back(&guest);
}

#[test]
fn no_pipewire_for_mutter_either() {
    let host = wolf().start().unwrap();
    let mut guest = FakeGuest::start(GuestOptions::default()).unwrap();
    guest.pipewire.stop();
    let ended = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "0.7"]).ended();
    failed(&ended, 4, &["Mutter ended the session before it had a stream", "does pipewire run"]);
    all_given_back(&guest);
}

#[test]
fn a_pipewire_that_starts_late_is_found() {
    let host = wolf().start().unwrap();
    let mut guest = FakeGuest::start(GuestOptions::default()).unwrap();
    guest.pipewire.stop();
    let bridge = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "20"]);
    // Mutter ends a session that it has no stream for; that is not waited out.
    wait_for("two tries", Duration::from_secs(10), || (guest.mutter.state().sessions_made >= 2).then_some(()));
    guest.pipewire.restart().unwrap();
    shows_a_picture(&host, &guest, &bridge);
    bridge.end();
    all_given_back(&guest);
}

#[test]
fn a_stream_that_nobody_links_is_linked_by_the_bridge() {
    let host = wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions { linker: Linker::None, ..Default::default() }).unwrap();
    let bridge = Bridge::start(host.socket(), &guest.env(), &[]);
    shows_a_picture(&host, &guest, &bridge);
    assert!(bridge.end().log.contains("linking it by hand"));
}

#[test]
fn a_method_that_is_refused_is_named() {
    for method in ["CreateSession", "RecordVirtual", "Start"] {
        let host = wolf().start().unwrap();
        let mutter = MutterOptions { refuse: vec![method.into()], ..Default::default() };
        let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() }).unwrap();
        let ended = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "0.7"]).ended();
        failed(&ended, 4, &["Mutter refused", method, "refused by the test", "log"]);
        all_given_back(&guest);
    }
}

#[test]
fn a_method_that_hangs_is_waited_for_no_longer_than_told() {
    for method in ["CreateSession", "RecordVirtual", "ConnectToEIS", "Start"] {
        let host = wolf().start().unwrap();
        let mutter = MutterOptions { hang: vec![method.into()], ..Default::default() };
        let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() }).unwrap();
        let began = Instant::now();
        let ended = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "0.7"]).ended();
        failed(&ended, 4, &["no guest within 0.7 s", "does not answer", "gnome-shell"]);
        assert!(began.elapsed() < Duration::from_secs(5), "{method}: {:?}", began.elapsed());
        all_given_back(&guest);
    }
}

#[test]
fn a_stream_without_a_node_is_waited_for_no_longer_than_told() {
    let host = wolf().start().unwrap();
    let mutter = MutterOptions { never_node: true, ..Default::default() };
    let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() }).unwrap();
    let ended = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "0.7"]).ended();
    failed(&ended, 4, &["no guest within 0.7 s", "does not answer", "gnome-shell"]);
    all_given_back(&guest);
}

#[test]
fn a_frozen_mutter_is_told_and_the_window_can_still_be_closed() {
    let host = wolf().start().unwrap();
    let mut mutter = MutterOptions::default();
    mutter.delays.insert("CreateSession".into(), Duration::from_secs(3));
    let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() }).unwrap();
    let bridge = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "0"]);
    bridge.expect(host.wait(|seen| !seen.windows.is_empty(), SOON));
    let began = Instant::now();
    bridge.end();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn an_input_server_that_throws_us_out_is_named() {
    let host = wolf().start().unwrap();
    let mut options = GuestOptions::default();
    options.eis.refuse = Some(Refusal::Disconnect);
    let guest = FakeGuest::start(options).unwrap();
    let ended = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "0.7"]).ended();
    failed(&ended, 4, &["the guest's input server ended the connection"]);
    // It waits longer each time.
    assert!(guest.mutter.state().sessions_made <= 5, "{}", guest.mutter.state().sessions_made);
    all_given_back(&guest);
}

#[test]
fn a_signal_ends_the_wait_for_a_guest() {
    for signal in [Signal::TERM, Signal::INT] {
        let host = wolf().start().unwrap();
        let bridge = Bridge::start(host.socket(), NO_ENV, &[]);
        wait_for("the bridge misses its bus", SOON, || bridge.log().contains("no session bus").then_some(()));
        self::signal(&bridge, signal);
        let ended = bridge.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        host.wait(|seen| seen.client_gone(), SOON).unwrap();
    }
}

#[test]
fn a_close_ends_the_wait_for_a_guest() {
    let host = wolf().start().unwrap();
    let bridge = Bridge::start(host.socket(), NO_ENV, &[]);
    bridge.expect(host.wait(|seen| !seen.windows.is_empty(), SOON));
    assert!(host.close_toplevel());
    let ended = bridge.ended();
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[test]
fn an_unknown_monitor_is_named() {
    let host = wolf().start().unwrap();
    let monitors = vec![Monitor { connector: "Meta-0".into(), position: (0, 0), size: (800, 600) }];
    let mutter = MutterOptions { monitors, ..Default::default() };
    let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() }).unwrap();
    let ended = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "0.7", "--monitor", "HDMI-7"]).ended();
    failed(&ended, 4, &["HDMI-7", "--monitor"]);
    all_given_back(&guest);
}

#[test]
fn a_guest_that_goes_for_good_ends_the_bridge() {
    let host = wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let bridge = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "0.7"]);
    shows_a_picture(&host, &guest, &bridge);
    guest.mutter.vanish();
    failed(&bridge.ended(), 4, &["no guest within 0.7 s", "no GNOME Shell on the session bus"]);
}

#[test]
fn a_guest_that_comes_back_is_shown_again_in_the_same_window() {
    let host = wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let bridge = Bridge::start(host.socket(), &guest.env(), &["--guest-timeout", "20"]);
    shows_a_picture(&host, &guest, &bridge);
    for round in 0..3 {
        match round {
            // The user's "stop" in GNOME, a crash, and a crash of PipeWire's node.
            0 => guest.mutter.close_session(),
            1 => {
                guest.mutter.vanish();
                guest.mutter.reappear().unwrap();
            }
            _ => guest.mutter.producer(SOON).unwrap().end(),
        }
        let made = |s: &fake_guest::MutterState| (s.sessions_made >= round + 2 && s.producer().is_some()).then_some(());
        bridge.expect(guest.mutter.wait(made, SOON));
        shows_a_picture(&host, &guest, &bridge);
    }
    host.look(|seen| {
        assert_eq!(seen.windows.len(), 1);
        assert!(!seen.windows[0].destroyed);
        let unmapped = seen.window_commits().any(|commit| commit.attached == fake_host::Attached::Null);
        assert!(!unmapped, "the window was blank in between");
    });
    bridge.end();
    all_given_back(&guest);
}
