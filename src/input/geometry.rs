//! From a point of the host's window to a point of the guest's region. Pure.

/// A rectangle of the guest's logical coordinates (ei_device.region).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width; positive.
    pub width: f64,
    /// Height; positive.
    pub height: f64,
}

/// wl_fixed has 8 fractional bits: the last position inside a region is this far from its end.
const LAST: f64 = 1.0 / 256.0;

/// Positions on one axis of the window, with what has been learnt about its edge.
///
/// Wolf clamps positions to `size - 2`, so that its last pixels cannot be pointed at. Until a host has
/// shown that it goes further, exactly `size - 2` means the very edge.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    goes_further: bool,
}

impl Edge {
    fn map(&mut self, at: f64, size: f64, start: f64, length: f64) -> f64 {
        let clamp = size - 2.0;
        // Past the end is a host that does not know the window's new size yet.
        if at > clamp && at < size {
            self.goes_further = true;
        }
        let inside = if !self.goes_further && size > 2.0 && at == clamp { size } else { at };
        let inside = if inside.is_finite() { inside } else { 0.0 };
        let at = start + (inside * length / size).clamp(0.0, (length - LAST).max(0.0));
        // It goes out as an f32: in a region far out or very large the nearest one may be its very end, which is outside.
        let end = start + length;
        if f64::from(at as f32) < end { at } else { f64::from((end as f32).next_down()).max(start) }
    }
}

/// Maps points of the window to the guest's region.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mapper {
    window: Option<(f64, f64)>,
    horizontal: Edge,
    vertical: Edge,
}

impl Mapper {
    /// The window's size in surface-local logical pixels.
    pub fn set_window(&mut self, width: u32, height: u32) {
        self.window = (width > 0 && height > 0).then_some((f64::from(width), f64::from(height)));
    }

    /// Where a point of the window lies in the region, always inside it; `None` before the window has a
    /// size or when the region has none.
    pub fn map(&mut self, x: f64, y: f64, region: &Region) -> Option<(f64, f64)> {
        let (width, height) = self.window?;
        if region.width.is_nan() || region.height.is_nan() || region.width <= 0.0 || region.height <= 0.0 {
            return None;
        }
        Some((
            self.horizontal.map(x, width, region.x, region.width),
            self.vertical.map(y, height, region.y, region.height),
        ))
    }

    /// Where a point of the region lies in the window, inside it; `None` as for [`map`](Self::map).
    pub fn unmap(&self, x: f64, y: f64, region: &Region) -> Option<(f64, f64)> {
        let (width, height) = self.window?;
        let back = |at: f64, start: f64, length: f64, size: f64| {
            let at = (at - start) * size / length;
            (length > 0.0 && at.is_finite()).then(|| at.clamp(0.0, (size - LAST).max(0.0)))
        };
        Some((back(x, region.x, region.width, width)?, back(y, region.y, region.height, height)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mapper(width: u32, height: u32) -> Mapper {
        let mut mapper = Mapper::default();
        mapper.set_window(width, height);
        mapper
    }

    const HD: Region = Region { x: 0.0, y: 0.0, width: 1280.0, height: 720.0 };

    #[test]
    fn same_sizes_map_one_to_one() {
        assert_eq!(mapper(1280, 720).map(640.25, 359.5, &HD), Some((640.25, 359.5)));
    }

    #[test]
    fn a_host_that_clamps_still_reaches_the_corner() {
        let (x, y) = mapper(1280, 720).map(1278.0, 718.0, &HD).unwrap();
        assert_eq!((x.floor(), y.floor()), (1279.0, 719.0));
    }

    #[test]
    fn a_host_that_does_not_clamp_keeps_its_last_but_one_pixel() {
        let mut mapper = mapper(1280, 720);
        mapper.map(1279.5, 719.5, &HD);
        assert_eq!(mapper.map(1278.0, 718.0, &HD), Some((1278.0, 718.0)));
    }

    #[test]
    fn nothing_is_mapped_without_sizes() {
        assert_eq!(Mapper::default().map(1.0, 1.0, &HD), None);
        assert_eq!(mapper(0, 5).map(1.0, 1.0, &HD), None);
        let none = Region { width: 0.0, ..HD };
        assert_eq!(mapper(5, 5).map(1.0, 1.0, &none), None);
    }

    #[test]
    fn a_point_comes_back_to_where_it_was() {
        let mut mapper = mapper(1920, 1080);
        let (x, y) = mapper.map(700.5, 33.25, &HD).unwrap();
        assert_eq!(mapper.unmap(x, y, &HD), Some((700.5, 33.25)));
        assert_eq!(mapper.unmap(-5.0, 9e9, &HD), Some((0.0, 1080.0 - LAST)));
        assert_eq!(mapper.unmap(1.0, 1.0, &Region { width: 0.0, ..HD }), None);
        assert_eq!(Mapper::default().unmap(1.0, 1.0, &HD), None);
    }

    proptest! {
        #[test]
        fn every_point_lands_inside(
            x in -8e6f64..8e6, y in -8e6f64..8e6, width in 1u32..20000, height in 1u32..20000,
            left in 0u32..100_000, top in 0u32..100_000, w in 1u32..=i32::MAX as u32, h in 1u32..20000,
        ) {
            let region = Region { x: left.into(), y: top.into(), width: w.into(), height: h.into() };
            let (px, py) = mapper(width, height).map(x, y, &region).unwrap();
            for (x, y) in [(px, py), (f64::from(px as f32), f64::from(py as f32))] {
                prop_assert!(x >= region.x && x < region.x + region.width, "{} in {:?}", x, region);
                prop_assert!(y >= region.y && y < region.y + region.height, "{} in {:?}", y, region);
            }
        }
    }
}
