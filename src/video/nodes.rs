//! The nodes of the guest's PipeWire, as far as it lets this client see them: to find one by its name or serial, and to
//! notice that it has gone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use async_io::Async;
use pipewire::context::ContextRc;
use pipewire::core::{CoreRc, Listener as CoreListener};
use pipewire::keys;
use pipewire::registry::{Listener as RegistryListener, RegistryRc};
use pipewire::types::ObjectType;
use tracing::trace;

use crate::video::main_loop::MainLoop;
use crate::video::stream::VideoError;
use crate::video::target::Target;

/// A node, as far as it has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its id now.
    pub id: u32,
    /// Its `object.serial`, for good; daemons before 0.3.42 have none.
    pub serial: Option<u64>,
    /// Its `node.name`.
    pub name: String,
    /// Its `media.class`.
    pub class: String,
}

impl Node {
    /// Whether pictures may come from it: what it says of itself is not against it.
    pub fn may_show(&self) -> bool {
        !["Audio", "Midi", "Input", "Sink"].iter().any(|word| self.class.contains(word))
    }

    /// For the stream.
    pub fn target(&self) -> Target {
        Target { id: self.id, serial: self.serial }
    }
}

#[derive(Default)]
struct Shared {
    nodes: BTreeMap<u32, Node>,
    /// All those are known that there were at the beginning.
    is_complete: bool,
    /// Why the connection is over.
    lost: Option<String>,
}

/// A connection that watches them.
///
/// Fields are in the order they must be dropped in: a listener before what it listens to.
pub struct Nodes {
    _registry_listener: RegistryListener,
    _registry: RegistryRc,
    _core_listener: CoreListener,
    _core: CoreRc,
    _context: ContextRc,
    /// Of the loop.
    fd: Async<OwnedFd>,
    main_loop: MainLoop,
    shared: Rc<RefCell<Shared>>,
}

impl Nodes {
    /// Connects by the environment, and looks at what is there.
    ///
    /// # Errors
    ///
    /// When there is no PipeWire.
    pub async fn look() -> Result<Self, VideoError> {
        pipewire::init();
        let main_loop = MainLoop::new().map_err(VideoError::Connect)?;
        let context = ContextRc::new(main_loop.get(), None).map_err(|_| VideoError::NoContext)?;
        let core = context.connect_rc(None).map_err(VideoError::Connect)?;
        let shared = Rc::new(RefCell::new(Shared::default()));
        let [on_done, on_error, on_global, on_remove] = std::array::from_fn(|_| Rc::clone(&shared));
        let core_listener = core
            .add_listener_local()
            // The sync below is the only one of this connection.
            .done(move |id, _| on_done.borrow_mut().is_complete |= id == 0)
            .error(move |id, _seq, _res, message| {
                // Object 0 is the connection itself.
                if id == 0 {
                    on_error.borrow_mut().lost = Some(message.to_owned());
                }
            })
            .register();
        let registry = core.get_registry_rc().map_err(VideoError::Connect)?;
        let registry_listener = registry
            .add_listener_local()
            .global(move |global| {
                let Some(props) = global.props.as_ref().filter(|_| global.type_ == ObjectType::Node) else { return };
                let text = |key: &str| props.get(key).unwrap_or_default().to_owned();
                let node = Node {
                    id: global.id,
                    serial: props.get(&keys::OBJECT_SERIAL).and_then(|serial| serial.parse().ok()),
                    name: text(&keys::NODE_NAME),
                    class: text(&keys::MEDIA_CLASS),
                };
                trace!(?node, "PipeWire");
                on_global.borrow_mut().nodes.insert(global.id, node);
            })
            .global_remove(move |id| {
                on_remove.borrow_mut().nodes.remove(&id);
            })
            .register();
        core.sync(0).map_err(VideoError::Connect)?;
        let fd = main_loop.fd().try_clone_to_owned().and_then(Async::new_nonblocking).map_err(VideoError::Watch)?;
        let nodes = Self {
            _registry_listener: registry_listener,
            _registry: registry,
            _core_listener: core_listener,
            _core: core,
            _context: context,
            fd,
            main_loop,
            shared,
        };
        match nodes.until(|shared| shared.is_complete.then_some(())).await {
            Ok(()) => Ok(nodes),
            Err(why) => Err(VideoError::Lost(why)),
        }
    }

    /// Those that there are.
    pub fn all(&self) -> Vec<Node> {
        self.shared.borrow().nodes.values().cloned().collect()
    }

    /// Ends when the node of this id is there no more; why.
    pub async fn gone(&self, id: u32) -> String {
        match self.until(|shared| (!shared.nodes.contains_key(&id)).then_some(())).await {
            Ok(()) => "the guest's PipeWire node is gone".to_owned(),
            Err(why) => format!("PipeWire: {why}"),
        }
    }

    /// Waits until `look` gives a value, or the connection is lost.
    async fn until<T>(&self, look: impl Fn(&Shared) -> Option<T>) -> Result<T, String> {
        loop {
            self.main_loop.iterate();
            let outcome = {
                let shared = self.shared.borrow();
                look(&shared).map(Ok).or_else(|| shared.lost.clone().map(Err))
            };
            if let Some(outcome) = outcome {
                return outcome;
            }
            self.fd.readable().await.map_err(|error| error.to_string())?;
        }
    }
}
