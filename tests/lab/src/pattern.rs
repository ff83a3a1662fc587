//! The picture that a [`Canvas`](crate::Canvas) draws: every pixel says where it is and which picture it belongs to, so that a shift, a scale,
//! a torn picture or swapped channels all show. Pure.

/// Odd, so that seeds and masks are one to one in 24 bits.
const SPREAD: u32 = 0x9E_3779;
const MASK: u32 = 0xFF_FFFF;

/// The pixel (0x00RRGGBB) at column `x` and row `y` (both below 4096) of picture `seed` (below 2²⁴).
pub fn pattern(x: u32, y: u32, seed: u32) -> u32 {
    column(x) ^ row(y, seed)
}

/// Where a pixel of picture `seed` was drawn.
pub fn locate(pixel: u32, seed: u32) -> (u32, u32) {
    let code = pixel & MASK ^ mask(seed);
    (code >> 16 | (code & 0xF0) << 4, code >> 8 & 0xFF | (code & 0xF) << 8)
}

/// Which picture a pixel that is known to lie at (`x`, `y`) belongs to.
pub fn seed_at(pixel: u32, x: u32, y: u32) -> u32 {
    // the inverse of SPREAD modulo 2²⁴, by Newton's iteration
    let mut inverse = SPREAD;
    for _ in 0..4 {
        inverse = inverse.wrapping_mul(2u32.wrapping_sub(SPREAD.wrapping_mul(inverse)));
    }
    let mask = pixel & MASK ^ column(x) ^ line(y);
    mask.wrapping_mul(inverse).wrapping_sub(1) & MASK
}

fn column(x: u32) -> u32 {
    (x & 0xFF) << 16 | (x >> 8 & 0xF) << 4
}

fn line(y: u32) -> u32 {
    (y & 0xFF) << 8 | y >> 8 & 0xF
}

fn mask(seed: u32) -> u32 {
    seed.wrapping_add(1).wrapping_mul(SPREAD) & MASK
}

fn row(y: u32, seed: u32) -> u32 {
    line(y) ^ mask(seed)
}

/// Draws picture `seed` into rows of `width` pixels.
pub(crate) fn draw(pixels: &mut [u32], width: u32, seed: u32) {
    let columns: Vec<u32> = (0..width).map(column).collect();
    for (y, line) in pixels.chunks_exact_mut(width as usize).enumerate() {
        let row = row(u32::try_from(y).expect("a picture's height"), seed);
        for (pixel, column) in line.iter_mut().zip(&columns) {
            *pixel = column ^ row;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_says_where_it_is_and_of_which_picture() {
        for (x, y, seed) in [(0, 0, 0), (4095, 4095, 7), (1279, 719, 0xFF_FFFE), (300, 5, 123_456)] {
            let pixel = pattern(x, y, seed);
            assert_eq!(locate(pixel, seed), (x, y));
            assert_eq!(seed_at(pixel, x, y), seed);
        }
    }

    #[test]
    fn draw_is_pattern() {
        let mut pixels = vec![0; 300 * 270];
        draw(&mut pixels, 300, 9);
        for y in 0..270 {
            for x in 0..300 {
                assert_eq!(pixels[(y * 300 + x) as usize], pattern(x, y, 9));
            }
        }
    }
}
