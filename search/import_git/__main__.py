"""`python -m search.import_git REPO --branch B --name NAME` makes a search of an autoresearch branch, to continue it.

Reads the branch's results.tsv, the program of each commit in it and the parents of each program. Writes outputs/NAME as
if a search had made them. The scores are those of the table: nothing is run, and all scores are marked unverified. The
repository is only read.

A column `accuracy (higher is better)`, as `python -m search.export` writes it, names its metric and direction itself.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from operators.trial import IMPORTED, Mutation, Proposal, Trial
from search.adopt import adopt, counts, shown
from search.arguments import hydra_setting
from search.commands import fails_with_a_line, show
from search.errors import UserError
from search.import_git.direction import compare_kept, is_minimized
from search.import_git.git import Repository, open_repository
from search.import_git.imported import History, read_history
from search.import_git.log import decode_results, parse_results
from search.import_git.missing import NoScoreError
from search.import_git.table import Table, told
from search.names import folder_of
from search.printed import command
from search.runs.files import write_atomically
from search.runs.ledger import Ledger
from search.runs.lock import locked
from search.runs.reading import read_population
from search.runs.results import ResultsTable
from search.runs.rundir import RunDirectory
from search.runs.summary import summarize
from search.views.text import counted
from search.views.verdicts import one_line
from target.metric import VAL_BPB, Metric
from target.words import user_path

OPERATOR: Final = "import"
OUTPUTS: Final = Path("outputs")  # as in conf/config.yaml
RESULTS: Final = "results.tsv"
FILE: Final = "train.py"
_MAXIMIZE: Final = "--maximize"
_MINIMIZE: Final = "--minimize"


def find_results(repository: Repository, branch: str, tip: str) -> tuple[bytes, str]:
    """Return the content of the table of a branch, and where it was found.

    The table is untracked in the working tree, as autoresearch intends. Or it is committed on the branch, now or in an
    earlier commit.

    Raises:
        UserError: There is no table.
    """
    place = repository.root / RESULTS
    committed = repository.content(tip, RESULTS)
    if place.is_file() and (committed is None or repository.head_branch() == branch):
        return _content(place), str(place)
    if committed is not None:
        return committed, f"{branch}:{RESULTS}"
    if earlier := repository.last_with(tip, RESULTS):
        return repository.content(earlier, RESULTS) or b"", f"{earlier[:7]}:{RESULTS}"
    raise UserError(
        f"there is no {RESULTS}: neither in {repository.root}, nor in branch {branch}, nor in its history; "
        "give the file with --results FILE"
    )


def write_run(run: RunDirectory, history: History, *, name: str, origin: str, metric: Metric = VAL_BPB) -> None:
    """Write a history as the folder of a stopped search.

    Args:
        run: A folder that does not exist yet; it is created only when it is complete.
        history: The experiments.
        name: Name of the search.
        origin: Where they come from.
        metric: What the scores are, and what a program is called.

    Raises:
        UserError: The folder exists already, or cannot be written.
    """
    _refuse_existing(run)
    unfinished = run.root.with_name(f".{run.root.name}.import")
    shutil.rmtree(unfinished, ignore_errors=True)  # of an import that was killed
    draft = RunDirectory(unfinished / run.root.name)
    draft.create()
    if metric != VAL_BPB:
        described = {"name": metric.name, "direction": metric.direction, "verified": False}
        write_atomically(draft.environment, json.dumps({"metric": described, "file": metric.file}, indent=2) + "\n")
    with locked(draft.lock):
        ledger = Ledger(draft)
        adopt(ledger, trials_of(history))
        population = ledger.population
        for trial in population.trials:
            draft.write_trial(trial, population)
        ResultsTable(draft).write(population)
        draft.write_summary(
            summarize(
                population,
                name=name,
                strategy=OPERATOR,
                seed=0,
                status="stopped",
                stop_reason=f"imported from {origin}",
                wall_seconds=0.0,
                busy_fraction=0.0,
            )
        )
        draft.root.rename(run.root)
    unfinished.rmdir()


def _refuse_existing(run: RunDirectory) -> None:
    if run.root.exists():
        raise UserError(f"{run.root} exists already: choose another name, or move it away")


def trials_of(history: History) -> list[Trial]:
    """Return the experiments of a branch as trials."""
    ranks = {each.number: rank for rank, each in enumerate(history.in_order())}
    return [
        Trial(
            number=each.number,
            proposal=Proposal(
                parents=() if each.parent is None else (each.parent,),
                seed=0,
                operator=OPERATOR,
                labels={IMPORTED: each.commit},
            ),
            mutation=Mutation(program=each.program, operator=OPERATOR, description=each.description)
            if each.program
            else None,
            evaluations=tuple(each.evaluations),
            status=each.status,
            decided=ranks[each.number],
            detail=each.detail,
        )
        for each in history.experiments
    ]


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Import a branch; return the exit code."""
    options = _parser().parse_args(arguments)
    show(_import(options))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m search.import_git", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", type=user_path, help="directory of the checkout")
    parser.add_argument("--branch", required=True, help="such as autoresearch/mar5")
    parser.add_argument("--name", required=True, help="name of the search: it becomes outputs/NAME")
    parser.add_argument("--outputs", type=user_path, default=OUTPUTS, help="default: %(default)s")
    parser.add_argument("--file", default=FILE, help="the program, in the repository (default: %(default)s)")
    parser.add_argument("--results", type=user_path, help=f"the table, if it is not the branch's {RESULTS}")
    parser.add_argument(
        "--metric", help="column with the score (default: the one whose name says its direction, or else val_bpb)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be imported, and write nothing")
    direction = parser.add_mutually_exclusive_group()
    direction.add_argument("--maximize", action="store_true", help="larger scores are better; their sign is changed")
    direction.add_argument("--minimize", action="store_true", help="smaller scores are better, as they are of val_bpb")
    return parser


def _import(options: argparse.Namespace) -> str:
    """Import a branch, and return the messages for the user."""
    run = folder_of(options.outputs, options.name)
    with open_repository(options.repository.expanduser()) as repository:
        return _import_from(repository, run, options)


def _import_from(repository: Repository, run: RunDirectory, options: argparse.Namespace) -> str:
    tip = repository.branch(options.branch)
    if tip is None:
        there = ", ".join(repository.branches()) or "none"
        raise UserError(f"{repository.root} must have the branch {options.branch}; its branches are: {there}")
    if options.results:
        content, place = _content(options.results.expanduser()), str(options.results)
    else:
        content, place = find_results(repository, options.branch, tip)
    text, notes = decode_results(content, place=place)
    try:
        table = parse_results(text, place=place, metric=options.metric)
    except NoScoreError as error:
        raise UserError(f"{error}{_with_score(options, error)}") from error
    read = functools.partial(read_history, repository, table.rows, tip=tip, file=options.file, left_out=table.left_out)
    try:
        metric, said = _metric(options, table, place)
    except UserError:
        read()  # which says if nothing can be imported: then no direction helps
        raise
    history = read(maximize=metric.is_maximized)
    history.notes[:0] = [*notes, *table.notes, *said]
    _refuse_existing(run)
    origin = f"{repository.root}, branch {options.branch}"
    lines = [f"{place}: {counted(len(table.rows) + len(table.left_out), 'row')}"]
    if options.dry_run:
        with tempfile.TemporaryDirectory() as folder:
            draft = RunDirectory(Path(folder) / options.name)
            write_run(draft, history, name=options.name, origin=origin, metric=metric)
            population = read_population(draft)
            lines += [f"{run.root} would have {counts(population.trials)}", *shown(population, metric)]
        lines += [*_remarks(history), "nothing was written: this was a dry run"]
    else:
        write_run(run, history, name=options.name, origin=origin, metric=metric)
        population = read_population(run)
        lines += [f"{run.root}: {counts(population.trials)}", *shown(population, metric)]
        lines += [*_remarks(history), _go_on(options, repository.root, metric)]
    return "\n".join(lines) + "\n"


def _with_score(options: argparse.Namespace, error: NoScoreError) -> str:
    """Return the command with a metric that the table has."""
    if not error.scores:
        return ""
    likeliest = error.scores[0]
    options.metric = likeliest.name
    flags = [_MAXIMIZE] if options.maximize or likeliest.larger_is_better else []
    return f"; for {options.metric}: {_again(options, *flags)}"


def _metric(options: argparse.Namespace, table: Table, place: str) -> tuple[Metric, list[str]]:
    """Return what the scores are, and a note if the user did not say which of them are better.

    Raises:
        UserError: Nothing says which are better, or the user contradicts the header.
    """
    heading = table.heading
    if heading is not None:
        if options.minimize if heading.is_maximized else options.maximize:
            flag = _MINIMIZE if heading.is_maximized else _MAXIMIZE
            raise UserError(f"{flag} contradicts {place}, whose header has {heading.heading!r}: leave it out")
        return replace(heading, file=options.file), []
    options.metric = options.metric or VAL_BPB.name
    maximize, said = _maximize(options, table, place)
    return Metric(name=options.metric, file=options.file, is_maximized=maximize), said


def _maximize(options: argparse.Namespace, table: Table, place: str) -> tuple[bool, list[str]]:
    """Return whether larger scores are better, and a note if the user did not say it.

    The user says it, the table states it or shows it by what was kept, or the name of the metric says it.

    Raises:
        UserError: Nothing says it, or what was kept shows that larger scores are better.
    """
    metric = options.metric
    if options.maximize or options.minimize or metric == VAL_BPB.name:
        return bool(options.maximize), []
    if table.larger_is_better is not None:
        better = "larger" if table.larger_is_better else "smaller"
        return table.larger_is_better, [f"a {better} {metric} counts as better, as the table states"]
    compared = compare_kept((row.status, row.value) for row in table.rows)
    total, shown = compared.larger + compared.smaller, compared.larger_is_better
    if shown is False:
        won = f"it won {compared.smaller} of {total} comparisons with what was kept"
        return False, [f"a smaller {metric} counts as better: {won}"]
    if shown is None and is_minimized(metric):
        return False, []
    won = f"the larger one won {compared.larger} of {total} comparisons with what was kept"
    likelier = [_MINIMIZE if compared.smaller > compared.larger else _MAXIMIZE] if total else []
    to = "" if likelier else ", to the command"
    raise UserError(
        f"{place}: it must be known whether a larger or a smaller {metric} is better ({won}): add --minimize if "
        f"smaller is better, or --maximize if larger is{to}: {_again(options, *likelier)}"
    )


def _again(options: argparse.Namespace, *flags: str) -> str:
    """Return the command, with the metric and flags."""
    words = [str(options.repository), "--branch", options.branch, "--name", options.name]
    words += ["--outputs", str(options.outputs)] * (options.outputs != OUTPUTS)
    words += ["--file", options.file] * (options.file != FILE)
    words += ["--results", str(options.results)] if options.results else []
    words += ["--metric", options.metric, *flags]
    return command("search.import_git", *words, *(["--dry-run"] if options.dry_run else []))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} must be a file that can be read: {error}") from error


def _remarks(history: History) -> list[str]:
    return [*(f"left out, {one_line(each)}" for each in told(history.left_out)), *map(one_line, history.notes)]


def _go_on(options: argparse.Namespace, root: Path, metric: Metric) -> str:
    settings = [("name", options.name), *[("outputs", options.outputs)] * (options.outputs != OUTPUTS)]
    if metric == VAL_BPB:
        settings += [("target", "autoresearch"), ("target.root", root)]
        more = ""
    else:
        settings += [("target", "command"), ("target.root", root), ("target.file", metric.file)]
        settings += [("target.metric", metric.name), ("target.direction", metric.direction)]
        more = ", and target.command='COMMAND', which runs it (docs/targets.md)"
    return f"continue with: {command('search', *(hydra_setting(key, value) for key, value in settings))}{more}"


if __name__ == "__main__":
    raise SystemExit(main())
