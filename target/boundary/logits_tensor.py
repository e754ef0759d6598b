"""Memory for logits as a tensor, in the process that writes it and in the process that reads it."""

from __future__ import annotations

import ctypes
import math
import mmap

import torch
from torch import Tensor

from target.boundary.device_memory import open_note

_FLOAT_BYTES = 4


def open_logits(kind: str, fd: int, shape: tuple[int, ...]) -> Tensor:
    """Return the memory behind a descriptor as a writable tensor.

    Raises:
        DeviceMemoryError: It is on a device and cannot be opened from this process.
    """
    if kind == "device":
        return tensor_at(open_note(fd), shape)
    return torch.frombuffer(mmap.mmap(fd, 0), dtype=torch.float32).view(shape)


def tensor_at(address: int, shape: tuple[int, ...]) -> Tensor:
    """Return memory at an address of this process as a tensor, on the GPU if there is one."""
    if torch.cuda.is_available():
        return torch.as_tensor(_Array(address, shape), device="cuda")
    size = math.prod(shape) * _FLOAT_BYTES
    return torch.frombuffer((ctypes.c_char * size).from_address(address), dtype=torch.float32).view(shape)


class _Array:
    """Describes memory at a GPU address by the array interface of Numba and CuPy."""

    def __init__(self, address: int, shape: tuple[int, ...]) -> None:
        self.__cuda_array_interface__ = {"shape": shape, "typestr": "<f4", "data": (address, False), "version": 3}
