"""Arguments of a command line: paths in the home, what needs quotes, and messages that can be pasted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st

from search.arguments import hydra_setting, quote_homes
from search.construct import compose_config
from search.errors import UserError
from target.words import user_path
from tests.search.command import QUIET, assert_clean_failure, run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("argument", "quoted"),
    [
        ("target.root=~/autoresearch", 'target.root="~/autoresearch"'),
        ("+target.program=~/a b/mine.py", '+target.program="~/a b/mine.py"'),
        ("outputs=~", 'outputs="~"'),
        ("target.root=~/a,~/b", 'target.root="~/a","~/b"'),
        ("target.root=/a,~/b", 'target.root=/a,"~/b"'),
        ("target.readable=[~/a, /b, ~/c d]", 'target.readable=["~/a", /b, "~/c d"]'),
        ("llm.cassette=replay:~/a", 'llm.cassette="replay:~/a"'),
        ("tracker.tracking_uri=sqlite:///~/a.db", 'tracker.tracking_uri="sqlite:///~/a.db"'),
        ("agent.command=~/bin/agent -p", 'agent.command="~/bin/agent -p"'),
        ("target.root=~/it's", 'target.root="~/it\'s"'),
        ("target.root='~/a'", "target.root='~/a'"),
        ("~budget.usd", "~budget.usd"),  # Hydra's word for leaving a setting away
        ("agent.command='run ~/x'", "agent.command='run ~/x'"),
        ("target.environment={DATA: ~/x}", "target.environment={DATA: ~/x}"),  # Hydra refuses it, with the remedy
        ("name=a~b", "name=a~b"),
        ("--multirun", "--multirun"),
    ],
)
def test_values_in_the_home_are_quoted_and_others_left_alone(argument: str, quoted: str) -> None:
    assert quote_homes([argument]) == [quoted]


PATHS = {
    "outputs": "outputs=~/there",
    "target.root": "target=autoresearch target.root=~/there",
    "target.program": "target.program=~/there",
    "target.readable": "target=command target.readable=[~/there]",
    "target.trials": "target=surrogate target.trials=~/there",
    "direction": "direction=~/there",
    "prompt.system": "prompt.system=~/there",
    "prompt.task": "prompt.task=~/there",
    "agent.command": "agent.command=~/there",
    "target.command": "target=command target.command=~/there",
    "llm.cassette": "llm.cassette=replay:~/there",
    "tracker.tracking_uri": "tracker.tracking_uri=sqlite:///~/there",
}
"""Settings that are paths, or have one in them. The others with a path are relative to `target.root` or to the home."""


@pytest.mark.parametrize("key", PATHS)
def test_every_setting_with_a_path_takes_the_home(key: str) -> None:
    config = compose_config(PATHS[key].split())

    found = config
    for part in key.split("."):
        found = found[part]
    assert "~/there" in str(found)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("outputs=~/out", "target=landscape", "budget.trainings=1", "tracker=none"), "{home}/out/"),
        (("target=autoresearch", "target.root=~/missing", "tracker=none"), "{home}/missing"),
        (("target.program=~/missing.py", "tracker=none"), "{home}/missing.py"),
        (("direction=~/missing.md", "tracker=none"), "{home}/missing.md"),
        (("llm.cassette=replay:~/missing", "tracker=none"), "{home}/missing"),
        (("target=surrogate", "target.trials=~/missing.csv", "tracker=none"), "{home}/missing.csv"),
        (("operator=agent", "agent.command=~/missing -p", "tracker=none"), "{home}/missing"),
    ],
)
def test_a_path_in_the_home_is_that_of_the_user(tmp_path: Path, overrides: tuple[str, ...], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "search", "name=x", *overrides],
        cwd=tmp_path,
        env={"HOME": str(tmp_path / "me"), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert said.format(home=tmp_path / "me") in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "~").exists()


def test_a_file_that_an_argument_names_may_be_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    folders = ("search", "target", "operators", "benchmarks")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]

    assert user_path("~/x.json") == Path("/home/me/x.json")
    assert [path for path in sources if "type=Path" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    ("value", "phrase"),
    [
        ("claude -p, go on", "has several values: for a search with each, add -m"),
        ("claude (a", "has characters with a special meaning"),
        ("claude 'a' b", "has characters with a special meaning"),
        ('claude "a" {b', "has characters with a special meaning"),
        ("jürgen/agent", "has characters with a special meaning"),
    ],
)
def test_what_has_to_be_quoted_is_shown_with_its_quotes(value: str, phrase: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_config([f"agent.command={value}"])

    message = str(caught.value)
    assert phrase in message
    assert "***" not in message
    _, _, remedy = message.partition("write it in quotes: ")
    done = subprocess.run(["bash", "-c", f"printf '%s\\n' {remedy}"], capture_output=True, text=True, check=True)
    assert compose_config([done.stdout.removesuffix("\n")]).agent.command == value


def test_a_comma_on_the_command_line_keeps_its_remedy(tmp_path: Path) -> None:
    done = run(tmp_path, "operator=agent", "agent.command=claude -p, go", "name=x", QUIET)

    assert_clean_failure(done, """write it in quotes: 'agent.command="claude -p, go"'""")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("argument", "phrase"),
    [
        ("foo", "arguments must be settings, KEY=VALUE without spaces, or choices, GROUP=CHOICE, got 'foo'"),
        ("direction=a\nb", "direction must be text without line breaks and control characters, got 'a\\nb'"),
        ("strategy=greedy,random", "add -m"),
        ("seed=range(0,3)", "add -m"),
        ("strategy=annealed", "hybrid"),  # Hydra's own words, with what there is
        ("budget.trails=1", "trails"),
        ("name=null", "name"),
    ],
)
def test_other_mistakes_are_named(argument: str, phrase: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_config([argument])

    assert phrase in str(caught.value)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12))
def test_a_setting_that_is_shown_can_be_pasted(value: str) -> None:
    assert OverridesParser.create().parse_override(hydra_setting("direction", value)).value() == value
