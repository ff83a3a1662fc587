//! What to ask the guest for: formats and modifiers that the host takes, best first, less of them after
//! each refusal. Pure.

use std::collections::BTreeSet;

use crate::video::format::{ALL, PixelFormat};

/// DRM_FORMAT_MOD_INVALID: the driver knows the layout, nobody says it aloud.
pub const MOD_INVALID: u64 = 0x00ff_ffff_ffff_ffff;

/// What the host takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFormats {
    /// linux-dmabuf pairs in the host's order of preference.
    pub dmabuf: Vec<(PixelFormat, u64)>,
    /// wl_shm formats.
    pub shm: Vec<PixelFormat>,
}

/// One line of an offer to PipeWire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Pixel format.
    pub format: PixelFormat,
    /// DMA-BUF modifiers, best first; empty asks for shared memory.
    pub modifiers: Vec<u64>,
}

/// What the host has refused so far, pair by pair.
#[derive(Clone, Debug, Default)]
pub struct Negotiation {
    refused: BTreeSet<(PixelFormat, u64)>,
}

impl Negotiation {
    /// Notes that the host refused to import this pair; true when that is news.
    pub fn refuse(&mut self, format: PixelFormat, modifier: u64) -> bool {
        self.refused.insert((format, modifier))
    }

    /// Whether the host has refused this pair.
    pub fn is_refused(&self, format: PixelFormat, modifier: u64) -> bool {
        self.refused.contains(&(format, modifier))
    }

    /// Offers in order of preference: DMA-BUF first, then the same formats in shared memory.
    pub fn offers(&self, host: &HostFormats) -> Vec<Offer> {
        let mut offers = Vec::new();
        for format in ALL {
            let modifiers: Vec<u64> = host
                .dmabuf
                .iter()
                .filter(|(listed, modifier)| *listed == format && !self.is_refused(format, *modifier))
                .map(|(_, modifier)| *modifier)
                .collect();
            if !modifiers.is_empty() {
                offers.push(Offer { format, modifiers });
            }
        }
        for format in ALL {
            if host.shm.contains(&format) {
                offers.push(Offer { format, modifiers: Vec::new() });
            }
        }
        offers
    }

    /// Why frames do not come as DMA-BUF, for the log.
    pub fn why_not_dmabuf(&self, host: &HostFormats) -> &'static str {
        if host.dmabuf.is_empty() {
            "the host offers no dmabuf format we know"
        } else if self.offers(host).iter().all(|offer| offer.modifiers.is_empty()) {
            "the host refused every dmabuf"
        } else {
            "the guest offers no dmabuf"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostFormats {
        HostFormats {
            dmabuf: vec![
                (PixelFormat::Argb8888, 7),
                (PixelFormat::Xrgb8888, 5),
                (PixelFormat::Xrgb8888, MOD_INVALID),
                (PixelFormat::Xrgb8888, 0),
            ],
            shm: vec![PixelFormat::Argb8888, PixelFormat::Xrgb8888],
        }
    }

    #[test]
    fn dmabuf_comes_before_shared_memory_and_opaque_before_alpha() {
        let offers = Negotiation::default().offers(&host());
        assert_eq!(
            offers,
            [
                Offer { format: PixelFormat::Xrgb8888, modifiers: vec![5, MOD_INVALID, 0] },
                Offer { format: PixelFormat::Argb8888, modifiers: vec![7] },
                Offer { format: PixelFormat::Xrgb8888, modifiers: vec![] },
                Offer { format: PixelFormat::Argb8888, modifiers: vec![] },
            ]
        );
    }

    #[test]
    fn a_refusal_drops_one_pair() {
        let mut negotiation = Negotiation::default();
        assert!(negotiation.refuse(PixelFormat::Xrgb8888, 5));
        assert!(!negotiation.refuse(PixelFormat::Xrgb8888, 5));
        assert_eq!(negotiation.offers(&host())[0].modifiers, [MOD_INVALID, 0]);
    }

    #[test]
    fn shared_memory_remains_when_all_is_refused() {
        let mut negotiation = Negotiation::default();
        for (format, modifier) in host().dmabuf {
            negotiation.refuse(format, modifier);
        }
        assert!(negotiation.offers(&host()).iter().all(|offer| offer.modifiers.is_empty()));
        assert_eq!(negotiation.offers(&host()).len(), 2);
        assert_eq!(negotiation.why_not_dmabuf(&host()), "the host refused every dmabuf");
    }
}
