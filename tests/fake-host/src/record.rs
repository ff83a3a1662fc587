//! The larger records inside [`crate::Seen`]: windows, commits, buffers and rectangles.
//! Plain data with a few read-only helpers; never touches the protocol.

use std::time::Instant;

use crate::seen::BufferId;

/// A rectangle; the field that holds it says in which space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Left edge.
    pub x: i32,
    /// Top edge.
    pub y: i32,
    /// Width. Damage may be as wide as `i32::MAX`.
    pub width: i32,
    /// Height.
    pub height: i32,
}

impl Rect {
    /// From its edges and sizes.
    pub const fn new(x: i32, y: i32, width: i32, height: i32) -> Self {
        Self { x, y, width, height }
    }

    /// The part inside `0,0 width x height`, or `None` if nothing is.
    pub fn clip(self, width: i32, height: i32) -> Option<Self> {
        let left = self.x.max(0);
        let top = self.y.max(0);
        let right = self.x.saturating_add(self.width).min(width);
        let bottom = self.y.saturating_add(self.height).min(height);
        (right > left && bottom > top).then(|| Self::new(left, top, right - left, bottom - top))
    }

    /// The smallest rectangle around both.
    pub fn union(self, other: Self) -> Self {
        let left = self.x.min(other.x);
        let top = self.y.min(other.y);
        let right = self.x.saturating_add(self.width).max(other.x.saturating_add(other.width));
        let bottom = self.y.saturating_add(self.height).max(other.y.saturating_add(other.height));
        Self::new(left, top, right.saturating_sub(left), bottom.saturating_sub(top))
    }
}

/// What a `wl_buffer` is made of. Formats are DRM fourccs, for wl_shm too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BufferKind {
    /// From a `wl_shm_pool`.
    Shm(ShmBuffer),
    /// From `zwp_linux_dmabuf_v1`.
    Dmabuf(DmabufBuffer),
    /// From `wp_single_pixel_buffer_manager_v1`: red, green, blue, alpha, premultiplied, of 2^32-1.
    SinglePixel([u32; 4]),
}

/// A piece of a shm pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShmBuffer {
    /// Index into [`crate::Seen::pools`].
    pub pool: usize,
    /// Bytes from the start of the pool.
    pub offset: i32,
    /// Pixels.
    pub width: i32,
    /// Pixels.
    pub height: i32,
    /// Bytes per row.
    pub stride: i32,
    /// DRM fourcc.
    pub fourcc: u32,
}

/// An imported DMA-BUF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmabufBuffer {
    /// DRM fourcc.
    pub fourcc: u32,
    /// DRM format modifier.
    pub modifier: u64,
    /// Pixels.
    pub width: i32,
    /// Pixels.
    pub height: i32,
    /// `zwp_linux_buffer_params_v1.flags`.
    pub flags: u32,
    /// Planes in the order they were added.
    pub planes: Vec<Plane>,
}

/// One plane of a DMA-BUF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plane {
    /// Plane index.
    pub index: u32,
    /// Bytes from the start of the fd.
    pub offset: u32,
    /// Bytes per row.
    pub stride: u32,
}

impl BufferKind {
    /// Pixels.
    pub fn size(&self) -> (i32, i32) {
        match self {
            Self::Shm(b) => (b.width, b.height),
            Self::Dmabuf(b) => (b.width, b.height),
            Self::SinglePixel(_) => (1, 1),
        }
    }

    /// DRM fourcc; a single pixel has none.
    pub fn fourcc(&self) -> Option<u32> {
        match self {
            Self::Shm(b) => Some(b.fourcc),
            Self::Dmabuf(b) => Some(b.fourcc),
            Self::SinglePixel(_) => None,
        }
    }

    /// The shm buffer, if it is one.
    pub fn shm(&self) -> Option<&ShmBuffer> {
        match self {
            Self::Shm(b) => Some(b),
            _ => None,
        }
    }

    /// The DMA-BUF, if it is one.
    pub fn dmabuf(&self) -> Option<&DmabufBuffer> {
        match self {
            Self::Dmabuf(b) => Some(b),
            _ => None,
        }
    }
}

/// What a commit did to the surface's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    /// No `attach` since the previous commit.
    Nothing,
    /// `attach(NULL)`: the surface is unmapped.
    Null,
    /// A buffer.
    Buffer {
        /// Its name.
        id: BufferId,
        /// What it is made of.
        kind: BufferKind,
    },
}

/// What a surface is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Role {
    /// None yet.
    #[default]
    None,
    /// An `xdg_toplevel`.
    Toplevel,
    /// An `xdg_popup`.
    Popup,
    /// A `wl_subsurface`.
    Subsurface,
    /// Set as cursor.
    Cursor,
}

/// One `wl_surface.commit` and the state it applied.
#[derive(Clone, Debug)]
pub struct Commit {
    /// When the host took it in.
    pub at: Instant,
    /// Number of the surface, counted from 1 over the host's life.
    pub surface: u32,
    /// The surface's role at that time.
    pub role: Role,
    /// The window's number if the surface is a toplevel's.
    pub window: Option<usize>,
    /// Content.
    pub attached: Attached,
    /// `damage` requests, in surface coordinates.
    pub surface_damage: Vec<Rect>,
    /// `damage_buffer` requests, in buffer coordinates.
    pub buffer_damage: Vec<Rect>,
    /// Viewport source x, y, width, height in force, in buffer coordinates after scale.
    pub source: Option<(f64, f64, f64, f64)>,
    /// Viewport destination in force, in surface coordinates.
    pub destination: Option<(i32, i32)>,
    /// Buffer scale in force.
    pub scale: i32,
    /// Buffer transform in force, as `wl_output.transform`.
    pub transform: u32,
    /// Opaque region in force; empty if unset.
    pub opaque: Vec<Rect>,
    /// Input region in force; `None` means everywhere.
    pub input: Option<Vec<Rect>>,
    /// Size of the surface after this commit, in surface coordinates.
    pub size: Option<(i32, i32)>,
    /// Frame callbacks asked for with this commit.
    pub frame_callbacks: usize,
    /// Presentation feedbacks asked for with this commit.
    pub feedbacks: usize,
    /// `wp_linux_drm_syncobj_surface_v1.set_acquire_point` with this commit.
    pub acquire_point: Option<u64>,
    /// `wp_linux_drm_syncobj_surface_v1.set_release_point` with this commit.
    pub release_point: Option<u64>,
    /// The newest configure serial acknowledged before this commit.
    pub acked: Option<u32>,
}

impl Commit {
    /// The attached buffer's name.
    pub fn buffer(&self) -> Option<BufferId> {
        match self.attached {
            Attached::Buffer { id, .. } => Some(id),
            _ => None,
        }
    }

    /// What the attached buffer is made of.
    pub fn kind(&self) -> Option<&BufferKind> {
        match &self.attached {
            Attached::Buffer { kind, .. } => Some(kind),
            _ => None,
        }
    }

    /// Neither damage request was made.
    pub fn undamaged(&self) -> bool {
        self.surface_damage.is_empty() && self.buffer_damage.is_empty()
    }
}

/// `wl_pointer.set_cursor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorRequest {
    /// The serial given.
    pub serial: u32,
    /// It is the serial of the newest enter.
    pub serial_is_newest: bool,
    /// The cursor surface's number; `None` hides the cursor.
    pub surface: Option<u32>,
    /// Hotspot in surface coordinates.
    pub hotspot: (i32, i32),
}

/// A state in `xdg_toplevel.configure`; the values are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[allow(missing_docs, reason = "the names are the protocol's, and say it all")]
pub enum WindowState {
    Maximized = 1,
    Fullscreen = 2,
    Resizing = 3,
    Activated = 4,
    TiledLeft = 5,
    TiledRight = 6,
    TiledTop = 7,
    TiledBottom = 8,
    Suspended = 9,
}

/// A configure sent to a toplevel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configure {
    /// Serial to be acknowledged.
    pub serial: u32,
    /// Width and height, 0 for "you choose".
    pub size: (i32, i32),
    /// States.
    pub states: Vec<WindowState>,
}

/// One thing a client did to its toplevel, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the requests'")]
pub enum Request {
    Title(String),
    AppId(String),
    MinSize(i32, i32),
    MaxSize(i32, i32),
    Fullscreen,
    UnsetFullscreen,
    Maximized,
    UnsetMaximized,
    Minimized,
    Parent,
    Move,
    Resize,
    ShowMenu,
    Geometry(Rect),
    Ack(u32),
    Decoration(Option<u32>),
    /// A commit; true if it attached a buffer.
    Commit(bool),
    Destroy,
}

/// One `xdg_toplevel`.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// Newest title.
    pub title: Option<String>,
    /// Newest app id.
    pub app_id: Option<String>,
    /// Everything asked of it and every commit, in order.
    pub requests: Vec<Request>,
    /// Configures sent.
    pub configures: Vec<Configure>,
    /// Serials acknowledged.
    pub acked: Vec<u32>,
    /// Closes sent.
    pub closes: usize,
    /// It has a buffer.
    pub mapped: bool,
    /// A person would see it: mapped, and past Wolf's first-buffer rule where that holds.
    pub shown: bool,
    /// Wolf: a request before the first commit ate the initial configure, so that the window maps
    /// without the output's size.
    pub mapped_unsized: bool,
    /// Wolf: mapped before any output existed, forgotten for good.
    pub dropped: bool,
    /// The client destroyed it, or is gone.
    pub destroyed: bool,
}

impl Window {
    /// Requests made before the first commit.
    pub fn before_first_commit(&self) -> &[Request] {
        let end = self.requests.iter().position(|r| matches!(r, Request::Commit(_))).unwrap_or(self.requests.len());
        &self.requests[..end]
    }

    /// Commits so far.
    pub fn commits(&self) -> usize {
        self.requests.iter().filter(|r| matches!(r, Request::Commit(_))).count()
    }

    /// The newest configure is acknowledged.
    pub fn acked_newest(&self) -> bool {
        match (self.configures.last(), self.acked.last()) {
            (Some(sent), Some(acked)) => sent.serial == *acked,
            _ => false,
        }
    }

    pub(crate) fn summary(&self) -> String {
        let mut out = format!(
            "title {:?}, app id {:?}, {} commits, {} configures, {} acks",
            self.title.as_deref().unwrap_or(""),
            self.app_id.as_deref().unwrap_or(""),
            self.commits(),
            self.configures.len(),
            self.acked.len()
        );
        for (on, word) in [
            (self.mapped, "mapped"),
            (self.shown, "shown"),
            (self.mapped_unsized, "mapped unsized"),
            (self.dropped, "dropped for good"),
            (self.destroyed, "destroyed"),
        ] {
            if on {
                out.push_str(", ");
                out.push_str(word);
            }
        }
        out
    }
}
