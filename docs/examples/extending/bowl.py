"""A target: a function scores a program by its constants. Nothing is run, and nothing is trained."""

from __future__ import annotations

import math
import random
from pathlib import Path

from target.program import Program
from target.simulated.function_target import FunctionTarget

SEED_PROGRAM = Path(__file__).with_name("program.py").read_text(encoding="utf-8")


def speed(program: Program, seed: int) -> float | None:
    """Return the score of a program on a seed; None if it fails."""
    constants = program.constants
    if constants["WIDTH"] * constants["DEPTH"] > 8000:
        return None
    distance = (
        math.log(constants["RATE"] / 0.02) ** 2
        + (math.log2(constants["WIDTH"]) - 9) ** 2
        + (constants["DEPTH"] - 6) ** 2
    )
    bonus = {"relu": 0.0, "gelu": 3.0, "silu": 5.0}[constants["ACTIVATION"]]
    return 100 - distance + bonus + random.Random(f"{program.id} {seed}").gauss(0, 0.05)


def bowl_target(*, name: str) -> FunctionTarget:
    """Return the target; a YAML file names this function."""
    return FunctionTarget(speed, SEED_PROGRAM, metric=name, direction="maximize")
