//! Restore tokens in files: what a portal gives for a permission, so that its dialog need not appear again.
//!
//! One file for each kind of guest, readable by its owner alone, below `$XDG_STATE_HOME/wolf-bridge` (by default
//! `~/.local/state/wolf-bridge`). A token works once: the one that a start gives takes the place of the one it used, by
//! a rename, so that there is always a whole one. A file that somebody else may have written or read is not believed.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use thiserror::Error;

/// Portals give UUIDs; nothing that is much longer is a token.
const LONGEST: usize = 256;

/// Why a token file is not used.
#[derive(Debug, Error)]
pub enum TokenError {
    /// It is not what a token file is.
    #[error("{0} {1}: not used; a new permission replaces it")]
    Distrusted(PathBuf, &'static str),
    /// It cannot be read.
    #[error("{0} cannot be read ({1}): not used")]
    Unreadable(PathBuf, io::Error),
}

/// Where the token of one kind of guest is kept.
#[derive(Clone, Debug)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// The file for this kind of guest; `None` where neither XDG_STATE_HOME nor HOME says where state is kept.
    pub fn of(guest: &str) -> Option<Self> {
        let state = state_home(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"))?;
        Some(Self(state.join("wolf-bridge").join(format!("{guest}.token"))))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The stored token; `None` when there is none.
    ///
    /// # Errors
    ///
    /// Why what is there is not used.
    pub fn read(&self) -> Result<Option<String>, TokenError> {
        // A pipe must not hold us up, and a link may lead anywhere.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
                return Err(self.distrusted("is a symbolic link"));
            }
            Err(error) => return Err(TokenError::Unreadable(self.0.clone(), error)),
        };
        let about = file.metadata().map_err(|error| TokenError::Unreadable(self.0.clone(), error))?;
        if !about.is_file() {
            return Err(self.distrusted("is not a regular file"));
        }
        if about.uid() != rustix::process::geteuid().as_raw() {
            return Err(self.distrusted("belongs to another user"));
        }
        if about.mode() & 0o077 != 0 {
            return Err(self.distrusted("can be opened by other users"));
        }
        let mut bytes = Vec::new();
        let read = file.take(LONGEST as u64 + 2).read_to_end(&mut bytes);
        read.map_err(|error| TokenError::Unreadable(self.0.clone(), error))?;
        let token = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        match std::str::from_utf8(token) {
            Ok(token) if is_token(token) => Ok(Some(token.to_owned())),
            _ => Err(self.distrusted("holds no token")),
        }
    }

    /// Stores a token in place of the one that is there, whatever that is.
    ///
    /// # Errors
    ///
    /// When it cannot; the old one may be there still.
    pub fn store(&self, token: &str) -> io::Result<()> {
        if !is_token(token) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the portal gave something that is no token"));
        }
        let (Some(dir), Some(name)) = (self.0.parent(), self.0.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        private_dir(dir)?;
        let mut beside = OsString::from(".");
        beside.push(name);
        beside.push(format!(".{}", std::process::id()));
        let beside = dir.join(beside);
        // What one of this number left that was killed.
        let _ = std::fs::remove_file(&beside);
        let written = write_new(&beside, token).and_then(|()| std::fs::rename(&beside, &self.0));
        if written.is_err() {
            let _ = std::fs::remove_file(&beside);
        }
        written
    }

    /// Forgets the stored token: it is stale.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.0);
    }

    fn distrusted(&self, why: &'static str) -> TokenError {
        TokenError::Distrusted(self.0.clone(), why)
    }
}

fn write_new(path: &Path, token: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")?;
    // Before the rename: after a power cut there is the old one or the new one, and not an empty one.
    file.sync_all()
}

/// Makes the folder if it is missing, and ours alone in any case.
fn private_dir(dir: &Path) -> io::Result<()> {
    if let Some(above) = dir.parent() {
        std::fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let about = std::fs::symlink_metadata(dir)?;
    if !about.is_dir() || about.uid() != rustix::process::geteuid().as_raw() {
        let why = format!("{} is not a folder of this user", dir.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    match about.mode() & 0o077 {
        0 => Ok(()),
        _ => std::fs::set_permissions(dir, Permissions::from_mode(0o700)),
    }
}

/// The XDG base directory for state. Relative paths are to be ignored, as its specification says.
fn state_home(given: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    given.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".local/state")))
}

/// Whether this can be a token: one word of printable ASCII.
fn is_token(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        file: TokenFile,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile(dir.path().join("state/wolf-bridge/portal.token"));
        Place { dir, file }
    }

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().mode() & 0o777
    }

    fn refusal(file: &TokenFile) -> String {
        file.read().unwrap_err().to_string()
    }

    #[test]
    fn a_token_is_kept_for_its_owner_alone() {
        let place = place();
        assert_eq!(place.file.read().unwrap(), None);
        for token in ["first", "second"] {
            place.file.store(token).unwrap();
            assert_eq!(place.file.read().unwrap().as_deref(), Some(token));
        }
        assert_eq!(mode(place.file.path()), 0o600);
        let folder = place.file.path().parent().unwrap();
        assert_eq!(mode(folder), 0o700);
        assert_eq!(folder.read_dir().unwrap().count(), 1, "something is left beside the token");
        place.file.remove();
        assert_eq!(place.file.read().unwrap(), None);
    }

    #[test]
    fn what_others_may_have_touched_is_not_believed_and_gives_way() {
        let place = place();
        let path = place.file.path();
        place.file.store("good").unwrap();

        std::fs::set_permissions(path, Permissions::from_mode(0o640)).unwrap();
        assert!(refusal(&place.file).contains("can be opened by other users"), "{}", refusal(&place.file));
        place.file.store("new").unwrap();
        assert_eq!(place.file.read().unwrap().as_deref(), Some("new"));

        let target = place.dir.path().join("target");
        std::fs::write(&target, "theirs\n").unwrap();
        std::fs::set_permissions(&target, Permissions::from_mode(0o600)).unwrap();
        place.file.remove();
        symlink(&target, path).unwrap();
        assert!(refusal(&place.file).contains("symbolic link"), "{}", refusal(&place.file));
        place.file.store("new").unwrap();
        assert_eq!(place.file.read().unwrap().as_deref(), Some("new"));
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "theirs\n", "the link was followed");

        place.file.remove();
        rustix::fs::mkfifoat(rustix::fs::CWD, path, 0o600.into()).unwrap();
        assert!(refusal(&place.file).contains("not a regular file"), "{}", refusal(&place.file));
        place.file.store("new").unwrap();

        place.file.remove();
        std::fs::create_dir(path).unwrap();
        assert!(place.file.read().is_err());
        assert!(place.file.store("new").is_err(), "a folder was replaced");
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 1, "a failed try left a file");
    }

    #[test]
    fn a_foreign_file_is_not_believed() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let place = place();
        place.file.store("good").unwrap();
        std::os::unix::fs::chown(place.file.path(), Some(65534), None).unwrap();
        assert!(refusal(&place.file).contains("another user"), "{}", refusal(&place.file));
        place.file.store("new").unwrap();
        assert_eq!(place.file.read().unwrap().as_deref(), Some("new"));

        let folder = place.file.path().parent().unwrap();
        std::os::unix::fs::chown(folder, Some(65534), None).unwrap();
        assert!(place.file.store("newer").is_err(), "stored in another user's folder");
    }

    #[test]
    fn only_one_printable_word_is_a_token() {
        let place = place();
        place.file.store("x").unwrap();
        let long = "x".repeat(LONGEST + 1);
        for bad in ["", "\n", "two words", "two\nlines", "tab\t", "\u{e9}", "nul\0", long.as_str()] {
            std::fs::write(place.file.path(), bad).unwrap();
            assert!(refusal(&place.file).contains("holds no token"), "{bad:?}");
            assert!(place.file.store(bad).is_err(), "{bad:?} was stored");
        }
        std::fs::write(place.file.path(), b"\xff\xfe").unwrap();
        assert!(place.file.read().is_err());
        std::fs::write(place.file.path(), "x".repeat(LONGEST)).unwrap();
        assert!(place.file.read().unwrap().is_some());
    }

    #[test]
    fn a_shared_folder_becomes_private() {
        let place = place();
        let folder = place.file.path().parent().unwrap();
        std::fs::create_dir_all(folder).unwrap();
        std::fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        place.file.store("x").unwrap();
        assert_eq!(mode(folder), 0o700);
    }

    #[test]
    fn state_lies_where_xdg_says() {
        let home = |given: &str, home: &str| state_home(Some(given.into()), Some(home.into()));
        assert_eq!(home("/state", "/home/me"), Some("/state".into()));
        assert_eq!(home("", "/home/me"), Some("/home/me/.local/state".into()));
        assert_eq!(home("relative", "/home/me"), Some("/home/me/.local/state".into()));
        assert_eq!(home("relative", "too"), None);
        assert_eq!(state_home(None, None), None);
    }
}
