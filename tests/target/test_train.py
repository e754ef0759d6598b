import ast
import copy
import importlib.util
import itertools
import json
import math
import os
import random
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask

from target.program import Program
from target.program.constants import Constant, Value, parse_constants
from target.spec import SEED_PROGRAM, TargetSpec

CONF = Path(__file__).parents[2] / "conf" / "target"
VOCAB_SIZE = 300
MAX_WIDTH, MAX_DEPTH = 128, 4  # of the models that the tests build


@pytest.fixture(scope="module")
def tiny():
    return TargetSpec.from_config(yaml.safe_load((CONF / "tiny.yaml").read_text()))


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that imports a program as the pre-flight does."""
    monkeypatch.syspath_prepend(SEED_PROGRAM.parent)

    def fresh(program: Program):
        path = tmp_path / "train.py"
        path.write_text(program.source)
        spec = importlib.util.spec_from_file_location("candidate", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return fresh


def draw(constant: Constant, rng: random.Random) -> Value:
    """Return any value that the knob of a constant allows, in the type of the constant."""
    knob = constant.knob
    if knob.choices:
        return rng.choice(knob.choices)
    if knob.scale == "pow2":
        return 2 ** rng.randint(round(math.log2(knob.low)), round(math.log2(knob.high)))
    if knob.scale == "log":
        return math.exp(rng.uniform(math.log(knob.low), math.log(knob.high)))
    return rng.randint(int(knob.low), int(knob.high)) if knob.scale == "int" else rng.uniform(knob.low, knob.high)


def draw_all(seed: int) -> Program:
    """Return the seed program with every constant anywhere within its knob, but of a size that a test can build."""
    rng = random.Random(seed)
    program = Program(SEED_PROGRAM.read_text())
    knobs = {name: constant for name, constant in parse_constants(program.source).items() if not constant.knob.fixed}
    while True:
        values = {name: draw(constant, rng) for name, constant in knobs.items()}
        values["SHORT_WINDOW"] = rng.choice((1, 5, 256))
        if values["N_HEADS"] * values["HEAD_DIM"] <= MAX_WIDTH and values["DEPTH"] <= MAX_DEPTH:
            return program.with_constants(values)


def randomised(module):
    torch.manual_seed(0)
    model = module.build_model(VOCAB_SIZE)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


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
    program = draw_all(seed)
    module = load(program)
    torch.manual_seed(0)
    model = module.build_model(VOCAB_SIZE)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    tokens = torch.randint(VOCAB_SIZE, (2, 17))
    optimizers = module.build_optimizers(model)

    for _ in range(3):  # zero-initialised projections hide the matrices before them from the first gradient
        logits = model(tokens[:, :-1])
        F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    assert logits.shape == (2, 16, VOCAB_SIZE)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name
        assert not torch.equal(parameter, before[name]), name


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


@pytest.mark.parametrize(
    ("constants", "said"),
    [
        ({"VALUE_GATE_CHANNELS": 65}, "VALUE_GATE_CHANNELS must be 1 to 64, the width"),
        ({"HEAD_DIM": 34}, "HEAD_DIM must be a multiple of 4"),
        ({"WINDOW_PATTERN": "SXL"}, "WINDOW_PATTERN must be of the letters S and L"),
        ({"WINDOW_PATTERN": ""}, "WINDOW_PATTERN must be of the letters S and L"),
        ({"SHORT_WINDOW": 0}, "SHORT_WINDOW must be at least 1"),
        ({"BIGRAM_ROWS": 1}, "BIGRAM_ROWS must be 0 or at least 2"),
        ({"MICRO_TOKENS": 0}, "MICRO_TOKENS must be at least 1"),
    ],
)
def test_an_illegal_constant_is_refused_at_import_by_name(load, tiny, constants, said):
    with pytest.raises(ValueError, match=said):
        load(tiny.seed_program().with_constants(constants))


def test_a_long_compilation_does_not_end_a_short_training(load, tiny, graphs, monkeypatch):
    """On an H100 the first step took 32 of 70 seconds, and a loop that feared another such step ended there."""
    source = tiny.seed_program().source.replace('if device.type == "cuda":', "if True:", 1)
    module = load(Program(source))
    steps = []
    seconds = iter(
        [40.0, *np.arange(10.0, -1.0, -0.25)]
    )  # the compilation takes 30 seconds, each step a quarter of one

    class Prepare:
        setup = report = staticmethod(lambda *_: None)
        device = staticmethod(lambda: torch.device("cpu"))
        vocab_size = staticmethod(lambda: VOCAB_SIZE)
        sequence_tokens = staticmethod(lambda: 16)
        progress = staticmethod(lambda: 0.5)
        seconds_left = staticmethod(lambda: float(next(seconds)))
        finish = staticmethod(lambda model: steps.append("finished"))

        @staticmethod
        def batches(rows, tokens):
            while True:
                steps.append("batch")
                yield torch.zeros(1, tokens, dtype=torch.int64), torch.zeros(1, tokens, dtype=torch.int64)

    monkeypatch.setattr(module, "prepare", Prepare)

    module.main()

    assert steps.count("batch") == 39  # one in advance; the last two steps of the time are not begun
    assert steps[-1] == "finished"


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


@pytest.fixture
def graphs(monkeypatch):
    """Count what torch.compile makes graphs of, without writing C++ for them."""
    counter = CompileCounterWithBackend("aot_eager")
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda part, **options: compile_module(part, backend=counter, **options)
    )
    torch._dynamo.reset()
    with torch._dynamo.config.patch(recompile_limit=torch._dynamo.config.recompile_limit):
        yield counter
    torch._dynamo.reset()


SMALL = {"DEPTH": 8, "N_HEADS": 2, "HEAD_DIM": 16, "WINDOW_PATTERN": "L"}
PARTS = 2  # beside the blocks: embeddings and head


@pytest.mark.parametrize(
    ("constants", "kinds"),
    [
        ({"VALUE_EMBEDDINGS": "none"}, 1),
        ({"VALUE_EMBEDDINGS": "all", "RESIDUAL_SCALARS": False}, 1),
        ({"VALUE_EMBEDDINGS": "alternate"}, 2),
        ({"VALUE_EMBEDDINGS": "alternate", "WINDOW_PATTERN": "SSSL", "SHORT_WINDOW": 8}, 3),
        ({"DEPTH": 9, "VALUE_EMBEDDINGS": "alternate", "WINDOW_PATTERN": "SSSSL", "SHORT_WINDOW": 8}, 3),
    ],
)
def test_blocks_of_a_kind_are_compiled_once_and_train_as_without_compilation(load, graphs, constants, kinds):
    module = load(Program(SEED_PROGRAM.read_text()).with_constants({**SMALL, **constants}))
    eager = randomised(module).train()
    compiled = copy.deepcopy(eager)
    compiled.compile_parts(24)
    tokens = torch.randint(VOCAB_SIZE, (2, 25))
    losses = {}

    for model in (eager, compiled):
        optimizers = module.build_optimizers(model)
        losses[model] = []
        for _ in range(3):
            loss = model(tokens[:, :-1], tokens[:, 1:])
            loss.backward()
            losses[model].append(loss.item())
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()

    assert graphs.frame_count == kinds + PARTS
    assert losses[compiled] == pytest.approx(losses[eager], rel=1e-4)
    assert losses[eager][2] < losses[eager][0]
    assert compiled.state_dict().keys() == module.build_model(VOCAB_SIZE).state_dict().keys()


def test_compiled_blocks_see_a_window_as_uncompiled_ones_do(load, graphs, monkeypatch):
    window, row_tokens = 40, 256  # more than one of FlexAttention's blocks, of 128 tokens each
    constants = {**SMALL, "WINDOW_PATTERN": "SSSL", "SHORT_WINDOW": window}
    module = load(Program(SEED_PROGRAM.read_text()).with_constants(constants))
    uncompiled = randomised(module)
    compiled = copy.deepcopy(uncompiled)
    compiled.compile_parts(row_tokens)
    compiled.windows[window] = create_block_mask(module.sees(window), None, None, row_tokens, row_tokens, "cpu")
    uncompiled.windows = compiled.windows
    tokens = torch.randint(VOCAB_SIZE, (2, row_tokens))

    with torch.no_grad():  # FlexAttention has no backward pass on a CPU
        logits = compiled(tokens)
        monkeypatch.setattr(module, "flex_attention", None)  # uncompiled, it would write out all scores
        difference = logits - uncompiled(tokens)

    used = [node for graph in graphs.graphs for node in graph.graph.nodes if "flex_attention" in str(node.target)]
    assert len(used) == 2  # kinds of block with a window: with and without a value embedding
    assert difference.abs().max() < 1e-4


def test_blocks_that_all_differ_are_all_compiled(load, graphs):
    module = load(Program(SEED_PROGRAM.read_text()).with_constants({**SMALL, "VALUE_EMBEDDINGS": "none"}))
    model = module.build_model(VOCAB_SIZE)
    for i, block in enumerate(model.blocks):
        block.attention.window = 4 + i
    model.compile_parts(24)
    tokens = torch.randint(VOCAB_SIZE, (2, 25))

    model(tokens[:, :-1], tokens[:, 1:])

    assert graphs.frame_count == SMALL["DEPTH"] + PARTS


def test_rounding_errors_do_not_move_the_scalars(load):
    """At the start only their rounding makes the gradients of the residual scalars other than 0."""
    module = load(Program(SEED_PROGRAM.read_text()).with_constants(SMALL))
    torch.manual_seed(0)
    model = module.build_model(VOCAB_SIZE)
    tokens = torch.randint(VOCAB_SIZE, (2, 25))

    model(tokens[:, :-1], tokens[:, 1:]).backward()
    assert any(block.skip.grad != 0 for block in model.blocks)
    for optimizer in module.build_optimizers(model):
        optimizer.step()

    for block in model.blocks:
        assert block.skip.item() == pytest.approx(module.FIRST_SKIP, abs=1e-3)
        assert block.scale.item() == pytest.approx(1, abs=1e-3)


def test_the_loss_is_that_of_the_logits(load, tiny):
    model = randomised(load(tiny.seed_program()))
    tokens = torch.randint(VOCAB_SIZE, (2, 25))

    with torch.inference_mode():
        logits, loss = model(tokens[:, :-1]), model(tokens[:, :-1], tokens[:, 1:])

    assert loss == pytest.approx(F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).item())


@pytest.mark.parametrize("shape", [(3, 20, 50), (3, 50, 20), (1, 32, 32)])
def test_an_orthogonalised_update_has_singular_values_near_one(load, tiny, shape):
    torch.manual_seed(0)
    update = torch.randn(shape) * 1e-3

    singular = torch.linalg.svdvals(load(tiny.seed_program()).orthogonalise(update))

    assert singular.shape == (shape[0], min(shape[1:]))
    assert singular[:, : singular.size(1) // 2].min() > 0.5
    assert singular.max() < 1.3


@pytest.mark.parametrize("seed", range(8))
def test_the_learning_rate_rises_stays_and_falls(load, seed):
    module = load(draw_all(seed))
    fractions = [module.lr_fraction(progress) for progress in np.linspace(0, 1, 201)]
    top = fractions.index(max(fractions))

    assert fractions[:top] == sorted(fractions[:top])
    assert fractions[top:] == sorted(fractions[top:], reverse=True)
    assert fractions[-1] == pytest.approx(module.FINAL_LR_FRACTION)
    assert all(0 <= fraction <= 1 for fraction in fractions)


def train(program: Program, directory: Path, *, seed: int, limit_seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program as a process of its own, in a workspace like the evaluator's, on text that repeats itself."""
    (directory / "out").mkdir(parents=True)
    (directory / "train.py").write_text(program.source)
    (directory / "prepare.py").write_bytes((SEED_PROGRAM.parent / "prepare.py").read_bytes())
    np.tile(np.random.default_rng(0).integers(0, VOCAB_SIZE, size=50), 200).astype("<u2").tofile(
        directory / "tokens.bin"
    )
    run = {
        "mode": "train",
        "seed": seed,
        "device": "cpu",
        "clock": "cpu",
        "threads": 1,
        "limit_seconds": limit_seconds,
        "finish_seconds": 0.3,
        "vocab_size": VOCAB_SIZE,
        "sequence_tokens": 32,
        "public": str(directory),
        "out": str(directory / "out"),
    }
    (directory / "run.json").write_text(json.dumps(run))
    return subprocess.run(
        [sys.executable, "train.py"],
        cwd=directory,
        env={**os.environ, "GRAFT_RUN": str(directory / "run.json")},
        capture_output=True,
        text=True,
    )


def test_it_trains_until_its_time_is_up_and_hands_over_its_weights(load, tiny, tmp_path):
    program = tiny.seed_program()

    done = train(program, tmp_path / "run", seed=3, limit_seconds=12.0)  # half is the import of torch

    assert done.returncode == 0, done.stderr
    curve = np.loadtxt(tmp_path / "run" / "out" / "curve.tsv", ndmin=2)  # (points, 2)
    assert (np.diff(curve[:, 0]) > 0).all()
    assert curve[-1, 0] < 11.7
    assert curve[0, 1] == pytest.approx(math.log(VOCAB_SIZE), abs=0.01)
    assert curve[-1, 1] < 0.8 * curve[0, 1]
    weights = torch.load(tmp_path / "run" / "out" / "weights.pt", weights_only=True)
    load(program).build_model(VOCAB_SIZE).load_state_dict(weights, strict=True)


def test_it_takes_one_step_even_if_the_start_used_up_the_budget(tiny, tmp_path):
    done = train(tiny.seed_program(), tmp_path / "run", seed=0, limit_seconds=0.31)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 steps")
    assert (tmp_path / "run" / "out" / "weights.pt").exists()


def test_the_schedule_is_of_the_time_that_the_start_left(load, tiny, monkeypatch):
    module = load(tiny.seed_program())
    scheduled = []
    clock = iter(np.linspace(0.6, 1.0, 21))  # building and compiling took 60 % of the time
    rows = torch.zeros((16, 33), dtype=torch.int64)
    monkeypatch.setattr(
        module,
        "prepare",
        types.SimpleNamespace(
            setup=lambda: None,
            device=lambda: torch.device("cpu"),
            vocab_size=lambda: VOCAB_SIZE,
            sequence_tokens=lambda: 32,
            batches=lambda *_: itertools.repeat((rows[:, :-1], rows[:, 1:])),
            seconds_left=lambda: 1e9 if len(scheduled) < 20 else 0.0,
            progress=lambda: next(clock),
            report=lambda _: None,
            finish=lambda _: None,
        ),
    )
    monkeypatch.setattr(module, "schedule", lambda _, progress: scheduled.append(progress))

    module.main()

    assert scheduled == pytest.approx(np.linspace(0, 1, 21)[1:])


def test_the_host_waits_for_the_step_before_so_that_the_device_never_waits_for_the_host(load, tiny, monkeypatch):
    """A device does what is queued in order: item() of one of its tensors waits for all of the step that was queued."""
    module = load(tiny.seed_program())
    queued: list[float] = []  # steps, by their progress
    waited: list[tuple[int, int]] = []  # steps that were queued, and how many of them the host waited for
    copies: dict[int, torch.Tensor] = {}  # to the host, by identity
    arrived: set[int] = set()

    class Event:
        def record(self):
            self.step, self.copies = len(queued), set(copies)

        def synchronize(self):
            waited.append((len(queued), self.step))
            arrived.update(self.copies)

    def to(tensor, *args, **settings):
        if (args, settings) != (("cpu",), {"non_blocking": True}):
            return real_to(tensor, *args, **settings)
        copy = tensor.clone()
        copies[id(copy)] = copy
        return copy

    def item(tensor):
        if id(tensor) in copies:
            assert id(tensor) in arrived, "read before the copy was there"
        else:
            waited.append((len(queued), len(queued)))
        return real_item(tensor)

    rows = torch.zeros((16, 33), dtype=torch.int64)
    prepare = types.SimpleNamespace(
        setup=lambda: None,
        device=lambda: torch.device("cpu"),
        vocab_size=lambda: VOCAB_SIZE,
        sequence_tokens=lambda: 32,
        batches=lambda *_: itertools.repeat((rows[:, :-1], rows[:, 1:])),
        seconds_left=lambda: 1e9 if len(queued) < 4 else 0.0,
        progress=lambda: 0.5,
        report=lambda _: None,
        finish=lambda _: None,
    )
    monkeypatch.setattr(module, "prepare", prepare)
    monkeypatch.setattr(module, "schedule", lambda _, progress: queued.append(progress))
    real_to, real_item = torch.Tensor.to, torch.Tensor.item
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_device_module", lambda _: types.SimpleNamespace(Event=Event))
        patch.setattr(torch.Tensor, "to", to)
        patch.setattr(torch.Tensor, "item", item)
        module.main()

    assert waited == [(1, 1), (2, 1), (3, 2), (4, 3), (4, 4)]


def test_a_diverged_training_ends_with_the_reason(tiny, tmp_path):
    program = tiny.seed_program().with_constants({"EMBEDDING_LR": 1e38})

    done = train(program, tmp_path / "run", seed=0, limit_seconds=60.0)

    assert done.returncode == 1
    assert "FloatingPointError: the training diverged: loss is nan at step" in done.stderr
    assert not (tmp_path / "run" / "out" / "weights.pt").exists()
