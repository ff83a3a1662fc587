//! The files that a person pastes or starts: Wolf's profiles and the compose file. They are what their programs take, and name only what there is.

use std::collections::BTreeSet;
use std::fs;

use crate::wolf::{Runner, file, pasted};

/// What Wolf knows of an app, and of a runner of the type "docker" (state/serialised_config.hpp of its public source).
const APP: &[&str] = &[
    "title",
    "icon_png_path",
    "render_node",
    "support_hdr",
    "video",
    "audio",
    "start_virtual_compositor",
    "start_audio_server",
    "runner",
];
const RUNNER: &[&str] = &["type", "name", "image", "mounts", "env", "devices", "ports", "base_create_json"];
/// Of the engine's HostConfig, what a profile of ours may use.
const HOST_CONFIG: &[&str] = &["ShmSize", "Privileged", "DeviceCgroupRules"];

fn names(table: &toml::Value) -> BTreeSet<&str> {
    table.as_table().expect("a table").keys().map(String::as_str).collect()
}

fn set<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    names.iter().copied().collect()
}

/// The image that scripts/image makes when it is not told otherwise.
pub fn image() -> String {
    let script = fs::read_to_string(file("scripts/image")).unwrap();
    let (_, rest) = script.split_once("tag=${1:-").expect("it has a default");
    rest.split('}').next().unwrap().to_owned()
}

/// All that says what an environment variable does: the bridge, the scripts, and what the image has them start.
fn knows(name: &str) -> bool {
    let known = ["entrypoint", "Dockerfile"].map(|it| format!("container/{it}")).into_iter();
    let scripts =
        fs::read_dir(file("scripts")).unwrap().map(|it| format!("scripts/{}", it.unwrap().file_name().display()));
    known.chain(scripts).filter_map(|path| fs::read_to_string(file(&path)).ok()).any(|text| text.contains(name))
}

/// Variables that are set somewhere in this text, in comments too.
fn variables(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '='));
    let is_name = |name: &str| name.len() > 3 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    words
        .filter_map(|word| word.split_once('='))
        .filter(|(name, _)| is_name(name))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[test]
fn the_profiles_are_what_wolf_reads() {
    let newer = pasted("container/wolf-app.toml", "config_version = 7\n[[profiles]]\nid = 'user'\nname = 'User'\n");
    let older = pasted("container/wolf-app-older.toml", "config_version = 4\n[[apps]]\ntitle = 'Another'\n");
    let newer = &newer["profiles"].as_array().expect("profiles")[0]["apps"][0];
    let older = &older["apps"].as_array().expect("apps")[1];
    for app in [newer, older] {
        assert!(names(app).is_subset(&set(APP)), "{:?}", names(app));
        assert_eq!(app["start_virtual_compositor"].as_bool(), Some(true));
        assert_eq!(app["start_audio_server"].as_bool(), Some(true));
        // Wolf wants all of them, empty ones too.
        assert_eq!(names(&app["runner"]), set(RUNNER));
        let runner = Runner::read(&app["runner"]);
        assert_eq!(runner.image, image());
        let base = runner.base.as_object().expect("an object");
        assert_eq!(base.keys().collect::<Vec<_>>(), ["HostConfig"]);
        let host: BTreeSet<&str> =
            base["HostConfig"].as_object().expect("an object").keys().map(String::as_str).collect();
        assert!(host.is_subset(&set(HOST_CONFIG)), "{host:?}");
        for variable in &runner.env {
            let (name, _) = variable.split_once('=').expect("NAME=value");
            assert!(knows(name), "{name}");
        }
    }
    assert_eq!(newer["runner"], older["runner"]);
}

#[test]
fn what_the_profiles_comments_offer_exists() {
    for profile in ["container/wolf-app.toml", "container/wolf-app-older.toml"] {
        let text = fs::read_to_string(file(profile)).unwrap();
        let offered = variables(&text);
        assert!(offered.contains(&"WOLF_BRIDGE_APP".to_owned()), "{offered:?}");
        for name in offered {
            assert!(knows(&name), "{profile}: nobody knows {name}");
        }
        for option in text.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" = ")) {
            assert!(APP.contains(&option.0), "{profile}: Wolf knows no {}", option.0);
        }
    }
}

/// What the image's description names is in the checkout, and its folder for scripts has all that these ask for.
#[test]
fn the_image_is_made_of_files_that_exist() {
    let text = fs::read_to_string(file("container/Dockerfile")).unwrap();
    let copied: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("COPY ") && !line.contains("--from"))
        .flat_map(|line| {
            line.split_whitespace()
                .skip(1)
                .collect::<Vec<_>>()
                .split_last()
                .map(|(_, from)| from.to_vec())
                .unwrap_or_default()
        })
        .filter(|name| !name.contains('['))
        .collect();
    assert!(copied.len() > 6, "{copied:?}");
    for name in &copied {
        assert!(file(name).exists(), "{name}");
    }
    for name in copied.iter().filter(|name| name.ends_with(".sh")) {
        let script = fs::read_to_string(file(name)).unwrap();
        let beside = script.lines().filter_map(|line| line.trim().strip_prefix(". \"$here/")?.strip_suffix('"'));
        for other in beside {
            assert!(copied.contains(&format!("scripts/{other}").as_str()), "{name} needs {other}");
        }
    }
}
