"""Whether settings fit the constructor that gets them, and objects their protocol, before any work."""

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


def lacking(part: object, protocol: type) -> str:
    """Return what keeps an object from being what a protocol describes; empty if nothing does.

    Args:
        part: The object. Only names are compared: whether methods are there, not what they take and return.
        protocol: A class that derives from `typing.Protocol`.
    """
    place = f"{protocol.__module__}.{protocol.__name__}"
    if isinstance(part, type):
        return f"must be an object as {place}, got the class {part.__name__}: write {part.__name__}(...)"
    members = {name: member for name, member in vars(protocol).items() if not name.startswith("_")}
    lacks = [name for name, member in members.items() if not _has(part, name, needs_call=inspect.isfunction(member))]
    if not lacks:
        return ""
    return f"must be an object as {place}, got {type(part).__name__}, which has no {' and no '.join(lacks)}"


def _has(part: object, name: str, *, needs_call: bool) -> bool:
    if not needs_call:  # a property, which may be expensive to read, or an attribute that `__getattr__` makes
        return inspect.getattr_static(part, name, None) is not None or hasattr(part, name)
    return callable(getattr(part, name, None))


def _is(kind: str, value: Any) -> bool:
    if kind == "None":
        return value is None
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())  # 1e9 bytes
    return whole or (kind == "float" and isinstance(value, float))
