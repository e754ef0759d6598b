"""The seed program with other constants, and models of it that a test can build."""

import math
import random

import torch

from target.program import Program
from target.program.constants import Constant, Value, parse_constants
from target.spec import SEED_PROGRAM

VOCAB_SIZE = 300
MAX_WIDTH, MAX_DEPTH = 128, 4  # of the models that the tests build
SMALL = {"DEPTH": 8, "N_HEADS": 2, "HEAD_DIM": 16, "ATTENTION_PATTERN": "L"}


def draw(constant: Constant, rng: random.Random) -> Value:
    """Return any value that the knob of a constant allows, in the type of the constant."""
    knob = constant.knob
    if knob.choices:
        return rng.choice(knob.choices)
    if knob.scale == "pow2":
        return 2 ** rng.randint(round(math.log2(knob.low)), round(math.log2(knob.high)))
    if knob.scale == "log":
        return math.exp(rng.uniform(math.log(knob.low), math.log(knob.high)))
    return rng.randint(int(knob.low), int(knob.high)) if knob.scale == "int" else rng.uniform(knob.low, knob.high)


def draw_all(seed: int) -> Program:
    """Return the seed program with every constant anywhere within its knob, but of a size that a test can build."""
    rng = random.Random(seed)
    program = Program(SEED_PROGRAM.read_text())
    knobs = {name: constant for name, constant in parse_constants(program.source).items() if not constant.knob.fixed}
    while True:
        values = {name: draw(constant, rng) for name, constant in knobs.items()}
        values["PIECE_TOKENS"] = rng.choice((1, 5, 256))
        if values["N_HEADS"] * values["HEAD_DIM"] <= MAX_WIDTH and values["DEPTH"] <= MAX_DEPTH:
            return program.with_constants(values)


def randomised(module):
    model = built(module)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def built(module):
    """Return a fresh model, the same at each call; the next random numbers are the same too."""
    torch.manual_seed(0)
    return module.build_model(VOCAB_SIZE)


def train(module, model, tokens, *, steps):
    """Train on rows of tokens (B, T + 1) without a schedule; return the loss of each step."""
    optimizers, losses = module.build_optimizers(model), []
    for _ in range(steps):
        loss = model(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        losses.append(loss.item())
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return losses
