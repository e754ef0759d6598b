"""Settings of an external target: a directory, a file in it to edit, a command, and the number that it reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from target.errors import TargetError
from target.patterns import compiled
from target.spec import Sandbox
from target.words import split_command

_TUPLES: Final = ("fixed", "links", "home", "readable")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """One target, as `conf/target/autoresearch.yaml` and `conf/target/command.yaml` describe it.

    Attributes:
        name: Its name.
        root: The directory, which is never written to.
        file: The file that programs replace, relative to `root`.
        program: A file to begin with instead of `file`.
        command: The command, run in a copy of the directory; it is split as in a shell, but not run by a shell.
        metric: Name of the deciding number.
        metric_file: JSON file in the copy that has the number; None for the last line `metric: NUMBER` of the output.
        metric_pattern: Regular expression with one group, which is the number: its last match in a line of the output
            counts, and no file is read. None to look for the name.
        direction: Whether small or large numbers are better.
        above: Numbers must be larger than this; None for no bound.
        limit_seconds: Wall-clock time from the start of the command until it is killed.
        fixed: Files of the copy that programs must not change.
        links: Paths in `root` that are too large to copy, or not tracked: links in the copy lead to them, read-only.
        home: Paths in the user's home; links in the command's private home lead to them, read-only.
        readable: Further paths that it may read.
        environment: Variables that it gets in addition to the usual ones.
        guide: File in `root` with the human's direction; None for none.
        device: Which devices it may open.
        threads: CPU threads; the value of OMP_NUM_THREADS.
        memory_bytes: Memory of all its processes together; None for no limit.
        disk_bytes: Limit for the size of all its files together, including the copy.
        sandbox: `auto`, `strict` or `off`, as in `TargetSpec`.
        worker_processes: Whether Python's worker processes may run in the sandbox, as those of a DataLoader. It takes
            namespaces.
        user_home: The directory to which `home` is relative.
    """

    name: str
    root: Path
    file: str
    program: Path | None = None
    command: str
    metric: str
    metric_file: str | None = None
    metric_pattern: str | None = None
    direction: Literal["minimize", "maximize"]
    above: float | None = None
    limit_seconds: float
    fixed: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    home: tuple[str, ...] = ()
    readable: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    guide: str | None = None
    device: Literal["cpu", "cuda"]
    threads: int
    memory_bytes: int | None = None
    disk_bytes: int
    sandbox: Sandbox = "auto"
    worker_processes: bool = False
    user_home: Path = field(default_factory=Path.home)

    def __post_init__(self) -> None:
        for name in ("limit_seconds", "threads", "disk_bytes"):
            if getattr(self, name) <= 0:
                raise TargetError(f"target.{name} must be positive, got {getattr(self, name)}")
        if self.direction not in ("minimize", "maximize") or self.device not in ("cpu", "cuda"):
            raise TargetError(
                "target.direction must be minimize or maximize and target.device cpu or cuda, "
                f"got {self.direction!r} and {self.device!r}"
            )
        if self.sandbox not in get_args(Sandbox):
            raise TargetError(f"target.sandbox must be auto, strict or off, got {self.sandbox!r}")
        for path in filter(None, (self.file, self.metric_file, *self.fixed, *self.links, *self.home)):
            if Path(path).is_absolute() or ".." in Path(path).parts:
                raise TargetError(f"paths of a target must be relative and lead downwards, got {path!r}")
        if not self.metric:
            raise TargetError("target.metric must name the number that decides")
        _check_pattern(self.metric_pattern)
        _words(self.command, self.user_home)

    @property
    def words(self) -> tuple[str, ...]:
        """The command as a program and its arguments."""
        return _words(self.command, self.user_home)

    @property
    def has_confined_workers(self) -> bool:
        """Whether worker processes may run, and are confined: then they need namespaces."""
        return self.worker_processes and self.sandbox != "off"

    @property
    def maximize(self) -> bool:
        """Whether large numbers are better; if so, the score is the number with its sign changed."""
        return self.direction == "maximize"

    def to_json(self) -> dict[str, Any]:
        """Return the spec as plain JSON types."""
        plain = {
            name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(self).items()
        }
        return {**plain, "readable": [str(path) for path in self.readable], "environment": dict(self.environment)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build a spec from plain configuration, as loaded from YAML or `to_json`.

        Raises:
            TargetError: If a key is missing, unknown, or its value does not fit.
        """
        plain = {**config}
        try:
            plain["root"] = Path(plain["root"]).expanduser().resolve()
            plain["program"] = Path(plain["program"]).expanduser() if plain.get("program") else None
            plain["sandbox"] = plain.get("sandbox", "auto") or "off"  # YAML reads a bare off as false
            for name in _TUPLES:
                plain[name] = tuple(plain.get(name) or ())
            plain["readable"] = tuple(Path(path).expanduser() for path in plain["readable"])
            plain["environment"] = _variables(plain.get("environment") or {})
            if "user_home" in plain:
                plain["user_home"] = Path(plain["user_home"])
            return cls(**plain)
        except (KeyError, TypeError) as error:
            raise TargetError(f"the configuration of the target does not fit: {error}") from error


def _variables(environment: Any) -> dict[str, str]:
    """Return the variables as text. Only text and whole numbers have one form: is 1.10 a version, and `true` a True?"""
    if not isinstance(environment, Mapping):
        raise TargetError(f"target.environment must be a mapping of names to values, got {environment!r}")
    for key, value in environment.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise TargetError(
                f"target.environment.{key} must be text or a whole number, got {value!r}: write the text that is "
                f"meant in quotes, as in '+target.environment={{{key}: \"TEXT\"}}'"
            )
    return {str(key): str(value) for key, value in environment.items()}


def _check_pattern(pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        groups = compiled(pattern, "target.metric_pattern").groups
    except ValueError as error:
        raise TargetError(str(error)) from error
    if groups != 1:
        raise TargetError(
            "target.metric_pattern must have one group, for the number, as in 'Acc@1 ([0-9.]+)'; (?:...) groups "
            f"without counting; got {groups} groups in {pattern!r}"
        )


def _words(command: str, home: Path) -> tuple[str, ...]:
    if not isinstance(command, str):  # YAML reads a bare true, as the program of that name, as a boolean
        raise TargetError(f"target.command must be a text, got {command!r}: name the program by its path")
    try:
        words = tuple(split_command(command, home))
    except ValueError as error:
        raise TargetError(f"target.command cannot be read: {error}: {command!r}") from error
    if not words:
        raise TargetError("target.command must name a program to run, such as 'python train.py'")
    return words
