"""Operators: their protocol, and the ways they may fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from operators.chat import ChatModel
from operators.population import Population
from operators.trial import Attempt, Mutation, Proposal, Trial
from target.program import Program
from target.program.contract import TRAINED, Contract

if TYPE_CHECKING:
    from operators.prompts.prompt import Prompt


class Operator(Protocol):
    """Builds the next program. Calls may block, and may run side by side in threads."""

    @property
    def name(self) -> str:
        """Name, as recorded with every trial that it makes."""

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return a new program made from the parents of a proposal.

        All randomness derives from `proposal.seed`, so an interrupted proposal can be repeated.

        Raises:
            MutationError: No program was built; the trial is recorded as `not_built`.
            ProviderError: The provider does not work; the search stops and can be resumed.
        """


def needs_python(operator: Operator) -> bool:
    """Return whether an operator can change nothing but Python, which it says with an attribute of this name."""
    return bool(getattr(operator, "needs_python", False))


NOTHING_NEW: Final = "nothing new: "
"""How the reason of a trial begins whose operator found nothing that was not tried before."""


class MutationError(Exception):
    """The operator could not build a program from this proposal.

    Args:
        message: The reason, as feedback for the next attempt.
        attempt: What was spent on it; the trial keeps it.
    """

    def __init__(self, message: str, attempt: Attempt = Attempt()) -> None:  # noqa: B008 -- it is frozen
        super().__init__(message)
        self.attempt = attempt


class ExhaustedError(MutationError):
    """The parent leaves this operator nothing new to make, at no cost; another operator may find something.

    Args:
        message: Why.
        attempt: Which operator tried.
    """

    def __init__(self, message: str, attempt: Attempt = Attempt()) -> None:  # noqa: B008 -- it is frozen
        super().__init__(f"{NOTHING_NEW}{message.removeprefix(NOTHING_NEW)}", attempt)


class ProviderError(Exception):
    """The provider of mutations fails, for example with an outage or a wrong key. No trial is consumed."""


class ProviderRefusalError(ProviderError):
    """Waiting will not help: a wrong key, no such model, a request that it does not accept.

    Args:
        message: What was refused, and which setting to change.
        status: The HTTP status of the refusal; None if nothing was sent.
        said: The provider's message.
    """

    def __init__(self, message: str, *, status: int | None = None, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


def no_preflight(program: Program, population: Population) -> str:
    """Find nothing wrong with a program."""
    del program, population
    return ""


def no_ideas(population: Population) -> tuple[str, ...]:
    """Return nothing."""
    del population
    return ()


class NoModelError(ValueError):
    """An operator needs a language model, and none is configured."""


def ignore(line: str) -> None:
    """Ignore a line."""


def _pass() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a search provides to operators that ask for it.

    Attributes:
        lend: Returns the language model, or None if none is configured. An operator that calls it, through `model`, is
            going to ask that model, so the search tries the model out before it begins.
        direction: The file with the human's direction, `program.md`; read it at every proposal.
        limits: The limits of a trial, as sentences for a prompt.
        contract: The rules for a program.
        preflight: Checks a program without training it, by what is known of all trials, for operators that make more
            programs than they give: returns why it cannot train; empty if nothing is wrong. It blocks.
        ideas: Returns the user's ideas for the proposal that was made last: sentences for the prompt.
        remark: Takes one line that the user should read before the search begins.
        say: Takes one line that the user should read while the search runs.
        prompts: Prompts by name, for proposals that name one.
        seed_program: The program that a new search begins with, for which prompts must have room; None if the search
            has programs already.
        slow: Is called by an operator that takes a noticeable part of a training for a program, as an agent does: its
            programs are made while slots train. An operator that takes the model need not call it.
        sleep: Waits for a number of seconds, but no longer than the search; then it raises `ProviderError`.
    """

    lend: Callable[[], ChatModel | None]
    direction: Path
    limits: tuple[str, ...]
    contract: Contract = TRAINED
    preflight: Callable[[Program, Population], str] = no_preflight
    ideas: Callable[[Population], tuple[str, ...]] = no_ideas
    remark: Callable[[str], None] = ignore
    say: Callable[[str], None] = ignore
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    seed_program: Program | None = None
    slow: Callable[[], None] = _pass
    sleep: Callable[[float], None] = time.sleep

    @property
    def model(self) -> ChatModel | None:
        """The language model; None if none is configured."""
        return self.lend()

    def prompt_for(self, proposal: Proposal, usual: Prompt) -> Prompt:
        """Return the prompt that a proposal names, or else the usual one of the operator."""
        return self.prompts.get(proposal.style, usual)


MakeOperator = Callable[..., Operator]
"""An operator that still needs `resources`: Hydra builds it from a node with `_partial_: true`."""


def equip(made: Operator | MakeOperator, resources: Resources) -> Operator:
    """Return an operator ready for work; give it the resources of the search if it needs them."""
    return made(resources=resources) if callable(made) else made


def parent_of(proposal: Proposal, population: Population) -> Trial:
    """Return the first parent of a proposal.

    Raises:
        MutationError: It has no program.
    """
    parent = population.trials[proposal.parents[0]]
    if parent.program is None:
        raise MutationError(f"parent {parent.number} has no program")
    return parent


def parent_program(proposal: Proposal, population: Population) -> Program:
    """Return the program of the first parent of a proposal; errors as in `parent_of`."""
    program = parent_of(proposal, population).program
    assert program is not None
    return program
