//! Arguments in, exit code out; everything else is in the library.

use std::process::ExitCode;

use clap::Parser;
use wolf_bridge::bridge::Bridge;
use wolf_bridge::options::Options;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = wolf_bridge::logging::init(&options.log) {
        eprintln!("wolf-bridge: {error}");
        return ExitCode::from(2);
    }
    match Bridge::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wolf-bridge: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
