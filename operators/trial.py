"""Proposal -> Mutation -> Evaluations: the record of one trial.

It belongs to the operators, a layer below the search, because operators read the history too.
"""

from __future__ import annotations

import enum
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from operators.chat import Exchange
from target.evaluation import Evaluation, Outcome
from target.program import Program
from target.stopping import FailedCheck

Label = int | float | str

IMPORTED = "imported"
"""Label of a trial from another search: its commit or trial there, as in `mar8#7`."""


STUCK = "stuck"
"""Label of a proposal that was widened: the number of verdicts without a keep when it was made."""


STYLE = "prompt"
"""Label of a proposal in a search with several prompts: the name of its prompt."""


UNVERIFIED = "[unverified]"
"""Mark shown before the description of a trial with an unchecked score."""


class Status(enum.StrEnum):
    """The state of a trial; the `status` column of results.tsv."""

    PENDING = "pending"
    BASELINE = "baseline"  # trial 0, the seed program
    KEEP = "keep"  # became the champion
    DISCARD = "discard"  # scored, but not better
    PRUNED = "pruned"  # its training was stopped, because its loss was clearly too high
    CRASHED = "crashed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    NOT_BUILT = "not_built"
    REJECTED = "rejected"
    UNMEASURED = "unmeasured"  # tried by an earlier search, whose scores are not comparable with this one's


SCORED = frozenset({Status.BASELINE, Status.KEEP, Status.DISCARD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A strategy's decision about the next trial.

    Attributes:
        parents: Numbers of the trials whose programs are mutated; empty only for the seed program.
        seed: Seed of the operator's randomness.
        operator: Operator that the strategy requires; None for the configured one.
        companions: Trials, best first, that the operator may use in addition to the parents, as inspirations of a
            prompt or partners of a crossover; None for all trials of the search.
        model: The language model to ask if there are several; None if there is only one.
        labels: Data that the strategy stores with its trials, such as a generation or an island.
    """

    parents: tuple[int, ...]
    seed: int
    operator: str | None = None
    companions: tuple[int, ...] | None = None
    model: str | None = None
    labels: Mapping[str, Label] = field(default_factory=dict)

    @property
    def stuck(self) -> int:
        """Verdicts without a keep when it was made, if it is to look further than usual; 0 for all other proposals."""
        return int(self.labels.get(STUCK, 0))

    @property
    def style(self) -> str:
        """Name of its prompt in a search with several; empty in a search with one."""
        return str(self.labels.get(STYLE, ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An operator's attempt to make a program, whether it succeeded or failed.

    Attributes:
        operator: Name of the operator; empty if it is the operator that was called.
        cost_usd: Price of its model calls.
        exchanges: The requests to models and their replies, in order.
        prompt: Name and hash of the first prompt, as in `default@1a2b3c4d`; empty without a model.
        extra_parents: Trials whose programs the operator chose to use, in addition to the parents of the proposal.
    """

    operator: str = ""
    cost_usd: float = 0.0
    exchanges: tuple[Exchange, ...] = ()
    prompt: str = ""
    extra_parents: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation(Attempt):
    """An attempt that made a new program.

    Attributes:
        program: The program.
        description: The change, in one line.
        rationale: The reason, in the operator's words.
        spares: Other programs made for this proposal, which are left out: they are not trained, and not proposed again.
    """

    operator: str
    program: Program
    description: str
    rationale: str = ""
    spares: tuple[Program, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """What a trial was before its edit was made to another parent.

    Attributes:
        parents: The parents that the strategy named.
        program: The program that the operator made.
    """

    parents: tuple[int, ...]
    program: Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One proposal and its results.

    Attributes:
        number: Index of the trial, from 0; 0 is the seed program.
        proposal: The proposal.
        mutation: The program; None until it is built, and for ever if that fails.
        evaluations: Its trainings, in order of completion; more than one if it had to be confirmed.
        status: Its state.
        decided: Rank of its verdict among all verdicts; None while pending.
        detail: Why it failed or was discarded, for people and models.
        tie: Whether a tie decided about it (`acceptance.prefer`); its status says who won.
        failure: Its operator's attempt, if it produced no program.
        original: What it was before its edit was made to another parent, a newer champion; None if this did not happen.
            `proposal` and `mutation` have the new parent and the new program.
        known_verdicts: Number of verdicts when it was proposed; None if this was not recorded.
        begun_verdicts: Number of verdicts when its first training began; None if it was not recorded, or not trained.
    """

    number: int
    proposal: Proposal
    mutation: Mutation | None = None
    evaluations: tuple[Evaluation, ...] = ()
    status: Status = Status.PENDING
    decided: int | None = None
    detail: str = ""
    tie: bool = False
    failure: Attempt | None = None
    original: Original | None = None
    known_verdicts: int | None = None
    begun_verdicts: int | None = None

    def __post_init__(self) -> None:
        if (self.decided is None) != (self.status is Status.PENDING):
            raise ValueError(
                f"trial {self.number}: decided must be None exactly while pending, got decided={self.decided} "
                f"with status={self.status.value!r}"
            )

    @property
    def program(self) -> Program | None:
        """The program; None if it has not been built."""
        return self.mutation.program if self.mutation else None

    @property
    def as_proposed(self) -> Proposal:
        """The proposal as the strategy made it and the operator got it."""
        return replace(self.proposal, parents=self.original.parents) if self.original else self.proposal

    @property
    def staleness(self) -> int | None:
        """Verdicts that came between its proposal and its first training; None if it is not known."""
        if self.known_verdicts is None or self.begun_verdicts is None:
            return None
        return self.begun_verdicts - self.known_verdicts

    @property
    def scored(self) -> bool:
        """Whether it has a verdict and a valid score."""
        return self.status in SCORED

    @property
    def score(self) -> float | None:
        """Mean score of its successful trainings, lower is better; None without a valid score."""
        return statistics.fmean(self.values.values()) if self.scored else None

    @property
    def values(self) -> dict[int, float]:
        """Measured score by training seed."""
        return {run.seed: run.score for run in self.evaluations if run.score is not None}

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while pending."""
        if self.status is Status.PENDING:
            return None
        return Outcome.OK if self.scored else Outcome(self.status.value)

    @property
    def trainings(self) -> int:
        """Finished trainings that count against the budget; one that was killed and repeated counts twice."""
        return sum(run.tries for run in self.evaluations if run.trained)

    @property
    def failed_check(self) -> FailedCheck | None:
        """The check that its first training failed; None if it failed none."""
        return self.evaluations[0].failed_check if self.evaluations else None

    @property
    def device_seconds(self) -> float:
        """Device time of its trainings and scorings in this search, by the clock of the target."""
        return sum(run.train_seconds + run.score_seconds for run in self.evaluations if run.trained)

    @property
    def cost_usd(self) -> float:
        """Cost of its model calls."""
        return self._made.cost_usd if self._made else 0.0

    @property
    def operator(self) -> str:
        """Name of the operator that made it or failed to, or else of the proposed one; empty if not known."""
        return self._made.operator if self._made else self.proposal.operator or ""

    @property
    def prompt(self) -> str:
        """Name and hash of the prompt; empty without a model."""
        return self._made.prompt if self._made else ""

    @property
    def extra_parents(self) -> tuple[int, ...]:
        """Trials whose programs the operator used, in addition to the parents of the proposal."""
        return self._made.extra_parents if self._made else ()

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The requests to models about it and their replies, in order."""
        return self._made.exchanges if self._made else ()

    @property
    def _made(self) -> Attempt | None:
        return self.mutation or self.failure

    @property
    def imported(self) -> bool:
        """Whether another search made it."""
        return IMPORTED in self.proposal.labels

    @property
    def origin(self) -> str:
        """Its trial in an earlier search, as in `mar8#7`; empty for all other trials, including imported commits."""
        label = str(self.proposal.labels.get(IMPORTED, ""))
        return label if "#" in label else ""

    @property
    def verified(self) -> bool:
        """Whether all its scores were computed by a process that runs no code of the program."""
        return all(run.verified for run in self.evaluations)

    @property
    def marks(self) -> str:
        """Marks shown before its description: that its score is unchecked, and which search it is from."""
        return " ".join(filter(None, ("" if self.verified else UNVERIFIED, self.origin and f"[from {self.origin}]")))

    def measurement(self, seed: int) -> Evaluation | None:
        """Return the evaluation with a training seed, if there is one."""
        return next((run for run in self.evaluations if run.seed == seed), None)
