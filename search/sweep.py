"""The searches of a sweep: how many there are, and their names, which are unique and made of what differs."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Sequence
from typing import Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException

from operators.secrets import redact
from search.schema import CONF

_SHARED: Final = "GRAFT_SWEEP_SHARED"  # environment variable of a sweep's process and its children
_MULTIRUN: Final = ("-m", "--multirun")  # Hydra wants them in front
_WHERE: Final = ("name", "outputs")  # they are in the path already
_FOREIGN: Final = re.compile(r"[^A-Za-z0-9_.=+@-]+")
_QUOTES: Final = re.compile("['\"]")
_ITEM_CHARACTERS: Final = 40
_NAME_CHARACTERS: Final = 100
_HASH_CHARACTERS: Final = 10


def remember_shared(arguments: Sequence[str]) -> None:
    """Record which settings of a command line are equal in all searches of a sweep."""
    shared = []
    for argument in arguments:
        try:
            parsed = OverridesParser.create().parse_override(argument)
        except HydraException:  # a flag, or one that Hydra will refuse
            continue
        if not parsed.is_sweep_override():
            shared.append(_text(parsed))
    os.environ[_SHARED] = json.dumps(shared)


def seeds_outside(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command line in an order in which a sweep runs each seed of all arms before the next.

    Hydra varies the last setting first. If that is the seed, the searches of an arm run in one piece, and if the
    machine was busier then, the arm would look worse. Also a sweep that is stopped has as many seeds of each arm.
    """
    words = sorted(arguments, key=lambda word: word not in _MULTIRUN)
    if words and words[0] in _MULTIRUN:
        places = [index for index, word in enumerate(words) if _counts([word])]  # flags and what follows them stay
        moved = sorted((words[index] for index in places), key=lambda word: "seed" not in _counts([word]))
        for index, word in zip(places, moved, strict=True):
            words[index] = word
    return words


def count_searches(arguments: Sequence[str]) -> int:
    """Return how many searches the arguments of a sweep describe."""
    return math.prod(_counts(arguments).values())


def few_seeds(arguments: Sequence[str]) -> str:
    """Return a warning if a sweep has too few seeds to tell its arms apart; empty otherwise.

    Args:
        arguments: Those of the sweep.
    """
    from search.statistics import seeds_to_rank

    counts = _counts(arguments)
    seeds = counts.pop("seed", 1)
    arms = math.prod(count for key, count in counts.items() if key not in _WHERE)
    needed = seeds_to_rank(arms * (arms - 1) // 2) if arms > 1 else 0
    if seeds >= needed:
        return ""
    enough = ",".join(map(str, range(needed)))
    return (
        f"warning: {arms} arms with {seeds} seed{'s' * (seeds > 1)} each: however far apart they end, search.compare "
        f"cannot call a difference significant with fewer than {needed} seeds each: seed={enough}"
    )


def _counts(arguments: Sequence[str]) -> dict[str, int]:
    """Return the number of values of each setting that has several."""
    counts = {}
    for argument in arguments:
        try:
            parsed = OverridesParser.create().parse_override(argument)
        except HydraException:  # a flag
            continue
        if parsed.is_sweep_override():
            counts[parsed.key_or_group] = len(_choices(parsed))
    return counts


def _choices(parsed: Override) -> list[str]:
    value = parsed.value()
    if isinstance(value, Glob):
        files = (CONF / parsed.key_or_group).glob("*.yaml")
        return [str(each) for each in value.filter([path.stem for path in files])]
    return list(parsed.sweep_string_iterator())


def sweep_name(overrides: Sequence[str], number: int) -> str:
    """Return the name of one search of a sweep, one part of a path.

    The name consists of the settings that differ between the searches. In a sweep of one search nothing differs, so all
    settings that decide what is searched are used. Long settings, and settings with characters that do not belong in
    a folder name, are shortened and end in `~` and a hash of the whole.

    Args:
        overrides: Settings of this search, as Hydra has them.
        number: Which search of the sweep it is; its name if there are no settings.
    """
    from search.resuming import may_change  # here, so that `--help` does not load it

    shared = set(json.loads(os.environ.get(_SHARED, "[]")))
    parsed = OverridesParser.create().parse_overrides([*overrides])
    own = {_text(each): each.key_or_group for each in parsed if each.key_or_group not in _WHERE}
    items = [text for text in own if text not in shared] or [text for text, key in own.items() if not may_change(key)]
    items.sort()
    name = ",".join(_shortened(item) for item in items)
    return _cut(name, "\n".join(items), _NAME_CHARACTERS) if len(name) > _NAME_CHARACTERS else name or str(number)


def _text(override: Override) -> str:
    """Return an override in the form in which Hydra passes it to each search of a sweep, however it was written."""
    return f"{override.get_key_element()}={override.get_value_element_as_str()}".lstrip("+")


def _shortened(item: str) -> str:
    shown = _FOREIGN.sub("_", _QUOTES.sub("", redact(item))).lstrip("_.=+@-")
    return shown if shown == item and len(item) <= _ITEM_CHARACTERS else _cut(shown, item, _ITEM_CHARACTERS)


def _cut(shown: str, whole: str, characters: int) -> str:
    """Return the start of a text and the hash of the whole, joined by `~`, which no uncut text contains."""
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_HASH_CHARACTERS]
    return f"{shown[: characters - 1 - len(digest)].rstrip('_')}~{digest}"
