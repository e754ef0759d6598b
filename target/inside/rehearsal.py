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
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from target.sandbox.toolchain import c_compiler

_READ: Final = (
    "/proc/cpuinfo",
    "/proc/devices",
    "/proc/driver/nvidia/capabilities/mig/config",
    "/proc/driver/nvidia/params",
    "/proc/driver/nvidia/version",
    "/proc/driver/nvidia-uvm",
    "/proc/modules",
    "/proc/self/maps",
    "/proc/self/status",
    "/proc/sys/vm/mmap_min_addr",
    "/sys/bus/pci/devices",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/memory/block_size_bytes",
    "/sys/devices/system/node",
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
        ("compile and load a library with the C compiler, as Triton does", _compile),
    ]
    try:
        for what, step in steps:
            try:
                step()
            except OSError as error:
                raise RehearsalError(f"could not {what}: {error.strerror or error}") from error
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
        # as a file and with these flags: glibc's pthread_setname_np opens it without O_TRUNC, which needs another right
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        fd = os.open(f"/proc/self/task/{thread.native_id}/comm", flags, 0o666)
        try:
            os.write(fd, b"graft-rehearsal")
        finally:
            os.close(fd)
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


def _compile() -> None:
    """Build a library in the temporary directory and load it; without a compiler there is nothing to rehearse."""
    compiler = c_compiler()
    if compiler is None:
        return
    source, library = (Path(tempfile.gettempdir(), f"launcher.{ending}") for ending in ("c", "so"))
    source.write_text("#include <stdint.h>\nint launch(void) { return 0; }\n", encoding="utf-8")
    command = [compiler, str(source), "-O3", "-shared", "-fPIC", "-o", str(library)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{compiler}: {' '.join((done.stderr or 'no message').split())[:300]}")
    ctypes.CDLL(str(library)).launch()


def _control(path: str) -> None:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TERMINAL_SIZE, bytes(8))
    except OSError as error:
        if error.errno != errno.ENOTTY:  # the device got the request and does not know it: that is all a driver needs
            raise
    finally:
        os.close(fd)
