//! The log on stderr: one filter, compact lines, colour only on a terminal.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging to stderr.
///
/// # Errors
///
/// One sentence when `filter` is not a filter.
pub fn init(filter: &str) -> Result<(), String> {
    // It warns of events that came for a source together with what ended it: pipes that both sides close, say.
    let quiet = if filter.contains("calloop") { "" } else { ",calloop=error" };
    let filter = EnvFilter::builder()
        .parse(format!("{filter}{quiet}"))
        .map_err(|error| format!("--log {filter:?} is no filter ({error}); try info or debug"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .compact()
        .init();
    Ok(())
}
