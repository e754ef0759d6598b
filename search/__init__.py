"""Strategies around a mutation operator, the loop that drives them, and its ledger.

As a library: `from search import Result, Search, run` (docs/library.md). These are imported when they are first used,
since they load NumPy, Optuna and the console, which `python -m search --help` does not need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.library import Search, run
    from search.results import Result

__all__ = ["Result", "Search", "run"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("search.results" if name == "Result" else "search.library"), name)
