"""A configuration from settings of a command line."""

from __future__ import annotations

import pytest

from search.construct import compose_config
from search.errors import UserError


def test_a_path_in_the_home_is_a_setting_like_any_other():
    config = compose_config(["target=autoresearch", "target.root=~/autoresearch"])

    assert config.target.root == "~/autoresearch"


def test_a_secret_is_refused_before_an_error_can_repeat_it():
    with pytest.raises(UserError, match="api_key must not be in a configuration") as caught:
        compose_config(["llm.api_key=hunter2 (and, more"])

    assert "hunter2" not in str(caught.value)
