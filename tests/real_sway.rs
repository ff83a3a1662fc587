//! sway as the guest, in sway as the host: looked at and used through the host; its end, and ours.
//! Needs the rootfs of scripts/rootfs.

mod common;

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::pin::pin;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::desktops::RealHost;
use common::usage::cpu;
use common::{Bridge, among, wait_for};
use futures_util::future::{AbortHandle, select};
use lab::{Canvas, Hands, Image, Seen, Sway, SwayGuest, keys};
use rustix::process::{Pid, Signal, kill_process};
use wolf_bridge::guest::{self, Kind, SessionEvent, Wishes};
use wolf_bridge::options::CursorMode;

/// Long enough for a desktop on a busy machine.
const SOON: Duration = Duration::from_secs(30);

const KEY_Y: u32 = 21;

/// A bridge from this guest to that host.
fn bridge(host: &RealHost, guest: &SwayGuest, args: &[&str]) -> Bridge {
    let socket = guest.socket();
    let guest_args = ["--guest", "wlroots", "--guest-socket", socket.to_str().unwrap()];
    Bridge::start_among(&guest.processes(), &host.socket(), &guest.env(), &[&guest_args, args].concat())
}

/// Waits for a first frame of a desktop at rest: its portal may miss the first picture (seen on xdg-desktop-portal-wlr
/// 0.8.4), and then has to be asked again.
fn shows_something(bridge: &Bridge) {
    let shown = || bridge.log().contains("first frame shown").then_some(());
    wait_for("a first frame", SOON, shown);
}

/// None but that the portal lost its first picture.
#[track_caller]
fn assert_no_warnings(log: &str) {
    let others = log.lines().filter(|line| line.contains(" WARN ") && !line.contains(LOST));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new());
}

/// Said when the portal is asked again for its first picture.
const LOST: &str = "sent no picture";

/// Waits until the host shows this picture of the window, which is drawn again until then: the portal may miss one later too.
fn shows_at_last(host: &RealHost, canvas: &Canvas, (width, height): (u32, u32), seed: u32) {
    let area = |image: &Image| image.region(0, 64, width - 64, height - 128);
    let expected = area(&Image::pattern(width, height, seed));
    wait_for("the picture", SOON, || {
        canvas.redraw();
        let image = host.screenshot();
        ((image.width, image.height) == (width, height) && area(&image).check(&expected).is_ok()).then_some(())
    });
}

/// A host, a guest of that size and a bridge between them, with a window in the guest that the host's hands are over.
struct World {
    host: RealHost,
    guest: SwayGuest,
    bridge: Bridge,
    canvas: Canvas,
    hands: Hands,
}

impl World {
    fn new(args: &[&str]) -> Self {
        Self::of(SwayGuest::start(1280, 720), args)
    }

    fn of(guest: SwayGuest, args: &[&str]) -> Self {
        let host = RealHost::Sway(Sway::start(1280, 720));
        let canvas = Canvas::open(&guest.socket(), 7);
        let bridge = bridge(&host, &guest, args);
        bridge.expect(canvas.wait_for_size(1280, 720, SOON));
        shows_something(&bridge);
        shows_at_last(&host, &canvas, (1280, 720), 7);
        let mut hands = host.hands();
        // The host's window hears of its first pointer and keyboard while these move already.
        wait_for("the guest's pointer", SOON, || {
            hands.move_to(600.0, 300.0);
            hands.move_to(640.0, 360.0);
            let there = |seen: &Seen| (seen.keyboard && seen.pointer == Some((640.0, 360.0))).then_some(());
            canvas.wait(Duration::from_millis(300), there).ok()
        });
        canvas.forget();
        Self { host, guest, bridge, canvas, hands }
    }

    #[track_caller]
    fn wait<T>(&self, look: impl FnMut(&Seen) -> Option<T>) -> T {
        self.bridge.expect(self.canvas.wait(SOON, look))
    }

    /// The pointer reaches this pixel, in the guest.
    #[track_caller]
    fn points(&mut self, x: u32, y: u32) {
        let at = (f64::from(x), f64::from(y));
        self.hands.move_to(at.0, at.1);
        self.wait(|seen| (seen.pointer?.0.floor() == at.0 && seen.pointer?.1.floor() == at.1).then_some(()));
    }

    #[track_caller]
    fn types(&mut self, text: &str) {
        self.canvas.forget();
        self.hands.type_text(text);
        let typed = self.wait(|seen| (seen.typed().len() >= text.len()).then(|| seen.typed()));
        assert_eq!(typed, text);
    }
}

#[test]
fn sway_is_shown_and_used_and_has_the_hosts_size() {
    if lab::skip() {
        return;
    }
    // The host's size is not the guest's at first.
    let mut world = World::of(SwayGuest::start(800, 600), &[]);
    world.canvas.show(8);
    shows_at_last(&world.host, &world.canvas, (1280, 720), 8);
    for (x, y) in [(0, 0), (1279, 0), (0, 719), (1279, 719), (641, 359)] {
        world.points(x, y);
    }
    world.types("Hello, World! {[~]}");
    world.canvas.forget();
    world.hands.click(319.0, 5.0);
    world.hands.wheel(2);
    world.hands.wheel(-3);
    world.hands.chord("ctrl+a").unwrap();
    let seen = world.wait(|seen| seen.keys().ends_with(&[(30, false), (29, false)]).then(|| seen.clone()));
    assert_eq!(seen.buttons(), [(keys::BTN_LEFT, true), (keys::BTN_LEFT, false)]);
    assert_eq!(seen.wheel(), -120, "{seen}");

    world.host.resize(1000, 701);
    world.bridge.expect(world.canvas.wait_for_size(1000, 701, SOON));
    shows_at_last(&world.host, &world.canvas, (1000, 701), 8);
    for (x, y) in [(0, 0), (999, 700)] {
        world.points(x, y);
    }
    world.types("again");

    let ended = world.bridge.end();
    assert_eq!(ended.counter("copied_bytes"), 0, "{}", ended.log);
    assert_eq!(ended.counter("bad"), 0, "{}", ended.log);
}

/// Nothing in it moves, from before the start on: whatever its portal loses, there is a picture, each time.
#[test]
fn a_sway_at_rest_is_shown() {
    if lab::skip() {
        return;
    }
    let guest = SwayGuest::start(1280, 720);
    let host = RealHost::Sway(Sway::start(1280, 720));
    let mut lost = 0;
    for start in 0..12 {
        // The guest's output changes as the stream begins.
        host.resize(1280 - start % 2 * 280, 720);
        let bridge = bridge(&host, &guest, &[]);
        shows_something(&bridge);
        lost += bridge.end().log.matches(LOST).count();
    }
    println!("{lost} pictures lost in 12 starts");
}

#[test]
fn a_monitor_that_was_named_keeps_its_size() {
    if lab::skip() {
        return;
    }
    let host = RealHost::Sway(Sway::start(1280, 720));
    let guest = SwayGuest::start(800, 600);
    let canvas = Canvas::open(&guest.socket(), 7);
    let bridge = bridge(&host, &guest, &["--monitor", "HEADLESS-1"]);
    shows_something(&bridge);
    let mut hands = host.hands();
    // The window's middle and its end are the output's, whatever their sizes.
    for ((x, y), guest) in [((640.0, 360.0), (400.0, 300.0)), ((1279.0, 719.0), (799.0, 599.0))] {
        wait_for("the pixel", SOON, || {
            hands.move_to(600.0, 300.0);
            hands.move_to(x, y);
            let there = |seen: &Seen| seen.pointer.filter(|(x, y)| (x.floor(), y.floor()) == guest);
            canvas.wait(Duration::from_millis(300), there).ok()
        });
    }
    assert_eq!(canvas.seen().size, (800, 600));
    bridge.end();
}

#[test]
fn nothing_stays_down_when_the_bridge_ends() {
    if lab::skip() {
        return;
    }
    for signal in [Signal::TERM, Signal::KILL] {
        let mut world = World::new(&[]);
        world.hands.key(keys::KEY_LEFTSHIFT, true);
        world.hands.key(KEY_Y, true);
        world.hands.button(keys::BTN_LEFT, true);
        world.wait(|seen| (seen.keys().len() == 2 && seen.buttons().len() == 1).then_some(()));
        kill_process(Pid::from_raw(world.bridge.pid().cast_signed()).unwrap(), signal).unwrap();
        world.wait(|seen| {
            let released = [keys::KEY_LEFTSHIFT, KEY_Y].iter().all(|code| seen.keys().contains(&(*code, false)));
            let free = released && seen.buttons().contains(&(keys::BTN_LEFT, false));
            // Who ends by itself lets go before its keyboard is gone; sway does for who is killed, and tells no modifiers.
            let plain = seen.modifiers().is_some_and(|(depressed, ..)| depressed == 0);
            (free && (plain || signal == Signal::KILL && !seen.keyboard)).then_some(())
        });
        let ended = world.bridge.ended();
        assert_eq!(ended.code, (signal == Signal::TERM).then_some(0), "{}", ended.log);
    }
}

#[test]
fn a_sway_that_is_killed_comes_back_in_the_same_window() {
    if lab::skip() {
        return;
    }
    let guest = SwayGuest::start_with(1280, 720, &[("WB_AGAIN", "1")]);
    let World { host, mut guest, bridge, canvas, hands } = World::of(guest, &[]);
    let before = host.screenshot();
    drop((canvas, hands));
    std::fs::remove_file(guest.dir().join("sway.display")).unwrap();
    guest.run("pkill -KILL -x sway");
    wait_for("word of the loss", SOON, || bridge.log().contains("trying again").then_some(()));
    let image = host.screenshot();
    assert_eq!((image.width, image.height), (before.width, before.height));
    assert!(!image.is_uniform(), "the window went blank");
    wait_for("another sway", SOON, || guest.dir().join("sway.display").exists().then_some(()));
    let canvas = Canvas::open(&guest.socket(), 9);
    bridge.expect(canvas.wait_for_size(1280, 720, SOON));
    let before = bridge.counter("committed");
    wait_for("a frame again", SOON, || {
        canvas.redraw();
        (bridge.counter("committed") > before).then_some(())
    });
    shows_at_last(&host, &canvas, (1280, 720), 9);
    let mut hands = host.hands();
    wait_for("the pointer again", SOON, || {
        hands.move_to(300.0, 300.0);
        hands.move_to(310.0, 310.0);
        canvas.wait(Duration::from_millis(300), |seen| seen.pointer.filter(|at| *at == (310.0, 310.0))).ok()
    });
    let ended = bridge.end();
    let lost = i64::try_from(ended.log.matches(LOST).count()).unwrap();
    assert_eq!(ended.counter("sessions") - lost, 2, "{}", ended.log);
}

#[test]
fn the_layout_is_that_of_the_environment_or_the_one_asked_for() {
    if lab::skip() {
        return;
    }
    let german = &[("XKB_DEFAULT_LAYOUT", "de")];
    let host = RealHost::Sway(Sway::start(1280, 720));
    let guest = SwayGuest::start(1280, 720);
    let canvas = Canvas::open(&guest.socket(), 7);
    let socket = guest.socket();
    let mut hands = host.hands();
    for (args, typed) in [(&[][..], "z"), (&["--layout", "us"][..], "y")] {
        let guest_args = ["--guest", "wlroots", "--guest-socket", socket.to_str().unwrap()];
        let env = [guest.env(), german.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()].concat();
        let bridge = Bridge::start_among(&guest.processes(), &host.socket(), &env, &[&guest_args, args].concat());
        shows_something(&bridge);
        shows_at_last(&host, &canvas, (1280, 720), 7);
        canvas.forget();
        wait_for("a key", SOON, || {
            hands.tap(KEY_Y);
            canvas.wait(Duration::from_millis(300), |seen| seen.typed().ends_with(typed).then_some(())).ok()
        });
        bridge.end();
    }
}

/// The pointer of the host, moved there, is in this window, and so in its output.
fn points_into(hands: &mut Hands, canvas: &Canvas, host: (f64, f64), guest: (f64, f64)) {
    wait_for("the pointer in the right output", SOON, || {
        hands.move_to(host.0 - 9.0, host.1);
        hands.move_to(host.0, host.1);
        let there = |seen: &Seen| {
            // The compositor rounds.
            seen.pointer.filter(|at| (at.0 - guest.0).abs() <= 1.0 && (at.1 - guest.1).abs() <= 1.0)
        };
        canvas.wait(Duration::from_millis(300), there).ok()
    });
}

/// Which of two outputs its portal records, its config says: that one has the host's size, unless it was named, and the pointer.
#[test]
fn of_two_outputs_the_one_that_is_shown_is_used() {
    if lab::skip() {
        return;
    }
    let host = RealHost::Sway(Sway::start(1000, 700));
    let guest = SwayGuest::start_with(800, 600, &[("WLR_HEADLESS_OUTPUTS", "2"), ("WB_SHOWN", "HEADLESS-2")]);
    let socket = guest.socket();
    guest.command("focus output HEADLESS-1").unwrap();
    let other = Canvas::open(&socket, 7);
    other.wait_for_size(800, 600, SOON).unwrap();
    guest.command("focus output HEADLESS-2").unwrap();
    let canvas = Canvas::open(&socket, 8);
    canvas.wait_for_size(1280, 720, SOON).unwrap();
    let mut env = guest.env();
    env.push(("HOME", guest.dir().join("home").display().to_string()));
    let start = |args: &[&str]| {
        let args = [&["--guest", "wlroots", "--guest-socket", socket.to_str().unwrap()], args].concat();
        let bridge = Bridge::start_among(&guest.processes(), &host.socket(), &env, &args);
        shows_something(&bridge);
        bridge
    };
    let mut hands = host.hands();

    // Another size than the host's: the picture is scaled, and pixels of the window are larger than its own.
    let bridge = start(&["--monitor", "HEADLESS-2"]);
    points_into(&mut hands, &canvas, (999.0, 699.0), (1278.0, 718.0));
    assert_eq!(canvas.seen().size, (1280, 720));
    assert_no_warnings(&bridge.end().log);

    // What was allowed for one output is not taken for another; and then the portal's word counts.
    let bridge = start(&["--monitor", "HEADLESS-1"]);
    points_into(&mut hands, &canvas, (999.0, 699.0), (1278.0, 718.0));
    let ended = bridge.end();
    for told in
        ["permission was for HEADLESS-2", "the portal shows HEADLESS-2: for HEADLESS-1, set output_name=HEADLESS-1"]
    {
        assert!(ended.log.contains(told), "{told:?}: {}", ended.log);
    }

    let bridge = start(&[]);
    bridge.expect(canvas.wait_for_size(1000, 700, SOON));
    shows_at_last(&host, &canvas, (1000, 700), 8);
    points_into(&mut hands, &canvas, (640.0, 360.0), (640.0, 360.0));
    let ended = bridge.end();
    assert!(ended.log.contains("the guest has 2 outputs; the portal shows HEADLESS-2"), "{}", ended.log);
    assert_eq!(other.seen().size, (800, 600), "the other output was changed");
    assert_eq!(other.seen().pointer, None, "the pointer was in the other output");
}

/// A program that asks, and answers: as a person would, with a dialog.
#[test]
fn a_person_is_asked_once() {
    if lab::skip() {
        return;
    }
    let chooser = "echo asked >>$XDG_RUNTIME_DIR/asked; echo 'Monitor: HEADLESS-1'";
    let guest = SwayGuest::start_with(1280, 720, &[("WB_CHOOSER", chooser)]);
    let host = RealHost::Sway(Sway::start(1280, 720));
    let home = guest.dir().join("home");
    let mut env = guest.env();
    env.push(("HOME", home.display().to_string()));
    let socket = guest.socket();
    let args = ["--guest", "wlroots", "--guest-socket", socket.to_str().unwrap()];
    let asked = || std::fs::read_to_string(guest.dir().join("asked")).unwrap_or_default().lines().count();
    let shows = || {
        let bridge = Bridge::start_among(&guest.processes(), &host.socket(), &env, &args);
        shows_something(&bridge);
        assert_no_warnings(&bridge.end().log);
    };
    let path = home.join(".local/state/wolf-bridge/wlroots.token");
    let mut tokens = Vec::new();
    for _ in 0..3 {
        shows();
        assert_eq!(asked(), 1);
        tokens.push(std::fs::read_to_string(&path).unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    // A token that the portal does not know is replaced.
    std::fs::write(&path, "6ba7b810-9dad-11d1-80b4-00c04fd430c8\n").unwrap();
    shows();
    assert_eq!(asked(), 2);
    let token = std::fs::read_to_string(&path).unwrap();
    assert!(token.len() > 20 && !token.starts_with("6ba7b810"), "{token}");
}

/// What is seen of PipeWire through this connection: kinds of things and their ids.
fn seen_through(connection: OwnedFd) -> Vec<(String, u32)> {
    pipewire::init();
    let main_loop = pipewire::main_loop::MainLoopRc::new(None).expect("a loop");
    let context = pipewire::context::ContextRc::new(&main_loop, None).expect("a context");
    let core = context.connect_fd_rc(connection, None).expect("a connection");
    let registry = core.get_registry_rc().expect("a registry");
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (seeing, done) = (Rc::clone(&seen), main_loop.clone());
    let _globals = registry
        .add_listener_local()
        .global(move |global| seeing.borrow_mut().push((global.type_.to_string(), global.id)))
        .register();
    let _done = core.add_listener_local().done(move |_, _| done.quit()).register();
    core.sync(0).expect("a connection");
    main_loop.run();
    seen.take()
}

/// The other half of the next test: makes a session among the guest's processes, and tells what its connection shows.
#[test]
#[ignore = "started by a_session_sees_the_granted_node_alone"]
fn tells_what_a_session_sees() {
    let wishes = Wishes {
        monitor: None,
        cursor: CursorMode::Embedded,
        clipboard: false,
        socket: std::env::var_os("GUEST_SOCKET").map(Into::into),
        eis: None,
        node: None,
    };
    let (_abort, registration) = AbortHandle::new_pair();
    let events = Rc::new(RefCell::new(Vec::new()));
    let reported = Rc::clone(&events);
    let session = guest::start(Kind::Wlroots, 1, wishes, registration, move |event| reported.borrow_mut().push(event));
    let looks = async {
        loop {
            if let Some(SessionEvent::Made(_, mut session)) = events.borrow_mut().pop() {
                println!("\ngranted {}", session.node.id);
                for (kind, id) in seen_through(session.remote.take().expect("the portal's connection")) {
                    println!("sees {} {id}", kind.trim_start_matches("PipeWire:Interface:"));
                }
                return;
            }
            async_io::Timer::after(Duration::from_millis(5)).await;
        }
    };
    async_io::block_on(select(pin!(session), pin!(looks)));
}

/// The portal takes all rights but those to its node from the connection that it hands over. WirePlumber gives every new
/// connection all rights, some time after it was made (seen of 0.5 on a busy machine); where that is after the portal, the
/// connection sees all. So it is one of several sessions that is looked at.
#[test]
fn a_session_sees_the_granted_node_alone() {
    if lab::skip() {
        return;
    }
    let guest = SwayGuest::start(640, 360);
    // Whoever may see all of it sees others.
    let dump = Command::new("pw-dump").arg("--remote").arg(guest.dir().join("pipewire-0")).output().unwrap();
    let dump = String::from_utf8_lossy(&dump.stdout);
    for kind in ["Node", "Client"] {
        assert!(dump.matches(&format!("PipeWire:Interface:{kind}\"")).count() > 1, "{dump}");
    }
    let mut told = String::new();
    let is_alone = (1..=20).find(|_| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "tells_what_a_session_sees", "--ignored", "--nocapture"]);
        command.env_clear().envs(guest.env()).env("HOME", guest.dir().join("home")).env("GUEST_SOCKET", guest.socket());
        let output = among(&guest.processes(), move || command.output().unwrap());
        told = String::from_utf8_lossy(&output.stdout).into_owned();
        let of = |word: &str| told.lines().filter_map(|line| line.strip_prefix(word)).collect::<Vec<_>>();
        let granted = of("granted ");
        assert_eq!(granted.len(), 1, "{told}");
        assert!(of("sees Node ").contains(&granted[0]), "{told}");
        let others =
            ["sees Client ", "sees Device ", "sees Port ", "sees Link "].iter().flat_map(|word| of(word)).count();
        of("sees Node ") == granted && others == 0
    });
    println!("the node alone was seen at try {}:\n{told}", is_alone.unwrap_or_else(|| panic!("{told}")));
}

/// Bad sockets: one line, and the exit code that says whose fault it is.
#[test]
fn a_guest_socket_that_is_none_is_told() {
    let host = fake_host::FakeHost::builder().wolf().start().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let runtime = dir.path().to_str().unwrap().to_owned();
    let bus = fake_guest::Bus::start(dir.path()).unwrap();
    let env = [("XDG_RUNTIME_DIR", runtime), ("DBUS_SESSION_BUS_ADDRESS", bus.address())];
    let link = dir.path().join("wayland-9");
    std::os::unix::fs::symlink(host.socket(), &link).unwrap();
    let cases = [("wayland-9", 2, "the host's own socket"), ("wayland-7", 4, "no compositor at")];
    for (socket, code, words) in cases {
        let args = ["--guest", "wlroots", "--guest-socket", socket, "--guest-timeout", "0.5"];
        let ended = Bridge::start(host.socket(), &env, &args).ended();
        assert_eq!(ended.code, Some(code), "{}", ended.log);
        assert!(ended.last_line().contains(words), "{}", ended.log);
    }
}

/// The figures of sway as a guest, with an animated window of 1280x720: from the start to the first frame, and what a frame
/// costs. `cargo test --release --test real_sway -- --ignored --nocapture figures`
#[test]
#[ignore = "a measurement, not a check: machines are noisy"]
fn figures() {
    if lab::skip() {
        return;
    }
    let host = RealHost::Sway(Sway::start(1280, 720));
    let guest = SwayGuest::start(1280, 720);
    let canvas = Canvas::open(&guest.socket(), 7);
    canvas.wait_for_size(1280, 720, SOON).unwrap();
    for _ in 0..5 {
        let began = Instant::now();
        let bridge = bridge(&host, &guest, &["--log", "info"]);
        wait_for("a first frame", SOON, || bridge.log().contains("first frame shown").then_some(()));
        println!("start to first frame: {} ms", began.elapsed().as_millis());
        bridge.end();
    }
    let bridge = bridge(&host, &guest, &["--log", "info"]);
    wait_for("a first frame", SOON, || bridge.log().contains("first frame shown").then_some(()));
    canvas.animate(true);
    let measure = || (bridge.counter("committed"), cpu(bridge.pid()), canvas.seen().shown, Instant::now());
    let start = canvas.seen().shown;
    bridge.expect(canvas.wait(SOON, |seen| (seen.shown >= start + 120).then_some(())));
    let (frames, used, drawn, began) = measure();
    bridge.expect(canvas.wait(SOON, |seen| (seen.shown >= drawn + 600).then_some(())));
    let (frames_after, used_after, drawn_after, ended) = measure();
    let frames = (frames_after - frames) as f64;
    println!(
        "guest frames {} in {:.1} s; committed {frames}; bridge CPU per frame {:.3} ms; copied bytes {}",
        drawn_after - drawn,
        (ended - began).as_secs_f64(),
        (used_after - used).as_secs_f64() * 1000.0 / frames,
        bridge.counter("copied_bytes"),
    );
}
