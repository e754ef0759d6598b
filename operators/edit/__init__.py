"""From a model's reply to the next `train.py`, whatever habit of formatting the model has.

The steps, each a function of its own: the text as it came (`cleaning.cleaned`), thinking taken out
(`thinking.without_thinking`), what it holds (`candidates.candidates_in`), what of it applies and is chosen
(`choice.chosen`), checked (`checks.checked`). What can be read in two ways is refused with a reason that the model can
act on; nothing is applied by half. docs/operators.md has the rule.
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
        reply: What the model answered.
        source: The file as it is.
        complete: Whether the provider says that the model ended its answer itself. If it does not, an edit at the very
            end of the reply must show that nothing is missing.

    Raises:
        EditError: The reply holds no edit, or one that cannot be applied; the message tells the model why.
    """
    text = cleaned(without_thinking(cleaned(reply), split_lines(source)[0]))
    candidates = candidates_in(text, source, complete=complete)
    return checked(chosen(candidates, source), source)


__all__ = ["FILE", "EditError", "apply_reply"]
