//! Which part of the guest's desktop a stream shows: the region that its positions are of. Pure.

use crate::input::geometry::Region;

/// What is known of a stream's place on the desktop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The name of its region in the input protocol.
    pub mapping_id: Option<String>,
    /// Its top left corner, in logical pixels.
    pub position: Option<(i32, i32)>,
    /// Its size, in logical pixels.
    pub size: Option<(i32, i32)>,
}

impl Place {
    /// The region of this place, of a device's regions with their names: by its name, else by where it is; all regions
    /// together where it is as large as they are (KWin records several outputs as one picture unless it is asked for each);
    /// else the first of its size, or at all.
    pub fn region<'a>(&self, regions: impl Iterator<Item = (Option<&'a str>, Region)> + Clone) -> Option<Region> {
        let known = self.mapping_id.as_deref();
        if let Some((_, named)) = regions.clone().find(|(name, _)| known.is_some() && *name == known) {
            return Some(named).filter(is_real);
        }
        let mut real = regions.map(|(_, region)| region).filter(is_real);
        let has_size = |region: &Region| {
            let size = self.size.map(|(width, height)| (f64::from(width), f64::from(height)));
            size == Some((region.width, region.height))
        };
        let is_here = |region: &Region| {
            let position = self.position.map(|(x, y)| (f64::from(x), f64::from(y)));
            position == Some((region.x, region.y)) && (self.size.is_none() || has_size(region))
        };
        let here = real.clone().find(is_here);
        let all = || real.clone().reduce(union).filter(has_size);
        here.or_else(all).or_else(|| real.clone().find(has_size)).or_else(|| real.next())
    }
}

fn is_real(region: &Region) -> bool {
    region.width > 0.0 && region.height > 0.0
}

fn union(one: Region, other: Region) -> Region {
    let (x, y) = (one.x.min(other.x), one.y.min(other.y));
    let right = (one.x + one.width).max(other.x + other.width);
    let bottom = (one.y + one.height).max(other.y + other.height);
    Region { x, y, width: right - x, height: bottom - y }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(x: f64, y: f64, width: f64, height: f64) -> Region {
        Region { x, y, width, height }
    }

    #[test]
    fn a_name_counts_before_all_else() {
        let regions = [(Some("a"), region(0.0, 0.0, 10.0, 10.0)), (Some("b"), region(10.0, 0.0, 10.0, 10.0))];
        let named = |name: &str| Place { mapping_id: Some(name.into()), position: Some((0, 0)), size: Some((10, 10)) };
        assert_eq!(named("b").region(regions.into_iter()), Some(regions[1].1));
        assert_eq!(named("c").region(regions.into_iter()), Some(regions[0].1));
        let empty = [(Some("a"), region(0.0, 0.0, 0.0, 10.0)), regions[1]];
        assert_eq!(named("a").region(empty.into_iter()), None);
        assert_eq!(Place::default().region(empty.into_iter()), Some(regions[1].1));
    }

    #[test]
    fn without_names_the_place_tells() {
        let regions =
            [region(0.0, 0.0, 800.0, 600.0), region(800.0, 0.0, 800.0, 600.0), region(0.0, 600.0, 640.0, 480.0)];
        let of = |position, size| {
            Place { mapping_id: None, position, size }.region(regions.iter().map(|region| (None, *region)))
        };
        assert_eq!(of(Some((800, 0)), Some((800, 600))), Some(regions[1]));
        assert_eq!(of(Some((800, 0)), None), Some(regions[1]));
        assert_eq!(of(None, Some((640, 480))), Some(regions[2]));
        assert_eq!(of(None, Some((800, 600))), Some(regions[0]));
        assert_eq!(of(None, Some((5, 5))), Some(regions[0]));
        for position in [None, Some((0, 0))] {
            assert_eq!(of(position, Some((1600, 1080))), Some(region(0.0, 0.0, 1600.0, 1080.0)));
        }
        assert_eq!(Place::default().region(std::iter::empty()), None);
    }
}
