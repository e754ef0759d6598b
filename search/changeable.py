"""Says what of a program a search can change, and refuses a program in which its operator finds nothing."""

from __future__ import annotations

from collections.abc import Callable

from operators.base import Operator, needs_python
from search.errors import UserError
from target.program.movable import MOVE_ADVICE, can_move, is_python, movable_text


def tell_changeable(source: str, *, file: str, operator: Operator, say: Callable[[str], None]) -> None:
    """Say which constants of a program can move.

    Args:
        source: The program.
        file: What it is called.
        operator: The operator of the search.
        say: Shows a line.

    Raises:
        UserError: The operator asks no model, and finds nothing to change.
    """
    text = movable_text(source)
    if needs_python(operator) and not can_move(source):
        found = text.partition("; only constants")[0] or "no operator without a model finds anything to change"
        raise UserError(f"{file}: {found}: {MOVE_ADVICE}")
    if text:
        say(text)
    elif not file.endswith(".py") and not is_python(source):
        text = f"{file} is not Python, so only an operator that asks a model, or an agent, can change it"
        if needs_python(operator):
            raise UserError(f"{text}: set operator=patch and llm.model, or operator=agent and agent.command")
        say(text)
