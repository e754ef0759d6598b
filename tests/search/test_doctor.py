"""`python -m search.doctor`: as a user runs it on broken machines, and check by check."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.doctor.__main__ import compose_subject
from search.doctor.checks import corpus, isolation, machine, models, programs, storage, tracking
from search.doctor.checks.row import Row, State
from search.doctor.checks.subject import Subject
from search.errors import UserError
from target.launch.layers import LayerReport
from target.sandbox import namespaces
from tests.llm_faults import Completion, Failure
from tests.llm_server import LlmServer

KEY = "GRAFT_TEST_KEY"
UNTRIED = "target.sandbox=off"  # the layers are not tried, which takes six CPU seconds


def doctor(cwd: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return subprocess.run(
        [sys.executable, "-m", "search.doctor", *arguments],
        cwd=cwd,
        env={**environment, **env},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def lines_of(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the lines of a report by what was checked, the state in front."""
    assert "Traceback" not in done.stderr, done.stderr
    return {line[8:24].strip(): f"{line[:8].strip()} {line[24:]}" for line in done.stdout.splitlines()[:-1]}


def verdict_of(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.splitlines()[-1]


def only(rows: Iterator[Row]) -> Row:
    (row,) = rows
    return row


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty directory, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def without_bubblewrap(tmp_path: Path) -> str:
    """Return a PATH with all programs but one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*"):
            if program.name != "bwrap" and not os.path.lexists(folder / program.name):
                (folder / program.name).symlink_to(program)
    return str(folder)


def test_here_a_search_can_run_and_nothing_is_left_behind(nowhere: Path) -> None:
    report = nowhere / "report.json"
    done = doctor(nowhere, "seed=3", "--json", str(report))

    assert done.returncode == 0, done.stdout + done.stderr
    assert verdict_of(done) == f"a search can run: {sys.executable} -m search seed=3"
    lines = lines_of(done)
    assert "broken" not in done.stdout
    for name in ("Python", "platform", "torch", "kernel", "target", "cache", "TMPDIR", "outputs", "MLflow", "operator"):
        assert lines[name].startswith("fine "), lines[name]
    assert "pinned version" in lines["torch"]
    assert [path.name for path in nowhere.iterdir()] == ["report.json"]
    told = json.loads(report.read_text())
    assert (told["can_run"], told["overrides"]) == (True, ["seed=3"])
    assert [row["name"] for row in told["rows"]] == list(lines)
    assert {row["state"] for row in told["rows"]} <= {"fine", "warning"}


def test_without_bubblewrap_it_warns_and_strict_cannot_run(nowhere: Path, without_bubblewrap: str) -> None:
    auto = doctor(nowhere, PATH=without_bubblewrap)
    strict = doctor(nowhere, "target.sandbox=strict", PATH=without_bubblewrap)

    assert auto.returncode == 0, auto.stdout + auto.stderr
    assert lines_of(auto)["namespaces"].startswith("warning ")
    assert lines_of(auto)["namespaces"].endswith("-> apt install bubblewrap")
    assert strict.returncode == 1
    assert lines_of(strict)["namespaces"].startswith("broken ")
    assert "apt install bubblewrap; or target.sandbox=auto" in lines_of(strict)["namespaces"]
    assert verdict_of(strict) == "a search cannot run: namespaces"


def test_a_cache_that_cannot_be_written_is_broken(nowhere: Path) -> None:
    (nowhere / "file").touch()
    done = doctor(nowhere, UNTRIED, GRAFT_CACHE=str(nowhere / "file" / "cache"))

    assert done.returncode == 1
    assert lines_of(done)["cache"].startswith(f"broken {nowhere}/file/cache cannot be written")
    assert "export GRAFT_CACHE=DIR" in lines_of(done)["cache"]
    assert verdict_of(done) == "a search cannot run: cache"


@pytest.mark.skipif(machine.has_gpu(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_broken_line_and_the_search_points_here(nowhere: Path) -> None:
    done = doctor(nowhere, "--target", "gpu")
    search = subprocess.run(
        [sys.executable, "-m", "search", "target=gpu", "seed=1"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("broken")] == ["GPU"]
    assert "target gpu cannot train here" in lines_of(done)["GPU"]
    assert "target=tiny" in lines_of(done)["GPU"]
    assert verdict_of(done) == "a search cannot run: GPU"
    assert search.returncode == 2
    assert f"`{sys.executable} -m search.doctor target=gpu seed=1` says what this machine lacks" in search.stderr


@pytest.mark.parametrize(
    ("key", "code", "phrases"),
    [
        ("good-key-123", 0, ("fine", "openai/scripted at http://127.0.0.1", "answered in")),
        (
            "wrong-key-123",
            1,
            (
                "broken",
                "the provider does not accept the key",
                "status 401",
                f"-> check the environment variable {KEY} (llm.api_key_env)",
            ),
        ),
    ],
)
def test_a_model_is_asked_exactly_once_with_the_settings_of_the_search(
    nowhere: Path, key: str, code: int, phrases: tuple[str, ...]
) -> None:
    with LlmServer(["ready"], key="good-key-123") as server:
        settings = (f"llm.api_base={server.url}", f"llm.api_key_env={KEY}", "llm.price={input: 1, output: 2}")
        done = doctor(
            nowhere,
            UNTRIED,
            "operator=patch",
            "--model",
            "llm.model=openai/scripted",
            *settings,
            "llm.max_tokens=77",
            **{KEY: key},
        )

    assert done.returncode == code, done.stdout + done.stderr
    for phrase in phrases:
        assert phrase in lines_of(done)["model"]
    assert key not in done.stdout + done.stderr
    assert [request.body["max_tokens"] for request in server.requests] == [77]
    assert sum(len(str(message["content"])) for message in server.requests[0].messages) < 100


def test_arguments_that_do_not_fit_are_a_usage_error(nowhere: Path) -> None:
    for arguments, phrase in (
        (("budget.trails=5",), "trails"),
        (("--wat",), "--wat"),
        (("executor.workers=0",), "got 0"),
    ):
        done = doctor(nowhere, *arguments)
        assert done.returncode == 2, done.stdout
        assert phrase in done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "overrides",
    [
        ("strategy=annealed",),
        ("strategy=beam", "strategy.width=0"),
        ("budget.trainings=0",),
        ("target=nowhere",),
        ("llm.model=openai/x", "+llm.api_key=abcdefgh"),
    ],
)
def test_a_search_that_would_be_refused_is_refused_here(overrides: tuple[str, ...]) -> None:
    with pytest.raises(UserError):
        compose_subject(overrides)


def ask(*overrides: str) -> Row:
    """Return the row of the language model, after a call."""
    return only(models.check_models(compose_subject(overrides), ask=True))


def local(server: LlmServer, *overrides: str) -> tuple[str, ...]:
    return ("operator=patch", "llm.model=openai/scripted", f"llm.api_base={server.url}", *overrides)


def test_what_is_wrong_with_a_model_is_said_with_what_to_do() -> None:
    with LlmServer(["ready"], faults={1: "404", 2: "500", 3: Completion(text="")}) as server:
        absent, out_of_order, empty, free = (ask(*local(server)) for _ in range(4))
        unpaid = ask(*local(server, "budget.usd=1"))
    gone = ask("operator=patch", "llm.model=openai/x", "llm.api_base=http://127.0.0.1:9/v1")

    assert (absent.state, absent.remedy) == (State.BROKEN, "check llm.model and llm.api_base")
    assert (out_of_order.state, gone.state) == (State.BROKEN, State.BROKEN)
    assert "30 minutes" in out_of_order.cost
    assert gone.remedy.endswith("curl http://127.0.0.1:9/v1/models")
    assert (empty.state, free.state) == (State.WARNING, State.WARNING)
    assert "counted as 0" in free.cost
    assert (unpaid.state, unpaid.cost) == (State.BROKEN, "budget.usd cannot be kept")
    assert len(server.requests) == 5, "one call each, without another try"


def test_without_the_flag_no_model_is_asked() -> None:
    with LlmServer(["ready"]) as server:
        row = only(models.check_models(compose_subject(local(server)), ask=False))

    assert row.state is State.FINE
    assert "--model" in row.found
    assert server.requests == []


def test_a_model_without_its_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    provider = only(models.check_models(compose_subject(["llm.model=openai/gpt-5"]), ask=False))
    own = only(models.check_models(compose_subject(["llm.model=openai/x", "llm.api_key_env=NO_SUCH_KEY"]), ask=False))

    assert (provider.state, own.state) == (State.WARNING, State.BROKEN), "only the provider knows what it accepts"
    assert "OPENAI_API_KEY is not set" in provider.found
    assert "export OPENAI_API_KEY=..." in provider.remedy
    assert "NO_SUCH_KEY" in own.found


@pytest.mark.parametrize("model", ["ollama/qwen3", "vertex_ai/gemini-2.5-pro", "lm_studio/x"])
def test_a_model_that_needs_no_key_is_fine_without_one(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    for name in ("OLLAMA_API_BASE", "VERTEXAI_PROJECT", "VERTEXAI_LOCATION", "LM_STUDIO_API_BASE"):
        monkeypatch.delenv(name, raising=False)

    assert only(models.check_models(compose_subject([f"llm.model={model}"]), ask=False)).state is State.FINE


def test_a_model_that_refuses_a_setting_names_it() -> None:
    too_many = Failure(status=400, message="Invalid max_tokens value, the valid range of max_tokens is [1, 8192]")
    with LlmServer([too_many]) as server:
        row = ask(*local(server))

    assert (row.state, row.remedy) == (State.BROKEN, "set llm.max_tokens=8192")


def test_an_operator_without_what_it_needs_is_broken() -> None:
    def operator(*overrides: str) -> Row:
        return only(programs.check_operators(compose_subject(overrides)))

    assert operator("operator=patch").remedy.startswith("set llm.model")
    assert "no program 'nothere'" in operator("operator=agent", "agent.command=nothere -p").found
    assert operator("operator=agent", "agent.command=cat").state is State.FINE
    assert operator("operator=patch", "llm.model=openai/x", "llm.api_base=http://127.0.0.1:9/v1").state is State.FINE
    assert operator("direction=/nowhere.md").state is State.BROKEN
    assert "without llm.model it leaves out crossover, patch" in operator("operator=mix").text


def test_a_target_of_the_user_needs_its_directory_its_command_and_its_file(tmp_path: Path) -> None:
    (tmp_path / "sort.py").write_text("print(1)\n")

    def target(**settings: str) -> Row:
        plain = {"root": str(tmp_path), "file": "sort.py", "command": "python sort.py", "metric": "n"} | settings
        overrides = ["target=command", *(f"target.{name}={value}" for name, value in plain.items())]
        return only(programs.check_target(compose_subject(overrides)))

    assert target().state is State.FINE
    assert "must be a directory" in target(root=str(tmp_path / "nowhere")).found
    assert "nothere" in target(command="nothere sort.py").found
    assert "cannot read the program" in target(file="other.py").found


def test_it_says_which_constants_can_move() -> None:
    (row,) = programs.check_constants(compose_subject(["target=landscape"]))

    assert (row.state, row.name) == (State.FINE, "constants")
    assert row.text.startswith("10 constants can move: DEPTH, WIDTH, BATCH_TOKENS, ")
    plain = {"root": "/nowhere", "file": "a.py", "command": "python a.py", "metric": "n"}
    nowhere = compose_subject(["target=command", *(f"target.{name}={value}" for name, value in plain.items())])
    assert list(programs.check_constants(nowhere)) == []


def test_an_earlier_search_to_begin_with_must_be_there(nowhere: Path) -> None:
    settings = ("target=landscape", "operator=constants", "tracker=none")
    assert list(programs.check_from(compose_subject(settings))) == []
    row = only(programs.check_from(compose_subject([*settings, "from=outputs/mar8"])))
    assert (row.state, row.cost) == (State.BROKEN, "there is nothing to begin with")

    command = [sys.executable, "-m", "search", "name=mar8", *settings, "budget.trainings=2"]
    subprocess.run(command, cwd=nowhere, check=True, capture_output=True)
    row = only(programs.check_from(compose_subject([*settings, "from=outputs/mar8"])))
    assert (row.state, row.found) == (State.FINE, "outputs/mar8: 1 trial: 1 baseline")


def test_simulated_targets_need_neither_isolation_nor_text() -> None:
    subject = compose_subject(["target=landscape", "operator=switch"])

    assert only(programs.check_target(subject)).state is State.FINE
    assert only(isolation.check_isolation(subject)).state is State.FINE
    assert list(corpus.check_corpus(subject)) == []


def layer(report: LayerReport, *, strict: bool) -> Row:
    return isolation.layer_row(report, strict=strict, started="torch starts")


def test_a_layer_that_fails_is_broken_and_one_that_is_lacking_is_not() -> None:
    stopped = LayerReport(name="landlock", ok=False, lacking=False, said="/dev/nvidiactl: denied", remedy="report it")
    lacking = LayerReport(name="landlock", ok=True, lacking=True, said="no Landlock", remedy="")
    works = LayerReport(name="all", ok=True, lacking=False, said="", remedy="")

    row = layer(stopped, strict=False)
    assert (row.state, row.found, row.remedy) == (State.BROKEN, "/dev/nvidiactl: denied", "report it")
    assert layer(lacking, strict=False).state is State.WARNING
    assert "validation text" in layer(lacking, strict=False).cost
    assert layer(lacking, strict=True).state is State.BROKEN
    assert layer(works, strict=True).state is State.FINE


def test_no_sandbox_is_a_warning() -> None:
    row = only(isolation.check_isolation(compose_subject(["target.sandbox=off"])))

    assert (row.state, row.remedy) == (State.WARNING, "target.sandbox=auto")
    assert "validation text" in row.cost


@pytest.mark.skipif(namespaces.missing() is not None, reason="bubblewrap does not work here")
def test_every_layer_is_tried(nowhere: Path) -> None:
    rows = {row.name: row for row in isolation.check_isolation(compose_subject([]))}

    assert {"namespaces", "landlock", "seccomp", "all layers"} <= rows.keys()
    assert all(row.state is State.FINE for row in rows.values()), rows


def outputs(root: Path) -> Row:
    return only(storage.check_outputs(compose_subject([f"outputs={root}"])))


def test_outputs_are_tried_where_they_would_be_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert outputs(tmp_path / "new" / "outputs").state is State.FINE
    assert outputs(tmp_path / "file" / "outputs").state is State.BROKEN
    assert outputs(Path("/proc/nowhere")).state is State.BROKEN
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_disk_without_locks_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on file systems that grant every lock, or none."""
    subject = compose_subject([f"outputs={tmp_path}"])
    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", lambda *_: None)
        granted = only(storage.check_outputs(subject))
    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", _no_locks)
        refused = only(storage.check_outputs(subject))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "symlink_to", lambda *_: None)
        linked = only(storage.check_outputs(subject))

    assert (granted.state, linked.state, refused.state) == (State.BROKEN,) * 3
    assert "locks nothing" in granted.found
    assert "can be made again" in linked.found
    assert "No locks available" in refused.found
    assert "two searches" in granted.cost


def _no_locks(*_: Any) -> None:
    raise OSError(37, "No locks available")


def test_a_network_file_system_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "file_system", lambda _: "nfs4")
    row = outputs(tmp_path)

    assert (row.state, row.remedy) == (State.WARNING, "outputs=DIR, on a local disk")
    assert "nfs4" in row.found


def test_the_kind_of_a_file_system_is_that_of_the_deepest_mount(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(f"host:/a {tmp_path} nfs4 rw 0 0\n/dev/sda / ext4 rw 0 0\ntmpfs {tmp_path}/in tmpfs rw 0 0\n")
    for name in ("in", "inside"):
        (tmp_path / name).mkdir()

    assert storage.file_system(Path("/usr"), table) == "ext4"
    assert storage.file_system(tmp_path / "inside" / "new", table) == "nfs4"
    assert storage.file_system(tmp_path / "in" / "new", table) == "tmpfs"
    assert storage.file_system(Path("/proc/self/nothing")) == "proc"
    assert storage.file_system(tmp_path, tmp_path / "no table") == ""


def test_too_little_room_is_said_with_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = compose_subject(["executor.workers=3"])

    def with_free(n_bytes: int) -> Row:
        usage = shutil.disk_usage("/")._replace(free=n_bytes)
        monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
        return only(storage.check_temporary(subject))

    assert with_free(7_000_000_000).state is State.FINE
    scarce, none = with_free(5_000_000_000), with_free(1_000_000)
    assert (scarce.state, none.state) == (State.WARNING, State.BROKEN)
    assert "3 x target.disk_bytes may take 6.0 GB" in scarce.cost
    assert "TMPDIR" in none.remedy


def test_a_corpus_is_prepared_or_not_or_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from target.corpus import prepare_corpus

    subject = compose_subject([])
    assert subject.spec
    there = only(corpus.check_corpus(subject))
    prepared = prepare_corpus(subject.spec.corpus)  # type: ignore[union-attr]  # tiny trains on a text
    copy = tmp_path / "cache" / prepared.hash
    shutil.copytree(prepared.root, copy)
    monkeypatch.setenv("GRAFT_CACHE", str(copy.parent))
    copied = only(corpus.check_corpus(subject))
    (copy / "sealed" / "val.bin").write_bytes(b"other")
    damaged = only(corpus.check_corpus(subject))
    shutil.rmtree(copy)
    missing = only(corpus.check_corpus(subject))

    assert there.state is State.FINE
    assert copied.found == f"packages, prepared in {copy}"
    assert (damaged.state, damaged.remedy) == (State.BROKEN, f"delete {copy} and try again")
    assert missing.state is State.FINE
    assert "not prepared yet" in missing.found
    assert not copy.exists(), "looking prepares nothing"


def test_shards_that_are_missing_are_a_warning_with_a_hub_and_broken_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path))
    monkeypatch.setenv("GRAFT_HUB_URL", "http://127.0.0.1:9")
    row = only(corpus.check_corpus(compose_subject(["corpus=climbmix", "target.corpus.shards=3"])))

    assert row.state is State.BROKEN
    assert "0 of 5 shards" in row.found
    assert "Connection refused" in row.found
    assert "corpus=installed" in row.remedy


def mlflow(uri: str) -> Row:
    return only(tracking.check_tracker(compose_subject([f"tracker.tracking_uri={uri}"])))


def database(path: Path, version: str) -> Path:
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        made.execute("INSERT INTO alembic_version VALUES (?)", (version,))
    made.close()
    return path


def test_the_schema_of_a_store_is_that_of_mlflow_or_a_warning(tmp_path: Path) -> None:
    from search.mlflow.store import import_mlflow

    import_mlflow()
    from mlflow import MlflowClient

    real = tmp_path / "real.db"
    MlflowClient(tracking_uri=f"sqlite:///{real}").search_experiments()
    assert mlflow(f"sqlite:///{real}").state is State.FINE
    assert "installed MLflow" in mlflow(f"sqlite:///{real}").found
    older = mlflow(f"sqlite:///{database(tmp_path / 'older.db', '728d730b5ebd')}")
    newer = mlflow(f"sqlite:///{database(tmp_path / 'newer.db', 'f00000000000')}")
    assert (older.state, older.remedy) == (State.WARNING, f"mlflow db upgrade sqlite:///{tmp_path}/older.db")
    assert (newer.state, newer.remedy) == (State.WARNING, "pip install --upgrade mlflow")


def test_a_store_that_cannot_be_used_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.db").write_text("no database " * 100)
    assert mlflow(f"sqlite:///{tmp_path}/text.db").state is State.WARNING
    assert mlflow(f"sqlite:///{tmp_path}/new/new.db").state is State.FINE
    assert not (tmp_path / "new").exists()

    monkeypatch.setattr(tracking, "_BUSY_SECONDS", 0.05)
    held = sqlite3.connect(database(tmp_path / "held.db", "x"), isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    assert "locked" in mlflow(f"sqlite:///{tmp_path}/held.db").found
    held.close()


def test_a_server_that_is_away_is_a_warning(nowhere: Path) -> None:
    done = doctor(nowhere, UNTRIED, "tracker.tracking_uri=http://user:pass-word@127.0.0.1:9")

    assert done.returncode == 0, done.stdout + done.stderr
    assert lines_of(done)["MLflow"].startswith("warning http://***@127.0.0.1:9 does not answer")
    assert "pass-word" not in done.stdout


def cards(*given: dict[str, Any], version: str = "2.13.0+cu130", why: str = "") -> dict[str, Any]:
    return {"version": version, "cuda": "13.0", "hip": None, "cards": list(given), "why": why}


@pytest.fixture
def on_a_gpu() -> Subject:
    return compose_subject(["target=gpu"])


def test_a_gpu_is_fine_shared_or_of_no_use(on_a_gpu: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this has run on a GPU: it is what torch says, as its documentation has it."""
    card = {"name": "Some Card", "memory_bytes": 80_000_000_000, "free_bytes": 79_000_000_000}

    def answer(said: dict[str, Any]) -> list[Row]:
        monkeypatch.setattr(machine, "_ask_torch", lambda: said)
        return list(machine.check_gpus(on_a_gpu))

    assert [row.state for row in answer(cards(card))] == [State.FINE]
    free, shared = answer(cards(card, {**card, "free_bytes": 30_000_000_000}))
    assert (free.name, free.state, shared.name, shared.state) == ("GPU 0", State.FINE, "GPU 1", State.WARNING)
    assert "30 GB free" in shared.found
    (useless,) = answer(cards(card, why="no kernel image is available for execution on the device"))
    assert useless.state is State.BROKEN
    assert "no kernel image" in useless.found


def test_another_torch_is_a_warning(on_a_gpu: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_ask_torch", lambda: cards(version="2.12.1+cu130"))
    row = only(machine.check_torch(on_a_gpu))

    assert (row.state, row.remedy) == (State.WARNING, "pip install torch==2.13.0")
    assert "comparable" in row.cost


def test_a_torch_that_cannot_be_imported_is_broken(nowhere: Path) -> None:
    (nowhere / "torch.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object file')\n")
    done = doctor(nowhere, "target=landscape", "operator=switch", "tracker=none", PYTHONPATH=_in_front(nowhere))

    assert done.returncode == 1
    assert "libcudart.so.13: cannot open" in lines_of(done)["torch"]


def _in_front(folder: Path) -> str:
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))


def test_more_threads_than_cores_are_a_warning() -> None:
    cores = len(os.sched_getaffinity(0))
    row = only(machine.check_workers(compose_subject([f"executor.workers={cores + 1}"])))

    assert (row.state, row.remedy) == (State.WARNING, f"executor.workers={cores}")
    assert only(machine.check_workers(compose_subject(["executor.workers=1"]))).state is State.FINE
