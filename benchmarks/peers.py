"""What a search claims and what it found, beside OpenEvolve and GEPA: the same task, model and number of trainings.

    python -m venv openevolve && openevolve/bin/pip install openevolve==0.4.1
    python -m venv gepa && gepa/bin/pip install gepa==0.1.4 litellm
    python benchmarks/peers.py --openevolve openevolve/bin/python --gepa gepa/bin/python [--seeds 10] [--trainings 120]

The task is the synthetic landscape, where the true value of every program is known; a training adds noise to it. The
second task has the same programs and noise, but no program is better than the first. The model is scripted and answers
over HTTP: it changes one constant, or in three of ten answers what one function returns, of the program that it is
asked to improve, blindly. So all searches have equally good proposals. They differ in what they ask for and keep. Only
Graft's hybrid has more: it also reads the ranges of the constants and tunes these without the model.

Every arm has its defaults, but for the model, the budget and one evaluation at a time. `claimed` is what its search
reports as gained: the first score less the best one. `true` is what the reported program gained without noise, and
`better` how many searches claim a gain. Graft spends the last ten trainings of the same budget on its check at the end
(`final.seeds=5`): `checked` is the gain there, and `holds` how many searches it confirms. OpenEvolve and GEPA maximize:
for them, a score is 2 less the loss, and 0 for a program that fails.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))  # where `benchmarks` and `tests` are

from operators.constants import perturb
from search import run
from target.program import Program
from target.program.constants import parse_constants
from target.simulated.function_target import FunctionTarget
from target.simulated.landscape import SOURCE, Landscape
from target.simulated.target import noise
from target.words import user_path
from tests.llm_server import LlmServer, Request

HERE: Final = Path(__file__).parent
SWITCHES: Final = 0.3  # share of the answers that change what a function returns
CHECK_SEEDS: Final = 5  # fresh ones, for the best program and for the first
STEP: Final = 0.3  # of a constant, as the logarithm of the factor
RETURN: Final = re.compile(r"^    return (?P<now>.+?)  # switch: (?P<all>.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The program that a search reports as its best, and what it says that this program gained, in bpb.

    Attributes:
        source: The program.
        claimed: By the scores that the search decided by.
        checked: By trainings after the search; None if there were none.
        holds: Whether these say that there is a gain.
    """

    source: str
    claimed: float
    checked: float | None = None
    holds: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One search. Gains are in bpb."""

    task: str
    arm: str
    seed: int
    claimed: float
    checked: float | None
    holds: bool | None
    true: float
    trainings: int
    seconds: float


class Task:
    """Trains programs: knows their true values, and adds noise.

    Args:
        seed: Of the landscape.
        flat: No program that can be trained is better or worse than the first.
        noise_sd: Standard deviation of a training, in bpb.
    """

    def __init__(self, seed: int, *, flat: bool, noise_sd: float) -> None:
        self._landscape = Landscape(seed=seed)
        self._flat = flat
        self._noise_sd = noise_sd
        self._fresh = itertools.count(1_000_000 * (seed + 1))  # noise depends on the program and this number alone
        self.trainings = 0
        self.first: float | None = None
        """Score of the first training."""

    def true_gain(self, source: str) -> float:
        """Return by how much a program is better than the first, without noise."""
        values = [self._value(Program(each)) for each in (SOURCE, source)]
        return (values[0] or 0.0) - (values[1] or 0.0)

    def train(self, program: Program, seed: int | None = None) -> float | None:
        """Return the score of one training, on a fresh seed by default; None if the program fails."""
        self.trainings += 1
        value = self._value(program)
        if value is None:
            return None
        score = value + noise(program, next(self._fresh) if seed is None else seed, self._noise_sd)
        self.first = score if self.first is None else self.first
        return score

    def _value(self, program: Program) -> float | None:
        value = self._landscape.truth(program)
        return self._landscape.truth(Program(SOURCE)) if self._flat and value is not None else value


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openevolve", type=user_path, help="a Python that has it")
    parser.add_argument("--gepa", type=user_path, help="a Python that has it")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trainings", type=int, default=120)
    parser.add_argument("--noise", type=float, default=3e-4, help="standard deviation of a training, bpb")
    parser.add_argument("--json", type=user_path)
    options = parser.parse_args()
    arms: dict[str, Arm] = {
        "Graft, greedy": graft(strategy="greedy"),
        "Graft, evolution": graft(strategy="evolution"),
        "Graft, hybrid": graft(strategy="hybrid"),
        "greedy, keeps what is lower": graft(strategy="greedy", acceptance="naive"),
    }
    if options.openevolve:
        arms["OpenEvolve"] = openevolve(options.openevolve)
    if options.gepa:
        arms["GEPA"] = gepa(options.gepa)
    rows = list[Row]()
    for seed, flat, (name, arm) in itertools.product(range(options.seeds), (False, True), arms.items()):
        task = Task(seed, flat=flat, noise_sd=options.noise)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="graft-peers-") as folder, LlmServer(Model(seed)) as server:
            found = arm(task, server.url, Path(folder), options.trainings, seed)
        rows.append(
            Row(
                task="nothing to find" if flat else "landscape",
                arm=name,
                seed=seed,
                claimed=found.claimed,
                checked=found.checked,
                holds=found.holds,
                true=task.true_gain(found.source),
                trainings=task.trainings,
                seconds=time.perf_counter() - began,
            )
        )
        print(rows[-1], file=sys.stderr, flush=True)
    print_table(rows)
    if options.json:
        plain = {"noise_sd": options.noise, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")


class Model:
    """Answers requests: changes one thing of the program that it is shown, in the form that is asked for.

    Args:
        seed: Determines the answers, in the order of the requests.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __call__(self, request: Request) -> str:
        """Answer a request."""
        source = shown(request.text)
        line, changed = change(source, random.Random(f"{self._seed} {request.number}"))
        if "<<<<<<< SEARCH" in request.text:
            return f"<<<<<<< SEARCH\n{line}\n=======\n{changed}\n>>>>>>> REPLACE\n"
        return f"```\n{source.replace(line, changed, 1)}```\n"


def shown(prompt: str) -> str:
    """Return the program that a prompt asks to improve."""
    at = prompt.rfind("# Current Program\n")  # OpenEvolve's, after other programs; those of others come first
    match = re.search(
        r"^```[a-z]*\n(\"\"\"A program of the synthetic.*?)^```", prompt[max(0, at) :], re.DOTALL | re.MULTILINE
    )
    if match is None:
        raise ValueError(f"no program of the landscape in this prompt:\n{prompt}")
    return match[1]


def change(source: str, rng: random.Random) -> tuple[str, str]:
    """Return a line of a program, and another one in its place."""
    if rng.random() < SWITCHES:
        switch = rng.choice(list(RETURN.finditer(source)))
        others = [each for each in switch["all"].split(" | ") if each != switch["now"]]
        return switch[0], switch[0].replace(f"return {switch['now']} ", f"return {rng.choice(others)} ", 1)
    constants = parse_constants(source)
    name = rng.choice(sorted(constants))
    line = next(each for each in source.splitlines() if each.startswith(f"{name} = "))
    moved = perturb(constants[name], rng, STEP)
    return line, re.sub(r"= \S+", f"= {moved!r}", line, count=1)


Arm = Callable[[Task, str, Path, int, int], Found]
"""Searches with a task, the URL of a model, a folder to work in, a number of trainings and a seed."""


def graft(**settings: str) -> Arm:
    """Return a search of ours, with `operator=patch`."""

    def search(task: Task, model_url: str, folder: Path, trainings: int, seed: int) -> Found:
        target = FunctionTarget(task.train, SOURCE, metric="val_bpb", file="train.py")
        llm = {"model": "openai/scripted", "api_base": model_url, "check": False}
        result = run(
            target=target,
            operator="patch",
            llm=llm,
            outputs=str(folder),
            tracker="none",
            quiet=True,
            seed=seed,
            budget={"trainings": trainings - 2 * CHECK_SEEDS},
            final={"seeds": CHECK_SEEDS},
            **settings,
        )
        found = Found(source=result.best.source, claimed=result.best.gain)
        if not result.summary.best_trial:  # the seed program: there is nothing to check
            return found
        report = json.loads((result.folder / "final.json").read_text(encoding="utf-8"))["report"]
        return replace(found, checked=-report["val"]["difference"], holds=report["verdict"] == "holds")

    return search


EVALUATOR: Final = """import json
import urllib.request


def evaluate(program_path):
    request = urllib.request.Request("{url}", data=open(program_path, "rb").read())
    return {{"combined_score": json.load(urllib.request.urlopen(request))}}
"""


def openevolve(python: Path) -> Arm:
    """Return a search of OpenEvolve's command, with its defaults."""

    def search(task: Task, model_url: str, folder: Path, trainings: int, seed: int) -> Found:
        config = {
            "random_seed": seed,
            "llm": {"api_base": model_url, "api_key": "none", "models": [{"name": "scripted", "weight": 1.0}]},
        }
        (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        (folder / "program.py").write_text(SOURCE, encoding="utf-8")
        with training_server(task) as url:
            (folder / "evaluator.py").write_text(EVALUATOR.format(url=url), encoding="utf-8")
            command = [python, "-m", "openevolve.cli", "program.py", "evaluator.py", "--config", "config.yaml"]
            _call([*command, "--iterations", str(trainings - 1), "--output", "out"], folder)
        best = json.loads((folder / "out/best/best_program_info.json").read_text(encoding="utf-8"))
        source = (folder / "out/best/best_program.py").read_text(encoding="utf-8")
        return Found(source=source, claimed=best["metrics"]["combined_score"] - fitness(task.first))

    return search


def gepa(python: Path) -> Arm:
    """Return a search of GEPA's `optimize_anything`, with its defaults."""

    def search(task: Task, model_url: str, folder: Path, trainings: int, seed: int) -> Found:
        (folder / "program.py").write_text(SOURCE, encoding="utf-8")
        with training_server(task) as url:
            _call([python, HERE / "peers_gepa.py", url, model_url, str(trainings), str(seed)], folder)
        best = json.loads((folder / "best.json").read_text(encoding="utf-8"))
        return Found(source=best["source"], claimed=best["score"] - fitness(task.first))

    return search


def fitness(score: float | None) -> float:
    """Return a score for a tool that maximizes."""
    return 0.0 if score is None else 2.0 - score


@contextmanager
def training_server(task: Task) -> Iterator[str]:
    """Serve trainings: a POST with a program is answered by its fitness. Yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            source = self.rfile.read(int(self.headers["Content-Length"])).decode()
            answer = json.dumps(fitness(task.train(Program(source)))).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def _call(command: list[Any], folder: Path) -> None:
    environment = {**os.environ, "OPENAI_API_KEY": "none"}
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} failed with status {done.returncode}:\n{done.stdout}\n{done.stderr}")


def print_table(rows: list[Row]) -> None:
    """Print the means of each arm and task, in 1e-3 bpb, with standard errors."""
    head = f"{'claimed':>13} {'checked':>13} {'true':>13} {'better':>7} {'holds':>6} {'trainings':>10} {'s':>6}"
    print(f"{'task':16} {'arm':26} {head}")
    for (task, arm), group in itertools.groupby(sorted(rows, key=_place(rows)), lambda row: (row.task, row.arm)):
        searches = list(group)
        checked = [row.checked for row in searches if row.checked is not None]
        gains = [row.claimed for row in searches], checked, [row.true for row in searches]
        better = f"{sum(row.claimed > 0 for row in searches)}/{len(searches)}"
        holds = f"{sum(row.holds is True for row in searches)}/{len(searches)}" if checked else "-"
        trainings, seconds = fmean(row.trainings for row in searches), fmean(row.seconds for row in searches)
        figures = " ".join(f"{_mean(each):>13}" for each in gains)
        print(f"{task:16} {arm:26} {figures} {better:>7} {holds:>6} {trainings:10.1f} {seconds:6.1f}")


def _place(rows: list[Row]) -> Callable[[Row], tuple[int, int]]:
    tasks, arms = (list(dict.fromkeys(values)) for values in ([row.task for row in rows], [row.arm for row in rows]))
    return lambda row: (tasks.index(row.task), arms.index(row.arm))


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "-"
    values = [1000 * value for value in values]
    error = f" ±{stdev(values) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
    return f"{fmean(values):.2f}{error}"


if __name__ == "__main__":
    main()
