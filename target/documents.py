"""The documents of the default text: Python sources of pinned packages, found in the environment.

Nothing is downloaded: torch brings sympy, networkx and mpmath along, 34.6 MB of Python.

The text is split by document, one document a file, by a hash of the file's path. Windows of one file share its names,
imports and repeated phrases, so a split inside files would let a model score by remembering them. A hash of the path
leaves every other file where it is when one is added.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from target.errors import TargetError
from target.spec import Corpus

SPLITS: Final = ("train", "val", "holdout")
HELD_OUT_PERCENT: Final = 2  # of the documents, for each of val and holdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Packages whose `*.py` files are the text.

    Attributes:
        versions: Required version of each distribution, by name; the package has the same name.
        manifest_sha256: Required hash of the manifest; None takes the files as they are.
        roots: Directory of each package; None finds the installed ones, without importing them.
    """

    versions: Mapping[str, str]
    manifest_sha256: str | None = None
    roots: Mapping[str, Path] | None = None


SOURCES: Final[Mapping[str, Source]] = {
    "packages": Source(
        versions={"mpmath": "1.3.0", "networkx": "3.6.1", "sympy": "1.14.0"},
        manifest_sha256="2fcbc85f214a71df379c850427f0dcdfaa7df4335c1b8cc97bb8db0a1171843a",
    )
}


def named_source(corpus: Corpus) -> Source:
    """Return the source that `corpus.name` names.

    Raises:
        TargetError: If there is none.
    """
    if corpus.name not in SOURCES:
        raise TargetError(f"corpus.name must be one of {', '.join(SOURCES)}, got {corpus.name!r}")
    return SOURCES[corpus.name]


def installed_text(corpus: Corpus) -> tuple[Path, ...]:
    """Return the directories with the text of a corpus, every split of it, as far as they are installed."""
    specs = map(importlib.util.find_spec, named_source(corpus).versions)
    return tuple(Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ())


def read_documents(corpus: Corpus, source: Source) -> dict[str, bytes]:
    """Return every document by its path, such as `sympy/core/add.py`, in the order of the corpus.

    Raises:
        TargetError: If they are not those of the pinned releases.
    """
    roots = _installed(corpus, source) if source.roots is None else source.roots
    found = {
        f"{name}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for name, root in roots.items()
        for path in root.rglob("*.py")
    }
    # ordered by hash, so that the first part of a split is a fair sample of it
    documents = {path: found[path] for path in sorted(found, key=_path_hash)}
    if source.manifest_sha256 not in (None, manifest_hash(documents)):
        pins = " ".join(f"{name}=={version}" for name, version in sorted(source.versions.items()))
        raise TargetError(
            f"corpus {corpus.name!r} needs the unchanged sources of {pins}, but some of the {len(documents)} files "
            f"found differ; pip install --force-reinstall --no-deps {pins}"
        )
    return documents


def manifest_hash(documents: Mapping[str, bytes]) -> str:
    """Return one hash of the paths and contents of all documents."""
    lines = (f"{hashlib.sha256(documents[path]).hexdigest()}  {path}\n" for path in sorted(documents))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def split_of(path: str) -> str:
    """Return the split of a document by its path, such as `sympy/core/add.py`."""
    percentile = _path_hash(path) % 100
    if percentile < HELD_OUT_PERCENT:
        return "val"
    return "holdout" if percentile < 2 * HELD_OUT_PERCENT else "train"


def _path_hash(path: str) -> int:
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big")


def _installed(corpus: Corpus, source: Source) -> dict[str, Path]:
    roots = {}
    for name, required in source.versions.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        spec = importlib.util.find_spec(name)
        if found != required or spec is None or not spec.submodule_search_locations:
            raise TargetError(
                f"corpus {corpus.name!r} needs {name}=={required}, found {found}; pip install {name}=={required}"
            )
        roots[name] = Path(spec.submodule_search_locations[0])
    return roots
