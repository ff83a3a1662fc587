//! `--stats`: what is told each period, as lines for people or as JSON, and where it goes.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use tracing::warn;

use crate::error::Error;
use crate::options::{Options, StatsFormat};
use crate::stats::counters::Stats;
use crate::stats::histograms::{STAGES, Stage, Summary};

/// Tells the numbers every period.
#[derive(Debug)]
pub struct Report {
    format: StatsFormat,
    period: Duration,
    sink: Sink,
    since: Instant,
    /// Frames received and committed when the period began.
    before: (u64, u64),
    said_failed: bool,
}

#[derive(Debug)]
enum Sink {
    Stderr,
    File(PathBuf, File),
}

impl Report {
    /// As the options say; `None` when they ask for none.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn open(options: &Options, now: Instant) -> Result<Option<Self>, Error> {
        let Some(format) = options.stats else { return Ok(None) };
        let sink = match &options.stats_file {
            None => Sink::Stderr,
            Some(path) => {
                // A pipe that nobody reads must not hang us.
                let nonblocking = OFlags::NONBLOCK.bits() as i32;
                let file = OpenOptions::new().append(true).create(true).custom_flags(nonblocking).open(path);
                let file = file.map_err(|error| {
                    let path = path.display();
                    Error::Usage(format!(
                        "--stats-file {path} cannot be written ({error}); name a file in a folder of yours"
                    ))
                })?;
                Sink::File(path.clone(), file)
            }
        };
        let before = (0, 0);
        Ok(Some(Self { format, period: options.stats_period, sink, since: now, before, said_failed: false }))
    }

    /// When the period ends.
    pub fn deadline(&self) -> Instant {
        self.since + self.period
    }

    /// Tells the numbers of the period so far, and begins another.
    pub fn tell(&mut self, now: Instant, stats: &mut Stats) {
        let seconds = now.duration_since(self.since).as_secs_f64();
        let rate = |after: u64, before: u64| if seconds > 0.0 { (after - before) as f64 / seconds } else { 0.0 };
        let (received, committed) = self.before;
        let period = Period {
            seconds,
            rate_in: rate(stats.frames_in, received),
            rate_out: rate(stats.committed, committed),
            stats,
        };
        let told = match self.format {
            StatsFormat::Text => period.text(),
            StatsFormat::Json => period.json(),
        };
        let written = match &mut self.sink {
            Sink::Stderr => io::stderr().write_all(told.as_bytes()),
            Sink::File(_, file) => file.write_all(told.as_bytes()),
        };
        if let (Err(error), false) = (written, self.said_failed) {
            self.said_failed = true;
            let sink = match &self.sink {
                Sink::Stderr => "stderr".to_owned(),
                Sink::File(path, _) => path.display().to_string(),
            };
            warn!("statistics could not be written to {sink} ({error}); some are missing there");
        }
        self.since = now;
        self.before = (stats.frames_in, stats.committed);
        stats.latencies.clear();
    }
}

/// One period: rates and latencies are its own, counts are totals since the start.
struct Period<'a> {
    seconds: f64,
    rate_in: f64,
    rate_out: f64,
    stats: &'a Stats,
}

impl Period<'_> {
    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write_text(&mut text);
        text
    }

    fn write_text(&self, out: &mut String) -> fmt::Result {
        let stats = self.stats;
        write!(out, "stats: {:.1} s: {} ({})", self.seconds, stats.path, stats.why)?;
        if let Some(negotiated) = stats.negotiated {
            write!(out, " {}x{} {}", negotiated.width, negotiated.height, name(negotiated.format.fourcc()))?;
            if let Some(modifier) = negotiated.modifier {
                write!(out, " modifier {modifier:#x}")?;
            }
        }
        writeln!(
            out,
            " {} sync, {:.1} frames/s in, {:.1} out, {} lent, {} dropped, {} bytes copied, {} imports",
            stats.sync, self.rate_in, self.rate_out, stats.lent, stats.dropped, stats.copied_bytes, stats.imports
        )?;
        for stage in STAGES {
            let Summary { count, p50, p95, p99, max } = stats.latencies.summary(stage);
            if count > 0 {
                let stage = stage.name().replace('_', " ");
                writeln!(out, "stats: {stage}: p50 {p50} p95 {p95} p99 {p99} max {max} µs")?;
            }
        }
        Ok(())
    }

    fn json(&self) -> String {
        let stats = self.stats;
        let mut line = Object::new();
        let negotiated = stats.negotiated;
        line.number("seconds", format_args!("{:.3}", self.seconds));
        line.string("path", &stats.path.to_string());
        line.string("why", stats.why);
        line.string("sync", &stats.sync.to_string());
        line.optional("format", negotiated.map(|it| name(it.format.fourcc())));
        line.optional("modifier", negotiated.and_then(|it| it.modifier).map(|modifier| format!("{modifier:#018x}")));
        line.number("width", negotiated.map_or(0, |it| it.width));
        line.number("height", negotiated.map_or(0, |it| it.height));
        line.number("in_per_second", format_args!("{:.2}", self.rate_in));
        line.number("out_per_second", format_args!("{:.2}", self.rate_out));
        line.number("lent", stats.lent);
        line.number("lent_max", stats.lent_max);
        let totals = [
            ("frames_in", stats.frames_in),
            ("frames_committed", stats.committed),
            ("dropped", stats.dropped),
            ("bad", stats.bad_frames),
            ("empty", stats.empty),
            ("copied_bytes", stats.copied_bytes),
            ("imports", stats.imports),
            ("presented", stats.presented),
            ("input_events", stats.input_events),
            ("input_sent", stats.input_sent),
            ("sessions", stats.sessions),
        ];
        for (name, total) in totals {
            line.number(name, total);
        }
        let mut latencies = Object::new();
        for stage in STAGES {
            latencies.number(stage.name(), self.latency(stage));
        }
        line.number("latency_us", latencies.end());
        line.end() + "\n"
    }

    fn latency(&self, stage: Stage) -> String {
        let Summary { count, p50, p95, p99, max } = self.stats.latencies.summary(stage);
        let mut object = Object::new();
        for (name, value) in [("count", count), ("p50", p50), ("p95", p95), ("p99", p99), ("max", max)] {
            object.number(name, value);
        }
        object.end()
    }
}

/// The four letters of a fourcc, or its number.
fn name(fourcc: u32) -> String {
    let letters = fourcc.to_le_bytes();
    if letters.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        letters.map(char::from).iter().collect::<String>().trim_end().to_owned()
    } else {
        format!("{fourcc:#x}")
    }
}

/// A JSON object as it grows. Names are this file's own and need no escaping.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned())
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{name}\":");
    }

    /// A number, or anything else that is JSON by itself.
    fn number(&mut self, name: &str, value: impl fmt::Display) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    fn string(&mut self, name: &str, value: &str) {
        self.name(name);
        self.0.push('"');
        for letter in value.chars() {
            match letter {
                '"' | '\\' => self.0.extend(['\\', letter]),
                letter if letter < ' ' => {
                    let _ = write!(self.0, "\\u{:04x}", letter as u32);
                }
                letter => self.0.push(letter),
            }
        }
        self.0.push('"');
    }

    fn optional(&mut self, name: &str, value: Option<String>) {
        match value {
            Some(value) => self.string(name, &value),
            None => self.number(name, "null"),
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::counters::Path;
    use crate::stats::histograms::Latencies;
    use crate::video::format::PixelFormat;
    use crate::video::frame::Negotiated;

    fn stats() -> Stats {
        let negotiated = Negotiated { format: PixelFormat::Xrgb8888, modifier: Some(0), width: 640, height: 480 };
        let mut stats = Stats {
            path: Path::DmaBuf,
            why: "nothing is copied",
            negotiated: Some(negotiated),
            frames_in: 10,
            latencies: Latencies::keep(),
            ..Default::default()
        };
        stats.latencies.committed(1, Some(0), 40_000, 50_000);
        stats
    }

    #[test]
    fn a_line_for_people() {
        let stats = stats();
        let text = Period { seconds: 5.0, rate_in: 2.0, rate_out: 0.0, stats: &stats }.text();
        assert_eq!(
            text,
            "stats: 5.0 s: dmabuf (nothing is copied) 640x480 XR24 modifier 0x0 implicit sync, 2.0 frames/s in, 0.0 out, \
             0 lent, 0 dropped, 0 bytes copied, 0 imports\n\
             stats: guest to received: p50 40 p95 40 p99 40 max 40 µs\n\
             stats: received to committed: p50 10 p95 10 p99 10 max 10 µs\n\
             stats: guest to committed: p50 50 p95 50 p99 50 max 50 µs\n"
        );
    }

    #[test]
    fn a_line_of_json() {
        let stats = stats();
        let json = Period { seconds: 5.0, rate_in: 2.0, rate_out: 0.0, stats: &stats }.json();
        let starts = "{\"seconds\":5.000,\"path\":\"dmabuf\",\"why\":\"nothing is copied\",\"sync\":\"implicit\",\
                      \"format\":\"XR24\",\"modifier\":\"0x0000000000000000\",\"width\":640,\"height\":480,\
                      \"in_per_second\":2.00,\"out_per_second\":0.00,\"lent\":0,";
        assert!(json.starts_with(starts), "{json}");
        let stage = "\"guest_to_committed\":{\"count\":1,\"p50\":50,\"p95\":50,\"p99\":50,\"max\":50}";
        assert!(json.contains(stage) && json.ends_with("}}\n"), "{json}");
        let none = Period { seconds: 0.0, rate_in: 0.0, rate_out: 0.0, stats: &Stats::default() }.json();
        assert!(none.contains("\"format\":null,\"modifier\":null,\"width\":0"), "{none}");
    }

    #[test]
    fn strings_are_escaped() {
        let mut object = Object::new();
        object.string("why", "a \"quoted\" \\ path\n");
        object.optional("none", None);
        assert_eq!(object.end(), "{\"why\":\"a \\\"quoted\\\" \\\\ path\\u000a\",\"none\":null}");
    }

    #[test]
    fn formats_have_names() {
        assert_eq!(name(u32::from_le_bytes(*b"XR24")), "XR24");
        assert_eq!(name(u32::from_le_bytes(*b"R8  ")), "R8");
        assert_eq!(name(7), "0x7");
    }
}
