//! The whole bridge between a host like Wolf's and a GNOME, both of them fakes.

mod common;

use common::{Bridge, SOON};
use fake_guest::{FakeGuest, Fill, GuestOptions};
use fake_host::FakeHost;

#[test]
fn a_picture_and_a_click_go_through() {
    let host = FakeHost::builder().wolf().start().unwrap();
    let guest = FakeGuest::start(GuestOptions::default()).unwrap();
    let bridge = Bridge::start(host.socket(), &guest.env(), &[]);
    let producer = bridge.expect(guest.mutter.producer(SOON));
    bridge.expect(producer.streaming(SOON));
    bridge.expect(producer.send(Fill::Coded(1), SOON));
    bridge.expect(host.wait(|seen| seen.shown(), SOON));
    let ended = bridge.end();
    assert_eq!(ended.counter("copied_bytes"), 0);
    assert_eq!(host.seen().oddities, Vec::<String>::new());
}
