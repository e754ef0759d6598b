"""What a GPU makes of the whole: score, tolerances, noise, speed of a five-minute training, a small search.

    python benchmarks/gpu.py --json gpu.json                          # everything that 25 minutes have room for
    python benchmarks/gpu.py --json gpu.json --stages baseline        # one stage; the file keeps what the others found
    python benchmarks/gpu.py --json cpu.json --device cpu --budget-seconds 5    # a rehearsal of all that, on `tiny`

check     one short training; its score against an evaluation in this process, and three times over: tolerances
baseline  one training of full length: tokens/s, MFU, memory, seconds of start-up and score, val_bpb
noise     short trainings, one seed twice and another: what a repetition changes
features  short trainings without and with parts of train.py
search    six short trainings with the constants operator, through `python -m search`

A stage is left out when what it needs is more than what is left of --minutes. Nothing else should use the GPU.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from target import stages
from target.corpus import CorpusFiles, prepare_corpus
from target.device import find_card, fit
from target.evaluate import load_target
from target.evaluation import Evaluation
from target.evaluator import Evaluator
from target.model_server import build, forward, import_program
from target.program import Program
from target.scorer import Validation, bits_per_byte
from target.spec import TargetSpec
from target.workspace import PREPARE, Weights

ROOT = Path(__file__).parents[1]
SEARCH_TRAININGS = 6
OVERHEAD_SECONDS = 30  # of an evaluation, beside its clock: fork, score, probes; a guess
PEAK_TFLOPS = {"H100": 989, "H200": 989, "A100": 312, "L40S": 362, "4090": 165, "3090": 71}  # bf16, dense
FEATURES = {
    "no value embeddings": {"VALUE_EMBEDDINGS": 0},
    "residual scalars": {"RESIDUAL_SCALARS": True},
    "windows SSSL": {"WINDOW_PATTERN": "SSSL"},
}
_SPEED = re.compile(r"first step ([\d.]+) s, then (\d+) tokens/s, ([\d.e+-]+) TFLOP/s(?:, ([\d.]+) GB)?")


@dataclass(frozen=True, kw_only=True)
class Rig:
    """What the stages share."""

    full: TargetSpec
    short: TargetSpec
    corpus: CorpusFiles
    folder: Path
    card: str

    def evaluate(self, spec: TargetSpec, program: Program, seed: int) -> dict[str, Any]:
        """Evaluate a program, and return what there is to say about it."""
        log = self.folder / "run.log"
        with Evaluator(spec, self.corpus, scratch=self.folder) as evaluator:
            found = evaluator.evaluate(program, seed, log)
        return describe(found, log.read_text(errors="replace"), spec, self.card)


def main() -> None:
    """Run the stages and print what they find, as they find it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--corpus", default=None, help="name of the text (default: that of the target)")
    parser.add_argument("--budget-seconds", type=float, default=30, help="of a short training (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=25, help="for all stages (default: %(default)s)")
    parser.add_argument("--stages", default=",".join(STAGES), help="which, in this order (default: all)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    target = "gpu" if arguments.device == "cuda" else "tiny"
    overrides = [f"corpus.name={arguments.corpus}"] if arguments.corpus else []
    full, _ = fit(load_target(target, overrides))
    if arguments.device == "cpu":
        full = dataclasses.replace(full, train_seconds=2 * arguments.budget_seconds)
    short = dataclasses.replace(full, train_seconds=arguments.budget_seconds)
    card = find_card(target).name if arguments.device == "cuda" else "CPU"
    began = time.monotonic()
    corpus = prepare_corpus(full.corpus)
    results = Results(arguments.json)
    results.add("setup", setup(full, short, card, corpus, time.monotonic() - began))

    began = time.monotonic()
    for name in arguments.stages.split(","):
        stage, needs_seconds = STAGES[name]
        left = 60 * arguments.minutes - (time.monotonic() - began)
        needed = needs_seconds(full, short)
        if needed > left:
            results.add(name, {"left out": f"it needs about {needed:.0f} s, {left:.0f} s are left"})
            continue
        with tempfile.TemporaryDirectory() as folder:
            rig = Rig(full=full, short=short, corpus=corpus, folder=Path(folder), card=card)
            started = time.monotonic()
            found = stage(rig)
            results.add(name, found | {"stage_seconds": time.monotonic() - started})


class Results:
    """What was found, in a file after every stage."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[str, Any] = json.loads(path.read_text()) if path and path.exists() else {}

    def add(self, stage: str, found: dict[str, Any]) -> None:
        """Print and keep what a stage found."""
        print(f"\n== {stage}", flush=True)
        for name, value in found.items():
            print(f"{name:<32} {value:.6g}" if isinstance(value, float) else f"{name:<32} {value}".rstrip(), flush=True)
        self._found[stage] = found
        if self._path:
            self._path.write_text(json.dumps(self._found, indent=2) + "\n")


def setup(full: TargetSpec, short: TargetSpec, card: str, corpus: CorpusFiles, seconds: float) -> dict[str, Any]:
    """Say what is measured on what."""
    return {
        "device": card,
        "torch": torch.__version__,
        "target": full.name,
        "limit of a training, s": full.limit_seconds,
        "limit of a short training, s": short.limit_seconds,
        "corpus": f"{full.corpus.name} {corpus.hash}",
        "corpus prepared or verified, s": seconds,
    }


def check(rig: Rig) -> dict[str, Any]:
    """Compare the trusted score with one in this process, and with itself."""
    program = rig.short.seed_program()
    lenient = dataclasses.replace(rig.short.scoring, tolerance_nats=1e9)  # to see what the probes find, whatever it is
    spec = dataclasses.replace(rig.short, scoring=lenient)
    record: dict[str, Any] = {}
    with (
        Evaluator(spec, rig.corpus, scratch=rig.folder) as evaluator,
        evaluator.bench(program, rig.folder / "run.log") as bench,
        contextlib.closing(stages.train(bench, 0, record)) as weights,
    ):
        scores, seconds, probes = [], [], []
        for _ in range(3):
            started = time.monotonic()
            scores.append(stages.measure(bench, weights, bench.texts(thorough=False), record))
            seconds.append(time.monotonic() - started)
            probes.append(record["probes"])
        own = in_process_bpb(program, weights, bench.validation, spec, rig.folder)
        staged = getattr(bench.buffers, "staged", None)
    worst = {name: max(probe[name] for probe in probes) for name in probes[0] if name[:2] in ("d1", "d2", "d3")}
    return {
        "trusted val_bpb": scores[0],
        "in this process": own,
        "difference, at most 1e-4": abs(scores[0] - own),
        "equal": abs(scores[0] - own) <= 1e-4,
        "three scores differ by": max(scores) - min(scores),
        "score and probes, s": min(seconds),
        "logits": {None: "mapped memory", False: "CUDA IPC", True: "staged through the host"}[staged],
        **{f"largest {name}": value for name, value in worst.items()},
        "tolerance in use, nats": rig.short.scoring.tolerance_nats,
        "tolerance to consider, nats": 3 * max(value for name, value in worst.items() if name != "d1_gain_nats"),
    }


def in_process_bpb(program: Program, weights: Weights, rows: Validation, spec: TargetSpec, folder: Path) -> float:
    """Score weights as autoresearch does: the model and the loss in one process."""
    (folder / "train.py").write_text(program.source)
    (folder / "prepare.py").write_bytes(PREPARE.read_bytes())
    sys.path.insert(0, str(folder))
    model = build(import_program(folder), spec.corpus.vocab_size)
    with open(weights.fd, "rb", closefd=False) as file:
        file.seek(0)
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    sys.path.remove(str(folder))
    model = model.to(spec.device).eval()
    nll = []
    with torch.inference_mode():
        for begin in range(0, len(rows.rows), spec.scoring.batch_rows):
            part = slice(begin, begin + spec.scoring.batch_rows)
            inputs = torch.from_numpy(rows.inputs[part].copy()).to(spec.device)
            targets = torch.from_numpy(rows.targets[part].copy()).to(spec.device)
            logits = forward(model, inputs, spec.corpus.vocab_size)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
            nll.append(loss.view(targets.shape).cpu().numpy())
    return bits_per_byte(np.concatenate(nll), rows.token_bytes[rows.targets])


def describe(found: Evaluation, log: str, spec: TargetSpec, card: str) -> dict[str, Any]:
    """Return what an evaluation and the last line of its program say."""
    speed = _SPEED.search(log)
    tflops = float(speed[3]) if speed else None
    peak = next((peak for name, peak in PEAK_TFLOPS.items() if name in card), None)
    memory = float(speed[4]) if speed and speed[4] else (found.peak_memory_bytes or 0) / 1e9
    start = found.curve[0][0] if found.curve else None
    return {
        "outcome": str(found.outcome),
        "detail": found.detail,
        "val_bpb": found.val_bpb,
        "parameters": found.n_parameters,
        "train, s": found.train_seconds,
        "start-up to the end of the first step, s": start,
        "score and probes, s": found.score_seconds,
        "start-up and score, of the whole": (start + found.score_seconds) / found.wall_seconds if start else None,
        "tokens/s": int(speed[2]) if speed else None,
        "TFLOP/s": tflops,
        "MFU": tflops / peak if tflops and peak else None,
        "peak memory, GB": memory,
        "epochs": found.epochs,
        "startup_seconds of the target": spec.startup_seconds,
    }


def baseline(rig: Rig) -> dict[str, Any]:
    """Train the seed program for the full time."""
    return rig.evaluate(rig.full, rig.full.seed_program(), 0)


def noise(rig: Rig) -> dict[str, Any]:
    """Train with one seed twice and with another."""
    runs = [rig.evaluate(rig.short, rig.short.seed_program(), seed)["val_bpb"] for seed in (1, 1, 2)]
    if None in runs:
        return {"val_bpb": runs}
    return {"val_bpb": runs, "same seed": abs(runs[0] - runs[1]), "other seed": abs(runs[0] - runs[2])}


def features(rig: Rig) -> dict[str, Any]:
    """Train variants with one seed; a difference counts only if it is several times that of `noise`."""
    program = rig.short.seed_program()
    arms = {"as it is": {}, **FEATURES}
    found = {}
    for name, constants in arms.items():
        run = rig.evaluate(rig.short, program.with_constants(constants), 1)
        found[name] = f"val_bpb {run['val_bpb']}, {run['tokens/s']} tokens/s {run['detail']}".rstrip()
    return found


def search(rig: Rig) -> dict[str, Any]:
    """Run a search of six short trainings."""
    command = [sys.executable, "-m", "search", "name=gpu", f"outputs={rig.folder}", f"target={rig.full.name}"]
    command += ["operator=constants", "executor.workers=1", "tracker=none", f"budget.trainings={SEARCH_TRAININGS}"]
    command += [f"target.train_seconds={rig.short.train_seconds}", f"target.corpus.name={rig.full.corpus.name}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": f"exit status {done.returncode}: {done.stderr[-2000:]}"}
    summary = json.loads((rig.folder / "gpu" / "summary.json").read_text())
    names = ("status", "trials", "trainings", "outcomes", "baseline_val_bpb", "best_val_bpb", "gpu_seconds")
    return {name: summary[name] for name in (*names, "wall_seconds", "busy_fraction")}


def _evaluations(n_full: int, n_short: int) -> Callable[[TargetSpec, TargetSpec], float]:
    def needed(full: TargetSpec, short: TargetSpec) -> float:
        n = n_full + n_short
        return n_full * full.limit_seconds + n_short * short.limit_seconds + n * OVERHEAD_SECONDS

    return needed


STAGES: dict[str, tuple[Callable[[Rig], dict[str, Any]], Callable[[TargetSpec, TargetSpec], float]]] = {
    "check": (check, _evaluations(0, 1)),
    "baseline": (baseline, _evaluations(1, 0)),
    "search": (search, _evaluations(0, SEARCH_TRAININGS)),
    "noise": (noise, _evaluations(0, 3)),
    "features": (features, _evaluations(0, 1 + len(FEATURES))),
}


if __name__ == "__main__":
    main()
