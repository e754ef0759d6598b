"""The device of a target on this machine: found, or refused in one sentence; small cards get small settings."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from target.errors import TargetError
from target.spec import TargetSpec

_ASK_SECONDS: Final = 120
# torch is asked in a process of its own: it sees what the trainings will see (CUDA_VISIBLE_DEVICES, ROCm, a driver that
# is too old), and a search need not import it
_QUESTION: Final = """
import json, torch
if torch.cuda.is_available():
    found = torch.cuda.get_device_properties(0)
    print(json.dumps({"name": found.name, "memory_bytes": found.total_memory}))
else:
    print(json.dumps({"torch": torch.__version__}))
"""


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU.

    Attributes:
        name: As its driver calls it.
        memory_bytes: All of its memory.
    """

    name: str
    memory_bytes: int


def find_card(target: str) -> Card:
    """Return the GPU that torch uses.

    Args:
        target: Name of the target that needs it, for the message.

    Raises:
        TargetError: There is none.
    """
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _QUESTION], capture_output=True, text=True, timeout=_ASK_SECONDS, check=True
        )
        answer = json.loads(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise TargetError(f"target {target} needs a GPU, and torch could not be asked for one: {error}") from error
    if "torch" in answer:
        raise TargetError(
            f"target {target} needs a GPU, and torch {answer['torch']} finds none; "
            "look at nvidia-smi, install a CUDA build of torch, or use target=tiny"
        )
    return Card(**answer)


def fit(spec: TargetSpec) -> tuple[TargetSpec, str | None]:
    """Return the target as it fits this machine, and what to tell the user about it.

    Raises:
        TargetError: It needs a GPU, and there is none.
    """
    if spec.device != "cuda":
        return spec, None
    card = find_card(spec.name)
    return describe(spec, card)


def describe(spec: TargetSpec, card: Card) -> tuple[TargetSpec, str]:
    """Return the target as it fits a card, and a sentence about it."""
    fitted = spec.fitted(card.memory_bytes)
    sentence = f"{card.name}, {card.memory_bytes / 1e9:.0f} GB"
    changes = [f"{name}={value}" for name, value in fitted.constants.items() if spec.constants.get(name) != value]
    if fitted.scoring != spec.scoring:
        changes.append(f"scoring.batch_rows={fitted.scoring.batch_rows}")
    return fitted, sentence + (f": for its memory {', '.join(changes)}" if changes else "")
