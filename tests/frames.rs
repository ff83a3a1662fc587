//! The frame path with fakes: every kind of shared memory, formats that come twice, buffers that are lent, removed
//! or wrong, and what the host holds meanwhile. DMA-BUFs are in `dmabufs`.

mod common;

use std::time::{Duration, Instant};

use common::held::Held;
use common::world::{AR24, BLUE, GREEN, LINEAR, RED, World, XR24, coded, gpu, wolf};
use common::{SOON, wait_for};
use fake_guest::{Fill, Frame, Layout, Offer, Pixels, PlainMemory, ProducerOptions, ProducerState, Seal};
use fake_host::{BLACK, Dmabuf, ReleasePolicy, Seen, fourcc};
use rustix::process::Signal;

#[test]
fn shared_memory_goes_on_uncopied_and_pixel_for_pixel() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.send(Fill::Coded(1));
    for (x, y) in [(0, 0), (1279, 0), (0, 719), (1279, 719), (700, 300)] {
        assert_eq!(world.host.pixel(x as i32, y as i32), Some(coded(x, y, 1)), "{x},{y}");
    }
    let ended = world.end();
    assert_eq!((ended.counter("copied_bytes"), ended.counter("bad")), (0, 0));
    assert!(ended.log.contains("by memfd"), "{}", ended.log);
}

#[test]
fn wolf_shows_the_first_frame_of_a_still_desktop() {
    let copied = ProducerOptions { plain: PlainMemory::MemPtr, ..Default::default() };
    for producer in [ProducerOptions::default(), copied, gpu(&[LINEAR])] {
        let world = World::new(wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])), producer);
        world.bridge.expect(world.producer().streaming(SOON));
        // Once only: another frame would be another commit.
        world.bridge.expect(world.producer().send(RED.0, SOON));
        world.bridge.expect(world.host.wait(Seen::shown, SOON));
        assert_eq!((world.pixel(), world.frame_count()), (Some(RED.1), 1));
        world.end();
    }
}

#[test]
fn a_repeated_format_changes_nothing() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    for colour in [GREEN, BLUE, RED] {
        world.producer().repeat_format();
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
        assert_eq!(world.host.pixel(1279, 719), Some(coded(1279, 719, 9)), "{layout:?}");
        let ended = world.end();
        assert_eq!(ended.counter("copied_bytes"), 0, "{layout:?} {row_padding}");
    }
}

#[test]
fn frames_that_do_not_fit_their_memory_never_reach_the_host() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    let frames = world.frame_count();
    let bends: [fn(&mut Frame); 9] = [
        |frame| frame.chunk.stride = 1 << 30,
        |frame| frame.chunk.stride = i32::MIN,
        |frame| frame.chunk.stride = 100,
        |frame| frame.chunk.stride = -5120,
        |frame| frame.chunk.stride = 0,
        |frame| {
            frame.chunk.stride = 5124;
            frame.chunk.size = u32::MAX;
        },
        |frame| frame.chunk.offset = 4,
        |frame| frame.chunk.offset = u32::MAX,
        |frame| frame.chunk.size -= 1,
    ];
    for (index, bend) in bends.into_iter().enumerate() {
        world.bridge.expect(world.producer().streaming(SOON));
        world.producer().frame_with(GREEN.0, bend);
        world.counts("bad", index as i64 + 1);
        world.heard();
        assert_eq!((world.frame_count(), world.pixel()), (frames, Some(RED.1)), "bend {index}");
    }
    // More than the memory has is for the consumer to clamp.
    world.producer().frame_with(BLUE.0, |frame| frame.chunk.size = u32::MAX);
    world.shows(BLUE.1);
    // Bad ones were given back as well: there are as many to draw in as before.
    world.bridge.expect(world.producer().wait(|state| (state.out <= 2).then_some(()), SOON));
    let ended = world.end();
    assert_eq!(ended.counter("bad"), 9);
    let told = ended.log.lines().filter(|line| line.contains("not shown, the last good one stays"));
    assert_eq!(told.count(), 1, "{}", ended.log);
}

#[test]
fn a_frame_does_not_reach_into_the_next_buffers_memory() {
    // In one file with the others, where it would be all there.
    let world = World::new(wolf(), ProducerOptions { layout: Layout::SharedFd, ..Default::default() });
    world.settle();
    world.show(RED);
    let frames = world.frame_count();
    let bends: [fn(&mut Frame); 2] = [|frame| frame.chunk.offset = 4, |frame| frame.chunk.stride = 5124];
    for (index, bend) in bends.into_iter().enumerate() {
        world.producer().frame_with(GREEN.0, move |frame| {
            bend(frame);
            frame.chunk.size = u32::MAX;
        });
        world.counts("bad", index as i64 + 1);
        world.heard();
        assert_eq!((world.frame_count(), world.pixel()), (frames, Some(RED.1)), "bend {index}");
    }
    world.show(BLUE);
    world.end();
}

#[test]
fn frames_without_pixels_show_nothing() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    let (frames, empty) = (world.frame_count(), world.bridge.counter("empty"));
    world.producer().frame_with(GREEN.0, Frame::metadata_only);
    world.producer().frame_with(GREEN.0, |frame| frame.chunk.size = 0);
    world.producer().frame_with(GREEN.0, Frame::corrupted);
    common::wait_for("the empty frames", SOON, || (world.bridge.counter("empty") == empty + 3).then_some(()));
    world.heard();
    assert_eq!(world.frame_count(), frames);
    assert_eq!(world.pixel(), Some(RED.1));
    world.show(BLUE);
    world.end();
}

/// As seen of WirePlumber 0.4 on a busy machine: the buffers are there, and have no memory.
#[test]
fn a_stream_whose_frames_have_no_pixels_is_made_again() {
    let world = World::new(wolf(), ProducerOptions::default());
    let producer = world.producer();
    world.bridge.expect(producer.streaming(SOON));
    producer.frame_with(GREEN.0, |frame| frame.chunk.size = 0);
    wait_for("another session", SOON, || (world.guest.mutter.state().sessions_made == 2).then_some(()));
    world.show(RED);
    let ended = world.end();
    assert_eq!((ended.counter("sessions"), ended.counter("empty")), (2, 1), "{}", ended.log);
}

#[test]
fn either_of_the_flags_that_say_corrupted_is_enough() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    let (frames, empty) = (world.frame_count(), world.bridge.counter("empty"));
    world.producer().frame_with(GREEN.0, |frame| {
        let right = frame.header;
        frame.corrupted();
        frame.header = right;
    });
    world.counts("empty", empty + 1);
    world.producer().frame_with(GREEN.0, |frame| {
        let right = frame.chunk;
        frame.corrupted();
        frame.chunk = right;
    });
    world.counts("empty", empty + 2);
    world.heard();
    assert_eq!((world.frame_count(), world.pixel()), (frames, Some(RED.1)));
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
        let out = world.producer().wait(|state| (state.out <= 2).then_some(()), SOON);
        world.bridge.expect(out);
        world.end();
    }
}

#[test]
fn a_host_that_releases_nothing_starves_only_itself() {
    for producer in [ProducerOptions::default(), gpu(&[LINEAR])] {
        let host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)]));
        let world = World::new(host.release(ReleasePolicy::Manual).watch_lent_buffers(), producer);
        world.settle();
        world.producer().animate(60.0);
        // Given back any earlier, there would always be another one to draw in.
        world.bridge.expect(world.producer().wait(|state| (state.skipped > 3).then_some(()), SOON));
        world.producer().stop();
        let buffers = world.producer().state().buffers;
        assert!(world.host.look(Seen::held).len() >= buffers, "{buffers} buffers");
        wait_for("a word about it", SOON, || world.bridge.log().contains("the host has all").then_some(()));
        while world.host.release_replaced() > 0 {}
        world.show(GREEN);
        world.end();
    }
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
        world.bridge.expect(world.producer().remove_buffers(SOON));
        // The picture stays, and so does the buffer.
        assert_eq!(world.pixel(), Some(GREEN.1));
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
    // A host that is silent for a second is another case; a machine that is too slow for this one tries again.
    let in_time = (0..20).any(|_| {
        world.bridge.expect(world.host.wait(|seen| seen.callbacks_asked == seen.callbacks_done, SOON));
        world.host.pause_frames();
        let (before, received) = (world.frame_count(), world.bridge.counter("frames_in"));
        let began = Instant::now();
        // Two go on, the third waits, and each newer one takes its place.
        for (fill, sent) in (1..=3).map(Fill::Coded).chain([BLUE.0]).zip(1..) {
            world.bridge.expect(world.producer().send(fill, SOON));
            wait_for("the frame", SOON, || (world.bridge.counter("frames_in") >= received + sent).then_some(()));
        }
        let (frames, answers) = (world.frame_count(), world.host.render());
        let in_time = began.elapsed() < Duration::from_millis(900);
        if in_time {
            assert_eq!((frames, answers), (before + 2, 2));
            // One answer, one frame: the newest.
            world.shows(BLUE.1);
            assert_eq!(world.frame_count(), before + 3);
        }
        world.host.resume_frames();
        in_time
    });
    assert!(in_time, "the machine is too slow");
    world.end();
}

#[test]
fn a_host_that_answers_no_frame_is_shown_a_new_one_now_and_then() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    world.host.pause_frames();
    for colour in [GREEN, BLUE, RED, GREEN, BLUE] {
        world.bridge.expect(world.producer().send(colour.0, SOON));
        world.shows(colour.1);
    }
    world.host.resume_frames();
    let ended = world.end();
    assert_eq!(ended.log.matches("the host answers no frame").count(), 1, "{}", ended.log);
}

#[test]
fn a_waiting_frame_outlives_its_buffer() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    world.host.pause_frames();
    let frames_in = world.bridge.counter("frames_in");
    for sent in 1..=4 {
        world.bridge.expect(world.producer().send(if sent == 4 { BLUE.0 } else { GREEN.0 }, SOON));
        world.counts("frames_in", frames_in + sent);
    }
    // Its picture may be the guest's only one for long.
    world.bridge.expect(world.producer().remove_buffers(SOON));
    assert_ne!(world.pixel(), Some(BLUE.1));
    world.host.resume_frames();
    world.shows(BLUE.1);
    world.show(RED);
    world.end();
}

#[test]
fn a_window_is_never_blank_again() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    world.host.set_output_mode(640, 360, 60_000);
    world.bridge.expect(world.producer().streaming_at((640, 360), SOON));
    assert_eq!(world.pixel(), Some(RED.1), "the old picture, scaled");
    assert_eq!(world.host.pixel(639, 359), Some(RED.1), "to the very corner");
    world.show(GREEN);
    assert_ne!(world.host.pixel(639, 359), Some(BLACK));
    world.end();
}

#[test]
fn every_byte_order_arrives_as_it_is() {
    let orders = [
        (Pixels::Bgrx, [0x33, 0x22, 0x11, 0x77], XR24, true),
        (Pixels::Bgra, [0x33, 0x22, 0x11, 0xff], AR24, false),
        (Pixels::Rgbx, [0x11, 0x22, 0x33, 0x77], fourcc::XBGR8888, true),
        (Pixels::Rgba, [0x11, 0x22, 0x33, 0xff], fourcc::ABGR8888, false),
    ];
    for (pixels, bytes, format, opaque) in orders {
        for plain in [PlainMemory::MemFd, PlainMemory::MemPtr] {
            let host = wolf().shm_formats([XR24, AR24, fourcc::XBGR8888, fourcc::ABGR8888]);
            let producer = ProducerOptions { offers: vec![Offer::plain(pixels)], plain, ..Default::default() };
            let world = World::new(host, producer);
            world.show((Fill::Solid(bytes), 0xff11_2233));
            assert_eq!(world.kind().fourcc(), Some(format), "{pixels:?}");
            // A host may skip blending only what has no alpha.
            assert_eq!(!world.last_frame().opaque.is_empty(), opaque, "{pixels:?}");
            world.end();
        }
    }
}

#[test]
fn nothing_piles_up_over_renegotiations() {
    for layout in [Layout::OneFdEach, Layout::SharedFd] {
        let world = World::new(wolf(), ProducerOptions { layout, ..Default::default() });
        world.settle();
        let mut open = Vec::new();
        for round in 0..6 {
            world.bridge.expect(world.producer().remove_buffers(SOON));
            for colour in [RED, GREEN, BLUE] {
                world.show(colour);
            }
            // One of the round before may still be up.
            let buffers = world.producer().state().buffers;
            let few = |seen: &Seen| seen.buffers_alive() <= buffers + 1 && seen.pools_alive() <= buffers + 1;
            world.bridge.expect(world.host.wait(few, SOON));
            open.push(world.bridge.open_fds());
            assert!(open[round] <= open[0] + 1, "{layout:?}: {open:?}");
        }
        world.end();
    }
}

#[test]
fn a_host_that_does_not_read_for_a_while_gets_the_newest_frame() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    world.show(RED);
    world.host.freeze();
    let frames_in = world.bridge.counter("frames_in");
    world.producer().animate(60.0);
    common::wait_for("frames", SOON, || (world.bridge.counter("frames_in") > frames_in + 30).then_some(()));
    world.producer().stop();
    world.host.thaw();
    world.show(GREEN);
    world.end();
}

/// A bridge without a processor for a while, as on a machine with too much to do, shows what is newest afterwards.
#[test]
fn frames_go_on_after_the_bridge_stood_still() {
    let world = World::new(wolf(), ProducerOptions::default());
    world.settle();
    let producer = world.producer();
    producer.animate(60.0);
    let sent = producer.state().sent;
    world.bridge.signal(Signal::STOP);
    producer.wait(|it| (it.sent > sent + 20).then_some(()), SOON).unwrap();
    world.bridge.signal(Signal::CONT);
    goes_on(&world);
}

/// The same where PipeWire has a thread of its own, which goes on: all of the guest's buffers wait for the bridge then.
#[test]
fn frames_go_on_after_all_buffers_came_at_once() {
    for memory in [ProducerOptions::default(), gpu(&[LINEAR])] {
        let world = World::new(wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])), memory);
        world.settle();
        let producer = world.producer();
        producer.animate(60.0);
        let held = Held::take(world.bridge.pid()).unwrap();
        let before = producer.state();
        // From PipeWire 1.2 on that thread is the one that is held.
        let enough = |it: &ProducerState| it.skipped > before.skipped || it.sent > before.sent + 20;
        producer.wait(|it| enough(it).then_some(()), SOON).unwrap();
        drop(held);
        goes_on(&world);
    }
}

fn goes_on(world: &World) {
    let frames = world.frame_count();
    world.bridge.expect(world.host.wait(|seen| seen.frame_count() > frames + 60, SOON));
    world.producer().stop();
    world.show(BLUE);
}
