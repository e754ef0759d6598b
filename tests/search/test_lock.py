"""The lock of a run directory, and file systems that have none: in real processes whose kernel refuses them."""

from __future__ import annotations

import errno
import fcntl
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from search.errors import UserError
from search.runs.lock import locked
from target.corpus import cache
from target.errors import TargetError
from target.sandbox.seccomp import available
from tests.search.command import QUIET, assert_clean_failure

FLOCK = {"x86_64": [73], "aarch64": [32]}
SYMLINK = {"x86_64": [88, 266], "aarch64": [36]}  # symlink and symlinkat
WITHOUT = """
import runpy, sys
from target.sandbox.seccomp import forbid
numbers, error, sys.argv[1:] = [int(each) for each in sys.argv[1].split(",")], int(sys.argv[2]), sys.argv[3:]
forbid(numbers, error)
runpy.run_module("search", run_name="__main__", alter_sys=True)
"""


def test_a_second_holder_is_told_of_the_first(tmp_path: Path) -> None:
    with (
        locked(tmp_path / ".lock"),
        pytest.raises(UserError, match=r"is in use by process \d+ on "),
        locked(tmp_path / ".lock"),
    ):
        pass


@pytest.mark.skipif(not available(), reason="the kernel takes no filters")
@pytest.mark.parametrize(
    ("calls", "error", "said"),
    [
        (FLOCK, errno.ENOLCK, "No locks available"),
        (FLOCK, errno.EOPNOTSUPP, "Operation not supported"),
        (FLOCK, errno.ENOSYS, "Function not implemented"),
        (SYMLINK, errno.EPERM, "Operation not permitted"),
        (SYMLINK, errno.EOPNOTSUPP, "Operation not supported"),
    ],
)
def test_a_search_on_a_disk_without_locks_says_what_outputs_needs(
    tmp_path: Path, calls: dict[str, list[int]], error: int, said: str
) -> None:
    numbers = ",".join(str(number) for number in calls[platform.machine()])
    arguments = ["name=x", "target=landscape", "budget.trainings=1", QUIET]

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, numbers, str(error), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert_clean_failure(
        done, f"error: outputs must be on a file system with locks, outputs/x has none ({said}): give outputs=DIR on a"
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_cache_on_a_disk_without_locks_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)

    said = pytest.raises(TargetError, match=r"the cache must be on a file system with locks, .* export GRAFT_CACHE=DIR")
    with said, cache.exclusive(tmp_path / "lock"):
        pass
