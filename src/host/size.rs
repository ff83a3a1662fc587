//! How large the window is, in both units, from what the host says. Pure.

use crate::options::{Fallback, MAX_SIDE};
use crate::video::rate::MaxRate;

/// What is known of the output that the window is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputFacts {
    /// Pixels of the current mode, turned as the output is.
    pub pixels: (u32, u32),
    /// Size in the compositor's logical space, where it is told.
    pub logical: Option<(u32, u32)>,
    /// Integer scale.
    pub scale: u32,
    /// Refresh rate; `None` where it says none that can be believed.
    pub refresh: Option<MaxRate>,
}

/// The window's size and rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Surface-local logical pixels: input and the viewport's destination.
    pub logical: (u32, u32),
    /// Physical pixels: what the guest should draw.
    pub pixels: (u32, u32),
    /// Frames per thousand seconds.
    pub refresh: u32,
}

/// What the host and the flags say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeFacts {
    /// The last configure; a missing side leaves the choice to us.
    pub configured: (Option<u32>, Option<u32>),
    /// `--windowed`.
    pub windowed: Option<(u32, u32)>,
    /// `--fallback`.
    pub fallback: Fallback,
    /// The output.
    pub output: Option<OutputFacts>,
    /// wp_fractional_scale: 120 is 1.
    pub scale_120: Option<u32>,
    /// wl_surface.preferred_buffer_scale or the outputs' scale.
    pub scale: Option<u32>,
    /// Whether a viewport can scale what the guest draws; without one, pixels are logical pixels.
    pub viewport: bool,
}

/// Decides the window's size.
pub fn decide(facts: &SizeFacts) -> WindowSize {
    let scale_120 = if facts.viewport {
        facts
            .scale_120
            .or(facts.scale.or(facts.output.map(|output| output.scale)).map(|scale| scale.saturating_mul(120)))
    } else {
        None
    };
    let scale_120 = u64::from(scale_120.unwrap_or(120).clamp(60, 120 * 8));
    let scaled = |side: u32| ((u64::from(side) * scale_120 + 60) / 120).clamp(1, u64::from(MAX_SIDE)) as u32;
    let MaxRate(refresh) = facts.output.and_then(|output| output.refresh).unwrap_or(facts.fallback.rate);

    // An output filled completely has exactly the mode's pixels, whatever rounding the scale would bring.
    let whole_output = facts.output.map(|output| {
        let logical = output.logical.unwrap_or_else(|| {
            let unscaled = |side: u32| ((u64::from(side) * 120 + scale_120 / 2) / scale_120).max(1) as u32;
            (unscaled(output.pixels.0), unscaled(output.pixels.1))
        });
        let (width, height) = if facts.viewport { output.pixels } else { logical };
        // No guest draws more; a viewport makes up for it.
        (logical, (width.min(MAX_SIDE), height.min(MAX_SIDE)))
    });
    let ours = match (facts.windowed, whole_output) {
        (Some(size), _) => (size, (scaled(size.0), scaled(size.1))),
        (None, Some(whole)) => whole,
        (None, None) => {
            let (width, height) = (facts.fallback.size.width, facts.fallback.size.height);
            ((width, height), (scaled(width), scaled(height)))
        }
    };
    let side = |value: Option<u32>| value.filter(|side| *side > 0);
    let (logical, pixels) = match (side(facts.configured.0), side(facts.configured.1)) {
        (None, None) => ours,
        (width, height) => {
            let logical = (width.unwrap_or(ours.0.0), height.unwrap_or(ours.0.1));
            match whole_output {
                Some(whole) if whole.0 == logical => whole,
                _ => (logical, (scaled(logical.0), scaled(logical.1))),
            }
        }
    };
    WindowSize { logical, pixels, refresh }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::options::Size;

    const WOLF: OutputFacts =
        OutputFacts { pixels: (1920, 1080), logical: None, scale: 1, refresh: Some(MaxRate(60_000)) };

    #[test]
    fn an_empty_configure_means_the_outputs_mode() {
        let facts = SizeFacts { output: Some(WOLF), viewport: true, ..Default::default() };
        assert_eq!(decide(&facts), WindowSize { logical: (1920, 1080), pixels: (1920, 1080), refresh: 60_000 });
    }

    #[test]
    fn a_configure_wins_over_everything() {
        let facts = SizeFacts {
            configured: (Some(800), Some(600)),
            windowed: Some((100, 100)),
            output: Some(WOLF),
            viewport: true,
            ..Default::default()
        };
        assert_eq!(decide(&facts).logical, (800, 600));
    }

    #[test]
    fn one_missing_side_is_ours_to_choose() {
        let facts = SizeFacts { configured: (Some(800), None), windowed: Some((10, 20)), ..Default::default() };
        assert_eq!(decide(&facts).logical, (800, 20));
    }

    #[test]
    fn fractions_of_a_scale_end_on_whole_output_pixels() {
        let output = OutputFacts { pixels: (1366, 768), logical: Some((911, 512)), scale: 2, refresh: None };
        let facts = SizeFacts {
            configured: (Some(911), Some(512)),
            output: Some(output),
            scale_120: Some(180),
            viewport: true,
            ..Default::default()
        };
        assert_eq!(decide(&facts), WindowSize { logical: (911, 512), pixels: (1366, 768), refresh: 60_000 });
    }

    #[test]
    fn without_a_viewport_nothing_is_scaled() {
        let facts = SizeFacts {
            configured: (Some(640), Some(360)),
            scale_120: Some(240),
            scale: Some(2),
            output: Some(OutputFacts { scale: 2, ..WOLF }),
            ..Default::default()
        };
        assert_eq!(decide(&facts).pixels, (640, 360));
    }

    #[test]
    fn with_nothing_known_there_is_still_a_window() {
        let size = WindowSize { logical: (1280, 720), pixels: (1280, 720), refresh: 60_000 };
        assert_eq!(decide(&SizeFacts::default()), size);
    }

    #[test]
    fn what_the_host_does_not_say_is_the_fallbacks() {
        let fallback = Fallback { size: Size { width: 1600, height: 900 }, rate: MaxRate(120_000) };
        let facts = SizeFacts { fallback, viewport: true, ..Default::default() };
        assert_eq!(decide(&facts), WindowSize { logical: (1600, 900), pixels: (1600, 900), refresh: 120_000 });
        let output = OutputFacts { refresh: None, ..WOLF };
        let size = decide(&SizeFacts { output: Some(output), ..facts });
        assert_eq!(size, WindowSize { logical: (1920, 1080), pixels: (1920, 1080), refresh: 120_000 });
        assert_eq!(decide(&SizeFacts { output: Some(WOLF), ..facts }).refresh, 60_000);
        let size = decide(&SizeFacts { configured: (Some(640), None), ..facts });
        assert_eq!(size.logical, (640, 900));
    }

    proptest! {
        #[test]
        fn no_claim_of_a_host_is_too_absurd(
            pixels in (1..=i32::MAX as u32, 1..=i32::MAX as u32), scale in 1..=i32::MAX as u32, refresh in any::<i32>(),
            logical in proptest::option::of((1..=i32::MAX as u32, 1..=i32::MAX as u32)), viewport in any::<bool>(),
            configured in (proptest::option::of(any::<u32>()), proptest::option::of(any::<u32>())),
            scale_120 in proptest::option::of(any::<u32>()), preferred in proptest::option::of(any::<u32>()),
        ) {
            let output = Some(OutputFacts { pixels, logical, scale, refresh: MaxRate::of_output(refresh) });
            let size = decide(&SizeFacts { configured, output, scale_120, scale: preferred, viewport, ..Default::default() });
            prop_assert!((1..=MAX_SIDE).contains(&size.pixels.0) && (1..=MAX_SIDE).contains(&size.pixels.1), "{size:?}");
            prop_assert!(size.logical.0 > 0 && size.logical.1 > 0, "{size:?}");
        }
    }
}
