//! Cases that need a GPU: this program once more, in the virtual machine of scripts/vm. Only starts it and reads what it left.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs this program inside, with these arguments after the usual places; gives the file of this name that it left.
///
/// # Errors
/// Why there is no machine, or what became of it, in one line.
pub fn run(bridge: &Path, out: &Path, arguments: &[String], file: &str) -> Result<String, String> {
    let script = lab::scripts().join("vm");
    let built = Command::new(&script).arg("--built").output().map_err(|error| format!("scripts/vm: {error}"))?;
    if !built.status.success() {
        return Err("the virtual machine is not built (run scripts/vm --prepare)".into());
    }
    let own = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let shared = tempfile::tempdir_in(out).map_err(|error| format!("{}: {error}", out.display()))?;
    let mut command = Command::new(script);
    command.arg(own).arg(bridge).arg(shared.path()).args(arguments);
    command.env("WB_OUT", shared.path()).env("WB_VM_SECONDS", "600").stdin(Stdio::null()).stdout(Stdio::null());
    let ended = command.status().map_err(|error| format!("scripts/vm: {error}"))?;
    fs::read_to_string(shared.path().join(file)).map_err(|_| format!("the virtual machine left no figures ({ended})"))
}
