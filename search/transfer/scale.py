"""Another size: what `--scale` and `--budget` change in the settings of a target, and in its programs.

A program has its constants in its text: those that the target gave it, and those that a trial changed. So
`target.constants.DEPTH=12` is written into each program that is compared, whatever it had there.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hydra.core.override_parser.types import OverrideType

from search.arguments import parsed, quote_homes
from search.composed import flatten, make_target
from search.errors import UserError
from search.mistakes import nearest
from target.program import Program
from target.program.constants import Value, format_value

_CONSTANTS: Final = "constants."
_BUDGET: Final = "train_seconds"
_BUDGET_TEXT: Final = re.compile(r"(?P<number>\d+(\.\d*)?|\.\d+)(?P<unit>x|s)?")
_NO_SIZE: Final = ("name", "program", "root", "file", "metric", "metric_file", "metric_pattern", "direction")
"""Settings that decide what is measured, and not at which size."""
_FOREIGN: Final = re.compile(r"[^\w.,=+-]")
_SLUG_CHARACTERS: Final = 60
_SHOWN_CONSTANTS: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What is different at the other size.

    Attributes:
        constants: New values of constants of the programs.
        settings: New values of settings of the target, by the key below `target`; equal ones are left out.
        other: The configuration of another target; None for the target of the search.
    """

    constants: Mapping[str, Value]
    settings: Mapping[str, Any]
    other: Mapping[str, Any] | None = None

    @property
    def slug(self) -> str:
        """A name for a folder, equal for equal scales and for no others."""
        changes = json.dumps(
            [dict(self.constants), dict(self.settings), *([self.other] if self.other else [])], sort_keys=True
        )
        named = {**({"target": self.other["name"]} if self.other else {}), **self.constants, **self.settings}
        words = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in named.items())
        return f"{_FOREIGN.sub('_', words)[:_SLUG_CHARACTERS]}-{hashlib.sha256(changes.encode()).hexdigest()[:8]}"

    def target(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration of the target with the new settings."""
        changed = copy.deepcopy(dict(self.other or config))
        own = changed.get("constants")
        values = {
            **self.settings,
            **({f"{_CONSTANTS}{name}": each for name, each in self.constants.items()} if own else {}),
        }
        for key, value in values.items():
            *path, last = key.split(".")
            node = changed
            for part in path:
                node = node[part]
            node[last] = value
        return changed

    def program(self, program: Program, *, called: str = "the program") -> Program:
        """Return a program with the new constants.

        Args:
            program: The program.
            called: What to call it in an error.

        Raises:
            UserError: It lacks one of them, or has a value of another kind there.
        """
        if not self.constants:
            return program
        return program.with_constants(
            {name: _fitting(name, value, program, called) for name, value in self.constants.items()}
        )

    def changes(self, config: Mapping[str, Any], baseline: Program) -> dict[str, tuple[str, str]]:
        """Return what changes, as texts, by name: its value in the search (in its seed program) and the new one."""
        known = flatten(self.other or config)
        shown = {"target": (str(config.get("name")), str(self.other["name"]))} if self.other else {}
        shown |= {
            name: (format_value(baseline.constants[name]), format_value(self.program(baseline).constants[name]))
            for name in self.constants
        }
        return shown | {f"target.{key}": (str(known.get(key)), str(value)) for key, value in self.settings.items()}


def read_scale(texts: Sequence[str], budget: str | None, config: Mapping[str, Any], baseline: Program) -> Scale:
    """Return what the command line asks for.

    Args:
        texts: The values of `--scale`, such as `target.constants.DEPTH=12`.
        budget: The value of `--budget`: a factor such as `2x`, or seconds; None if it is not given.
        config: The configuration of the target.
        baseline: The seed program of the search.

    Raises:
        UserError: Something is not a setting of the target, or does not fit.
        TargetError: Another target that is named cannot be used here.
    """
    constants, settings = dict[str, Value](), dict[str, Any]()
    given = [_setting(text) for text in quote_homes(texts)]
    choice = next((str(value) for key, value in given if key == "target"), None)
    other = None if choice is None else _other_target(choice, config)
    target = other or config
    known = flatten(target)
    for key, value in given:
        if key == "target":
            continue
        name = key.removeprefix("target.")
        if name.startswith(_CONSTANTS):
            constants[name.removeprefix(_CONSTANTS)] = value
            continue
        if name in _NO_SIZE or name.startswith("_") or (name not in known and not _is_free(name, target)):
            raise UserError(_no_setting(key, name, known))
        settings[name] = value
    if budget is not None:
        if _BUDGET in settings:
            raise UserError(f"give --budget or --scale target.{_BUDGET}=SECONDS, not both")
        settings[_BUDGET] = _seconds(budget, target)
    scale = Scale(
        constants=constants,
        settings={key: value for key, value in settings.items() if known.get(key) != value},
        other=other,
    )
    return replace(scale, constants=_sizes(scale, config, baseline) | constants) if other else scale


def _other_target(choice: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of another target, with which programs for the present one can be trained."""
    from search.construct import compose_config, plain_config

    other = plain_config(compose_config([f"target={choice}"]).target)
    for each in (config, other):
        if "_target_" in each:
            raise UserError(
                f"--scale target={choice} needs two targets that are trained and scored here, such as tiny and gpu: "
                f"{each.get('name')} has programs of its own"
            )
    return other


def _sizes(scale: Scale, config: Mapping[str, Any], baseline: Program) -> dict[str, Value]:
    """Return the constants that one of two targets sets, with the values of the other target's seed program."""
    other = scale.target(config)
    set_by = [spec.get("constants") or {} for spec in (config, other)]
    set_by += [card.get("constants") or {} for spec in (config, other) for card in (spec.get("cards") or {}).values()]
    own = make_target(other).seed_program().constants
    names = [name for name in baseline.constants if any(name in each for each in set_by) and name in own]
    return {name: own[name] for name in names if own[name] != baseline.constants[name]}


def _setting(text: str) -> tuple[str, Any]:
    """Return key and value of one `--scale`."""
    found = parsed(text)
    key = found.key_or_group if found and found.type is OverrideType.CHANGE else ""
    if found is None or not (key == "target" or key.startswith("target.")):
        raise UserError(
            f"--scale must be KEY=VALUE with a key below target, such as target.constants.DEPTH=12, got {text!r}"
        )
    if found.is_sweep_override():
        raise UserError(f"--scale must have one value, got {text!r}: another size is another call")
    return key, found.value()


def _is_free(name: str, config: Mapping[str, Any]) -> bool:
    """Return whether a setting is a key of a mapping to which keys may be added."""
    return name.startswith("environment.") and isinstance(config.get("environment"), Mapping)


def _no_setting(key: str, name: str, known: Mapping[str, Any]) -> str:
    if name in _NO_SIZE:
        return f"{key} decides what is measured, not at which size: --scale cannot change it"
    near = nearest(key, [f"target.{each}" for each in known if each not in _NO_SIZE and not each.startswith("_")])
    meant = f"did you mean {near}?" if near else "constants of the program are target.constants.NAME"
    return f"{key} is not a setting of this target: {meant}"


def _seconds(budget: str, config: Mapping[str, Any]) -> float:
    """Return the training budget in seconds."""
    found = _BUDGET_TEXT.fullmatch(budget)
    number = float(found["number"]) if found else 0.0
    if not found or not 0 < number < math.inf:
        raise UserError(f"--budget must be a factor such as 2x, or seconds such as 600, got {budget!r}")
    if _BUDGET not in config:
        raise UserError(
            f"--budget needs a target whose trainings Graft ends: {config.get('name', 'this')} has no {_BUDGET}, its "
            "command decides how long it trains. Give --scale with the constant or the setting for that, such as "
            "target.constants.TIME_BUDGET=600, and target.limit_seconds if it takes longer"
        )
    seconds = round(number * float(config[_BUDGET]), 6) if found["unit"] == "x" else number
    return int(seconds) if seconds.is_integer() else seconds


def _fitting(name: str, value: Value, program: Program, called: str) -> Value:
    """Return the value of a constant as a program needs it."""
    own = program.constants
    if name not in own:
        near = nearest(name, list(own))
        has = ", ".join(list(own)[:_SHOWN_CONSTANTS]) + ", ..." * (len(own) > _SHOWN_CONSTANTS)
        meant = (
            f"did you mean {near}?" if near else f"it has {has}" if own else "it has no constants in capital letters"
        )
        raise UserError(f"{called} has no constant {name}: {meant}")
    old = own[name]
    if isinstance(old, bool) or isinstance(value, bool) or isinstance(old, str):
        fits = type(old) is type(value)
    else:
        fits = isinstance(value, int | float) and (isinstance(old, float) or float(value).is_integer())
        value = type(old)(value) if fits else value
    if not fits:
        raise UserError(f"target.constants.{name} must be like the program's {format_value(old)}, got {value!r}")
    return value
