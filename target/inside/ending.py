"""The last step of a forked child: it prints why it ends, and ends."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import types
from typing import NoReturn

from target.program.contract import ContractError
from target.sandbox.packages import GrantedFinder


class EndOfProcess:
    """Ends the process at the end of the block, whatever the reason; the last lines of the log give it.

    The candidate's exit handlers and threads do not run any more.

    Args:
        finder: Hides packages that are not granted; it knows whether a failed import was refused.
    """

    def __init__(self, finder: GrantedFinder | None = None) -> None:
        self._finder = finder

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> NoReturn:
        with contextlib.suppress(OSError, ValueError, AttributeError):  # the candidate may have closed or replaced them
            sys.stdout.flush()
        sys.stderr = os.fdopen(2, "w", errors="backslashreplace", closefd=False)  # like the interpreter's own
        if isinstance(error, ModuleNotFoundError) and self._finder and error.name in self._finder.hidden:
            error.add_note(
                f"{error.name} is installed, but candidates may use only torch, numpy and their dependencies; "
                f"target.packages=[{error.name}] grants it"
            )
        status = _explain(error)
        sys.stderr.flush()
        os._exit(status)


def _explain(error: BaseException | None) -> int:
    """Print why the block ended, and return the exit status that goes with it."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)  # noqa: T201 -- as the interpreter does
        return 1
    if isinstance(error, ContractError):
        print(f"ContractError: {error}", file=sys.stderr)  # noqa: T201 -- the parent reads the log
        return 1
    traceback.print_exception(error)
    return 1
