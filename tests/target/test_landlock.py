"""Grants and what they leave out, each in a process of its own."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from target.process.processes import forbid_new_privileges
from target.sandbox import landlock
from target.sandbox.landlock import Access, Grant


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("open/a", "open/sealed/b", "open/sealed/deep/c", "open/next/d", "closed/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / "open" / "way-out").symlink_to(tmp_path / "closed")
    return tmp_path


def allowed(restrict: Callable[[], None], attempt: Callable[[], object]) -> bool:
    """Return whether an attempt succeeds in a process that was restricted first."""
    pid = os.fork()
    if pid == 0:
        status = 2
        try:
            forbid_new_privileges()
            restrict()
            status = 1
            attempt()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status < 2, "the restriction failed"
    return status == 0


@pytest.mark.parametrize("version", range(1, 8))
def test_every_version_closes_what_is_not_granted(tree, version):
    if version > landlock.abi():
        version = landlock.abi()

    def restrict():
        landlock.restrict([Grant(tree / "open", Access.READ)], (), version)

    assert allowed(restrict, (tree / "open" / "next" / "d").read_text)
    assert not allowed(restrict, (tree / "closed" / "e").read_text)
    assert not allowed(restrict, lambda: (tree / "open" / "a").write_text("x"))
    assert not allowed(restrict, (tree / "open" / "a").unlink)


@pytest.mark.parametrize(
    ("path", "readable"),
    [
        ("open/a", True),
        ("open/next/d", True),
        ("open/sealed/b", False),
        ("open/sealed/deep/c", False),
        ("open/way-out/e", False),
    ],
)
def test_a_withheld_directory_below_a_granted_one_is_not_readable(tree, path, readable):
    def restrict():
        landlock.restrict([Grant(tree / "open", Access.RUN)], [tree / "open" / "sealed"], landlock.abi())

    assert allowed(restrict, (tree / path).read_text) is readable
    assert allowed(restrict, lambda: list((tree / "open").iterdir()))


def test_a_withheld_path_wins_over_a_grant_below_it(tree):
    def restrict():
        landlock.restrict([Grant(tree / "open" / "sealed" / "deep", Access.READ)], [tree / "open"], landlock.abi())

    assert not allowed(restrict, (tree / "open" / "sealed" / "deep" / "c").read_text)


def test_writing_covers_moving_and_truncating_but_no_other_place(tree):
    def restrict():
        places = [Grant(tree / "open" / "next", Access.WRITE), Grant(tree / "open" / "sealed", Access.WRITE)]
        landlock.restrict(places, (), landlock.abi())

    assert allowed(restrict, lambda: (tree / "open" / "next" / "new").write_text("x"))
    assert allowed(restrict, lambda: os.truncate(tree / "open" / "next" / "new", 0))
    assert allowed(restrict, lambda: (tree / "open" / "next" / "new").rename(tree / "open" / "sealed" / "new"))
    assert not allowed(restrict, lambda: (tree / "open" / "next" / "d").rename(tree / "closed" / "d"))
    assert not allowed(restrict, lambda: os.truncate(tree / "closed" / "e", 0))


def test_signals_stay_inside(tree):
    def restrict():
        landlock.restrict((), (), landlock.abi())

    assert allowed(restrict, lambda: os.kill(os.getpid(), 0))
    assert not allowed(restrict, lambda: os.kill(os.getppid(), 0))


def test_a_path_that_is_not_there_is_passed_over(tree):
    assert allowed(
        lambda: landlock.restrict([Grant(tree / "none", Access.READ)], [tree / "nothing"], landlock.abi()), lambda: None
    )
