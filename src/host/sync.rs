//! Explicit sync with a host that takes timelines (wp_linux_drm_syncobj_v1): both points of a frame are handed to it with
//! the commit, so that nobody waits here and the guest has its buffer back at once.
//!
//! The surface is synced only while synced frames are on it: a synced one takes no other buffer.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};
use wayland_client::QueueHandle;
use wayland_client::protocol::wl_surface::WlSurface;
use wayland_protocols::wp::linux_drm_syncobj::v1::client::wp_linux_drm_syncobj_manager_v1::WpLinuxDrmSyncobjManagerV1;
use wayland_protocols::wp::linux_drm_syncobj::v1::client::wp_linux_drm_syncobj_surface_v1::WpLinuxDrmSyncobjSurfaceV1;
use wayland_protocols::wp::linux_drm_syncobj::v1::client::wp_linux_drm_syncobj_timeline_v1::WpLinuxDrmSyncobjTimelineV1;

use crate::host::{Host, HostEvent, Quiet};
use crate::video::frame::{BufferId, Frame};
use crate::video::sync::{Handed, Stuck};

/// So long a host may wait for a picture, or keep one that it no longer shows.
const PATIENCE: Duration = Duration::from_secs(2);

/// The points of a frame that the host was given.
#[derive(Debug)]
struct Given {
    handed: Handed,
    at: Instant,
    /// Since when the host is known to show another frame.
    replaced: Option<Instant>,
}

/// The timelines of one buffer at the host.
#[derive(Debug)]
struct Imported {
    acquire: WpLinuxDrmSyncobjTimelineV1,
    /// `None` when it is the same one.
    release: Option<WpLinuxDrmSyncobjTimelineV1>,
    given: Option<Given>,
}

impl Drop for Imported {
    fn drop(&mut self) {
        self.acquire.destroy();
        if let Some(release) = &self.release {
            release.destroy();
        }
    }
}

/// What the host knows of timelines.
#[derive(Debug, Default)]
pub(super) struct Sync {
    manager: Option<WpLinuxDrmSyncobjManagerV1>,
    surface: Option<WpLinuxDrmSyncobjSurfaceV1>,
    imported: HashMap<BufferId, Imported>,
    /// The synced buffer that was committed last, if nothing was since.
    current: Option<BufferId>,
    /// When to look whether the host does its part.
    check: Option<Instant>,
    said_undrawn: bool,
}

impl Sync {
    pub(super) fn new(manager: Option<WpLinuxDrmSyncobjManagerV1>) -> Self {
        Self { manager, ..Default::default() }
    }

    /// Gives the host the points of a frame, for the commit that follows. False when it takes none.
    fn give(&mut self, frame: &Frame, surface: &WlSurface, queue: &QueueHandle<Host>) -> bool {
        let (Some(sync), Some(manager)) = (&frame.sync, &self.manager) else { return false };
        let timelines = sync.timelines();
        let imported = self.imported.entry(frame.buffer).or_insert_with(|| Imported {
            acquire: manager.import_timeline(timelines.acquire_fd(), queue, Quiet),
            release: timelines.release_fd().map(|fd| manager.import_timeline(fd, queue, Quiet)),
            given: None,
        });
        let synced = self.surface.get_or_insert_with(|| manager.get_surface(surface, queue, Quiet));
        let points = sync.points();
        let halves = |point: u64| ((point >> 32) as u32, point as u32);
        let (high, low) = halves(points.acquire);
        synced.set_acquire_point(&imported.acquire, high, low);
        let (high, low) = halves(points.release);
        synced.set_release_point(imported.release.as_ref().unwrap_or(&imported.acquire), high, low);
        sync.passed_on();
        let now = Instant::now();
        let handed = Handed { timelines: Rc::clone(timelines), points };
        imported.given = Some(Given { handed, at: now, replaced: None });
        self.current = Some(frame.buffer);
        self.check.get_or_insert(now + PATIENCE);
        true
    }

    /// Makes the surface take buffers without points.
    fn end(&mut self) {
        if let Some(surface) = self.surface.take() {
            surface.destroy();
        }
    }

    /// The host has answered a commit: it shows the last one, and none of those before.
    pub(super) fn answered(&mut self) {
        let current = self.current;
        let others = self.imported.iter_mut().filter(|(id, _)| Some(**id) != current);
        let given = others.filter_map(|(_, imported)| imported.given.as_mut());
        for given in given.filter(|given| given.replaced.is_none()) {
            given.replaced = Some(Instant::now());
        }
    }

    pub(super) fn forget(&mut self, id: BufferId) {
        self.imported.remove(&id);
    }

    fn distrust(&mut self) {
        self.end();
        if let Some(manager) = self.manager.take() {
            manager.destroy();
        }
    }
}

impl Host {
    /// Whether frames with explicit sync can be handed on as they are, drawn or not.
    pub fn takes_timelines(&self) -> bool {
        Self::alive(&self.sync.manager)
    }

    /// Sets up the surface for a commit of this frame; true when its points are handed on.
    pub(super) fn sync_commit(&mut self, frame: Option<&Frame>) -> bool {
        let Some(surface) = self.window.as_ref().map(|window| window.surface()) else { return false };
        let is_given = frame.is_some_and(|frame| self.sync.give(frame, surface, &self.queue));
        if !is_given {
            // No commit with points may follow that would have it looked for.
            if self.sync.current.take().is_some() {
                self.sync.check.get_or_insert(Instant::now() + PATIENCE);
            }
            self.sync.end();
        }
        is_given
    }

    /// Whether this buffer is the last one committed, with points. Attached once more, hosts do not take its new points:
    /// it needs another wl_buffer. True once.
    pub(super) fn take_synced_current(&mut self, id: BufferId) -> bool {
        self.sync.current.take_if(|current| *current == id).is_some()
    }

    /// The host withdrew its manager: what it was given stays good.
    pub(super) fn sync_withdrawn(&mut self) {
        debug!("the host takes no timelines any more");
        self.sync.distrust();
        self.events.push_back(HostEvent::SyncLost);
    }

    /// When [`check_sync`](Self::check_sync) has something to do.
    pub fn sync_deadline(&self) -> Option<Instant> {
        self.sync.check
    }

    /// Looks whether the host signals what it took, and does it where it does not: else the guest would have no buffer
    /// left, or the host no picture.
    pub fn check_sync(&mut self, now: Instant) {
        if self.sync.check.is_none_or(|at| now < at) {
            return;
        }
        self.sync.check = None;
        let (mut again, mut unreleased) = (false, false);
        for (id, imported) in &mut self.sync.imported {
            let Some(given) = &imported.given else { continue };
            let is_late = |since: Option<Instant>| since.is_some_and(|since| now >= since + PATIENCE);
            if given.handed.is_released() && given.replaced.is_some() {
                // Hosts need not release the wl_buffer as well.
                imported.given = None;
                self.events.push_back(HostEvent::Released(*id));
                continue;
            }
            match given.handed.stuck(is_late(given.replaced)) {
                Stuck::Undrawn if is_late(Some(given.at)) => {
                    given.handed.unstick(Stuck::Undrawn);
                    if !std::mem::replace(&mut self.sync.said_undrawn, true) {
                        warn!(
                            "the guest does not finish a frame within {} s; the host need not wait",
                            PATIENCE.as_secs()
                        );
                    }
                }
                Stuck::Unreleased => {
                    given.handed.unstick(Stuck::Unreleased);
                    unreleased = true;
                }
                Stuck::Undrawn | Stuck::No => {}
            }
            again |= given.replaced.is_some() || Some(*id) != self.sync.current || !given.handed.is_drawn();
        }
        if again {
            self.sync.check = Some(now + PATIENCE);
        }
        if unreleased {
            warn!("the host does not say when it has done with a frame; waiting for frames here from now on");
            self.sync.distrust();
            self.events.push_back(HostEvent::SyncLost);
        }
    }
}
