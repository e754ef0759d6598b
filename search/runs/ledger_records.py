"""Converts trials to records of the journal and back: plain JSON, with exchanges in separate files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final

from optuna.trial import FrozenTrial

from operators.trial import Attempt, Label, Mutation, Original, Proposal, Status, Trial
from search.errors import UserError
from search.runs.exchanges import ExchangeStore
from search.runs.rundir import RunDirectory
from search.runs.sources import edited, edits_between
from target.evaluation import Evaluation
from target.program import IDS_BY, Program

_SECONDS_DIGITS: Final = 3
_HASH_DIGITS: Final = 16  # of a source: it only detects damage

LATER: Final = "trial {number} evaluation {index}"
"""Attribute of the study: a training that a trial got after its verdict."""


FAILED_ATTEMPTS: Final = "trial {number} failed attempts {stage}"
"""Attribute of the study: how often one evaluation, named by `stage`, ended with an error of the machine."""


_BEGUN: Final = "begun_verdicts"
"""Key of the first training of a trial: the number of verdicts when it began."""


_COMPANIONS: Final = "inspirations"
_MODEL: Final = "model"
"""Labels of a proposal in journals: the companions, as in `3,7`, and the model."""


_LATER_KEY: Final = re.compile(r"trial (\d+) evaluation \d+")


def trial_of_line(line: Mapping[str, Any]) -> int | None:
    """Return the trial that a line of the journal changes, a new one included; None if it changes none.

    Optuna counts the trials of all studies of a journal; ours has one, so that its ids are the numbers.
    """
    if "trial_id" in line:
        return int(line["trial_id"])
    attributes: Mapping[str, Any] = line.get("user_attr") or line.get("user_attrs") or {}
    if "proposal" in attributes:
        return int(attributes["proposal"]["number"])
    found = next(filter(None, map(_LATER_KEY.fullmatch, attributes)), None)
    return int(found[1]) if found else None


def labels_of(proposal: Proposal) -> dict[str, Label]:
    """Return the labels of a proposal, with its companions and its model as further labels."""
    labels = {**proposal.labels}
    if proposal.companions is not None:
        labels[_COMPANIONS] = ",".join(map(str, proposal.companions))
    if proposal.model is not None:
        labels[_MODEL] = proposal.model
    return labels


def proposal_record(proposal: Proposal) -> dict[str, Any]:
    """Return what the journal keeps of a proposal."""
    return {
        "parents": proposal.parents,
        "seed": proposal.seed,
        "operator": proposal.operator,
        "labels": labels_of(proposal),
    }


def _proposal(record: Mapping[str, Any]) -> Proposal:
    labels = {**record["labels"]}
    named, model = labels.pop(_COMPANIONS, None), labels.pop(_MODEL, None)
    return Proposal(
        parents=tuple(record["parents"]),
        seed=record["seed"],
        operator=record["operator"],
        companions=None
        if named is None
        else tuple(int(part) for part in str(named).split(",") if part.strip().isdecimal()),
        model=None if model is None else str(model),
        labels=labels,
    )


def mutation_record(mutation: Mutation, parent: Program | None) -> dict[str, Any]:
    """Return what the journal keeps of a mutation: its program, and what is not empty; exchanges are in other files.

    Args:
        mutation: The mutation.
        parent: The program of the trial's first parent, if it has one: the source is kept as edits of that program's.
    """
    rest = {
        "rationale": mutation.rationale,
        "cost_usd": mutation.cost_usd,
        "n_exchanges": len(mutation.exchanges),
        "prompt": mutation.prompt,
        "extra_parents": mutation.extra_parents,
        "spares": [_program_record(spare, parent) for spare in mutation.spares],
    }
    return {
        **_program_record(mutation.program, parent),
        "operator": mutation.operator,
        "description": mutation.description,
        **{name: value for name, value in rest.items() if value},
    }


def moved_record(onto: int, program: Program, parent: Program | None, description: str | None = None) -> dict[str, Any]:
    """Return what the journal keeps of an edit that was made to another parent; what it was before stays there too.

    Args:
        onto: The new parent.
        program: The new program.
        parent: The program of the new parent.
        description: What the new program changes in it; None if that stays as it was.
    """
    described = {} if description is None else {"description": description}
    return {"onto": onto, **_program_record(program, parent), **described}


def evaluation_record(evaluation: Evaluation, begun_verdicts: int | None) -> dict[str, Any]:
    """Return what the journal keeps of an evaluation.

    Args:
        evaluation: The evaluation.
        begun_verdicts: Number of verdicts when it began, if it is the first training of its trial.
    """
    return {**evaluation.to_record(), **({} if begun_verdicts is None else {_BEGUN: begun_verdicts})}


def _program_record(program: Program, parent: Program | None) -> dict[str, Any]:
    source: Mapping[str, Any] = {"source": program.source}
    if parent:
        edits = {"edits": edits_between(parent.source, program.source)}
        source = min(source, edits, key=lambda each: len(json.dumps(each)))
    return {
        "program_id": program.id,
        "skeleton_id": program.skeleton_id,
        "ids_by": IDS_BY,
        "source_sha256": sha256_of(program.source)[:_HASH_DIGITS],
        **source,
    }


def verdict_record(
    status: Status, decided: int, *, detail: str, tie: bool, failure: Attempt | None, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Return what the journal keeps of a verdict; what is empty is left out, and times are rounded."""
    rest = {"detail": detail, "tie": tie, "failure": failure_record(failure) if failure else None}
    rounded = {name: round(value, _SECONDS_DIGITS) for name, value in seconds.items()}
    return {"status": status.value, "decided": decided, **{key: rest[key] for key in rest if rest[key]}, **rounded}


def read_trial(run: RunDirectory, record: FrozenTrial, later: Mapping[str, Any], earlier: Sequence[Trial]) -> Trial:
    """Return the trial of an Optuna trial.

    Args:
        run: Where programs and exchanges are kept.
        record: The Optuna trial.
        later: Attributes of the study, including trainings after a verdict.
        earlier: The trials before it.

    Raises:
        UserError: If a file that it names is missing or was changed.
        KeyError, IndexError, TypeError, ValueError, AttributeError: If the record is damaged.
    """
    attributes = record.user_attrs
    if attributes["proposal"]["number"] != record.number:
        raise ValueError("a line before it is missing")
    proposal = _proposal(attributes["proposal"])
    runs = [{**attributes[key]} for key in attributes if key.startswith("evaluation ")]
    while (key := LATER.format(number=record.number, index=len(runs))) in later:
        runs.append(later[key])
    verdict = attributes.get("verdict", {})
    parent = earlier[proposal.parents[0]].program if proposal.parents else None
    begun = [run.pop(_BEGUN, None) for run in runs]
    trial = Trial(
        number=record.number,
        proposal=proposal,
        mutation=_mutation(run, attributes["mutation"], proposal.seed, parent) if "mutation" in attributes else None,
        evaluations=tuple(Evaluation.from_json(run) for run in runs),
        status=Status(verdict.get("status", "pending")),
        decided=verdict.get("decided"),
        detail=verdict.get("detail", ""),
        tie=_is_tie(verdict),
        failure=_failure(run, verdict["failure"], proposal.seed) if verdict.get("failure") else None,
        known_verdicts=attributes["proposal"].get("known_verdicts"),
        begun_verdicts=begun[0] if begun else None,
    )
    moved = attributes.get("moved")
    if not moved:
        return trial
    program = _program(run, moved, earlier[moved["onto"]].program)
    return moved_to(trial, moved["onto"], program, moved.get("description"))


def _is_tie(verdict: Mapping[str, Any]) -> bool:
    """Return whether a tie decided; journals of earlier versions say so only at the start of the detail."""
    is_of_scores = verdict.get("status") in (Status.KEEP, Status.DISCARD)
    return bool(verdict.get("tie", is_of_scores and verdict.get("detail", "").startswith("tie: ")))


def moved_to(trial: Trial, onto: int, program: Program, description: str | None = None) -> Trial:
    """Return a trial whose edit was made to another parent.

    Args:
        trial: The trial, with a program.
        onto: The new parent.
        program: The new program.
        description: What it changes in the new parent; None if that stays as it was.
    """
    assert trial.mutation is not None, f"trial {trial.number} has no edit"
    return replace(
        trial,
        proposal=replace(trial.proposal, parents=(onto,)),
        mutation=replace(
            trial.mutation,
            program=program,
            description=trial.mutation.description if description is None else description,
        ),
        original=trial.original or Original(parents=trial.proposal.parents, program=trial.mutation.program),
    )


def _mutation(run: RunDirectory, record: Mapping[str, Any], seed: int, parent: Program | None) -> Mutation:
    return Mutation(
        program=_program(run, record, parent),
        operator=record["operator"],
        description=record["description"],
        rationale=record.get("rationale", ""),
        cost_usd=record.get("cost_usd", 0.0),
        exchanges=ExchangeStore(run.exchanges).read(seed, record.get("n_exchanges", 0)),
        prompt=record.get("prompt", ""),
        extra_parents=tuple(record.get("extra_parents", ())),
        spares=tuple(_program(run, spare, parent) for spare in record.get("spares", ())),
    )


def _program(run: RunDirectory, record: Mapping[str, Any], parent: Program | None) -> Program:
    source = _source(run, record, parent)
    if record.get("ids_by") != IDS_BY:
        return Program(source)
    return Program.known(source, id=record["program_id"], skeleton_id=record["skeleton_id"])


def _source(run: RunDirectory, record: Mapping[str, Any], parent: Program | None) -> str:
    """Return the source of a program; searches of older versions have it in a file."""
    if "source" not in record and "edits" not in record:
        return _source_in_file(run, record["source_sha256"])
    source: str = record["source"] if "source" in record else edited(parent.source if parent else "", record["edits"])
    if not sha256_of(source).startswith(record["source_sha256"]):
        raise ValueError("its source does not have the hash that was written with it")
    return source


def _source_in_file(run: RunDirectory, sha256: str) -> str:
    path = run.program(sha256)
    try:
        source = path.read_bytes().decode(errors="surrogatepass")
    except OSError as error:
        raise UserError(f"cannot read {path}, which the ledger names: {error.strerror}") from error
    if sha256_of(source) != sha256:
        raise UserError(f"{path} was changed: its name is the hash of what it held; restore it")
    return source


def failure_record(failure: Attempt) -> dict[str, Any]:
    """Return what the journal keeps of a failure; its exchanges are in separate files."""
    plain = {each.name: getattr(failure, each.name) for each in fields(failure) if each.name != "exchanges"}
    return {**plain, "n_exchanges": len(failure.exchanges)}


def _failure(run: RunDirectory, record: Mapping[str, Any], seed: int) -> Attempt:
    plain = {key: value for key, value in record.items() if key != "n_exchanges"}
    exchanges = ExchangeStore(run.exchanges).read(seed, record["n_exchanges"])
    return Attempt(**{**plain, "extra_parents": tuple(record["extra_parents"])}, exchanges=exchanges)


def sha256_of(source: str) -> str:
    """Return the hash that names the file of a source."""
    return hashlib.sha256(source.encode(errors="surrogatepass")).hexdigest()
