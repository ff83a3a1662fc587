//! What comes beside a frame's pixels: damage, crop and transform. Reads them from the bytes of PipeWire's metas and
//! does their arithmetic. Pure; whose bytes they are is `raw`'s business.
//!
//! Layouts are those of `spa/buffer/meta.h`. Everything in them is the guest's word: nothing here trusts a size.

use libspa::sys;
use thiserror::Error;

/// A rectangle with an inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// Left edge, in pixels.
    pub x: u32,
    /// Top edge, in pixels.
    pub y: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Rect {
    /// All of a frame.
    pub const fn whole((width, height): (u32, u32)) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    /// The part of a rectangle that lies in a frame; `None` when nothing does.
    fn clipped(position: (i32, i32), size: (u32, u32), frame: (u32, u32)) -> Option<Self> {
        let side = |start: i32, length: u32, end: u32| {
            let (start, end) = (i64::from(start), i64::from(end));
            let (first, last) = (start.clamp(0, end), (start + i64::from(length)).clamp(0, end));
            // Both are within the frame now, so they fit.
            (last > first).then_some((first as u32, (last - first) as u32))
        };
        let (x, width) = side(position.0, size.0, frame.0)?;
        let (y, height) = side(position.1, size.1, frame.1)?;
        Some(Self { x, y, width, height })
    }

    /// The smallest rectangle around both.
    fn around(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let bottom = (self.y + self.height).max(other.y + other.height);
        Self { x, y, width: right - x, height: bottom - y }
    }

    fn area(self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// So many rectangles of damage are told apart. Mutter sends at most [`METAS`], mostly one or two.
const MAX_RECTS: usize = 16;

/// So many rectangles a guest may tell of one frame.
pub const METAS: usize = 32;

/// What changed since the frame before, in buffer pixels.
#[allow(clippy::large_enum_variant, reason = "it comes with every frame: no allocation")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Damage {
    /// Everything, or nobody knows.
    #[default]
    Whole,
    /// These parts.
    Parts(Parts),
}

/// A few rectangles, bounded; adding more than fit makes them coarser.
#[derive(Clone, Copy, Default)]
pub struct Parts {
    rects: [Rect; MAX_RECTS],
    count: usize,
}

impl Parts {
    /// The rectangles; they may overlap.
    pub fn rects(&self) -> &[Rect] {
        &self.rects[..self.count]
    }

    fn add(&mut self, rect: Rect) {
        if self.rects().iter().any(|other| other.around(rect) == *other) {
            return;
        }
        if self.count < MAX_RECTS {
            self.rects[self.count] = rect;
            self.count += 1;
            return;
        }
        // Where it costs the fewest pixels.
        let growth = |other: &&mut Rect| other.around(rect).area() - other.area();
        if let Some(nearest) = self.rects.iter_mut().min_by_key(growth) {
            *nearest = nearest.around(rect);
        }
    }
}

impl PartialEq for Parts {
    fn eq(&self, other: &Self) -> bool {
        self.rects() == other.rects()
    }
}

impl Eq for Parts {}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.rects()).finish()
    }
}

impl Damage {
    /// Nothing changed.
    pub const NONE: Self =
        Self::Parts(Parts { rects: [Rect { x: 0, y: 0, width: 0, height: 0 }; MAX_RECTS], count: 0 });

    /// Adds what changed in another frame of the same size.
    pub fn add(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Parts(parts), Self::Parts(more)) => more.rects().iter().for_each(|rect| parts.add(*rect)),
            _ => *self = Self::Whole,
        }
    }

    /// Reads an array of `spa_meta_region`; an empty one ends it. Without any, the guest says nothing of damage.
    fn read(bytes: &[u8], frame: (u32, u32)) -> (Self, Option<BadMeta>) {
        let mut parts = Parts::default();
        let mut bad = None;
        for region in bytes.chunks_exact(REGION).take(METAS).map_while(Region::read) {
            match Rect::clipped(region.position, region.size, frame) {
                Some(rect) => parts.add(rect),
                // In whose pixels the others are is anybody's guess.
                None => return (Self::Whole, Some(BadMeta::Damage)),
            }
            if !region.is_in(frame) {
                bad = Some(BadMeta::Damage);
            }
        }
        (if parts.count == 0 { Self::Whole } else { Self::Parts(parts) }, bad)
    }
}

/// How the guest has turned the picture in the buffer: `spa_meta_videotransform`, which counts as
/// `wl_output.transform` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs, reason = "the names are the protocol's; turns are counter-clockwise, after the flip")]
pub enum Transform {
    #[default]
    Normal = 0,
    Turned90 = 1,
    Turned180 = 2,
    Turned270 = 3,
    Flipped = 4,
    Flipped90 = 5,
    Flipped180 = 6,
    Flipped270 = 7,
}

impl Transform {
    const ALL: [Self; 8] = [
        Self::Normal,
        Self::Turned90,
        Self::Turned180,
        Self::Turned270,
        Self::Flipped,
        Self::Flipped90,
        Self::Flipped180,
        Self::Flipped270,
    ];

    /// The size of the upright picture in a buffer of this size.
    pub fn upright(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self as u32 % 2 == 1 { (height, width) } else { (width, height) }
    }

    /// Where a rectangle of a buffer of this size lies in the upright picture.
    pub fn rect(self, rect: Rect, (width, height): (u32, u32)) -> Rect {
        let Rect { x, y, width: w, height: h } = rect;
        let (from_right, from_bottom) = (width - x - w, height - y - h);
        let (x, y) = match self {
            Self::Normal => (x, y),
            Self::Turned90 => (from_bottom, x),
            Self::Turned180 => (from_right, from_bottom),
            Self::Turned270 => (y, from_right),
            Self::Flipped => (from_right, y),
            Self::Flipped90 => (y, x),
            Self::Flipped180 => (x, from_bottom),
            Self::Flipped270 => (from_bottom, from_right),
        };
        let (width, height) = self.upright((w, h));
        Rect { x, y, width, height }
    }

    fn read(bytes: &[u8]) -> (Self, Option<BadMeta>) {
        match word(bytes, 0).map(|value| Self::ALL.get(value as usize)) {
            None => (Self::Normal, None),
            Some(Some(transform)) => (*transform, None),
            Some(None) => (Self::Normal, Some(BadMeta::Transform)),
        }
    }
}

/// What came with a frame's pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metas {
    /// What changed.
    pub damage: Damage,
    /// The part of the buffer that is the picture, in buffer pixels and within the frame; `None` is all of it.
    pub crop: Option<Rect>,
    /// How the picture lies in the buffer.
    pub transform: Transform,
}

impl Metas {
    /// Reads what the guest attached, for a frame of this size; calls `complain` for what makes no sense, which then
    /// counts as not attached. Slices are the contents of the metas of that kind.
    pub fn read(
        damage: Option<&[u8]>,
        crop: Option<&[u8]>,
        transform: Option<&[u8]>,
        frame: (u32, u32),
        mut complain: impl FnMut(BadMeta),
    ) -> Self {
        let (damage, bad) = damage.map_or_else(Default::default, |bytes| Damage::read(bytes, frame));
        bad.into_iter().for_each(&mut complain);
        let (crop, bad) = crop.map_or_else(Default::default, |bytes| read_crop(bytes, frame));
        bad.into_iter().for_each(&mut complain);
        let (transform, bad) = transform.map_or_else(Default::default, Transform::read);
        bad.into_iter().for_each(&mut complain);
        Self { damage, crop, transform }
    }

    /// How the picture lies in the buffer, and which part of that it is: with another one everything looks different,
    /// whatever was damaged.
    pub fn placement(&self) -> (Option<Rect>, Transform) {
        (self.crop, self.transform)
    }

    /// The part of the picture that is to be seen, upright, in pixels.
    pub fn visible(&self, frame: (u32, u32)) -> Rect {
        self.transform.rect(self.crop.unwrap_or(Rect::whole(frame)), frame)
    }
}

fn read_crop(bytes: &[u8], frame: (u32, u32)) -> (Option<Rect>, Option<BadMeta>) {
    let Some(region) = Region::read(bytes) else { return (None, None) };
    let rect = Rect::clipped(region.position, region.size, frame);
    let bad = (!region.is_in(frame)).then_some(BadMeta::Crop);
    (rect.filter(|rect| *rect != Rect::whole(frame)), bad)
}

/// What a guest attached and cannot mean.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadMeta {
    /// Damage outside the frame.
    #[error("tells of damage outside its frames; what is outside is not used")]
    Damage,
    /// A crop outside the frame.
    #[error("crops its frames to what is outside of them; what is outside is not used")]
    Crop,
    /// An unknown transform.
    #[error("turns its frames in an unknown way; they are shown as they are")]
    Transform,
    /// A cursor too large, or not all there.
    #[error("sends a cursor that is too large, in an unknown format, or not all there; the last one stays")]
    Cursor,
}

/// Bytes of a `spa_meta_region`.
const REGION: usize = size_of::<sys::spa_meta_region>();

#[derive(Clone, Copy)]
struct Region {
    position: (i32, i32),
    size: (u32, u32),
}

impl Region {
    /// `None` for an empty one, and where there are too few bytes.
    fn read(bytes: &[u8]) -> Option<Self> {
        let position = (word(bytes, 0)? as i32, word(bytes, 4)? as i32);
        let size = (word(bytes, 8)?, word(bytes, 12)?);
        (size.0 > 0 && size.1 > 0).then_some(Self { position, size })
    }

    fn is_in(&self, frame: (u32, u32)) -> bool {
        let side = |start: i32, length: u32, end: u32| start >= 0 && i64::from(start) + i64::from(length) <= end.into();
        side(self.position.0, self.size.0, frame.0) && side(self.position.1, self.size.1, frame.1)
    }
}

/// The number at a place.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: (u32, u32) = (640, 480);

    fn bytes(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn region(x: i32, y: i32, width: u32, height: u32) -> Vec<u8> {
        bytes(&[x as u32, y as u32, width, height])
    }

    fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
        Rect { x, y, width, height }
    }

    fn parts(rects: &[Rect]) -> Damage {
        let mut parts = Parts::default();
        rects.iter().for_each(|rect| parts.add(*rect));
        Damage::Parts(parts)
    }

    #[test]
    fn damage_ends_at_the_first_empty_rectangle() {
        let told = [region(1, 2, 3, 4), region(10, 20, 30, 40), region(0, 0, 0, 0), region(5, 5, 5, 5)].concat();
        assert_eq!(Damage::read(&told, FRAME), (parts(&[rect(1, 2, 3, 4), rect(10, 20, 30, 40)]), None));
    }

    #[test]
    fn no_damage_told_is_all_of_the_frame() {
        assert_eq!(Damage::read(&region(0, 0, 0, 0), FRAME), (Damage::Whole, None));
        assert_eq!(Damage::read(&[0; 15], FRAME), (Damage::Whole, None));
        assert_eq!(Metas::read(None, None, None, FRAME, |_| panic!()), Metas::default());
    }

    #[test]
    fn damage_that_reaches_outside_is_cut_and_damage_outside_is_not_trusted() {
        let cut = Damage::read(&region(-10, 470, 20, u32::MAX), FRAME);
        assert_eq!(cut, (parts(&[rect(0, 470, 10, 10)]), Some(BadMeta::Damage)));
        let outside = [region(1, 1, 1, 1), region(640, 0, 10, 10)].concat();
        assert_eq!(Damage::read(&outside, FRAME), (Damage::Whole, Some(BadMeta::Damage)));
        assert_eq!(Damage::read(&region(i32::MIN, i32::MAX, u32::MAX, 1), FRAME).0, Damage::Whole);
    }

    #[test]
    fn a_crop_is_part_of_the_frame_or_none() {
        assert_eq!(read_crop(&region(10, 20, 100, 200), FRAME), (Some(rect(10, 20, 100, 200)), None));
        assert_eq!(read_crop(&region(0, 0, 640, 480), FRAME), (None, None));
        assert_eq!(read_crop(&region(0, 0, 0, 0), FRAME), (None, None));
        assert_eq!(read_crop(&region(600, 0, 100, 480), FRAME), (Some(rect(600, 0, 40, 480)), Some(BadMeta::Crop)));
        assert_eq!(read_crop(&region(640, 0, 1, 1), FRAME), (None, Some(BadMeta::Crop)));
        assert_eq!(read_crop(&region(-5, -5, u32::MAX, u32::MAX), FRAME), (None, Some(BadMeta::Crop)));
    }

    #[test]
    fn unknown_transforms_are_none() {
        assert_eq!(Transform::read(&bytes(&[7])), (Transform::Flipped270, None));
        assert_eq!(Transform::read(&bytes(&[8])), (Transform::Normal, Some(BadMeta::Transform)));
        assert_eq!(Transform::read(&bytes(&[u32::MAX])), (Transform::Normal, Some(BadMeta::Transform)));
        assert_eq!(Transform::read(&[1, 0]), (Transform::Normal, None));
    }

    #[test]
    fn what_is_visible_of_a_turned_picture_is_upright() {
        let metas = Metas { crop: Some(rect(0, 0, 100, 50)), transform: Transform::Turned90, ..Metas::default() };
        assert_eq!(metas.visible(FRAME), rect(430, 0, 50, 100));
        assert_eq!(Metas::default().visible(FRAME), rect(0, 0, 640, 480));
    }

    /// The protocol's definition, a pixel at a time: a flip around the vertical axis, then quarter turns to the left.
    fn turned((x, y): (u32, u32), (width, height): (u32, u32), transform: u32) -> (u32, u32) {
        let (mut at, mut size) = (if transform >= 4 { (width - 1 - x, y) } else { (x, y) }, (width, height));
        for _ in 0..transform % 4 {
            at = (at.1, size.0 - 1 - at.0);
            size = (size.1, size.0);
        }
        at
    }

    proptest! {
        #[test]
        fn rectangles_go_where_their_pixels_go(
            transform in 0..8usize, width in 1u32..30, height in 1u32..30,
            at in (any::<u32>(), any::<u32>()), size in (1u32..10, 1u32..10),
        ) {
            let transform = Transform::ALL[transform];
            // The buffer holds a picture of this size, turned.
            let buffer = transform.upright((width, height));
            let inside = Rect::clipped(((at.0 % buffer.0) as i32, (at.1 % buffer.1) as i32), size, buffer).unwrap();
            let shown = transform.rect(inside, buffer);
            let mut pixels = 0;
            for y in 0..height {
                for x in 0..width {
                    let (bx, by) = turned((x, y), (width, height), transform as u32);
                    let within = |r: Rect, x, y| x >= r.x && x < r.x + r.width && y >= r.y && y < r.y + r.height;
                    prop_assert_eq!(within(shown, x, y), within(inside, bx, by));
                    pixels += u64::from(within(shown, x, y));
                }
            }
            prop_assert_eq!(pixels, shown.area());
        }

        #[test]
        fn damage_never_leaves_the_frame_and_never_shrinks(
            regions in proptest::collection::vec((-20i32..700, -20i32..500, 0u32..200, 0u32..200), 0..40),
            more in proptest::collection::vec((0i32..600, 0i32..400, 1u32..40, 1u32..40), 1..40),
        ) {
            let told: Vec<u8> = more.iter().flat_map(|r| region(r.0, r.1, r.2, r.3)).collect();
            let mut damage = Damage::read(&told, FRAME).0;
            let before = damage;
            damage.add(&Damage::read(&regions.iter().flat_map(|r| region(r.0, r.1, r.2, r.3)).collect::<Vec<_>>(), FRAME).0);
            let Damage::Parts(first) = before else { panic!("all of these are inside") };
            prop_assert!(first.rects().len() <= MAX_RECTS);
            if let Damage::Parts(all) = damage {
                for rect in all.rects() {
                    prop_assert!(rect.width > 0 && rect.height > 0);
                    prop_assert!(rect.x + rect.width <= FRAME.0 && rect.y + rect.height <= FRAME.1);
                }
                for (x, y, width, height) in more.into_iter().take(METAS) {
                    let rect = Rect::clipped((x, y), (width, height), FRAME).unwrap();
                    for corner in [(rect.x, rect.y), (rect.x + rect.width - 1, rect.y + rect.height - 1)] {
                        let covers = |r: &Rect| {
                            corner.0 >= r.x && corner.0 < r.x + r.width && corner.1 >= r.y && corner.1 < r.y + r.height
                        };
                        prop_assert!(all.rects().iter().any(covers), "{corner:?} of {rect:?} in {all:?}");
                    }
                }
            }
        }

        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200), small in any::<bool>()) {
            // Small numbers get further.
            let bytes: Vec<u8> =
                bytes.chunks(4).flat_map(|word| if small { vec![word[0] % 64, 0, 0, 0] } else { word.to_vec() }).collect();
            let some = Some(&bytes[..]);
            let metas = Metas::read(some, some, some, FRAME, |_| {});
            let visible = metas.visible(FRAME);
            let upright = metas.transform.upright(FRAME);
            prop_assert!(visible.width > 0 && visible.x + visible.width <= upright.0);
            prop_assert!(visible.height > 0 && visible.y + visible.height <= upright.1);
        }
    }
}
