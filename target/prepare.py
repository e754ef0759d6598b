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
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
        starts = rng.integers(0, text.size - tokens, size=(rows, 1))
        chunk = torch.from_numpy(text[starts + window].astype(np.int64))  # (rows, tokens + 1)
        if device().type == "cuda":
            chunk = chunk.pin_memory().to(device(), non_blocking=True)
        _drawn_epochs += rows * tokens / text.size
        yield chunk[:, :-1], chunk[:, 1:]


def seconds_left() -> float:
    """Return the seconds until `finish` must be called; a run that exceeds its limit does not count."""
    return _training_seconds() - _elapsed_seconds()


def progress() -> float:
    """Return the part of the budget that is used up, in [0, 1]."""
    return min(1.0, _elapsed_seconds() / _training_seconds())


def report(train_loss_nats: float) -> None:
    """Add a point to the curve of the training loss, for people and for pruning."""
    with (Path(_run()["out"]) / "curve.tsv").open("a", encoding="utf-8") as curve:
        curve.write(f"{_elapsed_seconds():.3f}\t{train_loss_nats:.6g}\n")


def finish(model: nn.Module) -> None:
    """Save the weights, of a compiled model or not; they are loaded into a fresh `build_model(vocab_size)`."""
    path = Path(_run()["out"]) / "weights.pt"
    path.with_name("epochs.txt").write_text(f"{_drawn_epochs:.6g}", encoding="utf-8")
    print(f"read {_drawn_epochs:.4g} times the training text", flush=True)  # noqa: T201 -- the log is for people
    weights = {name.replace("_orig_mod.", ""): tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    part = path.with_suffix(".part")
    torch.save(weights, part)
    part.replace(path)


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
