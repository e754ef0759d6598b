"""The settings by which searches are told apart in a tracker: one can filter, group and chart by them."""

from __future__ import annotations

from typing import Any

import yaml

from search.composed import read_config
from search.errors import UserError
from search.resuming import may_change
from search.runs.rundir import RunDirectory
from search.runs.summary import Summary
from search.schema import CONF
from search.tracking.records import PARAM_CHARACTERS, clean, plain_key


def search_parameters(run: RunDirectory, summary: Summary) -> dict[str, str]:
    """Return strategy, operator, target and seed of a search, and the settings of its command line that stay.

    Args:
        run: Its folder; it may lack its configuration.
        summary: Its state.
    """
    given = dict(_given(run))
    named = {"strategy": summary.strategy, "operator": given.get("operator") or _default("operator")}
    found = {**named, "target": _target(run, given), "seed": str(summary.seed), **given}
    return {plain_key(key): clean(value, PARAM_CHARACTERS) for key, value in found.items()}


def _given(run: RunDirectory) -> list[tuple[str, str]]:
    try:
        overrides = yaml.safe_load(run.overrides.read_text(encoding="utf-8")) or []
    except (OSError, yaml.YAMLError):
        return []
    pairs = (str(each).lstrip("+").partition("=") for each in overrides)
    return [(key, value) for key, equals, value in pairs if equals and not key.startswith("~") and not may_change(key)]


def _target(run: RunDirectory, given: dict[str, str]) -> str:
    try:
        name = (read_config(run).get("target") or {}).get("name")
    except UserError:
        name = None
    return str(name or given.get("target") or _default("target"))


def _default(group: str) -> str:
    """Return the choice of a group that a search has without being told one."""
    defaults: list[Any] = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    return next(str(each[group]) for each in defaults if isinstance(each, dict) and group in each)
