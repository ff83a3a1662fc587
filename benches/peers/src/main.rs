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
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use case::{CASES, Case};
use figures::Results;
use measure::Sample;
use peer::Peer;

const USAGE: &str = "usage: peers BRIDGE OUT-DIRECTORY [--seconds N] [--rounds N] [CASE…]";

struct Arguments {
    bridge: PathBuf,
    out: PathBuf,
    seconds: Duration,
    rounds: u32,
    cases: Vec<&'static Case>,
}

fn arguments() -> Result<Arguments, String> {
    let (mut places, mut names) = (Vec::new(), Vec::new());
    let (mut seconds, mut rounds) = (4, 3);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok()).filter(|number| *number > 0).ok_or(USAGE);
        match word.as_str() {
            "--seconds" => seconds = number()?,
            "--rounds" => rounds = number()?,
            _ if places.len() < 2 => places.push(PathBuf::from(word)),
            _ => names.push(word),
        }
    }
    if let Some(wrong) = names.iter().find(|name| !CASES.iter().any(|case| case.name == **name)) {
        let known: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        return Err(format!("there is no case {wrong}; there are {}", known.join(", ")));
    }
    let cases = CASES.iter().filter(|case| names.is_empty() || names.iter().any(|name| name == case.name)).collect();
    let [bridge, out] = places.try_into().map_err(|_| USAGE)?;
    Ok(Arguments { bridge, out, seconds: Duration::from_secs(seconds.into()), rounds, cases })
}

/// Why a case cannot be measured here.
fn lacks(case: &Case) -> Option<String> {
    if case.needs_desktop() { lab::available().err() } else { None }
}

/// Measures a case here.
fn measure(case: &Case, arguments: &Arguments, results: &mut Results) {
    let mut samples: Vec<(Peer, Vec<Sample>)> = case.peers.iter().map(|peer| (*peer, Vec::new())).collect();
    // Turn by turn, so that whatever else the machine does hits all of them.
    for round in 1..=arguments.rounds {
        for (peer, samples) in &mut samples {
            eprintln!("{}: {} ({round} of {})", case.name, peer.name(), arguments.rounds);
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

fn run() -> Result<bool, String> {
    let arguments = arguments()?;
    let mut results = Results::default();
    let (outside, inside): (Vec<&Case>, Vec<&Case>) =
        arguments.cases.iter().partition(|case| lab::in_vm() || !case.needs_gpu());
    for case in outside {
        match lacks(case) {
            None => measure(case, &arguments, &mut results),
            Some(why) => results.missing.push(format!("{}: skipped: {why}", case.name)),
        }
    }
    if !inside.is_empty() {
        let options = ["--seconds".into(), arguments.seconds.as_secs().to_string(), "--rounds".into(), "1".into()];
        match vm::run(&inside, &arguments.bridge, &arguments.out, &options) {
            Ok(found) => results.merge(found),
            Err(why) => results.missing.extend(inside.iter().map(|case| format!("{}: skipped: {why}", case.name))),
        }
    }
    print!("{}", results.table());
    for line in &results.missing {
        println!("not measured: {line}");
    }
    let met = results.verdicts();
    for (line, _) in &met {
        println!("{line}");
    }
    let write = |name: &str, text: String| {
        let path = arguments.out.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        println!("written: {}", path.display());
        Ok::<(), String>(())
    };
    write("bench.json", results.json())?;
    write("bench.svg", plot::draw(&results))?;
    Ok(met.iter().all(|(_, met)| *met))
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
