//! The sound of started desktops: to the sound server outside and from it, apart from each other's, and whatever that server does. The desktops
//! are real ones as a user without any rights has them, most of them without a bridge, for speed; the servers are PulseAudio and PipeWire.
//! Needs the rootfs of scripts/rootfs.

mod common;

use std::io::Read as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::desktops::soon;
use common::started::{GNOME, Started, kill, with_host};
use common::wait_for;
use lab::{Machine, Recording, SoundKind, SoundServer, Sway, tone};
use rustix::process::Signal;

const SWAY: &str = "start-sway-headless.sh";

/// A desktop in a machine, and what its user does there.
struct Desktop {
    started: Started,
    /// Its XDG_RUNTIME_DIR.
    run: PathBuf,
    files: usize,
}

impl Desktop {
    fn start(machine: &mut Machine, env: &[(&str, &str)]) -> Self {
        Self::start_script(machine, SWAY, env)
    }

    fn start_script(machine: &mut Machine, script: &str, env: &[(&str, &str)]) -> Self {
        let started = Started::start_script(machine, script, env, &[]);
        let run = started.wait("its folder", soon(), || started.run_dir());
        started.wait("PulseAudio's socket", soon(), || run.join("pulse/native").exists().then_some(()));
        Self { started, run, files: 0 }
    }

    fn run(&self, machine: &mut Machine, command: &str) {
        machine.run(&format!("export XDG_RUNTIME_DIR={}; exec {command}", self.run.display()));
    }

    fn output(&self, machine: &mut Machine, command: &str) -> String {
        machine.output(&format!("XDG_RUNTIME_DIR={} {command}", self.run.display()))
    }

    fn file(&mut self, name: &str) -> PathBuf {
        self.files += 1;
        self.run.with_file_name(format!("{}-{name}", self.files))
    }

    /// Plays a tone for minutes, with `paplay` or `pw-play`.
    fn play(&mut self, machine: &mut Machine, player: &str, hz: f64) {
        let file = self.file("tone.wav");
        std::fs::write(&file, tone::wav(hz, 200)).expect("a file for the machine");
        machine.give(&file);
        self.run(machine, &format!("{player} {}", file.display()));
    }

    /// Records its default source, with `parec` or `pw-record`.
    fn record(&mut self, machine: &mut Machine, recorder: &str) -> Recording {
        let file = self.file("recording");
        self.run(machine, &format!("{recorder} --rate=48000 --channels=2 >{}", file.display()));
        Recording::of(&file)
    }

    fn default_sink(&self, machine: &mut Machine, name: &str) {
        self.started.wait(&format!("{name} as the default sink"), soon(), || {
            (self.output(machine, "pactl get-default-sink") == name).then_some(())
        });
    }

    /// Waits for the tunnel.
    fn connected(&self, machine: &mut Machine) {
        self.default_sink(machine, "wolf-sink");
    }
}

const PULSEAUDIO_RECORDS: &str = "parec --latency-msec=10 --format=s16le";
const PIPEWIRE_RECORDS: &str = "pw-record --raw --format=s16 --channel-map=FL,FR -";

/// What the programs of a desktop play is heard at the server's sink, and what the server's microphone hears is heard inside; the volume inside
/// is heard outside; a server that was away is heard again, without anybody doing anything.
fn sound_goes_through(kind: SoundKind) {
    let mut machine = Machine::start();
    let mut server = SoundServer::start(&machine.dir().join("wolf"), kind, &["game", "voice", "other"]);
    let address = server.address();
    let env = [("PULSE_SERVER", &*address), ("PULSE_SINK", "game"), ("PULSE_SOURCE", "voice.monitor")];
    let mut desktop = Desktop::start(&mut machine, &env);
    desktop.connected(&mut machine);

    let outside = server.record("game");
    desktop.play(&mut machine, "paplay", 440.0);
    outside.hears(&[440.0], &[]);
    desktop.play(&mut machine, "pw-play", 880.0);
    outside.hears(&[440.0, 880.0], &[]);

    server.play("voice", 660.0);
    for recorder in [PULSEAUDIO_RECORDS, PIPEWIRE_RECORDS] {
        desktop.record(&mut machine, recorder).hears(&[660.0], &[440.0, 880.0]);
    }
    outside.hears(&[440.0, 880.0], &[660.0]);

    let loud = |part: f64| (tone::level(&outside.wait(0.2), 440.0) / tone::LOUDNESS - part).abs() < 0.05;
    desktop.started.wait("all its loudness", soon(), || loud(1.0).then_some(()));
    // As GNOME's slider sets it: the volume of the default sink, through PulseAudio's protocol.
    desktop.output(&mut machine, "pactl set-sink-volume @DEFAULT_SINK@ 0.5");
    desktop.started.wait("half as loud", soon(), || loud(0.5).then_some(()));
    desktop.output(&mut machine, "pactl set-sink-mute @DEFAULT_SINK@ 1");
    desktop.started.wait("silence", soon(), || loud(0.0).then_some(()));
    desktop.output(&mut machine, "pactl set-sink-mute @DEFAULT_SINK@ 0");
    outside.hears(&[440.0, 880.0], &[]);

    server.end();
    desktop.default_sink(&mut machine, "silence");
    server.restart();
    server.record("game").hears(&[440.0, 880.0], &[]);
    server.play("voice", 660.0);
    desktop.record(&mut machine, PULSEAUDIO_RECORDS).hears(&[660.0], &[440.0]);
    let log = desktop.started.end();
    assert!(log.contains("sound: silence until the sound server answers"), "{log}");
}

#[test]
fn sound_goes_through_to_pulseaudio_and_back() {
    if lab::skip() {
        return;
    }
    sound_goes_through(SoundKind::PulseAudio);
}

#[test]
fn sound_goes_through_to_a_pipewire_and_back() {
    if lab::skip() {
        return;
    }
    sound_goes_through(SoundKind::PipeWire);
}

/// Two desktops with a sink and a microphone each, at these servers (sink, microphone): nothing of one reaches the other, and when one is killed
/// the other plays on.
fn apart(mut servers: Vec<SoundServer>, mut machine: Machine, first: (usize, &str, &str), second: (usize, &str, &str)) {
    let mut desktops: Vec<Desktop> = [first, second]
        .map(|(server, sink, microphone)| {
            let (address, source) = (servers[server].address(), format!("{microphone}.monitor"));
            // So much that a busy machine does not interrupt it.
            let latency = ("WOLF_BRIDGE_SOUND_LATENCY", "1000");
            let env = [("PULSE_SERVER", &*address), ("PULSE_SINK", sink), ("PULSE_SOURCE", &*source), latency];
            Desktop::start(&mut machine, &env)
        })
        .into();
    for ((desktop, tone), voice) in
        desktops.iter_mut().zip([440.0, 880.0]).zip([first, second].iter().zip([660.0, 550.0]))
    {
        desktop.connected(&mut machine);
        desktop.play(&mut machine, "paplay", tone);
        let ((server, _, microphone), tone) = voice;
        servers[*server].play(microphone, tone);
    }
    let outside = [first, second].map(|(server, sink, _)| servers[server].record(sink));
    outside[0].hears(&[440.0], &[880.0, 660.0, 550.0]);
    outside[1].hears(&[880.0], &[440.0, 660.0, 550.0]);
    let inside: Vec<Recording> =
        desktops.iter_mut().map(|desktop| desktop.record(&mut machine, PULSEAUDIO_RECORDS)).collect();
    inside[0].hears(&[660.0], &[440.0, 880.0, 550.0]);
    inside[1].hears(&[550.0], &[440.0, 880.0, 660.0]);
    // Both still play, and still only theirs.
    outside[0].hears(&[440.0], &[880.0]);

    let from = outside[1].length();
    let scan = desktops[0].run.join("scan");
    // All of its processes at once, the supervisor first.
    for process in machine.processes() {
        let environment = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        let of_it = |part: &[u8]| String::from_utf8_lossy(part).contains(&*desktops[0].run.to_string_lossy());
        if of_it(&environment) || process.args.iter().any(|arg| arg.contains(&*scan.to_string_lossy())) {
            kill(process.pid, Signal::KILL);
        }
    }
    wait_for("silence of the killed one", soon(), || (tone::level(&outside[0].wait(0.2), 440.0) < 0.001).then_some(()));
    outside[1].wait(1.5);
    let played = &outside[1].samples()[from..];
    let faint = played.chunks_exact(tone::TENTH).filter(|it| tone::faintest(it) < tone::LOUDNESS / 2.0).count();
    // A tunnel that is made anew takes a second; less may be the machine's.
    assert!(faint < 5, "{faint} tenths of a second of {}", played.len() / tone::TENTH);
    assert!(tone::level(played, 440.0) < tone::LOUDNESS / 100.0, "{}", tone::level(played, 440.0));
    inside[1].hears(&[550.0], &[]);
    desktops.remove(1).started.end();
}

#[test]
fn two_desktops_at_one_server_hear_nothing_of_each_other() {
    if lab::skip() {
        return;
    }
    let machine = Machine::start();
    let sinks = ["sink-a", "voice-a", "sink-b", "voice-b"];
    let server = SoundServer::start(&machine.dir().join("wolf"), SoundKind::PulseAudio, &sinks);
    apart(vec![server], machine, (0, "sink-a", "voice-a"), (0, "sink-b", "voice-b"));
}

#[test]
fn two_desktops_at_two_servers_hear_nothing_of_each_other() {
    if lab::skip() {
        return;
    }
    let machine = Machine::start();
    // The same names, as those of two users may be.
    let server = |dir: &str, kind| SoundServer::start(&machine.dir().join(dir), kind, &["sink", "voice"]);
    let servers = vec![server("one", SoundKind::PulseAudio), server("two", SoundKind::PipeWire)];
    apart(servers, machine, (0, "sink", "voice"), (1, "sink", "voice"));
}

#[test]
fn without_a_server_programs_play_to_a_sink_that_nobody_hears() {
    if lab::skip() {
        return;
    }
    let mut machine = Machine::start();
    let mut desktop = Desktop::start(&mut machine, &[]);
    desktop.default_sink(&mut machine, "silence");
    assert_eq!(desktop.output(&mut machine, "pactl list short sinks | wc -l"), "1");
    let file = desktop.file("tone.wav");
    std::fs::write(&file, tone::wav(440.0, 1)).expect("a file for the machine");
    machine.give(&file);
    for player in ["paplay", "pw-play"] {
        let output = desktop.output(&mut machine, &format!("{player} {}; echo $?", file.display()));
        assert_eq!(output, "0", "{player}");
    }
    desktop.started.end();
}

/// A server that is not what it should be delays neither the start nor the end, and is told of in one line.
#[test]
fn a_server_that_does_not_answer_costs_nothing_but_sound() {
    if lab::skip() {
        return;
    }
    let mut machine = Machine::start();
    let refuses = machine.dir().join("refuses");
    drop(UnixListener::bind(&refuses).expect("a socket"));
    let hangs = machine.dir().join("hangs");
    let listener = UnixListener::bind(&hangs).expect("a socket");
    machine.give(&refuses);
    machine.give(&hangs);
    let unix = |path: &PathBuf| format!("unix:{}", path.display());
    let bad = [
        unix(&refuses),
        unix(&machine.dir().join("nowhere")),
        unix(&hangs),
        "gar\"bage \\{ ]".into(),
        "tcp:localhost:1".into(),
    ];
    for address in bad {
        let began = Instant::now();
        let desktop =
            Desktop::start(&mut machine, &[("PULSE_SERVER", &address), ("WOLF_BRIDGE_SOUND_LATENCY", "soon")]);
        desktop.default_sink(&mut machine, "silence");
        assert!(began.elapsed() < Duration::from_secs(10), "{address:?} took {:?}", began.elapsed());
        if address == unix(&hangs) {
            // Its connection, which is never answered.
            listener.accept().expect("it connects");
        } else {
            let line = || desktop.started.log().contains("sound: silence until").then_some(());
            desktop.started.wait("a line about it", soon(), line);
            // More than one attempt later.
            std::thread::sleep(Duration::from_millis(2500));
        }
        let ending = Instant::now();
        let log = desktop.started.end();
        assert!(ending.elapsed() < Duration::from_secs(5), "{address:?}: its end took {:?}", ending.elapsed());
        assert!(log.matches("sound: silence until").count() <= 1, "{address:?}: {log}");
        assert!(log.contains("WOLF_BRIDGE_SOUND_LATENCY is 'soon', which is no number from 10 to 2000"), "{log}");
    }
}

#[test]
fn sound_comes_when_the_server_does() {
    if lab::skip() {
        return;
    }
    let mut machine = Machine::start();
    let dir = machine.dir().join("wolf");
    let address = format!("unix:{}", dir.join("sound").display());
    let mut desktop = Desktop::start(&mut machine, &[("PULSE_SERVER", &address), ("PULSE_SINK", "game")]);
    desktop.default_sink(&mut machine, "silence");
    desktop.play(&mut machine, "paplay", 440.0);
    // More attempts than a part has that is given up.
    desktop
        .started
        .wait("a line about it", soon(), || desktop.started.log().contains("sound: silence until").then_some(()));
    std::thread::sleep(Duration::from_secs(8));
    let mut server = SoundServer::start(&dir, SoundKind::PulseAudio, &["game"]);
    server.record("game").hears(&[440.0], &[]);
    desktop.started.end();
}

#[test]
fn the_sound_of_a_gnome_goes_through_beside_its_picture() {
    if lab::skip() {
        return;
    }
    let mut machine = Machine::start();
    let mut server = SoundServer::start(&machine.dir().join("wolf"), SoundKind::PulseAudio, &["game", "voice"]);
    let host = Sway::start(1280, 720);
    let address = server.address();
    let mut env = with_host(&machine, &host.socket());
    env.extend([("PULSE_SERVER", address), ("PULSE_SINK", "game".into()), ("PULSE_SOURCE", "voice.monitor".into())]);
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut desktop = Desktop::start_script(&mut machine, GNOME, &env);
    wait_for("a picture in the host", soon(), || (!host.screenshot().is_uniform()).then_some(()));
    desktop.connected(&mut machine);
    desktop.play(&mut machine, "paplay", 440.0);
    desktop.play(&mut machine, "pw-play", 880.0);
    server.record("game").hears(&[440.0, 880.0], &[]);
    server.play("voice", 660.0);
    desktop.record(&mut machine, PIPEWIRE_RECORDS).hears(&[660.0], &[440.0]);
    desktop.started.end();
}

/// When sound began that is written to a pipe: each chunk says by its arrival when its last sample was.
fn hear_onsets(pipe: PathBuf) -> std::thread::JoinHandle<Vec<Instant>> {
    std::thread::spawn(move || {
        let mut pipe = std::fs::File::open(pipe).expect("a pipe");
        let (mut raw, mut chunks, mut chunk) = (Vec::new(), Vec::new(), [0; 1 << 16]);
        loop {
            let count = pipe.read(&mut chunk).expect("the pipe");
            if count == 0 {
                break;
            }
            raw.extend_from_slice(&chunk[..count]);
            chunks.push((raw.len() / 4, Instant::now()));
        }
        let onsets = tone::onsets(&tone::left(&raw)).into_iter();
        let chunk_of = |onset: usize| chunks.iter().find(|(until, _)| *until > onset).expect("it came in one");
        let age = |samples: usize| Duration::from_secs_f64(samples as f64 / tone::RATE as f64);
        onsets.map(|onset| (onset, chunk_of(onset))).map(|(onset, (until, at))| *at - age(until - onset)).collect()
    })
}

/// `cargo test --release --test sound -- --ignored --nocapture figures`, on a machine at rest: how long sound takes from the mix of the desktop
/// to what is recorded at the server's sink, and how often it breaks off, for some latencies.
#[test]
#[ignore = "a measurement, not a check: machines are noisy"]
fn figures() {
    const SECONDS: usize = 20;
    for latency in ["20", "40", "60", "100", "200"] {
        let mut machine = Machine::start();
        let mut server = SoundServer::start(&machine.dir().join("wolf"), SoundKind::PulseAudio, &["game"]);
        let address = server.address();
        let env = [("PULSE_SERVER", &*address), ("PULSE_SINK", "game"), ("WOLF_BRIDGE_SOUND_LATENCY", latency)];
        let mut desktop = Desktop::start(&mut machine, &env);
        desktop.connected(&mut machine);

        let tone = desktop.file("tone.wav");
        std::fs::write(&tone, tone::wav(440.0, SECONDS)).expect("a file for the machine");
        let bursts = desktop.file("bursts.wav");
        std::fs::write(&bursts, tone::bursts(SECONDS)).expect("a file for the machine");
        let [inside, outside] = ["inside", "outside"].map(|name| {
            let pipe = desktop.file(name);
            rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("a pipe");
            pipe
        });
        for file in [&tone, &bursts, &inside, &outside] {
            machine.give(file);
        }
        let recording = server.record("game");
        desktop.run(&mut machine, &format!("paplay {}", tone.display()));
        recording.wait(SECONDS as f64 + 2.0);
        let breaks = tone::breaks(&recording.samples(), 440.0);

        let heard = [&inside, &outside].map(|pipe| hear_onsets(pipe.clone()));
        let monitor = "pw-record --target wolf-sink -P stream.capture.sink=true --latency 256 --rate 48000 --channels 2 --format s16 --raw -";
        desktop.run(&mut machine, &format!("timeout {} {monitor} >{}", SECONDS + 2, inside.display()));
        let parec = format!(
            "PULSE_SERVER={address} timeout {} parec -d game.monitor --latency-msec=10 --rate=48000",
            SECONDS + 2
        );
        machine.run(&format!("{parec} >{}", outside.display()));
        desktop.run(&mut machine, &format!("paplay {}", bursts.display()));
        let [inside, outside] = heard.map(|it| it.join().expect("it was recorded"));
        let after = |at: &Instant| {
            outside.iter().find(|it| **it + Duration::from_millis(5) > *at).map(|it| it.saturating_duration_since(*at))
        };
        let mut delays: Vec<f64> =
            inside.iter().filter_map(after).map(|it| it.as_secs_f64() * 1000.0).filter(|it| *it < 700.0).collect();
        delays.sort_by(f64::total_cmp);
        let (middle, most) = (delays[delays.len() / 2], delays[delays.len() - 1]);
        let count = delays.len();
        println!(
            "latency {latency} ms: {middle:.0} ms (p50), {most:.0} ms (max) of {count}; {breaks} breaks in {SECONDS} s"
        );
        desktop.started.end();
    }
}
