//! Owns the pods of a cast stream: written as Mutter writes them, and read back with their flags.
//! It never decides what to offer.

use std::io::Cursor;

use libspa::{
    pod::{
        ChoiceValue, Object, Pod, Property, PropertyFlags, Value, deserialize::PodDeserializer,
        serialize::PodSerializer,
    },
    sys,
    utils::{Choice, ChoiceEnum, ChoiceFlags, Fraction, Id, Rectangle},
};

use super::options::{Blocks, Offer, Pixels, ProducerOptions, Rate, Shape, SizePolicy, Timelines};

/// Explicit sync, by the values of PipeWire 1.2's headers.
pub(crate) const META_SYNC_TIMELINE: u32 = 9;
pub(crate) const DATA_SYNC_OBJ: u32 = 5;
const BUFFERS_META_TYPE: u32 = 7;

/// A serialized pod.
pub(crate) type Bytes = Vec<u8>;

/// Both ends of a size range, as Mutter's virtual streams have them.
const SMALLEST: Rectangle = Rectangle { width: 1, height: 1 };
const LARGEST: Rectangle = Rectangle { width: 16384, height: 16386 };

/// Room for a 384x384 cursor.
const CURSOR_SIZE: i32 = 28 + 20 + 384 * 384 * 4;
const DAMAGE_RECTS: i32 = 32;

fn serialize(type_: u32, id: u32, properties: Vec<Property>) -> Bytes {
    let object = Value::Object(Object { type_, id, properties });
    PodSerializer::serialize(Cursor::new(Vec::new()), &object).expect("a pod into memory").0.into_inner()
}

/// The pods as the calls want them.
pub(crate) fn as_pods(pods: &[Bytes]) -> Vec<&Pod> {
    pods.iter().filter_map(|pod| Pod::from_bytes(pod)).collect()
}

fn plain(key: u32, value: Value) -> Property {
    Property::new(key, value)
}

fn id(key: u32, value: u32) -> Property {
    plain(key, Value::Id(Id(value)))
}

fn int(key: u32, value: i32) -> Property {
    plain(key, Value::Int(value))
}

fn choice<T: libspa::pod::CanonicalFixedSizedPod>(choice: ChoiceEnum<T>) -> Choice<T> {
    Choice(ChoiceFlags::empty(), choice)
}

fn fraction((num, denom): Rate) -> Fraction {
    Fraction { num, denom }
}

/// The modifier property of a format pod.
enum Modifier {
    Absent,
    Choice(Vec<u64>),
    Fixed(u64),
}

fn format(options: &ProducerOptions, pixels: Pixels, modifier: Modifier) -> Bytes {
    let mut properties = vec![
        id(sys::SPA_FORMAT_mediaType, sys::SPA_MEDIA_TYPE_video),
        id(sys::SPA_FORMAT_mediaSubtype, sys::SPA_MEDIA_SUBTYPE_raw),
        id(sys::SPA_FORMAT_VIDEO_format, pixels.id()),
    ];
    match modifier {
        Modifier::Absent => {}
        Modifier::Fixed(modifier) => properties.push(Property {
            key: sys::SPA_FORMAT_VIDEO_modifier,
            flags: PropertyFlags::MANDATORY,
            value: Value::Long(modifier as i64),
        }),
        Modifier::Choice(modifiers) => {
            let all: Vec<i64> = modifiers.iter().map(|m| *m as i64).collect();
            let values = ChoiceEnum::Enum { default: all[0], alternatives: all };
            properties.push(Property {
                key: sys::SPA_FORMAT_VIDEO_modifier,
                flags: PropertyFlags::MANDATORY | PropertyFlags::DONT_FIXATE,
                value: Value::Choice(ChoiceValue::Long(choice(values))),
            });
        }
    }
    let (width, height) = options.size.default_size();
    let default = Rectangle { width, height };
    let (min, max) = match options.size {
        SizePolicy::Fixed(..) => (default, default),
        SizePolicy::Any(..) => (SMALLEST, LARGEST),
    };
    let sizes = ChoiceEnum::Range { default, min, max };
    properties.extend([
        plain(sys::SPA_FORMAT_VIDEO_size, Value::Choice(ChoiceValue::Rectangle(choice(sizes)))),
        plain(sys::SPA_FORMAT_VIDEO_framerate, Value::Fraction(fraction((0, 1)))),
    ]);
    if let Some((rate, lowest, highest)) = options.max_framerate {
        let rates = ChoiceEnum::Range { default: fraction(rate), min: fraction(lowest), max: fraction(highest) };
        let rates = Value::Choice(ChoiceValue::Fraction(choice(rates)));
        properties.push(plain(sys::SPA_FORMAT_VIDEO_maxFramerate, rates));
    }
    serialize(sys::SPA_TYPE_OBJECT_Format, sys::SPA_PARAM_EnumFormat, properties)
}

/// One EnumFormat pod for each offer.
pub(crate) fn offers(options: &ProducerOptions) -> Vec<Bytes> {
    let one = |offer: &Offer| {
        let modifier = match offer.modifiers.is_empty() {
            true => Modifier::Absent,
            false => Modifier::Choice(offer.modifiers.clone()),
        };
        format(options, offer.pixels, modifier)
    };
    options.offers.iter().map(one).collect()
}

/// The producer's second step: the fixated pair first, and all offers after it.
pub(crate) fn fixated(options: &ProducerOptions, pixels: Pixels, modifier: u64) -> Vec<Bytes> {
    let mut pods = vec![format(options, pixels, Modifier::Fixed(modifier))];
    pods.extend(offers(options));
    pods
}

/// Buffers and metas for a final format.
pub(crate) fn buffers(options: &ProducerOptions, negotiated: &Negotiated, types: u32) -> Vec<Bytes> {
    let places = places(options, negotiated);
    let sizes = data_sizes(options, &places);
    let (default, min, max) = options.buffers;
    let count = ChoiceEnum::Range { default: default as i32, min: min as i32, max: max as i32 };
    let types = ChoiceEnum::Flags { default: types as i32, flags: vec![types as i32] };
    let synced = negotiated.modifier.is_some() && options.timelines != Timelines::None;
    let mut pods = Vec::new();
    if synced {
        // With two blocks more: the timelines'.
        let mut properties = vec![
            plain(sys::SPA_PARAM_BUFFERS_buffers, Value::Choice(ChoiceValue::Int(choice(count.clone())))),
            int(sys::SPA_PARAM_BUFFERS_blocks, 3),
            int(sys::SPA_PARAM_BUFFERS_align, 16),
            plain(sys::SPA_PARAM_BUFFERS_dataType, Value::Choice(ChoiceValue::Int(choice(types.clone())))),
        ];
        properties.push(Property {
            key: BUFFERS_META_TYPE,
            flags: PropertyFlags::MANDATORY,
            value: Value::Int(1 << META_SYNC_TIMELINE),
        });
        pods.push(serialize(sys::SPA_TYPE_OBJECT_ParamBuffers, sys::SPA_PARAM_Buffers, properties));
        pods.push(serialize(
            sys::SPA_TYPE_OBJECT_ParamMeta,
            sys::SPA_PARAM_Meta,
            vec![id(sys::SPA_PARAM_META_type, META_SYNC_TIMELINE), int(sys::SPA_PARAM_META_size, 24)],
        ));
    }
    pods.push(serialize(
        sys::SPA_TYPE_OBJECT_ParamBuffers,
        sys::SPA_PARAM_Buffers,
        vec![
            plain(sys::SPA_PARAM_BUFFERS_buffers, Value::Choice(ChoiceValue::Int(choice(count)))),
            int(sys::SPA_PARAM_BUFFERS_blocks, sizes.len() as i32),
            int(sys::SPA_PARAM_BUFFERS_size, sizes[0] as i32),
            int(sys::SPA_PARAM_BUFFERS_stride, places[0].stride as i32),
            int(sys::SPA_PARAM_BUFFERS_align, 16),
            plain(sys::SPA_PARAM_BUFFERS_dataType, Value::Choice(ChoiceValue::Int(choice(types)))),
        ],
    ));
    let region = size_of::<sys::spa_meta_region>() as i32;
    let metas = options.metas;
    let header = size_of::<sys::spa_meta_header>() as i32;
    for (offered, type_, size, smallest) in [
        (metas.header, sys::SPA_META_Header, header, header),
        (metas.crop, sys::SPA_META_VideoCrop, region, region),
        (metas.damage, sys::SPA_META_VideoDamage, DAMAGE_RECTS * region, region),
        (metas.transform, sys::SPA_META_VideoTransform, 4, 4),
        // Mutter insists on this size.
        (metas.cursor, sys::SPA_META_Cursor, CURSOR_SIZE, CURSOR_SIZE),
    ] {
        if !offered {
            continue;
        }
        let sizes = ChoiceEnum::Range { default: size, min: smallest, max: size };
        let value = match size == smallest {
            true => Value::Int(size),
            false => Value::Choice(ChoiceValue::Int(choice(sizes))),
        };
        pods.push(serialize(
            sys::SPA_TYPE_OBJECT_ParamMeta,
            sys::SPA_PARAM_Meta,
            vec![id(sys::SPA_PARAM_META_type, type_), plain(sys::SPA_PARAM_META_size, value)],
        ));
    }
    pods
}

/// Where one plane of a picture is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Which data.
    pub data: usize,
    /// Bytes from the data's start.
    pub offset: u32,
    /// Bytes from row to row.
    pub stride: u32,
    /// Its blocks.
    pub shape: Shape,
    /// Rows of blocks.
    pub rows: u32,
}

impl Place {
    /// Bytes of the plane.
    pub fn size(&self) -> u32 {
        self.stride * self.rows
    }
}

/// Where every plane is.
pub(crate) fn places(options: &ProducerOptions, format: &Negotiated) -> Vec<Place> {
    let shapes = format.pixels.planes();
    let (bytes, across, _) = shapes[0];
    let mut first = format.size.0.div_ceil(across) * bytes + options.row_padding;
    if shapes.len() > 1 {
        first = first.next_multiple_of(4 * bytes);
    }
    let mut end = 0;
    let place = |(index, shape): (usize, &Shape)| {
        let stride = first / bytes * across * shape.0 / shape.1;
        let rows = format.size.1.div_ceil(shape.2);
        let (data, offset) = match options.blocks {
            Blocks::One => (0, end),
            Blocks::Each => (index, 0),
            Blocks::EachInOneFd => (index, end),
        };
        end += stride * rows;
        Place { data, offset, stride: if index == 0 { first } else { stride }, shape: *shape, rows }
    };
    shapes.iter().enumerate().map(place).collect()
}

/// How many bytes each data has.
pub(crate) fn data_sizes(options: &ProducerOptions, places: &[Place]) -> Vec<usize> {
    let all: usize = places.iter().map(|place| place.size() as usize).sum();
    match options.blocks {
        Blocks::One => vec![all],
        Blocks::Each => places.iter().map(|place| place.size() as usize).collect(),
        Blocks::EachInOneFd => places.iter().map(|_| all).collect(),
    }
}

/// A final format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// The pixel format.
    pub pixels: Pixels,
    /// The modifier; `None` for plain memory.
    pub modifier: Option<u64>,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Frames a second: 0/1 for "on damage".
    pub framerate: Rate,
    /// The most frames a second the consumer wants.
    pub max_framerate: Rate,
}

/// A Format event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatEvent {
    /// The modifier is still a choice, left by the consumer's filter: the producer fixates next.
    Choice {
        /// The format, its modifier being the choice's default.
        format: Negotiated,
        /// What the consumer left of the offered modifiers.
        modifiers: Vec<u64>,
    },
    /// Final.
    Fixed(Negotiated),
    /// The format was taken away (no link, or nothing in common).
    Cleared,
}

/// Reads a Format pod; `None` for one that is not of raw video.
pub(crate) fn read_format(pod: &Pod) -> Option<FormatEvent> {
    let (_, Value::Object(object)) = PodDeserializer::deserialize_any_from(pod.as_bytes()).ok()? else {
        return None;
    };
    let find = |key: u32| object.properties.iter().find(|p| p.key == key);
    let rate = |key| match find(key).map(|p| &p.value) {
        Some(Value::Fraction(f) | Value::Choice(ChoiceValue::Fraction(Choice(_, ChoiceEnum::None(f))))) => {
            (f.num, f.denom)
        }
        _ => (0, 0),
    };
    let pixels = match &find(sys::SPA_FORMAT_VIDEO_format)?.value {
        Value::Id(id) | Value::Choice(ChoiceValue::Id(Choice(_, ChoiceEnum::None(id)))) => Pixels::from_id(id.0),
        _ => return None,
    };
    let size = match &find(sys::SPA_FORMAT_VIDEO_size)?.value {
        Value::Rectangle(r) | Value::Choice(ChoiceValue::Rectangle(Choice(_, ChoiceEnum::None(r)))) => {
            (r.width, r.height)
        }
        _ => return None,
    };
    let mut format = Negotiated {
        pixels,
        modifier: None,
        size,
        framerate: rate(sys::SPA_FORMAT_VIDEO_framerate),
        max_framerate: rate(sys::SPA_FORMAT_VIDEO_maxFramerate),
    };
    let Some(property) = find(sys::SPA_FORMAT_VIDEO_modifier) else {
        return Some(FormatEvent::Fixed(format));
    };
    let mut modifiers: Vec<u64> = Vec::new();
    let mut keep = |modifier: i64| {
        if !modifiers.contains(&(modifier as u64)) {
            modifiers.push(modifier as u64);
        }
    };
    match &property.value {
        Value::Long(one) | Value::Choice(ChoiceValue::Long(Choice(_, ChoiceEnum::None(one)))) => {
            keep(*one);
        }
        Value::Choice(ChoiceValue::Long(Choice(_, ChoiceEnum::Enum { default, alternatives }))) => {
            keep(*default);
            alternatives.iter().for_each(|one| keep(*one));
        }
        _ => return None,
    }
    format.modifier = modifiers.first().copied();
    // A single modifier may still carry the flag: the flag alone says that fixating is up to us.
    match property.flags.contains(PropertyFlags::DONT_FIXATE) {
        true => Some(FormatEvent::Choice { format, modifiers }),
        false => Some(FormatEvent::Fixed(format)),
    }
}
