//! The frame path with fakes: every kind of memory and of dmabuf, formats that come twice or late, buffers that
//! are lent, removed or wrong, and what the host holds meanwhile.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Bridge, Ended, SOON};
use fake_guest::{
    FakeGuest, Fill, GuestOptions, Layout, MutterOptions, Offer, PlainMemory, Producer, ProducerOptions, Seal,
};
use fake_host::{BLACK, BufferKind, Builder, Dmabuf, FakeHost, ImportPolicy, ReleasePolicy, Seen};

/// DRM fourccs.
const XR24: u32 = u32::from_le_bytes(*b"XR24");
const AR24: u32 = u32::from_le_bytes(*b"AR24");

/// DRM_FORMAT_MOD_LINEAR, and two that only a GPU knows.
const LINEAR: u64 = 0;
const TILED: u64 = 0x0100_0000_0000_0002;
const ODD: u64 = 0x0300_0000_0060_6014;

/// Memory order blue, green, red, unused; and what that is on the screen.
const RED: (Fill, u32) = (Fill::Solid([0, 0, 255, 0]), 0xffff_0000);
const GREEN: (Fill, u32) = (Fill::Solid([0, 255, 0, 0]), 0xff00_ff00);
const BLUE: (Fill, u32) = (Fill::Solid([255, 0, 0, 0]), 0xff00_00ff);

struct World {
    host: FakeHost,
    guest: FakeGuest,
    bridge: Bridge,
    producer: Arc<Producer>,
}

fn guest(producer: ProducerOptions) -> GuestOptions {
    GuestOptions { mutter: MutterOptions { producer, ..Default::default() }, ..Default::default() }
}

impl World {
    fn new(host: Builder, producer: ProducerOptions) -> Self {
        let host = host.start().unwrap();
        let guest = FakeGuest::start(guest(producer)).unwrap();
        let bridge = Bridge::start(host.socket(), &guest.env(), &[]);
        let producer = bridge.expect(guest.mutter.producer(SOON));
        Self { host, guest, bridge, producer }
    }

    /// Sends this until the host has got it: PipeWire may lose what is sent while formats or buffers change.
    fn send(&self, fill: Fill) {
        let before = self.host.look(Seen::frame_count);
        let began = std::time::Instant::now();
        loop {
            self.bridge.expect(self.producer.streaming(SOON));
            self.bridge.expect(self.producer.send(fill, SOON));
            let got = self.host.wait(|seen| seen.frame_count() > before, Duration::from_millis(500));
            match got {
                Err(error) if began.elapsed() > SOON => panic!("{error}"),
                Err(_) => {}
                Ok(()) => return,
            }
        }
    }

    /// Sends a colour and waits until it is on the screen.
    fn show(&self, (fill, colour): (Fill, u32)) {
        self.send(fill);
        self.shows(colour);
    }

    fn shows(&self, colour: u32) {
        common::wait_for("the colour", SOON, || (self.host.pixel(100, 100) == Some(colour)).then_some(()));
    }

    /// The rate's second step is done: the stream has been renegotiated for the last time.
    fn settle(&self) {
        self.send(Fill::Coded(0));
        self.bridge.expect(self.producer.wait(|s| s.ready().filter(|f| f.max_framerate == (1000, 1)), SOON));
    }

    fn kind(&self) -> BufferKind {
        self.host.look(|seen| {
            let frame = seen.last_frame().expect("a frame");
            seen.buffer(frame.buffer().expect("a buffer")).expect("its record").kind.clone()
        })
    }

    fn modifier(&self) -> Option<(u32, u64)> {
        match self.kind() {
            BufferKind::Dmabuf(buffer) => Some((buffer.fourcc, buffer.modifier)),
            _ => None,
        }
    }

    /// Ends the bridge; neither side may have found anything to complain of.
    fn end(self) -> Ended {
        // The daemon complains of a link that ends, whoever's fault that is: before.
        assert_eq!(self.producer.state().errors, Vec::<String>::new());
        assert_eq!(self.guest.mutter.state().errors(), Vec::<String>::new());
        let ended = self.bridge.end();
        let seen = self.host.seen();
        assert_eq!(seen.oddities, Vec::<String>::new(), "{seen}");
        assert!(seen.errors.is_empty(), "{seen}");
        ended
    }
}

fn wolf() -> Builder {
    FakeHost::builder().wolf()
}

fn gpu(modifiers: &[u64]) -> ProducerOptions {
    ProducerOptions { offers: Offer::gpu(modifiers), ..Default::default() }
}

#[test]
fn shared_memory_goes_on_uncopied_and_pixel_for_pixel() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.send(Fill::Coded(1));
    for (x, y) in [(0, 0), (1279, 0), (0, 719), (1279, 719), (700, 300)] {
        let [blue, green, red, _] = fake_guest::coded_pixel(x, y, 1);
        let wanted = u32::from_be_bytes([255, red, green, blue]);
        assert_eq!(world.host.pixel(x as i32, y as i32), Some(wanted), "{x},{y}");
    }
    let ended = world.end();
    assert_eq!((ended.counter("copied_bytes"), ended.counter("bad")), (0, 0));
    assert!(ended.log.contains("by memfd"), "{}", ended.log);
}

#[test]
fn wolf_shows_the_first_frame_of_a_still_desktop() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.show(RED);
    world.bridge.expect(world.host.wait(Seen::shown, SOON));
    world.end();
}

#[test]
fn dmabufs_are_handed_on_by_every_version_of_the_protocol() {
    let formats = vec![(XR24, LINEAR), (XR24, TILED), (AR24, LINEAR)];
    for dmabuf in
        [Dmabuf::V3(formats.clone()), Dmabuf::feedback(4, 0, formats.clone()), Dmabuf::feedback(5, 0, formats.clone())]
    {
        let version = format!("{dmabuf:?}");
        let world = World::new(wolf().dmabuf(dmabuf), gpu(&[ODD, TILED, LINEAR]));
        world.send(Fill::Coded(1));
        world.send(Fill::Coded(2));
        let (fourcc, modifier) = world.modifier().unwrap_or_else(|| panic!("no dmabuf: {version}"));
        assert_eq!(fourcc, XR24, "{version}");
        assert!(modifier == TILED || modifier == LINEAR, "{version}: {modifier:#x}");
        let ended = world.end();
        assert_eq!(ended.counter("copied_bytes"), 0);
        assert!(ended.log.contains("by dmabuf"), "{}", ended.log);
    }
}

#[test]
fn without_dmabuf_in_common_shared_memory_is_used() {
    for host in [wolf(), wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, ODD)]))] {
        let world = World::new(host, gpu(&[TILED, LINEAR]));
        world.show(GREEN);
        assert!(matches!(world.kind(), BufferKind::Shm(_)));
        world.end();
    }
}

#[test]
fn a_refused_pair_is_dropped_and_the_stream_goes_on() {
    let formats = vec![(XR24, TILED), (XR24, LINEAR)];
    let host = wolf().dmabuf(Dmabuf::feedback(5, 0, formats)).import(ImportPolicy::Refuse(vec![(XR24, TILED)]));
    let world = World::new(host, gpu(&[TILED, LINEAR]));
    world.bridge.expect(world.producer.streaming(SOON));
    world.bridge.expect(world.producer.send(Fill::Coded(1), SOON));
    world.producer.animate(30.0);
    world.bridge.expect(world.host.wait(|seen| seen.frame_count() > 3, SOON));
    world.producer.stop();
    assert_eq!(world.modifier(), Some((XR24, LINEAR)));
    let refused = world.host.look(|seen| seen.params.iter().filter(|it| it.asked == Some((XR24, TILED))).count());
    assert!((1..=16).contains(&refused), "{refused} attempts with the refused pair");
    world.end();
}

#[test]
fn when_every_dmabuf_is_refused_shared_memory_takes_over() {
    let formats = vec![(XR24, TILED), (XR24, LINEAR), (AR24, LINEAR)];
    let host = wolf().dmabuf(Dmabuf::feedback(4, 0, formats)).import(ImportPolicy::RefuseAll);
    let world = World::new(host, gpu(&[TILED, LINEAR]));
    world.bridge.expect(world.producer.streaming(SOON));
    world.producer.animate(30.0);
    world.bridge.expect(world.host.wait(Seen::shown, SOON));
    world.producer.stop();
    assert!(matches!(world.kind(), BufferKind::Shm(_)));
    world.show(BLUE);
    let ended = world.end();
    assert_eq!(ended.counter("copied_bytes"), 0);
}

#[test]
fn formats_that_a_host_adds_later_are_used() {
    let world = World::new(wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, ODD)])), gpu(&[LINEAR]));
    world.show(RED);
    world.host.set_dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)]));
    world.producer.animate(30.0);
    common::wait_for("dmabufs", SOON, || world.modifier().filter(|it| *it == (XR24, LINEAR)));
    world.producer.stop();
    world.end();
}

#[test]
fn a_choice_of_one_modifier_and_a_preference_are_fixated() {
    for prefer_modifier in [None, Some(LINEAR)] {
        let formats = vec![(XR24, TILED), (XR24, LINEAR)];
        let producer = ProducerOptions { prefer_modifier, ..gpu(&[TILED, LINEAR]) };
        let world = World::new(wolf().dmabuf(Dmabuf::feedback(5, 0, formats)), producer);
        world.send(Fill::Coded(1));
        let wanted = prefer_modifier.unwrap_or(TILED);
        assert_eq!(world.modifier(), Some((XR24, wanted)));
        world.end();
    }
}

#[test]
fn a_repeated_format_changes_nothing() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    for colour in [GREEN, BLUE, RED] {
        world.producer.repeat_format();
        world.show(colour);
    }
    let ended = world.end();
    assert_eq!(ended.counter("sessions"), 1);
}

#[test]
fn memory_without_a_file_is_copied_and_counted() {
    let producer = ProducerOptions { plain: PlainMemory::MemPtr, ..Default::default() };
    let world = World::new(wolf(), producer);
    world.settle();
    world.show(RED);
    world.show(GREEN);
    let (committed, copied) = (world.bridge.counter("committed"), world.bridge.counter("copied_bytes"));
    assert_eq!(copied, committed * 1280 * 720 * 4);
    let ended = world.end();
    assert_eq!(ended.log.matches("frames are copied: the guest's memory is in no file").count(), 1, "{}", ended.log);
}

#[test]
fn memory_that_the_host_could_not_map_is_copied() {
    for seal in [Seal::Write, Seal::ReadOnlyFd] {
        let world = World::new(wolf(), ProducerOptions { seal, ..Default::default() });
        world.show(RED);
        world.show(BLUE);
        let ended = world.end();
        assert!(ended.counter("copied_bytes") > 0, "{seal:?}");
        assert!(ended.log.contains("cannot be mapped for writing"), "{}", ended.log);
    }
}

#[test]
fn padded_rows_and_shared_files_are_no_reason_to_copy() {
    for (layout, row_padding) in [(Layout::OneFdEach, 64), (Layout::SharedFd, 0), (Layout::SharedFd, 256)] {
        let world = World::new(wolf(), ProducerOptions { layout, row_padding, ..Default::default() });
        world.settle();
        for colour in [RED, GREEN, BLUE] {
            world.show(colour);
        }
        world.send(Fill::Coded(9));
        let [blue, green, red, _] = fake_guest::coded_pixel(1279, 719, 9);
        assert_eq!(world.host.pixel(1279, 719), Some(u32::from_be_bytes([255, red, green, blue])), "{layout:?}");
        let ended = world.end();
        assert_eq!(ended.counter("copied_bytes"), 0, "{layout:?} {row_padding}");
    }
}

#[test]
fn frames_that_do_not_fit_their_memory_never_reach_the_host() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    let frames = world.host.look(Seen::frame_count);
    let bends: [fn(&mut fake_guest::Frame); 6] = [
        |frame| frame.chunk.stride = 1 << 30,
        |frame| frame.chunk.stride = 100,
        |frame| frame.chunk.stride = -5120,
        |frame| frame.chunk.stride = 0,
        |frame| frame.chunk.offset = 4096,
        |frame| frame.chunk.size = u32::MAX,
    ];
    let mut bad = 0;
    for bend in bends {
        world.producer.frame_with(GREEN.0, bend);
        let told = common::wait_for("the frame's end", SOON, || {
            let told = world.bridge.counter("bad") + world.host.look(Seen::frame_count) as i64;
            (told > bad).then_some(world.bridge.counter("bad"))
        });
        bad = told.max(bad);
    }
    let _ = frames;
    world.show(BLUE);
    let ended = world.end();
    assert!(ended.counter("bad") >= 5, "{}", ended.log);
}

#[test]
fn frames_without_pixels_show_nothing() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    let (frames, empty) = (world.host.look(Seen::frame_count), world.bridge.counter("empty"));
    world.producer.frame_with(GREEN.0, fake_guest::Frame::metadata_only);
    world.producer.frame_with(GREEN.0, |frame| frame.chunk.size = 0);
    world.producer.frame_with(GREEN.0, fake_guest::Frame::corrupted);
    common::wait_for("the empty frames", SOON, || (world.bridge.counter("empty") == empty + 3).then_some(()));
    assert_eq!(world.host.look(Seen::frame_count), frames);
    assert_eq!(world.host.pixel(100, 100), Some(RED.1));
    world.show(BLUE);
    world.end();
}

#[test]
fn buffers_come_back_when_the_host_released_them_and_not_before() {
    for release in [ReleasePolicy::OnReplacement, ReleasePolicy::Manual, ReleasePolicy::AtOnce] {
        let world = World::new(wolf().release(release).watch_lent_buffers(), ProducerOptions::default());
        world.settle();
        let colours = [RED, GREEN, BLUE];
        for round in 0..30 {
            world.show(colours[round % 3]);
            if release == ReleasePolicy::Manual {
                world.host.release_replaced();
            }
        }
        let out = world.producer.wait(|state| (state.out <= 2).then_some(()), SOON);
        world.bridge.expect(out);
        world.end();
    }
}

#[test]
fn a_host_that_releases_nothing_starves_only_itself() {
    let world = World::new(wolf().release(ReleasePolicy::Manual).watch_lent_buffers(), ProducerOptions::default());
    world.settle();
    world.producer.animate(60.0);
    world.bridge.expect(world.producer.wait(|state| (state.skipped > 3).then_some(()), SOON));
    world.producer.stop();
    while world.host.release_replaced() > 0 {}
    world.show(GREEN);
    world.end();
}

#[test]
fn buffers_removed_while_lent_live_until_the_host_lets_go() {
    for release in [ReleasePolicy::OnReplacement, ReleasePolicy::Manual] {
        let world = World::new(wolf().release(release).watch_lent_buffers(), ProducerOptions::default());
        world.settle();
        world.show(RED);
        world.show(GREEN);
        let held = world.host.look(Seen::held);
        assert!(!held.is_empty());
        world.bridge.expect(world.producer.remove_buffers(SOON));
        // The picture stays, and so does the buffer.
        assert_eq!(world.host.pixel(100, 100), Some(GREEN.1));
        assert!(world.host.look(|seen| held.iter().all(|id| seen.buffer(*id).is_some_and(|it| it.alive))));
        world.show(BLUE);
        world.host.release_replaced();
        world
            .bridge
            .expect(world.host.wait(|seen| held.iter().all(|id| seen.buffer(*id).is_some_and(|it| !it.alive)), SOON));
        world.end();
    }
}

#[test]
fn with_two_commits_unanswered_the_newest_frame_waits() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    world.host.pause_frames();
    let before = world.host.look(Seen::frame_count);
    world.producer.burst(8);
    common::wait_for("the burst", SOON, || (world.bridge.counter("dropped") >= 4).then_some(()));
    assert!(world.host.look(Seen::frame_count) <= before + 2);
    world.bridge.expect(world.producer.send(BLUE.0, SOON));
    world.host.resume_frames();
    world.shows(BLUE.1);
    world.end();
}

#[test]
fn a_window_is_never_blank_again() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    world.host.set_output_mode(640, 360, 60_000);
    world.bridge.expect(world.producer.streaming_at((640, 360), SOON));
    assert_eq!(world.host.pixel(100, 100), Some(RED.1), "the old picture, scaled");
    assert_eq!(world.host.pixel(639, 359), Some(RED.1), "to the very corner");
    world.show(GREEN);
    assert_ne!(world.host.pixel(639, 359), Some(BLACK));
    world.end();
}
