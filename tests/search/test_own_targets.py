"""`python -m search` on external targets: an autoresearch checkout, and a directory with a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cards import H100, TWO_H100, listing, nvidia_smi
from tests.checkouts import make_checkout, state_of
from tests.search.command import QUIET, assert_clean_failure, rows_of, summary_of

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "compression"


def search(cwd: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "search", *overrides, QUIET],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_an_autoresearch_checkout_is_searched_and_stays_as_it_is(tmp_path: Path) -> None:
    root = make_checkout(tmp_path / "autoresearch")
    before = state_of(root)
    arguments = ("name=a", "target=autoresearch", f"target.root={root}", "target.command=python train.py", "seed=2")
    done = search(tmp_path, *arguments, "operator=constants", "strategy=random", "budget.trainings=6")

    assert done.returncode == 0, done.stdout + done.stderr
    assert state_of(root) == before
    out = tmp_path / "outputs" / "a"
    assert (summary_of(out)["status"], summary_of(out)["trainings"]) == ("finished", 6)
    assert "unverified: val_bpb is reported by train.py itself and not checked" in done.stdout
    assert "constants of #0: [unverified]" in done.stdout
    assert {row["description"].split()[0] for row in rows_of(out) if row["val_bpb"]} == {"[unverified]"}
    evaluation = json.loads((out / "trials" / "0000" / "result.json").read_text())["evaluations"][0]
    assert evaluation["verified"] is False
    environment = json.loads((out / "environment.json").read_text())
    assert environment["metric"] == {"name": "val_bpb", "direction": "minimize", "verified": False}
    assert environment["checkout"]["hash"]
    report = (out / "report.md").read_text()
    assert "Unverified: " in report
    assert "There is no holdout split here" in report


def test_on_two_cards_two_programs_run_at_a_time_each_on_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The programs report the number of the card that they see; a stand-in lists the cards."""
    monkeypatch.setenv("PATH", f"{nvidia_smi(tmp_path, listing(TWO_H100))}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    root = make_checkout(tmp_path / "autoresearch")
    (root / "train.py").write_text(
        "import os, time\nN = 3\nbegan = time.time()\nwhile time.time() < began + 0.5: pass\n"
        "print('val_bpb:', 1 + int(os.environ['CUDA_VISIBLE_DEVICES']) + 10 * (N == 3))\n"  # any other N is better
    )
    arguments = ("target=autoresearch", f"target.root={root}", "target.command=python train.py", "operator=constants")
    done = search(tmp_path, "name=a", *arguments, "strategy=random", "acceptance=naive", "budget.trainings=7")

    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "outputs" / "a"
    assert f"device: 2 x {H100}, one training at a time on each" in done.stdout
    results = [json.loads(path.read_text()) for path in out.glob("trials/*/result.json")]
    assert {each["val_bpb"] % 10 for result in results for each in result["evaluations"]} == {1.0, 2.0}
    environment = json.loads((out / "environment.json").read_text())
    assert [(card["name"], card["id"]) for card in environment["cards"]] == [(H100, "0"), (H100, "1")]
    refused = search(tmp_path, "name=b", *arguments, "executor.workers=3")
    assert_clean_failure(refused, "executor.workers must be at most the number of GPUs, 2, got 3: two trainings on one")
    refused = subprocess.run(
        [sys.executable, "-m", "search.final", str(out), "--workers", "3"], capture_output=True, text=True, check=False
    )
    assert_clean_failure(refused, "must be at most the number of GPUs, 2, got 3")


def test_the_example_of_the_documentation_finds_a_better_compression(tmp_path: Path) -> None:
    done = search(
        tmp_path,
        *("name=zip", "target=command", f"target.root={EXAMPLE}", "target.file=compress.py", "target.metric=score"),
        *("target.command=python compress.py", "target.fixed=[corpus.py]", "operator=constants", "strategy=greedy"),
        *("budget.trainings=8", "executor.workers=1"),  # one at a time, so that proposals do not depend on the machine
    )

    assert done.returncode == 0, done.stdout + done.stderr
    out = tmp_path / "outputs" / "zip"
    assert summary_of(out)["best_score"] < 0.9 * summary_of(out)["baseline_score"]
    assert (out / "trials" / "0000" / "compress.py").read_bytes() == (EXAMPLE / "compress.py").read_bytes()
    assert "**score " in (out / "report.md").read_text()
    assert {path.name for path in EXAMPLE.iterdir()} - {"__pycache__"} == {"compress.py", "corpus.py", "program.md"}


def test_the_constants_that_can_move_are_named_once_in_a_search(tmp_path: Path) -> None:
    root = tmp_path / "tool"
    root.mkdir()
    (root / "train.py").write_text(
        "DEPTH = 8\nBATCH = 2**9\nBETAS = (0.9, 0.95)\nSEED = 3\nWIDTH = DEPTH * 2\nOLD = 1\n"
        "print('val_bpb: 7')\nprint('val_bpb:', abs(WIDTH - 20) + abs(BATCH - 2**8) / 512 + sum(BETAS))\n"
    )
    arguments = (
        *(
            "name=once",
            "target=command",
            f"target.root={root}",
            "target.file=train.py",
            "target.command=python train.py",
        ),
        *("target.metric=val_bpb", "target.metric_file=null", "executor.workers=1"),
    )
    line = (
        "3 constants can move: DEPTH, BATCH, BETAS; 3 stay: SEED, OLD (not read); WIDTH (an expression of other names)"
    )
    done = search(tmp_path, *arguments, "budget.trainings=6", "operator=tune", "strategy=greedy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [each for each in done.stdout.splitlines() if each.endswith(line)]
    assert done.stdout.count("the seed program: val_bpb has 2 values in the output; the last counts: 6.35. ") == 1
    assert done.stdout.count("exactly the same score on 2 training seeds") == 1
    assert "Let it read GRAFT_SEED" in done.stdout
    again = search(tmp_path, *arguments, "budget.trainings=8", "operator=tune", "strategy=greedy")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "resumed: " in again.stdout
    assert "can move" not in again.stdout
    assert "2 values" not in again.stdout
    assert "same score" not in again.stdout
    assert all("BATCH = 2**" in path.read_text() for path in (tmp_path / "outputs" / "once").glob("trials/*/train.py"))


def test_a_metric_that_is_maximized_has_its_own_sign_everywhere(tmp_path: Path) -> None:
    root = tmp_path / "tool"
    root.mkdir()
    (root / "tool.py").write_text("WASTE = 2\nprint('speed:', 3 - 0 * WASTE)\n")
    done = search(
        tmp_path,
        *("name=up", "target=command", f"target.root={root}", "target.file=tool.py", "target.command=python3 tool.py"),
        *("target.metric=speed", "target.metric_file=null", "target.direction=maximize", "budget.trainings=2"),
        *("operator=constants", "strategy=greedy", "max_failures=2"),
    )

    out = tmp_path / "outputs" / "up"
    assert summary_of(out)["baseline_speed"] == 3.0, done.stdout + done.stderr
    assert rows_of(out)[0]["speed"] == "3.000000"
    assert f"{out}/trials/0000/tool.py  the best program" not in done.stdout, "nothing beat the seed program"
    assert (out / "trials" / "0000" / "tool.py").exists()
    assert "val_bpb" not in done.stdout
    assert "speed 3 (higher is better)" in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("operator", "file", "source", "told"),
    [
        (
            "mix",
            "kernel.c",
            "#define BLOCK 16\nint main(void) { return 0; }\n",
            "kernel.c is not Python, so only an operator that asks a model, or an agent, can",
        ),
        (
            "constants",
            "train.py",
            "hyp = {'lr': 0.1}\nprint('seconds:', hyp['lr'])\n",
            "train.py: no constant can move: write `LR = 0.1` at the top level, or a comment `# knob: LOW..HIGH`",
        ),
    ],
)
def test_a_file_in_which_operators_without_a_model_find_nothing_is_refused_for_them(
    tmp_path: Path, operator: str, file: str, source: str, told: str
) -> None:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / file).write_text(source)
    settings = ("target=command", f"target.root={tmp_path / 'tool'}", f"target.file={file}", "target.command=sh run.sh")

    refused = search(tmp_path, "name=c", *settings, "target.metric=seconds", f"operator={operator}")

    assert_clean_failure(refused, told)
    assert "set operator=patch and llm.model, or operator=agent and agent.command" in refused.stderr


def test_a_checkout_that_is_not_there_and_a_command_that_is_not_are_told(tmp_path: Path) -> None:
    assert_clean_failure(search(tmp_path, "target=autoresearch"), "target.root")
    gone = search(tmp_path, "target=autoresearch", "target.root=/nowhere/at/all")
    assert_clean_failure(gone, "target.root must be a directory")
    root = make_checkout(tmp_path / "autoresearch")
    absent = search(tmp_path, "target=autoresearch", f"target.root={root}", "target.command=no-such-program train.py")
    assert_clean_failure(absent, "must begin with a program that can be found")
    assert not (tmp_path / "outputs").exists()
