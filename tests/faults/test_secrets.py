"""Secrets planted around two searches in one folder, one of them real: no candidate reads them, nothing repeats one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import conf
from search.mlflow.store import import_mlflow
from target.spec import TargetSpec
from tests.faults.books import check_books
from tests.search.command import assert_clean_failure, command, run

SECRET = "s3cr3t-0123456789abcdef"
ENVIRONMENT = {
    name: f"{SECRET}-{name}"
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "SOMETHING", "DB_PASSWORD")
}
TRAININGS = 1
STEAL = """\
    import os, pathlib
    found = [repr(dict(os.environ))]
    pid = os.getpid()
    places = [pathlib.Path(KEY_FILE)]
    for _ in range(8):
        places.append(pathlib.Path(f"/proc/{pid}/environ"))
        places.append(pathlib.Path(f"/proc/{pid}/cmdline"))
        try:
            pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            pid = os.getppid()
    for place in places:
        try:
            found.append(place.read_text(errors="replace"))
        except OSError as error:
            found.append(f"{place}: {error}")
    print("the thief ran", found, flush=True)
"""


@dataclass(frozen=True)
class Searched:
    """What two searches, one of them resumed, left behind.

    Attributes:
        outputs: Their folder.
        said: All they printed.
    """

    outputs: Path
    said: str


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("thief")
    key_file = folder / ".env"
    key_file.write_text(f"OPENAI_API_KEY={SECRET}\n")
    steal = STEAL.replace("KEY_FILE", repr(str(key_file)))
    tiny = yaml.safe_load((Path(conf.__file__).parent / "target" / "tiny.yaml").read_text())
    honest = TargetSpec.from_config(tiny).seed_program().source
    (folder / "thief.py").write_text(honest.replace("    prepare.setup()\n", steal + "    prepare.setup()\n"))

    budget = f"budget.trainings={TRAININGS}"
    mirrored = "tracker.close_seconds=300"
    stealing = ("name=a", budget, mirrored, "target.program=thief.py")
    environment = {**os.environ, **ENVIRONMENT}
    both = [
        subprocess.Popen(
            command(*arguments),
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for arguments in (stealing, ("name=b", budget, mirrored, "target=landscape"))
    ]
    said = [search.communicate()[0] for search in both]
    assert [search.returncode for search in both] == [0, 0], said
    tracker = f"tracker.tracking_uri=http://user:{SECRET}@127.0.0.1:9/"  # no server listens there
    again = run(folder, *stealing, tracker, env=ENVIRONMENT)
    assert again.returncode == 0, again.stderr
    return Searched(folder / "outputs", "".join([*said, again.stdout, again.stderr]))


def test_without_a_sandbox_a_candidate_finds_the_secrets(tmp_path: Path) -> None:
    source = "if True:\n" + STEAL.replace("KEY_FILE", repr(str(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", source], env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=True
    )

    assert done.stdout.count(SECRET) >= len(ENVIRONMENT)


def test_a_candidate_reads_no_secret_and_no_file_or_output_has_one(searched: Searched) -> None:
    logs = [path.read_text() for path in searched.outputs.rglob("run*.log")]
    assert len([log for log in logs if "the thief ran" in log]) >= TRAININGS

    files = [path for path in searched.outputs.rglob("*") if path.is_file()]
    assert {"mlflow.db", "journal.log", "config.yaml", "overrides.yaml", "environment.json", "report.md"} <= {
        path.name for path in files
    }
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert [path for path in searched.outputs.rglob("*") if SECRET in path.name] == []
    assert SECRET not in searched.said
    assert "http://***@127.0.0.1:9/" in searched.said
    recorded = (searched.outputs / "a" / ".hydra" / "config.yaml").read_text()
    assert "tracking_uri: http://***@127.0.0.1:9/" in recorded


def test_two_searches_side_by_side_are_both_finished_and_mirrored(searched: Searched) -> None:
    import_mlflow()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{searched.outputs}/mlflow.db")
    for name in ("a", "b"):
        population = check_books(searched.outputs / name, trainings=TRAININGS)
        experiment = client.get_experiment_by_name(name)
        runs = [run.data.tags for run in client.search_runs([experiment.experiment_id])]
        mirrored = sorted(int(tags["graft.trial"]) for tags in runs if "graft.sent" in tags)
        assert mirrored == [trial.number for trial in population.decided]


def test_a_key_where_it_would_be_recorded_is_refused(searched: Searched) -> None:
    done = run(searched.outputs.parent, "name=c", f"+llm.api_key={SECRET}")

    assert_clean_failure(done, "llm.api_key must not be in a configuration")
    assert SECRET not in done.stdout + done.stderr
    assert not (searched.outputs / "c").exists()
