"""A search begins with the trials of an earlier one: `from=outputs/NAME`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from operators.population import Population
from operators.prompts.history import earlier, effect, failures
from operators.trial import IMPORTED, Attempt, Proposal, Status
from search.adopt import adopt
from search.conditions import conditions, differences
from search.errors import UserError
from search.import_run import begin_with, find_source, main
from search.report import render_report
from search.runs.finished import SearchRun, load_run
from search.runs.ledger import Ledger
from search.runs.lock import locked
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.tracking.records import trial_record
from target.program import Program
from tests.checkouts import state_of
from tests.search.builders import (
    MIXED,
    SEED_SOURCE,
    make_evaluation,
    make_population,
    make_summary,
    make_trial,
    renumber_verdicts,
)
from tests.search.command import QUIET, assert_clean_failure, rows_of, run, summary_of

LANDSCAPE = ("target=landscape", "operator=switch", QUIET)
TARGET = {"name": "tiny", "train_seconds": 9, "sandbox": "auto", "program": None, "corpus": {"vocab_size": 512}}
ENVIRONMENT: dict[str, Any] = {
    "commit": "abc",
    "python": "3.11.9",
    "platform": "Linux",
    "versions": {"torch": "2.13.0", "graft-search": "0.1.0"},
    "device": {"kind": "cuda", "cpu": "a cpu", "cores": 8, "memory_bytes": 1},
    "isolation": ["landlock"],
    "cards": [{"name": "H100", "memory_bytes": 85_000_000_000, "id": "0"}],
    "corpus": {"name": "packages", "vocab_size": 512, "hash": "f00"},
}
SEED = Program(SEED_SOURCE.replace("0.02", "0.020"))  # that of the builders' populations


def make_search(
    root: Path, population: Population, *, target: Any = TARGET, environment: Any = ENVIRONMENT
) -> SearchRun:
    """Write the folder of an earlier search, and read it."""
    folder = RunDirectory(root)
    folder.create()
    adopt(Ledger(folder), population.trials)
    folder.write_summary(make_summary(population, name=root.name))
    folder.config.parent.mkdir()
    folder.config.write_text(yaml.safe_dump({"name": root.name, "target": target}))
    folder.environment.write_text(json.dumps(environment))
    return load_run(root)


@pytest.fixture
def source(tmp_path: Path) -> SearchRun:
    return make_search(tmp_path / "outputs" / "mar8", MIXED)


def begin(source: SearchRun, seed_program: Program = SEED, **environment: Any) -> Population:
    beginning = begin_with(
        source, target=TARGET, environment={**ENVIRONMENT, **environment}, seed_program=seed_program, seed=3
    )
    return Population(beginning.trials)


OTHER_CARD = {"cards": [{"name": "A100", "memory_bytes": 42_000_000_000}]}


# With real processes


def test_the_next_search_begins_with_the_champion_and_proposes_nothing_that_was_tried(tmp_path: Path) -> None:
    one_by_one = (*LANDSCAPE, "target.slots=1")  # so that the first search leaves no trial to finish
    assert run(tmp_path, "name=a", *one_by_one, "budget.trainings=14").returncode == 0
    first, before = tmp_path / "outputs" / "a", state_of(tmp_path / "outputs" / "a")
    tried = read_population(RunDirectory(first))
    again = ("name=b", "from=outputs/a", "seed=1", "max_failures=6", *one_by_one)

    done = run(tmp_path, *again, "budget.trainings=8")
    assert done.returncode == 0, done.stderr
    assert state_of(first) == before, "it is only read"
    found = read_population(RunDirectory(tmp_path / "outputs" / "b"))
    assert tried.champion is not None
    assert f"outputs/a: {len(tried.trials)} trials: 1 baseline" in done.stdout
    assert f"with their scores; the champion is #{tried.champion.number} at" in done.stdout
    for old, new in zip(tried.trials, found.trials, strict=False):
        assert (new.program, new.status, new.decided, new.proposal.parents) == (
            *(old.program, old.status, old.decided, old.proposal.parents),
        )
        assert [each for each in new.evaluations if not each.trained] == [
            replace(each, trained=False) for each in old.evaluations
        ]
    new = found.trials[len(tried.trials) :]
    assert new[0].proposal.parents == (tried.champion.number,)
    programs = [trial.program.id for trial in found.trials if trial.program]
    assert len(set(programs)) == len(programs), "nothing is built twice"
    assert found.trainings == 8, "imported trainings count against no budget"

    shutil.rmtree(first)  # what was imported is in the new search's own folder
    done = run(tmp_path, *again, "budget.trainings=10")
    assert done.returncode == 0, done.stderr
    assert read_population(RunDirectory(tmp_path / "outputs" / "b")).trainings == 10
    rows = rows_of(tmp_path / "outputs" / "b")
    assert [row["number"] for row in rows[: len(tried.decided)]] == [str(trial.number) for trial in tried.decided]
    assert rows[0]["description"] == "[from a#0] the seed program"

    third = run(tmp_path, "name=c", "from=outputs/b", *LANDSCAPE, "budget.trainings=2", "strategy=beam")
    assert third.returncode == 0, third.stderr
    assert rows_of(tmp_path / "outputs" / "c")[0]["description"] == "[from a#0] the seed program"
    assert summary_of(tmp_path / "outputs" / "c")["baseline_val_bpb"] == pytest.approx(tried.scores[0], abs=1e-3)
    report = (tmp_path / "outputs" / "c" / "report.md").read_text()
    assert "come from an earlier search and count against no budget here" in report


def test_under_other_conditions_the_champion_is_measured_first_and_the_rest_counts_as_tried(tmp_path: Path) -> None:
    assert run(tmp_path, "name=a", *LANDSCAPE, "budget.trainings=14").returncode == 0
    tried = read_population(RunDirectory(tmp_path / "outputs" / "a"))
    done = run(tmp_path, "name=b", "from=outputs/a", "target.seed=1", *LANDSCAPE, "budget.trainings=8")

    assert done.returncode == 0, done.stderr
    assert tried.champion is not None
    champion = tried.champion.number
    assert "measured under other conditions (target.seed was 0, is 1): the baseline is measured first, then" in (
        done.stdout
    )
    found = read_population(RunDirectory(tmp_path / "outputs" / "b"))
    measured = [trial.number for trial in found.decided if trial.status is not Status.UNMEASURED and trial.program]
    assert measured[:2] == [0, champion]
    assert found.trials[champion].trainings
    for old, new in zip(tried.trials[1:], found.trials[1:], strict=False):
        assert new.program == old.program
        assert old.program is None or (new.status is Status.UNMEASURED) == (old.number != champion)
    programs = [trial.program.id for trial in found.trials if trial.program]
    assert len(set(programs)) == len(programs)
    assert found.trainings == 8
    report = (tmp_path / "outputs" / "b" / "report.md").read_text()
    assert "have no score here, because they were measured under other conditions" in report


def test_a_seed_program_that_the_earlier_search_has_not_tried_is_a_candidate(tmp_path: Path) -> None:
    assert run(tmp_path, "name=a", "seed=0", *FAST_COMMAND(tmp_path), "budget.trainings=3").returncode == 0
    (tmp_path / "mine.py").write_text("LEVEL = 7\nprint('score:', LEVEL)\n")
    mine = "target.program=mine.py"
    done = run(tmp_path, "name=b", "from=outputs/a", "seed=0", mine, *FAST_COMMAND(tmp_path), "budget.trainings=3")

    assert done.returncode == 0, done.stdout + done.stderr
    before, found = (read_population(RunDirectory(tmp_path / "outputs" / name)) for name in "ab")
    assert "the seed program is another one now: it is measured as #" in done.stdout
    candidate = found.trials[len(before.trials)]
    assert candidate.program == Program((tmp_path / "mine.py").read_text())
    assert candidate.status in (Status.KEEP, Status.DISCARD)
    assert candidate.values
    assert found.trials[0].program == before.trials[0].program


def FAST_COMMAND(folder: Path) -> tuple[str, ...]:  # noqa: N802 -- a constant but for its folder
    """Return a target whose programs take no time and report a number of their own."""
    root = folder / "own"
    root.mkdir(exist_ok=True)
    (root / "train.py").write_text("LEVEL = 9\nprint('score:', LEVEL)\n")
    return (
        *("target=command", f"target.root={root}", "target.file=train.py", "target.command='python train.py'"),
        *("target.metric=score", "target.metric_file=null", "operator=constants", "strategy=greedy", QUIET),
    )


def test_each_search_of_a_sweep_begins_with_the_earlier_one(tmp_path: Path) -> None:
    assert run(tmp_path, "name=a", *LANDSCAPE, "budget.trainings=4").returncode == 0
    done = run(tmp_path, "-m", "name=s", "from=outputs/a", "strategy=greedy,random", *LANDSCAPE, "budget.trainings=2")

    assert done.returncode == 0, done.stderr
    begun = sorted((tmp_path / "outputs" / "sweeps" / "s").rglob("journal.log"))
    assert len(begun) == 2
    for journal in begun:
        assert read_population(RunDirectory(journal.parent)).trials[0].origin == "a#0"


def test_a_dry_run_says_what_would_come_of_it_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(tmp_path, "name=a", *LANDSCAPE, "budget.trainings=4").returncode == 0
    before = state_of(tmp_path)

    assert main(["name=b", "from=outputs/a", *LANDSCAPE]) == 0
    told = capsys.readouterr().out
    assert "with their scores; the champion is #" in told
    assert "  #0   baseline   0.9977  2 x  [from a#0] the seed program" in told
    assert told.endswith("nothing was written: this was a dry run\n")
    assert main(["name=b", "from=outputs/a", "target.seed=1", *LANDSCAPE]) == 0
    assert "without their scores" in capsys.readouterr().out
    assert main(["name=b", *LANDSCAPE]) == 2
    assert "from must name the folder of an earlier search" in capsys.readouterr().err
    assert state_of(tmp_path) == before


# What is imported


def test_scores_seeds_and_repeats_come_over_as_they_are(tmp_path: Path) -> None:
    twice = make_trial(1, 1.9, status=Status.KEEP, seeds=(5, 6, 7))
    known = Population((make_trial(0, 2.0, status=Status.BASELINE, parents=(), seeds=(5, 6)), twice))
    population = begin(make_search(tmp_path / "a", known))

    assert population.scores == known.scores
    assert population.posterior == known.posterior
    assert [list(trial.values) for trial in population.trials] == [[5, 6], [5, 6, 7]]


def test_what_the_earlier_search_spent_is_not_spent_here(source: SearchRun) -> None:
    population = begin(source)

    assert source.population.cost_usd > 0
    assert (population.trainings, population.cost_usd) == (0, 0)
    assert [trial.cost_usd for trial in population.trials] == [trial.cost_usd for trial in MIXED.trials]
    assert make_summary(population).gpu_seconds == 0
    assert make_summary(source.population).gpu_seconds > 0


def test_what_was_under_way_goes_on_if_it_has_a_program(tmp_path: Path) -> None:
    asked = replace(make_trial(2, status=Status.PENDING), mutation=None)
    under_way = replace(make_trial(1, status=Status.PENDING), evaluations=(make_evaluation(1.5, seed=4),))
    known = Population((make_trial(0, 2.0, status=Status.BASELINE, parents=()), under_way, asked))
    population = begin(make_search(tmp_path / "a", known))

    assert [trial.status for trial in population.trials] == [Status.BASELINE, Status.PENDING, Status.NOT_BUILT]
    assert population.trials[1].values == {4: 1.5}
    assert population.trials[2].detail == "a ended before there was a program"
    assert failures(population.trials[0], population) == [], "nothing was tried that could be told"


def test_under_other_conditions_numbers_stay_and_strategies_start_anew(source: SearchRun) -> None:
    population = begin(source, **OTHER_CARD)
    champion = source.population.champion
    assert champion is not None

    assert [trial.program for trial in population.trials] == [trial.program for trial in MIXED.trials]
    assert [trial.number for trial in population.pending] == [0, champion.number]
    assert not any(trial.evaluations for trial in population.trials)
    assert all(set(trial.proposal.labels) == {IMPORTED} for trial in population.trials[1:])
    statuses = {MIXED.trials[trial.number].status: trial.status for trial in population.decided}
    assert statuses.pop(Status.NOT_BUILT) is Status.NOT_BUILT
    assert set(statuses.values()) == {Status.UNMEASURED}
    assert population.trials[3].detail == "discard at 1.9500 in mar8 (cards was ['H100, 85 GB'], is ['A100, 42 GB'])"
    assert population.trials[2].detail.endswith(": crashed: no luck")


def test_another_seed_program_comes_in_front_and_numbers_follow(source: SearchRun) -> None:
    mine = Program(SEED_SOURCE.replace("DEPTH = 4", "DEPTH = 6"))
    population = begin(source, mine, **OTHER_CARD)

    assert population.trials[0].program == mine
    assert population.trials[1].program == MIXED.trials[0].program
    assert [trial.proposal.parents for trial in population.trials[1:4]] == [(0,), (1,), (2,)]
    assert population.trials[5].origin == "mar8#4"

    crossed = replace(MIXED.trials[1], mutation=replace(MIXED.trials[1].mutation, extra_parents=(0,)))
    failed = replace(MIXED.trials[4], failure=Attempt(operator="crossover", extra_parents=(3,)))
    moved = begin(replace(source, population=MIXED.with_trial(crossed).with_trial(failed)), mine, **OTHER_CARD)
    assert (moved.trials[2].extra_parents, moved.trials[5].extra_parents) == ((1,), (4,))


def test_the_champion_as_the_new_seed_program_is_measured_once(source: SearchRun) -> None:
    champion = source.population.champion
    assert champion is not None
    assert champion.program is not None
    for population in (begin(source, champion.program), begin(source, champion.program, **OTHER_CARD)):
        assert all(trial.program is None or trial.number == 0 for trial in population.pending if not trial.origin)
        again = [trial for trial in population.pending if trial.program == champion.program]
        assert len(again) == (population.trials[0].program == champion.program)


def test_what_an_even_earlier_search_found_keeps_its_origin_and_its_story(source: SearchRun, tmp_path: Path) -> None:
    second = begin(source, **OTHER_CARD)
    measured = [
        replace(
            trial, evaluations=(make_evaluation(2.0 - trial.number / 100),), status=status, decided=20 + trial.number
        )
        for trial, status in zip(second.pending, (Status.BASELINE, Status.KEEP), strict=True)
    ]
    for trial in measured:
        second = second.with_trial(trial)
    environment = {**ENVIRONMENT, **OTHER_CARD}
    third = begin(make_search(tmp_path / "next", renumber_verdicts(second), environment=environment), **OTHER_CARD)

    assert third.champion is not None
    assert third.champion.number == measured[1].number
    assert third.trials[3] == replace(second.trials[3], decided=third.trials[3].decided)
    assert third.trials[3].origin == "mar8#3"


# Conditions


@pytest.mark.parametrize(
    ("target", "environment", "told"),
    [
        ({}, {}, ()),
        ({"name": "mine", "sandbox": "off", "program": "p.py"}, {"commit": "b", "python": "3.12", "isolation": []}, ()),
        ({}, {"device": {**ENVIRONMENT["device"], "memory_bytes": 2}}, ()),
        ({}, {"cards": [{"name": "H100", "memory_bytes": 85_100_000_000, "id": "3"}] * 2}, ()),
        ({"train_seconds": 20}, {}, ("target.train_seconds was 9, is 20",)),
        ({"constants": {"DEPTH": 3}}, {}, ("target.constants.DEPTH was not known, is 3",)),
        ({}, {"versions": {"torch": "2.14.0", "graft-search": "0.1.0"}}, ("torch was '2.13.0', is '2.14.0'",)),
        ({}, {"versions": {"torch": "2.13.0"}}, ("graft-search was '0.1.0', is not known",)),
        ({}, {"device": {**ENVIRONMENT["device"], "cpu": "another"}}, ("device.cpu was 'a cpu', is 'another'",)),
        ({}, OTHER_CARD, ("cards was ['H100, 85 GB'], is ['A100, 42 GB']",)),
        ({}, {"corpus": {**ENVIRONMENT["corpus"], "hash": "bad"}}, ("corpus.hash was 'f00', is 'bad'",)),
        (
            {"corpus": {"vocab_size": 64}},
            {"corpus": {**ENVIRONMENT["corpus"], "vocab_size": 64}},
            ("target.corpus.vocab_size was 512, is 64",),
        ),
        (
            {"train_seconds": 20, "threads": 2, "device": "cuda", "clock": "wall"},
            {},
            (
                "target.train_seconds was 9, is 20",
                "target.threads was not known, is 2",
                "target.device was not known, is 'cuda'",
                "and 1 more",
            ),
        ),
    ],
)
def test_scores_are_worth_the_same_under_the_same_conditions(target: Any, environment: Any, told: Any) -> None:
    here = conditions({**TARGET, **target}, {**ENVIRONMENT, **environment})

    assert differences(conditions(TARGET, ENVIRONMENT), here) == told


def test_a_checkout_is_what_it_holds_wherever_it_lies() -> None:
    held = {"root": "/a", "commit": "1", "hash": "f00"}
    there = conditions({"root": "/a"}, {"checkout": held})

    assert differences(there, conditions({"root": "/b"}, {"checkout": {**held, "root": "/b", "commit": "2"}})) == ()
    assert differences(there, conditions({"root": "/a"}, {"checkout": {**held, "hash": "bad"}}))


# What is refused


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("outputs/mar9", "got outputs/mar9, which is not there; did you mean outputs/mar8?"),
        ("mar8", "got mar8, which is not there; did you mean outputs/mar8?"),
        ("outputs", "got outputs, which holds 1 of them; name one, such as outputs/mar8"),
        ("outputs/mar8/journal.log", "which holds none"),
        ("outputs/mar8/trials", "which holds none"),
        ("else/where", "got else/where, which is not there; there is outputs/mar8"),
        ("outputs/new", "which is this one; omit from to resume it"),
        ("outputs/../outputs/new", "which is this one"),
    ],
)
def test_what_is_no_earlier_search_is_refused(
    given: str, said: str, source: SearchRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (source.root / "trials").mkdir(exist_ok=True)
    with pytest.raises(UserError) as error:
        find_source({"from": given, "outputs": "outputs", "target": TARGET}, RunDirectory(Path("outputs/new")))

    assert said in str(error.value)


def refusal(source: Path, run: RunDirectory, target: Any = TARGET) -> str:
    with pytest.raises(UserError) as error:
        find_source({"from": str(source), "outputs": str(source.parent), "target": target}, run)
    return str(error.value)


def test_a_search_that_still_runs_is_refused(source: SearchRun, tmp_path: Path) -> None:
    with locked(source.root / ".lock"):
        assert "is still running (process " in refusal(source.root, RunDirectory(tmp_path / "new"))
    config = {"from": str(source.root), "outputs": str(tmp_path), "target": TARGET}
    assert find_source(config, RunDirectory(tmp_path / "new")) is not None


def test_a_search_that_found_nothing_is_refused(tmp_path: Path) -> None:
    make_search(tmp_path / "a", make_population(Status.CRASHED))

    assert "no program with a score (its seed program is crashed)" in refusal(
        tmp_path / "a", RunDirectory(tmp_path / "new")
    )


def test_an_import_that_has_not_searched_is_gone_on_with_under_its_name(source: SearchRun, tmp_path: Path) -> None:
    RunDirectory(source.root).config.unlink()

    assert "continue it by name=mar8" in refusal(source.root, RunDirectory(tmp_path / "new"))
    other = make_search(tmp_path / "other", MIXED)
    assert "has imported trials already" in refusal(other.root, RunDirectory(source.root))


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ({"_target_": "target.simulated.landscape.landscape_target", "name": "landscape"}, "target=landscape"),
        ({"_target_": "target.command.command_target", "name": "zip", "file": "z.py"}, "z.py of a command"),
    ],
)
def test_programs_of_another_kind_are_refused(target: Any, kind: str, source: SearchRun, tmp_path: Path) -> None:
    said = refusal(source.root, RunDirectory(tmp_path / "new"), target)

    assert f"must be a search for {kind}, as this one is, and is one for a train.py of Graft" in said


def test_a_wrong_name_leaves_nothing_behind(tmp_path: Path) -> None:
    assert_clean_failure(run(tmp_path, "name=b", "from=outputs/a", *LANDSCAPE), "which is not there")
    assert not (tmp_path / "outputs").exists()


def test_a_half_import_of_what_has_changed_since_is_refused(source: SearchRun, tmp_path: Path) -> None:
    folder = RunDirectory(tmp_path / "new")
    folder.create()
    ledger = Ledger(folder)
    ledger.propose(Proposal(parents=(), seed=99))

    with pytest.raises(UserError, match="an import was interrupted, and its source has changed since"):
        adopt(ledger, begin(source).trials)


# Messages


def test_models_are_told_what_was_tried_and_what_is_only_known(source: SearchRun) -> None:
    known, first = begin(source), MIXED.trials[0]
    assert failures(first, known) == failures(first, MIXED)
    assert earlier(first, known) == []

    unmeasured = begin(source, **OTHER_CARD)
    assert failures(first, unmeasured) == []
    told = earlier(unmeasured.trials[5], unmeasured)
    assert told[1].startswith("#8 MATRIX_LR -> 0.028: discard at 7.5000 in mar8 (cards was")
    assert [line.split()[0] for line in told] == ["#10", "#8", "#7", "#6", "#3", "#2"]
    assert effect(unmeasured.trials[1], unmeasured).startswith("#1 MATRIX_LR -> 0.021: keep at 1.9000 in mar8")


def test_tables_and_mlflow_name_the_earlier_trial(source: SearchRun, tmp_path: Path) -> None:
    population = begin(source)
    record = trial_record(population.trials[1], population)

    assert record.tags["graft.imported"] == "mar8#1"
    assert record.tags["graft.description"].startswith("[from mar8#1] MATRIX_LR")
    report = render_report(population, make_summary(population), RunDirectory(tmp_path))
    assert "their scores were measured there, under the conditions of this search" in report
