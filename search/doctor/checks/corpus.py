"""Checks the text: is it prepared, can it be prepared, or must it be downloaded first?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from search.doctor.checks.row import Row, broken, broken_by, cause, fine, gigabytes, warning
from search.doctor.checks.subject import Subject
from search.printed import command
from target.corpus import find_corpus
from target.corpus.cache import cache_root
from target.corpus.climbmix import missing_shards, shards_folder
from target.corpus.hub import ask_once
from target.errors import TargetError
from target.spec import Corpus, TargetSpec

_COST: Final = "there is no text to train on"
_SHARD_BYTES: Final = 100e6
_PREPARATION: Final = {  # measured: 11, 57, 24 for 53 MB
    "packages": "about 10 CPU seconds",
    "installed": "about a CPU minute",
    "files": "about 5 CPU seconds for each 10 MB",
}


def check_corpus(subject: Subject) -> Iterator[Row]:
    """Check that the text is there, or can be prepared or downloaded."""
    if not isinstance(subject.spec, TargetSpec):
        return
    corpus = subject.spec.corpus
    try:
        if corpus.name == "climbmix" and (missing := missing_shards(corpus.shards, cache_root())):
            yield _to_download(corpus, missing)
            return
        found = find_corpus(corpus)
    except TargetError as error:
        yield broken_by("corpus", error, cost=_COST)
        return
    except OSError as error:
        remedy = "check the rights of the text and of the cache"
        yield broken("corpus", f"{corpus.name}: {error}", cost=_COST, remedy=remedy)
        return
    if found:
        yield fine("corpus", f"{corpus.name}, prepared in {found.root}")
    else:
        takes = _PREPARATION.get(corpus.name, "about 20 CPU seconds per shard")
        yield fine("corpus", f"{corpus.name}, not prepared yet: the first search prepares it, which takes {takes}")


def _to_download(corpus: Corpus, missing: list[str]) -> Row:
    """Say which shards of `climbmix` are missing, and whether they can be downloaded."""
    total = corpus.shards + 2
    found = f"climbmix: {total - len(missing)} of {total} shards are in {shards_folder(cache_root())}"
    if problem := ask_once(missing[0]):
        return broken(
            "corpus",
            f"{found}, and the hub cannot be reached ({cause(problem)})",
            cost=_COST,
            remedy="fix the network or set GRAFT_HUB_URL to a mirror; corpus=installed needs no network",
        )
    return warning(
        "corpus",
        found,
        cost=f"the search downloads {gigabytes(len(missing) * _SHARD_BYTES)} before it begins",
        remedy=command("target.climbmix", "--num-shards", str(corpus.shards)),
    )
