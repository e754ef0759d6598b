"""Whether a larger or a smaller score of a branch is better: its user, its table, what was kept or a name says it."""

from __future__ import annotations

import pytest

from operators.trial import Status
from search.import_git.direction import compare_kept, is_minimized
from search.runs.reading import read_population
from tests.search.branches import BRANCH, Agent, imported, scored


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
        ("wins\tmetric_direction", "", ("3\tmax", "4\tmax"), [], -4.0),
    ],
)
def test_the_direction_is_the_users_or_the_tables(tmp_path, name, above, values, options, best):
    agent = scored(tmp_path, name, values, above)
    code, run = imported(agent, tmp_path, "--metric", name.split()[0], *options)

    assert code == 0
    assert min(trial.score for trial in read_population(run).trials) == best


@pytest.mark.parametrize(
    ("name", "above", "values", "won", "flag"),
    [
        ("wins", "", (3, 4, 6, 7), "the larger one won 3 of 3", "--maximize"),
        ("wins", "", (3, 4), "the larger one won 1 of 1", "--maximize"),
        ("val_loss", "", (2.5, 3, 4, 5), "the larger one won 3 of 3", "--maximize"),
        (
            "metric",
            "# metric_direction: higher (speed), lower (size)",
            (3, 4),
            "the larger one won 1 of 1",
            "--maximize",
        ),
        ("wins", "# metric_direction: higher", (3, 2), "the larger one won 0 of 1", "--minimize"),  # said of another?
    ],
)
def test_a_direction_that_nothing_says_is_asked_for_with_the_likelier_command(
    tmp_path, capsys, name, above, values, won, flag
):
    agent = scored(tmp_path, name, values, above)
    code, run = imported(agent, tmp_path, "--metric", name, "--dry-run")
    told = capsys.readouterr().err

    assert (code, run.root.exists()) == (2, False)
    assert f"whether a larger or a smaller {name} is better ({won} comparisons with what was kept)" in told
    asked = f"--branch {BRANCH} --name mar5 --outputs {tmp_path / 'outputs'} --metric {name} {flag} --dry-run"
    assert f"-m search.import_git {agent.root} {asked}" in told


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
