"""A walk through MLflow's pages in a real browser, from the links that `python -m search.ui` prints."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.runs.rundir import RunDirectory
from tests.browser import PROGRAM, Browser, browser
from tests.ports import free_port
from tests.search.builders import make_population, make_summary
from tests.search.test_mlflow_pages import make_run, mirrored

ROOT = Path(__file__).parents[2]
_POPULATION = make_population(2.0, 1.9, 1.95, 1.85)


@contextlib.contextmanager
def links_of(folder: Path) -> Iterator[Callable[[], list[str]]]:
    """Start MLflow as a user does, which takes many seconds, and give what waits for the links that are printed."""
    port = free_port()
    words = [sys.executable, "-m", "search.ui", str(folder), "--port", str(port)]
    server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        said = iter(server.stdout.readline, "it runs until Ctrl-C\n")
        yield lambda: [line.split()[0] for line in said if line.startswith("http")]
    finally:
        server.send_signal(signal.SIGHUP)  # the terminal is closed
        server.communicate()
    with socket.socket() as gone:
        assert gone.connect_ex(("127.0.0.1", port))  # it left no server behind


def make_sweep(folder: Path) -> dict[str, RunDirectory]:
    """Return the folders of two searches, by their names."""
    found = {}
    for strategy in ("greedy", "random"):
        own = f"sweeps/cmp/seed=0,strategy={strategy}"
        found[own] = run = make_run(folder / own, f"strategy={strategy}")
        (run.root / "report.html").write_text("<p id=shown>the report</p>")
        run.journal.touch()
        run.write_summary(make_summary(_POPULATION, name=own))
        run.config.write_text(yaml.safe_dump({"tracker": {"tracking_uri": f"sqlite:///{folder}/mlflow.db"}}))
    return found


def press(tab: Browser, text: str, within: str = "a, button, [role=menuitem], [role=treeitem], li, span, div") -> None:
    """Click on the innermost element with a text, as a mouse does."""
    tab.press(
        f"[...document.querySelectorAll({json.dumps(within)})]"
        f".filter(e => e.offsetWidth && e.innerText?.trim().startsWith({json.dumps(text)})).pop()"
    )


@pytest.mark.skipif(PROGRAM is None, reason="needs Chromium (apt install chromium)")
def test_the_best_trial_its_parent_the_chart_and_the_report_are_a_click_or_three_away(
    client: Any, tmp_path: Path
) -> None:
    sweep = make_sweep(tmp_path)
    with links_of(tmp_path / "sweeps" / "cmp") as links, browser() as tab:
        for name, run in sweep.items():  # while MLflow starts
            mirrored(client, run, _POPULATION, name)
        table, chart = links()
        tab.resize(1600, 900)
        tab.visit(table)
        tab.wait("document.querySelectorAll('.ag-row a').length > 3")
        heads = "[...document.querySelectorAll('.ag-header-cell')].map(e => e.innerText.trim())"
        columns = ["val_bpb", "delta_val_bpb", "graft.status", "seed", "strategy"]
        tab.wait(f"{columns}.every(e => {heads}.includes(e))")  # on a busy machine MLflow shows them in another order
        press(tab, "#3 MATRIX_LR -> 0.023 (-0.0500)", ".ag-row a")
        tab.wait("!!document.querySelector('.note-editor-preview-content a')")
        parent = "document.querySelector('.note-editor-preview-content a')"
        assert tab.value(f"{parent}.innerText") == "#1"
        at_corner = (
            "e => { const b = e.getBoundingClientRect(); return document.elementFromPoint(b.x + 5, b.y + 5) === e }"
        )
        tab.wait(f"({at_corner})({parent})")  # nothing lies above it, once the page has settled

        tab.visit(tab.value(f"{parent}.href"))
        tab.wait("document.querySelector('h1, h2, h3')?.innerText.includes('#1 MATRIX_LR')")

        tab.visit(chart)
        tab.wait("document.querySelectorAll('.js-plotly-plot .scatterlayer .trace').length >= 2")
        legend = tab.value("document.body.innerText")
        assert "greedy (best_val_bpb)" in legend
        assert "random (best_val_bpb)" in legend
        press(tab, "greedy seed=0", ".ag-row a")
        press(tab, "Artifacts")
        press(tab, "report.html")
        tab.wait("!!document.querySelector('iframe[sandbox]')")
