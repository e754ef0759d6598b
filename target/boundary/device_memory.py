"""Memory on a GPU that two processes share, through the CUDA runtime itself.

It does not use torch's own sharing, which keeps counts in /dev/shm, where a confined child cannot open files. Nor can
torch share memory that its allocator reserved with `expandable_segments`. Memory from cudaMalloc has neither problem.

Source: CUDA Runtime API, 6.11 Device Management, cudaIpcGetMemHandle and cudaIpcOpenMemHandle.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
from typing import Final

_HANDLE_BYTES: Final = 64
_LAZY_PEER_ACCESS: Final = 1  # cudaIpcMemLazyEnablePeerAccess, the only flag
_NOTE_BYTES: Final = 4096


class DeviceMemoryError(Exception):
    """Memory on the device cannot be allocated or opened."""


class _Handle(ctypes.Structure):
    _fields_ = (("reserved", ctypes.c_char * _HANDLE_BYTES),)


class CudaRuntime:
    """A few functions of libcudart.

    Args:
        library: Its path or its name.

    Raises:
        DeviceMemoryError: It cannot be loaded.
    """

    def __init__(self, library: str) -> None:
        self.library = library
        try:
            self._runtime = ctypes.CDLL(library)
        except OSError as error:
            raise DeviceMemoryError(f"{library} cannot be loaded: {error}") from error
        self._runtime.cudaGetErrorString.restype = ctypes.c_char_p
        self._runtime.cudaMalloc.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t]
        self._runtime.cudaFree.argtypes = [ctypes.c_void_p]
        self._runtime.cudaIpcGetMemHandle.argtypes = [ctypes.POINTER(_Handle), ctypes.c_void_p]
        self._runtime.cudaIpcOpenMemHandle.argtypes = [ctypes.POINTER(ctypes.c_void_p), _Handle, ctypes.c_uint]
        self._runtime.cudaHostRegister.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint]
        self._runtime.cudaHostUnregister.argtypes = [ctypes.c_void_p]

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new memory."""
        address = ctypes.c_void_p()
        self._call("cudaMalloc", ctypes.byref(address), size_bytes)
        return int(address.value or 0)

    def free(self, address: int) -> None:
        """Give memory back."""
        self._call("cudaFree", address)

    def note(self, address: int) -> int:
        """Return a descriptor of a note with which another process can open the memory."""
        handle = _Handle()
        self._call("cudaIpcGetMemHandle", ctypes.byref(handle), address)
        content = {"library": self.library, "handle": base64.b64encode(bytes(handle)).decode()}
        fd = os.memfd_create("graft-handle", os.MFD_CLOEXEC)
        os.write(fd, json.dumps(content).encode())
        return fd

    def open(self, handle: bytes) -> int:
        """Return the address of another process's memory; it stays open until the end of this one."""
        address = ctypes.c_void_p()
        opened = _Handle.from_buffer_copy(handle)
        self._call("cudaIpcOpenMemHandle", ctypes.byref(address), opened, _LAZY_PEER_ACCESS)
        return int(address.value or 0)

    def pin(self, address: int, size_bytes: int) -> None:
        """Pin memory of the host, so that the device can read it directly."""
        self._call("cudaHostRegister", address, size_bytes, 0)

    def unpin(self, address: int) -> None:
        """Undo `pin`, before the memory is given back."""
        self._call("cudaHostUnregister", address)

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._runtime, name)(*arguments)
        if status:
            self._runtime.cudaGetLastError()  # clears it: torch would take it for a failure of its next kernel
            reason = self._runtime.cudaGetErrorString(status).decode(errors="replace")
            raise DeviceMemoryError(f"{name} says {status}, {reason}")


def open_note(fd: int) -> int:
    """Return the address of the memory that a note is about.

    Raises:
        DeviceMemoryError: It cannot be opened from this process.
    """
    content = json.loads(os.pread(fd, _NOTE_BYTES, 0))
    return CudaRuntime(content["library"]).open(base64.b64decode(content["handle"]))
