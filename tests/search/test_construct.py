"""A configuration from settings of a command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from search.construct import compose_config
from search.errors import UserError


def test_a_path_in_the_home_is_a_setting_like_any_other():
    config = compose_config(["target=autoresearch", "target.root=~/autoresearch"])

    assert config.target.root == "~/autoresearch"


def test_a_secret_is_refused_before_an_error_can_repeat_it():
    with pytest.raises(UserError, match="api_key must not be in a configuration") as caught:
        compose_config(["llm.api_key=hunter2 (and, more"])

    assert "hunter2" not in str(caught.value)


def test_a_search_is_composed_inside_of_a_users_own_hydra_application(tmp_path: Path):
    (tmp_path / "own.yaml").write_text("experiment: 7\n")
    with initialize_config_dir(version_base="1.3", config_dir=str(tmp_path)):
        config = compose_config(["target=landscape"])

        assert config.target.name == "landscape"
        assert compose("own").experiment == 7
