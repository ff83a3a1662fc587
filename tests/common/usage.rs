//! What a process takes of the machine, as /proc tells: for the measurements among the tests.

use std::time::Duration;

/// CPU time of all threads of a process.
pub fn cpu(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let nanoseconds: u64 = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// How often all threads of a process went to sleep so far.
pub fn switches(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
        .filter_map(|text| {
            text.lines().find_map(|it| it.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
        })
        .sum::<u64>()
}

/// The names of all threads of a process.
pub fn threads(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok()).collect()
}

/// PipeWire (1.2 or later) has no thread of its own: each frame is handled where it arrives.
pub fn has_no_data_thread(pid: u32) {
    let threads = threads(pid);
    assert!(!threads.iter().any(|name| name.contains("data-loop") || name.contains("pipewire")), "{threads:?}");
}

/// Prints what these processes (number, command line) take, those that are worth a line and all: resident memory and their share of it (Pss), in MiB.
pub fn memory(processes: impl Iterator<Item = (u32, String)>) {
    let mut all = (0, 0.0, 0.0);
    for (pid, args) in processes {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let field = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
            line.map_or(0.0, |kib: f64| kib / 1024.0)
        };
        let (resident, share) = (field("Rss:"), field("Pss:"));
        all = (all.0 + 1, all.1 + resident, all.2 + share);
        if share > 1.0 {
            println!("{resident:7.1} {share:7.1}  {}", args.chars().take(60).collect::<String>());
        }
    }
    println!("{:7.1} {:7.1}  all {} processes", all.1, all.2, all.0);
}
