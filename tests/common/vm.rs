//! Tests that need a GPU, outside and inside of the virtual machine of `scripts/vm`: outside, the first one boots it and runs this
//! same test program inside, with the same filters; each test then takes over what it did in there.

use std::any::type_name;
use std::collections::HashMap;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

/// The lines that tell the outside where a test begins and how it ended.
const BEGIN: &str = "==== begins: ";
const PASSED: &str = "==== passed: ";
const FAILED: &str = "==== failed: ";

/// How a test inside ended, and what it wrote.
#[derive(Debug)]
enum Outcome {
    Passed(String),
    Failed(String),
}

/// What the machine did.
struct Report {
    tests: HashMap<String, Outcome>,
    /// What was wrong with the machine itself, or the end of its output.
    end: String,
}

/// Runs `test` where there is a GPU. Outside of the machine: boots it, once for all tests, and fails as `test` failed inside.
pub fn on_gpu<F: FnOnce()>(test: F) {
    // crate::name::{{closure}}
    let name = type_name::<F>().split("::").nth(1).expect("a test function").to_owned();
    if lab::in_vm() {
        println!("\n{BEGIN}{name}");
        let began = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(test));
        println!("\n{}{name} ({:.0?})", if ended.is_ok() { PASSED } else { FAILED }, began.elapsed());
        ended.unwrap_or_else(|panic| resume_unwind(panic));
        return;
    }
    if lab::skip() || skip() {
        return;
    }
    static REPORT: OnceLock<Report> = OnceLock::new();
    let report = REPORT.get_or_init(boot);
    match report.tests.get(&name) {
        Some(Outcome::Passed(output)) => println!("{output}"),
        Some(Outcome::Failed(output)) => panic!("failed in the virtual machine:\n{output}"),
        None => panic!("the virtual machine ended before this test: {}", report.end),
    }
}

/// True when there is no machine to boot; says so in a line starting with `SKIP: `, and panics in CI.
fn skip() -> bool {
    static BUILT: OnceLock<bool> = OnceLock::new();
    let is_built =
        || Command::new(lab::scripts().join("vm")).arg("--built").output().is_ok_and(|out| out.status.success());
    if *BUILT.get_or_init(is_built) {
        return false;
    }
    let reason = "no GPU here: the virtual machine is not built (run scripts/vm --prepare)";
    assert!(env::var_os("CI").is_none_or(|value| value.is_empty()), "{reason}");
    println!("SKIP: {reason}");
    true
}

fn boot() -> Report {
    let program = env::current_exe().expect("this program has a path");
    let mut command = Command::new(lab::scripts().join("vm"));
    // one stream for both, so that what a test writes stays together
    command.args(["bash", "-c", "exec \"$0\" \"$@\" 2>&1"]).arg(program).args(filters(env::args().skip(1)));
    command.args(["--test-threads=1", "--nocapture"]).env("WB_VM_SECONDS", "900");
    // a backtrace takes a minute in there
    command.env("RUST_BACKTRACE", "0");
    // pictures of what went wrong stay
    command.env("WB_OUT", env!("CARGO_TARGET_TMPDIR"));
    // the machine's own messages are shown as they come
    let out = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    match out {
        Ok(out) => read(&String::from_utf8_lossy(&out.stdout)),
        Err(error) => Report { tests: HashMap::new(), end: format!("scripts/vm does not run: {error}") },
    }
}

/// Of the test program's arguments, those that say which tests to run.
fn filters(args: impl Iterator<Item = String>) -> Vec<String> {
    let mut filters = Vec::new();
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--skip" => filters.extend([arg, args.next().unwrap_or_default()]),
            "--test-threads" | "--format" | "--color" | "--logfile" | "--shuffle-seed" | "-Z" => drop(args.next()),
            "--exact" | "--ignored" | "--include-ignored" => filters.push(arg),
            option if option.starts_with('-') => {}
            _ => filters.push(arg),
        }
    }
    filters
}

fn read(output: &str) -> Report {
    let mut report = Report { tests: HashMap::new(), end: String::new() };
    let mut under_way: Option<(String, String)> = None;
    for line in output.lines() {
        let ended =
            line.strip_prefix(PASSED).map(|rest| (true, rest)).or(line.strip_prefix(FAILED).map(|it| (false, it)));
        if let Some(name) = line.strip_prefix(BEGIN) {
            under_way = Some((name.to_owned(), String::new()));
        } else if let (Some((passed, rest)), Some((name, mut text))) = (ended, under_way.take_if(|_| ended.is_some())) {
            text += rest;
            report.tests.insert(name, if passed { Outcome::Passed(text) } else { Outcome::Failed(text) });
        } else if let Some((_, text)) = &mut under_way {
            text.push_str(line);
            text.push('\n');
        }
    }
    match under_way {
        Some((name, text)) => {
            report.end = format!("while {name} ran");
            report.tests.insert(name, Outcome::Failed(format!("{text}the virtual machine ended here")));
        }
        None => {
            let lines: Vec<&str> = output.lines().collect();
            report.end = lines[lines.len().saturating_sub(5)..].join("\n");
        }
    }
    report
}
