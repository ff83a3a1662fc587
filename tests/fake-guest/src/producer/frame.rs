//! Owns what one frame is to a test: its picture, its chunk and its metas, right ones first and then as bent as wished.
//! It never touches a buffer; `raw` writes what is described here.

use libspa::sys;

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// One colour, as the four bytes of a pixel in memory order.
    Solid([u8; 4]),
    /// Every pixel says where it is and which frame it is of: see [`coded_pixel`].
    Coded(u8),
    /// Nothing is drawn: what was there stays.
    Keep,
    /// Its own time alone, at its start: see [`time_code`].
    Time,
}

/// The first bytes of a frame of [`Fill::Time`]: its pts and the pts inverted, so that other pixels are not taken for it.
pub fn time_code(pts: i64) -> [u8; 16] {
    let mut code = [0; 16];
    code[..8].copy_from_slice(&pts.to_le_bytes());
    code[8..].copy_from_slice(&(!pts).to_le_bytes());
    code
}

/// The pts that these bytes are the code of.
pub fn read_time_code(code: &[u8; 16]) -> Option<i64> {
    let pts = i64::from_le_bytes(code[..8].try_into().ok()?);
    (*code == time_code(pts)).then_some(pts)
}

/// The bytes of a pixel of [`Fill::Coded`]: x and y modulo 256, their higher four bits, the frame.
pub fn coded_pixel(x: u32, y: u32, frame: u8) -> [u8; 4] {
    let high = ((x >> 8) & 0xf) << 4 | ((y >> 8) & 0xf);
    [x as u8, y as u8, high as u8, frame]
}

/// A rectangle in buffer pixels. `(0, 0, 0, 0)` is PipeWire's invalid one.
pub type Rect = (i32, i32, u32, u32);

/// `struct spa_chunk`, to be written as it is, right or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Where the picture begins, in bytes from the data's start.
    pub offset: u32,
    /// Its size in bytes; 0 means metadata only.
    pub size: u32,
    /// Bytes from one row to the next.
    pub stride: i32,
    /// `SPA_CHUNK_FLAG_*`.
    pub flags: i32,
}

/// `struct spa_meta_header`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `SPA_META_HEADER_FLAG_*`.
    pub flags: u32,
    /// CLOCK_MONOTONIC, in ns.
    pub pts: i64,
    /// Counts the frames of the stream.
    pub seq: u64,
}

/// `struct spa_meta_cursor`, with its bitmap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cursor {
    /// 0: the pointer is not in the stream.
    pub id: u32,
    /// Where it is, in stream pixels.
    pub position: (i32, i32),
    /// Hot spot within the bitmap.
    pub hotspot: (i32, i32),
    /// Size and premultiplied RGBA; `None` for "as before", an empty size for "hidden".
    pub bitmap: Option<((u32, u32), Vec<u8>)>,
}

/// One frame. The producer fills in the right values before a test's closure bends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The picture.
    pub fill: Fill,
    /// The chunk of the first data.
    pub chunk: Chunk,
    /// The chunks of the other datas, for planes that have their own.
    pub more: Vec<Chunk>,
    /// `None` writes zeroes, as a producer that forgets it.
    pub header: Option<Header>,
    /// Damage; empty writes an invalid first rectangle, which says nothing.
    pub damage: Vec<Rect>,
    /// Crop; `None` writes an invalid one.
    pub crop: Option<Rect>,
    /// `SPA_META_TRANSFORMATION_*`.
    pub transform: u32,
    /// Cursor; `None` writes id 0.
    pub cursor: Option<Cursor>,
    /// Its acquire point is signalled when it is sent, where there is one.
    pub is_drawn: bool,
}

impl Frame {
    /// Marks the contents as unusable, in both places where PipeWire can say so.
    pub fn corrupted(&mut self) {
        self.chunk.flags |= sys::SPA_CHUNK_FLAG_CORRUPTED as i32;
        if let Some(header) = &mut self.header {
            header.flags |= sys::SPA_META_HEADER_FLAG_CORRUPTED;
        }
    }

    /// Makes it a cursor-only frame, as Mutter's: chunk size 0, CORRUPTED, nothing drawn; damage and crop are left as
    /// they were when the buffer was used last.
    pub fn metadata_only(&mut self) {
        self.chunk.size = 0;
        self.fill = Fill::Keep;
        self.corrupted();
    }
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Queued, with this sequence number.
    Sent(u64),
    /// Every buffer was out: skipped, as Mutter does.
    NoFreeBuffer,
    /// The stream is not STREAMING.
    NotStreaming,
}
