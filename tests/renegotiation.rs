//! What was agreed on does not last: hosts that change their mind, buffers that one side cannot make or take, and the
//! way back up. With fakes.

mod common;

use common::SOON;
use common::world::{BLUE, GREEN, LINEAR, ODD, RED, TILED, World, XR24, gpu, wolf};
use fake_guest::{Frame, ProducerOptions};
use fake_host::{BufferKind, Dmabuf, ImportPolicy, Seen, Tranche};

#[test]
fn feedback_that_goes_empty_and_comes_back_is_followed() {
    let listed = || Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)]);
    let world = World::new(wolf().dmabuf(listed()), gpu(&[LINEAR]));
    world.settle();
    world.producer().animate(60.0);
    for _ in 0..3 {
        world.comes_as(Some((XR24, LINEAR)));
        world.host.set_dmabuf(Dmabuf::feedback(5, 0, Vec::new()));
        world.comes_as(None);
        world.host.set_dmabuf(listed());
    }
    world.comes_as(Some((XR24, LINEAR)));
    world.producer().stop();
    let ended = world.end();
    assert_eq!((ended.counter("copied_bytes"), ended.counter("sessions")), (0, 1));
}

#[test]
fn what_was_refused_may_be_taken_when_the_host_says_something_new() {
    let host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])).import(ImportPolicy::RefuseAll);
    let world = World::new(host, gpu(&[LINEAR]));
    world.bridge.expect(world.producer().streaming(SOON));
    world.producer().animate(60.0);
    world.comes_as(None);
    world.host.set_import(ImportPolicy::Accept);
    world.host.set_dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR), (XR24, ODD)]));
    world.comes_as(Some((XR24, LINEAR)));
    world.producer().stop();
    world.end();
}

#[test]
fn other_buffers_of_the_guest_are_given_another_chance() {
    for policy in [ImportPolicy::RefuseAll, ImportPolicy::RefuseNext(1)] {
        let world = World::new(wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])), gpu(&[LINEAR]));
        world.settle();
        world.producer().animate(60.0);
        world.comes_as(Some((XR24, LINEAR)));
        world.host.set_import(policy.clone());
        world.producer().repeat_format();
        world.comes_as(None);
        world.host.set_import(ImportPolicy::Accept);
        // Not for a while, lest a host that refuses everything makes for a new pair of formats over and over.
        common::wait_for("dmabufs", SOON, || {
            world.producer().repeat_format();
            let frames = world.frame_count();
            world.bridge.expect(world.host.wait(|seen| seen.frame_count() > frames + 20, SOON));
            world.modifier().filter(|it| *it == (XR24, LINEAR))
        });
        world.producer().stop();
        let ended = world.end();
        assert_eq!(ended.counter("sessions"), 1, "{policy:?}");
    }
}

#[test]
fn a_late_answer_brings_dmabufs_back() {
    let host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])).import(ImportPolicy::Silent);
    let world = World::new(host, gpu(&[LINEAR]));
    world.bridge.expect(world.producer().streaming(SOON));
    world.bridge.expect(world.producer().send(RED.0, SOON));
    world.show(GREEN);
    assert!(matches!(world.kind(), BufferKind::Shm(_)));
    world.host.set_import(ImportPolicy::Accept);
    assert!(world.host.answer_imports() > 0);
    world.producer().animate(60.0);
    world.comes_as(Some((XR24, LINEAR)));
    world.producer().stop();
    let buffers = world.producer().state().buffers;
    let few = |seen: &Seen| seen.params_alive() == 0 && seen.buffers_alive() <= buffers + 1;
    world.bridge.expect(world.host.wait(few, SOON));
    let ended = world.end();
    assert!(ended.log.contains("by memfd (the host does not say whether it takes dmabufs)"), "{}", ended.log);
}

#[test]
fn a_dmabuf_whose_guest_has_gone_is_still_shown() {
    let host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])).import(ImportPolicy::Silent);
    let world = World::new(host, gpu(&[LINEAR]));
    world.bridge.expect(world.producer().streaming(SOON));
    world.bridge.expect(world.producer().send(RED.0, SOON));
    world.bridge.expect(world.host.wait(|seen| seen.params.iter().any(|it| it.asked.is_some()), SOON));
    world.producer().end();
    common::wait_for("the end of the session", SOON, || world.bridge.log().contains("trying again").then_some(()));
    assert_eq!(world.host.answer_imports(), 1);
    world.shows(RED.1);
    assert_eq!(world.host.look(|seen| seen.params.len()), 1);
    // Another guest's picture takes its place, and nothing of the first one stays.
    world.host.set_import(ImportPolicy::Accept);
    common::wait_for("another stream", SOON, || (!world.producer().state().ended).then_some(()));
    world.show(GREEN);
    world.show(BLUE);
    world.bridge.expect(world.host.wait(|seen| !seen.buffers[0].alive && seen.params_alive() == 0, SOON));
    world.end();
}

#[test]
fn a_kind_of_dmabuf_that_streams_fail_with_is_given_up() {
    let formats = vec![(XR24, TILED), (XR24, LINEAR)];
    let producer = ProducerOptions { fails_with: Some(TILED), ..gpu(&[TILED, LINEAR]) };
    let world = World::new(wolf().dmabuf(Dmabuf::feedback(5, 0, formats)), producer);
    common::wait_for("another kind", SOON, || world.bridge.log().contains("offering without it").then_some(()));
    world.counts("sessions", 3);
    world.show(RED);
    assert_eq!(world.modifier(), Some((XR24, LINEAR)));
    let ended = world.end();
    assert_eq!(ended.counter("sessions"), 3);
}

#[test]
fn what_suits_the_window_best_comes_first() {
    let tranche = |scanout, formats| Tranche { device: 0, scanout, formats };
    let surface = |tranches| Dmabuf::Feedback { version: 5, main_device: 0, tranches };
    let general = vec![(XR24, LINEAR)];
    let host = wolf().dmabuf(Dmabuf::feedback(5, 0, general.clone()));
    let best = surface(vec![tranche(true, vec![(XR24, TILED)]), tranche(false, general)]);
    let world = World::new(host.surface_dmabuf(best), gpu(&[LINEAR, TILED]));
    world.bridge.expect(world.producer().streaming(SOON));
    world.producer().animate(60.0);
    world.comes_as(Some((XR24, TILED)));
    world.host.set_surface_dmabuf(None);
    world.comes_as(Some((XR24, LINEAR)));
    world.producer().stop();
    world.end();
}

#[test]
fn dmabufs_that_do_not_fit_their_memory_never_reach_the_host() {
    let world = World::new(wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])), gpu(&[LINEAR]));
    world.settle();
    world.show(RED);
    let frames = world.frame_count();
    let bends: [fn(&mut Frame); 6] = [
        |frame| frame.chunk.stride = 0,
        |frame| frame.chunk.stride = i32::MIN,
        |frame| frame.chunk.stride = 5119,
        |frame| frame.chunk.stride = 1 << 30,
        |frame| frame.chunk.offset = 1 << 20,
        |frame| frame.chunk.offset = u32::MAX,
    ];
    for (index, bend) in bends.into_iter().enumerate() {
        world.bridge.expect(world.producer().streaming(SOON));
        world.producer().frame_with(GREEN.0, bend);
        world.counts("bad", index as i64 + 1);
        world.heard();
        assert_eq!((world.frame_count(), world.pixel()), (frames, Some(RED.1)), "bend {index}");
    }
    world.show(BLUE);
    assert_eq!(world.modifier(), Some((XR24, LINEAR)));
    world.end();
}

#[test]
fn a_guest_with_a_single_buffer_is_not_starved_by_the_host() {
    for producer in [ProducerOptions::default(), gpu(&[LINEAR])] {
        let producer = ProducerOptions { buffers: (1, 1, 1), ..producer };
        let world = World::new(wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])), producer);
        for colour in [RED, GREEN, BLUE, RED, GREEN] {
            world.show(colour);
        }
        let ended = world.end();
        assert!(ended.log.contains("the guest has only one buffer"), "{}", ended.log);
    }
}
