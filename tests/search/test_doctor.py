"""`python -m search.doctor` as a user runs it, also on broken machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.doctor.__main__ import compose_subject
from search.doctor.checks import machine
from search.doctor.checks.isolation import layer_row
from search.doctor.checks.row import State
from search.errors import UserError
from target.launch.layers import LayerReport
from target.sandbox import namespaces
from tests.search.checkup import UNTRIED, doctor, lines_of, verdict_of


@pytest.fixture
def without_bubblewrap(tmp_path: Path) -> str:
    """Return a PATH with all programs but one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*"):
            if program.name != "bwrap" and not os.path.lexists(folder / program.name):
                (folder / program.name).symlink_to(program)
    return str(folder)


def test_here_a_search_can_run_and_nothing_is_left_behind(nowhere: Path) -> None:
    report = nowhere / "report.json"
    done = doctor(nowhere, "seed=3", "--json", str(report))

    assert done.returncode == 0, done.stdout + done.stderr
    assert verdict_of(done) == f"a search can run: {sys.executable} -m search seed=3"
    lines = lines_of(done)
    assert "broken" not in done.stdout
    for name in ("Python", "platform", "torch", "kernel", "target", "cache", "TMPDIR", "outputs", "MLflow", "operator"):
        assert lines[name].startswith("fine "), lines[name]
    assert "pinned version" in lines["torch"]
    assert [path.name for path in nowhere.iterdir()] == ["report.json"]
    told = json.loads(report.read_text())
    assert (told["can_run"], told["overrides"]) == (True, ["seed=3"])
    assert [row["name"] for row in told["rows"]] == list(lines)
    assert {row["state"] for row in told["rows"]} <= {"fine", "warning"}


def test_without_bubblewrap_it_warns_and_strict_cannot_run(
    nowhere: Path, without_bubblewrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = doctor(nowhere, "target.sandbox=strict", PATH=without_bubblewrap)
    monkeypatch.setenv("PATH", without_bubblewrap)
    lacking = LayerReport(name=namespaces.LAYER, ok=True, lacking=True, said=namespaces._probe.__wrapped__())
    auto = layer_row(lacking, strict=False, started="torch starts")

    assert (auto.state, auto.remedy) == (State.WARNING, "apt install bubblewrap")
    assert strict.returncode == 1
    assert lines_of(strict)["namespaces"].startswith("broken ")
    assert "apt install bubblewrap; or target.sandbox=auto" in lines_of(strict)["namespaces"]
    assert verdict_of(strict) == "a search cannot run: namespaces"


def test_a_cache_that_cannot_be_written_is_broken(nowhere: Path) -> None:
    (nowhere / "file").touch()
    done = doctor(nowhere, UNTRIED, GRAFT_CACHE=str(nowhere / "file" / "cache"))

    assert done.returncode == 1
    assert lines_of(done)["cache"].startswith(f"broken {nowhere}/file/cache cannot be written")
    assert "export GRAFT_CACHE=DIR" in lines_of(done)["cache"]
    assert verdict_of(done) == "a search cannot run: cache"


@pytest.mark.skipif(machine.has_gpu(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_broken_line_and_the_search_points_here(nowhere: Path) -> None:
    done = doctor(nowhere, UNTRIED, "--target", "gpu")
    search = subprocess.run(
        [sys.executable, "-m", "search", "target=gpu", "seed=1"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("broken")] == ["GPU"]
    assert "target gpu cannot train here" in lines_of(done)["GPU"]
    assert "target=tiny" in lines_of(done)["GPU"]
    assert verdict_of(done) == "a search cannot run: GPU"
    assert search.returncode == 2
    assert f"`{sys.executable} -m search.doctor target=gpu seed=1` says what this machine lacks" in search.stderr


def test_arguments_that_do_not_fit_are_a_usage_error(nowhere: Path) -> None:
    for arguments, phrase in (
        (("budget.trails=5",), "trails"),
        (("--wat",), "--wat"),
        (("executor.workers=0",), "got 0"),
    ):
        done = doctor(nowhere, *arguments)
        assert done.returncode == 2, done.stdout
        assert phrase in done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "overrides",
    [
        ("strategy=annealed",),
        ("strategy=beam", "strategy.width=0"),
        ("budget.trainings=0",),
        ("target=nowhere",),
        ("llm.model=openai/x", "+llm.api_key=abcdefgh"),
    ],
)
def test_a_search_that_would_be_refused_is_refused_here(overrides: tuple[str, ...]) -> None:
    with pytest.raises(UserError):
        compose_subject(overrides)


def test_a_server_that_is_away_is_a_warning(nowhere: Path) -> None:
    done = doctor(nowhere, UNTRIED, "tracker.tracking_uri=http://user:pass-word@127.0.0.1:9")

    assert done.returncode == 0, done.stdout + done.stderr
    assert lines_of(done)["MLflow"].startswith("warning http://***@127.0.0.1:9 does not answer")
    assert "pass-word" not in done.stdout


def test_a_torch_that_cannot_be_imported_is_broken(nowhere: Path) -> None:
    (nowhere / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object file')\n")
    done = doctor(nowhere, "target=landscape", "operator=switch", "tracker=none", PYTHONPATH=_in_front(nowhere))

    assert done.returncode == 1
    assert "libcudart.so.13: cannot open" in lines_of(done)["torch"]


def _in_front(folder: Path) -> str:
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
