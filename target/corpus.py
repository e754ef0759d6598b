"""The text, tokenised once into a cache that every later run reads.

The cache has two sides: `public/` is what candidates may read, `sealed/` is what only the scorer reads.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from target.documents import HELD_OUT_PERCENT, SPLITS, Source, manifest_hash, named_source, read_documents, split_of
from target.errors import TargetError, machine_errors
from target.spec import Corpus

if TYPE_CHECKING:
    import tiktoken

BOS: Final = "<|bos|>"  # begins every document; the highest id of the vocabulary
_FORMAT: Final = 1  # of the cache
_MAX_VOCAB_SIZE: Final = 1 << 16  # tokens are stored as uint16

# GPT-4's, with runs of digits cut at two: Source: `SPLIT_PATTERN` in karpathy/nanochat `nanochat/tokenizer.py`.
_PATTERN: Final = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFiles:
    """A prepared corpus on disk.

    Attributes:
        root: Its directory.
        hash: What it was made from and how; equal hashes mean equal files.
        vocab_size: Tokens of the vocabulary, the special token included.
    """

    root: Path
    hash: str
    vocab_size: int

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
        """Training tokens, uint16 little-endian, each document behind a `<|bos|>`."""
        return self.public / "tokens.bin"

    @property
    def sealed(self) -> Path:
        """Directory that only the scorer may read."""
        return self.root / "sealed"

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


def prepare_corpus(corpus: Corpus, *, source: Source | None = None, cache: Path | None = None) -> CorpusFiles:
    """Return the corpus, after preparing it if the cache does not have it.

    Any number of processes may do so at once: one works, the others wait for it.

    Args:
        corpus: What to prepare.
        source: Where the text comes from; None for the source that `corpus.name` names.
        cache: Directory of all corpora; None for $GRAFT_CACHE, $XDG_CACHE_HOME/graft or ~/.cache/graft.

    Raises:
        TargetError: If the text is not that of the pinned releases, or the cache is damaged or cannot be written.
    """
    source = source or named_source(corpus)
    if corpus.vocab_size > _MAX_VOCAB_SIZE:
        raise TargetError(f"corpus.vocab_size must be at most {_MAX_VOCAB_SIZE}, got {corpus.vocab_size}")
    documents = read_documents(corpus, source)
    key = _key(corpus, documents)
    root = (cache or cache_root()) / key
    files = CorpusFiles(root=root, hash=key, vocab_size=corpus.vocab_size)
    if not root.exists():
        remedy = "set GRAFT_CACHE to a directory with 100 MB of space"
        with (
            machine_errors(f"cannot write the corpus cache {root.parent}", remedy=remedy),
            _locked(root.with_suffix(".lock")),
        ):
            if not root.exists():
                _build(files, corpus, documents)
    _verify(files)
    return files


def cache_root() -> Path:
    """Return the directory of all prepared corpora."""
    if own := os.environ.get("GRAFT_CACHE"):
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache").absolute() / "graft"


def _key(corpus: Corpus, documents: Mapping[str, bytes]) -> str:
    recipe = {
        "format": _FORMAT,
        "manifest": manifest_hash(documents),
        "vocab_size": corpus.vocab_size,
        "pattern": _PATTERN,
        "held_out_percent": HELD_OUT_PERCENT,
        "rustbpe": importlib.metadata.version("rustbpe"),
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(files: CorpusFiles, corpus: Corpus, documents: Mapping[str, bytes]) -> None:
    texts: dict[str, list[str]] = {split: [] for split in SPLITS}
    for path, content in documents.items():
        texts[split_of(path)].append(content.decode(errors="replace"))
    if not all(texts.values()):
        raise TargetError(f"corpus {corpus.name!r} has too few files for three splits: {len(documents)}")
    encoding = _train_tokenizer(texts["train"], corpus.vocab_size)

    part = CorpusFiles(root=files.root.with_suffix(".part"), hash=files.hash, vocab_size=files.vocab_size)
    shutil.rmtree(part.root, ignore_errors=True)  # of a process that was killed: we hold the lock
    part.public.mkdir(parents=True)
    part.val.parent.mkdir()
    counts = {}
    for split, file in zip(SPLITS, (part.train_tokens, part.val, part.holdout), strict=True):
        tokens = _encode(encoding, texts[split], bos=corpus.vocab_size - 1)
        file.write_bytes(tokens.tobytes())
        n_bytes = sum(len(text.encode()) for text in texts[split])
        counts[split] = {"documents": len(texts[split]), "tokens": tokens.size, "bytes": n_bytes}
    part.token_bytes.write_bytes(_token_bytes(encoding, corpus.vocab_size).tobytes())
    part.tokenizer.write_text(_tokenizer_json(encoding))
    meta = {
        "hash": files.hash,
        "corpus": corpus.name,
        "vocab_size": corpus.vocab_size,
        "rustbpe": importlib.metadata.version("rustbpe"),
        "manifest_sha256": manifest_hash(documents),
        "splits": counts,
        "files": _digests(part),
    }
    part.meta.write_text(json.dumps(meta, indent=2) + "\n")
    part.root.rename(files.root)


def _train_tokenizer(texts: Iterable[str], vocab_size: int) -> tiktoken.Encoding:
    import rustbpe
    import tiktoken

    tokenizer = rustbpe.Tokenizer()
    tokenizer.train_from_iterator(iter(texts), vocab_size - 1, pattern=_PATTERN)
    return tiktoken.Encoding(
        name="graft",
        pat_str=_PATTERN,
        mergeable_ranks={bytes(token): rank for token, rank in tokenizer.get_mergeable_ranks()},
        special_tokens={BOS: vocab_size - 1},
    )


def _encode(encoding: tiktoken.Encoding, texts: list[str], *, bos: int) -> NDArray[np.uint16]:
    def encode(text: str) -> NDArray[np.uint16]:
        tokens = encoding.encode_to_numpy(text, disallowed_special=())
        return np.concatenate(([bos], tokens)).astype("<u2")

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # tiktoken lets go of the GIL
        return np.concatenate(list(pool.map(encode, texts)))


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
    paths = (files.train_tokens, files.tokenizer, files.val, files.holdout, files.token_bytes)
    return {
        path.relative_to(files.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.exists()
    }


def _verify(files: CorpusFiles) -> None:
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
