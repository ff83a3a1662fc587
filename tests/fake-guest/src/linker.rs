//! Owns the smallest session manager there is: it links video streams to the node they name.
//! It never links audio, never picks a default target, and leaves everything else on the daemon alone.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    os::unix::net::UnixStream,
    path::Path,
    rc::Rc,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use libspa::utils::dict::DictRef;
use pipewire as pw;
use pw::{
    client::Client,
    core::CoreRc,
    link::{Link, LinkListener, LinkState},
    node::{NodeChangeMask, NodeListener},
    permissions::{Permission, PermissionFlags},
    registry::{GlobalObject, RegistryRc},
    types::ObjectType,
};

/// A thread that links; it ends when dropped.
pub(crate) struct AutoLinker {
    quit: pw::channel::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for AutoLinker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AutoLinker")
    }
}

impl AutoLinker {
    /// Connects to the daemon at `socket` and starts linking.
    ///
    /// `shown`: the name of the only node that clients may see whose access the daemon restricts.
    pub(crate) fn start(socket: &Path, shown: Option<String>) -> io::Result<Self> {
        let connection = UnixStream::connect(socket)?;
        let (quit, inbox) = pw::channel::channel();
        let (ready, is_ready) = mpsc::channel();
        let thread = thread::Builder::new().name("fake-guest-link".into()).spawn(move || {
            if let Err(error) = run(connection, shown, inbox, &ready) {
                let _ = ready.send(Err(io::Error::other(error)));
            }
        })?;
        is_ready.recv_timeout(Duration::from_secs(10)).map_err(io::Error::other)??;
        Ok(Self { quit, thread: Some(thread) })
    }
}

impl Drop for AutoLinker {
    fn drop(&mut self) {
        let _ = self.quit.send(());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    connection: UnixStream,
    shown: Option<String>,
    inbox: pw::channel::Receiver<()>,
    ready: &mpsc::Sender<io::Result<()>>,
) -> Result<(), pw::Error> {
    pw::init();
    let main_loop = pw::main_loop::MainLoopRc::new(None)?;
    let context = pw::context::ContextRc::new(&main_loop, None)?;
    let core = context.connect_fd_rc(connection.into(), None)?;
    let registry = core.get_registry_rc()?;
    let graph = Rc::new(RefCell::new(Graph { shown, ..Graph::default() }));

    let added = Rc::downgrade(&graph);
    let binding = registry.downgrade();
    let linking = core.clone();
    let removed = graph.clone();
    let listener = registry
        .add_listener_local()
        .global(move |global| {
            let (Some(graph), Some(registry)) = (added.upgrade(), binding.upgrade()) else {
                return;
            };
            graph.borrow_mut().note_shown(global);
            match global.type_ {
                ObjectType::Node => watch_node(&graph, &linking, &registry, global),
                ObjectType::Port => graph.borrow_mut().add_port(global),
                ObjectType::Client => {
                    let bound = registry.bind::<Client, _>(global);
                    if let Some(client) = bound.as_ref().ok().filter(|_| is_restricted(global)) {
                        client.update_permissions(&graph.borrow().permissions());
                    }
                    graph.borrow_mut().clients.extend(bound.ok().map(|c| (global.id, c)));
                }
                _ => return,
            }
            link(&graph, &linking);
        })
        .global_remove(move |id| {
            // The proxy is dropped after the borrow: it calls back into its listeners.
            let gone = removed.borrow_mut().remove(id);
            drop(gone);
        })
        .register();
    let on_quit = main_loop.clone();
    let _inbox = inbox.attach(main_loop.loop_(), move |()| on_quit.quit());
    let _ = ready.send(Ok(()));
    main_loop.run();
    drop(listener);
    graph.take();
    Ok(())
}

/// Whether the daemon waits until somebody says what this client may see.
fn is_restricted(client: &GlobalObject<&DictRef>) -> bool {
    client.props.is_some_and(|props| props.get("pipewire.access") == Some("restricted"))
}

/// The registry tells little of a node; what it wants is in its info, which only a bound proxy gets.
fn watch_node(graph: &Rc<RefCell<Graph>>, core: &CoreRc, registry: &RegistryRc, global: &GlobalObject<&DictRef>) {
    let Ok(proxy) = registry.bind::<pw::node::Node, _>(global) else {
        return;
    };
    let id = global.id;
    let informed = Rc::downgrade(graph);
    let core = core.clone();
    let listener = proxy
        .add_listener_local()
        .info(move |info| {
            let (Some(graph), Some(props)) = (informed.upgrade(), info.props()) else {
                return;
            };
            // An update of something else comes with an empty dictionary.
            if !info.change_mask().contains(NodeChangeMask::PROPS) {
                return;
            }
            if let Some(node) = graph.borrow_mut().nodes.get_mut(&id) {
                node.learn(props);
            }
            link(&graph, &core);
        })
        .register();
    let node = Node {
        serial: None,
        name: None,
        wants: None,
        client: None,
        dont_reconnect: false,
        _listener: listener,
        _proxy: proxy,
    };
    graph.borrow_mut().nodes.insert(id, node);
}

#[derive(Default)]
struct Graph {
    nodes: HashMap<u32, Node>,
    ports: HashMap<u32, Port>,
    /// By the consumer's node; dropping the proxy ends the link.
    links: HashMap<u32, Linked>,
    clients: HashMap<u32, Client>,
    /// The name of the only node that restricted clients see.
    shown: Option<String>,
    /// The ids of it, and of what streams are made with.
    permitted: Vec<Permission>,
}

/// The listener goes first, then its proxy.
struct Linked {
    target: u32,
    _listener: LinkListener,
    _proxy: Link,
}

/// How a consumer names its target.
enum Wanted {
    /// `target.object`: a serial or a name.
    Object(String),
    /// `node.target`: an id or a name.
    Node(String),
}

/// The listener goes first, then its proxy.
struct Node {
    serial: Option<String>,
    name: Option<String>,
    wants: Option<Wanted>,
    client: Option<u32>,
    dont_reconnect: bool,
    _listener: NodeListener,
    _proxy: pw::node::Node,
}

impl Node {
    fn learn(&mut self, props: &DictRef) {
        let get = |key: &str| props.get(key).map(str::to_owned);
        let consumer =
            props.get("media.class") == Some("Stream/Input/Video") && props.get("node.autoconnect") == Some("true");
        let named = |key: &str| get(key).filter(|target| consumer && target != "-1");
        self.serial = get("object.serial");
        self.name = get("node.name");
        self.client = get("client.id").and_then(|id| id.parse().ok());
        self.dont_reconnect = props.get("node.dont-reconnect") == Some("true");
        self.wants = named("target.object").map(Wanted::Object).or_else(|| named("node.target").map(Wanted::Node));
    }
}

struct Port {
    node: u32,
    output: bool,
}

impl Graph {
    fn note_shown(&mut self, global: &GlobalObject<&DictRef>) {
        let (Some(shown), Some(props)) = (&self.shown, global.props) else { return };
        let flags = match global.type_ {
            ObjectType::Node if props.get("node.name") == Some(shown) => PermissionFlags::R | PermissionFlags::X,
            ObjectType::Factory if props.get("factory.name") == Some("client-node") => PermissionFlags::R,
            _ => return,
        };
        self.permitted.push(Permission::new(global.id, flags));
    }

    /// What a portal gives with its PipeWire connection: the core, client nodes, and the one node.
    fn permissions(&self) -> Vec<Permission> {
        let everything = Permission::new(pw::constants::ID_ANY, PermissionFlags::empty());
        let core = Permission::new(0, PermissionFlags::R | PermissionFlags::W | PermissionFlags::X);
        let mut all = self.permitted.clone();
        all.extend([core, everything]);
        all
    }

    fn add_port(&mut self, global: &GlobalObject<&DictRef>) {
        let Some(props) = global.props else { return };
        let Some(node) = props.get("node.id").and_then(|id| id.parse().ok()) else {
            return;
        };
        let output = props.get("port.direction") == Some("out");
        self.ports.insert(global.id, Port { node, output });
    }

    fn remove(&mut self, id: u32) -> (Option<Node>, Option<Linked>, Option<Client>) {
        self.ports.remove(&id);
        let orphans = self.links.iter().filter(|(_, link)| link.target == id);
        let orphans: Vec<u32> = orphans.map(|(consumer, _)| *consumer).collect();
        for orphan in orphans {
            self.links.remove(&orphan);
            if self.nodes.get(&orphan).is_some_and(|n| n.dont_reconnect) {
                self.send_error(orphan, -2, "target not found");
            }
        }
        (self.nodes.remove(&id), self.links.remove(&id), self.clients.remove(&id))
    }

    /// Puts the consumer's stream into the error state, as a session manager does.
    fn send_error(&self, node: u32, code: i32, message: &str) {
        let client = self.nodes.get(&node).and_then(|node| node.client);
        if let Some(client) = client.and_then(|id| self.clients.get(&id)) {
            client.error(node, code, message);
        }
    }

    /// The next pair to link: (consumer, its port, target, its port).
    fn unlinked(&self) -> Option<(u32, u32, u32, u32)> {
        let waiting = self.nodes.iter().filter(|(id, _)| !self.links.contains_key(id));
        waiting
            .filter_map(|(id, node)| {
                let target = self.target(node.wants.as_ref()?)?;
                Some((*id, self.port(*id, false)?, target, self.port(target, true)?))
            })
            .next()
    }

    fn target(&self, wanted: &Wanted) -> Option<u32> {
        let (Wanted::Object(wanted_name) | Wanted::Node(wanted_name)) = wanted;
        let same = |id: u32, node: &Node| match wanted {
            Wanted::Object(serial) => node.serial.as_ref() == Some(serial),
            Wanted::Node(number) => *number == id.to_string(),
        };
        let exact = self.nodes.iter().find(|(id, node)| same(**id, node));
        let named = |node: &Node| node.name.as_ref() == Some(wanted_name);
        exact.or_else(|| self.nodes.iter().find(|(_, node)| named(node))).map(|(id, _)| *id)
    }

    fn port(&self, node: u32, output: bool) -> Option<u32> {
        let found = |port: &&Port| port.node == node && port.output == output;
        let ports = self.ports.iter();
        ports.filter(|(_, port)| found(port)).map(|(id, _)| *id).min()
    }
}

/// Links the next pair that waits for it.
fn link(graph: &Rc<RefCell<Graph>>, core: &CoreRc) {
    let Some((consumer, input, target, output)) = graph.borrow().unlinked() else {
        return;
    };
    let props = pw::properties::properties! {
        "link.output.node" => target.to_string(),
        "link.output.port" => output.to_string(),
        "link.input.node" => consumer.to_string(),
        "link.input.port" => input.to_string(),
    };
    let Ok(proxy) = core.create_object::<Link>("link-factory", &props) else {
        return;
    };
    let informed = Rc::downgrade(graph);
    let listener = proxy
        .add_listener_local()
        .info(move |info| {
            if let (LinkState::Error(message), Some(graph)) = (info.state(), informed.upgrade()) {
                graph.borrow().send_error(consumer, -22, message);
            }
        })
        .register();
    let linked = Linked { target, _listener: listener, _proxy: proxy };
    graph.borrow_mut().links.insert(consumer, linked);
}
