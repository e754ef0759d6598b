"""Lets commands end quietly when the reader of their output ends first, as with `| head`."""

from __future__ import annotations

import functools
import os
import select
import sys
from collections.abc import Callable
from typing import Final, ParamSpec

P = ParamSpec("P")

READER_GONE: Final = 141
"""The exit code of such a command: that of one that SIGPIPE ended, which Python ignores."""


def ends_quietly(main: Callable[P, int]) -> Callable[P, int]:
    """Return a `main` that returns `READER_GONE` if the reader of standard output has gone; nothing is said."""

    @functools.wraps(main)
    def answer(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            try:
                ended: int | SystemExit = main(*args, **kwargs)
            except SystemExit as error:  # of argparse: --help prints too
                ended = error
            sys.stdout.flush()
        except BrokenPipeError:
            if not _reader_has_gone():
                raise
            return READER_GONE
        if isinstance(ended, SystemExit):
            raise ended
        return ended

    return answer


def _reader_has_gone() -> bool:
    """Return whether standard output is a pipe whose reader has ended; if so, the rest of the output is dropped."""
    try:
        descriptor = sys.stdout.fileno()
    except (OSError, ValueError):  # no file, such as in a notebook
        return False
    output = select.poll()
    output.register(descriptor, 0)
    if not any(events & select.POLLERR for _, events in output.poll(0)):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)  # the interpreter flushes once more at its end
    os.close(nowhere)
    return True
