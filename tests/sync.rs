//! Explicit sync with real timelines, in the virtual machine of `scripts/vm`: handed to a host that takes them, waited
//! for where it does not, with guests and hosts that behave well and badly.

mod common;

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use common::desktops::soon;
use common::vm::on_gpu;
use common::world::{BLUE, GREEN, LINEAR, RED, World, XR24, gpu, wolf};
use common::{Bridge, Ended, SOON, usage, wait_for};
use fake_guest::{Fill, ProducerOptions, Pushed, Timelines};
use fake_host::{Builder, Dmabuf, ReleasePolicy, Seen};
use lab::{Canvas, Gnome, Suite};
use wolf_bridge::video::syncobj::SyncDevice;

const MANAGER: &str = "wp_linux_drm_syncobj_manager_v1";

/// A host with DMA-BUFs.
fn host() -> Builder {
    wolf().dmabuf(Dmabuf::feedback(5, 0, vec![(XR24, LINEAR)]))
}

/// The same, that takes timelines.
fn syncing() -> Builder {
    host().with_version(MANAGER, 1)
}

/// A guest with this many buffers and timelines of this kind.
fn guest(buffers: u32, timelines: Timelines) -> ProducerOptions {
    ProducerOptions { timelines, buffers: (buffers, buffers, buffers), ..gpu(&[LINEAR]) }
}

/// Every buffer is the guest's to draw in, but for this many, of which it is not told either that nobody reads them.
fn all_come_home_but(world: &World, missing: usize) {
    let home = |s: &fake_guest::ProducerState| {
        let usable = s.free - s.unreleased;
        (s.buffers > 0 && usable == s.buffers - missing && s.unreleased + s.unreleased_out == missing).then_some(())
    };
    world.bridge.expect(world.producer().wait(home, SOON));
}

/// Sends a colour until it comes in shared memory: the first one may be on its way before that is agreed on.
fn in_shared_memory(world: &World, (fill, colour): (Fill, u32)) {
    wait_for("shared memory", SOON, || {
        world.send(fill);
        world.modifier().is_none().then_some(())
    });
    world.shows(colour);
}

/// Sends a frame that is not drawn until the bridge has it.
fn send_undrawn(world: &World, fill: Fill) {
    let before = world.bridge.counter("frames_in");
    assert!(matches!(world.producer().undrawn_frame(fill), Pushed::Sent(_)));
    wait_for("the frame", SOON, || (world.bridge.counter("frames_in") > before).then_some(()));
}

#[test]
fn timelines_are_handed_to_a_host_that_takes_them() {
    on_gpu(|| handed(Timelines::Real));
}

/// As some guests have them: one to wait for, and one to signal.
#[test]
fn timelines_apart_are_handed_on_each_for_itself() {
    on_gpu(|| {
        handed(Timelines::Apart);
        let world = World::new(host(), guest(3, Timelines::Apart));
        world.settle();
        for colour in [RED, GREEN, BLUE, RED, GREEN] {
            world.show(colour);
        }
        all_come_home_but(&world, 1);
        world.end();
    });
}

fn handed(timelines: Timelines) {
    let world = World::new(syncing(), guest(3, timelines));
    world.settle();
    let before = world.frame_count();
    world.producer().animate(60.0);
    world.bridge.expect(world.host.wait(|seen| seen.frame_count() > before + 30, soon()));
    world.producer().stop();
    world.show(RED);
    world.show(GREEN);
    // The one on the screen.
    all_come_home_but(&world, 1);
    let seen = world.host.seen();
    let frames = seen.window_commits().filter(|commit| commit.buffer().is_some());
    for commit in frames {
        assert!(commit.acquire_point.zip(commit.release_point).is_some_and(|(acquire, release)| acquire < release));
    }
    // Two for each of the buffers before and after the rate was settled.
    assert!(seen.timelines <= 2 * 2 * 3, "{} timelines", seen.timelines);
    let ended = world.end();
    assert!(ended.log.contains("sync is explicit now"), "{}", ended.log);
    assert_eq!((ended.counter("lent_max"), ended.counter("copied_bytes")), (0, 0), "{}", ended.log);
}

#[test]
fn frames_that_are_never_committed_are_released() {
    on_gpu(|| {
        for host in [syncing(), host()] {
            let world = World::new(host, guest(6, Timelines::Real));
            world.settle();
            world.host.pause_frames();
            for frame in 0..20 {
                // One at a time: PipeWire loses what comes before the last one was taken, and nobody releases that.
                let before = world.bridge.counter("frames_in");
                let (began, mut sent) = (Instant::now(), 0);
                wait_for("the frame", SOON, || {
                    // All the same it loses one now and then on a busy machine.
                    if began.elapsed().as_secs() / 5 >= sent {
                        sent += 1;
                        world.bridge.expect(world.producer().send(Fill::Coded(frame), SOON));
                    }
                    (world.bridge.counter("frames_in") > before).then_some(())
                });
            }
            // Two were committed, one waits for the host to call back.
            world.bridge.expect(world.producer().wait(|s| (s.free - s.unreleased >= 3).then_some(()), SOON));
            world.host.resume_frames();
            world.host.render();
            world.show(BLUE);
            all_come_home_but(&world, 1);
            // Metadata comes without points of its own.
            world.producer().frame_with(Fill::Keep, fake_guest::Frame::metadata_only);
            all_come_home_but(&world, 1);
            world.end();
        }
    });
}

/// PipeWire gives buffers back unseen that come too soon after each other: the guest would wait for ever.
#[test]
fn frames_that_get_lost_on_their_way_are_released() {
    on_gpu(|| {
        let world = World::new(syncing(), guest(6, Timelines::Real));
        world.settle();
        for _ in 0..3 {
            world.producer().burst(6);
            world.show(RED);
            all_come_home_but(&world, 1);
        }
        world.end();
    });
}

#[test]
fn a_host_that_takes_no_timelines_sees_drawn_frames_only() {
    on_gpu(|| {
        let ended = sees_drawn_frames_only(World::new(host(), guest(6, Timelines::Real)));
        assert!(!ended.log.contains("using sync files"), "{}", ended.log);
    });
}

/// Before Linux 6.6 no eventfd tells of a point.
#[test]
fn on_an_older_kernel_too_drawn_frames_only_are_seen() {
    on_gpu(|| {
        let ended = sees_drawn_frames_only(World::on_an_old_kernel(host(), guest(6, Timelines::Real)));
        assert!(ended.log.contains("using sync files"), "{}", ended.log);
    });
}

fn sees_drawn_frames_only(world: World) -> Ended {
    world.settle();
    world.show(RED);
    let committed = world.bridge.counter("committed");
    let sent = Instant::now();
    send_undrawn(&world, GREEN.0);
    world.heard();
    assert_eq!((world.bridge.counter("committed"), world.pixel()), (committed, Some(RED.1)));
    world.producer().draw();
    world.shows(GREEN.1);
    // By the alarm: whoever only gave up on it would be a second late.
    assert!(world.last_frame().at - sent < Duration::from_secs(1), "{:?}", world.last_frame().at - sent);
    // A drawn one overtakes it.
    send_undrawn(&world, RED.0);
    world.show(BLUE);
    all_come_home_but(&world, 1);
    // An alarm that was heard is silent again.
    let (began, before) = (Instant::now(), usage::cpu(world.bridge.pid()));
    std::thread::sleep(Duration::from_millis(500));
    let used = usage::cpu(world.bridge.pid()) - before;
    assert!(used < began.elapsed() / 4, "{used:?} of {:?} at rest", began.elapsed());
    let ended = world.end();
    assert!(ended.log.contains("sync is waited now"), "{}", ended.log);
    assert_eq!(ended.counter("copied_bytes"), 0);
    ended
}

#[test]
fn frames_that_are_never_drawn_end_explicit_sync_and_not_the_picture() {
    on_gpu(|| {
        let world = World::new(host(), guest(4, Timelines::Real));
        world.settle();
        world.show(RED);
        wait_for("implicit sync", SOON, || {
            let _ = world.producer().undrawn_frame(GREEN.0);
            world.bridge.log().contains("going on with implicit sync").then_some(())
        });
        world.show(BLUE);
        let ended = world.end();
        assert_eq!(ended.log.matches("does not finish a frame").count(), 1, "{}", ended.log);
        assert!(ended.log.contains("sync is implicit now"), "{}", ended.log);
    });
}

#[test]
fn what_is_no_timeline_is_not_handed_on() {
    on_gpu(|| {
        for host in [syncing(), host()] {
            let world = World::new(host, guest(4, Timelines::Unusable));
            world.show(RED);
            world.show(GREEN);
            assert_eq!(world.host.look(|seen| seen.timelines), 0);
            let ended = world.end();
            assert_eq!(ended.log.matches("explicit sync does not work here").count(), 1, "{}", ended.log);
        }
    });
}

#[test]
fn a_host_that_never_signals_a_release_costs_explicit_sync_and_not_the_picture() {
    on_gpu(|| {
        let world = World::new(syncing().release(ReleasePolicy::Manual), guest(4, Timelines::Real));
        let sent = |count: u8| {
            for frame in 0..count {
                world.send(Fill::Coded(frame));
            }
        };
        sent(3);
        wait_for("a way out", SOON, || {
            let _ = world.producer().frame(Fill::Coded(9));
            world.bridge.log().contains("waiting for frames here").then_some(())
        });
        world.host.set_release(ReleasePolicy::OnReplacement);
        world.host.release_replaced();
        sent(6);
        world.show(BLUE);
        let log = world.bridge.log();
        assert_eq!(log.matches("waiting for frames here").count(), 1, "{log}");
        assert!(log.contains("sync is waited now"), "{log}");
    });
}

#[test]
fn a_frame_that_is_never_drawn_does_not_block_the_host() {
    on_gpu(|| {
        let world = World::new(syncing(), guest(4, Timelines::Real));
        world.settle();
        world.show(RED);
        assert!(matches!(world.producer().undrawn_frame(GREEN.0), Pushed::Sent(_)));
        wait_for("help", SOON, || world.bridge.log().contains("the host need not wait").then_some(()));
        world.show(BLUE);
        assert_eq!(world.host.look(|seen| seen.undrawn), 1);
        world.end();
    });
}

#[test]
fn a_host_that_withdraws_its_manager_is_waited_for() {
    on_gpu(|| {
        let world = World::new(syncing(), guest(4, Timelines::Real));
        world.settle();
        world.show(RED);
        world.host.remove_global(MANAGER);
        world.show(GREEN);
        world.show(BLUE);
        all_come_home_but(&world, 1);
        let ended = world.end();
        assert!(ended.log.contains("sync is waited now"), "{}", ended.log);
    });
}

/// Two commits wait for the host's answers, and a frame that is not drawn for its turn, when the host takes no more points.
#[test]
fn a_frame_that_waits_undrawn_is_not_shown_to_a_host_that_waits_no_more() {
    on_gpu(|| {
        let world = World::new(syncing(), guest(6, Timelines::Real));
        world.settle();
        world.show(RED);
        world.host.pause_frames();
        let before = world.bridge.counter("committed");
        wait_for("two commits", SOON, || {
            let _ = world.producer().frame(RED.0);
            (world.bridge.counter("committed") >= before + 2).then_some(())
        });
        send_undrawn(&world, GREEN.0);
        world.host.remove_global(MANAGER);
        wait_for("the end of it", SOON, || world.bridge.log().contains("takes no timelines any more").then_some(()));
        world.host.resume_frames();
        world.host.render();
        world.bridge.expect(world.host.wait(|seen| seen.callbacks_done == seen.callbacks_asked, SOON));
        // It hears of that before it counts a second time.
        let _ = world.bridge.counter("committed");
        assert_eq!(world.bridge.counter("committed"), before + 2);
        world.show(BLUE);
        world.end();
    });
}

/// The protocol lets hosts tell of a release by the point alone.
#[test]
fn buffers_go_whose_release_is_told_by_points_alone() {
    on_gpu(|| {
        let world = World::new(syncing().release_by_points_alone(), guest(4, Timelines::Real));
        world.settle();
        world.show(RED);
        world.show(GREEN);
        let (buffers, first) = (world.host.look(|seen| seen.buffers.len()), world.host.look(Seen::buffers_alive));
        assert!(first > 0 && buffers >= first);
        // So that nothing is left to be looked after but the frame on the screen: the bridge does so every two seconds.
        std::thread::sleep(Duration::from_millis(4500));
        world.producer().offer(fake_guest::Offer::software());
        in_shared_memory(&world, BLUE);
        let gone = |seen: &Seen| seen.buffers[..buffers].iter().all(|buffer| !buffer.alive);
        world.bridge.expect(world.host.wait(gone, SOON));
        world.end();
    });
}

/// The kernel gives the lowest number that is free.
#[test]
fn a_timeline_that_is_let_go_is_closed() {
    on_gpu(|| {
        let device = SyncDevice::open(None).expect("a device with timelines");
        let timeline = timelines::Timeline::new().expect("a timeline").export().expect("a descriptor");
        let number = || format!("{:?}", device.import(timeline.as_fd()).expect("it is one"));
        assert_eq!(number(), number());
    });
}

#[test]
fn shared_memory_ends_the_sync_of_the_surface() {
    on_gpu(|| {
        let world = World::new(syncing(), guest(4, Timelines::Real));
        world.settle();
        world.show(RED);
        world.producer().offer(fake_guest::Offer::software());
        in_shared_memory(&world, GREEN);
        world.producer().offer(fake_guest::Offer::gpu(&[LINEAR]));
        wait_for("timelines", SOON, || {
            world.show(RED);
            world.show(BLUE);
            world.last_frame().acquire_point
        });
        world.end();
    });
}

/// New buffers, a guest that ends and one that comes after it: nothing of their timelines stays open.
#[test]
fn timelines_are_closed_with_their_buffers() {
    on_gpu(|| {
        for host in [syncing(), host()] {
            let world = World::new(host, guest(4, Timelines::Real));
            world.settle();
            let settled = |world: &World| {
                world.show(RED);
                world.show(GREEN);
                world.open_files()
            };
            let before = settled(&world);
            for _ in 0..3 {
                world.bridge.expect(world.producer().remove_buffers(SOON));
                settled(&world);
            }
            wait_for("the files of before", SOON, || (settled(&world) == before).then_some(()));
            world.end();
        }
    });
}

/// A second GNOME lists the manager: every frame goes there with its points, drawn or not, and back at once.
#[test]
fn gnome_48_in_gnome_48() {
    on_gpu(|| {
        let host = Gnome::start_with(Suite::Trixie, &[("GNOME_ARGS", "--virtual-monitor 800x600")]);
        let gnome = Gnome::start_with(Suite::Trixie, &[("WB_ANIMATIONS", "0")]);
        let bridge = Bridge::start(&host.wayland_socket(), &gnome.env(), &["--log", "debug"]);
        wait_for("a frame in the host", soon(), || bridge.log().contains("first frame shown").then_some(()));
        let size = gnome_size(&bridge);
        let canvas = Canvas::open(&gnome.wayland_socket(), 7);
        bridge.expect(canvas.wait_for_size(size.0, size.1, soon()));
        canvas.animate(true);
        // Many times each of its buffers: none is kept.
        let before = bridge.counter("committed");
        wait_for("60 frames", soon(), || (bridge.counter("committed") > before + 60).then_some(()));
        canvas.animate(false);
        assert_eq!((bridge.counter("lent_max"), bridge.counter("copied_bytes")), (0, 0), "{}", bridge.log());
        let ended = bridge.end();
        assert!(ended.log.contains("sync is explicit now"), "{}", ended.log);
        assert!(!ended.log.contains("the host ended the connection"), "{}", ended.log);
        assert!(!ended.log.contains("waiting for frames here"), "{}", ended.log);
        println!("{}", ended.last_line());
    });
}

/// The size of the guest's monitor, as the bridge told it last.
fn gnome_size(bridge: &Bridge) -> (u32, u32) {
    let log = bridge.log();
    let line = log.lines().rfind(|line| line.contains("frames of ")).expect("frames were committed");
    let size = line.split("frames of ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a size");
    let (width, height) = size.split_once('x').expect("two sides");
    (width.parse().expect("a number"), height.parse().expect("a number"))
}
