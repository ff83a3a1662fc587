//! Which libpipewire runs here: it may be another one than this was built with.

use std::ffi::CStr;

/// Its version, such as `1.4.2`.
pub fn version() -> &'static str {
    // SAFETY: it gives a constant string of the library.
    unsafe { CStr::from_ptr(pipewire::sys::pw_get_library_version()) }.to_str().unwrap_or_default()
}

/// Whether it is at least this one.
pub fn is_at_least(wanted: [u32; 3]) -> bool {
    at_least(version(), wanted)
}

/// Whether a version of PipeWire is at least the wanted one; what cannot be read counts as 0.
pub fn at_least(version: &str, wanted: [u32; 3]) -> bool {
    let mut numbers = version.split(|it: char| !it.is_ascii_digit()).map(|it| it.parse().unwrap_or(0));
    let version: [u32; 3] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
    version >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, old) in [("0.3.65", true), ("1.3.9", true), ("1.4.0", false), ("1.4.2", false), ("1.10.0", false)]
        {
            assert_eq!(at_least(version, [1, 4, 0]), !old, "{version}");
        }
        for (version, old) in [("2", false), ("1.5.0-rc1", false), ("1.4.8", false), ("1.4", true), ("x.y.z", true)] {
            assert_eq!(at_least(version, [1, 4, 8]), !old, "{version}");
        }
        assert!(!at_least("", [0, 0, 1]));
    }

    #[test]
    fn the_library_says_what_it_is() {
        assert!(is_at_least([0, 3, 0]), "{}", version());
    }
}
