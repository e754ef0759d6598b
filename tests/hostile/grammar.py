"""Random hostile programs: one to four acts, each placed where a candidate's code gets a turn.

It is pure: a seed is a program. The acts themselves are in `tests/hostile/acts.py`.

An act is the body of a function of the program, which is called from its place: when the program is imported, in
`main()` before or after the training, behind `prepare.finish`, in `build_model`, in `forward` at training or when it is
served, in a thread, in a forked child, at exit. Acts on the weights replace what is saved, acts on the logits what
`forward` returns.
"""

from __future__ import annotations

import random
import textwrap
from dataclasses import dataclass
from typing import Final

from tests.hostile.acts import ACTS, WEIGHTS
from tests.target.candidates import HONEST

GRANTS: Final = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Case:
    """A program of the grammar.

    Attributes:
        seed: What it was made of.
        grant: Whose grants it is run with.
        acts: What it does, and where, in words.
        source: The program.
    """

    seed: int
    grant: str
    acts: tuple[str, ...]
    source: str


def make_case(seed: int) -> Case:
    """Return the program of a seed."""
    rng = random.Random(f"fuzz {seed}")
    grant = rng.choice(GRANTS)
    places = rng.sample(sorted(_PLACES), rng.randint(1, 3))
    calls = dict.fromkeys(_SLOTS, "")
    names, logits = [], ""
    for number in range(rng.randint(1, 4)):
        name, act = rng.choices(tuple(ACTS), WEIGHTS)[0], f"act_{number}"
        body = ACTS[name](rng)
        if rng.random() < _SWALLOWED:
            body = f"try:\n{textwrap.indent(body, '    ')}\nexcept Exception as error:\n    print(repr(error)[:200])"
        calls["definitions"] += (
            f"\n\ndef {act}(model=None, logits=None):\n{textwrap.indent(body, '    ')}\n    return logits\n"
        )
        if name == "logits":
            place = rng.choice(sorted(_WHEN))
            logits = f"return {act}(self, logits){_WHEN[place]}"
        else:
            place = rng.choice(_AFTER_TRAINING) if name == "weights" else rng.choice(places)
            slot, call = _PLACES[place]
            calls[slot] += call.format(act=act) + "\n"
        names.append(f"{name} at {place}")
    if logits:
        calls["logits"] = f"logits = {_LOGITS}\n{logits}\n"
    return Case(seed, grant, tuple(names), _filled(calls))


# Where an act is called from

_SWALLOWED: Final = 0.75  # of the acts have their errors caught, so that the program goes on
_LOGITS: Final = "self.head(torch.tanh(self.mix(torch.cat([x, self.past(x)], -1))))"
_SLOTS: Final = {  # the line behind which calls are put, and how far they are indented
    "definitions": ("import prepare\n", 0),
    "imports": ("import prepare\n", 0),
    "begin": ("    prepare.setup()\n", 4),
    "training": ("        loss.backward()\n", 8),
    "end": ("        prepare.report(loss.item())\n", 4),
    "finished": ("    prepare.finish(model)\n", 4),
    "build": ("def build_model(vocab_size):\n", 4),
    "forward": ("        x = self.embed(idx)\n", 8),
    "logits": ("        x = self.embed(idx)\n", 8),
}


def _filled(calls: dict[str, str]) -> str:
    """Return the honest program with lines in its slots."""
    parts, rest = [], HONEST
    for slot, (line, indent) in sorted(_SLOTS.items(), key=lambda item: HONEST.index(item[1][0])):
        if line in rest:  # two slots may share a line
            before, rest = rest.split(line, 1)
            parts += [before, line]
        parts.append(textwrap.indent(calls[slot], " " * indent))
    return "".join([*parts, rest])


_IN_THREAD: Final = "import threading; threading.Thread(target={{act}}, args=(model,), daemon={daemon}).start()"
_IN_FORK: Final = "if os.fork() == 0:\n    try:\n        {{act}}({model})\n    finally:\n        os._exit(0)"
_AT_EXIT: Final = (
    "import atexit; atexit.register({act})\n"
    "global end_{act}; end_{act} = type('AtEnd', (), {{'__del__': lambda self: {act}()}})()"
)
_PLACES: Final = {
    "import": ("imports", "{act}()\n"),
    "begin": ("begin", "{act}()"),
    "training": ("training", "{act}(model)"),
    "end": ("end", "{act}(model)"),
    "finished": ("finished", "{act}(model)"),
    "build_model": ("build", "{act}()"),
    "forward": ("forward", "if self.training: {act}(self)"),
    "served": ("forward", "if not self.training: {act}(self)"),
    "thread": ("end", _IN_THREAD.format(daemon=True)),
    "slow thread": ("end", _IN_THREAD.format(daemon=False)),
    "fork": ("end", _IN_FORK.format(model="model")),
    "served fork": ("forward", "if not self.training:\n" + textwrap.indent(_IN_FORK.format(model="self"), "    ")),
    "exit": ("begin", _AT_EXIT),
}
_AFTER_TRAINING: Final = ("end", "finished", "finished")
_WHEN: Final = {
    "every pass": "",
    "training passes": " if self.training else logits",
    "served passes": " if not self.training else logits",
}
