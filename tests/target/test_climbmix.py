"""Shards that the test writes and serves over loopback HTTP, by a server that fails on purpose."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from target.corpus import prepare_corpus
from target.corpus.climbmix import HOLDOUT_SHARD, VAL_SHARD, fetch, shards_folder
from target.errors import TargetError
from target.spec import Corpus

ROOT = Path(__file__).parents[2]
NUMBERS = (0, 1, HOLDOUT_SHARD, VAL_SHARD)


def name_of(number: int) -> str:
    return f"shard_{number:05d}.parquet"


def documents_of(number: int) -> list[str]:
    return [f"Document {n} of shard {number}: {'word ' * (n % 7)} größer → 字 <|bos|>" for n in range(60)]


class Hub:
    """A hub of its own: HEAD has the hash and redirects, GET sends bytes from another path.

    Attributes:
        files: What it serves.
        faults: What the next GETs of a name do: a status, "cut" (close halfway), "lie" (other bytes), "whole" (all).
        begins: First byte of each GET, by name.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        self.faults: defaultdict[str, list[int | str]] = defaultdict(list)
        self.begins: defaultdict[str, list[int]] = defaultdict(list)
        self.heads: Counter[str] = Counter()
        self.sent_half = threading.Event()
        self.hold = threading.Event()
        self.hold.set()
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                name = self.path.rpartition("/")[2]
                hub.heads[name] += 1
                if name not in hub.files:
                    self._reply(404, b"")
                    return
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/content/{name}")
                self.send_header("X-Linked-Etag", f'"{hub.hashes[name]}"')
                self.send_header("X-Linked-Size", str(len(hub.files[name])))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                if not self.path.startswith("/content/"):
                    self.send_response(302)
                    self.send_header("Location", f"/content/{name}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                fault = hub.faults[name].pop(0) if hub.faults[name] else None
                begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
                hub.begins[name].append(begin)
                content = hub.files[name]
                if isinstance(fault, int):
                    self._reply(fault, b"no")
                elif fault == "lie":
                    self._reply(206 if begin else 200, bytes(len(content) - begin))
                elif fault == "whole":
                    self._reply(200, content)
                elif fault == "cut":
                    self.send_response(206 if begin else 200)
                    self.send_header("Content-Length", str(len(content) - begin))
                    self.end_headers()
                    self.wfile.write(content[begin : begin + (len(content) - begin) // 2])
                    self.wfile.flush()
                    hub.sent_half.set()
                    hub.hold.wait(300)
                    self.close_connection = True
                else:
                    self._reply(206 if begin else 200, content[begin:])

            def _reply(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/datasets/some/one/resolve/main"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    files = {}
    for number in NUMBERS:
        path = tmp_path / name_of(number)
        pq.write_table(pa.table({"text": documents_of(number), "other": list(range(60))}), path, row_group_size=7)
        files[name_of(number)] = path.read_bytes()
    hub = Hub(files)
    monkeypatch.setenv("GRAFT_HUB_URL", hub.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    thread = threading.Thread(target=hub.server.serve_forever, args=(0.01,))
    thread.start()
    yield hub
    hub.hold.set()
    hub.server.shutdown()
    thread.join()
    hub.server.server_close()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def files_in(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in shards_folder(cache).iterdir() if path.suffix == ".parquet"}


def test_training_shards_are_the_first_and_the_held_out_ones_the_last(hub, cache):
    text = fetch(2, cache)

    assert files_in(cache) == hub.files
    assert list(text.documents("train")) == documents_of(0) + documents_of(1)
    assert list(text.documents("val")) == documents_of(VAL_SHARD)
    assert list(text.documents("holdout")) == documents_of(HOLDOUT_SHARD)
    assert not list(shards_folder(cache).glob("*.part"))


def test_what_is_there_is_not_asked_for_again_and_more_shards_are_added(hub, cache):
    one = fetch(1, cache)
    hub.heads.clear()

    assert fetch(1, cache) == one
    assert not hub.heads

    two = fetch(2, cache)
    assert hub.heads == {name_of(1): 1}
    assert two.fingerprint != one.fingerprint


def test_errors_of_the_server_are_retried(hub, cache):
    hub.faults[name_of(0)] = [500, 503, 429]

    fetch(1, cache, hurry=True)

    assert hub.begins[name_of(0)] == [0, 0, 0, 0]
    assert files_in(cache)[name_of(0)] == hub.files[name_of(0)]


def test_a_connection_that_breaks_off_is_resumed_where_it_broke(hub, cache):
    size = len(hub.files[name_of(0)])
    hub.faults[name_of(0)] = ["cut", 502, "cut"]

    fetch(1, cache, hurry=True)

    assert hub.begins[name_of(0)] == [0, size // 2, size // 2, size // 2 + (size - size // 2) // 2]
    assert files_in(cache)[name_of(0)] == hub.files[name_of(0)]


def test_a_server_that_cannot_resume_sends_the_whole_again(hub, cache):
    hub.faults[name_of(0)] = ["cut", "whole"]

    fetch(1, cache, hurry=True)

    assert files_in(cache)[name_of(0)] == hub.files[name_of(0)]


def test_wrong_bytes_are_thrown_away_and_asked_for_again(hub, cache):
    hub.faults[name_of(0)] = ["lie", "cut", "lie"]

    fetch(1, cache, hurry=True)

    assert hub.begins[name_of(0)][-1] == 0
    assert files_in(cache)[name_of(0)] == hub.files[name_of(0)]


def test_bytes_that_are_always_wrong_are_refused_with_both_hashes(hub, cache):
    hub.faults[name_of(0)] = ["lie"] * 99

    with pytest.raises(TargetError, match=rf"SHA-256 must be {hub.hashes[name_of(0)]}, got .*corpus=packages"):
        fetch(1, cache, hurry=True)

    assert name_of(0) not in files_in(cache)


def test_a_shard_that_does_not_exist_is_named_at_once(hub, cache):
    with pytest.raises(
        TargetError, match=rf"{name_of(2)}: download failed: the server says 404 .*4 of 5 shards are in"
    ):
        fetch(2, cache) and fetch(3, cache)

    assert hub.heads[name_of(2)] == 1


def test_a_hub_that_gives_no_hash_is_refused(hub, cache):
    hub.hashes[name_of(0)] = "abc"

    with pytest.raises(TargetError, match=r"X-Linked-Etag must be a SHA-256 .*got 'abc'"):
        fetch(1, cache)


def test_without_a_network_it_says_what_to_do(hub, cache, monkeypatch):
    fetch(1, cache)
    monkeypatch.setenv("GRAFT_HUB_URL", "http://127.0.0.1:1/nowhere")

    assert list(fetch(1, cache).documents("val")) == documents_of(VAL_SHARD)
    with pytest.raises(TargetError) as refused:
        fetch(2, cache, hurry=True)
    assert "http://127.0.0.1:1/nowhere/shard_00001.parquet: download failed" in str(refused.value)
    assert "3 of 4 shards are in" in str(refused.value)
    assert "corpus=packages and corpus=installed need no network" in str(refused.value)


def test_a_killed_download_goes_on_where_it_was(hub, cache):
    hub.faults[name_of(0)] = ["cut"]
    hub.hold.clear()
    command = [sys.executable, "-m", "target.climbmix", "--num-shards", "1"]
    environment = {**os.environ, "GRAFT_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(command, env=environment, cwd=ROOT)
    try:
        assert hub.sent_half.wait(300)
        half = len(hub.files[name_of(0)]) // 2
        while not any(path.stat().st_size == half for path in shards_folder(cache).glob("shard_00000.*.part")):
            assert child.poll() is None
            os.sched_yield()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    hub.hold.set()

    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert hub.begins[name_of(0)] == [0, half]
    assert done.stdout.startswith("3 shards, ")
    assert files_in(cache)[name_of(0)] == hub.files[name_of(0)]


def test_a_corpus_of_shards_holds_their_text_and_withholds_the_downloads(hub, cache):
    corpus = Corpus(name="climbmix", vocab_size=300, shards=2)

    files = prepare_corpus(corpus, cache=cache)

    splits = json.loads(files.meta.read_text())["splits"]
    for split, numbers in {"train": (0, 1), "val": (VAL_SHARD,), "holdout": (HOLDOUT_SHARD,)}.items():
        texts = [text for number in numbers for text in documents_of(number)]
        assert splits[split]["documents"] == len(texts)
        assert splits[split]["bytes"] == sum(len(text.encode()) for text in texts)
    assert np.fromfile(files.train_tokens, "<u2").size == splits["train"]["tokens"]
    assert (np.fromfile(files.val, "<u2") == 299).sum() == 60
    assert set(files.withheld) == {files.sealed, shards_folder(cache)}
    assert prepare_corpus(corpus, cache=cache) == files


def test_text_is_encoded_a_batch_at_a_time_with_the_same_result(hub, cache, tmp_path, monkeypatch):
    corpus = Corpus(name="climbmix", vocab_size=300, shards=2)
    whole = prepare_corpus(corpus, cache=cache)
    monkeypatch.setattr("target.corpus.prepared._BATCH_CHARACTERS", 500)

    parts = prepare_corpus(corpus, cache=tmp_path / "other")

    assert parts.meta.read_bytes() == whole.meta.read_bytes()


@pytest.mark.parametrize("shards", [0, HOLDOUT_SHARD + 1])
def test_a_number_of_shards_that_there_is_not_is_refused(cache, shards):
    with pytest.raises(TargetError, match=r"corpus\.shards must be"):
        prepare_corpus(Corpus(name="climbmix", vocab_size=300, shards=shards), cache=cache)
