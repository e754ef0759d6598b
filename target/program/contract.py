"""The rules for a program: as sentences for its author, and as checks on its text before any of it is run."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from target.metric import VAL_BPB, Metric
from target.program.subject import NETWORK, PROGRAM, Subject
from target.program.syntax import parse

SOURCE_BYTES: Final = 256_000  # room for any training script, too little to carry a corpus


class ContractError(Exception):
    """A program, or the model it builds, breaks the target's contract; the message is feedback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The requirements of a target for a program.

    Attributes:
        brief: The task in one short sentence, for the author of a program.
        goal: The task in more detail: what a trial is, and which figure decides.
        rules: The rules for every program, as sentences.
        check: Checks a text, and raises a `ContractError` if it breaks a rule that can be checked without running it.
        metric: What decides, its direction, and what a program is called.
        subject: What kind of program it is, in words for prompts.
        seed_variable: Environment variable with the seed of a training, for a program that may fail to read it; empty
            if it gets its seed in another way.
    """

    brief: str
    goal: str
    rules: tuple[str, ...]
    check: Callable[[str], None]
    metric: Metric = VAL_BPB
    subject: Subject = PROGRAM
    seed_variable: str = ""


def check_source(source: str) -> None:
    """Check that a program has the form that the harness relies on.

    Raises:
        ContractError: It does not.
    """
    body = check_syntax(source).body
    functions = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    _check_build_model(functions.get("build_model"))
    if "main" not in functions:
        raise ContractError("names: train.py must define main() at its top level; it trains and calls prepare.finish")
    if not any(_is_main_guard(node) for node in body):
        raise ContractError('guard: train.py must end with `if __name__ == "__main__": main()`')


def check_syntax(source: str, *, file: str = "train.py") -> ast.Module:
    """Check that a text can be a Python program, and return its syntax tree.

    Raises:
        ContractError: It is not valid Python.
    """
    check_size(source, file=file)
    try:
        return parse(source)
    except SyntaxError as error:
        place = f"{file}:{error.lineno}" if error.lineno else file
        line = (error.text or "").strip()[:200]
        raise ContractError(f"syntax: {place}: {error.msg}{line and f': {line}'}") from error


def check_size(source: str, *, file: str) -> None:
    """Check that a text can be written to a file, and is not too long.

    Raises:
        ContractError: It cannot be written, or is too long.
    """
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        raise ContractError(f"encoding: {file} must be valid UTF-8 text, got {error.reason}") from error
    if size > SOURCE_BYTES:
        raise ContractError(f"size: {file} must be at most {SOURCE_BYTES} bytes, got {size}; put no data into it")


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


TRAINED: Final = Contract(
    brief="Lower `val_bpb` of `train.py`, a training script with a fixed time budget.",
    goal="You improve `train.py`, the training script of a small language model. One of your answers is one trial: the "
    "program that comes of it is trained for a fixed budget and scored by validation bits per byte, `val_bpb`. Lower "
    "is better, and nothing else counts.",
    rules=(
        "`train.py` keeps two functions at its top level: `build_model(vocab_size)`, which returns a `torch.nn.Module` "
        "whose `forward(idx)` maps tokens (B, T), int64, to logits (B, T, at least vocab_size) and does nothing else, "
        "and `main()`, which trains until `prepare.seconds_left()` runs out and ends with `prepare.finish(model)`. Its "
        'last lines are `if __name__ == "__main__": main()`. Importing it trains nothing.',
        "Everything else in `train.py` may change. All other files are fixed, `prepare.py` above all: it has the data, "
        "the clock and the seed. Only Python's standard library, torch and numpy can be imported; there is no network "
        "and no other data.",
        "The score is computed elsewhere, from the weights that `prepare.finish` got. The model must be causal, must "
        "score each row of a batch independently of the others, and must keep no state between calls: programs that "
        "cheat are rejected.",
    ),
    check=check_source,
    subject=NETWORK,
)
"""The contract of the targets whose programs are trained and scored here."""
