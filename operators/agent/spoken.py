"""What an agent says: its output, or what is said in it where it is JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_FAILED: Final = frozenset({"error", "turn.failed"})


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an agent says.

    Attributes:
        text: Its words.
        failed: Whether it says that it failed, whatever its exit status is.
        cost_usd: The cost that it reports; 0 if it reports none.
    """

    text: str
    failed: bool = False
    cost_usd: float = 0.0


def spoken(output: str) -> Spoken:
    """Return what is said in an output: lines of text, one JSON object, or a JSON object in each line.

    `claude -p --output-format json` and `stream-json`, `codex exec --json` and `gemini --output-format json` write such
    objects; the last one spreads its object over many lines, behind its warnings. Events without words are left out.
    """
    before, last = _parted(output)
    lines = [(line, _object(line)) for line in before.splitlines()] + ([(output, last)] if last else [])
    objects = [found for _, found in lines if found]
    words = [_words(found) if found else line for line, found in lines]
    return Spoken(
        text="\n".join(each for each in words if each) if objects else output,
        failed=any(each.get("is_error") is True or each.get("type") in _FAILED for each in objects[-1:]),
        cost_usd=next((cost for each in reversed(objects) if (cost := _cost(each))), 0.0),
    )


def without_lines(said: str, task: str) -> str:
    """Return what an agent says without the lines of its task, which Codex prints before it begins."""
    given = {line.strip() for line in task.splitlines()}
    return "\n".join(line for line in said.splitlines() if not line.strip() or line.strip() not in given)


def _parted(output: str) -> tuple[str, dict[str, Any]]:
    """Return the lines before the JSON object of several lines with which an output ends, and this object."""
    if whole := _object(output):
        return "", whole
    before, brace, rest = f"\n{output}".rpartition("\n{\n")
    last = _object(brace + rest)
    return (before, last) if last else (output, {})


def _object(text: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _words(event: Mapping[str, Any]) -> str:
    """Return the words of an event: an answer, a message, an error."""
    error, item = event.get("error"), event.get("item")
    inner = (each.get(key) for each, key in ((error, "message"), (item, "text")) if isinstance(each, dict))
    found = (event.get("result"), event.get("response"), event.get("message"), error, *inner)
    return next((each for each in found if isinstance(each, str) and each.strip()), "")


def _cost(event: Mapping[str, Any]) -> float:
    cost = event.get("total_cost_usd")
    return float(cost) if isinstance(cost, int | float) and 0 <= cost < float("inf") else 0.0
