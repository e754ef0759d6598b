"""The user's coding agent edits the parent in a scratch directory; the resulting file is the mutation."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import regex

from operators.agent.command import Cost, Ended, run_command
from operators.agent.spoken import Spoken, spoken, without_lines
from operators.agent.trouble import Trouble, find_trouble
from operators.base import MutationError, ProviderError, ProviderRefusalError, Resources, parent_of
from operators.chat import Exchange, Message, Reply
from operators.edit import EditError
from operators.edit.statement import difference, stated
from operators.llm.dialogue import new_program, read_direction, require_room
from operators.llm.retry import Backoff
from operators.population import Population
from operators.prompts.briefing import Briefing
from operators.prompts.prompt import Prompt
from operators.trial import Attempt, Mutation, Proposal
from target.durations import duration
from target.patterns import compiled
from target.process.scratch import scratch_directory
from target.process.trees import files_below
from target.program.contract import SOURCE_BYTES, ContractError
from target.words import split_command

_SHOWN_FILES: Final = 5
_LAST_CHARACTERS: Final = 400
_BACKOFF: Final = Backoff(first_seconds=60.0, longest_seconds=600.0)


class AgentOperator:
    """Lets an external command edit the program, beside `program.md` and `HISTORY.md`.

    The command reads its task on standard input and in `TASK.md`. It gets the named variables, `TMPDIR` and
    `GRAFT_SEED`, the seed of the proposal. It runs with the rights of the user: its own configuration decides what it
    may do. When it ends or is stopped, everything that it has started is killed. If its provider gives it nothing, such
    as after a usage limit, it is run again later, in a fresh directory.

    Args:
        prompt: The prompt for the task and the history.
        command: The command line; it is not run by a shell.
        seconds: Limit of wall time; a command that takes longer is stopped, and its edit is not used.
        usd: Limit of its cost, with the same effect; None for no limit.
        cost_file: JSON file in its directory with its cost so far; None for none.
        cost_pattern: Regular expression whose first group is the cost in its output; None for none.
        environment: Names of the variables that it gets.
        outage_minutes: How long to run it again while its provider gives it nothing.
        resources: What the search provides.
        clock: Monotonic seconds.

    Raises:
        ValueError: If there is no such command, a setting is out of range, or the prompt has no room for the program.
    """

    name = "agent"

    def __init__(
        self,
        *,
        prompt: Prompt,
        command: str | None,
        seconds: float,
        usd: float | None,
        cost_file: str | None,
        cost_pattern: str | None,
        environment: Sequence[str],
        outage_minutes: float,
        resources: Resources,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = _split(command)
        if seconds <= 0 or (usd is not None and usd <= 0):
            raise ValueError(f"agent.seconds and agent.usd must be above 0, got {seconds} and {usd}")
        if outage_minutes < 0:
            raise ValueError(f"agent.outage_minutes must be at least 0, got {outage_minutes}")
        if usd is not None and cost_file is None and cost_pattern is None:
            raise ValueError("agent.usd needs agent.cost_file or agent.cost_pattern, to know what the agent has spent")
        self._prompt = prompt
        self._seconds = seconds
        self._usd = usd
        self._cost = Cost(file=cost_file, pattern=_cost_pattern(cost_pattern))
        self._environment = tuple(environment)
        self._outage_minutes = outage_minutes
        self._resources = resources
        self._clock = clock
        require_room(prompt, self.name, resources)
        resources.slow()

    def mutate(self, proposal: Proposal, population: Population) -> Mutation:
        """Return the first parent as edited by the agent.

        Raises:
            MutationError: It made no program.
            ProviderRefusalError: Its provider gives it nothing, and waiting does not help.
            ProviderError: Its provider has given it nothing for too long, or until the end of the search.
        """
        base = parent_of(proposal, population)
        assert base.program is not None
        metric, contract = self._resources.contract.metric, self._resources.contract
        direction = read_direction(self._resources)
        prompt = self._resources.prompt_for(proposal, self._prompt)
        task, history = prompt.messages(
            Briefing(answer="agent", proposal=proposal, population=population, base=base),
            direction=direction,
            limits=self._resources.limits,
            contract=contract,
            ideas=self._resources.ideas(population),
        )
        given = {"program.md": direction, "HISTORY.md": history.text, "TASK.md": task.text}
        given[metric.file_name] = base.program.source
        with self._worked(given, task.text, proposal.seed) as (directory, ended, said):
            exchange = self._exchange((task, history), ended)
            try:
                source, others = _result(directory, metric.file_name, given, ended, said, self._cost)
                contract.check(source)
                program = new_program(source, base, population, metric)
            except (EditError, ContractError) as error:
                failed = Attempt(cost_usd=ended.cost_usd, exchanges=(exchange,), prompt=prompt.label)
                raise MutationError(str(error), failed) from error
        change, reason = stated(without_lines(said.text, task.text), of_agent=True)
        ignored = f"[changes of {_listed(others)} were discarded]" if others else ""
        return Mutation(
            program=program,
            operator=self.name,
            description=change or difference(base.program, program),
            rationale=" ".join(filter(None, (reason, ignored))),
            cost_usd=ended.cost_usd,
            exchanges=(exchange,),
            prompt=prompt.label,
        )

    @contextlib.contextmanager
    def _worked(self, given: Mapping[str, str], task: str, seed: int) -> Iterator[tuple[Path, Ended, Spoken]]:
        """Let the agent work in a directory until its provider gives it something; errors as in `mutate`.

        Args:
            given: The files of its directory.
            task: Its standard input.
            seed: Of the proposal.

        Yields:
            The directory, how the command ended, with the cost of all tries, and what it said.
        """
        rng, spent_usd = random.Random(f"agent {seed}"), 0.0
        failing_since: float | None = None
        for failures in itertools.count(1):
            with scratch_directory() as scratch:
                directory, temporary = scratch / "work", scratch / "tmp"
                _write(directory, given)
                temporary.mkdir()
                ended = run_command(
                    self._command,
                    directory,
                    scratch / "output.log",
                    stdin=task,
                    environment=self._variables(seed, temporary),
                    seconds=self._seconds,
                    usd=self._usd,
                    cost=self._cost,
                )
                said = spoken(ended.output)
                spent_usd += ended.cost_usd or said.cost_usd
                trouble = find_trouble(said, failed=ended.status != 0, stopped=bool(ended.stopped))
                if trouble is None:
                    yield directory, replace(ended, cost_usd=spent_usd), said
                    return
            failing_since = self._clock() if failing_since is None else failing_since
            self._wait(trouble, failures, failing_since, rng)

    def _wait(self, trouble: Trouble, failures: int, since: float, rng: random.Random) -> None:
        """Wait before the agent is run again; errors as in `mutate`."""
        if not trouble.passes:
            raise ProviderRefusalError(
                f"the agent cannot work: {trouble.said}; correct this as the user who runs the search, and name the "
                "variable of its key in agent.environment if it needs one"
            )
        delay = _BACKOFF.delay_seconds(failures, rng, trouble.wait_seconds)
        if self._clock() + delay - since > 60 * self._outage_minutes:
            raise ProviderError(
                f"the agent got nothing from its provider, and agent.outage_minutes={self._outage_minutes:g} allow no "
                f"more: {trouble.said}"
            )
        self._resources.say(f"the agent got nothing from its provider: {trouble.said}; next try in {duration(delay)}")
        self._resources.sleep(delay)

    def _variables(self, seed: int, temporary: Path) -> dict[str, str]:
        named = {name: os.environ[name] for name in self._environment if name in os.environ}
        return {**named, "TMPDIR": str(temporary), "GRAFT_SEED": str(seed)}

    def _exchange(self, messages: tuple[Message, ...], ended: Ended) -> Exchange:
        return Exchange(
            messages=messages,
            reply=Reply(
                text=ended.output,
                model=f"agent {Path(self._command[0]).name}",
                finish_reason=f"stopped by {ended.stopped}" if ended.stopped else f"exit {ended.status}",
                prompt_tokens=0,  # we do not see the agent's own requests
                completion_tokens=0,
                cost_usd=ended.cost_usd,
                seconds=ended.seconds,
            ),
        )


def _split(command: str | None) -> list[str]:
    try:
        words = split_command(command or "")
    except ValueError as error:
        raise ValueError(f"agent.command is not a command line: {error}, got {command!r}") from error
    if not words:
        raise ValueError("operator agent needs a command: agent.command='claude -p --permission-mode acceptEdits'")
    found = shutil.which(words[0])
    if found is None:
        raise ValueError(f"agent.command: there is no program {words[0]!r}; give a path, or put it on PATH")
    return [str(Path(found).absolute()), *words[1:]]


def _cost_pattern(pattern: str | None) -> regex.Pattern[str] | None:
    if pattern is None:
        return None
    made = compiled(pattern, "agent.cost_pattern")
    if made.groups < 1:
        raise ValueError(f"agent.cost_pattern needs a group for the amount, as in 'cost: ([0-9.]+)', got {pattern!r}")
    return made


def _write(directory: Path, files: Mapping[str, str]) -> None:
    directory.mkdir()
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8", newline="")


def _result(
    directory: Path, file: str, given: Mapping[str, str], ended: Ended, said: Spoken, cost: Cost
) -> tuple[str, list[str]]:
    """Return the agent's program, and the names of the other files that it changed.

    Raises:
        EditError: The agent was stopped, failed, left no program, or its cost cannot be found.
    """
    if ended.unread:
        raise EditError(f"what the agent has cost is not known: {ended.unread}")
    if ended.stopped:
        raise EditError(f"the agent was stopped by {ended.stopped}; raise this limit, or ask for less")
    last = " ".join(said.text.split())[-_LAST_CHARACTERS:]
    if ended.status:
        raise EditError(f"the agent ended with exit status {ended.status}: {last or 'it printed nothing'}")
    others = _changed(directory, given, ignore={file, cost.file})
    source = _read(directory / file)
    if source == given[file]:
        what = f"it changed {_listed(others)}, but only {file} counts" if others else "nothing changed"
        raise EditError(f"the agent did not edit {file}: {what}{f'; it said: {last}' if last else ''}")
    return source, others


def _read(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # the agent may have replaced it
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise EditError(f"the agent left no regular file {path.name}")
            return file.read(SOURCE_BYTES + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise EditError(f"the agent left a {path.name} that cannot be read: {error}") from error


def _changed(directory: Path, given: Mapping[str, str], *, ignore: set[str | None]) -> list[str]:
    """Return the names of files that were changed, added or removed; hidden files and caches do not count."""
    found = {path for path, entry in files_below(directory) if entry.is_file()}
    new = {name for name in found - set(given) if not re.search(r"(^|/)(\.|__pycache__)", name)}
    touched = {name for name, text in given.items() if name not in found or not _same(directory / name, text)}
    return sorted((new | touched) - ignore)


def _same(path: Path, text: str) -> bool:
    try:
        return path.stat().st_size == len(text.encode()) and path.read_bytes() == text.encode()
    except OSError:
        return False


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_FILES} more" if len(names) > _SHOWN_FILES else ""
    return ", ".join(names[:_SHOWN_FILES]) + more
