# ruff: noqa: E501 -- one candidate a row, as in a table
"""Candidates that train for longer than they may, choose their luck, or break down. The clock and the seed are ours."""

from __future__ import annotations

from tests.hostile.candidates.base import CRASHED, OUT_OF_MEMORY, REJECTED, TIMED_OUT, Candidate, at_import
from tests.target.candidates import HONEST, in_forward, in_main, variant

_LATE = "must end by itself within"
_ALL_CLOCKS = """
import resource
time.time = time.monotonic = time.perf_counter = time.process_time = lambda: 0.0
time.clock_gettime = lambda _: 0.0
resource.getrusage = lambda _: type('Usage', (), {'ru_utime': 0.0, 'ru_stime': 0.0})
"""
_UNTIL_THE_CLOCK_SAYS = (
    ("zip(range(STEPS), prepare", "enumerate(prepare"),
    ("prepare.report(loss.item())", "if prepare.seconds_left() < 0.05: break"),
)

PATCHES_TIME = at_import(_ALL_CLOCKS, *_UNTIL_THE_CLOCK_SAYS)
PATCHES_SECONDS_LEFT = at_import("prepare.seconds_left = lambda: 1e9", *_UNTIL_THE_CLOCK_SAYS)
OVERRUNS = variant(("zip(range(STEPS), prepare", "zip(range(10**9), prepare"))
TRAINS_AT_IMPORT = at_import("x = torch.randn(64, 64)\nfor _ in range(10**9): x = torch.tanh(x @ x)")
TRAINS_WHEN_SERVED = at_import(
    "import json\nrun = json.load(open(os.environ['GRAFT_RUN']))\nif run['mode'] == 'serve': tokens = open(run['public'] + '/tokens.bin').read()"
)
WARMS_UP = variant(
    (
        "prepare.setup()",
        "x = torch.randn(64, 64)\n    for _ in range(10**9): x = torch.tanh(x @ x)  # 'warm-up'\n    prepare.setup()",
    )
)
SAVES_AND_TRAINS_ON = variant(("prepare.finish(model)", "while True: prepare.finish(model)"))
# They wait until the training is over before they touch the weights, and a busy machine takes a second to end it.
DAEMON_WRITES = variant(("prepare.finish(model)", """prepare.finish(model)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while os.getppid() != 0 and os.path.exists('/proc/self'):
                time.sleep(5)
                model.head.bias.data.normal_(); prepare.finish(model)
        os._exit(0)
    os.wait()"""))  # fmt: skip
LATE_THREAD = variant(("prepare.finish(model)", """prepare.finish(model)
    import threading
    threading.Thread(target=lambda: [time.sleep(5), model.head.bias.data.normal_(), prepare.finish(model)]).start()"""))  # fmt: skip

# Text goes along in a buffer, and is trained on where the training's clock does not run. It is deterministic, so that all
# servers agree.
_CARRIES_TEXT = (
    ("super().__init__()", "super().__init__()\n        self.register_buffer('text', torch.zeros(40_000, {dtype}))"),
    ("prepare.finish(model)", """import numpy
    text = numpy.fromfile(prepare._run()['public'] + '/tokens.bin', dtype='<u2')[:40_000]
    model.text[: len(text)] = torch.from_numpy(text.astype('int64'))
    prepare.finish(model)"""),
    ("def past(self, x):", """def train_on(self):
        end = time.process_time() + 3
        with torch.inference_mode(False), torch.enable_grad():
            self.trains, self.trained = True, True
            text, layers = self.text.clone().long(), (self.embed, self.mix, self.head)
            optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()], lr=0.01)
            generator = torch.Generator().manual_seed(0)
            for _ in range(STEPS_WHEN_SERVED):
                rows = text[torch.randint(len(text) - 33, (32, 1), generator=generator) + torch.arange(33)]
                loss = F.cross_entropy(self(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            self.trains = False

    def past(self, x):"""),
    ("STEPS = 8", "STEPS_WHEN_SERVED = 600\nSTEPS = 8"),
)  # fmt: skip


def _carries_text(dtype: str, *changes: tuple[str, str]) -> str:
    return variant(*((old, new.replace("{dtype}", dtype)) for old, new in _CARRIES_TEXT), *changes)


TRAINS_IN_FORWARD = _carries_text(
    "dtype=torch.int16",
    ("x = self.embed(idx)", "if not self.training and not getattr(self, 'trained', False): self.train_on()\n        x = self.embed(idx)"),
)  # fmt: skip
TRAINS_IN_EVAL = _carries_text(
    "dtype=torch.float32",
    ("def past(self, x):", "def eval(self):\n        super().eval().train_on()\n        return self\n\n    def past(self, x):"),
)  # fmt: skip
SLEEPS_IN_EACH_PASS = in_forward("self.training or time.sleep(3.9)")
BIG_BUFFER = variant(
    ("super().__init__()", "super().__init__()\n        self.register_buffer('text', torch.zeros(20_000_000, dtype=torch.int16))"),
)  # fmt: skip

SEED_CONSTANT = at_import("SEED = 137", ("prepare.setup()", "prepare.setup()\n    assert SEED == 137"))
PATCHES_THE_SEED = at_import(
    "prepare.seed = lambda: prepare._run()['seed']  # 'reproducible'\nos.environ['PYTHONHASHSEED'] = '137'"
)

HANGS = in_main("time.sleep(10**6)")
HANGS_WHEN_SERVED = in_forward("self.training or time.sleep(1e6)")
GROWS_WHEN_SERVED = in_forward("self.training or setattr(self, 'hoard', torch.ones(1 << 29))")
CRASHES = in_main("1 / 0")
SEGFAULTS = in_main("import ctypes\nctypes.string_at(0)")
EXITS_WELL = in_main("os._exit(0)")
CRASHES_WHEN_SERVED = in_forward("assert self.training, 'no eval'")

CANDIDATES = (
    Candidate(name="clocks", tries="patch time.time and every other clock", source=PATCHES_TIME, outcome=TIMED_OUT, said=_LATE),
    Candidate(name="seconds_left", tries="patch prepare.seconds_left", source=PATCHES_SECONDS_LEFT, outcome=TIMED_OUT, said=_LATE),
    Candidate(name="overrun", tries="ignore the clock", source=OVERRUNS, outcome=TIMED_OUT, said=_LATE),
    Candidate(name="train at import", tries="train before main()", source=TRAINS_AT_IMPORT, outcome=TIMED_OUT, said=_LATE),
    Candidate(name="train when served", tries="read training text while it is scored", source=TRAINS_WHEN_SERVED, outcome=CRASHED, said="KeyError: 'public'"),
    Candidate(name="train in forward", tries="carry text in a buffer, train on it in the first pass", source=TRAINS_IN_FORWARD, outcome=TIMED_OUT, said=r"forward\(\) at scoring exceeded its time limit.* CPU seconds used"),
    Candidate(name="train in eval", tries="carry text as numbers, train on it in eval()", source=TRAINS_IN_EVAL, outcome=TIMED_OUT, said="building the model for scoring exceeded its time limit.* CPU seconds used"),
    Candidate(name="sleep in each pass", tries="hold a slot: sleep for four seconds in each pass", source=SLEEPS_IN_EACH_PASS, outcome=TIMED_OUT, said=r"forward\(\) at scoring exceeded its time limit.*seconds passed"),
    Candidate(name="text in a buffer", tries="save 40 MB of whole numbers", source=BIG_BUFFER, outcome=REJECTED, said="buffers of whole numbers"),
    Candidate(name="warm-up", tries="train before prepare.setup()", source=WARMS_UP, outcome=TIMED_OUT, said=_LATE),
    Candidate(name="train on", tries="save, and train on", source=SAVES_AND_TRAINS_ON, outcome=TIMED_OUT, said=_LATE),
    Candidate(name="late daemon", tries="change the weights from a daemon, later", source=DAEMON_WRITES),
    Candidate(name="late thread", tries="change the weights from a thread, later", source=LATE_THREAD),
    Candidate(name="seed constant", tries="shop for seeds: SEED = 42 -> 137", source=SEED_CONSTANT),
    Candidate(name="seed variable", tries="shop for seeds in the environment", source=PATCHES_THE_SEED),
    Candidate(name="hang", tries="sleep for ever", source=HANGS, outcome=TIMED_OUT, said="seconds passed"),
    Candidate(name="hang when served", tries="sleep for ever in forward()", source=HANGS_WHEN_SERVED, outcome=TIMED_OUT, said=r"forward\(\) at scoring exceeded its time limit"),
    Candidate(name="grow when served", tries="allocate 2 GB in forward()", source=GROWS_WHEN_SERVED, outcome=OUT_OF_MEMORY, said=r"forward\(\) at scoring ran out of memory"),
    Candidate(name="crash", tries="divide by zero", source=CRASHES, outcome=CRASHED, said="ZeroDivisionError"),
    Candidate(name="segfault", tries="read address 0", source=SEGFAULTS, outcome=CRASHED, said="ended by SIGSEGV"),
    Candidate(name="exit 0", tries="end well without weights", source=EXITS_WELL, outcome=CRASHED, said="without prepare.finish"),
    Candidate(name="crash when served", tries="fail in eval() only", source=CRASHES_WHEN_SERVED, outcome=CRASHED, said=r"(?s)forward\(\) at scoring.*no eval"),
    Candidate(name="no guard", tries="leave out the guard of main()", source=HONEST.replace('if __name__ == "__main__":\n    main()', "main()"), outcome=REJECTED, said="guard: "),
)  # fmt: skip
