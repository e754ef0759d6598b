"""What may differ between the sessions of a search: what does not decide what is searched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from omegaconf import OmegaConf

from search.changes import Origins
from search.composed import flatten
from search.construct import compose_search
from search.errors import UserError

MAY_CHANGE: Final = (
    "agent.environment",
    "agent.outage_minutes",
    "budget",
    "executor",
    "final",
    "hooks",
    "llm.api_base",
    "llm.api_key_env",
    "llm.backoff_seconds",
    "llm.check",
    "llm.concurrency",
    "llm.connect_seconds",
    "llm.longest_backoff_seconds",
    "llm.max_tokens",
    "llm.outage_minutes",
    "llm.price",
    "llm.requests_per_minute",
    "llm.total_seconds",
    "max_failures",
    "name",
    "outputs",
    "prompt.max_tokens",
    "propose_ahead",
    "pruning",
    "storage",
    "stuck",
    "takeover_seconds",
    "tracker",
)
"""Keys, with all below them, that may change when a search is resumed, because they do not decide what is searched.

How a model or an agent's provider is reached may change, and so may its price and the longest prompt and answer. Which
model is asked, and how, may not.
"""
_COPIED: Final = (".prompt.max_tokens", ".outage_minutes", ".environment")  # operators have copies of these settings


def differing(
    old: Mapping[str, Any], new: Mapping[str, Any], *, origins: Origins, overrides: Sequence[str]
) -> list[str]:
    """Return the settings that differ between two sessions of a search, though they should not.

    A setting that only this version of Graft has, and that has its default, is as in the version that did not have it.

    Args:
        old: The configuration of the earlier session.
        new: That of this one.
        origins: Where the values of this one come from.
        overrides: The settings that were given for this one.
    """
    before, now = flatten(old), flatten(new)
    keys = [key for key in {**before, **now} if not may_change(key) and before.get(key) != now.get(key)]
    added = [key for key in keys if _lacks(old, key) and not _is_given(key, overrides, origins)]
    defaults = _defaults(origins) if added else {}
    return [key for key in keys if key not in added or key not in defaults or defaults[key] != now[key]]


def _lacks(config: Mapping[str, Any], key: str) -> bool:
    """Return whether a configuration has the object to which a setting belongs, but not the setting."""
    *path, name = key.split(".")
    for part in path:
        found = config.get(part)
        if not isinstance(found, Mapping):
            return False
        config = found
    return name not in config


def _is_given(key: str, overrides: Collection[str], origins: Origins) -> bool:
    """Return whether a setting, or one above it that is no choice of a group, was given."""
    names = {each.lstrip("+").partition("=")[0] for each in overrides} - origins.choices.keys()
    return any(key == each or key.startswith(f"{each}.") for each in names)


def _defaults(origins: Origins) -> dict[str, Any]:
    """Return the settings that Graft's own files give to these choices; none if a choice is the user's own."""
    chosen = [f"{group}={name}" for group, name in origins.choices.items() if name and not group.startswith("hydra/")]
    try:
        config = compose_search(chosen).config
    except UserError:
        return {}
    return flatten(OmegaConf.to_container(config))  # as written: values that must be given are missing


def may_change(key: str) -> bool:
    """Return whether a resumed search may have another value of a setting, or of one below it."""
    of_operator = key.startswith(("operator.", "extra_operators.")) and key.endswith(_COPIED)
    return of_operator or any(key == each or key.startswith(f"{each}.") for each in MAY_CHANGE)
