# ruff: noqa: E501 -- one row a line, as in a table
"""What the import of a branch says: of what it cannot read, and of what it would make."""

from __future__ import annotations

import sys

import pytest

from search.errors import UserError
from search.import_git.log import parse_results
from search.import_git.missing import NoScoreError
from tests.checkouts import git
from tests.search.branches import BRANCH, imported, scored


@pytest.mark.parametrize(
    ("breakage", "phrase"),
    [
        ("no repository", "must be in a git repository"),
        ("no directory", "must be the directory of a git repository"),
        ("no branch", "must have the branch autoresearch/mar5; its branches are: master"),
        ("no table", "there is no results.tsv: neither in"),
        (
            "nothing kept",
            "no baseline to start from: the status 'pending' is not known: 1 row (line 3); its commit is not in the repository: 1 row (line 2)",
        ),
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
        agent.log("0123abd", "0.9", "1", "pending", "deeper")
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


def test_without_a_metric_the_columns_with_scores_are_told_with_the_command(tmp_path, capsys):
    agent = scored(tmp_path, "wins", (3, 4, 6, 7))
    code, _ = imported(agent, tmp_path)
    told = capsys.readouterr().err

    assert code == 2
    assert "there is no column val_bpb; its columns are: commit, wins, status, description" in told
    assert f"scores seem to be in: wins; for wins: {sys.executable} -m search.import_git {agent.root}" in told
    assert told.rstrip().endswith("--metric wins --maximize")


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


@pytest.mark.parametrize(
    ("rows", "phrase"),
    [
        ([("baseline", "crash"), ("n/a", "keep")], "no row that was kept has a commit in the repository (its hash, or a name"),
        ([("HASH", "keep")], "(the larger one won 0 of 0 comparisons with what was kept): add --minimize if smaller is better, or --maximize if larger is, to the command: "),
    ],
    ids=["no direction would help", "nothing speaks for a direction"],
)  # fmt: skip
def test_a_direction_is_asked_for_only_if_it_helps_and_proposed_only_with_a_reason(
    agent, tmp_path, capsys, rows, phrase
):
    cells = [f"{agent.hash() if commit == 'HASH' else commit}\t9\t{status}\td" for commit, status in rows]
    (agent.root / "results.tsv").write_text("\n".join(["commit\twins\tstatus\tdescription", *cells]))
    code, _ = imported(agent, tmp_path, "--metric", "wins")
    told = capsys.readouterr().err

    assert code == 2
    assert phrase in told
    assert told.rstrip().endswith("--metric wins") == ("HASH" in rows[0])
