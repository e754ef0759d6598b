"""Turns a model's reply into the next `train.py`, for all formatting habits of models.

The steps are separate functions: clean the text (`cleaning.cleaned`), remove thinking (`thinking.without_thinking`),
find the candidates for edits (`candidates.candidates_in`), choose among those that apply (`choice.chosen`), check the
program (`checks.checked`). An ambiguous reply is refused with a reason that the model can act on; no reply is applied
in part. docs/operators.md has the rule.
"""

from __future__ import annotations

from operators.edit.candidates import candidates_in
from operators.edit.checks import checked
from operators.edit.choice import chosen
from operators.edit.cleaning import cleaned
from operators.edit.text import FILE, EditError, split_lines
from operators.edit.thinking import without_thinking


def apply_reply(reply: str, source: str, *, complete: bool = False) -> str:
    """Return the file that a reply asks for.

    Args:
        reply: The model's answer.
        source: The present file.
        complete: Whether the provider reports that the model itself ended its answer. If not, an edit at the very
            end of the reply must show that nothing is missing.

    Raises:
        EditError: The reply has no edit, or an edit that cannot be applied; the message tells the model why.
    """
    text = cleaned(without_thinking(cleaned(reply), split_lines(source)[0]))
    candidates = candidates_in(text, source, complete=complete)
    return checked(chosen(candidates, source), source)


__all__ = ["FILE", "EditError", "apply_reply"]
