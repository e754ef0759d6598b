"""Rows that begin at a document, against random windows: what each is worth in training and in scoring.

    python benchmarks/rows.py [--seeds 6] [--jobs 2] [--device cpu|cuda] [--before OLD_TRAIN.py] [--json FILE]
    python benchmarks/rows.py --size tiny --steps 1 --seeds 1 --scored-tokens 4096    # seconds: does it run?

A window begins anywhere and may cross documents: that is what `prepare.batches` draws and what the scorer reads. A row
of documents begins at one, and is filled with others that fit; the last is cut where the row ends, and its rest is
dropped, as in nanochat and autoresearch. Each training is scored four times: on both kinds of rows, of packages that no
training reads and of documents of the training packages that were left out of the training. Programs train for equal
steps, by default at the middle size of `benchmarks/features.py`; lower is better.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

ROOT: Final = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # instead of this folder: the packages of the checkout, installed or not

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.document_rows import document_rows, split_documents  # noqa: E402
from benchmarks.features import (  # noqa: E402
    SCORED_TOKENS,
    SIZES,
    CountingPrepare,
    Task,
    run_program,
    score,
    sized,
    trainers,
)
from target.corpus import prepare_corpus  # noqa: E402
from target.evaluate import load_target  # noqa: E402
from target.program import Program  # noqa: E402
from target.scoring.scorer import Validation  # noqa: E402
from target.words import user_path  # noqa: E402

KINDS: Final = ("windows", "documents")
_LEFT_OUT: Final = 20  # one document in so many is left out of the training, to be scored


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowTask(Task):
    """One training.

    Attributes:
        rows: Kind of its training rows.
        scored_tokens: How many targets of each kind of row are scored.
    """

    rows: str
    scored_tokens: int


class RowPrepare(CountingPrepare):
    """Training rows of either kind.

    Args:
        task: The training.
        documents: What it may read: the tokens of each document, its bos first.
    """

    def __init__(self, task: RowTask, documents: list[NDArray[np.uint16]]) -> None:
        super().__init__(task)
        self._kind = task.rows
        self._documents = documents

    def batches(self, rows: int, tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches, the same for every program of a seed."""
        if self._kind == "documents":
            made = document_rows(self._documents, tokens, self.task.seed)
        else:
            made = _windows(np.concatenate(self._documents), tokens, self.task.seed)
        while True:
            chunk = torch.from_numpy(np.stack([next(made) for _ in range(rows)])).to(self.device())
            yield chunk[:, :-1], chunk[:, 1:]


def training_documents(task: Task) -> tuple[list[NDArray[np.uint16]], list[NDArray[np.uint16]]]:
    """Return the documents of the training text that are read, and those that are left out."""
    text = np.fromfile(task.corpus.train_tokens, dtype="<u2")
    documents = split_documents(text, task.corpus.vocab_size - 1)
    left_out = [each for i, each in enumerate(documents) if i % _LEFT_OUT == 0]
    return [each for i, each in enumerate(documents) if i % _LEFT_OUT], left_out


def _windows(text: NDArray[np.uint16], tokens: int, seed: int) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    while True:
        start = int(rng.integers(0, text.size - tokens))
        yield text[start : start + tokens + 1].astype(np.int64)


def scored_rows(task: RowTask, left_out: list[NDArray[np.uint16]]) -> dict[str, Validation]:
    """Return the rows to score, by name; `left_out` are the documents of the training text that nothing trains on."""
    tokens, n_rows = task.row_tokens, task.scored_tokens // task.row_tokens
    held_out = Validation.load(task.corpus, n_rows=n_rows, sequence_tokens=tokens)
    other = split_documents(np.fromfile(task.corpus.val, dtype="<u2"), task.corpus.vocab_size - 1)
    found = {"windows, other packages": held_out.rows}
    for place, documents in (("other packages", other), ("same packages", left_out)):
        if place == "same packages":
            windows = _windows(np.concatenate(documents), tokens, seed=0)
            found[f"windows, {place}"] = np.stack([next(windows) for _ in range(n_rows)])
        packed = document_rows(documents, tokens, seed=0)
        found[f"documents, {place}"] = np.stack([next(packed) for _ in range(n_rows)])
    return {name: Validation(rows=rows, token_bytes=held_out.token_bytes) for name, rows in found.items()}


def train(task: RowTask) -> dict[str, float]:
    """Train a program; return its bits per byte by kind of scored rows."""
    kept, left_out = training_documents(task)
    prepare = RowPrepare(task, kept)
    run_program(task.source, prepare)
    return {name: score(prepare.trained, rows, task.device) for name, rows in scored_rows(task, left_out).items()}


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="middle")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--steps", type=int, help="default: that of the size")
    parser.add_argument(
        "--scored-tokens", type=int, default=SCORED_TOKENS, help="of each kind of row (default: %(default)s)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--corpus", default="packages", help="name of the text (default: %(default)s)")
    parser.add_argument("--before", type=user_path, help="another program, trained in the same ways")
    parser.add_argument("--json", type=user_path)
    options = parser.parse_args()
    size = SIZES[options.size]
    steps = options.steps or size["steps"]
    if options.scored_tokens < size["row_tokens"]:
        parser.error(f"--scored-tokens must be at least {size['row_tokens']}, a row; got {options.scored_tokens}")
    wanted = load_target("tiny", [f"corpus.name={options.corpus}"]).corpus
    corpus = prepare_corpus(dataclasses.replace(wanted, vocab_size=size["vocab_size"]))
    files = [ROOT / "target" / "train.py", *([options.before] if options.before else [])]
    tasks = [
        RowTask(
            arm=file.stem if file is options.before else "the seed program",
            rows=rows,
            scored_tokens=options.scored_tokens,
            source=sized(Program(file.read_text()), size["constants"]).source,
            seed=seed,
            steps=steps,
            row_tokens=size["row_tokens"],
            device=options.device,
            corpus=corpus,
        )
        for seed in range(options.seeds)
        for file in files
        for rows in KINDS
    ]
    trainings = []
    with trainers(options.jobs) as pool:
        for task, scores in zip(tasks, pool.imap(train, tasks), strict=True):
            trainings.append({"program": task.arm, "trained on": task.rows, "seed": task.seed, "val_bpb": scores})
            print(f"{len(trainings)}/{len(tasks)}  {trainings[-1]}", file=sys.stderr, flush=True)
    print(f"{options.device}, {options.size}, {steps} steps, text {options.corpus}, {options.seeds} seeds")
    print(
        f"{'program':<18} {'scored on':<26} {'windows':>8} {'documents':>9} {'difference':>10} {'standard error':>14}"
    )
    by_arm: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in trainings:
        for scored, value in each["val_bpb"].items():
            by_arm[each["program"], scored][each["trained on"]].append(value)
    for (program, scored), found in by_arm.items():
        windows, documents = (found[kind] for kind in KINDS)
        changes = [b - a for a, b in zip(windows, documents, strict=True)]
        error = statistics.stdev(changes) / len(changes) ** 0.5 if len(changes) > 1 else float("nan")
        print(
            f"{program:<18} {scored:<25} {statistics.fmean(windows):8.4f} {statistics.fmean(documents):9.4f} "
            f"{statistics.fmean(changes):+10.4f} {error:14.4f}"
        )
    if options.json:
        conditions = {
            "size": options.size,
            "steps": steps,
            "scored tokens": options.scored_tokens,
            "device": options.device,
            "corpus": corpus.hash,
        }
        options.json.write_text(json.dumps({"conditions": conditions, "trainings": trainings}, indent=2) + "\n")


if __name__ == "__main__":
    main()
