//! Formats with fakes: packed and planar ones of every width, byte for byte, as shared memory and as DMA-BUFs.

mod common;

use common::SOON;
use common::world::{AR24, GREEN, LINEAR, ODD, RED, TILED, World, XR24, gpu, wolf};
use fake_guest::{Blocks, Fill, Frame, Offer, Pixels, PlainMemory, ProducerOptions};
use fake_host::{BufferKind, Dmabuf, Tranche, fourcc};
use libspa::sys;

/// What every block of pixels is made of, over and over.
const COLOUR: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// SPA's name, DRM's, and each plane's bytes for a block of pixels across and down.
type Format = (u32, [u8; 4], &'static [(u32, u32, u32)]);

const PACKED: [Format; 5] = [
    (sys::SPA_VIDEO_FORMAT_RGB16, *b"RG16", &[(2, 1, 1)]),
    (sys::SPA_VIDEO_FORMAT_BGR, *b"RG24", &[(3, 1, 1)]),
    (sys::SPA_VIDEO_FORMAT_xBGR_210LE, *b"XB30", &[(4, 1, 1)]),
    (sys::SPA_VIDEO_FORMAT_RGBA_F16, *b"AB4H", &[(8, 1, 1)]),
    (sys::SPA_VIDEO_FORMAT_YUY2, *b"YUYV", &[(4, 2, 1)]),
];

const PLANAR: [Format; 3] = [
    (sys::SPA_VIDEO_FORMAT_NV12, *b"NV12", &[(1, 1, 1), (2, 2, 2)]),
    (sys::SPA_VIDEO_FORMAT_P010_10LE, *b"P010", &[(2, 1, 1), (4, 2, 2)]),
    (sys::SPA_VIDEO_FORMAT_I420, *b"YU12", &[(1, 1, 1), (1, 2, 2), (1, 2, 2)]),
];

fn code(fourcc: [u8; 4]) -> u32 {
    u32::from_le_bytes(fourcc)
}

/// The last block of each plane of the newest frame holds what the guest drew.
fn check(world: &World, (_, name, shapes): Format) {
    let (width, height) = (1280, 720);
    let (mut drawn, mut end) = (0, 0);
    for (index, (bytes, across, down)) in shapes.iter().enumerate() {
        let (rows, blocks) = (u64::from(height / down), u64::from(width / across));
        // Rows have no padding in these tests.
        let (stride, last) = (blocks * u64::from(*bytes), u64::from(*bytes));
        let (plane, start) = match world.kind() {
            BufferKind::Dmabuf(buffer) => {
                assert_eq!(u64::from(buffer.planes[index].stride), stride);
                (index, 0)
            }
            _ => (0, end),
        };
        let seen = world.host.plane_bytes(plane, start + stride * rows - last, *bytes as usize);
        let expected: Vec<u8> = COLOUR.iter().copied().cycle().skip(drawn).take(*bytes as usize).collect();
        assert_eq!(seen, Some(expected), "plane {index} of {}", String::from_utf8_lossy(&name));
        drawn += *bytes as usize;
        end += stride * rows;
    }
}

#[test]
fn every_format_goes_on_in_shared_memory_byte_for_byte() {
    for format in PACKED.into_iter().chain(PLANAR) {
        let (spa, name, _) = format;
        let offers = vec![Offer::plain(Pixels::Other(spa))];
        let host = || wolf().shm_formats([AR24, XR24, code(name)]);
        let world = World::new(host(), ProducerOptions { offers: offers.clone(), ..Default::default() });
        world.settle();
        world.send(Fill::Solid(COLOUR));
        assert_eq!(world.kind().shm().map(|buffer| buffer.fourcc), Some(code(name)));
        check(&world, format);
        assert_eq!(world.end().counter("copied_bytes"), 0);
        // The host takes none but what it lists.
        let producer = ProducerOptions { offers: [offers, Offer::software()].concat(), ..Default::default() };
        let world = World::new(wolf(), producer);
        world.show(RED);
        assert_eq!(world.kind().fourcc(), Some(XR24));
        world.end();
    }
}

#[test]
fn planes_that_lie_apart_are_copied_together() {
    for (format, plain, blocks) in [
        (PLANAR[0], PlainMemory::MemFd, Blocks::Each),
        (PLANAR[2], PlainMemory::MemFd, Blocks::Each),
        (PLANAR[2], PlainMemory::MemPtr, Blocks::One),
    ] {
        let (spa, name, _) = format;
        let offers = vec![Offer::plain(Pixels::Other(spa))];
        let world = World::new(
            wolf().shm_formats([AR24, XR24, code(name)]),
            ProducerOptions { offers, plain, blocks, ..Default::default() },
        );
        world.send(Fill::Solid(COLOUR));
        check(&world, format);
        assert!(world.end().counter("copied_bytes") > 0);
    }
}

#[test]
fn planes_in_one_file_need_no_copy() {
    let (spa, name, _) = PLANAR[2];
    let offers = vec![Offer::plain(Pixels::Other(spa))];
    let world = World::new(
        wolf().shm_formats([AR24, XR24, code(name)]),
        ProducerOptions { offers, blocks: Blocks::EachInOneFd, ..Default::default() },
    );
    world.send(Fill::Solid(COLOUR));
    check(&world, PLANAR[2]);
    assert_eq!(world.end().counter("copied_bytes"), 0);
}

#[test]
fn every_format_goes_on_as_a_dmabuf_plane_for_plane() {
    let packed = PACKED.into_iter().map(|format| (format, LINEAR, Blocks::One));
    let planar = PLANAR.into_iter().flat_map(|format| {
        let each = [(LINEAR, Blocks::One), (LINEAR, Blocks::EachInOneFd), (TILED, Blocks::Each)];
        each.map(|(modifier, blocks)| (format, modifier, blocks))
    });
    for (format, modifier, blocks) in packed.chain(planar) {
        let (spa, name, shapes) = format;
        let offers = vec![Offer::dmabuf(Pixels::Other(spa), &[modifier])];
        let host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(code(name), modifier)]));
        let world = World::new(host, ProducerOptions { offers, blocks, ..Default::default() });
        world.send(Fill::Solid(COLOUR));
        assert_eq!(world.modifier(), Some((code(name), modifier)));
        let kind = world.kind();
        assert_eq!(kind.dmabuf().map(|buffer| buffer.planes.len()), Some(shapes.len()));
        check(&world, format);
        world.end();
    }
}

#[test]
fn planes_that_do_not_fit_their_memory_never_reach_the_host() {
    let (spa, name, _) = PLANAR[0];
    let offers = vec![Offer::dmabuf(Pixels::Other(spa), &[LINEAR])];
    let host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(code(name), LINEAR)]));
    let world = World::new(host, ProducerOptions { offers, blocks: Blocks::EachInOneFd, ..Default::default() });
    world.settle();
    world.send(Fill::Solid(COLOUR));
    let frames = world.frame_count();
    let bends: [fn(&mut Frame); 4] = [
        |frame| frame.more[0].stride = 1279,
        |frame| frame.more[0].stride = -1280,
        |frame| frame.more[0].offset += 8192,
        |frame| frame.chunk.offset = u32::MAX,
    ];
    for (index, bend) in bends.into_iter().enumerate() {
        world.bridge.expect(world.producer().streaming(SOON));
        world.producer().frame_with(Fill::Solid(COLOUR), bend);
        world.counts("bad", index as i64 + 1);
        assert_eq!(world.frame_count(), frames, "bend {index}");
    }
    world.send(Fill::Solid(COLOUR));
    world.end();
}

#[test]
fn a_picture_that_lacks_a_plane_is_not_shown() {
    let (spa, name, _) = PLANAR[0];
    let offers = vec![Offer::dmabuf(Pixels::Other(spa), &[TILED])];
    let host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(code(name), TILED)]));
    let world = World::new(host, ProducerOptions { offers, ..Default::default() });
    world.bridge.expect(world.producer().send(Fill::Solid(COLOUR), SOON));
    world.counts("bad", 1);
    assert_eq!(world.frame_count(), 0);
    let ended = world.end();
    assert!(ended.log.contains("has 1 planes, where its format has 2"), "{}", ended.log);
}

#[test]
fn rows_that_end_within_a_pixel_are_copied() {
    // Hosts end the connection for them.
    let world = World::new(wolf(), ProducerOptions { row_padding: 2, ..Default::default() });
    world.show(RED);
    world.show(GREEN);
    let ended = world.end();
    assert!(ended.counter("copied_bytes") > 0);
    assert!(ended.log.contains("the guest's rows end within a pixel"), "{}", ended.log);
}

#[test]
fn memory_of_another_kind_than_agreed_on_is_not_shown() {
    for (producer, modifier) in [(gpu(&[TILED]), TILED), (ProducerOptions::default(), LINEAR)] {
        let host = wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(fourcc::XRGB8888, modifier)]));
        let world = World::new(host, ProducerOptions { mistyped: true, ..producer });
        world.bridge.expect(world.producer().send(RED.0, SOON));
        common::wait_for("the bad frame", SOON, || (world.bridge.counter("bad") > 0).then_some(()));
        assert_eq!(world.frame_count(), 0);
        let ended = world.end();
        assert!(ended.log.contains("is in another kind of memory than was agreed on"), "{}", ended.log);
    }
}

#[test]
fn a_host_that_lists_everything_is_offered_for_what_the_guest_has() {
    let all: Vec<u32> = wolf_bridge::video::format::ALL.into_iter().map(|format| format.fourcc()).collect();
    // No event of the protocol has more than 4096 bytes.
    let of_all = (0..20).flat_map(|it| all.iter().map(move |fourcc| (*fourcc, ODD + it)));
    let pairs: Vec<(u32, u64)> = of_all.chain((20..900).map(|it| (XR24, ODD + it))).collect();
    let world = World::new(wolf().shm_formats(all.clone()), ProducerOptions::default());
    world.show(RED);
    assert_eq!(world.kind().fourcc(), Some(XR24));
    world.end();
    // As many modifiers as fit an offer, and more.
    let tranche = |formats: Vec<(u32, u64)>| Tranche { device: 0, scanout: false, formats };
    let few = all.iter().map(|fourcc| (*fourcc, LINEAR)).collect();
    let tranches = vec![tranche(pairs), tranche(few)];
    let host = wolf().dmabuf(Dmabuf::Feedback { version: 5, main_device: 0, tranches });
    let world = World::new(host.shm_formats(all), gpu(&[ODD + 63, LINEAR]));
    world.send(Fill::Solid(COLOUR));
    assert_eq!(world.modifier(), Some((XR24, ODD + 63)));
    world.end();
}
