"""Whether settings fit the annotations of the constructor that gets them, checked before it computes with them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

_KINDS: Final = {"int": "a whole number", "float": "a number", "bool": "true or false", "None": "null"}


def misfit(make: Callable[..., Any], settings: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first setting that is no number, or not true or false, where the constructor needs one.

    Args:
        make: A class or function. Only annotations of `int`, `float`, `bool` and None are checked, and unions of them.
        settings: Its keyword arguments.

    Returns:
        The name of the setting and what is wrong with it; None if all fit.
    """
    parameters = inspect.signature(make).parameters
    for name, value in settings.items():
        annotation = str(parameters[name].annotation) if name in parameters else ""
        kinds = annotation.split(" | ")
        if set(kinds) <= _KINDS.keys() and not any(_is(kind, value) for kind in kinds):
            wanted = " or ".join(_KINDS[kind] for kind in kinds)
            return name, f"must be {wanted}, got {value!r}"
    return None


def _is(kind: str, value: Any) -> bool:
    if kind == "None":
        return value is None
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())  # 1e9 bytes
    return whole or (kind == "float" and isinstance(value, float))
