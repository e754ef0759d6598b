"""Builds the parts of a search from Hydra's configuration; errors of constructors become messages for the user."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

if TYPE_CHECKING:
    from operators.base import MakeOperator, Operator, Resources
    from search.budget import Budget
    from search.models import Models
    from search.named import Passed
    from search.runs.rundir import RunDirectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A composed configuration, and what it was composed from.

    Attributes:
        config: The configuration.
        choices: The choice of each group, such as `greedy` for `strategy`.
        overrides: The settings that were given.
        prompts: The configurations of several prompts by name, if `prompts` names some.
    """

    config: DictConfig
    choices: Mapping[str, str]
    overrides: tuple[str, ...]
    prompts: Mapping[str, DictConfig] = field(default_factory=dict)

    @property
    def prompt_tokens(self) -> int | None:
        """Tokens of the longest possible prompt; None if there is no prompt."""
        prompts = [*self.prompts.values()] or [self.config.prompt]
        known = (each.get("max_tokens") for each in prompts if each)
        return max((tokens for tokens in known if tokens), default=None)


def compose_config(overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration that `python -m search` has with the same overrides.

    Raises:
        UserError: There is no such group or setting, or a value does not fit.
    """
    return compose_search(overrides).config


def compose_search(overrides: Sequence[str], *, config_dir: Path | None = None) -> Composed:
    """Compose a configuration, and tell what it was composed from; errors as in `compose_config`.

    Args:
        overrides: The settings.
        config_dir: A folder of the user with more choices, as `--config-dir` names it; None for none.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore

    from search.arguments import complaint, hydra_setting, quote_homes, refuse_arguments
    from search.errors import UserError
    from search.schema import CONF, schema
    from search.styles import compose_prompts

    if config_dir and not config_dir.is_dir():
        raise UserError(f"config_dir must be a folder, got {str(config_dir)!r}")
    refuse_arguments(overrides)
    ConfigStore.instance().store(name="schema", node=schema())
    place = f"file://{config_dir.resolve()}" if config_dir else ""  # no URI: Hydra would not read %20 as a space
    more = [f"hydra.searchpath=[{hydra_setting('', place)[1:]}]"] if place else []
    try:
        with _apart_from_a_running_hydra(), initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            whole = compose("config", [*quote_homes(overrides), *more], return_hydra_config=True)
            prompts = compose_prompts(whole.prompts, [*quote_homes(overrides), *more])
    except (HydraException, OmegaConfBaseException) as error:
        named = [f"--config-dir={config_dir}"] if config_dir else []
        raise UserError(complaint(error, [*named, *overrides])) from error
    choices = dict(whole.hydra.runtime.choices)
    with open_dict(whole):
        del whole.hydra
    return Composed(config=whole, choices=choices, overrides=tuple(overrides), prompts=prompts)


@contextlib.contextmanager
def _apart_from_a_running_hydra() -> Iterator[None]:
    """Let a configuration be composed in a program that is itself a Hydra application, such as the command."""
    from hydra.core.global_hydra import GlobalHydra

    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = running


def make_models(llm: DictConfig, run: RunDirectory) -> Models:
    """Return the configured language models; a replay needs neither a model nor its key.

    Raises:
        UserError: A setting does not fit, or the environment variable named for a key is not set.
    """
    from search.errors import UserError
    from search.models import Models
    from search.models.cassette import open_record

    if record := open_record(llm.get("cassette", "record"), run):
        return Models(record=record)
    check = llm.get("check", True)
    if not isinstance(check, bool):
        raise UserError(f"llm.check must be true or false, got {check!r}")
    settings = [str(key) for key in llm if key not in ("cassette", "check")]
    return Models(live=instantiate(OmegaConf.masked_copy(llm, settings), "llm"), tried_out=check)


def plain_config(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as plain types, with all references resolved.

    Raises:
        UserError: A value is missing.
        OmegaConfBaseException: A value refers to one that is not there.
    """
    from search.errors import UserError
    from search.mistakes import missing

    if text := missing(config):
        raise UserError(text)
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def resolve(composed: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the configuration that `compose_config` makes from some overrides, as plain types.

    Raises:
        UserError: A value is missing, or refers to one that is not there.
    """
    from search.arguments import complaint
    from search.errors import UserError

    try:
        return plain_config(composed)
    except OmegaConfBaseException as error:
        raise UserError(complaint(error, overrides)) from error


def instantiate(node: DictConfig | Mapping[str, Any], group: str, *, passed: Passed | None = None) -> Any:
    """Build what a group's `_target_` names.

    Args:
        node: The settings.
        group: Where they come from, for messages.
        passed: What the search passes later to what is built here; None if it is the part itself.

    Raises:
        UserError: It names nothing, or the constructor does not accept its settings.
    """
    from search.errors import UserError
    from search.named import named, require_later
    from target.fits import misfit

    settings = plain_config(node) if isinstance(node, DictConfig) else node
    made = named(settings, group)
    if wrong := misfit(made, settings):
        raise UserError(f"{group}.{wrong[0]} {wrong[1]}")
    if passed:
        require_later(made, settings, group, passed)
    try:
        return hydra.utils.instantiate(node)
    except InstantiationException as error:
        raise UserError(f"{group}: {error.__cause__ or error}") from error


def require(part: object, protocol: type, group: str) -> None:
    """Refuse an object that is not what a protocol describes, before anything depends on it.

    Raises:
        UserError: It lacks a method.
    """
    from search.errors import UserError
    from target.fits import lacking

    if wrong := lacking(part, protocol):
        raise UserError(f"{group} {wrong}; docs/extending.md has examples")


def make_operator(node: DictConfig | Mapping[str, Any], group: str, resources: Resources) -> Operator:
    """Build an operator, and give it the resources of the search if it asks for them.

    Raises:
        UserError: It does not accept its settings, or lacks a resource.
    """
    from search.named import Passed

    return equipped(instantiate(node, group, passed=Passed(("resources",), always=False)), group, resources)


def equipped(made: Operator | MakeOperator, group: str, resources: Resources) -> Operator:
    """Give an operator the resources of the search if it asks for them.

    Raises:
        UserError: It lacks a resource, or is no operator.
    """
    from operators.base import Operator, equip
    from search.errors import UserError

    try:
        operator = equip(made, resources)
    except ValueError as error:
        raise UserError(f"{group}: {error}") from error
    require(operator, Operator, group)
    return operator


def make_budget(budget: DictConfig) -> Budget:
    """Return the limits of a search; if none is given, those of `unset`.

    Raises:
        UserError: One does not fit.
    """
    from search.budget import Budget

    given = (budget.trainings, budget.hours, budget.usd)
    limits = budget.unset if all(limit is None for limit in given) else budget
    return Budget(trainings=limits.trainings, hours=limits.hours, usd=limits.get("usd"))
