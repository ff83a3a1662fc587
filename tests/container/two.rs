//! Two containers beside each other, each on a host of its own: nothing of one reaches the other.

use std::time::Duration;

use lab::{keys, tone};

use crate::common::desktops::{shows, soon};
use crate::docker::{self, docker};
use crate::wolf::{Wolf, canvas};

/// Long enough for what would come to have come: several frames, and a round of every queue between.
const WHILE: Duration = Duration::from_millis(500);

#[test]
fn keys_clicks_and_tones_reach_their_own_desktop_alone() {
    if docker::skip() {
        return;
    }
    let mut wolf = Wolf::start(2);
    let wolfs = &wolf.streams;
    let apps = [wolfs[0].app(), wolfs[1].app()];
    for (wolf, app) in wolfs.iter().zip(&apps) {
        wolf.shows_something(app);
    }
    let windows = [canvas(&apps[0], 10), canvas(&apps[1], 11)];
    let mut hands = [wolfs[0].host.hands(), wolfs[1].host.hands()];
    for here in [0, 1] {
        let there = 1 - here;
        shows(&wolfs[here].host, 1280, 720, 10 + here as u32);
        hands[here].move_to(640.0, 360.0);
        let focused =
            windows[here].wait(soon(), |seen| (seen.keyboard && seen.pointer == Some((640.0, 360.0))).then_some(()));
        focused.unwrap_or_else(|error| panic!("{error}\n{}", apps[here].log()));
        windows[0].forget();
        windows[1].forget();
        hands[here].click(641.0, 361.0);
        hands[here].type_text("mine");
        let typed = windows[here].wait(soon(), |seen| (seen.text().len() == 4).then(|| seen.clone())).unwrap();
        assert_eq!(typed.text(), "mine");
        assert_eq!(typed.buttons(), [(keys::BTN_LEFT, true), (keys::BTN_LEFT, false)]);
        let reached = windows[there]
            .wait(WHILE, |seen| (!seen.keys().is_empty() || !seen.buttons().is_empty()).then(|| seen.clone()));
        assert!(reached.is_err(), "{reached:?}");
    }

    // As their users hear it: what an app plays, at the sink of its stream.
    let tones = [440.0, 880.0];
    let recordings = [0, 1].map(|n| wolf.sound.record(&wolfs[n].sink()));
    for (app, hz) in apps.iter().zip(tones) {
        std::fs::write(app.path("/tmp/tone.wav"), tone::wav(hz, 200)).unwrap();
        app.run_as_user("pw-play /tmp/tone.wav");
    }
    recordings[0].hears(&[440.0], &[880.0]);
    recordings[1].hears(&[880.0], &[440.0]);

    docker(&["kill", &apps[0].id]).unwrap();
    hands[1].type_text("still");
    windows[1].wait(soon(), |seen| seen.text().ends_with("still").then_some(())).unwrap();
    windows[1].show(12);
    shows(&wolfs[1].host, 1280, 720, 12);
    recordings[1].hears(&[880.0], &[440.0]);
    apps[1].is_healthy();
}
