from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from target.process.scratch import scratch_directory

HOLD = """
import sys
from target.process.scratch import scratch_directory
with scratch_directory() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)  # it is remembered
    return tmp_path


def test_it_is_gone_at_the_end(temporary: Path) -> None:
    with scratch_directory() as folder:
        (folder / "file").write_text("x")

    assert not folder.exists()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away_and_what_is_in_use_is_not(temporary: Path) -> None:
    (temporary / "graft-of-another-kind").mkdir()
    owners = [
        subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    dead, alive = (Path((owner.stdout or sys.stdin).readline().strip()) for owner in owners)
    owners[0].send_signal(signal.SIGKILL)
    owners[0].wait()
    assert dead.exists()

    with scratch_directory():
        assert not dead.exists()
        assert alive.exists()
    owners[1].communicate("")
    assert not alive.exists()
    assert (temporary / "graft-of-another-kind").exists()
