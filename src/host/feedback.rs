//! Which DMA-BUFs the host takes: linux-dmabuf's modifier events (version 3) or its feedback (4, 5).
//! A table that cannot be read counts as no table.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use tracing::{debug, warn};

use crate::device;
use crate::video::format::PixelFormat;

/// One line of the format table: fourcc, padding, modifier (native-endian u32, u32, u64).
const ENTRY: usize = 16;

/// No honest host lists more pairs; a table past this is not read.
const MAX_TABLE: usize = 65_536 * ENTRY;

/// Collects rounds of feedback, and keeps the last complete one.
///
/// A host tells what it takes in general, and from version 4 on also what suits our window best; the latter
/// counts as soon as it is there.
#[derive(Debug, Default)]
pub struct Feedback {
    rounds: [Rounds; 2],
}

/// What a feedback object speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Any surface (get_default_feedback, or modifier events).
    Default,
    /// Our window (get_surface_feedback).
    Window,
}

/// The rounds of one feedback object.
#[derive(Debug, Default)]
struct Rounds {
    formats: Vec<(PixelFormat, u64)>,
    /// Where each tranche ends among them.
    ends: Vec<usize>,
    main_device: Option<u64>,
    /// A round was completed.
    told: bool,
    /// The main device of the round under way; a host that does not repeat it means the last one.
    open_device: Option<u64>,
    table: Vec<(u32, u64)>,
    tranches: Vec<Tranche>,
    open: Tranche,
}

/// One tranche of a round.
#[derive(Debug, Default)]
struct Tranche {
    device: Option<u64>,
    scanout: bool,
    pairs: Vec<(u32, u64)>,
}

impl Feedback {
    /// Pairs in the host's order of preference, those we have no name for left out.
    pub fn formats(&self) -> &[(PixelFormat, u64)] {
        &self.in_force().formats
    }

    /// Where each tranche ends among the pairs: the host prefers any pair of an earlier one.
    pub fn tranche_ends(&self) -> &[usize] {
        &self.in_force().ends
    }

    /// The dev_t of the device that the host composes on; `None` when it does not say (version 3).
    pub fn main_device(&self) -> Option<u64> {
        self.in_force().main_device
    }

    fn in_force(&self) -> &Rounds {
        let [default, window] = &self.rounds;
        if window.told { window } else { default }
    }

    fn rounds(&mut self, scope: Scope) -> &mut Rounds {
        &mut self.rounds[scope as usize]
    }

    /// zwp_linux_dmabuf_v1.modifier of version 3; hosts repeat pairs.
    pub fn modifier(&mut self, fourcc: u32, modifier: u64) {
        let formats = &mut self.rounds(Scope::Default).formats;
        let pair = pair(fourcc, modifier).filter(|pair| !formats.contains(pair));
        formats.extend(pair);
    }

    /// zwp_linux_dmabuf_feedback_v1.format_table.
    pub fn format_table(&mut self, scope: Scope, fd: OwnedFd, size: u32) {
        let rounds = self.rounds(scope);
        match read_table(&File::from(fd), size as usize) {
            Ok(table) => rounds.table = table,
            Err(why) => {
                warn!("the host's dmabuf format table cannot be read ({why}); using shared memory");
                rounds.table.clear();
            }
        }
    }

    /// main_device: a native-endian dev_t.
    pub fn device(&mut self, scope: Scope, device: &[u8]) {
        self.rounds(scope).open_device = read_device(device);
    }

    /// tranche_target_device: a native-endian dev_t.
    pub fn tranche_device(&mut self, scope: Scope, device: &[u8]) {
        self.rounds(scope).open.device = read_device(device);
    }

    /// tranche_flags: whether the tranche is for direct scan-out.
    pub fn tranche_scanout(&mut self, scope: Scope, scanout: bool) {
        self.rounds(scope).open.scanout = scanout;
    }

    /// tranche_formats: indices into the table, native-endian u16.
    pub fn tranche_formats(&mut self, scope: Scope, indices: &[u8]) {
        let rounds = self.rounds(scope);
        for index in indices.chunks_exact(2) {
            let index = usize::from(u16::from_ne_bytes([index[0], index[1]]));
            rounds.open.pairs.extend(rounds.table.get(index));
        }
    }

    /// tranche_done.
    pub fn tranche_done(&mut self, scope: Scope) {
        let rounds = self.rounds(scope);
        let tranche = std::mem::take(&mut rounds.open);
        rounds.tranches.push(tranche);
    }

    /// done: the round is complete. True when what counts has changed.
    pub fn done(&mut self, scope: Scope) -> bool {
        self.done_by(scope, device::is_same)
    }

    fn done_by(&mut self, scope: Scope, same_device: impl Fn(u64, u64) -> bool) -> bool {
        let before = (self.formats().to_vec(), self.tranche_ends().to_vec(), self.main_device());
        let rounds = self.rounds(scope);
        // Buffers for another device's screen suit that device; the guest draws on the one that composes here.
        let elsewhere = |tranche: &Tranche| {
            let devices = tranche.device.zip(rounds.open_device);
            tranche.scanout && devices.is_some_and(|(target, main)| !same_device(target, main))
        };
        let (mut formats, mut ends) = (Vec::new(), Vec::new());
        // Lists are long: looking each pair up in one would take a while.
        let mut listed = HashSet::new();
        for tranche in std::mem::take(&mut rounds.tranches) {
            if !elsewhere(&tranche) {
                let pairs = tranche.pairs.iter().filter_map(|(fourcc, modifier)| pair(*fourcc, *modifier));
                formats.extend(pairs.filter(|pair| listed.insert(*pair)));
                // One without anything new does not count.
                if ends.last().copied().unwrap_or(0) < formats.len() {
                    ends.push(formats.len());
                }
            }
        }
        (rounds.formats, rounds.ends) = (formats, ends);
        rounds.main_device = rounds.open_device;
        rounds.told = true;
        let after = (self.formats(), self.tranche_ends(), self.main_device());
        let changed = (before.0.as_slice(), before.1.as_slice(), before.2) != after;
        debug!(?scope, pairs = self.formats().len(), main_device = ?self.main_device(), changed, "dmabuf feedback");
        changed
    }
}

/// A dev_t as it travels in an array.
fn read_device(bytes: &[u8]) -> Option<u64> {
    Some(match bytes.len() {
        8 => u64::from_ne_bytes(bytes.try_into().ok()?),
        4 => u32::from_ne_bytes(bytes.try_into().ok()?).into(),
        _ => return None,
    })
}

/// A pair by our name, if there is one.
fn pair(fourcc: u32, modifier: u64) -> Option<(PixelFormat, u64)> {
    PixelFormat::from_fourcc(fourcc).map(|format| (format, modifier))
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
        feedback.format_table(
            Scope::Default,
            file(&[(x.fourcc(), 1), (a.fourcc(), 2), (u32::from_le_bytes(*b"AYUV"), 3)]),
            48,
        );
        feedback.tranche_formats(Scope::Default, &indices(&[1, 2, 900]));
        feedback.tranche_done(Scope::Default);
        feedback.tranche_formats(Scope::Default, &indices(&[0, 1]));
        feedback.tranche_done(Scope::Default);
        assert!(feedback.done(Scope::Default));
        assert_eq!(feedback.formats(), [(a, 2), (x, 1)]);
        for index in [1, 0] {
            feedback.tranche_formats(Scope::Default, &indices(&[index]));
            feedback.tranche_done(Scope::Default);
        }
        assert!(!feedback.done(Scope::Default));
    }

    #[test]
    fn a_table_shorter_than_it_claims_is_no_table() {
        let mut feedback = Feedback::default();
        feedback.format_table(Scope::Default, file(&[(PixelFormat::Xrgb8888.fourcc(), 1)]), 160);
        feedback.tranche_formats(Scope::Default, &indices(&[0]));
        feedback.tranche_done(Scope::Default);
        assert!(!feedback.done(Scope::Default));
        assert_eq!(feedback.formats(), []);
    }

    #[test]
    fn a_table_that_is_a_pipe_is_no_table() {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let mut feedback = Feedback::default();
        feedback.format_table(Scope::Default, reader.try_clone().unwrap(), 16);
        feedback.format_table(Scope::Default, reader, u32::MAX);
        feedback.tranche_formats(Scope::Default, &indices(&[0]));
        feedback.tranche_done(Scope::Default);
        assert!(!feedback.done(Scope::Default));
    }

    /// A round with one tranche: for this device, for its screen or not, with these pairs.
    fn tell(feedback: &mut Feedback, scope: Scope, main: u64, tranches: &[(u64, bool, (PixelFormat, u64))]) -> bool {
        let table: Vec<(u32, u64)> =
            tranches.iter().map(|(_, _, (format, modifier))| (format.fourcc(), *modifier)).collect();
        feedback.format_table(scope, file(&table), (table.len() * ENTRY) as u32);
        feedback.device(scope, &main.to_ne_bytes());
        for (index, (device, scanout, _)) in tranches.iter().enumerate() {
            feedback.tranche_device(scope, &device.to_ne_bytes());
            feedback.tranche_scanout(scope, *scanout);
            feedback.tranche_formats(scope, &indices(&[index as u16]));
            feedback.tranche_done(scope);
        }
        feedback.done_by(scope, |one, other| one / 10 == other / 10)
    }

    #[test]
    fn another_devices_screen_is_not_ours() {
        let x = PixelFormat::Xrgb8888;
        let mut feedback = Feedback::default();
        let tranches = [(20, true, (x, 1)), (11, true, (x, 2)), (20, false, (x, 3)), (10, false, (x, 4))];
        assert!(tell(&mut feedback, Scope::Default, 10, &tranches));
        assert_eq!(feedback.formats(), [(x, 2), (x, 3), (x, 4)]);
        assert_eq!(feedback.tranche_ends(), [1, 2, 3]);
        assert_eq!(feedback.main_device(), Some(10));
    }

    #[test]
    fn what_is_told_of_the_window_counts_more() {
        let x = PixelFormat::Xrgb8888;
        let mut feedback = Feedback::default();
        assert!(tell(&mut feedback, Scope::Default, 10, &[(10, false, (x, 1))]));
        assert!(!tell(&mut feedback, Scope::Window, 10, &[(10, false, (x, 1))]));
        assert!(tell(&mut feedback, Scope::Window, 20, &[(20, true, (x, 2)), (20, false, (x, 1))]));
        assert_eq!(feedback.formats(), [(x, 2), (x, 1)]);
        assert_eq!(feedback.main_device(), Some(20));
        assert!(!tell(&mut feedback, Scope::Default, 10, &[]));
        assert!(tell(&mut feedback, Scope::Window, 10, &[]));
        assert_eq!(feedback.formats(), []);
    }

    #[test]
    fn another_main_device_is_news_even_with_the_same_formats() {
        let x = PixelFormat::Xrgb8888;
        let mut feedback = Feedback::default();
        assert!(tell(&mut feedback, Scope::Default, 10, &[(10, false, (x, 1))]));
        assert!(!tell(&mut feedback, Scope::Default, 10, &[(10, false, (x, 1))]));
        // Not before the round is complete: half of one says nothing.
        feedback.device(Scope::Default, &20u64.to_ne_bytes());
        assert_eq!(feedback.main_device(), Some(10));
        assert!(tell(&mut feedback, Scope::Default, 20, &[(20, false, (x, 1))]));
        assert_eq!(feedback.main_device(), Some(20));
    }

    #[test]
    fn devices_of_odd_sizes_are_none() {
        let mut feedback = Feedback::default();
        for (bytes, device) in [(&[1u8, 0, 0, 0][..], Some(1)), (&[0; 3], None), (&[], None)] {
            feedback.device(Scope::Default, bytes);
            feedback.done(Scope::Default);
            assert_eq!(feedback.main_device(), device);
        }
    }
}
