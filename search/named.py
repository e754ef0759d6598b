"""The class or function that `_target_` in a YAML file names; the file may be the user's."""

from __future__ import annotations

import difflib
import inspect
import pydoc
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from search.errors import UserError

_NAME: Final = "_target_"
_LATER: Final = "_partial_"
_PATH: Final = "PYTHONPATH must have the folder that it is in, unless it is installed"


def named(settings: Mapping[str, Any], group: str) -> Callable[..., Any]:
    """Return the class or function that settings name.

    Args:
        settings: They have `_target_`, such as `my_package.Tracker`.
        group: Where they come from, such as `tracker`.

    Raises:
        UserError: There is none, or importing it fails.
    """
    name = settings.get(_NAME)
    wanted = f"{group}.{_NAME} must name a class or function"
    if not isinstance(name, str) or not name:
        raise UserError(f"{wanted}, such as my_module.MyClass, got {name!r}")
    try:
        found = pydoc.locate(name)
    except pydoc.ErrorDuringImport as error:
        raise UserError(f"{wanted}, got {name}: {_failure(error)}") from error
    if found is None:
        raise UserError(f"{wanted}, got {name}: {_lack(name)}")
    if not callable(found):
        raise UserError(f"{wanted}, got {name}, which is of the type {type(found).__name__}{_nearest(found, name)}")
    return found


@dataclass(frozen=True, slots=True)
class Passed:
    """What the search adds to the settings of a part, which is therefore made later.

    Attributes:
        names: Names of the arguments.
        by_position: Whether they are passed without their names.
        always: Whether every class of the group takes them.
    """

    names: tuple[str, ...]
    by_position: bool = False
    always: bool = True


EXECUTOR: Final = Passed(("kind",), by_position=True)
TRACKER: Final = Passed(("run", "name", "warn"))


def require_later(made: Callable[..., Any], settings: Mapping[str, Any], group: str, passed: Passed) -> None:
    """Refuse settings that would make a part too early, or a part that does not take what the search passes.

    Args:
        made: What the settings name.
        settings: With `_partial_: true` the part is made later.
        group: Where they come from.
        passed: What the search passes.

    Raises:
        UserError: `_partial_` is missing, or `made` does not take these arguments and the settings.
    """
    own = {name: value for name, value in settings.items() if not name.startswith("_")}
    takes = f"{group}: {settings[_NAME]} must take {', '.join(passed.names)}, which the search passes"
    if settings.get(_LATER):
        given = [None] * len(passed.names) if passed.by_position else []
        try:
            inspect.signature(made).bind(*given, **own, **({} if given else dict.fromkeys(passed.names)))
        except TypeError as error:
            with_own = f", and its own settings, {', '.join(own)}" if own else ""
            raise UserError(f"{takes}{with_own}: {error}; docs/extending.md has examples") from error
    elif isinstance(made, type) and (passed.always or _needs(made, passed.names)):
        raise UserError(f"{takes}: write `{_LATER}: true` in its YAML file, so that it is made when they are known")


def _needs(made: Callable[..., Any], names: Sequence[str]) -> bool:
    parameters = inspect.signature(made).parameters
    return any(name in parameters and parameters[name].default is inspect.Parameter.empty for name in names)


def _failure(error: pydoc.ErrorDuringImport) -> str:
    """Return which error ended an import, and where."""
    last = traceback.extract_tb(error.tb)[-1:]
    place = f" ({last[0].filename}:{last[0].lineno})" if last else ""
    return f"importing it failed with {type(error.value).__name__}: {error.value}{place}"


def _lack(name: str) -> str:
    """Return what keeps a dotted name from being found."""
    *path, last = name.split(".")
    for length in range(len(path), 0, -1):
        if (holder := pydoc.locate(".".join(path[:length]))) is not None:
            return f"{'.'.join(path[:length])} has no {[*path, last][length]}{_nearest(holder, name)}"
    return f"there is no module {path[0] if path else last}; {_PATH}"


def _nearest(holder: object, name: str) -> str:
    """Return advice: the classes and functions of a module or class whose names are the most similar."""
    known = [
        each for each, value in getattr(holder, "__dict__", {}).items() if callable(value) and not each.startswith("_")
    ]
    near = difflib.get_close_matches(name.rpartition(".")[2], known, n=3, cutoff=0.4) or sorted(known)[:3]
    return f"; it has {', '.join(near)}" if near else ""
