"""Reads and measures a file of weights, before any of the candidate's code runs in the process.

The file is the only way for a training to pass data to the model server. It may hold what a model needs: parameters,
and buffers such as running statistics, masks, rotary tables or tables of bytes. It may not hold text to train on in the
server. Text cannot be told from numbers with certainty. So the size is bounded (`weights_bytes`), all of it counts as
parameters, and integers, which no optimiser trains, may take at most 1 MiB more than the other values.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from target.program.contract import ContractError

_FREE_INTEGER_BYTES: Final = 1 << 20  # a byte table of 65,536 tokens with 16 bytes each
_FILE_BYTES: Final = 64 << 10  # of a file, in addition to the values
_TENSOR_BYTES: Final = 1 << 10  # the same for each tensor: its name, its shape, and alignment


def load_weights(fd: int) -> tuple[dict[str, Tensor], int]:
    """Load a state_dict without running any code in it.

    Args:
        fd: The file, which is closed.

    Returns:
        The tensors by name, and how many values their memory holds. Each block of memory counts once, with all of its
        values, of any type, even if a tensor shows only some of them.

    Raises:
        ContractError: It is not a state_dict, or holds data that is not part of a model.
    """
    with os.fdopen(fd, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(0)
        state = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(_plain(name, value) for name, value in state.items()):
        raise ContractError("weights: weights.pt must hold a state_dict of tensors; call prepare.finish(model) once")
    state = dict(state)  # without attributes of the dictionary
    count, value_bytes = measure_values(state)
    if (rest := size - value_bytes) > _FILE_BYTES + _TENSOR_BYTES * len(state):
        raise ContractError(
            f"weights: weights.pt must hold the tensors of the model and nothing else, but {rest} bytes of it are "
            "something else; call prepare.finish(model) once"
        )
    return state, count


def _plain(name: object, value: object) -> bool:
    if type(name) is not str or type(value) not in (Tensor, nn.Parameter):
        return False
    assert isinstance(value, Tensor)
    return value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized


def measure_values(state: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return the number of values, where a complex number counts twice, and the number of their bytes.

    Raises:
        ContractError: Too many of them are whole numbers.
    """
    blocks: dict[int, list[Tensor]] = {}
    for value in state.values():
        blocks.setdefault(value.untyped_storage()._cdata, []).append(value)
    count, integer_bytes, real_bytes = 0, 0, 0
    for sharing in blocks.values():
        held = sharing[0].untyped_storage().nbytes()
        count += held // min(value.element_size() // (1 + value.is_complex()) for value in sharing)
        if all(value.is_floating_point() or value.is_complex() for value in sharing):
            real_bytes += held
        else:
            integer_bytes += held
    if integer_bytes > real_bytes + _FREE_INTEGER_BYTES:
        raise ContractError(
            f"weights: buffers of whole numbers may take {_FREE_INTEGER_BYTES} bytes more than the other weights, "
            f"which take {real_bytes}, but they take {integer_bytes}; keep no data in the weights, and build masks and "
            "tables in build_model with persistent=False"
        )
    return count, integer_bytes + real_bytes
