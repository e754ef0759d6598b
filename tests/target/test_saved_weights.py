# ruff: noqa: E501 -- one state a line, as in a table
"""What is in a file of weights: counted by the memory it fills, and refused if it is no part of a model."""

import os

import pytest
import torch
from torch import nn

from target.inside.saved_weights import load_weights, measure_values
from target.program.contract import ContractError

BASE = torch.randn(128, 128)
REALS, INTEGERS = torch.zeros(1 << 18), torch.zeros(1 << 18, dtype=torch.int32)  # 1 MiB each


def saved(state):
    fd = os.memfd_create("weights")
    with os.fdopen(os.dup(fd), "wb") as file:
        torch.save(state, file)
    return load_weights(fd)


COUNTS = [
    ("plain", {"a": torch.zeros(3, 5), "b": torch.zeros(7)}, 22),
    ("tied", {"a": BASE, "b": BASE}, 16_384),
    ("two views of one block", {"a": BASE[:64], "b": BASE[64:]}, 16_384),
    ("a strided view", {"a": BASE[:, ::2]}, 16_384),
    ("an expanded value", {"a": torch.zeros(1).expand(8192)}, 1),
    ("complex numbers", {"a": torch.view_as_complex(BASE.view(-1, 2)), "b": torch.zeros(512)}, 16_896),
    ("whole numbers", {"a": torch.zeros(10, dtype=torch.int64), "b": torch.zeros(6, dtype=torch.bool)}, 16),
    ("nothing", {"a": torch.zeros(0), "b": torch.zeros(0)}, 0),
    ("half precision", {"a": BASE.bfloat16()}, 16_384),
    ("scalars", {f"{number}": torch.zeros(()) for number in range(500)}, 500),
]  # fmt: skip


@pytest.mark.parametrize(("state", "count"), [row[1:] for row in COUNTS], ids=[row[0] for row in COUNTS])
def test_each_value_in_memory_counts_once(state, count):
    loaded, found = saved(state)

    assert found == count
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def test_memory_that_is_seen_as_several_types_counts_as_the_smallest_and_as_whole_numbers():
    """torch.save refuses to write such a file; another program can."""
    wide = {"a": BASE, "b": BASE.view(torch.float64)}
    assert measure_values(wide) == (16_384, 65_536)

    with pytest.raises(ContractError, match="whole numbers"):
        measure_values({"a": (text := INTEGERS.repeat(2)), "b": text.view(torch.float32)})


REFUSED = [
    ("text", {"a": REALS, "text": torch.zeros(3 << 20, dtype=torch.uint8)}, "whole numbers may take 1048576 bytes more"),
    ("a long name", {"x" * 200_000: torch.zeros(1)}, "something else"),
    ("a list", [torch.zeros(1)], "state_dict of tensors"),
    ("numbers for names", {3: torch.zeros(1)}, "state_dict of tensors"),
    ("a text among tensors", {"a": "text"}, "state_dict of tensors"),
    ("sparse", {"a": torch.eye(3).to_sparse()}, "state_dict of tensors"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_is_no_part_of_a_model_is_refused(state, said):
    with pytest.raises(ContractError, match=said):
        saved(state)


HONEST = [
    ("running statistics", nn.BatchNorm1d(64)),
    ("as many whole numbers as others, and a MiB", {"a": REALS, "b": INTEGERS.repeat(2)}),
    ("a mask", {"a": torch.zeros(2048, 512), "mask": torch.ones(2048, 2048, dtype=torch.bool).tril()}),
    ("rotary tables", {"a": torch.zeros(16), "cos": torch.randn(2048, 64)}),
    ("a table of bytes", {"a": torch.zeros(16), "bytes": torch.zeros(8192, 16, dtype=torch.uint8)}),
    ("parameters", {"a": nn.Parameter(torch.zeros(16))}),
]


@pytest.mark.parametrize("model", [row[1] for row in HONEST], ids=[row[0] for row in HONEST])
def test_what_honest_models_save_is_accepted(model):
    state = model.state_dict() if isinstance(model, nn.Module) else model

    assert saved(state)[0].keys() == state.keys()


def test_attributes_of_the_dictionary_do_not_come_along():
    state = nn.Linear(2, 2).state_dict()
    state._metadata["text"] = {"version": 1}

    loaded, _ = saved(state)

    assert type(loaded) is dict
    assert not hasattr(loaded, "_metadata")
