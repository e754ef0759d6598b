"""Targets whose programs are trained and scored here: `target=tiny`, `target=gpu`, and others without a `_target_`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from target.base import MakeExecutor
from target.corpus import CorpusFiles, prepare_corpus
from target.device import Card, describe, find_cards, record_cards
from target.executor import Executor
from target.program import Program
from target.program.contract import TRAINED, Contract
from target.sandbox import isolation_warning
from target.spec import TargetSpec


class TrainedKind:
    """The kind of target that is trained here, and scored by `target.scoring`.

    Args:
        spec: Its settings.
        corpus: The text; None to prepare what the settings name.
    """

    evaluator = "target.evaluator"

    def __init__(self, spec: TargetSpec, *, corpus: CorpusFiles | None = None) -> None:
        self.spec = spec
        self._corpus = corpus

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where programs are trained."""
        return self.spec.device

    @property
    def threads(self) -> int:
        """CPU threads of one training."""
        return self.spec.threads

    def cards(self) -> tuple[Card, ...]:
        """Return the GPUs that torch sees; none for a target on a CPU.

        Raises:
            TargetError: It trains on a GPU, and there is none.
        """
        return find_cards(self.spec.name) if self.device == "cuda" else ()

    def with_threads(self, threads: int) -> Self:
        """Return the same target with another number of CPU threads."""
        return type(self)(dataclasses.replace(self.spec, threads=threads), corpus=self._corpus)

    def describe(self, scratch: Path) -> dict[str, Any]:
        """Prepare the corpus, and return it with the settings as plain JSON types; `scratch` is not used."""
        del scratch
        corpus = self._corpus or prepare_corpus(self.spec.corpus)
        return {"spec": self.spec.to_json(), "corpus": corpus.to_json()}

    def data_hashes(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return the hash of the text."""
        return {"the text": settings["corpus"]["hash"]}


class TrainedTarget:
    """A target whose programs are trained.

    Args:
        spec: Its settings; on a small GPU, smaller ones replace them when the target is used.
    """

    def __init__(self, spec: TargetSpec) -> None:
        self._spec = spec
        self._slots: int | None = None

    @property
    def limits(self) -> tuple[str, ...]:
        """Limits of a training, as sentences for the author of a program."""
        return self._spec.limits

    @property
    def kind(self) -> TrainedKind:
        """What an executor runs, before it is fitted to a GPU."""
        return TrainedKind(self._spec)

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
        """One on a GPU: proposing and pre-flight use the CPU, so the next training can begin at once."""
        return int(self._spec.device == "cuda")

    @property
    def curve_seconds(self) -> float:
        """The limit of a training: `prepare.report` has the same clock."""
        return self._spec.limit_seconds

    def seed_program(self) -> Program:
        """Return the program that a search begins with."""
        return self._fitted.seed_program()

    def make_executor(self, make: MakeExecutor) -> Executor:
        """Return the configured executor."""
        executor = make(TrainedKind(self._fitted))
        self._slots = executor.slots
        return executor

    def prepare(self, say: Callable[[str], None]) -> Mapping[str, Any]:
        """Prepare the corpus, and warn of layers of isolation that are missing."""
        if warning := isolation_warning(self._spec.sandbox):
            say(f"warning: {warning}")
        if self._cards:
            say(f"device: {describe(self._spec, self._cards, slots=self._slots)[1]}")
        if (path := self._spec.program) and (remark := self._fitted.constants_text(path, self.seed_program())):
            say(remark)
        say("preparing the corpus")
        corpus = self._spec.corpus
        files = prepare_corpus(corpus)
        described = {"name": corpus.name, "vocab_size": corpus.vocab_size, "hash": files.hash}
        return {"kind": self._spec.device, **record_cards(self._cards[: self._slots]), "corpus": described}

    @functools.cached_property
    def _cards(self) -> tuple[Card, ...]:
        # only when needed: the results of a GPU search are also read on machines without a GPU
        if self._spec.card_gb is not None:
            return (Card(name="a GPU of the cluster", memory_bytes=int(self._spec.card_gb * 1e9)),)
        return self.kind.cards()

    @property
    def _fitted(self) -> TargetSpec:
        return describe(self._spec, self._cards)[0] if self._cards else self._spec
