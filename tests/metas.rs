//! What the guest says of its frames, with fakes: damage, crop, transform, and its pointer as the host's cursor.

mod common;

use std::time::Duration;

use common::world::{BLUE, GREEN, RED, World, coded, wolf};
use common::{SOON, wait_for};
use fake_guest::{
    Cursor, DeviceKind, EisOptions, Fill, Frame, GuestOptions, Metas, MutterOptions, Notify, ProducerOptions, Pushed,
    RegionMode,
};
use fake_host::{Builder, Output, Rect, Seen};

const WHOLE: Rect = Rect::new(0, 0, i32::MAX, i32::MAX);

/// A settled stream that shows red, from a guest with every kind of metadata.
fn world(host: Builder, args: &[&str]) -> World {
    of_gnome(50, RegionMode::Stream, host, args)
}

fn of_gnome(version: u32, regions: RegionMode, host: Builder, args: &[&str]) -> World {
    let producer = ProducerOptions { metas: Metas::ALL, ..Default::default() };
    let mutter = MutterOptions { version, producer, ..Default::default() };
    let eis = EisOptions { regions, ..Default::default() };
    let world = World::with(host, GuestOptions { mutter, eis, ..Default::default() }, args);
    world.settle();
    world.show(RED);
    world
}

/// Sends one buffer, whatever is in it.
fn send(world: &World, fill: Fill, bend: impl FnOnce(&mut Frame) + Send + 'static) {
    let producer = world.producer();
    world.bridge.expect(producer.wait(|state| state.ready().filter(|_| state.free > 0), SOON));
    assert!(matches!(producer.frame_with(fill, bend), Pushed::Sent(_)));
}

/// Sends one frame and waits until the host has it.
fn frame(world: &World, fill: Fill, bend: impl FnOnce(&mut Frame) + Send + 'static) {
    let before = world.frame_count();
    send(world, fill, bend);
    world.bridge.expect(world.host.wait(|seen| seen.frame_count() > before, SOON));
}

fn covers(damage: &[Rect], rect: Rect) -> bool {
    damage.iter().any(|it| it.union(rect) == *it)
}

#[test]
fn damage_goes_on_as_the_guest_told_it() {
    let world = world(wolf(), &[]);
    frame(&world, Fill::Coded(1), |frame| frame.damage = vec![(10, 20, 30, 40), (100, 100, 5, 5)]);
    let damage = [Rect::new(10, 20, 30, 40), Rect::new(100, 100, 5, 5)];
    assert_eq!(world.last_frame().buffer_damage, damage);
    // The host looks at nothing else.
    assert_eq!(world.host.pixel(10, 20), Some(coded(10, 20, 1)));
    assert_eq!(world.host.pixel(104, 104), Some(coded(104, 104, 1)));
    assert_eq!(world.host.pixel(105, 105), Some(RED.1));
    world.end();
}

#[test]
fn damage_that_is_not_told_is_everywhere() {
    let world = world(wolf(), &[]);
    frame(&world, GREEN.0, |frame| frame.damage = vec![]);
    assert_eq!((world.last_frame().buffer_damage, world.pixel()), (vec![WHOLE], Some(GREEN.1)));
    // In whose pixels these are nobody knows.
    for outside in [(1280, 0, 10, 10), (-50, -50, 50, 50), (i32::MIN, 0, 1, 1), (0, i32::MAX, u32::MAX, u32::MAX)] {
        frame(&world, BLUE.0, move |frame| frame.damage = vec![(0, 0, 1, 1), outside]);
        assert_eq!(world.last_frame().buffer_damage, [WHOLE], "{outside:?}");
    }
    frame(&world, RED.0, |frame| frame.damage = vec![(-10, 700, 20, 100), (1270, 0, u32::MAX, 10)]);
    assert_eq!(world.last_frame().buffer_damage, [Rect::new(0, 700, 10, 20), Rect::new(1270, 0, 10, 10)]);
    let ended = world.end();
    assert_eq!(ended.log.matches("damage outside its frames").count(), 1, "{}", ended.log);
}

#[test]
fn more_damage_than_is_told_apart_becomes_coarser() {
    let world = world(wolf(), &[]);
    let told: Vec<_> = (0..32).map(|i| (i * 40, (i % 7) * 100, 4, 4)).collect();
    let all = told.clone();
    frame(&world, GREEN.0, move |frame| frame.damage = told);
    let damage = world.last_frame().buffer_damage;
    assert!(damage.len() <= 16 && !damage.contains(&WHOLE), "{damage:?}");
    for (x, y, width, height) in all {
        assert!(covers(&damage, Rect::new(x, y, width as i32, height as i32)), "{x},{y} in {damage:?}");
    }
    world.end();
}

#[test]
fn damage_of_frames_that_were_not_shown_comes_with_the_next() {
    let world = world(wolf(), &[]);
    world.bridge.expect(world.host.wait(|seen| seen.callbacks_asked == seen.callbacks_done, SOON));
    world.host.pause_frames();
    let (before, frames_in) = (world.frame_count(), world.bridge.counter("frames_in"));
    // Two go on at once.
    for sent in 1..=2 {
        send(&world, Fill::Coded(sent), |frame| frame.damage = vec![(0, 0, 1, 1)]);
        world.counts("frames_in", frames_in + i64::from(sent));
    }
    // One is overtaken, one has no pixels that fit, and one waits.
    let damage = [(10, 10, 10, 10), (300, 300, 10, 10), (600, 600, 10, 10)];
    for (index, rect) in damage.into_iter().enumerate() {
        send(&world, Fill::Coded(9), move |frame| {
            frame.damage = vec![rect];
            if index == 1 {
                frame.chunk.stride = 1;
            }
        });
        world.counts("frames_in", frames_in + 3 + index as i64);
    }
    world.host.resume_frames();
    world.bridge.expect(world.host.wait(|seen| seen.frame_count() >= before + 3, SOON));
    for (x, y, width, height) in damage {
        let shown = world.last_frame().buffer_damage;
        assert!(covers(&shown, Rect::new(x, y, width as i32, height as i32)), "{x},{y} in {shown:?}");
        assert_eq!(world.host.pixel(x, y), Some(coded(x as u32, y as u32, 9)));
    }
    assert!(!world.last_frame().buffer_damage.contains(&WHOLE));
    frame(&world, Fill::Coded(9), |frame| frame.damage = vec![(1, 2, 3, 4)]);
    assert_eq!(world.last_frame().buffer_damage, [Rect::new(1, 2, 3, 4)], "and not again");
    world.end();
}

#[test]
fn a_frame_that_came_without_its_pixels_leaves_all_of_the_next_one_new() {
    let world = world(wolf(), &[]);
    let empty = world.bridge.counter("empty");
    send(&world, GREEN.0, Frame::metadata_only);
    world.counts("empty", empty + 1);
    frame(&world, GREEN.0, |frame| frame.damage = vec![(0, 0, 1, 1)]);
    assert_eq!(world.last_frame().buffer_damage, [WHOLE]);
    world.end();
}

#[test]
fn damage_is_not_believed_where_it_may_be_in_other_pixels() {
    for (version, regions, believed) in [
        (48, RegionMode::Stream, true),
        // In logical pixels, on a monitor that has fewer of them than the stream.
        (48, RegionMode::Scaled, false),
        (48, RegionMode::None, false),
        (50, RegionMode::Scaled, true),
        (50, RegionMode::None, true),
    ] {
        let world = of_gnome(version, regions, wolf(), &[]);
        world.bridge.expect(world.guest.eis.emulating(DeviceKind::Absolute, SOON));
        frame(&world, GREEN.0, |frame| frame.damage = vec![(1, 2, 3, 4)]);
        let told = if believed { Rect::new(1, 2, 3, 4) } else { WHOLE };
        assert_eq!(world.last_frame().buffer_damage, [told], "GNOME {version}, {regions:?}");
        world.end();
    }
}

#[test]
fn another_size_is_all_new() {
    let world = world(wolf(), &[]);
    world.host.set_output_mode(640, 360, 60_000);
    world.has_size(640, 360);
    let small = |seen: &Seen| seen.last_frame().and_then(|it| it.kind()).is_some_and(|kind| kind.size() == (640, 360));
    wait_for("a frame of the new size", SOON, || {
        send(&world, GREEN.0, |frame| frame.damage = vec![(0, 0, 1, 1)]);
        world.host.wait(small, Duration::from_millis(500)).ok()
    });
    let first = world.host.look(|seen| {
        let mut frames = seen.frames();
        frames.find(|it| it.kind().is_some_and(|kind| kind.size() == (640, 360))).cloned()
    });
    assert_eq!(first.expect("it has come").buffer_damage, [WHOLE]);
    assert_eq!(world.pixel(), Some(GREEN.1));
    world.end();
}

/// Which pixel of a coded frame this is.
fn decoded(colour: Option<u32>) -> (u32, u32) {
    let [_, high, y, x] = colour.expect("a pixel").to_be_bytes().map(u32::from);
    (x | (high >> 4) << 8, y | (high & 0xf) << 8)
}

#[test]
fn a_crop_is_what_is_seen() {
    let world = world(wolf(), &[]);
    frame(&world, Fill::Coded(1), |frame| frame.crop = Some((100, 50, 640, 360)));
    assert_eq!(world.last_frame().source, Some((100.0, 50.0, 640.0, 360.0)));
    assert_eq!(world.last_frame().size, Some((1280, 720)), "the window stays as it is");
    assert_eq!(decoded(world.host.pixel(0, 0)), (100, 50));
    assert_eq!(decoded(world.host.pixel(1279, 719)), (739, 409));
    // Every pixel of the window is another one, whatever changed in the buffer.
    frame(&world, Fill::Coded(1), |frame| {
        frame.crop = Some((200, 60, 640, 360));
        frame.damage = vec![(0, 0, 1, 1)];
    });
    assert_eq!((world.last_frame().buffer_damage, decoded(world.host.pixel(0, 0))), (vec![WHOLE], (200, 60)));
    // Cut where it ends outside, which would be fatal.
    frame(&world, Fill::Coded(1), |frame| frame.crop = Some((1000, 500, 640, 360)));
    assert_eq!(world.last_frame().source, Some((1000.0, 500.0, 280.0, 220.0)));
    for none in [None, Some((0, 0, 0, 0)), Some((0, 0, 1280, 720)), Some((1280, 0, 10, 10)), Some((-9, -9, 9, 9))] {
        frame(&world, Fill::Coded(1), |frame| frame.crop = Some((1, 1, 2, 2)));
        assert_eq!(world.last_frame().source, Some((1.0, 1.0, 2.0, 2.0)));
        frame(&world, Fill::Coded(1), move |frame| frame.crop = none);
        assert_eq!((world.last_frame().source, decoded(world.host.pixel(0, 0))), (None, (0, 0)), "{none:?}");
    }
    let ended = world.end();
    assert_eq!(ended.log.matches("crops its frames").count(), 1, "{}", ended.log);
}

#[test]
fn the_pointer_points_into_what_is_seen() {
    // Without EIS, whose regions are the guest's business.
    let world = of_gnome(44, RegionMode::Stream, wolf(), &[]);
    let pointed = |at: (f64, f64), place: (f64, f64)| {
        wait_for("the place", SOON, || {
            world.host.pointer().move_to(at.0, at.1);
            let notified = world.guest.mutter.state().notified;
            let last = notified.iter().rev().find_map(|it| match it {
                Notify::MotionAbsolute(_, x, y) => Some((*x, *y)),
                _ => None,
            });
            last.filter(|(x, y)| (x - place.0).abs() < 1.0 && (y - place.1).abs() < 1.0)
        })
    };
    pointed((640.0, 360.0), (640.0, 360.0));
    frame(&world, GREEN.0, |frame| frame.crop = Some((100, 50, 640, 360)));
    pointed((640.0, 360.0), (420.0, 230.0));
    frame(&world, GREEN.0, |frame| frame.crop = None);
    pointed((320.0, 180.0), (320.0, 180.0));
    world.end();
}

#[test]
fn without_a_viewporter_a_crop_is_said_to_be_impossible_once() {
    let world = world(wolf().without("wp_viewporter"), &[]);
    for _ in 0..3 {
        frame(&world, Fill::Coded(1), |frame| frame.crop = Some((100, 50, 640, 360)));
        assert_eq!((world.last_frame().source, decoded(world.host.pixel(0, 0))), (None, (0, 0)));
    }
    let ended = world.end();
    assert_eq!(ended.log.matches("no wp_viewporter").count(), 1, "{}", ended.log);
}

#[test]
fn turned_pictures_are_turned_back_and_cut_as_they_lie_in_the_buffer() {
    let world = world(wolf(), &[]);
    // Where the corners of the buffer are on the screen: top left, top right.
    let corners = [
        [(0, 0), (1279, 0)],
        [(1279, 0), (1279, 719)],
        [(1279, 719), (0, 719)],
        [(0, 719), (0, 0)],
        [(1279, 0), (0, 0)],
        [(0, 0), (0, 719)],
        [(0, 719), (1279, 719)],
        [(1279, 719), (1279, 0)],
    ];
    for (transform, [left, right]) in corners.into_iter().enumerate() {
        let transform = transform as u32;
        frame(&world, Fill::Coded(1), move |frame| frame.transform = transform);
        assert_eq!(world.last_frame().transform, transform);
        let (x, y) = decoded(world.host.pixel(left.0, left.1));
        assert!(x < 2 && y < 2, "{transform}: {x},{y}");
        let (x, y) = decoded(world.host.pixel(right.0, right.1));
        assert!(x > 1277 && y < 2, "{transform}: {x},{y}");
        frame(&world, Fill::Coded(1), move |frame| {
            frame.transform = transform;
            frame.crop = Some((900, 20, 300, 60));
        });
        let (x, y) = decoded(world.host.pixel(left.0, left.1));
        assert!((900..902).contains(&x) && (20..22).contains(&y), "{transform}: {x},{y}");
        let (x, y) = decoded(world.host.pixel(right.0, right.1));
        assert!((1198..1200).contains(&x) && (20..22).contains(&y), "{transform}: {x},{y}");
    }
    for unknown in [8, 90, u32::MAX] {
        frame(&world, Fill::Coded(1), move |frame| frame.transform = unknown);
        let shown = world.last_frame();
        assert_eq!((shown.transform, shown.source, decoded(world.host.pixel(0, 0))), (0, None, (0, 0)));
    }
    let ended = world.end();
    assert_eq!(ended.log.matches("in an unknown way").count(), 1, "{}", ended.log);
}

/// A pointer of two pixels, its hotspot in the right one.
fn arrow(id: u32, red: u8) -> Cursor {
    let bitmap = Some(((2, 1), vec![red, 2, 3, 4, 5, 6, 7, 8]));
    Cursor { id, position: (5, 5), hotspot: (1, 0), bitmap }
}

fn arrow_pixels(red: u8) -> Vec<u32> {
    vec![u32::from_be_bytes([4, red, 2, 3]), 0x0805_0607]
}

/// A buffer with this pointer and no pixels, as Mutter sends one for each motion.
fn pointer(world: &World, cursor: Cursor) {
    send(world, GREEN.0, move |frame| {
        frame.metadata_only();
        frame.cursor = Some(cursor);
    });
}

fn shows_arrow(world: &World, red: u8) {
    let found =
        wait_for("the guest's pointer", SOON, || world.host.cursor().filter(|it| it.pixels == arrow_pixels(red)));
    assert_eq!((found.size, found.hotspot, found.buffer), ((2, 1), (1, 0), (2, 1)));
}

fn shows_none(world: &World) {
    let hidden = |seen: &Seen| seen.cursors.last().is_some_and(|last| last.surface.is_none() && last.serial_is_newest);
    world.bridge.expect(world.host.wait(hidden, SOON));
}

#[test]
fn the_guests_pointer_is_the_hosts() {
    let world = world(wolf().watch_lent_buffers(), &["--cursor", "host"]);
    let mode = |world: &World| world.guest.mutter.state().casts[0].options["cursor-mode"].clone();
    assert!(mode(&world).contains('2'), "{}", mode(&world));
    world.host.pointer().move_to(5.0, 5.0);
    // Nothing is known of it yet.
    shows_none(&world);
    frame(&world, RED.0, |frame| frame.cursor = Some(arrow(1, 1)));
    shows_arrow(&world, 1);
    let frames = world.frame_count();
    pointer(&world, arrow(1, 9));
    shows_arrow(&world, 9);
    // It moved: as before.
    let cursors = world.host.look(|seen| seen.cursors.len());
    let empty = world.bridge.counter("empty");
    pointer(&world, Cursor { bitmap: None, ..arrow(1, 0) });
    world.counts("empty", empty + 1);
    world.heard();
    assert_eq!(world.host.look(|seen| seen.cursors.len()), cursors);
    // Its look is lost with every leave.
    for _ in 0..3 {
        world.host.pointer().leave().move_to(9.0, 9.0);
        shows_arrow(&world, 9);
    }
    // Out of the stream, and back again, without another picture of it.
    pointer(&world, arrow(0, 7));
    shows_none(&world);
    world.host.pointer().leave().move_to(9.0, 9.0);
    shows_none(&world);
    pointer(&world, Cursor { bitmap: None, ..arrow(1, 0) });
    shows_arrow(&world, 9);
    pointer(&world, Cursor { bitmap: Some(((0, 0), vec![])), ..arrow(1, 0) });
    shows_none(&world);
    // While it is elsewhere, too.
    world.host.pointer().leave();
    pointer(&world, arrow(1, 5));
    world.counts("empty", empty + 5);
    world.host.pointer().move_to(9.0, 9.0);
    shows_arrow(&world, 5);
    assert_eq!((world.frame_count(), world.pixel()), (frames, Some(RED.1)), "none of these had pixels");
    // Those do not count as lost frames.
    frame(&world, GREEN.0, |frame| frame.damage = vec![(0, 0, 1, 1)]);
    assert_eq!(world.last_frame().buffer_damage, [Rect::new(0, 0, 1, 1)]);
    world.end();
}

#[test]
fn pointers_that_come_and_go_leave_nothing_behind() {
    let world = world(wolf(), &["--cursor", "host"]);
    world.host.pointer().move_to(5.0, 5.0);
    let buffers = world.host.look(Seen::buffers_alive);
    for red in 0..60 {
        pointer(&world, arrow(1, red));
        shows_arrow(&world, red);
        if red % 20 == 0 {
            world.host.set_seat(false, true, true);
            world.host.set_seat(true, true, true);
            // It has to ask for its pointer first.
            wait_for("the cursor of the new pointer", SOON, || {
                world.host.pointer().move_to(5.0, 5.0);
                world.host.cursor()
            });
        }
    }
    world.bridge.expect(world.host.wait(|seen| seen.buffers_alive() <= buffers + 2, SOON));
    world.end();
}

#[test]
fn absurd_pointers_change_nothing() {
    let world = world(wolf(), &["--cursor", "host"]);
    world.host.pointer().move_to(5.0, 5.0);
    pointer(&world, arrow(1, 1));
    shows_arrow(&world, 1);
    let (empty, cursors) = (world.bridge.counter("empty"), world.host.look(|seen| seen.cursors.len()));
    let sizes = [(u32::MAX, u32::MAX), (1 << 30, 4), (1, 1 << 30), (385, 384), (16384, 16384), (1, 1025), (1025, 1)];
    for (index, size) in sizes.into_iter().enumerate() {
        pointer(&world, Cursor { bitmap: Some((size, vec![1; 64])), ..arrow(1, 0) });
        world.counts("empty", empty + 1 + index as i64);
    }
    world.heard();
    assert_eq!(world.host.look(|seen| seen.cursors.len()), cursors);
    shows_arrow(&world, 1);
    // A hotspot far away is no reason to show none.
    pointer(&world, Cursor { hotspot: (-9, i32::MAX), ..arrow(1, 3) });
    let found = wait_for("the pointer", SOON, || world.host.cursor().filter(|it| it.pixels == arrow_pixels(3)));
    assert_eq!(found.hotspot, (0, 0));
    let ended = world.end();
    assert_eq!(ended.log.matches("a cursor that is too large").count(), 1, "{}", ended.log);
}

#[test]
fn a_pointer_is_as_large_as_the_guests_pixels() {
    let host = wolf().output(Output { scale: 2, ..Output::new(1280, 720, 60_000) });
    let world = world(host, &["--cursor", "host"]);
    assert_eq!(world.last_frame().size, Some((640, 360)));
    world.host.pointer().move_to(5.0, 5.0);
    let large = |red| Cursor { hotspot: (10, 20), bitmap: Some(((48, 32), vec![red; 48 * 32 * 4])), ..arrow(1, 0) };
    pointer(&world, large(1));
    let found = wait_for("the pointer", SOON, || world.host.cursor());
    assert_eq!((found.size, found.hotspot, found.buffer), ((24, 16), (5, 10), (48, 32)));
    // The same pixels of the guest are larger now.
    let there = |crop| {
        move |frame: &mut Frame| {
            frame.crop = crop;
            frame.cursor = Some(Cursor { bitmap: None, ..arrow(1, 0) });
        }
    };
    frame(&world, GREEN.0, there(Some((0, 0, 320, 180))));
    let size = |size| wait_for("the size", SOON, || world.host.cursor().filter(|it| it.size == size));
    assert_eq!(size((96, 64)).hotspot, (20, 40));
    frame(&world, GREEN.0, there(None));
    assert_eq!(size((24, 16)).hotspot, (5, 10));
    world.end();
}

#[test]
fn a_pointer_that_the_guest_draws_or_nobody_is_hidden_in_the_host() {
    for (name, mode) in [("embedded", '1'), ("hidden", '0')] {
        let world = world(wolf(), &["--cursor", name]);
        let asked = world.guest.mutter.state().casts[0].options["cursor-mode"].clone();
        assert!(asked.contains(mode), "{asked}");
        world.host.pointer().move_to(5.0, 5.0);
        // Not asked for, so not there.
        frame(&world, GREEN.0, |frame| frame.cursor = Some(arrow(1, 1)));
        world.host.pointer().leave().move_to(5.0, 5.0);
        shows_none(&world);
        world.host.look(|seen| assert!(seen.cursors.iter().all(|it| it.surface.is_none()), "{seen}"));
        assert_eq!(world.host.cursor(), None);
        world.end();
    }
}
