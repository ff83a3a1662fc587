//! What a person may get wrong: each ends within 10 s with one line that says what to change, or works.

use std::time::Duration;

use serde_json::{Value, json};

use crate::docker::{self, Container};
use crate::wolf::{Runner, SOCKETS, Stream, Wolf};

/// Starts the app with these variables in the place of Wolf's (`None`: without one), and without these mounts.
fn start(wolf: &Stream, name: &str, variables: &[(&str, Option<&str>)], without: &str) -> Container {
    let mut config = wolf.config(&Runner::ours());
    let is_one = |list: &Value, name: &str| list.as_str().is_some_and(|it| it.starts_with(&format!("{name}=")));
    let env = config["Env"].as_array_mut().expect("a list");
    for (name, value) in variables {
        env.retain(|it| !is_one(it, name));
        env.extend(value.map(|value| json!(format!("{name}={value}"))));
    }
    let binds = config["HostConfig"]["Binds"].as_array_mut().expect("a list");
    binds.retain(|it| without.is_empty() || !it.as_str().is_some_and(|it| it.contains(without)));
    Container::start(&format!("bad_{}_{name}", wolf.name), &config)
}

#[track_caller]
fn says(app: &Container, code: i32, line: &str) {
    let (ended, log) = app.ended(Duration::from_secs(10));
    assert_eq!(ended, code, "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains(line), "{log}");
}

#[test]
fn a_wrong_user_is_told() {
    if docker::skip() {
        return;
    }
    let wolf = Wolf::start(1);
    let wolf = &wolf.streams[0];
    let cases = [
        ("PUID", "0", "PUID is 0: the desktop does not run as root; set it to your user's number (id -u)"),
        ("PUID", "foo", "PUID is 'foo': a number is needed"),
        ("PUID", "-1", "PUID is '-1': a number is needed"),
        ("PUID", "", "PUID is '': a number is needed"),
        ("PGID", "users", "PGID is 'users': a number is needed"),
        ("UNAME", "../root", "UNAME is '../root': a user's name is needed"),
        ("UNAME", "", "UNAME is '': a user's name is needed"),
    ];
    for (number, (name, value, line)) in cases.into_iter().enumerate() {
        says(&start(wolf, &number.to_string(), &[(name, Some(value))], ""), 2, line);
    }
}

#[test]
fn a_host_that_is_not_there_is_told() {
    if docker::skip() {
        return;
    }
    let wolf = Wolf::start(1);
    let wolf = &wolf.streams[0];
    type Variables<'a> = &'a [(&'a str, Option<&'a str>)];
    let cases: [(Variables<'_>, &str); 3] = [
        (&[("XDG_RUNTIME_DIR", None)], "XDG_RUNTIME_DIR is unset"),
        (&[("XDG_RUNTIME_DIR", Some("/nowhere"))], "/nowhere/wayland-1"),
        (&[("WAYLAND_DISPLAY", Some("wayland-99"))], &format!("{SOCKETS}/wayland-99")),
    ];
    for (number, (variables, line)) in cases.into_iter().enumerate() {
        says(&start(wolf, &number.to_string(), variables, ""), 3, line);
    }
    // A mount that Docker made itself, since what was to be mounted was not there.
    says(&start(wolf, "folder", &[], ":/tmp/sockets/wayland"), 3, SOCKETS);
}
