"""Prints the program that a target begins with: `python -m target.seed --target tiny > mine.py`.

A copy of `target/train.py` has the constants of the full size; this one has those of the target.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from target.device import fit
from target.errors import TargetError
from target.evaluate import load_target
from target.output import ends_quietly
from target.printable import printable


@ends_quietly
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the program, and return the exit status: 2 if there is no such target."""
    parser = argparse.ArgumentParser(prog="python -m target.seed", description=__doc__)
    parser.add_argument("--target", default="tiny", help="name of a target in conf/target (default: %(default)s)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value, as in constants.DEPTH=2"
    )
    options = parser.parse_args(arguments)
    try:
        spec = load_target(options.target, options.set)
        try:
            spec = fit(spec)[0]
        except TargetError as error:
            sys.stderr.write(printable(f"warning: {error}; the program is that of a large card\n"))
        sys.stdout.write(spec.seed_program().source)
    except TargetError as error:
        sys.stderr.write(printable(f"error: {error}\n"))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
