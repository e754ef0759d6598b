"""The cost of not trusting the candidate: trusted scoring against evaluation in the process that trained.

    python benchmarks/scorer.py [--vocabularies 512 8192] [--rows 1024] [--repeats 5] [--json FILE]

Claim to check: the scored pass costs at most 1.10 times an in-process evaluation of the same model, in CPU seconds.
In-process means what `evaluate_bpb` of a training script does: forward, cross-entropy, a sum. Trusted means the scored
pass through a model server, server and scorer together: alone, with the start of the server, and with the replica and
all probes. The second table is a child that does nothing, with and without the sandbox. Figures are medians over
interleaved repeats. The model is that of target/train.py with random weights, and the text is random tokens: neither
changes the cost.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from target import prepare, stages
from target.boundary.job import Role
from target.corpus import CorpusFiles, prepare_corpus
from target.corpus.readable import read_access
from target.draft import Draft
from target.evaluate import load_target
from target.launch.launcher import Zygote
from target.launch.workspace import Weights
from target.process.clock import Limits
from target.process.runlog import RunLog
from target.program import Program
from target.sandbox import namespaces
from target.sandbox.access import NO_DEVICE
from target.scoring.logits import buffers_for
from target.scoring.probes import Plan
from target.scoring.scorer import Validation, Watched, score
from target.spec import TargetSpec
from target.stages import Bench
from target.words import user_path

_IDLE = Program("pass\n")
_LIMITS = Limits(cpu_seconds=60, wall_seconds=120)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[512, 8192])
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=user_path)
    arguments = parser.parse_args()

    spec = load_target("tiny", [f"scoring.rows={arguments.rows}", "scoring.pass_seconds=10"])
    corpus = prepare_corpus(spec.corpus)
    torch.set_num_threads(spec.threads)
    scores = [_score_costs(spec, corpus, size, arguments.repeats) for size in arguments.vocabularies]
    children = [_child_costs(spec, corpus, sandbox, 4 * arguments.repeats) for sandbox in ("off", "auto")]

    print(f"{arguments.rows} rows of {spec.sequence_tokens} tokens, {arguments.repeats} repeats, CPU seconds")
    head = ("in-process", "scored pass", "ratio", "with start", "all", "ratio")
    print("vocabulary", *(name.rjust(width) for name, width in zip(head, (11, 12, 6, 11, 7, 6), strict=True)))
    for row in scores:
        print(
            f"{row['vocabulary']:>10} {row['in_process']:>11.3f} {row['scored_pass']:>12.3f} {row['pass_ratio']:>6.2f} "
            f"{row['with_start']:>11.3f} {row['all']:>7.3f} {row['all_ratio']:>6.2f}"
        )
    print(f"\n{'sandbox':>10} {'child, CPU s':>13} {'child, ms':>10} {'zygote starts, s':>17}  layers")
    for row in children:
        print(
            f"{row['sandbox']:>10} {row['child_cpu_seconds']:>13.4f} {row['child_ms']:>10.1f} "
            f"{row['zygote_seconds']:>17.2f}  {', '.join(row['layers'])}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"scores": scores, "children": children}, indent=2) + "\n")


def _score_costs(spec: TargetSpec, corpus: CorpusFiles, vocab_size: int, repeats: int) -> dict[str, Any]:
    spec = dataclasses.replace(spec, corpus=dataclasses.replace(spec.corpus, vocab_size=vocab_size))
    rng = np.random.default_rng(0)
    rows = rng.integers(0, vocab_size, size=(spec.scoring.rows, spec.sequence_tokens + 1))
    validation = Validation(rows, np.ones(vocab_size, dtype=np.int32))
    program = spec.seed_program()
    model = _build(program, spec)
    plan = Plan.draw(spec.scoring, spec.sequence_tokens, rng)

    def start(bench: Bench, weights: Weights) -> None:
        with bench.served(weights):
            return

    def scored_pass(bench: Bench, weights: Weights) -> None:
        with bench.served(weights) as served:
            score(served, validation, plan.batches, Watched.draw(validation, rng))

    def everything(bench: Bench, weights: Weights) -> None:
        stages.measure(bench, weights, bench.texts(thorough=False), Draft(seed=0))

    found: dict[str, list[float]] = {"in_process": [], "start": [], "with_start": [], "all": []}
    with _bench(spec, corpus, validation, program) as bench, _saved(model) as weights:
        for _ in range(repeats + 1):  # the first one warms up
            found["in_process"].append(_cpu_seconds(bench, lambda: _evaluate(model, validation, plan.batches)))
            for name, work in (("start", start), ("with_start", scored_pass), ("all", everything)):
                found[name].append(_cpu_seconds(bench, lambda work=work: work(bench, weights)))  # type: ignore[misc]
    medians = {name: statistics.median(values[1:]) for name, values in found.items()}
    scored = statistics.median(b - a for a, b in zip(found["start"][1:], found["with_start"][1:], strict=True))
    return {
        "vocabulary": vocab_size,
        **medians,
        "scored_pass": scored,
        "pass_ratio": scored / medians["in_process"],
        "all_ratio": medians["all"] / medians["in_process"],
    }


def _child_costs(spec: TargetSpec, corpus: CorpusFiles, sandbox: str, repeats: int) -> dict[str, Any]:
    spec = dataclasses.replace(spec, sandbox=sandbox)
    validation = Validation(np.zeros((1, 2), dtype=np.int64), np.ones(2, dtype=np.int32))
    cpu, wall = [], []
    began = time.monotonic()
    with _bench(spec, corpus, validation, _IDLE) as bench:
        zygote_seconds = time.monotonic() - began
        for _ in range(repeats + 1):
            began = time.monotonic()
            with bench.workspace(Role.TRAIN) as space:
                before = time.process_time()
                _, child = bench.run(bench.job(Role.TRAIN, space), _LIMITS)
                cpu.append(child.clock.cpu_seconds + time.process_time() - before)
            wall.append(time.monotonic() - began)
    return {
        "sandbox": sandbox,
        "child_cpu_seconds": statistics.median(cpu[1:]),
        "child_ms": 1000 * statistics.median(wall[1:]),
        "zygote_seconds": zygote_seconds,
        "layers": [name for name in child.isolation if name.startswith(("landlock", "seccomp", "namespaces"))],
    }


@contextlib.contextmanager
def _bench(spec: TargetSpec, corpus: CorpusFiles, validation: Validation, program: Program) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory() as folder, RunLog(Path(folder) / "log") as log:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        there = spec.sandbox != "off" and namespaces.missing() is None
        view = namespaces.View(writable=(scratch,), readable=(corpus.public,), withheld=(corpus.sealed,))
        packages, withheld = read_access(spec, corpus)
        zygote = Zygote(threads=spec.threads, view=view if there else None)
        rng = np.random.default_rng(1)
        try:
            yield Bench(
                spec=spec, corpus=corpus, validation=validation, contrast=validation, scratch=scratch, zygote=zygote,
                program=program, log=log, rng=rng, buffers=buffers_for(spec.device), packages=packages,
                withheld=withheld, access=NO_DEVICE,
            )  # fmt: skip
        finally:
            zygote.close()


def _cpu_seconds(bench: Bench, work: Callable[[], None]) -> float:
    """Return the CPU time of this process and of the children below the zygote."""
    used: list[float] = []
    kill_tree = bench.zygote.kill_tree

    def counted() -> float:
        used.append(kill_tree())
        return used[-1]

    bench.zygote.kill_tree = counted  # type: ignore[method-assign] -- each child's exact time passes through here
    before = time.process_time()
    work()
    bench.zygote.kill_tree = kill_tree  # type: ignore[method-assign]
    return time.process_time() - before + sum(used)


@contextlib.contextmanager
def _saved(model: torch.nn.Module) -> Iterator[Weights]:
    fd = os.memfd_create("weights")
    with os.fdopen(os.dup(fd), "wb") as file:
        torch.save(model.state_dict(), file)
    yield Weights(fd, "")
    os.close(fd)


def _build(program: Program, spec: TargetSpec) -> torch.nn.Module:
    module = types.ModuleType("candidate")
    sys.modules["prepare"] = prepare
    exec(compile(program.source, "train.py", "exec"), module.__dict__)
    torch.manual_seed(0)
    model: torch.nn.Module = module.build_model(vocab_size=spec.corpus.vocab_size)
    return model.eval()


@torch.inference_mode()
def _evaluate(model: torch.nn.Module, validation: Validation, batches: np.ndarray[Any, Any]) -> None:
    nats = bytes_of_text = 0.0
    token_bytes = torch.from_numpy(validation.token_bytes)
    for batch in batches:
        inputs, targets = (torch.from_numpy(part[batch]) for part in (validation.inputs, validation.targets))
        losses = F.cross_entropy(model(inputs).float().flatten(0, 1), targets.flatten(), reduction="none")
        counts = token_bytes[targets.flatten()]
        nats += float((losses * (counts > 0)).sum())
        bytes_of_text += float(counts.sum())
    assert nats / bytes_of_text > 0


if __name__ == "__main__":
    main()
