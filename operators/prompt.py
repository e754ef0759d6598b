"""Prompts: what a model is told about one proposal, from templates, within a budget of tokens.

The system message is the same for all proposals of a search, so that providers find it in their caches: rules, limits,
form of the answer, the human's direction. The user message has the program, its result and what the search knows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from operators import history
from operators.base import MutationError
from operators.chat import Message
from operators.constants_view import constants_view
from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from target.contract import TRAINED, Contract
from target.evaluation import Evaluation, Outcome
from target.program import Program

if TYPE_CHECKING:
    import jinja2

CHARACTERS_A_TOKEN: Final = 4
"""Estimate for code and English; the tokenisers of providers need a download, and differ anyway."""

ANSWERS: Final = ("patch", "rewrite", "agent")
"""Forms of an answer, each with its template `answer_<form>.j2`."""

_TEMPLATES: Final = Path(__file__).with_name("templates")
_DROP_ORDER: Final = ("unsuccessful", "near_misses", "failures", "inspirations", "constants", "ancestors", "curve")
"""Sections of the user message, the least important first; each gives up its last item first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Briefing:
    """What one proposal is about.

    Attributes:
        answer: Form of the answer, one of `ANSWERS`.
        proposal: What the strategy decided.
        population: What is known.
        base: The trial whose program is to be changed; if it failed, it is to be mended.
        second: Another trial whose merits it shall get.
    """

    answer: str
    proposal: Proposal
    population: Population
    base: Trial
    second: Trial | None = None


class Prompt:
    """One way to ask: a style for the system message, and how much of what is known goes into the user message.

    Args:
        name: Name, as it is recorded with trials.
        system: Template of the system message: a name in `operators/templates`, or a path with a slash in it.
        task: Template of the user message, likewise.
        max_tokens: Longest prompt, estimated; what is least important is left out first.
        curve: Points of the loss curve.
        ancestors: Ancestors whose changes are told.
        inspirations: Other programs that are shown.
        inspiration_lines: Lines of the diff that each of these is shown by.
        constants: Constants that the search has a view of.
        near_misses: Discarded trials about as good as their parents.
        unsuccessful: Other discarded trials.
        failures: Trials that crashed or were refused.

    Raises:
        ValueError: If a number is negative, or a template is missing or wrong.
    """

    def __init__(
        self, *, name: str, system: str, task: str, max_tokens: int, inspiration_lines: int, **counts: int
    ) -> None:
        if counts.keys() != set(_DROP_ORDER):
            raise ValueError(f"a prompt needs {', '.join(_DROP_ORDER)}, got {', '.join(counts)}")
        if min(max_tokens, inspiration_lines, *counts.values()) < 0:
            raise ValueError(f"max_tokens and the counts must be at least 0, got {max_tokens} and {counts}")
        self._max_tokens = max_tokens
        self._inspiration_lines = inspiration_lines
        self._counts = counts
        self._system, self._task = system, task
        self._environment = _environment()
        settings = {**counts, "max_tokens": max_tokens, "inspiration_lines": inspiration_lines}
        self.label = f"{name}@{self._digest(settings)}"
        self._try_out()

    def messages(
        self, briefing: Briefing, *, direction: str, limits: Sequence[str], contract: Contract = TRAINED
    ) -> tuple[Message, Message]:
        """Return the opening of a conversation.

        Args:
            briefing: What it is about.
            direction: The human's direction.
            limits: What a trial may take, as sentences.
            contract: What a program must be.

        Raises:
            MutationError: What must be said does not fit into `max_tokens`.
        """
        system = self._render(
            self._system, answer=briefing.answer, direction=direction.strip(), limits=[*limits], contract=contract
        )
        left = self._max_tokens - tokens(system)
        context = self._context(briefing)
        sections = context["sections"]
        while tokens(task := self._render(self._task, **context)) > left:
            droppable = next((name for name in _DROP_ORDER if sections[name]), None)
            if droppable is None:
                raise MutationError(
                    f"the prompt needs {tokens(system) + tokens(task)} tokens at least, prompt.max_tokens is "
                    f"{self._max_tokens}: raise it",
                    prompt=self.label,
                )
            sections[droppable].pop()
        return Message(role="system", text=system), Message(role="user", text=task)

    def retry(self, problem: str) -> Message:
        """Return what a model is told whose answer could not be used."""
        return Message(role="user", text=self._render("retry.j2", problem=problem))

    def _render(self, template: str, **context: Any) -> str:
        return self._environment.get_template(template).render(context).strip() + "\n"

    def _digest(self, settings: Mapping[str, Any]) -> str:
        import jinja2

        names = [self._system, self._task, "retry.j2", *(f"answer_{answer}.j2" for answer in ANSWERS)]
        try:
            sources = _closure(self._environment, names)
        except jinja2.TemplateNotFound as error:
            raise ValueError(f"there is no template {error}; a path of your own needs a slash: ./mine.j2") from error
        except jinja2.TemplateSyntaxError as error:
            raise ValueError(f"{error.filename}:{error.lineno}: {error.message}") from error
        return hashlib.sha256(json.dumps([sources, settings], sort_keys=True).encode()).hexdigest()[:8]

    def _try_out(self) -> None:
        """Find out now, and not at the first proposal, whether the templates ask for what there is."""
        import jinja2

        seed = Trial(
            number=0,
            proposal=Proposal(parents=(), seed=0),
            mutation=Mutation(program=Program(""), operator="seed", description="the seed program"),
            evaluations=(Evaluation(outcome=Outcome.OK, seed=0, val_bpb=1.0),),
            status=Status.BASELINE,
            decided=0,
        )
        people = Population((seed,))
        briefing = Briefing(answer="patch", proposal=Proposal(parents=(0,), seed=0), population=people, base=seed)
        try:
            self._render(self._system, answer="patch", direction="", limits=[], contract=TRAINED)
            self._render(self._task, **self._context(briefing))
        except jinja2.TemplateError as error:
            raise ValueError(f"prompt templates {self._system} and {self._task}: {error}") from error

    def _context(self, briefing: Briefing) -> dict[str, Any]:
        population, base = briefing.population, briefing.base
        failed = not base.scored
        told = history.lineage(base, population)[failed:]
        parent = told[0] if told else base
        return {
            "base": _described(base, population),
            "failure": _failure(base) if failed else "",
            "working": self._working(base, parent, population) if failed else None,
            "second": self._second(briefing) if briefing.second else None,
            "sections": self._sections(briefing, parent),
        }

    def _sections(self, briefing: Briefing, parent: Trial) -> dict[str, list[Any]]:
        population, counts = briefing.population, self._counts
        unsuccessful = [trial for trial in history.unsuccessful(parent, population) if trial is not briefing.second]
        near = [trial for trial in unsuccessful if history.near_miss(trial, population)][: counts["near_misses"]]
        rest = [trial for trial in unsuccessful if trial not in near][: counts["unsuccessful"]]
        shown = history.inspirations(briefing.proposal, parent, population, counts["inspirations"])
        return {
            "curve": history.curve(briefing.base, counts["curve"]),
            "ancestors": history.steps(parent, population)[: counts["ancestors"]],
            "inspirations": [] if briefing.second else [self._inspiration(parent, each, population) for each in shown],
            "constants": constants_view(population, parent)[: counts["constants"]],
            "near_misses": [history.effect(trial, population) for trial in near],
            "unsuccessful": [history.effect(trial, population) for trial in rest],
            "failures": history.failures(parent, population)[: counts["failures"]],
        }

    def _inspiration(self, parent: Trial, trial: Trial, population: Population) -> dict[str, str]:
        return {
            "line": history.effect(trial, population),
            "changes": history.changes_between(parent, trial, self._inspiration_lines),
        }

    def _working(self, base: Trial, parent: Trial, population: Population) -> dict[str, Any]:
        score = population.scores.get(parent.number)
        return {
            "number": parent.number,
            "score": "unknown" if score is None else f"{score:.4f}",
            "changes": history.changes_between(parent, base, self._inspiration_lines),
        }

    def _second(self, briefing: Briefing) -> dict[str, Any]:
        assert briefing.second is not None
        population = briefing.population
        shared = {trial.number for trial in history.lineage(briefing.base, population)}
        own = [trial for trial in history.lineage(briefing.second, population) if trial.number not in shared]
        steps = [history.effect(trial, population) for trial in own][: self._counts["ancestors"]]
        return {**_described(briefing.second, population), "steps": steps}


def tokens(text: str) -> int:
    """Return about how many tokens a text has, see `CHARACTERS_A_TOKEN`."""
    return -(-len(text) // CHARACTERS_A_TOKEN)


def _described(trial: Trial, population: Population) -> dict[str, Any]:
    assert trial.program is not None, f"trial {trial.number} has no program"
    assert trial.mutation is not None
    return {
        "number": trial.number,
        "source": trial.program.source,
        "status": trial.status.value.replace("_", " "),
        "change": trial.mutation.description if trial.proposal.parents else "",
        "rationale": trial.mutation.rationale,
        "result": _result(trial, population),
    }


def _result(trial: Trial, population: Population) -> str:
    score = population.scores.get(trial.number)
    if score is None:
        return trial.status.value
    first = population.scores.get(0)
    champion = population.champion
    best = population.scores.get(champion.number) if champion else None
    parts = [f"val_bpb {score:.4f}, mean of {len(trial.values)} trainings" if len(trial.values) > 1 else ""]
    parts[0] = parts[0] or f"val_bpb {score:.4f}"
    if first is not None and trial.number:
        parts.append(f"{score - first:+.4f} against the seed program")
    if best is not None and champion is not None and champion.number != trial.number:
        parts.append(f"the best so far is #{champion.number} with {best:.4f}")
    run = trial.evaluations[0] if trial.evaluations else None
    if run and run.n_parameters:
        parts.append(f"{run.n_parameters:,} parameters")
    if run and run.peak_memory_bytes:
        parts.append(f"{run.peak_memory_bytes / 1e9:.2f} GB at its peak")
    return "; ".join(parts)


def _failure(trial: Trial) -> str:
    return trial.detail or "nothing that would say why"


def _fenced(text: str, language: str = "") -> str:
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def _environment() -> jinja2.Environment:
    import jinja2

    def load(name: str) -> tuple[str, str, None] | None:
        path = Path(name).expanduser() if "/" in name else _TEMPLATES / name
        try:
            return path.read_text(encoding="utf-8"), str(path), None
        except (OSError, UnicodeDecodeError):
            return None

    environment = jinja2.Environment(  # plain text for models: nothing is escaped
        loader=jinja2.FunctionLoader(load), undefined=jinja2.StrictUndefined
    )
    environment.filters["fenced"] = _fenced
    return environment


def _closure(environment: jinja2.Environment, names: Sequence[str]) -> dict[str, str]:
    """Return the sources of templates and of all that they extend or include by name."""
    from jinja2 import meta

    assert environment.loader is not None
    sources, open_names = dict[str, str](), [*names]
    while open_names:
        name = open_names.pop()
        if name not in sources:
            sources[name] = environment.loader.get_source(environment, name)[0]
            open_names += [each for each in meta.find_referenced_templates(environment.parse(sources[name])) if each]
    return sources
