//! Waiting for what a host shows: until it stops changing, until it changes. Small changes (a blinking caret, a clock) do not count.
//! Takes pictures through whatever it is given; bounded.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::Image;

/// How long a picture is to stay for it to be settled.
const STILL: Duration = Duration::from_millis(1000);
const PAUSE: Duration = Duration::from_millis(100);
/// A change of less than one pixel in this many is none: about a caret or a digit.
const SMALL: usize = 2000;

/// Whether the second picture is another one, carets and clocks aside.
pub fn differs(one: &Image, other: &Image) -> bool {
    let count = one.pixels.iter().zip(&other.pixels).filter(|(a, b)| a != b).count();
    (one.width, one.height) != (other.width, other.height) || count > one.pixels.len() / SMALL
}

/// Waits until the picture is not blank and stays for a second; returns it.
///
/// # Errors
/// When the time is over first, or no picture can be taken.
pub fn settled(timeout: Duration, mut shot: impl FnMut() -> Result<Image, String>) -> Result<Image, String> {
    let began = Instant::now();
    let (mut last, mut since) = (shot()?, Instant::now());
    loop {
        thread::sleep(PAUSE);
        let image = shot()?;
        if differs(&last, &image) {
            (last, since) = (image, Instant::now());
        } else if since.elapsed() >= STILL && !image.is_uniform() {
            return Ok(image);
        }
        if began.elapsed() > timeout {
            let what = if last.is_uniform() { "is blank" } else { "keeps changing" };
            return Err(format!("the picture {what} after {} s", timeout.as_secs()));
        }
    }
}

/// Waits until the picture is another one than `before`; returns it.
///
/// # Errors
/// When the time is over first, or no picture can be taken.
pub fn changed(
    before: &Image,
    timeout: Duration,
    mut shot: impl FnMut() -> Result<Image, String>,
) -> Result<Image, String> {
    let began = Instant::now();
    loop {
        let image = shot()?;
        if differs(before, &image) {
            return Ok(image);
        }
        if began.elapsed() > timeout {
            return Err(format!("the picture did not change within {} s", timeout.as_secs()));
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_is_no_change_and_a_word_is() {
        let blank = Image::from_fn(640, 360, |_, _| 0xFF_FFFF);
        let caret = Image::from_fn(640, 360, |x, y| if x == 100 && (10..30).contains(&y) { 0 } else { 0xFF_FFFF });
        let word =
            Image::from_fn(
                640,
                360,
                |x, y| {
                    if (100..140).contains(&x) && (10..30).contains(&y) { 0 } else { 0xFF_FFFF }
                },
            );
        assert!(!differs(&blank, &caret));
        assert!(differs(&blank, &word));
    }

    #[test]
    fn a_blank_picture_never_settles() {
        let told =
            settled(Duration::from_millis(1300), || Ok(Image::from_fn(8, 8, |_, _| 0))).expect_err("it is blank");
        assert!(told.contains("is blank"), "{told}");
    }
}
