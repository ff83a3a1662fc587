//! Connections to sockets of the guest that may be frozen.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use async_io::{Async, Timer};

/// A socket whose server accepts nobody at the moment says so only when asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// Connects, for as long as that takes: a server that accepts nobody is waited for. The connection does not block.
///
/// # Errors
///
/// When nobody listens.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    loop {
        match Async::<UnixStream>::connect(path).await {
            Ok(socket) => return socket.into_inner(),
            Err(error) if is_full(&error) => drop(Timer::after(AGAIN).await),
            Err(error) => return Err(error),
        }
    }
}

/// Whether nobody was accepted: the socket is left as it was then, or said not to be connected once it is looked at.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected)
}
