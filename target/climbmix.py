"""Web text for trainings of minutes on a GPU: shards of ClimbMix, downloaded once.

    python -m target.climbmix --num-shards 10    # about 0.1 GB and 60 million tokens each; the same call resumes

Shards 0, 1, 2, ... are for training. The last shard is the validation text and the one before it the holdout, so both
stay the same however many shards are downloaded. Source: `prepare.py` of karpathy/autoresearch, which validates on the
same shard (arXiv 2504.13161 for the text).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from target.corpus.cache import cache_root
from target.corpus.climbmix import fetch, shards_folder
from target.errors import TargetError
from target.output import ends_quietly
from target.words import command


@ends_quietly
def main(arguments: Sequence[str] | None = None) -> int:
    """Download shards, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m target.climbmix", description="Download shards of ClimbMix.")
    parser.add_argument("--num-shards", type=int, default=10, help="shards for training (default: %(default)s)")
    options = parser.parse_args(arguments)
    cache = cache_root()
    try:
        text = fetch(options.num_shards, cache)
    except TargetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command continues from here", file=sys.stderr)
        return 130
    files = [path for split in text.shards.values() for path in split]
    size_gb = sum(path.stat().st_size for path in files) / 1e9
    print(f"{len(files)} shards, {size_gb:.2f} GB, in {shards_folder(cache)}, every hash as the hub states it")
    settings = ("target=gpu", "corpus=climbmix", f"target.corpus.shards={options.num_shards}")
    print(f"use them with: {command('search', *settings)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
