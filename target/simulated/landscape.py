"""A synthetic landscape for operators that change code: constants, switches, epistasis, crashes and noise, all seeded.

    score = BEST + constants + switches + pairs of switches + noise

***Constants** lie in a bowl. It is curved differently along each axis and rotated, so that constants interact; it
flattens out far from the optimum. **Switches** are functions of the program, identified by what they return. Each
variant has an effect, and each pair of variants another (epistasis). A variant also moves the optimum of two constants,
so a good change of structure looks bad until its constants are tuned. An expression beyond the known variants has an
effect too, drawn from its text and seldom good. **Failures**: programs that need too much memory fail after half a
minute; two pairs of variants crash. All of this depends on the seed.

Calibration, with public figures of five-minute trainings: the seed program scores 0.9979 and the best possible program
about 0.03 less. Trainings of one program have sd 0.0003. Failures cost 32 s, other trainings 300 s.
"""

from __future__ import annotations

import ast
import functools
import itertools
import math
import random
from typing import Any, Final

import numpy as np

from target.evaluation import Evaluation, Outcome
from target.program import Program
from target.program.constants import parse_constants
from target.program.space import Axis, axes_of
from target.program.syntax import parse
from target.simulated.target import SimulatedTarget, noise

_START: Final = 0.9979  # the public baseline
_BOWL: Final = 0.018  # possible gain from the constants, in bpb
_SWITCHES: Final = 0.012  # possible gain from the structure
_NOISE_SD: Final = 3e-4
_SECONDS: Final = 300.0
_FAILED_SECONDS: Final = 32.0
_SHIFT: Final = 0.15  # shift of an optimum by a variant, in units of the range
_NOVEL: Final = (0.004, 0.004)  # mean and sd of the effect of an unknown expression
_MEMORY: Final = 1.25  # limit, as a multiple of the seed program's


class Landscape:
    """Knows the value of every program.

    Args:
        seed: Determines optimum, effects and failures.
    """

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._variants = _variants(SOURCE)
        self._axes = axes_of(parse_constants(SOURCE))
        rng = np.random.default_rng(seed)
        home = np.array([axis.position(Program(SOURCE).constants[axis.name]) for axis in self._axes])
        away = rng.choice([-1, 1], len(home)) * rng.uniform(0.15, 0.35, len(home))
        self._optimum = np.clip(home + np.where((home + away < 0) | (home + away > 1), -away, away), 0.02, 0.98)
        turn, _ = np.linalg.qr(np.eye(len(home)) + 0.3 * rng.standard_normal((len(home), len(home))))
        curvature = rng.lognormal(0, 1, len(home))
        self._form = turn @ np.diag(curvature) @ turn.T
        self._form *= 1.0 / float((home - self._optimum) @ self._form @ (home - self._optimum))
        names = [(name, variant) for name, variants in self._variants.items() for variant in variants]
        self._shift = {key: _sparse(rng, len(home)) for key in names}
        self._effect = {key: float(rng.normal(0, 1)) for key in names}
        pairs = [pair for pair in itertools.combinations(names, 2) if pair[0][0] != pair[1][0]]
        self._pair = {pair: float(rng.normal(0, 0.5)) for pair in pairs}
        first = {(name, variants[0]) for name, variants in self._variants.items()}
        for key in first:
            self._shift[key] = np.zeros(len(home))  # the bowl is measured from the seed program's structure
        untouched = [pair for pair in pairs if not first & set(pair)]
        self._crashes = {untouched[index] for index in rng.choice(len(untouched), 2, replace=False)}
        self._calibrate()

    @property
    def optimum(self) -> float:
        """The best possible score."""
        return _START - _BOWL - _SWITCHES

    def seed_program(self) -> Program:
        """Return the program that a search begins with."""
        return Program(SOURCE)

    def truth(self, program: Program) -> float | None:
        """Return the noise-free score of a program; None if its training fails."""
        value = self._known(program)
        return value if isinstance(value, float) else None

    def evaluate(self, program: Program, seed: int) -> Evaluation:
        """Return one training."""
        value = self._known(program)
        if not isinstance(value, float):
            outcome, detail = value
            return Evaluation(
                outcome=outcome,
                seed=seed,
                train_seconds=_FAILED_SECONDS,
                wall_seconds=_FAILED_SECONDS,
                detail=detail,
            )
        return Evaluation(
            outcome=Outcome.OK,
            seed=seed,
            score=value + noise(program, seed, _NOISE_SD),
            train_seconds=_SECONDS,
            wall_seconds=_SECONDS,
        )

    @functools.lru_cache(maxsize=4096)  # noqa: B019 -- a search has one landscape, for as long as it runs
    def _known(self, program: Program) -> float | tuple[Outcome, str]:
        try:
            returned = _returned(program.source)
            constants = {**Program(SOURCE).constants, **program.constants}
        except SyntaxError as error:
            return Outcome.CRASHED, f"SyntaxError: {error}"
        missing = sorted(self._variants.keys() - returned.keys())
        if missing:
            return Outcome.CRASHED, f"NameError: name {missing[0]!r} is not defined"
        chosen = [(name, returned[name]) for name in self._variants]
        memory = _memory(constants) / _memory(Program(SOURCE).constants)
        if memory > _MEMORY:
            return (
                Outcome.OUT_OF_MEMORY,
                f"out of memory: {memory:.2f} times the seed program's, the limit is {_MEMORY}",
            )
        for pair in itertools.combinations(chosen, 2):
            if pair in self._crashes:
                return Outcome.CRASHED, f"RuntimeError: {pair[0][1]} does not work with {pair[1][1]}"
        position = np.array([_position(axis, constants[axis.name]) for axis in self._axes])
        return _START - _BOWL + self._constants(position, chosen) + self._structure(chosen)

    def _constants(self, position: Any, chosen: list[tuple[str, str]]) -> float:
        """Return the loss from the constants: `_BOWL` at the seed program, 0 at the optimum of a structure."""
        optimum = self._optimum + sum((self._shift.get(key, 0.0) for key in chosen), np.zeros(len(position)))
        distance = float((position - optimum) @ self._form @ (position - optimum))
        return _BOWL * (math.log1p(distance) / math.log(2))

    def _structure(self, chosen: list[tuple[str, str]]) -> float:
        """Return the effect of the switches: 0 at the seed program, `-_SWITCHES` at the best combination."""
        novel = [key for key in chosen if key not in self._effect]
        surprise = sum(random.Random(f"variant {self._seed} {key}").gauss(*_NOVEL) for key in novel)
        return self._scale * (self._raw(chosen) - self._raw_start) + surprise

    def _raw(self, chosen: list[tuple[str, str]]) -> float:
        pairs = itertools.combinations(chosen, 2)
        return sum(self._effect.get(key, 0.0) for key in chosen) + sum(self._pair.get(pair, 0.0) for pair in pairs)

    def _calibrate(self) -> None:
        combinations = [
            list(zip(self._variants, variants, strict=True)) for variants in itertools.product(*self._variants.values())
        ]
        self._raw_start = self._raw(combinations[0])
        working = [each for each in combinations if not self._crashes & set(itertools.combinations(each, 2))]
        gain = self._raw_start - min(map(self._raw, working))
        self._scale = _SWITCHES / max(gain, 1e-9)


def landscape_target(*, name: str, seed: int, slots: int) -> SimulatedTarget:
    """Return the target that `conf/target/landscape.yaml` describes.

    Args:
        name: Its name.
        seed: Determines the landscape.
        slots: Evaluations side by side.
    """
    described = {"landscape": {"name": name, "seed": seed}}
    return SimulatedTarget(lambda: (Landscape(seed=seed), Program(SOURCE)), slots=slots, described=described)


def _memory(constants: Any) -> float:
    return float(constants["DEPTH"]) * float(constants["WIDTH"]) * (float(constants["WIDTH"]) + 4096)


def _position(axis: Axis, value: Any) -> float:
    return axis.position(value) if not isinstance(value, str) else 0.0


def _sparse(rng: np.random.Generator, size: int) -> Any:
    shift = np.zeros(size)
    shift[rng.choice(size, 2, replace=False)] = rng.choice([-_SHIFT, _SHIFT], 2)
    return shift


def _returned(source: str) -> dict[str, str]:
    """Return the final return expression of each function, as text."""
    functions = (node for node in parse(source).body if isinstance(node, ast.FunctionDef))
    return {
        node.name: ast.unparse(node.body[-1].value)
        for node in functions
        if isinstance(node.body[-1], ast.Return) and node.body[-1].value is not None
    }


def _variants(source: str) -> dict[str, list[str]]:
    """Return the known expressions of each switch, the seed program's first."""
    found = {}
    lines = source.splitlines()
    for node in parse(source).body:
        line = lines[node.body[-1].lineno - 1] if isinstance(node, ast.FunctionDef) else ""
        if "# switch:" in line and isinstance(node, ast.FunctionDef):
            listed = [ast.unparse(parse(text.strip())) for text in line.split("# switch:")[1].split("|")]
            own = _returned(source)[node.name]
            found[node.name] = [own, *(each for each in listed if each != own)]
    return found


SOURCE: Final = '''"""A program of the synthetic landscape: constants and what functions return decide its score."""

DEPTH = 8  # knob: 2..24 int
WIDTH = 512  # knob: 128..2048 pow2
BATCH_TOKENS = 524288  # knob: 65536..2097152 pow2
MATRIX_LR = 0.04  # knob: 0.005..0.2 log
EMBEDDING_LR = 0.6  # knob: 0.01..2 log
HEAD_LR = 0.004  # knob: 0.0005..0.05 log
WEIGHT_DECAY = 0.2  # knob: 0..0.5 linear
WARMUP_FRACTION = 0.05  # knob: 0..0.3 linear
WARMDOWN_FRACTION = 0.5  # knob: 0.1..0.8 linear
FINAL_LR_FRACTION = 0.05  # knob: 0..0.2 linear


def activation(x):
    return relu2(x)  # switch: relu2(x) | gelu(x) | silu(x) | swiglu(x)


def normalise(x):
    return rms_norm(x)  # switch: rms_norm(x) | layer_norm(x) | qk_norm(rms_norm(x))


def attention(q, k, v):
    return full(q, k, v)  # switch: full(q, k, v) | windowed(q, k, v) | grouped(q, k, v)


def residual(x, y):
    return x + y  # switch: x + y | x + gate(x) * y | scale(x) + y


def embedding(tokens):
    return table(tokens)  # switch: table(tokens) | table(tokens) + bigram(tokens) | tied(tokens)


def build_model(vocab_size):
    return NotImplemented


def main():
    return build_model(1)


if __name__ == "__main__":
    main()
'''
