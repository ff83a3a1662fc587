//! A sound server as Wolf has one: separate from every desktop's, with sinks that nobody hears, whose sound is recorded here, and into which a
//! microphone's is played. Owns the server; knows nothing of who connects to it.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{Suite, session::Session, tone};

const SOON: Duration = Duration::from_secs(20);

/// What the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoundKind {
    /// PulseAudio 16.
    PulseAudio,
    /// PipeWire 1.4.
    PipeWire,
}

/// A running sound server, ended by drop.
#[derive(Debug)]
pub struct SoundServer {
    session: Session,
    /// Recordings and players so far.
    started: usize,
}

impl SoundServer {
    /// Starts it with these sinks. Its socket is in `dir`, which is made if missing and has to outlive it.
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn start(dir: &Path, kind: SoundKind, sinks: &[&str]) -> Self {
        let (suite, name) = match kind {
            SoundKind::PulseAudio => (Suite::Bookworm, "pulseaudio"),
            SoundKind::PipeWire => (Suite::Trixie, "pipewire"),
        };
        let args = [&[name], sinks].concat();
        Self { session: Session::start_in(dir, suite, "sound-server", &args), started: 0 }
    }

    /// For PULSE_SERVER; its socket is one for every user.
    pub fn address(&self) -> String {
        self.session.ready[0].clone()
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.session.dir().join("sound")
    }

    /// Ends it, with its recordings and players.
    pub fn end(&mut self) {
        self.session.end();
    }

    /// Starts it anew, after [`end`](Self::end) or instead: without what clients had asked of it, and without its recordings.
    ///
    /// # Panics
    /// With its logs, when it does not start.
    pub fn restart(&mut self) {
        self.session.restart(|| ());
    }

    /// Records what a sink of it plays, from now on.
    ///
    /// # Panics
    /// When nothing is recorded.
    pub fn record(&mut self, sink: &str) -> Recording {
        self.started += 1;
        let file = self.session.dir().join(format!("recording-{}", self.started));
        self.session.run(&format!(
            "exec parec --device={sink}.monitor --latency-msec=10 --rate={} --channels=2 --format=s16le >{}",
            tone::RATE,
            file.display()
        ));
        let recording = Recording::of(&file);
        recording.wait(0.1);
        recording
    }

    /// Plays a tone into a sink of it, for as long as it runs: what a microphone hears.
    pub fn play(&mut self, sink: &str, hz: f64) {
        self.started += 1;
        let file = self.session.dir().join(format!("tone-{}.wav", self.started));
        fs::write(&file, tone::wav(hz, 120)).expect("a file in the server's folder");
        self.session.run(&format!("exec paplay --device={sink} {}", file.display()));
    }

    /// All its logs.
    pub fn log(&self) -> String {
        self.session.log()
    }
}

/// A file of raw samples in stereo that somebody writes to.
#[derive(Clone, Debug)]
pub struct Recording {
    file: PathBuf,
}

impl Recording {
    /// What is written to this file, now or later.
    pub fn of(file: &Path) -> Self {
        Self { file: file.to_owned() }
    }

    /// The left channel, as far as it is there.
    pub fn samples(&self) -> Vec<f64> {
        tone::left(&fs::read(&self.file).unwrap_or_default())
    }

    /// Its length so far, in samples.
    pub fn length(&self) -> usize {
        fs::metadata(&self.file).map_or(0, |it| it.len() as usize / 4)
    }

    /// Waits for so many more seconds of it, and returns those.
    ///
    /// # Panics
    /// When nothing more is recorded.
    pub fn wait(&self, seconds: f64) -> Vec<f64> {
        let from = self.length();
        let until = from + (seconds * tone::RATE as f64) as usize;
        let began = Instant::now();
        while self.length() < until {
            let limit = SOON + Duration::from_secs_f64(seconds);
            let log = |name: &str| fs::read_to_string(self.file.with_file_name(name)).unwrap_or_default();
            assert!(
                began.elapsed() < limit,
                "{} samples of {until} were recorded\n{}{}",
                self.length(),
                log("server.log"),
                log("commands.log")
            );
            thread::sleep(Duration::from_millis(10));
        }
        self.samples()[from..until].to_vec()
    }

    /// Waits until all these frequencies are heard, and not one of those, all through a fifth of a second.
    ///
    /// # Panics
    /// When that does not come: with what was heard instead.
    pub fn hears(&self, these: &[f64], not_those: &[f64]) {
        const LEAST: f64 = tone::LOUDNESS / 10.0;
        let began = Instant::now();
        loop {
            let heard = self.wait(0.2);
            let loud = |hz: &f64| tone::quietest(&heard, *hz) > LEAST;
            let faint = |hz: &f64| tone::level(&heard, *hz) < LEAST / 10.0;
            if these.iter().all(loud) && not_those.iter().all(faint) {
                return;
            }
            let levels = || these.iter().chain(not_those).map(|hz| (*hz, tone::level(&heard, *hz))).collect::<Vec<_>>();
            assert!(began.elapsed() < SOON, "not {these:?} without {not_those:?}, but (Hz, level) {:?}", levels());
        }
    }
}
