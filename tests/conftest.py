"""Marks the tests of `pytest -m fast`, which one runs while editing: they train nothing and take about a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

FAST = {
    "": ("layers", "rooms"),
    "cases": ("replies",),
    "contracts": ("acceptance", "strategy"),
    "operators": (
        *("constants", "crossover", "direct", "edit", "edit_values", "hostile_text", "mix", "population", "prompt"),
        *("reasoning", "repair", "retry", "scores", "selection", "statement", "token_limits"),
    ),
    "search": (
        *("acceptance", "arguments", "budget", "construct", "contrast", "exchanges", "journal", "lineage_strategies"),
        *("lock", "names", "rundir", "simulate", "statistics", "strategies", "sweep"),
    ),
    "target": (
        *("cards", "constants", "contract", "cores", "feedback", "movable", "probes", "program", "reads"),
        *("saved_weights", "space", "syntax", "trees"),
    ),
}
"""Test modules by directory. A new one joins if it takes a second or two."""

MODULES = frozenset(
    Path(__file__).parent / directory / f"test_{name}.py" for directory, names in FAST.items() for name in names
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path in MODULES:
            item.add_marker("fast")
