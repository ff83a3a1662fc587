//! What `--stats` tells, where it goes, and what happens when that cannot be written.

mod common;

use common::world::{GREEN, LINEAR, RED, World, XR24, gpu, wolf};
use common::{Bridge, SOON, wait_for};
use fake_guest::{FakeGuest, GuestOptions, MutterOptions, ProducerOptions};
use fake_host::{Dmabuf, FakeHost};
use serde_json::Value;

/// The JSON lines in a file that are whole.
fn lines(path: &std::path::Path) -> Vec<Value> {
    let told = std::fs::read_to_string(path).unwrap_or_default();
    let whole = told.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[test]
fn json_lines_tell_the_path_the_rates_and_every_stage() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (wolf(), ProducerOptions::default(), "memfd", Value::Null),
        (
            wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])),
            gpu(&[LINEAR]),
            "dmabuf",
            Value::from("0x0000000000000000"),
        ),
    ];
    for (host, producer, path, modifier) in cases {
        let file = dir.path().join(path);
        let mutter = MutterOptions { producer, ..Default::default() };
        let args = ["--stats=json", "--stats-period", "0.2", "--stats-file", file.to_str().unwrap()];
        let world = World::with(host, GuestOptions { mutter, ..Default::default() }, &args);
        world.settle();
        world.producer().animate(60.0);
        // A period in which frames went all the way.
        let line = wait_for("a line with every stage", SOON, || {
            let stage = |line: &Value, name: &str| line["latency_us"][name]["count"].as_u64().unwrap() > 0;
            let full =
                |line: &Value| stage(line, "guest_to_presented") && line["in_per_second"].as_f64().unwrap() > 1.0;
            lines(&file).into_iter().find(full)
        });
        assert_eq!((&line["path"], &line["modifier"], &line["format"]), (&path.into(), &modifier, &"XR24".into()));
        assert_eq!((&line["width"], &line["height"], &line["copied_bytes"]), (&1280.into(), &720.into(), &0.into()));
        assert!(line["seconds"].as_f64().unwrap() >= 0.2, "{line}");
        for stage in ["guest_to_received", "received_to_committed", "committed_to_presented", "guest_to_committed"] {
            let [count, p50, p99, max] = ["count", "p50", "p99", "max"].map(|name| {
                line["latency_us"][stage][name].as_u64().unwrap_or_else(|| panic!("no {name} of {stage}: {line}"))
            });
            assert!(count > 0 && p50 > 0 && p50 <= p99 && p99 <= max, "{stage}: {line}");
        }
        world.producer().stop();
        let ended = world.end();
        // The last line is of the end, and its totals are the counters.
        let last = lines(&file).pop().unwrap();
        for (name, counter) in [("frames_in", "frames_in"), ("frames_committed", "committed"), ("imports", "imports")] {
            assert_eq!(last[name].as_i64(), Some(ended.counter(counter)), "{name}: {last}");
        }
        assert!(ended.counter("presented") > 0);
    }
}

#[test]
fn text_goes_to_stderr_beside_the_log() {
    let world = World::with_args(wolf(), &["--stats", "--stats-period", "0.1"]);
    world.settle();
    world.show(RED);
    wait_for("a line of text", SOON, || {
        world.bridge.log().contains("stats: received to committed: p50 ").then_some(())
    });
    let log = world.bridge.log();
    assert!(
        log.lines()
            .any(|line| line.starts_with("stats: ") && line.contains(" memfd (") && line.contains(" 1280x720 XR24 ")),
        "{log}"
    );
    world.end();
}

#[test]
fn nothing_is_told_or_asked_of_the_host_without_the_flag() {
    let world = World::with_args(wolf(), &[]);
    world.settle();
    world.show(GREEN);
    assert_eq!(world.host.look(|seen| seen.presented), 0);
    let ended = world.end();
    assert_eq!(ended.counter("presented"), 0);
    assert!(!ended.log.contains("stats: "), "{}", ended.log);
}

#[test]
fn a_file_that_cannot_be_written_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    for path in ["/nowhere/stats", "/", pipe.to_str().unwrap()] {
        let ended =
            Bridge::start_bare::<&str, &str>(&[], &["--host", "/nowhere", "--stats=json", "--stats-file", path])
                .ended();
        assert_eq!(ended.code, Some(2), "{path}: {}", ended.log);
        assert!(
            ended.last_line().starts_with(&format!("wolf-bridge: --stats-file {path} cannot be written")),
            "{}",
            ended.log
        );
    }
}

#[test]
fn a_disk_that_is_full_is_told_once() {
    let host = FakeHost::builder().wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let args = ["--stats", "--stats-period", "0.1", "--stats-file", "/dev/full"];
    let bridge = Bridge::start(host.socket(), &guest.env(), &args);
    let producer = bridge.expect(guest.mutter.producer(SOON));
    common::picture(&bridge, &host, &producer, RED.0);
    wait_for("a warning", SOON, || bridge.log().contains("could not be written to /dev/full").then_some(()));
    common::picture(&bridge, &host, &producer, GREEN.0);
    let ended = bridge.end();
    // The last line, at the end, did not go anywhere either.
    assert_eq!(ended.log.matches("could not be written").count(), 1, "{}", ended.log);
}

#[test]
fn the_way_of_input_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("stats");
    let args = ["--stats=json", "--stats-period", "0.2", "--stats-file", file.to_str().unwrap()];
    let world = World::with(wolf(), GuestOptions::default(), &args);
    world.settle();
    let line = wait_for("a line with input", SOON, || {
        world.host.pointer().move_to(100.0, 100.0).move_to(200.0, 100.0);
        let count = |line: &Value| line["latency_us"]["input_read_to_sent"]["count"].as_u64().unwrap();
        lines(&file).into_iter().find(|line| count(line) > 0)
    });
    let [p50, p95, p99, max] = ["p50", "p95", "p99", "max"].map(|name| {
        line["latency_us"]["input_read_to_sent"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {line}"))
    });
    assert!(p50 > 0 && p50 <= p95 && p95 <= p99 && p99 <= max, "{line}");
    world.end();
}
