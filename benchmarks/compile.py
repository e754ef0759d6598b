"""Regional against whole compilation: seconds to the first step of train.py, and its speed afterwards.

    python benchmarks/compile.py [--device cpu|cuda] [--repeats 3] [--steps 20] [--json FILE]
    python benchmarks/compile.py --arms 'eager|regional'    # some arms

Each training of a search compiles separately, so each run is a fresh process with an empty compile cache. The arms take
turns, `--repeats` times, and each row has the medians. The model, its optimisers and the compilation are those of
`target/train.py`; the tokens are random, and nothing is scored.

    eager              nothing is compiled
    whole and Muon     the loss as one graph, and the iteration of each shape that Muon updates
    whole              the loss as one graph
    regional           `GPT.compile_parts`: what train.py does on a GPU

The time of the first step runs from before the model is built to the end of the optimisers' step. It excludes the
import of torch but includes that of its compiler. CPU seconds are those of the process and of the compilers that it has
waited for. On a CPU the model is smaller than on a GPU, and torch generates C++ instead of Triton.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from target.launch.workspace import PREPARE
from target.program import Program
from target.program.constants import Value
from target.spec import SEED_PROGRAM
from target.words import user_path

ARMS: Final = ("eager", "whole and Muon", "whole", "regional")
# for each device: constants of train.py, then rows, tokens per row and vocabulary of a step
SHAPES: Final[dict[str, tuple[dict[str, Value], tuple[int, int, int]]]] = {
    "cpu": ({"DEPTH": 8, "N_HEADS": 4, "HEAD_DIM": 64}, (4, 128, 2048)),
    "cuda": ({}, (64, 2048, 8192)),
}
COLUMNS: Final = ("first_wall_seconds", "first_cpu_seconds", "steps_per_second", "graphs", "loss")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=SHAPES, default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20, help="after the first (default: %(default)s)")
    parser.add_argument("--arms", default="", help="regular expression for their names (default: all)")
    parser.add_argument("--json", type=user_path)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)  # one run, in its own process
    arguments = parser.parse_args()
    if arguments.arm:
        print(json.dumps(_run(arguments.arm, arguments.device, arguments.steps)))
        return

    runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS if re.search(arguments.arms, arm)}
    if not runs:
        parser.error(f"--arms must match one of {', '.join(ARMS)}; got {arguments.arms}")
    for _ in range(arguments.repeats):
        for arm in runs:
            runs[arm].append(_in_fresh_process(arm, arguments.device, arguments.steps))
    constants, shape = SHAPES[arguments.device]
    one = next(iter(runs.values()))[0]
    print(
        f"{one['machine']}, torch {one['torch']}; {constants or 'train.py as it is'}; rows, tokens, vocabulary {shape}"
    )
    print(f"medians of {arguments.repeats}, first step in seconds")
    print(f"{'arm':<16} {'first, wall':>11} {'first, CPU':>10} {'steps/s':>8} {'graphs':>6} {'last loss':>10}")
    for arm, results in runs.items():
        wall, cpu, speed, graphs, loss = (statistics.median(each[name] for each in results) for name in COLUMNS)
        print(f"{arm:<16} {wall:11.1f} {cpu:10.1f} {speed:8.2f} {graphs:6.0f} {loss:10.5f}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"constants": constants, "shape": shape, "runs": runs}, indent=2) + "\n")


def _in_fresh_process(arm: str, device: str, steps: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train.py").write_text(Program(SEED_PROGRAM.read_text()).with_constants(SHAPES[device][0]).source)
        (folder / "prepare.py").write_bytes(PREPARE.read_bytes())
        (folder / "cache").mkdir()
        command = [sys.executable, __file__, "--arm", arm, "--device", device, "--steps", str(steps)]
        path = os.pathsep.join((name, str(PREPARE.parents[1])))
        caches = {"TORCHINDUCTOR_CACHE_DIR": str(folder / "cache"), "TRITON_CACHE_DIR": str(folder / "cache")}
        environment = {**os.environ, **caches, "PYTHONPATH": path}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _run(arm: str, device: str, steps: int) -> dict[str, Any]:
    import torch
    import train

    rows, tokens, vocab_size = SHAPES[device][1]
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    batch = torch.randint(vocab_size, (rows, tokens + 1), device=device)
    began, cpu_before = time.perf_counter(), _cpu_seconds()
    model = train.build_model(vocab_size).to(device)
    optimizers = train.build_optimizers(model)
    compute_loss = model
    if arm == "regional":
        model.compile_parts()
    elif arm != "eager":
        compute_loss = torch.compile(model, dynamic=False)
    if arm == "whole and Muon":
        train.orthogonalise = torch.compile(train.orthogonalise, dynamic=False)

    def step() -> float:
        loss = compute_loss(batch[:, :-1], batch[:, 1:])
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return float(loss.detach())  # waits for the device

    step()
    first = time.perf_counter() - began
    first_cpu = _cpu_seconds() - cpu_before
    began = time.perf_counter()
    for _ in range(steps):
        loss = step()
    seconds = time.perf_counter() - began
    return {
        "machine": torch.cuda.get_device_name() if device == "cuda" else "CPU, one thread",
        "torch": torch.__version__,
        "first_wall_seconds": first,
        "first_cpu_seconds": first_cpu,
        "steps_per_second": steps / seconds,
        "graphs": torch._dynamo.utils.counters["stats"]["unique_graphs"],
        "loss": loss,
    }


def _cpu_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
