"""Turns a model's reply into the next program, for all formatting habits of models.

The steps are separate functions: clean the text (`cleaning.cleaned`), keep the model's own
turn (`turns.own_turn`), remove thinking (`thinking.without_thinking`),
find the candidates for edits (`candidates.candidates_in`), choose among those that apply (`choice.chosen`), check the
program (`checks.checked`). An ambiguous reply is refused with a reason that the model can act on; no reply is applied
in part. docs/operators.md has the rule.
"""

from __future__ import annotations

from operators.edit.candidates import candidates_in
from operators.edit.checks import checked
from operators.edit.choice import chosen
from operators.edit.cleaning import cleaned, with_html_as_fences, without_fence_indents, without_outer_fences
from operators.edit.text import EditError, split_lines
from operators.edit.thinking import without_thinking
from operators.edit.turns import own_turn
from target.metric import VAL_BPB


def apply_reply(reply: str, source: str, *, complete: bool = False, file: str = VAL_BPB.file) -> str:
    """Return the file that a reply asks for.

    Args:
        reply: The model's answer.
        source: The present file.
        complete: Whether the provider reports that the model itself ended its answer. If not, an edit at the very
            end of the reply must show that nothing is missing.
        file: Its name; an edit to a file with another name is refused.

    Raises:
        EditError: The reply has no edit, or an edit that cannot be applied; the message tells the model why.
    """
    text = without_thinking(own_turn(cleaned(reply), source), split_lines(source)[0])
    text = cleaned(with_html_as_fences(text, source))
    text = without_fence_indents(without_outer_fences(text))
    candidates = candidates_in(text, source, complete=complete, own=file)
    return checked(chosen(candidates, source, file), source)


__all__ = ["EditError", "apply_reply"]
