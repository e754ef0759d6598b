"""The model of the seed program: its constants, its contract, and what may depend on what."""

import ast

import pytest
import torch
from torch.nn import functional as F

from target.program import Program
from target.program.constants import parse_constants
from target.program.space import axes_of
from target.spec import SEED_PROGRAM
from tests.target.seed.models import VOCAB_SIZE, built, draw_all, randomised, train


def test_it_has_the_names_of_the_contract():
    tree = ast.parse(SEED_PROGRAM.read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}

    assert [argument.arg for argument in functions["build_model"].args.args] == ["vocab_size"]
    assert functions["main"].args.args == []
    assert ast.unparse(tree.body[-1]) == "if __name__ == '__main__':\n    main()"


def test_every_constant_has_a_knob_and_lies_within_it(tiny):
    for program in (Program(SEED_PROGRAM.read_text()), tiny.seed_program()):
        for name, constant in parse_constants(program.source).items():
            knob = constant.knob
            assert knob.fixed or constant.value in knob.choices or knob.low <= constant.value <= knob.high, name
            assert knob.fixed or knob.choices or knob.scale, name


def test_the_tiny_target_is_the_same_program_with_other_constants(tiny):
    assert tiny.constants.items() <= tiny.seed_program().constants.items()
    assert tiny.seed_program().skeleton_id == Program(SEED_PROGRAM.read_text()).skeleton_id
    assert tiny.seed_program().id != Program(SEED_PROGRAM.read_text()).id


@pytest.mark.parametrize("seed", range(8))
def test_any_legal_constants_build_and_take_a_step(load, seed):
    module = load(draw_all(seed))
    model = built(module)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    tokens = torch.randint(VOCAB_SIZE, (2, 17))

    train(module, model, tokens, steps=3)  # projections that begin at 0 hide matrices from the first gradient
    logits = model(tokens[:, :-1])

    assert logits.shape == (2, 16, VOCAB_SIZE)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name
        assert not torch.equal(parameter, before[name]), name


def test_each_choice_that_a_search_on_tiny_has_makes_another_training(load, tiny):
    """A choice without effect would cost a training, and its noise would be taken for a result."""
    program = tiny.seed_program()
    tokens = torch.randint(VOCAB_SIZE, (2, tiny.sequence_tokens + 1), generator=torch.Generator().manual_seed(0))
    axes = [axis for axis in axes_of(parse_constants(program.source)) if axis.choices]
    changes = [{axis.name: value} for axis in axes for value in axis.choices if value != program.constants[axis.name]]
    losses = {}
    for change in [{}, *changes]:
        module = load(program.with_constants(change))
        losses.setdefault(train(module, built(module), tokens, steps=4)[-1], []).append(change)

    assert len(changes) > 15
    assert [same for same in losses.values() if len(same) > 1] == []


@pytest.mark.parametrize("seed", range(8))
def test_a_later_token_changes_nothing_before_it_at_any_weights(load, seed):
    program = draw_all(seed)
    model = randomised(load(program))
    tokens = torch.randint(VOCAB_SIZE, (2, 24))
    changed = tokens.clone()
    changed[:, 10:] = (changed[:, 10:] + 1) % VOCAB_SIZE

    with torch.inference_mode():
        logits, other = model(tokens), model(changed)

    assert torch.equal(logits[:, :10], other[:, :10])
    assert not torch.equal(logits[:, 10], other[:, 10])


@pytest.mark.parametrize(("tokens", "piece"), [(24, 8), (24, 7), (3, 8), (24, 1), (24, None)])
def test_attention_sees_what_is_before_a_token_in_its_piece_of_the_row(load, tiny, tokens, piece):
    module = load(tiny.seed_program())
    q, k, v = torch.randn(3, 2, tokens, module.N_HEADS, module.HEAD_DIM)
    position = torch.arange(tokens)
    seen = position[:, None] >= position
    if piece is not None:
        seen &= position[:, None] // piece == position // piece

    mixed = module.attend(q, k, v, piece)

    heads = (each.transpose(1, 2) for each in (q, k, v))
    expected = F.scaled_dot_product_attention(*heads, seen).transpose(1, 2).flatten(2)
    torch.testing.assert_close(mixed, expected)


@pytest.mark.parametrize(("slope", "below"), [(0.5, 1.0), (0.25, 0.25), (0.0, 0.0)])
def test_the_squared_relu_has_a_slope_below_zero(load, tiny, slope, below):
    mlp = load(tiny.seed_program().with_constants({"RELU_SLOPE": slope})).MLP()
    torch.nn.init.eye_(mlp.input.weight)
    torch.nn.init.eye_(mlp.output.weight)
    x = torch.tensor([-2.0, 0.0, 3.0])

    y = mlp(F.pad(x, (0, mlp.input.in_features - 3)))

    assert y[:3].tolist() == [below, 0.0, 9.0]


@pytest.mark.parametrize(
    ("choice", "depth", "blocks"),
    [("none", 3, []), ("alternate", 1, [0]), ("alternate", 4, [1, 3]), ("alternate", 5, [0, 2, 4]), ("all", 2, [0, 1])],
)
def test_blocks_with_a_value_embedding_are_counted_from_the_last(load, tiny, choice, depth, blocks):
    module = load(tiny.seed_program().with_constants({"DEPTH": depth, "VALUE_EMBEDDINGS": choice}))
    model = module.build_model(VOCAB_SIZE)

    assert [i for i, block in enumerate(model.blocks) if block.attention.extra is not None] == blocks


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        ({"DEPTH": 0}, "DEPTH must be at least 1"),
        ({"N_HEADS": 0}, "N_HEADS must be at least 1"),
        ({"HEAD_DIM": 34}, "HEAD_DIM must be a positive multiple of 4"),
        ({"HEAD_DIM": 0}, "HEAD_DIM must be a positive multiple of 4"),
        ({"ACTIVATION": "swish"}, "ACTIVATION must be relu2 or a function of torch.nn.functional"),
        ({"LOGIT_SOFTCAP": 0.0}, "LOGIT_SOFTCAP must be more than 0"),
        ({"INIT_SCALE": -0.1}, "INIT_SCALE must be at least 0"),
        ({"ATTENTION_PATTERN": "SXL"}, "ATTENTION_PATTERN must be of the letters S and L"),
        ({"ATTENTION_PATTERN": ""}, "ATTENTION_PATTERN must be of the letters S and L"),
        ({"PIECE_TOKENS": 0}, "PIECE_TOKENS must be at least 1"),
        ({"VALUE_EMBEDDINGS": "some"}, r"VALUE_EMBEDDINGS must be one of \['none', 'alternate', 'all'\]"),
        ({"VALUE_GATE_CHANNELS": 65}, "VALUE_GATE_CHANNELS must be 1 to 64, the width"),
        ({"BIGRAM_ROWS": 1}, "BIGRAM_ROWS must be 0 or at least 2"),
        ({"MICRO_TOKENS": 0}, "MICRO_TOKENS must be at least 1"),
        ({"ORTHOGONALISATION": "newton"}, r"ORTHOGONALISATION must be one of \['quintic', 'polar'\]"),
        ({"MOMENTUM_WARMUP_FRACTION": 0.0}, "MOMENTUM_WARMUP_FRACTION must be more than 0"),
        ({"WARMDOWN_FRACTION": 0.0}, "WARMDOWN_FRACTION must be more than 0"),
        ({"REPORT_STEPS": 0}, "REPORT_STEPS must be at least 1"),
    ],
)
def test_an_illegal_constant_is_refused_at_import_by_name(load, tiny, constants, said):
    with pytest.raises(ValueError, match=said):
        load(tiny.seed_program().with_constants(constants))


def test_a_forward_pass_leaves_nothing_behind(load, tiny):
    program = tiny.seed_program()
    model = randomised(load(program))
    tokens = torch.randint(VOCAB_SIZE, (3, tiny.sequence_tokens))

    with torch.inference_mode():
        first, short = model(tokens), model(tokens[:, :5])
        again = model(tokens)

    assert torch.equal(first, again)
    torch.testing.assert_close(short, first[:, :5], rtol=0, atol=1e-4)


def test_rows_do_not_touch_each_other(load, tiny):
    program = tiny.seed_program()
    model = randomised(load(program))
    tokens = torch.randint(VOCAB_SIZE, (4, 20))

    with torch.inference_mode():
        torch.testing.assert_close(model(tokens.flip(0)), model(tokens).flip(0), rtol=0, atol=1e-5)


def test_the_position_of_a_token_counts(load, tiny):
    program = tiny.seed_program().with_constants({"DEPTH": 1})  # two blocks see the order through the causal mask
    model = randomised(load(program))

    with torch.inference_mode():
        logits = model(torch.tensor([[7, 8, 9], [8, 7, 9]]))[:, -1]

    assert not torch.allclose(logits[0], logits[1], atol=1e-2)


def test_the_loss_is_that_of_the_logits(load, tiny):
    model = randomised(load(tiny.seed_program()))
    tokens = torch.randint(VOCAB_SIZE, (2, 25))

    with torch.inference_mode():
        logits, loss = model(tokens[:, :-1]), model(tokens[:, :-1], tokens[:, 1:])

    assert loss == pytest.approx(F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).item())
