//! The input path as a whole: what the host sends, waiting, mapping to the guest, and the sink of the
//! moment. The sink can be lost and replaced; what was pressed is released first.

use std::time::Instant;

use tracing::trace;

use crate::input::ei::{EiError, EiSink};
use crate::input::event::{InputEvent, Need};
use crate::input::geometry::{Mapper, Region};
use crate::input::notify::NotifySink;
use crate::input::waiting::{Ready, Waiting};

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
}

/// The input path of the bridge.
#[derive(Default)]
pub struct InputPath {
    sink: Sink,
    waiting: Waiting,
    mapper: Mapper,
    /// The stream's size in pixels: the region of sinks that have none of their own.
    stream: Option<Region>,
    /// Where the host's pointer was last told to be, in the window; `None` while it is outside.
    pointer: Option<(f64, f64)>,
    /// Events handed to the guest.
    pub sent: u64,
}

impl InputPath {
    /// Uses another sink; whatever the old one held is released.
    pub fn attach(&mut self, sink: Sink) {
        self.detach();
        self.sink = sink;
    }

    /// Releases what is held and sends nothing any more; events still waiting are for a guest that is gone.
    pub fn detach(&mut self) {
        self.release_all();
        self.sink = Sink::None;
        self.stream = None;
        self.waiting.clear();
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

    /// The first frame since the stream's format settled: the guest's monitor stands. An EIS server has told so
    /// itself, by a new device.
    pub fn stream_shown(&mut self) {
        if matches!(self.sink, Sink::Notify(_)) {
            self.point_again();
        }
    }

    /// Takes an event of the host.
    pub fn push(&mut self, now: Instant, event: InputEvent) {
        if !matches!(self.sink, Sink::None) {
            // A burst longer than the queue, such as a pasted text: what can go makes room.
            if self.waiting.is_full() {
                self.send_ready(now);
            }
            self.waiting.push(now, event);
        }
    }

    /// Reads what the EIS server sent.
    ///
    /// # Errors
    ///
    /// The connection is over.
    pub fn read(&mut self) -> Result<(), EiError> {
        let Sink::Ei(sink) = &mut self.sink else { return Ok(()) };
        sink.read()?;
        if sink.take_absolute_renewed() {
            self.point_again();
        }
        Ok(())
    }

    /// The guest's monitor is another one: what the old one was told of the pointer's place is lost or wrong,
    /// and a host whose pointer rests will not say it again.
    fn point_again(&mut self) {
        let Some((x, y)) = self.pointer else { return };
        for event in [InputEvent::Motion { x, y }, InputEvent::PointerFrame] {
            if let Some(event) = self.mapped(event) {
                self.hand_over(event);
            }
        }
    }

    fn hand_over(&mut self, event: InputEvent) {
        let sent = match &mut self.sink {
            Sink::None => false,
            Sink::Ei(sink) => sink.send(event),
            Sink::Notify(sink) => sink.send(event),
        };
        self.sent += u64::from(sent);
        // Never keys: passwords are typed too.
        if !matches!(event, InputEvent::Key { .. }) {
            trace!(?event, sent, "to the guest");
        }
    }

    /// Sends all that can go now.
    ///
    /// # Errors
    ///
    /// The connection is over.
    pub fn pump(&mut self, now: Instant) -> Result<(), EiError> {
        self.send_ready(now);
        // Also what was sent without waiting: the pointer's place after a change of the guest's monitor.
        match &mut self.sink {
            Sink::Ei(sink) => sink.flush(),
            _ => Ok(()),
        }
    }

    fn send_ready(&mut self, now: Instant) {
        while let Some(event) = self.waiting.next(now, self.ready(now)) {
            match event {
                InputEvent::Motion { x, y } => self.pointer = Some((x, y)),
                InputEvent::PointerLeave => self.pointer = None,
                _ => {}
            }
            if let Some(event) = self.mapped(event) {
                self.hand_over(event);
            }
        }
    }

    fn ready(&self, now: Instant) -> Ready {
        match &self.sink {
            Sink::None => Ready::default(),
            Sink::Ei(sink) => sink.ready(now),
            Sink::Notify(_) => {
                let up = self.stream.is_some();
                Ready { absolute: up, relative: up, keyboard: up, touch: up }
            }
        }
    }

    /// Whether the guest's logical pixels are known to be those of a stream of this size.
    pub fn is_unscaled(&self, (width, height): (u32, u32)) -> bool {
        let whole = Region { x: 0.0, y: 0.0, width: width.into(), height: height.into() };
        matches!(&self.sink, Sink::Ei(sink) if sink.region(Need::Absolute) == Some(whole))
    }

    fn region(&self, need: Need) -> Option<Region> {
        match &self.sink {
            Sink::Ei(sink) => sink.region(need),
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
        let patience = self.waiting.deadline()?;
        Some(ready_at.map_or(patience, |at| at.min(patience)))
    }

    /// Whether nothing is on its way to the guest any more.
    pub fn is_idle(&self) -> bool {
        match &self.sink {
            Sink::Notify(sink) => sink.is_idle(),
            _ => true,
        }
    }
}
