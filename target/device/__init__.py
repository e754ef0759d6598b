"""The devices of trainings: which GPU and how many CPU threads each training has, and how many run side by side.

Lives here: the GPUs as the environment and torch name them, the cores, and the allotment of both to trainings.
May be used by: targets, executors and the doctor. A child of `inside` takes only the variables that hide the GPUs.
Trusts: what the driver and the kernel report. It starts no candidate code.
"""

from target.device.allotment import allot, describe, find_card, fit, name_cards, record_cards
from target.device.cards import Card, ListedCard, find_cards

__all__ = [
    "Card",
    "ListedCard",
    "allot",
    "describe",
    "find_card",
    "find_cards",
    "fit",
    "name_cards",
    "record_cards",
]
