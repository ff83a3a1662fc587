//! The content a surface would have on screen: a copy of buffer bytes, brought up to date only
//! where the client said there was damage. Reads with `pread`, never maps, knows no protocol.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::builder::fourcc;
use crate::record::Rect;

/// Bytes per pixel of every format that can be read here.
const BPP: usize = 4;

/// A picture larger than this is a client's mistake or malice, and is not read.
const MAX_BYTES: usize = 1 << 28;

/// Where a buffer's pixels lie.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// In a file, rows `stride` bytes apart.
    File { fd: Arc<OwnedFd>, offset: u64, stride: u64 },
    /// One pixel, as blue, green, red, alpha.
    Pixel([u8; BPP]),
    /// Where nobody but a GPU can look.
    Hidden,
}

/// A surface's content. Honest about damage: what was not damaged stays as it was, as on a screen.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub width: i32,
    pub height: i32,
    fourcc: u32,
    /// Rows without padding; empty if the buffer cannot be read.
    bytes: Vec<u8>,
}

fn readable(fourcc: u32) -> bool {
    matches!(
        fourcc,
        fourcc::ARGB8888
            | fourcc::XRGB8888
            | fourcc::ABGR8888
            | fourcc::XBGR8888
            | fourcc::XRGB2101010
            | fourcc::ARGB2101010
    )
}

impl Picture {
    pub fn new(width: i32, height: i32, fourcc: u32) -> Self {
        Self { width, height, fourcc, bytes: Vec::new() }
    }

    /// The same picture can take this buffer's damage; otherwise all of it is new.
    pub fn fits(&self, width: i32, height: i32, fourcc: u32) -> bool {
        (self.width, self.height, self.fourcc) == (width, height, fourcc)
    }

    /// In bytes.
    fn size(&self) -> usize {
        (self.width as usize).saturating_mul(self.height as usize).saturating_mul(BPP)
    }

    pub fn is_readable(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Takes over the damaged parts, all of it the first time.
    pub fn update(&mut self, store: &Store, damage: &[Rect]) {
        let all = [Rect::new(0, 0, self.width, self.height)];
        let damage = if self.bytes.is_empty() { &all[..] } else { damage };
        match store {
            Store::Pixel(pixel) => self.bytes = pixel.to_vec(),
            Store::File { fd, offset, stride } if readable(self.fourcc) && self.size() <= MAX_BYTES => {
                let size = self.size();
                self.bytes.resize(size, 0);
                let mut ok = true;
                for rect in damage {
                    if let Some(rect) = rect.clip(self.width, self.height) {
                        ok &= self.read(fd, *offset, *stride, rect).is_some();
                    }
                }
                if !ok {
                    self.bytes.clear();
                }
            }
            Store::File { .. } | Store::Hidden => self.bytes.clear(),
        }
    }

    fn read(&mut self, fd: &OwnedFd, offset: u64, stride: u64, rect: Rect) -> Option<()> {
        let row = self.width as usize * BPP;
        let (x, y) = (rect.x as usize, rect.y as usize);
        let (width, height) = (rect.width as usize, rect.height as usize);
        if width * BPP == row && stride == row as u64 {
            let at = offset + stride * y as u64;
            return read_exact(fd, &mut self.bytes[y * row..(y + height) * row], at);
        }
        for y in y..y + height {
            let start = y * row + x * BPP;
            let at = offset + stride * y as u64 + (x * BPP) as u64;
            read_exact(fd, &mut self.bytes[start..start + width * BPP], at)?;
        }
        Some(())
    }

    /// All pixels as they are, as little-endian words.
    pub fn words(&self) -> Vec<u32> {
        self.bytes.chunks_exact(BPP).map(|pixel| u32::from_le_bytes([pixel[0], pixel[1], pixel[2], pixel[3]])).collect()
    }

    /// The opaque colour a screen shows for this pixel over black, as `0xffRRGGBB`.
    pub fn color(&self, x: i32, y: i32) -> Option<u32> {
        if x < 0 || y < 0 || x >= self.width || y >= self.height {
            return None;
        }
        let start = (y as usize * self.width as usize + x as usize) * BPP;
        let bytes: [u8; BPP] = self.bytes.get(start..start + BPP)?.try_into().ok()?;
        let word = u32::from_le_bytes(bytes);
        // Alpha is premultiplied: over black the colour channels are what is seen.
        let rgb = match self.fourcc {
            fourcc::ABGR8888 | fourcc::XBGR8888 => (word & 0xff) << 16 | word & 0xff00 | (word >> 16) & 0xff,
            fourcc::XRGB2101010 | fourcc::ARGB2101010 => {
                (word >> 22 & 0xff) << 16 | (word >> 12 & 0xff) << 8 | word >> 2 & 0xff
            }
            _ => word & 0x00ff_ffff,
        };
        Some(0xff00_0000 | rgb)
    }
}

/// All bytes of a buffer, to tell later whether they changed.
pub(crate) fn copy_of(store: &Store, height: i32) -> Option<Vec<u8>> {
    let Store::File { fd, offset, stride } = store else {
        return None;
    };
    let size = usize::try_from(*stride).ok()?.checked_mul(usize::try_from(height).ok()?)?;
    if size > MAX_BYTES {
        return None;
    }
    let mut bytes = vec![0; size];
    // The last row may end at its last pixel: what cannot be read there stays zero both times.
    let _ = read_exact(fd, &mut bytes, *offset);
    Some(bytes)
}

pub(crate) fn read_exact(fd: impl AsFd, mut into: &mut [u8], mut at: u64) -> Option<()> {
    while !into.is_empty() {
        match rustix::io::pread(&fd, &mut *into, at) {
            Ok(0) => return None,
            Ok(n) => {
                at += n as u64;
                into = &mut into[n..];
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(())
}
