//! The guest's pointer, as it comes beside the frames: reads its picture from the bytes of PipeWire's cursor metas,
//! and follows it over the buffers. Pure.
//!
//! Layouts are those of `spa/buffer/meta.h`. Everything in them is the guest's word: nothing here trusts a size.

use libspa::sys;

use crate::video::meta::{BadMeta, word};

/// The longest side of a cursor that is taken; Mutter's buffers have room for 384.
pub const MAX_CURSOR: u32 = 1024;

/// Bytes of a cursor meta with room for a bitmap of these sides.
pub const fn cursor_size(width: u32, height: u32) -> usize {
    size_of::<sys::spa_meta_cursor>() + size_of::<sys::spa_meta_bitmap>() + width as usize * height as usize * 4
}

/// What the guest's pointer looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// It is not to be seen.
    Hidden,
    /// Like this.
    Image(CursorImage),
}

/// A picture of a pointer.
#[derive(Clone, PartialEq, Eq)]
pub struct CursorImage {
    /// Width and height in pixels of the stream, 1 to [`MAX_CURSOR`].
    pub size: (u32, u32),
    /// The pixel that points, within the picture.
    pub hotspot: (u32, u32),
    /// DRM ARGB8888, premultiplied: bytes blue, green, red, alpha, rows without gaps.
    pub pixels: Vec<u8>,
}

impl std::fmt::Debug for CursorImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CursorImage").field("size", &self.size).field("hotspot", &self.hotspot).finish_non_exhaustive()
    }
}

/// Where the guest's pointer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The pixel of the stream that it points at; may lie outside of it.
    pub at: (i32, i32),
    /// Whether it has a picture.
    pub visible: bool,
}

impl Cursor {
    /// A white arrow with a black edge, for a pointer of whose picture nothing is known.
    pub fn plain() -> Self {
        let (width, height) = (12, 18);
        let pixel = |x: u32, y: u32| match y * 2 / 3 {
            right if x > right => [0; 4],
            right if x == 0 || x == right || y == height - 1 => [0, 0, 0, 255],
            _ => [255; 4],
        };
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
        Self::Image(CursorImage { size: (width, height), hotspot: (0, 0), pixels })
    }
}

/// What a buffer says of the pointer that the one before did not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CursorNews {
    /// It looks like this from now on.
    pub look: Option<Cursor>,
    /// It is here from now on; `None` within when it is not in the stream.
    pub place: Option<Option<Place>>,
}

/// Follows the guest's pointer over its buffers: each tells whether the pointer is there and where, and its picture
/// only when that has changed.
#[derive(Debug, Default)]
pub struct CursorTracker {
    /// Whether the pointer was in the last buffer's stream; `None` before the first.
    there: Option<bool>,
    shape: Option<Cursor>,
    place: Option<Place>,
}

impl CursorTracker {
    /// Reads a `spa_meta_cursor`; what of the pointer has changed.
    ///
    /// # Errors
    ///
    /// [`BadMeta::Cursor`]; nothing has changed then.
    pub fn read(&mut self, bytes: &[u8]) -> Result<CursorNews, BadMeta> {
        let look = self.read_look(bytes)?;
        let visible = matches!(&self.shape, None | Some(Cursor::Image(_)));
        let at = |byte| word(bytes, byte).map(|it| it as i32);
        let place = match (self.there, at(8).zip(at(12))) {
            (Some(true), Some(at)) => Some(Place { at, visible }),
            _ => None,
        };
        let moved = std::mem::replace(&mut self.place, place) != place;
        Ok(CursorNews { look, place: moved.then_some(place) })
    }

    /// Whether the last buffer told of a pointer in the stream.
    pub fn is_there(&self) -> bool {
        self.there == Some(true)
    }

    fn read_look(&mut self, bytes: &[u8]) -> Result<Option<Cursor>, BadMeta> {
        let Some(id) = word(bytes, 0) else { return Ok(None) };
        if id == 0 {
            // Its picture is told again only when it is another one.
            let left = self.there.replace(false) != Some(false);
            return Ok(left.then_some(Cursor::Hidden));
        }
        let shape = read_bitmap(bytes)?;
        let entered = self.there.replace(true) != Some(true);
        if shape.is_some() {
            self.shape.clone_from(&shape);
            return Ok(shape);
        }
        // Its picture may have been lost while buffers changed, and comes again only when it is another one.
        Ok(entered.then(|| self.shape.clone().unwrap_or_else(Cursor::plain)))
    }
}

/// The bitmap of a cursor; `None` when it is as before.
fn read_bitmap(bytes: &[u8]) -> Result<Option<Cursor>, BadMeta> {
    // Each number is read once: the guest can change them meanwhile.
    let hotspot = (word(bytes, 16), word(bytes, 20));
    let at = word(bytes, 24).unwrap_or(0) as usize;
    if at == 0 {
        return Ok(None);
    }
    if at < size_of::<sys::spa_meta_cursor>() {
        return Err(BadMeta::Cursor);
    }
    parse_bitmap(bytes.get(at..).ok_or(BadMeta::Cursor)?, hotspot).ok_or(BadMeta::Cursor).map(Some)
}

fn parse_bitmap(bytes: &[u8], hotspot: (Option<u32>, Option<u32>)) -> Option<Cursor> {
    let (format, width, height) = (word(bytes, 0)?, word(bytes, 4)?, word(bytes, 8)?);
    let (stride, offset) = (word(bytes, 12)?, word(bytes, 16)? as usize);
    // Mutter's empty sprite is all zeroes; others leave out the pixels.
    if width == 0 || height == 0 || offset == 0 {
        return Some(Cursor::Hidden);
    }
    // The bytes of a pixel as blue, green, red and alpha.
    let order: [usize; 4] = match format {
        sys::SPA_VIDEO_FORMAT_RGBA => [2, 1, 0, 3],
        sys::SPA_VIDEO_FORMAT_BGRA => [0, 1, 2, 3],
        sys::SPA_VIDEO_FORMAT_ARGB => [3, 2, 1, 0],
        sys::SPA_VIDEO_FORMAT_ABGR => [1, 2, 3, 0],
        _ => return None,
    };
    let row = width as usize * 4;
    if width > MAX_CURSOR
        || height > MAX_CURSOR
        || (stride as usize) < row
        || offset < size_of::<sys::spa_meta_bitmap>()
    {
        return None;
    }
    let rows = bytes.get(offset..)?;
    let mut pixels = Vec::with_capacity(row * height as usize);
    for line in 0..height as usize {
        let line = rows.get(line.checked_mul(stride as usize)?..)?.get(..row)?;
        pixels.extend(line.chunks_exact(4).flat_map(|pixel| order.map(|byte| pixel[byte])));
    }
    // Mutter 50 tells a hidden pointer as a picture of nothing.
    if pixels.iter().all(|byte| *byte == 0) {
        return Some(Cursor::Hidden);
    }
    // A hotspot outside, or a negative one, is no reason to show no pointer.
    let inside = |at: Option<u32>, length: u32| (at.unwrap_or(0) as i32).clamp(0, length as i32 - 1) as u32;
    let hotspot = (inside(hotspot.0, width), inside(hotspot.1, height));
    Some(Cursor::Image(CursorImage { size: (width, height), hotspot, pixels }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn cursor(id: u32, hotspot: (i32, i32), bitmap: &[u32], pixels: &[u8]) -> Vec<u8> {
        let at = if bitmap.is_empty() { 0 } else { 28 };
        let head = bytes(&[id, 0, 5, 6, hotspot.0 as u32, hotspot.1 as u32, at]);
        [head, bytes(bitmap), pixels.to_vec()].concat()
    }

    fn look(tracker: &mut CursorTracker, bytes: &[u8]) -> Result<Option<Cursor>, BadMeta> {
        tracker.read(bytes).map(|news| news.look)
    }

    const RGBA: u32 = sys::SPA_VIDEO_FORMAT_RGBA;

    fn arrow() -> Vec<u8> {
        cursor(1, (1, 0), &[RGBA, 2, 1, 8, 20], &[1, 2, 3, 4, 5, 6, 7, 8])
    }

    fn arrow_image() -> Cursor {
        Cursor::Image(CursorImage { size: (2, 1), hotspot: (1, 0), pixels: vec![3, 2, 1, 4, 7, 6, 5, 8] })
    }

    #[test]
    fn the_pointer_leaves_and_comes_back_as_it_was() {
        let mut tracker = CursorTracker::default();
        assert_eq!(look(&mut tracker, &arrow()), Ok(Some(arrow_image())));
        let moved = cursor(1, (0, 0), &[], &[]);
        assert_eq!(look(&mut tracker, &moved), Ok(None));
        let gone = cursor(0, (0, 0), &[], &[]);
        assert_eq!(look(&mut tracker, &gone), Ok(Some(Cursor::Hidden)));
        assert_eq!(look(&mut tracker, &gone), Ok(None));
        assert_eq!(look(&mut tracker, &moved), Ok(Some(arrow_image())));
        assert_eq!(look(&mut tracker, &cursor(1, (0, 0), &[0, 0, 0, 0, 0], &[])), Ok(Some(Cursor::Hidden)));
        assert_eq!(look(&mut tracker, &[]), Ok(None));
    }

    #[test]
    fn every_place_is_told_once() {
        let mut tracker = CursorTracker::default();
        let mut place = |bytes: &[u8]| tracker.read(bytes).unwrap().place;
        let at = |at, visible| Some(Some(Place { at, visible }));
        let moved_to = |x: i32, y: i32| bytes(&[1, 0, x as u32, y as u32, 0, 0, 0]);
        assert_eq!(place(&arrow()), at((5, 6), true));
        assert_eq!(place(&moved_to(5, 6)), None);
        assert_eq!(place(&moved_to(-3, 7000)), at((-3, 7000), true));
        let hidden = cursor(1, (0, 0), &[0, 0, 0, 0, 0], &[]);
        assert_eq!(place(&hidden), at((5, 6), false));
        assert_eq!(place(&moved_to(8, 9)), at((8, 9), false));
        assert_eq!(place(&cursor(0, (0, 0), &[], &[])), Some(None));
        assert_eq!(place(&cursor(0, (0, 0), &[], &[])), None);
        assert_eq!(place(&moved_to(8, 9)), at((8, 9), false));
    }

    #[test]
    fn a_pointer_whose_picture_was_lost_is_a_plain_arrow() {
        let mut tracker = CursorTracker::default();
        let Ok(Some(Cursor::Image(image))) = look(&mut tracker, &cursor(1, (0, 0), &[], &[])) else { panic!() };
        assert_eq!(image.pixels.len(), 12 * 18 * 4);
        assert_eq!((&image.pixels[..4], &image.pixels[44..48]), (&[0, 0, 0, 255][..], &[0; 4][..]));
        assert_eq!(look(&mut tracker, &cursor(1, (0, 0), &[], &[])), Ok(None));
        assert_eq!(look(&mut tracker, &arrow()), Ok(Some(arrow_image())));
    }

    #[test]
    fn a_picture_of_nothing_is_hidden() {
        let nothing = cursor(1, (0, 0), &[RGBA, 2, 1, 8, 20], &[0; 8]);
        assert_eq!(look(&mut CursorTracker::default(), &nothing), Ok(Some(Cursor::Hidden)));
    }

    #[test]
    fn every_byte_order_of_a_cursor_is_read() {
        for (format, pixel) in [
            (RGBA, [1, 2, 3, 4]),
            (sys::SPA_VIDEO_FORMAT_BGRA, [3, 2, 1, 4]),
            (sys::SPA_VIDEO_FORMAT_ARGB, [4, 1, 2, 3]),
            (sys::SPA_VIDEO_FORMAT_ABGR, [4, 3, 2, 1]),
        ] {
            let read = look(&mut CursorTracker::default(), &cursor(1, (0, 0), &[format, 1, 1, 4, 20], &pixel));
            let Ok(Some(Cursor::Image(image))) = read else { panic!("{read:?}") };
            assert_eq!(image.pixels, [3, 2, 1, 4]);
        }
    }

    #[test]
    fn absurd_cursors_change_nothing() {
        let mut tracker = CursorTracker::default();
        assert!(look(&mut tracker, &arrow()).is_ok());
        for bitmap in [
            [RGBA, 2, 2, 8, 20],
            [RGBA, u32::MAX, u32::MAX, u32::MAX, 20],
            [RGBA, u32::MAX, 1, 4, 20],
            [RGBA, 1, MAX_CURSOR + 1, 0, 20],
            [RGBA, 2, 1, 7, 20],
            [RGBA, 2, 1, 8, 19],
            [RGBA, 2, 1, 8, u32::MAX],
            [sys::SPA_VIDEO_FORMAT_NV12, 2, 1, 8, 20],
        ] {
            let absurd = cursor(1, (0, 0), &bitmap, &[1, 2, 3, 4, 5, 6, 7, 8]);
            assert_eq!(look(&mut tracker, &absurd), Err(BadMeta::Cursor), "{bitmap:?}");
        }
        for at in [1, 27, 1000, u32::MAX] {
            assert_eq!(look(&mut tracker, &bytes(&[1, 0, 0, 0, 0, 0, at])), Err(BadMeta::Cursor), "{at}");
        }
        assert_eq!(look(&mut tracker, &cursor(1, (0, 0), &[], &[])), Ok(None));
        let far = cursor(1, (-7, 700), &[RGBA, 2, 1, 8, 20], &[9; 8]);
        let Ok(Some(Cursor::Image(image))) = look(&mut tracker, &far) else { panic!() };
        assert_eq!(image.hotspot, (0, 0));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), small in any::<bool>()) {
            // Small numbers get further.
            let bytes: Vec<u8> =
                bytes.chunks(4).flat_map(|word| if small { vec![word[0] % 64, 0, 0, 0] } else { word.to_vec() }).collect();
            if let Ok(Some(Cursor::Image(image))) = look(&mut CursorTracker::default(), &bytes) {
                prop_assert_eq!(image.pixels.len(), image.size.0 as usize * image.size.1 as usize * 4);
                prop_assert!(image.hotspot.0 < image.size.0 && image.hotspot.1 < image.size.1);
            }
        }
    }
}
