//! A picture of a host, and what is wrong with it. Pure but for files and captures.

use std::{fmt, fs::File, io::BufWriter, path::Path};

use crate::{pattern, screencopy};

/// A picture without alpha.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// 0x00RRGGBB, row by row.
    pub pixels: Vec<u32>,
}

/// Where and how a picture is not the one expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Width and height.
    Size {
        /// What there is.
        found: (u32, u32),
        /// What there should be.
        expected: (u32, u32),
    },
    /// Some pixels.
    Pixels {
        /// How many differ.
        count: usize,
        /// The box around them: left, top, right, bottom, all inside it.
        within: (u32, u32, u32, u32),
        /// The first: x, y, what is there, what should be there.
        first: (u32, u32, u32, u32),
        /// More about it, if more is known.
        hint: Option<String>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Difference::Size { found, expected } => {
                write!(f, "{}x{} instead of {}x{} pixels", found.0, found.1, expected.0, expected.1)
            }
            Difference::Pixels { count, within: (left, top, right, bottom), first: (x, y, found, expected), hint } => {
                write!(f, "{count} pixels differ, in x {left}..={right}, y {top}..={bottom}; ")?;
                write!(f, "the first is ({x}, {y}): {found:06x} instead of {expected:06x}")?;
                hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
            }
        }
    }
}

impl std::error::Error for Difference {}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Image {}x{}", self.width, self.height)
    }
}

impl Image {
    /// What the wlroots host at that socket shows on its first output, without the cursor.
    ///
    /// # Errors
    /// When there is no host, or it gives no pictures.
    pub fn capture(socket: &Path) -> Result<Self, String> {
        screencopy::capture(socket).map_err(|error| error.to_string())
    }

    /// The picture of a function of x and y.
    pub fn from_fn(width: u32, height: u32, mut pixel: impl FnMut(u32, u32) -> u32) -> Self {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect();
        Image { width, height, pixels }
    }

    /// The picture that a [`Canvas`](crate::Canvas) of that size draws.
    pub fn pattern(width: u32, height: u32, seed: u32) -> Self {
        let mut pixels = vec![0; (width * height) as usize];
        pattern::draw(&mut pixels, width, seed);
        Image { width, height, pixels }
    }

    /// One pixel.
    ///
    /// # Panics
    /// Outside the picture.
    pub fn pixel(&self, x: u32, y: u32) -> u32 {
        assert!(x < self.width && y < self.height, "({x}, {y}) is outside {self:?}");
        self.pixels[(y * self.width + x) as usize]
    }

    /// A part of it.
    ///
    /// # Panics
    /// Where it reaches outside the picture.
    pub fn region(&self, x: u32, y: u32, width: u32, height: u32) -> Self {
        Image::from_fn(width, height, |column, row| self.pixel(x + column, y + row))
    }

    /// Whether every pixel is the same: a blank picture.
    pub fn is_uniform(&self) -> bool {
        self.pixels.iter().all(|pixel| Some(pixel) == self.pixels.first())
    }

    /// Holds it against another picture, pixel by pixel.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, expected: &Image) -> Result<(), Difference> {
        let (found_size, expected_size) = ((self.width, self.height), (expected.width, expected.height));
        if found_size != expected_size {
            return Err(Difference::Size { found: found_size, expected: expected_size });
        }
        let mut count = 0;
        let mut within = (u32::MAX, u32::MAX, 0, 0);
        let mut first = None;
        for y in 0..self.height {
            for x in 0..self.width {
                let (found, wanted) = (self.pixel(x, y), expected.pixel(x, y));
                if found != wanted {
                    count += 1;
                    within = (within.0.min(x), within.1.min(y), within.2.max(x), within.3.max(y));
                    first.get_or_insert((x, y, found, wanted));
                }
            }
        }
        first.map_or(Ok(()), |first| Err(Difference::Pixels { count, within, first, hint: None }))
    }

    /// Holds it against the picture of a canvas that fills it.
    ///
    /// # Errors
    /// What differs, and where the wrong pixel comes from.
    pub fn check_pattern(&self, seed: u32) -> Result<(), Difference> {
        let mut result = self.check(&Image::pattern(self.width, self.height, seed));
        if let Err(Difference::Pixels { first: (x, y, found, _), hint, .. }) = &mut result {
            *hint = Some(guess(*x, *y, *found, seed));
        }
        result
    }

    /// The seed of the canvas picture that fills it.
    ///
    /// # Errors
    /// What differs from the picture that its first pixel belongs to: a torn picture, or none of a canvas.
    pub fn seed(&self) -> Result<u32, Difference> {
        let seed = pattern::seed_at(self.pixel(0, 0), 0, 0);
        self.check_pattern(seed).map(|()| seed)
    }

    /// Writes a PNG file.
    ///
    /// # Errors
    /// As the file system says.
    pub fn save(&self, path: impl AsRef<Path>) -> std::io::Result<()> {
        let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let bytes: Vec<u8> =
            self.pixels.iter().flat_map(|pixel| [(pixel >> 16) as u8, (pixel >> 8) as u8, *pixel as u8]).collect();
        encoder.write_header()?.write_image_data(&bytes)?;
        Ok(())
    }
}

fn guess(x: u32, y: u32, found: u32, seed: u32) -> String {
    let swapped = (found & 0xFF) << 16 | found & 0xFF00 | found >> 16;
    if swapped == pattern::pattern(x, y, seed) {
        return "red and blue are swapped".into();
    }
    let other = pattern::seed_at(found, x, y);
    if other.abs_diff(seed) < 10_000 {
        return format!("it belongs to picture {other}, not {seed}");
    }
    let (from_x, from_y) = pattern::locate(found, seed);
    format!("in this picture that pixel belongs to ({from_x}, {from_y})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_is_told() {
        let shifted = Image::from_fn(20, 10, |x, y| pattern::pattern(x + 3, y, 5));
        let told = shifted.check_pattern(5).expect_err("it is shifted").to_string();
        assert!(told.contains("200 pixels differ") && told.contains("belongs to (3, 0)"), "{told}");
    }

    #[test]
    fn a_torn_picture_is_told() {
        let torn = Image::from_fn(20, 10, |x, y| pattern::pattern(x, y, if y < 5 { 7 } else { 6 }));
        let told = torn.seed().expect_err("it is torn").to_string();
        assert!(told.contains("y 5..=9") && told.contains("belongs to picture 6, not 7"), "{told}");
    }

    #[test]
    fn regions_keep_their_pixels() {
        let part = Image::pattern(40, 30, 1).region(10, 5, 4, 4);
        assert_eq!(part.pixel(1, 2), pattern::pattern(11, 7, 1));
    }
}
