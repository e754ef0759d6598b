"""Requests to models and their replies: one file per request, written as soon as it is answered, keys redacted.

A reply is found by the seed of its proposal and its number among the requests of that proposal. So a resumed search
does not pay twice for a reply, and another search can reuse the replies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from operators.chat import Exchange, Message, Reply
from operators.secrets import redact
from search.errors import UserError
from search.runs.files import write_atomically

_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class ExchangeStore:
    """Requests and their replies, `exchanges/<seed>-<attempt>.json`.

    Attributes:
        folder: The folder of the files.
    """

    folder: Path

    def find(self, seed: int, attempt: int) -> Exchange | None:
        """Return an exchange, or None if there is none.

        Raises:
            UserError: If its file is damaged.
        """
        path = self._path(seed, attempt)
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            messages = tuple(Message(**message) for message in record["messages"])
            return Exchange(messages=messages, reply=Reply(**record["reply"]))
        except _UNREADABLE as error:
            raise UserError(f"{path}: not a record of a request ({error}); restore it or start a new run") from error

    def read(self, seed: int, count: int) -> tuple[Exchange, ...]:
        """Return the first exchanges about a proposal, as many as given; they must exist.

        Raises:
            UserError: If one is missing or damaged.
        """
        found = []
        for attempt in range(count):
            exchange = self.find(seed, attempt)
            if exchange is None:
                raise UserError(f"{self._path(seed, attempt)} is missing, and the ledger names it; restore it")
            found.append(exchange)
        return tuple(found)

    def keep(self, seed: int, attempt: int, exchange: Exchange) -> Exchange:
        """Store an exchange unless it exists, and return it as stored."""
        kept = self.find(seed, attempt)
        if kept is None:
            kept = _redacted(exchange)
            write_atomically(self._path(seed, attempt), json.dumps(asdict(kept), indent=1) + "\n")
        return kept

    def keep_all(self, seed: int, exchanges: Iterable[Exchange]) -> tuple[Exchange, ...]:
        """Store the exchanges about a proposal that do not exist yet, and return all as stored."""
        return tuple(self.keep(seed, attempt, exchange) for attempt, exchange in enumerate(exchanges))

    def files(self, seed: int, count: int) -> list[Path]:
        """Return the files of the first exchanges about a proposal."""
        return [self._path(seed, attempt) for attempt in range(count)]

    def _path(self, seed: int, attempt: int) -> Path:
        return self.folder / f"{seed}-{attempt}.json"


def _redacted(exchange: Exchange) -> Exchange:
    return Exchange(
        messages=tuple(replace(message, text=redact(message.text)) for message in exchange.messages),
        reply=replace(exchange.reply, text=redact(exchange.reply.text)),
    )
