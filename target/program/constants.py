"""The UPPER_CASE constants of a program: finds, describes and replaces them without changing anything else.

A value is a literal, an expression of numbers such as `2**19`, or a tuple of these. Each element of a tuple is a
separate constant: `BETAS[0]`. A new value keeps the form of the old one where possible.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import io
import math
import re
import tokenize
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from target.program.assigned import assignments, stored_names
from target.program.divisors import doubling_names
from target.program.expressions import doubles, is_plain, number_in, number_of, rewritten
from target.program.inferred import is_share, motion_of
from target.program.literals import literal_of
from target.program.marked import marked_lines
from target.program.measured import measuring_names
from target.program.reads import idle_names
from target.program.settings import settings_of
from target.program.staying import why_it_stays
from target.program.syntax import parse

Value = bool | int | float | str

_KNOB: Final = re.compile(r"#\s*knob:\s*(?P<body>[^#;,(]*)")
_MOST: Final = 1e18  # of the bounds of a knob
_SHOWN_CHARACTERS: Final = 100
MARKED: Final = "a comment says not to change it"
NONE: Final = "-1 often means none"
_ELEMENTS: Final = 8  # of a tuple whose numbers are constants
SCALES: Final = ("int", "unit", "pow2", "log", "linear", "share", "average")


@dataclass(frozen=True, slots=True, kw_only=True)
class Knob:
    """The admissible values of a constant, from the comment after it.

    Attributes:
        low: Smallest admissible number; None if there is no bound.
        high: Largest admissible number; None if there is no bound.
        scale: One of `SCALES`, or None to infer it from the value.
        choices: The admissible values; empty if any value within the bounds is admissible.
        fixed: The constant must not be changed.
    """

    low: float | None = None
    high: float | None = None
    scale: str | None = None
    choices: tuple[Value, ...] = ()
    fixed: bool = False


_COUNT: Final = Knob(low=1.0, scale="unit")  # of a count that is inferred


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One constant: `NAME = value  # knob: ...` at the top level of a program.

    Attributes:
        name: Its name; with an index for a number in a tuple.
        value: Its value.
        knob: From its comment, or inferred if there is none.
        line: Line of the value, from 1.
        start: Column of the value's first byte in that line, as `ast` counts.
        end: Column after the value's last byte.
        text: The value as written in the program.
        stays: Why it must not change; empty if it may.
    """

    name: str
    value: Value
    knob: Knob
    line: int
    start: int
    end: int
    text: str
    stays: str = ""

    def write(self, value: Value) -> str:
        """Return the text with which another value replaces this one.

        Raises:
            ValueError: If a float is not finite.
        """
        if isinstance(self.value, int) and isinstance(value, int) and not isinstance(value, bool):
            return self._quoted(rewritten(self._bare, value) or format_value(value))
        return self._quoted(format_value(value))

    @property
    def _bare(self) -> str:
        """The value as written, without the quotes around a number: `os.getenv("LR", "3e-4")`."""
        return self.text if isinstance(self.value, str) else self.text.strip("\"'")

    def _quoted(self, text: str) -> str:
        quotes = (len(self.text) - len(self._bare)) // 2
        return f"{self.text[:quotes]}{text}{self.text[len(self.text) - quotes :]}"


def parse_constants(source: str) -> dict[str, Constant]:
    """Return the constants of a program by name, in their order.

    A constant is a bool, a number, a string or an expression of numbers on one line. It is assigned at the top level to
    an UPPER_CASE name that the program assigns only once. The numbers of a tuple or list that is assigned in this way
    are constants too, and so are the literals in `int(1e6)` and `float(os.environ.get("LR", 0.1))`.

    Knob comments: `# knob: 2..24 int`, `# knob: 1e-4..1 log`, `# knob: relu2 | gelu`, `# knob: fixed`; text after `;`,
    `,` or `(` is for people. Without such a comment, `target/program/staying.py` and `measured.py` decide whether a
    constant stays, and `inferred.py` how it changes. With a comment, a value elsewhere is a constant too, if it is the
    only one with a name in its line: `Config.lr`, `hyp.opt.lr`.

    Raises:
        SyntaxError: If the source does not parse.
        ValueError: If a knob comment does not parse.
    """
    return {constant.name: constant for constant in _parsed(source)}


@functools.lru_cache(maxsize=256)  # a program is asked for its constants many times
def _parsed(source: str) -> tuple[Constant, ...]:
    tree = parse(source)
    tokenised: dict[int, str] | None = None
    lines = list(io.StringIO(source, newline=""))  # not splitlines: form feeds end no line for `ast`
    stored = stored_names(tree)
    assigned = [(name, value) for name, value in assignments(tree) if stored[name] == 1]
    names = [name for name, _ in assigned]
    idle = functools.cache(lambda: idle_names(tree, names))  # most of the time, and not needed where all have knobs
    measuring = functools.cache(lambda: measuring_names(tree, names))
    marked = marked_lines(source)
    found: dict[str, Constant] = {}
    for whole, expression in assigned:
        for name, node in _parts(whole, expression):
            node, value = _value(node)
            if value is None or node.lineno != node.end_lineno:
                continue
            comment = _comment_after(node, lines[node.lineno - 1])
            if comment is None:  # something else follows: only the tokeniser knows
                tokenised = _comments(source) if tokenised is None else tokenised
                comment = tokenised.get(node.lineno, "")
            knob = _knob(comment, value, node.lineno)
            stays = "fixed" if knob and knob.fixed else ""
            if knob is None:
                stays = idle().get(whole, "") or why_it_stays(whole) or measuring().get(whole, "")
                stays = stays or (MARKED if node.lineno in marked else "")
                stays = stays or (NONE if value == -1 and type(value) is int else "")
                value = float(value) if type(value) is int and is_share(whole, value) else value
                knob = Knob(fixed=True) if stays else _inferred(whole, value, node)
            found[name] = _constant(name, value, knob, node, lines, stays)
    if "knob:" in source:
        comments = _comments(source) if tokenised is None else tokenised
        found.update(_annotated(tree, comments, lines, {each.line for each in found.values()}))
    return tuple(_doubled(found).values())


def _annotated(
    tree: ast.Module, comments: Mapping[int, str], lines: Sequence[str], taken: Container[int]
) -> dict[str, Constant]:
    """Return the other values with a knob comment: the only literal with a name in its line, wherever that is."""
    open_lines = {line for line, comment in comments.items() if line not in taken and _KNOB.search(comment)}
    by_line, found = defaultdict[int, list[tuple[str, ast.expr, Value]]](list), dict[str, Constant]()
    for setting in settings_of(tree) if open_lines else ():
        node, value = _value(setting.value)
        if value is not None and node.lineno == node.end_lineno and node.lineno in open_lines:
            by_line[node.lineno].append((setting.name, node, value))
    for line, values in sorted(by_line.items()):
        if len(values) == 1 and (knob := _knob(comments[line], values[0][2], line)):
            name, node, value = values[0]
            name = f"{name}.{line}" if name in found else name
            found[name] = _constant(name, value, knob, node, lines, "fixed" if knob.fixed else "")
    return found


def _constant(name: str, value: Value, knob: Knob, node: ast.expr, lines: Sequence[str], stays: str) -> Constant:
    end = node.end_col_offset or node.col_offset
    text = lines[node.lineno - 1].encode()[node.col_offset : end].decode()
    return Constant(
        name=name, value=value, knob=knob, line=node.lineno, start=node.col_offset, end=end, text=text, stays=stays
    )


def _doubled(found: dict[str, Constant]) -> dict[str, Constant]:
    """Return constants of which those that must divide others change by doublings."""
    values = {
        name: each.value
        for name, each in found.items()
        if type(each.value) is int and each.value > 0 and each.knob in (Knob(), _COUNT)
    }
    for name in doubling_names(values):
        if found[name].knob == _COUNT or values[name] & (values[name] - 1):  # a power of two doubles anyway
            found[name] = dataclasses.replace(found[name], knob=Knob(scale="pow2"))
    return found


def _parts(name: str, value: ast.expr) -> list[tuple[str, ast.expr]]:
    """Return the possible constants of an assignment: the numbers of a tuple or list, or the value itself."""
    if not isinstance(value, ast.Tuple | ast.List):
        return [(name, value)]
    if len(value.elts) > _ELEMENTS or any(number_of(each) is None for each in value.elts):
        return []
    return [(f"{name}[{index}]", each) for index, each in enumerate(value.elts)]


def replace_constants(source: str, values: Mapping[str, Value]) -> str:
    """Return the program with new values for some of its constants; formatting and comments stay.

    Raises:
        SyntaxError: If the source does not parse.
        ValueError: If a name is not a constant of the program.
    """
    constants = parse_constants(source)
    unknown = sorted(values.keys() - constants.keys())
    if unknown:
        raise ValueError(f"not a constant of the program: {', '.join(unknown)}; it has {', '.join(constants)}")
    return _splice(source, {name: (constants[name], constants[name].write(value)) for name, value in values.items()})


def blank_constants(source: str) -> str:
    """Return the program with every constant's literal replaced by `...`: its skeleton."""
    return _splice(source, {name: (constant, "...") for name, constant in parse_constants(source).items()})


def format_value(value: Value) -> str:
    """Write a value as a Python literal.

    Raises:
        ValueError: If a float is not finite; `nan` and `inf` are names, not literals.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a constant must be finite, got {value}")
    return repr(value)


def _value(node: ast.expr) -> tuple[ast.expr, Value | None]:
    """Return the literal that sets a value, and the value; None if it is no constant."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool | str):
        return node, node.value
    return literal_of(node)


def _comment_after(node: ast.expr, line: str) -> str | None:
    """Return the comment right after a value on its line; empty if nothing follows, None if something else does."""
    rest = line.encode()[node.end_col_offset :].decode().strip()
    return rest if not rest or rest.startswith("#") else None


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source, newline=None).readline)  # lines as `ast` counts them
    try:
        return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    except tokenize.TokenError as error:
        raise SyntaxError(str(error)) from error


def _inferred(name: str, value: Value, node: ast.expr) -> Knob:
    if isinstance(value, bool | str):
        return Knob()
    low, high, scale = motion_of(name, value)
    return Knob(low=low, high=high, scale=scale or ("pow2" if isinstance(value, int) and doubles(node) else None))


def _knob(comment: str, value: Value, line: int) -> Knob | None:
    """Return the knob of a comment; None if the comment has none."""
    match = _KNOB.search(comment)
    if not match:
        return None
    body = match["body"].strip()
    if body == "fixed":
        return Knob(fixed=True)
    if "|" in body:
        return Knob(choices=tuple(_typed(choice.strip(), value, line) for choice in body.split("|")))
    words = body.split()
    bounds = words[0].split("..", 1) if words else []
    scale = words[1] if len(words) == 2 else None
    shown = f"{body[:_SHOWN_CHARACTERS]!r}"
    if len(bounds) != 2 or not all(bounds) or len(words) > 2 or scale not in (None, *SCALES):
        raise ValueError(
            f"line {line}: a knob is 'LOW..HIGH [{'|'.join(SCALES)}]', 'A | B | C' or 'fixed', got {shown}"
        )
    try:
        low, high = map(_bound, bounds)
    except ValueError:
        raise ValueError(f"line {line}: the bounds of a knob must be numbers, got {shown}") from None
    if not max(abs(low), abs(high)) < _MOST:
        raise ValueError(f"line {line}: the bounds of a knob must be finite numbers below {_MOST:g}, got {shown}")
    if not low < high:
        raise ValueError(f"line {line}: the lower bound of a knob must be below the upper, got {shown}")
    if scale == "average" and not 0 <= low < high < 1:
        raise ValueError(f"line {line}: the bounds of an average must be at least 0 and below 1, got {shown}")
    return Knob(low=low, high=high, scale=scale)


def _bound(text: str) -> float:
    value = number_in(text) if "**" in text else None
    return float(text if value is None else value)


def _typed(text: str, value: Value, line: int) -> Value:
    if isinstance(value, str):
        return text.strip("\"'")
    try:
        choice = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        choice = number_in(text)
    if not isinstance(choice, bool | int | float | str) or not is_plain(choice):
        shown = f"{value!r:.{_SHOWN_CHARACTERS}}, got {text[:_SHOWN_CHARACTERS]!r}"
        raise ValueError(f"line {line}: a choice of a knob must be a literal like the value {shown}")
    return float(choice) if isinstance(value, float) and isinstance(choice, int) else choice


def _splice(source: str, literals: Mapping[str, tuple[Constant, str]]) -> str:
    lines = list(io.StringIO(source, newline=""))  # not splitlines: form feeds end no line for `ast`
    for constant, text in sorted(literals.values(), key=lambda each: each[0].start, reverse=True):
        line = lines[constant.line - 1].encode()  # from the end of the line: the text before keeps its columns
        lines[constant.line - 1] = (line[: constant.start] + text.encode() + line[constant.end :]).decode()
    return "".join(lines)
