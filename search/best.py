"""Prints the best program of a search, or what is different in it: `python -m search.best outputs/NAME > train.py`."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence

from operators.population import Population
from operators.trial import Trial
from search.commands import fails_with_a_line, show
from search.errors import UserError
from search.names import given_search
from search.runs.finished import read_summary
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory, diff
from target.program import Program


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the champion's program or diff; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m search.best", description=__doc__)
    parser.add_argument("directory", type=given_search, help="folder of a search, such as outputs/NAME")
    parser.add_argument("--diff", action="store_true", help="print a unified diff instead of the program")
    parser.add_argument(
        "--against", metavar="TRIAL", help="with --diff: seed, parent or the number of a trial (default: seed)"
    )
    options = parser.parse_args(arguments)
    if options.against and not options.diff:
        parser.error(f"--against says what to compare with: write --diff --against {options.against}")
    run = RunDirectory(options.directory)
    read_summary(run)  # refuses a folder that is no search
    population = read_population(run)
    best = champion_of(population, run)
    if options.diff:
        show(diff(_other(options.against or "seed", best, population), program_of(best), run.metric.file))
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # as Python reads it, whatever the terminal has
        sys.stdout.write(program_of(best).source)  # exactly: it may go to a file
    if not best.number:
        sys.stderr.write("nothing has beaten the seed program\n")
    return 0


def champion_of(population: Population, run: RunDirectory) -> Trial:
    """Return the champion.

    Raises:
        UserError: There is none yet.
    """
    if population.champion is None:
        raise UserError(f"{run.root} has no best program: its seed program has no score yet")
    return population.champion


def program_of(trial: Trial) -> Program:
    """Return the program of a trial that has one."""
    assert trial.program is not None, f"trial {trial.number} has no program"
    return trial.program


def _other(name: str, best: Trial, population: Population) -> Program:
    """Return the program to compare with."""
    number = {"seed": 0, "parent": next(iter(best.proposal.parents), 0)}.get(name)
    if number is None and name.isdecimal():
        number = int(name)
    trials = population.trials
    if number is None or number >= len(trials) or (program := trials[number].program) is None:
        raise UserError(f"--against must be seed, parent or the number of a trial with a program, got {name!r}")
    return program


if __name__ == "__main__":
    raise SystemExit(main())
