"""The stages of `benchmarks/gpu.py`: each trains or measures something, and returns its results."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.gpu_plan import SEARCH_TRAININGS
from benchmarks.gpu_runner import FAILED, Found
from benchmarks.record import RECORD
from target import stages
from target.corpus import CorpusFiles, prepare_corpus
from target.draft import Draft
from target.evaluation import Evaluation
from target.evaluator import Evaluator
from target.inside.model_server import build, forward, import_program
from target.launch.workspace import PREPARE, Weights
from target.program import Program
from target.program.constants import Value
from target.scoring.scorer import Validation, bits_per_byte
from target.spec import TargetSpec

ROOT: Final = Path(__file__).parents[1]
PINNED_TORCH: Final = "2.13.0"  # as in pyproject.toml: scores are comparable only between equal versions
PEAK_TFLOPS: Final = {
    "H100 PCIe": 756,
    "H100": 989,
    "H200": 989,
    "B200": 2250,
    "A100": 312,
    "L40S": 362,
    "4090": 165,
    "3090": 71,
}  # bf16, dense
FEATURES: Final[dict[str, dict[str, Value]]] = {  # what is not known at full size
    "whole rows": {"ATTENTION_PATTERN": "L"},
    "SCALAR_LR 0.05": {"SCALAR_LR": 0.05},
    "record recipe": RECORD,
}
_STEPS: Final = re.compile(r"(\d+) steps of (\d+) tokens")
_SPEED: Final = re.compile(r"(\d+) tokens/s, ([\d.e+-]+) TFLOP/s(?:, ([\d.]+) GB)?")
_MARK: Final = re.compile(r"^mark (\w+) ([\d.]+)$", re.MULTILINE)
_MARKED: Final = {  # line of main() in train.py: the mark printed after it, and when
    "prepare.setup()": ("main", ""),
    "optimizers = build_optimizers(model)": ("built", ""),
    "step += 1": ("first_step", "if step == 1: "),
}
_AGE: Final = (  # the clock of prepare.py
    "import os, time; fields = open('/proc/self/stat').read().rpartition(')')[2].split(); "
    "age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf('SC_CLK_TCK'); "
    "print(f'mark {name} {{age:.3f}}', flush=True)"
)
_CALL: Final = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)$", re.MULTILINE)  # of strace -c
_SHARE_GOAL: Final = 0.92
_TRACED_TIMES: Final = 20


@dataclass(frozen=True, kw_only=True)
class Rig:
    """What the stages share.

    Attributes:
        full: The target, for the baseline.
        short: The target, for all other trainings.
        whole_seconds: Limit of a training in the unchanged target.
        folder: A temporary directory.
        logs: Where logs are kept.
        device: The GPU in words, or `CPU`.
        overrides: `key=value` settings of the target, besides the length of its trainings.
        before: Results of earlier stages of this call, by name.
        anchor: The checkout that the stage `anchor` trains.
        result: File of the result, for what a stage has before its end.
    """

    full: TargetSpec
    short: TargetSpec
    whole_seconds: float
    folder: Path
    logs: Path
    device: str
    overrides: Sequence[str]
    before: Mapping[str, Mapping[str, Any]]
    anchor: Path | None
    result: Path

    def keep(self, found: Found) -> None:
        """Write what the stage has found so far, in one step: it counts if the stage is killed."""
        unfinished = self.result.with_suffix(".new")
        unfinished.write_text(json.dumps(found))
        unfinished.replace(self.result)

    def corpus(self) -> CorpusFiles:
        """Return the text, prepared or verified."""
        return prepare_corpus(self.full.corpus)

    def evaluate(self, spec: TargetSpec, program: Program, seed: int, corpus: CorpusFiles | None = None) -> Found:
        """Evaluate a program, print its log, and return the figures."""
        log = self.folder / "run.log"
        with Evaluator(spec, corpus or self.corpus(), scratch=self.folder) as evaluator:
            found = evaluator.evaluate(program, seed, log)
        said = log.read_text(errors="replace")
        print(said, flush=True)
        return describe(found, said, spec, self.device)


def setup(rig: Rig) -> Found:
    """Report what is measured and on which machine, and prepare the text."""
    corpus = rig.corpus()
    version = torch.__version__.partition("+")[0]
    warning = "" if version == PINNED_TORCH else f", not {PINNED_TORCH}: scores are not comparable with those of others"
    return {
        "device": rig.device,
        "python": sys.version.split()[0],
        "torch": torch.__version__ + warning,
        "target": rig.full.name,
        "limit of the baseline, s": rig.full.limit_seconds,
        "limit of a short training, s": rig.short.limit_seconds,
        "corpus": f"{rig.full.corpus.name} {corpus.hash}",
    }


def doctor(rig: Rig) -> Found:
    """Start the device under each layer of isolation, and under all of them."""
    from target.launch.layers import check_layers

    found: Found = {}
    stopped = []
    for report in check_layers(rig.full.device):
        words = "lacking" if report.lacking else "ok" if report.ok else "STOPS THE DEVICE"
        found[report.name] = ": ".join(filter(None, (words, report.said, report.remedy)))
        print(report.name, found[report.name], flush=True)
        if not report.ok:
            stopped.append(report.name)
    if stopped:
        found[FAILED] = f"the device does not start under {', '.join(stopped)}"
    return found


def check(rig: Rig) -> Found:
    """Compare the trusted score with one in this process, and with itself."""
    program = with_marks(rig.short.seed_program())
    lenient = dataclasses.replace(rig.short.scoring, tolerance_nats=1e9)  # to see all findings of the probes
    spec = dataclasses.replace(rig.short, scoring=lenient)
    draft = Draft(seed=0)
    log = rig.folder / "run.log"
    try:
        with (
            Evaluator(spec, rig.corpus(), scratch=rig.folder) as evaluator,
            evaluator.bench(program, log) as bench,
            contextlib.closing(stages.train(bench, 0, draft)) as weights,
        ):
            scores, seconds, probes = [], [], []
            trained = _figures_of_training(draft, log)
            rig.keep(trained)
            for _ in range(3):
                began = time.monotonic()
                scores.append(stages.measure(bench, weights, bench.texts(thorough=False), draft))
                seconds.append(time.monotonic() - began)
                probes.append(draft.probes)
                rig.keep(trained | {"trusted val_bpb": scores[0], "score and probes, s": min(seconds)})
            own = in_process_bpb(program, weights, bench.validation, spec, rig.folder)
            staged = getattr(bench.buffers, "staged", None)
    finally:
        said = log.read_text(errors="replace") if log.exists() else ""
        print(said, flush=True)
    worst = {name: max(probe[name] for probe in probes) for name in probes[0] if name[:2] in ("d1", "d2", "d3")}
    return {
        "isolation": list(draft.isolation),
        "logits": {None: "mapped memory", False: "CUDA IPC", True: "staged through the host"}[staged],
        "trusted val_bpb": scores[0],
        "in this process": own,
        "difference, at most 1e-4": abs(scores[0] - own),
        "equal": abs(scores[0] - own) <= 1e-4,
        "three scores differ by": max(scores) - min(scores),
        "score and probes, s": min(seconds),
        **trained,
        **{f"largest {name}": value for name, value in worst.items()},
        "tolerance in use, nats": rig.short.scoring.tolerance_nats,
        "tolerance to consider, nats": 3 * max(value for name, value in worst.items() if name != "d1_gain_nats"),
    }


def _figures_of_training(draft: Draft, log: Path) -> Found:
    """Return what the log of a training and the clock say, without its score."""
    said = log.read_text(errors="replace")
    speed = read_speed(said)
    return {
        "train, s": draft.train_seconds,
        "steps": speed.steps,
        "tokens/s": speed.tokens_per_second,
        "marks": read_marks(said),
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


def baseline(rig: Rig) -> Found:
    """Train the seed program for the available time."""
    return rig.evaluate(rig.full, rig.full.seed_program(), 0)


def startup(rig: Rig) -> Found:
    """Report how the time from the fork to the end of the first step is spent, in a confined training.

    Each training has its own empty compile cache, so a cold start is measured.
    """
    marks, origin = rig.before.get("check", {}).get("marks"), "the training of the stage check"
    if not marks:
        log = rig.folder / "run.log"
        with Evaluator(rig.short, rig.corpus(), scratch=rig.folder) as evaluator:
            evaluator.evaluate(with_marks(rig.short.seed_program()), 0, log)
        said = log.read_text(errors="replace")
        print(said, flush=True)
        marks, origin = read_marks(said), "a training of its own"
    if missing := {name for name, _ in _MARKED.values()} - marks.keys():
        return {FAILED: f"the training did not reach {', '.join(sorted(missing))}"}
    return {
        "measured in": origin,
        "fork to main(), s": marks["main"],
        "model and optimisers, s": marks["built"] - marks["main"],
        "first step with its compilation, s": marks["first_step"] - marks["built"],
        "fork to the end of the first step, s": marks["first_step"],
        "startup_seconds of the target": rig.full.startup_seconds,
    }


def search(rig: Rig) -> Found:
    """Run a search of short trainings with one worker, and report their share of its wall time."""
    from search.runs.finished import load_run
    from search.runs.journal import open_journal
    from search.runs.rundir import RunDirectory

    command = [sys.executable, "-m", "search", "name=gpu", f"outputs={rig.folder}", f"target={rig.full.name}"]
    command += ["operator=constants", "executor.workers=1", "tracker=none", f"budget.trainings={SEARCH_TRAININGS}"]
    command += [f"++target.{override}" for override in rig.overrides]
    command += [f"++target.{name}={getattr(rig.short, name)}" for name in ("train_seconds", "startup_seconds")]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr, sep="\n", flush=True)
    run = RunDirectory(rig.folder / "gpu")
    for log in sorted(run.root.glob("trials/*/*.log")):
        print(f"== {log.relative_to(run.root)}\n{log.read_text(errors='replace')}", flush=True)
    if done.returncode:
        return {FAILED: f"exit status {done.returncode}: {done.stderr.strip()[-2000:]}"}
    summary = json.loads((run.root / "summary.json").read_text())
    storage = open_journal(run.journal)
    (study,) = storage.get_all_studies()
    verdicts = {
        trial.number: trial.user_attrs["verdict"]["wall_seconds"]
        for trial in storage.get_all_trials(storage.get_study_id_from_name(study.study_name))
        if "verdict" in trial.user_attrs
    }
    decided = sorted(load_run(run.root).population.decided, key=lambda trial: verdicts[trial.number])
    trained = [trial.evaluations for trial in decided]
    names = ("status", "trials", "trainings", "outcomes", "baseline_val_bpb", "best_val_bpb")
    found = {name: summary[name] for name in names} | {"busy_fraction": summary["busy_fraction"]}
    return found | training_share(trained, sorted(verdicts.values()), rig.whole_seconds)


def training_share(
    trained: Sequence[Sequence[Evaluation]], verdict_seconds: Sequence[float], full_seconds: float
) -> Found:
    """Return the share of the wall time of a search with one worker that was training.

    Args:
        trained: The trainings of each trial that has a verdict, in the order of the verdicts. A trial that was cut off
            by the end of the budget has none: neither its training nor its time is counted.
        verdict_seconds: Wall time of the search at each of these verdicts.
        full_seconds: Length of a full training, which is assumed to have the same overhead as a short one.

    Returns:
        The share from the start of the first training to the last verdict, and the share that trainings of full length
        would have with the same seconds between them.
    """
    trainings = [each for evaluations in trained for each in evaluations]
    training = sum(each.wall_seconds - each.score_seconds for each in trainings)
    span = verdict_seconds[-1] - verdict_seconds[0] + sum(each.wall_seconds for each in trained[0])
    between = (span - training) / len(trainings)
    return {
        "training, s": training,
        "first training to last verdict, s": span,
        "share of the wall time of a trial that was training": training / span,
        "beside the training, s a trial": between,
        f"share at full length ({full_seconds:g} s)": full_seconds / (full_seconds + between),
        "goal": _SHARE_GOAL,
    }


def features(rig: Rig) -> Found:
    """Train variants with one seed; a difference matters only if it is several times that of `noise`."""
    program, corpus = rig.short.seed_program(), rig.corpus()
    found: Found = {}
    for name, constants in {"as it is": {}, **FEATURES}.items():
        try:
            variant = program.with_constants(constants)
        except ValueError as error:
            found[name] = f"not in this train.py: {error}"
            continue
        run = rig.evaluate(rig.short, variant, 1, corpus)
        found[name] = f"val_bpb {run['val_bpb']}, {run['tokens/s']} tokens/s {run['detail']}".rstrip()
        rig.keep(found)
    return found


def noise(rig: Rig) -> Found:
    """Train with one seed twice and with another."""
    corpus = rig.corpus()
    runs = []
    for seed in (1, 1, 2):
        runs.append(rig.evaluate(rig.short, rig.short.seed_program(), seed, corpus)["val_bpb"])
        rig.keep({"val_bpb": runs})
    if None in runs:
        return {FAILED: "a training did not score", "val_bpb": runs}
    return {"val_bpb": runs, "same seed": abs(runs[0] - runs[1]), "other seed": abs(runs[0] - runs[2])}


def calls(rig: Rig) -> Found:
    """List the system calls of an evaluation, its harness included, by strace: the start of an allow-list."""
    strace = shutil.which("strace")
    if not strace:
        return {"strace": "not on PATH: nothing was traced"}
    table = rig.logs / "strace.txt"
    command = [strace, "-f", "-c", "-o", str(table), sys.executable, "-m", "target.evaluate", "target/train.py"]
    command += ["--target", rig.full.name, "--seed", "0"]
    lengths = [f"{name}={getattr(rig.short, name)}" for name in ("train_seconds", "startup_seconds")]
    serving = rig.full.scoring
    patience = [  # a traced server is several times slower, also in CPU seconds
        f"scoring.start_seconds={_TRACED_TIMES * serving.start_seconds:g}",
        f"scoring.pass_seconds={_TRACED_TIMES * serving.pass_seconds:g}",
    ]
    command += [part for override in (*rig.overrides, *lengths, *patience) for part in ("--set", override)]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, check=False)
    counts = {name: int(count) for count, name in _CALL.findall(table.read_text()) if name != "total"}
    found = {"table": str(table), "distinct calls": len(counts), "calls": sorted(counts)}
    if done.returncode:
        return {FAILED: f"the traced evaluation ended with status {done.returncode}"} | found
    return found


@dataclass(frozen=True, slots=True)
class Speed:
    """The figures in the last line of train.py; None where one is missing."""

    steps: int | None
    tokens: int | None
    tokens_per_second: int | None
    tflops: float | None
    memory_gigabytes: float | None


def read_speed(log: str) -> Speed:
    """Read the last line of train.py from a log."""
    steps, speed = _STEPS.search(log), _SPEED.search(log)
    return Speed(
        steps=int(steps[1]) if steps else None,
        tokens=int(steps[1]) * int(steps[2]) if steps else None,
        tokens_per_second=int(speed[1]) if speed else None,
        tflops=float(speed[2]) if speed else None,
        memory_gigabytes=float(speed[3]) if speed and speed[3] else None,
    )


def describe(found: Evaluation, log: str, spec: TargetSpec, device: str) -> Found:
    """Return the figures of an evaluation and of the last line of its program."""
    speed = read_speed(log)
    peak = next((peak for name, peak in PEAK_TFLOPS.items() if name in device), None)
    start = found.curve[0][0] if found.curve else None
    said = {
        "outcome": str(found.outcome),
        "detail": found.detail,
        "val_bpb": found.score,
        "isolation": list(found.isolation),
        "parameters": found.n_parameters,
        "train, s": found.train_seconds,
        "start-up to the end of the first step, s": start,
        "score and probes, s": found.score_seconds,
        "start-up and score, of the whole": (start + found.score_seconds) / found.wall_seconds if start else None,
        "steps": speed.steps,
        "tokens/s": speed.tokens_per_second,
        "TFLOP/s": speed.tflops,
        "MFU": speed.tflops / peak if speed.tflops and peak else None,
        "peak memory, GB": speed.memory_gigabytes or (found.peak_memory_bytes or 0) / 1e9,
        "epochs": found.epochs,
        "startup_seconds of the target": spec.startup_seconds,
    }
    return said if found.score is not None else {FAILED: f"{found.outcome}: {found.detail}"} | said


def with_marks(program: Program) -> Program:
    """Return the program with a main() that also prints the age of its process at three points.

    Raises:
        ValueError: A line of main() to print after is missing.
    """
    head, main, body = program.source.partition("\ndef main(")
    lines, found = [], set()
    for line in body.splitlines():
        lines.append(line)
        name, condition = _MARKED.get(line.strip(), (None, ""))
        if name and name not in found:
            found.add(name)
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(f"{indent}{condition}{_AGE.format(name=name)}")
    if missing := {name for name, _ in _MARKED.values()} - found:
        raise ValueError(f"main() of train.py must have the lines {', '.join(_MARKED)}; not found: {missing}")
    return Program(head + main + "\n".join(lines) + "\n")


def read_marks(log: str) -> dict[str, float]:
    """Return the age of a training's process, in seconds, at each mark of its log."""
    return {name: float(seconds) for name, seconds in _MARK.findall(log)}
