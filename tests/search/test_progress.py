"""progress.png, drawn and read back."""

from __future__ import annotations

import logging
import struct

import pytest

from operators.population import Population
from operators.trial import Status
from search.views.progress import draw_progress
from search.views.verdicts import score_range
from tests.search.builders import MIXED, make_population, make_summary, make_trial

POPULATIONS = {
    "nothing yet": Population(),
    "baseline pending": make_population(Status.PENDING),
    "baseline crashed": make_population(Status.CRASHED),
    "baseline only": make_population(2.0),
    "all equal": make_population(2.0, 2.0, 2.0),
    "mixed": MIXED,
    "mathematics": Population(
        (make_trial(0, 2.0, status=Status.BASELINE), make_trial(1, 1.9, status=Status.KEEP, description="$x_{$ \\frac"))
    ),
}


def size_of(path):
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", header[16:24])


@pytest.mark.parametrize("name", POPULATIONS)
def test_any_state_of_a_search_can_be_drawn(tmp_path, name):
    path = tmp_path / "new" / "progress.png"

    draw_progress(path, POPULATIONS[name], make_summary(POPULATIONS[name], name="a $name$ {with} \\tricks"))

    assert size_of(path) == (1100, 572)
    assert list(path.parent.iterdir()) == [path]


def test_the_picture_replaces_the_old_one_and_follows_the_scores(tmp_path):
    path = tmp_path / "progress.png"
    draw_progress(path, make_population(2.0, 1.9), make_summary(MIXED))
    before = path.read_bytes()
    draw_progress(path, make_population(2.0, 1.8), make_summary(MIXED))

    assert path.read_bytes() != before


def test_a_failed_drawing_leaves_the_old_picture(tmp_path):
    path = tmp_path / "progress.png"
    path.write_bytes(b"old")
    with pytest.raises(AttributeError):
        draw_progress(path, MIXED, None)

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_one_diverged_candidate_does_not_flatten_the_rest():
    low, high = score_range(make_population(2.0, 1.9, 50.0, 1.8))

    assert low < 1.8
    assert 2.0 < high < 2.3


def test_the_range_contains_best_and_baseline_also_when_all_are_equal():
    low, high = score_range(make_population(2.0, 2.0))

    assert low < 2.0 < high


def test_matplotlib_does_not_write_into_the_console_of_a_first_search(tmp_path, caplog):
    caplog.set_level(logging.INFO)  # as Hydra sets it
    logging.getLogger("matplotlib.font_manager").setLevel(logging.NOTSET)

    draw_progress(tmp_path / "progress.png", MIXED, make_summary(MIXED))

    assert logging.getLogger("matplotlib.font_manager").getEffectiveLevel() == logging.WARNING
