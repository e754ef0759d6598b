"""docs/examples/searches.ipynb, run by a real kernel: what a user sees in a notebook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "examples" / "searches.ipynb"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # all but tabs and line ends


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Run the notebook in a directory of its own, and return its cells of code."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("notebook")
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patch.setenv(name, str(folder / name))
        patch.setenv("PYTHONPATH", str(NOTEBOOK.parents[2]))
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        resources = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell: Any) -> str:
    """Return all text that a cell shows, HTML included."""
    shown = [output.get("text", "") or "\n".join(output.get("data", {}).values()) for output in cell.outputs]
    return "\n".join(shown)


def test_the_notebook_shows_searches_without_control_characters(cells: list[Any]) -> None:
    texts = [text_of(cell) for cell in cells]

    assert [CONTROL.findall(text) for text in texts] == [[] for _ in texts]
    assert "finished: budget.trainings=30 reached" in texts[0]
    assert re.search(r"val_bpb 0\.99\d\d &rarr; <b>0\.99", texts[1])
    assert "<details><summary>diff</summary>" in texts[1]
    assert "BATCH_TOKENS" in texts[4]
    assert texts[5].startswith("(")
    assert "<search mine: finished, distance 240" in texts[7]
    assert "True" in texts[8]


def test_the_table_of_a_running_search_is_one_output_that_is_replaced(cells: list[Any]) -> None:
    tables = [output for output in cells[0].outputs if output.output_type == "display_data"]
    lines = "".join(output.text for output in cells[0].outputs if output.output_type == "stream")

    assert len(tables) == 1
    assert "30/30" in tables[0].data["text/html"]
    assert "#0001" not in lines, "verdicts are in the table"
    assert "10 constants can move" in lines
    assert cells[5].outputs[0].output_type == "execute_result", "a quiet search prints nothing"
    assert len(cells[5].outputs) == 1
