//! Sessions as people start them, on a Debian 13 of their own and as a user without any rights: GNOME, its buses, its PipeWire and the bridge, under
//! their supervisor, from the start to the end, with what may happen between. Needs the rootfs of scripts/rootfs.

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::desktops::soon;
use common::started::{Started, kill, with_host};
use common::usage::memory;
use common::wait_for;
use fake_host::{FakeHost, Seen, code};
use lab::{Canvas, Machine, Process, Sway};
use rustix::process::Signal;

/// One test at a time: what is to be back in some seconds has to have the machine for itself.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session that is shown.
struct World {
    machine: Machine,
    host: FakeHost,
    started: Started,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(env: &[(&'static str, &str)]) -> Self {
        let alone = alone();
        let mut machine = Machine::start();
        let (host, started) = shown(&mut machine, env);
        Self { machine, host, started, _alone: alone }
    }

    /// The picture of another session with GNOME than the one that there was: frames come again, in the one window that
    /// there ever was, which was never without a picture.
    fn is_back(&self, sessions: usize, limit: Duration) {
        let began = Instant::now();
        let left = || limit.saturating_sub(began.elapsed());
        self.started.wait("another session with GNOME", limit, || {
            (self.started.log().matches("session with GNOME").count() > sessions).then_some(())
        });
        let frames = self.host.look(Seen::frame_count);
        self.started.expect(self.host.wait(|seen| seen.frame_count() > frames, left()));
        self.host.look(|seen| {
            assert_eq!(seen.windows.len(), 1, "{seen}");
            assert!(seen.shown() && !seen.window().expect("a window").destroyed, "{seen}");
            let shown = seen.window_commits().skip_while(|commit| commit.buffer().is_none());
            assert!(shown.into_iter().all(|commit| commit.size.is_some()), "the window was blank: {seen}");
        });
    }
}

/// A host, and a session that it shows.
fn shown(machine: &mut Machine, env: &[(&'static str, &str)]) -> (FakeHost, Started) {
    let host = FakeHost::builder().wolf().start().expect("a host");
    let mut all = with_host(machine, host.socket());
    all.extend(env.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let started = Started::start(machine, &all, &["--guest-timeout", "20"]);
    started.expect(host.wait(Seen::shown, soon()));
    (host, started)
}

/// What a session may leave traces of: processes, sockets, and files wherever its user may write.
#[derive(Debug, PartialEq)]
struct Traces {
    processes: BTreeSet<String>,
    sockets: BTreeSet<String>,
    files: BTreeSet<PathBuf>,
}

impl Traces {
    fn of(machine: &mut Machine) -> Self {
        let files = machine.output("find /tmp /var/tmp /run /dev/shm /dev/mqueue -print 2>/dev/null");
        let home = machine.dir().join("home");
        // Settings are to stay; logs and such are the test's own.
        let own = |path: &PathBuf| {
            path.starts_with(&home) || path.parent() == Some(machine.dir()) && !path.is_dir() || path == machine.dir()
        };
        let files = files.lines().map(PathBuf::from).filter(|path| !own(path)).collect();
        let processes = machine.processes();
        // Those that wait for the session.
        let is_own = |it: &Process| it.args.first().is_some_and(|name| name == "bash" || name == "sleep");
        let processes = processes.iter().filter(|it| !is_own(it)).map(|it| it.args.join(" ")).collect();
        Self { processes, sockets: machine.sockets().into_iter().collect(), files }
    }
}

#[track_caller]
fn leaves_nothing(machine: &mut Machine, before: &Traces, log: &str) {
    let mut after = Traces::of(machine);
    let began = Instant::now();
    while after != *before {
        assert!(began.elapsed() < Duration::from_secs(5), "it left something: {after:#?} is not {before:#?}\n{log}");
        after = Traces::of(machine);
    }
}

#[test]
fn from_the_start_to_the_first_frame_and_to_the_end() {
    if lab::skip() {
        return;
    }
    for signal in [Signal::TERM, Signal::INT] {
        let mut machine = Machine::start();
        let host = Sway::start(1280, 720);
        let env = with_host(&machine, &host.socket());
        let before = Traces::of(&mut machine);
        let started = Started::start(&mut machine, &env, &[]);
        wait_for("a picture in the host", soon(), || (!host.screenshot().is_uniform()).then_some(()));
        let during = Traces::of(&mut machine);
        assert!(during.processes.len() > before.processes.len() + 10, "{during:?}");
        assert!(during.sockets.len() > before.sockets.len() + 3, "{during:?}");
        let run = started.run_dir().expect("its folder");
        let elsewhere: Vec<_> = during.files.difference(&before.files).filter(|path| !path.starts_with(&run)).collect();
        let base = run.parent().expect("it is in one");
        assert_eq!(elsewhere, [base], "files outside its folder");
        let elsewhere = during.sockets.difference(&before.sockets).filter(|name| !Path::new(name).starts_with(&run));
        assert_eq!(elsewhere.collect::<Vec<_>>(), Vec::<&String>::new(), "sockets outside its folder");

        started.signal(signal);
        let (code, log) = started.ended(Duration::from_secs(10));
        assert_eq!(code, 0, "{signal:?}: {log}");
        std::fs::remove_dir(base).unwrap_or_else(|error| panic!("{signal:?}: {error}: {log}"));
        // What the bus had started ends with the bus, in its own time.
        leaves_nothing(&mut machine, &before, &log);
    }
}

#[test]
fn gnome_killed_is_back_in_the_same_window() {
    if lab::skip() {
        return;
    }
    let world = World::new();
    let shell = world.started.running(&world.machine, "gnome");
    kill(shell.pid, Signal::KILL);
    world.is_back(1, Duration::from_secs(5));
    assert_ne!(world.started.running(&world.machine, "gnome").pid, shell.pid);
    world.started.end();
}

/// The first exit code that a shell would tell of SIGKILL.
const KILLED: i32 = 128 + 9;

#[test]
fn the_bridges_end_is_the_end_of_all_with_its_code() {
    if lab::skip() {
        return;
    }
    for (signal, code) in [(Signal::KILL, KILLED), (Signal::TERM, 0)] {
        let mut world = World::new();
        kill(world.started.running(&world.machine, "bridge").pid, signal);
        let (ended, log) = world.started.ended(Duration::from_secs(10));
        assert_eq!(ended, code, "{log}");
        assert_eq!(world.started.run_dir(), None, "{log}");
        wait_for("the end of its processes", soon(), || {
            world.machine.processes().iter().all(|it| !it.args.join(" ").contains("gnome-shell")).then_some(())
        });
        assert_eq!(world.machine.output("pgrep -l -u $(id -u) 'gnome|pipewire|dbus|s6'"), "");
    }
}

#[test]
fn the_hosts_end_is_the_end_of_all_with_code_3() {
    if lab::skip() {
        return;
    }
    let world = World::new();
    world.host.kill();
    let (code, log) = world.started.ended(Duration::from_secs(10));
    assert_eq!(code, 3, "{log}");
    assert!(log.contains("bridge:  wolf-bridge: the host"), "{log}");
}

/// Each of them; the picture is back, or never was away.
#[test]
fn every_other_part_may_be_killed() {
    if lab::skip() {
        return;
    }
    // A server of sound that is not there yet.
    let world = World::with(&[("PULSE_SERVER", "unix:/nowhere")]);
    for part in ["sound", "pulse", "session", "pipewire", "system", "bus"] {
        let sessions = world.started.log().matches("session with GNOME").count();
        let before = world.started.running(&world.machine, part);
        kill(before.pid, Signal::KILL);
        let again = || world.started.part(&world.machine, part).filter(|it| it.pid != before.pid);
        world.started.wait(part, soon(), again);
        // GNOME Shell ends with either of its buses.
        if matches!(part, "pipewire" | "system" | "bus") {
            world.is_back(sessions, soon());
        }
        let canvas = Canvas::open(&world.started.run_dir().expect("its folder").join("wayland-0"), 7);
        let frames = world.host.look(Seen::frame_count);
        world.started.expect(canvas.wait(soon(), |seen| (seen.fullscreen && seen.drawn > 0).then_some(())));
        world.started.expect(world.host.wait(|seen| seen.frame_count() > frames, soon()));
    }
    world.started.end();
}

/// A session asked to end while it starts: wherever that is, it ends, and leaves nothing.
#[test]
fn an_end_in_the_middle_of_the_start_leaves_nothing() {
    if lab::skip() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let host = FakeHost::builder().wolf().start().expect("a host");
    let env = with_host(&machine, host.socket());
    let before = Traces::of(&mut machine);
    for stage in ["", "run", "bus", "pipewire", "session", "gnome", "bridge"] {
        let started = Started::start(&mut machine, &env, &[]);
        match stage {
            "" => {}
            "run" => started.wait(stage, soon(), || started.run_dir().map(drop)),
            part => drop(started.running(&machine, part)),
        }
        started.signal(Signal::TERM);
        let (code, log) = started.ended(Duration::from_secs(10));
        assert!([0, 128 + 15].contains(&code), "{stage}: {code}: {log}");
        started.forget();
        leaves_nothing(&mut machine, &before, &format!("{stage}: {log}"));
    }
}

#[test]
fn two_sessions_at_once_know_nothing_of_each_other() {
    if lab::skip() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let sessions = [shown(&mut machine, &[]), shown(&mut machine, &[])];
    let canvases = sessions.each_ref().map(|(_, started)| {
        let canvas = Canvas::open(&started.run_dir().expect("its folder").join("wayland-0"), 7);
        started.expect(canvas.wait(soon(), |seen| (seen.fullscreen && seen.keyboard).then_some(())));
        canvas
    });
    let uses = |index: usize, place: f64| {
        let ((host, started), canvas) = (&sessions[index], &canvases[index]);
        // The very first key may come before the window knows the keyboard.
        started.wait("keys", soon(), || {
            host.keyboard().tap(code::KEY_A);
            canvas
                .wait(Duration::from_millis(500), |seen| seen.keys().contains(&(code::KEY_A, false)).then_some(()))
                .ok()
        });
        // GNOME may lose a motion while its monitor changes.
        started.wait("the pointer", soon(), || {
            host.pointer().move_to(place - 20.0, place).move_to(place, place);
            let there = |seen: &lab::Seen| seen.pointer.filter(|at| *at == (place, place)).map(drop);
            canvas.wait(Duration::from_millis(500), there).ok()
        });
        host.pointer().click(code::BTN_LEFT);
        started.expect(canvas.wait(soon(), |seen| (seen.buttons().len() == 2).then_some(())));
        let other = &canvases[1 - index].seen();
        assert_eq!((other.keys(), other.buttons()), (Vec::new(), Vec::new()), "{other}");
        canvases.iter().for_each(Canvas::forget);
    };
    uses(0, 300.0);
    uses(1, 500.0);
    uses(0, 400.0);

    // One dies at once and as a whole, as if its machine did.
    let (host, started) = &sessions[0];
    let parts =
        |started: &Started| ["bus", "pipewire", "session", "gnome", "bridge"].map(|name| started.part(&machine, name));
    let other = parts(&sessions[1].1);
    started.processes(&machine).iter().for_each(|process| kill(process.pid, Signal::KILL));
    started.expect(host.wait(Seen::client_gone, soon()));
    canvases[0].forget();
    uses(1, 600.0);
    assert_eq!(parts(&sessions[1].1), other);
    let [_, (_, started)] = sessions;
    started.end();
}

/// `cargo test --test sessions -- --ignored --nocapture figures`, on a machine at rest; WB_BRIDGE names another bridge than the one that was
/// built for tests.
#[test]
#[ignore = "a measurement, not a check: machines are noisy"]
fn figures() {
    if lab::skip() {
        return;
    }
    let mut took = Vec::new();
    for _ in 0..7 {
        let mut machine = Machine::start();
        let began = Instant::now();
        let (host, started) = shown(&mut machine, &[]);
        took.push(began.elapsed());
        if took.len() == 7 {
            let canvas = Canvas::open(&started.run_dir().expect("its folder").join("wayland-0"), 7);
            started.expect(canvas.wait(soon(), |seen| (seen.fullscreen && seen.drawn > 0).then_some(())));
            drop(canvas);
            let processes = started.processes(&machine);
            memory(processes.iter().map(|it| (it.pid, it.args.join(" "))));
        }
        started.end();
        drop(host);
    }
    took.sort();
    println!("start to first frame: p50 {:.2?} of {took:.2?}", took[took.len() / 2]);
}
