"""Repeats the steps of a GPU driver's start, on a machine without a GPU.

`cuInit` of NVIDIA's driver 580 was observed on an H100, in a sandbox whose layers were applied one by one. Each step
below was observed there, and a layer did or could refuse it. So the grants for a GPU can be tested without a GPU:
without a grant, a step fails. The rehearsal cannot show what another driver needs in addition.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import socket
import threading
from collections.abc import Callable
from typing import Final

_READ: Final = (
    "/proc/devices",
    "/proc/driver/nvidia/version",
    "/proc/driver/nvidia-uvm",
    "/proc/modules",
    "/proc/sys/vm/mmap_min_addr",
)
_TERMINAL_SIZE: Final = 0x5413  # TIOCGWINSZ: harmless, and unknown to devices that are no terminals
_READ_BYTES: Final = 64


class RehearsalError(Exception):
    """A step that a driver needs was refused."""


def rehearse(device: str) -> None:
    """Repeat the steps of a driver's start.

    Args:
        device: A character device to open and to control, in place of /dev/nvidia*.

    Raises:
        RehearsalError: A step was refused; the message names it.
    """
    sockets: list[socket.socket] = []
    steps: list[tuple[str, Callable[[], None]]] = [
        ("make a socket (AF_UNIX, SOCK_SEQPACKET) and bind it to an abstract name", lambda: _bind(sockets)),
        ("the same a second time", lambda: _bind(sockets)),
        ("name a thread from another one (/proc/self/task/<tid>/comm)", _name_a_thread),
        *((f"read {path}", functools.partial(_read, path)) for path in _READ),
        (f"open and control {device}", lambda: _control(device)),
    ]
    try:
        for what, step in steps:
            try:
                step()
            except OSError as error:
                raise RehearsalError(f"could not {what}: {error.strerror}") from error
    finally:
        for each in sockets:
            each.close()


def _bind(sockets: list[socket.socket]) -> None:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    sockets.append(made)
    made.bind("")  # autobind: the kernel picks a free abstract name


def _name_a_thread() -> None:
    named = threading.Event()
    thread = threading.Thread(target=named.wait)
    thread.start()
    try:
        libc = ctypes.CDLL(None)
        libc.pthread_setname_np.argtypes = [ctypes.c_ulong, ctypes.c_char_p]
        if error := libc.pthread_setname_np(thread.ident, b"graft-rehearsal"[:15]):
            raise OSError(error, os.strerror(error))
    finally:
        named.set()
        thread.join()


def _read(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.read(fd, _READ_BYTES)
    except IsADirectoryError:
        os.listdir(fd)  # noqa: PTH208 -- by its descriptor
    finally:
        os.close(fd)


def _control(path: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TERMINAL_SIZE, bytes(8))
    except OSError as error:
        if error.errno != errno.ENOTTY:  # the device got the request and does not know it: that is all a driver needs
            raise
    finally:
        os.close(fd)
