//! Which GPU a session draws on: what the host says of its own (wolf-bridge --print-gpu), and what scripts/gpu.sh makes of that, with device nodes
//! that are none. On a real GPU: tests/gpu.rs. Needs the rootfs of scripts/rootfs for a user who may not open everything.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::world::{LINEAR, XR24};
use fake_host::{Dmabuf, FakeHost};
use lab::Machine;
use rustix::fs::makedev;

/// What the bridge prints of a host.
fn printed(host: &Path) -> (Option<i32>, String, String) {
    let args = ["--print-gpu", "--log", "error", "--host", host.to_str().expect("a plain path")];
    let out = Command::new(env!("CARGO_BIN_EXE_wolf-bridge")).args(args).env_clear().output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn a_host_says_which_gpu_it_has_and_sees_no_window() {
    let feedback = |version, number| Dmabuf::feedback(version, number, vec![(XR24, LINEAR)]);
    let hosts = [
        (Dmabuf::Absent, "none\n"),
        (Dmabuf::V3(vec![(XR24, LINEAR)]), "any\n"),
        (feedback(4, makedev(226, 128)), "/dev/dri/renderD128\n"),
        (feedback(5, makedev(226, 130)), "/dev/dri/renderD130\n"),
        // A card that is not there, and no card at all.
        (feedback(5, makedev(226, 60)), "none\n"),
        (feedback(5, makedev(1, 3)), "none\n"),
    ];
    for (dmabuf, says) in hosts {
        let host = FakeHost::builder().wolf().dmabuf(dmabuf.clone()).start().expect("a host");
        assert_eq!(printed(host.socket()), (Some(0), says.into(), String::new()), "{dmabuf:?}");
        assert_eq!(host.look(|seen| (seen.windows.len(), seen.oddities.clone())), (0, Vec::new()));
    }
}

#[test]
fn a_host_that_is_not_there_says_nothing() {
    let (code, said, error) = printed(Path::new("/nowhere/wayland-1"));
    assert_eq!((code, said.as_str()), (Some(3), ""));
    assert!(error.starts_with("wolf-bridge: no host at /nowhere/wayland-1") && error.lines().count() == 1, "{error}");
}

/// Nodes as the user finds them: `+` may be opened, `-` not.
fn choice(machine: &mut Machine, nodes: &[&str], host: &str) -> (String, String) {
    let dir = machine.dir().join("dri");
    let mut script = format!("rm -rf {0}; mkdir {0}; ", dir.display());
    for node in nodes {
        let (mode, name) = node.split_at(1);
        let mode = if mode == "+" { "600" } else { "0" };
        script += &format!("touch {0}/{name}; chmod {mode} {0}/{name}; ", dir.display());
    }
    script += &format!(
        ". /opt/wolf-bridge/supervise.sh; . /opt/wolf-bridge/gpu.sh; set -euo pipefail; choose_gpu {host} {} 2>{}/said",
        dir.display(),
        dir.display(),
    );
    let node = machine.output(&script);
    let said = std::fs::read_to_string(dir.join("said")).expect("what it says");
    (node.strip_prefix(&format!("{}/", dir.display())).unwrap_or(&node).to_owned(), said)
}

#[test]
fn the_hosts_gpu_is_the_sessions_and_software_is_told() {
    if lab::skip() {
        return;
    }
    let mut machine = Machine::start();
    let both = ["+renderD128", "+renderD129", "+card0"];
    let cases: [(&[&str], &str, &str, &str); 10] = [
        (&both, "/dev/dri/renderD129", "renderD129", ""),
        (&both, "/dev/dri/renderD128", "renderD128", ""),
        (
            &["-renderD128", "+renderD129"],
            "/dev/dri/renderD128",
            "",
            "draws on /dev/dri/renderD128, which this user may not open",
        ),
        (&both, "/dev/dri/renderD130", "", "draws on /dev/dri/renderD130, which is not here"),
        (&[], "/dev/dri/renderD128", "", "which is not here"),
        (&both, "any", "renderD128", ""),
        (&["-renderD128", "+renderD129"], "any", "renderD129", ""),
        (&["-renderD128", "+card0"], "any", "", "no GPU in "),
        (&[], "any", "", "no GPU in "),
        (&both, "none", "", "the host has no GPU"),
    ];
    for (nodes, host, chosen, says) in cases {
        let (node, said) = choice(&mut machine, nodes, host);
        assert_eq!(node, chosen, "{nodes:?} {host}: {said}");
        assert_eq!(said.is_empty(), says.is_empty(), "{nodes:?} {host}: {said}");
        assert!(said.contains(says) && said.lines().count() <= 1, "{nodes:?} {host}: {said}");
        assert_eq!(said.contains("the desktop is drawn in software"), chosen.is_empty(), "{said}");
    }
}

/// With namespaces, as on any ordinary system: those of the rootfs' users may make none, as in many containers.
#[test]
fn other_gpus_are_kept_from_a_desktop_or_it_is_said_that_they_are_not() {
    let open = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    let (dir, scripts) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    for node in ["renderD128", "renderD129", "renderD130"] {
        std::fs::write(dir.path().join(node), node).expect("a file");
        open(&dir.path().join(node), 0o666);
    }
    // Where the checkout is, others may not be let in.
    for script in ["supervise.sh", "gpu.sh"] {
        std::fs::copy(lab::scripts().join(script), scripts.path().join(script)).expect("a copy");
    }
    open(dir.path(), 0o755);
    open(scripts.path(), 0o755);
    let drawing = |node: &str, may_hide: bool| {
        let script = format!(
            "set -euo pipefail; . {0}/supervise.sh; . {0}/gpu.sh; {1} draw_on '{node}' {2}; \
             \"${{draws[@]}}\" sh -c 'cat {2}/*; echo; echo ${{LIBGL_ALWAYS_SOFTWARE:-}}; grep CapEff /proc/self/status'",
            scripts.path().display(),
            if may_hide { "" } else { "unshare() { return 1; };" },
            dir.path().display(),
        );
        // As somebody who has no rights but these.
        let mut command = Command::new("setpriv");
        if rustix::process::getuid().is_root() {
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
        }
        let out = command.args(["bash", "-c", &script]).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&out.stdout), text(&out.stderr))
    };
    let no_rights = "CapEff:\t0000000000000000\n";
    let node = dir.path().join("renderD129").display().to_string();
    assert_eq!(drawing(&node, true), (format!("renderD129\n\n{no_rights}"), String::new()));
    assert_eq!(drawing("", true), (format!("\n1\n{no_rights}"), String::new()));
    let (seen, said) = drawing(&node, false);
    assert_eq!(seen, format!("renderD128renderD129renderD130\n\n{no_rights}"));
    assert!(said.contains("instead of") && said.lines().count() == 1, "{said}");
}
