"""What scores depend on besides the program and the training seed, and how two searches differ in that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from search.composed import flatten

_IRRELEVANT: Final = frozenset({"name", "sandbox", "program", "root", "slots", "guide"})
"""Settings of a target that no score depends on. The content of `root` counts, by its hash in the environment."""

_TOLD: Final = 3  # differences that are named
_VERSIONS: Final = ("graft-search", "torch")
_PLACES: Final = frozenset({"checkout.root", "checkout.commit", "target.corpus.folder"})
"""Where something is; the hash of its content is among the conditions."""

_NOT_TARGET: Final = frozenset({"file", "directory", "commit", "python", "platform", "versions", "device", "isolation"})
"""Keys of an environment that describe the machine; all others describe the target."""


def relevant(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a target that scores depend on, without the seed program."""
    return {name: value for name, value in settings.items() if name not in _IRRELEVANT}


def machine(device: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `describe_device` that identifies a machine. Memory is left out: it differs between boots."""
    return {name: value for name, value in device.items() if name != "memory_bytes"}


def conditions(target: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return the conditions under which scores were measured, by dotted name.

    Args:
        target: Settings of the target, as the configuration has them.
        environment: What environment.json says.
    """
    own = {name: value for name, value in environment.items() if name not in _NOT_TARGET and name != "cards"}
    versions = environment.get("versions") or {}
    told = {**flatten(relevant(target), "target"), **flatten(own)}
    found = {
        **{name: value for name, value in told.items() if name not in _PLACES},
        **flatten(machine(environment.get("device") or {}), "device"),
        **{name: versions.get(name) for name in _VERSIONS},
        "cards": sorted({_kind(card) for card in environment.get("cards") or ()}) or None,
    }
    return {name: value for name, value in found.items() if name and value not in (None, {}, ())}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[str, ...]:
    """Return how two searches differ, such as `target.train_seconds was 9, is 20`; empty if scores are comparable.

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
    """Return a card's model and rounded memory; the memory of two cards of one model differs by some bytes."""
    memory = card.get("memory_bytes")
    return str(card.get("name")) if memory is None else f"{card.get('name')}, {memory / 1e9:.0f} GB"


def _text(conditions: Mapping[str, Any], name: str) -> str:
    return repr(conditions[name]) if name in conditions else "not known"
