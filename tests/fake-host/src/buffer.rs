//! `wl_buffer`s of every origin: their names, who holds them, and when they are given back.
//! Makes no buffer itself; `shm`, `dmabuf` and `extras` do.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use wayland_server::backend::ClientId;
use wayland_server::protocol::wl_buffer::{self, WlBuffer};
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, Resource};

use crate::picture::{self, Store};
use crate::record::BufferKind;
use crate::seen::{Buffer, BufferId};
use crate::server::State;
use crate::sync::SyncPoint;

/// The host's side of one `wl_buffer`.
#[derive(Debug)]
pub(crate) struct BufferState {
    /// `None` until the object exists, and after the client destroyed it.
    resource: Option<WlBuffer>,
    pub kind: BufferKind,
    pub store: Store,
    /// The file of each plane, and where the plane begins in it; planes of shm buffers are all in the first.
    pub planes: Vec<(Arc<OwnedFd>, u64)>,
    held: bool,
    /// To be signalled when it is released.
    release_point: Option<SyncPoint>,
    /// Its bytes when it was committed, if the script wants lent buffers watched.
    as_lent: Option<Vec<u8>>,
}

impl State {
    /// Gives a buffer its name. The object is told with [`Self::buffer_made`].
    pub fn name_buffer(&mut self, kind: BufferKind, store: Store, planes: Vec<(Arc<OwnedFd>, u64)>) -> BufferId {
        let id = BufferId(self.buffers.len() as u32 + 1);
        self.log(format!("buffer {} is {kind:?}", id.0));
        self.notes.note(|seen| {
            seen.buffers.push(Buffer { id, kind: kind.clone(), alive: true, held: false, commits: 0, releases: 0 });
        });
        self.buffers.push(BufferState {
            resource: None,
            kind,
            store,
            planes,
            held: false,
            release_point: None,
            as_lent: None,
        });
        id
    }

    /// Ties a named buffer to its object.
    pub fn buffer_made(&mut self, id: BufferId, resource: WlBuffer) {
        self.buffer_mut(id).resource = Some(resource);
    }

    pub fn buffer_ref(&self, id: BufferId) -> &BufferState {
        &self.buffers[id.0 as usize - 1]
    }

    fn buffer_mut(&mut self, id: BufferId) -> &mut BufferState {
        &mut self.buffers[id.0 as usize - 1]
    }

    pub fn buffer_exists(&self, id: BufferId) -> bool {
        self.buffer_ref(id).resource.is_some()
    }

    /// A commit takes the buffer. `shown` is the one its surface had before.
    pub fn take_buffer(&mut self, id: BufferId, shown: Option<BufferId>, release_point: Option<SyncPoint>) {
        if self.buffer_ref(id).held && shown != Some(id) {
            self.notes.oddity(format!("buffer {} is committed again while lent", id.0));
        }
        let watches = self.config.watches_lent;
        let buffer = self.buffer_mut(id);
        // As Smithay: attached once more, its new points are not taken.
        if !buffer.held || shown != Some(id) {
            buffer.release_point = release_point;
        }
        buffer.held = true;
        if watches {
            buffer.as_lent = picture::copy_of(&buffer.store, buffer.kind.size().1);
        }
        self.notes.note(|seen| {
            let record = &mut seen.buffers[id.0 as usize - 1];
            record.held = true;
            record.commits += 1;
        });
    }

    /// Gives the buffer back, if it is lent and still exists. False if there was nothing to do.
    pub fn release_buffer(&mut self, id: BufferId) -> bool {
        let Some(buffer) = (id.0 as usize).checked_sub(1).and_then(|i| self.buffers.get_mut(i)) else {
            return false;
        };
        if !std::mem::take(&mut buffer.held) {
            return false;
        }
        let point = buffer.release_point.take();
        if let Some(point) = &point {
            point.signal();
        }
        let Some(resource) = buffer.resource.clone() else {
            return false;
        };
        if let Some(before) = buffer.as_lent.take() {
            let now = picture::copy_of(&buffer.store, buffer.kind.size().1);
            if now.as_ref() != Some(&before) {
                self.notes.oddity(format!("buffer {} was written to while lent", id.0));
            }
        }
        self.log(format!("release buffer {}", id.0));
        // Counted first: the client may act on the event before this thread goes on.
        self.notes.note(|seen| {
            let record = &mut seen.buffers[id.0 as usize - 1];
            record.held = false;
            record.releases += 1;
        });
        if point.is_none() || !self.config.releases_by_points_alone {
            resource.release();
        }
        true
    }

    /// Bytes of a plane of the buffer that the newest window shows, from `at` bytes after its start.
    pub fn plane_bytes(&self, plane: usize, at: u64, len: usize) -> Option<Vec<u8>> {
        let window = self.live_window().map(|window| &self.toplevels[window])?;
        let buffer = self.surface(&window.surface)?.current.buffer?;
        let (fd, start) = self.buffer_ref(buffer).planes.get(plane)?;
        let mut bytes = vec![0; len];
        picture::read_exact(fd, &mut bytes, start + at)?;
        Some(bytes)
    }

    /// The buffer a surface shows now.
    fn is_shown(&self, id: BufferId) -> bool {
        self.surfaces.values().any(|s| s.current.buffer == Some(id))
    }

    /// Gives back every lent buffer that no surface shows any more.
    pub fn release_replaced(&mut self) -> usize {
        let lent: Vec<_> = (1..=self.buffers.len() as u32)
            .map(BufferId)
            .filter(|id| self.buffer_ref(*id).held && !self.is_shown(*id))
            .collect();
        lent.into_iter().filter(|id| self.release_buffer(*id)).count()
    }
}

impl Dispatch<WlBuffer, BufferId> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _buffer: &WlBuffer,
        request: wl_buffer::Request,
        id: &BufferId,
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
        if let wl_buffer::Request::Destroy = request
            && state.buffer_ref(*id).held
        {
            let id = id.0;
            let how = if state.is_shown(BufferId(id)) { "lent and shown" } else { "lent" };
            state.notes.oddity(format!("buffer {id} is destroyed while {how}"));
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, buffer: &WlBuffer, id: &BufferId) {
        state.log(format!("buffer {} destroyed ({})", id.0, buffer.id()));
        let record = state.buffer_mut(*id);
        record.resource = None;
        record.held = false;
        record.as_lent = None;
        if let Some(point) = record.release_point.take() {
            point.signal();
        }
        // The picture on screen is a copy, so the client's memory can go.
        record.store = Store::Hidden;
        record.planes.clear();
        state.notes.note(|seen| {
            let record = &mut seen.buffers[id.0 as usize - 1];
            record.alive = false;
            record.held = false;
        });
    }
}
