//! A connection to an EIS socket that is named by a path (`LIBEI_SOCKET`): only to one of the same user's, and never through
//! a link that somebody else may have laid.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use thiserror::Error;

use crate::guest::unix;

/// Why it is not used.
#[derive(Debug, Error)]
pub enum EisSocketError {
    /// It is not there, or cannot be reached.
    #[error(
        "the EIS socket {path} cannot be reached ({why}); is the guest started, and is --eis-socket (LIBEI_SOCKET) its own?"
    )]
    Unreachable {
        /// Where it was looked for.
        path: PathBuf,
        /// The system's word.
        why: String,
    },
    /// Something else is there.
    #[error("{path} is {what}, not an EIS socket; name the socket itself with --eis-socket (or LIBEI_SOCKET)")]
    NoSocket {
        /// Where.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// Somebody else could read what is typed.
    #[error("the EIS socket {path} belongs to user {owner}, who would read what is typed; it is not used")]
    Foreign {
        /// Where.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// A name without a folder to look for it in.
    #[error("the EIS socket {0} is a relative name, and XDG_RUNTIME_DIR is not set; give its absolute path")]
    NoFolder(PathBuf),
}

/// Connects to it; a relative name is one in XDG_RUNTIME_DIR, as libei takes it. The connection does not block.
///
/// # Errors
///
/// What is there instead of a socket of this user's that answers.
pub async fn connect(path: &Path) -> Result<OwnedFd, EisSocketError> {
    let path = match std::env::var_os("XDG_RUNTIME_DIR") {
        _ if path.is_absolute() => path.to_owned(),
        Some(folder) if !folder.is_empty() => Path::new(&folder).join(path),
        _ => return Err(EisSocketError::NoFolder(path.to_owned())),
    };
    let unreachable = |why: &dyn ToString| EisSocketError::Unreachable { path: path.clone(), why: why.to_string() };
    // What is looked at is what is connected to, whatever happens to the name meanwhile.
    let found = openat(CWD, &path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| unreachable(&error))?;
    let about = fstat(&found).map_err(|error| unreachable(&error))?;
    let what = match FileType::from_raw_mode(about.st_mode) {
        FileType::Socket => None,
        FileType::Symlink => Some("a symbolic link"),
        FileType::Directory => Some("a directory"),
        FileType::RegularFile => Some("a file"),
        _ => Some("a device or pipe"),
    };
    if let Some(what) = what {
        return Err(EisSocketError::NoSocket { path, what });
    }
    if about.st_uid != rustix::process::geteuid().as_raw() {
        return Err(EisSocketError::Foreign { path, owner: about.st_uid });
    }
    let link = format!("/proc/self/fd/{}", found.as_raw_fd());
    let socket = unix::connect(Path::new(&link)).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => unreachable(&"nobody listens there"),
        _ => unreachable(&error),
    })?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn refusal(path: &Path) -> String {
        async_io::block_on(connect(path)).expect_err("it was taken").to_string()
    }

    #[test]
    fn only_a_socket_that_listens_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let listener = UnixListener::bind(at("eis")).unwrap();
        async_io::block_on(connect(&at("eis"))).unwrap();
        std::os::unix::fs::symlink(at("eis"), at("link")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        assert!(refusal(&at("link")).contains("is a symbolic link"));
        assert!(refusal(&at("file")).contains("is a file"));
        assert!(refusal(dir.path()).contains("is a directory"));
        assert!(refusal(Path::new("/dev/null")).contains("is a device"));
        assert!(refusal(&at("none")).contains("cannot be reached"));
        drop(listener);
        assert!(refusal(&at("eis")).contains("nobody listens there"));
    }

    #[test]
    fn a_socket_of_another_user_is_not_taken() {
        if !rustix::process::geteuid().is_root() {
            println!("SKIP: giving a socket to another user takes root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("eis");
        let _listener = UnixListener::bind(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        assert!(refusal(&path).contains("belongs to user 65534"));
    }
}
