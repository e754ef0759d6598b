from __future__ import annotations

import pytest

from target.command.checkout import copy_checkout
from target.command.evaluator import CommandEvaluator
from target.command.spec import CommandSpec
from target.evaluation import Evaluation
from target.program import Program
from tests.checkouts import autoresearch_spec, make_checkout


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The home directory of a user, with the data that the checkout reads, and a secret."""
    home = tmp_path_factory.mktemp("home")
    (home / ".cache" / "autoresearch").mkdir(parents=True)
    (home / ".cache" / "autoresearch" / "shard.txt").write_text("tokens")
    (home / "secret.txt").write_text("key")
    return home


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_checkout(tmp_path_factory.mktemp("user") / "autoresearch")


@pytest.fixture(scope="module")
def spec(root, home):
    return autoresearch_spec(root, user_home=str(home))


@pytest.fixture(scope="module")
def evaluator(spec, tmp_path_factory):
    snapshot = copy_checkout(spec, tmp_path_factory.mktemp("copy") / "checkout")
    with CommandEvaluator(spec, checkout=snapshot.root, scratch=tmp_path_factory.mktemp("scratch")) as evaluator:
        yield evaluator


@pytest.fixture
def once(tmp_path):
    """Evaluates a program on a target of its own."""

    def evaluate(spec: CommandSpec, source: str) -> Evaluation:
        snapshot = copy_checkout(spec, tmp_path / "copy")
        with CommandEvaluator(spec, checkout=snapshot.root, scratch=tmp_path) as evaluator:
            return evaluator.evaluate(Program(source), 0, tmp_path / "run.log")

    return evaluate
