"""A program: the source of one `train.py`, and the hashes that identify equal programs."""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import sys
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from target.program.constants import Value, blank_constants, parse_constants, replace_constants
from target.program.syntax import parse_anew

IDS_BY: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
"""What the hashes of programs depend on beside the source: the version of Python, which writes the canonical forms."""

_LAYOUT: Final = frozenset(
    (tokenize.COMMENT, tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
)


@dataclass(frozen=True)
class Program:
    """Source of one `train.py`.

    Attributes:
        source: The text, exactly as written.
    """

    source: str

    @classmethod
    def known(cls, source: str, *, id: str, skeleton_id: str) -> Self:  # noqa: A002 -- the attribute's name
        """Return a program whose hashes, made by `IDS_BY`, are known already."""
        program = cls(source)
        vars(program).update(id=id, skeleton_id=skeleton_id)
        return program

    @functools.cached_property
    def id(self) -> str:
        """Hash of the canonical form, which has no comments, blank lines, docstrings or layout."""
        return _digest(canonical(self.source))

    @functools.cached_property
    def skeleton_id(self) -> str:
        """Hash of the canonical form with the constants blanked; programs that differ only in constants share it."""
        try:
            return _digest(canonical(blank_constants(self.source)))
        except (SyntaxError, ValueError):
            return self.id

    @functools.cached_property
    def code_tokens(self) -> int:
        """Number of tokens of the canonical form: joined lines, shorter names and fewer comments do not change it.

        A string is one token. A source that is not Python has as many as it has words.
        """
        text = canonical(self.source)
        try:
            found = tokenize.generate_tokens(io.StringIO(text).readline)
            return sum(token.type not in _LAYOUT for token in found)
        except (SyntaxError, tokenize.TokenError):
            return len(text.split())

    @functools.cached_property
    def constants(self) -> dict[str, Value]:
        """Values of the constants by name; empty if the source does not parse."""
        try:
            return {name: constant.value for name, constant in parse_constants(self.source).items()}
        except (SyntaxError, ValueError):
            return {}

    @property
    def is_text(self) -> bool:
        """Whether the source can be written to a file; lone surrogates, which models produce, cannot."""
        try:
            self.source.encode()
        except UnicodeEncodeError:
            return False
        return True

    def with_constants(self, values: Mapping[str, Value]) -> Program:
        """Return the program with some constants replaced; errors as in `replace_constants`."""
        return Program(replace_constants(self.source, values))


def canonical(source: str) -> str:
    """Return the canonical form of a program: its syntax tree, unparsed without comments and docstrings.

    A source that does not parse is its own canonical form.
    """
    try:
        tree = parse_anew(source)
    except SyntaxError:
        return source
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    try:
        return ast.unparse(tree)
    except (RecursionError, ValueError):  # it parses, but is nested too deeply for recursion
        return source


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]
