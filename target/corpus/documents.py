"""The documents of the corpora that need no download: Python sources of installed packages.

`packages`: sympy, networkx and mpmath, which torch installs, control and pysmt; 38 MB of Python, pinned releases.
`installed`: 226 MB of other installed packages, for a device that would read `packages` many times over. The hash of
the corpus identifies the releases.

Held-out text comes only from packages that nothing in a candidate's process imports: control and pysmt, or those
of `_WITHHELD`. Packages that torch imports are in every candidate's memory, docstrings included, so all of their text
is for training.

Each file is one document. The text is split by document, by a hash of the file's path. Windows of one file share its
names, imports and repeated phrases, so a split inside files would let a model score by remembering them. With a hash of
the path, adding a file moves no other file to another split.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from target.errors import TargetError
from target.spec import Corpus

SPLITS: Final = ("train", "val", "holdout")
HELD_OUT_PERCENT: Final = 2  # of the documents, for each of val and holdout
_SAMPLE_CHARACTERS: Final = 250_000_000  # read by the training of a tokeniser: about one shard of climbmix


class Text(Protocol):
    """The documents of a corpus, read again at each call."""

    @property
    def fingerprint(self) -> str:
        """Hash of all documents."""

    def sample(self) -> Iterator[str]:
        """Yield the training documents that the tokeniser learns from."""

    def documents(self, split: str) -> Iterator[str]:
        """Yield the documents of a split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Packages whose `*.py` files are the text.

    Attributes:
        versions: Required version of each distribution, by name; the package has the same name. None accepts any.
        manifest_sha256: Required hash of the manifest; None accepts any files.
        roots: Directory of each package; None finds the installed ones, without importing them.
        readable: Packages that candidates need: all of their files are for training, and none is withheld.
        held_out_percent: Percentage of the documents of the other packages for each of val and holdout.
    """

    versions: Mapping[str, str | None]
    manifest_sha256: str | None = None
    roots: Mapping[str, Path] | None = None
    readable: frozenset[str] = frozenset()
    held_out_percent: int = HELD_OUT_PERCENT


# torch imports sympy and mpmath, and torch.compile networkx: their text is in candidates' memory
_OF_TORCH: Final = frozenset({"mpmath", "networkx", "sympy"})
_READABLE: Final = _OF_TORCH | {"numpy", "torch"}
_WITHHELD: Final = frozenset(
    {"alembic", "litellm", "matplotlib", "mlflow", "optuna", "pandas", "scipy", "sklearn", "sqlalchemy"}
)

SOURCES: Final[Mapping[str, Source]] = {
    "packages": Source(
        versions={"control": "0.10.2", "mpmath": "1.3.0", "networkx": "3.6.1", "pysmt": "0.9.6", "sympy": "1.14.0"},
        manifest_sha256="cf01143b5223475c51b2f3ef80bb299a0126213e958f520d67fdd93ff4ba1151",
        readable=_OF_TORCH,
        held_out_percent=35,
    ),
    "installed": Source(versions=dict.fromkeys(sorted(_READABLE | _WITHHELD)), readable=_READABLE, held_out_percent=8),
}


@dataclass(frozen=True, slots=True)
class PackageText:
    """Files of packages.

    Attributes:
        files: Their contents by path, in the order of the corpus.
        source: Where they come from.
    """

    files: Mapping[str, bytes]
    source: Source

    @property
    def fingerprint(self) -> str:
        """Hash of all paths and contents, and of the split if it does not depend on the path alone."""
        manifest, percent = manifest_hash(self.files), self.source.held_out_percent
        if not self.source.readable and percent == HELD_OUT_PERCENT:
            return manifest
        return hashlib.sha256(f"{manifest} {percent} {sorted(self.source.readable)}".encode()).hexdigest()

    def sample(self) -> Iterator[str]:
        """Yield all training documents."""
        return self.documents("train")

    def documents(self, split: str) -> Iterator[str]:
        """Yield the documents of a split."""
        for path, content in self.files.items():
            readable = path.partition("/")[0] in self.source.readable
            found = "train" if readable else split_of(path, self.source.held_out_percent)
            if found == split:
                yield content.decode(errors="replace")


def named_source(corpus: Corpus) -> Source:
    """Return the source that `corpus.name` names.

    Raises:
        TargetError: If there is none.
    """
    if corpus.name not in SOURCES:
        raise TargetError(f"corpus.name must be one of climbmix, files, {', '.join(SOURCES)}, got {corpus.name!r}")
    return SOURCES[corpus.name]


def installed_text(corpus: Corpus) -> tuple[Path, ...]:
    """Return the installed directories with held-out text."""
    if corpus.name not in SOURCES:
        return ()
    source = named_source(corpus)
    specs = map(importlib.util.find_spec, source.versions.keys() - source.readable)
    return tuple(Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ())


def held_out_files(corpus: Corpus) -> tuple[Path, ...]:
    """Return the installed files whose text is held out: those of val and holdout."""
    if corpus.name not in SOURCES:
        return ()
    source = named_source(corpus)
    return tuple(
        path
        for root in installed_text(corpus)
        for path in root.rglob("*.py")
        if split_of(f"{root.name}/{path.relative_to(root).as_posix()}", source.held_out_percent) != "train"
    )


def read_documents(corpus: Corpus, source: Source) -> dict[str, bytes]:
    """Return every document by its path, such as `sympy/core/add.py`, in the order of the corpus.

    Raises:
        TargetError: If the documents are not those of the pinned releases.
    """
    roots = _installed(corpus, source) if source.roots is None else source.roots
    found = {
        f"{name}/{path.relative_to(root).as_posix()}": path.read_bytes()
        for name, root in roots.items()
        for path in root.rglob("*.py")
    }
    # ordered by hash, so that the first part of a split is a fair sample of it
    documents = {path: found[path] for path in sorted(found, key=order_of)}
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


def split_of(key: str, held_out_percent: int = HELD_OUT_PERCENT) -> str:
    """Return the split of a document by what identifies it: its path, such as `sympy/core/add.py`, or its text."""
    percentile = order_of(key) % 100
    if percentile < held_out_percent:
        return "val"
    return "holdout" if percentile < 2 * held_out_percent else "train"


def order_of(key: str) -> int:
    """Return a number by which documents are in no order that means anything: the first ones are a fair sample."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def beginning_of(texts: Iterable[str]) -> Iterator[str]:
    """Yield the first of many documents, as many as a tokeniser needs to learn from."""
    left = _SAMPLE_CHARACTERS
    for text in texts:
        yield text
        left -= len(text)
        if left <= 0:
            return


def _installed(corpus: Corpus, source: Source) -> dict[str, Path]:
    roots = {}
    for name, required in source.versions.items():
        found = _version(name) if required else None
        spec = importlib.util.find_spec(name)
        if found != required or spec is None or not spec.submodule_search_locations:
            pinned = f"{name}=={required}" if required else name
            raise TargetError(f"corpus {corpus.name!r} needs {pinned}, found {found or 'none'}; pip install {pinned}")
        roots[name] = Path(spec.submodule_search_locations[0])
    return roots


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
