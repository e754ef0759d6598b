"""The table: every candidate through the real evaluator, each training cut short, each verdict as it must be."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from target.evaluation import Outcome
from target.evaluator import Evaluator
from target.program import Program
from tests.hostile.candidates import HONEST, HOSTILE
from tests.target.conftest import below

SEED = 1
SAME_BPB = 1e-6  # equal weights in rows of another order: the sums are rounded otherwise


@pytest.fixture(scope="module")
def twin_score(confined: Evaluator, tmp_path_factory):
    """Return what an honest program scores; each is evaluated once."""
    scores: dict[str, float] = {}

    def twin_score(source: str) -> float:
        if source not in scores:
            found = confined.evaluate(Program(source), SEED, tmp_path_factory.mktemp("twin") / "log")
            assert found.val_bpb is not None, found.detail
            scores[source] = found.val_bpb
        return scores[source]

    return twin_score


@pytest.mark.parametrize("candidate", HOSTILE, ids=[candidate.name for candidate in HOSTILE])
def test_a_hostile_candidate_is_refused_or_gains_nothing(confined, twin_score, log, tell, candidate):
    found = confined.evaluate(Program(candidate.source), SEED, log)

    tell(candidate.name, candidate.tries, found)
    assert found.outcome is candidate.outcome, found.detail
    assert re.search(candidate.said, found.detail), found.detail
    assert not any(line.startswith("STOLEN") for line in log.read_text().splitlines())
    assert below(confined.zygote_pid) == []
    if found.outcome is Outcome.OK:
        assert found.val_bpb == pytest.approx(twin_score(candidate.twin), abs=SAME_BPB)


@pytest.mark.parametrize("candidate", HONEST, ids=[candidate.name for candidate in HONEST])
def test_an_honest_architecture_is_accepted(confined, log, tell, candidate):
    refused = confined.preflight(Program(candidate.source), log)
    assert refused is None, refused.detail

    found = confined.evaluate(Program(candidate.source), SEED, log)

    tell(candidate.name, candidate.tries, found, hostile=False)
    assert found.outcome is Outcome.OK, found.detail
    assert 1 < found.val_bpb < 12


def test_the_table_has_a_name_for_every_row_and_enough_of_each_kind():
    assert max(Counter(candidate.name for candidate in HOSTILE).values()) == 1
    assert max(Counter(candidate.name for candidate in HONEST).values()) == 1
    assert len(HOSTILE) >= 45
    assert len(HONEST) >= 10
