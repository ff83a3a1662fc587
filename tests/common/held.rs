//! One thread of a process that gets no processor, while its others do.

use std::io;

/// Holds the thread until it is dropped, on the thread that made it.
pub struct Held(libc::pid_t);

impl Held {
    /// Takes hold of the thread with this id.
    ///
    /// # Errors
    ///
    /// There is no such thread, or it may not be traced.
    pub fn take(thread: u32) -> io::Result<Self> {
        let thread = thread as libc::pid_t;
        ptrace(libc::PTRACE_SEIZE, thread)?;
        let held = Self(thread);
        ptrace(libc::PTRACE_INTERRUPT, thread)?;
        // SAFETY: no status is asked for.
        match unsafe { libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(held),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // One that has ended needs it no more.
        let _ = ptrace(libc::PTRACE_DETACH, self.0);
    }
}

fn ptrace(request: libc::c_uint, thread: libc::pid_t) -> io::Result<()> {
    // SAFETY: none of these requests reads or writes memory of ours: address and data are 0.
    match unsafe { libc::ptrace(request, thread, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
