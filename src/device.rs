//! What the kernel says of DRM devices and of DMA-BUFs: which nodes are one device, what they are called, who has them open.
//! It reads /sys and /proc and opens no device.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::PathBuf;

/// The major number of DRM nodes.
const DRM_MAJOR: u32 = 226;

/// Where a device number's device is; nodes of one device share it.
fn parent(number: u64) -> Option<PathBuf> {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    fs::canonicalize(format!("/sys/dev/char/{major}:{minor}/device")).ok()
}

/// Whether two device numbers are nodes of one device: a card and its render node have different ones. Where the
/// kernel does not say, they are not told apart.
pub fn is_same(one: u64, other: u64) -> bool {
    one == other || parent(one).zip(parent(other)).is_none_or(|(one, other)| one == other)
}

/// The render node of a device, whichever of its nodes this is; `None` where it has none, or is none of DRM's.
pub fn render_node(number: u64) -> Option<PathBuf> {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    if major != DRM_MAJOR {
        return None;
    }
    // As the kernel has always numbered them.
    if (128..192).contains(&minor) {
        return Some(format!("/dev/dri/renderD{minor}").into());
    }
    let nodes = fs::read_dir(parent(number)?.join("drm")).ok()?;
    let mut names = nodes.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| name.starts_with("renderD")).map(|name| PathBuf::from("/dev/dri").join(name))
}

/// A node's name and its driver's, for the log: `renderD128 (amdgpu)`.
pub fn name(number: u64) -> String {
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let node = fs::canonicalize(format!("/sys/dev/char/{major}:{minor}")).ok();
    let node = node.as_deref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy().into_owned());
    let driver = parent(number).map(|device| fs::canonicalize(device.join("driver")).unwrap_or(device));
    let driver = driver.as_deref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
    let node = node.unwrap_or_else(|| format!("device {major}:{minor}"));
    driver.map_or(node.clone(), |driver| format!("{node} ({driver})"))
}

/// The DRM nodes that a process has open; none when it cannot be looked into.
pub fn open_in(pid: u32) -> Vec<u64> {
    let mut numbers: Vec<u64> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::metadata(entry.ok()?.path()).ok())
        .filter(|file| file.file_type().is_char_device() && rustix::fs::major(file.rdev()) == DRM_MAJOR)
        .map(|file| file.rdev())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// A line of a descriptor's fdinfo.
fn fdinfo(fd: BorrowedFd<'_>, key: &str) -> Option<String> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(|value| value.trim().to_owned())
}

/// Which part of the kernel made a DMA-BUF, for the log: a driver, `udmabuf`, a heap, or `drm` for most drivers.
pub fn exporter(dmabuf: BorrowedFd<'_>) -> Option<String> {
    fdinfo(dmabuf, "exp_name")
}

/// The process behind a pidfd, as this process's own namespace numbers it.
pub fn process_of(pidfd: BorrowedFd<'_>) -> Option<u32> {
    fdinfo(pidfd, "Pid")?.parse().ok().filter(|pid| *pid > 0)
}

/// Whether a process of ours numbers processes as we do.
pub fn shares_pids(pid: u32) -> bool {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    namespace(&pid.to_string()).is_some_and(|theirs| Some(theirs) == namespace("self"))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_device_is_itself() {
        // Neither has a device behind it that could be told from the other's.
        assert!(is_same(0, 0) && is_same(rustix::fs::makedev(1, 3), rustix::fs::makedev(1, 5)));
        assert_eq!(name(rustix::fs::makedev(1, 3)), "null");
        assert_eq!(name(rustix::fs::makedev(4095, 3)), "device 4095:3");
    }

    #[test]
    fn a_render_node_is_its_own() {
        let node = |major, minor| render_node(rustix::fs::makedev(major, minor));
        assert_eq!(node(DRM_MAJOR, 129), Some("/dev/dri/renderD129".into()));
        // No such card, and what is no card at all.
        assert_eq!([node(DRM_MAJOR, 63), node(1, 128), node(0, 0)], [None, None, None]);
    }

    #[test]
    fn processes_are_looked_into() {
        assert!(shares_pids(std::process::id()));
        assert!(!shares_pids(u32::MAX));
        assert_eq!(open_in(u32::MAX), []);
        let me = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty()).unwrap();
        assert_eq!(process_of(me.as_fd()), Some(std::process::id()));
        assert_eq!(exporter(me.as_fd()), None);
    }
}
