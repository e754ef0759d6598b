"""The waits of operators for a provider: they end when the search ends."""

from __future__ import annotations

import threading

from operators.base import ProviderError


class SearchEndedError(ProviderError):
    """The search has ended, so there is nothing to wait for."""


class Rest:
    """Lets operators wait, in threads of their own, as long as the search goes on."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def end(self, ended: bool) -> None:
        """Note whether the search has reached its end; then waits end at once."""
        if ended:
            self._ended.set()
        else:
            self._ended.clear()

    def sleep(self, seconds: float) -> None:
        """Wait.

        Raises:
            SearchEndedError: The search has reached its end before that.
        """
        if self._ended.wait(seconds):
            raise SearchEndedError("the search ended while its operator waited for a provider")
