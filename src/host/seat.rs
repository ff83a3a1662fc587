//! Input as the host delivers it: every seat's pointer, keyboard and touch, versions 1 to 9, into
//! [`InputEvent`]s. What belongs to the keyboard is in `keyboard`.

use tracing::debug;
use wayland_client::protocol::wl_pointer::{self, AxisSource, WlPointer};
use wayland_client::protocol::wl_seat::{self, Capability, WlSeat};
use wayland_client::protocol::wl_touch::{self, WlTouch};
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, WEnum};

use crate::host::cursor::SeatCursor;
use crate::host::keyboard::Keyboard;
use crate::host::pointer::SeatPointer;
use crate::host::{Host, HostEvent};
use crate::input::event::{Axis, InputEvent};
use crate::input::scroll::{ScrollFrame, Source};

/// One seat of the host.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) name: u32,
    pub(super) seat: WlSeat,
    pub(super) pointer: Option<WlPointer>,
    pub(super) cursor: SeatCursor,
    pub(super) keyboard: Option<Keyboard>,
    pub(super) extra: SeatPointer,
    touch: Option<WlTouch>,
    scroll: ScrollFrame,
}

/// User data of a seat's objects: the seat's global name.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfSeat(pub(super) u32);

impl Host {
    pub(super) fn add_seat(&mut self, name: u32, version: u32) {
        let seat = self.registry.registry().bind(name, version.min(9), &self.queue, OfSeat(name));
        self.clipboard_seat_added(name, &seat);
        self.seats.push(Seat {
            name,
            seat,
            pointer: None,
            cursor: SeatCursor::default(),
            extra: SeatPointer::default(),
            keyboard: None,
            touch: None,
            scroll: ScrollFrame::default(),
        });
    }

    pub(super) fn remove_seat(&mut self, name: u32) {
        if let Some(at) = self.seats.iter().position(|seat| seat.name == name) {
            let mut seat = self.seats.swap_remove(at);
            self.set_capabilities(&mut seat, Capability::empty());
            self.clipboard_seat_removed(name);
            if seat.seat.version() >= 5 {
                seat.seat.release();
            }
        }
    }

    fn set_capabilities(&mut self, seat: &mut Seat, capabilities: Capability) {
        let data = OfSeat(seat.name);
        if !capabilities.contains(Capability::Pointer) {
            if let Some(pointer) = seat.pointer.take() {
                self.drop_pointer(&mut seat.extra);
                if pointer.version() >= 3 {
                    pointer.release();
                }
                seat.cursor = SeatCursor::default();
                self.input(InputEvent::PointerLeave);
            }
        } else if seat.pointer.is_none() {
            let pointer = seat.seat.get_pointer(&self.queue, data);
            self.add_pointer(&mut seat.extra, &pointer, data);
            seat.pointer = Some(pointer);
        }
        if !capabilities.contains(Capability::Keyboard) {
            if let Some(keyboard) = seat.keyboard.take() {
                keyboard.release();
                self.clipboard_focus(seat.name, None);
                self.input(InputEvent::KeyboardLeave);
            }
        } else if seat.keyboard.is_none() {
            seat.keyboard = Some(Keyboard::new(&seat.seat, &self.queue, data));
        }
        if !capabilities.contains(Capability::Touch) {
            if let Some(touch) = seat.touch.take() {
                if touch.version() >= 3 {
                    touch.release();
                }
                self.input(InputEvent::TouchCancel);
            }
        } else if seat.touch.is_none() {
            seat.touch = Some(seat.seat.get_touch(&self.queue, data));
        }
    }

    pub(super) fn input(&mut self, event: InputEvent) {
        self.events.push_back(HostEvent::Input(event));
    }

    fn scroll(&mut self, seat: OfSeat) -> Option<&mut ScrollFrame> {
        self.seats.iter_mut().find(|it| it.name == seat.0).map(|it| &mut it.scroll)
    }

    /// A group of pointer events is complete: its scrolling, then the frame.
    pub(super) fn pointer_frame(&mut self, seat: OfSeat) {
        let events = &mut self.events;
        if let Some(seat) = self.seats.iter_mut().find(|it| it.name == seat.0) {
            seat.scroll.finish(|event| events.push_back(HostEvent::Input(event)));
        }
        events.push_back(HostEvent::Input(InputEvent::PointerFrame));
    }
}

impl Dispatch<WlSeat, OfSeat> for Host {
    fn event(host: &mut Self, _: &WlSeat, event: wl_seat::Event, of: &OfSeat, _: &Connection, _: &QueueHandle<Self>) {
        let wl_seat::Event::Capabilities { capabilities } = event else { return };
        let capabilities = match capabilities {
            WEnum::Value(capabilities) => capabilities,
            WEnum::Unknown(bits) => Capability::from_bits_truncate(bits),
        };
        debug!(?capabilities, "seat");
        if let Some(at) = host.seats.iter().position(|seat| seat.name == of.0) {
            let mut seat = host.seats.swap_remove(at);
            host.set_capabilities(&mut seat, capabilities);
            host.seats.push(seat);
        }
    }
}

fn axis_of(axis: WEnum<wl_pointer::Axis>) -> Option<Axis> {
    match axis {
        WEnum::Value(wl_pointer::Axis::VerticalScroll) => Some(Axis::Vertical),
        WEnum::Value(wl_pointer::Axis::HorizontalScroll) => Some(Axis::Horizontal),
        _ => None,
    }
}

impl Dispatch<WlPointer, OfSeat> for Host {
    fn event(
        host: &mut Self,
        pointer: &WlPointer,
        event: wl_pointer::Event,
        of: &OfSeat,
        _: &Connection,
        _: &QueueHandle<Self>,
    ) {
        use wl_pointer::Event;
        // Before version 5 every event is a frame of its own.
        let frameless = pointer.version() < 5;
        match event {
            Event::Enter { serial, surface_x, surface_y, .. } => {
                host.pointer_entered(of.0, serial);
                host.input(InputEvent::Motion { x: surface_x, y: surface_y });
            }
            Event::Leave { .. } => {
                host.pointer_left(of.0);
                host.input(InputEvent::PointerLeave);
            }
            Event::Motion { surface_x, surface_y, .. } => {
                host.input(InputEvent::Motion { x: surface_x, y: surface_y });
            }
            Event::Button { serial, button, state, .. } => {
                host.clipboard_serial(of.0, serial);
                let pressed = state == WEnum::Value(wl_pointer::ButtonState::Pressed);
                host.input(InputEvent::Button { code: button, pressed });
            }
            Event::Axis { axis, value, .. } => {
                if let (Some(axis), Some(scroll)) = (axis_of(axis), host.scroll(*of)) {
                    scroll.distance(axis, value);
                }
            }
            Event::AxisSource { axis_source } => {
                let source = match axis_source {
                    WEnum::Value(AxisSource::Finger | AxisSource::Continuous) => Source::Continuous,
                    _ => Source::Wheel,
                };
                if let Some(scroll) = host.scroll(*of) {
                    scroll.source(source);
                }
            }
            Event::AxisStop { axis, .. } => {
                if let (Some(axis), Some(scroll)) = (axis_of(axis), host.scroll(*of)) {
                    scroll.stop(axis);
                }
            }
            Event::AxisDiscrete { axis, discrete } => {
                if let (Some(axis), Some(scroll)) = (axis_of(axis), host.scroll(*of)) {
                    scroll.discrete(axis, discrete);
                }
            }
            Event::AxisValue120 { axis, value120 } => {
                if let (Some(axis), Some(scroll)) = (axis_of(axis), host.scroll(*of)) {
                    scroll.value120(axis, value120);
                }
            }
            Event::Frame => host.pointer_frame(*of),
            _ => return,
        }
        if frameless {
            host.pointer_frame(*of);
        }
    }
}

impl Dispatch<WlTouch, OfSeat> for Host {
    fn event(host: &mut Self, _: &WlTouch, event: wl_touch::Event, of: &OfSeat, _: &Connection, _: &QueueHandle<Self>) {
        use wl_touch::Event;
        match event {
            Event::Down { serial, id, x, y, .. } => {
                host.clipboard_serial(of.0, serial);
                host.input(InputEvent::TouchDown { id, x, y });
            }
            Event::Motion { id, x, y, .. } => host.input(InputEvent::TouchMotion { id, x, y }),
            Event::Up { id, .. } => host.input(InputEvent::TouchUp { id }),
            Event::Frame => host.input(InputEvent::TouchFrame),
            Event::Cancel => host.input(InputEvent::TouchCancel),
            _ => {}
        }
    }
}
