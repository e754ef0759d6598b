"""Memory for the logits of a served model: the scorer allocates it and computes the softmax.

mapped   memory that both processes map; numpy computes the softmax. For a CPU.
device   memory on the GPU, which the server opens by its handle (CUDA IPC): logits never leave the card.
staged   mapped memory too, from which the scorer moves a part at a time to the GPU: where a handle cannot be opened.

The rows of the score are the same for all three: the kind changes the time of a score, but not the score.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from target.scoring.scorer import DeviceLogits

Shape = tuple[int, int, int]  # (B, T, V)


class LogitsBuffer(Protocol):
    """Memory for the logits of one batch."""

    @property
    def kind(self) -> Literal["mapped", "device"]:
        """How the server opens it."""

    @property
    def fd(self) -> int:
        """The descriptor with which the server opens it."""

    @property
    def logits(self) -> NDArray[np.float32] | DeviceLogits:
        """Its contents, (B, T, V) float32; the server can still write to it."""

    def close(self) -> None:
        """Free the memory."""


class Buffers(Protocol):
    """Makes buffers."""

    def allocate(self, shape: Shape) -> LogitsBuffer:
        """Return a new buffer."""

    def fall_back(self) -> None:
        """Make buffers of the next kind, because a server could not open one."""


def buffers_for(device: str) -> Buffers:
    """Return the maker of buffers for models on a device."""
    if device == "cpu":
        return MappedBuffers()
    from target.scoring.device_buffers import DeviceBuffers

    return DeviceBuffers(device)


class MappedBuffers:
    """Makes mapped buffers."""

    def allocate(self, shape: Shape) -> LogitsBuffer:
        """Return a new buffer."""
        return MappedBuffer(shape)

    def fall_back(self) -> None:
        """Fail: every server can open mapped memory."""
        raise AssertionError("a model server could not map memory")


class MappedBuffer:
    """Memory of the host, in a file that has no name.

    Args:
        shape: (B, T, V).
    """

    kind: Literal["mapped"] = "mapped"

    def __init__(self, shape: Shape) -> None:
        self.fd, self.logits = shared_array(shape, np.float32)

    def close(self) -> None:
        """Free the memory."""
        os.close(self.fd)


def shared_array(shape: tuple[int, ...], dtype: type[np.generic]) -> tuple[int, NDArray[Any]]:
    """Allocate an array in a memory file whose size is sealed."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    fd = os.memfd_create("graft", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd, np.frombuffer(mmap.mmap(fd, size), dtype=dtype).reshape(shape)
