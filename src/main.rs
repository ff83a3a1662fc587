//! Arguments in, exit code out; everything else is in the library.

use std::process::ExitCode;

use wolf_bridge::bridge::Bridge;
use wolf_bridge::error::Error;
use wolf_bridge::options::Options;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wolf-bridge: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run() -> Result<(), Error> {
    let options = Options::read()?;
    wolf_bridge::logging::init(&options.log).map_err(Error::Usage)?;
    if options.print_gpu { Bridge::print_gpu(&options) } else { Bridge::run(options) }
}
