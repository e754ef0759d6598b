"""How the commands beside the search itself (compare, final, noise, prompt, report, import_git) fail: with one line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from search.errors import UserError
from target.errors import TargetError
from target.printable import printable

P = ParamSpec("P")


def show(text: str) -> None:
    """Write a text to standard output, with escapes for what a terminal would obey."""
    sys.stdout.write(printable(text))


def fails_with_a_line(main: Callable[P, int]) -> Callable[P, int]:
    """Return a `main` that answers for input and machine: a line on standard error and exit code 2, or 130 for Ctrl-C.

    Anything else that it raises is a defect of ours, and passes.
    """

    @functools.wraps(main)
    def answer(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except (UserError, TargetError) as error:
            sys.stderr.write(printable(f"error: {error}\n"))
            return 2
        except OSError as error:
            text = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            sys.stderr.write(printable(f"error: {text}\n"))
            return 2
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            return 130

    return answer
