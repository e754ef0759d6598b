"""lineage.html: complete, self-contained, and not affected by what models write."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from operators.population import Population
from operators.trial import Status
from search.figures import difference
from search.views.lineage import render_lineage
from search.views.verdicts import ancestry
from target.program import Program
from tests.search.builders import MIXED, make_evaluation, make_population, make_summary, make_trial

HOSTILE = '</title></svg><script>alert(1)</script><img src=x onerror=alert(2)> " onclick="alert(3) {{ 7 * 7 }}'
VOID = {"meta", "br", "img", "circle", "line", "path"}


class Page(HTMLParser):
    """Elements of a page by tag, refusing one that is closed in the wrong order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def render(population, **summary):
    return render_lineage(population, make_summary(population, **summary))


@pytest.mark.parametrize(
    "population", [Population(), make_population(Status.PENDING), make_population(Status.CRASHED), make_population(2.0)]
)
def test_a_search_that_has_hardly_begun_has_a_page(population):
    page = Page(render(population))

    assert len(page.all("circle")) == len(population.scored)


def test_every_decided_trial_is_a_node_that_leads_to_its_row():
    page = Page(render(MIXED))

    links = [link["href"] for link in page.all("a") if "href" in link]
    rows = [row["id"] for row in page.all("tr") if "id" in row]
    assert rows == [f"t{trial.number}" for trial in MIXED.decided]
    assert {f"#{row}" for row in rows} <= set(links)
    assert set(links) <= {f"#{row}" for row in rows}


def test_edges_lead_from_parent_to_child_and_the_way_to_the_best_is_marked():
    edges = [path["class"] for path in Page(render(MIXED)).all("path") if "edge" in path.get("class", "")]

    assert len(edges) == 9
    assert edges.count("edge best") == 3


def test_a_program_that_the_operator_drew_on_is_a_parent_too():
    first, second, child = (make_trial(number, 2.0 - number / 10, status=Status.KEEP) for number in (1, 2, 3))
    child = replace(child, mutation=replace(child.mutation, extra_parents=(2,)))
    page = Page(render(Population((make_trial(0, 2.0, status=Status.BASELINE), first, second, child))))

    assert len([path for path in page.all("path") if "edge" in path.get("class", "")]) == 4
    assert sum(link.get("href") == "#t2" for link in page.all("a")) == 1 + sum(
        link.get("href") == "#t1" for link in page.all("a")
    )


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs():
    page = Page(render(MIXED))

    assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"https?://|url\(|@import", render(MIXED))


def test_what_models_write_is_text_and_nothing_else():
    mutation = make_trial(1, 1.9, status=Status.KEEP).mutation
    child = replace(
        make_trial(1, 1.9, status=Status.KEEP, detail=HOSTILE),
        mutation=replace(
            mutation,
            description=HOSTILE,
            rationale=HOSTILE,
            operator=HOSTILE,
            program=Program(f"X = 1  # {HOSTILE}\n"),
        ),
    )
    population = Population((make_trial(0, 2.0, status=Status.BASELINE), child))

    text = render(population, name=HOSTILE, stop_reason=HOSTILE)

    page = Page(text)
    assert not page.all("script")
    assert not page.all("img")
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "{{ 7 * 7 }}" in text


def test_a_thousand_trials_make_a_page_of_bearable_size():
    population = make_population(*[2.0 - number / 2000 if number % 3 else Status.CRASHED for number in range(1, 1001)])

    text = render(population)

    assert len(Page(text).all("tr")) == 1001
    assert len(text) < 2_000_000


def test_a_long_search_is_shown_by_its_champions_and_its_latest_trials():
    scores = [2.0, 1.9, *[1.95] * 1008]
    text = render(make_population(*scores))

    rows = [attributes["id"] for tag, attributes in Page(text).elements if tag == "tr" and "id" in attributes]
    assert rows == ["t0", "t1", *[f"t{number}" for number in range(10, 1010)]]
    assert "8 others are in results.tsv" in text
    assert "discard (1008)" in text


def test_a_rewrite_of_a_long_program_is_cut_with_a_pointer_to_the_whole():
    long = Program("".join(f"A{index} = {index}\n" for index in range(3000)))
    child = make_trial(1, 1.9, status=Status.KEEP)
    child = replace(child, mutation=replace(child.mutation, program=long))

    text = render(Population((make_trial(0, 2.0, status=Status.BASELINE), child)))

    assert "more lines: see diff.patch of the trial" in text
    assert "A2999" not in text


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
