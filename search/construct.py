"""The parts of a search, built from Hydra's configuration; an objection of a constructor becomes the user's message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import hydra
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from operators.base import Operator, Resources
    from search.models import Models
    from search.rundir import RunDirectory

_HOME: Final = re.compile(r"\+{0,2}[\w.@/]+=([^'\"\[{]*,)?~(/[^'\"]*)?$")


def quote_homes(arguments: Sequence[str]) -> list[str]:
    """Quote values that begin with `~/`: Hydra's grammar has no place for them, and shells leave them alone behind `=`.

    Args:
        arguments: Of a command line; a value may be a list of choices, as in `target.root=~/a,~/b`.
    """
    return [_quoted(each) if _HOME.match(each) else each for each in arguments]


def _quoted(argument: str) -> str:
    key, _, value = argument.partition("=")
    choices = (f"'{choice}'" if choice.startswith("~") else choice for choice in value.split(","))
    return f"{key}={','.join(choices)}"


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration that `python -m search` has with the same overrides.

    Raises:
        UserError: There is no such group or setting, or a value does not fit.
    """
    from hydra import compose, initialize_config_module
    from hydra.core.config_store import ConfigStore

    from conf.schema import schema
    from search.errors import UserError

    ConfigStore.instance().store(name="schema", node=schema())
    try:
        with initialize_config_module(version_base="1.3", config_module="conf"):
            return compose("config", quote_homes(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(complaint(error)) from error


def make_models(llm: DictConfig, run: RunDirectory) -> Models:
    """Return the language models that are configured; to replay, none is needed, nor its key.

    Raises:
        UserError: A setting does not fit, or a key is missing.
    """
    from search.cassette import open_record
    from search.models import Models

    if record := open_record(llm.get("cassette", "record"), run):
        return Models(record=record)
    settings = [str(key) for key in llm if key != "cassette"]
    return Models(live=instantiate(OmegaConf.masked_copy(llm, settings), "llm"))


def plain_config(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain types, with all references resolved.

    Raises:
        OmegaConfBaseException: A value is missing, or refers to one that is not there.
    """
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def resolve(composed: DictConfig) -> dict[str, Any]:
    """Return `plain_config` of what `compose_config` composed.

    Raises:
        UserError: A value is missing, or refers to one that is not there.
    """
    from search.errors import UserError

    try:
        return plain_config(composed)
    except OmegaConfBaseException as error:
        raise UserError(complaint(error)) from error


def instantiate(node: DictConfig | Mapping[str, Any], group: str) -> Any:
    """Build what a group's `_target_` names.

    Raises:
        UserError: The constructor does not accept its settings.
    """
    from search.errors import UserError

    try:
        return hydra.utils.instantiate(node)
    except InstantiationException as error:
        raise UserError(f"{group}: {error.__cause__ or error}") from error


def make_operator(node: DictConfig | Mapping[str, Any], group: str, resources: Resources) -> Operator:
    """Build an operator, and lend it the resources of the search if it asks for them.

    Raises:
        UserError: It does not accept its settings, or lacks a resource.
    """
    from operators.base import equip
    from search.errors import UserError

    try:
        return equip(instantiate(node, group), resources)
    except ValueError as error:
        raise UserError(f"{group}: {error}") from error


def budget_limits(budget: DictConfig) -> DictConfig:
    """Return the limits that apply: those of `unset` if none is given."""
    given = (budget.trainings, budget.hours, budget.usd)
    limits: DictConfig = budget.unset if all(limit is None for limit in given) else budget
    return limits


def complaint(error: Exception) -> str:
    """Return what Hydra says of a configuration, each sentence once."""
    causes = (str(each).strip() for each in (error, error.__cause__) if each)
    return "\n".join(dict.fromkeys(causes))
