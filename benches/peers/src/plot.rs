//! The results as an SVG for the README: bars of three quantities, with their numbers, each case to its own scale, on light and dark pages.

use std::fmt::Write as _;

use crate::figures::{Figures, Results};
use crate::peer::Peer;

const WIDTH: f64 = 820.0;
const LEFT: f64 = 210.0;
const BAR: f64 = 14.0;
const GAP: f64 = 4.0;
const GROUP: f64 = 14.0;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}.h{font-weight:600;font-size:15px}.n{font-size:12px}\
.l{text-anchor:end}.a{fill:#2da44e}.b{fill:#8c959f}.c{fill:#bdc4cc}.d{fill:#8250df}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.a{fill:#3fb950}.b{fill:#6e7681}.c{fill:#484f58}.d{fill:#a371f7}}";

struct Panel {
    title: &'static str,
    unit: &'static str,
    of: fn(&Figures) -> f64,
}

const PANELS: [Panel; 3] = [
    Panel { title: "CPU time per frame", unit: "µs", of: |it| it.cpu_us_per_frame },
    Panel { title: "Latency, guest to host, median", unit: "µs", of: |it| it.latency_us_p50 },
    Panel { title: "Resident memory", unit: "MB", of: |it| it.rss_kb as f64 / 1024.0 },
];

fn class(peer: Peer) -> &'static str {
    match peer {
        Peer::Bridge => "a",
        Peer::Gst { sync: true } => "b",
        Peer::Gst { sync: false } => "c",
        Peer::Devkit => "d",
    }
}

/// `memfd-1080p60` as people say it.
fn label(name: &str) -> String {
    let Some((memory, mode)) = name.split_once('-') else { return name.to_owned() };
    let memory = match memory {
        "gnome48" => "GNOME 48",
        "gnome50" => "GNOME 50",
        "sway" => "sway",
        "kwin" => "KWin (VM)",
        // Where the processor is emulated.
        "dmabuf" => "DMA-BUF (VM)",
        memory => memory,
    };
    let (size, rate) = mode.split_once('p').unwrap_or((mode, ""));
    let size = if size == "2160" { "4K".to_owned() } else { format!("{size}p") };
    format!("{memory}, {size}, {rate} Hz")
}

/// Three digits, and no more than one after the point.
fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// The picture.
pub fn draw(results: &Results) -> String {
    let mut body = String::new();
    let mut y = 24.0;
    let mut x = LEFT;
    for peer in crate::peer::PEERS {
        let _ = write!(
            body,
            "<rect class=\"{}\" x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\"/>",
            class(peer),
            y - 11.0
        );
        let _ = write!(body, "<text x=\"{}\" y=\"{y}\">{}</text>", x + 18.0, peer.name());
        x += 30.0 + 8.0 * peer.name().len() as f64;
    }
    y += 18.0;
    for panel in PANELS {
        y += 20.0;
        let _ = write!(
            body,
            "<text class=\"h\" x=\"12\" y=\"{y}\">{} ({}), each case to its own scale</text>",
            panel.title, panel.unit
        );
        y += GROUP;
        // What nobody else can show is nothing to compare.
        for row in results.rows.iter().filter(|row| row.peers.len() > 1) {
            // Each case to its own scale: emulated processors and viewers are too far off for one.
            let longest = row.peers.iter().map(|(_, it)| (panel.of)(it)).fold(f64::MIN_POSITIVE, f64::max);
            let middle = y + row.peers.len() as f64 * (BAR + GAP) / 2.0 + 3.0;
            let _ = write!(body, "<text class=\"l\" x=\"{}\" y=\"{middle}\">{}</text>", LEFT - 10.0, label(row.name));
            for (peer, it) in &row.peers {
                let value = (panel.of)(it);
                let length = (value / longest * (WIDTH - LEFT - 80.0)).max(2.0);
                let _ = write!(
                    body,
                    "<rect class=\"{}\" x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\"/>\
                     <text class=\"n\" x=\"{:.1}\" y=\"{}\">{}</text>",
                    class(*peer),
                    LEFT + length + 6.0,
                    y + BAR - 3.0,
                    number(value)
                );
                y += BAR + GAP;
            }
            y += GROUP - GAP;
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" role=\"img\" \
         aria-label=\"wolf-bridge beside GStreamer\"><style>{STYLE}</style>{body}</svg>\n"
    )
}
