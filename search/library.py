"""Searches from Python: `from search import Search, run`. The command `python -m search` uses the same class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from operators.base import MakeOperator, Operator
from search.acceptance import Acceptance
from search.arguments import hydra_setting
from search.assembly import Parts, make_session
from search.construct import Composed, compose_search
from search.errors import UserError
from search.names import folder_of
from search.printed import named
from search.results import Result
from search.session import run_session
from search.strategies.base import Strategy
from search.views.busy import Busy, SparseLines
from target.base import Target


class Search:
    """One search, by the settings of the command line and by objects of your own.

    Its folder is `outputs/NAME` below the working directory. A search with a name that was begun before is resumed.

    Args:
        settings: As on the command line: `"budget.trainings=60"`, `"from=outputs/mar8"`.
        name: Its name; by default the time of day.
        strategy: The name of a choice, or an object with the method of `search.strategies.base.Strategy`.
        operator: The name of a choice, or an object as `operators.base.Operator`; or a function that gets `resources`,
            `operators.base.Resources`, and returns one.
        target: The name of a choice, or an object as `target.base.Target`.
        acceptance: The name of a choice, or an object with the methods of `search.acceptance.Acceptance`.
        config_dir: A folder of yours with more choices, such as the file `mine.yaml` in its folder `target`.
        quiet: Print nothing.
        more: Other settings: `seed=1`, `budget={"trainings": 60}`.

    Raises:
        UserError: There is no such setting or choice, or a value does not fit.
    """

    def __init__(
        self,
        *settings: str,
        name: str | None = None,
        strategy: str | Strategy | None = None,
        operator: str | Operator | MakeOperator | None = None,
        target: str | Target | None = None,
        acceptance: str | Acceptance | Mapping[str, Any] | None = None,
        config_dir: str | Path | None = None,
        quiet: bool = False,
        **more: Any,
    ) -> None:
        given = {"strategy": strategy, "operator": operator, "target": target, "acceptance": acceptance}
        words = {key: part for key, part in given.items() if isinstance(part, str | Mapping)}
        words |= {"name": name} if name else {}
        overrides = [*settings, *_settings({**words, **more})]
        folder = Path(config_dir).expanduser() if config_dir else None
        composed = compose_search(overrides, config_dir=folder)
        flags = ["--config-dir", str(folder)] if folder else []
        is_named = any(each.startswith("name=") for each in overrides)
        chosen = str(composed.config.name) if is_named else _unused_name(composed)
        objects: dict[str, Any] = {key: part for key, part in given.items() if not isinstance(part, str | Mapping)}
        self._set(composed, chosen, named([*flags, *overrides], chosen), Parts(**objects), quiet=quiet)

    @classmethod
    def composed(cls, composed: Composed, *, name: str, arguments: Sequence[str]) -> Self:
        """Return the search of a configuration that is composed already.

        Args:
            composed: The configuration.
            name: Name of the search.
            arguments: Those of `python -m search` that start or resume it alone.
        """
        search = cls.__new__(cls)
        search._set(composed, name, arguments, Parts(), quiet=False)
        return search

    def _set(self, composed: Composed, name: str, arguments: Sequence[str], parts: Parts, *, quiet: bool) -> None:
        self.name = name
        self._composed = composed
        self._run = folder_of(composed.config.outputs, name)
        self._parts = parts
        self._quiet = quiet
        self._was_started = False
        self._arguments = None if parts.recorded() else tuple(arguments)

    @property
    def folder(self) -> Path:
        """The folder of the search, which need not exist yet."""
        return self._run.root

    @property
    def has_begun(self) -> bool:
        """Whether the folder holds a search."""
        return self._run.journal.exists()

    @property
    def was_lost(self) -> bool:
        """Whether it was started, and its folder holds no search: it was moved or removed."""
        return self._was_started and not self.has_begun

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of `python -m search` that start or resume it; empty if it has objects of its own."""
        return self._arguments or ()

    def run(self) -> Result:
        """Search until a budget is used up, or go on where an earlier run stopped; return what was found.

        An interrupt (Ctrl-C, or the stop button of a notebook) ends it in order: `Result.status` is then `stopped`.

        Raises:
            UserError: A setting does not fit, or the folder belongs to another search.
            SeedProgramError: The seed program does not score.
            ProviderError: The provider of the operator's model fails; run it again to resume.
            TargetError: Nothing can be evaluated on this machine.
            StorageError: The database that the search shares does not answer; run it again to resume.
        """
        lines = SparseLines(_ignore) if self._quiet else SparseLines()
        with Busy("putting the search together", lines.show):
            session = make_session(
                self._composed, name=self.name, arguments=self._arguments, parts=self._parts, quiet=self._quiet
            )
        self._was_started = True
        run_session(session)
        return Result(self._run.root)


def _ignore(_: str) -> None:
    """Print nothing."""


def run(*settings: str, **more: Any) -> Result:
    """Run a search, or the rest of one, and return what it found; arguments and errors as for `Search`."""
    return Search(*settings, **more).run()


def _unused_name(composed: Composed) -> str:
    """Return the name that the configuration gives, which is the time, or with a number if that is taken."""
    name = str(composed.config.name)
    places = (name, *(f"{name}_{number}" for number in range(2, 1000)))
    return next(each for each in places if not folder_of(composed.config.outputs, each).journal.exists())


def _settings(given: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the settings of nested mappings as on the command line.

    Raises:
        UserError: A value is no setting.
    """
    for key, value in given.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _settings(value, f"{path}.")
        else:
            yield f"{path}={_text(path, value)}"


def _text(key: str, value: Any) -> str:
    """Return a value in Hydra's grammar."""
    match value:
        case None:
            return "null"
        case bool() | int() | float():
            return str(value).lower()
        case str() | Path():
            return hydra_setting(key, value).partition("=")[2]
        case list() | tuple():
            return f"[{','.join(_text(key, each) for each in value)}]"
    raise UserError(f"{key} must be a number, a text, a list or a mapping of these, got {value!r}")
