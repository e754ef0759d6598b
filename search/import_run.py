"""`from=outputs/mar8`: a search begins with the trials of an earlier one.

    python -m search.import_run name=NEXT from=outputs/MAR8 [GROUP=CHOICE ...] [KEY=VALUE ...]

The command takes the arguments of `python -m search`, says what that search would begin with, and writes nothing.

Scores are imported if they were measured under the conditions of the new search. Otherwise only the programs are: the
baseline is measured, then the champion as the first candidate, and all others count as tried. The earlier search is
read only once, and never changed: the new search keeps the imported trials in its own folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from operators.population import Population
from operators.trial import IMPORTED, Label, Mutation, Proposal, Status, Trial
from search.adopt import adopt, counts, shown
from search.commands import fails_with_a_line, show
from search.conditions import conditions, differences
from search.errors import UserError
from search.figures import value_text
from search.names import folder_of, what_there_is
from search.runs.finished import SearchRun, load_run
from search.runs.ledger import Ledger
from search.runs.lock import holder
from search.runs.reading import read_beginning, read_population
from search.runs.rundir import RunDirectory, searches_below
from target.metric import metric_of
from target.program import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """The imported trials that a search begins with.

    Attributes:
        trials: By number. Pending trials are measured here; the others have verdicts, in the order of `decided`.
        text: A message for the user: what is imported, and what is not.
    """

    trials: tuple[Trial, ...]
    text: str


def find_source(config: Mapping[str, Any], run: RunDirectory) -> SearchRun | None:
    """Return the earlier search that a search begins with; None if there is none, or its trials are already imported.

    Args:
        config: Configuration of the new search, as plain types.
        run: Its folder, which need not exist.

    Raises:
        UserError: There is no such search, it is still running, nothing in it fits, or the new one has its own trials.
    """
    given = config.get("from")
    if given is None:
        return None
    root = Path(given).expanduser()
    if root.resolve() == run.root.resolve():
        raise UserError(f"from must name another search, got {given}, which is this one; omit from to resume it")
    if run.journal.exists():
        if read_beginning(run) is not None:
            return None
        if not run.config.exists() and read_population(run).trials:
            raise UserError(
                f"{run.root} has imported trials already, and from={given} is for a search that has none; omit from "
                "to continue it, or choose another name"
            )
    source = _load(root, Path(config["outputs"]).expanduser())
    ours, theirs = (_kind(each) for each in (config["target"], source.config["target"]))
    if ours != theirs:
        raise UserError(
            f"from={given} must be a search for {ours}, as this one is, and is one for {theirs}, whose programs do not "
            "run here; omit from"
        )
    return source


def begin_with(
    source: SearchRun, *, target: Mapping[str, Any], environment: Mapping[str, Any], seed_program: Program, seed: int
) -> Beginning:
    """Return what is imported from an earlier search.

    Args:
        source: The earlier search.
        target: Settings of the new search's target.
        environment: What the new search runs on, as in environment.json.
        seed_program: Seed program of the new search.
        seed: Seed of the new search.
    """
    there = conditions(source.config["target"], source.environment)
    differing = differences(there, conditions(target, environment))
    own = Trial(
        number=0,
        proposal=Proposal(parents=(), seed=seed, operator="seed"),
        mutation=Mutation(program=seed_program, operator="seed", description="the seed program"),
    )
    return _programs(source, own, differing) if differing else _with_scores(source, own)


def import_run(ledger: Ledger, source: SearchRun, beginning: Beginning) -> None:
    """Write the trials that a search begins with; after a crash, the same call writes the missing ones.

    Raises:
        UserError: The ledger has other trials.
    """
    adopt(ledger, beginning.trials)
    ledger.began_with(str(source.root))


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Show what a search would begin with, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m search.import_run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="settings, as python -m search takes them")
    show(_dry_run(parser.parse_args(arguments).overrides))
    return 0


def _dry_run(overrides: Sequence[str]) -> str:
    from search.composed import make_target
    from search.construct import compose_config, resolve
    from search.runs.environment import describe_environment

    config = resolve(compose_config(overrides), overrides)
    if config["from"] is None:
        raise UserError("from must name the folder of an earlier search, such as from=outputs/mar8")
    run = folder_of(config["outputs"], config["name"])
    source = find_source(config, run)
    if source is None:
        return f"{run.root} has begun with {config['from']} already: the same command of python -m search resumes it\n"
    target = make_target(config["target"])
    beginning = begin_with(
        source,
        target=config["target"],
        environment=describe_environment(target.prepare(lambda text: show(f"{text}\n")), ()),
        seed_program=target.seed_program(),
        seed=config["seed"],
    )
    lines = [
        beginning.text,
        *shown(Population(beginning.trials), metric_of(source.environment)),
        "nothing was written: this was a dry run",
    ]
    return "\n".join(lines) + "\n"


# Finding the earlier search


def _load(root: Path, outputs: Path) -> SearchRun:
    run = RunDirectory(root)
    if not run.journal.is_file():
        raise UserError(f"from must be the folder of an earlier search, {_instead(root, outputs)}")
    if who := holder(run.lock):
        raise UserError(f"{root} is still running ({who}); wait for its end or stop it, then repeat the command")
    if not run.config.exists():
        raise UserError(
            f"{root} was imported and has not searched since, so nothing says whether its scores "
            f"are comparable; continue it by name={root.name}"
        )
    source = load_run(root)
    if source.population.champion is None:
        first = next(iter(source.population.trials), None)
        state = f"its seed program is {first.status.value}" if first else "it has no trial"
        raise UserError(f"{root} has no program with a score ({state}), so there is nothing to begin with; omit from")
    return source


def _instead(root: Path, outputs: Path) -> str:
    """Return what is wrong with a folder that holds no search, and a guess at what was meant."""
    below = searches_below(root)
    if below:
        return f"got {root}, which holds {len(below)} of them; name one, such as {below[0]}"
    wrong = f"got {root}, which " + ("holds none" if root.exists() else "is not there")
    return f"{wrong}; {what_there_is(str(root), outputs)}"


def _kind(target: Mapping[str, Any]) -> str:
    """Describe the programs of a target. Searches with different descriptions cannot import from each other."""
    if "_target_" not in target:
        return "a train.py of Graft"
    named = target.get("object") or target.get("name")
    return f"{target['file']} of a command" if "file" in target else f"target={named}"


# What is imported


def _with_scores(source: SearchRun, own: Trial) -> Beginning:
    """Import everything; a seed program that the earlier search has not tried becomes a candidate."""
    population = source.population
    trials = [_taken_over(trial, source) for trial in population.trials]
    champion = population.champion
    assert champion is not None, f"{source.root} has no champion"
    text = (
        f"{source.root}: {counts(trials)}, with their scores; the champion is #{champion.number} at "
        f"{value_text(champion, population, metric_of(source.environment))}"
    )
    if own.program and population.find(own.program.id) is None:
        number = len(trials)
        trials.append(replace(own, number=number, proposal=replace(own.proposal, parents=(0,))))
        text += f"; the seed program is another one now: it is measured as #{number}, and #0 stays the baseline"
    return Beginning(trials=tuple(trials), text=text)


def _taken_over(trial: Trial, source: SearchRun) -> Trial:
    labels = {**trial.proposal.labels, IMPORTED: _origin(trial, source)}
    evaluations = tuple(replace(each, trained=False) for each in trial.evaluations)  # they count against no budget
    trial = replace(trial, proposal=replace(trial.proposal, labels=labels), evaluations=evaluations)
    return trial if trial.decided is not None or trial.program else _given_up(trial, source)


def _programs(source: SearchRun, own: Trial, differing: Sequence[str]) -> Beginning:
    """Import programs without scores: the champion is measured here, the others are not."""
    population, champion = source.population, source.population.champion
    first = population.trials[0].program
    assert champion and champion.program and first and own.program, f"{source.root} has no champion"
    shift = 0 if first.id == own.program.id else 1  # the earlier seed program, if it differs, comes after ours
    candidate = None if champion.program.id == own.program.id else champion.number
    trials = [own]
    for trial in population.trials[1 - shift :]:
        known = _unmeasured(trial, source, differing[0])
        if trial.number == candidate:
            known = replace(known, status=Status.PENDING, decided=None, detail="", tie=False)
        trials.append(_moved(known, source, shift))
    then = "which was the champion" if candidate is None else f"then the earlier champion, #{candidate + shift}"
    text = (
        f"{source.root}: {len(population.trials)} trials, without their scores, which were measured under other "
        f"conditions ({'; '.join(differing)}): the baseline is measured first, {then}; all others count as tried"
    )
    return Beginning(trials=tuple(trials), text=text)


def _unmeasured(trial: Trial, source: SearchRun, difference: str) -> Trial:
    """Return a trial as history: its result is in the text, and it has no score."""
    if trial.program is None:
        return trial if trial.decided is not None else _given_up(trial, source)
    if trial.status is Status.UNMEASURED:
        return trial
    name = source.root.resolve().name
    end = f"{trial.status.value} in {name}" if trial.decided is not None else f"no verdict in {name}"
    if trial.scored:
        value = value_text(trial, source.population, metric_of(source.environment))
        end = f"{trial.status.value} at {value} in {name}"
    return replace(
        trial,
        evaluations=(),
        status=Status.UNMEASURED,
        decided=_rank(trial, source),
        detail=f"{end} ({difference}){trial.detail and f': {trial.detail}'}",
        tie=False,
    )


def _given_up(trial: Trial, source: SearchRun) -> Trial:
    """Return a trial that the earlier search had proposed when it ended, and that has no program."""
    return replace(
        trial,
        status=Status.NOT_BUILT,
        decided=_rank(trial, source),
        detail=f"{source.root.resolve().name} ended before there was a program",
    )


def _moved(trial: Trial, source: SearchRun, shift: int) -> Trial:
    """Return a trial with new numbers and without what its strategy noted."""
    parents = tuple(number + shift for number in trial.proposal.parents) or (0,)
    labels = {IMPORTED: _origin(trial, source)}
    extra = tuple(number + shift for number in trial.extra_parents)
    return replace(
        trial,
        number=trial.number + shift,
        proposal=replace(trial.proposal, parents=parents, companions=None, model=None, labels=labels),
        mutation=trial.mutation and replace(trial.mutation, extra_parents=extra),
        failure=trial.failure and replace(trial.failure, extra_parents=extra),
    )


def _origin(trial: Trial, source: SearchRun) -> Label:
    """Return the search in which a trial was made; the earlier search may have imported it."""
    return trial.proposal.labels.get(IMPORTED, f"{source.root.resolve().name}#{trial.number}")


def _rank(trial: Trial, source: SearchRun) -> int:
    """Return the rank of a verdict; trials without one come last."""
    return len(source.population.trials) + trial.number if trial.decided is None else trial.decided


if __name__ == "__main__":
    raise SystemExit(main())
