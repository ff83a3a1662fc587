//! wolf-bridge and its peers on the same frames, turn by turn: CPU time, memory and latency as the host sees it.
//! Started by scripts/bench, which installs what it needs and builds everything.
//!
//! | room | what is in it |
//! |---|---|
//! | `case` | what is shown, by whom |
//! | `guest`, `cast` | whose frames they are, and when each was made |
//! | `peer` | the programs, and how each is started |
//! | `measure`, `glance` | one program for a while: /proc, and the host's notes |
//! | `figures` | what is told: table, JSON, the figures to reach |
//! | `start` | how long each kind of guest takes to be seen |
//! | `vm` | the cases that need a GPU |
//! | `plot` | the same as a picture |

#![deny(unsafe_code)]

mod case;
mod cast;
mod figures;
mod glance;
mod guest;
mod measure;
mod peer;
mod plot;
mod start;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use case::{CASES, Case};
use figures::Results;
use measure::Sample;
use peer::Peer;
use start::{Starts, WAYS, Way};

const USAGE: &str = "usage: peers BRIDGE OUT-DIRECTORY [start] [--seconds N] [--rounds N] [CASE…]";

/// The first of the names, when it is not how programs compare that is asked for, but how long guests take to be seen.
const START: &str = "start";

enum Task {
    Compare(Vec<&'static Case>),
    Start(Vec<&'static Way>),
}

struct Arguments {
    bridge: PathBuf,
    out: PathBuf,
    seconds: Duration,
    rounds: Option<u32>,
    task: Task,
}

/// Those that are named, or all.
fn named<T>(all: &'static [T], name: fn(&T) -> &'static str, names: &[String]) -> Result<Vec<&'static T>, String> {
    if let Some(wrong) = names.iter().find(|it| !all.iter().any(|one| name(one) == **it)) {
        let known: Vec<&str> = all.iter().map(name).collect();
        return Err(format!("there is no case {wrong}; there are {}", known.join(", ")));
    }
    Ok(all.iter().filter(|one| names.is_empty() || names.iter().any(|it| name(one) == *it)).collect())
}

fn arguments() -> Result<Arguments, String> {
    let (mut places, mut names) = (Vec::new(), Vec::new());
    let (mut seconds, mut rounds) = (4, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok()).filter(|number| *number > 0).ok_or(USAGE);
        match word.as_str() {
            "--seconds" => seconds = number()?,
            "--rounds" => rounds = Some(number()?),
            _ if places.len() < 2 => places.push(PathBuf::from(word)),
            _ => names.push(word),
        }
    }
    let task = match names.split_first() {
        Some((first, names)) if first == START => Task::Start(named(&WAYS, |way| way.name, names)?),
        _ => Task::Compare(named(&CASES, |case| case.name, &names)?),
    };
    let [bridge, out] = places.try_into().map_err(|_| USAGE)?;
    Ok(Arguments { bridge, out, seconds: Duration::from_secs(seconds.into()), rounds, task })
}

/// Why what needs a desktop cannot be measured here.
fn lacks(needs_desktop: bool) -> Option<String> {
    if needs_desktop { lab::available().err() } else { None }
}

/// Measures a case here.
fn measure(case: &Case, arguments: &Arguments, results: &mut Results) {
    let rounds = arguments.rounds.unwrap_or(3);
    let mut samples: Vec<(Peer, Vec<Sample>)> = case.peers.iter().map(|peer| (*peer, Vec::new())).collect();
    // Turn by turn, so that whatever else the machine does hits all of them.
    for round in 1..=rounds {
        for (peer, samples) in &mut samples {
            eprintln!("{}: {} ({round} of {rounds})", case.name, peer.name());
            // A desktop that does not start panics with its logs.
            let turn = || measure::run(case, *peer, &arguments.bridge, arguments.seconds);
            let sample = std::panic::catch_unwind(std::panic::AssertUnwindSafe(turn));
            match sample.unwrap_or_else(|_| Err("the desktop did not start".into())) {
                Ok(sample) => samples.push(sample),
                Err(why) => {
                    eprintln!("{}: {} could not be measured: {why}", case.name, peer.name());
                    let reason = why.lines().next().unwrap_or_default();
                    results.missing.push(format!("{}, {}, round {round}: {reason}", case.name, peer.name()));
                }
            }
        }
    }
    results.add(case, samples);
}

/// Compares the programs; false if a figure was missed.
fn compare(cases: &[&Case], arguments: &Arguments) -> Result<bool, String> {
    let mut results = Results::default();
    let (outside, inside): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| lab::in_vm() || !case.needs_gpu());
    for case in outside {
        match lacks(case.needs_desktop()) {
            None => measure(case, arguments, &mut results),
            Some(why) => results.missing.push(format!("{}: skipped: {why}", case.name)),
        }
    }
    if !inside.is_empty() {
        let options = ["--seconds".into(), arguments.seconds.as_secs().to_string(), "--rounds".into(), "1".into()];
        let names = inside.iter().map(|case| case.name.to_owned());
        let words: Vec<String> = options.into_iter().chain(names).collect();
        let found = vm::run(&arguments.bridge, &arguments.out, &words, "bench.json");
        let other = || "the virtual machine left other figures than these".to_owned();
        match found.and_then(|json| Results::read(&json).ok_or_else(other)) {
            Ok(found) => results.merge(found),
            Err(why) => results.missing.extend(inside.iter().map(|case| format!("{}: skipped: {why}", case.name))),
        }
    }
    print!("{}", results.table());
    told_missing(&results.missing);
    let met = results.verdicts();
    for (line, _) in &met {
        println!("{line}");
    }
    write(arguments, "bench.json", results.json())?;
    write(arguments, "bench.svg", plot::draw(&results))?;
    Ok(met.iter().all(|(_, met)| *met))
}

/// Measures how long guests take to be seen.
fn start(ways: &[&'static Way], arguments: &Arguments) -> Result<(), String> {
    let rounds = arguments.rounds.unwrap_or(10);
    let mut starts = Starts::default();
    let (outside, inside): (Vec<&Way>, Vec<&Way>) = ways.iter().partition(|way| lab::in_vm() || !way.needs_gpu());
    for way in outside {
        match lacks(way.needs_desktop()) {
            None => starts.measure(way, &arguments.bridge, rounds),
            Some(why) => starts.missing.push(format!("{}: skipped: {why}", way.name)),
        }
    }
    if !inside.is_empty() {
        let options = [START.into(), "--rounds".into(), rounds.to_string()];
        let names = inside.iter().map(|way| way.name.to_owned());
        let words: Vec<String> = options.into_iter().chain(names).collect();
        let why = match vm::run(&arguments.bridge, &arguments.out, &words, "start.json") {
            Ok(json) if starts.merge(&json) => None,
            Ok(_) => Some("the virtual machine left other figures than these".to_owned()),
            Err(why) => Some(why),
        };
        let why = why.iter().flat_map(|why| inside.iter().map(move |way| format!("{}: skipped: {why}", way.name)));
        starts.missing.extend(why);
    }
    print!("{}", starts.table());
    told_missing(&starts.missing);
    write(arguments, "start.json", starts.json())
}

fn told_missing(missing: &[String]) {
    for line in missing {
        println!("not measured: {line}");
    }
}

fn write(arguments: &Arguments, name: &str, text: String) -> Result<(), String> {
    let path = arguments.out.join(name);
    std::fs::write(&path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}

fn run() -> Result<bool, String> {
    let arguments = arguments()?;
    match &arguments.task {
        Task::Compare(cases) => compare(cases, &arguments),
        Task::Start(ways) => start(ways, &arguments).map(|()| true),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            eprintln!("peers: {why}");
            ExitCode::from(2)
        }
    }
}
