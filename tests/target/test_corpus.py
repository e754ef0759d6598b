import base64
import dataclasses
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from target.corpus import CorpusFiles, prepare_corpus
from target.corpus.cache import cache_root, file_sha256
from target.corpus.documents import (
    SOURCES,
    PackageText,
    Source,
    installed_text,
    manifest_hash,
    read_documents,
    split_of,
)
from target.errors import TargetError
from target.spec import Corpus

SMALL = Corpus(name="small", vocab_size=300)


def write_packages(root: Path) -> Source:
    """Write two packages of 150 files; every tenth is empty, not UTF-8 or names the special token."""
    for package in ("alpha", "beta"):
        for n in range(150):
            path = root / package / f"part{n % 3}" / f"module{n}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            odd = {0: b"", 10: b"caf\xe9 \xff\n", 20: b"'<|bos|>'\r\n", 30: "größer → 字\n".encode()}
            path.write_bytes(odd.get(n % 40, f"def function_{n}(x):\n    return x + {n * n}\n".encode() * 3))
        (root / package / "README.txt").write_text("not Python")
    return Source(versions={}, roots={name: root / name for name in ("alpha", "beta")})


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_packages(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def files(source, tmp_path_factory):
    return prepare_corpus(SMALL, source=source, cache=tmp_path_factory.mktemp("cache"))


def texts_of(path: Path, files: CorpusFiles) -> list[bytes]:
    """Return the documents of a split, decoded with the public tokenizer."""
    tokenizer = json.loads(files.tokenizer.read_text())
    texts = [base64.b64decode(token) for token in tokenizer["ranks"]]
    documents: list[list[bytes]] = []
    for token in np.fromfile(path, "<u2"):
        if token == tokenizer["special_tokens"]["<|bos|>"]:
            documents.append([])
        else:
            documents[-1].append(texts[token])
    return [b"".join(document) for document in documents]


def expected_texts(source: Source, split: str) -> list[bytes]:
    documents = read_documents(SMALL, source)
    return [content.decode(errors="replace").encode() for path, content in documents.items() if split_of(path) == split]


def test_every_file_is_in_one_split_and_decodes_to_its_text(files, source):
    splits = {"train": files.train_tokens, "val": files.val, "holdout": files.holdout}

    found = {split: texts_of(path, files) for split, path in splits.items()}

    assert found == {split: expected_texts(source, split) for split in splits}
    assert sum(map(len, found.values())) == 300
    assert 0 < len(found["val"]) < 30
    assert 0 < len(found["holdout"]) < 30


def test_the_split_of_a_file_does_not_depend_on_the_others():
    assert {split_of(f"sympy/module{n}.py") for n in range(200)} == {"train", "val", "holdout"}
    assert split_of("sympy/core/add.py") == "train"  # moving a file between splits makes old scores worthless
    assert [split_of(f"sympy/module{n}.py") for n in range(200)].count("val") == 3


def test_the_bytes_of_the_validation_tokens_are_those_of_its_documents(files, source):
    token_bytes = np.fromfile(files.token_bytes, "<i4")
    val = np.fromfile(files.val, "<u2")

    assert token_bytes.shape == (SMALL.vocab_size,)
    assert token_bytes[SMALL.vocab_size - 1] == 0
    assert token_bytes[val].sum() == sum(map(len, expected_texts(source, "val")))


def test_a_part_of_a_character_counts_its_own_bytes(files):
    ranks = json.loads(files.tokenizer.read_text())["ranks"]

    token_bytes = np.fromfile(files.token_bytes, "<i4")

    assert [len(base64.b64decode(token)) for token in ranks] == token_bytes[: len(ranks)].tolist()
    assert not token_bytes[len(ranks) :].any()


def test_the_tokenizer_learns_from_training_documents_only(files, tmp_path):
    source = write_packages(tmp_path / "packages")
    for path in read_documents(SMALL, source):
        if split_of(path) != "train":
            (tmp_path / "packages" / path).write_text("zebra quagga okapi " * 1_000)

    other = prepare_corpus(SMALL, source=source, cache=tmp_path / "cache")

    assert other.hash != files.hash
    assert other.tokenizer.read_bytes() == files.tokenizer.read_bytes()
    assert other.train_tokens.read_bytes() == files.train_tokens.read_bytes()


def test_the_first_documents_of_a_split_are_of_all_packages(source):
    first = list(read_documents(SMALL, source))[:20]

    assert {path.partition("/")[0] for path in first} == {"alpha", "beta"}


def test_candidates_see_training_tokens_and_tokenizer_only(files):
    assert {path.name for path in files.public.iterdir()} == {"tokens.bin", "tokenizer.json"}


def test_two_caches_hold_the_same_bytes(files, source, tmp_path):
    again = prepare_corpus(SMALL, source=source, cache=tmp_path)

    first, second = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (files.root, again.root)
    )
    assert first == second
    assert len(first) == 6


def test_it_is_prepared_once(files, source):
    before = files.meta.stat().st_mtime_ns

    again = prepare_corpus(SMALL, source=source, cache=files.root.parent)

    assert again == files
    assert files.meta.stat().st_mtime_ns == before


def test_another_vocabulary_is_another_corpus(files, source):
    other = prepare_corpus(Corpus(name="small", vocab_size=280), source=source, cache=files.root.parent)

    assert other.root != files.root
    assert np.fromfile(other.train_tokens, "<u2").max() == 279


def test_processes_that_prepare_at_once_are_all_right(files, source, tmp_path):
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(_prepare, [source] * 3, [tmp_path] * 3))

    assert found == [files.hash] * 3
    assert {path.name for path in tmp_path.iterdir()} == {files.hash, f"{files.hash}.lock"}


def _prepare(source: Source, cache: Path) -> str:
    return prepare_corpus(SMALL, source=source, cache=cache).hash


def test_what_a_killed_preparation_left_does_no_harm(files, source, tmp_path):
    left = tmp_path / f"{files.hash}.part" / "public" / "tokens.bin"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")

    again = prepare_corpus(SMALL, source=source, cache=tmp_path)

    assert again.train_tokens.read_bytes() == files.train_tokens.read_bytes()
    assert not left.exists()


@pytest.mark.parametrize(
    "name", ["public/tokens.bin", "public/tokenizer.json", "sealed/val.bin", "sealed/token_bytes.bin", "meta.json"]
)
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_cache_is_refused_with_the_directory_to_delete(source, tmp_path, name, damage):
    files = settled(source, tmp_path)
    path = files.root / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-5] if damage == "cut" else b"\0" + content[1:])

    with pytest.raises(TargetError, match=rf"damaged \({name}\); delete {files.root}"):
        prepare_corpus(SMALL, source=source, cache=tmp_path)


@pytest.fixture
def hashed(monkeypatch):
    """Return a list of the files that are hashed from now on."""
    names = []

    def watched(path: Path) -> str:
        names.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr("target.corpus.prepared.file_sha256", watched)
    return names


def settled(source: Source, cache: Path) -> CorpusFiles:
    """Prepare a corpus, and verify it when it has not changed for a while."""
    files = prepare_corpus(SMALL, source=source, cache=cache)
    for path in (*files.hashed, files.meta):
        os.utime(path, (1e9, 1e9))
    return prepare_corpus(SMALL, source=source, cache=cache)


def test_files_are_hashed_once_and_again_when_one_was_touched(source, tmp_path, hashed):
    files = settled(source, tmp_path)
    hashed.clear()

    prepare_corpus(SMALL, source=source, cache=tmp_path)
    assert hashed == []

    os.utime(files.val, (1e9, 1e9 + 1))
    prepare_corpus(SMALL, source=source, cache=tmp_path)
    assert len(hashed) == 5
    prepare_corpus(SMALL, source=source, cache=tmp_path)
    assert len(hashed) == 5


@pytest.mark.parametrize("content", ["", '{"meta.json": [1', "[]", "\x00"])
def test_a_torn_record_of_the_verification_is_ignored(source, tmp_path, hashed, content):
    files = settled(source, tmp_path)
    files.root.with_suffix(".verified.json").write_text(content)
    hashed.clear()

    assert prepare_corpus(SMALL, source=source, cache=tmp_path) == files
    assert len(hashed) == 5


def test_a_record_that_cannot_be_written_means_hashing_each_time(source, tmp_path, hashed):
    files = settled(source, tmp_path)
    record = files.root.with_suffix(".verified.json")
    record.unlink()
    record.mkdir()  # root may write to any directory, but cannot replace one by a file
    hashed.clear()

    for _ in range(2):
        assert prepare_corpus(SMALL, source=source, cache=tmp_path) == files
    assert len(hashed) == 10
    assert not list(tmp_path.glob("*.part"))


def test_changed_sources_are_refused(tmp_path):
    found = write_packages(tmp_path)
    manifest = manifest_hash(read_documents(SMALL, found))
    pinned = Source(versions={"alpha": "1.0", "beta": "2.0"}, manifest_sha256=manifest, roots=found.roots)
    assert len(read_documents(SMALL, pinned)) == 300

    (tmp_path / "beta" / "part0" / "module3.py").write_text("patched")

    with pytest.raises(TargetError, match=r"unchanged sources of alpha==1\.0 beta==2\.0, but .* pip install"):
        read_documents(SMALL, pinned)


@pytest.mark.parametrize(
    ("name", "required", "found"), [("numpy", "0.0.1", np.__version__), ("no-such-package-of-graft", "1.0", "none")]
)
def test_a_package_of_another_version_is_refused_with_the_command_that_helps(tmp_path, name, required, found):
    with pytest.raises(TargetError, match=rf"needs {name}=={required}, found {found}; pip install {name}=={required}"):
        prepare_corpus(SMALL, source=Source(versions={name: required}), cache=tmp_path)


def test_the_installed_packages_are_the_pinned_ones():
    documents = read_documents(Corpus(name="packages", vocab_size=512), SOURCES["packages"])

    assert len(documents) == 2426
    assert sum(map(len, documents.values())) == 38_197_037


def test_packages_that_candidates_import_are_training_text_only(source, tmp_path):
    half = dataclasses.replace(source, readable=frozenset({"alpha"}))

    files = prepare_corpus(SMALL, source=half, cache=tmp_path)

    for split, path in (("val", files.val), ("holdout", files.holdout)):
        beta = [
            content
            for name, content in read_documents(SMALL, half).items()
            if name.startswith("beta/") and split_of(name) == split
        ]
        assert texts_of(path, files) == [content.decode(errors="replace").encode() for content in beta]
    assert len(texts_of(files.train_tokens, files)) > 285


def test_of_packages_the_held_out_text_is_none_that_torch_imports():
    source = SOURCES["packages"]

    assert source.readable == {"mpmath", "networkx", "sympy"}
    assert {path.name for path in installed_text(Corpus(name="packages", vocab_size=512))} == {"control", "pysmt"}
    text = PackageText(read_documents(Corpus(name="packages", vocab_size=512), source), source)
    sizes = {split: sum(len(each.encode()) for each in text.documents(split)) for split in ("val", "holdout")}
    assert all(1_000_000 < size < 1_500_000 for size in sizes.values()), sizes


def test_what_is_installed_is_read_as_it_is_and_withheld_where_a_training_can_do_without():
    installed = Corpus(name="installed", vocab_size=8192)

    withheld = {path.name for path in installed_text(installed)}

    assert {"mlflow", "pandas", "scipy"} <= withheld
    assert withheld.isdisjoint({"torch", "numpy", "sympy", "networkx"})
    assert SOURCES["installed"].versions.keys() == withheld | SOURCES["installed"].readable


def test_a_cache_that_cannot_be_written_is_named(source, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(TargetError, match=rf"cannot write the corpus cache {tmp_path}/file: .*GRAFT_CACHE"):
        prepare_corpus(SMALL, source=source, cache=tmp_path / "file")


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        (
            Corpus(name="enwik8", vocab_size=300),
            r"corpus\.name must be one of climbmix, files, packages, installed, got 'enwik8'",
        ),
        (Corpus(name="packages", vocab_size=65537), r"corpus\.vocab_size must be at most 65536, got 65537"),
    ],
)
def test_a_corpus_that_does_not_exist_is_refused(corpus, message, tmp_path):
    with pytest.raises(TargetError, match=message):
        prepare_corpus(corpus, cache=tmp_path)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GRAFT_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_root() == tmp_path / "home" / ".cache" / "graft"

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "graft"

    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"
