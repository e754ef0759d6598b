"""`corpus=files`: the text of a folder of the user's own."""

import dataclasses
import gzip
import json
import os
import tempfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from target.corpus import find_corpus, prepare_corpus
from target.corpus.own import PART_CHARACTERS, folder_of, open_folder
from target.corpus.readable import read_access
from target.errors import TargetError
from target.evaluation import Outcome
from target.evaluator import Evaluator
from target.program import Program
from target.spec import Corpus, TargetSpec
from tests.target.candidates import HONEST, in_main
from tests.target.test_corpus import texts_of

SPLITS = ("train", "val", "holdout")


def corpus_of(root, **settings):
    return Corpus(**{"name": "files", "vocab_size": 300, "folder": str(root), **settings})


def story(number):
    return f"Story {number}: a cat sat on mat {number * number}.\nIt slept.\n"


def documents(folder, **settings):
    text = open_folder(corpus_of(folder, **settings))
    return {split: list(text.documents(split)) for split in SPLITS}


def everything(folder, **settings):
    return sorted(text for texts in documents(folder, **settings).values() for text in texts)


@pytest.fixture
def folder(tmp_path):
    """Stories in each notation, a hundred in each file."""
    root = tmp_path / "text"
    (root / "deep").mkdir(parents=True)
    stories = [story(number) for number in range(600)]
    (root / "a.txt").write_text("<|endoftext|>".join(stories[:100]))
    with gzip.open(root / "deep" / "b.txt.gz", "wt") as file:
        file.write("\n<|endoftext|>\n".join(stories[100:200]))
    (root / "c.jsonl").write_text("".join(json.dumps({"id": 1, "text": each}) + "\n" for each in stories[200:300]))
    for name, some in (("d.jsonl.gz", stories[300:350]), ("c4-train.00001.json.gz", stories[350:400])):
        with gzip.open(root / "deep" / name, "wt") as file:
            file.write("\n".join(json.dumps({"text": each}) for each in some))
    pyarrow.parquet.write_table(pyarrow.table({"text": [*stories[400:500], None, ""]}), root / "e.parquet")
    for number in range(500, 600):
        (root / "deep" / f"{number}.txt").write_text(stories[number])
    (root / "README.md").write_text("no text of the corpus")
    return root


def test_every_document_of_every_notation_is_in_one_split(folder):
    assert sorted(text.strip() for text in everything(folder)) == sorted(story(n).strip() for n in range(600))
    found = documents(folder)
    assert all(10 < len(found[split]) < 60 for split in ("val", "holdout"))


def test_what_is_prepared_is_what_is_read(folder, tmp_path):
    files = prepare_corpus(corpus_of(folder), cache=tmp_path / "cache")

    for split, path in (("train", files.train_tokens), ("val", files.val), ("holdout", files.holdout)):
        assert texts_of(path, files) == [text.encode() for text in documents(folder)[split]]


def test_equal_documents_are_in_one_split_wherever_they_are(folder):
    before = documents(folder)
    (folder / "again.jsonl").write_text("\n".join(json.dumps({"text": each}) for each in before["val"]))

    after = documents(folder)

    assert sorted(after["val"]) == sorted(2 * before["val"])
    assert after["train"] == before["train"]


def test_held_out_documents_are_in_no_order_of_files(folder):
    assert documents(folder)["val"] != sorted(documents(folder)["val"])


@pytest.mark.parametrize(("between", "ends"), [("\n", "\n"), (" ", " "), ("", "")])
def test_a_long_text_is_cut_at_the_ends_of_lines_or_words_and_nothing_is_lost(tmp_path, between, ends):
    text = between.join(f"verse{number:06d}" for number in range(100_000))
    (tmp_path / "one.txt").write_text(text)

    parts = everything(tmp_path)

    assert sum(map(len, parts)) == len(text)
    assert len(parts) >= len(text) // PART_CHARACTERS
    assert all(len(part) <= PART_CHARACTERS for part in parts)
    assert sum(part.endswith(ends) for part in parts) >= len(parts) - 1
    assert all(documents(tmp_path, held_out_percent=20).values())


def test_the_documents_of_a_file_that_is_larger_than_what_is_read_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("target.corpus.own._CHUNK_CHARACTERS", 1_000)
    (tmp_path / "many.txt").write_text("<|endoftext|>".join(map(story, range(500))))

    assert everything(tmp_path) == sorted(map(story, range(500)))


def test_bytes_that_are_no_utf8_are_kept_readable(tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 " * 10)

    assert everything(tmp_path) == ["caf\ufffd " * 10]


def test_half_a_character_and_a_name_that_is_no_utf8_are_read(tmp_path):
    (tmp_path / "text").mkdir()
    odd = os.fsencode(tmp_path / "text") + b"/caf\xe9.jsonl"
    with open(odd, "w") as file:  # noqa: PTH123 -- the name is bytes
        file.write("".join(json.dumps({"text": f"{story(number)} \ud83d"}) + "\n" for number in range(300)))

    files = prepare_corpus(corpus_of(tmp_path / "text"), cache=tmp_path / "cache")

    assert sorted(texts_of(files.val, files))[0].endswith(b"slept.\n ?")


def test_another_column_has_the_text(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"content": ["x = 1"], "size": [5]}), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text('{"content": "y = 2"}\n\n')

    assert everything(tmp_path, column="content") == ["x = 1", "y = 2"]


def test_the_hash_is_that_of_names_contents_and_settings(folder, tmp_path):
    cache = tmp_path / "cache"
    prepared = prepare_corpus(corpus_of(folder), cache=cache)

    assert find_corpus(corpus_of(folder), cache=cache) == prepared
    assert find_corpus(corpus_of(folder, held_out_percent=6), cache=cache) is None
    folder.rename(tmp_path / "moved")
    assert find_corpus(corpus_of(tmp_path / "moved"), cache=cache) == prepared
    (tmp_path / "moved" / "a.txt").write_text("another text")
    assert find_corpus(corpus_of(tmp_path / "moved"), cache=cache) is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"has no file that ends in \.txt, .*\.parquet"),
        ({"a.jsonl": '{"text": "x"}\n{"txt": "y"}'}, r"a\.jsonl, line 2, must have a column 'text' .*it has txt"),
        ({"a.jsonl": '{"text": "x"}\n{"text": '}, r"a\.jsonl, line 2, must be a JSON object"),
        ({"a.jsonl": '["x"]'}, r"line 1, must have a column 'text' .*it has no object"),
        ({"a.jsonl": '{"text": 7}'}, r"line 1: 'text' must be text, got int"),
        ({"a.parquet": "no parquet"}, r"a\.parquet cannot be read as a parquet file"),
        ({"a.txt.gz": "no gzip"}, r"cannot read .*a\.txt\.gz, a file of target\.corpus\.folder"),
        (
            {"a.txt": "short"},
            r"no document for \w+; it needs more text or a larger target\.corpus\.held_out_percent",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_what_is_needed(tmp_path, files, message):
    (tmp_path / "text").mkdir()
    for name, content in files.items():
        (tmp_path / "text" / name).write_text(content)

    with pytest.raises(TargetError, match=message):
        prepare_corpus(corpus_of(tmp_path / "text"), cache=tmp_path / "cache")


def test_a_download_that_was_cut_short_is_named(folder, tmp_path):
    whole = (folder / "deep" / "b.txt.gz").read_bytes()
    (folder / "deep" / "b.txt.gz").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(TargetError, match=r"b\.txt\.gz is damaged, or not all of it is there"):
        prepare_corpus(corpus_of(folder), cache=tmp_path / "cache")


def test_a_parquet_file_without_the_column_names_those_it_has(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"story": ["x"], "id": [1]}), tmp_path / "a.parquet")

    with pytest.raises(TargetError, match=r"a\.parquet must have a column 'text' .*it has story, id"):
        everything(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folder": None}, r"corpus=files needs target\.corpus\.folder=DIR"),
        ({"folder": "/nowhere"}, r"target\.corpus\.folder must be a folder with text files, /nowhere is none"),
        ({"held_out_percent": 0}, r"held_out_percent must be from 1 to 40, .*got 0"),
        ({"held_out_percent": 41}, r"held_out_percent must be from 1 to 40, .*got 41"),
    ],
)
def test_a_setting_that_does_not_do_is_named(tmp_path, settings, message):
    with pytest.raises(TargetError, match=message):
        prepare_corpus(corpus_of(tmp_path, **settings), cache=tmp_path / "cache")


@pytest.fixture
def own_spec(spec, folder):
    text = " ".join(f"{number} is followed by {number + 1}," for number in range(60_000))
    (folder / "long.txt").write_text(text)
    return dataclasses.replace(spec, corpus=corpus_of(folder, vocab_size=320, held_out_percent=20))


def test_a_program_is_scored_on_it_and_cannot_read_the_folder(own_spec, folder, tmp_path):
    corpus = prepare_corpus(own_spec.corpus, cache=tmp_path / "cache")
    thief = in_main(f"print('read', len(open({str(folder / 'long.txt')!r}).read()), 'characters')")
    with Evaluator(own_spec, corpus, scratch=tmp_path) as evaluator:
        honest = evaluator.evaluate(Program(HONEST), 1, tmp_path / "honest.log")
        read = evaluator.evaluate(Program(thief), 1, tmp_path / "thief.log")

    assert honest.outcome is Outcome.OK, honest.detail
    assert read.outcome is Outcome.CRASHED
    said = (tmp_path / "thief.log").read_text()
    assert "long.txt" in said
    assert "Error" in said.splitlines()[-1]


def test_a_folder_is_the_same_for_a_worker_in_another_directory(own_spec, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    spec = dataclasses.replace(own_spec, corpus=corpus_of("text"))
    monkeypatch.setenv("HOME", str(folder.parent))
    assert corpus_of("~/text").folder == str(folder)

    monkeypatch.chdir("/")
    assert folder_of(TargetSpec.from_config(spec.to_json()).corpus) == folder.resolve()


def test_a_folder_in_which_something_is_needed_is_refused(own_spec, tmp_path, monkeypatch):
    inside = prepare_corpus(own_spec.corpus, cache=Path(own_spec.corpus.folder) / "cache")
    with pytest.raises(TargetError, match=r"must have nothing in it that trainings need.*a folder of its own"):
        read_access(own_spec, inside)

    beside = prepare_corpus(own_spec.corpus, cache=tmp_path / "cache")
    assert Path(own_spec.corpus.folder).resolve() in read_access(own_spec, beside)[1]
    monkeypatch.setattr(tempfile, "tempdir", own_spec.corpus.folder)
    with pytest.raises(TargetError, match="a folder of its own"):
        read_access(own_spec, beside)
