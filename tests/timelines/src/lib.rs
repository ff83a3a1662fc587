//! DRM sync timelines of the kernel's, as the fake guest makes them and the fake host takes them, reached through the first
//! render node there is. Not the bridge's own code for it, which they are there to test.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use drm::control::{Device as _, syncobj};

#[derive(Debug)]
struct Node(File);

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Node {}
impl drm::control::Device for Node {}

impl Node {
    fn open() -> io::Result<Self> {
        let mut nodes: Vec<_> = std::fs::read_dir("/dev/dri")?.flatten().map(|node| node.path()).collect();
        nodes.retain(|path| path.to_string_lossy().contains("renderD"));
        nodes.sort();
        let path = nodes.first().ok_or_else(|| io::Error::other("no render node"))?;
        OpenOptions::new().read(true).write(true).open(path).map(Self)
    }
}

/// A timeline; closed when dropped.
#[derive(Debug)]
pub struct Timeline {
    node: Node,
    handle: syncobj::Handle,
}

impl Timeline {
    /// Whether there is a render node to reach any through.
    pub fn can_be() -> bool {
        Node::open().is_ok()
    }

    /// A new one, at point 0.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn new() -> io::Result<Self> {
        let node = Node::open()?;
        let handle = node.create_syncobj(false)?;
        Ok(Self { node, handle })
    }

    /// The one behind a descriptor.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn import(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let node = Node::open()?;
        let handle = node.fd_to_syncobj(fd, false)?;
        Ok(Self { node, handle })
    }

    /// A descriptor of it for others.
    ///
    /// # Errors
    ///
    /// When there are no more descriptors.
    pub fn export(&self) -> io::Result<OwnedFd> {
        self.node.syncobj_to_fd(self.handle, false)
    }

    /// Signals a point, and all before it.
    pub fn signal(&self, point: u64) {
        let _ = self.node.syncobj_timeline_signal(&[self.handle], &[point]);
    }

    /// Whether a point is signalled.
    pub fn has_reached(&self, point: u64) -> bool {
        let mut reached = [0];
        self.node.syncobj_timeline_query(&[self.handle], &mut reached, false).is_ok() && reached[0] >= point
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        let _ = self.node.destroy_syncobj(self.handle);
    }
}
