"""An autoresearch branch becomes a search with lineage, and a search goes on from there."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import conf
from operators.prompts.history import failures
from operators.trial import Status
from search.runs.reading import read_population
from tests.checkouts import TRAIN, git, state_of
from tests.search.branches import BRANCH, Agent, imported
from tests.search.command import QUIET, rows_of, summary_of

STRATEGIES = sorted((Path(conf.__file__).parent / "strategy").glob("*.yaml"))


def test_the_history_of_a_branch_becomes_trials_with_lineage_and_scores(agent, tmp_path, capsys):
    before = state_of(agent.root)
    code, run = imported(agent, tmp_path)

    assert code == 0
    assert state_of(agent.root) == before
    population = read_population(run)
    told = [
        (trial.status.value, trial.proposal.parents, list(trial.values.values()), trial.mutation.description)
        for trial in population.trials
    ]
    assert told == [
        ("baseline", (), [0.9979], "baseline"),
        ("keep", (0,), [0.9932, 0.9931], "LR to 0.05"),
        ("discard", (1,), [1.005], "deeper, to 12"),
        ("crashed", (1,), [], "double width"),
        ("discard", (1,), [0.992], "depth 4"),
        ("keep", (1,), [0.985], "depth 9"),
    ]
    assert population.champion.number == 5
    assert population.trials[0].program.source == TRAIN
    assert "DEPTH = 9" in population.champion.program.source
    assert "reverted by line 8" in population.trials[4].detail
    assert population.trials[3].detail == "double width"
    assert population.trials[0].evaluations[0].peak_memory_bytes == 44 * 2**30
    assert not any(trial.verified for trial in population.trials)
    assert population.trainings == 0, "what others trained counts against no budget"
    output = capsys.readouterr().out
    assert "left out, its commit is not in the repository: 1 row (line 6)" in output
    go_on = f"python -m search name=mar5 outputs={tmp_path / 'outputs'} target=autoresearch target.root={agent.root}"
    assert go_on in output


def test_an_imported_search_has_the_files_of_any_other(agent, tmp_path):
    _, run = imported(agent, tmp_path)

    rows = rows_of(run.root)
    assert [row["number"] for row in rows] == ["0", "1", "2", "3", "4", "5"]
    assert rows[3]["val_bpb"] == ""
    assert all(row["description"].startswith("[unverified]") for row in rows)
    summary = summary_of(run.root)
    assert (summary["status"], summary["best_trial"], summary["trainings"]) == ("stopped", 5, 0)
    assert (run.trial(5) / "diff.patch").read_text().count("DEPTH") == 2
    assert [path.name for path in run.root.parent.iterdir()] == ["mar5"], "nothing is left of the making"


def test_optuna_has_the_score_of_every_imported_trial(agent, tmp_path):
    _, run = imported(agent, tmp_path)
    scores = read_population(run).scores
    storage = JournalStorage(JournalFileBackend(str(run.journal)))

    states = [(trial.state.name, trial.value) for trial in storage.get_all_trials(0)]
    assert states == [("COMPLETE", scores[n]) if n in scores else ("FAIL", None) for n in range(6)]
    assert [state for state, _ in states].count("FAIL") == 1


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_every_strategy_goes_on_from_an_imported_population(agent, tmp_path, path):
    _, run = imported(agent, tmp_path)
    population = read_population(run)
    strategy = instantiate(OmegaConf.load(path))

    proposals = [strategy.ask(population, random.Random(seed)) for seed in range(5)]

    assert all(population.trials[parent].scored for each in proposals for parent in each.parents)


def test_a_search_goes_on_with_an_imported_branch(agent, tmp_path):
    _, run = imported(agent, tmp_path)
    arguments = [
        *("name=mar5", "target=autoresearch", f"target.root={agent.root}", "target.command=python train.py"),
        *("strategy=greedy", "operator=constants", "budget.trainings=5", QUIET),
    ]
    known = [row["number"] for row in rows_of(run.root)]
    for _ in range(2):  # the second time there is nothing left to do
        done = subprocess.run(
            [sys.executable, "-m", "search", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    population = read_population(run)

    assert "trials already have a verdict" in done.stdout
    assert [row["number"] for row in rows_of(run.root)][: len(known)] == known
    assert population.trainings == 5
    new = population.trials[6:]
    assert new
    assert new[0].proposal.parents == (5,), "it begins at the champion, not at last week's baseline"
    champion_again = [run for run in population.trials[5].evaluations if run.trained]
    assert champion_again, "the champion is measured on our seeds before anything is compared with it"
    assert all(run.seed < 0 for trial in population.trials[:5] for run in trial.evaluations)
    report = (run.root / "report.md").read_text()
    assert "5 of them were imported from elsewhere" in report
    assert git(agent.root, "status", "--porcelain") == ""


def test_a_revert_that_was_never_run_still_tells_whose_child_comes_next(tmp_path):
    agent = Agent(tmp_path / "autoresearch")
    agent.log(agent.hash(), "1.0", "1", "keep", "baseline")
    agent.log(agent.commit("a", ("DEPTH = 8", "DEPTH = 4")), "0.9", "1", "keep", "a")
    agent.revert("HEAD")
    agent.log(agent.commit("b", ("DEPTH = 8", "DEPTH = 6")), "0.95", "1", "discard", "b")
    agent.reset()
    _, run = imported(agent, tmp_path)
    population = read_population(run)

    assert [trial.proposal.parents for trial in population.trials] == [(), (0,), (0,)]
    assert population.champion.number == 0, "the end of the branch is the baseline again"


def test_a_program_that_failed_first_and_then_was_kept_is_kept(tmp_path):
    agent = Agent(tmp_path / "autoresearch")
    agent.log(agent.hash(), "1.0", "1", "keep", "baseline")
    commit = agent.commit("a", ("DEPTH = 8", "DEPTH = 4"))
    agent.log(commit, "0.000000", "0.0", "crash", "a: the disk was full")
    agent.log(commit, "0.9", "1", "keep", "a again")
    _, run = imported(agent, tmp_path)
    again = read_population(run).trials[1]

    assert (again.status, again.values, again.detail) == (Status.KEEP, {-2: 0.9}, "")


def test_the_table_is_found_where_it_was_committed_or_once_was(agent, tmp_path, capsys):
    git(agent.root, "add", "-f", "results.tsv")
    git(agent.root, "commit", "-q", "-m", "with the table")
    git(agent.root, "checkout", "-q", "master")
    assert imported(agent, tmp_path / "a")[0] == 0
    assert f"{BRANCH}:results.tsv: 8 rows" in capsys.readouterr().out

    git(agent.root, "checkout", "-q", BRANCH)
    git(agent.root, "rm", "-q", "results.tsv")
    git(agent.root, "commit", "-q", "-m", "without it")
    assert imported(agent, tmp_path / "b")[0] == 0
    assert ":results.tsv: 8 rows" in capsys.readouterr().out


# What agents do with commits


def test_a_baseline_without_a_commit_is_what_the_first_known_commit_was_made_from(tmp_path):
    agent = Agent(tmp_path / "autoresearch")
    agent.log("baseline", "1.0", "1", "keep", "baseline")
    agent.log(agent.commit("a", ("DEPTH = 8", "DEPTH = 4")), "1.1", "1", "discard", "a")
    agent.reset()
    agent.log("TBD", "0.7", "1", "keep", "never committed")
    agent.log(agent.commit("b", ("DEPTH = 8", "DEPTH = 6")), "0.9", "1", "keep", "b")
    _, run = imported(agent, tmp_path)
    trials = read_population(run).trials

    assert [(trial.status.value, trial.proposal.parents, list(trial.values.values())) for trial in trials] == [
        ("baseline", (), [1.0]),
        ("discard", (0,), [1.1]),
        ("keep", (0,), [0.9]),
    ]
    assert trials[0].program.source == TRAIN


def test_a_name_in_place_of_a_commit_is_that_of_the_only_commit_whose_message_begins_with_it(tmp_path, capsys):
    agent = Agent(tmp_path / "autoresearch")
    agent.log("exp0", "1.0", "1", "keep", "baseline")
    agent.commit("exp1: depth 4", ("DEPTH = 8", "DEPTH = 4"))
    agent.log("exp1", "0.9", "1", "keep", "depth 4")
    for depth in (5, 6):
        agent.commit("[exp2] deeper", (f"DEPTH = {depth - 1}", f"DEPTH = {depth}"))
    agent.log("exp2", "0.8", "1", "keep", "two commits have the name")
    agent.commit("Exp 10, exp3", ("DEPTH = 6", "DEPTH = 7"))
    agent.log("exp3", "0.7", "1", "keep", "no commit begins with the name")
    agent.log("Exp 10", "0.6", "1", "keep", "depth 7")
    agent.commit("004: depth 2", ("DEPTH = 7", "DEPTH = 2"))
    agent.log("004", "0.5", "1", "keep", "depth 2")
    agent.commit("12 layers", ("DEPTH = 2", "DEPTH = 12"))
    agent.log("12", "0.4", "1", "keep", "a number is no name: the message may count anything")
    _, run = imported(agent, tmp_path)

    trials = read_population(run).trials
    assert [(trial.proposal.parents, *trial.values.values()) for trial in trials] == [
        ((), 1.0),
        ((0,), 0.9),
        ((1,), 0.6),
        ((2,), 0.5),
    ]
    assert "a name in place of the commit: 3 rows (lines 3, 6, 7)" in capsys.readouterr().out


def test_what_was_reset_before_it_was_logged_is_history_without_a_score(tmp_path, capsys):
    agent = Agent(tmp_path / "autoresearch")
    agent.log(agent.hash(), "1.0", "1", "keep", "baseline")
    kept = agent.commit("a", ("DEPTH = 8", "DEPTH = 4"))
    agent.log(kept, "0.9000", "1", "keep", "depth 4")
    agent.log(kept, "0.9900", "1", "discard", "learning rate 0.05")
    agent.log(kept, "0.000000", "0.0", "crash", "width 4096")
    agent.log(kept, "0.9010", "1", "discard", "re-run of depth 4: noise check")
    agent.log(kept, "0.8000", "1", "keep", "logged before it was committed")
    _, run = imported(agent, tmp_path)
    population = read_population(run)

    assert population.champion.number == 1
    assert sorted(population.champion.values.values()) == [0.9, 0.901]
    lost = population.trials[2:]
    assert [(trial.status, trial.program, trial.evaluations) for trial in lost] == [(Status.NOT_BUILT, None, ())] * 3
    assert "the commit is that of another program: 3 rows (lines 4, 5, 7)" in capsys.readouterr().out
    failed = failures(population.champion, population)
    assert any("learning rate 0.05: discard at 0.99; its program is lost" in line for line in failed)


def test_rows_of_several_programs_under_one_commit_are_never_averaged(tmp_path, capsys):
    agent = Agent(tmp_path / "autoresearch")
    head = agent.hash()
    for value, status, description in (
        *(("0.9", "keep", "baseline"), ("0.8", "discard", "wide"), ("0.3", "keep", "baseline")),
        *(("0.2", "keep", "deep"), ("0.7", "discard", "deep")),
    ):
        agent.log(head, value, "1", status, description)
    _, run = imported(agent, tmp_path)

    assert read_population(run).scores == {0: 0.9}
    assert "the commit is that of another program: 4 rows (lines 3, 4, 5, 6)" in capsys.readouterr().out


def test_a_copy_of_a_row_is_no_second_measurement_and_a_second_one_is_told(tmp_path, capsys):
    agent = Agent(tmp_path / "autoresearch")
    agent.log(agent.hash(), "1.0", "1", "keep", "baseline")
    wide = agent.commit("a", ("DEPTH = 8", "DEPTH = 4"))
    for value in ("1.21", "1.21", "1.25"):
        agent.log(wide, value, "1", "discard", "wide")
    _, run = imported(agent, tmp_path)

    assert sorted(read_population(run).trials[1].values.values()) == [1.21, 1.25]
    told = capsys.readouterr().out
    assert "left out, a copy of an earlier row: 1 row (line 4)" in told
    assert "the program of an earlier row again: 1 row (line 5); the score of a program is the mean of its rows" in told


def test_what_was_discarded_without_a_commit_is_history_of_what_was_kept_last(tmp_path, capsys):
    agent = Agent(tmp_path / "autoresearch")
    agent.log("-", "1.2", "1", "discard", "before anything was kept")
    agent.log(agent.hash(), "1.0", "1", "keep", "baseline")
    agent.log("-", "1.1", "1", "discard", "narrower")
    agent.log("n/a", "0.000000", "0.0", "crash", "far wider")
    agent.log("-", "0.9", "1", "keep", "committed never")
    agent.log("-", "0.95", "1", "discard", "made from that one")
    agent.log(agent.commit("a", ("DEPTH = 8", "DEPTH = 4")), "0.8", "1", "keep", "depth 4")
    agent.log("-", "0.85", "1", "discard", "depth 5")
    _, run = imported(agent, tmp_path)
    population = read_population(run)

    told = capsys.readouterr().out
    assert "left out, no commit: 3 rows (lines 2, 6, 7)" in told
    assert "no commit, and not kept: 3 rows (lines 4, 5, 9)" in told
    lost = [trial for trial in population.trials if trial.program is None]
    assert [(trial.proposal.parents, trial.status, trial.scored) for trial in lost] == [
        ((0,), Status.NOT_BUILT, False),
        ((0,), Status.NOT_BUILT, False),
        ((3,), Status.NOT_BUILT, False),
    ]
    assert "depth 5: discard at 0.85; its program is lost" in lost[2].detail
    assert population.champion.number == 3


def test_a_long_branch_in_the_form_of_mar8_is_imported_and_gone_on_from(tmp_path):
    """126 rows, a word for the baseline, 22 keeps, crashes with 0.000000; more rows than `max_failures`."""
    agent = Agent(tmp_path / "autoresearch")
    agent.log("baseline", "0.997900", "44.0", "keep", "baseline")
    best, kept = 0.9979, 0
    for number in range(1, 126):
        # each in its own file, so that kept changes add up and others go with their commit
        commit = agent.commit(f"row {number}", ("import os", f"import os\nROW_{number} = {number}"))
        if number % 6 == 1 and kept < 22:
            best, kept = best - 0.00128, kept + 1
            agent.log(commit, f"{best:.6f}", "44.0", "keep", f"change {number}")
            continue
        crashed = number % 7 == 0
        agent.log(
            commit,
            "0.000000" if crashed else f"{best + 0.002:.6f}",
            "0.0" if crashed else "44.0",
            "crash" if crashed else "discard",
            f"change {number}",
        )
        agent.reset()
    code, run = imported(agent, tmp_path)
    population = read_population(run)

    assert code == 0
    assert len(population.trials) == 126
    assert Counter(trial.status.value for trial in population.trials)["keep"] == kept
    champion = population.champion
    assert list(champion.values.values()) == [float(f"{best:.6f}")]
    keeps = [trial.number for trial in population.trials if trial.status in (Status.BASELINE, Status.KEEP)]
    for trial in population.trials[1:]:
        assert trial.proposal.parents == (max(number for number in keeps if number < trial.number),)
    arguments = [
        *("name=mar5", "target=autoresearch", f"target.root={agent.root}", "target.command=python train.py"),
        *("strategy=greedy", "operator=constants", "budget.trainings=3", QUIET),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "search", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    after = read_population(run)
    assert after.trainings == 3
    assert len(after.trials) > 126, "126 imported trials without a training do not stop the search"
    assert after.trials[126].proposal.parents == (champion.number,)
