//! An ordinary host's strictness, policies and failures, seen from the client's side.

mod client;

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use client::{BLUE, Client, RED, SOON, fill, filled};
use fake_host::{Broken, FakeHost, Link, ReleasePolicy, Seen, WindowState};
use wayland_client::protocol::wl_shm::{Format, WlShm};

#[test]
fn an_ordinary_host_shows_the_first_buffer_and_releases_it_at_once() {
    let host = FakeHost::builder().start().unwrap();
    let mut client = Client::configured(&host);
    let (buffer, file) = client.buffer(64, 64, RED);
    client.show(&buffer);
    client.roundtrip();
    assert_eq!(client.log.count("wl_buffer"), 1);
    // What was uploaded stays, whatever becomes of the memory.
    fill(&file, 64 * 64, BLUE);
    assert_eq!(host.pixel(0, 0), Some(RED));
    let screen = host.screenshot().unwrap();
    assert_eq!(screen.pixel(63, 63), Some(RED));
    assert!(!screen.is_black());
}

#[test]
fn a_buffer_before_the_first_ack_is_fatal() {
    let host = FakeHost::builder().start().unwrap();
    let mut client = Client::new(&host);
    let (buffer, _file) = client.buffer(64, 64, RED);
    client.show(&buffer);
    assert!(client.try_roundtrip().is_err());
    host.wait(Seen::client_gone, SOON).unwrap();
    let seen = host.seen();
    assert_eq!((seen.errors[0].interface.as_str(), seen.errors[0].code), ("xdg_surface", 3));
    assert!(matches!(seen.clients[0].link, Link::Killed(_)));
}

#[test]
fn a_buffer_behind_the_end_of_its_pool_is_fatal() {
    let host = FakeHost::builder().start().unwrap();
    let mut client = Client::configured(&host);
    let file = filled(64, 64, RED);
    let shm: WlShm = client.bind(2).unwrap();
    let pool = shm.create_pool(file.as_fd(), 64 * 64 * 4, &client.qh, ());
    pool.create_buffer(4, 64, 64, 256, Format::Xrgb8888, &client.qh, ());
    assert!(client.try_roundtrip().is_err());
    assert_eq!(host.seen().errors[0].interface, "wl_shm_pool");
}

#[test]
fn a_pool_larger_than_its_file_is_fatal() {
    let host = FakeHost::builder().start().unwrap();
    let mut client = Client::configured(&host);
    let file = filled(8, 8, RED);
    let shm: WlShm = client.bind(2).unwrap();
    shm.create_pool(file.as_fd(), 4096, &client.qh, ());
    assert!(client.try_roundtrip().is_err());
    assert_eq!(host.seen().errors[0].code, 2);
}

#[test]
fn frames_and_releases_follow_the_script() {
    let host = FakeHost::builder().manual_frames().release(ReleasePolicy::Manual).watch_lent_buffers();
    let host = host.start().unwrap();
    let mut client = Client::configured(&host);
    let (buffer, file) = client.buffer(16, 16, RED);
    client.surface.frame(&client.qh, ());
    client.show(&buffer);
    client.roundtrip();
    assert_eq!(client.log.count("wl_callback"), 0);
    assert_eq!(host.render(), 1);
    fill(&file, 16 * 16, BLUE);
    let held = host.seen().held();
    assert!(host.release(held[0]));
    assert!(!host.release(held[0]));
    client.roundtrip();
    assert_eq!(client.log.count("wl_callback"), 1);
    assert_eq!(client.log.count("wl_buffer"), 1);
    assert_eq!(host.seen().oddities, ["buffer 1 was written to while lent"]);
}

#[test]
fn a_wait_in_vain_tells_what_was_seen() {
    let host = FakeHost::builder().start().unwrap();
    let _client = Client::configured(&host);
    let error = host.wait(|seen| seen.frame_count() > 0, Duration::from_millis(50));
    let error = error.unwrap_err();
    assert!(error.contains("tests/ordinary.rs"), "{error}");
    assert!(error.contains("window 0"), "{error}");
}

#[test]
fn the_script_configures_closes_and_kills() {
    let host = FakeHost::builder().manual_configure().start().unwrap();
    let mut client = Client::new(&host);
    client.surface.commit();
    client.roundtrip();
    assert_eq!(client.log.serial, None);
    let serial = host.configure(300, 200, &[WindowState::Activated]);
    host.close_toplevel();
    client.roundtrip();
    assert_eq!((client.log.size, client.log.serial), ((300, 200), serial));
    assert_eq!(client.log.count("xdg_toplevel Close"), 1);
    host.kill();
    assert!(client.try_roundtrip().is_err());
    host.wait(Seen::client_gone, SOON).unwrap();
    assert_eq!(host.seen().clients[0].link, Link::Dropped);
    assert!(!host.socket().exists());
}

#[test]
fn broken_hosts_break_as_told() {
    let host = FakeHost::builder().broken(Broken::NobodyListens).start();
    let host = host.unwrap();
    assert!(UnixStream::connect(host.socket()).is_err());

    let host = FakeHost::builder().broken(Broken::CloseAtOnce).start();
    let host = host.unwrap();
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);

    let host = FakeHost::builder().broken(Broken::NeverAnswers).start();
    let host = host.unwrap();
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(stream.read(&mut [0; 8]).is_err());
}

#[test]
fn versions_and_absences_are_as_described() {
    let host =
        FakeHost::builder().without("wp_viewporter").with_version("wl_seat", 5).with_version("some_future_protocol", 3);
    let host = host.start().unwrap();
    let client = Client::configured(&host);
    let all = client.globals.contents().clone_list();
    let version = |name: &str| {
        let global = all.iter().find(|g| g.interface == name);
        global.map(|g| g.version)
    };
    assert_eq!(version("wp_viewporter"), None);
    assert_eq!(version("wl_seat"), Some(5));
    assert_eq!(version("some_future_protocol"), Some(3));
    assert_eq!(version("zwp_linux_dmabuf_v1"), Some(4));
    let absurd = FakeHost::builder().with_version("wl_seat", 99).start();
    assert!(absurd.is_err());
}

#[test]
fn a_frozen_host_goes_on_where_it_stopped() {
    let host = FakeHost::builder().start().unwrap();
    let mut client = Client::configured(&host);
    client.roundtrip();
    host.freeze();
    client.surface.commit();
    client.queue.flush().unwrap();
    let commits = host.seen().commits.len();
    let waited = host.wait(|s| s.commits.len() > commits, Duration::from_millis(50));
    assert!(waited.is_err());
    host.thaw();
    host.wait(|s| s.commits.len() > commits, SOON).unwrap();
}
