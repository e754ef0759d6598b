"""A pre-flight judges whether a program fits: by its size without memory, and by what earlier trainings say."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from operators.population import Population
from operators.trial import Mutation, Status
from search.evidence import evidence_for
from target.corpus import CorpusFiles
from target.evaluation import Evaluation, Outcome
from target.evaluator import Evaluator
from target.evidence import Evidence, OutOfMemory
from target.program import Program
from target.program.comparable import comparable
from target.spec import TargetSpec
from tests.search.builders import make_trial
from tests.target.candidates import HONEST, variant

LARGE = 10**9
SIZED = variant(
    ("STEPS = 8", "WIDTH = 16\nBATCH = 8\nLR = 0.01\nFAST = True\nSTEPS = 8"),
    ("nn.Embedding(vocab_size, 16)", "nn.Embedding(vocab_size, WIDTH)"),
    ("nn.Linear(32, 16)", "nn.Linear(2 * WIDTH, WIDTH)"),
    ("nn.Linear(16, vocab_size)", "nn.Linear(WIDTH, vocab_size)"),
    ("lr=0.01", "lr=LR if FAST else 0"),
    ("prepare.batches(8,", "prepare.batches(BATCH,"),
)
PROGRAM = Program(SIZED)


def wider(width: int, **constants: float) -> Program:
    return PROGRAM.with_constants({"WIDTH": width, **constants})


def failed(program: Program, memory_bytes: int = LARGE * 1000) -> Evidence:
    return Evidence(failed=(OutOfMemory(number=12, program=program, memory_bytes=memory_bytes),))


@pytest.mark.parametrize(
    ("constants", "same"),
    [
        ({"WIDTH": 32}, True),
        ({"WIDTH": 8, "LR": 0.1}, True),
        ({"BATCH": 4}, False),  # another batch
        ({"BATCH": 16}, False),
        ({"STEPS": 9}, False),  # a whole number of main, whatever it means there
        ({"FAST": False}, False),
    ],
)
def test_programs_are_comparable_if_only_the_model_differs(constants: dict[str, float], same: bool) -> None:
    other = PROGRAM.with_constants(constants)
    assert comparable(PROGRAM, other) == same
    assert comparable(other, PROGRAM) == same


def test_programs_with_other_code_are_not_comparable() -> None:
    assert not comparable(PROGRAM, Program(SIZED.replace("torch.tanh", "torch.relu")))
    assert not comparable(Program("x = ("), Program("x = ("))


def test_what_ran_out_of_memory_refuses_what_is_no_smaller(evaluator: Evaluator, log: Path) -> None:
    for width in (32, 64):
        found = evaluator.preflight(wider(width), log, evidence=failed(wider(32)))
        assert found is not None
        assert (found.outcome, found.trained, found.train_seconds) == (Outcome.OUT_OF_MEMORY, False, 0)
        assert found.detail.startswith(
            "pre-flight: it cannot fit: trial 12 ran out of memory with a model that is no larger: "
        )
    assert evaluator.preflight(wider(31), log, evidence=failed(wider(32))) is None


@pytest.fixture(scope="module")
def patient(spec: TargetSpec, corpus: CorpusFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evaluator]:
    """An evaluator with time for a larger program, and room for its weights."""
    target = dataclasses.replace(spec, preflight_seconds=10, weights_bytes=10**15)
    with Evaluator(target, corpus, scratch=tmp_path_factory.mktemp("scratch")) as shared:
        yield shared


def test_the_first_program_of_a_search_can_be_judged(patient: Evaluator, spec: TargetSpec, log: Path) -> None:
    """It uses `torch.autocast`, attention kernels and tables made at the first call."""
    small = {"DEPTH": 2, "N_HEADS": 2, "HEAD_DIM": 16, "BATCH_TOKENS": 256}
    program = dataclasses.replace(spec, constants=small).seed_program()
    deeper, shallower = program.with_constants({"DEPTH": 3}), program.with_constants({"DEPTH": 1})

    found = patient.preflight(deeper, log, evidence=failed(program))
    assert found is not None
    assert found.outcome is Outcome.OUT_OF_MEMORY
    assert patient.preflight(shallower, log, evidence=failed(program)) is None


def test_what_was_too_large_for_less_memory_refuses_nothing(evaluator: Evaluator, log: Path) -> None:
    assert evaluator.preflight(wider(64), log, evidence=failed(wider(32), memory_bytes=LARGE)) is None


def test_what_is_no_larger_than_a_program_that_trained_is_not_refused(evaluator: Evaluator, log: Path) -> None:
    known = dataclasses.replace(failed(wider(32)), trained=(wider(48),))
    assert evaluator.preflight(wider(40), log, evidence=known) is None
    assert evaluator.preflight(wider(64), log, evidence=known) is not None


def test_more_parameters_with_fewer_activations_are_not_refused(evaluator: Evaluator, log: Path) -> None:
    source = SIZED.replace("BATCH = 8", "BATCH = 8\nREPEATS = 4").replace(
        "        x = self.embed(idx)\n",
        "        x = self.embed(idx)\n        for _ in range(REPEATS): x = torch.tanh(x)\n",
    )
    deep, wide = Program(source), Program(source).with_constants({"REPEATS": 1, "WIDTH": 20})
    assert comparable(deep, wide)
    assert evaluator.preflight(wide, log, evidence=failed(deep)) is None


def test_an_absurd_size_is_refused_without_memory(evaluator: Evaluator, log: Path) -> None:
    found = evaluator.preflight(wider(10**6), log)  # 8 terabytes

    assert found is not None
    assert (found.outcome, found.trained) == (Outcome.REJECTED, False)
    said = (
        r"weights: the model trains [\d,]+ numbers, which at a byte each are more than weights\.pt may have: 50,000,000"
    )
    assert re.search(said, found.detail), found.detail


def test_what_exceeds_the_memory_is_out_of_memory(patient: Evaluator, log: Path) -> None:
    found = patient.preflight(wider(10**5), log)

    assert found is not None
    assert found.outcome is Outcome.OUT_OF_MEMORY
    assert "are more than the memory of a training: 3,000,000,000 bytes" in found.detail


@pytest.mark.parametrize(
    "line",
    [
        "self.scale = float(torch.ones(()).item())",  # a value is read
        "import sys; type(torch.ones(1)) is torch.Tensor or sys.exit(3)",
        "self.register_buffer('table', TABLE.setdefault(0, torch.ones(3)))",  # remembered across builds
    ],
)
def test_what_cannot_be_built_without_memory_is_built_with_it(evaluator: Evaluator, log: Path, line: str) -> None:
    source = variant(
        ("STEPS = 8", "TABLE = {}\nSTEPS = 8"), ("super().__init__()", f"super().__init__()\n        {line}")
    )
    assert evaluator.preflight(Program(source), log) is None


def test_a_real_out_of_memory_is_evidence(evaluator: Evaluator, spec: TargetSpec, log: Path) -> None:
    hungry = Program(SIZED.replace("    optimizer = ", "    hoard = torch.ones(BATCH * 10**9)\n    optimizer = "))
    assert evaluator.preflight(hungry, log) is None, "a pre-flight does not run main()"
    run = evaluator.evaluate(hungry, 0, log)
    assert (run.outcome, run.memory_bytes) == (Outcome.OUT_OF_MEMORY, spec.memory_bytes)
    assert Evaluation.from_json(run.to_record()) == run

    population = population_with(hungry, run)
    larger = hungry.with_constants({"WIDTH": 32})
    found = evaluator.preflight(larger, log, evidence=evidence_for(larger, population))
    assert found is not None
    assert (found.outcome, found.trained) == (Outcome.OUT_OF_MEMORY, False)
    assert "trial 1 ran out of memory" in found.detail
    for other in (hungry.with_constants({"BATCH": 1}), hungry.with_constants({"WIDTH": 8})):
        assert evaluator.preflight(other, log, evidence=evidence_for(other, population)) is None


def population_with(program: Program, run: Evaluation) -> Population:
    seed = make_trial(0, 2.0, status=Status.BASELINE)
    mutation = Mutation(program=program, operator="constants", description="")
    trial = make_trial(1, status=Status.OUT_OF_MEMORY)
    return Population((seed, dataclasses.replace(trial, mutation=mutation, evaluations=(run,))))


def test_only_a_training_on_a_known_amount_of_memory_is_evidence() -> None:
    run = Evaluation(outcome=Outcome.OUT_OF_MEMORY, seed=0, memory_bytes=LARGE)
    assert evidence_for(PROGRAM, population_with(PROGRAM, run)).failed[0].number == 1
    for other in (dataclasses.replace(run, trained=False), dataclasses.replace(run, memory_bytes=None)):
        assert evidence_for(PROGRAM, population_with(PROGRAM, other)) == Evidence()
    assert evidence_for(Program(HONEST), population_with(PROGRAM, run)) == Evidence()


def test_evidence_crosses_the_pipe() -> None:
    known = dataclasses.replace(failed(wider(32)), trained=(wider(48),))
    assert Evidence.from_json(known.to_json()) == known
