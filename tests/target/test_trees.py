"""Trees that a program may leave behind: thousands of levels deep, closed to their owner, with links that lead out."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from target.launch.workspace import Workspace
from target.process.holdings import FILES, held_disk_bytes
from target.process.scratch import scratch_directory
from target.process.trees import copy_tree, files_below, remove_or_set_aside, remove_tree, statuses_below

LEVELS = 1_100  # more than Python calls functions deep
DIG = f"""
import os
os.chdir({{root!r}})
for _ in range({LEVELS}):
    os.mkdir({{name!r}}, {{mode}})
    os.chdir({{name!r}})
"""


def dig(root: Path, *, name: str = "d", mode: int = 0o777) -> None:
    subprocess.run([sys.executable, "-c", DIG.format(root=str(root), name=name, mode=mode)], check=True, timeout=300)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    return root


@pytest.mark.parametrize("name", ["d", "d" * 255, "\U0001f600" * 63])
def test_a_tree_of_thousands_of_levels_is_counted_and_removed(tree, name):
    dig(tree, name=name)

    assert sum(1 for _ in statuses_below(tree)) == LEVELS
    assert held_disk_bytes(str(tree), [])[1] == LEVELS
    assert remove_tree(tree)
    assert not tree.exists()


def test_what_lies_deeper_than_any_path_is_counted(tree):
    dig(tree, name="d" * 200)
    folder = os.open(tree, os.O_RDONLY)
    for _ in range(300):
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    with os.fdopen(os.open("big", os.O_CREAT | os.O_WRONLY, dir_fd=folder), "wb") as file:
        file.write(bytes(3_000_000))
    os.close(folder)

    assert held_disk_bytes(str(tree), [])[0] > 3_000_000
    assert remove_tree(tree)


def test_a_wide_and_deep_tree_needs_few_descriptors(tree):
    for number in range(20):
        (tree / str(number)).mkdir()
        os.chdir(tree / str(number))
        for _ in range(60):
            Path("x" * 250).mkdir()
            os.chdir("x" * 250)
    os.chdir("/")
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "from pathlib import Path\nfrom target.process.trees import *\n"
        "print(sum(1 for _ in statuses_below(sys.argv[1])), remove_tree(Path(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, str(tree)], capture_output=True, text=True, timeout=300, check=True
    )

    assert done.stdout.split() == [str(20 * 61), "True"]


def test_a_walk_that_is_broken_off_leaves_no_descriptor_open(tree):
    for number in range(50):
        (tree / str(number) / "below").mkdir(parents=True)
    before = len(list(Path("/proc/self/fd").iterdir()))
    statuses = statuses_below(tree)
    next(statuses)
    statuses.close()

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_more_files_than_allowed_are_not_counted_to_the_end(tree):
    for number in range(FILES + 50):
        (tree / str(number)).touch()

    assert held_disk_bytes(str(tree), [])[1] == FILES + 1


def test_links_that_lead_out_are_removed_and_not_followed(tree, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("mine")
    (tree / "a").mkdir()
    (tree / "a" / "out").symlink_to(kept)
    (tree / "a" / "loop").symlink_to(tree)
    os.mkfifo(tree / "a" / "pipe")

    assert sum(1 for _ in statuses_below(tree)) == 4
    assert {path for path, _ in files_below(tree)} == {"a", "a/out", "a/loop", "a/pipe"}
    assert remove_tree(tree)
    assert (kept / "file").read_text() == "mine"


def test_directories_made_without_permissions_are_removed_by_their_owner(tmp_path):
    script = """
import os, sys
from pathlib import Path
from target.process.trees import remove_tree
if os.geteuid() == 0:
    os.chown(sys.argv[1], 12345, 12345)
    os.setresuid(12345, 12345, 12345)
root = Path(sys.argv[1]) / "tree"
for mode in (0o000, 0o200, 0o500):
    (root / str(mode) / "below" / "deep").mkdir(parents=True)
    (root / str(mode) / "below" / "file").touch()
    (root / str(mode) / "below" / "deep").chmod(mode)
    (root / str(mode) / "below").chmod(mode)
    (root / str(mode)).chmod(mode)
print(remove_tree(root), root.exists())
"""
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if Path(tempfile.gettempdir()) in parent.parents:  # directories of pytest, which are its user's alone
            parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )

    assert done.stdout.split() == ["True", "False"], done.stderr


def test_directories_named_like_those_that_removal_makes_are_removed(tree):
    for number in range(3):
        (tree / f".0000-{number}" / "a" / "b").mkdir(parents=True)

    assert remove_tree(tree)


def test_what_is_not_there_is_gone_and_a_file_is_no_tree(tmp_path):
    (tmp_path / "file").touch()

    assert remove_tree(tmp_path / "nothing")
    assert not remove_tree(tmp_path / "file")


@pytest.fixture
def mounted(tree):
    """Something that not even root can remove: a mount point."""
    (tree / "place").mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "none", str(tree / "place")], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this machine mounts nothing for us")
    yield tree
    for place in (tree, tree.with_name(f"unremovable-{tree.name}")):
        subprocess.run(["umount", str(place / "place")], capture_output=True, check=False)


def test_what_cannot_be_removed_is_set_aside_with_a_warning(mounted, caplog):
    (mounted / "file").touch()
    with caplog.at_level(logging.WARNING):
        remove_or_set_aside(mounted)

    assert not mounted.exists()
    aside = mounted.with_name(f"unremovable-{mounted.name}")
    assert [path.name for path in aside.iterdir()] == ["place"]
    assert str(aside) in caplog.text


def test_what_a_killed_process_left_stops_no_later_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    left = tmp_path / "graft-left"
    left.mkdir()
    (left / "in-use").touch()
    dig(left)

    with scratch_directory() as folder:
        assert not left.exists()
        dig(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_is_gone_whatever_was_left_in_it(tmp_path):
    with Workspace(tmp_path, "X = 1\n", {"mode": "train"}) as space:
        dig(space.root / "out")
        dig(space.root / "tmp", name="d" * 255)

    assert list(tmp_path.iterdir()) == []


def test_a_tree_is_copied_with_its_links(tree, tmp_path):
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").write_text("text")
    (tree / "a" / "link").symlink_to("b/file")
    (tree / "a" / "dangling").symlink_to("nowhere")
    (tree / "a" / "folder").symlink_to("b")

    copy_tree(tree, tmp_path / "copy")

    found = files_below(tmp_path / "copy")
    links = {path: str(Path(entry.path).readlink()) for path, entry in found if entry.is_symlink()}
    assert links == {"a/link": "b/file", "a/dangling": "nowhere", "a/folder": "b"}
    assert (tmp_path / "copy" / "a" / "b" / "file").read_text() == "text"
