"""The training of the seed program: its optimisers, its schedule, and the loop that ends in time."""

import itertools
import json
import math
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from target.program import Program
from target.spec import SEED_PROGRAM
from tests.target.seed.models import SMALL, VOCAB_SIZE, draw_all


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


def stand_in(*, seconds_left, progress) -> types.SimpleNamespace:
    """Return a `prepare` with rows of zeros and this clock."""
    rows = torch.zeros((16, 33), dtype=torch.int64)
    return types.SimpleNamespace(
        setup=lambda: None,
        device=lambda: torch.device("cpu"),
        vocab_size=lambda: VOCAB_SIZE,
        sequence_tokens=lambda: 32,
        batches=lambda *_: itertools.repeat((rows[:, :-1], rows[:, 1:])),
        seconds_left=seconds_left,
        progress=progress,
        report=lambda _: None,
        finish=lambda _: None,
    )


def test_the_schedule_is_of_the_time_that_the_start_left(load, tiny, monkeypatch):
    module = load(tiny.seed_program())
    scheduled = []
    clock = iter(np.linspace(0.6, 1.0, 21))  # building and compiling took 60 % of the time
    prepare = stand_in(seconds_left=lambda: 1e9 if len(scheduled) < 20 else 0.0, progress=lambda: next(clock))
    monkeypatch.setattr(module, "prepare", prepare)
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

    prepare = stand_in(seconds_left=lambda: 1e9 if len(queued) < 4 else 0.0, progress=lambda: 0.5)
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
