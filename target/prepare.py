"""What the harness gives to a training script. Frozen: candidates import it and cannot change it.

    prepare.setup()                                       # first call of main(): seeds torch, sets its threads
    for inputs, targets in prepare.batches(rows, tokens): # endless
        ...
        if prepare.seconds_left() < one_more_step:        # then it is time for finish(); the harness has the clock
            break
    prepare.finish(model)                                 # last call of main(): saves the weights that are scored

Without a run (`python target/train.py`), `setup()` hands the script to the evaluator and prints its val_bpb.
"""

from __future__ import annotations

import functools
import json
import os
import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

_SAMPLED = 4096  # values of a parameter, evenly spread: norms of a copy of all would take memory that trainings need
_SCALARS = 8  # a parameter with at most so many values is listed

_drawn_epochs = 0.0  # tokens that batches() has yielded / tokens of the training text


@functools.cache
def _run() -> dict[str, Any]:
    path = os.environ.get("GRAFT_RUN")
    if path is None:
        raise RuntimeError("no run: call prepare.setup() first, from main()")
    run: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return run


def seed() -> int:
    """Return the seed of this run; the order of the batches follows from it."""
    return int(_run()["seed"])


def device() -> torch.device:
    """Return where to train."""
    return torch.device(_run()["device"])


def vocab_size() -> int:
    """Return how many tokens there are, the special token `<|bos|>` (the last id) included."""
    return int(_run()["vocab_size"])


def sequence_tokens() -> int:
    """Return the context length at scoring, T."""
    return int(_run()["sequence_tokens"])


def setup() -> None:
    """Seed torch and set its threads; without a run, evaluate the script that calls this, and exit."""
    if "GRAFT_RUN" not in os.environ:
        _evaluate_the_script()
    torch.manual_seed(seed())
    torch.set_num_threads(int(_run()["threads"]))
    _watch_optimizers()
    if device().type == "cuda":
        torch.set_float32_matmul_precision("high")


def batches(rows: int, tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield random windows of the training tokens, without end; windows may cross documents.

    Args:
        rows: Windows in a batch.
        tokens: Length of a window.

    Yields:
        inputs: (rows, tokens), int64, on `device()`.
        targets: (rows, tokens), the token after each of the inputs.
    """
    global _drawn_epochs
    text = np.memmap(Path(_run()["public"]) / "tokens.bin", dtype="<u2", mode="r")
    rng = np.random.default_rng(seed())
    window = np.arange(tokens + 1)
    while True:
        began = _elapsed_seconds()
        starts = rng.integers(0, text.size - tokens, size=(rows, 1))
        chunk = torch.from_numpy(text[starts + window].astype(np.int64))  # (rows, tokens + 1)
        if device().type == "cuda":
            chunk = chunk.pin_memory().to(device(), non_blocking=True)
        _drawn_epochs += rows * tokens / text.size
        _watch.batch_seconds += _elapsed_seconds() - began
        yield chunk[:, :-1], chunk[:, 1:]


def seconds_left() -> float:
    """Return the seconds until `finish` must be called; a run that exceeds its limit does not count."""
    return _training_seconds() - _elapsed_seconds()


def progress() -> float:
    """Return the part of the budget that is used up, in [0, 1]; it counts from the start of the process.

    A program that compiles should let its schedule begin with its first step: the start can take a tenth of the budget.
    """
    return min(1.0, _elapsed_seconds() / _training_seconds())


def report(train_loss_nats: float) -> None:
    """Add a point to the curve of the training loss, for people and for pruning."""
    with (Path(_run()["out"]) / "curve.tsv").open("a", encoding="utf-8") as curve:
        curve.write(f"{_elapsed_seconds():.3f}\t{train_loss_nats:.6g}\n")


def finish(model: nn.Module) -> None:
    """Save the weights, of a compiled model or not; they are loaded into a fresh `build_model(vocab_size)`."""
    path = Path(_run()["out"]) / "weights.pt"
    path.with_name("epochs.txt").write_text(f"{_drawn_epochs:.6g}", encoding="utf-8")
    path.with_name("statistics.json").write_text(json.dumps(_watch.statistics(model)), encoding="utf-8")
    print(f"read {_drawn_epochs:.4g} times the training text", flush=True)  # noqa: T201 -- the log is for people
    weights = {name.replace("_orig_mod.", ""): tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    part = path.with_suffix(".part")
    torch.save(weights, part)
    part.replace(path)


class _Watch:
    """Statistics of the training, from hooks around the steps of every torch optimiser: programs need no line for them.

    Norms are measured at one step of each optimiser, the first in the second half of the training, on a sample of each
    parameter. Nothing is read back from a GPU before the training has ended.
    """

    def __init__(self) -> None:
        self.batch_seconds = 0.0
        self._optimizer_seconds = 0.0
        self._first_seconds = self._last_seconds = self._began_seconds = 0.0
        self._steps: dict[int, int] = {}  # by optimiser
        self._before: dict[int, tuple[Tensor, Tensor]] = {}  # weight and gradient by parameter, for one step
        self._measured: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # mean squares: weight, gradient, update
        self._done: set[int] = set()

    def before(self, optimizer: Optimizer, *_: Any) -> None:
        """Take the sample of a step that is measured."""
        if torch.compiler.is_compiling():
            return
        self._began_seconds = _elapsed_seconds()
        self._steps[id(optimizer)] = self._steps.get(id(optimizer), 0) + 1
        if id(optimizer) in self._done or progress() < 0.5:
            return
        self._done.add(id(optimizer))
        self._before = {
            id(each): (_sample(each), _sample(each.grad))
            for each in _parameters(optimizer)
            if each.grad is not None and each.grad.layout is torch.strided
        }

    def after(self, optimizer: Optimizer, *_: Any) -> None:
        """Note the time, and what a step that is measured did."""
        if torch.compiler.is_compiling():
            return
        self._last_seconds = _elapsed_seconds()
        self._first_seconds = self._first_seconds or self._last_seconds
        self._optimizer_seconds += self._last_seconds - self._began_seconds
        before, self._before = self._before, {}
        for each in _parameters(optimizer) if before else ():
            if id(each) in before:
                weight, gradient = before[id(each)]
                self._measured[id(each)] = _mean_squares(weight, gradient, _sample(each) - weight)

    def statistics(self, model: nn.Module) -> dict[str, Any]:
        """Return what was measured, by names of parameters; numbers in them become `*`."""
        groups: dict[str, list[tuple[int, list[float]]]] = {}
        scalars = dict[str, list[float]]()
        for full, parameter in model.named_parameters():
            name = full.replace("_orig_mod.", "")
            if 0 < parameter.numel() <= _SCALARS:
                scalars[name] = [float(value) for value in parameter.detach().flatten().tolist()]
            if id(parameter) in self._measured:
                squares = [float(value) for value in self._measured[id(parameter)]]
                groups.setdefault(re.sub(r"\d+", "*", name), []).append((parameter.numel(), squares))
        on_gpu = device().type == "cuda"  # there a step has only begun when `step` returns
        return {
            "steps": max(self._steps.values(), default=0),
            "first_step_seconds": self._first_seconds,
            "last_step_seconds": self._last_seconds,
            "batch_seconds": self.batch_seconds,
            "optimizer_seconds": None if on_gpu else self._optimizer_seconds,
            "groups": {name: [sum(n for n, _ in each), *_root_mean_squares(each)] for name, each in groups.items()},
            "scalars": scalars,
        }


_watch = _Watch()


@functools.cache
def _watch_optimizers() -> None:
    register_optimizer_step_pre_hook(_watch.before)
    register_optimizer_step_post_hook(_watch.after)


def _parameters(optimizer: Optimizer) -> Iterator[Tensor]:
    return (each for group in optimizer.param_groups for each in group["params"])


def _sample(values: Tensor) -> Tensor:
    flat = values.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // _SAMPLED)].float().clone()


def _mean_squares(*samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    weight, gradient, update = (each.square().mean() for each in samples)
    return weight, gradient, update


def _root_mean_squares(parts: list[tuple[int, list[float]]]) -> list[float]:
    total = sum(n for n, _ in parts)
    return [(sum(n * squares[index] for n, squares in parts) / total) ** 0.5 for index in range(3)]


def _training_seconds() -> float:
    return float(_run()["limit_seconds"]) - float(_run()["finish_seconds"])


def _elapsed_seconds() -> float:
    """Return the age of this process: in CPU seconds of it and its children, or on the wall clock."""
    if _run()["clock"] == "cpu":
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime
    return time.clock_gettime(time.CLOCK_BOOTTIME) - _born_seconds()


@functools.cache
def _born_seconds() -> float:
    fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")  # starttime, field 22 of proc(5), in ticks since boot


def _evaluate_the_script() -> None:
    script = sys.modules["__main__"].__file__
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from target import evaluate

    sys.exit(evaluate.main([str(script)]))
