"""What a target is made of: the copy of its directory, its settings, and what it says a program must be."""

from __future__ import annotations

import pytest

from target.command.checkout import copy_checkout
from target.command.target import CommandTarget, command_target
from target.errors import TargetError
from target.program.contract import ContractError
from tests.checkouts import FILES, TRAIN, autoresearch_spec, git
from tests.target.command.targets import measured_by_file


def test_only_tracked_files_are_copied_and_links_lead_to_the_rest(root, tmp_path):
    (root / "run.log").write_text("ignored")
    (root / "notes.txt").write_text("untracked")
    (root / "shards").mkdir()
    (root / "shards" / "0").write_text("data")
    spec = autoresearch_spec(root, links=["shards"])
    try:
        copied = copy_checkout(spec, tmp_path / "copy")
        first = copy_checkout(spec, tmp_path / "again")
        (root / "prepare.py").write_text(FILES["prepare.py"] + "#")
        second = copy_checkout(spec, tmp_path / "changed")
    finally:
        (root / "prepare.py").write_text(FILES["prepare.py"])
        for name in ("run.log", "notes.txt", "shards/0"):
            (root / name).unlink()
        (root / "shards").rmdir()

    assert sorted(path.name for path in copied.root.iterdir()) == sorted(FILES)
    assert copied.hash == first.hash != second.hash
    assert copied.commit == git(root, "rev-parse", "HEAD")


def test_a_directory_that_is_too_large_to_copy_says_what_to_do(tmp_path):
    spec = measured_by_file(tmp_path)
    with (spec.root / "shard.bin").open("wb") as file:
        file.truncate(1 << 30)

    with pytest.raises(TargetError, match=r"largest is shard\.bin.*target\.links"):
        copy_checkout(spec, tmp_path / "copy")


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"root": "/nowhere/at/all"}, "target.root must be a directory"),
        ({"command": "no-such-program train.py"}, "a program that can be found, got 'no-such-program'"),
        ({"command": "'"}, "target.command cannot be read"),
        ({"command": ""}, "must name a program"),
        ({"direction": "up"}, "minimize or maximize"),
        ({"file": "../train.py"}, "relative and lead downwards"),
        ({"limit_seconds": 0}, "target.limit_seconds must be positive"),
        ({"sandbox": "maybe"}, "auto, strict or off"),
        ({"metrics": "x"}, "does not fit"),
    ],
)
def test_settings_that_do_not_fit_are_told_at_once(root, changes, phrase):
    settings = {**autoresearch_spec(root).to_json(), **changes}

    with pytest.raises(TargetError, match=phrase):
        command_target(**settings).seed_program()


def test_a_fixed_file_that_is_not_there_is_told_before_the_search(root, tmp_path):
    with pytest.raises(TargetError, match=r"target\.fixed names files.*missing\.py"):
        copy_checkout(autoresearch_spec(root, fixed=["missing.py"]), tmp_path / "copy")


def test_the_target_says_what_a_program_must_be(root):
    target = CommandTarget(autoresearch_spec(root))
    told = " ".join((target.contract.brief, target.contract.goal, *target.contract.rules, *target.limits))

    assert target.direction == root / "program.md"
    assert target.seed_program().source == TRAIN
    for phrase in (
        "`train.py`",
        "`python train.py`",
        "`val_bpb: NUMBER`",
        "Lower is better",
        "prepare.py",
        "600 seconds",
    ):
        assert phrase in told
    assert "build_model" not in told
    target.contract.check(TRAIN)
    with pytest.raises(ContractError, match=r"train\.py:1"):
        target.contract.check("def f(:")
