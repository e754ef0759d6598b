"""Shows the program that a model's reply gives: `python -m operators.edit --reply FILE PROGRAM`.

Prints the program and exits with 0, or prints the reason for a refusal to standard error and exits with 1. Nothing is
trained, and no model is asked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from operators.edit import EditError, apply_reply
from target.output import ends_quietly
from target.program import Program
from target.program.contract import ContractError, check_syntax
from target.words import user_path


@ends_quietly
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the program that a reply gives, and return the exit status: 0, or 1 for a refusal."""
    parser = argparse.ArgumentParser(
        prog="python -m operators.edit",
        description="Print the program that a model's reply gives, or why the reply is refused (exit status 1).",
    )
    parser.add_argument("--reply", metavar="FILE", required=True, help="the model's answer; - for standard input")
    parser.add_argument(
        "--complete", action="store_true", help="the model ended the answer itself: nothing was cut off"
    )
    parser.add_argument("program", metavar="PROGRAM", type=user_path, help="the program to change")
    settings = parser.parse_args(arguments)
    try:
        reply = sys.stdin.buffer.read() if settings.reply == "-" else Path(settings.reply).read_bytes()
        source = settings.program.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"cannot be read: {error}")
    try:
        program = program_of(decoded(reply), source, complete=settings.complete)
    except (EditError, ContractError) as error:
        print(f"refused: {error}", file=sys.stderr)  # noqa: T201 -- a command line prints
        return 1
    sys.stdout.buffer.write(program.encode())
    sys.stdout.buffer.flush()
    return 0


def program_of(reply: str, source: str, *, complete: bool = False) -> str:
    """Return the program that a reply gives; `complete` as in `apply_reply`.

    Raises:
        EditError: It gives no program, or the same program again.
        ContractError: It is not valid Python.
    """
    program = apply_reply(reply, source, complete=complete)
    check_syntax(program)
    if Program(program).id == Program(source).id:
        raise EditError("this is the program unchanged: comments and layout do not count")
    return program


def decoded(data: bytes) -> str:
    """Return a reply as text, as UTF-8 or in the encoding that its byte order mark names.

    Raises:
        EditError: It is not text.
    """
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise EditError(f"the reply must be text in UTF-8: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
