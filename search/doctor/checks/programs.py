"""Checks the target with its seed program, and the operators with what they need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from operators.base import Resources, needs_python
from operators.chat import ChatModel
from operators.llm import LanguageModel
from search.adopt import counts
from search.baseline import require_valid
from search.composed import make_target
from search.construct import make_operator
from search.direction import find_direction
from search.doctor.checks.models import SETTINGS, configured_endpoints
from search.doctor.checks.row import Row, broken, broken_by, fine, warning
from search.doctor.checks.subject import Subject
from search.errors import UserError
from search.import_run import find_source
from search.models.cassette import ReplayedModel, open_record
from target.command.checkout import is_named
from target.command.kind import OUR_EVALUATOR, CommandKind
from target.command.spec import CommandSpec
from target.errors import TargetError
from target.metric import Metric, usual_direction
from target.program import Program
from target.program.contract import TRAINED
from target.program.movable import MOVE_ADVICE, can_move, movable_text
from target.spec import TargetSpec


def check_target(subject: Subject) -> Iterator[Row]:
    """Check that there is a seed program, and what is needed to run it."""
    spec = subject.spec
    try:
        program = _seed_program(subject)
        require_valid(program, make_target(subject.config["target"]).contract)
    except (TargetError, UserError) as error:
        yield broken_by("target", error, cost="there is nothing to begin with")
        return
    limit = f", {spec.limit_seconds:g} s a training" if spec else ""
    yield fine(
        "target",
        f"{subject.target}: program {program.id}{limit} on {'a GPU' if subject.device == 'cuda' else 'the CPU'}",
    )
    metric = Metric() if isinstance(spec, TargetSpec) else make_target(subject.config["target"]).contract.metric
    if metric.doubt:
        remedy = f"target.direction={usual_direction(metric.name)}"
        yield warning("metric", metric.doubt, cost="the search would keep the worse programs", remedy=remedy)


def check_metric_file(subject: Subject) -> Iterator[Row]:
    """Warn if nothing of a command's directory knows the file that should have the score."""
    spec = subject.spec
    if not isinstance(spec, CommandSpec) or not spec.metric_file or spec.metric_pattern:
        return
    if not isinstance(subject.kind, CommandKind) or subject.kind.evaluator != OUR_EVALUATOR:
        return  # a scorer of the user makes the score
    with contextlib.suppress(TargetError):  # check_target has reported it
        if not is_named(spec, spec.metric_file):
            yield warning(
                "score",
                f"{spec.metric} is read from {spec.metric_file}, which neither {spec.file} nor another file in "
                f"{spec.root} names",
                cost="without that file a run has no score",
                remedy="if the command prints the number: target.metric_file=null",
            )


def check_constants(subject: Subject) -> Iterator[Row]:
    """Report which constants of the program can move, if it has any."""
    with contextlib.suppress(TargetError, UserError):  # check_target has reported it
        if text := movable_text(_seed_program(subject).source):
            yield fine("constants", text)


def _seed_program(subject: Subject) -> Program:
    spec = subject.spec
    if isinstance(spec, TargetSpec):
        return spec.seed_program()  # the target itself would ask for the GPU first
    return make_target(subject.config["target"]).seed_program()


def check_from(subject: Subject) -> Iterator[Row]:
    """Check the earlier search that this one begins with, if any."""
    try:
        source = find_source(subject.config, subject.run)
    except UserError as error:
        yield broken_by("from", error, cost="there is nothing to begin with")
        return
    if source:
        yield fine("from", f"{source.root}: {counts(source.population.trials)}")


def check_operators(subject: Subject) -> Iterator[Row]:
    """Check that every operator has what it asks for: a model, a command, a direction."""
    config = subject.config
    nodes = {"operator": config["operator"]}
    nodes |= {f"extra_operators.{name}": node for name, node in config["extra_operators"].items()}
    remarks: list[str] = []
    try:
        resources = replace(_resources(subject), remark=remarks.append)
        operators = [make_operator(node, group, resources) for group, node in nodes.items()]
    except UserError as error:
        said = str(error).removeprefix("operator: ")
        problem, _, remedy = said.rpartition("; " if "; " in said else ": ")
        yield broken("operator", problem, cost="no proposal can be made", remedy=remedy)
        return
    with contextlib.suppress(TargetError, UserError):  # check_target has reported it
        if all(map(needs_python, operators)) and not can_move(_seed_program(subject).source):
            found = "the program has nothing that an operator without a model can change"
            yield broken("operator", found, cost="no proposal can be made", remedy=MOVE_ADVICE)
            return
    names = dict.fromkeys(operator.name for operator in operators)
    yield fine("operator", "; ".join([", ".join(names), *remarks]))


def _resources(subject: Subject) -> Resources:
    """Return the resources that the search would give to its operators.

    Raises:
        UserError: There is no direction file, or no record to replay.
    """
    model = _model(subject)
    try:
        target, seed_program = make_target(subject.config["target"]), _seed_program(subject)
    except (TargetError, UserError):  # check_target has reported it
        direction = find_direction(subject.config["direction"])
        return Resources(lend=lambda: model, direction=direction, limits=(), contract=TRAINED)
    direction = find_direction(subject.config["direction"] or target.direction)
    return Resources(
        lend=lambda: model,
        direction=direction,
        limits=target.limits,
        contract=target.contract,
        seed_program=seed_program,
    )


def _model(subject: Subject) -> ChatModel | None:
    """Return a model, which is not asked. If its key is missing, it has none: check_models reports that."""
    llm: dict[str, Any] = dict(subject.config["llm"])
    if record := open_record(llm.get("cassette", "record"), subject.run):
        return ReplayedModel(record)
    try:
        endpoints = configured_endpoints(llm)
        if not endpoints:
            return None
        return LanguageModel(endpoints, **{key: value for key, value in llm.items() if key not in SETTINGS})
    except (TypeError, ValueError) as error:
        raise UserError(f"llm: {error}") from error
