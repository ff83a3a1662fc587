//! The clipboard of real wlroots compositors, without a bridge around: that of Debian 13, which has the older protocol alone,
//! and that of testing, which has both. Needs the rootfs of scripts/rootfs, and wl-clipboard.

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::pin;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use async_io::{Timer, block_on};
use common::copies::{client, copy, finds};
use common::desktops::soon;
use futures_util::future::{Either, select};
use lab::{Sway, SwayGuest, Weston};
use wolf_bridge::clipboard::GuestClipboard;
use wolf_bridge::clipboard::asks::{Ask, Asks};
use wolf_bridge::clipboard::mimes::Mimes;
use wolf_bridge::guest::wlroots::clipboard::Clipboard;

const TEXT: &str = "text/plain;charset=utf-8";

/// A clipboard that is served meanwhile, and what it reported.
#[derive(Default)]
struct Served {
    asks: Asks,
    reported: RefCell<VecDeque<GuestClipboard>>,
}

impl Served {
    /// Serves that compositor's clipboard while this runs.
    fn run(socket: &Path, test: impl AsyncFnOnce(&Self)) {
        let served = Self::default();
        block_on(async {
            let clipboard = open(socket).await.expect("it has one");
            let report = |event| served.reported.borrow_mut().push_back(event);
            match select(pin!(clipboard.serve(&served.asks, report)), pin!(test(&served))).await {
                Either::Left((never, _)) => match never {},
                Either::Right(((), _)) => {}
            }
        });
        assert!(served.reported.borrow().is_empty(), "{:?}", served.reported);
    }

    fn ask(&self, ask: Ask) {
        assert!(self.asks.push(ask));
    }

    fn offer(&self, mimes: &[&str]) {
        self.ask(Ask::Offer(Mimes::new(mimes.iter().map(|it| (*it).to_owned()))));
    }

    /// The next report.
    async fn next(&self) -> GuestClipboard {
        until("a report", || self.reported.borrow_mut().pop_front()).await
    }

    /// Somebody owns this from now on.
    async fn owns(&self, mimes: Option<&[&str]>) {
        match self.next().await {
            GuestClipboard::Owns(owned) => {
                let owned = owned.as_ref().map(|it| it.offered().collect::<Vec<_>>());
                let same = match (&owned, mimes) {
                    // wl-copy adds some names of text.
                    (Some(owned), Some(mimes)) => mimes.iter().all(|it| owned.contains(it)),
                    (owned, mimes) => owned.is_none() && mimes.is_none(),
                };
                assert!(same, "{owned:?} and not {mimes:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    async fn offered(&self) {
        let next = self.next().await;
        assert!(matches!(next, GuestClipboard::Offered), "{next:?}");
    }

    /// Somebody wants this type; the number of the question.
    async fn wants(&self, wanted: &str) -> u32 {
        match self.next().await {
            GuestClipboard::Wants { mime, serial } if mime == wanted => serial,
            other => panic!("{other:?}"),
        }
    }

    async fn write_end(&self, serial: u32) -> Result<OwnedFd, String> {
        self.ask(Ask::Write(serial));
        match self.next().await {
            GuestClipboard::Write(number, end) if number == serial => end,
            other => panic!("{other:?}"),
        }
    }

    async fn read(&self, mime: &str) -> Result<Vec<u8>, String> {
        self.ask(Ask::Read(mime.to_owned()));
        let end = match self.next().await {
            GuestClipboard::Read(end) => end?,
            other => panic!("{other:?}"),
        };
        // The compositor hears of it as soon as nothing else is asked.
        let reader = std::thread::spawn(move || common::pipes::all(end, soon()));
        until("the end of the pipe", || reader.is_finished().then_some(())).await;
        Ok(reader.join().expect("it was read"))
    }
}

async fn open(socket: &Path) -> Option<Clipboard> {
    let socket = UnixStream::connect(socket).expect("a compositor");
    socket.set_nonblocking(true).expect("a socket");
    Clipboard::open(socket).await
}

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < soon(), "{what}: not in time");
        Timer::after(Duration::from_millis(5)).await;
    }
}

/// An application that pastes.
fn pastes(socket: &Path, mime: &str) -> Child {
    let mut command = client("timeout", socket, &["20", "wl-paste", "--no-newline", "--type", mime]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("wl-clipboard is installed")
}

/// What it got.
async fn pasted(mut paste: Child) -> Vec<u8> {
    until("the paste", || paste.try_wait().expect("a child")).await;
    paste.wait_with_output().expect("a child").stdout
}

/// As root's sway of that release has it: with the older protocol alone, or with both.
fn with_each_sway(test: impl Fn(&Sway)) {
    if lab::skip() {
        return;
    }
    test(&Sway::start(640, 360));
    test(&SwayGuest::start(640, 360));
}

#[test]
fn what_is_offered_can_be_pasted_and_is_not_reported() {
    with_each_sway(|sway| {
        let socket = sway.socket();
        Served::run(&socket, async |served| {
            served.offer(&["image/png"]);
            served.offered().await;
            served.offer(&[TEXT, "image/png"]);
            served.offered().await;
            for content in ["one", "two"] {
                let paste = pastes(&socket, TEXT);
                let serial = served.wants(TEXT).await;
                let mut into = File::from(served.write_end(serial).await.unwrap());
                into.write_all(content.as_bytes()).unwrap();
                drop(into);
                served.ask(Ask::Written(serial, true));
                assert_eq!(pasted(paste).await, content.as_bytes());
                assert!(served.write_end(serial).await.is_err(), "a pipe was given twice");
            }
            // As text goes by two names, so do questions.
            let paste = pastes(&socket, "UTF8_STRING");
            let serial = served.wants("UTF8_STRING").await;
            served.ask(Ask::Refuse(serial));
            assert_eq!(pasted(paste).await, b"");
            served.ask(Ask::Offer(None));
            served.offered().await;
            assert_eq!(pasted(pastes(&socket, TEXT)).await, b"");
        });
    });
}

#[test]
fn what_applications_copy_is_reported_and_read() {
    with_each_sway(|sway| {
        let socket = sway.socket();
        let before = copy(&socket, TEXT, b"old");
        finds(&socket, TEXT, b"old");
        Served::run(&socket, async |served| {
            served.offer(&[TEXT]);
            // What was there before is no news, and displaced.
            served.offered().await;
            let mut owner = copy(&socket, TEXT, b"new");
            served.owns(Some(&[TEXT, "UTF8_STRING"])).await;
            assert_eq!(served.read(TEXT).await.unwrap(), b"new");
            assert!(served.read("image/png").await.is_err());
            assert!(owner.is_owner());
            // What is not ours cannot be given up: who owns it is told again, since that may have crossed.
            served.ask(Ask::Offer(None));
            served.offered().await;
            served.owns(Some(&[TEXT, "UTF8_STRING"])).await;
            assert_eq!(pasted(pastes(&socket, TEXT)).await, b"new");
            drop(owner);
            served.owns(None).await;
            assert!(served.read(TEXT).await.is_err());

            let owner = copy(&socket, "image/png", b"picture");
            served.owns(Some(&["image/png"])).await;
            served.offer(&[TEXT]);
            served.offered().await;
            assert!(served.read("image/png").await.is_err(), "our own offer has no pictures");
            drop(owner);
        });
        drop(before);
    });
}

#[test]
fn a_compositor_that_goes_takes_its_clipboard_along() {
    if lab::skip() {
        return;
    }
    let mut sway = Sway::start(640, 360);
    let socket = sway.socket();
    let owner = RefCell::new(None);
    Served::run(&socket.clone(), async |served| {
        owner.replace(Some(copy(&socket, TEXT, b"new")));
        served.owns(Some(&[TEXT])).await;
        sway.end();
        served.owns(None).await;
    });
}

#[test]
fn a_compositor_without_either_protocol_has_no_clipboard() {
    if lab::skip() {
        return;
    }
    let weston = Weston::start(640, 360);
    assert!(block_on(open(&weston.socket())).is_none());
}
