"""The command `graft`: the other commands by name, help from one source, completion, and light imports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from search.graft.__main__ import main
from search.graft.reference import choices, settings
from search.graft.texts import COMMANDS, COMPLETION, completions, explain, help_text
from search.mistakes import plain_keys
from tests.search.command import QUIET

ROOT = Path(__file__).parents[2]
GRAFT = (sys.executable, "-m", "search.graft")
HEAVY = ("torch", "optuna", "mlflow", "litellm", "hydra", "numpy", "rich", "matplotlib")


def graft(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GRAFT, *words], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    "words", [["--help"], ["help", "budget.hours"], ["--complete", "graft search s"], ["--version"]]
)
def test_help_and_completion_import_nothing_heavy(words: list[str]) -> None:
    look = (
        "import sys; from search.graft.__main__ import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", look, *words], capture_output=True, text=True, check=True)

    assert done.stdout
    assert {name.partition(".")[0] for name in done.stderr.split()}.isdisjoint(HEAVY)


def test_help_fits_on_a_screen_and_has_all_commands_and_groups() -> None:
    lines = help_text().splitlines()

    assert len(lines) <= 50
    assert max(map(len, lines)) <= 110
    first_words = [line.split()[0] for line in lines if line.startswith("  ")]
    first_words += next(line for line in lines if "idea | pause" in line).split()
    assert {*COMMANDS, "strategy", "operator", "target", "budget.trainings", "name"} <= set(first_words)
    assert "anneal, beam, evolution" in help_text()


def test_every_setting_has_an_explanation() -> None:
    assert [each.key for each in settings() if not each.text] == []


def test_every_setting_that_is_explained_is_one_and_every_one_is_explained() -> None:
    known = plain_keys(("operator=mix",))
    explained = {each.key for each in settings() if each.choice in ("", "budget=default", "llm=default", "target=tiny")}

    free = ("llm.", "target.constants.")  # llm.cassette and the like are read by `search.construct`
    assert [key for key in sorted(explained) if key not in known and not key.startswith(free)] == []
    top = [key for key in known if "." not in key and key not in (*choices(), "hydra")]
    assert [key for key in top if explain(key) is None] == []


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("strategy.width", "survivors per generation"),
        ("budget.hours", "wall time, over all sessions of a resumed search"),
        (
            "target.startup_seconds",
            "Fixed allowance on top",
        ),  # the meaning from the docstring, each value's from its file
        ("target.startup_seconds", "training starts in a process that has imported torch"),
        ("target.scoring.start_seconds", "limited so that it cannot train"),  # a remark above the line
        ("llm.max_tokens", "is asked for once more with twice as many"),  # a comment of two lines
        ("prompt.ancestors", "Number of ancestors"),
        ("strategy", "beam Beam search: the best 2 of each generation"),
        ("agent", "agent.command"),
        ("final.seeds", "scored on the holdout"),
    ],
)
def test_a_setting_is_explained_from_its_file_and_its_docstring(key: str, said: str) -> None:
    assert said in " ".join((explain(key) or "").split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serch"], "there is no command 'serch'; did you mean graft search?"),
        (["strategy=greedy"], "did you mean graft search strategy=greedy?"),
        (["qqq"], "`graft --help` lists all"),
        (["help", "budget.training"], "did you mean budget.trainings?"),
        (["help", "wdth"], "did you mean strategy.width?"),
        (["help", "qqqqqq"], "`graft --help` lists the most needed"),
        (["--completion", "tcsh"], "--completion must be followed by one of bash, zsh, fish"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert said in (err := capsys.readouterr().err)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("graft rep", ["report"]),
        ("graft search strategy=", [f"strategy={choice}" for choice in choices()["strategy"]]),
        ("graft search name=x budget.tr", ["budget.trainings="]),
        ("graft doctor target=g", ["target=gpu"]),
        ("graft help budget.h", ["budget.hours"]),
        ("graft report o", ["outputs/mar8"]),
        ("graft search from=o", ["from=outputs/mar8"]),
        ("graft --completion z", ["zsh"]),
        ("graft import x", []),
    ],
)
def test_words_are_completed(line: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outputs" / "mar8").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    assert completions(line) == words


@pytest.mark.parametrize(("line", "words"), [("graft search strategy=g", "greedy"), ("graft sta", "status")])
def test_bash_completes_with_what_is_printed(tmp_path: Path, line: str, words: str) -> None:
    script = f"""
        graft() {{ {sys.executable} -m search.graft "$@"; }}
        source <(graft --completion bash)
        COMP_LINE='{line}' COMP_POINT={len(line)}
        _graft
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == words


@pytest.mark.parametrize("shell", [shell for shell in COMPLETION if shutil.which(shell)])
def test_the_script_for_a_shell_is_valid(shell: str) -> None:
    assert subprocess.run([shell, "-n"], input=COMPLETION[shell], text=True, check=False).returncode == 0


def test_a_command_is_the_same_module_and_what_hides_it_is_not_imported(tmp_path: Path) -> None:
    for name in ("conf.py", "json.py"):
        (tmp_path / name).write_text("raise SystemExit('mine')\n", encoding="utf-8")
    start = [sys.executable, "-P", "-c", "from search.graft.__main__ import run; run()"]  # as the installed script
    words = ["search", "target=landscape", QUIET, "name=g", "budget.trainings=2", "--json"]
    done = subprocess.run(
        [*start, *words], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"
    assert graft(tmp_path / "outputs", "search", "target=landscape", "budget=1").returncode == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_module_with_help(name: str, tmp_path: Path) -> None:
    module = COMMANDS[name][0].partition(" ")[0].replace(".", "/")

    assert (ROOT / f"{module}.py").is_file() or (ROOT / module / "__main__.py").is_file()
    if name in ("status", "report"):
        assert f"usage: python -m {COMMANDS[name][0]}" in graft(tmp_path, name, "--help").stdout


def test_the_entry_point_is_declared() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

    assert scripts == {"graft": "search.graft.__main__:run"}
