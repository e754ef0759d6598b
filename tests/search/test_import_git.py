"""An autoresearch branch becomes a search with lineage, and a search goes on from there."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import conf
from operators.trial import Status
from search.autoresearch_log import parse_results
from search.errors import UserError
from search.import_git import main
from search.ledger import read_population
from search.rundir import RunDirectory
from tests.checkouts import TRAIN, git, make_checkout, state_of
from tests.search.command import QUIET, rows_of, summary_of

BRANCH = "autoresearch/mar5"
STRATEGIES = sorted((Path(conf.__file__).parent / "strategy").glob("*.yaml"))


class Agent:
    """Does to a repository what autoresearch's program.md asks of an agent, and writes it down in results.tsv."""

    def __init__(self, root: Path) -> None:
        self.root = make_checkout(root)
        git(root, "checkout", "-q", "-b", BRANCH)
        self.rows = ["commit\tval_bpb\tmemory_gb\tstatus\tdescription"]

    def commit(self, description: str, *changes: tuple[str, str]) -> str:
        source = (self.root / "train.py").read_text()
        for old, new in changes:
            assert old in source
            source = source.replace(old, new)
        (self.root / "train.py").write_text(source)
        git(self.root, "commit", "-q", "--allow-empty", "-am", description)
        return self.hash()

    def revert(self, commit: str) -> str:
        git(self.root, "revert", "--no-edit", commit)
        return self.hash()

    def hash(self) -> str:
        return git(self.root, "rev-parse", "--short=7", "HEAD")

    def reset(self) -> None:
        git(self.root, "reset", "-q", "--hard", "HEAD~1")

    def log(self, commit: str, val_bpb: str, memory_gb: str, status: str, description: str) -> None:
        self.rows.append("\t".join((commit, val_bpb, memory_gb, status, description)))
        (self.root / "results.tsv").write_text("\n".join(self.rows) + "\n")


@pytest.fixture
def agent(tmp_path):
    """A night's work: kept and discarded commits, a crash, a revert, and a commit that is gone."""
    agent = Agent(tmp_path / "autoresearch")
    agent.log(agent.hash(), "0.997900", "44.0", "keep", "baseline")
    agent.log(agent.commit("lr", ("MATRIX_LR = 0.04", "MATRIX_LR = 0.05")), "0.993200", "44.2", "keep", "LR to 0.05")
    agent.log(agent.commit("gelu", ("DEPTH = 8", "DEPTH = 12")), "1.005000", "44.0", "discard", "deeper, to 12")
    agent.reset()
    agent.log(
        agent.commit("wide", ("import os", "import os  # wide\nWIDTH = 4")), "0.000000", "0.0", "crash", "double width"
    )
    agent.reset()
    agent.log("0123abc", "0.991000", "44.0", "discard", "of an object that git has thrown away")
    shallow = agent.commit("depth 4", ("DEPTH = 8", "DEPTH = 4"))
    agent.log(shallow, "0.992000", "30.0", "keep", "depth 4")
    agent.log(agent.revert("HEAD"), "0.993100", "44.2", "keep", "revert: depth 4 was luck")
    agent.log(agent.commit("depth 9", ("DEPTH = 8", "DEPTH = 9")), "0.985000", "47.0", "keep", "depth 9")
    return agent


def imported(agent: Agent, tmp_path: Path, *options: str):
    code = main(
        [str(agent.root), "--branch", BRANCH, "--name", "mar5", "--outputs", str(tmp_path / "outputs"), *options]
    )
    return code, RunDirectory(tmp_path / "outputs" / "mar5")


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
    assert "left out: line 6 (0123abc discard of an object that git has thrown away)" in output
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
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    population = read_population(run)

    assert "trials have their verdict already" in done.stdout
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


def test_other_metrics_are_imported_with_their_sign(tmp_path):
    agent = Agent(tmp_path / "autoresearch")
    agent.rows = ["commit\tscore\tstatus\tdescription"]
    for value, change in (("0.4", "8"), ("0.5", "4")):
        commit = agent.commit(value, ("DEPTH = 8", f"DEPTH = {change}"))
        agent.rows.append(f"{commit}\t{value}\tkeep\t{value}")
    (agent.root / "results.tsv").write_text("\n".join(agent.rows))
    code, run = imported(agent, tmp_path, "--metric", "score", "--maximize")

    assert code == 0
    assert [trial.val_bpb for trial in read_population(run).trials] == [-0.4, -0.5]


@pytest.mark.parametrize(
    ("breakage", "phrase"),
    [
        ("no repository", "must be in a git repository"),
        ("no directory", "must be the directory of a git repository"),
        ("no branch", "must have the branch autoresearch/mar5; there are: master"),
        ("no table", "there is no results.tsv: neither in"),
        ("nothing kept", "no baseline to begin with: line 2 (0123abc"),
        ("twice", "exists already: choose another name"),
    ],
)
def test_what_cannot_be_imported_is_told_and_leaves_nothing(agent, tmp_path, capsys, breakage, phrase):
    if breakage == "no repository":
        agent.root = tmp_path / "plain"
        agent.root.mkdir()
    elif breakage == "no directory":
        agent.root = tmp_path / "nowhere"
    elif breakage == "no branch":
        git(agent.root, "checkout", "-q", "master")
        git(agent.root, "branch", "-q", "-D", BRANCH)
    elif breakage == "no table":
        (agent.root / "results.tsv").unlink()
    elif breakage == "nothing kept":
        agent.rows = agent.rows[:1]
        agent.log("0123abc", "0.9", "1", "keep", "baseline")
    else:
        imported(agent, tmp_path)
    code, run = imported(agent, tmp_path)

    assert code == 2
    assert phrase in capsys.readouterr().err
    assert run.root.exists() == (breakage == "twice")


@pytest.mark.parametrize(
    ("table", "phrase"),
    [
        ("", "is empty"),
        ("commit\tval_bpb\tstatus\n", "has a header and no experiment"),
        ("abc1234\t0.9\t44\tkeep\tbaseline\n", "t:1: the header must name the tab-separated columns"),
        ("commit,val_bpb,status\n", "t:1: the header must name"),
        ("commit\tval_bpb\tstatus\n\nabc1234\t0.9\n", "t:3: 3 columns are expected, got 2"),
        ("commit\tval_bpb\tstatus\nabc1234\tlow\tkeep\n", "t:2: val_bpb must be a number, got 'low'"),
        ("commit\tval_bpb\tstatus\nmaster\t0.9\tkeep\n", "t:2: the commit must be an abbreviated hash, got 'master'"),
        ("commit\tval_bpb\tstatus\nabc1234\t0.9\tperhaps\n", "t:2: the status must be one of"),
        ("commit\tval_bpb\tstatus\nabc1234\t1e300\tkeep\n", "t:2: val_bpb must be at most 1e+15"),
        ("commit\tval_bpb\tmemory_gb\tstatus\nabc1234\t1\t1e300\tkeep\n", "t:2: memory_gb must be from 0"),
        ("commit\tval_bpb\tmemory_gb\tstatus\nabc1234\t1\t-1\tkeep\n", "t:2: memory_gb must be from 0"),
        ("commit\tval_bpb\tstatus\n" + "abc1234\t0.9\tkeep\n" * 5_001, "must have at most 5,000 rows, got 5,001"),
    ],
)
def test_a_malformed_table_names_the_line(table, phrase):
    with pytest.raises(UserError) as error:
        parse_results(table, place="t", metric="val_bpb")

    assert phrase in str(error.value)


def test_a_table_is_read_leniently_where_its_meaning_is_plain():
    text = (
        "\ufeffCommit\tval_bpb\tmemory_gb\tstatus\tdescription\r\n"
        "ABC1234\t0.9\t\tKept\tone\ttab more\r\n"
        "\r\n"
        "abc1235\t0.000000\t0.0\tdiscard\r\n"
        "abc1236\tN/A\t-\tOOM\ttoo wide\n"
        "abc1237\t0.8\t1.5\treverted\tworse"
    )
    rows = parse_results(text, place="t", metric="val_bpb")

    assert [(row.line, row.commit, row.value, row.status.value, row.description) for row in rows] == [
        (2, "abc1234", 0.9, "keep", "one\ttab more"),
        (4, "abc1235", None, "crashed", ""),
        (5, "abc1236", None, "out_of_memory", "too wide"),
        (6, "abc1237", 0.8, "discard", "worse"),
    ]
