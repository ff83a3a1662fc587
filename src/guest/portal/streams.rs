//! What a portal says of the streams that it shares, and which of them is shown. Pure.

use std::collections::HashMap;

use zbus::zvariant::{OwnedValue, Value};

use crate::input::place::Place;
use crate::video::target::Target;

/// `source_type` of a monitor.
const MONITOR: u32 = 1;

/// One of the `streams` of a Start's answer (a(ua{sv})).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// The PipeWire node's id on the portal's connection.
    pub node: u32,
    /// The node's `object.serial`, of newer portals: unlike the id it is never used again.
    pub serial: Option<u64>,
    /// Where it lies on the desktop, in logical pixels.
    pub position: Option<(i32, i32)>,
    /// Its size on the desktop, in logical pixels: not the size of its frames, where it is scaled.
    pub size: Option<(i32, i32)>,
    /// The name of its region in the input protocol.
    pub mapping_id: Option<String>,
    /// What it is: 1 a monitor, 2 a window, 4 a virtual monitor.
    pub source_type: Option<u32>,
    /// A name that lasts over restored sessions.
    pub id: Option<String>,
}

impl Shared {
    /// What people call it.
    pub fn name(&self) -> Option<&str> {
        self.mapping_id.as_deref().or(self.id.as_deref())
    }

    /// Where a monitor lies, if that can be believed: xdg-desktop-portal-wlr 0.7.0 says (0, 0) of each, and calls it no
    /// monitor.
    pub fn monitor_position(&self) -> Option<(i32, i32)> {
        self.position.filter(|_| self.source_type == Some(MONITOR))
    }

    /// What is known of its region in the input protocol.
    pub fn place(&self) -> Place {
        Place { mapping_id: self.mapping_id.clone(), position: self.position, size: self.size }
    }

    /// The node that carries its frames.
    pub fn target(&self) -> Target {
        Target { id: self.node, serial: self.serial }
    }
}

/// The streams of a Start's results; what makes no sense is left out.
pub fn shared(results: &HashMap<String, OwnedValue>) -> Vec<Shared> {
    let Some(Value::Array(streams)) = results.get("streams").map(|value| &**value) else { return Vec::new() };
    streams.iter().filter_map(stream).collect()
}

fn stream(value: &Value<'_>) -> Option<Shared> {
    let Value::Structure(stream) = value else { return None };
    let [Value::U32(node), Value::Dict(properties)] = stream.fields() else { return None };
    let get = |name: &str| {
        let found = properties.iter().find(|(key, _)| matches!(key, Value::Str(key) if key.as_str() == name));
        found.map(|(_, value)| if let Value::Value(inner) = value { inner } else { value })
    };
    let text = |name: &str| get(name).and_then(|value| String::try_from(value).ok()).filter(|text| !text.is_empty());
    let pair = |name: &str| match get(name)? {
        Value::Structure(pair) => match pair.fields() {
            [Value::I32(x), Value::I32(y)] => Some((*x, *y)),
            _ => None,
        },
        _ => None,
    };
    Some(Shared {
        node: *node,
        serial: get("pipewire-serial").and_then(|value| u64::try_from(value).ok()),
        position: pair("position"),
        size: pair("size").filter(|(width, height)| *width > 0 && *height > 0),
        mapping_id: text("mapping_id"),
        source_type: get("source_type").and_then(|value| u32::try_from(value).ok()),
        id: text("id"),
    })
}

/// The one to show: that of the name, else the first monitor, else the first. False beside it: the name is nobody's.
pub fn choose<'a>(streams: &'a [Shared], name: Option<&str>) -> Option<(&'a Shared, bool)> {
    let is_named = |stream: &&Shared| name == stream.mapping_id.as_deref() || name == stream.id.as_deref();
    match name.map(|_| streams.iter().find(is_named)) {
        Some(Some(named)) => Some((named, true)),
        other => {
            let monitor = streams.iter().find(|stream| stream.source_type == Some(MONITOR));
            Some((monitor.or_else(|| streams.first())?, other.is_none()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(streams: Value<'static>) -> HashMap<String, OwnedValue> {
        HashMap::from([("streams".to_owned(), OwnedValue::try_from(streams).unwrap())])
    }

    type Properties = HashMap<&'static str, Value<'static>>;

    #[test]
    fn all_that_a_portal_tells_is_understood() {
        let whole: Properties = HashMap::from([
            ("position", Value::from((-1920, 5))),
            ("size", Value::from((1920, 1080))),
            ("source_type", Value::from(1u32)),
            ("mapping_id", Value::from("DP-1")),
            ("id", Value::from("0")),
            ("pipewire-serial", Value::from(5_000_000_000u64)),
            ("new", Value::from(true)),
        ]);
        let streams = shared(&results(Value::from(vec![(42u32, whole), (7u32, HashMap::new())])));
        let expected = Shared {
            node: 42,
            serial: Some(5_000_000_000),
            position: Some((-1920, 5)),
            size: Some((1920, 1080)),
            mapping_id: Some("DP-1".into()),
            source_type: Some(1),
            id: Some("0".into()),
        };
        assert_eq!(streams, [expected, Shared { node: 7, ..Shared::default() }]);
    }

    #[test]
    fn nonsense_costs_what_it_is_in() {
        let odd: Properties = HashMap::from([
            ("position", Value::from("0,0")),
            ("size", Value::from((0, -5))),
            ("source_type", Value::from("monitor")),
            ("mapping_id", Value::from("")),
            ("pipewire-serial", Value::from(5u32)),
        ]);
        assert_eq!(shared(&results(Value::from(vec![(1u32, odd)]))), [Shared { node: 1, ..Shared::default() }]);
        assert_eq!(shared(&results(Value::from(vec![1u32]))), []);
        assert_eq!(shared(&results(Value::from("none"))), []);
        assert_eq!(shared(&HashMap::new()), []);
    }

    #[test]
    fn the_named_one_is_chosen_else_a_monitor_else_the_first() {
        let of = |node, source_type, mapping_id: &str| Shared {
            node,
            source_type,
            mapping_id: Some(mapping_id.into()),
            ..Shared::default()
        };
        let streams = [of(1, Some(2), "w"), of(2, Some(1), "DP-1"), of(3, Some(1), "DP-2")];
        let chosen = |streams: &[Shared], name| choose(streams, name).map(|(stream, found)| (stream.node, found));
        assert_eq!(chosen(&streams, None), Some((2, true)));
        assert_eq!(chosen(&streams, Some("DP-2")), Some((3, true)));
        assert_eq!(chosen(&streams, Some("DP-9")), Some((2, false)));
        assert_eq!(chosen(&streams[..1], None), Some((1, true)));
        assert_eq!(chosen(&[], Some("DP-2")), None);
    }
}
