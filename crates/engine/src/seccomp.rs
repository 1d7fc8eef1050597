//! The filter of system calls that a container has by default, as a program for the kernel.
//!
//! What it allows is what Docker's default profile allows, for the machine's own word size: calls of
//! other ABIs (32-bit programs) are refused. Refused calls fail with EPERM, `clone3` with ENOSYS, so
//! that a C library falls back to `clone`, whose flags can be seen.
//! What the client brings along is in [`profile`].

use crate::caps;

mod names;
pub mod profile;

/// code, jump if true, jump if false, operand: as `struct sock_filter`.
pub type Instruction = (u16, u8, u8, u32);

const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_GREATER: u16 = 0x25;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Where things stand in `struct seccomp_data`.
const AT_NUMBER: u32 = 0;
const AT_ARCH: u32 = 4;
const fn at_argument(n: u32) -> u32 {
    16 + 8 * n
}

#[cfg(target_arch = "x86_64")]
const ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCH: u32 = 0xc000_00b7;

#[cfg(target_arch = "x86_64")]
const ALWAYS: &[(u32, u32)] = X86_64;
#[cfg(target_arch = "aarch64")]
const ALWAYS: &[(u32, u32)] = AARCH64;

/// Flags of `clone` that make namespaces.
const NAMESPACES: u32 = 0x7e02_0000;
/// Address families that lead out of the container: only AF_VSOCK (40) and AF_ALG (38).
const FAMILIES_REFUSED: [u32; 2] = [38, 40];
const PERSONALITIES: [u32; 5] = [0, 8, 0x20000, 0x20008, 0xffff_ffff];

// Numbers of system calls that need no capability, from first to last. Facts of the kernel's tables
// and of Docker's list of names.
#[cfg(any(target_arch = "x86_64", test))]
const X86_64: &[(u32, u32)] = &[
    (0, 40),
    (42, 55),
    (57, 102),
    (104, 133),
    (137, 138),
    (140, 152),
    (154, 154),
    (157, 160),
    (162, 162),
    (186, 211),
    (213, 226),
    (228, 235),
    (240, 245),
    (247, 247),
    (251, 255),
    (257, 271),
    (273, 278),
    (280, 297),
    (299, 299),
    (301, 303),
    (305, 307),
    (309, 311),
    (314, 319),
    (322, 322),
    (324, 335),
    (424, 424),
    (434, 434),
    (436, 437),
    (439, 439),
    (441, 441),
    (444, 449),
    (451, 458),
    (462, 466),
];

#[cfg(any(target_arch = "aarch64", test))]
const AARCH64: &[(u32, u32)] = &[
    (0, 17),
    (19, 37),
    (43, 50),
    (52, 57),
    (59, 59),
    (61, 83),
    (85, 88),
    (90, 91),
    (93, 96),
    (98, 103),
    (107, 111),
    (113, 115),
    (117, 141),
    (143, 160),
    (165, 169),
    (171, 197),
    (199, 216),
    (221, 223),
    (226, 234),
    (240, 240),
    (242, 243),
    (260, 261),
    (263, 264),
    (266, 267),
    (269, 271),
    (274, 279),
    (281, 281),
    (283, 293),
    (424, 424),
    (434, 434),
    (436, 437),
    (439, 439),
    (441, 441),
    (444, 449),
    (451, 458),
    (462, 466),
];

/// What a capability allows besides.
fn with_capability(name: &str) -> &'static [libc::c_long] {
    match name {
        "DAC_READ_SEARCH" => &[libc::SYS_open_by_handle_at],
        "SYS_ADMIN" => &[
            libc::SYS_bpf,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_fanotify_init,
            libc::SYS_fsconfig,
            libc::SYS_fsmount,
            libc::SYS_fsopen,
            libc::SYS_fspick,
            libc::SYS_lookup_dcookie,
            libc::SYS_mount,
            libc::SYS_mount_setattr,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_perf_event_open,
            libc::SYS_quotactl,
            libc::SYS_quotactl_fd,
            libc::SYS_setdomainname,
            libc::SYS_sethostname,
            libc::SYS_setns,
            libc::SYS_syslog,
            libc::SYS_umount2,
            libc::SYS_unshare,
        ],
        "SYS_BOOT" => &[libc::SYS_reboot],
        "SYS_CHROOT" => &[libc::SYS_chroot],
        "SYS_MODULE" => &[libc::SYS_delete_module, libc::SYS_init_module, libc::SYS_finit_module],
        "SYS_PACCT" => &[libc::SYS_acct],
        "SYS_PTRACE" => &[libc::SYS_kcmp, libc::SYS_pidfd_getfd, libc::SYS_process_madvise],
        #[cfg(target_arch = "x86_64")]
        "SYS_RAWIO" => &[libc::SYS_iopl, libc::SYS_ioperm],
        "SYS_TIME" => &[libc::SYS_settimeofday, libc::SYS_clock_settime],
        "SYS_TTY_CONFIG" => &[libc::SYS_vhangup],
        "SYS_NICE" => &[
            libc::SYS_get_mempolicy,
            libc::SYS_mbind,
            libc::SYS_set_mempolicy,
            libc::SYS_set_mempolicy_home_node,
        ],
        "SYSLOG" => &[libc::SYS_syslog],
        "BPF" => &[libc::SYS_bpf],
        "PERFMON" => &[libc::SYS_perf_event_open],
        _ => &[],
    }
}

/// The default filter for a process that holds these capabilities.
pub fn default_filter(held: &[u8]) -> Vec<Instruction> {
    let holds = |name: &str| caps::number(name).is_some_and(|number| held.contains(&number));
    let mut out = vec![
        (LOAD, 0, 0, AT_ARCH),
        (JUMP_IF_EQUAL, 1, 0, ARCH),
        (RETURN, 0, 0, ERRNO | EPERM),
        (LOAD, 0, 0, AT_NUMBER),
    ];
    for name in CONDITIONAL.iter().filter(|name| holds(name)) {
        for call in with_capability(name) {
            out.push((JUMP_IF_EQUAL, 0, 1, *call as u32));
            out.push((RETURN, 0, 0, ALLOW));
        }
    }
    if !holds("SYS_ADMIN") {
        out.push((JUMP_IF_EQUAL, 0, 1, libc::SYS_clone3 as u32));
        out.push((RETURN, 0, 0, ERRNO | ENOSYS));
        // clone: only without new namespaces.
        out.push((JUMP_IF_EQUAL, 0, 5, libc::SYS_clone as u32));
        out.push((LOAD, 0, 0, at_argument(0)));
        out.push((AND, 0, 0, NAMESPACES));
        out.push((JUMP_IF_EQUAL, 0, 1, 0));
        out.push((RETURN, 0, 0, ALLOW));
        out.push((RETURN, 0, 0, ERRNO | EPERM));
    }
    refuse_values(&mut out, libc::SYS_socket, &FAMILIES_REFUSED);
    allow_values(&mut out, libc::SYS_personality, &PERSONALITIES);
    for (first, last) in ALWAYS {
        if first == last {
            out.push((JUMP_IF_EQUAL, 0, 1, *first));
        } else {
            out.push((JUMP_IF_AT_LEAST, 0, 2, *first));
            out.push((JUMP_IF_GREATER, 1, 0, *last));
        }
        out.push((RETURN, 0, 0, ALLOW));
    }
    out.push((RETURN, 0, 0, ERRNO | EPERM));
    out
}

const CONDITIONAL: &[&str] = &[
    "DAC_READ_SEARCH",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYS_NICE",
    "SYSLOG",
    "BPF",
    "PERFMON",
];

/// Allows a call unless its first argument is one of these.
fn refuse_values(out: &mut Vec<Instruction>, call: libc::c_long, values: &[u32]) {
    out.push((JUMP_IF_EQUAL, 0, 2 + 2 * values.len() as u8, call as u32));
    out.push((LOAD, 0, 0, at_argument(0)));
    for value in values {
        out.push((JUMP_IF_EQUAL, 0, 1, *value));
        out.push((RETURN, 0, 0, ERRNO | EPERM));
    }
    out.push((RETURN, 0, 0, ALLOW));
}

/// Allows a call if its first argument is one of these.
fn allow_values(out: &mut Vec<Instruction>, call: libc::c_long, values: &[u32]) {
    out.push((JUMP_IF_EQUAL, 0, 2 + 2 * values.len() as u8, call as u32));
    out.push((LOAD, 0, 0, at_argument(0)));
    for value in values {
        out.push((JUMP_IF_EQUAL, 0, 1, *value));
        out.push((RETURN, 0, 0, ALLOW));
    }
    out.push((RETURN, 0, 0, ERRNO | EPERM));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(filter: &[Instruction], arch: u32, call: libc::c_long, argument: u32) -> u32 {
        run_with(filter, arch, call as u32, [argument.into(), 0, 0, 0, 0, 0])
    }

    /// What the kernel would answer.
    pub(super) fn run_with(
        filter: &[Instruction],
        arch: u32,
        call: u32,
        arguments: [u64; 6],
    ) -> u32 {
        let (mut at, mut held) = (0, 0u32);
        loop {
            let (code, yes, no, k) = filter[at];
            at += 1;
            let jump = |is: bool| usize::from(if is { yes } else { no });
            match code {
                LOAD => {
                    held = match k {
                        AT_NUMBER => call,
                        AT_ARCH => arch,
                        at @ 16..64 if at % 4 == 0 => {
                            let whole = arguments[(at as usize - 16) / 8];
                            (whole >> (at % 8 * 8)) as u32
                        }
                        other => panic!("nothing is at {other}"),
                    }
                }
                AND => held &= k,
                JUMP_IF_EQUAL => at += jump(held == k),
                JUMP_IF_GREATER => at += jump(held > k),
                JUMP_IF_AT_LEAST => at += jump(held >= k),
                RETURN => return k,
                other => panic!("no such instruction: {other:#x}"),
            }
        }
    }

    const DEFAULT: &[u8] = &[0, 1, 18];
    const ADMIN: &[u8] = &[21];

    #[track_caller]
    fn check(held: &[u8], call: libc::c_long, argument: u32, expected: u32) {
        let filter = default_filter(held);
        assert_eq!(run(&filter, ARCH, call, argument), expected);
    }

    #[test]
    fn what_programs_need() {
        for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_openat2, libc::SYS_futex] {
            check(DEFAULT, call, 0, ALLOW);
        }
        check(DEFAULT, libc::SYS_chroot, 0, ALLOW);
        check(&[], libc::SYS_chroot, 0, ERRNO | EPERM);
        check(DEFAULT, libc::SYS_socket, 2, ALLOW);
        check(DEFAULT, libc::SYS_socket, 39, ALLOW);
        check(DEFAULT, libc::SYS_personality, 8, ALLOW);
        check(DEFAULT, libc::SYS_clone, 17, ALLOW);
    }

    #[test]
    fn what_leads_out() {
        for call in [
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_kexec_load,
            libc::SYS_open_by_handle_at,
            libc::SYS_userfaultfd,
            libc::SYS_io_uring_setup,
            libc::SYS_init_module,
        ] {
            check(DEFAULT, call, 0, ERRNO | EPERM);
        }
        check(DEFAULT, libc::SYS_socket, 40, ERRNO | EPERM);
        check(DEFAULT, libc::SYS_socket, 38, ERRNO | EPERM);
        check(DEFAULT, libc::SYS_personality, 1, ERRNO | EPERM);
        check(DEFAULT, libc::SYS_clone, 0x1000_0000 | 17, ERRNO | EPERM);
        check(DEFAULT, libc::SYS_clone3, 0, ERRNO | ENOSYS);
        assert_eq!(run(&default_filter(ADMIN), 0x4000_0003, libc::SYS_read, 0), ERRNO | EPERM);
    }

    #[test]
    fn capabilities_open_more() {
        check(ADMIN, libc::SYS_mount, 0, ALLOW);
        check(ADMIN, libc::SYS_clone, 0x1000_0000, ALLOW);
        check(ADMIN, libc::SYS_clone3, 0, ALLOW);
        check(ADMIN, libc::SYS_keyctl, 0, ERRNO | EPERM);
    }

    #[test]
    fn tables_are_in_order() {
        for table in [X86_64, AARCH64] {
            assert!(table.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
