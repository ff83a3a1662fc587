//! Offers and answers in PipeWire's own format (SPA pods), and reading the guest's.

use std::io::Cursor;

use libspa::param::ParamType;
use libspa::param::format::{FormatProperties, MediaSubtype, MediaType};
use libspa::param::video::VideoInfoRaw;
use libspa::pod::serialize::PodSerializer;
use libspa::pod::{ChoiceValue, Object, Pod, PodPropFlags, Property, PropertyFlags, Value, property};
use libspa::sys;
use libspa::utils::{Choice, ChoiceEnum, ChoiceFlags, Fraction, Id, Rectangle, SpaTypes};

use crate::options::MAX_SIDE;
use crate::video::cursor::{MAX_CURSOR, cursor_size};
use crate::video::format::PixelFormat;
use crate::video::frame::Negotiated;
use crate::video::meta;
use crate::video::negotiation::Offer;
use crate::video::rate::{MaxRate, NO_RATE};
use crate::video::sync_spa;

/// The size to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamSize {
    /// Exactly this: the size becomes the virtual monitor's.
    Fixed(u32, u32),
    /// Whatever the guest's monitor has.
    Any,
}

/// Serialized EnumFormat params for these offers, best first.
pub fn enum_formats(offers: &[Offer], size: StreamSize, rate: MaxRate) -> Vec<Vec<u8>> {
    let rates = match size {
        // The rate of a virtual monitor is the refresh rate it gets: exactly this one.
        StreamSize::Fixed(..) => vec![Value::Fraction(fraction(rate))],
        // For guests that do not take the first.
        StreamSize::Any => vec![Value::Fraction(fraction(NO_RATE)), any_rate(rate)],
    };
    let each = rates.iter().flat_map(|rate| offers.iter().map(move |offer| enum_format(offer, size, rate.clone())));
    each.filter_map(|object| serialize(Value::Object(object))).collect()
}

fn any_rate(best: MaxRate) -> Value {
    let range = ChoiceEnum::Range {
        default: fraction(best),
        min: Fraction { num: 1, denom: 1 },
        max: Fraction { num: 1000, denom: 1 },
    };
    Value::Choice(ChoiceValue::Fraction(Choice(ChoiceFlags::empty(), range)))
}

fn enum_format(offer: &Offer, size: StreamSize, rate: Value) -> Object {
    let mut object = libspa::pod::object!(
        SpaTypes::ObjectParamFormat,
        ParamType::EnumFormat,
        property!(FormatProperties::MediaType, Id, MediaType::Video),
        property!(FormatProperties::MediaSubtype, Id, MediaSubtype::Raw),
        property!(FormatProperties::VideoFormat, Id, offer.format.spa()),
    );
    if let Some(best) = offer.modifiers.first() {
        object.properties.push(Property {
            key: FormatProperties::VideoModifier.as_raw(),
            flags: PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE,
            value: Value::Choice(ChoiceValue::Long(Choice(
                ChoiceFlags::empty(),
                ChoiceEnum::Enum {
                    default: *best as i64,
                    alternatives: offer.modifiers.iter().map(|modifier| *modifier as i64).collect(),
                },
            ))),
        });
    }
    object.properties.push(match size {
        StreamSize::Fixed(width, height) => {
            property!(FormatProperties::VideoSize, Rectangle, Rectangle { width, height })
        }
        StreamSize::Any => property!(
            FormatProperties::VideoSize,
            Choice,
            Range,
            Rectangle,
            Rectangle { width: 1280, height: 720 },
            Rectangle { width: 1, height: 1 },
            Rectangle { width: MAX_SIDE, height: MAX_SIDE }
        ),
    });
    object.properties.push(property!(
        FormatProperties::VideoFramerate,
        Choice,
        Range,
        Fraction,
        Fraction { num: 0, denom: 1 },
        Fraction { num: 0, denom: 1 },
        Fraction { num: 1000, denom: 1 }
    ));
    object.properties.push(Property::new(FormatProperties::VideoMaxFramerate.as_raw(), rate));
    object
}

fn fraction(rate: MaxRate) -> Fraction {
    let MaxRate(millihertz) = rate;
    if rate == NO_RATE {
        return Fraction { num: 0, denom: 0 };
    }
    if millihertz % 1000 == 0 {
        Fraction { num: millihertz / 1000, denom: 1 }
    } else {
        Fraction { num: millihertz, denom: 1000 }
    }
}

/// One on the screen, one on its way there, one waiting here, and one for the guest to draw in.
const ENOUGH_BUFFERS: i32 = 4;

/// The answer to a settled format: kind of memory, number of buffers, and the metadata we read, the pointer's only
/// with `cursor`. With `sync` buffers that have timelines are asked for first.
pub fn buffer_params(is_dmabuf: bool, cursor: bool, sync: bool) -> Vec<Vec<u8>> {
    let kinds =
        if is_dmabuf { 1 << sys::SPA_DATA_DmaBuf } else { 1 << sys::SPA_DATA_MemFd | 1 << sys::SPA_DATA_MemPtr };
    let buffers = |least| Object {
        type_: SpaTypes::ObjectParamBuffers.as_raw(),
        id: ParamType::Buffers.as_raw(),
        properties: vec![
            Property::new(
                sys::SPA_PARAM_BUFFERS_buffers,
                Value::Choice(ChoiceValue::Int(Choice(
                    ChoiceFlags::empty(),
                    ChoiceEnum::Range { default: 6, min: least, max: 16 },
                ))),
            ),
            Property::new(
                sys::SPA_PARAM_BUFFERS_dataType,
                Value::Choice(ChoiceValue::Int(Choice(
                    ChoiceFlags::empty(),
                    ChoiceEnum::Flags { default: kinds, flags: vec![] },
                ))),
            ),
        ],
    };
    // The first that suits both ends counts. Some guests have two where nobody asks for more (xdg-desktop-portal-wlr), which
    // is a fifth of their rate; others have no more.
    let buffers = [ENOUGH_BUFFERS, 1].map(buffers);
    let mut synced = if sync { buffers.to_vec() } else { Vec::new() };
    synced.iter_mut().for_each(|object| object.properties.push(sync_spa::only_with_timelines()));
    let region = size_of::<sys::spa_meta_region>();
    let metas = [
        Some(meta_param(sys::SPA_META_Header, size_of::<sys::spa_meta_header>(), None)),
        Some(meta_param(sys::SPA_META_VideoDamage, region * meta::METAS, Some((region, region * meta::METAS)))),
        Some(meta_param(sys::SPA_META_VideoCrop, region, None)),
        Some(meta_param(sys::SPA_META_VideoTransform, size_of::<sys::spa_meta_videotransform>(), None)),
        // Mutter wants exactly 384x384, and others other sizes; but never less than a page: PipeWire before 1.4.8 mistakes
        // the memory of one buffer for another's where two pages have more than two buffers' metadata between them.
        cursor.then(|| {
            let sides = (cursor_size(32, 32), cursor_size(MAX_CURSOR, MAX_CURSOR));
            meta_param(sys::SPA_META_Cursor, cursor_size(384, 384), Some(sides))
        }),
        // With any other size there would be none.
        sync.then(|| meta_param(sync_spa::SPA_META_SYNC_TIMELINE, sync_spa::SYNC_TIMELINE_SIZE, None)),
    ];
    let objects = synced.into_iter().chain(buffers).chain(metas.into_iter().flatten());
    objects.filter_map(|object| serialize(Value::Object(object))).collect()
}

/// Asks for a kind of metadata with this many bytes, or any number of a range.
fn meta_param(kind: u32, size: usize, range: Option<(usize, usize)>) -> Object {
    let size = size as i32;
    let size = match range {
        None => Value::Int(size),
        Some((min, max)) => Value::Choice(ChoiceValue::Int(Choice(
            ChoiceFlags::empty(),
            ChoiceEnum::Range { default: size, min: min as i32, max: max as i32 },
        ))),
    };
    Object {
        type_: SpaTypes::ObjectParamMeta.as_raw(),
        id: ParamType::Meta.as_raw(),
        properties: vec![
            Property::new(sys::SPA_PARAM_META_type, Value::Id(Id(kind))),
            Property::new(sys::SPA_PARAM_META_size, size),
        ],
    }
}

fn serialize(value: Value) -> Option<Vec<u8>> {
    // Writing to memory fails only for values that no pod can hold; those here are all of our own making.
    PodSerializer::serialize(Cursor::new(Vec::new()), &value).ok().map(|(cursor, _)| cursor.into_inner())
}

/// What a Format param says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Everything is fixed.
    Fixed(Negotiated),
    /// The modifier is still the guest's to choose; another Format follows.
    Choosing,
    /// Not a format that was offered, or one that makes no sense.
    Unknown,
}

/// Reads a Format param.
pub fn parse_format(pod: &Pod) -> Settled {
    let modifier = pod.as_object().ok().and_then(|object| {
        object.find_prop(Id(FormatProperties::VideoModifier.as_raw())).map(|property| property.flags())
    });
    // An un-fixated choice would parse as its default: look at the flag first.
    if modifier.is_some_and(|flags| flags.contains(PodPropFlags::DONT_FIXATE)) {
        return Settled::Choosing;
    }
    let mut info = VideoInfoRaw::new();
    if info.parse(pod).is_err() {
        return Settled::Unknown;
    }
    let size = info.size();
    let sane = |side: u32| (1..=MAX_SIDE).contains(&side);
    match PixelFormat::from_spa(info.format()) {
        Some(format) if sane(size.width) && sane(size.height) => Settled::Fixed(Negotiated {
            format,
            modifier: modifier.map(|_| info.modifier()),
            width: size.width,
            height: size.height,
        }),
        _ => Settled::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(bytes: &[u8]) -> Settled {
        parse_format(Pod::from_bytes(bytes).unwrap())
    }

    #[test]
    fn a_choice_of_modifiers_is_not_taken_for_linear() {
        let offers = [Offer { format: PixelFormat::Xrgb8888, modifiers: vec![5, 7] }];
        let pods = enum_formats(&offers, StreamSize::Fixed(640, 480), MaxRate(60_000));
        assert_eq!(settled(&pods[0]), Settled::Choosing);
    }

    #[test]
    fn a_plain_offer_reads_back() {
        let offers = [Offer { format: PixelFormat::Argb8888, modifiers: vec![] }];
        let pods = enum_formats(&offers, StreamSize::Fixed(640, 480), MaxRate(59_940));
        assert_eq!(
            settled(&pods[0]),
            Settled::Fixed(Negotiated { format: PixelFormat::Argb8888, modifier: None, width: 640, height: 480 })
        );
    }

    #[test]
    fn timelines_are_asked_for_first_and_never_alone() {
        let metas_asked = |pod: &Vec<u8>| {
            let pod = Pod::from_bytes(pod).unwrap();
            let object = pod.as_object().unwrap();
            let asked = object.find_prop(Id(sync_spa::SPA_PARAM_BUFFERS_META_TYPE));
            asked.map(|asked| (asked.flags().contains(PodPropFlags::MANDATORY), asked.value().get_int().unwrap()))
        };
        let asked = |sync| buffer_params(true, false, sync).iter().map(metas_asked).collect::<Vec<_>>();
        let (plain, synced) = (asked(false), asked(true));
        assert!(plain.iter().all(Option::is_none));
        // For each number of buffers; without timelines the same buffers are still good.
        assert_eq!(synced[..2], [Some((true, 1 << 9)); 2]);
        assert!(synced[2..].iter().all(Option::is_none));
        // and the timelines themselves
        assert_eq!(synced.len(), plain.len() + 2 + 1);
    }

    #[test]
    fn nonsense_sizes_are_unknown() {
        let offers = [Offer { format: PixelFormat::Argb8888, modifiers: vec![] }];
        let pods = enum_formats(&offers, StreamSize::Fixed(0, 480), MaxRate(60_000));
        assert_eq!(settled(&pods[0]), Settled::Unknown);
    }
}
