from __future__ import annotations

import pytest

from target.program.syntax import parse


@pytest.mark.parametrize("source", ["def f(:\n", "\x00", "\ud800", "-" * 100_000 + "1"])
def test_whatever_is_wrong_is_a_syntax_error(source: str) -> None:
    with pytest.raises(SyntaxError):
        parse(source)
