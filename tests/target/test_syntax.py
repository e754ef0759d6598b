from __future__ import annotations

import ast
import gc
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from target.spec import SEED_PROGRAM
from target.syntax import parse


def test_threads_that_parse_side_by_side_do_not_disturb_each_other() -> None:
    source = SEED_PROGRAM.read_text(encoding="utf-8")
    expected = ast.dump(ast.parse(source))
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(10)  # collections are where the interpreter changes threads in the middle of a tree
    try:
        with ThreadPoolExecutor(8) as pool:
            trees = list(pool.map(parse, [source] * 60))
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*thresholds)

    assert all(ast.dump(tree) == expected for tree in trees)


@pytest.mark.parametrize("source", ["def f(:\n", "\x00", "\ud800", "-" * 100_000 + "1"])
def test_whatever_is_wrong_is_a_syntax_error(source: str) -> None:
    with pytest.raises(SyntaxError):
        parse(source)
