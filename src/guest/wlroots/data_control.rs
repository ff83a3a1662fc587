//! The two protocols by which a client of wlroots has the clipboard without a window: ext-data-control-v1, and the older
//! wlr-data-control-unstable-v1, which it copies word for word. Here they are one.

use std::os::fd::BorrowedFd;

use wayland_client::protocol::wl_registry::WlRegistry;
use wayland_client::protocol::wl_seat::WlSeat;
use wayland_client::{Connection, Dispatch, Proxy, QueueHandle, event_created_child};
use wayland_protocols::ext::data_control::v1::client::ext_data_control_device_v1::{self, ExtDataControlDeviceV1};
use wayland_protocols::ext::data_control::v1::client::ext_data_control_manager_v1::ExtDataControlManagerV1;
use wayland_protocols::ext::data_control::v1::client::ext_data_control_offer_v1::{self, ExtDataControlOfferV1};
use wayland_protocols::ext::data_control::v1::client::ext_data_control_source_v1::{self, ExtDataControlSourceV1};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_device_v1::{self, ZwlrDataControlDeviceV1};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_manager_v1::ZwlrDataControlManagerV1;
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_offer_v1::{self, ZwlrDataControlOfferV1};
use wayland_protocols_wlr::data_control::v1::client::zwlr_data_control_source_v1::{self, ZwlrDataControlSourceV1};

use crate::guest::wlroots::clipboard::{Heard, OfSource, Selections};

/// What a compositor that has either of them lists.
pub const INTERFACES: [&str; 2] = ["ext_data_control_manager_v1", "zwlr_data_control_manager_v1"];

/// An enum of the two.
macro_rules! either {
    ($(#[$doc:meta])* $name:ident: $ext:ident | $wlr:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            #[doc = "ext-data-control-v1"]
            Ext($ext),
            #[doc = "wlr-data-control-unstable-v1"]
            Wlr($wlr),
        }

        impl From<$ext> for $name {
            fn from(it: $ext) -> Self {
                Self::Ext(it)
            }
        }

        impl From<$wlr> for $name {
            fn from(it: $wlr) -> Self {
                Self::Wlr(it)
            }
        }
    };
}

either!(
    /// What makes the others.
    Manager: ExtDataControlManagerV1 | ZwlrDataControlManagerV1
);
either!(
    /// A seat's selections.
    Device: ExtDataControlDeviceV1 | ZwlrDataControlDeviceV1
);
either!(
    /// What somebody offers.
    Offer: ExtDataControlOfferV1 | ZwlrDataControlOfferV1
);
either!(
    /// What we offer.
    Source: ExtDataControlSourceV1 | ZwlrDataControlSourceV1
);

impl Manager {
    /// Binds the better one of those that are there; `name_of` tells the number of a global.
    pub fn bind(
        registry: &WlRegistry,
        queue: &QueueHandle<Selections>,
        name_of: impl Fn(&str) -> Option<u32>,
    ) -> Option<Self> {
        let [ext, wlr] = INTERFACES.map(name_of);
        match (ext, wlr) {
            (Some(name), _) => Some(Self::Ext(registry.bind(name, 1, queue, ()))),
            // Version 2 brings the primary selection, which is not wanted.
            (None, Some(name)) => Some(Self::Wlr(registry.bind(name, 1, queue, ()))),
            (None, None) => None,
        }
    }

    /// The selections of a seat.
    pub fn device(&self, seat: &WlSeat, queue: &QueueHandle<Selections>) -> Device {
        match self {
            Self::Ext(it) => it.get_data_device(seat, queue, ()).into(),
            Self::Wlr(it) => it.get_data_device(seat, queue, ()).into(),
        }
    }

    /// Something to offer, of no type yet.
    pub fn source(&self, queue: &QueueHandle<Selections>, of: OfSource) -> Source {
        match self {
            Self::Ext(it) => it.create_data_source(queue, of).into(),
            Self::Wlr(it) => it.create_data_source(queue, of).into(),
        }
    }
}

impl Device {
    /// Owns the selection with this.
    pub fn set_selection(&self, source: &Source) {
        match (self, source) {
            (Self::Ext(it), Source::Ext(source)) => it.set_selection(Some(source)),
            (Self::Wlr(it), Source::Wlr(source)) => it.set_selection(Some(source)),
            // One manager makes both.
            _ => {}
        }
    }
}

impl Offer {
    /// Ends it.
    pub fn destroy(&self) {
        match self {
            Self::Ext(it) => it.destroy(),
            Self::Wlr(it) => it.destroy(),
        }
    }

    /// Has it written there, in this type.
    pub fn receive(&self, mime: String, into: BorrowedFd<'_>) {
        match self {
            Self::Ext(it) => it.receive(mime, into),
            Self::Wlr(it) => it.receive(mime, into),
        }
    }
}

impl Source {
    /// Ends it.
    pub fn destroy(&self) {
        match self {
            Self::Ext(it) => it.destroy(),
            Self::Wlr(it) => it.destroy(),
        }
    }

    /// It can be had in this type too.
    pub fn offer(&self, mime: String) {
        match self {
            Self::Ext(it) => it.offer(mime),
            Self::Wlr(it) => it.offer(mime),
        }
    }
}

/// Hands one protocol's events to [`Selections::heard`].
macro_rules! hears {
    ($manager:ident, $device:ident, $device_events:ident, $offer:ident, $offer_events:ident, $source:ident, $source_events:ident) => {
        impl Dispatch<$manager, ()> for Selections {
            fn event(
                _: &mut Self,
                _: &$manager,
                _: <$manager as Proxy>::Event,
                (): &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
            }
        }

        impl Dispatch<$device, ()> for Selections {
            fn event(
                selections: &mut Self,
                _: &$device,
                event: $device_events::Event,
                (): &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                use $device_events::Event;
                match event {
                    Event::DataOffer { id } => selections.heard(Heard::New(id.into())),
                    Event::Selection { id } => selections.heard(Heard::Selection(id.map(Into::into))),
                    Event::PrimarySelection { id: Some(id) } => selections.heard(Heard::Primary(id.into())),
                    Event::Finished => selections.heard(Heard::Finished),
                    _ => {}
                }
            }

            event_created_child!(Selections, $device, [
                $device_events::EVT_DATA_OFFER_OPCODE => ($offer, ()),
            ]);
        }

        impl Dispatch<$offer, ()> for Selections {
            fn event(
                selections: &mut Self,
                offer: &$offer,
                event: $offer_events::Event,
                (): &(),
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                if let $offer_events::Event::Offer { mime_type } = event {
                    selections.heard(Heard::Type(&offer.clone().into(), mime_type));
                }
            }
        }

        impl Dispatch<$source, OfSource> for Selections {
            fn event(
                selections: &mut Self,
                _: &$source,
                event: $source_events::Event,
                of: &OfSource,
                _: &Connection,
                _: &QueueHandle<Self>,
            ) {
                match event {
                    $source_events::Event::Send { mime_type, fd } => selections.heard(Heard::Send(*of, mime_type, fd)),
                    $source_events::Event::Cancelled => selections.heard(Heard::Cancelled(*of)),
                    _ => {}
                }
            }
        }
    };
}

hears!(
    ExtDataControlManagerV1,
    ExtDataControlDeviceV1,
    ext_data_control_device_v1,
    ExtDataControlOfferV1,
    ext_data_control_offer_v1,
    ExtDataControlSourceV1,
    ext_data_control_source_v1
);
hears!(
    ZwlrDataControlManagerV1,
    ZwlrDataControlDeviceV1,
    zwlr_data_control_device_v1,
    ZwlrDataControlOfferV1,
    zwlr_data_control_offer_v1,
    ZwlrDataControlSourceV1,
    zwlr_data_control_source_v1
);
