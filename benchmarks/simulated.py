"""Options of the benchmarks that simulate searches on the landscape, or on a model of recorded trainings."""

from __future__ import annotations

import argparse

from benchmarks.strategies import load_oracle
from target.errors import TargetError
from target.words import user_path


def simulated_options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of all of them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=user_path, help="recorded trainings; the landscape without them")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=2, help="searches side by side")
    parser.add_argument("--json", type=user_path)
    return parser


def parse_simulated(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the options with the `target`, whose scores are ready: it is fitted once, before processes fork."""
    options = parser.parse_args()
    options.target = "surrogate" if options.data else "landscape"
    try:
        load_oracle(options.target, options.data, "gp")
    except TargetError as error:
        parser.error(str(error))
    return options
