"""Prompts: what is in them, in which order, and what gives way when there is no room."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import hydra
import pytest

import conf
from operators.base import MutationError
from operators.population import Population
from operators.prompts.briefing import Briefing
from operators.prompts.prompt import Prompt, tokens
from operators.trial import Proposal, Status
from target.evaluation import Evaluation, Outcome
from target.program import Program
from target.training_statistics import TrainingStatistics
from tests.operators.composed import compose
from tests.operators.scripted_model import make_prompt
from tests.search.builders import make_trial

PROMPTS = sorted(path.stem for path in (Path(conf.__file__).parent / "prompt").glob("*.yaml"))
STATISTICS = TrainingStatistics(
    steps=101, first_step_seconds=2.0, last_step_seconds=10.0, batch_seconds=0.5, optimizer_seconds=2.0
)
LIMITS = ("A training has 10 seconds.", "It runs on cpu.")


def history() -> Population:
    """Return a search with something of each kind: kept, discarded, near misses, crashed, refused."""
    trials = [
        make_trial(0, 2.0, status=Status.BASELINE),
        make_trial(1, 1.9, status=Status.KEEP, description="a kept change"),
        make_trial(2, 1.8, status=Status.KEEP, parents=(1,), description="a second kept change"),
        make_trial(3, 1.801, status=Status.DISCARD, parents=(2,), description="nearly as good"),
        make_trial(4, 1.95, status=Status.DISCARD, parents=(2,), description="clearly worse"),
        make_trial(5, status=Status.CRASHED, parents=(2,), description="a crash", detail="ValueError: bad shape"),
        make_trial(6, status=Status.REJECTED, parents=(0,), description="a leak", detail="D1: sees the future"),
        make_trial(7, 1.85, status=Status.DISCARD, parents=(0,), description="a cousin"),
        make_trial(8, status=Status.NOT_BUILT, parents=(2,), detail="no code block"),
    ]
    run = replace(trials[2].evaluations[0], statistics=STATISTICS)
    trials[2] = replace(trials[2], evaluations=(run,))
    return Population(tuple(trials))


def ask(
    prompt: Prompt,
    population: Population,
    base: int = 2,
    *,
    answer: str = "patch",
    companions: tuple[int, ...] | None = None,
) -> list[str]:
    proposal = Proposal(parents=(base,), seed=0, companions=companions)
    briefing = Briefing(answer=answer, proposal=proposal, population=population, base=population.trials[base])
    messages = prompt.messages(briefing, direction="Go deep.", limits=LIMITS)
    assert [message.role for message in messages] == ["system", "user"]
    return [message.text for message in messages]


def test_the_static_message_has_rules_limits_form_and_direction() -> None:
    system, _ = ask(make_prompt(), history())

    for part in ("build_model(vocab_size)", "prepare.finish", *LIMITS, "<<<<<<< SEARCH", "Go deep."):
        assert part in system


def test_the_static_message_does_not_depend_on_the_proposal() -> None:
    prompt = make_prompt()

    assert (
        ask(prompt, history(), 2)[0]
        == ask(prompt, history(), 7)[0]
        == ask(prompt, Population(history().trials[:1]), 0)[0]
    )


def test_the_other_message_has_the_program_first_and_then_what_is_known() -> None:
    population = history()
    _, task = ask(make_prompt(), population, companions=(7,))
    program = population.trials[2].program
    assert program is not None
    parts = [
        program.source.strip(),
        "val_bpb 1.8000; -0.2000 against the seed program",
        "Training loss in nats:",
        "- 101 optimiser steps: the first ended after 2.0 s",
        "#2 a second kept change: val_bpb 1.8000 (-0.1000 against its parent)\n- #1 a kept change",
        "#7 a cousin",
        "#3 nearly as good",
        "#4 clearly worse: val_bpb 1.9500 (+0.1500 against its parent)",
        "#5 a crash: crashed: ValueError: bad shape",
        "#6 a leak: rejected: D1: sees the future",
        "starting from trial #2",
    ]
    places = [task.index(part) for part in parts]

    assert places == sorted(places)
    assert task.count("#7") == 2, "told once, and the head of its diff"
    assert "no code block" not in task, "the form of earlier answers is no experiment"


def test_what_an_earlier_search_tried_is_told_by_itself_and_gives_way_first() -> None:
    known = [
        make_trial(number, status=Status.UNMEASURED, description=f"idea {number}", detail="keep at 0.9000 in mar8")
        for number in range(9, 20)
    ]
    population = Population((*history().trials, *known))
    prompt = make_prompt(constants=0, unsuccessful=3)
    _, task = ask(prompt, population)

    heading = "# Tried by an earlier search, under other conditions: its scores cannot be compared with those above"
    told = task[task.index(heading) :]
    assert [f"idea {number}: keep at 0.9000 in mar8" in told for number in (19, 18, 17, 16)] == [True] * 3 + [False]
    assert heading not in ask(prompt, history())[1]
    size = sum(map(tokens, ask(prompt, population)))
    _, less = ask(make_prompt(constants=0, unsuccessful=3, max_tokens=size - 1), population)
    assert ("idea 17" in less, "idea 18" in less, "clearly worse" in less) == (False, True, True)


def test_differences_have_a_standard_error_as_soon_as_a_program_was_trained_twice() -> None:
    trials = list(history().trials)
    for number in (0, 1, 2):
        run = trials[number].evaluations[0]
        assert run.score is not None
        again = replace(run, seed=run.seed + 1, score=run.score + (0.004 if number == 1 else 0.0))
        trials[number] = replace(trials[number], evaluations=(run, again))
    population = Population(tuple(trials))
    error = population.error_between(2, 1)

    _, task = ask(make_prompt(), population)

    assert f"against its parent, standard error {error:.4f})\n- #1 a kept change" in task


def test_a_near_miss_is_within_the_standard_error_where_it_is_known() -> None:
    runs = [replace(history().trials[0].evaluations[0], seed=seed, score=2.0 + 0.1 * (seed % 2)) for seed in range(4)]
    trials = [replace(history().trials[0], evaluations=tuple(runs))]
    trials += [
        replace(make_trial(number, score, status=Status.DISCARD, parents=(0,), description=name), evaluations=(run,))
        for number, score, name in ((1, 2.02, "within"), (2, 2.9, "beyond"))
        for run in [replace(runs[0], score=score)]
    ]

    _, task = ask(make_prompt(), Population(tuple(trials)), 0, companions=())

    assert "within" in task.split("# Near misses")[1].split("\n# ")[0]
    assert "beyond" in task.split("# Tried without success")[1].split("\n# ")[0]


def test_the_curve_has_few_points_and_the_last() -> None:
    _, task = ask(make_prompt(curve=4), history())
    (line,) = [line for line in task.split("\n") if line.startswith("Training loss")]

    assert line.count(";") == 3
    assert "1.9 s: 2.069." in line


@pytest.mark.parametrize(("companions", "shown"), [(None, ["#7", "#3"]), ((4,), ["#4"]), ((1, 4, 99), ["#4"])])
def test_inspirations_are_those_of_the_strategy_or_the_best_of_the_others(
    companions: tuple[int, ...] | None, shown: list[str]
) -> None:
    _, task = ask(make_prompt(near_misses=0, unsuccessful=0), history(), companions=companions)
    section = task.split("# Other programs worth a look")[1].split("\n# ")[0]
    found = [line.split()[1] for line in section.split("\n") if line.startswith("- #")]

    assert sorted(found) == sorted(shown)
    assert "-MATRIX_LR = 0.022" in section, "as a diff from the program at hand"


def test_a_strategy_can_name_no_companions() -> None:
    assert "# Other programs" not in ask(make_prompt(), history(), companions=())[1]


def test_what_is_least_important_gives_way_first() -> None:
    population = history()
    full = ask(make_prompt(constants=0), population, companions=(7,))
    size = sum(map(tokens, full))
    marks = {
        "unsuccessful": "clearly worse",
        "near_misses": "nearly as good",
        "failures": "bad shape",
        "statistics": "101 optimiser steps",
        "inspirations": "# Other programs",
        "ancestors": "a kept change: val_bpb",
        "curve": "Training loss",
    }
    gone: list[str] = []
    for budget in range(size, 0, -3):
        try:
            _, task = ask(make_prompt(max_tokens=budget, constants=0), population, companions=(7,))
        except MutationError:
            break
        assert sum(map(tokens, (full[0], task))) <= budget
        gone += [name for name, mark in marks.items() if mark not in task and name not in gone]

    assert gone == list(marks)
    program = population.trials[2].program
    assert program is not None
    assert program.source.strip() in task
    assert "Go deep." in full[0]


def test_a_section_gives_up_its_last_item_first() -> None:
    more = [
        make_trial(number, 2.0 + number / 100, status=Status.DISCARD, parents=(2,), description=f"worse {number}")
        for number in (9, 10, 11)
    ]
    population = Population((*history().trials, *more))
    size = sum(map(tokens, ask(make_prompt(constants=0), population, companions=(7,))))
    _, task = ask(make_prompt(constants=0, max_tokens=size - 1), population, companions=(7,))

    assert [mark in task for mark in ("worse 11", "worse 10", "worse 9", "clearly worse")] == [True, True, True, False]


def test_what_must_be_said_and_does_not_fit_is_refused_with_the_size_it_needs() -> None:
    with pytest.raises(MutationError, match=r"needs at least \d+ tokens, .* is 100: raise it, .* has \d+$") as caught:
        ask(make_prompt(max_tokens=100), history())
    assert caught.value.attempt.prompt.startswith("default@")


def test_code_with_fences_stands_in_a_longer_fence() -> None:
    population = history()
    trial = population.trials[0]
    assert trial.mutation is not None
    source = '"""Run:\n\n````\npython train.py\n````\n"""\n' + trial.mutation.program.source
    program = replace(trial.mutation.program, source=source)
    seed = replace(trial, mutation=replace(trial.mutation, program=program))
    _, task = ask(make_prompt(), Population((seed,)), 0)

    assert f"`````python\n{source.strip()}\n`````" in task


def test_equal_knowledge_gives_equal_prompts() -> None:
    assert ask(make_prompt(), history()) == ask(make_prompt(), history())


@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_of_the_configuration_can_be_sent(name: str) -> None:
    prompt = hydra.utils.instantiate(compose(f"prompt={name}").prompt)
    population = history()

    for answer, sign in (
        ("patch", "SEARCH"),
        ("rewrite", "the whole new train.py"),
        ("suggest", "a block of Python with one line for each constant"),
        ("agent", "Edit `train.py` in place"),
    ):
        system, task = ask(prompt, population, answer=answer)
        assert sign in system
        assert "Go deep." in system
        assert population.trials[2].program is not None
        assert population.trials[2].program.source.strip() in task
    assert prompt.label.startswith(f"{name}@")


def test_who_is_asked_for_values_sees_the_free_constants_last() -> None:
    source = "A = 1  # knob: 1..9 int\nB = 2  # knob: fixed\nD = (0.9, 0.95)\nE = 2**4\nif A * D * E:\n    C = 3\n"
    for text, shown in ((source, "```python\nA = 1\nD = (0.9, 0.95)\nE = 2 ** 4\n```"), ("A = 1\nif", "")):
        trial = make_trial(0, 2.0, status=Status.BASELINE)
        assert trial.mutation is not None
        damaged = replace(trial, mutation=replace(trial.mutation, program=Program(text)))
        _, task = ask(make_prompt(), Population((damaged,)), 0, answer="suggest")
        end = task.partition("# Your task")[2]
        assert (shown in end) if shown else ("```" not in end)
        assert "B = 2" not in end
    assert "```" not in ask(make_prompt(), history(), answer="patch")[1].partition("# Your task")[2]


def test_the_prompts_differ_in_what_they_say() -> None:
    made = [hydra.utils.instantiate(compose(f"prompt={name}").prompt) for name in PROMPTS]
    asked = [ask(prompt, history()) for prompt in made]

    assert len({system for system, _ in asked}) == len(PROMPTS) >= 5
    assert len({prompt.label.split("@")[1] for prompt in made}) == len(PROMPTS)
    sizes = {name: sum(map(tokens, texts)) for name, texts in zip(PROMPTS, asked, strict=True)}
    assert sizes["terse"] == min(sizes.values())


def test_the_hash_follows_texts_and_settings(tmp_path: Path) -> None:
    mine = tmp_path / "mine.j2"
    mine.write_text('{% extends "system.j2" %}{% block stance %}Be bold.{% endblock %}')
    first = make_prompt(name="mine", system=str(mine))

    assert "Be bold." in ask(first, history())[0]
    assert make_prompt(name="mine", system=str(mine)).label == first.label
    assert make_prompt(name="mine", system=str(mine), curve=3).label != first.label
    mine.write_text(mine.read_text().replace("bold", "brave"))
    assert make_prompt(name="mine", system=str(mine)).label != first.label


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{% block %}", r"mine\.j2:1: "),
        ("{{ nonsense }}", "'nonsense' is undefined"),
        ('{% include "gone.j2" %}', "there is no template gone.j2"),
    ],
)
def test_a_wrong_template_is_refused_at_the_start(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "mine.j2").write_text(text)
    with pytest.raises(ValueError, match=reason):
        make_prompt(system=str(tmp_path / "mine.j2"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"system": "mine.j2"}, r"there is no template mine\.j2; a path needs a slash"),
        ({"curve": -1}, "must be at least 0"),
        ({"weight": 3}, "a prompt needs unsuccessful"),
    ],
)
def test_wrong_settings_are_refused_at_the_start(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make_prompt(**changes)


def test_a_result_says_how_sure_and_how_large_it_is() -> None:
    seed = make_trial(0, 2.0, status=Status.BASELINE, seeds=(1, 2))
    run = Evaluation(outcome=Outcome.OK, seed=1, score=2.0, n_parameters=1_234_567, peak_memory_bytes=2_000_000_000)
    seed = replace(seed, evaluations=(run, *seed.evaluations[1:]))
    _, task = ask(make_prompt(), Population((seed,)), 0)

    assert "val_bpb 2.0000, mean of 2 trainings; 1,234,567 parameters; 2.00 GB at its peak" in task


def test_a_stuck_search_names_what_failed_and_asks_for_another_kind() -> None:
    population = history()
    base = population.trials[2]

    def task(prompt: Prompt, **labels: int) -> str:
        proposal = Proposal(parents=(2,), seed=0, labels=labels)
        briefing = Briefing(answer="patch", proposal=proposal, population=population, base=base)
        return prompt.messages(briefing, direction="", limits=LIMITS)[1].text

    usual, stuck = task(make_prompt(inspirations=0)), task(make_prompt(inspirations=0), stuck=6)
    told = stuck[stuck.index("# Your task") :]
    assert "did not improve" not in usual
    assert "The last 6 trials did not improve on the best program" in told
    assert ("#4 clearly worse" in told, "#7 a cousin" in told) == (True, True)
    assert told.rstrip().endswith("Propose something of another kind than all of these.")
    assert stuck.count("clearly worse") == 1, "told once"
    least = task(make_prompt(inspirations=0, unsuccessful=0), stuck=6)
    assert "are not enough: propose something of another kind." in least
