//! The whole bridge under valgrind, between a guest and a host that are not: what one more frame costs it from the guest's
//! event on, with PipeWire's and Wayland's parts, to the commit, the host's answers and the buffer's way back.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fake_guest::{FakeGuest, Fill, GuestOptions, MutterOptions, ProducerOptions, SizePolicy};
use fake_host::{FakeHost, Output};
use rustix::process::{Pid, Signal, kill_process};

/// Long enough for valgrind to start anything.
const SOON: Duration = Duration::from_secs(60);

/// Small, as nothing depends on it.
const SIZE: (u32, u32) = (320, 200);

/// The instructions of a run in which so many frames are shown.
///
/// # Errors
/// What did not work, with what valgrind and the bridge wrote.
pub fn count(bridge: &Path, frames: u64) -> Result<u64, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let output = Output::new(SIZE.0 as i32, SIZE.1 as i32, 60_000);
    let host = FakeHost::builder().wolf().output(output).blind().start().map_err(|error| text(&error))?;
    let producer = ProducerOptions { size: SizePolicy::Any(SIZE.0, SIZE.1), ..Default::default() };
    let mutter = MutterOptions { producer, ..Default::default() };
    let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() }).map_err(|error| text(&error))?;
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--fair-sched=yes", "--callgrind-out-file=/dev/null"])
        .arg(bridge)
        .arg("--host")
        .arg(host.socket());
    for name in ["WAYLAND_DISPLAY", "DISPLAY"] {
        valgrind.env_remove(name);
    }
    valgrind.envs(guest.env()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = valgrind.spawn().map_err(|error| format!("valgrind does not run: {error}"))?;

    let shown = (|| {
        let producer = guest.mutter.producer(SOON)?;
        producer.streaming_at(SIZE, SOON)?;
        for _ in 0..frames {
            let before = host.look(fake_host::Seen::frame_count);
            producer.send(Fill::Time, SOON)?;
            host.wait(|seen| (seen.frame_count() > before).then_some(()), SOON)?;
        }
        Ok::<(), String>(())
    })();
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or("it has no process id")?;
    let told_to_end = kill_process(pid, Signal::TERM);
    let output = child.wait_with_output().map_err(|error| text(&error))?;
    let told = String::from_utf8_lossy(&output.stderr);
    shown.map_err(|why| format!("{why}\n{told}"))?;
    told_to_end.map_err(|error| text(&error))?;
    super::collected(&told)
        .filter(|_| output.status.success())
        .ok_or_else(|| format!("valgrind counted nothing:\n{told}"))
}
