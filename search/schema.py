"""Types of the plain settings, so that a misspelt key or a word for a number is refused before anything starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from omegaconf import MISSING, DictConfig, OmegaConf, StringNode, open_dict

CONF: Final = Path(__file__).parents[1] / "conf"
"""The folder with the YAML files: used by its path, since a `conf.py` in the working directory hides the package."""


@dataclass
class Unset:
    """Limits that apply when none of the three of `Budget` is given.

    Attributes:
        trainings: Finished trainings.
        hours: Wall time.
    """

    trainings: int = MISSING
    hours: float = MISSING


@dataclass
class Budget:
    """Limits of a search; null means no limit of that kind.

    Attributes:
        trainings: Finished trainings; trial 0, confirmations and trainings stopped early included.
        hours: Wall time, over all sessions.
        usd: Price of all model calls.
        unset: Limits that apply if all three are null.
    """

    trainings: int | None = None
    hours: float | None = None
    usd: float | None = None
    unset: Unset = field(default_factory=Unset)


@dataclass
class FinalReport:
    """The final check after the budget of a search is used up.

    Attributes:
        seeds: Fresh seeds for the best and the baseline; 0 for none.
    """

    seeds: int = MISSING


@dataclass
class Agent:
    """The external command of `operator=agent`; see `operators.agent.operator.AgentOperator`."""

    command: str | None = None
    seconds: float = MISSING
    usd: float | None = None
    cost_file: str | None = None
    cost_pattern: str | None = None
    outage_minutes: float = MISSING
    environment: list[str] = MISSING


@dataclass
class Hooks:
    """Commands that run when something happens; see `search.hooks.HookSettings`."""

    on_keep: str | None = None
    on_verdict: str | None = None
    on_stop: str | None = None
    on_stuck: str | None = None
    seconds: float = MISSING


@dataclass
class Stuck:
    """When a search is stuck, and what follows; see `search.stuck.StuckSettings`."""

    trials: int | None = None
    action: str = MISSING


@dataclass
class Gates:
    """Largest figures of a program; see `search.gates.Gates`."""

    source_lines: float | None = None
    n_parameters: float | None = None
    peak_memory_gb: float | None = None
    command: str | None = None
    seconds: float = MISSING


@dataclass
class Config:
    """The configuration of a search; groups are checked by the constructors that they name."""

    name: str = MISSING
    outputs: str = MISSING
    seed: int = MISSING
    direction: str | None = None
    propose_ahead: int | None = None
    max_failures: int = MISSING
    storage: str | None = None
    takeover_seconds: float = MISSING
    budget: Budget = field(default_factory=Budget)
    final: FinalReport = field(default_factory=FinalReport)
    strategy: Any = MISSING
    operator: Any = MISSING
    extra_operators: dict[str, Any] = field(default_factory=dict)
    prompt: Any = MISSING
    prompts: Any = None
    agent: Agent = field(default_factory=Agent)
    llm: Any = MISSING
    acceptance: Any = MISSING
    pruning: Any = MISSING
    target: Any = MISSING
    executor: Any = MISSING
    tracker: Any = MISSING
    hooks: Hooks = field(default_factory=Hooks)
    gates: Gates = field(default_factory=Gates)
    stuck: Stuck = field(default_factory=Stuck)


def schema() -> DictConfig:
    """Return the types of a configuration: those of `Config`, and `from`, which cannot be the name of a field."""
    typed: DictConfig = OmegaConf.structured(Config)
    with open_dict(typed):
        typed["from"] = StringNode(None)
    return typed
