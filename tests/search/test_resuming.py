"""A search that an earlier version of Graft began goes on with this one; with other settings it does not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from search.changes import origins_of
from search.construct import compose_search, plain_config
from search.resuming import differing
from tests.search.command import assert_clean_failure, run

COMMAND = ("name=s", "target=command", "target.root=.", "target.command=[true]", "target.file=f", "target.metric=m")


def without(config: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a configuration of a version that did not have a setting yet."""
    earlier = copy.deepcopy(config)
    *path, name = key.split(".")
    place = earlier
    for part in path:
        place = place[part]
    del place[name]
    return earlier


@pytest.mark.parametrize(
    ("missing", "given", "refused"),
    [
        ("target.worker_processes", (), []),
        ("target.worker_processes", ("target.worker_processes=true",), ["target.worker_processes"]),
        ("strategy.memory", ("strategy=hybrid",), []),
        ("storage", (), []),
    ],
)
def test_a_setting_that_the_earlier_version_lacked_may_have_its_default(
    missing: str, given: tuple[str, ...], refused: list[str]
) -> None:
    now = compose_search((*COMMAND, *given))
    config = plain_config(now.config)

    found = differing(without(config, missing), config, origins=origins_of(now), overrides=now.overrides)

    assert found == refused


def test_an_object_that_the_earlier_version_lacked_is_another_search() -> None:
    now = compose_search(("name=s", "operator=mix"))
    config = plain_config(now.config)
    (name, *_) = (name for name in config["operator"]["operators"] if name != "patch")
    earlier = without(config, f"operator.operators.{name}")

    found = differing(earlier, config, origins=origins_of(now), overrides=now.overrides)

    assert found
    assert all(key.startswith(f"operator.operators.{name}.") for key in found)


def test_a_setting_of_the_users_own_choice_is_another_search(tmp_path: Path) -> None:
    (tmp_path / "strategy").mkdir()
    own = {"_target_": "search.strategies.beam.Beam", "_partial_": True, "width": 2}
    (tmp_path / "strategy" / "mine.yaml").write_text(yaml.safe_dump(own))
    now = compose_search(("name=s", "strategy=mine"), config_dir=tmp_path)
    config = plain_config(now.config)

    found = differing(without(config, "strategy.width"), config, origins=origins_of(now), overrides=now.overrides)

    assert found == ["strategy.width"]


def test_a_search_of_an_earlier_version_is_resumed(tmp_path: Path) -> None:
    arguments = ("target=landscape", "tracker=none", "name=s", "strategy=beam")
    first = run(tmp_path, *arguments, "budget.trainings=2")
    assert first.returncode == 0, first.stderr
    file = tmp_path / "outputs" / "s" / ".hydra" / "config.yaml"
    config = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(without(config, "strategy.width")))

    refused = run(tmp_path, *arguments, "strategy.width=2", "budget.trainings=4")
    assert_clean_failure(refused, "strategy.width was None, is 2")
    resumed = run(tmp_path, *arguments, "budget.trainings=4")

    assert resumed.returncode == 0, resumed.stderr
    assert yaml.safe_load(file.read_text())["strategy"]["width"] == config["strategy"]["width"]
