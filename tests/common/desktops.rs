//! Real hosts to look at, and what they are to show.

use std::path::PathBuf;
use std::time::Duration;

use lab::{Hands, Image, Sway, Weston};

use super::wait_for;

/// Long enough for GNOME on a busy machine.
pub fn soon() -> Duration {
    lab::patience(Duration::from_secs(30))
}

/// The guest's pointer is part of its picture: so far from it nothing is.
const POINTER: u32 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    Sway,
    Weston,
}

pub enum RealHost {
    Sway(Sway),
    Weston(Weston),
}

impl RealHost {
    pub fn start(kind: HostKind, width: u32, height: u32) -> Self {
        Self::start_with(kind, width, height, &[])
    }

    pub fn start_with(kind: HostKind, width: u32, height: u32, env: &[(&str, &str)]) -> Self {
        match kind {
            HostKind::Sway => Self::Sway(Sway::start_with(width, height, env)),
            HostKind::Weston => Self::Weston(Weston::start_with(width, height, env)),
        }
    }

    pub fn socket(&self) -> PathBuf {
        match self {
            Self::Sway(host) => host.socket(),
            Self::Weston(host) => host.socket(),
        }
    }

    pub fn resize(&self, width: u32, height: u32) {
        match self {
            Self::Sway(host) => host.resize(width, height),
            Self::Weston(host) => host.resize(width, height),
        }
    }

    pub fn screenshot(&self) -> Image {
        match self {
            Self::Sway(host) => host.screenshot(),
            Self::Weston(host) => host.screenshot(),
        }
    }

    pub fn hands(&self) -> Hands {
        match self {
            Self::Sway(host) => host.hands(),
            Self::Weston(host) => host.hands(),
        }
    }

    pub fn log(&self) -> String {
        match self {
            Self::Sway(host) => host.log(),
            Self::Weston(host) => host.log(),
        }
    }
}

/// Takes pictures until the host shows this pattern, pixel for pixel, with the guest's pointer near the top or in
/// the corner at the bottom right.
pub fn shows(host: &RealHost, width: u32, height: u32, seed: u32) {
    let area = |image: &Image| image.region(0, POINTER, width - POINTER, height - 2 * POINTER);
    shows_in(host, width, height, &Image::pattern(width, height, seed), area);
}

/// Takes pictures until the host shows this one, in what `area` cuts out of it.
pub fn shows_in(host: &RealHost, width: u32, height: u32, expected: &Image, area: impl Fn(&Image) -> Image) {
    let expected = area(expected);
    let mut wrong = String::new();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("the guest's picture", soon(), || {
            let image = host.screenshot();
            if (image.width, image.height) != (width, height) {
                wrong = format!("the host is {}x{}", image.width, image.height);
                return None;
            }
            let checked = area(&image).check(&expected);
            checked.map_err(|error| wrong = error.to_string()).ok()
        });
    }));
    if found.is_err() {
        let dir = std::env::var_os("WB_OUT").map_or_else(std::env::temp_dir, PathBuf::from);
        let path = dir.join("wolf-bridge-wrong.png");
        let _ = host.screenshot().save(&path);
        panic!("the host does not show the picture of {width}x{height}: {wrong}; see {}", path.display());
    }
}
