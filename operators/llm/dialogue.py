"""Asks a model for a program until an answer gives one; after a refusal the model gets the reason and tries again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from operators.base import MutationError, NoModelError, Resources
from operators.chat import ChatModel, Exchange, Message, Reply
from operators.edit import EditError, apply_reply
from operators.edit.statement import difference, stated
from operators.llm.reasoning import UnclearReasoningError, answer_in_reasoning
from operators.population import Population
from operators.prompts.briefing import ANSWERS, Briefing, first_briefing
from operators.prompts.prompt import Prompt
from operators.trial import Attempt, Mutation, Trial
from target.metric import Metric
from target.program import Program
from target.program.contract import TRAINED, Contract, ContractError

_ENDED_ITSELF: Final = "stop"
_REFUSED: Final = "(no usable answer)"
_UNCLEAR: Final = 2
"""Limit of answers that are reasoning only, without a clear edit: a server that misfiles answers always does so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """The common part of operators that ask a language model.

    Attributes:
        operator: Name of the operator.
        model: The model to ask.
        prompt: The prompt, unless the proposal names another.
        attempts: Largest number of requests per proposal.
        resources: Direction and limits for the prompt, and the other prompts.
    """

    operator: str
    model: ChatModel
    prompt: Prompt
    attempts: int
    resources: Resources

    def mutate(self, briefing: Briefing, *, extra_parents: tuple[int, ...] = ()) -> Mutation:
        """Return the program from a conversation.

        Args:
            briefing: The subject of the conversation.
            extra_parents: Trials that the operator uses in addition to the parents of the proposal.

        Raises:
            MutationError: No answer could be used; the last reason is the message.
            ProviderError: The provider does not work.
        """
        contract, prompt = self.resources.contract, self.resources.prompt_for(briefing.proposal, self.prompt)
        opening = prompt.messages(
            briefing,
            direction=read_direction(self.resources),
            limits=self.resources.limits,
            contract=contract,
            ideas=self.resources.ideas(briefing.population),
        )
        proposal = briefing.proposal
        said, exchanges, cost_usd, problem = list[Message](opening), list[Exchange](), 0.0, ""
        unclear = attempt = 0  # answers that were reasoning only, maybe drafts; all answers
        while attempt < self.attempts and unclear < _UNCLEAR:
            try:
                reply = self.model.complete(said, seed=proposal.seed, attempt=attempt, model=proposal.model)
            except MutationError as error:  # a refusal, an empty or a truncated answer
                exchanges += error.attempt.exchanges
                cost_usd += error.attempt.cost_usd
                answer, problem = _REFUSED, str(error)
            else:
                exchanges.append(Exchange(messages=tuple(said), reply=reply))
                cost_usd += reply.cost_usd
                answer = reply.text
                try:
                    program = program_from(reply, briefing.base, briefing.population, contract)
                except UnclearReasoningError as error:
                    answer, problem = _REFUSED, str(error)
                    unclear += 1
                except (EditError, ContractError) as error:
                    problem = str(error)
                else:
                    return self._mutation(
                        program, answer, briefing, cost_usd=cost_usd, exchanges=exchanges, extra_parents=extra_parents
                    )
            said += [Message(role="assistant", text=answer), prompt.retry(problem)]
            attempt += 1
        raise MutationError(
            f"no program after {attempt} {'answers' if attempt > 1 else 'answer'}; the last: {problem}",
            Attempt(
                operator=self.operator,
                cost_usd=cost_usd,
                exchanges=tuple(exchanges),
                prompt=prompt.label,
                extra_parents=extra_parents,
            ),
        )

    def _mutation(
        self,
        program: Program,
        answer: str,
        briefing: Briefing,
        *,
        cost_usd: float,
        exchanges: list[Exchange],
        extra_parents: tuple[int, ...],
    ) -> Mutation:
        change, reason = stated(answer)
        assert briefing.base.program is not None
        return Mutation(
            program=program,
            operator=self.operator,
            description=change or difference(briefing.base.program, program),
            rationale=reason,
            cost_usd=cost_usd,
            exchanges=tuple(exchanges),
            prompt=self.resources.prompt_for(briefing.proposal, self.prompt).label,
            extra_parents=extra_parents,
        )


def open_dialogue(operator: str, prompt: Prompt, attempts: int, resources: Resources) -> Dialogue:
    """Return the dialogue of an operator.

    Raises:
        NoModelError: If there is no model.
        ValueError: If `attempts` is below 1, or the prompt has no room for the first program.
    """
    if resources.model is None:
        raise NoModelError(f"operator {operator} needs a language model: set llm.model, such as llm.model=openai/gpt-5")
    if attempts < 1:
        raise ValueError(f"attempts must be at least 1, got {attempts}")
    require_room(prompt, operator if operator in ANSWERS else "patch", resources)
    return Dialogue(operator=operator, model=resources.model, prompt=prompt, attempts=attempts, resources=resources)


def require_room(prompt: Prompt, answer: str, resources: Resources) -> None:
    """Check that the prompts of an operator have room for the program that the search begins with, if that is known.

    Raises:
        ValueError: One has not; the message says how many tokens are missing.
    """
    if resources.seed_program is None:
        return
    first = first_briefing(resources.seed_program, answer)
    try:
        for each in resources.prompts.values() or (prompt,):
            direction = read_direction(resources)
            each.messages(first, direction=direction, limits=resources.limits, contract=resources.contract)
    except MutationError as error:
        raise ValueError(str(error)) from error


def read_direction(resources: Resources) -> str:
    """Return the human's current direction: it may be edited while a search runs.

    Raises:
        MutationError: It cannot be read.
    """
    try:
        return resources.direction.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MutationError(f"the direction {resources.direction} cannot be read: {error}") from error


def program_from(reply: Reply, base: Trial, population: Population, contract: Contract = TRAINED) -> Program:
    """Return the new program that a reply asks for.

    Raises:
        UnclearReasoningError: The reply is reasoning only, in which the answer cannot be distinguished from drafts.
        EditError: The reply has no edit that can be applied, or the program is already known.
        ContractError: The program breaks the target's contract.
    """
    assert base.program is not None
    text = answer_in_reasoning(reply.text, base.program.source) if reply.reasoning else reply.text
    complete = reply.finish_reason == _ENDED_ITSELF
    source = apply_reply(text, base.program.source, complete=complete, file=contract.metric.file)
    contract.check(source)
    return new_program(source, base, population, contract.metric)


def new_program(source: str, base: Trial, population: Population, metric: Metric) -> Program:
    """Return a program that is new to the search.

    Raises:
        EditError: The program is known; the message has its result.
    """
    program = Program(source)
    if base.program and program.id == base.program.id:
        raise EditError(f"this is the program of trial {base.number} unchanged: comments and layout do not count")
    twin = population.find(program.id)
    if twin is not None:
        score = population.scores.get(twin.number)
        result = twin.status.value if score is None else f"{twin.status.value}, {metric.name} {metric.text(score)}"
        raise EditError(f"this is the same program as trial {twin.number} ({result}): change something else")
    return program
