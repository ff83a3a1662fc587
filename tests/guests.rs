//! Guests that are no GNOME: bare PipeWire nodes, gamescope (a fake, for what the real one in real_gamescope.rs does not do:
//! DMA-BUFs, another size, bad sockets), what is found without being told, and what a PipeWire that shows one node only is enough for.

mod common;

use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use common::world::{BLUE, GREEN, LINEAR, RED, XR24, wolf};
use common::{Bridge, Ended, SOON, wait_for};
use fake_guest::{
    DeviceKind, EisOptions, FakeEis, FakeGuest, Fill, GuestOptions, Input, Linker, PipeWireDaemon, Producer,
    ProducerOptions, Restricted, SizePolicy,
};
use fake_host::code::{BTN_LEFT, KEY_A, KEY_Q};
use fake_host::{Axis, Dmabuf, FakeHost};
use rustix::net::{AddressFamily, SocketType};

/// How long a guest is waited for where none comes.
const BRIEFLY: [&str; 2] = ["--guest-timeout", "0.7"];

/// A PipeWire with nothing but what a test puts there, and a host.
struct World {
    host: FakeHost,
    pipewire: PipeWireDaemon,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::with(|dir| PipeWireDaemon::start(dir, Linker::Auto))
    }

    fn with(pipewire: impl FnOnce(&Path) -> std::io::Result<PipeWireDaemon>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pipewire = pipewire(dir.path()).unwrap();
        Self { host: wolf().start().unwrap(), pipewire, dir }
    }

    /// For another bridge.
    fn with_new_host(&mut self) -> &Self {
        self.host = wolf().start().unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A node of this name and size.
    fn node(&self, name: &str, width: u32, height: u32) -> Producer {
        let size = SizePolicy::Fixed(width, height);
        self.producer(ProducerOptions { name: name.into(), size, ..Default::default() })
    }

    fn producer(&self, options: ProducerOptions) -> Producer {
        let producer = Producer::start(&self.pipewire.socket(), options).unwrap();
        producer.node_id(SOON).unwrap();
        producer
    }

    /// An EIS server of gamescope's, which listens at this name.
    fn gamescope_eis(&self, name: &str) -> FakeEis {
        let eis = FakeEis::start(EisOptions::gamescope()).unwrap();
        eis.listen(&self.path(name)).unwrap();
        eis
    }

    fn env(&self) -> Vec<(String, String)> {
        let dir = self.dir.path().to_str().unwrap().to_owned();
        [("PIPEWIRE_RUNTIME_DIR", dir.clone()), ("PIPEWIRE_REMOTE", "pipewire-0".into()), ("XDG_RUNTIME_DIR", dir)]
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec()
    }

    fn bridge(&self, args: &[&str]) -> Bridge {
        Bridge::start(self.host.socket(), &self.env(), args)
    }

    fn bridge_with(&self, variable: &str, value: &str, args: &[&str]) -> Bridge {
        let variable = (variable.to_owned(), value.to_owned());
        Bridge::start(self.host.socket(), &[self.env(), vec![variable]].concat(), args)
    }

    /// Sends a colour until it is on the screen.
    #[track_caller]
    fn shows(&self, bridge: &Bridge, producer: &Producer, (fill, colour): (Fill, u32)) {
        wait_for("the colour", SOON, || {
            common::picture(bridge, &self.host, producer, fill);
            (self.host.pixel(100, 100) == Some(colour)).then_some(())
        });
    }

    /// The window was never blank, and nothing was odd.
    #[track_caller]
    fn end(&self, bridge: Bridge) -> Ended {
        let ended = bridge.end();
        self.host.look(|seen| {
            assert_eq!(seen.oddities, Vec::<String>::new());
            assert_eq!(seen.windows.len(), 1);
            let mut shown = seen.window_commits().skip_while(|commit| commit.buffer().is_none());
            assert!(shown.all(|commit| commit.size.is_some()), "the window was blank: {seen}");
        });
        assert!(!ended.log.contains("panicked"), "{}", ended.log);
        ended
    }
}

/// It ended for want of a guest, in one line that says these words.
#[track_caller]
fn no_guest(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(4), "{}", ended.log);
    for word in words {
        assert!(ended.last_line().contains(word), "{word:?} is not in: {}", ended.last_line());
    }
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
}

/// What the guest got besides where frames end.
fn got(eis: &FakeEis) -> Vec<Input> {
    let is_event = |input: &Input| !matches!(input, Input::Frame(_) | Input::StartEmulating(_) | Input::Ready);
    eis.state().log.into_iter().map(|logged| logged.input).filter(is_event).collect()
}

#[track_caller]
fn gets(eis: &FakeEis, wanted: Input) {
    eis.wait(|state| state.log.iter().any(|logged| logged.input == wanted).then_some(()), SOON).unwrap();
}

#[track_caller]
fn is_clean(eis: &FakeEis) {
    let state = eis.wait(|state| (state.connected == 0).then(|| state.clone()), SOON).unwrap();
    assert_eq!(state.violations, Vec::<String>::new());
    assert_eq!(state.left_held, Vec::<String>::new());
    assert_eq!(state.no_ops, Vec::<u32>::new());
}

// The command line.

#[test]
fn flags_that_belong_to_different_guests_are_refused() {
    for (args, words) in [
        (&["--guest", "windows"][..], &["--guest", "auto", "mutter", "portal", "wlroots", "gamescope", "node"][..]),
        (&["--guest", "mutter", "--node", "x"], &["--node means nothing with --guest mutter"]),
        (&["--guest", "mutter", "--eis-socket", "x"], &["--eis-socket means nothing with --guest mutter"]),
        (&["--guest", "portal", "--guest-socket", "x"], &["--guest-socket means nothing with --guest portal"]),
        (&["--guest", "gamescope", "--monitor", "x"], &["--monitor means nothing with --guest gamescope"]),
        (&["--guest-socket", "x", "--node", "y"], &["--node means nothing with --guest-socket"]),
        (&["--node", "y", "--eis-socket", "x", "--monitor", "z"], &["--monitor", "--node --eis-socket"]),
        (&["--guest", "node"], &["--guest node needs --node"]),
        (&["--guest", "wlroots"], &["--guest wlroots needs --guest-socket"]),
        (&["--node", ""], &["--node", "pw-cli ls Node"]),
        (&["--eis-socket", ""], &["--eis-socket", "empty"]),
        (&["--guest-socket", "a/b"], &["--guest-socket", "absolute path"]),
    ] {
        let ended = Bridge::start_bare::<&str, &str>(&[], args).ended();
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.log);
        for word in words.iter().chain(&["wolf-bridge --help"]) {
            assert!(ended.last_line().contains(word), "{word:?} is not in: {}", ended.last_line());
        }
    }
}

// Bare nodes.

#[test]
fn a_node_is_shown_by_its_name_and_takes_no_input() {
    let world = World::new();
    let _other = world.node("other", 640, 480);
    let camera = world.node("camera", 800, 600);
    let bridge = world.bridge(&["--node", "camera"]);
    world.shows(&bridge, &camera, GREEN);
    world.host.pointer().move_to(10.0, 10.0).click(BTN_LEFT).wheel(Axis::Vertical, 120);
    world.host.keyboard().tap(KEY_A);
    world.shows(&bridge, &camera, BLUE);
    let ended = world.end(bridge);
    assert!(ended.log.contains("the guest is node: --node names it"), "{}", ended.log);
    assert!(ended.log.contains("the PipeWire node camera, no input"), "{}", ended.log);
    assert_eq!(ended.counter("input_sent"), 0);
}

#[test]
fn of_two_nodes_of_one_name_the_serial_tells_which() {
    let mut world = World::new();
    let twins = [world.node("twin", 640, 480), world.node("twin", 640, 480)];
    let ended = world.bridge(&[&["--node", "twin"], &BRIEFLY[..]].concat()).ended();
    no_guest(&ended, &["several PipeWire nodes are called twin", "--node"]);
    assert_eq!(ended.log.matches(" WARN ").count(), 1, "{}", ended.log);
    let told = ended.last_line().split("--node ").nth(1).unwrap();
    let serials: Vec<&str> = told.split(" or ").collect();
    assert_eq!(serials.len(), 2, "{told}");
    // They are told in the order in which they were made.
    for (serial, (twin, colour)) in serials.into_iter().zip(twins.iter().zip([RED, BLUE])) {
        let bridge = world.with_new_host().bridge(&["--node", serial]);
        world.shows(&bridge, twin, colour);
        world.end(bridge);
    }
}

#[test]
fn a_node_is_waited_for_and_missed_and_shown_again() {
    let world = World::new();
    let _other = world.node("other", 640, 480);
    let bridge = world.bridge(&["--node", "camera"]);
    wait_for("the bridge misses its node", SOON, || {
        bridge.log().contains("no PipeWire node camera (there are other)").then_some(())
    });
    for colour in [RED, GREEN] {
        let camera = world.node("camera", 800, 600);
        world.shows(&bridge, &camera, colour);
        let lost = bridge.log().matches("; trying again").count();
        drop(camera);
        wait_for("the loss", SOON, || (bridge.log().matches("; trying again").count() > lost).then_some(()));
    }
    assert_eq!(world.host.pixel(100, 100), Some(GREEN.1), "the last picture stays");
    world.end(bridge);
}

#[test]
fn a_node_that_goes_for_good_ends_the_bridge() {
    let world = World::new();
    let camera = world.node("camera", 800, 600);
    let bridge = world.bridge(&[&["--node", "camera"], &BRIEFLY[..]].concat());
    world.shows(&bridge, &camera, RED);
    drop(camera);
    no_guest(&bridge.ended(), &["no guest within 0.7 s", "no PipeWire node camera (there are none)"]);
}

#[test]
fn a_node_without_a_session_manager_is_missed_too() {
    let world = World::with(|dir| PipeWireDaemon::start(dir, Linker::None));
    let camera = world.node("camera", 800, 600);
    let bridge = world.bridge(&["--node", "camera"]);
    world.shows(&bridge, &camera, RED);
    assert!(bridge.log().contains("linking it by hand"));
    drop(camera);
    wait_for("the loss", SOON, || bridge.log().contains("; trying again").then_some(()));
    let camera = world.node("camera", 800, 600);
    world.shows(&bridge, &camera, BLUE);
    world.end(bridge);
}

#[test]
fn a_node_is_used_by_an_eis_socket_beside_it() {
    let world = World::new();
    let camera = world.node("camera", 1280, 720);
    let eis = FakeEis::start(EisOptions::default()).unwrap();
    eis.listen(&world.path("eis-9")).unwrap();
    eis.stream_ready(fake_guest::Region::new(640, 360, None));
    let bridge = world.bridge(&["--node", "camera", "--eis-socket", "eis-9"]);
    world.shows(&bridge, &camera, GREEN);
    for kind in [DeviceKind::Absolute, DeviceKind::Pointer, DeviceKind::Keyboard] {
        bridge.expect(eis.emulating(kind, SOON));
    }
    // Of a server that says what the protocol says: wheels in 120ths, fingers in pixels and with an end.
    let pointer = world.host.pointer().move_to(640.0, 360.0).wheel(Axis::Vertical, 30);
    pointer.fingers(0.0, 2.5).fingers_up();
    world.host.keyboard().tap(KEY_A);
    gets(&eis, Input::Key(KEY_A, false));
    let wanted = [
        Input::MotionAbsolute(320.0, 180.0),
        Input::ScrollDiscrete(0, 30),
        Input::Scroll(0.0, 2.5),
        Input::ScrollStop(false, true, false),
        Input::ScrollStop(true, false, false),
        Input::Key(KEY_A, true),
        Input::Key(KEY_A, false),
    ];
    assert_eq!(got(&eis), wanted);
    assert!(world.end(bridge).log.contains("the PipeWire node camera, input by EIS"));
    is_clean(&eis);
}

// gamescope.

#[test]
fn a_gamescope_is_found_by_its_node_and_used_by_libei_socket() {
    let world = World::new();
    let game = world.producer(ProducerOptions::gamescope(640, 360));
    let eis = world.gamescope_eis("gamescope-0-ei");
    let bridge = world.bridge_with("LIBEI_SOCKET", "gamescope-0-ei", &[]);
    world.shows(&bridge, &game, RED);
    bridge.expect(eis.emulating(DeviceKind::Whole, SOON));
    let log = bridge.log();
    assert!(log.contains("the guest is gamescope: PipeWire has a node of that name"), "{log}");
    assert!(log.contains("session with gamescope, input by EIS"), "{log}");

    // The window is 1280x720: positions are the stream's pixels, whatever the region's size.
    let pointer = world.host.pointer().move_to(640.0, 360.0).press(BTN_LEFT).release(BTN_LEFT);
    pointer.wheel(Axis::Vertical, 120).wheel(Axis::Horizontal, -30);
    // Ten pixels are a notch; what is less adds up.
    pointer.fingers(0.0, 10.0).fingers(0.0, 0.0625).fingers(0.0, 0.0625).fingers_up();
    world.host.touch().tap(5.0, 5.0);
    world.host.keyboard().tap(KEY_A);
    gets(&eis, Input::Key(KEY_A, false));
    let wanted = [
        Input::MotionAbsolute(320.0, 180.0),
        Input::Button(BTN_LEFT, true),
        Input::Button(BTN_LEFT, false),
        Input::ScrollDiscrete(0, 120),
        Input::ScrollDiscrete(-30, 0),
        Input::ScrollDiscrete(0, 120),
        Input::ScrollDiscrete(0, 1),
        Input::Key(KEY_A, true),
        Input::Key(KEY_A, false),
    ];
    assert_eq!(got(&eis), wanted);

    // What is held at the end is let go of.
    world.host.keyboard().press(KEY_Q);
    pointer.press(BTN_LEFT);
    gets(&eis, Input::Button(BTN_LEFT, true));
    world.end(bridge);
    is_clean(&eis);
    assert_eq!(got(&eis).len(), wanted.len() + 4);
}

#[test]
fn a_gamescope_of_another_size_is_pointed_at_in_its_pixels() {
    let world = World::new();
    let game = world.producer(ProducerOptions::gamescope(640, 360));
    let eis = world.gamescope_eis("ei");
    let path = world.path("ei");
    let bridge = world.bridge(&["--guest", "gamescope", "--eis-socket", path.to_str().unwrap()]);
    world.shows(&bridge, &game, RED);
    bridge.expect(eis.emulating(DeviceKind::Whole, SOON));
    world.host.pointer().move_to(640.0, 360.0);
    gets(&eis, Input::MotionAbsolute(320.0, 180.0));
    game.reconfigure(|options| options.size = SizePolicy::Fixed(1920, 1080));
    // Frames of the old size may be shown until then.
    wait_for("the new size", SOON, || bridge.log().contains("width: 1920").then_some(()));
    world.shows(&bridge, &game, GREEN);
    // The pointer rests, and is told where it is now.
    gets(&eis, Input::MotionAbsolute(960.0, 540.0));
    // Wolf's pointer goes no further than this.
    world.host.pointer().move_to(1278.0, 718.0);
    let is_corner = |input: Input| matches!(input, Input::MotionAbsolute(x, y) if (1919.0..1920.0).contains(&x) && (1079.0..1080.0).contains(&y));
    eis.wait(|state| state.log.iter().any(|logged| is_corner(logged.input)).then_some(()), SOON).unwrap();
    world.end(bridge);
    is_clean(&eis);
}

#[test]
fn a_gamescope_whose_socket_is_not_known_is_shown() {
    let world = World::new();
    let game = world.producer(ProducerOptions::gamescope(640, 360));
    let bridge = world.bridge(&["--guest", "gamescope"]);
    world.shows(&bridge, &game, RED);
    world.host.keyboard().tap(KEY_A);
    let ended = world.end(bridge);
    assert!(ended.log.contains("going on without input; set LIBEI_SOCKET, or give --eis-socket"), "{}", ended.log);
    assert!(ended.log.contains("session with gamescope, no input"), "{}", ended.log);
}

#[test]
fn a_gamescope_at_rest_is_told_from_one_that_is_not_there() {
    let world = World::new();
    let _game = world.producer(ProducerOptions::gamescope(640, 360));
    let ended = world.bridge(&[&["--guest", "gamescope"], &BRIEFLY[..]].concat()).ended();
    no_guest(&ended, &["no guest within 0.7 s", "gamescope sends no picture; it does when its game draws again"]);
}

/// Its pictures are without a pointer, and nothing comes beside them.
#[test]
fn a_gamescope_has_a_plain_pointer_where_the_host_is_to_show_one() {
    let mut world = World::new();
    let game = world.producer(ProducerOptions::gamescope(640, 360));
    for (args, is_shown) in [(&[][..], false), (&["--cursor", "host"][..], true), (&["--cursor", "hidden"][..], false)]
    {
        let bridge = world.with_new_host().bridge(&[&["--guest", "gamescope"], args].concat());
        world.shows(&bridge, &game, RED);
        world.host.pointer().move_to(640.0, 360.0);
        wait_for("the pointer's look", SOON, || world.host.look(|seen| (!seen.cursors.is_empty()).then_some(())));
        wait_for("the pointer", SOON, || (world.host.cursor().is_some() == is_shown).then_some(()));
        let ended = world.end(bridge);
        let is_told = ended.log.contains("the guest's pictures are without its pointer; --cursor host");
        assert_eq!(is_told, args.is_empty(), "{}", ended.log);
    }
}

#[test]
fn of_two_gamescopes_the_serial_tells_which() {
    let mut world = World::new();
    let games = [(); 2].map(|()| world.producer(ProducerOptions::gamescope(640, 360)));
    let ended = world.bridge(&BRIEFLY).ended();
    no_guest(&ended, &["several PipeWire nodes are called gamescope", "--guest gamescope --node "]);
    let serial = ended.last_line().rsplit(' ').next().unwrap().to_owned();
    let bridge = world.with_new_host().bridge(&["--guest", "gamescope", "--node", &serial]);
    world.shows(&bridge, &games[1], BLUE);
    world.end(bridge);
}

#[test]
fn a_gamescope_that_ends_is_shown_again() {
    let world = World::new();
    let game = world.producer(ProducerOptions::gamescope(640, 360));
    let eis = world.gamescope_eis("ei");
    let bridge = world.bridge(&["--eis-socket", "ei"]);
    world.shows(&bridge, &game, RED);
    bridge.expect(eis.emulating(DeviceKind::Whole, SOON));
    world.host.keyboard().press(KEY_A);
    gets(&eis, Input::Key(KEY_A, true));
    drop(game);
    drop(eis);
    wait_for("the loss", SOON, || bridge.log().contains("; trying again").then_some(()));
    let game = world.producer(ProducerOptions::gamescope(640, 360));
    let eis = world.gamescope_eis("ei");
    world.shows(&bridge, &game, GREEN);
    // It is still down at the host.
    gets(&eis, Input::Key(KEY_A, true));
    world.end(bridge);
    is_clean(&eis);
}

#[test]
fn an_eis_socket_that_is_none_is_named() {
    let world = World::new();
    let _game = world.producer(ProducerOptions::gamescope(640, 360));
    let listener = UnixListener::bind(world.path("real")).unwrap();
    drop(UnixListener::bind(world.path("nobody")).unwrap());
    std::fs::write(world.path("file"), "").unwrap();
    std::fs::create_dir(world.path("directory")).unwrap();
    symlink(world.path("real"), world.path("link")).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        drop(UnixListener::bind(world.path("theirs")).unwrap());
        std::os::unix::fs::chown(world.path("theirs"), Some(65534), None).unwrap();
    }
    for (name, words) in [
        ("file", "is a file, not an EIS socket"),
        ("directory", "is a directory, not an EIS socket"),
        ("link", "is a symbolic link, not an EIS socket"),
        ("nobody", "nobody listens there"),
        ("missing", "cannot be reached"),
        ("theirs", "belongs to user 65534"),
    ] {
        if name == "theirs" && !is_root {
            continue;
        }
        let path = world.path(name);
        let path = path.to_str().unwrap();
        // By its path in the flag, and by its name in the variable.
        let flag = world.bridge(&[&["--eis-socket", path], &BRIEFLY[..]].concat());
        let variable = world.bridge_with("LIBEI_SOCKET", name, &BRIEFLY);
        for ended in [flag.ended(), variable.ended()] {
            no_guest(&ended, &[path, words]);
            assert_eq!(ended.log.matches(" WARN ").count(), 1, "{}", ended.log);
        }
    }
    drop(listener);
}

#[test]
fn an_eis_socket_that_is_not_served_costs_the_input_and_not_the_picture() {
    let world = World::new();
    let game = world.producer(ProducerOptions::gamescope(640, 360));
    let _listener = UnixListener::bind(world.path("ei")).unwrap();
    let bridge = world.bridge(&["--eis-socket", "ei"]);
    world.shows(&bridge, &game, RED);
    world.host.pointer().move_to(640.0, 360.0);
    world.host.keyboard().tap(KEY_A);
    world.shows(&bridge, &game, GREEN);
    world.end(bridge);
}

#[test]
fn an_eis_server_that_accepts_nobody_is_waited_for_and_given_up() {
    let world = World::new();
    let _game = world.producer(ProducerOptions::gamescope(640, 360));
    let address = rustix::net::SocketAddrUnix::new(world.path("ei")).unwrap();
    let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    // There is room for this one only.
    let _waits = UnixStream::connect(world.path("ei")).unwrap();
    let ended = world.bridge(&[&["--eis-socket", "ei"], &BRIEFLY[..]].concat()).ended();
    no_guest(&ended, &["no guest within 0.7 s", "gamescope does not answer"]);
}

/// With a GPU gamescope's buffers are linear DMA-BUFs; nothing is known of what changed in them.
#[test]
fn a_gamescope_on_a_gpu_is_shown_by_dmabuf() {
    let mut world = World::new();
    let game = world.producer(ProducerOptions::gamescope(640, 360));
    world.host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])).start().unwrap();
    let bridge = world.bridge(&["--guest", "gamescope"]);
    world.shows(&bridge, &game, RED);
    world.shows(&bridge, &game, GREEN);
    let kind = world.host.look(|seen| seen.last_frame().and_then(|frame| frame.kind().cloned())).unwrap();
    let pair = kind.dmabuf().map(|buffer| (buffer.fourcc, buffer.modifier));
    assert_eq!(pair, Some((XR24, LINEAR)));
    world.end(bridge);
}

// What is found.

#[test]
fn a_gnome_is_taken_before_a_gamescope_and_what_a_flag_names_before_both() {
    let host = wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let options = ProducerOptions::gamescope(640, 360);
    let game = Producer::start(&guest.pipewire.socket(), options).unwrap();
    game.node_id(SOON).unwrap();
    let eis = guest.listen_eis().unwrap();
    let env = [guest.env(), vec![("LIBEI_SOCKET".into(), eis.display().to_string())]].concat();

    let bridge = Bridge::start(host.socket(), &env, &[]);
    let producer = bridge.expect(guest.mutter.producer(SOON));
    common::picture(&bridge, &host, &producer, Fill::Coded(1));
    let log = bridge.end().log;
    assert!(log.contains("the guest is mutter: org.gnome.Mutter.ScreenCast is on the session bus"), "{log}");

    let bridge = Bridge::start(host.socket(), &env, &["--node", "gamescope"]);
    common::picture(&bridge, &host, &game, Fill::Coded(1));
    let log = bridge.end().log;
    assert!(log.contains("the guest is node: --node names it"), "{log}");
    assert_eq!(guest.mutter.state().sessions_made, 1);
}

#[test]
fn a_guest_of_another_kind_that_comes_instead_is_found() {
    let host = wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let bridge = Bridge::start(host.socket(), &guest.env(), &[]);
    let producer = bridge.expect(guest.mutter.producer(SOON));
    common::picture(&bridge, &host, &producer, Fill::Coded(1));
    guest.mutter.vanish();
    wait_for("the loss", SOON, || bridge.log().contains("no GNOME Shell on the session bus").then_some(()));
    let game = Producer::start(&guest.pipewire.socket(), ProducerOptions::gamescope(640, 360)).unwrap();
    common::picture(&bridge, &host, &game, Fill::Coded(2));
    // Another of the same kind is no news.
    let losses = bridge.log().matches("; trying again").count();
    drop(game);
    wait_for("another loss", SOON, || (bridge.log().matches("; trying again").count() > losses).then_some(()));
    let game = Producer::start(&guest.pipewire.socket(), ProducerOptions::gamescope(640, 360)).unwrap();
    common::picture(&bridge, &host, &game, Fill::Coded(3));
    let log = bridge.end().log;
    assert_eq!(log.matches("the guest is ").count(), 2, "said once each: {log}");
    assert!(log.contains("looked in vain for gamescope and for a desktop portal, too"), "{log}");
}

// Least privilege.

#[test]
fn a_pipewire_that_shows_nothing_but_the_node_is_enough() {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_wolf-bridge"));
    let restricted = Restricted { program, node: "camera".into() };
    let mut world = World::with(|dir| PipeWireDaemon::start_restricted(dir, restricted));
    let _secret = world.node("secret", 640, 480);
    let camera = world.node("camera", 800, 600);
    let bridge = world.bridge(&["--node", "camera"]);
    world.shows(&bridge, &camera, GREEN);
    world.end(bridge);
    // It would have said the other, if it saw it.
    let ended = world.with_new_host().bridge(&[&["--node", "secret"], &BRIEFLY[..]].concat()).ended();
    no_guest(&ended, &["no PipeWire node secret (there are camera)"]);
}
