"""One session of a search: opens its folder, checks that it still is the same search, drives the loop."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

import yaml

from search.environment import describe_environment
from search.errors import UserError
from search.ledger import Ledger
from search.lock import locked
from search.loop import Search
from search.rundir import RunDirectory, write_atomically
from search.settings import Settings
from search.summary import Summary
from search.watch import MakeTracker, Watch
from target.base import MakeExecutor, Target

MAY_CHANGE: Final = ("budget", "executor", "max_failures", "name", "outputs", "propose_ahead", "tracker")
"""Keys that do not decide what is searched, so that a resumed search may have others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Everything that the configuration decides.

    Attributes:
        settings: The search.
        run: Its folder.
        target: Its target.
        make_executor: Makes the executor for a target that really trains.
        make_tracker: Makes the tracker.
        config: The composed configuration, as plain types.
        overrides: The command line's part of it.
    """

    settings: Settings
    run: RunDirectory
    target: Target
    make_executor: MakeExecutor
    make_tracker: MakeTracker
    config: Mapping[str, Any]
    overrides: tuple[str, ...]


def run_session(session: Session) -> Summary:
    """Run a search, or the rest of one.

    Raises:
        UserError: If the folder is in use, not writable, damaged, or belongs to another search.
        SeedProgramError: If trial 0 does not score.
        ProviderError: If the operator's provider is out of order.
        TargetError: If nothing can be evaluated here.
    """
    run = session.run
    executor = session.target.make_executor(session.make_executor)
    run.create()
    with locked(run.lock):
        _check_config(run, session.config)
        ledger = Ledger(run)
        write_atomically(run.config, yaml.safe_dump(dict(session.config), sort_keys=False))
        write_atomically(run.overrides, yaml.safe_dump(list(session.overrides)))
        with _watch(session) as watch:
            described = session.target.prepare(watch.say)
            _describe(run, described, ledger)
            try:
                executor.start()
                watch.get_ready()
                search = Search(session.settings, run=run, ledger=ledger, executor=executor, observer=watch)
                with _interruptible(search):
                    summary = search.run()
            finally:
                executor.close()
                _describe(run, described, ledger)
            watch.finish(ledger.population, summary)
            return summary


def _describe(run: RunDirectory, target: Mapping[str, Any], ledger: Ledger) -> None:
    """Write environment.json; which layers of isolation are in force is known with the first evaluation."""
    layers = {layer for trial in ledger.population.trials for each in trial.evaluations for layer in each.isolation}
    environment = describe_environment(target, tuple(sorted(layers)))
    write_atomically(run.environment, json.dumps(environment, indent=2) + "\n")


def _watch(session: Session) -> Watch:
    settings = session.settings
    return Watch(session.run, name=settings.name, budget=settings.budget, make_tracker=session.make_tracker)


@contextmanager
def _interruptible(search: Search) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into an orderly end; the second ends the process at once."""

    def handle(number: int, _: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_DFL)
        search.interrupt(f"interrupted by {signal.Signals(number).name}")

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in before:
        signal.signal(each, handle)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _check_config(run: RunDirectory, config: Mapping[str, Any]) -> None:
    """Refuse to go on with another search than the one that the folder holds."""
    if not run.config.exists():
        return
    try:
        stored = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{run.config}: not YAML ({error}); restore it or start a new run") from error
    old, new = (_flatten(each) for each in (stored, config))
    keys = [key for key in {**old, **new} if key.split(".")[0] not in MAY_CHANGE and old.get(key) != new.get(key)]
    if keys:
        changes = "; ".join(f"{key} was {old.get(key)!r}, is {new.get(key)!r}" for key in keys)
        raise UserError(
            f"{run.root} holds a search with another configuration: {changes}. "
            "Give the same command to resume it, or choose another name"
        )


def _flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(config, Mapping) or not config:
        return {prefix: config}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat.update(_flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat
