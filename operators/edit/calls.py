"""Reads tool calls in the form of Python: `edit_file(path="train.py", old="...", new="...")`. Nothing is called."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from operators.edit.foreign import NEW, OLD, PATH, WHOLE, plain_name
from operators.edit.text import EditError, quoted
from target.program.syntax import parse

_BEGIN: Final = re.compile(
    r"[ \t]{0,9}(?:<\|?[\w|]{1,40}>)?[ \t]{0,9}\[?(?:print\()?[A-Za-z_][\w.]{0,80}\((?=\s*\w+\s*=|$)"
)
_MARK: Final = re.compile(r"<\|?[\w|]{1,40}>")
_LINES: Final = 2_000
"""Largest number of lines of a call."""
_TRIES: Final = 100


def calls_in(code: str) -> list[dict[str, Any]] | None:
    """Return the arguments of the edits in a piece of code, by name; None if it is anything but calls of tools.

    Raises:
        EditError: An argument of an edit is not a plain value.
    """
    try:
        body = parse(code).body
    except SyntaxError:
        return None
    calls = [call for node in body for call in _calls_of(node)]
    if None in calls or not any(_is_edit(call) for call in calls if call):
        return None
    return [_arguments(call) for call in calls if call and _is_edit(call)]


def calls_in_prose(lines: Sequence[str]) -> list[tuple[int, int, list[dict[str, Any]]]]:
    """Return the calls that stand on lines of their own: the first line, the end (exclusive), and their arguments.

    Raises:
        EditError: An argument of an edit is not a plain value.
    """
    found, stop, tries = list[tuple[int, int, list[dict[str, Any]]]](), 0, _TRIES
    for start, line in enumerate(lines):
        if start < stop or "(" not in line or not _BEGIN.match(line[:300]):
            continue
        for end in range(start, min(start + _LINES, len(lines))):
            if tries and _MARK.sub("", lines[end][-200:]).rstrip().endswith((")", "]")):
                tries -= 1
                if calls := calls_in(_without_marks(lines[start : end + 1])):
                    found.append((start, end + 1, calls))
                    stop = end + 1
                    break
    return found


def _without_marks(lines: Sequence[str]) -> str:
    """Return lines without the marks of a chat template before the first and after the last."""
    text = "\n".join(lines).strip()
    if match := _MARK.match(text):
        text = text[match.end() :]
    return text[: text.rfind("<")] if text.endswith(">") and _MARK.fullmatch(text[text.rfind("<") :]) else text


def _calls_of(node: ast.stmt) -> Iterator[ast.Call | None]:
    """Yield the calls of a statement: of a list, each; of `print(...)`, the one inside; None for anything else."""
    value = node.value if isinstance(node, ast.Expr) else None
    for each in value.elts if isinstance(value, ast.List | ast.Tuple) else [value]:
        inner = each.args[0] if isinstance(each, ast.Call) and len(each.args) == 1 and not each.keywords else each
        known = isinstance(inner, ast.Call) and not inner.args and all(word.arg for word in inner.keywords)
        yield inner if known and isinstance(inner, ast.Call) else None


def _is_edit(call: ast.Call) -> bool:
    names = {plain_name(word.arg or "") for word in call.keywords}
    return bool(names & NEW and names & OLD) or bool(names & PATH and names & (OLD | NEW | WHOLE))


def _arguments(call: ast.Call) -> dict[str, Any]:
    found = dict[str, Any]()
    for word in call.keywords:
        try:
            found[word.arg or ""] = ast.literal_eval(word.value)
        except (ValueError, TypeError, MemoryError, RecursionError):
            raise EditError(
                f"{word.arg} in the call {quoted(ast.unparse(call.func))} must be a plain text: nothing is computed, "
                "so write the text out"
            ) from None
    return found
