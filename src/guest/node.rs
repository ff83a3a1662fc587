//! A PipeWire node by its name or serial, whoever made it: to be looked at, and by an EIS socket beside it to be used.

use std::path::Path;

use futures_util::future::{AbortHandle, Abortable};

use crate::guest::{GuestError, InputRoute, Kind, Reporter, Session, TaskGuard, Wishes, eis_socket};
use crate::input::ei::Scrolling;
use crate::video::nodes::{Node, Nodes};
use crate::video::stream::VideoError;

/// Makes a session, reports it and keeps it alive; why it ended.
pub(super) async fn session(wishes: &Wishes, reporter: &Reporter<'_>) -> Result<String, GuestError> {
    let nodes = look().await?;
    let node = pick(Kind::Node, &nodes.all(), wishes.node.as_deref().unwrap_or_default())?;
    let input = match &wishes.eis {
        Some(path) => eis(path, Scrolling::Plain).await?,
        None => InputRoute::None,
    };
    let description = describe(&format!("the PipeWire node {}", node.name), &input);
    keep(nodes, &node, reporter, |guard| Session { input, ..Session::of(node.target(), description, guard) }).await
}

/// The nodes that there are.
pub(super) async fn look() -> Result<Nodes, GuestError> {
    Nodes::look().await.map_err(|error: VideoError| GuestError::Video(error.to_string()))
}

/// Input by the EIS server that listens there.
pub(super) async fn eis(path: &Path, scrolling: Scrolling) -> Result<InputRoute, GuestError> {
    let socket = eis_socket::connect(path).await.map_err(|error| GuestError::Eis(error.to_string()))?;
    Ok(InputRoute::Eis { socket, scrolling, fingers: None })
}

/// For the log.
pub(super) fn describe(what: &str, input: &InputRoute) -> String {
    let input = if matches!(input, InputRoute::None) { "no input" } else { "input by EIS" };
    format!("{what}, {input}")
}

/// Reports the session with this node that `made` makes, and keeps it until the node is gone.
pub(super) async fn keep(
    nodes: Nodes,
    node: &Node,
    reporter: &Reporter<'_>,
    made: impl FnOnce(TaskGuard) -> Session,
) -> Result<String, GuestError> {
    let (abort, ended) = AbortHandle::new_pair();
    reporter.made(made(TaskGuard(abort)));
    Ok(Abortable::new(nodes.gone(node.id), ended).await.unwrap_or_else(|_| "ended by us".to_owned()))
}

/// The node of this serial or else of this name, if there is but one. Pure.
///
/// # Errors
///
/// What there is instead.
pub(super) fn pick(kind: Kind, nodes: &[Node], wanted: &str) -> Result<Node, GuestError> {
    let serial = wanted.parse::<u64>().ok();
    let numbered = nodes.iter().find(|node| serial.is_some() && node.serial == serial);
    let named: Vec<&Node> = match numbered {
        Some(node) => vec![node],
        None => nodes.iter().filter(|node| node.name == wanted).collect(),
    };
    let wanted = wanted.to_owned();
    let shows: Vec<&Node> = named.iter().copied().filter(|node| node.may_show()).collect();
    match (shows.as_slice(), named.first()) {
        ([node], _) => Ok((*node).clone()),
        ([], Some(node)) => Err(GuestError::NoPictures { wanted, class: node.class.clone() }),
        ([], None) => {
            let names = nodes.iter().filter(|node| node.may_show() && node.class.contains("Video"));
            let mut names: Vec<&str> = names.map(|node| node.name.as_str()).collect();
            names.dedup();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(GuestError::NoNode { wanted, there })
        }
        (several, _) => {
            let serials =
                several.iter().map(|node| node.serial.map_or("unknown".to_owned(), |serial| serial.to_string()));
            Err(GuestError::ManyNodes { kind, wanted, serials: serials.collect::<Vec<_>>().join(" or ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32, serial: u64, name: &str, class: &str) -> Node {
        Node { id, serial: Some(serial), name: name.into(), class: class.into() }
    }

    fn there() -> Vec<Node> {
        vec![
            node(31, 300, "camera", "Video/Source"),
            node(32, 301, "game", "Video/Source"),
            node(33, 302, "game", "Stream/Output/Video"),
            node(34, 303, "speaker", "Audio/Sink"),
            node(35, 304, "mixed", "Audio/Source"),
            node(36, 305, "mixed", "Video/Source"),
            node(37, 306, "7", "Video/Source"),
            node(38, 307, "301", "Video/Source"),
        ]
    }

    #[test]
    fn a_node_goes_by_its_name_or_its_serial() {
        for (wanted, id) in [("camera", 31), ("300", 31), ("301", 32), ("302", 33), ("mixed", 36), ("7", 37)] {
            assert_eq!(pick(Kind::Node, &there(), wanted).unwrap().id, id, "{wanted}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_told_with_what_there_is() {
        for (wanted, words) in [
            ("game", &["PipeWire nodes", "--node 301 or 302"][..]),
            ("speaker", &["speaker", "Audio/Sink", "no pictures"]),
            ("303", &["303", "Audio/Sink", "no pictures"]),
            ("31", &["no PipeWire node 31", "camera, game, mixed, 7, 301"]),
            ("Camera", &["no PipeWire node Camera", "camera, game"]),
        ] {
            let error = pick(Kind::Node, &there(), wanted).unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{word:?} is not in: {error}");
            }
        }
        assert!(pick(Kind::Node, &[], "x").unwrap_err().to_string().contains("there are none"));
    }
}
