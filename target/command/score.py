"""How a command gets its score: it reports a number, or a scorer of ours computes one from the files that it left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from target.command.checkout import CommandSpace
from target.command.reported import FILE_BYTES, figures_of_file, finite_figures, number_of
from target.command.spec import CommandSpec


class CommandScorer(Protocol):
    """Finds the number of a command that has ended without an error; it runs in the worker, not beside a program."""

    @property
    def verified(self) -> bool:
        """Whether the number is computed here, and not by the program."""

    def number(self, space: CommandSpace, printed: Mapping[str, str], tail: str) -> tuple[float, Mapping[str, float]]:
        """Return the number, and further figures that the program reported in files.

        Args:
            space: The files that the command left.
            printed: Figures of its output, as text.
            tail: The end of its output.

        Raises:
            CandidateFailure: There is no valid number.
        """


class Reported:
    """The number is what the program reports, in its output or in a JSON file. It is unchecked.

    Args:
        spec: The target.
    """

    verified = False

    def __init__(self, spec: CommandSpec) -> None:
        self._spec = spec

    def number(self, space: CommandSpace, printed: Mapping[str, str], tail: str) -> tuple[float, Mapping[str, float]]:
        """Return the number that the program reports, and the other figures of its file."""
        spec = self._spec
        figures: dict[str, Any] = dict(printed)
        place, further = f"the output, where the last line `{spec.metric}: NUMBER` counts", dict[str, float]()
        if spec.metric_pattern:
            place = f"the output, where the last line counts that matches target.metric_pattern={spec.metric_pattern!r}"
        elif spec.metric_file:
            content = space.read(spec.metric_file, limit_bytes=FILE_BYTES)
            figures, place = figures_of_file(content, spec.metric_file), spec.metric_file
            further = finite_figures(figures)
        return number_of(figures, spec.metric, place=place, above=spec.above, log=tail), further
