"""Which searches are repetitions of each other, and which may be compared."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from search.composed import flatten
from search.conditions import machine
from search.runs.finished import SearchRun

_NOT_ARMS: Final = ("name", "outputs", "seed", "tracker", "budget", "target", "final")
"""Keys that do not distinguish arms: places of files, the repetition, and what must be equal in all arms."""

Arms = Mapping[str, Sequence[SearchRun]]


def group_by_arm(runs: Sequence[SearchRun]) -> dict[str, list[SearchRun]]:
    """Return the searches by what distinguishes their configurations, apart from seeds, such as `strategy=beam`."""
    settings = [_settings(run) for run in runs]
    keys = sorted({key for each in settings for key in each})
    differing = [key for key in keys if len({repr(each.get(key)) for each in settings}) > 1]
    arms = defaultdict(list)
    for run, each in zip(runs, settings, strict=True):
        arms[tuple(repr(each.get(key)) for key in differing)].append((run, each))
    chosen = [dict(each.lstrip("+").split("=", 1) for each in run.overrides if "=" in each) for run in runs]
    equal = {key for key, value in chosen[0].items() if all(each.get(key) == value for each in chosen)}
    labels = {identity: _label(*members[0], differing, equal) for identity, members in arms.items()}
    unclear = {label for label, count in Counter(labels.values()).items() if count > 1}
    named = {}
    for identity, members in arms.items():
        run, each = members[0]
        label = _details(each, differing) if labels[identity] in unclear else labels[identity]
        named[label or run.summary.strategy] = [run for run, _ in members]
    return dict(sorted(named.items()))


def obstacles(arms: Arms) -> list[str]:
    """Return why these searches cannot be ranked, whatever they found; nothing if they can.

    Args:
        arms: The searches.
    """
    runs = [run for members in arms.values() for run in members]
    reasons = []
    if len(arms) < 2:
        reasons.append("there is only one arm: the configurations differ only in the seed")
    must_agree: dict[str, Callable[[SearchRun], Any]] = {
        "target": lambda run: run.config.get("target"),
        "seed program": lambda run: program.id if (program := run.population.trials[0].program) else None,
        "budget": _budget,
        "corpus": lambda run: run.environment.get("corpus"),
        "machine": lambda run: machine(run.environment.get("device") or {}),
        "torch version": lambda run: run.environment.get("versions", {}).get("torch"),
    }
    for name, of in must_agree.items():
        found = {json.dumps(of(run), sort_keys=True, default=str): run for run in runs if run.population.trials}
        if len(found) > 1:
            places = " and ".join(str(run.root) for run in list(found.values())[:2])
            difference = _difference(*list(found)[:2])
            reasons.append(f"they must have one {name}{difference}, see {places}")
    for label, members in arms.items():
        seeds = Counter(run.config.get("seed") for run in members)
        twice = sorted(str(seed) for seed, count in seeds.items() if count > 1)
        if twice:
            reasons.append(f"{label} has seed {', '.join(twice)} more than once: a repeated search is no new sample")
    open_ended = [run for run in runs if run.summary.status != "finished"]
    reasons += [f"{run.root} is {run.summary.status}, not finished: resume it with its command" for run in open_ended]
    return reasons


def unequal_luck(arms: Arms) -> list[str]:
    """Return why finals that chose the champions cannot be ranked: rules let through unequal amounts of luck.

    Where nothing is to be found, a champion of `naive` looks better than one of `confirm`, by one and a half standard
    deviations of a training after 60 trainings. Trainings on fresh seeds have no such luck.

    Args:
        arms: The searches.
    """
    rules = {repr(_acceptance(run)): run for members in arms.values() for run in members}
    if len(rules) < 2:
        return []
    first, second = ([*rules.values()])[:2]
    keys = {**_acceptance(first), **_acceptance(second)}
    differing = [key for key in keys if _acceptance(first).get(key) != _acceptance(second).get(key)]
    return [
        f"they must have one acceptance rule (they differ in {', '.join(differing)}), because a champion looks better "
        "the less its rule asks for; on fresh seeds it does not: run graft final for each search, or final.seeds=5"
    ]


def _acceptance(run: SearchRun) -> dict[str, Any]:
    return {key: value for key, value in _settings(run).items() if key.split(".")[0] == "acceptance"}


def _settings(run: SearchRun) -> dict[str, Any]:
    """Return the settings that may distinguish arms; a seed that follows the search's seed is left out."""
    plain = {key: value for key, value in run.config.items() if key not in _NOT_ARMS}
    return {
        key: value
        for key, value in flatten(plain).items()
        if not (key.split(".")[-1] == "seed" and value == run.config.get("seed"))
    }


def _label(run: SearchRun, settings: Mapping[str, Any], differing: Sequence[str], equal: Collection[str]) -> str:
    """Return what was chosen for an arm; what is chosen for all arms differs only in what follows from another choice.

    Args:
        run: A search of the arm.
        settings: Its settings.
        differing: Those that differ between the searches.
        equal: What the command lines of all searches chose alike.
    """
    chosen = dict(each.lstrip("+").split("=", 1) for each in run.overrides if "=" in each)
    parts = []
    for group in dict.fromkeys(key.split(".")[0] for key in differing):
        leaves = [key for key in differing if key.split(".")[0] == group]
        if group == "strategy" and f"{group}._target_" in leaves:
            parts.append(f"strategy={run.summary.strategy}")
        elif group in equal:
            continue
        elif group in chosen:
            parts.append(f"{group}={chosen[group]}")
        elif f"{group}._target_" in leaves:
            parts.append(f"{group}={str(settings.get(f'{group}._target_')).rsplit('.', 1)[-1]}")
        else:
            parts.append(_details(settings, leaves))
    return " ".join(filter(None, parts))


def _details(settings: Mapping[str, Any], keys: Sequence[str]) -> str:
    return " ".join(f"{key}={settings[key]}" for key in keys if key in settings)


def _budget(run: SearchRun) -> Any:
    limits = dict(run.config.get("budget") or {})
    unset = limits.pop("unset", None)
    return limits if any(value is not None for value in limits.values()) else unset


def _difference(first: str, second: str) -> str:
    one, other = (flatten(json.loads(text)) for text in (first, second))
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    shown = [f"{key or 'it'} is {one.get(key)!r} and {other.get(key)!r}" for key in keys[:3]]
    return f" ({'; '.join(shown)})" if shown else ""
