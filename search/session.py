"""One session of a search: opens its folder, checks that it is still the same search, and drives the loop."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from operators.base import ProviderError
from operators.population import Population
from search.changeable import tell_changeable
from search.changes import NO_ORIGINS, Origins, changes
from search.composed import flatten, read_config
from search.errors import UserError
from search.final import run_final
from search.final.report import verdict_sentence
from search.hooks import NO_HOOKS, HookSettings
from search.import_run import begin_with, find_source, import_run
from search.interrupts import Interrupted, Interrupts, handled_interrupts
from search.loop import Loop
from search.models import Models
from search.preflight import Preflight
from search.printed import resume_text, stored_overrides
from search.resuming import differing
from search.runs.environment import describe_environment
from search.runs.files import write_atomically
from search.runs.finished import SearchRun
from search.runs.ledger import Ledger
from search.runs.lock import locked
from search.runs.rundir import RunDirectory
from search.runs.share import Alone, Share
from search.runs.summary import Summary
from search.secrets import redact_all
from search.settings import Settings
from search.shared.joining import MakeShare, require_same_conditions
from search.stuck import NEVER_STUCK, StuckSettings
from search.watch import MakeTracker, Watch
from target.base import MakeExecutor, Target
from target.errors import TargetError
from target.executor import Executor
from target.metric import Metric, metric_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """All that the configuration determines.

    Attributes:
        settings: The search.
        run: Its folder.
        target: Its target.
        make_executor: Makes the executor for a target that runs trainings.
        make_tracker: Makes the tracker.
        config: The composed configuration, as plain types.
        overrides: The part of it from the command line.
        arguments: Arguments of `python -m search` that start or resume this search alone, its name included; None if
            only the Python program can that began it.
        models: Language models, for operators that need one.
        final_seeds: Fresh seeds on which the best and the baseline are trained at the end; 0 for none.
        preflight: Is lent the executor, for operators that need it.
        prompt_tokens: Tokens of the longest possible prompt; None if unknown.
        remarks: What the operators say to the user before the search begins, one line each.
        hooks: Commands of the user.
        stuck: When the search is stuck, and what follows.
        quiet: Whether nothing is printed.
        share: Makes what this session shares with other sessions of the search; None for one session at a time.
        origins: Where the values of the configuration come from.
    """

    settings: Settings
    run: RunDirectory
    target: Target
    make_executor: MakeExecutor
    make_tracker: MakeTracker
    config: Mapping[str, Any]
    overrides: tuple[str, ...]
    arguments: tuple[str, ...] | None = ()
    models: Models = field(default_factory=Models)
    final_seeds: int = 0
    preflight: Preflight = field(default_factory=Preflight)
    prompt_tokens: int | None = None
    remarks: tuple[str, ...] = ()
    hooks: HookSettings = NO_HOOKS
    stuck: StuckSettings = NEVER_STUCK
    quiet: bool = False
    share: MakeShare | None = None
    origins: Origins = NO_ORIGINS

    def __post_init__(self) -> None:
        if self.final_seeds < 0 or self.final_seeds == 1:
            raise UserError(f"final.seeds must be 0 or at least 2, got {self.final_seeds}")
        if self.hooks.on_stuck and self.stuck.trials is None:
            raise UserError("hooks.on_stuck needs stuck.trials, the number of verdicts without a keep, such as 40")


def run_session(session: Session) -> Summary:
    """Run a search, or the rest of one.

    Raises:
        UserError: If the folder is in use, not writable, damaged, or belongs to another search, or if there is no
            earlier search that this one could begin with.
        SeedProgramError: If trial 0 does not score.
        ProviderError: If the operator's provider fails.
        TargetError: If nothing can be evaluated on this machine.
        StorageError: If the database of a shared ledger does not answer for long.
    """
    run = session.run
    config = redact_all(session.config)
    executor = session.target.make_executor(session.make_executor)
    source = None if session.share else find_source(config, run)
    run.create()
    with handled_interrupts() as interrupts, locked(run.lock), contextlib.closing(_share(session)) as share:
        run.clear_leftovers()
        ledger = Ledger(run, share)
        _check_config(session, config, ledger)
        write_atomically(run.config, yaml.safe_dump(config, sort_keys=False))
        write_atomically(run.overrides, yaml.safe_dump(redact_all(session.overrides), sort_keys=False))
        write_atomically(run.arguments, yaml.safe_dump(redact_all(session.arguments), sort_keys=False))
        with _watch(session) as watch:
            share.tell(watch.say)
            session.models.tell(watch.say)
            summary = _drive(session, source, ledger, executor, watch, interrupts)
            _check_improvement(session, ledger.population, summary, watch)
            watch.finish(ledger.population, summary)
            return summary


def _drive(
    session: Session,
    source: SearchRun | None,
    ledger: Ledger,
    executor: Executor,
    watch: Watch,
    interrupts: Interrupts,
) -> Summary:
    """Start what the search needs, run it, and stop all of it; an interrupt at any point ends it in order."""

    def make_loop() -> Loop:
        return Loop(session.settings, run=session.run, ledger=ledger, executor=executor, observer=watch)

    with contextlib.closing(executor):
        try:
            described = _get_ready(session, source, ledger, executor, watch)
        except (
            Interrupted,
            ProviderError,
            TargetError,
        ) as error:  # a killed session may have left the status "running"
            summary = make_loop().stop(str(error))
            if isinstance(error, Interrupted):
                return summary
            raise
        try:
            loop = make_loop()
            with session.preflight.lent(executor), interrupts.taken_by(loop.interrupt):
                summary = loop.run()
            if interrupts.came:
                watch.say("what was under way is abandoned; another signal ends the process at once")
            return summary
        finally:
            executor.close()
            _describe(session.run, described, ledger)


def _get_ready(
    session: Session, source: SearchRun | None, ledger: Ledger, executor: Executor, watch: Watch
) -> Mapping[str, Any]:
    """Try the models out, prepare the target and import earlier trials; return the description of the target."""
    for remark in session.remarks:
        watch.say(remark)
    with watch.busy("trying out the language model"):
        _try_out(session, ledger)
    with watch.busy("preparing the target"):
        described = session.target.prepare(watch.say)
    watch.measures(metric_of(described))
    _require_same_text(session.run, described, ledger)
    environment = _describe(session.run, described, ledger)
    if session.share:
        require_same_conditions(ledger.share, session.config["target"], environment)
        source = find_source(redact_all(session.config), session.run)
    if source:
        beginning = begin_with(
            source,
            target=session.config["target"],
            environment=environment,
            seed_program=session.settings.seed_program,
            seed=session.settings.seed,
        )
        with ledger.turn():
            import_run(ledger, source, beginning)
        watch.say(beginning.text)
    _tell_constants(session, ledger.population, watch)
    with watch.busy("starting the workers"):
        executor.start()
    watch.get_ready()
    return described


def _tell_constants(session: Session, population: Population, watch: Watch) -> None:
    """Report once, at the start of a search, which constants can move."""
    if any(not trial.imported for trial in population.decided):
        return
    best = population.champion
    program = best.program if best and best.program else session.settings.seed_program
    file = session.target.contract.metric.file
    tell_changeable(program.source, file=file, operator=session.settings.operator, say=watch.say)


def _try_out(session: Session, ledger: Ledger) -> None:
    """Try the models out, unless the search has already ended."""
    population = ledger.population
    exhausted = session.settings.budget.exhausted(
        trainings=population.trainings,
        wall_seconds=ledger.elapsed.wall_seconds,
        cost_usd=population.cost_usd + ledger.trying_out_usd,
    )
    if not exhausted and not session.stuck.has_ended(population):
        session.models.try_out(ledger.pay_for_trying_out, prompt_tokens=session.prompt_tokens)


def _check_improvement(session: Session, population: Population, summary: Summary, watch: Watch) -> None:
    """Make the final report, if it is configured and there is an improvement."""
    if not session.final_seeds or summary.status != "finished" or not summary.best_trial:
        return
    report = run_final(
        session.run,
        population,
        session.target.make_executor(session.make_executor),
        search_seed=session.settings.seed,
        n_seeds=session.final_seeds,
        say=watch.say,
    )
    watch.say(verdict_sentence(report))


def _require_same_text(run: RunDirectory, target: Mapping[str, Any], ledger: Ledger) -> None:
    """Refuse to go on where the text is no longer that on which earlier trials were trained and scored."""
    now = (target.get("corpus") or {}).get("hash")
    is_begun = any(trial.evaluations and not trial.imported for trial in ledger.population.trials)
    if not now or not is_begun or not run.environment.exists():
        return
    before = (json.loads(run.environment.read_text(encoding="utf-8")).get("corpus") or {}).get("hash")
    if before and before != now:
        raise UserError(
            f"the trials of {run.root} were scored on another text than there is now (hash {before}, now {now}), so "
            f"new scores could not be compared with theirs: restore the text, or begin a search that takes over their "
            f"programs, with another name and from={run.root}"
        )


def _describe(run: RunDirectory, target: Mapping[str, Any], ledger: Ledger) -> dict[str, Any]:
    """Write environment.json, and return it; the active layers of isolation are known after the first evaluation."""
    layers = {layer for trial in ledger.population.trials for each in trial.evaluations for layer in each.isolation}
    environment = describe_environment(target, tuple(sorted(layers)))
    write_atomically(run.environment, json.dumps(environment, indent=2) + "\n")
    return environment


def _watch(session: Session) -> Watch:
    settings = session.settings
    return Watch(
        session.run,
        name=settings.name,
        budget=settings.budget,
        make_tracker=session.make_tracker,
        hooks=session.hooks,
        stuck=session.stuck,
        quiet=session.quiet,
    )


def _share(session: Session) -> Share:
    return session.share(session.run, session.settings.name) if session.share else Alone()


def _check_config(session: Session, config: Mapping[str, Any], ledger: Ledger) -> None:
    """Refuse to continue a search with another configuration than it began with."""
    run, known = session.run, read_config(session.run) if session.run.config.exists() else {}
    if session.share:
        known = dict(ledger.share.require_same("configuration", config))
    elif known.get("storage"):
        raise UserError(f"{run.root} has a copy of a ledger that is in a database: give storage=URL as before")
    elif not ledger.population.trials:
        return  # before the first trial, all settings may still change
    elif not known:
        _check_metric(run, session.target.contract.metric)
        return
    old, new = (flatten(each) for each in (known, config))
    keys = differing(known, config, origins=session.origins, overrides=session.overrides)
    if keys:
        before = None if session.share else stored_overrides(run)
        told = changes(keys, old, new, origins=session.origins, overrides=before)
        again = f"resume it: {resume_text(run, session.settings.name)}"
        where, way_out = ("the database", "give the same settings") if session.share else (run.root, again)
        raise UserError(
            f"{where} holds a search with another configuration: {'; '.join(told)}; choose another name, or {way_out}"
        )


def _check_metric(run: RunDirectory, metric: Metric) -> None:
    """Refuse to continue imported trials with a target that measures something else."""
    there = run.metric
    if run.environment.exists() and there.heading != metric.heading:
        raise UserError(
            f"{run.root} has imported trials with {there.name}, {there.better}, but the target of this search measures "
            f"{metric.name}, {metric.better}: give a target with target.metric={there.name} and "
            f"target.direction={there.direction}, or choose another name"
        )
