import ast
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import optimizer

PREPARE = Path(__file__).parents[2] / "target" / "prepare.py"
TOKENS = np.random.default_rng(0).integers(0, 400, size=5_000)


@pytest.fixture
def run(tmp_path):
    """Write the files of a run and return its description."""
    (tmp_path / "out").mkdir()
    TOKENS.astype("<u2").tofile(tmp_path / "tokens.bin")
    return {
        "mode": "train",
        "seed": 5,
        "device": "cpu",
        "clock": "cpu",
        "threads": 1,
        "limit_seconds": 1_000.0,
        "finish_seconds": 1.0,
        "vocab_size": 400,
        "sequence_tokens": 16,
        "public": str(tmp_path),
        "out": str(tmp_path / "out"),
    }


@pytest.fixture
def load(run, tmp_path, monkeypatch):
    """Return a function that imports a fresh prepare.py inside the run, with some settings changed."""

    def fresh(**changes):
        (tmp_path / "run.json").write_text(json.dumps({**run, **changes}))
        monkeypatch.setenv("GRAFT_RUN", str(tmp_path / "run.json"))
        return import_prepare()

    yield fresh
    for hooks in (optimizer._global_optimizer_pre_hooks, optimizer._global_optimizer_post_hooks):
        hooks.clear()


def import_prepare():
    spec = importlib.util.spec_from_file_location("prepare", PREPARE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_imports_nothing_of_the_framework_inside_a_run():
    tree = ast.parse(PREPARE.read_text())

    imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names | {"numpy", "torch"}


def test_outside_a_run_it_imports_but_answers_nothing(monkeypatch):
    monkeypatch.delenv("GRAFT_RUN", raising=False)

    with pytest.raises(RuntimeError, match=r"call prepare\.setup\(\) first"):
        import_prepare().seed()


def test_it_knows_its_run(load):
    prepare = load()

    assert (prepare.seed(), prepare.vocab_size(), prepare.sequence_tokens()) == (5, 400, 16)
    assert prepare.device() == torch.device("cpu")


def test_setup_seeds_torch(load):
    first, again, other = (_draw(load(seed=seed)) for seed in (0, 0, 1))

    assert first == again != other


def _draw(prepare) -> float:
    prepare.setup()
    return torch.rand(()).item()


def test_the_seed_alone_determines_the_batches(load):
    first = _three_batches(load(seed=0))
    torch.rand(7)  # a model with more parameters draws more
    again, other = _three_batches(load(seed=0)), _three_batches(load(seed=1))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple(row.tolist()) for row in first.flatten(0, 1)}) == 12


def _three_batches(prepare):
    batches = prepare.batches(4, 16)
    return torch.stack([next(batches)[0] for _ in range(3)])  # (3, 4, 16)


def test_targets_are_the_tokens_behind_the_inputs(load):
    inputs, targets = next(load().batches(64, 16))

    assert inputs.shape == targets.shape == (64, 16)
    assert inputs.dtype == targets.dtype == torch.int64
    text = TOKENS.tolist()
    windows = {tuple(text[start : start + 17]) for start in range(len(text) - 16)}
    assert {(*row, last[-1]) for row, last in zip(inputs.tolist(), targets.tolist(), strict=True)} <= windows
    assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_every_token_can_be_drawn(load):
    inputs, targets = next(load().batches(400, TOKENS.size - 2))  # windows can start at 0 and at 1

    assert set(inputs[:, 0].tolist()) == set(TOKENS[:2].tolist())
    assert TOKENS[-1] in targets[:, -1]


def test_the_cpu_clock_counts_the_processor_time_of_the_process(load):
    prepare = load(limit_seconds=1_000.0, finish_seconds=100.0)

    before = time.process_time()
    left = prepare.seconds_left()
    children = os.times().children_user + os.times().children_system

    assert before <= 900 - left <= time.process_time() + children + 0.02


CLOCKS = """
import json, os, sys, time
sys.path.insert(0, {directory!r})
import prepare

started = time.monotonic(), time.process_time()
while time.process_time() - started[1] < 0.2:
    pass
parent = 900 - prepare.seconds_left(), prepare.progress(), time.monotonic() - started[0]
prepare._born_seconds.cache_clear()
if not (pid := os.fork()):
    print(json.dumps({{"parent": parent, "child": 900 - prepare.seconds_left()}}), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""


@pytest.mark.parametrize("clock", ["cpu", "wall"])
def test_the_clock_starts_with_the_process_and_again_with_a_forked_one(load, run, tmp_path, clock):
    load(clock=clock, limit_seconds=1_000.0, finish_seconds=100.0)
    started = time.monotonic()

    script = CLOCKS.format(directory=str(PREPARE.parent))
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout

    found, most = json.loads(shown), time.monotonic() - started
    elapsed, progress, least = found["parent"]
    assert 0.2 <= elapsed <= most + 0.02  # a tick of /proc is 10 ms
    assert elapsed >= (0.2 if clock == "cpu" else least)
    assert progress == pytest.approx(elapsed / 900, abs=1e-3)
    assert -0.02 <= found["child"] < elapsed


def test_progress_ends_at_one(load):
    assert load(limit_seconds=1e-3, finish_seconds=5e-4).progress() == 1
    assert load(limit_seconds=1e-3, finish_seconds=5e-4).seconds_left() < 0


def test_reports_become_a_curve(load, run):
    prepare = load()

    for loss in (5.25, 4.5, float("nan")):
        prepare.report(loss)

    points = [line.split("\t") for line in (Path(run["out"]) / "curve.tsv").read_text().splitlines()]
    assert [loss for _, loss in points] == ["5.25", "4.5", "nan"]
    assert sorted(float(seconds) for seconds, _ in points) == [float(seconds) for seconds, _ in points]


@pytest.mark.parametrize("wrap", [lambda model: model, torch.compile], ids=["plain", "compiled"])
def test_finish_writes_weights_that_load_without_unpickling_code(load, run, wrap):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))

    load().finish(wrap(model))

    weights = torch.load(Path(run["out"]) / "weights.pt", weights_only=True)
    assert weights.keys() == model.state_dict().keys()
    assert torch.equal(weights["0.weight"], model[0].weight)
    assert sorted(path.name for path in Path(run["out"]).iterdir()) == ["epochs.txt", "statistics.json", "weights.pt"]


class Small(nn.Module):
    """Two matrices of one group, and a scalar that a gate could be."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(2, 2, bias=False) for _ in range(2))
        self.gate = nn.Parameter(torch.tensor(3.0))
        with torch.no_grad():
            self.blocks[0].weight.fill_(1.0)
            self.blocks[1].weight.fill_(7.0)

    def backward(self, *gradients):
        for parameter, gradient in zip(self.parameters(), gradients, strict=True):
            parameter.grad = torch.full_like(parameter, gradient)


def test_it_measures_one_step_in_the_middle_without_a_line_in_the_program(load, run, monkeypatch):
    prepare = load()
    prepare.setup()
    prepare.setup()  # once is enough
    model = Small()
    matrices = torch.optim.SGD(model.blocks.parameters(), lr=0.5)
    gate = torch.optim.SGD([model.gate], lr=1.0)
    parts = iter((0.1, 0.6, 0.9))

    for gradient in (100.0, 2.0, 4.0):
        part = next(parts)
        monkeypatch.setattr(prepare, "progress", lambda part=part: part)
        model.gate.data.fill_(3.0)
        model.blocks[0].weight.data.fill_(1.0)
        model.blocks[1].weight.data.fill_(7.0)
        model.backward(gradient, gradient, -gradient)
        matrices.step()
        gate.step()
    prepare.finish(model)

    found = json.loads((Path(run["out"]) / "statistics.json").read_text())
    assert found["steps"] == 3
    assert found["groups"] == {
        "gate": [1, 3.0, 2.0, 2.0],
        "blocks.*.weight": [8, 5.0, 2.0, 1.0],  # sqrt((1 + 49) / 2); the second step alone, -0.5 x 2
    }
    assert found["scalars"] == {"gate": [-1.0], "blocks.0.weight": [-1.0] * 4, "blocks.1.weight": [9.0] * 4}
    assert 0 < found["first_step_seconds"] <= found["last_step_seconds"]
    assert 0 <= found["optimizer_seconds"] <= found["last_step_seconds"]


def test_it_measures_large_parameters_by_a_sample_and_leaves_out_what_has_no_gradient(load, run, monkeypatch):
    prepare = load()
    prepare.setup()
    monkeypatch.setattr(prepare, "progress", lambda: 1.0)
    model = nn.ModuleDict({"used": nn.Embedding(300, 1_000), "sparse": nn.Embedding(5, 9, sparse=True)})
    model["unused"] = nn.Linear(9, 9)
    drawn = []
    monkeypatch.setattr(
        prepare, "_sample", lambda values, sample=prepare._sample: drawn.append(sample(values)) or drawn[-1]
    )
    (model["used"](torch.arange(300)).square().sum()).backward()
    model["sparse"](torch.arange(5)).sum().backward()

    torch.optim.SGD(model.parameters(), lr=0.1).step()
    prepare.finish(model)

    found = json.loads((Path(run["out"]) / "statistics.json").read_text())
    assert found["groups"].keys() == {"used.weight"}
    n_values, weight, gradient, update = found["groups"]["used.weight"]
    assert (n_values, weight) == (300_000, pytest.approx(1.0, rel=0.1))
    assert gradient == pytest.approx(2 * weight)
    assert update == pytest.approx(0.2 * weight, rel=1e-4)
    assert max(each.numel() for each in drawn) < 10_000


@pytest.mark.filterwarnings("ignore:Profiler")
def test_a_compiled_optimiser_is_left_alone(load, run, monkeypatch):
    prepare = load()
    monkeypatch.setitem(sys.modules, "prepare", prepare)  # where the compiler looks for it
    prepare.setup()
    model = nn.Linear(4, 4)
    step = torch.compile(torch.optim.SGD(model.parameters(), lr=0.1).step, backend="eager")
    model(torch.ones(2, 4)).sum().backward()

    step()
    prepare.finish(model)

    assert json.loads((Path(run["out"]) / "statistics.json").read_text())["steps"] == 0


def test_it_counts_how_often_the_text_was_read(load, run, capsys):
    prepare = load()
    batches, others = prepare.batches(100, 16), prepare.batches(10, 10)
    for _ in range(3):
        next(batches)
    next(others)

    prepare.finish(nn.Linear(1, 1))

    assert float((Path(run["out"]) / "epochs.txt").read_text()) == (3 * 100 * 16 + 10 * 10) / TOKENS.size
    assert capsys.readouterr().out == "read 0.98 times the training text\n"
