"""What a user changed between two configurations, in terms of what a user sets.

A choice of a group brings many settings, and some settings are copies of another one: `acceptance.seed` is that of the
search. Neither is told on its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from omegaconf import OmegaConf

from search.composed import flatten
from search.construct import Composed
from search.schema import CONF

_REFERENCE: Final = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Where the values of a configuration come from.

    Attributes:
        choices: The choice of each group.
        references: By the name of a setting, the settings that it refers to.
    """

    choices: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


NO_ORIGINS: Final = Origins()


def origins_of(composed: Composed) -> Origins:
    """Return where the values of a composed configuration come from."""
    written = flatten(OmegaConf.to_container(composed.config, resolve=False))
    found = {key: tuple(_REFERENCE.findall(value)) for key, value in written.items() if isinstance(value, str)}
    return Origins(choices=composed.choices, references={key: others for key, others in found.items() if others})


def changes(
    keys: Collection[str],
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    origins: Origins,
    overrides: Sequence[str] | None,
) -> list[str]:
    """Return what differs between two configurations, as `seed was 0, is 2`.

    Args:
        keys: The settings that differ.
        old: The earlier configuration, flat.
        new: The present one, flat.
        origins: Where the values of the present one come from.
        overrides: The settings that were given for the earlier one; None if they are not known.
    """
    own = [key for key in keys if not _is_copy(key, keys, origins)] or [*keys]
    told = []
    for group, before, now in _other_choices(origins.choices, overrides):
        others = [key for key in own if not _is_within(key, group)]
        if len(others) < len(own):
            told.append(f"{group} was {before}, is {now}")
            own = others
    return [*told, *(f"{key} was {old.get(key)!r}, is {new.get(key)!r}" for key in own)]


def _other_choices(choices: Mapping[str, str], overrides: Sequence[str] | None) -> list[tuple[str, str, str]]:
    """Return the groups with another choice than before, with both choices."""
    if not choices or overrides is None:
        return []
    defaults = yaml.safe_load((CONF / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    before = {key: value for each in defaults if isinstance(each, dict) for key, value in each.items()}
    given = (each.lstrip("+").partition("=") for each in overrides)
    before |= {key: value for key, _, value in given if key in choices}
    pairs = ((group.partition("@")[2] or group, before.get(group), now) for group, now in choices.items())
    return [(group, str(was), str(now)) for group, was, now in pairs if str(was) != str(now)]


def _is_copy(key: str, keys: Collection[str], origins: Origins) -> bool:
    """Return whether a setting, or one above it, refers to another one that differs too."""
    return any(
        _is_within(key, path) and any(_is_within(each, other) for each in keys for other in others)
        for path, others in origins.references.items()
    )


def _is_within(key: str, path: str) -> bool:
    return key == path or key.startswith(f"{path}.")
