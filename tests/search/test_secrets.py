from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from operators.secrets import redact
from search.errors import UserError
from search.mlflow.tracker import MlflowTracker
from search.runs.rundir import RunDirectory
from search.secrets import redact_all, refuse_secrets
from tests.search.builders import MIXED, make_summary
from tests.search.command import QUIET, assert_clean_failure, run


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"llm": {"api_key": "sk-1"}}, "llm.api_key"),
        ({"llm": {"extra": [{"OPENAI_API_KEY": "sk-1"}]}}, "llm.extra.0.OPENAI_API_KEY"),
        ({"tracker": {"password": "x"}}, "tracker.password"),
        ({"llm": {"headers": {"x-auth-token": "x"}}}, "llm.headers.x-auth-token"),
    ],
)
def test_a_secret_in_a_configuration_is_refused_by_name(config: dict[str, Any], name: str) -> None:
    with pytest.raises(UserError, match=rf"^{name} must not be in a configuration") as error:
        refuse_secrets(config)

    assert "sk-1" not in str(error.value)


def test_settings_that_only_sound_like_secrets_are_not() -> None:
    refuse_secrets({"llm": {"max_tokens": 4096, "api_key": None, "api_key_env": "OPENAI_API_KEY", "token": ""}})
    refuse_secrets({"target": {"sequence_tokens": "64", "keyboard": "x", "keep_parents": True}})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:hunter2@host:5000/a", "http://***@host:5000/a"),
        ("postgresql+psycopg://me:hunter2@host/db?x=1, and more", "postgresql+psycopg://***@host/db?x=1, and more"),
        ("http://ghp_abc@host", "http://***@host"),
        ("sqlite:///outputs/mlflow.db", "sqlite:///outputs/mlflow.db"),
        ("http://host/a@b", "http://host/a@b"),
        ("401 for key sk-hunter2hunter2.", "401 for key ***."),
        ("none of the short ones", "none of the short ones"),
    ],
)
def test_what_is_written_down_has_no_passwords(monkeypatch: pytest.MonkeyPatch, text: str, shown: str) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-hunter2hunter2")
    monkeypatch.setenv("SHORT_TOKEN", "none")

    assert redact(text) == shown
    assert redact_all({"a": [text, 1, None], "b": {"c": text}}) == {"a": [shown, 1, None], "b": {"c": shown}}


def test_the_tracker_shows_no_password(tmp_path: Path) -> None:
    warnings: list[str] = []
    uri = "http://me:hunter2hunter2@127.0.0.1:9/"  # no server listens there
    tracker = MlflowTracker(RunDirectory(tmp_path), "demo", uri, warn=warnings.append)
    tracker.update(MIXED, make_summary(MIXED))
    hint = tracker.close()

    assert hint == "http://***@127.0.0.1:9/"
    assert any("cannot be used" in each for each in warnings)
    assert "hunter2" not in " ".join(warnings)


@pytest.mark.parametrize("flags", [(), ("-m",)], ids=["one", "sweep"])
@pytest.mark.parametrize("override", ["llm.api_key=sk-hunter2", "+llm.api_key=sk-hunter2"])
def test_a_key_on_the_command_line_is_refused_and_not_repeated(
    tmp_path: Path, override: str, flags: tuple[str, ...]
) -> None:
    done = run(tmp_path, *flags, override, "name=x", QUIET)

    assert_clean_failure(done, "api_key")
    assert "hunter2" not in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_sweep_is_not_named_after_a_password(tmp_path: Path) -> None:
    uri = "tracker.tracking_uri=http://me:hunter2@127.0.0.1:9"
    done = run(tmp_path, "-m", "name=x", "outputs=/proc/nowhere", "seed=4", uri)

    assert_clean_failure(done, "cannot write to /proc/nowhere/sweeps/x/seed=4,target.")
    assert "tracking_uri" not in done.stderr.partition("resume: ")[0]
    assert "hunter2" not in done.stdout + done.stderr
