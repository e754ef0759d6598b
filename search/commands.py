"""How the other commands (compare, final, noise, prompt, report, import_git) fail: with a one-line message."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

from search.errors import UserError
from target.errors import TargetError
from target.output import ends_quietly
from target.printable import printable

P = ParamSpec("P")


def show(text: str) -> None:
    """Write a text to standard output, with escapes for control characters and for what its encoding lacks."""
    encoding = sys.stdout.encoding or "utf-8"  # None in a notebook of some kinds
    sys.stdout.write(printable(text).encode(encoding, errors="backslashreplace").decode(encoding))


def say(text: str) -> None:
    """Show a line of progress at once, also in a pipe."""
    show(f"{text}\n")
    sys.stdout.flush()


def fails_with_a_line(main: Callable[P, int]) -> Callable[P, int]:
    """Return a `main` that reports errors of the input or the machine with one line on standard error and exit code 2.

    Ctrl-C gives exit code 130. If the reader of the output is gone, it ends quietly. Any other exception is a bug of
    ours and is not caught.
    """
    quiet = ends_quietly(main)

    @functools.wraps(main)
    def answer(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return quiet(*args, **kwargs)
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
