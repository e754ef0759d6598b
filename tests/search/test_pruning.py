"""Pruning in a search: what is sent, what a stopped trial counts as, and what users are told."""

from __future__ import annotations

import random
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from operators.experience import gather
from operators.population import Population
from operators.prompts.history import failures, unsuccessful
from operators.trial import Status
from search.compare.comparison import Arm
from search.pruning.champion import ChampionCurve
from search.pruning.figures import PruningFigures, pruning_figures
from search.pruning.plan import Pruning
from search.pruning.schedule import changes_schedule
from search.report import render_report
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.strategies.tree import Tree
from search.tracking.records import trial_record
from target.evaluation import Evaluation, Outcome
from target.program import Program
from target.simulated.recorded import read_recordings
from target.stopping import FailedCheck, StopRule, failed_check
from tests.search.bench import Bench, bowl
from tests.search.builders import make_evaluation, make_population, make_summary
from tests.search.command import assert_clean_failure, rows_of, run
from tests.search.scripted import ScriptedExecutor

SECONDS = 10.0
FAILED = FailedCheck(fraction=0.3, limit_nats=3.0, loss_nats=4.0)
SEED_SOURCE = (Path(__file__).parents[2] / "target" / "train.py").read_text(encoding="utf-8")


def curve(depth: int, noise: float = 0.01) -> tuple[tuple[float, float], ...]:
    """Return a falling curve; shallow programs have a higher one."""
    points = range(1, 101)
    return tuple((t / 10, 2 + 10 / (t + 5) + 0.2 * max(0, 6 - depth) + noise * (-1) ** t) for t in points)


class CurveExecutor(ScriptedExecutor):
    """Gives each training a curve, and ends it by its rule as a worker does."""

    def evaluate(self, program: Program, seed: int, log: Path, **flags: Any) -> Future[Evaluation]:
        future = super().evaluate(program, seed, log, **flags)
        waiting, result = self._open.pop()
        if isinstance(result, Evaluation):
            result = replace(result, curve=curve(int(program.constants["DEPTH"])))
            rule: StopRule | None = flags.get("stop")
            if rule and result.score and (found := failed_check(rule, result.curve, SECONDS)):
                result = replace(result, failed_check=found)
                if not rule.audit:
                    stopped = {"outcome": Outcome.PRUNED, "score": None, "train_seconds": 0.3}
                    result = replace(result, detail=f"stopped {found}", **stopped)  # type: ignore[arg-type]
        self._open.append((waiting, result))
        return future


@pytest.fixture
def pruned_search(tmp_path: Path) -> Bench:
    rule = ChampionCurve(checks=[(0.1, 5), (0.3, 3)], least_deviation=0.02)
    settings = {"pruning": Pruning(seed=0, pruner=rule, audit_fraction=0.2), "curve_seconds": SECONDS}
    return Bench(tmp_path / "run", settings=settings, make_executor=CurveExecutor, slots=1, score=never_crashes)


def never_crashes(program: Program, seed: int) -> float:
    return bowl(program, seed) or 3.0


def test_stopped_trials_are_not_scored_and_the_search_goes_on(pruned_search: Bench) -> None:
    summary = pruned_search.search(trainings=40)

    trials = pruned_search.ledger.population.trials
    stopped = [trial for trial in trials if trial.status is Status.PRUNED]
    assert stopped
    assert all(trial.score is None and len(trial.evaluations) == 1 for trial in stopped)
    assert "stopped at" in stopped[0].detail
    assert summary.trainings == 40, "each counts as one training of the budget"
    assert summary.outcomes["pruned"] == summary.pruned == len(stopped)
    assert summary.saved_seconds == pytest.approx(0.7 * len(stopped))
    assert summary.best_val_bpb < summary.baseline_val_bpb
    rows = rows_of(pruned_search.run.root)
    assert {row["val_bpb"] for row in rows if row["status"] == "pruned"} == {""}


def test_only_first_trainings_of_candidates_get_a_rule(pruned_search: Bench) -> None:
    pruned_search.search(trainings=40)

    first: set[str] = set()
    for (program, _), rule in pruned_search.executor.stops.items():
        if program in first or program == pruned_search.ledger.population.trials[0].program.id:  # type: ignore[union-attr]
            assert rule is None
        first.add(program)
    assert any(pruned_search.executor.stops.values())


def test_a_search_that_is_resumed_takes_the_same_decisions(pruned_search: Bench, tmp_path: Path) -> None:
    whole = replace(pruned_search, root=tmp_path / "whole")
    whole.search(trainings=30)
    for interrupted in (4, 9, 15):
        pruned_search.search(trainings=30, interrupt_after=interrupted)
    pruned_search.search(trainings=30)

    resumed = read_population(RunDirectory(pruned_search.root)).trials
    assert [(each.status, each.evaluations) for each in resumed] == [
        (each.status, each.evaluations) for each in read_population(RunDirectory(whole.root)).trials
    ]
    assert any(each.status is Status.PRUNED for each in resumed)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("DEPTH = 9", "DEPTH = 7", False),
        ("BATCH_TOKENS = 262_144", "BATCH_TOKENS = 131_072", False),
        ("MATRIX_WEIGHT_DECAY = 0.2", "MATRIX_WEIGHT_DECAY = 0.1", False),
        ("# Schedule, as fractions of the budget", "# Warm-up and decay, in words", False),
        ("WARMUP_FRACTION = 0.0", "WARMUP_FRACTION = 0.1", True),
        ("WARMDOWN_FRACTION = 0.75", "WARMDOWN_FRACTION = 0.5", True),
        ("HEAD_LR = 0.005", "HEAD_LR = 0.01", True),
        ("MOMENTUM_START = 0.85", "MOMENTUM_START = 0.5", True),
        ("return 1 - (1 - FINAL_LR_FRACTION) * decay", "return decay**2", True),
        ('group["decay"] = MATRIX_WEIGHT_DECAY * (1 - progress)', 'group["decay"] = MATRIX_WEIGHT_DECAY', True),
        ('"""Return the learning rate at a point of the budget', '"""Return it at a point of the budget', False),
        ("def main", "def main(", True),  # does not parse: in doubt it is not stopped
    ],
)
def test_a_change_of_the_schedule_is_found_in_constants_and_code(old: str, new: str, changed: bool) -> None:
    assert SEED_SOURCE.count(old) == 1

    assert changes_schedule(Program(SEED_SOURCE), Program(SEED_SOURCE.replace(old, new))) is changed


def with_pruned() -> Population:
    """Return a search with a stopped trial (2), an audit that lost (3) and one that won (4)."""
    people = make_population(2.0, 1.9, Status.PRUNED, 1.95, 1.8)
    failed = {2: FAILED, 3: FAILED, 4: FAILED}
    for number, check in failed.items():
        trial = people.trials[number]
        runs = tuple(replace(each, failed_check=check, train_seconds=3.0) for each in trial.evaluations)
        detail = f"stopped {check}" if trial.status is Status.PRUNED else ""
        people = people.with_trial(replace(trial, evaluations=runs, detail=detail))
    return people


def test_audits_give_the_rate_of_false_prunes(tmp_path: Path) -> None:
    people = with_pruned()

    assert pruning_figures(people) == PruningFigures(pruned=1, audited=2, false_prunes=1, saved_seconds=5.0)
    text = render_report(people, make_summary(people), RunDirectory(tmp_path))
    assert "| pruning | trainings stopped early: 1, 5 s saved; of 2" in text
    assert "of 2 that were to be stopped and ran on as an audit, 1 ended better" in text
    assert "50%" in text
    plain = make_population(2.0, 1.9)
    assert "pruning" not in render_report(plain, make_summary(plain), RunDirectory(tmp_path))


def test_the_figures_are_the_same_when_they_are_counted_anew() -> None:
    people = with_pruned()

    assert pruning_figures(Population(people.trials)) == pruning_figures(people)


def test_the_tuner_takes_a_stopped_trial_for_as_bad_as_the_worst() -> None:
    people = with_pruned()
    program = people.trials[0].program
    assert program is not None

    experience = gather(program, people, limit=100)

    seen = {each.constants["MATRIX_LR"]: each for each in experience.seen}
    assert (seen[0.022].score, seen[0.022].failed) == (2.0, False)
    assert experience.seconds[1] == 0.0, "a stopped training is no failure"


def test_a_prompt_lists_it_with_what_was_tried_and_says_where_it_stopped() -> None:
    people = with_pruned()

    (line,) = (trial for trial in unsuccessful(people.trials[1], people) if trial.status is Status.PRUNED)
    assert line.number == 2
    assert failures(people.trials[1], people) == []


def test_a_strategy_does_not_ask_for_a_repair_of_it() -> None:
    tree = Tree(drafts=9, exploration=1, widening=1, exponent=0.5, repair="repair", repair_probability=1)
    people = make_population(2.0, Status.PRUNED)

    assert tree.ask(people, random.Random(0)).operator is None
    assert tree.ask(make_population(2.0, Status.CRASHED), random.Random(0)).operator == "repair"


def test_mlflow_shows_it_as_killed() -> None:
    people = with_pruned()

    assert trial_record(people.trials[2], people).state == "KILLED"


def test_a_surrogate_learns_nothing_from_it(tmp_path: Path) -> None:
    people = make_population(2.0, Status.PRUNED, *(2.0 + 0.01 * number for number in range(30)))
    for trial in people.trials:
        RunDirectory(tmp_path).write_trial(trial, people)

    assert {row.outcome for row in read_recordings(tmp_path).rows} == {Outcome.OK}


def test_a_comparison_does_not_count_it_as_a_failure() -> None:
    arm = Arm(
        label="a",
        finals=(1.0,),
        fresh=(),
        areas=(1.0,),
        final=None,
        area=None,
        outcomes={"ok": 5, "pruned": 3, "crashed": 2},
        trainings=10,
        gpu_hours=1.0,
        usd=0.0,
        curves={},
        staleness=None,
    )

    assert arm.failure_rate == pytest.approx(0.2)


def test_pruning_that_needs_a_curve_is_refused_where_there_is_none(tmp_path: Path) -> None:
    done = run(tmp_path, "target=landscape", "pruning=median", "tracker=none", "name=a")

    assert done.returncode == 2
    assert_clean_failure(done, "give pruning=none", "report none")
    assert not (tmp_path / "outputs" / "a" / "journal.log").exists()
    done = run(tmp_path, "target=landscape", "budget.trainings=2", "tracker=none", "name=b")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"checks": [(0.6, 3)], "least_deviation": 0.0}, "above 0 and at most 0.5"),
        ({"checks": [(0.3, 0)], "least_deviation": 0.0}, "positive"),
        ({"checks": [], "least_deviation": -1}, "least_deviation must be at least 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ChampionCurve(**arguments)


def test_the_limit_follows_the_noise_of_the_champions_curve() -> None:
    def limit(noise: float) -> float:
        run = replace(make_evaluation(2.0), curve=curve(6, noise))
        people = make_population(2.0)
        people = people.with_trial(replace(people.trials[0], evaluations=(run,)))
        (check,) = ChampionCurve(checks=[(0.3, 3)], least_deviation=0.0).checks(people, SECONDS)
        return check.limit_nats

    assert limit(0.4) - limit(0.0) == pytest.approx(2 * (limit(0.2) - limit(0.0)), rel=0.1)
