"""A wheel holds everything that a search needs, and works away from the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.search.command import QUIET, command

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which a freshly built wheel is unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_a_wheel_holds_the_assets_and_nothing_else(installed: Path) -> None:
    for name in (
        "conf/config.yaml",
        "conf/strategy/beam.yaml",
        "conf/target/tiny.yaml",
        "target/train.py",
        "target/prepare.py",
        "operators/prompts/templates/system.j2",
        "operators/edit/__main__.py",
        "conf/prompt/scientist.yaml",
        "search/program.md",
        "search/py.typed",
        "operators/py.typed",
        "target/py.typed",
        "search/templates/report.md.j2",
        "operators/prompts/templates/system.j2",
        "conf/prompt/default.yaml",
    ):
        assert (installed / name).is_file(), name
    packages = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert packages == {"conf", "operators", "search", "target"}


def test_a_search_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}  # in front of the editable install
    where = [sys.executable, "-c", "import search, target, conf, operators; print(search.__file__, target.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.count(str(installed)) == 2

    (declared,) = installed.glob("*.dist-info/entry_points.txt")
    assert "graft = search.graft.__main__:run" in declared.read_text(encoding="utf-8")
    (tmp_path / "conf.py").write_text("raise SystemExit('mine')\n", encoding="utf-8")  # nothing of ours
    graft = [sys.executable, "-P", "-c", "from search.graft.__main__ import run; run()"]  # what that script does
    words = command("name=w", "budget.trainings=2", QUIET)[3:]
    done = subprocess.run([*graft, "search", *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "outputs" / "w" / "report.md").is_file()
