"""Web text for trainings of minutes on a GPU: shards of ClimbMix, downloaded once.

    python -m target.climbmix --num-shards 10    # about 0.1 GB and 60 million tokens each; the same call resumes

Shards 0, 1, 2, ... are for training. The last shard is the validation text and the one before it the holdout, so both
stay the same however many shards are downloaded. Source: `prepare.py` of karpathy/autoresearch, which validates on the
same shard (arXiv 2504.13161 for the text).
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from target.corpus.cache import exclusive
from target.corpus.columns import of_parquet
from target.corpus.documents import beginning_of
from target.errors import TargetError

URL: Final = "https://huggingface.co/datasets/karpathy/climbmix-400b-shuffle/resolve/main"
VAL_SHARD: Final = 6542  # the last one
HOLDOUT_SHARD: Final = 6541
_DOWNLOADS: Final = 4  # at a time
_SAMPLE_DOCUMENT_CHARACTERS: Final = 10_000  # of each, read by the training of the tokeniser


@dataclass(frozen=True, slots=True)
class ClimbmixText:
    """Downloaded shards.

    Attributes:
        shards: Files of each split, in order.
        fingerprint: Hash of all their hashes.
    """

    shards: dict[str, tuple[Path, ...]]
    fingerprint: str

    def sample(self) -> Iterator[str]:
        """Yield the beginnings of the first training documents."""
        return beginning_of(text[:_SAMPLE_DOCUMENT_CHARACTERS] for text in self.documents("train"))

    def documents(self, split: str) -> Iterator[str]:
        """Yield the documents of a split."""
        for path in self.shards[split]:
            yield from of_parquet(path, "text")


def shards_folder(cache: Path) -> Path:
    """Return the folder of the downloads. It includes held-out text, so candidates may not read it."""
    return cache / "climbmix"


def fetch(num_shards: int, cache: Path, *, hurry: bool = False) -> ClimbmixText:
    """Return the text, after downloading the missing shards.

    Args:
        num_shards: Shards for training.
        cache: Directory of all corpora.
        hurry: Do not wait between attempts.

    Raises:
        TargetError: A shard cannot be downloaded.
    """
    folder = shards_folder(cache)
    paths = _paths(num_shards, folder)
    try:
        with exclusive(folder / ".lock"):
            hashes = _download(paths, hurry=hurry)
    except TargetError as error:
        there = sum(path.exists() for path in paths)
        raise TargetError(
            f"corpus climbmix: {error}. {there} of {len(paths)} shards are in {folder}, and the same command continues "
            "from there; corpus=packages and corpus=installed need no network"
        ) from error
    except OSError as error:
        raise TargetError(
            f"corpus climbmix: cannot write {folder}: {error.strerror or error}; "
            "set GRAFT_CACHE to a directory with 0.1 GB for each shard"
        ) from error
    *train, holdout, val = paths
    return ClimbmixText(
        shards={"train": tuple(train), "val": (val,), "holdout": (holdout,)},
        fingerprint=hashlib.sha256("\n".join(hashes).encode()).hexdigest(),
    )


def missing_shards(num_shards: int, cache: Path) -> list[str]:
    """Return the addresses of the shards that are not downloaded yet.

    Args:
        num_shards: Shards for training.
        cache: Directory of all corpora.

    Raises:
        TargetError: The data set has fewer shards.
    """
    from target.corpus.hub import pin_of

    paths = _paths(num_shards, shards_folder(cache))
    return [_address(path) for path in paths if pin_of(path) is None]


def _paths(num_shards: int, folder: Path) -> list[Path]:
    if not 1 <= num_shards <= HOLDOUT_SHARD:
        raise TargetError(f"corpus.shards must be between 1 and {HOLDOUT_SHARD}, got {num_shards}")
    numbers = (*range(num_shards), HOLDOUT_SHARD, VAL_SHARD)
    return [folder / f"shard_{number:05d}.parquet" for number in numbers]


def _address(path: Path) -> str:
    return f"{os.environ.get('GRAFT_HUB_URL', URL).rstrip('/')}/{path.name}"


def _download(paths: Sequence[Path], *, hurry: bool) -> list[str]:
    """Download a few shards at a time, and return their hashes; a failure or an interrupt ends all downloads."""
    from target.corpus.hub import download

    stop = threading.Event()

    def pause(seconds: float) -> None:
        if stop.wait(0 if hurry else seconds):
            raise CancelledError

    with _progress(len(paths)) as advance, ThreadPoolExecutor(_DOWNLOADS) as pool:

        def progress(n_bytes: int) -> None:
            pause(0)
            advance(n_bytes)

        def one(path: Path) -> str:
            return download(_address(path), path, progress=progress, pause=pause).sha256

        futures = [pool.submit(one, path) for path in paths]
        try:
            done = wait(futures, return_when=FIRST_EXCEPTION).done
            for future in done:
                future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


@contextmanager
def _progress(n_shards: int) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many bytes have arrived; any thread may report."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(f"climbmix, {n_shards} shards", total=None)
        yield lambda n_bytes: bar.advance(task, n_bytes)
