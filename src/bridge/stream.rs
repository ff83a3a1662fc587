//! The guest's stream: connecting it, what it is offered (formats, size, rate), what it settles on, and what to do when
//! it does not. Its frames are `frames`' business.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use tracing::{debug, info};

use crate::bridge::Bridge;
use crate::bridge::devices::exporter;
use crate::guest::wlroots::outputs::Mode;
use crate::host::size::WindowSize;
use crate::options::{Pace, VideoMemory};
use crate::stats::Path;
use crate::video::frame::{BufferId, Negotiated};
use crate::video::negotiation::{Negotiation, Offer};
use crate::video::pods::StreamSize;
use crate::video::rate::{MaxRate, RateStep};
use crate::video::resize::Debounce;
use crate::video::stream::{VideoEvent, VideoStream, Wishes};

/// Session managers link within milliseconds; after this long there is none.
const LINK_PATIENCE: Duration = Duration::from_millis(1500);

/// A stream that has no format after this long will not get one.
const FORMAT_PATIENCE: Duration = Duration::from_secs(8);

/// So long a picture that may have been lost is waited for, the first time; each time after that twice as long.
const PICTURE_PATIENCE: Duration = Duration::from_millis(1000);

/// Where the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Nobody has linked it yet.
    Missing {
        /// Since when.
        since: Instant,
    },
    /// We did it ourselves.
    ByHand {
        /// Since when the stream exists.
        since: Instant,
    },
    /// It has a format.
    Settled,
}

struct Connected {
    stream: VideoStream,
    link: Link,
    asked: StreamSize,
    step: RateStep,
    /// What the guest was offered last, and whether it has not settled on any of it yet.
    offers: Vec<Offer>,
    unsettled: bool,
}

/// The stream's state, and what is known for the ones to come.
#[derive(Default)]
pub(super) struct Cast {
    connected: Option<Connected>,
    negotiation: Negotiation,
    window: Option<WindowSize>,
    resizing: Debounce,
    /// What the stream settled on, until it brings a frame.
    new_format: Option<Negotiated>,
    /// Since when a format has brought no frame, where its first may have been lost, or came without pixels.
    bare_since: Option<Instant>,
    /// Sessions that were given up for that, one after the other.
    lost_pictures: u32,
    /// The guest has a single buffer: one that the host keeps would be its last.
    only_buffer: bool,
}

impl Cast {
    /// No stream yet; the ones to come have frames in this memory.
    pub fn new(memory: VideoMemory) -> Self {
        Self { negotiation: Negotiation::new(memory), ..Self::default() }
    }

    /// The stream of the session that there is.
    pub fn stream(&self) -> Option<&VideoStream> {
        self.connected.as_ref().map(|connected| &connected.stream)
    }

    /// The next thing that happened on the stream.
    pub fn next_event(&self) -> Option<VideoEvent> {
        self.stream()?.next_event()
    }

    /// PipeWire's descriptor, to be watched for reading while there is a stream.
    pub fn loop_fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream().map(VideoStream::loop_fd)
    }

    /// Runs what PipeWire has to do, without waiting.
    pub fn iterate(&self) {
        if let Some(stream) = self.stream() {
            stream.iterate();
        }
    }

    /// Whether the guest draws when it is triggered, and not by itself.
    pub fn is_driving(&self) -> bool {
        self.stream().is_some_and(VideoStream::is_driving)
    }

    /// Lets the guest draw once.
    pub fn trigger(&self) {
        if let Some(stream) = self.stream() {
            stream.trigger();
        }
    }

    /// Whether the host has said how large the window is.
    pub fn has_window(&self) -> bool {
        self.window.is_some()
    }

    /// Whether the guest draws in one buffer only.
    pub fn has_only_buffer(&self) -> bool {
        self.only_buffer
    }

    /// When [`Bridge::check_stream`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let link = self.connected.as_ref().and_then(|connected| match connected.link {
            Link::Missing { since } => Some(since + LINK_PATIENCE),
            Link::ByHand { since } => Some(since + FORMAT_PATIENCE),
            Link::Settled => None,
        });
        link.into_iter().chain(self.resizing.deadline()).chain(self.picture_deadline()).min()
    }

    /// A buffer came that was to have pixels, and has none, while there has been no picture yet: its format's buffers may
    /// have no memory.
    pub fn came_bare(&mut self, now: Instant) {
        self.bare_since.get_or_insert(now);
    }

    /// When a picture that has not come counts as lost.
    fn picture_deadline(&self) -> Option<Instant> {
        // More would be a minute.
        let patience = PICTURE_PATIENCE * (1 << self.lost_pictures.min(5));
        self.bare_since.map(|since| since + patience)
    }
}

impl Bridge {
    /// Connects the stream as soon as there are both a session and a size to ask for.
    pub(super) fn connect_video(&mut self) {
        let (Some(session), Some(window), None) = (self.guest.session(), self.cast.window, &self.cast.connected) else {
            return;
        };
        let asked =
            if session.resizable { StreamSize::Fixed(window.pixels.0, window.pixels.1) } else { StreamSize::Any };
        self.cast.negotiation.forgive(Instant::now());
        let offers = self.cast.negotiation.offers(&self.host_formats());
        if offers.is_empty() {
            return self.nothing_to_offer();
        }
        let sync = self.sync_device();
        let cursor = self.options.cursor.is_beside();
        let wishes = Wishes {
            size: asked,
            rate: self.options.refresh(window.refresh),
            cursor,
            sync,
            drive: self.options.pace == Pace::Host,
        };
        let node = session.node;
        self.size_output();
        let remote = self.guest.take_remote();
        match VideoStream::connect(remote, node, &offers, wishes) {
            Ok(stream) => {
                let link = Link::Missing { since: Instant::now() };
                let step = RateStep::Refresh;
                let unsettled = true;
                self.cast.connected = Some(Connected { stream, link, asked, step, offers, unsettled });
            }
            Err(error) => self.lose_session(&error.to_string()),
        }
    }

    /// There is nothing that may be asked of the guest, or it has nothing of it.
    fn nothing_to_offer(&mut self) {
        let why = self.why_not_dmabuf();
        self.lose_session(&format!("no frames: {why}, and --video dmabuf asks for nothing else; leave that out"));
    }

    /// Takes the stream down; the picture stays.
    pub(super) fn disconnect_video(&mut self) {
        self.frames.pacer.set_driving(false, Instant::now());
        if let Some(connected) = self.cast.connected.take() {
            drop(connected);
            self.cast.new_format = None;
            self.cast.bare_since = None;
            self.stream_gone();
        }
    }

    /// The stream failed. One that does so again and again before its first frame has the wrong kind of buffers.
    pub(super) fn stream_lost(&mut self, why: &str) {
        if let Some(Negotiated { format, modifier: Some(modifier), .. }) = self.cast.new_format {
            if self.cast.negotiation.failed_early(format, modifier, Instant::now()) {
                info!(?format, modifier = %format!("{modifier:#x}"), "streams with this kind of dmabuf fail before their first frame; offering without it");
            }
        }
        let never_settled = self.cast.connected.as_ref().is_some_and(|connected| connected.link != Link::Settled);
        if never_settled && self.cast.negotiation.is_dmabuf_only() {
            debug!(why, "the stream failed");
            return self.nothing_to_offer();
        }
        self.lose_session(why);
    }

    pub(super) fn window_resized(&mut self, size: WindowSize) {
        debug!(?size, "window size");
        self.input.set_window(size.logical.0, size.logical.1);
        let before = self.cast.window.replace(size);
        self.frames.pacer.set_rate(self.options.refresh(size.refresh));
        let Some(before) = before else {
            self.connect_video();
            self.commit_waiting();
            return;
        };
        self.cast.resizing.changed(Instant::now());
        let is_resizable = self.guest.session().is_some_and(|session| session.resizable);
        if is_resizable
            && self.options.refresh.is_none()
            && before.pixels == size.pixels
            && before.refresh != size.refresh
        {
            // Mutter ignores another rate that comes with the same size.
            let now = f64::from(size.refresh) / 1000.0;
            info!(
                "the host's rate is {now} Hz now; the guest's monitor keeps the one that it has until its size changes"
            );
        }
    }

    /// What time brings to the stream: a size that has settled, a link that nobody made.
    pub(super) fn check_stream(&mut self, now: Instant) {
        if self.cast.resizing.take(now) {
            self.ask_for_window_size();
        }
        if self.cast.picture_deadline().is_some_and(|until| now >= until) {
            self.cast.lost_pictures += 1;
            return self.lose_session("the guest sent no picture, or lost it");
        }
        let Some(connected) = &mut self.cast.connected else { return };
        match connected.link {
            Link::Missing { since } if now >= since + LINK_PATIENCE => {
                info!("no session manager linked the stream; linking it by hand");
                connected.link = Link::ByHand { since };
                if let Err(error) = connected.stream.link_by_hand() {
                    self.lose_session(&format!("nobody links the guest's stream, and PipeWire refused to ({error}); start wireplumber in the guest's session"));
                }
            }
            Link::ByHand { since } if now >= since + FORMAT_PATIENCE => {
                self.lose_session("the guest's stream got no format; start wireplumber in the guest's session");
            }
            _ => {}
        }
    }

    /// Gives the guest's output the window's size and rate, where that is not the stream's to say.
    fn size_output(&self) {
        let output = self.guest.session().and_then(|session| session.output.as_ref());
        if let (Some(output), Some(window)) = (output, self.cast.window) {
            let (width, height) = window.pixels;
            let MaxRate(refresh) = self.options.refresh(window.refresh);
            output.set(Mode { width, height, refresh });
        }
    }

    fn ask_for_window_size(&mut self) {
        self.size_output();
        let resizable = self.guest.session().is_some_and(|session| session.resizable);
        let (Some(window), Some(connected), true) = (self.cast.window, &mut self.cast.connected, resizable) else {
            return;
        };
        let asked = StreamSize::Fixed(window.pixels.0, window.pixels.1);
        if connected.asked != asked {
            connected.asked = asked;
            connected.step = RateStep::Refresh;
            self.cast.negotiation.forgive(Instant::now());
            self.offer_again("the window has another size");
        }
    }

    /// Offers formats again, for the size that was last asked for.
    pub(super) fn offer_again(&mut self, why: &str) {
        let host = self.host_formats();
        let (Some(connected), Some(window)) = (&mut self.cast.connected, self.cast.window) else { return };
        let rate = connected.step.offered(self.options.refresh(window.refresh));
        let offers = self.cast.negotiation.offers(&host);
        debug!(why, asked = ?connected.asked, ?rate, offers = offers.len(), "offering formats");
        if offers.is_empty() {
            return self.nothing_to_offer();
        }
        match connected.stream.offer(&offers, connected.asked, rate) {
            Ok(()) => {
                connected.offers = offers;
                connected.unsettled = true;
            }
            // Not as an event: nothing would wake the loop for it.
            Err(error) => self.lose_session(&error.to_string()),
        }
    }

    /// Offers formats again if they are others than the last time.
    pub(super) fn offer_changes(&mut self, why: &str) {
        let offers = self.cast.negotiation.offers(&self.host_formats());
        if self.cast.connected.as_ref().is_some_and(|connected| connected.offers != offers) {
            self.offer_again(why);
        }
    }

    pub(super) fn host_formats_changed(&mut self) {
        self.cast.negotiation.forget();
        self.offer_changes("the host's formats changed");
    }

    pub(super) fn format_settled(&mut self, negotiated: Negotiated) {
        debug!(?negotiated, "the guest's format");
        self.input.set_stream(negotiated.width, negotiated.height);
        self.cast.new_format = Some(negotiated);
        let may_be_lost = self.guest.session().is_some_and(|session| session.may_lose_first);
        self.cast.bare_since = may_be_lost.then(Instant::now);
        let Some(connected) = &mut self.cast.connected else { return };
        connected.link = Link::Settled;
        // A guest that renegotiates by itself has other buffers now: maybe ones that the host does take.
        if !std::mem::take(&mut connected.unsettled) && self.cast.negotiation.forgive(Instant::now()) {
            self.offer_changes("the guest has other buffers");
        }
    }

    /// A format brings frames; all its buffers are there by now.
    pub(super) fn format_carries(&mut self) {
        if self.cast.new_format.take().is_some() {
            self.cast.bare_since = None;
            self.cast.lost_pictures = 0;
            self.cast.negotiation.carried();
            self.cast.only_buffer = self.cast.stream().is_some_and(|stream| stream.pool_size() == 1);
            self.input.stream_shown();
        }
    }

    /// Frames of this size are seen: a rate that had to wait for that is asked for now.
    pub(super) fn size_shown(&mut self, negotiated: Negotiated) {
        let size = StreamSize::Fixed(negotiated.width, negotiated.height);
        let Some(connected) = &mut self.cast.connected else { return };
        if connected.step.shown(connected.asked, size, connected.stream.takes_every_frame()) {
            self.offer_again("the refresh rate is settled");
        }
    }

    /// Why frames do not come as DMA-BUFs.
    pub(super) fn why_not_dmabuf(&self) -> &'static str {
        self.cast.negotiation.why_not_dmabuf(&self.host_formats())
    }

    /// The host keeps what it shows, and a DMA-BUF cannot be copied: a guest with a single one needs other memory.
    pub(super) fn spare_only_buffer(&mut self, path: Path) {
        if self.cast.only_buffer && path == Path::DmaBuf {
            info!("the guest has only one buffer, which the host keeps; offering without dmabufs");
            self.cast.negotiation.refuse_only_buffer(&self.host.formats(), Instant::now());
            self.offer_changes("the guest has only one buffer");
        }
    }

    pub(super) fn import_refused(&mut self, id: BufferId, negotiated: Negotiated) {
        let exporter = self.frames.mailbox.waiting().filter(|frame| frame.buffer == id).and_then(exporter);
        self.drop_waiting_if(|frame| frame.buffer == id);
        self.refused(negotiated, exporter.as_deref());
    }

    /// The host takes no DMA-BUFs of this pair: offer without it.
    pub(super) fn refused(&mut self, negotiated: Negotiated, exporter: Option<&str>) {
        let Some(modifier) = negotiated.modifier else { return };
        if self.cast.negotiation.refuse(negotiated.format, modifier, Instant::now()) {
            self.tell_refusal(negotiated, modifier, exporter);
            self.offer_changes("the host refused a dmabuf");
        }
    }
}
