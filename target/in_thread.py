"""Calls in daemon threads: a call that never returns must not keep the interpreter from exiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_Result = TypeVar("_Result")


def run_in_thread(
    call: Callable[[], _Result], *, expected: tuple[type[BaseException], ...], name: str
) -> Future[_Result]:
    """Return the future of a call, made in a daemon thread of its own.

    The interpreter joins the threads of a `ThreadPoolExecutor` when it exits, so one that waits forever would keep it.

    Args:
        call: The call.
        expected: What it may raise; anything else is a bug of ours, and its traceback is printed too.
        name: Of the thread.
    """
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            result = call()
        except expected as error:
            future.set_exception(error)
        except BaseException as error:  # a bug of ours: whatever waits for the future must see it
            future.set_exception(error)
            raise
        else:
            future.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
