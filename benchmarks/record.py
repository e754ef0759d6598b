"""The public record recipe as constants of train.py, to compare the seed program with it under equal conditions.

It is the last state of the log of autoresearch's branch exp/H100/mar8. Everything else of that state is what train.py
has by default: docs/recipe.md lists the parts. Three things differ in form: the momentum of Muon rises in a part of the
budget instead of 200 steps, embeddings are kept in float32 instead of bfloat16, and where the log has windows of 256
tokens, train.py has pieces, in which a token sees as many on average.
"""

from __future__ import annotations

from typing import Final

from target.program.constants import Value

RECORD: Final[dict[str, Value]] = {
    "SMEAR": False,
    "KEY_OFFSET": False,
    "RELU_SLOPE": 0.0,
    "FIRST_SKIP": 0.05,
    "VALUE_GATE_CHANNELS": 32,
}
