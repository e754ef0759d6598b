"""One session of a search: opens its folder, checks that it still is the same search, drives the loop."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, Protocol

import yaml

from search.environment import describe_environment
from search.errors import UserError
from search.ledger import Ledger
from search.lock import locked
from search.loop import Search
from search.models import Models
from search.rundir import RunDirectory, write_atomically
from search.settings import Settings
from search.summary import Summary
from search.watch import MakeTracker, Watch
from target.corpus import CorpusFiles, prepare_corpus
from target.executor import Executor
from target.sandbox import isolation_warning
from target.spec import TargetSpec

MAY_CHANGE: Final = (
    "budget",
    "executor",
    "llm.api_base",
    "llm.api_key_env",
    "llm.backoff_seconds",
    "llm.concurrency",
    "llm.connect_seconds",
    "llm.longest_backoff_seconds",
    "llm.outage_minutes",
    "llm.price",
    "llm.requests_per_minute",
    "llm.total_seconds",
    "max_failures",
    "name",
    "outputs",
    "propose_ahead",
    "tracker",
)
"""Keys, with all below them, that do not decide what is searched, so that a resumed search may have others.

How a model is reached may change, and what it costs; which model is asked, and how, may not.
"""


class MakeExecutor(Protocol):
    """Makes an executor for a target."""

    def __call__(self, spec: TargetSpec) -> Executor:
        """Return the executor, not started yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Everything that the configuration decides.

    Attributes:
        settings: The search.
        run: Its folder.
        spec: Its target.
        make_executor: Makes the executor for a target and its corpus.
        make_tracker: Makes the tracker.
        config: The composed configuration, as plain types.
        overrides: The command line's part of it.
        models: Language models, for operators that need one.
    """

    settings: Settings
    run: RunDirectory
    spec: TargetSpec
    make_executor: MakeExecutor
    make_tracker: MakeTracker
    config: Mapping[str, Any]
    overrides: tuple[str, ...]
    models: Models = field(default_factory=Models)


def run_session(session: Session) -> Summary:
    """Run a search, or the rest of one.

    Raises:
        UserError: If the folder is in use, not writable, damaged, or belongs to another search.
        SeedProgramError: If trial 0 does not score.
        ProviderError: If the operator's provider is out of order.
        TargetError: If nothing can be evaluated here.
    """
    run = session.run
    executor = session.make_executor(session.spec)
    run.create()
    with locked(run.lock):
        _check_config(run, session.config)
        ledger = Ledger(run)
        write_atomically(run.config, yaml.safe_dump(dict(session.config), sort_keys=False))
        write_atomically(run.overrides, yaml.safe_dump(list(session.overrides)))
        with _watch(session) as watch:
            session.models.tell(watch.say)
            if warning := isolation_warning(session.spec.sandbox):
                watch.say(f"warning: {warning}")
            watch.say("preparing the corpus")
            corpus = prepare_corpus(session.spec.corpus)
            _describe(run, session.spec, corpus, ledger)
            try:
                executor.start()
                watch.get_ready()
                search = Search(session.settings, run=run, ledger=ledger, executor=executor, observer=watch)
                with _interruptible(search):
                    summary = search.run()
            finally:
                executor.close()
                _describe(run, session.spec, corpus, ledger)
            watch.finish(ledger.population, summary)
            return summary


def _describe(run: RunDirectory, spec: TargetSpec, corpus: CorpusFiles, ledger: Ledger) -> None:
    """Write environment.json; which layers of isolation are in force is known with the first evaluation."""
    layers = {layer for trial in ledger.population.trials for each in trial.evaluations for layer in each.isolation}
    environment = describe_environment(spec, corpus, tuple(sorted(layers)))
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
    keys = [key for key in {**old, **new} if not _may_change(key) and old.get(key) != new.get(key)]
    if keys:
        changes = "; ".join(f"{key} was {old.get(key)!r}, is {new.get(key)!r}" for key in keys)
        raise UserError(
            f"{run.root} holds a search with another configuration: {changes}. "
            "Give the same command to resume it, or choose another name"
        )


def _may_change(key: str) -> bool:
    return any(key == each or key.startswith(f"{each}.") for each in MAY_CHANGE)


def _flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(config, Mapping) or not config:
        return {prefix: config}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat.update(_flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat
