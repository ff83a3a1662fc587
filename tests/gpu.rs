//! On a GPU: real guests and hosts on one device, in the virtual machine of scripts/vm, where all of these run in one boot.
//! Needs the rootfs of scripts/rootfs.

mod common;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use common::desktops::{HostKind, RealHost, shows, soon};
use common::started::{Started, with_host};
use common::vm::on_gpu;
use common::world::{AR24, LINEAR, XR24, coded, gpu, wolf};
use common::{Bridge, SOON, wait_for};
use fake_guest::{Dmabufs, FakeGuest, Fill, GuestOptions, MutterOptions, ProducerOptions};
use fake_host::modifier::INVALID;
use fake_host::{Dmabuf, Seen};
use lab::{Canvas, Gnome, Image, Machine, Suite};

/// GNOME takes long to start in there: one is for all tests.
static GNOME: Mutex<Option<Gnome>> = Mutex::new(None);

fn with_gnome(test: impl FnOnce(&Gnome)) {
    let mut gnome = GNOME.lock().unwrap_or_else(PoisonError::into_inner);
    if !gnome.as_mut().is_some_and(|gnome| gnome.alive()) {
        *gnome = None;
        *gnome = Some(Gnome::start_with(Suite::Trixie, &[("WB_ANIMATIONS", "0")]));
    }
    test(gnome.as_ref().expect("it was started"));
}

/// GNOME 48 in this host: every frame by the path that `--video` asks for, the right pixels, at two sizes.
fn gnome_in(kind: HostKind) {
    with_gnome(|gnome| {
        let host = RealHost::start_with(kind, 960, 540, lab::ON_GPU);
        for (video, path) in [("auto", "path=dmabuf"), ("shm", "path=memfd")] {
            host.resize(960, 540);
            let log = "debug,wolf_bridge::video=trace,calloop=info,zbus=info";
            let bridge = Bridge::start(&host.socket(), &gnome.env(), &["--log", log, "--video", video]);
            wait_for("a picture in the host", soon(), || (!host.screenshot().is_uniform()).then_some(()));
            // GNOME puts a window that opens while its monitor changes, for the rate's second step, into the wrong place.
            let steps = || bridge.log().matches("stream state old=Paused new=Streaming").count();
            wait_for("the rate's second step", soon(), || (steps() >= 2).then_some(()));
            wait_for("GNOME's input devices", soon(), || {
                (bridge.log().matches("added device=Device(\"wolf-bridge shared virtual absolute").count() >= 2)
                    .then_some(())
            });
            let canvas = Canvas::open(&gnome.wayland_socket(), 7);
            bridge.expect(canvas.wait_for_size(960, 540, soon()));
            shows(&host, 960, 540, 7);
            canvas.show(8);
            shows(&host, 960, 540, 8);

            host.resize(700, 501);
            bridge.expect(canvas.wait_for_size(700, 501, soon()));
            shows(&host, 700, 501, 8);

            // Every buffer has been there by then: none is imported twice.
            canvas.animate(true);
            let all_used = |seen: &lab::Seen| (seen.shown > 40).then_some(seen.shown);
            let shown = bridge.expect(canvas.wait(soon(), all_used));
            let imports = bridge.counter("imports");
            bridge.expect(canvas.wait(soon(), |seen| (seen.shown > shown + 40).then_some(())));
            canvas.animate(false);
            assert_eq!(bridge.counter("imports"), imports);

            let ended = bridge.end();
            assert!(ended.log.contains(path), "{}", ended.log);
            assert_eq!(ended.counter("copied_bytes"), 0, "{}", ended.log);
            assert_eq!(ended.counter("bad"), 0, "{}", ended.log);
            let buffers = ended.log.matches("buffer added").count() as i64;
            assert!((1..=buffers).contains(&imports), "{imports} imports of {buffers} buffers: {}", ended.log);
            println!("{video}: {buffers} buffers, {}", ended.log.lines().rfind(|it| it.contains("counters")).unwrap());
        }
    });
}

#[test]
fn gnome_48_in_sway_on_a_gpu() {
    on_gpu(|| gnome_in(HostKind::Sway));
}

#[test]
fn gnome_48_in_weston_on_a_gpu() {
    on_gpu(|| gnome_in(HostKind::Weston));
}

/// Sway takes no timelines, so that GNOME's frames are waited for here: by sync files, before Linux 6.6.
#[test]
fn gnome_48_in_sway_on_an_older_kernel() {
    on_gpu(|| {
        with_gnome(|gnome| {
            let host = RealHost::start_with(HostKind::Sway, 960, 540, lab::ON_GPU);
            let bridge = Bridge::start_on_an_old_kernel(&host.socket(), &gnome.env());
            wait_for("a picture in the host", soon(), || (!host.screenshot().is_uniform()).then_some(()));
            let canvas = Canvas::open(&gnome.wayland_socket(), 7);
            bridge.expect(canvas.wait_for_size(960, 540, soon()));
            canvas.animate(true);
            bridge.expect(canvas.wait(soon(), |seen| (seen.shown > 40).then_some(())));
            canvas.animate(false);
            canvas.show(8);
            shows(&host, 960, 540, 8);
            let ended = bridge.end();
            assert!(ended.log.contains("sync is waited now"), "{}", ended.log);
            assert!(ended.log.contains("using sync files"), "{}", ended.log);
            assert!(!ended.log.contains("does not finish a frame"), "{}", ended.log);
            println!("{}", ended.log.lines().rfind(|it| it.contains("counters")).unwrap());
        });
    });
}

fn run(program: &str, args: &[&str]) {
    let ended = Command::new(program).args(args).status();
    assert!(ended.as_ref().is_ok_and(std::process::ExitStatus::success), "{program} {args:?}: {ended:?}");
}

/// A second DRM device, which no desktop draws on; there for as long as this lives.
struct Vgem;

impl Vgem {
    fn load() -> Self {
        // GNOME would open it as soon as it hears of it.
        run("udevadm", &["control", "--stop-exec-queue"]);
        run("modprobe", &["vgem"]);
        Self
    }

    /// The device number of its render node.
    fn device() -> u64 {
        let nodes = std::fs::read_dir("/sys/class/drm").expect("DRM devices").flatten().map(|node| node.path());
        let is_vgem = |node: &PathBuf| {
            let name = node.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with("renderD")
                && node.canonicalize().is_ok_and(|path| path.to_string_lossy().contains("/vgem"))
        };
        let node = nodes.into_iter().find(is_vgem).expect("vgem has a render node");
        let node = Path::new("/dev/dri").join(node.file_name().expect("a name"));
        wait_for("the node", SOON, || std::fs::metadata(&node).ok()).rdev()
    }
}

impl Drop for Vgem {
    fn drop(&mut self) {
        for (program, args) in [("modprobe", ["--remove", "vgem"]), ("udevadm", ["control", "--start-exec-queue"])] {
            let _ = Command::new(program).args(args).status();
        }
    }
}

/// A guest that sends what it is told, in a real host.
struct Told {
    host: RealHost,
    guest: FakeGuest,
    bridge: Bridge,
    shown: Option<u8>,
}

impl Told {
    fn start(dmabufs: Dmabufs) -> Self {
        let host = RealHost::start_with(HostKind::Sway, 640, 400, lab::ON_GPU);
        let producer = ProducerOptions { dmabufs, ..gpu(&[INVALID, LINEAR]) };
        let mutter = MutterOptions { producer, ..Default::default() };
        let guest = FakeGuest::start(GuestOptions { mutter, ..Default::default() }).expect("a fake guest");
        let bridge = Bridge::start(&host.socket(), &guest.env(), &["--log", "debug"]);
        Self { host, guest, bridge, shown: None }
    }

    /// The guest has other memory for its DMA-BUFs from now on.
    fn renew(&self, dmabufs: Dmabufs) {
        let producer = self.bridge.expect(self.guest.mutter.producer(soon()));
        producer.reconfigure(move |options| options.dmabufs = dmabufs);
    }

    /// Sends a picture until the host shows it, pixel for pixel; meanwhile it shows the one before, never anything else.
    fn shows(&mut self, frame: u8) {
        let picture = |frame| Image::from_fn(640, 400, |x, y| coded(x, y, frame) & 0xff_ffff);
        let (old, new) = (self.shown.map(picture), picture(frame));
        wait_for("the guest's picture", soon(), || {
            let producer = self.bridge.expect(self.guest.mutter.producer(soon()));
            // Sizes and formats may be changing; a producer that cannot make its buffers is none.
            let sent = producer.send(Fill::Coded(frame), SOON);
            let errors = producer.state().errors;
            assert!(errors.is_empty(), "{errors:?}, {sent:?}");
            let seen = self.host.screenshot();
            let is_new = seen.check(&new).is_ok();
            if let (false, Some(old)) = (is_new, &old) {
                let kept = seen.check(old);
                assert!(kept.is_ok(), "neither picture: {kept:?}\n{}", self.bridge.log());
            }
            is_new.then_some(())
        });
        self.shown = Some(frame);
    }

    /// Until frames go by this path.
    fn goes_by(&self, path: &str) -> bool {
        self.bridge.counter("imports");
        let log = self.bridge.log();
        log.lines()
            .rfind(|line| line.contains("counters: "))
            .is_some_and(|line| line.contains(&format!("path={path} ")))
    }

    fn errors(&self) -> Vec<String> {
        self.bridge.expect(self.guest.mutter.producer(soon())).state().errors
    }
}

/// A host on another device than GNOME's would take its DMA-BUFs for something else: it gets none.
#[test]
fn a_host_on_another_device_gets_shared_memory() {
    on_gpu(|| {
        with_gnome(|gnome| {
            let _vgem = Vgem::load();
            let formats = vec![(XR24, INVALID), (AR24, INVALID)];
            let host = wolf().dmabuf(Dmabuf::feedback(5, Vgem::device(), formats)).start().expect("a fake host");
            let bridge = Bridge::start(host.socket(), &gnome.env(), &["--log", "debug"]);
            bridge.expect(host.wait(Seen::shown, soon()));
            let ended = bridge.end();
            assert_eq!(host.look(|seen| seen.params.len()), 0, "{}", ended.log);
            let devices = "the guest draws on renderD128 (virtio-pci), the host on renderD129 (vgem)";
            assert_eq!(ended.log.matches(devices).count(), 1, "{}", ended.log);
            assert!(ended.log.contains("path=memfd (the guest draws on another device"), "{}", ended.log);
            assert_eq!(ended.counter("copied_bytes"), 0, "{}", ended.log);
            let seen = host.seen();
            let shown = seen.window_commits().skip_while(|commit| commit.buffer().is_none());
            assert!(shown.into_iter().all(|commit| commit.size.is_some()), "the window was blank: {seen}");
        });
    });
}

/// A session of somebody without rights draws in software while the host's GPU is not theirs to open, and else on that one.
#[test]
fn a_session_draws_on_the_hosts_gpu() {
    on_gpu(|| {
        let mut machine = Machine::start();
        let gpu = rustix::fs::makedev(226, 128);
        for (mode, says, opens) in [
            (0o600, "which this user may not open: the desktop is drawn in software", vec![]),
            (0o666, "by dmabuf", vec![gpu]),
        ] {
            let host = RealHost::start_with(HostKind::Sway, 960, 540, lab::ON_GPU);
            std::fs::set_permissions("/dev/dri/renderD128", std::fs::Permissions::from_mode(mode)).expect("root may");
            let env = with_host(&machine, &host.socket());
            let started = Started::start(&mut machine, &env, &[]);
            started.wait("a first frame", soon(), || started.log().contains("first frame shown").then_some(()));
            let shell = started.running(&machine, "gnome");
            assert_eq!(wolf_bridge::device::open_in(shell.pid), opens, "{}", started.log());
            started.wait("its frames", soon(), || started.log().contains(says).then_some(()));
            wait_for("a picture in the host", soon(), || (!host.screenshot().is_uniform()).then_some(()));
            started.end();
        }
    });
}

/// What real hosts refuse costs the DMA-BUF, not the picture, and not for ever.
#[test]
fn buffers_that_a_gpu_cannot_use_lead_to_shared_memory_and_good_ones_back() {
    on_gpu(|| {
        let _vgem = Vgem::load();
        let mut told = Told::start(Dmabufs::VirtioGpu);
        told.shows(1);
        assert!(told.goes_by("dmabuf"), "{:?}\n{}", told.errors(), told.bridge.log());
        let mut frame = 2;
        for (bad, exporter) in [(Dmabufs::Udmabuf, "udmabuf"), (Dmabufs::DmaHeap, "system"), (Dmabufs::Vgem, "drm")] {
            told.renew(bad);
            wait_for("shared memory", soon(), || {
                told.shows(frame);
                frame += 1;
                told.goes_by("memfd").then_some(())
            });
            let said =
                format!("the host refused a dmabuf made by {exporter} (the host's device: renderD128 (virtio-pci))");
            assert!(told.bridge.log().contains(&said), "{bad:?}: {}", told.bridge.log());
            // A refusal is not forgiven at once: a guest with good buffers may have to offer them again.
            wait_for("DMA-BUFs", soon(), || {
                told.renew(Dmabufs::VirtioGpu);
                told.shows(frame);
                frame += 1;
                told.goes_by("dmabuf").then_some(())
            });
        }
        assert_eq!(told.errors(), Vec::<String>::new());
        let ended = told.bridge.end();
        assert_eq!(ended.counter("copied_bytes"), 0, "{}", ended.log);
        assert_eq!(ended.counter("sessions"), 1, "{}", ended.log);
    });
}
