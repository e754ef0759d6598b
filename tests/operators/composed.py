"""Operators as the configuration composes them."""

from __future__ import annotations

import functools
from typing import Any

import hydra
from omegaconf import DictConfig

from operators.base import Operator, Resources, equip
from search.construct import compose_config


@functools.cache  # composing takes a second
def compose(*overrides: str) -> DictConfig:
    """Return the configuration that a command line gives."""
    return compose_config(overrides)


def make_operator(name: str, resources: Resources, *overrides: str) -> Operator:
    """Return the operator of `operator=NAME`, equipped."""
    made: Any = hydra.utils.instantiate(compose(f"operator={name}", *overrides).operator)
    return equip(made, resources)
