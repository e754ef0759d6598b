"""Finds sizes that must divide others, such as heads the width: they change by doublings, which keep them divisors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from target.program.inferred import words_of

_WIDTHS: Final = frozenset({"EMBD", "EMBED", "EMBEDDING", "MODEL", "HIDDEN", "WIDTH", "DIM", "CHANNELS"})
_NO_WIDTHS: Final = frozenset({"HEAD", "HEADS", "FF", "FFN", "MLP", "INNER", "LAYERS", "LAYER", "DEPTH", "VOCAB"})
_IMAGES: Final = frozenset({"IMG", "IMAGE", "CROP", "PATCH", "RESOLUTION"})
_SIZES: Final = frozenset({"DIM", "SIZE", "WIDTH", "HEIGHT", "RESOLUTION", "RES"})


def doubling_names(values: Mapping[str, int]) -> set[str]:
    """Return the integers that change by doublings because of what they divide or are divided by.

    These are the number of heads and the widths that it divides, unless the size of a head is a constant; the size of a
    head, or of an image, that is even; and two sizes of batches of which one divides the other.

    Args:
        values: The integers of a program by name, all positive.
    """
    words = {name: words_of(name) for name in values}
    head_sizes = {name for name, some in words.items() if some & {"HEAD", "HEADS"} and some & {"DIM", "SIZE"}}
    found = {name for name in head_sizes if values[name] % 2 == 0}
    found |= {name for name, some in words.items() if some & _IMAGES and some & _SIZES and values[name] % 8 == 0}
    batches = [name for name, some in words.items() if some & {"BATCH", "MINIBATCH", "MINIBATCHES"}]
    pairs = [(small, large) for small in batches for large in batches if 1 < values[small] < values[large]]
    if not head_sizes:
        heads = [name for name, some in words.items() if some & {"HEAD", "HEADS"} and values[name] > 1]
        widths = [name for name, some in words.items() if some & _WIDTHS and not some & _NO_WIDTHS]
        pairs += [(head, width) for head in heads for width in widths if values[head] < values[width]]
        pairs += [(small, large) for small in heads for large in heads if values[small] < values[large]]
    return found.union(*({small, large} for small, large in pairs if values[large] % values[small] == 0))
