//! Which DMA-BUFs the host takes: linux-dmabuf's modifier events (version 3) or its feedback (4, 5).
//! A table that cannot be read counts as no table.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use tracing::{debug, warn};

use crate::video::format::PixelFormat;

/// One line of the format table: fourcc, padding, modifier (native-endian u32, u32, u64).
const ENTRY: usize = 16;

/// No honest host lists more pairs; a table past this is not read.
const MAX_TABLE: usize = 65_536 * ENTRY;

/// Collects one round of feedback, and keeps the last complete one.
#[derive(Debug, Default)]
pub struct Feedback {
    formats: Vec<(PixelFormat, u64)>,
    table: Vec<(u32, u64)>,
    pending: Vec<(PixelFormat, u64)>,
}

impl Feedback {
    /// Pairs in the host's order of preference, those we have no name for left out.
    pub fn formats(&self) -> &[(PixelFormat, u64)] {
        &self.formats
    }

    /// zwp_linux_dmabuf_v1.modifier of version 3; hosts repeat pairs.
    pub fn modifier(&mut self, fourcc: u32, modifier: u64) {
        add(&mut self.formats, fourcc, modifier);
    }

    /// zwp_linux_dmabuf_feedback_v1.format_table.
    pub fn format_table(&mut self, fd: OwnedFd, size: u32) {
        match read_table(&File::from(fd), size as usize) {
            Ok(table) => self.table = table,
            Err(why) => {
                warn!("the host's dmabuf format table cannot be read ({why}); using shared memory");
                self.table.clear();
            }
        }
    }

    /// tranche_formats: indices into the table, native-endian u16.
    pub fn tranche_formats(&mut self, indices: &[u8]) {
        for index in indices.chunks_exact(2) {
            let index = usize::from(u16::from_ne_bytes([index[0], index[1]]));
            if let Some((fourcc, modifier)) = self.table.get(index) {
                add(&mut self.pending, *fourcc, *modifier);
            }
        }
    }

    /// done: the round is complete. True when it says something new.
    pub fn done(&mut self) -> bool {
        let formats = std::mem::take(&mut self.pending);
        let changed = formats != self.formats;
        debug!(pairs = formats.len(), changed, "dmabuf feedback");
        self.formats = formats;
        changed
    }
}

fn add(formats: &mut Vec<(PixelFormat, u64)>, fourcc: u32, modifier: u64) {
    let pair = PixelFormat::from_fourcc(fourcc).map(|format| (format, modifier));
    formats.extend(pair.filter(|pair| !formats.contains(pair)));
}

fn read_table(file: &File, size: usize) -> Result<Vec<(u32, u64)>, String> {
    if size > MAX_TABLE {
        return Err(format!("it claims {size} bytes"));
    }
    let mut bytes = vec![0; size];
    // Read, not mapped: a file that shrinks under a mapping would kill us.
    file.read_exact_at(&mut bytes, 0).map_err(|error| error.to_string())?;
    Ok(bytes
        .chunks_exact(ENTRY)
        .map(|entry| {
            let (fourcc, rest) = entry.split_at(4);
            let fourcc = u32::from_ne_bytes([fourcc[0], fourcc[1], fourcc[2], fourcc[3]]);
            let mut modifier = [0; 8];
            modifier.copy_from_slice(&rest[4..12]);
            (fourcc, u64::from_ne_bytes(modifier))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use rustix::fs::MemfdFlags;

    use super::*;

    fn file(entries: &[(u32, u64)]) -> OwnedFd {
        let fd = rustix::fs::memfd_create("table", MemfdFlags::CLOEXEC).unwrap();
        let mut bytes = Vec::new();
        for (fourcc, modifier) in entries {
            bytes.extend(fourcc.to_ne_bytes());
            bytes.extend([0; 4]);
            bytes.extend(modifier.to_ne_bytes());
        }
        rustix::io::write(&fd, &bytes).unwrap();
        fd
    }

    fn indices(list: &[u16]) -> Vec<u8> {
        list.iter().flat_map(|index| index.to_ne_bytes()).collect()
    }

    #[test]
    fn tranches_keep_their_order_and_repeat_nothing() {
        let (x, a) = (PixelFormat::Xrgb8888, PixelFormat::Argb8888);
        let mut feedback = Feedback::default();
        feedback.format_table(file(&[(x.fourcc(), 1), (a.fourcc(), 2), (0x3231_564e, 3)]), 48);
        feedback.tranche_formats(&indices(&[1, 2, 900]));
        feedback.tranche_formats(&indices(&[0, 1]));
        assert!(feedback.done());
        assert_eq!(feedback.formats(), [(a, 2), (x, 1)]);
        feedback.tranche_formats(&indices(&[1, 0]));
        assert!(!feedback.done());
    }

    #[test]
    fn a_table_shorter_than_it_claims_is_no_table() {
        let mut feedback = Feedback::default();
        feedback.format_table(file(&[(PixelFormat::Xrgb8888.fourcc(), 1)]), 160);
        feedback.tranche_formats(&indices(&[0]));
        assert!(!feedback.done());
        assert_eq!(feedback.formats(), []);
    }

    #[test]
    fn a_table_that_is_a_pipe_is_no_table() {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let mut feedback = Feedback::default();
        feedback.format_table(reader.try_clone().unwrap(), 16);
        feedback.format_table(reader, u32::MAX);
        feedback.tranche_formats(&indices(&[0]));
        assert!(!feedback.done());
    }
}
