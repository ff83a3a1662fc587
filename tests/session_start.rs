//! What a session is told by its environment, what it makes of it, and what it says of an environment that is wrong: each either works or
//! ends soon, with one line that says what to change. Needs the rootfs of scripts/rootfs.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use common::desktops::soon;
use common::started::{Started, closed_device, environment, small_disk, with_host};
use fake_host::{Dmabuf, FakeHost, Seen, fourcc};
use lab::{Canvas, Machine};

/// Of linux/input-event-codes.h; on a German keyboard these are z, ö and y.
const KEYS: [u32; 3] = [21, 39, 44];
const KEY_A: u32 = 30;

/// Values that have spaces, quotes and more are whole words to it.
#[test]
fn its_environment_decides_layout_size_and_app_and_the_start_is_quiet() {
    if lab::skip() {
        return;
    }
    let mut machine = Machine::start();
    // One that leaves the size to its windows, and says no rate.
    let host = FakeHost::builder().without_output().start().expect("a host");
    let mut env = with_host(&machine, host.socket());
    let told = machine.dir().join("what is told");
    env.extend([
        ("XKB_DEFAULT_LAYOUT", "de,us".to_owned()),
        ("XKB_DEFAULT_VARIANT", "nodeadkeys,".to_owned()),
        ("XKB_DEFAULT_OPTIONS", "compose:caps,grp:alt_shift_toggle".to_owned()),
        ("GAMESCOPE_WIDTH", "1000".to_owned()),
        ("GAMESCOPE_HEIGHT", "700".to_owned()),
        ("GAMESCOPE_REFRESH", "75".to_owned()),
        ("WOLF_BRIDGE_APP", format!("foot --app-id=its-app sh -c 'env >\"{}\"'", told.display())),
    ]);
    let started = Started::start(&mut machine, &env, &[]);
    started.expect(host.wait(Seen::shown, soon()));

    let app = started.wait("its app", soon(), || {
        std::fs::read_to_string(&told).ok().filter(|text| text.contains("WAYLAND_DISPLAY=") && text.ends_with('\n'))
    });
    assert!(app.lines().any(|line| line == "WAYLAND_DISPLAY=wayland-0"), "{app}");
    // Wherever it may have got to: neither the host's name, nor its folder, nor its server of sound.
    let run = started.run_dir().expect("its folder");
    let names = [format!("XDG_RUNTIME_DIR={}", machine.dir().display()), format!("WAYLAND_DISPLAY={}", env[0].1)];
    let processes = started.processes(&machine);
    assert!(processes.len() > 20, "{processes:?}");
    for process in &processes {
        let environment = environment(process.pid);
        let leaked: Vec<_> = environment.iter().filter(|it| names.contains(it)).collect();
        assert!(leaked.is_empty(), "{leaked:?} in {process:?}");
    }

    // It may end when it likes.
    started.wait("its end", soon(), || {
        machine.processes().iter().all(|it| it.args.first().is_none_or(|name| name != "foot")).then_some(())
    });

    let canvas = Canvas::open(&run.join("wayland-0"), 7);
    started.expect(canvas.wait_for_size(1000, 700, soon()));
    started.expect(canvas.wait(soon(), |seen| (seen.fullscreen && seen.keyboard).then_some(())));
    started.wait("a first key", soon(), || {
        host.keyboard().tap(KEY_A);
        canvas.wait(Duration::from_millis(500), |seen| seen.keys().contains(&(KEY_A, false)).then_some(())).ok()
    });
    canvas.forget();
    for key in KEYS {
        host.keyboard().tap(key);
    }
    started.expect(canvas.wait(soon(), |seen| (seen.keys().len() == 2 * KEYS.len()).then_some(())));
    assert_eq!(canvas.seen().typed(), "zöy");

    let monitor = started.run(
        &mut machine,
        "gdbus call --session -d org.gnome.Mutter.DisplayConfig \
        -o /org/gnome/Mutter/DisplayConfig -m org.gnome.Mutter.DisplayConfig.GetCurrentState",
    );
    assert!(monitor.contains("('1000x700@75.000', 1000, 700, 75.0"), "{monitor}");
    let settings = [
        ("org.gnome.desktop.input-sources sources", "[('xkb', 'de+nodeadkeys'), ('xkb', 'us')]"),
        ("org.gnome.desktop.input-sources xkb-options", "['compose:caps', 'grp:alt_shift_toggle']"),
        ("org.gnome.desktop.session idle-delay", "uint32 0"),
        ("org.gnome.desktop.lockdown disable-lock-screen", "true"),
        ("org.gnome.desktop.screensaver lock-enabled", "false"),
        ("org.gnome.shell welcome-dialog-last-shown-version", "'9999'"),
    ];
    for (key, value) in settings {
        assert_eq!(started.run(&mut machine, &format!("gsettings get {key}")), value, "{key}");
    }
    let shell = "gdbus call --session -d org.gnome.Shell -o /org/gnome/Shell \
        -m org.freedesktop.DBus.Properties.Get org.gnome.Shell OverviewActive";
    assert_eq!(started.run(&mut machine, shell), "(<false>,)");
    // There is nobody to unlock it.
    let writable = started.run(&mut machine, "gsettings writable org.gnome.desktop.lockdown disable-lock-screen");
    assert_eq!(writable, "false");
    started.end();
}

/// A start that is to fail.
struct Wrong {
    env: Vec<(&'static str, String)>,
    args: &'static [&'static str],
    code: i32,
    /// In its one line.
    says: &'static str,
}

/// What is wrong ends it before anything of the desktop starts; the line is the last, and nothing is left.
#[test]
fn a_start_that_cannot_be_ends_at_once_with_one_line() {
    if lab::skip() {
        return;
    }
    let mut machine = Machine::start();
    let host = FakeHost::builder().wolf().start().expect("a host");
    let right = with_host(&machine, host.socket());
    let dir = machine.dir().display().to_string();
    let (tiny, shut) = (machine.dir().join("tiny"), machine.dir().join("shut"));
    small_disk(&machine, &tiny, 512);
    machine.output(&format!("touch {dir}/file; mkdir -p {0}/x; cp {dir}/file {0}/; chmod 0 {0}", shut.display()));
    // A socket whose host is gone.
    drop(std::os::unix::net::UnixListener::bind(machine.dir().join("stale")).expect("a socket"));
    machine.give(&machine.dir().join("stale"));
    let long = machine.dir().join("a-folder-whose-name-is-too-long-for-the-sockets-below-it");
    machine.output(&format!("mkdir {}", long.display()));
    let text = |path: &Path| path.display().to_string();
    let wrong = |env: &[(&'static str, &str)], code, says| Wrong {
        env: env.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        args: &[],
        code,
        says,
    };
    let cases = [
        wrong(&[("XDG_RUNTIME_DIR", "")], 3, "XDG_RUNTIME_DIR is unset"),
        wrong(&[("XDG_RUNTIME_DIR", "/nowhere")], 3, "no host at /nowhere/"),
        wrong(&[("XDG_RUNTIME_DIR", &text(&shut))], 3, "start the compositor first"),
        wrong(&[("WAYLAND_DISPLAY", "wayland-99")], 3, "start the compositor first"),
        wrong(&[("WAYLAND_DISPLAY", &format!("{dir}/file"))], 3, "start the compositor first"),
        wrong(&[("WAYLAND_DISPLAY", &dir)], 3, "start the compositor first"),
        wrong(&[("WAYLAND_DISPLAY", &format!("{dir}/stale"))], 3, "start the compositor first"),
        wrong(&[("HOME", "")], 1, "HOME is unset"),
        wrong(&[("HOME", "/proc")], 1, "make /proc writable"),
        wrong(&[("HOME", &text(&tiny))], 1, "there is no room for the desktop's settings in"),
        wrong(&[("WOLF_BRIDGE_RUN", &text(&tiny))], 1, "WOLF_BRIDGE_RUN can name another"),
        wrong(&[("WOLF_BRIDGE_RUN", "/nowhere")], 1, "WOLF_BRIDGE_RUN can name another"),
        wrong(&[("WOLF_BRIDGE_RUN", "/proc")], 1, "WOLF_BRIDGE_RUN can name another"),
        wrong(&[("WOLF_BRIDGE_RUN", &text(&long))], 1, "WOLF_BRIDGE_RUN can name another"),
        wrong(&[("WOLF_BRIDGE_NAME", "../../etc")], 2, "a name without slashes is needed"),
        wrong(&[("WOLF_BRIDGE", "/nowhere/wolf-bridge")], 1, "WOLF_BRIDGE can say where it is"),
        wrong(&[("WOLF_BRIDGE_ARGS", "--video nonsense")], 2, "see wolf-bridge --help"),
        Wrong { args: &["--nonsense"], ..wrong(&[], 2, "see wolf-bridge --help") },
    ];
    for Wrong { env, args, code, says } in &cases {
        let all = [right.as_slice(), env].concat();
        let started = Started::start(&mut machine, &all, args);
        let (ended, log) = started.ended(Duration::from_secs(10));
        assert_eq!(ended, *code, "{env:?} {args:?}: {log}");
        assert!(log.lines().last().is_some_and(|line| line.contains(says)), "{env:?} {args:?}: {log}");
        assert_eq!(log.lines().count(), 1, "{env:?} {args:?}: {log}");
        started.forget();
    }
    assert_eq!(machine.output("pgrep -l 'gnome|pipewire|dbus|s6'"), "");
    assert_eq!(machine.output(&format!("ls -A {}", tiny.display())), ".local", "what is left on the full disk");
    assert_eq!(host.look(|seen| seen.windows.len()), 0);
}

/// What is odd is told and done without: a GPU that is not the user's, sizes that are none, folders that cannot be written, an app that is not
/// there; and what a session left that was killed with all it had. One of the same name has to wait until this one has ended.
#[test]
fn a_start_that_is_odd_works_and_says_so() {
    if lab::skip() {
        return;
    }
    let mut machine = Machine::start();
    closed_device(&machine, "/dev/dri/renderD128", (226, 128));
    let gpu = Dmabuf::feedback(4, rustix::fs::makedev(226, 128), vec![(fourcc::XRGB8888, 0)]);
    let host = FakeHost::builder().wolf().dmabuf(gpu).start().expect("a host");
    let env = with_host(&machine, host.socket());
    let killed = Started::start(&mut machine, &env, &[]);
    killed.expect(host.wait(Seen::shown, soon()));
    let (stale, processes) = (killed.run_dir().expect("its folder"), killed.processes(&machine));
    processes.iter().for_each(|it| common::started::kill(it.pid, rustix::process::Signal::KILL));
    killed.expect(host.wait(Seen::client_gone, soon()));
    killed.wait("the end of them all", soon(), || killed.processes(&machine).is_empty().then_some(()));
    assert!(stale.join("bus").exists() && stale.join("wayland-0.lock").exists());

    // Not the user's, and nothing is to be made in it.
    let folder = machine.dir().join("host");
    std::fs::create_dir(&folder).expect("a folder");
    machine.bring(host.socket(), "host/wayland-1");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).expect("it is ours");
    let base = stale.parent().expect("it is in one").to_owned();
    let odd = [
        ("XDG_RUNTIME_DIR", folder.display().to_string()),
        ("WAYLAND_DISPLAY", "wayland-1".to_owned()),
        ("GAMESCOPE_WIDTH", "0".to_owned()),
        ("GAMESCOPE_HEIGHT", "foo".to_owned()),
        ("GAMESCOPE_REFRESH", "-60".to_owned()),
        ("XKB_DEFAULT_LAYOUT", "de'; touch /tmp/x".to_owned()),
        ("XKB_DEFAULT_OPTIONS", "compose:caps".to_owned()),
        ("WOLF_BRIDGE_APP", "nonsense".to_owned()),
        ("WOLF_BRIDGE_RUN", base.display().to_string()),
        ("WOLF_BRIDGE_NAME", base.file_name().expect("a name").to_string_lossy().into_owned()),
    ];
    let env = [env.as_slice(), &odd].concat();
    let started = Started::start(&mut machine, &env, &[]);
    started.expect(host.wait(|seen| seen.windows.len() == 2 && seen.shown(), soon()));
    assert!(!stale.exists(), "what was killed is still there");
    for says in [
        "GAMESCOPE_WIDTH is '0', which is no number from 1 to 16384: it is ignored",
        "GAMESCOPE_HEIGHT is 'foo', which is no number from 1 to 16384: it is ignored",
        "GAMESCOPE_REFRESH is '-60', which is no number from 1 to 1000: it is ignored",
        "XKB_DEFAULT_LAYOUT and _VARIANT name no layout: they are ignored",
        "the host draws on /dev/dri/renderD128, which this user may not open: the desktop is drawn in software",
    ] {
        assert_eq!(started.log().matches(&format!("wolf-bridge: {says}")).count(), 1, "{says}: {}", started.log());
    }
    started.wait("the app's end", soon(), || started.log().contains("nonsense: not found").then_some(()));

    let layout = |key: &str| format!("gsettings get org.gnome.desktop.input-sources {key}");
    // It is where the other one was.
    assert_eq!(killed.run(&mut machine, &layout("xkb-options")), "['compose:caps']");
    assert_eq!(killed.run(&mut machine, &layout("sources")), "@a(ss) []");

    let second = Started::start(&mut machine, &env, &[]);
    let (code, log) = second.ended(Duration::from_secs(10));
    assert_eq!(code, 1, "{log}");
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("runs already; set WOLF_BRIDGE_NAME to another name"), "{log}");
    started.signal(rustix::process::Signal::TERM);
    assert_eq!(started.ended(soon()).0, 0);
}
