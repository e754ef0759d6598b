"""A full disk stops a search with one message; once there is room, the same command loses nothing and goes on."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.books import check_books, check_kept, check_ledger, mirrored, population_of
from tests.faults.conftest import TRAININGS, Undisturbed
from tests.faults.disk import SmallDisk, small_disk_driver
from tests.faults.driver import Driver
from tests.search.command import QUIET, command, summary_of

REFUSALS, FILLS = 10, 4
SEARCH = {"trainings": TRAININGS, "slots": 1}


@pytest.fixture(scope="module")
def namespace() -> Iterator[Driver]:
    with small_disk_driver() as started:
        yield started


@pytest.mark.parametrize("index", range(REFUSALS))
def test_a_write_that_is_refused_leaves_nothing_torn(
    driver: Driver, tmp_path: Path, undisturbed: Undisturbed, index: int
) -> None:
    root = tmp_path / "run"
    report = driver.session(root, **SEARCH, fault="refuse", at=undisturbed.point(index, REFUSALS))
    assert report.exit == 75
    assert "No space left on device: " in report.message
    before = population_of(root)
    check_ledger(before)
    assert not (root / "journal.log.torn").exists()
    journal = root / "journal.log"
    assert not journal.exists() or journal.read_bytes()[-1:] in (b"\n", b""), "what could not be written is taken back"

    assert driver.session(root, **SEARCH).exit == 0
    check_kept(before, check_books(root, trainings=TRAININGS))
    assert check_books(root, trainings=TRAININGS) == undisturbed.population


@pytest.mark.parametrize("index", range(FILLS))
def test_a_search_on_a_full_disk_stops_and_goes_on_when_there_is_room(
    namespace: Driver, tmp_path: Path, undisturbed: Undisturbed, index: int
) -> None:
    disk = SmallDisk(namespace, tmp_path, size_kb=4096)
    at = undisturbed.point(index, FILLS)
    report = namespace.session(disk.root / "run", **SEARCH, fault="fill", at=at, disk=str(disk.root))
    assert report.exit == 75
    assert "No space left on device" in report.message
    again = namespace.session(disk.root / "run", **SEARCH)
    assert again.exit == 75, "and again, as long as there is none"
    before = population_of(disk.copy() / "run")
    check_ledger(before)

    disk.make_room()
    assert namespace.session(disk.root / "run", **SEARCH).exit == 0
    after = check_books(disk.copy() / "run", trainings=TRAININGS)
    check_kept(before, after)
    assert after == undisturbed.population


def test_the_command_says_so_and_goes_on_when_there_is_room(namespace: Driver, tmp_path: Path) -> None:
    disk = SmallDisk(namespace, tmp_path, size_kb=80_000)
    outputs = tmp_path / "outputs"
    search = command("name=d", f"outputs={outputs}", "budget.trainings=1", QUIET)
    disk.fill()
    refused = namespace.ask({"run": [*search, f"outputs={disk.root}"]})
    assert refused["exit"] == 75
    assert refused["err"].startswith(f"error: No space left on device: {disk.root}/d/")
    assert refused["err"].endswith("; nothing is lost: make room, then resume\n")

    disk.leave(bytes_free=8192)  # on a disk that is quite full Python would not put its temporary files
    refused = namespace.ask({"run": ["env", f"TMPDIR={disk.root}", *search]})  # candidates work there
    assert refused["exit"] == 75
    assert "No space left on device" in refused["err"]
    assert summary_of(outputs / "d")["status"] == "stopped"
    assert population_of(outputs / "d").trainings == 0

    disk.make_room()
    done = namespace.ask({"run": ["env", f"TMPDIR={disk.root}", *search]})
    assert done["exit"] == 0, done["err"]
    check_books(outputs / "d", trainings=1)


PREPARE = """
import sys
from pathlib import Path
from target.corpus import prepare_corpus
from target.corpus.documents import Source
from target.errors import DiskFullError
from target.spec import Corpus
text, cache = map(Path, sys.argv[1:])
text.mkdir(exist_ok=True)
for number in range(300):
    (text / f"{number}.py").write_text(f"the text {number} says {number * number} " * 100)
try:
    source = Source(versions={}, roots={"text": text})
    prepare_corpus(Corpus(name="packages", vocab_size=300), source=source, cache=cache)
except DiskFullError as error:
    sys.exit(str(error))
print(sorted(path.name for path in cache.iterdir()))
"""


def test_a_corpus_is_not_half_prepared_on_a_full_disk(namespace: Driver, tmp_path: Path) -> None:
    disk = SmallDisk(namespace, tmp_path, size_kb=4096)
    prepare = [sys.executable, "-c", PREPARE, str(tmp_path / "text"), str(disk.root / "cache")]
    disk.fill()
    refused = namespace.ask({"run": prepare})
    assert refused["exit"] == 1
    assert "No space left on device" in refused["err"]
    assert "set GRAFT_CACHE" in refused["err"]

    disk.make_room()
    done = namespace.ask({"run": prepare})
    assert done["exit"] == 0, done["err"]
    assert ".part" not in done["out"]


def test_a_full_disk_under_mlflow_never_stops_a_search(namespace: Driver, tmp_path: Path) -> None:
    disk, root = SmallDisk(namespace, tmp_path, size_kb=4096), tmp_path / "run"
    tracked = {"trainings": TRAININGS, "tracking_uri": f"sqlite:///{disk.root}/mlflow.db"}
    assert namespace.session(root, **tracked, fault="fill", at=50, disk=str(disk.root)).exit == 0
    decided = [trial.number for trial in check_books(root, trainings=TRAININGS).decided]
    assert len(mirrored(disk.copy())) < len(decided)

    disk.make_room()
    assert namespace.session(root, **tracked).exit == 0
    assert mirrored(disk.copy()) == decided
