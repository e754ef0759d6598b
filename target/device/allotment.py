"""Decides for all trainings which GPU and how many CPU threads each has, and how many run side by side.

With a wall clock, two trainings on one GPU get about half the steps each. So each training has a separate GPU. On a CPU
the clock counts CPU seconds, and by default each thread of a training has a physical core.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from target.device.cards import Card, ListedCard, environment_of, find_cards
from target.device.cores import usable_cores
from target.errors import TargetError
from target.spec import TargetSpec

if TYPE_CHECKING:  # it names the cards of this room
    from target.kind import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Allotment:
    """The resources of trainings side by side.

    Attributes:
        slots: Number of trainings side by side.
        threads: CPU threads of each.
        cards: The GPU of each; empty on a CPU, or if a command's target finds none.
    """

    slots: int
    threads: int
    cards: tuple[Card | ListedCard, ...] = ()

    def environment(self, slot: int) -> dict[str, str]:
        """Return the variables that make a slot's processes see only their own GPU."""
        return environment_of(self.cards[slot]) if self.cards else {}


def allot(kind: Kind, workers: int | None, *, setting: str = "executor.workers") -> Allotment:
    """Divide this machine among trainings.

    Args:
        kind: The kind of target, such as a `target.kind.Kind`.
        workers: Number of trainings side by side; None for one per GPU, or on a CPU for as many as there are physical
            cores for their threads.
        setting: The user's name of this number, for messages.

    Raises:
        TargetError: There are fewer GPUs than workers, or none for a target that trains on one.
    """
    if workers is not None and workers < 1:
        raise TargetError(f"{setting} must be at least 1, got {workers}; leave it out for what fits this machine")
    cards = tuple(kind.cards())
    if cards and workers is not None and workers > len(cards):
        raise TargetError(
            f"{setting} must be at most the number of GPUs, {len(cards)}, got {workers}: two trainings on one GPU get "
            f"about half the steps each, so their scores could not be compared; give {len(cards)}, or leave {setting} "
            "out for one on each GPU"
        )
    cores = usable_cores()
    fitting = max(1, len(cards)) if kind.device == "cuda" else max(1, cores // kind.threads)
    slots = fitting if workers is None else workers
    return Allotment(slots=slots, threads=max(1, min(kind.threads, cores // slots)), cards=cards[:slots])


def find_card(target: str) -> Card:
    """Return the first GPU that torch can use.

    Args:
        target: Name of the target that needs it, for the message.

    Raises:
        TargetError: There is none.
    """
    return find_cards(target)[0]


def fit(spec: TargetSpec, slots: int | None = None) -> tuple[TargetSpec, str | None]:
    """Return the target fitted to this machine, and a message for the user.

    All GPUs count, also those that no training uses: a search keeps its settings when it resumes with fewer workers.

    Args:
        spec: The target.
        slots: Trainings side by side; None if that is not known yet.

    Raises:
        TargetError: It needs a GPU, and there is none.
    """
    if spec.device != "cuda":
        return spec, None
    return describe(spec, find_cards(spec.name), slots=slots)


def describe(spec: TargetSpec, cards: Sequence[Card], *, slots: int | None = None) -> tuple[TargetSpec, str]:
    """Return the target fitted to the smallest of some GPUs, and a sentence about them."""
    fitted = spec.fitted(min(card.memory_bytes for card in cards))
    sentence = name_cards(cards, slots=slots)
    changes = [f"{name}={value}" for name, value in fitted.constants.items() if spec.constants.get(name) != value]
    if fitted.scoring != spec.scoring:
        changes.append(f"scoring.batch_rows={fitted.scoring.batch_rows}")
    if changes:
        sentence += f": for {'the smallest' if _differ(cards) else 'its'} memory {', '.join(changes)}"
    if _differ(cards):
        sentence += (
            "; the GPUs differ, and so will the steps of equal trainings: name equal ones in CUDA_VISIBLE_DEVICES"
        )
    return fitted, sentence


def name_cards(cards: Sequence[Card | ListedCard], *, slots: int | None = None) -> str:
    """Return a phrase about some GPUs: `2 x NVIDIA H100 80GB HBM3, 85 GB each, one training at a time on each`.

    Args:
        cards: The GPUs.
        slots: Trainings side by side; None if that is not known.
    """
    phrases = []
    for kind, count in Counter(map(_kind, cards)).items():
        each = " each" if count > 1 and len(kind) > 1 else ""
        phrases.append(f"{f'{count} x ' if count > 1 else ''}{', '.join(kind)}{each}")
    phrase = " and ".join(phrases)
    if slots is None or len(cards) == 1:
        return phrase
    if slots >= len(cards):
        return f"{phrase}, one training at a time on each"
    return f"{phrase}, one training at a time on {'the first' if slots == 1 else f'each of the first {slots}'}"


def record_cards(cards: Sequence[Card | ListedCard]) -> dict[str, Any]:
    """Return the entry of environment.json for the GPUs in use, as plain JSON types; empty if there are none."""
    return {"cards": [asdict(card) for card in cards]} if cards else {}


def _kind(card: Card | ListedCard) -> tuple[str, ...]:
    """Return what identifies equal GPUs: the memory of two GPUs of one model differs by some bytes."""
    return (card.name, f"{card.memory_bytes / 1e9:.0f} GB") if isinstance(card, Card) else (card.name,)


def _differ(cards: Sequence[Card]) -> bool:
    return len({_kind(card) for card in cards}) > 1
