"""The composed configuration of a search, as plain types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from search.errors import UserError
from search.runs.rundir import RunDirectory
from target.base import Target
from target.spec import TargetSpec
from target.trained import TrainedTarget

OBJECT: Final = "object"
"""The key under which a configuration records the class of an object that a Python program gave in place of a group."""


def read_config(run: RunDirectory) -> dict[str, Any]:
    """Read the configuration of a search.

    Raises:
        UserError: If it is missing or is not a configuration.
    """
    try:
        config = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{run.config}: {error.strerror}; give the folder of a search, such as outputs/NAME") from error
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        raise UserError(f"{run.config}: not YAML ({what}); restore it or start a new run") from error
    if not isinstance(config, dict):
        raise UserError(f"{run.config} does not hold a configuration; restore it or start a new run")
    return config


def make_target(config: Mapping[str, Any]) -> Target:
    """Build a target: what its `_target_` names, or else one that trains with the settings of its YAML file.

    Raises:
        UserError: If its settings do not fit.
        TargetError: Likewise.
    """
    if OBJECT in config:
        raise UserError(
            f"the target of this search is an object of a Python program, {config[OBJECT]}, which only that program "
            "can make: measure from there, with final.seeds, instead of by a command"
        )
    if "_target_" not in config:
        return TrainedTarget(TargetSpec.from_config(config))
    from search.construct import instantiate

    made: Target = instantiate(dict(config), "target")
    return made


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return a nested configuration as one mapping with dotted keys."""
    if not isinstance(config, Mapping) or not config:
        return {prefix: config}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat
