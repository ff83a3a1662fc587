//! DMA-BUFs with fakes: every version of the protocol, hosts that refuse some or all of them or say nothing, and
//! whose buffers they are meanwhile.

mod common;

use common::SOON;
use common::world::{AR24, BLUE, GREEN, LINEAR, ODD, RED, TILED, World, XR24, coded, gpu, wolf};
use fake_guest::{Fill, GuestOptions, MutterOptions, ProducerOptions};
use fake_host::{BufferKind, Dmabuf, ImportPolicy, ReleasePolicy, Seen, modifier};

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
    world.bridge.expect(world.producer().streaming(SOON));
    world.bridge.expect(world.producer().send(Fill::Coded(1), SOON));
    world.producer().animate(30.0);
    world.bridge.expect(world.host.wait(|seen| seen.frame_count() > 3, SOON));
    world.producer().stop();
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
    world.bridge.expect(world.producer().streaming(SOON));
    world.producer().animate(30.0);
    world.bridge.expect(world.host.wait(Seen::shown, SOON));
    world.producer().stop();
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
    world.producer().animate(30.0);
    common::wait_for("dmabufs", SOON, || world.modifier().filter(|it| *it == (XR24, LINEAR)));
    world.producer().stop();
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
        let ended = world.end();
        // A format whose modifier is still open is no format.
        let mut formats = ended.log.lines().filter(|line| line.contains("the guest's format"));
        assert!(formats.all(|line| line.contains(&format!("modifier: Some({wanted})"))), "{}", ended.log);
    }
}

#[test]
fn the_pixels_of_a_dmabuf_arrive_as_they_are() {
    for modifier in [LINEAR, modifier::INVALID] {
        let formats = vec![(XR24, modifier), (AR24, modifier)];
        let world = World::new(wolf().dmabuf(Dmabuf::feedback(5, 0, formats)), gpu(&[modifier]));
        world.send(Fill::Coded(7));
        assert_eq!(world.modifier(), Some((XR24, modifier)));
        for (x, y) in [(0, 0), (1279, 0), (0, 719), (1279, 719), (700, 300)] {
            assert_eq!(world.host.pixel(x as i32, y as i32), Some(coded(x, y, 7)), "{x},{y}");
        }
        // Wolf shows the first buffer only with a second commit.
        world.bridge.expect(world.host.wait(Seen::shown, SOON));
        world.end();
    }
}

#[test]
fn a_host_that_never_answers_gets_shared_memory() {
    let formats = vec![(XR24, TILED), (XR24, LINEAR), (AR24, LINEAR)];
    let host = wolf().dmabuf(Dmabuf::feedback(5, 0, formats)).import(ImportPolicy::Silent);
    let world = World::new(host, gpu(&[TILED, LINEAR]));
    world.bridge.expect(world.producer().streaming(SOON));
    world.bridge.expect(world.producer().send(RED.0, SOON));
    world.show(GREEN);
    assert!(matches!(world.kind(), BufferKind::Shm(_)));
    let ended = world.end();
    assert_eq!(ended.log.matches("the host does not say whether it takes a dmabuf").count(), 1, "{}", ended.log);
    assert_eq!(ended.counter("copied_bytes"), 0);
}

#[test]
fn a_host_that_only_stood_still_keeps_its_dmabufs() {
    let world = World::new(wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])), gpu(&[LINEAR]));
    world.settle();
    world.show(RED);
    world.bridge.expect(world.producer().remove_buffers(SOON));
    let formats = world.producer().state().formats.len();
    world.host.freeze();
    world.producer().animate(30.0);
    // Long enough for the bridge to ask: its answer comes after the one for the buffer.
    let asked = |log: &str| log.contains("asking the host for an answer");
    common::wait_for("the question", SOON, || asked(&world.bridge.log()).then_some(()));
    world.host.thaw();
    let frames = world.frame_count();
    world.bridge.expect(world.host.wait(|seen| seen.frame_count() > frames + 5, SOON));
    world.producer().stop();
    world.show(GREEN);
    assert_eq!(world.modifier(), Some((XR24, LINEAR)));
    assert_eq!(world.producer().state().formats.len(), formats, "renegotiated");
    let ended = world.end();
    assert!(!ended.log.contains("using shared memory"), "{}", ended.log);
}

#[test]
fn a_host_that_stops_taking_dmabufs_keeps_its_picture_meanwhile() {
    for policy in [ImportPolicy::Silent, ImportPolicy::RefuseAll] {
        let formats = vec![(XR24, LINEAR), (AR24, LINEAR)];
        let world = World::new(wolf().dmabuf(Dmabuf::feedback(5, 0, formats)), gpu(&[LINEAR]));
        world.settle();
        world.show(RED);
        assert_eq!(world.modifier(), Some((XR24, LINEAR)));
        world.host.set_import(policy.clone());
        world.bridge.expect(world.producer().remove_buffers(SOON));
        world.bridge.expect(world.producer().send(GREEN.0, SOON));
        assert_eq!(world.pixel(), Some(RED.1), "{policy:?}");
        world.show(BLUE);
        assert!(matches!(world.kind(), BufferKind::Shm(_)), "{policy:?}");
        world.end();
    }
}

#[test]
fn an_answer_makes_a_silent_host_one_that_takes_dmabufs_again() {
    let formats = vec![(XR24, LINEAR)];
    let host = wolf().dmabuf(Dmabuf::feedback(5, 0, formats)).import(ImportPolicy::Silent);
    let world = World::new(host, gpu(&[LINEAR]));
    world.bridge.expect(world.producer().streaming(SOON));
    // Buffers that the host says nothing about are taken away, and nobody waits for them.
    world.bridge.expect(world.producer().send(RED.0, SOON));
    world.bridge.expect(world.host.wait(|seen| !seen.params.is_empty(), SOON));
    world.host.set_import(ImportPolicy::Accept);
    world.bridge.expect(world.producer().remove_buffers(SOON));
    world.show(GREEN);
    assert_eq!(world.modifier(), Some((XR24, LINEAR)));
    world.end();
}

#[test]
fn dmabufs_come_back_when_the_host_released_them_and_not_before() {
    for release in [ReleasePolicy::OnReplacement, ReleasePolicy::Manual] {
        let host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)]));
        let world = World::new(host.release(release).watch_lent_buffers(), gpu(&[LINEAR]));
        world.settle();
        for round in 0..24 {
            world.show([RED, GREEN, BLUE][round % 3]);
            if release == ReleasePolicy::Manual {
                world.host.release_replaced();
            }
        }
        assert_eq!(world.modifier(), Some((XR24, LINEAR)));
        world.end();
    }
}

#[test]
fn dmabufs_removed_while_lent_live_until_the_host_lets_go() {
    let host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)])).release(ReleasePolicy::Manual);
    let world = World::new(host.watch_lent_buffers(), gpu(&[LINEAR]));
    world.settle();
    world.show(RED);
    world.show(GREEN);
    let held = world.host.look(Seen::held);
    assert!(held.len() >= 2, "{held:?}");
    world.bridge.expect(world.producer().remove_buffers(SOON));
    world.show(BLUE);
    assert!(world.host.look(|seen| held.iter().all(|id| seen.buffer(*id).is_some_and(|it| it.alive))));
    world.host.release_replaced();
    let gone = |seen: &Seen| held.iter().all(|id| seen.buffer(*id).is_some_and(|it| !it.alive));
    world.bridge.expect(world.host.wait(gone, SOON));
    world.end();
}

#[test]
fn only_the_memory_of_the_option_is_asked_for() {
    let host = || wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)]));
    let guest = || {
        let mutter = MutterOptions { producer: gpu(&[LINEAR]), ..Default::default() };
        GuestOptions { mutter, ..Default::default() }
    };
    let world = World::with(host(), guest(), &["--video", "shm"]);
    world.show(GREEN);
    assert!(matches!(world.kind(), BufferKind::Shm(_)));
    assert!(world.end().log.contains("path=memfd (as --video shm says)"));

    let world = World::with(host(), guest(), &["--video", "dmabuf"]);
    world.show(GREEN);
    assert_eq!(world.modifier(), Some((XR24, LINEAR)));
    world.end();
}

#[test]
fn without_the_memory_of_the_option_it_says_so_and_ends() {
    let all = vec![(XR24, LINEAR)];
    let takes = || wolf().dmabuf(Dmabuf::feedback(5, 0, all.clone()));
    let refuses = || takes().import(ImportPolicy::RefuseAll);
    for (host, guest, why) in [
        (takes(), ProducerOptions::default(), "the guest offers no dmabuf that the host takes"),
        (wolf(), gpu(&[LINEAR]), "the host offers no dmabuf format we know"),
        (refuses(), gpu(&[LINEAR]), "the host refused every dmabuf"),
        (takes(), ProducerOptions { buffers: (1, 1, 1), ..gpu(&[LINEAR]) }, "the guest has only one buffer"),
    ] {
        let mutter = MutterOptions { producer: guest, ..Default::default() };
        let guest = GuestOptions { mutter, ..Default::default() };
        let world = World::with(host, guest, &["--video", "dmabuf", "--guest-timeout", "4"]);
        if why.contains("refused") {
            world.bridge.expect(world.producer().streaming(SOON));
            world.bridge.expect(world.producer().send(RED.0, SOON));
        } else if why.contains("one buffer") {
            world.show(RED);
        }
        let ended = world.bridge.ended();
        assert_eq!(ended.code, Some(4), "{}", ended.log);
        assert!(ended.last_line().contains(why), "{}", ended.log);
        assert!(ended.last_line().contains("--video dmabuf asks for nothing else"), "{}", ended.log);
    }
}
