"""Operators as the configuration composes them."""

from __future__ import annotations

import functools
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from conf.schema import schema
from operators.base import Operator, Resources, equip


@functools.cache  # composing takes a second
def compose(*overrides: str) -> DictConfig:
    """Return the configuration that a command line gives."""
    ConfigStore.instance().store(name="schema", node=schema())
    with hydra.initialize_config_module("conf", version_base="1.3"):
        return hydra.compose("config", overrides=list(overrides))


def make_operator(name: str, resources: Resources, *overrides: str) -> Operator:
    """Return the operator of `operator=NAME`, equipped."""
    made: Any = hydra.utils.instantiate(compose(f"operator={name}", *overrides).operator)
    return equip(made, resources)
