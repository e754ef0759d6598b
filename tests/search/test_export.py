"""The best program leaves a search as a file or as commits, and comes back as it was."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from operators.prompts.history import lineage
from search.best import main as best
from search.export import main as export
from search.import_git.__main__ import main as import_git
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from target.metric import Metric
from target.program import Program
from tests.checkouts import git, make_checkout
from tests.search.command import QUIET, run
from tests.search.sweeps import write_run


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Path:
    """A search with a champion some keeps away from its seed program."""
    cwd = tmp_path_factory.mktemp("searched")
    done = run(cwd, "name=mar8", "target=landscape", "operator=constants", "budget.trainings=60", QUIET)
    assert done.returncode == 0, done.stderr
    return cwd / "outputs" / "mar8"


@pytest.fixture
def steps(searched):
    population = read_population(RunDirectory(searched))
    found = lineage(population.champion, population)[::-1]
    assert len(found) >= 3
    return found, population


@pytest.fixture(autouse=True)
def identity(monkeypatch):
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")


def test_the_best_program_is_printed_as_it_is(searched, steps, capsys):
    trials, _ = steps

    assert best([str(searched)]) == 0
    assert capsys.readouterr().out == trials[-1].program.source


def test_the_best_program_is_printed_as_python_reads_it(searched, steps, monkeypatch):
    trials, _ = steps
    program = replace(trials[-1].mutation, program=Program(f"# Zoë\n{trials[-1].program.source}"))
    monkeypatch.setattr("search.best.champion_of", lambda *_: replace(trials[-1], mutation=program))
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding="latin-1", write_through=True))

    assert best([str(searched)]) == 0
    assert terminal.getvalue().startswith("# Zoë\n".encode())


def test_what_to_compare_with_is_for_a_comparison(searched, capsys):
    with pytest.raises(SystemExit):
        best([str(searched), "--against", "parent"])
    assert "--against says what to compare with: write --diff --against parent" in capsys.readouterr().err


def test_its_changes_are_those_since_the_program_that_is_named(searched, steps, capsys):
    trials, _ = steps
    changed = {}
    for name in ("seed", "parent", str(trials[1].number)):
        assert best([str(searched), "--diff", "--against", name]) == 0
        changed[name] = capsys.readouterr().out

    assert changed["seed"].startswith("--- a/train.py")
    assert len(changed["parent"]) < len(changed["seed"])
    assert best([str(searched), "--diff", "--against", "99999"]) == 2
    assert "--against must be seed, parent or the number of a trial" in capsys.readouterr().err


@pytest.mark.parametrize("fresh", [True, False], ids=["an empty repository", "a checkout"])
def test_each_step_is_a_commit_with_its_effect_and_nothing_else_changes(searched, steps, tmp_path, capsys, fresh):
    trials, population = steps
    root = tmp_path / "repository"
    if fresh:
        git(tmp_path, "init", "-q", "-b", "master", str(root))
    else:
        make_checkout(root)
        (root / "train.py").write_text("# edited, and not committed\n")
    files = {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}
    status = git(root, "status", "--porcelain")

    assert export([str(searched), "--git", str(root), "--branch", "graft/mar8"]) == 0

    commits = git(root, "rev-list", "--reverse", "graft/mar8", *([] if fresh else ["^master"])).split()
    assert len(commits) == len(trials) + 1
    for commit, trial in zip(commits, trials, strict=False):
        assert git(root, "show", f"{commit}:train.py") == trial.program.source.strip()
        assert git(root, "log", "-1", "--format=%s", commit).startswith(f"#{trial.number} ")
    parent, last = trials[-2:]
    effect = population.scores[last.number] - population.scores[parent.number]
    message = git(root, "log", "-1", "--format=%b", commits[-2])
    assert f"effect on trial #{parent.number}: {effect:+.4f}" in message
    assert "search mar8" in message
    kept = set() if fresh else {".gitignore", "README.md", "prepare.py", "program.md"}
    assert set(git(root, "ls-tree", "--name-only", "graft/mar8").split()) == {"train.py", "results.tsv"} | kept
    assert {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()} == files
    assert git(root, "status", "--porcelain") == status
    assert f"branch graft/mar8 of {root}: {len(trials)} programs" in capsys.readouterr().out


def test_an_import_gives_the_same_programs_scores_and_parents(searched, steps, tmp_path, monkeypatch):
    trials, population = steps
    root = tmp_path / "repository"
    git(tmp_path, "init", "-q", str(root))
    export([str(searched), "--git", str(root), "--branch", "mar8"])
    monkeypatch.chdir(tmp_path)

    assert import_git([str(root), "--branch", "mar8", "--name", "back"]) == 0

    back = read_population(RunDirectory(tmp_path / "outputs" / "back"))
    assert [trial.program.id for trial in back.trials] == [trial.program.id for trial in trials]
    assert [trial.score for trial in back.trials] == [round(population.scores[trial.number], 6) for trial in trials]
    assert [trial.proposal.parents for trial in back.trials[1:]] == [(number,) for number in range(len(trials) - 1)]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_an_import_gives_the_same_scores_of_a_metric_of_its_own(tmp_path, monkeypatch, capsys, direction):
    described = {"metric": {"name": "Hit rate", "direction": direction, "verified": False}, "file": "solver.py"}
    population = write_run(tmp_path / "own", [0.0, -1 / 3, -2e-9 - 1 / 3], environment=described)
    root = tmp_path / "repository"
    git(tmp_path, "init", "-q", str(root))
    monkeypatch.chdir(tmp_path)

    assert export(["own", "--git", str(root), "--branch", "own"]) == 0
    header, *rows = git(root, "show", "own:results.tsv").splitlines()
    better = "higher" if direction == "maximize" else "lower"
    assert header == f"commit\tHit rate ({better} is better)\tmemory_gb\tstatus\tdescription"
    assert float(rows[1].split("\t")[1]) == (1 / 3 if direction == "maximize" else -1 / 3)
    if direction == "minimize":
        assert import_git([str(root), "--branch", "own", "--name", "back", "--file", "solver.py", "--maximize"]) == 2
        assert "--maximize contradicts own:results.tsv" in capsys.readouterr().err
    capsys.readouterr()
    assert import_git([str(root), "--branch", "own", "--name", "back", "--file", "solver.py"]) == 0

    back = RunDirectory(tmp_path / "outputs" / "back")
    assert [trial.score for trial in read_population(back).trials] == [trial.score for trial in population.trials]
    assert back.metric == Metric(name="Hit rate", is_maximized=direction == "maximize", file="solver.py")
    said = capsys.readouterr().out
    assert f"best: #2, {back.metric.text(population.scores[2])}" in said
    assert f"target.file=solver.py 'target.metric=Hit rate' target.direction={direction}" in said
    if direction == "maximize":
        done = run(tmp_path, "name=back", "target=landscape", "operator=constants", QUIET)
        assert done.returncode == 2
        assert "has imported trials with Hit rate, higher is better, but the target of this search" in done.stderr
        assert not back.config.exists(), "it can still be continued with the right target"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--git", "elsewhere", "--branch", "b"], "--git must be the directory of a git repository, got elsewhere"),
        (["--git", "repository", "--branch", "master"], "has a branch master already"),
        (["--git", "repository", "--branch", "a..b"], "--branch must be a valid name of a branch, got 'a..b'"),
        (["--git", "repository", "--branch", "b", "--file", "../x"], "git update-index failed in repository: "),
    ],
)
def test_what_cannot_be_exported_leaves_no_branch(searched, tmp_path, monkeypatch, capsys, arguments, message):
    root = make_checkout(tmp_path / "repository")
    monkeypatch.chdir(tmp_path)

    assert export([str(searched), *arguments]) == 2

    assert message in capsys.readouterr().err
    assert git(root, "branch", "--format=%(refname:short)") == "master"


def test_a_user_without_a_name_is_told_by_git(searched, tmp_path, monkeypatch, capsys):
    root = make_checkout(tmp_path / "repository")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.delenv(f"GIT_{role}_NAME")
        monkeypatch.delenv(f"GIT_{role}_EMAIL")
    monkeypatch.setenv("HOME", str(tmp_path))
    git(root, "config", "user.useConfigOnly", "true")

    assert export([str(searched), "--git", str(root), "--branch", "b"]) == 2

    assert "git commit-tree failed" in capsys.readouterr().err
