//! A connection to the guest's compositor that a task of the session owns: what it waits for holds up nobody else's.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_io::Async;
use thiserror::Error;
use wayland_client::backend::WaylandError;
use wayland_client::protocol::wl_callback::{self, WlCallback};
use wayland_client::{Connection, Dispatch, EventQueue, QueueHandle};

/// Why a connection is over.
#[derive(Debug, Error)]
pub enum Lost {
    /// Reading or writing the socket failed: most often, the compositor has ended. The session hears of that by other
    /// ways too.
    #[error("{0}")]
    Gone(String),
    /// The compositor found fault with a request.
    #[error("{0}")]
    Refused(String),
}

/// User data of a question whose answer says that all before it has been handled.
pub struct Answered(Arc<AtomicBool>);

/// A client of the compositor; `state` is what that tells it.
pub struct Client<S> {
    /// For requests.
    pub connection: Connection,
    readable: Async<Connection>,
    /// For new objects.
    pub queue: EventQueue<S>,
    /// What the events made.
    pub state: S,
}

impl<S: Dispatch<WlCallback, Answered> + 'static> Client<S> {
    /// Begins on a connected socket that does not block.
    ///
    /// # Errors
    ///
    /// When the socket cannot be used.
    pub fn new(socket: UnixStream, state: S) -> Result<Self, Lost> {
        let gone = |error: &dyn std::fmt::Display| Lost::Gone(error.to_string());
        let connection = Connection::from_socket(socket).map_err(|error| gone(&error))?;
        let readable = Async::new(connection.clone()).map_err(|error| gone(&error))?;
        let queue = connection.new_event_queue();
        Ok(Self { connection, readable, queue, state })
    }

    /// Sends what was asked, and handles what comes next.
    ///
    /// # Errors
    ///
    /// The connection is over then.
    pub async fn turn(&mut self) -> Result<(), Lost> {
        self.queue.dispatch_pending(&mut self.state).map_err(|error| self.lost(&error))?;
        // Little enough is sent for any socket.
        self.connection.flush().map_err(|error| self.lost(&error))?;
        if let Some(guard) = self.connection.prepare_read() {
            self.readable.readable().await.map_err(|error| self.lost(&error))?;
            match guard.read() {
                Err(WaylandError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                read => drop(read.map_err(|error| self.lost(&error))?),
            }
        }
        self.queue.dispatch_pending(&mut self.state).map_err(|error| self.lost(&error))?;
        Ok(())
    }

    /// Handles all that comes, until the connection is over.
    pub async fn read_on(&mut self) -> Lost {
        loop {
            if let Err(error) = self.turn().await {
                return error;
            }
        }
    }

    /// Handles what comes until all that was asked so far is answered.
    ///
    /// # Errors
    ///
    /// The connection is over then.
    pub async fn answered(&mut self) -> Result<(), Lost> {
        let is_answered = Arc::new(AtomicBool::new(false));
        self.connection.display().sync(&self.queue.handle(), Answered(Arc::clone(&is_answered)));
        while !is_answered.load(Ordering::Relaxed) {
            self.turn().await?;
        }
        Ok(())
    }

    fn lost(&self, error: &dyn std::fmt::Display) -> Lost {
        match self.connection.protocol_error() {
            Some(protocol) => {
                Lost::Refused(format!("{} on {}: {}", protocol.code, protocol.object_interface, protocol.message))
            }
            None => Lost::Gone(error.to_string()),
        }
    }
}

impl<S: Dispatch<WlCallback, Self>> Dispatch<WlCallback, Self, S> for Answered {
    fn event(_: &mut S, _: &WlCallback, _: wl_callback::Event, answered: &Self, _: &Connection, _: &QueueHandle<S>) {
        answered.0.store(true, Ordering::Relaxed);
    }
}
