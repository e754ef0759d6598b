"""What torch makes of the seed program on a GPU, without one: its compiled parts, and what their kernels are given."""

import copy

import pytest
import torch
from torch.nn import functional as F

from target.program import Program
from target.spec import SEED_PROGRAM
from tests.target.seed.models import SMALL, VOCAB_SIZE, randomised, train

PARTS = 2  # beside the blocks: embeddings and head


@pytest.mark.parametrize(
    ("constants", "kinds"),
    [
        ({"VALUE_EMBEDDINGS": "none"}, 1),
        ({"VALUE_EMBEDDINGS": "all", "RESIDUAL_SCALARS": False}, 1),
        ({"VALUE_EMBEDDINGS": "alternate"}, 2),
        ({"VALUE_EMBEDDINGS": "alternate", "ATTENTION_PATTERN": "SSSL", "PIECE_TOKENS": 7}, 3),
        ({"DEPTH": 9, "VALUE_EMBEDDINGS": "alternate", "ATTENTION_PATTERN": "SSSSL", "PIECE_TOKENS": 8}, 3),
    ],
)
def test_blocks_of_a_kind_are_compiled_once_and_train_as_without_compilation(load, graphs, constants, kinds):
    module = load(Program(SEED_PROGRAM.read_text()).with_constants({**SMALL, **constants}))
    eager = randomised(module).train()
    compiled = copy.deepcopy(eager)
    compiled.compile_parts()
    tokens = torch.randint(VOCAB_SIZE, (2, 25))

    losses = {model: train(module, model, tokens, steps=3) for model in (eager, compiled)}

    assert graphs.frame_count == kinds + PARTS
    assert losses[compiled] == pytest.approx(losses[eager], rel=1e-4)
    assert losses[eager][2] < losses[eager][0]
    assert compiled.state_dict().keys() == module.build_model(VOCAB_SIZE).state_dict().keys()


def test_blocks_that_all_differ_are_all_compiled(load, graphs):
    module = load(Program(SEED_PROGRAM.read_text()).with_constants({**SMALL, "VALUE_EMBEDDINGS": "none"}))
    model = module.build_model(VOCAB_SIZE)
    for i, block in enumerate(model.blocks):
        block.attention.piece = 4 + i
    model.compile_parts()
    tokens = torch.randint(VOCAB_SIZE, (2, 25))

    model(tokens[:, :-1], tokens[:, 1:])

    assert graphs.frame_count == SMALL["DEPTH"] + PARTS


@pytest.mark.parametrize("pattern", ["L", "SSSL"])
def test_attention_on_a_card_reads_what_was_written_for_it_without_a_copy(load, monkeypatch, pattern):
    """In bfloat16, and with the heads of a token side by side: attention's result and its gradients are laid out alike.

    No kernel runs here: the program takes the CPU for a card, and `rms_norm` answers in float32, as it does under
    CUDA's autocast since torch 2.13.
    """
    source = (
        Program(SEED_PROGRAM.read_text())
        .with_constants({**SMALL, "ATTENTION_PATTERN": pattern, "PIECE_TOKENS": 8})
        .source
    )
    assert source.count("is_cuda") > 2
    module = load(Program(source.replace("is_cuda", "is_cpu")))
    seen = []

    def attention(*inputs, **options):
        result = scaled_dot_product_attention(*inputs, **options)
        seen.append((*inputs, result))
        return result

    scaled_dot_product_attention, rms_norm = F.scaled_dot_product_attention, F.rms_norm
    monkeypatch.setattr(F, "scaled_dot_product_attention", attention)
    monkeypatch.setattr(F, "rms_norm", lambda x, shape: rms_norm(x, shape).float())
    model = randomised(module)

    with torch.no_grad():
        model(torch.randint(VOCAB_SIZE, (2, 24)))

    assert len(seen) == SMALL["DEPTH"]
    for tensor in (each for tensors in seen for each in tensors):
        assert tensor.dtype == torch.bfloat16
        assert tensor.transpose(1, 2).is_contiguous()
