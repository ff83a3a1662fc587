//! `zwp_linux_dmabuf_v1` in versions 3 to 5: formats by event or feedback, and imports that
//! succeed or fail as the script says. No GPU is involved; an import records its planes.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use smithay::reexports::wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_buffer_params_v1::{
    self, ZwpLinuxBufferParamsV1,
};
use smithay::reexports::wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_dmabuf_feedback_v1::{
    self, TrancheFlags, ZwpLinuxDmabufFeedbackV1,
};
use smithay::reexports::wayland_protocols::wp::linux_dmabuf::zv1::server::zwp_linux_dmabuf_v1::{
    self, ZwpLinuxDmabufV1,
};
use smithay::utils::SealedFile;
use wayland_server::backend::ClientId;
use wayland_server::protocol::wl_buffer::WlBuffer;
use wayland_server::{Client, DataInit, Dispatch, DisplayHandle, GlobalDispatch, New, Resource};

use crate::builder::{BadTable, Dmabuf, ImportPolicy, modifier};
use crate::picture::Store;
use crate::record::{BufferKind, DmabufBuffer, Plane};
use crate::seen::{BufferId, ImportAnswer, Params};
use crate::server::State;

/// No format has more planes than this.
const MAX_PLANES: u32 = 4;
/// Bytes of one format table entry: fourcc, padding, modifier.
const ENTRY: usize = 16;

/// What a feedback object speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Default,
    Surface,
}

#[derive(Debug, Default)]
pub(crate) struct DmabufState {
    feedbacks: Vec<(ZwpLinuxDmabufFeedbackV1, Scope)>,
    /// Write ends of pipes sent as format tables: closing one would end the read.
    pipes: Vec<OwnedFd>,
    /// Fourccs that were ever advertised: asking for another one is fatal.
    known: Vec<u32>,
    /// Imports that got no answer yet.
    unanswered: Vec<(ZwpLinuxBufferParamsV1, Client, usize, Made)>,
}

/// A buffer that has no name yet.
#[derive(Debug)]
struct Made {
    kind: BufferKind,
    store: Store,
    planes: Vec<(Arc<OwnedFd>, u64)>,
}

/// What a `zwp_linux_buffer_params_v1` has collected.
#[derive(Debug)]
pub(crate) struct ParamsData {
    number: usize,
    inner: Mutex<Collected>,
}

#[derive(Debug, Default)]
struct Collected {
    used: bool,
    modifier: Option<u64>,
    planes: Vec<(Plane, OwnedFd)>,
}

impl State {
    /// Advertises something else from now on, and tells every feedback object.
    pub fn change_dmabuf(&mut self, dmabuf: Dmabuf) {
        self.config.dmabuf = dmabuf;
        for (feedback, scope) in self.dmabuf.feedbacks.clone() {
            send_feedback(self, &feedback, scope);
        }
    }

    /// Says something else of surfaces from now on; `None` for the same as in general.
    pub fn change_surface_dmabuf(&mut self, dmabuf: Option<Dmabuf>) {
        self.config.surface_dmabuf = dmabuf;
        for (feedback, scope) in self.dmabuf.feedbacks.clone() {
            if scope == Scope::Surface {
                send_feedback(self, &feedback, scope);
            }
        }
    }

    /// Answers every import that was left without an answer. How many.
    pub fn answer_imports(&mut self) -> usize {
        let unanswered = std::mem::take(&mut self.dmabuf.unanswered);
        let dh = self.dh.clone();
        let count = unanswered.len();
        for (params, client, number, made) in unanswered {
            if params.is_alive() {
                created(self, &dh, &client, &params, number, made);
            }
        }
        count
    }
}

impl GlobalDispatch<ZwpLinuxDmabufV1, ()> for State {
    fn bind(
        state: &mut Self,
        _dh: &DisplayHandle,
        _client: &Client,
        resource: New<ZwpLinuxDmabufV1>,
        _data: &(),
        init: &mut DataInit<'_, Self>,
    ) {
        let dmabuf = init.init(resource, ());
        state.bound(&dmabuf);
        if dmabuf.version() >= zwp_linux_dmabuf_v1::REQ_GET_DEFAULT_FEEDBACK_SINCE {
            return;
        }
        let times = 1 + usize::from(state.config.quirks.repeats_modifiers);
        let mut formats_sent = Vec::new();
        for (fourcc, modifier) in state.config.dmabuf.pairs() {
            state.dmabuf.known.push(fourcc);
            if dmabuf.version() >= zwp_linux_dmabuf_v1::EVT_MODIFIER_SINCE {
                for _ in 0..times {
                    dmabuf.modifier(fourcc, (modifier >> 32) as u32, modifier as u32);
                }
            } else if !formats_sent.contains(&fourcc) && [modifier::LINEAR, modifier::INVALID].contains(&modifier) {
                formats_sent.push(fourcc);
                dmabuf.format(fourcc);
            }
        }
    }
}

impl Dispatch<ZwpLinuxDmabufV1, ()> for State {
    fn request(
        state: &mut Self,
        _client: &Client,
        _dmabuf: &ZwpLinuxDmabufV1,
        request: zwp_linux_dmabuf_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        match request {
            zwp_linux_dmabuf_v1::Request::CreateParams { params_id } => {
                let number = state.notes.note(|seen| {
                    seen.params.push(Params { asked: None, answer: ImportAnswer::None, alive: true });
                    seen.params.len() - 1
                });
                let inner = Mutex::default();
                init.init(params_id, ParamsData { number, inner });
            }
            zwp_linux_dmabuf_v1::Request::GetDefaultFeedback { id } => {
                let feedback = init.init(id, ());
                state.dmabuf.feedbacks.push((feedback.clone(), Scope::Default));
                send_feedback(state, &feedback, Scope::Default);
            }
            zwp_linux_dmabuf_v1::Request::GetSurfaceFeedback { id, .. } => {
                let feedback = init.init(id, ());
                state.dmabuf.feedbacks.push((feedback.clone(), Scope::Surface));
                send_feedback(state, &feedback, Scope::Surface);
            }
            _ => {}
        }
    }
}

impl Dispatch<ZwpLinuxDmabufFeedbackV1, ()> for State {
    fn request(
        _state: &mut Self,
        _client: &Client,
        _feedback: &ZwpLinuxDmabufFeedbackV1,
        _request: zwp_linux_dmabuf_feedback_v1::Request,
        _data: &(),
        _dh: &DisplayHandle,
        _init: &mut DataInit<'_, Self>,
    ) {
    }

    fn destroyed(state: &mut Self, _client: ClientId, feedback: &ZwpLinuxDmabufFeedbackV1, _data: &()) {
        state.dmabuf.feedbacks.retain(|(f, _)| f.id() != feedback.id());
    }
}

fn send_feedback(state: &mut State, feedback: &ZwpLinuxDmabufFeedbackV1, scope: Scope) {
    let own = state.config.surface_dmabuf.clone().filter(|_| scope == Scope::Surface);
    let Dmabuf::Feedback { main_device, tranches, .. } = own.unwrap_or_else(|| state.config.dmabuf.clone()) else {
        // A version 3 list, asked for by way of a later version: nothing to say.
        feedback.done();
        return;
    };
    state.dmabuf.known.extend(tranches.iter().flat_map(|t| &t.formats).map(|(fourcc, _)| *fourcc));
    let mut table: Vec<(u32, u64)> = Vec::new();
    for pair in tranches.iter().flat_map(|t| &t.formats) {
        if !table.contains(pair) {
            table.push(*pair);
        }
    }
    let bytes: Vec<u8> = table
        .iter()
        .flat_map(|(fourcc, modifier)| {
            let mut entry = [0; ENTRY];
            entry[..4].copy_from_slice(&fourcc.to_ne_bytes());
            entry[8..].copy_from_slice(&modifier.to_ne_bytes());
            entry
        })
        .collect();
    if let Err(e) = send_table(state, feedback, &bytes) {
        state.log(format!("cannot make a format table: {e}"));
        return;
    }
    feedback.main_device(main_device.to_ne_bytes().to_vec());
    for tranche in &tranches {
        feedback.tranche_target_device(tranche.device.to_ne_bytes().to_vec());
        feedback.tranche_flags(if tranche.scanout { TrancheFlags::Scanout } else { TrancheFlags::empty() });
        let beyond = match state.config.bad_table {
            Some(BadTable::IndexOutOfRange) => 1000,
            _ => 0,
        };
        let indices = tranche
            .formats
            .iter()
            .filter_map(|pair| table.iter().position(|p| p == pair))
            .flat_map(|index| (index as u16 + beyond).to_ne_bytes())
            .collect();
        feedback.tranche_formats(indices);
        feedback.tranche_done();
    }
    feedback.done();
}

fn send_table(state: &mut State, feedback: &ZwpLinuxDmabufFeedbackV1, bytes: &[u8]) -> std::io::Result<()> {
    let size = bytes.len() as u32;
    match state.config.bad_table {
        None | Some(BadTable::IndexOutOfRange) => {
            let file = SealedFile::with_data(c"format-table", bytes)?;
            feedback.format_table(file.as_fd(), size);
        }
        Some(BadTable::OddSize) => {
            let file = SealedFile::with_data(c"format-table", bytes)?;
            feedback.format_table(file.as_fd(), size.saturating_sub(7));
        }
        Some(BadTable::ShorterThanSaid) => {
            // Page-wise, or the kernel's zero fill would hide the lie.
            let file = SealedFile::with_data(c"format-table", &bytes[..bytes.len() / 2])?;
            feedback.format_table(file.as_fd(), size + 16 * 4096);
        }
        Some(BadTable::Empty) => {
            let file = memfd_create("format-table", MemfdFlags::CLOEXEC)?;
            feedback.format_table(file.as_fd(), 0);
        }
        Some(BadTable::Pipe) => {
            let (read, write) = rustix::pipe::pipe()?;
            feedback.format_table(read.as_fd(), size);
            state.dmabuf.pipes.push(write);
        }
    }
    Ok(())
}

impl Dispatch<ZwpLinuxBufferParamsV1, ParamsData> for State {
    fn request(
        state: &mut Self,
        client: &Client,
        params: &ZwpLinuxBufferParamsV1,
        request: zwp_linux_buffer_params_v1::Request,
        data: &ParamsData,
        dh: &DisplayHandle,
        init: &mut DataInit<'_, Self>,
    ) {
        let mut inner = data.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match request {
            zwp_linux_buffer_params_v1::Request::Add { fd, plane_idx, offset, stride, modifier_hi, modifier_lo } => {
                let plane = Plane { index: plane_idx, offset, stride };
                let modifier = u64::from(modifier_hi) << 32 | u64::from(modifier_lo);
                match inner.add(plane, fd, modifier) {
                    Ok(()) => {}
                    Err((code, message)) => state.fatal(params, code, message),
                }
            }
            zwp_linux_buffer_params_v1::Request::Create { width, height, format, flags } => {
                let asked = (width, height, format, u32::from(flags));
                match import(state, params, &mut inner, data.number, asked) {
                    Import::Done(made) => created(state, dh, client, params, data.number, made),
                    Import::Refused => {
                        answer(state, data.number, ImportAnswer::Failed);
                        params.failed();
                    }
                    Import::Unanswered(made) => {
                        state.dmabuf.unanswered.push((params.clone(), client.clone(), data.number, made));
                    }
                    Import::Fatal => answer(state, data.number, ImportAnswer::Fatal),
                }
            }
            zwp_linux_buffer_params_v1::Request::CreateImmed { buffer_id, width, height, format, flags } => {
                let asked = (width, height, format, u32::from(flags));
                match import(state, params, &mut inner, data.number, asked) {
                    Import::Done(made) => {
                        let id = state.name_buffer(made.kind, made.store, made.planes);
                        let buffer = init.init(buffer_id, id);
                        state.buffer_made(id, buffer);
                        answer(state, data.number, ImportAnswer::Created(id));
                    }
                    Import::Refused | Import::Unanswered(_) => {
                        answer(state, data.number, ImportAnswer::Fatal);
                        state.fatal(
                            params,
                            zwp_linux_buffer_params_v1::Error::InvalidWlBuffer,
                            "the buffer cannot be imported",
                        );
                    }
                    Import::Fatal => answer(state, data.number, ImportAnswer::Fatal),
                }
            }
            _ => {}
        }
    }

    fn destroyed(state: &mut Self, _client: ClientId, _params: &ZwpLinuxBufferParamsV1, data: &ParamsData) {
        state.notes.note(|seen| seen.params[data.number].alive = false);
    }
}

fn answer(state: &State, number: usize, answer: ImportAnswer) {
    state.log(format!("import {number}: {answer:?}"));
    state.notes.note(|seen| seen.params[number].answer = answer);
}

fn created(
    state: &mut State,
    dh: &DisplayHandle,
    client: &Client,
    params: &ZwpLinuxBufferParamsV1,
    number: usize,
    made: Made,
) {
    let id = state.name_buffer(made.kind, made.store, made.planes);
    let Ok(buffer) = client.create_resource::<WlBuffer, BufferId, State>(dh, 1, id) else { return };
    state.buffer_made(id, buffer.clone());
    answer(state, number, ImportAnswer::Created(id));
    params.created(&buffer);
}

enum Import {
    Done(Made),
    Refused,
    Unanswered(Made),
    /// The protocol error is sent.
    Fatal,
}

fn import(
    state: &mut State,
    params: &ZwpLinuxBufferParamsV1,
    inner: &mut Collected,
    number: usize,
    (width, height, fourcc, flags): (i32, i32, u32, u32),
) -> Import {
    let modifier = inner.modifier.unwrap_or(modifier::INVALID);
    state.notes.note(|seen| seen.params[number].asked = Some((fourcc, modifier)));
    let mut pairs = state.config.dmabuf.pairs();
    pairs.extend(state.config.surface_dmabuf.iter().flat_map(Dmabuf::pairs));
    // One that was taken off the list may have been asked for before the client could know.
    let is_known = state.dmabuf.known.contains(&fourcc) || pairs.iter().any(|(listed, _)| *listed == fourcc);
    let checked = if is_known {
        inner.check(width, height)
    } else {
        let message = format!("format {fourcc:#x} is not supported");
        Err((zwp_linux_buffer_params_v1::Error::InvalidFormat, message))
    };
    if let Err((code, message)) = checked {
        state.fatal(params, code, message);
        return Import::Fatal;
    }
    inner.used = true;
    let listed = pairs.contains(&(fourcc, modifier));
    if !listed && !state.config.quirks.tries_unlisted_modifiers {
        return Import::Refused;
    }
    match &mut state.config.import {
        ImportPolicy::RefuseAll => return Import::Refused,
        ImportPolicy::Refuse(bad) if bad.contains(&(fourcc, modifier)) => return Import::Refused,
        ImportPolicy::RefuseNext(count) if *count > 0 => {
            *count -= 1;
            return Import::Refused;
        }
        _ => {}
    }
    if !pairs.iter().any(|(listed, _)| *listed == fourcc) {
        return Import::Refused;
    }
    let mut planes = std::mem::take(&mut inner.planes);
    // EGL refuses a picture that lacks a plane.
    if planes.len() < plane_count(fourcc) {
        return Import::Refused;
    }
    let kind = BufferKind::Dmabuf(DmabufBuffer {
        fourcc,
        modifier,
        width,
        height,
        flags,
        planes: planes.iter().map(|(plane, _)| *plane).collect(),
    });
    // Anything but linear is for GPUs to read.
    let linear = [modifier::LINEAR, modifier::INVALID].contains(&modifier);
    planes.sort_by_key(|(plane, _)| plane.index);
    let stride = planes.first().map_or(0, |(plane, _)| plane.stride.into());
    let planes: Vec<_> = planes.into_iter().map(|(plane, fd)| (Arc::new(fd), u64::from(plane.offset))).collect();
    let store = match planes.first() {
        Some((fd, offset)) if linear => Store::File { fd: fd.clone(), offset: *offset, stride },
        _ => Store::Hidden,
    };
    match state.config.import {
        ImportPolicy::Silent => Import::Unanswered(Made { kind, store, planes }),
        _ => Import::Done(Made { kind, store, planes }),
    }
}

/// Planes of a picture without compression.
pub(crate) fn plane_count(fourcc: u32) -> usize {
    match &fourcc.to_le_bytes() {
        b"NV12" | b"NV21" | b"NV16" | b"NV61" | b"NV24" | b"P010" => 2,
        b"YU12" | b"YV12" | b"YU16" | b"YU24" => 3,
        _ => 1,
    }
}

type Fault = (zwp_linux_buffer_params_v1::Error, String);

impl Collected {
    fn add(&mut self, plane: Plane, fd: OwnedFd, modifier: u64) -> Result<(), Fault> {
        use zwp_linux_buffer_params_v1::Error;
        if self.used {
            return Err((Error::AlreadyUsed, "the params were used already".into()));
        }
        if plane.index >= MAX_PLANES {
            let message = format!("plane index {} is out of bounds", plane.index);
            return Err((Error::PlaneIdx, message));
        }
        if self.planes.iter().any(|(p, _)| p.index == plane.index) {
            let message = format!("plane {} is already set", plane.index);
            return Err((Error::PlaneSet, message));
        }
        if self.modifier.is_some_and(|m| m != modifier) {
            let message = "planes have different modifiers".into();
            return Err((Error::InvalidFormat, message));
        }
        self.modifier = Some(modifier);
        self.planes.push((plane, fd));
        Ok(())
    }

    fn check(&self, width: i32, height: i32) -> Result<(), Fault> {
        use zwp_linux_buffer_params_v1::Error;
        if self.used {
            return Err((Error::AlreadyUsed, "the params were used already".into()));
        }
        if width < 1 || height < 1 {
            let message = format!("invalid size {width}x{height}");
            return Err((Error::InvalidDimensions, message));
        }
        let count = self.planes.len() as u32;
        if count == 0 || (0..count).any(|i| !self.planes.iter().any(|(p, _)| p.index == i)) {
            return Err((Error::Incomplete, "planes are missing".into()));
        }
        for (plane, fd) in &self.planes {
            // Not every kind of fd tells its size; those are taken at their word.
            let Ok(size) = seek(fd, SeekFrom::End(0)) else {
                continue;
            };
            let _ = seek(fd, SeekFrom::Start(0));
            let (offset, stride) = (u64::from(plane.offset), u64::from(plane.stride));
            // Later planes may be subsampled, so only the first must hold every row.
            let rows = if plane.index == 0 { height as u64 } else { 1 };
            if offset + stride * rows > size {
                let message = format!(
                    "plane {} of stride {stride}, offset {offset} and {height} rows ends behind \
                     its fd of {size} bytes",
                    plane.index
                );
                return Err((Error::OutOfBounds, message));
            }
        }
        Ok(())
    }
}
