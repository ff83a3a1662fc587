//! Owns the answer to "would a frame arrive now?": it watches the links of the producer's node.
//! It never makes links, and knows no more than the daemon tells everyone.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use libspa::utils::dict::DictRef;
use pipewire as pw;
use pw::{
    core::CoreRc,
    link::{Link, LinkListener, LinkState},
    node::{Node, NodeListener, NodeState},
    properties::PropertiesBox,
    registry::{GlobalObject, Listener, RegistryRc},
    types::ObjectType,
};

use super::ProducerState;
use crate::wait::Watched;

type Links = Rc<RefCell<HashMap<u32, Watching>>>;

/// A link and the consumer at its end. Each listener goes before what it listens to.
struct Watching {
    _link_listener: LinkListener,
    _link: Link,
    _node_listener: NodeListener,
    _node: Node,
}

/// Keeps watching until dropped. The listener goes first, then what it listens to.
pub(crate) struct Settled {
    _listener: Listener,
    _links: Links,
    _registry: RegistryRc,
}

impl Settled {
    /// Watches over the connection of the stream itself: the daemon tells of a link's new format after it has told
    /// the stream of the format and its buffers, so that the order of events can be relied on.
    pub(crate) fn watch(core: &CoreRc, state: &Watched<ProducerState>) -> Result<Self, pw::Error> {
        let registry = core.get_registry_rc()?;
        let links = Links::default();
        let nodes = RefCell::new(HashMap::new());
        let (adding, removing) = (links.clone(), links.clone());
        let (state, gone) = (state.clone(), state.clone());
        let binding = registry.downgrade();
        let listener = registry
            .add_listener_local()
            .global(move |global| match global.type_ {
                ObjectType::Node => {
                    nodes.borrow_mut().insert(global.id, global.to_owned());
                }
                ObjectType::Link => {
                    let end = |key| global.props?.get(key)?.parse::<u32>().ok();
                    if end("link.output.node") != state.read(|s| s.node_id) {
                        return;
                    }
                    let nodes = nodes.borrow();
                    let consumer = end("link.input.node").and_then(|id| nodes.get(&id));
                    if let (Some(consumer), Some(registry)) = (consumer, binding.upgrade())
                        && let Ok(watching) = bind(&registry, global, consumer, &state)
                    {
                        adding.borrow_mut().insert(global.id, watching);
                    }
                }
                _ => {}
            })
            .global_remove(move |id| {
                let link = removing.borrow_mut().remove(&id);
                if link.is_some() {
                    gone.update(|s| {
                        s.unsettle();
                        s.consumer_running = false;
                    });
                }
            })
            .register();
        Ok(Self { _listener: listener, _links: links, _registry: registry })
    }
}

fn bind(
    registry: &RegistryRc,
    link: &GlobalObject<&DictRef>,
    consumer: &GlobalObject<PropertiesBox>,
    state: &Watched<ProducerState>,
) -> Result<Watching, pw::Error> {
    let link = registry.bind::<Link, _>(link)?;
    let node = registry.bind::<Node, _>(consumer)?;
    let linked = state.clone();
    // A new link is PAUSED before it is ACTIVE and the producer may wake the consumer; one that is renegotiated ends
    // in PAUSED and stays active. The format event before has unset it.
    let activated = Cell::new(false);
    let link_listener = link
        .add_listener_local()
        .info(move |info| {
            let settled = match info.state() {
                LinkState::Active => {
                    activated.set(true);
                    true
                }
                LinkState::Paused => activated.get(),
                LinkState::Error(_) => false,
                _ => return,
            };
            linked.update(|s| {
                s.link_settled = settled;
                s.settled &= settled;
            });
        })
        .register();
    let running = state.clone();
    let node_listener = node
        .add_listener_local()
        .info(move |info| {
            let runs = matches!(info.state(), NodeState::Running);
            running.update(|s| {
                s.consumer_running = runs;
                s.settled &= runs;
            });
        })
        .register();
    Ok(Watching { _link_listener: link_listener, _link: link, _node_listener: node_listener, _node: node })
}
