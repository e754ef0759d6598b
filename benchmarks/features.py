"""What each part of train.py is worth: trainings with equal steps, in pairs of equal seeds.

    python benchmarks/features.py [--size middle|long-rows|tiny] [--seeds 6] [--jobs 2] [--device cuda] [--json FILE]
    python benchmarks/features.py --arms 'whole|bigram' --before OLD_TRAIN.py     # some arms, and another program

The arm `whole` is train.py as it is. `without X` takes one part away, `only X` has no part but that one, `with X` adds
a part that is off, and `record recipe` has the constants of the public record. Differences are relative to `whole` with
the same seed; lower is better. A training has a clock that counts steps, so that a busy machine changes nothing but the
seconds. It is scored in its own process on the validation rows of the text: nothing here has a reason to cheat.

The whole table takes hours. `--json FILE` has each score as soon as it is there, and the same file given again goes on:
trainings of the same program, seed, size, steps, device and text are not repeated.

`middle` is depth 4, width 128, rows of 256 tokens, 8,192 tokens a step, vocabulary 2048, 150 steps: minutes a training
on a CPU. `long-rows` is the same in rows of 1,024 tokens, `tiny` the target of that name, 250 steps. On a GPU nothing
is compiled: at these sizes it takes longer than the training. Equal steps ignore what a part costs in time;
`benchmarks/gpu.py` measures that.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import multiprocessing
import multiprocessing.pool
import os
import re
import statistics
import sys
import time
import types
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

ROOT: Final = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # instead of this folder: the packages of the checkout, installed or not

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from benchmarks.record import RECORD  # noqa: E402
from target.corpus import CorpusFiles, prepare_corpus  # noqa: E402
from target.evaluate import load_target  # noqa: E402
from target.process.processes import die_with_parent  # noqa: E402
from target.program import Program  # noqa: E402
from target.program.constants import Value, parse_constants  # noqa: E402
from target.scoring.scorer import Validation, bits_per_byte  # noqa: E402
from target.words import user_path  # noqa: E402

PARTS: Final[dict[str, dict[str, Value]]] = {  # the constants that take a part away
    "value embeddings": {"VALUE_EMBEDDINGS": "none"},
    "value gates": {"VALUE_GATES": False},
    "residual scalars": {"RESIDUAL_SCALARS": False},
    "cautious decay": {"CAUTIOUS_DECAY": False},
    "second moment": {"SECOND_MOMENT": False},
    "polar coefficients": {"ORTHOGONALISATION": "quintic"},
    "momentum warm-up": {"MOMENTUM_START": 0.95},
    "initialisation": {"INIT_SCALE": 1.0},
    "RoPE base": {"ROPE_BASE": 10_000.0},
    "smear": {"SMEAR": False},
    "key offset": {"KEY_OFFSET": False},
    "leaky ReLU": {"RELU_SLOPE": 0.0},
    "embedding decays": {"EMBEDDING_WEIGHT_DECAY": 0.0, "VALUE_WEIGHT_DECAY": 0.0},
    "long warm-down": {"WARMDOWN_FRACTION": 0.5},
    "final LR": {"FINAL_LR_FRACTION": 0.0},
    "pieces": {"ATTENTION_PATTERN": "L"},  # changes only `long-rows`: in the other sizes, rows are whole
}
ADDED: Final[dict[str, dict[str, Value]]] = {  # parts that are off
    "value embeddings in all blocks": {"VALUE_EMBEDDINGS": "all"},
    "bigram embeddings": {"BIGRAM_ROWS": 10_240},
    "back-out": {"BACK_OUT": True},
    "QK gain 1.44": {"ATTENTION_SCALE": 1.44},
}
MIDDLE: Final[dict[str, Value]] = {"DEPTH": 4, "N_HEADS": 2, "HEAD_DIM": 64, "BATCH_TOKENS": 8192}
SIZES: Final[dict[str, dict[str, Any]]] = {
    "middle": {"steps": 150, "vocab_size": 2048, "row_tokens": 256, "constants": MIDDLE},
    "long-rows": {"steps": 150, "vocab_size": 2048, "row_tokens": 1024, "constants": {**MIDDLE, "PIECE_TOKENS": 256}},
    "tiny": {"steps": 250, "vocab_size": 512, "row_tokens": 64, "constants": load_target("tiny").constants},
}
SCORED_TOKENS: Final = 131_072


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """One training.

    Attributes:
        arm: Its name.
        source: The program.
        seed: Of weights and text.
        steps: Length of the training.
        row_tokens: Context length.
        device: `cpu` or `cuda`.
        corpus: The text.
    """

    arm: str
    source: str
    seed: int
    steps: int
    row_tokens: int
    device: str
    corpus: CorpusFiles


def arms_of(program: Program, constants: dict[str, Value], before: Path | None) -> dict[str, Program]:
    """Return the programs to compare, by name; `whole` is the first."""
    small = program.with_constants(constants)
    nothing = {name: value for each in PARTS.values() for name, value in each.items()}
    found = {"whole": small, "no part": small.with_constants(nothing)}
    for name, away in PARTS.items():
        found[f"without {name}"] = small.with_constants(away)
    for name, away in PARTS.items():
        found[f"only {name}"] = small.with_constants({key: nothing[key] for key in nothing.keys() - away.keys()})
    for name, changes in ADDED.items():
        found[f"with {name}"] = small.with_constants(changes)
    found["record recipe"] = small.with_constants(RECORD)
    if before is not None:
        found[f"before: {before.name}"] = sized(Program(before.read_text()), constants)
    return found


def sized(program: Program, constants: dict[str, Value]) -> Program:
    """Return a program with those of the constants that it has: an older one may lack some."""
    known = parse_constants(program.source)
    return program.with_constants({name: value for name, value in constants.items() if name in known})


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="middle")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--steps", type=int, help="default: that of the size")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--corpus", default="packages", help="name of the text (default: %(default)s)")
    parser.add_argument("--text", type=user_path, help="a folder with text of your own, instead of --corpus")
    parser.add_argument("--arms", default="", help="regular expression for their names (default: all)")
    parser.add_argument(
        "--before", type=user_path, help="another program to compare with, with the constants of the size"
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="print what is there after this time")
    parser.add_argument("--json", type=user_path)
    options = parser.parse_args()
    size = SIZES[options.size]

    wanted = load_target("tiny", [f"corpus.name={options.corpus}"]).corpus
    if options.text:
        wanted = dataclasses.replace(wanted, name="files", folder=str(options.text))
    corpus = prepare_corpus(dataclasses.replace(wanted, vocab_size=size["vocab_size"]))
    programs = arms_of(Program((ROOT / "target" / "train.py").read_text()), size["constants"], options.before)
    chosen = {name: each for name, each in programs.items() if name == "whole" or re.search(options.arms, name)}
    tasks = [
        Task(
            arm=name,
            source=program.source,
            seed=seed,
            steps=options.steps or size["steps"],
            row_tokens=size["row_tokens"],
            device=options.device,
            corpus=corpus,
        )
        for seed in range(options.seeds)  # whole rounds first: a run that is cut short has pairs of all arms
        for name, program in chosen.items()
    ]
    record = Record(options.json, options.size, tasks[0])
    scores: dict[str, dict[int, float]] = defaultdict(dict)
    for task in tasks:
        if (known := record.find(task)) is not None:
            scores[task.arm][task.seed] = known
    missing = [task for task in tasks if task.seed not in scores[task.arm]]
    deadline = time.monotonic() + 60 * options.minutes
    with trainers(options.jobs) as pool:
        for done, (task, score) in enumerate(zip(missing, pool.imap(train, missing), strict=True), start=1):
            scores[task.arm][task.seed] = score
            print(f"{done}/{len(missing)}  {task.arm}, seed {task.seed}: {score:.4f}", file=sys.stderr, flush=True)
            record.add(task, score)
            record.write(table(scores))
            if time.monotonic() > deadline:
                break
    print(f"{options.device}, {options.size}, {tasks[0].steps} steps, text {options.text or options.corpus}")
    print(f"{'arm':<40} {'val_bpb':>8} {'difference':>10} {'standard error':>14} {'seeds':>5}")
    for row in table(scores):
        print(f"{row['name']:<40} {row['val_bpb']:8.4f} {row['difference']:+10.4f} {row['error']:14.4f} {row['n']:5}")


def trainers(jobs: int) -> multiprocessing.pool.Pool:
    """Return processes for so many trainings at a time, in which torch compiles nothing; they end with this one."""
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # they inherit it; this process may compile
    return multiprocessing.get_context("spawn").Pool(jobs, die_with_parent, (os.getpid(),))


class Record:
    """The scores in a file, so that a run that was cut short goes on.

    Args:
        file: Where they are; None to keep none.
        size: Name of the size.
        task: One of the trainings; all have its steps, rows, device and text.

    Raises:
        SystemExit: The file has trainings of other conditions.
    """

    def __init__(self, file: Path | None, size: str, task: Task) -> None:
        self._file = file
        self._conditions = {
            "size": size,
            "steps": task.steps,
            "row_tokens": task.row_tokens,
            "device": task.device,
            "corpus": task.corpus.hash,
        }
        found = json.loads(file.read_text()) if file and file.exists() else {"conditions": self._conditions}
        if found.get("conditions") != self._conditions:
            sys.exit(f"{file} has trainings of {found.get('conditions')}, not of {self._conditions}; name another file")
        self._trainings: list[dict[str, Any]] = found.get("trainings", [])

    def find(self, task: Task) -> float | None:
        """Return the score of a training; None if it is not there."""
        same = {"program": Program(task.source).id, "seed": task.seed}
        return next((each["val_bpb"] for each in self._trainings if same.items() <= each.items()), None)

    def add(self, task: Task, score: float) -> None:
        """Add a training."""
        program = Program(task.source).id
        self._trainings.append({"arm": task.arm, "program": program, "seed": task.seed, "val_bpb": score})

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Write all trainings, also those of arms that this run left out, and the table of this run."""
        if self._file:
            content = {"conditions": self._conditions, "rows": rows, "trainings": self._trainings}
            self._file.write_text(json.dumps(content, indent=2) + "\n")


def table(scores: dict[str, dict[int, float]]) -> list[dict[str, Any]]:
    """Return a row for each arm: its mean, and its difference from `whole` over the seeds that both have."""
    rows = []
    for name, by_seed in scores.items():
        changes = [value - scores["whole"][seed] for seed, value in by_seed.items() if seed in scores["whole"]]
        if not changes:
            continue
        rows.append(
            {
                "name": name,
                "val_bpb": statistics.fmean(by_seed.values()),
                "difference": statistics.fmean(changes),
                "error": statistics.stdev(changes) / len(changes) ** 0.5 if len(changes) > 1 else math.nan,
                "n": len(changes),
                "scores": list(by_seed.values()),
            }
        )
    return rows


def train(task: Task) -> float:
    """Train a program in this process; return its bits per byte on validation rows."""
    prepare = CountingPrepare(task)
    run_program(task.source, prepare)
    rows = Validation.load(task.corpus, n_rows=SCORED_TOKENS // task.row_tokens, sequence_tokens=task.row_tokens)
    return score(prepare.trained, rows, task.device)


def run_program(source: str, prepare: CountingPrepare) -> None:
    """Run a program with this `prepare`."""
    torch.set_num_threads(1)
    sys.modules["prepare"] = prepare
    module = types.ModuleType("train")
    exec(compile(source, "train.py", "exec"), module.__dict__)
    module.main()


@torch.inference_mode()
def score(model: nn.Module, rows: Validation, device: str) -> float:
    """Return the bits per byte of a model on rows."""
    nll = []
    for part in np.array_split(np.arange(len(rows.rows)), max(1, len(rows.rows) // 32)):
        inputs, targets = (torch.from_numpy(each[part]).to(device) for each in (rows.inputs, rows.targets))
        loss = nn.functional.cross_entropy(model(inputs).flatten(0, 1).float(), targets.flatten(), reduction="none")
        nll.append(loss.view(targets.shape).cpu().numpy())
    return bits_per_byte(np.concatenate(nll), rows.token_bytes[rows.targets])


class CountingPrepare(types.ModuleType):
    """What a program imports as `prepare`: the clock counts steps, and `finish` keeps the model.

    Attributes:
        trained: The model, after `finish`.
    """

    trained: nn.Module

    def __init__(self, task: Task) -> None:
        super().__init__("prepare")
        self.task = task
        self._calls = -1

    def setup(self) -> None:
        """Seed torch."""
        torch.manual_seed(self.task.seed)

    def device(self) -> torch.device:
        """Return where to train."""
        return torch.device(self.task.device)

    def vocab_size(self) -> int:
        """Return how many tokens there are."""
        return self.task.corpus.vocab_size

    def sequence_tokens(self) -> int:
        """Return the length of a row."""
        return self.task.row_tokens

    def seconds_left(self) -> float:
        """Return a long time, until the steps are done."""
        self._calls += 1
        return 1e9 if self._calls < self.task.steps else -1.0

    def progress(self) -> float:
        """Return the part of the steps that is done."""
        return max(0, self._calls) / self.task.steps

    def report(self, train_loss_nats: float) -> None:
        """Ignore the curve: no training is pruned here."""

    def batches(self, rows: int, tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield random windows, the same for every arm of a seed."""
        text = np.memmap(self.task.corpus.train_tokens, dtype="<u2", mode="r")
        rng = np.random.default_rng(self.task.seed)
        window = np.arange(tokens + 1)
        while True:
            starts = rng.integers(0, text.size - tokens, size=(rows, 1))
            chunk = torch.from_numpy(text[starts + window].astype(np.int64)).to(self.device())
            yield chunk[:, :-1], chunk[:, 1:]

    def finish(self, model: nn.Module) -> None:
        """Keep the model."""
        self.trained = model


if __name__ == "__main__":
    main()
