//! What to ask the guest for: formats and modifiers that the host takes, best first, less of them after
//! each refusal, and all of them again when the host says something new. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::options::VideoMemory;
use crate::video::format::{ALL, PixelFormat};

/// DRM_FORMAT_MOD_INVALID: the driver knows the layout, nobody says it aloud.
pub const MOD_INVALID: u64 = 0x00ff_ffff_ffff_ffff;

/// DRM_FORMAT_MOD_LINEAR: rows one after the other.
pub const MOD_LINEAR: u64 = 0;

/// More modifiers of one format are not offered: an offer has to fit what PipeWire compares it in (4096 bytes).
const MAX_MODIFIERS: usize = 64;

/// So often in a row a stream may fail after it settled on a pair and before its first frame.
const MAX_FAILURES: u32 = 2;

/// A refused pair is not asked for again sooner; twice as long after each further refusal.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The same for a pair that the guest's streams fail with.
const FAILURE_PAUSE: Duration = Duration::from_secs(60);

/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(1800);

const ONLY_BUFFER: &str = "the guest has only one buffer, which the host would keep";

/// What the host takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFormats {
    /// linux-dmabuf pairs in the host's order of preference.
    pub dmabuf: Vec<(PixelFormat, u64)>,
    /// Where each tranche ends among them, ascending. What is past the last one is a tranche, too.
    pub tranche_ends: Vec<usize>,
    /// The host leaves DMA-BUFs unanswered: none are offered.
    pub silent: bool,
    /// The guest draws on another device: of DMA-BUFs only linear ones mean the same to both.
    pub elsewhere: bool,
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

/// A pair that did not work.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    /// It is not offered.
    in_force: bool,
    /// Not asked for again before.
    until: Instant,
    pause: Duration,
}

/// What has been refused so far, pair by pair.
#[derive(Clone, Debug, Default)]
pub struct Negotiation {
    memory: VideoMemory,
    refused: BTreeMap<(PixelFormat, u64), Refusal>,
    /// The pair that streams failed with before their first frame, and how many in a row.
    failing: Option<((PixelFormat, u64), u32)>,
    /// What is refused is so because the guest has a single buffer, and not by the host.
    only_buffer: bool,
}

impl Negotiation {
    /// Nothing is refused yet; offers are of this memory.
    pub fn new(memory: VideoMemory) -> Self {
        Self { memory, ..Self::default() }
    }

    /// Notes that the host refused to import this pair; true when that is news.
    pub fn refuse(&mut self, format: PixelFormat, modifier: u64, now: Instant) -> bool {
        self.only_buffer = false;
        self.refuse_for((format, modifier), FIRST_PAUSE, now)
    }

    /// The guest has a single buffer, which a host would keep: no DMA-BUF will do for now.
    pub fn refuse_only_buffer(&mut self, host: &HostFormats, now: Instant) {
        for (format, modifier) in &host.dmabuf {
            self.refuse(*format, *modifier, now);
        }
        self.only_buffer = true;
    }

    fn refuse_for(&mut self, pair: (PixelFormat, u64), pause: Duration, now: Instant) -> bool {
        let before = self.refused.get(&pair);
        if before.is_some_and(|refusal| refusal.in_force) {
            return false;
        }
        let pause = before.map_or(pause, |refusal| refusal.pause.saturating_mul(2).clamp(pause, LONGEST_PAUSE));
        self.refused.insert(pair, Refusal { in_force: true, until: now + pause, pause });
        true
    }

    /// A stream that had settled on this pair failed before its first frame. True when the pair is given up for it:
    /// a guest that cannot make such buffers would go on failing.
    pub fn failed_early(&mut self, format: PixelFormat, modifier: u64, now: Instant) -> bool {
        let pair = (format, modifier);
        let times = self.failing.filter(|(failing, _)| *failing == pair).map_or(1, |(_, times)| times + 1);
        self.failing = Some((pair, times));
        times >= MAX_FAILURES && self.refuse_for(pair, FAILURE_PAUSE, now)
    }

    /// A frame came: streams do not fail early any more.
    pub fn carried(&mut self) {
        self.failing = None;
    }

    /// Whether this pair was refused and not forgiven.
    pub fn is_refused(&self, format: PixelFormat, modifier: u64) -> bool {
        self.refused.get(&(format, modifier)).is_some_and(|refusal| refusal.in_force)
    }

    /// The host takes other buffers now: whatever was refused may be taken.
    pub fn forget(&mut self) {
        self.refused.clear();
        self.failing = None;
    }

    /// There will be other buffers anyway: those refused long enough ago are worth another try. True when there are
    /// any.
    pub fn forgive(&mut self, now: Instant) -> bool {
        let mut any = false;
        for refusal in self.refused.values_mut().filter(|refusal| refusal.in_force && refusal.until <= now) {
            refusal.in_force = false;
            any = true;
        }
        any
    }

    /// Offers in order of preference: DMA-BUF first, then the same formats in shared memory.
    pub fn offers(&self, host: &HostFormats) -> Vec<Offer> {
        let mut offers = Vec::new();
        for format in ALL.into_iter().filter(|_| !host.silent && self.memory != VideoMemory::Shm) {
            // A guest takes the modifier it likes best of an offer, but the first offer it can: a tranche has one each.
            let ends = host.tranche_ends.iter().copied().chain([host.dmabuf.len()]);
            let mut start = 0;
            for end in ends {
                let tranche = host.dmabuf.get(start..end).unwrap_or_default();
                start = end.max(start);
                let modifiers: Vec<u64> = tranche
                    .iter()
                    .filter(|(listed, modifier)| *listed == format && !self.is_refused(format, *modifier))
                    .filter(|(_, modifier)| !host.elsewhere || *modifier == MOD_LINEAR)
                    .map(|(_, modifier)| *modifier)
                    .take(MAX_MODIFIERS)
                    .collect();
                if !modifiers.is_empty() {
                    offers.push(Offer { format, modifiers });
                }
            }
        }
        for format in ALL {
            if host.shm.contains(&format) && self.memory != VideoMemory::Dmabuf {
                offers.push(Offer { format, modifiers: Vec::new() });
            }
        }
        offers
    }

    /// Whether DMA-BUFs are asked for, and nothing else.
    pub fn is_dmabuf_only(&self) -> bool {
        self.memory == VideoMemory::Dmabuf
    }

    /// Why frames do not come as DMA-BUF, for the log.
    pub fn why_not_dmabuf(&self, host: &HostFormats) -> &'static str {
        if self.memory == VideoMemory::Shm {
            "as --video shm says"
        } else if host.dmabuf.is_empty() {
            "the host offers no dmabuf format we know"
        } else if host.elsewhere {
            "the guest draws on another device than the host"
        } else if host.silent {
            "the host does not say whether it takes dmabufs"
        } else if host.dmabuf.iter().all(|(format, modifier)| self.is_refused(*format, *modifier)) {
            if self.only_buffer { ONLY_BUFFER } else { "the host refused every dmabuf" }
        } else {
            "the guest offers no dmabuf that the host takes"
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host() -> HostFormats {
        HostFormats {
            dmabuf: vec![
                (PixelFormat::Argb8888, 7),
                (PixelFormat::Xrgb8888, 5),
                (PixelFormat::Xrgb8888, MOD_INVALID),
                (PixelFormat::Xrgb8888, 0),
            ],
            tranche_ends: vec![4],
            silent: false,
            elsewhere: false,
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
    fn only_what_the_option_says_is_offered() {
        let kinds = |memory| {
            let offers = Negotiation::new(memory).offers(&host());
            (offers.iter().any(|it| !it.modifiers.is_empty()), offers.iter().any(|it| it.modifiers.is_empty()))
        };
        assert_eq!(kinds(VideoMemory::Auto), (true, true));
        assert_eq!(kinds(VideoMemory::Dmabuf), (true, false));
        assert_eq!(kinds(VideoMemory::Shm), (false, true));
    }

    #[test]
    fn an_earlier_tranche_comes_before_whatever_the_guest_likes_better() {
        let host = HostFormats { tranche_ends: vec![2, 2], ..host() };
        let offers = Negotiation::default().offers(&host);
        let modifiers = |at: usize| (offers[at].format, offers[at].modifiers.clone());
        assert_eq!(modifiers(0), (PixelFormat::Xrgb8888, vec![5]));
        assert_eq!(modifiers(1), (PixelFormat::Xrgb8888, vec![MOD_INVALID, 0]));
        assert_eq!(modifiers(2), (PixelFormat::Argb8888, vec![7]));
    }

    #[test]
    fn a_refusal_drops_one_pair() {
        let mut negotiation = Negotiation::default();
        assert!(negotiation.refuse(PixelFormat::Xrgb8888, 5, Instant::now()));
        assert!(!negotiation.refuse(PixelFormat::Xrgb8888, 5, Instant::now()));
        assert_eq!(negotiation.offers(&host())[0].modifiers, [MOD_INVALID, 0]);
    }

    #[test]
    fn shared_memory_remains_when_all_is_refused() {
        let mut negotiation = Negotiation::default();
        for (format, modifier) in host().dmabuf {
            negotiation.refuse(format, modifier, Instant::now());
        }
        assert!(negotiation.offers(&host()).iter().all(|offer| offer.modifiers.is_empty()));
        assert_eq!(negotiation.offers(&host()).len(), 2);
        assert_eq!(negotiation.why_not_dmabuf(&host()), "the host refused every dmabuf");
    }

    #[test]
    fn a_single_buffer_is_not_the_hosts_fault() {
        let mut negotiation = Negotiation::default();
        negotiation.refuse_only_buffer(&host(), Instant::now());
        assert!(negotiation.offers(&host()).iter().all(|offer| offer.modifiers.is_empty()));
        assert_eq!(negotiation.why_not_dmabuf(&host()), ONLY_BUFFER);
        // Tried again, the host itself may refuse them.
        negotiation.refuse(PixelFormat::Xrgb8888, 5, Instant::now());
        assert_eq!(negotiation.why_not_dmabuf(&host()), "the host refused every dmabuf");
    }

    #[test]
    fn of_another_device_only_what_all_read_alike_is_asked_for() {
        let host = HostFormats { elsewhere: true, ..host() };
        let negotiation = Negotiation::default();
        let offers = negotiation.offers(&host);
        assert!(offers.iter().any(|offer| offer.modifiers == [MOD_LINEAR]));
        assert!(offers.iter().all(|offer| offer.modifiers.is_empty() || offer.modifiers == [MOD_LINEAR]));
        assert_eq!(negotiation.why_not_dmabuf(&host), "the guest draws on another device than the host");
    }

    #[test]
    fn a_silent_host_is_offered_shared_memory_only() {
        let host = HostFormats { silent: true, ..host() };
        let negotiation = Negotiation::default();
        assert!(negotiation.offers(&host).iter().all(|offer| offer.modifiers.is_empty()));
        assert_eq!(negotiation.why_not_dmabuf(&host), "the host does not say whether it takes dmabufs");
    }

    #[test]
    fn a_refused_pair_is_tried_again_later_and_ever_less_often() {
        let (mut negotiation, mut now) = (Negotiation::default(), Instant::now());
        for seconds in [1, 2, 4, 8] {
            assert!(negotiation.refuse(PixelFormat::Xrgb8888, 5, now));
            now += Duration::from_secs(seconds);
            assert!(!negotiation.forgive(now - Duration::from_millis(1)));
            assert!(negotiation.is_refused(PixelFormat::Xrgb8888, 5));
            assert!(negotiation.forgive(now));
            assert!(!negotiation.is_refused(PixelFormat::Xrgb8888, 5));
            assert!(!negotiation.forgive(now));
        }
        for _ in 0..40 {
            assert!(negotiation.refuse(PixelFormat::Xrgb8888, 5, now));
            now += LONGEST_PAUSE;
            assert!(negotiation.forgive(now));
        }
    }

    #[test]
    fn news_from_the_host_bring_everything_back() {
        let mut negotiation = Negotiation::default();
        negotiation.refuse(PixelFormat::Xrgb8888, 5, Instant::now());
        negotiation.forget();
        assert_eq!(negotiation.offers(&host()), Negotiation::default().offers(&host()));
    }

    #[test]
    fn a_pair_that_streams_fail_with_is_given_up() {
        let now = Instant::now();
        let mut negotiation = Negotiation::default();
        assert!(!negotiation.failed_early(PixelFormat::Xrgb8888, 5, now));
        assert!(!negotiation.failed_early(PixelFormat::Xrgb8888, MOD_INVALID, now));
        assert!(!negotiation.failed_early(PixelFormat::Xrgb8888, 5, now));
        negotiation.carried();
        assert!(!negotiation.failed_early(PixelFormat::Xrgb8888, 5, now));
        assert!(negotiation.failed_early(PixelFormat::Xrgb8888, 5, now));
        assert!(negotiation.is_refused(PixelFormat::Xrgb8888, 5));
        assert!(!negotiation.is_refused(PixelFormat::Xrgb8888, MOD_INVALID));
    }

    proptest! {
        #[test]
        fn only_what_the_host_lists_and_nobody_refused_is_offered_and_shared_memory_always(
            listed in proptest::collection::vec((0..ALL.len(), 0u64..80), 0..300),
            refused in proptest::collection::vec((0..ALL.len(), 0u64..80), 0..60),
            shm in proptest::collection::vec(0..ALL.len(), 0..6), silent in any::<bool>(),
            ends in proptest::collection::vec(0usize..320, 0..4),
        ) {
            let pairs = |list: Vec<(usize, u64)>| list.into_iter().map(|(at, modifier)| (ALL[at], modifier)).collect();
            let shm: Vec<PixelFormat> = shm.into_iter().map(|at| ALL[at]).collect();
            let host = HostFormats { dmabuf: pairs(listed), tranche_ends: ends, silent, elsewhere: false, shm: shm.clone() };
            let refused: Vec<(PixelFormat, u64)> = pairs(refused);
            let mut negotiation = Negotiation::default();
            for (format, modifier) in &refused {
                negotiation.refuse(*format, *modifier, Instant::now());
            }
            let offers = negotiation.offers(&host);
            for offer in &offers {
                for modifier in &offer.modifiers {
                    prop_assert!(host.dmabuf.contains(&(offer.format, *modifier)) && !silent);
                    prop_assert!(!refused.contains(&(offer.format, *modifier)));
                }
                prop_assert!(offer.modifiers.len() <= MAX_MODIFIERS);
                prop_assert!(!offer.modifiers.is_empty() || shm.contains(&offer.format));
            }
            for format in shm {
                let last_resort = Offer { format, modifiers: Vec::new() };
                prop_assert!(offers.contains(&last_resort));
            }
            // Shared memory comes last, each part in our order of preference.
            let order = |offer: &Offer| (offer.modifiers.is_empty(), ALL.iter().position(|it| *it == offer.format));
            prop_assert!(offers.iter().map(order).is_sorted());
        }
    }
}
