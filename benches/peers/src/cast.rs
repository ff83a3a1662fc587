//! A real GNOME's monitor of its own as a stream, for a peer that only shows streams. Lives as long as the cast.

use std::collections::HashMap;

use zbus::blocking::{Connection, Proxy, connection::Builder};
use zbus::zvariant::{OwnedObjectPath, Value};

const SERVICE: &str = "org.gnome.Mutter.ScreenCast";

/// A running cast; it ends with its connection to the bus.
#[derive(Debug)]
pub struct Cast {
    /// The stream's node in the guest's PipeWire.
    pub node: u32,
    _connection: Connection,
}

impl Cast {
    /// Makes one on the session bus at this address, of the kind that the bridge asks for: the consumer's size is the monitor's.
    ///
    /// # Errors
    /// What the bus or Mutter said.
    pub fn start(bus: &str) -> zbus::Result<Self> {
        let connection = Builder::address(bus)?.build()?;
        let cast = Proxy::new(&connection, SERVICE, "/org/gnome/Mutter/ScreenCast", SERVICE)?;
        let session: OwnedObjectPath = cast.call("CreateSession", &HashMap::<&str, Value<'_>>::new())?;
        let session = Proxy::new(&connection, SERVICE, session, "org.gnome.Mutter.ScreenCast.Session")?;
        let wanted = HashMap::from([("cursor-mode", Value::from(1_u32)), ("is-platform", Value::from(true))]);
        let stream: OwnedObjectPath = session.call("RecordVirtual", &wanted)?;
        let stream = Proxy::new(&connection, SERVICE, stream, "org.gnome.Mutter.ScreenCast.Stream")?;
        let mut added = stream.receive_signal("PipeWireStreamAdded")?;
        session.call::<_, _, ()>("Start", &())?;
        let signal = added.next().ok_or(zbus::Error::InvalidReply)?;
        let node = signal.body().deserialize()?;
        Ok(Self { node, _connection: connection })
    }
}
