//! Owns child daemons: they are started by one thread that lives as long as the process and die with it.
//! It never leaves one behind, not even after a crash of the test, and never ends a process it did not start.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{Child, Command},
    sync::{Mutex, OnceLock, mpsc},
    thread,
};

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// A daemon that is killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts `command`.
    ///
    /// PDEATHSIG fires when the *thread* that spawned the child ends, and every test has a thread of its own
    /// that may hand the daemon on; so one thread, never ended, spawns them all.
    pub(crate) fn spawn(command: Command) -> io::Result<Self> {
        static SPAWNER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
        let orders = SPAWNER.get_or_init(|| {
            let (orders, inbox) = mpsc::channel::<Order>();
            thread::Builder::new()
                .name("fake-guest-spawn".into())
                .spawn(move || {
                    for (mut command, answer) in inbox {
                        die_with_parent(&mut command);
                        let _ = answer.send(command.spawn());
                    }
                })
                .expect("a thread for children");
            Mutex::new(orders)
        });
        let (answer, result) = mpsc::channel();
        let sent = orders.lock().unwrap_or_else(|e| e.into_inner()).send((command, answer));
        sent.map_err(|_| io::Error::other("the spawning thread is gone"))?;
        let child = result.recv().map_err(io::Error::other)??;
        Ok(Self { child })
    }

    /// The exit status in words, if it has already ended by itself.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn die_with_parent(command: &mut Command) {
    let ask = || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(io::Error::from)
    };
    // SAFETY: the closure runs between fork and exec and makes one system call: no allocation, no lock.
    unsafe {
        command.pre_exec(ask);
    }
}
