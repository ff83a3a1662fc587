//! DRM sync timelines (drm.h, `DRM_IOCTL_SYNCOBJ_*`): the device that they are reached through, asking whether a
//! point is signalled, being woken when it is, and signalling one. Nothing here waits.
//!
//! A timeline is the kernel's, not one device's: any device can reach any of them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use drm::control::{Device as _, syncobj};
use drm::{Device as _, DriverCapability};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use tracing::debug;

use crate::device;

/// Where the kernel's render nodes are.
const NODES: &str = "/dev/dri";

#[derive(Debug)]
struct Node(File);

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Node {}
impl drm::control::Device for Node {}

/// An open render node that knows timelines.
#[derive(Clone, Debug)]
pub struct SyncDevice(Rc<Node>);

impl SyncDevice {
    /// Opens the render node of the device `main` (a dev_t, as linux-dmabuf's main_device), else the first one that
    /// can be opened and knows timelines.
    pub fn open(main: Option<u64>) -> Option<Self> {
        render_nodes(main).into_iter().find_map(|path| {
            let node = OpenOptions::new().read(true).write(true).open(&path).map(Node);
            let supported = node.and_then(|node| {
                let supported = node.get_driver_capability(DriverCapability::TimelineSyncObj)?;
                Ok((supported != 0).then_some(node))
            });
            debug!(path = %path.display(), error = ?supported.as_ref().err(), timelines = matches!(&supported, Ok(Some(_))), "render node");
            supported.ok().flatten().map(|node| Self(Rc::new(node)))
        })
    }

    /// The timeline behind a descriptor.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn import(&self, fd: BorrowedFd<'_>) -> io::Result<Timeline> {
        let handle = self.0.fd_to_syncobj(fd, false)?;
        Ok(Timeline { node: Rc::clone(&self.0), handle })
    }
}

/// Render nodes, the one of `main` first.
fn render_nodes(main: Option<u64>) -> Vec<PathBuf> {
    let is_render =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"renderD"));
    let listed = std::fs::read_dir(NODES).map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect());
    let mut nodes: Vec<PathBuf> = listed.unwrap_or_default();
    nodes.retain(is_render);
    let number = |path: &PathBuf| rustix::fs::stat(path).ok().map(|stat| stat.st_rdev);
    nodes.sort_by_cached_key(|path| (closeness(number(path), main), path.clone()));
    nodes
}

/// The nearer a node is to the main device, the less: itself, another node of it, whatever else there is.
fn closeness(node: Option<u64>, main: Option<u64>) -> u8 {
    match node.zip(main) {
        Some((node, main)) if node == main => 0,
        Some((node, main)) if device::is_same(node, main) => 1,
        _ => 2,
    }
}

/// A timeline that this process can reach.
#[derive(Debug)]
pub struct Timeline {
    node: Rc<Node>,
    handle: syncobj::Handle,
}

impl Timeline {
    /// Whether this point is signalled; one that cannot be asked for is not.
    pub fn is_signalled(&self, point: u64) -> bool {
        self.reached().is_ok_and(|reached| reached >= point)
    }

    /// The last point that is signalled.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn reached(&self) -> io::Result<u64> {
        let mut reached = [0];
        self.node.syncobj_timeline_query(&[self.handle], &mut reached, false)?;
        Ok(reached[0])
    }

    /// Signals a point, and with it all before it.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn signal(&self, point: u64) -> io::Result<()> {
        self.node.syncobj_timeline_signal(&[self.handle], &[point])
    }

    /// A sync_file of one point, which polls as readable when it is signalled. Needs the point's work to be submitted.
    fn sync_file(&self, point: u64) -> io::Result<OwnedFd> {
        let binary = Self { node: Rc::clone(&self.node), handle: self.node.create_syncobj(false)? };
        self.node.syncobj_timeline_transfer(self.handle, binary.handle, point, 0)?;
        self.node.syncobj_to_fd(binary.handle, true)
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        if let Err(error) = self.node.destroy_syncobj(self.handle) {
            debug!(%error, "a timeline was not closed");
        }
    }
}

/// One descriptor that becomes readable when any of the watched points is signalled.
#[derive(Debug)]
pub struct Alarm {
    epoll: OwnedFd,
    /// From Linux 6.6 on the kernel writes to it (`DRM_IOCTL_SYNCOBJ_EVENTFD`); `None` once that was refused.
    eventfd: Option<OwnedFd>,
    /// On older kernels: a sync_file for each point.
    files: Vec<OwnedFd>,
}

impl Alarm {
    /// An alarm without points.
    ///
    /// # Errors
    ///
    /// When the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        watch(&epoll, &eventfd)?;
        Ok(Self { epoll, eventfd: Some(eventfd), files: Vec::new() })
    }

    /// Wakes when this point is signalled, at once if it is. False alarms are possible.
    ///
    /// # Errors
    ///
    /// When the kernel cannot watch it: before Linux 6.6 a point whose work is not submitted yet.
    pub fn watch(&mut self, timeline: &Timeline, point: u64) -> io::Result<()> {
        if let Some(eventfd) = &self.eventfd {
            match timeline.node.syncobj_eventfd(timeline.handle, point, eventfd.as_fd(), false) {
                Ok(()) => return Ok(()),
                Err(error) => debug!(%error, "no eventfd for timelines; using sync files"),
            }
            self.eventfd = None;
        }
        let file = timeline.sync_file(point)?;
        watch(&self.epoll, &file)?;
        self.files.push(file);
        Ok(())
    }

    /// Takes note of a wake-up.
    pub fn silence(&mut self) {
        if let Some(eventfd) = &self.eventfd {
            // Nothing to read is a false alarm.
            let _ = rustix::io::read(eventfd, &mut [0; 8]);
        }
        self.files.retain(|file| {
            let ready = poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&Timespec::default()));
            matches!(ready, Ok(0))
        });
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn watch(epoll: &OwnedFd, fd: &OwnedFd) -> io::Result<()> {
    Ok(epoll::add(epoll, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_device_itself_is_nearest() {
        // /dev/null and /dev/zero belong to no hardware that could tell them apart.
        let [null, zero] = [rustix::fs::makedev(1, 3), rustix::fs::makedev(1, 5)];
        assert_eq!(closeness(Some(null), Some(null)), 0);
        assert_eq!(closeness(Some(zero), Some(null)), 1);
        assert_eq!([closeness(None, Some(null)), closeness(Some(null), None)], [2, 2]);
    }
}
