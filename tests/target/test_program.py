from __future__ import annotations

import pytest

from target.program import Program

SOURCE = '''\
"""A program."""

DEPTH = 4  # layers


def f(x: int) -> int:
    """Double it."""
    return x * 2  # twice
'''


@pytest.mark.parametrize(
    "other",
    [
        SOURCE.replace("# layers", "# knob: 2..24 int"),
        SOURCE.replace('"""Double it."""', '"""Doubles."""'),
        SOURCE.replace('    """Double it."""\n', ""),
        SOURCE.replace("\n\n\n", "\n"),
        SOURCE.replace("x * 2", "(x*2)"),
        SOURCE.replace("\n", "\r\n"),
    ],
)
def test_the_same_idea_is_the_same_program(other: str) -> None:
    assert other != SOURCE
    assert Program(other).id == Program(SOURCE).id


@pytest.mark.parametrize("other", [SOURCE.replace("* 2", "* 3"), SOURCE.replace("4", "5"), SOURCE + "\nx = 1\n"])
def test_another_idea_is_another_program(other: str) -> None:
    assert Program(other).id != Program(SOURCE).id


def test_programs_that_differ_in_constants_share_their_skeleton() -> None:
    program = Program(SOURCE)

    assert program.with_constants({"DEPTH": 9}).skeleton_id == program.skeleton_id
    assert program.with_constants({"DEPTH": 9}).constants == {"DEPTH": 9}
    assert Program(SOURCE.replace("* 2", "* 3")).skeleton_id != program.skeleton_id


DEEP = "-" * 100_000 + "1"
LONG = " + ".join("x" for _ in range(3000))


@pytest.mark.parametrize("source", ["def f(:\n", "\x00", "A = 1  # knob: 9..1\n", "\ud800", DEEP, LONG])
def test_what_does_not_parse_still_has_an_identity(source: str) -> None:
    program = Program(source)

    assert program.id == Program(source).id
    assert program.skeleton_id
    assert program.constants == {}


def test_a_docstring_alone_is_a_body() -> None:
    assert Program('def f():\n    """Doc."""\n').id == Program("def f():\n    pass\n").id


def test_docstrings_of_classes_and_coroutines_do_not_count_either() -> None:
    source = 'class A:\n    """One."""\n\n\nasync def f():\n    """One."""\n'

    assert Program(source.replace("One", "Two")).id == Program(source).id
