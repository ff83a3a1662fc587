//! What is told of the measurements: a table, JSON, and whether the figures that this project promises are reached.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::case::{CASES, Case};
use crate::measure::Sample;
use crate::peer::{PEERS, Peer};

/// A peer in a case, over all rounds.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// CPU time for each frame that the guest sent, µs; of a real guest, whose stream nobody else sees: that the host got.
    pub cpu_us_per_frame: f64,
    /// Resident memory, kB, the most of all rounds.
    pub rss_kb: u64,
    /// Frames that the guest sent; of a real one: pictures that its window drew.
    pub frames_in: u64,
    pub frames_committed: u64,
    /// Frames that the host rendered meanwhile.
    pub host_frames: u64,
    /// From the guest's pts to the commit's arrival at the host, µs; of a real guest: from the window's commit on, so with
    /// the guest's own work.
    pub latency_us_p50: f64,
    pub latency_us_p99: f64,
    pub copied_bytes: u64,
    /// Commits that were DMA-BUFs.
    pub dmabufs: u64,
}

/// The results of one case.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub peers: Vec<(Peer, Figures)>,
}

/// All that was measured.
#[derive(Debug, Default)]
pub struct Results {
    pub rows: Vec<Row>,
    /// What could not be measured, and why, a line each.
    pub missing: Vec<String>,
}

fn quantile(sorted: &[i64], quantile: f64) -> f64 {
    let at = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(at.saturating_sub(1)).map_or(0.0, |ns| *ns as f64 / 1000.0)
}

fn figures(case: &Case, samples: &[Sample]) -> Option<Figures> {
    let sum = |of: fn(&Sample) -> u64| samples.iter().map(of).sum::<u64>();
    let mut latencies: Vec<i64> = samples.iter().flat_map(|sample| sample.latencies.iter().copied()).collect();
    latencies.sort_unstable();
    let frames_in = sum(|sample| sample.frames_in);
    let committed = sum(|sample| sample.committed);
    let frames = if case.needs_desktop() { committed } else { frames_in };
    (frames > 0).then(|| Figures {
        cpu_us_per_frame: sum(|sample| sample.cpu_ns) as f64 / 1000.0 / frames as f64,
        rss_kb: samples.iter().map(|sample| sample.rss_kb).max().unwrap_or(0),
        frames_in,
        frames_committed: committed,
        host_frames: sum(|sample| sample.host_frames),
        latency_us_p50: quantile(&latencies, 0.5),
        latency_us_p99: quantile(&latencies, 0.99),
        copied_bytes: sum(|sample| sample.copied_bytes),
        dmabufs: sum(|sample| sample.dmabufs),
    })
}

impl Figures {
    /// How many of the host's frames can have had a new picture: no more than the guest drew.
    fn possible(&self) -> f64 {
        self.frames_in.min(self.host_frames) as f64
    }

    /// How many of those had none.
    fn missed(&self) -> f64 {
        self.possible() - (self.frames_committed as f64).min(self.possible())
    }

    fn json(&self) -> Value {
        let round = |value: f64| (value * 10.0).round() / 10.0;
        json!({
            "cpu_us_per_frame": round(self.cpu_us_per_frame),
            "rss_kb": self.rss_kb,
            "frames_in": self.frames_in,
            "frames_committed": self.frames_committed,
            "frames_dropped": self.frames_in.saturating_sub(self.frames_committed),
            "host_frames": self.host_frames,
            "latency_us_p50": round(self.latency_us_p50),
            "latency_us_p99": round(self.latency_us_p99),
            "copied_bytes": self.copied_bytes,
            "dmabufs": self.dmabufs,
        })
    }

    fn read(json: &Value) -> Option<Self> {
        let number = |name: &str| json.get(name)?.as_f64();
        let count = |name: &str| json.get(name)?.as_u64();
        Some(Self {
            cpu_us_per_frame: number("cpu_us_per_frame")?,
            rss_kb: count("rss_kb")?,
            frames_in: count("frames_in")?,
            frames_committed: count("frames_committed")?,
            host_frames: count("host_frames")?,
            latency_us_p50: number("latency_us_p50")?,
            latency_us_p99: number("latency_us_p99")?,
            copied_bytes: count("copied_bytes")?,
            dmabufs: count("dmabufs")?,
        })
    }
}

impl Results {
    /// Adds a case; peers that could not be measured are left out.
    pub fn add(&mut self, case: &Case, samples: Vec<(Peer, Vec<Sample>)>) {
        let peers = samples.iter().filter_map(|(peer, samples)| Some((*peer, figures(case, samples)?))).collect();
        self.rows.push(Row { name: case.name, peers });
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{:<16} {:<22} {:>10} {:>9} {:>9} {:>9} {:>8} {:>11} {:>11} {:>12}\n",
            "case", "peer", "CPU µs/fr", "RSS kB", "in", "committed", "dropped", "p50 µs", "p99 µs", "copied MB"
        );
        for row in &self.rows {
            for (peer, it) in &row.peers {
                let _ = writeln!(
                    table,
                    "{:<16} {:<22} {:>10.1} {:>9} {:>9} {:>9} {:>8} {:>11.0} {:>11.0} {:>12}",
                    row.name,
                    peer.name(),
                    it.cpu_us_per_frame,
                    it.rss_kb,
                    it.frames_in,
                    it.frames_committed,
                    it.frames_in.saturating_sub(it.frames_committed),
                    it.latency_us_p50,
                    it.latency_us_p99,
                    it.copied_bytes / 1_000_000,
                );
            }
        }
        table
    }

    /// For other programs.
    pub fn json(&self) -> String {
        let cases = self.rows.iter().map(|row| {
            let mut case = Map::new();
            case.insert("name".into(), row.name.into());
            for (peer, it) in &row.peers {
                case.insert(peer.key().into(), it.json());
            }
            Value::Object(case)
        });
        let all = json!({ "cases": cases.collect::<Vec<_>>(), "not_measured": self.missing });
        format!("{all:#}\n")
    }

    /// What [`json`](Self::json) gave.
    pub fn read(json: &str) -> Option<Self> {
        let all: Value = serde_json::from_str(json).ok()?;
        let mut results = Self::default();
        for row in all.get("cases")?.as_array()? {
            let name = row.get("name")?.as_str()?;
            let name = CASES.iter().find(|case| case.name == name)?.name;
            let peers = PEERS.into_iter().filter_map(|peer| Some((peer, Figures::read(row.get(peer.key())?)?)));
            results.rows.push(Row { name, peers: peers.collect() });
        }
        let missing = all.get("not_measured")?.as_array()?.iter();
        results.missing = missing.filter_map(|line| Some(line.as_str()?.to_owned())).collect();
        Some(results)
    }

    /// Takes over what another run found.
    pub fn merge(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.missing.extend(other.missing);
    }

    fn of(&self, case: &str, peer: Peer) -> Option<&Figures> {
        let row = self.rows.iter().find(|row| row.name == case)?;
        row.peers.iter().find(|(it, _)| *it == peer).map(|(_, figures)| figures)
    }

    /// The figures to reach, each with whether it is; those of cases that were not measured are left out.
    pub fn verdicts(&self) -> Vec<(String, bool)> {
        let [bridge, gst, unsynced, devkit] = PEERS;
        let mut verdicts = Vec::new();
        let mut judge = |what: &str, value: Option<f64>, against: Option<f64>, limit: f64| {
            if let (Some(value), Some(against)) = (value, against) {
                let ratio = value / against;
                let met = ratio <= limit;
                let word = if met { "reached" } else { "MISSED" };
                verdicts.push((format!("{word}: {what}: {ratio:.3} (at most {limit:.3})"), met));
            }
        };
        let hd = "memfd-1080p60";
        let get = |case: &str, peer: Peer, of: fn(&Figures) -> f64| self.of(case, peer).map(of);
        let cpu = |it: &Figures| it.cpu_us_per_frame;
        let latency = |it: &Figures| it.latency_us_p50;
        let rss = |it: &Figures| it.rss_kb as f64;
        judge("CPU per frame against GStreamer's, 1080p60", get(hd, bridge, cpu), get(hd, gst, cpu), 1.0 / 8.0);
        let (small, large) = ("memfd-720p60", "memfd-2160p60");
        judge("CPU per frame at 4K against 720p", get(large, bridge, cpu), get(small, bridge, cpu), 1.3);
        judge("resident memory against GStreamer's, 1080p60", get(hd, bridge, rss), get(hd, gst, rss), 1.0 / 6.0);
        judge("latency p50 against GStreamer's, 1080p60", get(hd, bridge, latency), get(hd, gst, latency), 0.25);
        let (ours, theirs) = (get(hd, bridge, latency), get(hd, unsynced, latency));
        judge("latency p50 against GStreamer's with sync=false, 1080p60", ours, theirs, 1.0);
        // No pipeline and no viewer does it cheaper or sooner; waiting for a frame's time is not part of that.
        let others = [
            ("dmabuf-720p60", "GStreamer's, DMA-BUF", unsynced),
            ("gnome48-720p60", "GStreamer's, GNOME 48", unsynced),
            ("gnome50-720p60", "Mutter's viewer's, GNOME 50", devkit),
        ];
        for (case, whose, peer) in others {
            judge(&format!("CPU per frame against {whose}"), get(case, bridge, cpu), get(case, peer, cpu), 1.0);
            judge(&format!("latency p50 against {whose}"), get(case, bridge, latency), get(case, peer, latency), 1.0);
            judge(&format!("resident memory against {whose}"), get(case, bridge, rss), get(case, peer, rss), 1.0);
        }
        for case in ["gnome48-720p60", "gnome50-720p60"] {
            let what = format!("the host's frames without a new picture, {case}");
            judge(&what, get(case, bridge, Figures::missed), get(case, bridge, Figures::possible), 0.01);
        }
        verdicts
    }
}
