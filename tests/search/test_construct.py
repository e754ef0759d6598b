"""Settings from a command line: paths in the user's home."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from search.construct import compose_config, quote_homes

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("argument", "quoted"),
    [
        ("target.root=~/autoresearch", "target.root='~/autoresearch'"),
        ("+target.program=~/a b/mine.py", "+target.program='~/a b/mine.py'"),
        ("outputs=~", "outputs='~'"),
        ("target.root=~/a,~/b", "target.root='~/a','~/b'"),
        ("target.root=/a,~/b", "target.root=/a,'~/b'"),
        ("target.root='~/a'", "target.root='~/a'"),
        ("~budget.usd", "~budget.usd"),  # Hydra's word for leaving a setting away
        ("agent.command='run ~/x'", "agent.command='run ~/x'"),
        ("name=a~b", "name=a~b"),
        ("--multirun", "--multirun"),
    ],
)
def test_values_in_the_home_are_quoted_and_others_left_alone(argument, quoted):
    assert quote_homes([argument]) == [quoted]


def test_a_path_in_the_home_is_a_setting_like_any_other():
    config = compose_config(["target=autoresearch", "target.root=~/autoresearch"])

    assert config.target.root == "~/autoresearch"


def test_the_command_of_the_readme_reads_the_home_of_its_user(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "search",
            "target=autoresearch",
            "target.root=~/missing",
            "tracker=none",
            "outputs=~/out",
        ],
        cwd=ROOT,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 2
    assert str(tmp_path / "missing") in done.stderr
