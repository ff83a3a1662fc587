//! Whether this end may drive the graph (start its cycles, in each of which the guest draws once): PipeWire's lazy
//! scheduling. It takes a guest that asks for cycles (`node.supports-request`; Mutter from 49 on, for monitors that exist
//! for the stream), a daemon that knows of it, and a library that starts cycles the way those expect.

use std::cell::Cell;
use std::rc::Rc;

use pipewire::core::{CoreRc, Listener as CoreListener};
use pipewire::node::{Node, NodeListener};
use pipewire::permissions::PermissionFlags;
use pipewire::properties::PropertiesBox;
use pipewire::registry::{GlobalObject, RegistryRc};
use pipewire::types::ObjectType;
use tracing::debug;

use crate::video::library;

/// What makes this end a driver that waits for requests; 2 is more than the guest's own wish to drive.
pub const SUPPORTS_LAZY: (&str, &str) = ("node.supports-lazy", "2");

/// The first daemon with lazy scheduling.
const DAEMON: [u32; 3] = [1, 2, 7];

/// The oldest library that was seen to drive: with 0.3.65 each cycle brings the frame of the one before, so that the last
/// picture never comes.
const LIBRARY: [u32; 3] = [1, 4, 0];

/// What is known of the guest's node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guest {
    /// It asks for cycles. Such a guest never takes a frame for too early.
    pub asks: bool,
    /// This end can drive it.
    pub can_follow: bool,
}

#[derive(Debug, Default)]
struct Answers {
    daemon: Cell<bool>,
    asks: Cell<bool>,
    done: Cell<bool>,
}

/// The question, under way.
pub struct Probe {
    answers: Rc<Answers>,
    _node_listener: NodeListener,
    _node: Node,
    _registry: RegistryRc,
    _core_listener: CoreListener,
}

impl Probe {
    /// Asks about this node; the answer takes one round trip.
    ///
    /// # Errors
    ///
    /// When PipeWire takes no question.
    pub fn ask(core: &CoreRc, node: u32) -> Result<Self, pipewire::Error> {
        let answers = Rc::new(Answers::default());
        let [on_info, on_done, on_node] = std::array::from_fn(|_| Rc::clone(&answers));
        let core_listener = core
            .add_listener_local()
            .info(move |info| on_info.daemon.set(library::at_least(info.version(), DAEMON)))
            // The sync below is the only one of this connection that is answered with id 0.
            .done(move |id, _| on_done.done.set(on_done.done.get() || id == 0))
            .register();
        let registry = core.get_registry_rc()?;
        let object = GlobalObject::<PropertiesBox> {
            id: node,
            permissions: PermissionFlags::R,
            type_: ObjectType::Node,
            version: 0,
            props: None,
        };
        let node: Node = registry.bind(&object)?;
        let node_listener = node
            .add_listener_local()
            .info(move |info| {
                let wish = info.props().and_then(|props| props.get("node.supports-request"));
                on_node.asks.set(wish.and_then(|wish| wish.trim().parse::<u32>().ok()).is_some_and(|wish| wish > 0));
            })
            .register();
        core.sync(0)?;
        Ok(Self {
            answers,
            _node_listener: node_listener,
            _node: node,
            _registry: registry,
            _core_listener: core_listener,
        })
    }

    /// The answer, once it is there.
    pub fn answer(&self) -> Option<Guest> {
        if !self.answers.done.get() {
            return None;
        }
        let (asks, daemon, library) = (self.answers.asks.get(), self.answers.daemon.get(), library::version());
        debug!(asks, daemon, library, "who may drive the graph");
        Some(Guest { asks, can_follow: asks && daemon && library::is_at_least(LIBRARY) })
    }
}
