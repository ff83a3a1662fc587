//! The input path as a whole: what the host sends, waiting, mapping to the guest, and the sink of the
//! moment. The sink can be lost and replaced; what was pressed is released first.

use std::rc::Rc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{debug, trace};

use crate::input::ei::{EiError, EiSink};
use crate::input::event::{InputEvent, Need};
use crate::input::fingers::Fingers;
use crate::input::geometry::{Mapper, Region};
use crate::input::held::Pressed;
use crate::input::keymap::Keymap;
use crate::input::locks::{LockSync, Locks};
use crate::input::notify::NotifySink;
use crate::input::pointer::{GuestPointer, Lock, PointerPath};
use crate::input::waiting::{Leaving, Ready, Waiting};
use crate::input::wlr::{WlrError, WlrSink};
use crate::options::PointerMode;

/// Where input goes.
#[derive(Default)]
pub enum Sink {
    /// Nowhere: no guest, or one that takes no input.
    #[default]
    None,
    /// To an EIS server.
    Ei(Box<EiSink>),
    /// To Mutter's Notify* methods.
    Notify(Box<NotifySink>),
    /// To the virtual devices of a wlroots compositor.
    Wlr(Box<WlrSink>),
}

/// Why a sink takes no more: its connection is over.
#[derive(Debug, Error)]
pub enum SinkError {
    /// That to an EIS server.
    #[error(transparent)]
    Ei(#[from] EiError),
    /// That to a wlroots compositor.
    #[error(transparent)]
    Wlr(#[from] WlrError),
}

/// A guest that was asked for another layout and has not answered after this long is not waited for: less than what
/// events wait for their device.
const LAYOUT_PATIENCE: Duration = Duration::from_millis(1000);

/// So long after its answer the guest may still be about to make its keyboard anew.
const LAYOUT_SETTLES: Duration = Duration::from_millis(300);

/// Whether no monitor is so large: gamescope has INT32_MAX for everything, and takes pixels there.
fn is_endless(region: Region) -> bool {
    region.width.max(region.height) >= f64::from(1u32 << 30)
}

/// Events on their way since the first of them came from the host.
#[derive(Clone, Copy, Debug)]
struct Sending {
    since: Instant,
    count: u64,
}

/// The input path of the bridge.
#[derive(Default)]
pub struct InputPath {
    sink: Sink,
    /// Where fingers scroll, if not in the sink.
    fingers: Option<Fingers>,
    waiting: Waiting,
    mapper: Mapper,
    motion: PointerPath,
    /// Handed to the sink, but not written to the guest yet.
    sending: Option<Sending>,
    /// The stream's size in pixels: the region of sinks that have none of their own.
    stream: Option<Region>,
    /// Where the host's pointer was last told to be, in the window; `None` while it is outside.
    pointer: Option<(f64, f64)>,
    /// The keys that are down at the host, as far as its events have left the queue.
    held: Pressed,
    /// The guest has a keyboard with nothing down on it: what is held is to be pressed on it.
    keyboard_is_new: bool,
    /// The guest's layout is changing until then: keys wait.
    layout_changes: Option<Instant>,
    locks: LockSync,
    /// Events handed to the guest.
    pub sent: u64,
}

impl InputPath {
    /// Goes nowhere yet.
    pub fn new(mode: PointerMode) -> Self {
        Self { motion: PointerPath::new(mode), ..Self::default() }
    }

    /// Uses another sink, and another way for fingers that scroll if that has none; whatever the old one held is released.
    pub fn attach(&mut self, sink: Sink, fingers: Option<Fingers>) {
        self.detach();
        self.sink = sink;
        self.fingers = fingers;
        self.keyboard_is_new = true;
        self.layout_changes = None;
    }

    /// Releases what is held and sends nothing any more; events still waiting are for a guest that is gone.
    pub fn detach(&mut self) {
        self.release_all();
        self.sink = Sink::None;
        self.fingers = None;
        self.stream = None;
        for event in self.waiting.drain() {
            note(&mut self.held, event);
        }
        self.sending = None;
        self.motion.forget_guest();
        self.locks.guest_gone();
    }

    /// Releases everything that the guest was told is pressed.
    pub fn release_all(&mut self) {
        match &mut self.sink {
            Sink::None => {}
            Sink::Ei(sink) => {
                sink.release_all();
                // The session is ending: a failure to write changes nothing any more.
                let _ = sink.flush();
            }
            Sink::Notify(sink) => sink.release_all(),
            Sink::Wlr(sink) => {
                sink.release_all();
                let _ = sink.flush();
            }
        }
    }

    /// The window's size in surface-local logical pixels.
    pub fn set_window(&mut self, width: u32, height: u32) {
        self.mapper.set_window(width, height);
    }

    /// The stream's size in pixels.
    pub fn set_stream(&mut self, width: u32, height: u32) {
        self.stream = Some(Region { x: 0.0, y: 0.0, width: width.into(), height: height.into() });
    }

    /// The part of the stream that the window shows, upright, in pixels.
    pub fn set_visible(&mut self, (x, y): (u32, u32), (width, height): (u32, u32)) {
        if let Some(stream) = &mut self.stream {
            *stream = Region { x: x.into(), y: y.into(), width: width.into(), height: height.into() };
        }
    }

    /// The first frame since the stream's format settled: the guest's monitor stands. An EIS server with regions of
    /// its monitors has told so itself, by a new device.
    pub fn stream_shown(&mut self) {
        let tells_itself = match &self.sink {
            Sink::Ei(sink) => !sink.region(Need::Absolute).is_some_and(is_endless),
            Sink::None | Sink::Notify(_) | Sink::Wlr(_) => false,
        };
        if !tells_itself {
            self.point_again();
        }
    }

    /// Whether the host tells pointer motion as distances too.
    pub fn set_has_relative(&mut self, has_relative: bool) {
        self.motion.set_has_relative(has_relative);
    }

    /// The host has locked its pointer as asked, or let it go.
    pub fn set_locked(&mut self, locked: bool) {
        self.motion.set_locked(locked);
    }

    /// The guest's pointer is here in the stream from now on.
    pub fn guest_moved(&mut self, guest: Option<GuestPointer>) {
        let was_relative = self.motion.is_relative();
        self.motion.guest_moved(guest);
        if was_relative != self.motion.is_relative() {
            debug!(relative = !was_relative, "pointer motion");
        }
    }

    /// What the host is to do with its pointer; places are in the window.
    pub fn lock(&self) -> Lock {
        match (self.motion.lock(), &self.stream) {
            (Lock::Free(Some((x, y))), Some(stream)) => Lock::Free(self.mapper.unmap(x, y, stream)),
            (Lock::Free(_), _) => Lock::Free(None),
            (Lock::Wanted, _) => Lock::Wanted,
        }
    }

    /// Takes an event that was read from the host at `now`.
    pub fn push(&mut self, now: Instant, event: InputEvent) {
        if event == InputEvent::KeyboardLeave {
            self.locks.left();
        }
        if matches!(self.sink, Sink::None) {
            note(&mut self.held, event);
            return;
        }
        let target = match (event, &self.stream) {
            (InputEvent::Motion { x, y }, Some(stream)) => self.mapper.map(x, y, stream),
            _ => None,
        };
        let was_relative = self.motion.is_relative();
        let Some(event) = self.motion.take(now, event, target) else { return };
        if self.motion.is_relative() != was_relative {
            debug!(relative = !was_relative, "pointer motion");
        }
        // Nothing waits as long as the guest takes all: what came together need not go together.
        let is_first = self.waiting.is_empty() && !(self.keyboard_is_new && event.need() == Need::Keyboard);
        if is_first && !self.is_full() && self.ready(now).takes(&event) {
            note(&mut self.held, event);
            return self.send(now, now, event);
        }
        if let Some(lost) = self.waiting.push(now, event) {
            note(&mut self.held, lost);
        }
    }

    /// The host says how its lock keys are, as it does to a window with the keyboard.
    pub fn host_locks(&mut self, locks: Locks) {
        self.locks.host(locks);
    }

    /// The guest says how its lock keys are, elsewhere than in its input protocol.
    pub fn guest_locks(&mut self, locks: Locks) {
        // That one is quicker, where it says so.
        if !matches!(&self.sink, Sink::Ei(sink) if sink.guest_keyboard.tells_locks()) {
            self.locks.guest(locks);
        }
    }

    /// The guest is about to be asked for another layout, and its keyboard may go: a key that is down on it then would
    /// stay down for the guest's windows (seen on Mutter 48 and 50). All are released, and wait.
    pub fn layout_asked(&mut self, now: Instant) {
        match &mut self.sink {
            Sink::None => return,
            Sink::Ei(sink) => sink.send(InputEvent::KeyboardLeave),
            Sink::Notify(sink) => sink.send(InputEvent::KeyboardLeave),
            Sink::Wlr(_) => return,
        };
        self.layout_changes = Some(now + LAYOUT_PATIENCE);
    }

    /// The guest has answered.
    pub fn layout_answered(&mut self, now: Instant) {
        if self.layout_changes.is_some() {
            self.layout_changes = Some(now + LAYOUT_SETTLES);
        }
    }

    /// Types in this layout and group, where the keyboard is the bridge's own; false where it is the guest's, which has to
    /// be asked.
    pub fn set_layout(&mut self, keymap: &Rc<Keymap>, group: u32) -> bool {
        let Sink::Wlr(sink) = &mut self.sink else { return false };
        sink.set_layout(keymap, group);
        self.keyboard_is_new = true;
        self.keyboard_told();
        true
    }

    /// Types in this group of it, in the same way.
    pub fn set_group(&mut self, group: u32) -> bool {
        let Sink::Wlr(sink) = &mut self.sink else { return false };
        sink.set_group(group);
        true
    }

    /// The lock keys of a keyboard that is the bridge's own are as the sink has them.
    fn keyboard_told(&mut self) {
        let Sink::Wlr(sink) = &mut self.sink else { return };
        if let Some(locks) = sink.take_locks() {
            self.locks.guest_keys(sink.lock_keys());
            self.locks.guest(locks);
        }
    }

    /// Reads what the sink's connection brought.
    ///
    /// # Errors
    ///
    /// The connection is over.
    pub fn read(&mut self) -> Result<(), SinkError> {
        let sink = match &mut self.sink {
            Sink::None | Sink::Notify(_) => return Ok(()),
            Sink::Ei(sink) => sink,
            Sink::Wlr(sink) => {
                sink.read()?;
                self.keyboard_told();
                return Ok(());
            }
        };
        sink.read()?;
        let renewed = sink.take_absolute_renewed();
        if sink.take_keyboard_renewed() {
            self.keyboard_is_new = true;
            self.locks.guest_keys(sink.guest_keyboard.lock_keys());
        }
        if let Some(locks) = sink.guest_keyboard.take_locks() {
            self.locks.guest(locks);
        }
        if renewed {
            self.point_again();
        }
        Ok(())
    }

    /// The guest's monitor is another one: what the old one was told of the pointer's place is lost or wrong,
    /// and a host whose pointer rests will not say it again.
    fn point_again(&mut self) {
        let Some((x, y)) = self.pointer.filter(|_| !self.motion.is_relative()) else { return };
        for event in [InputEvent::Motion { x, y }, InputEvent::PointerFrame] {
            if let Some(event) = self.mapped(event) {
                self.hand_over(event);
            }
        }
    }

    fn hand_over(&mut self, event: InputEvent) -> bool {
        let fingers = self.fingers.as_ref().filter(|_| Fingers::takes(event));
        let sent = match &mut self.sink {
            Sink::None => false,
            Sink::Ei(sink) => match fingers {
                Some(fingers) => fingers.send(event),
                None => sink.send(event),
            },
            Sink::Notify(sink) => sink.send(event),
            Sink::Wlr(sink) => sink.send(event, self.stream),
        };
        self.keyboard_told();
        self.sent += u64::from(sent);
        // Never keys: passwords are typed too.
        if !matches!(event, InputEvent::Key { .. }) {
            trace!(?event, sent, "to the guest");
        }
        sent
    }

    /// Sends all that can go now. How long what was written has taken since it was read from the host, at most, and how
    /// many events that were.
    ///
    /// # Errors
    ///
    /// The connection is over.
    pub fn pump(&mut self, now: Instant) -> Result<Option<(Duration, u64)>, SinkError> {
        if self.layout_changes.is_some_and(|until| until <= now) {
            // Whether the keyboard is another one or not: nothing is down on it.
            (self.layout_changes, self.keyboard_is_new) = (None, true);
        }
        self.send_ready(now);
        self.tap_locks(now);
        // Also what was sent without waiting: the pointer's place after a change of the guest's monitor.
        let written = match &mut self.sink {
            Sink::Ei(sink) => sink.flush()?,
            Sink::Wlr(sink) => sink.flush()?,
            Sink::None | Sink::Notify(_) => true,
        };
        Ok(self.sending.take_if(|_| written).map(|sending| (sending.since.elapsed(), sending.count)))
    }

    fn send_ready(&mut self, now: Instant) {
        self.press_again(now);
        while !self.is_full() {
            let Some((since, leaving)) = self.waiting.next(now, self.ready(now)) else { return };
            let (Leaving::Ready(event) | Leaving::Lost(event)) = leaving;
            note(&mut self.held, event);
            if matches!(leaving, Leaving::Ready(_)) {
                self.send(now, since, event);
            }
        }
    }

    /// Whether the guest reads more slowly than the host writes: what is sent then would wait beyond all bounds.
    pub fn is_full(&self) -> bool {
        match &self.sink {
            Sink::None => false,
            Sink::Ei(sink) => sink.is_full() || self.fingers.as_ref().is_some_and(Fingers::is_full),
            Sink::Notify(sink) => sink.is_full(),
            Sink::Wlr(sink) => sink.is_full(),
        }
    }

    /// Sends an event that came at `since` to where it belongs, now.
    fn send(&mut self, now: Instant, since: Instant, event: InputEvent) {
        match event {
            // What the guest makes of a lock key it will tell in a while.
            InputEvent::Key { code, .. } => self.locks.sent(now, code),
            InputEvent::Motion { x, y } => self.pointer = Some((x, y)),
            InputEvent::PointerLeave => self.pointer = None,
            _ => {}
        }
        let Some(event) = self.mapped(event) else { return };
        if self.hand_over(event) {
            self.sending.get_or_insert(Sending { since, count: 0 }).count += 1;
        }
    }

    /// The guest's keyboard is another one, or was paused: what was down on it is so no more, and what the person
    /// still holds is pressed on it.
    fn press_again(&mut self, now: Instant) {
        if !self.keyboard_is_new || !self.ready(now).keyboard {
            return;
        }
        self.keyboard_is_new = false;
        for code in self.held.in_order() {
            self.locks.sent(now, code);
            self.hand_over(InputEvent::Key { code, pressed: true });
        }
        self.locks.compare_again();
    }

    /// Brings the guest's lock keys in line, while nothing else is typed.
    fn tap_locks(&mut self, now: Instant) {
        self.locks.elapse(now);
        if !self.waiting.is_empty() || !self.held.is_empty() || !self.ready(now).keyboard {
            return;
        }
        while let Some(code) = self.locks.tap(now) {
            debug!(code, "bringing a lock key of the guest in line");
            self.hand_over(InputEvent::Key { code, pressed: true });
            self.hand_over(InputEvent::Key { code, pressed: false });
        }
    }

    fn ready(&self, now: Instant) -> Ready {
        let ready = self.sink_ready(now);
        Ready { keyboard: ready.keyboard && self.layout_changes.is_none(), ..ready }
    }

    fn sink_ready(&self, now: Instant) -> Ready {
        match &self.sink {
            Sink::None => Ready::default(),
            Sink::Ei(sink) => {
                let ready = sink.ready(now);
                Ready { absolute: ready.absolute && self.region(Need::Absolute).is_some(), ..ready }
            }
            Sink::Notify(_) => Ready::all(self.stream.is_some()),
            // Without a touchscreen too: nobody is to wait for one.
            Sink::Wlr(sink) => Ready::all(sink.is_ready() && self.stream.is_some()),
        }
    }

    /// Whether the guest's logical pixels are known to be those of a stream of this size.
    pub fn is_unscaled(&self, (width, height): (u32, u32)) -> bool {
        let whole = Region { x: 0.0, y: 0.0, width: width.into(), height: height.into() };
        matches!(&self.sink, Sink::Ei(sink) if sink.region(Need::Absolute) == Some(whole))
    }

    fn region(&self, need: Need) -> Option<Region> {
        match &self.sink {
            Sink::Ei(sink) => {
                let region = sink.region(need)?;
                if is_endless(region) { self.stream } else { Some(region) }
            }
            _ => self.stream,
        }
    }

    fn mapped(&mut self, event: InputEvent) -> Option<InputEvent> {
        let region = |path: &Self| path.region(event.need());
        Some(match event {
            InputEvent::Motion { x, y } => {
                let (x, y) = self.mapper.map(x, y, &region(self)?)?;
                InputEvent::Motion { x, y }
            }
            InputEvent::TouchDown { id, x, y } => {
                let (x, y) = self.mapper.map(x, y, &region(self)?)?;
                InputEvent::TouchDown { id, x, y }
            }
            InputEvent::TouchMotion { id, x, y } => {
                let (x, y) = self.mapper.map(x, y, &region(self)?)?;
                InputEvent::TouchMotion { id, x, y }
            }
            other => other,
        })
    }

    /// When [`pump`](Self::pump) should run again although nothing happens.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        let ready_at = match &self.sink {
            Sink::Ei(sink) => sink.ready_at(now),
            _ => None,
        };
        // A guest that does not read wakes the loop when it does.
        let waiting = self.waiting.deadline().filter(|_| !self.is_full());
        [ready_at, self.layout_changes, waiting, self.locks.deadline()].into_iter().flatten().min()
    }

    /// Whether nothing is on its way to the guest any more.
    pub fn is_idle(&self) -> bool {
        match &self.sink {
            Sink::Notify(sink) => sink.is_idle(),
            Sink::Wlr(sink) => sink.is_idle(),
            Sink::None | Sink::Ei(_) => true,
        }
    }
}

/// Keeps the book of what is down at the host.
fn note(held: &mut Pressed, event: InputEvent) {
    match event {
        InputEvent::Key { code, pressed: true } => {
            held.press(code);
        }
        InputEvent::Key { code, pressed: false } => {
            held.release(code);
        }
        InputEvent::KeyboardLeave => held.clear(),
        _ => {}
    }
}
