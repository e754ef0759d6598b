"""The contract of every file in conf/target: its settings reach a worker and a child unchanged."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from search.schema import schema
from target.boundary.job import Job, Role
from target.command.job import CommandJob
from target.command.spec import CommandSpec
from target.device import Card, describe
from target.errors import TargetError
from target.executor import LocalExecutor
from target.sandbox import LAYERS, Confinement
from target.sandbox.access import access_to, rehearsed_access
from target.spec import TargetSpec
from target.trained import TrainedKind
from tests.cards import TWO_H100, pretend
from tests.target.conftest import corpus, spec  # noqa: F401 -- fixtures

CONF = Path(__file__).parents[2] / "conf"
TARGETS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((CONF / "target").glob("*.yaml"))}
SPECS = [name for name, plain in TARGETS.items() if "device" in plain]  # simulated targets have no worker
OVERRIDES = {
    "gpu": ["target.train_seconds=30", "++target.cards.22.batch_rows=4", "++target.cards.100.constants.DEPTH=12"],
    "tiny": ["target.constants.DEPTH=1", "target.sandbox=strict", "target.program='~/mine.py'"],
    "command": ["target.root=.", "target.file=README.md", "target.command=python", "target.metric=x"],
    "autoresearch": ["target.root=.", "++target.environment.N=1", "target.readable=[/opt/data]"],
}
GIGABYTES = (6, 8, 16, 24, 48, 80, 141)


def composed(name: str, *overrides: str) -> TargetSpec | CommandSpec:
    """Return the settings of a target as a search reads them."""
    ConfigStore.instance().store(name="schema", node=schema())
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("config", [f"target={name}", *overrides])
    plain = OmegaConf.to_container(config.target, resolve=True)
    assert isinstance(plain, dict)
    own = {str(key): value for key, value in plain.items() if not str(key).startswith("_")}
    return (CommandSpec if "command" in own else TargetSpec).from_config(own)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("overridden", [False, True])
def test_settings_survive_the_way_to_a_worker_and_back(name, overridden):
    required = ["target.root=."] if name == "autoresearch" else OVERRIDES["command"] if name == "command" else []
    settings = composed(name, *(OVERRIDES[name] if overridden else required))

    fitted = [settings]
    if isinstance(settings, TargetSpec):
        fitted += [describe(settings, [Card(name="some card", memory_bytes=size * 10**9)])[0] for size in GIGABYTES]

    for each in fitted:
        sent = json.loads(json.dumps(each.to_json()))  # as the executor writes it to the worker's pipe
        assert type(each).from_config(sent) == each


def test_a_card_from_the_command_line_changes_the_one_in_the_file():
    settings = composed("gpu", *OVERRIDES["gpu"])
    assert isinstance(settings, TargetSpec)

    assert settings.cards[22] == {"constants": {**TARGETS["gpu"]["cards"][22]["constants"]}, "batch_rows": 4}
    assert settings.fitted(141 * 10**9).constants["DEPTH"] == 12


@pytest.mark.parametrize("cards", [{"big": {}}, {24: {"rows": 8}}, {1.5: {}}])
def test_cards_that_do_not_fit_are_refused(cards):
    settings = composed("gpu")
    assert isinstance(settings, TargetSpec)
    with pytest.raises(TargetError, match=r"target\.cards must map gigabytes"):
        TargetSpec.from_config({**settings.to_json(), "cards": cards})


@pytest.mark.parametrize("role", [Role.TRAIN, Role.SERVE, Role.PREFLIGHT])
@pytest.mark.parametrize("access", [access_to("cpu"), access_to("cuda"), rehearsed_access("/dev/full")])
def test_a_job_survives_the_way_to_the_zygote(role, access):
    settings = composed("gpu")
    confinement = Confinement(
        workspace=Path("/w"), layers=LAYERS, access=access, readable=(Path("/a"),), runnable=(Path("/r"),),
        withheld=(Path("/b"), Path("/c")), memory_bytes=None, file_bytes=1, cpu_seconds=None, listed_calls=True,
        processes="counted",
    )  # fmt: skip
    job = Job(
        role=role, confinement=confinement, device="cuda", threads=8, vocab_size=settings.corpus.vocab_size,
        batch_rows=2, sequence_tokens=4, tolerance_nats=math.inf,
    )  # fmt: skip
    command = CommandJob(confinement=confinement, command=("python", "train.py"), environment={"A": "b"})

    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job
    assert CommandJob.from_json(json.loads(json.dumps(command.to_json()))) == command


@pytest.mark.skipif(bool(access_to("cuda").devices), reason="this machine has a GPU")
def test_the_gpu_target_reaches_a_real_worker_which_says_that_there_is_no_gpu(
    corpus,  # noqa: F811
    monkeypatch,
    tmp_path,
):
    """A worker refused these settings once: numbers of `cards` had become text on the way."""
    pretend(monkeypatch, tmp_path, TWO_H100)  # the executor sees cards; torch in the worker does not
    gpu = composed("gpu")
    assert isinstance(gpu, TargetSpec)
    fitted = describe(gpu, [Card(name="NVIDIA H100 80GB HBM3", memory_bytes=85 * 10**9)])[0]
    fitted = dataclasses.replace(
        fitted,
        corpus=dataclasses.replace(fitted.corpus, vocab_size=corpus.vocab_size),
        scoring=dataclasses.replace(fitted.scoring, rows=16, batch_rows=16),
        sequence_tokens=64,
    )
    executor = LocalExecutor(TrainedKind(fitted, corpus=corpus), workers=1, preflight_workers=0)
    try:
        executor.start()
        with pytest.raises(TargetError, match=r"cuda did not start in the sandbox"):
            executor.evaluate(fitted.seed_program(), 0, tmp_path / "log").result()
    finally:
        executor.close()
