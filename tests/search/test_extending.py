"""docs/extending.md and docs/library.md: the examples of the pages, run."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from operators.population import Population
from operators.trial import Proposal, Status, Trial
from search import run
from search.acceptance import Measure, Verdict
from search.decisions import next_step, refuse
from search.errors import PartError, UserError
from search.graft.configuration import page
from search.mistakes import mistake
from search.strategies.base import child_of
from target.program.constants import SCALES, parse_constants
from tests.search.builders import make_trial
from tests.search.command import QUIET, rows_of, summary_of

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS / "examples"
CONF = EXAMPLES / "extending" / "conf"


def search(cwd: Path, *overrides: str, conf: Path = CONF, tracker: str = QUIET) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "search", "--config-dir", str(conf), *overrides, tracker],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": f"{EXAMPLES}:{EXAMPLES.parents[1]}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_parts_from_a_directory_of_ones_own_search_and_resume(tmp_path: Path) -> None:
    choices = ("strategy=leaders", "operator=halve", "target=bowl", "name=b")
    done = search(tmp_path, *choices, "budget.trainings=20", tracker="tracker=feed")
    again = search(tmp_path, *choices, "budget.trainings=40", tracker="tracker=feed")

    assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
    out = tmp_path / "outputs" / "b"
    rows = rows_of(out)
    assert {row["operator"] for row in rows} == {"seed", "halve"}
    assert len({row["parents"] for row in rows}) > 2
    assert summary_of(out)["strategy"] == "leaders"
    assert summary_of(out)["best_speed"] > summary_of(out)["baseline_speed"] + 10
    assert "resumed: " in again.stdout
    lines = [json.loads(line) for line in (tmp_path / "outputs" / "feed.jsonl").read_text().splitlines()]
    assert [line["trial"] for line in lines] == [*range(len(rows))], "none twice"
    assert [line["status"] for line in lines] == [row["status"] for row in rows]
    assert lines[0]["value"] == pytest.approx(summary_of(out)["baseline_speed"]), "in the target's own direction"
    assert "outputs/feed.jsonl  a line for each verdict" in again.stdout


def test_an_acceptance_rule_of_ones_own_decides(tmp_path: Path) -> None:
    done = search(tmp_path, "operator=halve", "target=bowl", "acceptance=margin", "name=m", "budget.trainings=40")

    assert done.returncode == 0, done.stderr
    champions = [row for row in rows_of(tmp_path / "outputs" / "m") if row["status"] in ("baseline", "keep")]
    speeds = [float(row["speed"]) for row in champions]
    assert len(speeds) > 1
    assert all(after > before + 0.1 for before, after in itertools.pairwise(speeds))
    assert {row["n"] for row in champions} == {"3"}


def test_settings_of_ones_own_are_checked_like_those_of_graft(tmp_path: Path) -> None:
    done = search(tmp_path, "strategy=leaders", "strategy.m=2", "target=landscape", "name=b")

    assert done.returncode == 2
    assert "strategy.m" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_setting_beside_choices_of_ones_own_is_explained(tmp_path: Path) -> None:
    own = ["--config-dir", str(CONF), "strategy=leaders"]

    assert mistake([*own, "strateg.n=4"]) == "strateg.n is not a setting of this search: did you mean strategy.n=4?"
    assert mistake([*own, "strategy.m=4"]) == "strategy.m is not a setting of this search: did you mean strategy.n=4?"
    assert mistake([*own, "strategy.n=4"]) == ""
    assert "did you mean strategy=" not in mistake(["strategy=greedy", "strategy.nn=4"])


class Number:
    def ask(self, population: object, rng: object) -> int:
        return 0


class Stranger:
    def ask(self, population: Population, rng: random.Random) -> Proposal:
        return child_of(999, rng=rng)


class Impure:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = itertools.count()

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        return Proposal(parents=(0,), seed=next(self.asked))


class Coarse:
    """Reads a clock that shows another time after each training, and the same one until then."""

    def __init__(self) -> None:
        self.decided = 0

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        self.decided = max(self.decided, len(population.decided))
        return Proposal(parents=(0,), seed=1000 * self.decided + len(population.trials))


@pytest.mark.parametrize(("strategy", "warnings"), [(Impure(), 1), (Coarse(), 1), ("greedy", 0)])
def test_a_strategy_that_is_not_pure_is_told_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], strategy: object, warnings: int
) -> None:
    monkeypatch.chdir(tmp_path)
    run(name="own", target="landscape", tracker="none", strategy=strategy, budget={"trainings": 20})

    said = " ".join(capsys.readouterr().out.split())
    assert said.count(f"warning: the strategy {type(strategy).__name__}, asked twice") == warnings
    assert ("gave two proposals" in said) == bool(warnings)


class Text:
    name = "text"

    def mutate(self, proposal: object, population: object) -> str:
        return "print(1)"


class Rule:
    """Says what it is told to say."""

    def __init__(self, said: object) -> None:
        self.said = said

    def step(self, trial: Trial, population: Population) -> object:
        return self.said

    def repeat(self, trial: Trial, population: Population) -> object:
        return self.said


BASELINE = make_trial(0, 2.0, status=Status.BASELINE, seeds=(5,))
FIRST = Population((replace(BASELINE, status=Status.PENDING, decided=None),))
CANDIDATE = replace(make_trial(1, 2.0, status=Status.DISCARD, seeds=(5,)), status=Status.PENDING, decided=None)
SECOND = Population((BASELINE, CANDIDATE))
STEP = r"acceptance rule Rule must return a Measure or a Verdict from step\(trial, population\)"
ASK = r"acceptance rule Rule must ask in step\(trial, population\) for trainings"


@pytest.mark.parametrize(
    ("said", "population", "message"),
    [
        (None, FIRST, f"{STEP}; got None; "),
        (True, FIRST, f"{STEP}; got bool True; "),
        (
            Verdict(Status.KEEP),
            FIRST,
            f"{STEP}, for the seed program with Status.BASELINE; got Status .*keep.* trial 0",
        ),
        (Verdict(Status.PENDING), SECOND, f"{STEP}, for a candidate, .*; got Status .*pending.* trial 1"),
        (Verdict("better"), SECOND, f"{STEP}, for a candidate, .*; got str 'better' for trial 1"),
        (Measure(()), FIRST, rf"{ASK} as Measure\(\(\(number, seed\), ...\)\); got Measure Measure\(trainings=\(\)\)"),
        (Measure(((0, 1.5),)), FIRST, f"{ASK} as "),
        (Measure(((7, 5),)), FIRST, f"{ASK} of trials that have a program; got trial 7"),
        (Measure(((1, 6), (0, 5))), SECOND, f"{ASK} that are missing; got trial 0 on seed 5, which it has"),
    ],
)
def test_what_an_acceptance_rule_says_of_a_candidate_is_checked(
    said: object, population: Population, message: str
) -> None:
    with pytest.raises(PartError, match=message):
        next_step(population.trials[-1], population, Rule(said))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("once", r"Rule must return a Measure or None from repeat\(trial, population\); got str 'once'"),
        (Measure(((0, 5),)), r"must ask in repeat\(.*\) for trainings that are missing; got trial 0 on seed 5"),
    ],
)
def test_what_an_acceptance_rule_says_of_a_repeat_is_checked(said: object, message: str) -> None:
    again = make_trial(0, status=Status.PENDING).mutation
    assert again is not None
    with pytest.raises(PartError, match=message):
        refuse(again, Population((BASELINE,)), Rule(said))


@pytest.mark.parametrize(
    ("group", "part", "message"),
    [
        ("acceptance", Rule("better"), r"Rule must return a Measure or a Verdict from step\(.*; got str 'better'; "),
        ("strategy", Number(), r"strategy Number must return a Proposal from ask\(population, rng\), .*; got int 0; "),
        (
            "strategy",
            Stranger(),
            r"strategy Stranger must propose parents among .* got trial 999 when there were \d trial",
        ),
        ("operator", Text(), r"operator text must return a Mutation from mutate\(.*\), .*; got str 'print\(1\)'; "),
    ],
)
def test_a_class_that_returns_something_else_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, part: object, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        run(name="own", target="landscape", tracker="none", quiet=True, budget={"trainings": 6}, **{group: part})

    summary = json.loads((tmp_path / "outputs" / "own" / "summary.json").read_text())
    assert (summary["status"], "must" in summary["stop_reason"]) == ("stopped", True)


def test_the_program_of_the_example_has_every_kind_of_knob() -> None:
    source = (EXAMPLES / "extending" / "program.py").read_text(encoding="utf-8")
    knobs = {name: constant.knob for name, constant in parse_constants(source).items()}
    page_text = (DOCS / "extending.md").read_text(encoding="utf-8")

    assert {knob.scale for knob in knobs.values() if knob.scale} == set(SCALES)
    assert [name for name, knob in knobs.items() if knob.fixed] == ["CLASSES"]
    assert [name for name, knob in knobs.items() if knob.choices] == ["BATCH", "ACTIVATION"]
    for scale in SCALES:
        assert re.search(rf"`# knob: \S+ {scale}`", page_text), scale


def test_the_yaml_of_a_command_on_the_page_is_a_target(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(# zip.yaml.*?)```", (DOCS / "extending.md").read_text(), re.DOTALL)
    (tmp_path / "conf" / "target").mkdir(parents=True)
    (tmp_path / "conf" / "target" / "zip.yaml").write_text(block.replace("docs/", f"{DOCS}/"))
    done = search(
        tmp_path,
        *("target=zip", "operator=constants", "budget.trainings=2", "executor.workers=1", "name=z"),
        conf=tmp_path / "conf",
    )

    assert done.returncode == 0, done.stderr
    assert "unverified: score is reported by" in done.stdout


@pytest.mark.parametrize("number", [0, 2], ids=["first", "objects"])
def test_the_python_of_the_page_runs(number: int, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "library.md").read_text(encoding="utf-8"), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", blocks[number].replace('strategy="greedy"', 'strategy="greedy", tracker="none"')],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(DOCS.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "finished: " in done.stdout


def test_the_reference_of_the_configuration_is_the_generated_one() -> None:
    assert (DOCS / "configuration.md").read_text(encoding="utf-8") == page(), (
        "run `python -m search.graft.configuration > docs/configuration.md`"
    )
