"""Writes the way to the best program as commits: `python -m search.export outputs/NAME --git REPO --branch B`.

Each step of the champion's lineage becomes a commit of one file, with its effect in the message; the last commit adds a
results.tsv, which `python -m search.import_git` reads: a metric of the target's own has its direction in the header.
The branch is new and begins at HEAD. The working tree, the
index and all other branches stay as they are.

With `--optuna FILE` all its trials are written as a study of Optuna instead, with the constants of each program as
parameters and its training loss as intermediate values: `optuna-dashboard FILE` shows it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from operators.population import Population
from operators.prompts.history import lineage
from operators.trial import Status, Trial
from search.best import champion_of, program_of
from search.commands import fails_with_a_line, show
from search.errors import UserError
from search.figures import delta_of, value_of, value_text
from search.names import given_search
from search.runs.finished import read_summary
from search.runs.optuna_study import write_study
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from target.command.git import GitError, git_environment, run_git
from target.metric import VAL_BPB, Metric
from target.printable import printable
from target.words import user_path

_KEPT: Final = {Status.BASELINE: "keep", Status.KEEP: "keep"}


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Export a search; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m search.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=given_search, help="folder of a search, such as outputs/NAME")
    parser.add_argument("--git", type=user_path, help="directory of the repository")
    parser.add_argument("--branch", help="name of the new branch")
    parser.add_argument("--file", help="path of the program in it (default: its name in the search)")
    parser.add_argument("--optuna", type=user_path, metavar="FILE", help="a new file for Optuna")
    options = parser.parse_args(arguments)
    run = RunDirectory(options.directory)
    summary = read_summary(run)
    population = read_population(run)
    if options.optuna:
        count = write_study(population, summary.name, options.optuna, run.metric)
        show(f"{count} trials of {run.root}: optuna-dashboard {shlex.quote(str(options.optuna))}\n")
        return 0
    if not (options.git and options.branch):
        parser.error("give --git DIR and --branch NAME, or --optuna FILE")
    steps = lineage(champion_of(population, run), population)[::-1]
    file = options.file or run.metric.file
    commits = export(
        steps, population, name=summary.name, root=options.git, branch=options.branch, file=file, metric=run.metric
    )
    lines = [f"{commit[:10]} {_subject(step)}" for commit, step in zip(commits, steps, strict=True)]
    show("\n".join([*lines, f"branch {options.branch} of {options.git}: {len(steps)} programs of {run.root}"]) + "\n")
    return 0


def export(
    steps: Sequence[Trial],
    population: Population,
    *,
    name: str,
    root: Path,
    branch: str,
    file: str,
    metric: Metric = VAL_BPB,
) -> list[str]:
    """Write commits, and return the commit of each step.

    Args:
        steps: A lineage, the seed program first.
        population: The search.
        name: Its name.
        root: Directory of the repository.
        branch: Name of the new branch.
        file: Path of the program in the repository.
        metric: What the target measures.

    Raises:
        UserError: There is no repository, the branch is there already, or git refuses something.
    """
    with tempfile.TemporaryDirectory(prefix="graft-export-") as folder:
        repository = _Repository(root, Path(folder))
        reference = f"refs/heads/{branch}"
        if repository.ask("check-ref-format", reference) is None:
            raise UserError(f"--branch must be a valid name of a branch, got {branch!r}")
        if repository.ask("rev-parse", "--verify", "--quiet", reference) is not None:
            raise UserError(f"{root} has a branch {branch} already; choose another name, or delete it")
        head = repository.ask("rev-parse", "--verify", "--quiet", "HEAD")
        commits = []
        for step in steps:
            head = repository.commit(head, file, program_of(step).source, _message(step, population, name, metric))
            commits.append(head)
        table = "".join(f"{line}\n" for line in _table(steps, commits, population, metric))
        head = repository.commit(head, "results.tsv", table, f"Results of the search {name}")
        repository.require("update-ref", reference, head, "")
        return commits


class _Repository:
    """Makes commits with an index of its own."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self._root = root
        self._scratch = scratch
        self._environment = {**git_environment(), "GIT_INDEX_FILE": str(scratch / "index")}
        for name in ("NAME", "EMAIL"):  # the identity of the user, where the environment has it
            for who in ("AUTHOR", "COMMITTER"):
                if given := os.environ.get(f"GIT_{who}_{name}"):
                    self._environment[f"GIT_{who}_{name}"] = given
        if not root.is_dir() or self.ask("rev-parse", "--git-dir") is None:
            raise UserError(f"--git must be the directory of a git repository, got {root}; make one with git init")

    def ask(self, *arguments: str) -> str | None:
        """Return git's output in one line; None if it fails."""
        try:
            done = run_git(self._root, arguments, self._environment)
        except GitError as error:
            raise UserError(str(error)) from error
        self._said = os.fsdecode(done.stderr).strip()
        return None if done.returncode else os.fsdecode(done.stdout).strip()

    def require(self, *arguments: str) -> str:
        """Return git's output in one line; raises `UserError` if it fails."""
        answer = self.ask(*arguments)
        if answer is None:
            said = " ".join(self._said.split())
            raise UserError(f"git {arguments[0]} failed in {self._root}: {said}; the branch was not made")
        return answer

    def commit(self, parent: str | None, file: str, text: str, message: str) -> str:
        """Make a commit that replaces one file, and return its hash."""
        content, words = self._scratch / "content", self._scratch / "message"
        content.write_text(text, encoding="utf-8", newline="")
        words.write_text(message, encoding="utf-8")
        blob = self.require("hash-object", "-w", "--no-filters", str(content))
        self.require("read-tree", parent or "--empty")
        self.require("update-index", "--add", "--cacheinfo", f"100644,{blob},{file}")
        tree = self.require("write-tree")
        return self.require("commit-tree", tree, *(("-p", parent) if parent else ()), "-F", str(words))


def _subject(step: Trial) -> str:
    description = step.mutation.description if step.mutation else ""
    return printable(" ".join(f"#{step.number} {description}".split()))[:100]


def _message(step: Trial, population: Population, name: str, metric: Metric) -> str:
    """Return what a commit says: the change, its effect, and where it comes from."""
    lines = [_subject(step), ""]
    if step.scored:
        mean, error = population.posterior[step.number]
        counted = f"score {value_text(step, population, metric)} from {len(step.values)} trainings ({metric.better})"
        lines.append(f"{counted}, posterior {metric.text(mean)}")
        if error < float("inf"):
            lines[-1] += f" +- {metric.size_text(error, mean)}"
        if delta := delta_of(step, population):
            lines.append(f"effect on trial #{delta.against}: {metric.delta_text(delta.amount, mean)}")
    else:
        lines.append(f"no score: {step.status.value}")
    seeds = ", ".join(map(str, step.values))
    lines += [f"status {step.status.value}, operator {step.operator}" + (f", seeds {seeds}" if seeds else "")]
    lines += [f"search {name}, trial #{step.number}"]
    return "\n".join(map(printable, lines)) + "\n"


def _table(steps: Sequence[Trial], commits: Sequence[str], population: Population, metric: Metric) -> Iterator[str]:
    """Yield the lines of results.tsv, in autoresearch's form; with another metric, in its name and direction."""
    yield f"commit\t{metric.heading}\tmemory_gb\tstatus\tdescription"
    for step, commit in zip(steps, commits, strict=True):
        score = value_of(step, population)
        peak = max((run.peak_memory_bytes or 0 for run in step.evaluations), default=0) / 1e9
        status = _KEPT.get(step.status, "discard") if step.scored else "crash"
        yield f"{commit[:10]}\t{_cell(score, metric)}\t{peak:.1f}\t{status}\t{_subject(step)}"


def _cell(score: float | None, metric: Metric) -> str:
    """Return a score with six decimals, 0 for a crash, as autoresearch does; one of another metric exactly."""
    if metric.heading == VAL_BPB.heading:
        return f"{score or 0.0:.6f}"
    return "" if score is None else repr(metric.value(score))


if __name__ == "__main__":
    raise SystemExit(main())
