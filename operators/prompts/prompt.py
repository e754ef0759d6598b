"""Prompts: messages to a model about one proposal, made from templates within a budget of tokens.

The system message has the rules, limits, form of the answer and the human's direction. It is the same for all proposals
of a search, so that providers find it in their caches. The user message has the program, its result and what the search
knows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from operators.base import MutationError
from operators.chat import Message
from operators.prompts.briefing import ANSWERS, EARLIER, FRUITLESS, SECTIONS, Briefing, first_briefing, told
from operators.trial import Attempt
from target.program import Program
from target.program.contract import TRAINED, Contract

if TYPE_CHECKING:
    import jinja2

CHARACTERS_A_TOKEN: Final = 4
"""Estimate for code and English; the tokenisers of providers need a download, and differ anyway."""

_TEMPLATES: Final = Path(__file__).with_name("templates")
_MARK_CHARACTERS: Final = 12


class Prompt:
    """One style of prompts: templates, and how much of the search's knowledge goes into the user message.

    Args:
        name: Name, as recorded with trials.
        system: Template of the system message: a name in `operators/prompts/templates`, or a path with a slash in it.
        task: Template of the user message, given in the same way.
        max_tokens: Largest prompt, estimated; the least important parts are left out first.
        curve: Number of points of the loss curve.
        statistics: Number of lines about the training: its speed, learned values, sizes of gradients and updates.
        ancestors: Number of ancestors whose changes are shown.
        inspirations: Number of other programs that are shown.
        inspiration_lines: Number of lines of each of their diffs.
        constants: Number of constants about which the search shows its knowledge.
        near_misses: Number of discarded trials about as good as their parents.
        unsuccessful: Number of other discarded trials, and of trials of an earlier search under other conditions.
        failures: Number of trials that crashed or were refused.

    Raises:
        ValueError: If a number is negative, or a template is missing or wrong.
    """

    def __init__(
        self, *, name: str, system: str, task: str, max_tokens: int, inspiration_lines: int, **counts: int
    ) -> None:
        if counts.keys() != set(SECTIONS):
            raise ValueError(f"a prompt needs {', '.join(SECTIONS)}, got {', '.join(counts)}")
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
        self,
        briefing: Briefing,
        *,
        direction: str,
        limits: Sequence[str],
        contract: Contract = TRAINED,
        ideas: Sequence[str] = (),
    ) -> tuple[Message, Message]:
        """Return the opening of a conversation.

        Args:
            briefing: The subject of the conversation.
            direction: The human's direction.
            limits: The limits of a trial, as sentences.
            contract: The rules for a program.
            ideas: Ideas of the human for this proposal.

        Raises:
            MutationError: The necessary parts do not fit into `max_tokens`.
        """
        system = self._render(
            self._system,
            answer=briefing.answer,
            direction=direction.strip(),
            limits=[*limits],
            contract=contract,
            metric=contract.metric,
        )
        left = self._max_tokens - tokens(system)
        facts = told(briefing, self._counts, diff_lines=self._inspiration_lines, metric=contract.metric)
        context = {**facts, "ideas": [*ideas]}
        sections = context["sections"]
        while tokens(task := self._render(self._task, **context)) > left:
            droppable = next((name for name in (EARLIER, *SECTIONS, FRUITLESS) if sections[name]), None)
            if droppable is None:
                raise MutationError(
                    f"the prompt needs at least {tokens(system) + tokens(task)} tokens, but prompt.max_tokens is "
                    f"{self._max_tokens}: raise it, or shorten the program or the direction, which has "
                    f"{tokens(direction.strip())}",
                    Attempt(prompt=self.label),
                )
            sections[droppable].pop()
        return Message(role="system", text=system), Message(role="user", text=task)

    def section_tokens(self, briefing: Briefing, *, contract: Contract = TRAINED) -> dict[str, int]:
        """Return the estimated tokens of each section of the user message, the most important first.

        Args:
            briefing: The subject of the conversation.
            contract: The rules for a program.
        """
        facts = told(briefing, self._counts, diff_lines=self._inspiration_lines, metric=contract.metric)
        sections = facts["sections"]
        whole = tokens(self._render(self._task, ideas=[], **facts))
        found = {}
        for name in (FRUITLESS, *reversed(SECTIONS), EARLIER):
            without = {**facts, "sections": {**sections, name: []}}
            found[name] = whole - tokens(self._render(self._task, ideas=[], **without))
        return found

    def retry(self, problem: str) -> Message:
        """Return the message to a model whose answer could not be used."""
        return Message(role="user", text=self._render("retry.j2", problem=problem))

    def _render(self, template: str, **context: Any) -> str:
        return self._environment.get_template(template).render(context).strip() + "\n"

    def _digest(self, settings: Mapping[str, Any]) -> str:
        import jinja2

        names = [self._system, self._task, "retry.j2", *(f"answer_{answer}.j2" for answer in ANSWERS)]
        try:
            sources = _closure(self._environment, names)
        except jinja2.TemplateNotFound as error:
            raise ValueError(f"there is no template {error}; a path needs a slash: ./mine.j2") from error
        except jinja2.TemplateSyntaxError as error:
            raise ValueError(f"{error.filename}:{error.lineno}: {error.message}") from error
        return hashlib.sha256(json.dumps([sources, settings], sort_keys=True).encode()).hexdigest()[:8]

    def _try_out(self) -> None:
        """Check now, and not at the first proposal, whether the templates use only existing variables."""
        import jinja2

        try:
            self.messages(first_briefing(Program(""), "patch"), direction="", limits=[])
        except jinja2.TemplateError as error:
            raise ValueError(f"prompt templates {self._system} and {self._task}: {error}") from error


def render(template: str, **context: Any) -> str:
    """Return a message made from a template of `operators/prompts/templates` that belongs to no prompt."""
    return _environment().get_template(template).render(context).strip() + "\n"


def tokens(text: str) -> int:
    """Return the approximate number of tokens of a text, see `CHARACTERS_A_TOKEN`."""
    return -(-len(text) // CHARACTERS_A_TOKEN)


def _fenced(text: str, language: str = "") -> str:
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{ticks}{language}\n{text.rstrip()}\n{ticks}"


def _data(text: str) -> str:
    """Return a text between marks that it cannot contain: they are a hash of the text, the same in each replay."""
    mark = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_MARK_CHARACTERS]
    while mark in text:
        mark = hashlib.sha256(mark.encode()).hexdigest()[:_MARK_CHARACTERS]
    return f"<data {mark}>\n{text.rstrip()}\n</data {mark}>"


def _items(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


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
    environment.filters |= {"data": _data, "fenced": _fenced, "items": _items}
    return environment


def _closure(environment: jinja2.Environment, names: Sequence[str]) -> dict[str, str]:
    """Return the sources of templates and of all that they extend or include by name."""
    from jinja2 import meta

    assert environment.loader is not None
    sources, open_names = dict[str, str](), [*names]
    while open_names:
        name = open_names.pop()
        if name not in sources:
            sources[name], path, _ = environment.loader.get_source(environment, name)
            tree = environment.parse(sources[name], name, path)
            open_names += [each for each in meta.find_referenced_templates(tree) if each]
    return sources
