//! Owns the producer's sync timelines: real ones of the kernel's, reached through the first render node there is.
//! It knows nothing of PipeWire.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use drm::control::{Device as _, syncobj};

struct Node(File);

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Node {}
impl drm::control::Device for Node {}

/// One timeline, for both points of a buffer, as Mutter has it.
pub(crate) struct Timeline {
    /// `None` for one that is none: an ordinary file.
    object: Option<(Rc<Node>, syncobj::Handle)>,
    given: OwnedFd,
}

impl Timeline {
    /// A real one.
    pub(crate) fn new() -> io::Result<Self> {
        let mut nodes: Vec<_> = std::fs::read_dir("/dev/dri")?.flatten().map(|node| node.path()).collect();
        nodes.retain(|path| path.to_string_lossy().contains("renderD"));
        nodes.sort();
        let path = nodes.first().ok_or_else(|| io::Error::other("no render node"))?;
        let node = Rc::new(Node(OpenOptions::new().read(true).write(true).open(path)?));
        let handle = node.create_syncobj(false)?;
        let given = node.syncobj_to_fd(handle, false)?;
        Ok(Self { object: Some((node, handle)), given })
    }

    /// One that nobody can use.
    pub(crate) fn unusable() -> io::Result<Self> {
        let given = rustix::fs::memfd_create("no timeline", rustix::fs::MemfdFlags::CLOEXEC)?;
        Ok(Self { object: None, given })
    }

    /// The fd for the consumer.
    pub(crate) fn fd(&self) -> i64 {
        self.given.as_raw_fd().into()
    }

    /// Signals a point.
    pub(crate) fn signal(&self, point: u64) {
        if let Some((node, handle)) = &self.object {
            let _ = node.syncobj_timeline_signal(&[*handle], &[point]);
        }
    }

    /// Whether a point is signalled. One that nobody can use never is.
    pub(crate) fn has_reached(&self, point: u64) -> bool {
        let Some((node, handle)) = &self.object else { return point == 0 };
        let mut reached = [0];
        node.syncobj_timeline_query(&[*handle], &mut reached, false).is_ok() && reached[0] >= point
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        if let Some((node, handle)) = &self.object {
            let _ = node.destroy_syncobj(*handle);
        }
    }
}
