"""Copies of the held-out text are found wherever they are and whatever they are called."""

import py_compile
import zipfile

import pytest

from target.corpus.copies import MAX_COPIES, find_copies
from target.corpus.documents import held_out_files, installed_text, split_of
from target.errors import TargetError
from target.spec import Corpus

PACKAGES = Corpus(name="packages", vocab_size=512)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    return tmp_path / "tree"


@pytest.fixture(scope="module")
def text():
    """A held-out file with docstrings."""
    return max(held_out_files(PACKAGES), key=lambda path: path.stat().st_size)


def test_held_out_files_are_those_of_the_split(text):
    roots = {path.name: path for path in installed_text(PACKAGES)}

    assert roots.keys() == {"control", "pysmt"}
    name = next(name for name, root in roots.items() if text.is_relative_to(root))
    assert split_of(f"{name}/{text.relative_to(roots[name]).as_posix()}", 35) in ("val", "holdout")
    assert len(held_out_files(PACKAGES)) == 147
    assert held_out_files(Corpus(name="climbmix", vocab_size=512)) == ()


def test_a_copy_is_found_under_another_name(tree, text):
    (tree / "deep" / "notes.txt").write_bytes(text.read_bytes())
    (tree / "same-size.py").write_bytes(text.read_bytes()[::-1])

    assert find_copies(PACKAGES, [tree]) == (tree / "deep" / "notes.txt",)
    assert find_copies(PACKAGES, [tree / "deep" / "notes.txt"]) == (tree / "deep" / "notes.txt",)


@pytest.mark.parametrize("mode", list(py_compile.PycInvalidationMode))
def test_compiled_text_is_found(tree, text, mode):
    py_compile.compile(str(text), cfile=str(tree / "other.pyc"), doraise=True, invalidation_mode=mode)
    innocent = tree / "innocent.py"
    innocent.write_bytes(b"#" * text.stat().st_size)
    py_compile.compile(str(innocent), cfile=str(tree / "innocent.pyc"), doraise=True)

    assert find_copies(PACKAGES, [tree]) == (tree / "other.pyc",)


def test_an_archive_with_the_text_is_found(tree, text):
    with zipfile.ZipFile(tree / "any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(text, "x/y.py")
    with zipfile.ZipFile(tree / "other.zip", "w") as archive:
        archive.writestr("z.py", "x = 1")
    (tree / "broken.zip").write_bytes(b"PK no archive")

    assert find_copies(PACKAGES, [tree]) == (tree / "any.whl",)


def test_training_text_may_lie_anywhere(tree):
    held_out = set(held_out_files(PACKAGES))
    train = next(path for root in installed_text(PACKAGES) for path in root.rglob("*.py") if path not in held_out)
    (tree / "copy.py").write_bytes(train.read_bytes())

    assert find_copies(PACKAGES, [tree]) == ()


def test_what_changes_is_looked_at_again(tree, text):
    assert find_copies(PACKAGES, [tree]) == ()
    (tree / "deep" / "new").write_bytes(text.read_bytes())
    assert find_copies(PACKAGES, [tree]) == (tree / "deep" / "new",)
    assert find_copies(PACKAGES, [tree]) == (tree / "deep" / "new",)
    (tree / "deep" / "new").unlink()
    assert find_copies(PACKAGES, [tree]) == ()


def test_a_damaged_cache_is_made_anew(tree, text, tmp_path):
    (tree / "copy").write_bytes(text.read_bytes())
    find_copies(PACKAGES, [tree])
    (file,) = (tmp_path / "cache").glob("*.json")
    file.write_text('{"half')

    assert find_copies(PACKAGES, [tree]) == (tree / "copy",)


def test_more_copies_than_can_be_withheld_are_refused(tree, text):
    for number in range(MAX_COPIES + 1):
        (tree / f"{number}.txt").write_bytes(text.read_bytes())

    with pytest.raises(TargetError, match=rf"must not .* but {MAX_COPIES + 1} copies do, such as {tree}"):
        find_copies(PACKAGES, [tree])
