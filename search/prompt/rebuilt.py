"""Prompts made anew from what was known when a trial was proposed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException

from operators.base import MutationError
from operators.population import Population
from operators.prompts.briefing import ANSWERS, Briefing
from operators.prompts.prompt import Prompt
from operators.trial import Trial
from search.composed import make_target, read_config
from search.construct import compose_search
from search.direction import find_direction
from search.errors import UserError
from search.gates import Gates
from search.mistakes import config_folders
from search.printed import stored_arguments
from search.runs.finished import SearchRun
from search.runs.reading import population_before
from search.runs.rundir import RunDirectory
from search.ties import sentences


def rebuilt_text(root: Path, trial: Trial, style: str | None, *, config_dir: Path | None = None) -> str:
    """Return the prompt of a trial as readable text.

    Args:
        root: Folder of the search.
        trial: The trial.
        style: Choice of conf/prompt to word it with; None for that of the search.
        config_dir: The user's folder with more choices; None for that with which the search was started.

    Raises:
        UserError: There is no such prompt, or the trial does not fit into it.
        TargetError: The target of the search is not valid.
    """
    config_dir = config_dir and config_dir.absolute()
    with RunDirectory(root).where_started() as run:
        return _rebuilt(run, trial, style, config_dir)


def _rebuilt(run: RunDirectory, trial: Trial, style: str | None, config_dir: Path | None) -> str:
    config = read_config(run)
    prompt = _prompt(run, config, style or trial.proposal.style or None, config_dir)
    target = make_target(config["target"])
    direction = find_direction(config.get("direction") or target.direction).read_text(encoding="utf-8")
    try:
        messages = prompt.messages(
            _briefing(trial, population_before(run, trial.number)),
            direction=direction,
            limits=(
                *target.limits,
                *Gates(**config.get("gates", {})).sentences,
                *sentences(config.get("acceptance", {})),
            ),
            contract=target.contract,
        )
    except MutationError as error:
        raise UserError(str(error)) from error
    return "\n".join(f"## {message.role}\n\n{message.text}" for message in messages)


def section_tokens(run: SearchRun) -> dict[str, dict[str, int]]:
    """Return the estimated tokens of each section in the last prompt of each kind that a search made.

    Returns:
        By the name and hash of the prompt, without those that this version would word in another way.
    """
    if not run.config.get("prompt"):
        return {}
    with RunDirectory(run.root).where_started() as there:
        return _section_tokens(run, there)


def _section_tokens(run: SearchRun, there: RunDirectory) -> dict[str, dict[str, int]]:
    contract, found = make_target(run.config["target"]).contract, dict[str, dict[str, int]]()
    for style in (None, *(run.config.get("prompts") or ())):
        prompt = _prompt(there, run.config, style)
        told = [trial for trial in run.population.decided if trial.prompt == prompt.label and trial.proposal.parents]
        if told:
            before = population_before(there, told[-1].number)
            found[prompt.label] = prompt.section_tokens(_briefing(told[-1], before), contract=contract)
    return found


def _prompt(run: RunDirectory, config: Mapping[str, Any], style: str | None, config_dir: Path | None = None) -> Prompt:
    """Return a prompt of a search, or another one as that search would have it."""
    if style is None and "prompt" not in config:
        raise UserError("this search has no prompt in its configuration; name one with --as, such as --as default")
    try:
        node = config.get("prompt") if style is None else _composed(run, style, config_dir)
        prompt: Prompt = hydra.utils.instantiate(node)
    except HydraException as error:
        raise UserError(f"prompt: {error.__cause__ or error}") from error
    return prompt


def _composed(run: RunDirectory, style: str, config_dir: Path | None) -> Any:
    """Compose a prompt from its choice, with the user's own choices and the settings of prompts that the search has."""
    arguments = stored_arguments(run, run.root.name)
    settings = [each for each in arguments if each.lstrip("+~").startswith("prompt.")]
    recorded = [*config_folders(arguments)][-1:]
    folder = next((each for each in (config_dir, *recorded) if each and each.is_dir()), None)
    try:
        return compose_search([*settings, f"prompt={style}"], config_dir=folder).config.prompt
    except UserError as error:
        if folder or not recorded:
            raise
        gone = f"the search began with --config-dir {recorded[0]}, which is no folder here: give --config-dir DIR"
        raise UserError(f"{error}; {gone}") from error


def _briefing(trial: Trial, population: Population) -> Briefing:
    """Return the briefing for the prompt of a trial, as far as its record allows."""
    from operators.prompts.briefing import Briefing

    operator = trial.operator.split("/")[-1]
    others = [population.trials[number] for number in (*trial.as_proposed.parents[1:], *trial.extra_parents)]
    mended = operator == "repair" and others
    return Briefing(
        answer=operator if operator in ANSWERS else "patch",
        proposal=trial.as_proposed,
        population=population,
        base=others[0] if mended else population.trials[trial.as_proposed.parents[0]],
        second=others[0] if operator == "crossover" and others else None,
    )
