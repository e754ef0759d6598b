"""The text and the measurement: fixed, so that all programs are measured in the same way."""

import json
import random
from collections.abc import Callable
from pathlib import Path

WORDS = 60_000
SECOND_BYTES = 20_000  # penalty for a CPU second
SUBJECTS = ("The model", "A warm-up", "Each layer", "The optimiser", "Nobody", "This search", "The last step")
VERBS = ("halves", "improves", "needs", "explains", "repeats", "measures", "forgets")
OBJECTS = ("the loss", "twice the memory", "its own noise", "a longer schedule", "every other token", "the baseline")


def text() -> bytes:
    """Return the same English-looking text every time."""
    rng = random.Random(0)
    words = 0
    sentences = []
    while words < WORDS:
        sentence = f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} {rng.choice(OBJECTS)} by {rng.randrange(1000)} %."
        words += len(sentence.split())
        sentences.append(sentence)
    return "\n".join(sentences).encode()


def report(packed: list[bytes], decompress: Callable[[bytes], bytes], seconds: float) -> None:
    """Check that nothing was lost, and write result.json: the score is compressed bytes and a penalty for time."""
    if b"".join(decompress(block) for block in packed) != text():
        raise SystemExit("decompressing does not give the text back")
    n_bytes = sum(len(block) for block in packed)
    figures = {"score": n_bytes + SECOND_BYTES * seconds, "bytes": n_bytes, "seconds": seconds}
    Path("result.json").write_text(json.dumps(figures))
