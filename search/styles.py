"""Several prompts in one search: each island has its own, or each proposal draws one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from operators.population import Population
from operators.trial import STYLE, Proposal
from search.errors import UserError
from search.strategies.base import Strategy, ask_again

if TYPE_CHECKING:
    from operators.prompts.prompt import Prompt


def compose_prompts(names: Any, overrides: Sequence[str]) -> dict[str, DictConfig]:
    """Return the configurations of several prompts by name, in order; the other settings hold for each of them.

    Hydra is ready to compose: within its `main`, or in a block of `initialize`.

    Args:
        names: Value of the setting `prompts`; None for one prompt only.
        overrides: The settings that were given.

    Raises:
        UserError: The value is no list of choices of the group `prompt`.
    """
    from hydra import compose
    from hydra.core.global_hydra import GlobalHydra

    if names is None:
        return {}
    listed = OmegaConf.to_container(names) if OmegaConf.is_list(names) else names
    if not isinstance(listed, list) or not listed:
        raise UserError(f"prompts must be a list of prompts, such as prompts=[explorer,simplifier], got {listed!r}")
    known = GlobalHydra.instance().config_loader().get_group_options("prompt")
    for name in listed:
        if name not in known:
            raise UserError(_unknown(name, known))
    if len(set(listed)) < len(listed):
        raise UserError(f"prompts must name each prompt once, got {', '.join(listed)}")
    others = [each for each in overrides if not each.startswith(("prompt=", "prompts="))]
    return {name: compose("config", [*others, f"prompt={name}"]).prompt for name in listed}


def _unknown(name: Any, known: Sequence[str]) -> str:
    from search.mistakes import nearest

    near = nearest(str(name), known)
    return f"prompts must be some of {', '.join(known)}, got {name!r}" + (f"; did you mean {near}?" if near else "")


def islands_of(strategy: Strategy) -> int | None:
    """Return the number of separate populations of a strategy; None if it has one."""
    return getattr(strategy, "islands", None)


def with_prompts(strategy: Strategy, prompts: Mapping[str, Prompt], *, islands: int | None) -> Strategy:
    """Return a strategy whose proposals name one of several prompts; the strategy itself if there are none.

    Args:
        strategy: The strategy.
        prompts: The prompts by name.
        islands: Number of islands; None for a strategy without them.

    Raises:
        UserError: There are more prompts than islands.
    """
    if islands is not None and len(prompts) > islands:
        raise UserError(
            f"prompts names {len(prompts)} prompts for {islands} islands: leave some out, or give "
            f"strategy.islands={len(prompts)}"
        )
    return WithPrompts(strategy, tuple(prompts)) if prompts else strategy


class WithPrompts:
    """Adds a prompt to the proposals of a strategy: that of their island, or else one that their seed draws.

    Islands have the prompts in turn, so that the first island has the first one.

    Args:
        strategy: Decides everything else.
        names: The prompts.
    """

    def __init__(self, strategy: Strategy, names: tuple[str, ...]) -> None:
        self._strategy = strategy
        self._names = names

    def ask(self, population: Population, rng: random.Random) -> Proposal:
        """Return the strategy's proposal with the name of a prompt."""
        return self._with_prompt(self._strategy.ask(population, rng))

    def ask_again(self, known: Proposal, population: Population, rng: random.Random) -> Proposal:
        """Return the proposal that would be made now in place of a known one; see `AskedAgain`."""
        return self._with_prompt(ask_again(self._strategy, known, population, rng))

    def _with_prompt(self, proposal: Proposal) -> Proposal:
        island = proposal.labels.get("island")
        drawn = random.Random(f"prompt {proposal.seed}").randrange(len(self._names)) if island is None else int(island)
        return replace(proposal, labels={**proposal.labels, STYLE: self._names[drawn % len(self._names)]})
