"""Logits on a GPU: the scorer allocates two buffers, one that the model server writes and one for itself.

The first buffer can change while it is read. So a part at a time is copied to the second, where the softmax is
computed. A third buffer, into which the model could write the next batch, would gain nothing: both processes take turns
on one GPU.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from target.boundary.device_memory import CudaRuntime, DeviceMemoryError
from target.boundary.logits_tensor import tensor_at
from target.evaluation import Outcome
from target.feedback import CandidateFailure
from target.scoring.device_calls import DeviceCalls
from target.scoring.logits import LogitsBuffer, Shape, shared_array

_PART_BYTES: Final = 1 << 28  # of logits copied at a time
_FLOAT_BYTES: Final = 4


class DeviceBuffers:
    """Makes device buffers, or staged buffers after a server could not open one.

    Args:
        device: The device for the softmax.
        library: The CUDA runtime; None for that of torch.
        calls: Bounds the time of its calls; None for the usual limit.
    """

    def __init__(self, device: str, library: str | None = None, calls: DeviceCalls | None = None) -> None:
        self._device = torch.device(device)
        self._library = library
        self._calls = calls or DeviceCalls()
        self.staged = False

    def allocate(self, shape: Shape) -> LogitsBuffer:
        """Return a new buffer.

        Raises:
            TargetError: The device hangs.
        """
        return self._calls.run("allocate memory for logits", lambda: self._allocate(shape))

    def _allocate(self, shape: Shape) -> LogitsBuffer:
        runtime = self._runtime
        if runtime and not self.staged:
            with contextlib.suppress(DeviceMemoryError):
                return DeviceBuffer(shape, self._device, runtime, self._calls)
        self.staged = True
        return StagedBuffer(shape, self._device, runtime, self._calls)

    @functools.cached_property
    def _runtime(self) -> CudaRuntime | None:
        try:
            return CudaRuntime(self._library or _runtime_of_torch())
        except DeviceMemoryError:
            return None

    def fall_back(self) -> None:
        """Make staged buffers from now on."""
        self.staged = True


class DeviceBuffer:
    """Memory on the device.

    Args:
        shape: (B, T, V).
        device: The device.
        runtime: The CUDA runtime.
        calls: Bounds the time of later calls.

    Raises:
        DeviceMemoryError: The memory cannot be allocated or shared.
    """

    kind: Literal["device"] = "device"

    def __init__(self, shape: Shape, device: torch.device, runtime: CudaRuntime, calls: DeviceCalls) -> None:
        self._runtime = runtime
        self._calls = calls
        self._address = self._runtime.allocate(math.prod(shape) * _FLOAT_BYTES)
        try:
            self.fd = self._runtime.note(self._address)
        except DeviceMemoryError:
            self._runtime.free(self._address)
            raise
        self.logits = TensorLogits(tensor_at(self._address, shape), device, calls)

    def close(self) -> None:
        """Free the memory; raises `TargetError` if the device hangs."""
        os.close(self.fd)
        self._calls.run("free the memory of logits", self._free)

    def _free(self) -> None:
        self._runtime.free(self._address)
        torch.cuda.empty_cache()  # of the softmax: the next training needs the memory


class StagedBuffer:
    """Mapped memory whose softmax is computed on the device; pinned if that is possible.

    Args:
        shape: (B, T, V).
        device: The device.
        runtime: The CUDA runtime; None if there is none.
        calls: Bounds the time of later calls.
    """

    kind: Literal["mapped"] = "mapped"

    def __init__(self, shape: Shape, device: torch.device, runtime: CudaRuntime | None, calls: DeviceCalls) -> None:
        self._calls = calls
        self.fd, memory = shared_array(shape, np.float32)
        self._memory = memory.ctypes.data
        self._pinned_by: CudaRuntime | None = None
        with contextlib.suppress(DeviceMemoryError):
            if runtime:
                runtime.pin(self._memory, memory.nbytes)
                self._pinned_by = runtime
        self.logits = TensorLogits(torch.from_numpy(memory), device, calls)

    def close(self) -> None:
        """Free the memory; raises `TargetError` if the device hangs."""
        os.close(self.fd)
        self._calls.run("free the memory of logits", self._free)

    def _free(self) -> None:
        if self._pinned_by:
            self._pinned_by.unpin(self._memory)
        torch.cuda.empty_cache()


class TensorLogits:
    """Logits (B, T, V) in any memory, whose softmax is computed on a device."""

    def __init__(self, shared: Tensor, device: torch.device, calls: DeviceCalls) -> None:
        self._shared = shared
        self._device = device
        self._calls = calls

    def log_probs(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the log-probabilities (B, T, K) of tokens `ids` (B, T, K); NaN where a logit is not finite.

        Raises:
            CandidateFailure: Beside the model server, the device has no room for the softmax.
            TargetError: The device hangs.
        """
        return self._calls.run("compute a softmax", lambda: self._log_probs(ids))

    @torch.inference_mode()
    def _log_probs(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = max(1, _PART_BYTES // (self._shared[0].numel() * _FLOAT_BYTES))
        try:
            parts = [self._part(slice(i, i + rows), ids[i : i + rows]) for i in range(0, len(ids), rows)]
        except torch.OutOfMemoryError as error:
            raise CandidateFailure(
                Outcome.OUT_OF_MEMORY,
                "scoring ran out of memory: beside the model, a GPU must have room for the softmax of "
                f"{_PART_BYTES >> 20} MiB of logits; a smaller model, or less memory in forward(), may help ({error})",
            ) from error
        return np.concatenate(parts)

    def _part(self, rows: slice, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        private = self._shared[rows].to(self._device, copy=True)  # (b, T, V): the other side can no longer change it
        chosen = private.gather(2, torch.from_numpy(ids).to(self._device))  # (b, T, K)
        log_probs = chosen - private.logsumexp(2, keepdim=True)
        finite = private.isfinite().all(2, keepdim=True)
        found: NDArray[np.float32] = log_probs.masked_fill_(~finite, math.nan).cpu().numpy()
        return found


def _runtime_of_torch() -> str:
    if torch.version.cuda is None:
        raise DeviceMemoryError("torch was built without CUDA")
    return f"libcudart.so.{torch.version.cuda.partition('.')[0]}"
