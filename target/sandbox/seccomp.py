"""Seccomp: a process gives up system calls, for itself and its descendants, without privilege.

A refused call fails with EPERM and does not kill the process, so a library can continue without an optional call. Calls
that are newer than the lists fail with ENOSYS, as on an older kernel, so that libc uses the older call.

Source: https://docs.kernel.org/userspace-api/seccomp_filter.html. The package `pyseccomp` on PyPI needs libseccomp.so,
which pip does not bring.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from target.sandbox.syscalls import LISTED, PROCESSES, REFUSED, Numbers

Processes = Literal["none", "counted", "free"]
"""Whether a child may start processes; `counted`: only processes that their parent reaps, so their CPU time counts."""
Sockets = Literal["none", "unconnected", "connected"]
"""Which sockets a child may make, as `restrict` says."""

_SET_MODE_FILTER, _ACTION_AVAILABLE = 1, 2
_SPEC_ALLOW: Final = 1 << 2  # avoids slower memory accesses on kernels before 5.16: the process has no secrets
_RET_ALLOW, _RET_ERRNO = 0x7FFF_0000, 0x0005_0000
# BPF: load a word of seccomp_data; jump if equal, at least, any bit set; return; and
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT: Final = 0x4000_0000  # of the x32 interface on x86-64: the same calls under other numbers
_AF_UNIX: Final = 1
_AF_INET: Final = (2, 10)  # IPv4 and IPv6
_AF_NETLINK: Final = 16
_NEW_NAMESPACES: Final = 0x7E02_0000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_ALL_PROCESSES: Final = 0xFFFF_FFFF  # kill(-1)
_CLONE_THREAD: Final = 0x1_0000
_EXIT_SIGNAL: Final = 0xFF  # of the flags of clone
_SIGCHLD: Final = 17
_NEW_CALLS: Final = 424  # from here on, calls have the same number on all architectures, and are newer than Linux 5.0
# fcntl: F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY; ioctl: FIOSETOWN, SIOCSPGRP, FIOASYNC, TIOCSTI. All but
# the last have the kernel send signals to another process
_SIGNAL_OTHERS: Final = (8, 10, 15, 1024, 1026)
_CONTROL_OTHERS: Final = (0x8901, 0x8902, 0x5452, 0x5412)
# madvise: all but COLD, PAGEOUT and newer ones, which evict pages of shared files from the page cache
_ADVICE: Final = (0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17)
# prctl: PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ, PR_SET_VMA
_PRCTL: Final = (3, 15, 16, 23, 0x53564D41)

# the network, and sockets of other processes on this machine
_SOCKET, _CONNECT, _SENDTO, _SENDMSG, _SENDMMSG = (41, 198), (42, 203), (44, 206), (46, 211), (307, 269)
_SOCKETPAIR, _CLONE, _CLONE3, _KILL, _PRLIMIT = (53, 199), (56, 220), (435, 435), (62, 129), (302, 261)
_FCNTL, _IOCTL, _RT_SIGACTION = (72, 25), (16, 29), (13, 134)
_SCHEDULING: Final = ((144, 119), (142, 118), (314, 274))  # sched_setscheduler, sched_setparam, sched_setattr
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
    """Return whether the kernel accepts filters and the architecture's calls are known here."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return False
    return _call(machine.seccomp, _ACTION_AVAILABLE, 0, struct.pack("=I", _RET_ERRNO)) == 0


def restrict(
    *, signals_to_own_pid: bool, sockets: Sockets = "none", listed_only: bool = False, processes: Processes = "free"
) -> None:
    """Forbid the calls that no training needs, for this thread and all it will start; requires `no_new_privs`.

    Args:
        signals_to_own_pid: Also forbid signals to every other process; for kernels whose Landlock cannot distinguish
            its own children from other processes.
        sockets: `unconnected` allows making and binding sockets of AF_UNIX, as GPU drivers do. They reach no other
            process: connecting, messages and sending to an address are refused. Writing to a socket pair is allowed.
            `connected` allows that too, as Python's worker processes need it. Only a network namespace and the files
            that it sees then say whom a program reaches.
        listed_only: Allow only the calls of `target/sandbox/syscalls.py` that trainings were observed to make. If not
            set, all calls are allowed except those that it names as refused.
        processes: Whether it may start other processes.

    Raises:
        OSError: The kernel refuses.
    """
    program = [(_LOAD, 0, 0, _NUMBER_AT)]
    for number in _numbers(REFUSED):
        program += _refuse(number)
    program += _refuse(_number(_CLONE3), errno.ENOSYS)  # a filter cannot see its flags; libc then uses clone
    program += _rules(signals_to_own_pid=signals_to_own_pid or processes == "none", sockets=sockets)
    program += _process_rules(processes)
    if not listed_only:
        install(program)
        return
    for argument, call, allowed in ((2, "madvise", _ADVICE), (0, "prctl", _PRCTL), (0, "sched_setaffinity", (0,))):
        program += _unless_equal(_number(LISTED["with a rule"][call]), *allowed, argument=argument)
    groups = [*LISTED.values(), *([PROCESSES] if processes != "none" else [])]
    for number in sorted({number for group in groups for number in _numbers(group)}):
        program += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _RET_ALLOW)]
    install([*program, (_IF_AT_LEAST, 0, 1, _NEW_CALLS), _return(errno.ENOSYS), _return(errno.EPERM)])


def _rules(*, signals_to_own_pid: bool, sockets: Sockets) -> list[_Instruction]:
    """Return rules about arguments: sockets, namespaces, limits and signals."""
    program = _socket_rules(sockets)
    program += _unless_equal(_number(_SOCKETPAIR), _AF_UNIX)
    program += _if(_number(_CLONE), _IF_ANY, _NEW_NAMESPACES)
    program += _unless_equal(_number(_PRLIMIT), 0, os.getpid())
    for call in _SCHEDULING:
        program += _unless_equal(_number(call), 0)
    for number, refused in ((_FCNTL, _SIGNAL_OTHERS), (_IOCTL, _CONTROL_OTHERS)):
        program += _if_equal(_number(number), *refused, argument=1)
    if not signals_to_own_pid:
        return program + _if(_number(_KILL), _IF_EQUAL, _ALL_PROCESSES)
    for call in (_KILL, *_SIGNALLING):
        program += _unless_equal(_number(call), *((os.getpid(), 0) if call == _KILL else (os.getpid(),)))
    return program + _refuse(_number(_PIDFD_SEND_SIGNAL))


def _socket_rules(sockets: Sockets) -> list[_Instruction]:
    if sockets == "none":
        return _refuse(_number(_SOCKET))
    if sockets == "connected":
        return _unless_equal(_number(_SOCKET), _AF_UNIX, *_AF_INET, _AF_NETLINK) + _routes_only()
    program = _unless_equal(_number(_SOCKET), _AF_UNIX)
    for call in (_CONNECT, _SENDMSG, _SENDMMSG):
        program += _refuse(_number(call))
    return program + _unless_null(_number(_SENDTO), argument=4)  # send() is sendto() without an address


def _routes_only() -> list[_Instruction]:
    """Refuse sockets of AF_NETLINK but those about addresses and routes (protocol 0): they tell the interfaces."""
    body = [(_LOAD, 0, 0, _ARGUMENTS_AT), (_IF_EQUAL, 0, 3, _AF_NETLINK), (_LOAD, 0, 0, _ARGUMENTS_AT + 16)]
    body += [(_IF_EQUAL, 1, 0, 0), _return(errno.EPERM), (_LOAD, 0, 0, _NUMBER_AT)]
    return [(_IF_EQUAL, 0, len(body), _number(_SOCKET)), *body]


def _process_rules(processes: Processes) -> list[_Instruction]:
    """Return rules about clone, and about signals with which the kernel loses the CPU time of a child."""
    if processes == "free":
        return []
    clone = _number(_CLONE)
    if processes == "none":
        body = [(_LOAD, 0, 0, _ARGUMENTS_AT), (_IF_ANY, 1, 0, _CLONE_THREAD), _return(errno.EPERM)]
        body += [(_LOAD, 0, 0, _NUMBER_AT)]
        forbidden = [line for number in _numbers(PROCESSES) if number != _number(_KILL) for line in _refuse(number)]
        return [(_IF_EQUAL, 0, len(body), clone), *body, *forbidden]
    body = [(_LOAD, 0, 0, _ARGUMENTS_AT), (_IF_ANY, 3, 0, _CLONE_THREAD)]
    body += [(_AND, 0, 0, _EXIT_SIGNAL), (_IF_EQUAL, 1, 0, _SIGCHLD), _return(errno.EPERM), (_LOAD, 0, 0, _NUMBER_AT)]
    action = [(_LOAD, 0, 0, _ARGUMENTS_AT), (_IF_EQUAL, 0, 5, _SIGCHLD)]
    action += [(_LOAD, 0, 0, _ARGUMENTS_AT + 8), (_IF_EQUAL, 0, 2, 0), (_LOAD, 0, 0, _ARGUMENTS_AT + 12)]
    action += [(_IF_EQUAL, 1, 0, 0), _return(errno.EPERM), (_LOAD, 0, 0, _NUMBER_AT)]
    return [
        (_IF_EQUAL, 0, len(body), clone),
        *body,
        (_IF_EQUAL, 0, len(action), _number(_RT_SIGACTION)),
        *action,
    ]


def _number(call: Numbers) -> int:
    """Return the number of a call that every architecture has."""
    number = call[_MACHINES[platform.machine()].column]
    assert number is not None
    return number


def _numbers(group: Mapping[str, Numbers]) -> list[int]:
    column = _MACHINES[platform.machine()].column
    return [number for numbers in group.values() if (number := numbers[column]) is not None]


def forbid(numbers: Iterable[int], error: int) -> None:
    """Make calls fail with an error, for the calling thread and all processes it will start.

    Raises:
        OSError: The kernel refuses.
    """
    install([(_LOAD, 0, 0, _NUMBER_AT), *(line for number in numbers for line in _refuse(number, error))])


_Instruction = tuple[int, int, int, int]  # code, lines to skip if true, if false, constant


def install(program: list[_Instruction]) -> None:
    """Install a filter; a call that reaches its end is allowed, and calls of a foreign interface are refused.

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
    """Refuse a call whose first argument passes a test; the call number is loaded before and after."""
    body = [(_LOAD, 0, 0, _ARGUMENTS_AT), (test, 0, 1, constant), _return(errno.EPERM), (_LOAD, 0, 0, _NUMBER_AT)]
    return [(_IF_EQUAL, 0, len(body), number), *body]


def _unless_equal(number: int, *allowed: int, argument: int = 0) -> list[_Instruction]:
    """Refuse a call unless an argument has one of the given values."""
    tests = [(_IF_EQUAL, len(allowed) - index, 0, value) for index, value in enumerate(allowed)]
    return _with_argument(number, argument, [*tests, _return(errno.EPERM)])


def _if_equal(number: int, *refused: int, argument: int) -> list[_Instruction]:
    """Refuse a call if an argument has one of the given values."""
    return _with_argument(number, argument, [line for value in refused for line in _refuse(value)])


def _with_argument(number: int, argument: int, tests: Sequence[_Instruction]) -> list[_Instruction]:
    """Run tests on the lower half of an argument of a call; the call number is loaded before and after."""
    body = [(_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument), *tests, (_LOAD, 0, 0, _NUMBER_AT)]
    return [(_IF_EQUAL, 0, len(body), number), *body]


def _unless_null(number: int, argument: int) -> list[_Instruction]:
    """Refuse a call unless a pointer argument is null."""
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
