"""What a search needs of its target: a program to begin with, and somebody who evaluates others."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from target.command.spec import CommandSpec
from target.device import Card, describe, find_cards, record_cards
from target.executor import Executor
from target.program import Program
from target.program.contract import TRAINED, Contract
from target.sandbox import isolation_warning
from target.spec import TargetSpec

MakeExecutor = Callable[[TargetSpec | CommandSpec], Executor]
"""Makes an executor that really trains, not started yet: what `conf/executor` configures."""


class Target(Protocol):
    """What is searched, and how it is scored. A YAML file in `conf/target` with a `_target_` brings its own."""

    @property
    def limits(self) -> tuple[str, ...]:
        """What a training may take, as sentences for whoever writes programs."""

    @property
    def contract(self) -> Contract:
        """What a program must be."""

    @property
    def direction(self) -> Path | None:
        """The human's direction that comes with the target; None if there is none."""

    @property
    def ahead_per_slot(self) -> int:
        """Programs to propose and pre-flight for each slot while it trains, unless `propose_ahead` says otherwise.

        A program made ahead is made without the result of the training beside it. That pays where proposing and
        pre-flight would keep an expensive device waiting.
        """

    def seed_program(self) -> Program:
        """Return the program that a search begins with; raises `TargetError` if there is none."""

    def make_executor(self, make: MakeExecutor) -> Executor:
        """Return who evaluates, not started yet.

        Args:
            make: Makes the configured executor, for targets that train.
        """

    def prepare(self, say: Callable[[str], None]) -> Mapping[str, Any]:
        """Get ready, and return what environment.json shall say of the target.

        Args:
            say: Tells people what takes long, and what they should know.
        """


class TrainedTarget:
    """A target whose programs are really trained.

    Args:
        spec: Its settings; a small GPU gets smaller ones when it is used.
    """

    def __init__(self, spec: TargetSpec) -> None:
        self._spec = spec
        self._slots: int | None = None

    @property
    def limits(self) -> tuple[str, ...]:
        """What a training may take, as sentences for whoever writes programs."""
        return self._spec.limits

    @property
    def contract(self) -> Contract:
        """What a program must be."""
        return TRAINED

    @property
    def direction(self) -> Path | None:
        """None: the project's own program.md."""
        return None

    @property
    def ahead_per_slot(self) -> int:
        """One where a GPU trains: proposing and pre-flight use the CPU, and the next training can begin at once."""
        return int(self._spec.device == "cuda")

    def seed_program(self) -> Program:
        """Return the program that a search begins with."""
        return self._fitted.seed_program()

    def make_executor(self, make: MakeExecutor) -> Executor:
        """Return the configured executor."""
        executor = make(self._fitted)
        self._slots = executor.slots
        return executor

    def prepare(self, say: Callable[[str], None]) -> Mapping[str, Any]:
        """Prepare the corpus, and warn of layers of isolation that are missing."""
        from target.corpus import prepare_corpus

        if warning := isolation_warning(self._spec.sandbox):
            say(f"warning: {warning}")
        if self._cards:
            say(f"device: {describe(self._spec, self._cards, slots=self._slots)[1]}")
        say("preparing the corpus")
        corpus = self._spec.corpus
        files = prepare_corpus(corpus)
        described = {"name": corpus.name, "vocab_size": corpus.vocab_size, "hash": files.hash}
        return {"kind": self._spec.device, **record_cards(self._cards[: self._slots]), "corpus": described}

    @functools.cached_property
    def _cards(self) -> tuple[Card, ...]:
        # not before it is needed: a search of a GPU is read on machines without one
        return find_cards(self._spec.name) if self._spec.device == "cuda" else ()

    @property
    def _fitted(self) -> TargetSpec:
        return describe(self._spec, self._cards)[0] if self._cards else self._spec
