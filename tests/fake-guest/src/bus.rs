//! Owns a private D-Bus session bus: a real dbus-daemon with its own configuration and socket.
//! It never touches the bus of the session that runs the tests.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::child::Daemon;

/// A running dbus-daemon; killed when dropped.
#[derive(Debug)]
pub struct Bus {
    daemon: Daemon,
    socket: PathBuf,
}

impl Bus {
    /// Starts a bus that listens on `<dir>/bus`, as a systemd user session's does.
    ///
    /// # Errors
    /// When dbus-daemon is not installed or does not start.
    pub fn start(dir: &Path) -> io::Result<Self> {
        let socket = dir.join("bus");
        let config = dir.join("bus.conf");
        let _ = fs::remove_file(&socket);
        fs::write(&config, configuration(&socket))?;

        // dbus-daemon prints its address once it listens: that line is the readiness, no polling needed.
        let (read, write) = io::pipe()?;
        let mut command = Command::new("dbus-daemon");
        command
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nosyslog", "--print-address"])
            .stdin(Stdio::null())
            .stdout(write)
            .stderr(File::create(dir.join("bus.log"))?);
        let mut daemon = Daemon::spawn(command)?;
        let mut address = String::new();
        BufReader::new(read).read_line(&mut address)?;
        if address.trim().is_empty() {
            let status = daemon.ended().unwrap_or_else(|| "no address".into());
            return Err(io::Error::other(format!("dbus-daemon did not start: {status}")));
        }
        Ok(Self { daemon, socket })
    }

    /// What DBUS_SESSION_BUS_ADDRESS is to be.
    pub fn address(&self) -> String {
        format!("unix:path={}", self.socket.display())
    }

    /// A new connection, with a unique name of its own.
    ///
    /// # Errors
    /// When the bus has died.
    pub fn connect(&self) -> zbus::Result<zbus::blocking::Connection> {
        zbus::blocking::connection::Builder::address(self.address().as_str())?.build()
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.daemon.id()
    }
}

fn configuration(socket: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#,
        socket.display()
    )
}
