"""What `python -m search.doctor` says of files: outputs, room on the disk, the text, the store of MLflow."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from search.doctor.__main__ import compose_subject
from search.doctor.checks import corpus, storage, tracking
from search.doctor.checks.row import Row, State
from tests.search.checkup import only


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


def test_the_schema_of_a_store_is_that_of_mlflow_or_a_warning(tmp_path: Path, empty_database: Path) -> None:
    real = mlflow(f"sqlite:///{empty_database}")
    assert real.state is State.FINE
    assert "installed MLflow" in real.found
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
