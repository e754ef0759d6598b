"""Converts trials to records of the journal and back: plain JSON, with programs and exchanges in separate files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from optuna.trial import FrozenTrial

from operators.trial import Attempt, Label, Mutation, Proposal, Status, Trial
from search.errors import UserError
from search.runs.exchanges import ExchangeStore
from search.runs.rundir import RunDirectory
from target.evaluation import Evaluation
from target.program import Program

LATER: Final = "trial {number} evaluation {index}"
"""Attribute of the study: a training that a trial got after its verdict."""


FAILED_ATTEMPTS: Final = "trial {number} failed attempts {stage}"
"""Attribute of the study: how often one evaluation, named by `stage`, ended with an error of the machine."""


_COMPANIONS: Final = "inspirations"
_MODEL: Final = "model"
"""Labels of a proposal in journals: the companions, as in `3,7`, and the model."""


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


def mutation_record(mutation: Mutation) -> dict[str, Any]:
    """Return what the journal keeps of a mutation; program and exchanges are in separate files."""
    return {
        "program_id": mutation.program.id,
        "skeleton_id": mutation.program.skeleton_id,
        "source_sha256": sha256_of(mutation.program.source),
        "operator": mutation.operator,
        "description": mutation.description,
        "rationale": mutation.rationale,
        "cost_usd": mutation.cost_usd,
        "constants": mutation.program.constants,
        "n_exchanges": len(mutation.exchanges),
        "prompt": mutation.prompt,
        "extra_parents": mutation.extra_parents,
    }


def read_trial(run: RunDirectory, record: FrozenTrial, later: Mapping[str, Any]) -> Trial:
    """Return the trial of an Optuna trial.

    Args:
        run: Where programs and exchanges are kept.
        record: The Optuna trial.
        later: Attributes of the study, including trainings after a verdict.

    Raises:
        UserError: If a file that it names is missing or was changed.
        KeyError, IndexError, TypeError, ValueError, AttributeError: If the record is damaged.
    """
    attributes = record.user_attrs
    if attributes["proposal"]["number"] != record.number:
        raise ValueError("a line before it is missing")
    proposal = _proposal(attributes["proposal"])
    runs = [attributes[key] for key in attributes if key.startswith("evaluation ")]
    while (key := LATER.format(number=record.number, index=len(runs))) in later:
        runs.append(later[key])
    verdict = attributes.get("verdict", {})
    return Trial(
        number=record.number,
        proposal=proposal,
        mutation=_mutation(run, attributes["mutation"], proposal.seed) if "mutation" in attributes else None,
        evaluations=tuple(Evaluation.from_json(run) for run in runs),
        status=Status(verdict.get("status", "pending")),
        decided=verdict.get("decided"),
        detail=verdict.get("detail", ""),
        failure=_failure(run, verdict["failure"], proposal.seed) if verdict.get("failure") else None,
    )


def _mutation(run: RunDirectory, record: Mapping[str, Any], seed: int) -> Mutation:
    path = run.program(record["source_sha256"])
    try:
        source = path.read_bytes().decode(errors="surrogatepass")
    except OSError as error:
        raise UserError(f"cannot read {path}, which the ledger names: {error.strerror}") from error
    if sha256_of(source) != record["source_sha256"]:
        raise UserError(f"{path} was changed: its name is the hash of what it held; restore it")
    return Mutation(
        program=Program(source),
        operator=record["operator"],
        description=record["description"],
        rationale=record["rationale"],
        cost_usd=record["cost_usd"],
        exchanges=ExchangeStore(run.exchanges).read(seed, record["n_exchanges"]),
        prompt=record.get("prompt", ""),
        extra_parents=tuple(record.get("extra_parents", ())),
    )


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
