//! The guest's own Wayland socket: where it is, that it is not the host's, and a connection to it.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::guest::{GuestError, unix};

/// Where the socket of that name is: in `runtime_dir`, unless it is an absolute path.
///
/// # Errors
///
/// When there is no such folder.
pub fn path(name: &Path, runtime_dir: Option<PathBuf>) -> Result<PathBuf, GuestError> {
    match (name.is_absolute(), runtime_dir) {
        (true, _) => Ok(name.to_owned()),
        (false, Some(dir)) => Ok(dir.join(name)),
        (false, None) => Err(GuestError::Ended(format!(
            "XDG_RUNTIME_DIR is not set, so the guest {} cannot be found; set it, or give --guest-socket an absolute path",
            name.display()
        ))),
    }
}

/// Whether two paths lead to one socket.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| std::fs::metadata(path).ok().map(|about| (about.dev(), about.ino()));
    one == other || file(one).is_some_and(|one| Some(one) == file(other))
}

/// Connects, for as long as that takes: a compositor that accepts nobody is waited for. The connection does not block.
///
/// # Errors
///
/// When nobody listens.
pub async fn connect(path: &Path) -> Result<UnixStream, GuestError> {
    unix::connect(path).await.map_err(|error| nobody(path, &error))
}

fn nobody(path: &Path, error: &std::io::Error) -> GuestError {
    GuestError::Ended(format!(
        "no compositor at {} ({error}); start the guest, or name its Wayland socket with --guest-socket",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn names_are_in_the_runtime_folder_and_paths_are_not() {
        let dir = || Some(PathBuf::from("/run/user/1000"));
        assert_eq!(path(Path::new("wayland-2"), dir()).unwrap(), Path::new("/run/user/1000/wayland-2"));
        assert_eq!(path(Path::new("/tmp/w"), None).unwrap(), Path::new("/tmp/w"));
        assert!(path(Path::new("wayland-2"), None).unwrap_err().to_string().contains("XDG_RUNTIME_DIR"));
    }

    #[test]
    fn one_socket_by_two_names_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let [one, link, other] = ["one", "link", "other"].map(|name| dir.path().join(name));
        let _listeners = [&one, &other].map(|path| UnixListener::bind(path).unwrap());
        std::os::unix::fs::symlink(&one, &link).unwrap();
        assert!(is_same(&one, &link));
        assert!(!is_same(&one, &other));
        // What is not there yet is itself, and nothing else.
        let [missing, also] = ["missing", "also"].map(|name| dir.path().join(name));
        assert!(is_same(&missing, &missing));
        assert!(!is_same(&missing, &also));
    }
}
