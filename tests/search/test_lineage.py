"""lineage.html: complete and small. tests/search/test_pages.py opens it in a browser."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from operators.population import Population
from operators.trial import Status
from search.figures import difference
from search.runs.sources import edited
from search.views.lineage import render_lineage
from search.views.selfcontained import unpack
from search.views.verdicts import ancestry
from target.metric import Metric
from target.program import Program
from tests.search.builders import MIXED, make_evaluation, make_population, make_summary, make_trial


def payload(population, **summary):
    return unpack(render_lineage(population, make_summary(population, **summary)))


def sources_of(page):
    """Return the programs of a page, as its script does: edits of others, in lines."""
    found = {}
    for number, source in page["sources"].items():
        text = source if isinstance(source, str) else edited(found[source["of"]], source["edits"])
        found[int(number)] = text
    return found


@pytest.mark.parametrize(
    "population", [Population(), make_population(Status.PENDING), make_population(Status.CRASHED), make_population(2.0)]
)
def test_a_search_that_has_hardly_begun_has_a_page(population):
    assert len(payload(population)["trials"]) == len(population.decided)


def test_every_decided_trial_is_there_with_its_parents_and_the_way_to_the_best():
    page = payload(MIXED)

    assert [each["number"] for each in page["trials"]] == [trial.number for trial in MIXED.decided]
    assert [each["parents"] for each in page["trials"]] == [list(trial.proposal.parents) for trial in MIXED.decided]
    assert (page["path"], page["best"]) == ([0, 1, 5, 9], 9)


def test_a_program_that_the_operator_drew_on_is_a_parent_too():
    first, second, child = (make_trial(number, 2.0 - number / 10, status=Status.KEEP) for number in (1, 2, 3))
    child = replace(child, mutation=replace(child.mutation, extra_parents=(2,)))
    page = payload(Population((make_trial(0, 2.0, status=Status.BASELINE), first, second, child)))

    assert page["trials"][3]["parents"] == [0, 2]


def test_the_programs_can_be_made_from_the_page():
    assert sources_of(payload(MIXED)) == {each.number: each.program.source for each in MIXED.decided if each.program}


def test_a_long_search_is_shown_by_its_champions_and_its_latest_trials():
    population = make_population(2.0, 1.9, *[1.95] * 2008)
    text = render_lineage(population, make_summary(population))

    assert [each["number"] for each in unpack(text)["trials"]] == [0, 1, *range(10, 2010)]
    assert "8 others are in results.tsv" in text
    assert unpack(text)["counts"]["discard"] == 2008


def test_many_large_rewrites_make_a_page_of_bearable_size():
    noise = random.Random(0)
    population = make_population(*[2.0] * 400)
    lines = [f"{noise.randbytes(30).hex()} = 1\n" for _ in range(20_000)]
    rewritten = [
        replace(each, mutation=replace(each.mutation, program=Program("".join(noise.sample(lines, 400)))))
        for each in population.trials
    ]
    text = render_lineage(Population(tuple(rewritten)), make_summary(population))

    assert len(text) < 5_000_000
    assert len(unpack(text)["sources"]) > 100


def test_scores_are_compared_whatever_seeds_they_were_taken_with():
    old = make_trial(0, 2.0, status=Status.BASELINE)
    old = replace(old, evaluations=(make_evaluation(2.0, seed=1), make_evaluation(2.4, seed=2)))
    new = replace(old, number=1, evaluations=(make_evaluation(2.3, seed=2),), status=Status.DISCARD, decided=1)
    crashed = make_trial(2, status=Status.CRASHED)
    population = Population((old, new, crashed))

    assert difference(new, old, population) < 0  # though its plain mean is above: seed 2 is the unlucky one
    assert difference(old, old, population) is None
    assert difference(crashed, old, population) is None
    assert difference(new, None, population) is None


def test_the_way_to_the_best_follows_first_parents():
    assert [step.trial.number for step in ancestry(MIXED.trials[9], MIXED)] == [0, 1, 5, 9]


def test_the_champion_at_the_time_of_a_verdict():
    at = {trial.number: MIXED.champion_before(trial) for trial in MIXED.trials}

    assert at[0] is None
    assert {number: champion.number for number, champion in at.items() if champion} == {
        1: 0, 2: 1, 3: 1, 4: 1, 5: 1, 6: 5, 7: 5, 8: 5, 9: 5, 10: 9
    }  # fmt: skip


def test_a_metric_that_is_maximized_has_its_own_name_sign_and_direction():
    metric = Metric(name="speed", is_maximized=True)
    text = render_lineage(MIXED, make_summary(MIXED), metric)
    data, own = unpack(text), unpack(render_lineage(MIXED, make_summary(MIXED)))

    assert "speed is the mean of a trial" in text
    assert "positive is better" in text
    assert "val_bpb" not in text
    assert [each["value"] for each in data["trials"]] == [
        None if each["value"] is None else -each["value"] for each in own["trials"]
    ]
    assert data["range"] == [-end for end in reversed(own["range"])]
