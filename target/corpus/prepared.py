"""The text, tokenised once into a cache that all later runs read.

The cache has two parts: candidates may read `public/`, and only the scorer reads `sealed/`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from target.corpus.cache import cache_root, exclusive, file_sha256
from target.corpus.climbmix import fetch, shards_folder
from target.corpus.documents import HELD_OUT_PERCENT, SPLITS, PackageText, Source, Text, named_source, read_documents
from target.corpus.own import FILES, open_folder
from target.errors import TargetError, machine_errors
from target.spec import Corpus

if TYPE_CHECKING:
    import tiktoken

BOS: Final = "<|bos|>"  # begins every document; the highest id of the vocabulary
_FORMAT: Final = 1  # of the cache
_BATCH_CHARACTERS: Final = 1 << 24  # of text encoded at a time
_SETTLED_NS: Final = 1_000_000_000  # age from which a file's time of change differs from that of any later change
_MAX_VOCAB_SIZE: Final = 1 << 16  # tokens are stored as uint16

# GPT-4's, with runs of digits cut at two. Source: `SPLIT_PATTERN` in karpathy/nanochat `nanochat/tokenizer.py`.
_PATTERN: Final = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFiles:
    """A prepared corpus on disk.

    Attributes:
        root: Its directory.
        hash: Hash of sources and settings; equal hashes mean equal files.
        vocab_size: Tokens of the vocabulary, the special token included.
    """

    root: Path
    hash: str
    vocab_size: int

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {**asdict(self), "root": str(self.root)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild it from `to_json`."""
        return cls(**{**record, "root": Path(record["root"])})

    @property
    def public(self) -> Path:
        """Directory that candidates may read: `tokens.bin` and `tokenizer.json`."""
        return self.root / "public"

    @property
    def tokenizer(self) -> Path:
        """Pattern, ranks in base64 in the order of their ids, special tokens."""
        return self.public / "tokenizer.json"

    @property
    def train_tokens(self) -> Path:
        """Training tokens, uint16 little-endian, each document preceded by `<|bos|>`."""
        return self.public / "tokens.bin"

    @property
    def sealed(self) -> Path:
        """Directory that only the scorer may read."""
        return self.root / "sealed"

    @property
    def withheld(self) -> tuple[Path, ...]:
        """Directories that no candidate may read: the sealed part, and downloads, which hold all of the text."""
        return self.sealed, shards_folder(self.root.parent)

    @property
    def val(self) -> Path:
        """Validation tokens, in the format of `train_tokens`."""
        return self.sealed / "val.bin"

    @property
    def holdout(self) -> Path:
        """Tokens that only a final report reads, in the format of `train_tokens`."""
        return self.sealed / "holdout.bin"

    @property
    def token_bytes(self) -> Path:
        """Bytes of text of each token, int32 little-endian (vocab_size,); 0 for a token without text."""
        return self.sealed / "token_bytes.bin"

    @property
    def meta(self) -> Path:
        """What is in the directory: versions, counts, hash of every file."""
        return self.root / "meta.json"

    @property
    def hashed(self) -> tuple[Path, ...]:
        """All files whose hashes are in `meta`."""
        return self.train_tokens, self.tokenizer, self.val, self.holdout, self.token_bytes


def prepare_corpus(corpus: Corpus, *, source: Source | None = None, cache: Path | None = None) -> CorpusFiles:
    """Return the corpus, after preparing it if the cache does not have it.

    Any number of processes may call it at once: one works, the others wait for it.

    The files are compared with their hashes once. Later calls compare size, time of change and inode with those of that
    check, and hash again if one differs. They miss an edit that keeps the size and sets the time of change back. Only
    users who can write to the cache can make such an edit; candidates cannot.

    Args:
        corpus: What to prepare.
        source: Where the text comes from; None for the source that `corpus.name` names.
        cache: Directory of all corpora; None for $GRAFT_CACHE, $XDG_CACHE_HOME/graft or ~/.cache/graft.

    Raises:
        TargetError: If the text is not that of the pinned releases, or the cache is damaged or cannot be written.
    """
    if corpus.vocab_size > _MAX_VOCAB_SIZE:
        raise TargetError(f"corpus.vocab_size must be at most {_MAX_VOCAB_SIZE}, got {corpus.vocab_size}")
    cache = cache or cache_root()
    text = _open_text(corpus, source, cache)
    key = _key(corpus, text)
    root = cache / key
    files = CorpusFiles(root=root, hash=key, vocab_size=corpus.vocab_size)
    if not root.exists():
        needs = "100 MB, 0.2 GB for each shard of climbmix, or the size of your own text"
        remedy = f"set GRAFT_CACHE to a directory with space for it: {needs}"
        with (
            machine_errors(f"cannot write the corpus cache {root.parent}", remedy=remedy),
            exclusive(root.with_suffix(".lock")),
        ):
            if not root.exists():
                _build(files, corpus, text)
    _verify(files)
    return files


def find_corpus(corpus: Corpus, *, cache: Path | None = None) -> CorpusFiles | None:
    """Return the corpus if it is in the cache, and None if it must be prepared first; `climbmix` must be downloaded.

    Args:
        corpus: What to look for.
        cache: Directory of all corpora; None for the usual one.

    Raises:
        TargetError: If the text is not that of the pinned releases, or the cache is damaged.
    """
    cache = cache or cache_root()
    key = _key(corpus, _open_text(corpus, None, cache))
    files = CorpusFiles(root=cache / key, hash=key, vocab_size=corpus.vocab_size)
    if not files.root.exists():
        return None
    _verify(files)
    return files


def _open_text(corpus: Corpus, source: Source | None, cache: Path) -> Text:
    if source is None and corpus.name == "climbmix":
        return fetch(corpus.shards, cache)
    if source is None and corpus.name == FILES:
        return open_folder(corpus)
    source = source or named_source(corpus)
    return PackageText(read_documents(corpus, source), source)


def _key(corpus: Corpus, text: Text) -> str:
    recipe = {
        "format": _FORMAT,
        "manifest": text.fingerprint,
        "vocab_size": corpus.vocab_size,
        "pattern": _PATTERN,
        "held_out_percent": HELD_OUT_PERCENT,
        "rustbpe": importlib.metadata.version("rustbpe"),
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def _build(files: CorpusFiles, corpus: Corpus, text: Text) -> None:
    for split in SPLITS:
        if next(text.documents(split), None) is None:
            more = " or a larger target.corpus.held_out_percent" if corpus.name == FILES else ""
            raise TargetError(f"corpus {corpus.name!r} has no document for {split}; it needs more text{more}")
    encoding = _train_tokenizer(text.sample(), corpus.vocab_size)

    part = CorpusFiles(root=files.root.with_suffix(".part"), hash=files.hash, vocab_size=files.vocab_size)
    shutil.rmtree(part.root, ignore_errors=True)  # left by a killed process: we hold the lock
    part.public.mkdir(parents=True)
    part.val.parent.mkdir()
    counts = {
        split: _encode(encoding, text.documents(split), file, bos=corpus.vocab_size - 1)
        for split, file in zip(SPLITS, (part.train_tokens, part.val, part.holdout), strict=True)
    }
    part.token_bytes.write_bytes(_token_bytes(encoding, corpus.vocab_size).tobytes())
    part.tokenizer.write_text(_tokenizer_json(encoding))
    meta = {
        "hash": files.hash,
        "corpus": corpus.name,
        "vocab_size": corpus.vocab_size,
        "rustbpe": importlib.metadata.version("rustbpe"),
        "manifest_sha256": text.fingerprint,
        "splits": counts,
        "files": _digests(part),
    }
    part.meta.write_text(json.dumps(meta, indent=2) + "\n")
    part.root.rename(files.root)


def _train_tokenizer(texts: Iterator[str], vocab_size: int) -> tiktoken.Encoding:
    import rustbpe
    import tiktoken

    logging.getLogger(rustbpe.__name__).setLevel(logging.WARNING)  # it would write a dozen lines into the user's log
    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_iterator(texts, vocab_size - 1, pattern=_PATTERN)
    return tiktoken.Encoding(
        name="graft",
        pat_str=_PATTERN,
        mergeable_ranks={bytes(token): rank for token, rank in tokenizer.get_mergeable_ranks()},
        special_tokens={BOS: vocab_size - 1},
    )


def _encode(encoding: tiktoken.Encoding, documents: Iterator[str], file: Path, *, bos: int) -> dict[str, int]:
    """Write the tokens of documents to a file, a batch of text at a time, and return the counts."""

    def encode(text: str) -> tuple[NDArray[np.uint16], int]:
        tokens = encoding.encode_to_numpy(text, disallowed_special=())
        return np.concatenate(([bos], tokens)).astype("<u2"), len(text.encode())

    counts = {"documents": 0, "tokens": 0, "bytes": 0}
    with ThreadPoolExecutor(os.cpu_count()) as pool, file.open("wb") as out:  # tiktoken releases the GIL
        while batch := _batch(documents):
            for tokens, n_bytes in pool.map(encode, batch):
                out.write(tokens.tobytes())
                counts["documents"] += 1
                counts["tokens"] += tokens.size
                counts["bytes"] += n_bytes
    return counts


def _batch(documents: Iterator[str]) -> list[str]:
    batch, characters = [], 0
    for text in documents:
        batch.append(text)
        characters += len(text)
        if characters >= _BATCH_CHARACTERS:
            break
    return batch


def _token_bytes(encoding: tiktoken.Encoding, vocab_size: int) -> NDArray[np.int32]:
    sizes = np.zeros(vocab_size, dtype="<i4")
    for token in encoding.token_byte_values():
        sizes[encoding.encode_single_token(token)] = len(token)
    return sizes


def _tokenizer_json(encoding: tiktoken.Encoding) -> str:
    ranks = sorted(encoding.token_byte_values(), key=encoding.encode_single_token)
    return json.dumps(
        {
            "pattern": _PATTERN,
            "ranks": [base64.b64encode(token).decode() for token in ranks],
            "special_tokens": {BOS: encoding.encode_single_token(BOS)},
        }
    )


def _digests(files: CorpusFiles) -> dict[str, str]:
    return {path.relative_to(files.root).as_posix(): file_sha256(path) for path in files.hashed if path.exists()}


def _verify(files: CorpusFiles) -> None:
    """Compare the files with their hashes, unless they have not changed since the last comparison."""
    record = files.root.with_suffix(".verified.json")  # beside the corpus: candidates cannot write there
    before = _stamps(files)
    if _recorded(record) == before:
        return
    _verify_hashes(files)
    if any(changed_ns > time.time_ns() - _SETTLED_NS for _, changed_ns, _ in before.values()):
        return  # a change in the same tick of the clock would have the same time
    part = record.with_suffix(f".{os.getpid()}.part")
    with contextlib.suppress(OSError):  # a cache that cannot be written is hashed each time
        part.write_text(json.dumps(before))
        part.replace(record)
    with contextlib.suppress(OSError):
        part.unlink(missing_ok=True)


def _stamps(files: CorpusFiles) -> dict[str, list[int]]:
    """Return size in bytes, time of change in nanoseconds and inode of each existing file."""
    stamps = {}
    for path in (*files.hashed, files.meta):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            stamps[path.relative_to(files.root).as_posix()] = [found.st_size, found.st_mtime_ns, found.st_ino]
    return stamps


def _recorded(record: Path) -> object:
    try:
        return json.loads(record.read_text())
    except (OSError, ValueError):
        return None


def _verify_hashes(files: CorpusFiles) -> None:
    try:
        expected = json.loads(files.meta.read_text())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        expected, wrong = {}, ["meta.json"]
    else:
        found = _digests(files)
        wrong = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    if wrong or not expected:
        raise TargetError(
            f"the corpus cache is damaged ({', '.join(sorted(wrong))}); delete {files.root} and try again"
        )
