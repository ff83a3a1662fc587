//! The fake cast stream, against a real daemon and a real consumer.

mod common;

use common::{Ask, Consumer, SOON};
use fake_guest::{
    Cursor, Fill, FormatEvent, Layout, Linker, Offer, PipeWireDaemon, Pixels, PlainMemory, Producer, ProducerOptions,
    Pushed, Seal, SizePolicy, State, coded_pixel,
};
use libspa::sys;

fn daemon() -> (tempfile::TempDir, PipeWireDaemon) {
    let dir = tempfile::tempdir().unwrap();
    let daemon = PipeWireDaemon::start(dir.path(), Linker::Auto).unwrap();
    (dir, daemon)
}

fn linked(daemon: &PipeWireDaemon, options: ProducerOptions, ask: Ask) -> (Producer, Consumer) {
    let producer = Producer::start(&daemon.socket(), options).unwrap();
    let node = producer.node_id(SOON).unwrap();
    let consumer = Consumer::start(&daemon.socket(), node, ask);
    (producer, consumer)
}

fn failed(seen: &common::Seen) -> Option<String> {
    seen.states.iter().find(|s| s.contains("Error")).cloned()
}

#[test]
fn a_consumer_gets_a_memfd_frame_of_the_size_it_asked_for() {
    let (_dir, daemon) = daemon();
    let (producer, consumer) = linked(&daemon, ProducerOptions::default(), Ask::size(640, 360));
    let format = producer.streaming(SOON).unwrap();
    assert_eq!(format.size, (640, 360));
    assert_eq!(format.max_framerate, (60, 1));
    assert_eq!(producer.state().buffers, 4);
    assert_eq!(producer.frame(Fill::Coded(3)), Pushed::Sent(1));
    let frame = consumer.frames(1)[0].clone();
    assert_eq!(frame.type_, sys::SPA_DATA_MemFd);
    assert_eq!(frame.chunk, (0, 640 * 360 * 4, 640 * 4, 0));
    assert_eq!(frame.seq, Some(1));
    let expected = (coded_pixel(0, 0, 3), coded_pixel(17, 9, 3));
    assert_eq!(frame.pixels, Some(expected));
}

#[test]
fn the_stream_follows_the_consumers_size_and_rate() {
    let (_dir, daemon) = daemon();
    let (producer, consumer) = linked(&daemon, ProducerOptions::default(), Ask::size(640, 360));
    producer.streaming(SOON).unwrap();
    producer.frame(Fill::Coded(1));
    consumer.frames(1);
    let ask = Ask { max_framerate: 1000, ..Ask::size(800, 600) };
    consumer.ask(ask);
    let format = producer.streaming_at((800, 600), SOON).unwrap();
    assert_eq!(format.max_framerate, (1000, 1));
    producer.send(Fill::Coded(2), SOON).unwrap();
    assert_eq!(consumer.frames(2)[1].chunk.2, 3200);
    assert_eq!(producer.state().negotiated().len(), 2);
}

#[test]
fn a_fixed_size_is_not_the_consumers_to_choose() {
    let (_dir, daemon) = daemon();
    let options = || ProducerOptions { size: SizePolicy::Fixed(640, 360), ..Default::default() };
    let (producer, _consumer) = linked(&daemon, options(), Ask::size(640, 360));
    producer.streaming(SOON).unwrap();
    let (_producer, consumer) = linked(&daemon, options(), Ask::size(800, 600));
    consumer.seen.wait(failed, SOON).unwrap();
}

#[test]
fn held_buffers_starve_the_producer_and_come_home_again() {
    let (_dir, daemon) = daemon();
    let (producer, consumer) = linked(&daemon, ProducerOptions::default(), Ask::size(320, 200));
    producer.streaming(SOON).unwrap();
    consumer.hold(true);
    for n in 1..=4 {
        assert_eq!(producer.frame(Fill::Keep), Pushed::Sent(n));
        consumer.frames(n as usize);
    }
    assert_eq!(producer.frame(Fill::Keep), Pushed::NoFreeBuffer);
    assert_eq!((producer.state().out, producer.state().skipped), (4, 1));
    consumer.hold(false);
    consumer.release();
    producer.wait(|s| (s.free == 4).then_some(()), SOON).unwrap();
    assert_eq!(producer.frame(Fill::Keep), Pushed::Sent(5));
}

#[test]
fn buffers_are_removed_while_the_consumer_holds_some() {
    let (_dir, daemon) = daemon();
    let (producer, consumer) = linked(&daemon, ProducerOptions::default(), Ask::size(320, 200));
    producer.streaming(SOON).unwrap();
    consumer.hold(true);
    producer.frame(Fill::Keep);
    consumer.frames(1);
    for _ in 0..3 {
        assert_eq!(producer.remove_buffers(SOON), Ok(4));
    }
    consumer.seen.wait(|s| (s.removed == 12 && s.added == 16).then_some(()), SOON).unwrap();
    consumer.release();
    producer.send(Fill::Keep, SOON).unwrap();
    consumer.frames(2);
}

#[test]
fn modifiers_are_fixated_in_a_second_step() {
    let (_dir, daemon) = daemon();
    let options = ProducerOptions { offers: Offer::gpu(&[7, 8, 9]), prefer_modifier: Some(9), ..Default::default() };
    let ask = Ask { modifiers: vec![8, 9, 10], ..Ask::size(640, 360) };
    let (producer, consumer) = linked(&daemon, options, ask);
    let format = producer.streaming(SOON).unwrap();
    assert_eq!(format.modifier, Some(9));
    let first = producer.state().formats[0].clone();
    let FormatEvent::Choice { modifiers, .. } = first else {
        panic!("{first:?}");
    };
    assert_eq!(modifiers, [8, 9]);
    producer.frame(Fill::Coded(1));
    assert_eq!(consumer.frames(1)[0].type_, sys::SPA_DATA_DmaBuf);
    let size = (640, 360);
    let formats = consumer.seen.read(|s| s.formats.clone());
    assert_eq!(formats, [(size, Some(true)), (size, Some(false))]);

    // The consumer falls back to plain memory while it runs.
    consumer.ask(Ask::size(640, 360));
    let plain = |s: &fake_guest::ProducerState| s.format().filter(|f| f.modifier.is_none());
    producer.wait(plain, SOON).unwrap();
    producer.send(Fill::Coded(2), SOON).unwrap();
    assert_eq!(consumer.frames(2)[1].type_, sys::SPA_DATA_MemFd);
}

#[test]
fn nothing_in_common_is_an_error_of_the_consumers_stream() {
    let (_dir, daemon) = daemon();
    let options = ProducerOptions { offers: vec![Offer::plain(Pixels::Rgba)], ..Default::default() };
    let (_producer, consumer) = linked(&daemon, options, Ask::size(640, 360));
    let error = consumer.seen.wait(failed, SOON).unwrap();
    assert!(error.contains("no more input formats"), "{error}");
}

#[test]
fn offers_change_live() {
    let (_dir, daemon) = daemon();
    let options = ProducerOptions { offers: Offer::gpu(&[7]), ..Default::default() };
    let ask = Ask { modifiers: vec![7, 8], ..Ask::size(320, 200) };
    let (producer, consumer) = linked(&daemon, options, ask);
    assert_eq!(producer.streaming(SOON).unwrap().modifier, Some(7));
    producer.offer(Offer::gpu(&[8]));
    let eight = |s: &fake_guest::ProducerState| s.format().filter(|f| f.modifier == Some(8));
    producer.wait(eight, SOON).unwrap();
    producer.send(Fill::Keep, SOON).unwrap();
    consumer.frames(1);
    producer.offer(Offer::software());
    consumer.seen.wait(failed, SOON).unwrap();
}

#[test]
fn buffers_can_share_one_fd() {
    let (_dir, daemon) = daemon();
    let options = ProducerOptions { layout: Layout::SharedFd, ..Default::default() };
    let (producer, consumer) = linked(&daemon, options, Ask::size(320, 200));
    producer.streaming(SOON).unwrap();
    consumer.hold(true);
    producer.frame(Fill::Coded(1));
    consumer.frames(1);
    producer.frame(Fill::Coded(2));
    let frames = consumer.frames(2);
    assert_eq!(frames[0].mapoffset, 0);
    assert_eq!(frames[1].mapoffset, 320 * 200 * 4 + 2048, "page-aligned");
    assert_eq!(frames[0].inode, frames[1].inode);
    assert_eq!(frames[1].pixels.unwrap().0, coded_pixel(0, 0, 2));
}

#[test]
fn buffers_can_be_the_daemons() {
    let (_dir, daemon) = daemon();
    let options = ProducerOptions { plain: PlainMemory::MemPtr, ..Default::default() };
    let (producer, consumer) = linked(&daemon, options, Ask::size(320, 200));
    producer.streaming(SOON).unwrap();
    assert_eq!(producer.frame(Fill::Coded(1)), Pushed::Sent(1));
    let frame = consumer.frames(1)[0].clone();
    assert_eq!((frame.type_, frame.fd), (sys::SPA_DATA_MemPtr, -1));
}

#[test]
fn memory_can_be_sealed_against_writing() {
    for (seal, writable) in [(Seal::None, true), (Seal::Write, false), (Seal::ReadOnlyFd, false)] {
        let (_dir, daemon) = daemon();
        let options = ProducerOptions { seal, ..Default::default() };
        let (producer, consumer) = linked(&daemon, options, Ask::size(320, 200));
        producer.streaming(SOON).unwrap();
        producer.frame(Fill::Coded(9));
        let frame = consumer.frames(1)[0].clone();
        assert_eq!(frame.pixels.unwrap().0, coded_pixel(0, 0, 9));
        assert_eq!(frame.writable, writable, "{seal:?}");
    }
}

#[test]
fn a_frame_can_be_as_wrong_as_a_test_wants() {
    let (_dir, daemon) = daemon();
    let (producer, consumer) = linked(&daemon, ProducerOptions::default(), Ask::size(320, 200));
    producer.streaming(SOON).unwrap();
    producer.frame_with(Fill::Keep, |frame| {
        frame.chunk.offset = u32::MAX;
        frame.chunk.stride = -1280;
    });
    assert_eq!(consumer.frames(1)[0].chunk, (u32::MAX, 256_000, -1280, 0));
    producer.frame_with(Fill::Keep, |frame| frame.metadata_only());
    let corrupted = sys::SPA_CHUNK_FLAG_CORRUPTED as i32;
    assert_eq!(consumer.frames(2)[1].chunk, (0, 0, 1280, corrupted));
    producer.frame_with(Fill::Keep, |frame| frame.header = None);
    assert_eq!(consumer.frames(3)[2].seq, Some(0));
}

fn words(bytes: &[u8], n: usize) -> Vec<u32> {
    let words = bytes.chunks_exact(4).take(n);
    words.map(|word| u32::from_ne_bytes(word.try_into().unwrap())).collect()
}

#[test]
fn damage_and_cursor_travel_as_metas() {
    let (_dir, daemon) = daemon();
    let (producer, consumer) = linked(&daemon, ProducerOptions::default(), Ask::size(320, 200));
    producer.streaming(SOON).unwrap();
    producer.frame_with(Fill::Keep, |frame| {
        frame.damage = vec![(1, 2, 3, 4), (5, 6, 7, 8)];
        frame.cursor =
            Some(Cursor { id: 1, position: (10, 20), hotspot: (3, 4), bitmap: Some(((1, 1), vec![9, 8, 7, 6])) });
    });
    let frame = consumer.frames(1)[0].clone();
    assert_eq!(words(&frame.damage, 12), [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0]);
    assert_eq!(words(&frame.cursor, 7), [1, 0, 10, 20, 3, 4, 28]);
    let rgba = sys::SPA_VIDEO_FORMAT_RGBA;
    assert_eq!(words(&frame.cursor[28..], 5), [rgba, 1, 1, 4, 20]);
    assert_eq!(frame.cursor[48..52], [9, 8, 7, 6]);
}

#[test]
fn no_frame_is_lost_in_twenty_renegotiations() {
    let (_dir, daemon) = daemon();
    let (producer, consumer) = linked(&daemon, ProducerOptions::default(), Ask::size(320, 200));
    for n in 0..20 {
        if n % 2 == 0 {
            producer.remove_buffers(SOON).unwrap();
        } else {
            consumer.ask(Ask::size(320 + n, 200));
            producer.streaming_at((320 + n, 200), SOON).unwrap();
        }
        producer.send(Fill::Keep, SOON).unwrap();
        consumer.frames(n as usize + 1);
    }
}

#[test]
fn an_animation_runs_until_stopped() {
    let (_dir, daemon) = daemon();
    let (producer, consumer) = linked(&daemon, ProducerOptions::default(), Ask::size(64, 64));
    producer.streaming(SOON).unwrap();
    producer.animate(200.0);
    let frames = consumer.frames(10);
    producer.stop();
    let shown: Vec<u8> = frames.iter().map(|f| f.pixels.unwrap().0[3]).collect();
    assert!(shown.is_sorted(), "{shown:?}");
    let sent = producer.state().sent;
    assert_eq!(producer.burst(2).len(), 2);
    assert!(producer.state().sent > sent);
}

#[test]
fn a_dead_daemon_is_seen_and_a_new_one_takes_streams() {
    let (_dir, mut daemon) = daemon();
    let producer = Producer::start(&daemon.socket(), ProducerOptions::default()).unwrap();
    producer.node_id(SOON).unwrap();
    daemon.stop();
    let gone = |s: &fake_guest::ProducerState| (s.state() == State::Unconnected).then_some(());
    producer.wait(gone, SOON).unwrap();
    daemon.restart().unwrap();
    let again = Producer::start(&daemon.socket(), ProducerOptions::default()).unwrap();
    again.node_id(SOON).unwrap();
}
