//! What is told of the measurements: a table, JSON, and whether the figures that this project promises are reached.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::case::Case;
use crate::measure::Sample;
use crate::peer::{PEERS, Peer};

/// A peer in a case, over all rounds.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// CPU time for each frame that the guest sent, µs.
    pub cpu_us_per_frame: f64,
    /// Resident memory, kB, the most of all rounds.
    pub rss_kb: u64,
    pub frames_in: u64,
    pub frames_committed: u64,
    /// From the guest's pts to the commit's arrival at the host, µs.
    pub latency_us_p50: f64,
    pub latency_us_p99: f64,
    pub copied_bytes: u64,
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
}

fn quantile(sorted: &[i64], quantile: f64) -> f64 {
    let at = (sorted.len() as f64 * quantile).ceil() as usize;
    sorted.get(at.saturating_sub(1)).map_or(0.0, |ns| *ns as f64 / 1000.0)
}

fn figures(samples: &[Sample]) -> Option<Figures> {
    let sum = |of: fn(&Sample) -> u64| samples.iter().map(of).sum::<u64>();
    let mut latencies: Vec<i64> = samples.iter().flat_map(|sample| sample.latencies.iter().copied()).collect();
    latencies.sort_unstable();
    let frames_in = sum(|sample| sample.frames_in);
    (frames_in > 0).then(|| Figures {
        cpu_us_per_frame: sum(|sample| sample.cpu_ns) as f64 / 1000.0 / frames_in as f64,
        rss_kb: samples.iter().map(|sample| sample.rss_kb).max().unwrap_or(0),
        frames_in,
        frames_committed: sum(|sample| sample.committed),
        latency_us_p50: quantile(&latencies, 0.5),
        latency_us_p99: quantile(&latencies, 0.99),
        copied_bytes: sum(|sample| sample.copied_bytes),
    })
}

impl Results {
    /// Adds a case; peers that could not be measured are left out.
    pub fn add(&mut self, case: &Case, samples: Vec<(Peer, Vec<Sample>)>) {
        let peers = samples.iter().filter_map(|(peer, samples)| Some((*peer, figures(samples)?))).collect();
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
                let round = |value: f64| (value * 10.0).round() / 10.0;
                let figures = json!({
                    "cpu_us_per_frame": round(it.cpu_us_per_frame),
                    "rss_kb": it.rss_kb,
                    "frames_in": it.frames_in,
                    "frames_committed": it.frames_committed,
                    "frames_dropped": it.frames_in.saturating_sub(it.frames_committed),
                    "latency_us_p50": round(it.latency_us_p50),
                    "latency_us_p99": round(it.latency_us_p99),
                    "copied_bytes": it.copied_bytes,
                });
                case.insert(peer.key().into(), figures);
            }
            Value::Object(case)
        });
        let all = json!({ "cases": cases.collect::<Vec<_>>() });
        format!("{all:#}\n")
    }

    fn of(&self, case: &str, peer: Peer) -> Option<&Figures> {
        let row = self.rows.iter().find(|row| row.name == case)?;
        row.peers.iter().find(|(it, _)| *it == peer).map(|(_, figures)| figures)
    }

    /// The figures to reach, each with whether it is; those of cases that were not measured are left out.
    pub fn verdicts(&self) -> Vec<(String, bool)> {
        let [bridge, gst, unsynced] = PEERS;
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
        verdicts
    }
}
