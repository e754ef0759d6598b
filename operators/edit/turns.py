"""Keeps the model's own turn of a reply in which the model, or its server, goes on with turns of others.

A model that misses the end of its answer writes the next question and answers that too; a server may give the prompt
back in front of the answer. Only the marks of chat templates count, and not those that the file has itself.
"""

from __future__ import annotations

import re
from typing import Final

_OTHERS: Final = re.compile(
    r"(?<![`'\"])(?:<\|im_start\|>\s{0,9}(?:user|system|tool)"
    r"|<\|start_header_id\|>\s{0,9}(?:user|system|ipython|tool)\s{0,9}<\|end_header_id\|>"
    r"|<start_of_turn>\s{0,9}user|<\|user\|>|<\|USER_TOKEN\|>|<｜User｜>|\[INST\])"
)
"""Where a turn begins that is not the model's."""
_BEGINNING: Final = re.compile(r"<\|begin_of_text\|>|<bos>|<s>|<｜begin▁of▁sentence｜>|<\|START_OF_TURN_TOKEN\|>")
_OWN: Final = re.compile(
    r"<\|im_start\|>\s{0,9}assistant|<\|start_header_id\|>\s{0,9}assistant\s{0,9}<\|end_header_id\|>"
    r"|<start_of_turn>\s{0,9}model|<\|assistant\|>|<\|CHATBOT_TOKEN\|>|<｜Assistant｜>|\[/INST\]"
)


def own_turn(reply: str, source: str) -> str:
    """Return the model's first turn after a prompt that was given back, or up to the first turn of another.

    Args:
        reply: The model's answer.
        source: The file: marks that it has are code.
    """
    first = next((match for match in _OTHERS.finditer(reply) if match[0] not in source), None)
    if first is None:
        return reply
    if _BEGINNING.sub("", reply[: first.start()]).strip():
        return reply[: first.start()]
    answers = [match for match in _OWN.finditer(reply) if match[0] not in source]
    return reply[answers[-1].end() :] if answers else reply
