"""What a program must be before a line of it is run: checks on the text alone."""

from __future__ import annotations

import ast
from typing import Final

from target.syntax import parse

SOURCE_BYTES: Final = 256_000  # room for any training script, too little to carry a corpus


class ContractError(Exception):
    """A program, or the model it builds, is not what the target's contract asks for; the message is feedback."""


def check_source(source: str) -> None:
    """Check that a program has the form that the harness relies on.

    Raises:
        ContractError: It does not.
    """
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        raise ContractError(f"encoding: train.py must be valid UTF-8 text, got {error.reason}") from error
    if size > SOURCE_BYTES:
        raise ContractError(f"size: train.py must be at most {SOURCE_BYTES} bytes, got {size}; put no data into it")
    body = _parse(source).body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    _check_build_model(functions.get("build_model"))
    if "main" not in functions:
        raise ContractError("names: train.py must define main() at its top level; it trains and calls prepare.finish")
    if not any(_is_main_guard(node) for node in body):
        raise ContractError('guard: train.py must end with `if __name__ == "__main__": main()`')


def _parse(source: str) -> ast.Module:
    try:
        return parse(source)
    except SyntaxError as error:
        place = f"train.py:{error.lineno}" if error.lineno else "train.py"
        line = (error.text or "").strip()[:200]
        raise ContractError(f"syntax: {place}: {error.msg}{line and f': {line}'}") from error


def _check_build_model(function: ast.FunctionDef | None) -> None:
    if function is None:
        raise ContractError("names: train.py must define build_model(vocab_size) at its top level")
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    required = [argument.arg for argument in named[: len(named) - len(arguments.defaults)]]
    required += [
        argument.arg
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    accepted = {argument.arg for argument in [*arguments.args, *arguments.kwonlyargs]}
    if "vocab_size" not in accepted or set(required) - {"vocab_size"}:
        raise ContractError(
            "names: build_model must take vocab_size, and nothing else without a default, "
            f"got build_model({ast.unparse(arguments)[:200]})"
        )


def _is_main_guard(node: ast.stmt) -> bool:
    if not isinstance(node, ast.If) or not isinstance(node.test, ast.Compare) or len(node.test.ops) != 1:
        return False
    sides = (node.test.left, node.test.comparators[0])
    names = {side.id for side in sides if isinstance(side, ast.Name)}
    texts = {side.value for side in sides if isinstance(side, ast.Constant) and isinstance(side.value, str)}
    return isinstance(node.test.ops[0], ast.Eq) and names == {"__name__"} and texts == {"__main__"}
