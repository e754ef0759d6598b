"""A tracker of the user's: what is wrong with it is told, and ends neither a search nor a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from search import run
from search.construct import instantiate
from search.errors import UserError
from search.final.__main__ import main as final
from search.named import TRACKER
from search.runs.rundir import RunDirectory
from search.tracking.background import BackgroundTracker
from search.tracking.later import Finding, record
from tests.search.builders import MIXED, make_summary

FAULTY = """\
from search.tracker import NullTracker


class Faulty(NullTracker):
    at = None

    def __init__(self, *, at, **given):
        super().__init__(**given)
        self.at = at

    def get_ready(self, seconds):
        self.fail("get_ready")

    def update(self, population, summary):
        self.fail("update")

    def close(self):
        self.fail("close")

    def fail(self, step):
        if step == self.at:
            raise KeyError(step)

    @classmethod
    def record(cls, finding, run, settings):
        raise RuntimeError("no room")


def function(**given):
    return Faulty(**given)


VALUE = 3
"""
FAST = {"target": "landscape", "strategy": "greedy", "operator": "constants", "acceptance": "naive"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: it has modules of the user's, and a folder with choices."""
    (tmp_path / "trackers_of_mine.py").write_text(FAULTY)
    (tmp_path / "ends_early.py").write_text("\nimport json\n1 / 0\n")
    (tmp_path / "tracker").mkdir()
    (tmp_path / "tracker" / "mine.yaml").write_text(
        "_target_: trackers_of_mine.Faulty\n_partial_: true\nat: ${oc.env:FAULTY_AT}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("step", ["get_ready", "update", "close"])
def test_an_exception_of_a_tracker_is_told_once_and_ends_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    monkeypatch.setenv("FAULTY_AT", step)
    done = run(config_dir=folder, name="a", seed=6, tracker="mine", budget={"trainings": 4}, **FAST)

    said = "".join(capsys.readouterr().out.split())
    assert done.status == "finished"
    assert said.count("thetrackerFaultyfailed,thesearchgoesonwithoutit:KeyError:") == 1
    assert f"trackers_of_mine.py:{FAULTY[: FAULTY.index('raise KeyError')].count(chr(10)) + 1})" in said
    if step != "update":
        return
    assert final([str(done.folder), "--seeds", "2"]) == 0
    assert "the tracker Faulty failed" in capsys.readouterr().err


def test_a_finding_that_a_tracker_does_not_take_is_told(folder: Path) -> None:
    finding = Finding(kind="transfer", search="a", title="to 12", note="", metrics={}, tags={})
    settings = {"_target_": "trackers_of_mine.Faulty", "_partial_": True, "at": ""}
    said = record(finding, RunDirectory(folder), settings)

    assert said.startswith("not sent to the tracker trackers_of_mine.Faulty: RuntimeError: no room (")
    assert record(finding, RunDirectory(folder), {"_target_": "trackers_of_mine.function"}) == ""


class Unforeseen(BackgroundTracker):
    """Raises what its author did not think of."""

    def load(self) -> tuple[type[Exception], ...]:
        return (OSError,)

    def open(self):
        raise LookupError("no such project")

    def hint(self) -> None:
        return


def test_an_error_that_the_author_of_a_background_tracker_did_not_foresee_is_told() -> None:
    warnings = list[str]()
    tracker = Unforeseen("mine", "there", close_seconds=60, warn=warnings.append)
    tracker.get_ready(20)  # it has failed long before
    tracker.update(MIXED, make_summary(MIXED))
    tracker.close()

    assert warnings[0].startswith("mine at there cannot be used, the search goes on: LookupError: no such project (")
    assert warnings[1].startswith("mine did not get everything: ")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"_target_": "trackers_of_mine.Faulty", "at": ""}, r"must take run, name, warn, .*: write `_partial_: true`"),
        ({"_target_": "trackers_of_mine.Faulty", "_partial_": True, "x": 1}, r"own settings, x: .*argument: 'at'"),
        ({"_target_": "trackers_of_mine.Fault", "_partial_": True}, "trackers_of_mine has no Fault; it has Faulty"),
        ({"_target_": "tracker_of_mine.Faulty", "_partial_": True}, "no module tracker_of_mine; PYTHONPATH must have"),
        ({"_target_": "ends_early.Faulty", "_partial_": True}, r"failed with ZeroDivisionError: .*ends_early.py:3\)"),
        ({"_target_": "trackers_of_mine.VALUE"}, "got trackers_of_mine.VALUE, which is of the type int$"),
        ({"_target_": "trackers_of_mine"}, "got trackers_of_mine, which is of the type module; it has "),
        ({"at": "x"}, "_target_ must name a class or function, such as my_module.MyClass, got None"),
    ],
)
def test_what_is_wrong_in_a_yaml_file_is_said_in_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        instantiate(settings, "tracker", passed=TRACKER)
    assert "\n" not in str(caught.value)
