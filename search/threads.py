"""Calls in threads that nobody has to wait for: an interrupted search leaves a blocked one behind."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from operators.base import MutationError, ProviderError

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def call_in_thread(
    call: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> Future[_Result]:
    """Return the future of an operator's call, made in a daemon thread of its own.

    The threads of a `ThreadPoolExecutor` are joined when the interpreter ends: one that waits for a model for ever
    would keep an interrupted search from leaving.
    """
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            result = call(*args, **kwargs)
        except (MutationError, ProviderError) as error:
            future.set_exception(error)
        except BaseException as error:  # ours: whoever waits must see it
            future.set_exception(error)
            raise
        else:
            future.set_result(result)

    threading.Thread(target=run, name="propose", daemon=True).start()
    return future
