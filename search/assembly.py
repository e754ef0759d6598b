"""Makes the session of a search from its configuration, and from objects that stand in for parts of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from omegaconf import DictConfig

from operators.base import MakeOperator, Operator, Resources
from operators.rest import Rest
from search.acceptance import Acceptance
from search.ahead import Pace, ahead_per_slot
from search.baseline import require_valid
from search.changes import origins_of
from search.composed import OBJECT, make_target
from search.construct import (
    Composed,
    equipped,
    instantiate,
    make_budget,
    make_models,
    make_operator,
    plain_config,
    require,
)
from search.direction import find_direction
from search.gates import Gates
from search.hooks import HookSettings
from search.models import Models
from search.named import EXECUTOR, TRACKER
from search.names import folder_of
from search.preflight import Preflight
from search.secrets import refuse_secrets
from search.session import Session
from search.settings import Settings
from search.shared.joining import make_share
from search.steering.requests import Requests
from search.strategies.base import Strategy
from search.stuck import StuckSettings
from search.styles import islands_of, with_prompts
from search.ties import require_figure, sentences
from search.tracker import Tracker
from target.base import Target
from target.executor import Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Objects in place of what the configuration names; None for what it names.

    Attributes:
        strategy: Decides what to mutate.
        operator: Mutates; or a function of `resources` that makes such an operator.
        target: What is searched, and how it is scored.
        acceptance: Decides which candidate becomes the champion.
    """

    strategy: Strategy | None = None
    operator: Operator | MakeOperator | None = None
    target: Target | None = None
    acceptance: Acceptance | None = None

    def recorded(self) -> dict[str, dict[str, str]]:
        """Return what the configuration of the search records in place of its own settings."""
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: _recorded(part) for name, part in given.items() if part is not None}


def _recorded(part: object) -> dict[str, str]:
    """Return the class of an object, and how it shows its settings if it does: a resumed search must have the same."""
    made_by_call = callable(part) and hasattr(part, "__qualname__")  # a function or class that makes an operator
    kind: Any = part if made_by_call else type(part)
    shown = "" if made_by_call or type(part).__repr__ is object.__repr__ else repr(part)
    settings = {"settings": shown} if shown and " at 0x" not in shown else {}  # an address differs in each process
    return {OBJECT: f"{kind.__module__}.{kind.__qualname__}", **settings}


def make_session(
    composed: Composed, *, name: str, arguments: Sequence[str] | None, parts: Parts, quiet: bool = False
) -> Session:
    """Return the session of a search.

    Args:
        composed: Its configuration.
        name: Its name.
        arguments: Those of `python -m search` that start or resume it alone; None if there are none, because it has
            objects of its own.
        parts: Objects in place of what the configuration names.
        quiet: Print nothing.

    Raises:
        UserError: A setting does not fit.
        TargetError: Likewise.
    """
    config, recorded = composed.config, parts.recorded()
    plain = plain_config(config)
    plain |= recorded
    refuse_secrets(plain)
    target = parts.target or make_target(plain["target"])
    require(target, Target, "target")
    run = folder_of(config.outputs, name)
    seed_program = target.seed_program()
    is_new = not run.journal.exists() and plain["from"] is None
    if is_new:
        require_valid(seed_program, target.contract)
    budget = make_budget(config.budget)
    models = make_models(config.llm, run)
    models.check(budget)
    preflight, pace, rest = Preflight(), Pace(), Rest()
    models.wait_by(rest.sleep)
    remarks: list[str] = []
    gates = Gates(**plain["gates"])
    acceptance = parts.acceptance or instantiate(config.acceptance, "acceptance")
    require(acceptance, Acceptance, "acceptance")
    require_figure(plain["acceptance"], trains=target.kind is not None)
    prompts = {name: instantiate(node, f"prompts.{name}") for name, node in composed.prompts.items()}
    resources = Resources(
        lend=models.lender(run),
        direction=find_direction(config.direction or target.direction),
        limits=(*target.limits, *gates.sentences, *sentences(plain["acceptance"])),
        contract=target.contract,
        preflight=preflight,
        ideas=Requests(run).ideas_for,
        remark=remarks.append,
        say=lambda line: models.say(line),  # `say` is set later
        prompts=prompts,
        slow=pace.slow,
        sleep=rest.sleep,
        seed_program=seed_program if is_new else None,
    )
    stuck = StuckSettings(**plain["stuck"])
    strategy = parts.strategy or instantiate(config.strategy, "strategy")
    require(strategy, Strategy, "strategy")
    settings = Settings(
        name=name,
        strategy_name=type(parts.strategy).__name__ if parts.strategy else composed.choices["strategy"],
        seed=config.seed,
        seed_program=seed_program,
        strategy=models.strategy(with_prompts(stuck.strategy(strategy), prompts, islands=islands_of(strategy))),
        operator=models.operator(_operator(parts, config, resources)),
        extra_operators=_extra_operators(config, models, resources),
        acceptance=acceptance,
        budget=budget,
        propose_ahead=config.propose_ahead,
        ahead_per_slot=ahead_per_slot(target, slow_operator=pace.is_slow or models.asked),
        pruning=instantiate(config.pruning, "pruning"),
        curve_seconds=target.curve_seconds,
        gates=gates,
        seed_variable=target.contract.seed_variable,
        max_failures=config.max_failures,
        rest=rest,
    )
    return Session(
        settings=settings,
        run=run,
        target=target,
        make_executor=_checked(instantiate(config.executor, "executor", passed=EXECUTOR), Executor, "executor"),
        make_tracker=_checked(instantiate(config.tracker, "tracker", passed=TRACKER), Tracker, "tracker"),
        config=plain,
        overrides=composed.overrides,
        arguments=None if recorded or arguments is None else tuple(arguments),
        models=models,
        final_seeds=config.final.seeds,
        preflight=preflight,
        prompt_tokens=composed.prompt_tokens,
        remarks=(*remarks, *filter(None, [stuck.remark(strategy)])),
        hooks=HookSettings(**plain["hooks"]),
        stuck=stuck,
        quiet=quiet,
        share=make_share(config.storage, config.takeover_seconds),
        origins=origins_of(composed),
    )


def _checked(make: Callable[..., Any], protocol: type, group: str) -> Callable[..., Any]:
    """Return a function that makes a part of the search, and refuses what is none."""

    def checked(*args: Any, **settings: Any) -> Any:
        made = make(*args, **settings)
        require(made, protocol, group)
        return made

    return checked


def _operator(parts: Parts, config: DictConfig, resources: Resources) -> Operator:
    if parts.operator is None:
        return make_operator(config.operator, "operator", resources)
    return equipped(parts.operator, "operator", resources)


def _extra_operators(config: DictConfig, models: Models, resources: Resources) -> dict[str, Operator]:
    return {
        str(name): models.operator(make_operator(node, f"extra_operators.{name}", resources))
        for name, node in config.extra_operators.items()
    }
