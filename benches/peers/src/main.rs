//! wolf-bridge and its peers on the same frames, turn by turn: CPU time, memory and latency as the host sees it.
//! Started by scripts/bench, which installs what it needs and builds everything.
//!
//! | room | what is in it |
//! |---|---|
//! | `case` | what is shown, at which rate |
//! | `peer` | the programs, and how each is started |
//! | `measure` | one program for a while: /proc, and the host's notes |
//! | `figures` | what is told: table, JSON, the figures to reach |
//! | `plot` | the same as a picture |

#![forbid(unsafe_code)]

mod case;
mod figures;
mod measure;
mod peer;
mod plot;

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
    let (mut seconds, mut rounds) = (5, 3);
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

fn run() -> Result<bool, String> {
    let arguments = arguments()?;
    let mut results = Results::default();
    for case in &arguments.cases {
        let mut samples: Vec<(Peer, Vec<Sample>)> = peer::PEERS.iter().map(|peer| (*peer, Vec::new())).collect();
        // Turn by turn, so that whatever else the machine does hits all of them.
        for round in 1..=arguments.rounds {
            for (peer, samples) in &mut samples {
                eprintln!("{}: {} ({round} of {})", case.name, peer.name(), arguments.rounds);
                match measure::run(case, *peer, &arguments.bridge, arguments.seconds) {
                    Ok(sample) => samples.push(sample),
                    Err(why) => eprintln!("{}: {} could not be measured: {why}", case.name, peer.name()),
                }
            }
        }
        results.add(case, samples);
    }
    print!("{}", results.table());
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
