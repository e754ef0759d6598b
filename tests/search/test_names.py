"""Names of searches: those that are taken, and those that are refused with one that would be."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.compare import __main__ as compare
from search.doctor import __main__ as doctor
from search.errors import UserError
from search.final import __main__ as final
from search.import_git import __main__ as import_git
from search.names import check_name, folder_of, given_folder, what_there_is
from search.prompt import __main__ as prompt
from search.report import __main__ as report
from search.runs.finished import find_runs
from search.runs.rundir import RunDirectory, searches_below
from search.status import __main__ as status
from search.ui import __main__ as ui
from tests.search.command import QUIET, assert_clean_failure, run

Main = Callable[[list[str]], int]
GOOD = ["mar8", "group/mar8", "sweeps/cmp/seed=1,strategy=greedy", "sweeps/cmp/direction=a~0123456789", "v1.2+b",
        "2026-11-26_02-40-54", "müller_日本", "x" * 120, "_"]  # fmt: skip
BAD = {
    "": "mar8",
    ".": "mar8",
    "..": "mar8",
    "/": "mar8",
    "../x": "x",
    "a/../../x": "a/x",
    "/tmp/x": "tmp/x",
    "a//b": "a/b",
    "a/": "a",
    "a/.": "a",
    ".hidden": "hidden",
    "-m": "m",
    "a/-b": "a/b",
    "my run": "my_run",
    " x": "x",
    "a:b": "a_b",
    "a'b\"c": "a_b_c",
    "a\\b": "a_b",
    "$HOME": "HOME",
    "~/x": "x",
    "a;rm -rf b": "a_rm_-rf_b",
    "a\x1b[2Jb": "a_2Jb",
    "a\nb": "a_b",
    "a\u202eb": "a_b",
    "a\udc80b": "a_b",
    "x" * 300: "x" * 40,
    "ä" * 70: "ä" * 20,
    "/".join(["a" * 100] * 3): f"{'a' * 40}/{'a' * 40}",
    "sweeps": "my_sweeps",
    "mlflow.db": "my_mlflow.db",
    "mlflow.db-wal": "my_mlflow.db-wal",
    "mlartifacts/x": "my_mlartifacts",
}


@pytest.mark.parametrize("name", GOOD)
def test_common_names_are_accepted_as_they_are(tmp_path: Path, name: str) -> None:
    run = folder_of(tmp_path, name)
    run.create()

    assert run.root == tmp_path / name
    assert shlex.quote(str(run.root.relative_to(tmp_path))).strip("'") == name


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_is_refused_in_one_line_with_a_good_one(name: str) -> None:
    with pytest.raises(UserError, match=r"^name must ") as caught:
        check_name(name)

    message = str(caught.value)
    assert message.endswith(f"try name={BAD[name]}")
    assert "\n" not in message
    check_name(BAD[name])


@given(st.text(max_size=300))
def test_whatever_is_taken_lies_in_a_folder_of_its_own_below_outputs(name: str) -> None:
    try:
        root = folder_of("/nowhere/outputs", name).root
    except UserError as error:
        check_name(str(error).rpartition("try name=")[2])
        return
    assert os.path.normpath(root) == str(root)
    assert root.is_relative_to("/nowhere/outputs")
    assert max(len(os.fsencode(part)) for part in root.parts) <= 120


def test_searches_are_found_at_any_depth_and_none_in_another_one(tmp_path: Path) -> None:
    for name in ("a/b/c/d", "mar8", "mar8/trials/0001"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "journal.log").touch()

    assert searches_below(tmp_path) == find_runs([tmp_path]) == [tmp_path / "a/b/c/d", tmp_path / "mar8"]
    assert searches_below(tmp_path / "mar8") == [tmp_path / "mar8"]
    assert what_there_is("a/b/c/e", tmp_path) == f"did you mean {tmp_path / 'a/b/c/d'}?"


def test_a_search_does_not_lie_in_another_one(tmp_path: Path) -> None:
    other = folder_of(tmp_path, "mar8")
    other.create()
    other.journal.touch()

    with pytest.raises(UserError, match="mar8 is a search itself: a name must not lead into it, got 'mar8/trials'"):
        folder_of(tmp_path, "mar8/trials")
    assert folder_of(tmp_path, "mar8") == other


@pytest.mark.parametrize("name", ["link", "link/x", "group/link"])
def test_a_link_does_not_lead_out_of_outputs(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    outputs = tmp_path / "outputs"
    (outputs / "group").mkdir(parents=True)
    for place in ("link", "group/link"):
        (outputs / place).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UserError, match=r"is a symbolic link: name must not lead out of outputs, give outputs=DIR"):
        folder_of(outputs, name)


def test_outputs_itself_may_be_a_link_but_not_nothing(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "disk")
    folder_of(tmp_path / "outputs", "x").create()

    assert (tmp_path / "disk" / "x").is_dir()
    with pytest.raises(UserError, match=r"outputs must be a folder, such as outputs=outputs, got ''"):
        folder_of("", "x")


@pytest.mark.parametrize("flags", [(), ("-m", "seed=0,1")], ids=["one", "sweep"])
@pytest.mark.parametrize("name", ["../x", "my run"])
def test_a_search_with_such_a_name_leaves_nothing(tmp_path: Path, name: str, flags: tuple[str, ...]) -> None:
    (tmp_path / "here").mkdir()

    done = run(tmp_path / "here", *flags, "target=landscape", QUIET, f"name={name}")

    assert_clean_failure(done, "error: name must be the path of a folder below outputs")
    assert done.returncode == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


@pytest.mark.parametrize("arguments", [[".", "--branch", "main", "--name=../x"], ["target=landscape", "name=../x"]])
def test_the_other_commands_refuse_it_too(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    module = import_git if "--branch" in arguments else doctor

    assert module.main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: name must be the path of a folder below outputs")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "main", [report.main, final.main, compare.main, lambda words: prompt.main(["--table", *words])]
)
@pytest.mark.parametrize("folder", ["", "nowhere", "mar8", "x" * 300, "a\x1b[2J"])
def test_every_command_that_reads_a_search_refuses_what_is_no_folder(
    tmp_path: Path, main: Main, folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "outputs" / "mar8").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    assert main([folder]) == 2

    said = capsys.readouterr().err
    hint = (
        "did you mean outputs/mar8?"
        if folder == "mar8"
        else f"there is no search in {tmp_path}/outputs yet: `python -m search` starts one"
    )
    assert said.startswith("error: ")
    assert said.endswith(f"holds no search: there is no such folder; {hint}\n")
    assert "\x1b" not in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("main", [status.main, ui.main])
def test_a_search_that_is_not_there_is_answered_with_those_that_are(
    main: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for age, name in enumerate(("mar8", "mar9", "sweeps/cmp/seed=0,strategy=beam", "night", "day")):
        place = RunDirectory(tmp_path / "outputs" / name)
        place.create()
        place.journal.touch()
        os.utime(place.journal, (age, age))
    monkeypatch.chdir(tmp_path)

    def answer(folder: str) -> str:
        assert main([folder]) == 2
        return capsys.readouterr().err.partition("no such folder; ")[2].rstrip()

    assert answer("mar7") == "did you mean outputs/mar9 or outputs/mar8?"
    assert answer("outputs/nigth") == "did you mean outputs/night?"
    assert answer("xyz") == "there is outputs/day, outputs/night, outputs/sweeps/cmp/seed=0,strategy=beam, ..."


def test_a_folder_may_be_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "outputs").mkdir()

    assert given_folder("~/outputs") == tmp_path / "outputs"


def test_commands_that_are_printed_can_be_pasted_where_outputs_has_a_space(tmp_path: Path) -> None:
    (tmp_path / "my folder").mkdir()
    done = run(tmp_path, "target=landscape", "outputs=my folder/it", "name=a", "budget.trainings=8", QUIET)

    assert done.returncode == 0, done.stderr
    (printed,) = re.findall(r"^(\S+ -m search\.final .*?)  ", done.stdout, re.MULTILINE)
    again = subprocess.run(
        ["bash", "-c", f"{printed} --seeds 2"], cwd=tmp_path, env={**os.environ, "PATH": "/bin:/usr/bin"}, check=False
    )
    assert again.returncode == 0
