//! Pixel formats by all their names: DRM fourcc and wl_shm code (the host's), SPA (PipeWire's), and where their
//! bytes are. One table, one row a format; pure.
//!
//! SPA names the bytes of 8-bit formats in memory order; DRM names little-endian words, first component highest.
//! Formats that only look alike are left out: SPA's AYUV has DRM's AYUV backwards, v210, v216 and AYUV64 have
//! another order than Y210, Y216 and Y416, the planar formats of more than 8 bits keep them in the low bits and
//! DRM's in the high ones, GRAY8 is no R8.

use drm_fourcc::DrmFourcc;
use libspa::param::video::VideoFormat;

/// One plane of a format: `bytes` for each block of `across` times `down` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaneShape {
    /// Bytes of a block.
    pub bytes: u32,
    /// Pixels of a block in a row.
    pub across: u32,
    /// Rows of pixels in a block.
    pub down: u32,
}

impl PlaneShape {
    /// Bytes of a row of a picture that is `width` pixels wide, padding left out.
    pub const fn row(self, width: u32) -> u64 {
        width.div_ceil(self.across) as u64 * self.bytes as u64
    }

    /// Rows of a picture that is `height` pixels high.
    pub const fn rows(self, height: u32) -> u32 {
        height.div_ceil(self.down)
    }
}

const fn plane(bytes: u32, across: u32, down: u32) -> PlaneShape {
    PlaneShape { bytes, across, down }
}

const BYTES_2: &[PlaneShape] = &[plane(2, 1, 1)];
const BYTES_3: &[PlaneShape] = &[plane(3, 1, 1)];
const BYTES_4: &[PlaneShape] = &[plane(4, 1, 1)];
const BYTES_8: &[PlaneShape] = &[plane(8, 1, 1)];
const BYTES_16: &[PlaneShape] = &[plane(16, 1, 1)];
/// Two pixels share their colour.
const PAIRS: &[PlaneShape] = &[plane(4, 2, 1)];
/// Brightness, then both colours together.
const SEMI_444: &[PlaneShape] = &[plane(1, 1, 1), plane(2, 1, 1)];
const SEMI_422: &[PlaneShape] = &[plane(1, 1, 1), plane(2, 2, 1)];
const SEMI_420: &[PlaneShape] = &[plane(1, 1, 1), plane(2, 2, 2)];
const SEMI_420_WIDE: &[PlaneShape] = &[plane(2, 1, 1), plane(4, 2, 2)];
/// Brightness, and a plane for each colour.
const PLANAR_444: &[PlaneShape] = &[plane(1, 1, 1), plane(1, 1, 1), plane(1, 1, 1)];
const PLANAR_422: &[PlaneShape] = &[plane(1, 1, 1), plane(1, 2, 1), plane(1, 2, 1)];
const PLANAR_420: &[PlaneShape] = &[plane(1, 1, 1), plane(1, 2, 2), plane(1, 2, 2)];
const PLANAR_411: &[PlaneShape] = &[plane(1, 1, 1), plane(1, 4, 1), plane(1, 4, 1)];
const PLANAR_410: &[PlaneShape] = &[plane(1, 1, 1), plane(1, 4, 4), plane(1, 4, 4)];

/// What a row of the table says.
struct Row {
    fourcc: u32,
    spa: VideoFormat,
    opaque: bool,
    planes: &'static [PlaneShape],
}

const OPAQUE: bool = true;
/// Premultiplied.
const ALPHA: bool = false;

macro_rules! formats {
    (@code $name:ident) => { DrmFourcc::$name as u32 };
    (@code $name:ident $fourcc:literal) => { u32::from_le_bytes(*$fourcc) };
    ($($name:ident $($fourcc:literal)? = $spa:ident $opaque:ident $planes:ident,)+) => {
        /// A format that both sides know, by DRM's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum PixelFormat {
            $(#[doc = concat!("SPA ", stringify!($spa), ".")] $name,)+
        }

        /// Every format, the ones to prefer first.
        pub const ALL: [PixelFormat; [$(stringify!($name)),+].len()] = [$(PixelFormat::$name),+];

        static TABLE: [Row; ALL.len()] = [$(Row {
            fourcc: formats!(@code $name $($fourcc)?),
            spa: VideoFormat::$spa,
            opaque: $opaque,
            planes: $planes,
        }),+];
    };
}

formats! {
    // A desktop is opaque, and a host can skip blending then.
    Xrgb8888 = BGRx OPAQUE BYTES_4,
    Xbgr8888 = RGBx OPAQUE BYTES_4,
    Bgrx8888 = xRGB OPAQUE BYTES_4,
    Rgbx8888 = xBGR OPAQUE BYTES_4,
    Argb8888 = BGRA ALPHA BYTES_4,
    Abgr8888 = RGBA ALPHA BYTES_4,
    Bgra8888 = ARGB ALPHA BYTES_4,
    Rgba8888 = ABGR ALPHA BYTES_4,
    Xrgb2101010 = xRGB_210LE OPAQUE BYTES_4,
    Xbgr2101010 = xBGR_210LE OPAQUE BYTES_4,
    Rgbx1010102 = RGBx_102LE OPAQUE BYTES_4,
    Bgrx1010102 = BGRx_102LE OPAQUE BYTES_4,
    Argb2101010 = ARGB_210LE ALPHA BYTES_4,
    Abgr2101010 = ABGR_210LE ALPHA BYTES_4,
    Rgba1010102 = RGBA_102LE ALPHA BYTES_4,
    Bgra1010102 = BGRA_102LE ALPHA BYTES_4,
    Rgb888 = BGR OPAQUE BYTES_3,
    Bgr888 = RGB OPAQUE BYTES_3,
    // More bytes than a screen shows. The last one is younger than the table of codes we have.
    Abgr16161616f = RGBA_F16 ALPHA BYTES_8,
    Abgr32323232f b"AB8F" = RGBA_F32 ALPHA BYTES_16,
    // Fewer colours than it shows. SPA's are words here, too.
    Rgb565 = RGB16 OPAQUE BYTES_2,
    Bgr565 = BGR16 OPAQUE BYTES_2,
    Xrgb1555 = RGB15 OPAQUE BYTES_2,
    Xbgr1555 = BGR15 OPAQUE BYTES_2,
    // Nobody says which matrix: last, those with the most colour first.
    Yuv444 = Y444 OPAQUE PLANAR_444,
    Nv24 = NV24 OPAQUE SEMI_444,
    Vuy888 = v308 OPAQUE BYTES_3,
    Yuyv = YUY2 OPAQUE PAIRS,
    Yvyu = YVYU OPAQUE PAIRS,
    Uyvy = UYVY OPAQUE PAIRS,
    Vyuy = VYUY OPAQUE PAIRS,
    Nv16 = NV16 OPAQUE SEMI_422,
    Nv61 = NV61 OPAQUE SEMI_422,
    Yuv422 = Y42B OPAQUE PLANAR_422,
    P010 = P010_10LE OPAQUE SEMI_420_WIDE,
    Nv12 = NV12 OPAQUE SEMI_420,
    Nv21 = NV21 OPAQUE SEMI_420,
    Yuv420 = I420 OPAQUE PLANAR_420,
    Yvu420 = YV12 OPAQUE PLANAR_420,
    Yuv411 = Y41B OPAQUE PLANAR_411,
    Yuv410 = YUV9 OPAQUE PLANAR_410,
    Yvu410 = YVU9 OPAQUE PLANAR_410,
}

impl PixelFormat {
    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The code of drm_fourcc.h, as in linux-dmabuf.
    pub fn fourcc(self) -> u32 {
        self.row().fourcc
    }

    /// The format of a fourcc.
    pub fn from_fourcc(fourcc: u32) -> Option<Self> {
        ALL.into_iter().find(|format| format.fourcc() == fourcc)
    }

    /// The code of wl_shm: the fourcc, but for the two formats it numbered before.
    pub fn shm(self) -> u32 {
        match self {
            Self::Argb8888 => 0,
            Self::Xrgb8888 => 1,
            other => other.fourcc(),
        }
    }

    /// The format of a wl_shm code.
    pub fn from_shm(code: u32) -> Option<Self> {
        ALL.into_iter().find(|format| format.shm() == code)
    }

    /// PipeWire's name for it.
    pub fn spa(self) -> VideoFormat {
        self.row().spa
    }

    /// The format of PipeWire's name.
    pub fn from_spa(spa: VideoFormat) -> Option<Self> {
        ALL.into_iter().find(|format| format.spa() == spa)
    }

    /// Whether pixels have no alpha, so that the host need not blend.
    pub fn is_opaque(self) -> bool {
        self.row().opaque
    }

    /// Its planes, 1 to 3.
    pub fn planes(self) -> &'static [PlaneShape] {
        self.row().planes
    }

    /// Where planes that follow each other without a gap are, as wl_shm and most guests have them: for each one its
    /// start, in bytes from the picture's, and its row length in bytes, from that of the first. `None` when the
    /// lengths do not come out even.
    pub fn contiguous(self, stride: u32, height: u32) -> Option<impl Iterator<Item = (u64, u32)>> {
        let first = self.planes()[0];
        let scaled = move |shape: &PlaneShape| {
            let (blocks, rest) =
                (u64::from(stride) / u64::from(first.bytes), u64::from(stride) % u64::from(first.bytes));
            let pixels = blocks * u64::from(first.across);
            let even = rest == 0 && pixels % u64::from(shape.across) == 0;
            even.then_some(pixels / u64::from(shape.across) * u64::from(shape.bytes))
        };
        let even = self.planes().len() == 1
            || self.planes().iter().all(|shape| scaled(shape).is_some_and(|stride| u32::try_from(stride).is_ok()));
        even.then(|| {
            self.planes().iter().enumerate().scan(0u64, move |start, (index, shape)| {
                // A single plane may have rows of any length.
                let stride = if index == 0 { stride } else { scaled(shape)? as u32 };
                let at = *start;
                *start = start.saturating_add(u64::from(stride) * u64::from(shape.rows(height)));
                Some((at, stride))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_name_leads_back() {
        for format in ALL {
            assert_eq!(PixelFormat::from_fourcc(format.fourcc()), Some(format));
            assert_eq!(PixelFormat::from_shm(format.shm()), Some(format));
            assert_eq!(PixelFormat::from_spa(format.spa()), Some(format));
            assert!((1..=crate::video::frame::MAX_PLANES).contains(&format.planes().len()));
        }
        assert_eq!(PixelFormat::from_spa(VideoFormat::AYUV), None);
        assert_eq!(PixelFormat::from_fourcc(DrmFourcc::Ayuv as u32), None);
    }

    #[test]
    fn no_name_is_given_twice() {
        for name in [PixelFormat::fourcc, PixelFormat::shm, |format: PixelFormat| format.spa().as_raw()] {
            let names: std::collections::BTreeSet<u32> = ALL.into_iter().map(name).collect();
            assert_eq!(names.len(), ALL.len());
        }
    }

    /// A component in memory: its letter, and its bits from the first byte's lowest on.
    type Bits = Vec<(char, u32)>;

    /// DRM: a little-endian word, first component highest; sizes from the digits.
    fn drm_bits(name: &str) -> Bits {
        let split = name.find(|c: char| c.is_ascii_digit()).unwrap();
        let (letters, digits) = name.trim_end_matches('f').split_at(split);
        let letters: Vec<char> = letters.to_lowercase().chars().collect();
        let sizes: Vec<u32> = match digits {
            "2101010" => vec![2, 10, 10, 10],
            "1010102" => vec![10, 10, 10, 2],
            "16161616" => vec![16; 4],
            "32323232" => vec![32; 4],
            digits => digits.chars().map(|digit| digit.to_digit(10).unwrap()).collect(),
        };
        assert_eq!(letters.len(), sizes.len(), "{name}");
        letters.into_iter().zip(sizes).rev().collect()
    }

    /// SPA: bytes in memory order, or a word (`_210LE`, `_102LE`, `16`, `15`).
    fn spa_bits(name: &str) -> Bits {
        let (letters, word): (&str, Option<Vec<u32>>) = match name.split_once('_') {
            Some((letters, "210LE")) => (letters, Some(vec![2, 10, 10, 10])),
            Some((letters, "102LE")) => (letters, Some(vec![10, 10, 10, 2])),
            Some((letters, "F16")) => return letters.to_lowercase().chars().map(|letter| (letter, 16)).collect(),
            Some((letters, "F32")) => return letters.to_lowercase().chars().map(|letter| (letter, 32)).collect(),
            _ if name.ends_with("16") => (&name[..3], Some(vec![5, 6, 5])),
            _ if name.ends_with("15") => (&name[..3], Some(vec![5, 5, 5])),
            _ => (name, None),
        };
        let letters = letters.to_lowercase();
        match word {
            None => letters.chars().map(|letter| (letter, 8)).collect(),
            Some(sizes) => {
                let mut bits: Bits = letters.chars().zip(sizes).collect();
                bits.reverse();
                if name.ends_with("15") {
                    bits.push(('x', 1));
                }
                bits
            }
        }
    }

    #[test]
    fn rgb_names_mean_the_same_bits() {
        let rgb = ALL.into_iter().take_while(|format| *format != PixelFormat::Yuv444);
        for format in rgb {
            let spa = format!("{:?}", format.spa()).replace("VideoFormat::", "");
            let (drm, spa) = (drm_bits(&format!("{format:?}")), spa_bits(&spa));
            assert_eq!(drm, spa, "{format:?}");
            let bits: u32 = drm.iter().map(|(_, bits)| bits).sum();
            assert_eq!(format.planes(), [plane(bits / 8, 1, 1)], "{format:?}");
            assert_eq!(format.is_opaque(), !drm.iter().any(|(letter, _)| *letter == 'a'), "{format:?}");
        }
    }

    #[test]
    fn yuv_formats_have_the_size_of_their_kind() {
        // Bits of a pixel.
        let bits = |format: PixelFormat| -> u32 {
            format.planes().iter().map(|shape| shape.bytes * 8 * 16 / (shape.across * shape.down)).sum::<u32>() / 16
        };
        use PixelFormat::*;
        for (format, expected, planes) in [
            (Yuv444, 24, 3),
            (Nv24, 24, 2),
            (Vuy888, 24, 1),
            (Yuyv, 16, 1),
            (Nv16, 16, 2),
            (Yuv422, 16, 3),
            (P010, 24, 2),
            (Nv12, 12, 2),
            (Yuv420, 12, 3),
            (Yuv411, 12, 3),
            (Yuv410, 9, 3),
        ] {
            assert_eq!((bits(format), format.planes().len()), (expected, planes), "{format:?}");
        }
    }

    #[test]
    fn planes_follow_each_other() {
        let places = |format: PixelFormat, stride, height| {
            format.contiguous(stride, height).map(|places| places.collect::<Vec<_>>())
        };
        assert_eq!(places(PixelFormat::Xrgb8888, 41, 10), Some(vec![(0, 41)]));
        assert_eq!(places(PixelFormat::Nv12, 64, 11), Some(vec![(0, 64), (704, 64)]));
        assert_eq!(places(PixelFormat::Yuv420, 64, 10), Some(vec![(0, 64), (640, 32), (800, 32)]));
        assert_eq!(places(PixelFormat::Nv24, 64, 10), Some(vec![(0, 64), (640, 128)]));
        assert_eq!(places(PixelFormat::P010, 128, 10), Some(vec![(0, 128), (1280, 128)]));
        assert_eq!(places(PixelFormat::Yuv420, 63, 10), None);
        assert_eq!(places(PixelFormat::P010, 127, 10), None);
    }

    proptest! {
        #[test]
        fn contiguous_planes_never_overlap_and_hold_their_rows(
            at in 0..ALL.len(), width in 1u32..20_000, height in 1u32..20_000, blocks in 0u32..64,
        ) {
            let format = ALL[at];
            let first = format.planes()[0];
            // Rows of a multiple of four blocks come out even for every format.
            let stride = (width.div_ceil(first.across).next_multiple_of(4) + blocks * 4) * first.bytes;
            let places: Vec<(u64, u32)> = format.contiguous(stride, height).unwrap().collect();
            prop_assert_eq!(places.len(), format.planes().len());
            let mut end = 0;
            for ((start, stride), shape) in places.into_iter().zip(format.planes()) {
                prop_assert_eq!(start, end);
                prop_assert!(u64::from(stride) >= shape.row(width));
                end = start + u64::from(stride) * u64::from(shape.rows(height));
            }
        }

        #[test]
        fn any_stride_is_answered(at in 0..ALL.len(), stride in any::<u32>(), height in any::<u32>()) {
            if let Some(places) = ALL[at].contiguous(stride, height) {
                prop_assert_eq!(places.count(), ALL[at].planes().len());
            }
        }
    }
}
