//! A kernel that lacks something, for one process: its system call fails as an unknown one does.

use std::io;

/// drm.h: `DRM_IOWR(0xCF, struct drm_syncobj_eventfd)`, of 24 bytes. New in Linux 6.6.
pub const DRM_IOCTL_SYNCOBJ_EVENTFD: u32 = 3 << 30 | 24 << 16 | (b'd' as u32) << 8 | 0xcf;

/// Has this process's ioctls of this number fail with EINVAL from now on, as DRM answers one that it does not know.
pub fn deny_ioctl(number: u32) -> io::Result<()> {
    // Offsets in struct seccomp_data, linux/seccomp.h: the call's number, and the lower half of its second argument.
    const NR: u32 = 0;
    const ARG_1: u32 = if cfg!(target_endian = "little") { 24 } else { 28 };
    let load =
        |at| libc::sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: at };
    let unless = |value, skip| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: skip,
        k: value,
    };
    let answer = |value| libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: value };
    let mut filter = [
        load(NR),
        unless(libc::SYS_ioctl as u32, 3),
        load(ARG_1),
        unless(number, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: both calls read their arguments, and the program with its filter lives through the second.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}
