"""What a row of the table is made of."""

from __future__ import annotations

from dataclasses import dataclass

from target.evaluation import Outcome
from tests.target.candidates import HONEST

OK, CRASHED, REJECTED = Outcome.OK, Outcome.CRASHED, Outcome.REJECTED
TIMED_OUT, OUT_OF_MEMORY = Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY

_NET_BEGINS, _NET_ENDS = "class Net(nn.Module):", "def build_model(vocab_size):"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A program and what must come of it.

    Attributes:
        name: Its name in the table.
        tries: What it tries, in a few words.
        source: The program.
        outcome: Required outcome.
        said: Regular expression that the detail must match.
        twin: An honest program; a hostile one that is OK must score exactly what its twin scores on the same seed.
    """

    name: str
    tries: str
    source: str
    outcome: Outcome = OK
    said: str = ""
    twin: str = HONEST


def with_net(net: str, *changes: tuple[str, str]) -> str:
    """Return the honest program with another `class Net`, and with texts replaced; each must be there once."""
    before, rest = HONEST.split(_NET_BEGINS)
    source = before + net.strip() + "\n\n\n" + _NET_ENDS + rest.split(_NET_ENDS)[1]
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r} is in the program {source.count(old)} times"
        source = source.replace(old, new)
    return source


def at_import(lines: str, *changes: tuple[str, str]) -> str:
    """Return the honest program with lines behind its imports."""
    assert HONEST.count("import prepare\n") == 1
    source = HONEST.replace("import prepare\n", f"import prepare\n{lines.strip()}\n")
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r} is in the program {source.count(old)} times"
        source = source.replace(old, new)
    return source
