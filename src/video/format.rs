//! Pixel formats by both their names: DRM fourcc (the host's) and SPA (PipeWire's). Pure.

use drm_fourcc::DrmFourcc;
use libspa::param::video::VideoFormat;

/// A packed 32-bit RGB format that both sides know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PixelFormat {
    /// DRM XRGB8888, SPA BGRx.
    Xrgb8888,
    /// DRM ARGB8888, SPA BGRA; alpha premultiplied.
    Argb8888,
    /// DRM XBGR8888, SPA RGBx.
    Xbgr8888,
    /// DRM ABGR8888, SPA RGBA; alpha premultiplied.
    Abgr8888,
}

/// Every format, the ones to prefer first: a desktop is opaque, and a host can skip blending then.
pub const ALL: [PixelFormat; 4] =
    [PixelFormat::Xrgb8888, PixelFormat::Argb8888, PixelFormat::Xbgr8888, PixelFormat::Abgr8888];

impl PixelFormat {
    /// The code of drm_fourcc.h, as in linux-dmabuf.
    pub fn fourcc(self) -> u32 {
        (match self {
            Self::Xrgb8888 => DrmFourcc::Xrgb8888,
            Self::Argb8888 => DrmFourcc::Argb8888,
            Self::Xbgr8888 => DrmFourcc::Xbgr8888,
            Self::Abgr8888 => DrmFourcc::Abgr8888,
        }) as u32
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

    /// PipeWire's name for it (bytes in memory order).
    pub fn spa(self) -> VideoFormat {
        match self {
            Self::Xrgb8888 => VideoFormat::BGRx,
            Self::Argb8888 => VideoFormat::BGRA,
            Self::Xbgr8888 => VideoFormat::RGBx,
            Self::Abgr8888 => VideoFormat::RGBA,
        }
    }

    /// The format of PipeWire's name.
    pub fn from_spa(spa: VideoFormat) -> Option<Self> {
        ALL.into_iter().find(|format| format.spa() == spa)
    }

    /// Whether pixels have no alpha, so that the host need not blend.
    pub fn is_opaque(self) -> bool {
        matches!(self, Self::Xrgb8888 | Self::Xbgr8888)
    }

    /// Bytes of one pixel.
    pub const fn bytes_per_pixel(self) -> u32 {
        4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back() {
        for format in ALL {
            assert_eq!(PixelFormat::from_fourcc(format.fourcc()), Some(format));
            assert_eq!(PixelFormat::from_shm(format.shm()), Some(format));
            assert_eq!(PixelFormat::from_spa(format.spa()), Some(format));
        }
        assert_eq!(PixelFormat::from_spa(VideoFormat::NV12), None);
    }

    #[test]
    fn names_mean_the_same_bytes() {
        assert_eq!(PixelFormat::Xrgb8888.fourcc(), u32::from_le_bytes(*b"XR24"));
        assert_eq!(PixelFormat::Argb8888.spa(), VideoFormat::BGRA);
    }
}
