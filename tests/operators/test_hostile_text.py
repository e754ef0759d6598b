"""Text that programs and models write to break their reader: huge numbers, endless lines, deep nesting."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.base import MutationError
from operators.edit import EditError, apply_reply
from operators.edit.elision import elision
from operators.edit.statement import difference, stated
from operators.edit.thinking import without_thinking
from operators.population import Population
from operators.prompts.prompt import _data
from operators.switch import SwitchOperator
from operators.trial import Mutation, Proposal, Trial
from target.program import Program
from target.program.constants import parse_constants
from target.program.contract import ContractError, check_syntax
from tests.limits import within_cpu_seconds

SOURCE = "LR = 0.1\nDEPTH = 4  # knob: 2..24 int\n"
HUGE = "0x" + "f" * 4_500

NUMBERS = st.sampled_from(
    ["1e999", "-1e999", "nan", "inf", "-inf", HUGE, "9" * 4_000, "1e300", "-1e300", "0", "1", "0.5", ".5", "1e-400"]
)
KNOBS = st.one_of(
    st.builds("{}..{} {}".format, NUMBERS, NUMBERS, st.sampled_from(["", "int", "pow2", "log", "linear", "x"])),
    st.builds("{} | {}".format, NUMBERS, NUMBERS),
    st.text(max_size=30).filter(lambda text: "\n" not in text and "\r" not in text),
    st.sampled_from(["." * 30, "..", "1..", "..1", "[" * 300 + " | 1", "fixed", "1...5"]),
)
PROGRAMS = st.builds("X = {}  # knob: {}\nY = -{}\n".format, NUMBERS, KNOBS, NUMBERS)


@settings(deadline=None, max_examples=300)
@given(PROGRAMS)
def test_no_program_text_is_an_error_of_ours(source):
    program = Program(source)
    assert len(program.id) == len(program.skeleton_id) == 16
    assert all(not isinstance(value, float) or math.isfinite(value) for value in program.constants.values())
    with contextlib.suppress(ContractError):
        check_syntax(source)
    with contextlib.suppress(SyntaxError, ValueError):
        for name, constant in parse_constants(source).items():
            program.with_constants({name: constant.value})
            difference(program, Program(SOURCE))


@pytest.mark.parametrize("value", [HUGE, f"-{HUGE}", "f(" + HUGE + ")", "0b" + "1" * 60_000, "0o" + "7" * 60_000])
def test_an_integer_of_thousands_of_digits_does_not_parse(value):
    program = Program(f"X = {value}\n")

    assert (program.id, program.constants) == (program.skeleton_id, {})
    with pytest.raises(ContractError, match="an integer must have fewer than 4300 digits"):
        check_syntax(program.source)


@pytest.mark.parametrize("literal", ["1e999", "-1e999", "1 << 99", "1" + "0" * 400])
def test_a_number_that_no_store_takes_is_no_constant(literal):
    assert Program(f"X = {literal}\nLR = 0.1\n").constants == {"LR": 0.1}


@pytest.mark.parametrize("knob", ["1..inf int", "nan..2", "-inf..1", "1..1e300 int", "0..1e999 log", "1 | 1e999"])
def test_a_knob_without_a_finite_bound_is_refused(knob):
    with pytest.raises(ValueError, match="line 1: "):
        parse_constants(f"X = 1.0  # knob: {knob}\n")


LONG = 40_000
PIECES = [
    "x",
    " ",
    "\n",
    ".",
    "#",
    "# ",
    "(",
    "`",
    "```\n",
    "<",
    "<<<<<<< SEARCH\n",
    "# rest ",
    "* ",
    "_",
    "\t",
    "a.py ",
    "&lt;",
    "<think>\n",
    "</think>\n",
    "=======\n",
    "*** Update File: x",
    "@@ -1 +1 @@\n",
    "@@ -" + "9" * 5_000 + " +1 @@\n",
    "--- a\n+++ b\n",
    "{",
    "[",
    '"a":',
    "CHANGE: x\n",
    "X = 1\n",
]


@pytest.mark.parametrize("piece", PIECES)
def test_a_reply_of_any_form_is_read_in_linear_time(piece):
    text = piece * (LONG // len(piece))

    def read() -> None:
        stated(text)
        without_thinking(text)
        elision(text.split("\n"), ())
        for reply in (text, f"```python\n{text}\n```", f"*** Update File: {text}\n", f"<<<<<<< SEARCH\n{text}"):
            with contextlib.suppress(EditError):
                apply_reply(reply, SOURCE)

    within_cpu_seconds(15, read)


@pytest.mark.parametrize("text", [piece * LONG for piece in (".", "1.", "1..", " ", "[", "|", "1")])
def test_a_knob_comment_of_any_length_is_read_in_linear_time(text):
    def read() -> None:
        with contextlib.suppress(ValueError):
            parse_constants(f"X = 1  # knob: {text}\n")

    within_cpu_seconds(20, read)


@pytest.mark.parametrize("text", [" " * LONG, "x " * LONG, "# switch: " * 20_000])
def test_a_switch_of_any_length_is_read_in_linear_time(text):
    def read() -> None:
        mutation = Mutation(program=Program(f"return x{text}\nX = {text}\n"), operator="seed", description="")
        seed = Proposal(parents=(), seed=0, operator="seed")
        parent = Population((Trial(number=0, proposal=seed, mutation=mutation),))
        with contextlib.suppress(MutationError):
            SwitchOperator().mutate(Proposal(parents=(0,), seed=1, operator="switch"), parent)

    within_cpu_seconds(20, read)


def test_programs_of_many_lines_are_compared_at_once():
    old, new = (Program("".join(f"x{n} = {n % 7} + {n % base}\n" for n in range(8_000))) for base in (11, 13))

    within_cpu_seconds(30, lambda: difference(old, new))


@given(st.text())
def test_data_of_a_prompt_cannot_end_its_own_quotation(text):
    quoted = _data(text)
    first, *_, last = quoted.split("\n")
    mark = first.removeprefix("<data ").removesuffix(">")

    assert last == f"</data {mark}>"
    assert mark not in text
    assert _data(text) == quoted, "a replay asks the same"
    again = _data(quoted)
    assert mark not in again.split("\n")[0]
