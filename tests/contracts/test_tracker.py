"""The contract of every tracker in conf/tracker/; a new one is found by its YAML file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import conf
from operators.population import Population
from search.runs.rundir import RunDirectory
from search.tracking.later import Finding, record
from tests.search.builders import MIXED, make_summary

CONF = Path(conf.__file__).parent
TRACKERS = sorted(path.stem for path in (CONF / "tracker").glob("*.yaml"))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """One for all, since a tracker's first use of it may take seconds."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(params=TRACKERS)
def make_tracker(request, outputs, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    settings = settings_of(request.param, outputs)
    run = RunDirectory(outputs / request.node.name)
    run.create()
    warnings = []
    yield lambda: instantiate(settings)(run=run, name=request.node.name, warn=warnings.append)
    assert warnings == []


def settings_of(tracker, outputs):
    config = OmegaConf.load(CONF / "tracker" / f"{tracker}.yaml")
    merged = OmegaConf.merge({"outputs": str(outputs)}, {"tracker": config})
    settings = OmegaConf.to_container(merged, resolve=True)["tracker"]
    return {**settings, **({"close_seconds": 300} if "close_seconds" in settings else {})}  # on a busy machine too


def test_it_takes_every_state_of_a_search_and_ends_with_a_hint_or_nothing(make_tracker):
    tracker = make_tracker()
    for count in range(len(MIXED.trials) + 1):
        population = Population(MIXED.trials[:count])
        tracker.update(population, make_summary(population, status="running", stop_reason=""))
    tracker.update(MIXED, make_summary(MIXED))

    hint = tracker.close()

    assert hint is None or hint.strip()


def test_it_ends_without_having_been_told_anything(make_tracker):
    hint = make_tracker().close()

    assert hint is None or hint.strip()


def test_getting_ready_ends_in_time_whatever_happens(make_tracker):
    tracker = make_tracker()
    tracker.get_ready(0.01)
    tracker.get_ready(60)

    tracker.close()


def test_closing_twice_is_harmless(make_tracker):
    tracker = make_tracker()
    tracker.update(MIXED, make_summary(MIXED))

    assert tracker.close() == tracker.close()


def test_a_resumed_search_may_track_again(make_tracker):
    for count in (4, len(MIXED.trials)):
        tracker = make_tracker()
        tracker.update(Population(MIXED.trials[:count]), make_summary(MIXED))
        tracker.close()


@pytest.mark.parametrize("tracker", TRACKERS)
def test_it_keeps_what_is_found_after_a_search_and_says_where(tracker, outputs, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run, settings = RunDirectory(outputs / f"found-{tracker}"), settings_of(tracker, outputs)
    run.create()
    instantiate(settings)(run=run, name=run.root.name, warn=[].append).close()
    finding = Finding(
        kind="transfer", search=run.root.name, title="to 12", note="it holds", metrics={"x": 1.0}, tags={}
    )

    said = record(finding, run, settings)

    assert bool(said) == (tracker != "none")
    assert not said.startswith("not sent")
