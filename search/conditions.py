"""What scores depend on beside the program and the training seed, and in what two searches differ there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from search.composed import flatten

_IRRELEVANT: Final = frozenset({"name", "sandbox", "program", "root", "slots", "guide"})
"""Settings of a target that no score depends on. What lies in `root` counts, by its hash in the environment."""

_TOLD: Final = 3  # differences that are named
_VERSIONS: Final = ("graft-search", "torch")
_PLACES: Final = frozenset({"checkout.root", "checkout.commit"})
_NOT_TARGET: Final = frozenset({"commit", "python", "platform", "versions", "device", "isolation"})
"""What an environment says of the machine; the rest of it is what the target says of itself."""


def relevant(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those settings of a target that scores depend on; the seed program is not among them."""
    return {name: value for name, value in settings.items() if name not in _IRRELEVANT}


def machine(device: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells a machine from others, of what `describe_device` says; memory differs between two boots."""
    return {name: value for name, value in device.items() if name != "memory_bytes"}


def conditions(target: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what scores were measured under, by dotted name.

    Args:
        target: Settings of the target, as the configuration has them.
        environment: What environment.json says.
    """
    own = {name: value for name, value in environment.items() if name not in _NOT_TARGET and name != "cards"}
    versions = environment.get("versions") or {}
    found = {
        **flatten(relevant(target), "target"),
        **{name: value for name, value in flatten(own).items() if name not in _PLACES},
        **flatten(machine(environment.get("device") or {}), "device"),
        **{name: versions.get(name) for name in _VERSIONS},
        "cards": sorted({_kind(card) for card in environment.get("cards") or ()}) or None,
    }
    return {name: value for name, value in found.items() if name and value not in (None, {}, ())}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[str, ...]:
    """Return in what two searches differ, as in `target.train_seconds was 9, is 20`; nothing if scores mean the same.

    Args:
        there: Conditions of the earlier search.
        here: Those of this one.
    """
    found: dict[str, str] = {}
    for name in {**here, **there}:
        if there.get(name) != here.get(name):
            text = f"was {_text(there, name)}, is {_text(here, name)}"
            found.setdefault(f"{name.rpartition('.')[2]} {text}", f"{name} {text}")  # a target repeats its settings
    told = list(found.values())
    more = len(told) - _TOLD
    return (*told[:_TOLD], f"and {more} more") if more > 0 else tuple(told)


def _kind(card: Mapping[str, Any]) -> str:
    """Return what equal cards have in common; two of one model differ by some bytes."""
    memory = card.get("memory_bytes")
    return str(card.get("name")) if memory is None else f"{card.get('name')}, {memory / 1e9:.0f} GB"


def _text(conditions: Mapping[str, Any], name: str) -> str:
    return repr(conditions[name]) if name in conditions else "not known"
