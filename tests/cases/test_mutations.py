"""Of a damaged reply comes the right program or none, never a third. The seed of each case is in its message.

The right program is that of the intact reply; comments and layout do not count (`Program.id`). None is a refusal, or
the parent as it was. `mutations.py` says what befalls a reply. What was found this way lies in `replies/` as it came.
"""

from __future__ import annotations

import functools
import random

import pytest

from operators.edit import EditError, apply_reply
from target.program import Program
from target.program.contract import ContractError, check_syntax
from tests.cases.mutations import WAYS, Intact, cut
from tests.cases.test_replies import PARENT, REPLIES, TABLE, VALID, expected

TIMES = 100
SEVERAL = {
    "file_draft_and_last",
    "file_in_parts",
    "part_before_after",
    "value_arrows_in_list",
    "value_list",
    "json_array",
    "json_two_calls",
    "call_two_lines",
    "shell_sed_beside_block",
    "script_beside_block",
    "pair_two",
    "diff_in_numbered_list",
    "tags_two",
    "diff_dots",
    "part_function_and_constant",
}
"""What lies on one side of a cut is a complete answer there, and no reader can know that there was more."""
MARKED_ONCE = {
    "thinking_closing_only_block": "</think>",
    "thinking_closing_only_file": "</think>",
    "thinking_closing_only_midline_block": "</think>",
    "thinking_closing_only_midline_file": "</think>",
    "thinking_closing_only_square_block": "[/THINK]",
    "thinking_closing_only_square_file": "[/THINK]",
    "thinking_harmony_cut_start_block": "<|end|><|start|>assistant<|channel|>final<|message|>",
    "thinking_harmony_cut_start_file": "<|end|><|start|>assistant<|channel|>final<|message|>",
    "thinking_harmony_bare_block": "analysis",
    "thinking_harmony_bare_file": "analysis",
}
"""Thinking that is known by one mark only: where that is damaged, it is an answer."""


@functools.cache
def identity(program: str) -> str | None:
    try:
        check_syntax(program)
    except ContractError:
        return None
    return Program(program).id


@pytest.mark.parametrize("name", [name for name in VALID if "damaged" not in TABLE[name]])
def test_of_a_damaged_reply_comes_the_right_program_or_none(name: str) -> None:
    intact = Intact(REPLIES[name], PARENT, expected(name))
    allowed = {None, identity(PARENT), identity(intact.right)}
    seen = {intact.text}
    assert len(intact.without_code) < len(intact.lines), "no line with code is found, and all would be damaged"
    for number in range(TIMES):
        way = WAYS[number % len(WAYS)]
        reply = way(intact, random.Random(f"{name} {number}"))
        if reply in seen or MARKED_ONCE.get(name, "") not in reply or (way is cut and name in SEVERAL):
            continue
        seen.add(reply)
        try:
            program = apply_reply(reply, PARENT)
        except EditError:
            continue
        assert identity(program) in allowed, f"{way.__name__}, seed '{name} {number}':\n{reply}"
