"""The pages of a search, in a browser: they draw, can be clicked through, and run nothing that a model wrote."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from rich.console import Console

from operators.population import Population
from operators.trial import Status
from search.budget import Budget
from search.figures import delta_of, delta_text, value_of, value_text
from search.observer import Running
from search.report import html, render_report_page
from search.report.__main__ import main as report
from search.runs.files import write_atomically
from search.runs.finished import read_summary
from search.runs.reading import read_population
from search.runs.rundir import RunDirectory
from search.status.__main__ import state_of
from search.views.drawing import live_view
from search.views.lineage import render_lineage
from search.views.selfcontained import unpack
from target.program import Program
from tests.browser import PROGRAM, Browser, browser
from tests.search.builders import MIXED, make_summary, make_trial
from tests.search.command import rows_of, run, summary_of

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")
HOSTILE = (
    '</script><script>hacked = 1</script><img src=x onerror="hacked = 2"> " onclick="hacked = 3" {{ 7 * 7 }} \ud800'
)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """Return a finished search whose scores have noise and are corrected for the training seeds."""
    folder = tmp_path_factory.mktemp("pages")
    settings = ("target=landscape", "operator=mix", "strategy=greedy", "acceptance=confirm", "budget.trainings=70")
    done = run(folder, *settings, "tracker=none", "name=demo")
    assert done.returncode == 0, done.stderr
    return RunDirectory(folder / "outputs" / "demo")


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def test_every_view_shows_the_same_value_and_delta_of_a_trial(searched: RunDirectory) -> None:
    people, summary = read_population(searched), read_summary(searched)
    values = {each.number: value_of(each, people) for each in people.decided}
    deltas = {each.number: delta_of(each, people) for each in people.decided}
    texts = {each.number: (value_text(each, people), delta_text(each, people)) for each in people.decided}
    plain = {each.number: each.score for each in people.decided}
    assert sum(value != plain[number] for number, value in values.items()) > 5, "the correction for seeds does nothing"

    for row in rows_of(searched.root):
        value, delta = values[int(row["number"])], deltas[int(row["number"])]
        assert row["val_bpb"] == ("" if value is None else f"{value:.6f}")
        assert (row["delta"], row["against"]) == (
            ("", "") if delta is None else (f"{delta.amount:+.6f}", f"{delta.against}")
        )
    for name in ("lineage.html", "report.html"):
        page = unpack((searched.root / name).read_text())
        assert {each["number"]: (each["shown"], each["delta"]) for each in page["trials"]} == texts
    table = (searched.root / "report.md").read_text().partition("From the seed program")[2]
    steps = re.findall(r"^\| #(\d+) \| \w+ \| ([\d.]+) \| \d+ \| ([-+.\d]*) \|", table, re.MULTILINE)
    assert len(steps) > 2
    assert {int(number): (value, delta) for number, value, delta in steps}.items() <= texts.items()
    assert shown_live(people, searched).items() <= texts.items()
    ends = summary_of(searched.root)
    assert (ends["baseline_val_bpb"], ends["best_val_bpb"]) == (values[0], values[summary.best_trial or 0])
    assert (state_of(searched).baseline, state_of(searched).best) == (values[0], values[summary.best_trial or 0])


def shown_live(people: Population, folder: RunDirectory) -> dict[int, tuple[str, str]]:
    """Return value and delta by trial, as the live table of the console shows them."""
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(live_view(people, read_summary(folder), (), Budget(trainings=70), wall_seconds=1.0, height=60))
    found = re.findall(
        r"^ +(\d+)  \S+  +(?:#\S+)? +(\d\.\d{4}) +([-+]\d\.\d{4}(?: vs #\d+)?)", console.export_text(), re.M
    )
    assert len(found) > 5
    return {int(number): (value, delta) for number, value, delta in found}


@needs_browser
@pytest.mark.parametrize("width", [1400, 420])
def test_the_pages_can_be_clicked_through(searched: RunDirectory, tab: Browser, width: int) -> None:
    people = read_population(searched)
    best = people.champion
    assert best is not None
    tab.complaints.clear()
    tab.resize(width, 900)
    tab.open(searched.root / "report.html")
    assert tab.value("document.querySelectorAll('.chart .mark').length") == len(people.decided)
    assert tab.value("document.getElementById('live').textContent").startswith("ended; written")
    assert_nothing_is_cut_off(tab)
    tab.click("#whole-diff summary")
    tab.wait("document.getElementById('whole-diff').open")
    tab.click(f".steps a[href='lineage.html#t{best.number}']")
    tab.wait("location.pathname.endsWith('lineage.html') && document.querySelector('#diff .add') !== null")

    assert tab.value("document.querySelector('#panel strong').textContent") == f"#{best.number}"
    tab.click("[data-against=seed]")
    tab.wait("document.querySelector('[data-against=seed]').getAttribute('aria-pressed') === 'true'")
    added = tab.value("[...document.querySelectorAll('#diff .add')].map(e => e.textContent.slice(1))")
    assert best.program is not None
    assert added == [line for line in best.program.source.splitlines() if line not in people.trials[0].program.source]
    tab.click("#alone")
    path = tab.value("document.getElementById('count').textContent")
    assert path.startswith(f"{len(unpack((searched.root / 'lineage.html').read_text())['path'])} of ")
    tab.click("#alone")
    tab.click("th [data-key=value]")
    assert tab.value("document.querySelector('#rows tr').id") == f"t{people.ranked()[0].number}"
    tab.value("(e => { e.value = '#3'; e.dispatchEvent(new Event('input')) })(document.getElementById('words'))")
    assert tab.value("[...document.querySelectorAll('#rows tr')].every(e => e.id.startsWith('t3'))")
    assert_nothing_is_cut_off(tab)
    assert tab.complaints == []


@needs_browser
def test_the_chart_can_be_moved_and_a_mark_opens_its_trial(searched: RunDirectory, tab: Browser) -> None:
    tab.resize(1400, 900)
    tab.open(searched.root / "lineage.html")
    first, last = "document.querySelector('.chart .mark')", "[...document.querySelectorAll('.chart .mark')].at(-1)"
    place = "(m => { const b = m.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })"
    x, y = tab.value(f"{place}({last})")
    before = tab.value(f"{place}({first})")
    tab.mouse("mouseWheel", x, y, deltaX=0, deltaY=-400)
    tab.wait(f"Math.abs({place}({first})[0] - {before[0]}) > 20")
    tab.click("#fit")
    tab.wait(f"Math.abs({place}({first})[0] - {before[0]}) < 1")
    tab.mouse("mousePressed", x, y)
    tab.mouse("mouseReleased", x, y)
    tab.wait("document.querySelector('#panel strong') !== null")
    assert tab.value("location.hash").startswith("#t")
    assert tab.complaints == []


@needs_browser
def test_a_page_of_a_running_search_reads_itself_again_and_keeps_what_was_open(
    tmp_path: Path, tab: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "RELOAD_SECONDS", 0.3)
    page, folder = tmp_path / "report.html", RunDirectory(tmp_path)
    work = [Running(number=10, stage="train", seconds=35)]
    page.write_text(render_report_page(MIXED, make_summary(MIXED, status="running"), folder, work))
    tab.resize(1400, 500)
    tab.open(page)
    tab.wait("document.body?.textContent.includes('Under way')")
    opened, drawn = "document.getElementById('whole-diff').open", "document.querySelector('.chart .mark') !== null"
    began = tab.wait(f"{drawn} && ({opened} = true, scrollTo(0, 250), performance.timeOrigin)")
    tab.wait(f"performance.timeOrigin > {began} && {drawn} && {opened} && scrollY === 250")
    write_atomically(page, render_report_page(MIXED, make_summary(MIXED), folder))  # it may be read at any time
    tab.wait(f"document.getElementById('live')?.textContent.startsWith('ended') === true && {drawn}")
    edge = "document.querySelector('.chart').getBoundingClientRect().left"
    cut = f"[...document.querySelectorAll('.chart text')].filter(e => e.getBoundingClientRect().left < {edge})"
    assert tab.value(f"{cut}.map(e => e.textContent)") == [], "names of statuses are cut at the left edge"


@needs_browser
def test_what_models_write_is_text_and_nothing_else(tmp_path: Path, tab: Browser) -> None:
    child = make_trial(1, 1.9, status=Status.KEEP, detail=HOSTILE)
    assert child.mutation is not None
    mutation = replace(
        child.mutation,
        description=HOSTILE,
        rationale=HOSTILE,
        operator=HOSTILE,
        program=Program(f"X = 1  # {HOSTILE}\n"),
    )
    failed = make_trial(2, status=Status.CRASHED, detail=HOSTILE)
    people = Population((make_trial(0, 2.0, status=Status.BASELINE), replace(child, mutation=mutation), failed))
    summary = make_summary(people, name=HOSTILE, stop_reason=HOSTILE)
    report_page = render_report_page(people, summary, RunDirectory(tmp_path))
    tab.complaints.clear()
    for name, text in (("report.html", report_page), ("lineage.html", render_lineage(people, summary))):
        write_atomically(tmp_path / name, text)
        tab.open(tmp_path / name, "#t1")
        assert tab.value("typeof hacked") == "undefined"
        assert tab.value("document.querySelectorAll('script').length") == 2
        assert tab.value("document.querySelectorAll('img, iframe, object, link, [onclick], [onerror]').length") == 0
        assert tab.value("document.body.textContent.includes('hacked = 2')")
        assert "{{ 7 * 7 }}" in tab.value("document.body.textContent")
    assert tab.value("document.querySelector('#diff').textContent.includes('hacked = 3')")
    assert tab.complaints == []


@needs_browser
def test_diffs_are_right_and_programs_are_what_was_trained(tmp_path: Path, tab: Browser) -> None:
    odd = "A = 1\r\nB = '\u2028'\x0c\nC = 3\x1d\nD = 4"
    child = make_trial(1, 1.9, status=Status.KEEP)
    assert child.mutation is not None
    child = replace(child, mutation=replace(child.mutation, program=Program(odd)))
    grandchild = make_trial(2, 1.8, status=Status.KEEP, parents=(1,))
    people = Population((make_trial(0, 2.0, status=Status.BASELINE), child, grandchild))
    (tmp_path / "lineage.html").write_text(render_lineage(people, make_summary(people)))
    tab.open(tmp_path / "lineage.html")
    for trial in people.trials:
        assert trial.program is not None
        source = tab.value(f"unpacked().then(each => new Programs(each.sources).source({trial.number}))")
        assert source == trial.program.source

    noise = random.Random(0)
    pairs = [[[noise.choice("abcd") for _ in range(noise.randrange(12))] for _ in range(2)] for _ in range(300)]
    steps = tab.value(f"{json.dumps(pairs)}.map(each => compared(...each))")
    for (before, after), found in zip(pairs, steps, strict=True):
        assert [line for kind, line in found if kind in " -"] == before
        assert [line for kind, line in found if kind in " +"] == after
        assert sum(kind == " " for kind, _ in found) == longest_common(before, after)


def longest_common(before: list[str], after: list[str]) -> int:
    """Return the length of the longest common subsequence: what a shortest diff keeps."""
    row = [0] * (len(after) + 1)
    for one in before:
        above, row = row, [0]
        for index, other in enumerate(after):
            row.append(above[index] + 1 if one == other else max(row[-1], above[index + 1]))
    return row[-1]


def test_the_command_writes_both_reports(searched: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    (searched.root / "report.html").unlink()

    assert report([str(searched.root)]) == 0
    assert capsys.readouterr().out == (searched.root / "report.md").read_text()
    assert len(unpack((searched.root / "report.html").read_text())["trials"]) == len(read_population(searched).decided)


def assert_nothing_is_cut_off(tab: Browser) -> None:
    page = "document.documentElement"
    assert tab.value(f"{page}.scrollWidth <= {page}.clientWidth"), "the page scrolls sideways"
    cut = "c => e => (b => b.left < c.left - 1 || b.right > c.right + 1)(e.getBoundingClientRect())"
    box = "document.querySelector('.chart').getBoundingClientRect()"
    labels = "[...document.querySelectorAll('.chart text')]"
    assert tab.value(f"{labels}.filter(({cut})({box})).map(e => e.textContent)") == [], "labels are cut off"


def test_the_pages_load_nothing_and_let_only_their_own_script_run(searched: RunDirectory) -> None:
    for name in ("report.html", "lineage.html"):
        text = unescape((searched.root / name).read_text())
        script = text.rpartition("<script>")[2].partition("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'" in text
        assert not re.search(r"(src|href)=\"?https?:|url\((?!#)|@import", text)
