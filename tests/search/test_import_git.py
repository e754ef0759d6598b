# ruff: noqa: E501 -- one row a line, as in a table
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
from search.errors import UserError
from search.import_git.__main__ import main
from search.import_git.direction import compare_kept, is_minimized
from search.import_git.log import decode_results, parse_results
from search.import_git.missing import NoScoreError
from search.import_git.table import LeftOut
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
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
            timeout=180,
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


def test_other_metrics_are_imported_with_their_sign(tmp_path):
    agent = Agent(tmp_path / "autoresearch")
    agent.rows = ["commit\tscore\tstatus\tdescription"]
    for value, change in (("0.4", "8"), ("0.5", "4")):
        commit = agent.commit(value, ("DEPTH = 8", f"DEPTH = {change}"))
        agent.rows.append(f"{commit}\t{value}\tkeep\t{value}")
    (agent.root / "results.tsv").write_text("\n".join(agent.rows))
    code, run = imported(agent, tmp_path, "--metric", "score", "--maximize")

    assert code == 0
    assert [trial.score for trial in read_population(run).trials] == [-0.4, -0.5]


@pytest.mark.parametrize(
    ("breakage", "phrase"),
    [
        ("no repository", "must be in a git repository"),
        ("no directory", "must be the directory of a git repository"),
        ("no branch", "must have the branch autoresearch/mar5; its branches are: master"),
        ("no table", "there is no results.tsv: neither in"),
        ("nothing kept", "no baseline to start from: its commit is not in the repository: 1 row (line 2)"),
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
        ("commit\tval_bpb\tstatus\n", "has a header but no experiment"),
        ("abc1234\t0.9\t44\tkeep\tbaseline\n", "t:1: there must be a header with the columns commit, val_bpb"),
        (
            "commit\tval_bpb\tstatus\nabc1234\tlow\tkeep\n",
            "no row that can be used: val_bpb is not a number: 1 row (line 2)",
        ),
        ("commit\tval_bpb\tstatus\n" + "abc1234\t0.9\tkeep\n" * 5_001, "must have at most 5,000 rows, got 5,001"),
    ],
)
def test_a_table_without_anything_to_import_says_why(table, phrase):
    with pytest.raises(UserError) as error:
        parse_results(table, place="t", metric="val_bpb")

    assert phrase in str(error.value)


HEAD = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("abc1234\t0.9", "fewer columns than the header"),
        ("abc1234\tlow\t1\tkeep\td", "val_bpb is not a number"),
        ("abc1234\t<0.9\t1\tkeep\td", "val_bpb is not a number"),  # a bound is no measurement
        ("abc1234\t0.95 -> 0.93\t1\tkeep\td", "val_bpb can be read as two numbers"),
        ("abc1234\t0.95/0.93\t1\tkeep\td", "val_bpb can be read as two numbers"),
        ("abc1234\t1,234\t1\tkeep\td", "val_bpb can be read as two numbers"),
        ("abc1234\t1e300\t1\tkeep\td", "val_bpb is beyond 1e+15"),
        ("abc1234\t\t1\tkeep\td", "keep without a val_bpb"),
        ("abc1234\t0.000000\t0.0\tkeep\td", "keep with 0, which stands for a crash, as val_bpb"),
        ("abc1234\t-\t1\tdiscard\td", "discard without a val_bpb"),
        ("abc1234\t0.9\t1\tpending\td", "the status 'pending' is not known"),
        ("abc1234\t0.9\t1\tkeep?\td", "the status 'keep?' is not known"),
        ("abc1234\t0.9\t1\tkeep -> discard\td", "the status 'keep -> discard' is not known"),
        ("abc1234\t0.9\t1\tnot kept\td", "the status 'not kept' is not known"),
        ("abc1234\t90%\t1\tkeep\td", "a val_bpb in percent among others"),
        ("abc1234\t0.9\t1\tkeep-candidate\td", "the status 'keep-candidate' is not known"),
        ("abc1234\t0.9\t1\tsuccess\td", "the status 'success' is not known"),  # of the run, or of the change
        ("abc1234\t0.9\t1\tkilled\td", "the status 'killed' is not known"),  # the run, or the idea
        (
            "abc1234\t0.9\tdiscard\tbest so far is 0.8\td",
            "a verdict where the memory should be, so its cells are not below their headers",
        ),
        ("abc1234\t0.9\t1\tkeep\tdeepabc1235\t0.8\t1\tkeep\twide", "a second row in the line of the first"),
    ],
)
def test_a_row_that_has_no_meaning_or_two_is_left_out_with_the_reason(row, why):
    table = parse_results(f"{HEAD}abc1230\t0.7\t1\tkeep\tbaseline\n{row}\n", place="t", metric="val_bpb")

    assert [kept.line for kept in table.rows] == ([2, 3] if "second row" in why else [2])
    assert table.left_out == [LeftOut(3, why)]
    assert all("\t" not in kept.description for kept in table.rows)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("abc1234", "0.9000 (baseline)", "44.0 GB", "keep (baseline)"), ("abc1234", 0.9, 44.0, "keep")),
        (("`abc1234`", "**~0.90**", "45056MiB", "KEEP \u2705"), ("abc1234", 0.9, 44.0, "keep")),
        (("[abc1234](https://example.invalid)", "0,9", "", "**kept**"), ("abc1234", 0.9, None, "keep")),
        (('"abc1234"', '"0.9"', "1e300", '"discard"'), ("abc1234", 0.9, None, "discard")),
        (("abc1234 (reset)", "0.9±0.01", "-1", "discard - kept the old one"), ("abc1234", 0.9, None, "discard")),
        (("abc1234", "1,234,567.5", "44", "keep"), ("abc1234", 1234567.5, 44.0, "keep")),
        (("abc1234", "-1,234.25 ms", "44", "keep"), ("abc1234", -1234.25, 44.0, "keep")),
        (("abc1234", "0.9 +/- 0.01", "44", "keep-provisional"), ("abc1234", 0.9, 44.0, "keep")),
        (("baseline", "0.9 bpb", "?", "\u274c reverted"), (None, 0.9, None, "discard")),
        (("TBD", ".9", "44 fish", "Discarded."), (None, 0.9, None, "discard")),
        (("", "9e-1", "44", "worse"), (None, 0.9, 44.0, "discard")),
        (("0012", "0.9", "44", "keep"), (None, 0.9, 44.0, "keep")),  # a count of their own, not the hash of a commit
        (("added", "0.9", "44", "keep*"), ("added", 0.9, 44.0, "keep")),  # no commit is called so: left out by git
        (("abc1234", "0.000000", "0.0", "discard"), ("abc1234", None, None, "crashed")),
        (("abc1234", "crash", "0.0", "crash (shape)"), ("abc1234", None, None, "crashed")),
        (("abc1234", "OOM", "-", "Out of memory"), ("abc1234", None, None, "out_of_memory")),
        (("abc1234", "nan", "-", "timed-out"), ("abc1234", None, None, "timed_out")),
    ],
)
def test_cells_are_read_as_people_write_them(cells, expected):
    (row,) = parse_results(HEAD + "\t".join((*cells, "what")), place="t", metric="val_bpb").rows

    gigabytes = row.memory_bytes and row.memory_bytes / 2**30
    assert (row.commit, row.value, gigabytes, row.status.value) == expected


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ("abc1234\t0.9\t44\tkeep\tfirst\n  import torch\n\tx = 1\n\nabc1235\t1\t44\tdiscard\tsecond", ["first import torch x = 1", "second"]),
        (f"abc1234\t0.9\t44\tkeep\tfirst\n{HEAD}abc1235\t1\t44\tdiscard\tsecond\ttabbed", ["first", "second\ttabbed"]),
    ],
    ids=["line breaks in a description", "a header that comes again"],
)  # fmt: skip
def test_a_line_that_begins_no_row_belongs_to_the_one_before(text, described):
    table = parse_results(HEAD + text, place="t", metric="val_bpb")

    assert [row.description for row in table.rows] == described
    assert table.left_out == []
    added = "they begin no row, and were added to the description above: 2 rows (lines 3, 4)"
    assert table.notes == [added] * ("torch" in text)


@pytest.mark.parametrize(
    "text",
    [
        'commit,val_bpb,memory_gb,status,description\nabc1234,0.9,44,keep,"wide, and deep"\n',
        "| Commit | val_bpb | memory_gb | status | description |\n|---|---|---|---|---|\n| abc1234 | 0.9 | 44 | keep | wide, and deep |\n",
        "# results of a night\n\nHash\tval_bpb\tVRAM GB\tDecision\tNotes\r\nABC1234\t0.9\t44\tKept\twide, and deep\r\n",
        "\ufeffstatus\tdescription\tcommit\tval_bpb\tmemory_gb\nkeep\twide, and deep\tabc1234\t0.9\t44\n",
        "Git SHA\t**VAL BPB** (\u2193)\tVRAM-GB\tKeep?\tChange\nabc1234\t0.9\t44\tyes\twide, and deep\n",
        r"commit\tval_bpb\tmemory_gb\tstatus\tnote" + "\n" + r"abc1234\t0.9\t44\tkeep\twide, and deep",
    ],
    ids=["commas", "Markdown", "other names", "another order", "remarks and marks in names", "written tabs"],
)
def test_columns_are_found_by_their_names_between_tabs_commas_and_bars(text):
    (row,) = parse_results(text, place="t", metric="val_bpb").rows

    assert (row.commit, row.value, row.status, row.description) == ("abc1234", 0.9, Status.KEEP, "wide, and deep")
    assert row.memory_bytes == 44 * 2**30


def test_rows_with_written_tabs_are_rows_among_others():
    text = HEAD + "abc1234\t0.9\t44\tkeep\tfirst\n" + r"abc1235\t1.1\t44\tdiscard\tprints \t and \n"

    rows = parse_results(text, place="t", metric="val_bpb").rows

    assert [(row.value, row.status, row.description) for row in rows] == [
        (0.9, Status.KEEP, "first"),
        (1.1, Status.DISCARD, "prints \t and \\n"),
    ]


def test_a_header_in_the_middle_holds_for_the_rows_below_it():
    text = (
        "what\tcommit\tval_loss\tstatus\nloss\tabc1229\t2.2\tkeep\n"
        f"{HEAD}abc1230\t0.9\t44\tkeep\tfirst\n"
        "commit\tstatus\tlr\tval_bpb\tnotes\nabc1231\tdiscard\t0.3\t1.1\tsecond\n"
        "commit\tval_loss\tmemory_gb\tstatus\tdescription\nabc1232\t2.1\t44\tkeep\tthird\n"
        f"{HEAD}abc1233\t0.8\t44\tkeep\tfourth\n"
    )

    table = parse_results(text, place="t", metric="val_bpb")

    assert [(row.value, row.description) for row in table.rows] == [(0.9, "first"), (1.1, "second"), (0.8, "fourth")]
    assert table.left_out == [
        LeftOut(2, "above the header"),
        LeftOut(8, "under another header (line 7), without val_bpb"),
    ]


def test_text_and_other_tables_around_a_table_in_markdown_are_no_descriptions():
    text = (
        "# Night\n\n| Factor | Here |\n|---|---|\n| speed | 60 % |\n\nWhat was run:\n\n"
        "| # | Commit | val_bpb | VRAM GB | Status | Description |\n|:-:|---|---|---|---|---|\n"
        "| 0 | abc1230 | 0.9 | 44 | **keep** | first |\n| 1 | abc1231 | 1.1 | 44 | discard | second |\n\n"
        "## Found\n\n1. **Depth** helps.\n\n| Tip | Why |\n|---|---|\n| depth | 0.9 |\n"
    )

    table = parse_results(text, place="t", metric="val_bpb")

    assert [(row.commit, row.description) for row in table.rows] == [("abc1230", "first"), ("abc1231", "second")]
    assert table.left_out == [LeftOut(18, "not a row of the table"), LeftOut(20, "not a row of the table")]
    assert table.notes == []


def test_a_comment_between_rows_is_no_description():
    text = f"{HEAD}abc1230\t0.9\t44\tkeep\tfirst\n# the second night\nabc1231\t0.8\t44\tkeep\tsecond\n"

    table = parse_results(text, place="t", metric="val_bpb")

    assert [row.description for row in table.rows] == ["first", "second"]
    assert table.notes == []


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        ("kept", "yes", Status.KEEP),
        ("kept", "No", Status.DISCARD),
        ("keep?", "\u2713", Status.KEEP),
        ("Keep", "\u274c worse", Status.DISCARD),
        ("accepted", "1", Status.KEEP),
        ("accepted", "0", Status.DISCARD),
        ("accepted", "TRUE", Status.KEEP),
        ("kept", "reverted (by 0.01)", Status.DISCARD),
        ("kept", "baseline", Status.KEEP),
        ("kept", "0.5", "the kept '0.5' is neither yes nor no"),
        ("kept", "invalid", "the kept 'invalid' is neither yes nor no"),
        ("status", "true", "the status 'true' is not known"),  # the run, or the change?
        ("status\tdecision", "ok\tkeep", Status.KEEP),
        ("status\tdecision", "crash\tdiscard", Status.CRASHED),
        ("decision\tstatus", "keep\tkept", Status.KEEP),
        ("status\toutcome", "discard\tbest so far, but slow", Status.DISCARD),
        ("status\tkept", "keep\tno", "status says keep, kept says discard"),
        ("status\tkept", "crash\tyes", "status says crashed, kept says keep"),
        ("status\tdecision", "ok\t-", "the status 'ok' is not known"),
    ],
)
def test_a_verdict_is_in_the_columns_that_are_named_so(header, cells, expected):
    text = f"commit\tval_bpb\t{header}\nabc1230\t0.7\t{cells}\nabc1231\t0.6\t{cells}\n"
    if not isinstance(expected, Status):
        with pytest.raises(UserError) as error:
            parse_results(text, place="t", metric="val_bpb")
        assert f"{expected}: 2 rows (lines 2, 3)" in str(error.value)
    else:
        assert parse_results(text, place="t", metric="val_bpb").rows[1].status is expected


NAMED = """day\tcommit\tmetric\tvalue\tstatus\tdescription
1\tabc1230\tcoverage\t61\tkeep\tfirst
1\tabc1230\tseconds\t9.5\tkeep\tfirst
2\tabc1231\tcoverage\t64\tkeep\tsecond
"""


def test_of_rows_that_name_their_metric_only_those_of_the_metric_are_read():
    table = parse_results(NAMED, place="t", metric="coverage")

    assert [(row.commit, row.value) for row in table.rows] == [("abc1230", 61.0), ("abc1231", 64.0)]
    assert table.left_out == [LeftOut(3, "another metric than coverage")]
    for mixed in ("value", "val_bpb"):
        with pytest.raises(NoScoreError, match=f"t:1: {mixed} must be one of the metrics .*: coverage, seconds"):
            parse_results(NAMED, place="t", metric=mixed)
    one = "".join(line for line in NAMED.splitlines(keepends=True) if "seconds" not in line)
    assert [row.value for row in parse_results(one, place="t", metric="value").rows] == [61.0, 64.0]


@pytest.mark.parametrize(
    ("table", "metric", "phrase"),
    [
        ("exp\tval_bpb\tstatus\n1\t0.9\tkeep\n", "val_bpb", "t:1: the table has no column with the commit of each row (commit, "),
        ("parent_commit\tval_bpb\tkept\nabc1234\t0.9\t1\n", "val_bpb", "parent_commit is what a row was made from, not its own commit"),
        ("commit\tval_bpb\tnotes\nabc1234\t0.9\tkeep: wide\n", "val_bpb", "no column that says what was kept (status, decision, verdict, outcome, kept)"),
        ("commit\tf1 (macro)\tf1 (micro)\tstatus\nabc1234\t0.9\t0.8\tkeep\n", "f1", "f1 may be each of the columns f1 (macro), f1 (micro)"),
        ("abc1234\t0.9\t44\tkeep\tbaseline\n", "val_bpb", r"that is a row: put the names of its columns above it in a copy, such as commit\tval_bpb\tmemory_gb\tstatus\tdescription, for --results"),
        ("commit\tauc\tstatus\nabc1234\t0.9\tkeep\n", "val_bpb", "t:1: there is no column val_bpb; its columns are: commit, auc, status; scores seem to be in: auc"),
    ],
)  # fmt: skip
def test_a_table_that_lacks_a_column_is_told_which(table, metric, phrase):
    with pytest.raises(UserError) as error:
        parse_results(table, place="t", metric=metric)

    assert phrase in str(error.value)


def test_columns_that_may_have_the_score_are_ordered_by_how_well_they_explain_what_was_kept():
    rows = [
        ("keep", 5, 60, 0.5),
        ("discard", 4, 70, 0.4),
        ("keep", 9, 65, 0.6),
        ("discard", 3, 62, 0.5),
        ("keep", 1, 61, 0.7),
    ]
    lines = [
        f"{n}\tabc123{n}\t{lr}\t{speed}\t{accuracy}\t{status}\tfine"
        for n, (status, lr, speed, accuracy) in enumerate(rows)
    ]
    text = "iter\tcommit\tlr\tspeed\taccuracy\tstatus\tremark\n" + "\n".join(lines)

    with pytest.raises(NoScoreError) as error:
        parse_results(text, place="t", metric="val_bpb")

    assert [(score.name, score.larger_is_better) for score in error.value.scores] == [
        ("accuracy", True),
        ("lr", True),
        ("speed", None),
    ]


# Which scores are better


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("keep", 1.0), ("discard", 1.1), ("keep", 0.9), ("discard", 1.0)], False),
        ([("keep", 1.0), ("discard", 0.9), ("keep", 1.1), ("crashed", None), ("discard", 1.0)], True),
        ([("keep", 1.0), ("keep", 1.1), ("keep", 1.2)], None),  # two comparisons
        ([("keep", 1.0), ("keep", 1.1), ("discard", 1.2), ("discard", 1.0), ("keep", 1.0)], None),
        ([("keep", 1.0)] * 9, None),
    ],
)
def test_what_was_kept_shows_which_scores_are_better(rows, expected):
    assert compare_kept((Status(status), value) for status, value in rows).larger_is_better is expected


def test_a_name_says_that_a_metric_is_minimized_by_its_words_only():
    assert [name for name in ("val_loss", "eval/RMSE", "glossary", "score", "val_accuracy") if is_minimized(name)] == [
        "val_loss",
        "eval/RMSE",
    ]


def scored(tmp_path: Path, name: str, values: tuple[float, ...], above: str = "") -> Agent:
    """A branch whose rows are kept if they have the next value, else discarded."""
    agent = Agent(tmp_path / "autoresearch")
    agent.rows = [*([above] if above else []), f"commit\t{name}\tstatus\tdescription"]
    for number, value in enumerate(values):
        commit = agent.commit(str(number), ("import os", f"import os\nROW_{number} = 1")) if number else agent.hash()
        agent.rows.append(f"{commit}\t{value}\tkeep\trow {number}")
    (agent.root / "results.tsv").write_text("\n".join(agent.rows))
    return agent


@pytest.mark.parametrize(
    ("name", "above", "values", "options", "best"),
    [
        ("wins", "", (3, 4, 6, 7), ["--maximize"], -7.0),
        ("wins", "", (3, 4, 6, 7), ["--minimize"], 3.0),
        ("cycles", "", (9, 7, 6, 5), [], 5.0),  # as the table shows
        ("val_loss", "", (2.5, 2.25), [], 2.25),  # as its name says
        ("metric", "# metric_direction: higher_is_better", (3, 4), [], -4.0),
        ("metric", "# metric_direction: lower", (3, 4), [], 3.0),
        ("wins \u2191", "", (3, 4), [], -4.0),
    ],
)
def test_the_direction_is_the_users_or_the_tables(tmp_path, name, above, values, options, best):
    agent = scored(tmp_path, name, values, above)
    code, run = imported(agent, tmp_path, "--metric", name.split()[0], *options)

    assert code == 0
    assert min(trial.score for trial in read_population(run).trials) == best


@pytest.mark.parametrize(
    ("name", "above", "values", "won"),
    [
        ("wins", "", (3, 4, 6, 7), "the larger one won 3 of 3"),
        ("wins", "", (3, 4), "the larger one won 1 of 1"),
        ("val_loss", "", (2.5, 3, 4, 5), "the larger one won 3 of 3"),
        ("metric", "# metric_direction: higher (speed), lower (size)", (3, 4), "the larger one won 1 of 1"),
        ("wins", "# metric_direction: higher", (3, 2), "the larger one won 0 of 1"),  # perhaps said of another column
    ],
)
def test_a_direction_that_nothing_says_is_asked_for_with_the_command(tmp_path, capsys, name, above, values, won):
    agent = scored(tmp_path, name, values, above)
    code, run = imported(agent, tmp_path, "--metric", name, "--dry-run")
    told = capsys.readouterr().err

    assert (code, run.root.exists()) == (2, False)
    assert f"whether a larger or a smaller {name} is better ({won} comparisons with what was kept)" in told
    asked = f"--branch {BRANCH} --name mar5 --outputs {tmp_path / 'outputs'} --metric {name} --maximize --dry-run"
    assert f"-m search.import_git {agent.root} {asked}" in told


def test_without_a_metric_the_columns_with_scores_are_told_with_the_command(tmp_path, capsys):
    agent = scored(tmp_path, "wins", (3, 4, 6, 7))
    code, _ = imported(agent, tmp_path)
    told = capsys.readouterr().err

    assert code == 2
    assert "there is no column val_bpb; its columns are: commit, wins, status, description" in told
    assert f"scores seem to be in: wins; for wins: {sys.executable} -m search.import_git {agent.root}" in told
    assert told.rstrip().endswith("--metric wins --maximize")


@pytest.mark.parametrize(
    ("encoding", "note"),
    [("utf-8", None), ("utf-8-sig", None), ("utf-16", "is UTF-16"), ("cp1252", "is not UTF-8 (byte 66)")],
)
def test_a_table_in_any_encoding_is_read_and_said(encoding, note):
    text, notes = decode_results(f"{HEAD}abc1234\t0.9\t44\tkeep\tnaïve\n".encode(encoding), place="t")

    assert parse_results(text, place="t", metric="val_bpb").rows[0].description == "naïve"
    assert [note in each for each in notes] == [True] * (note is not None)


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(UserError, match="must be a text file"):
        decode_results(b"SQLite format 3\0", place="t")


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


def test_a_dry_run_says_what_would_come_of_it_and_writes_nothing(agent, tmp_path, capsys):
    code, run = imported(agent, tmp_path, "--dry-run")
    told = capsys.readouterr().out

    assert code == 0
    assert not run.root.parent.exists()
    assert "mar5 would have 6 trials: 1 baseline, 2 keep, 2 discard, 1 crashed" in told
    assert "nothing was written" in told
    imported(agent, tmp_path)
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("  #")] == [
        line for line in told.splitlines() if line.startswith("  #")
    ]


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
