"""docs/examples/accuracy: a kind of target outside of Graft, with another metric and labels that programs never get."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from target.command.evaluator import CommandEvaluator
from target.evaluation import Outcome
from target.program import Program
from tests.search.command import QUIET, rows_of, summary_of

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
CONF = EXAMPLES / "accuracy" / "conf"
SEED_PROGRAM = (EXAMPLES / "accuracy" / "train.py").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("accuracy") / "rows"


@pytest.fixture(scope="module")
def evaluator(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandEvaluator]:
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.syspath_prepend(EXAMPLES)
        from accuracy import scorer, target

        made = target.accuracy_target(
            data=str(data), name="accuracy", limit_seconds=20, threads=1, disk_bytes=10_000_000, sandbox="auto"
        )
        settings = made.kind.describe(tmp_path_factory.mktemp("copy"))
        scratch = tmp_path_factory.mktemp("scratch")
        yield stack.enter_context(scorer.open_evaluator(settings, scratch=scratch, lifelines=()))


def make_fixed_rows(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Make the rows of a task that can be learned: of those drawn at random, one in 400 is too hard for four steps."""
    patch.syspath_prepend(EXAMPLES)
    patch.setattr(np.random, "default_rng", functools.partial(np.random.default_rng, 0))
    from accuracy.rows import make_rows

    make_rows(folder)


def test_a_search_raises_an_accuracy_that_is_computed_from_hidden_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_fixed_rows(tmp_path / "rows", monkeypatch)
    settings = (
        *("target.data=rows", "operator=constants", "strategy=greedy", "acceptance=naive"),
        *("budget.trainings=5", "executor.workers=1"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "search", "--config-dir", str(CONF), "target=accuracy", "name=a", *settings, QUIET],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{EXAMPLES}:{EXAMPLES.parents[1]}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "outputs" / "a"
    summary = summary_of(out)
    assert (summary["status"], summary["trainings"]) == ("finished", 5)
    assert all(0 < float(row["accuracy"]) <= 1 for row in rows_of(out) if row["accuracy"])
    assert summary["best_accuracy"] >= summary["baseline_accuracy"] > 0.3  # one in four labels is right by chance
    assert "[unverified]" not in (out / "results.tsv").read_text()
    environment = json.loads((out / "environment.json").read_text())
    assert environment["metric"] == {"name": "accuracy", "direction": "maximize", "verified": True}
    report = (out / "report.md").read_text()
    assert "(higher is better)" in report
    assert "There is no holdout split here" in report


def test_the_score_is_the_fraction_of_right_labels(evaluator: CommandEvaluator, data: Path, tmp_path: Path) -> None:
    labels = np.loadtxt(data / "labels.txt")
    constant = "open('predictions.txt', 'w').write('2\\r\\n' * 1000)\nprint('accuracy: 1.0')"

    found = evaluator.evaluate(Program(constant), 0, tmp_path / "log")

    assert (found.outcome, found.verified) == (Outcome.OK, True)
    assert found.score == pytest.approx(-np.mean(labels == 2))
    assert "landlock" in " ".join(found.isolation)


def write(predictions: str) -> str:
    return f"open('predictions.txt', 'w').write({predictions})"


@pytest.mark.parametrize(
    ("source", "outcome", "detail"),
    [
        ("pass", Outcome.REJECTED, "the program ended without writing predictions.txt"),
        ("print('accuracy: 1.0')", Outcome.REJECTED, "the program ended without writing predictions.txt"),
        (write("'nan\\n' * 1000"), Outcome.REJECTED, "predictions.txt:1: must be a label from 0 to 3, got 'nan'"),
        (write("'4\\n' * 1000"), Outcome.REJECTED, "predictions.txt:1: must be a label from 0 to 3, got '4'"),
        (write("'1\\n' * 999"), Outcome.REJECTED, "must have 1000 lines, one for each question, got 999"),
        (write("'1\\n' * 1001"), Outcome.REJECTED, "must have 1000 lines, one for each question, got 1001"),
        (write("'0 1 2 3\\n' * 1000"), Outcome.REJECTED, "got more than 4000 bytes"),
        ("open('predictions.txt', 'wb').write(b'\\xff\\n' * 1000)", Outcome.REJECTED, "predictions.txt:1: must be"),
        (write("open({labels!r}).read()"), Outcome.CRASHED, "{labels}"),
        ("import os\nos.symlink({labels!r}, 'predictions.txt')", Outcome.REJECTED, "without writing predictions.txt"),
        ("import os\nos.link({labels!r}, 'predictions.txt')", Outcome.CRASHED, "Error"),
        (write("'1\\n' * 1000") + "\nopen('questions.csv', 'a')", Outcome.OK, ""),
        (
            write("'1\\n' * 1000") + "\nopen('questions.csv', 'a').write('\\n')",
            Outcome.REJECTED,
            "questions.csv is",
        ),
        (write("'1\\n' * 1000") + "\nraise SystemExit(3)", Outcome.CRASHED, "exit code 3"),
    ],
)
def test_a_program_that_lies_gets_no_score(
    evaluator: CommandEvaluator, data: Path, tmp_path: Path, source: str, outcome: Outcome, detail: str
) -> None:
    labels = str(data / "labels.txt")

    found = evaluator.evaluate(Program(source.replace("{labels!r}", repr(labels))), 0, tmp_path / "log")

    assert (found.outcome, found.score is not None) == (outcome, outcome is Outcome.OK), found.detail
    assert detail.format(labels=labels) in found.detail
    assert found.verified


def test_rows_are_drawn_once_and_never_over_other_files(
    data: Path, evaluator: CommandEvaluator, tmp_path: Path
) -> None:
    rows: ModuleType = sys.modules["accuracy.rows"]
    before = (data / "labels.txt").read_bytes()

    rows.make_rows(data)
    rows.make_rows(tmp_path / "new")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()

    assert (data / "labels.txt").read_bytes() == before
    assert (tmp_path / "new" / "labels.txt").read_bytes() != before
    with pytest.raises(Exception, match=r"target.data must be a new directory, or one made before, got .*other"):
        rows.make_rows(tmp_path / "other")
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["thesis.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "other"], "no labels are left elsewhere"
