"""Seccomp: a process gives up system calls, for itself and all below it, without privilege.

A forbidden call fails with EPERM and does not kill: what a library tries and can do without goes on.

Source: https://docs.kernel.org/userspace-api/seccomp_filter.html. The package `pyseccomp` on PyPI needs libseccomp.so,
which pip does not bring.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_SET_MODE_FILTER, _ACTION_AVAILABLE = 1, 2
_SPEC_ALLOW: Final = 1 << 2  # no slower memory accesses on kernels before 5.16: there is no secret in the process
_RET_ALLOW, _RET_ERRNO = 0x7FFF_0000, 0x0005_0000
# BPF: load a word of seccomp_data; jump if equal, at least, any bit set; return
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT: Final = 0x4000_0000  # numbers of the x32 interface on x86-64: the same calls under other numbers
_AF_UNIX: Final = 1
_NEW_NAMESPACES: Final = 0x7E02_0000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_EVERYBODY: Final = 0xFFFF_FFFF  # kill(-1)

# name: (x86-64, aarch64); None where an architecture has no such call. Source: the kernel's syscall_64.tbl, unistd.h
_FORBIDDEN: Final[Mapping[str, tuple[int | None, int | None]]] = {
    # the memory and descriptors of other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "setns": (308, 268),
    "unshare": (272, 97), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    # owners and modes of files, which Landlock leaves alone
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469),
    # wide doors into the kernel
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "fanotify_init": (300, 262),
    # System V and POSIX queues and memory, which outlive a process and are shared by all of a user's
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180), "mq_unlink": (241, 181),
    # memory that counts as nobody's, because it is in a file without a place
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # the machine
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "syslog": (103, 116), "acct": (163, 89),
    "quotactl": (179, 60), "iopl": (172, None), "ioperm": (173, None),
}  # fmt: skip
# the network, and sockets of other processes on this machine
_SOCKET, _CONNECT, _SENDTO, _SENDMSG, _SENDMMSG = (41, 198), (42, 203), (44, 206), (46, 211), (307, 269)
_SOCKETPAIR, _CLONE, _CLONE3, _KILL, _PRLIMIT = (53, 199), (56, 220), (435, 435), (62, 129), (302, 261)
# tgkill, tkill, rt_sigqueueinfo, rt_tgsigqueueinfo: their first argument is a process or, for tkill, a thread
_SIGNALLING: Final = ((234, 131), (200, 130), (129, 138), (297, 240))
_PIDFD_SEND_SIGNAL: Final = (424, 424)


@dataclass(frozen=True, slots=True)
class _Machine:
    audit: int
    column: int  # of the numbers above
    seccomp: int


_MACHINES: Final = {"x86_64": _Machine(0xC000_003E, 0, 317), "aarch64": _Machine(0xC000_00B7, 1, 277)}


def available() -> bool:
    """Return whether the kernel takes filters, on an architecture whose calls are known here."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    return _call(machine.seccomp, _ACTION_AVAILABLE, 0, struct.pack("=I", _RET_ERRNO)) == 0


def calls(*names: str) -> list[int]:
    """Return the numbers of forbidden calls on this machine, by name."""
    machine = _MACHINES[platform.machine()]
    return [number for name in names if (number := _FORBIDDEN[name][machine.column]) is not None]


def restrict(*, signals_to_own_pid: bool, unix_sockets: bool = False) -> None:
    """Forbid what no training needs to the calling thread and all that it will start; no new privileges is required.

    Args:
        unix_sockets: Allow sockets of AF_UNIX to be made and bound, which drivers of GPUs do. They reach nothing:
            connecting, messages and sending to an address are refused then. Writing to a pair is not.
        signals_to_own_pid: Also forbid signals to every other process; for kernels whose Landlock cannot tell its own
            children from others.

    Raises:
        OSError: The kernel refuses.
    """
    machine = _MACHINES[platform.machine()]
    column = machine.column
    program = [(_LOAD, 0, 0, _NUMBER_AT)]
    for number in calls(*_FORBIDDEN):
        program += _refuse(number)
    program += _refuse(_CLONE3[column], errno.ENOSYS)  # its flags are out of a filter's sight; libc then takes clone
    if unix_sockets:
        program += _unless_equal(_SOCKET[column], _AF_UNIX)
        for pair in (_CONNECT, _SENDMSG, _SENDMMSG):
            program += _refuse(pair[column])
        program += _unless_null(_SENDTO[column], argument=4)  # send() is sendto() without an address
    else:
        program += _refuse(_SOCKET[column])
    program += _unless_equal(_SOCKETPAIR[column], _AF_UNIX)
    program += _if(_CLONE[column], _IF_ANY, _NEW_NAMESPACES)
    program += _unless_equal(_PRLIMIT[column], 0, os.getpid())
    if signals_to_own_pid:
        for pair in ((_KILL), *_SIGNALLING):
            program += _unless_equal(pair[column], os.getpid())
        program += _refuse(_PIDFD_SEND_SIGNAL[column])
    else:
        program += _if(_KILL[column], _IF_EQUAL, _EVERYBODY)
    install(program)


def forbid(numbers: Iterable[int], error: int) -> None:
    """Make calls fail with an error, for the calling thread and all that it will start.

    Raises:
        OSError: The kernel refuses.
    """
    install([(_LOAD, 0, 0, _NUMBER_AT), *(line for number in numbers for line in _refuse(number, error))])


_Instruction = tuple[int, int, int, int]  # code, lines to skip if true, if false, constant


def install(program: list[_Instruction]) -> None:
    """Put up a filter; whatever reaches its end is allowed, and calls of a foreign interface are not.

    Raises:
        OSError: The kernel refuses.
    """
    machine = _MACHINES[platform.machine()]
    guard: list[_Instruction] = [(_LOAD, 0, 0, _ARCH_AT), (_IF_EQUAL, 1, 0, machine.audit), _return(errno.EPERM)]
    if machine.column == 0:
        guard += [(_LOAD, 0, 0, _NUMBER_AT), (_IF_AT_LEAST, 0, 1, _X32_BIT), _return(errno.EPERM)]
    lines = [*guard, *program, (_RETURN, 0, 0, _RET_ALLOW)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    header = struct.pack("@HP", len(lines), ctypes.addressof(code))  # struct sock_fprog
    if _call(machine.seccomp, _SET_MODE_FILTER, _SPEC_ALLOW, header):
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")


def _return(error: int) -> _Instruction:
    return (_RETURN, 0, 0, _RET_ERRNO | error)


def _refuse(number: int, error: int = errno.EPERM) -> list[_Instruction]:
    return [(_IF_EQUAL, 0, 1, number), _return(error)]


def _if(number: int, test: int, constant: int) -> list[_Instruction]:
    """Refuse a call whose first argument passes a test; the number is loaded, before and after."""
    body = [(_LOAD, 0, 0, _ARGUMENTS_AT), (test, 0, 1, constant), _return(errno.EPERM), (_LOAD, 0, 0, _NUMBER_AT)]
    return [(_IF_EQUAL, 0, len(body), number), *body]


def _unless_equal(number: int, *allowed: int) -> list[_Instruction]:
    """Refuse a call unless its first argument is one of a few."""
    tests = [(_IF_EQUAL, len(allowed) - index, 0, value) for index, value in enumerate(allowed)]
    body = [(_LOAD, 0, 0, _ARGUMENTS_AT), *tests, _return(errno.EPERM), (_LOAD, 0, 0, _NUMBER_AT)]
    return [(_IF_EQUAL, 0, len(body), number), *body]


def _unless_null(number: int, argument: int) -> list[_Instruction]:
    """Refuse a call unless one of its arguments, a pointer, is null."""
    halves = (_ARGUMENTS_AT + 8 * argument, _ARGUMENTS_AT + 8 * argument + 4)
    body: list[_Instruction] = []
    for at in halves:
        body += [(_LOAD, 0, 0, at), (_IF_EQUAL, 1, 0, 0), _return(errno.EPERM)]
    body += [(_LOAD, 0, 0, _NUMBER_AT)]
    return [(_IF_EQUAL, 0, len(body), number), *body]


def _call(number: int, *arguments: int | bytes) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    wide = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    return int(libc.syscall(ctypes.c_long(number), *wide))
