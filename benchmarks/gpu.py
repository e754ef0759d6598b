"""Checks and measures the whole project on a GPU, on a machine that is available for minutes only.

    python benchmarks/gpu.py --anchor DIR                 # everything that fits into 9 minutes
    python benchmarks/gpu.py --stages doctor,check        # some stages; gpu.json keeps the results of the others
    python benchmarks/gpu.py --device cpu --minutes 5     # a rehearsal of everything, on the target `tiny`

In order of importance:

doctor    the device is started under each layer of isolation
check     a confined training with a score: active isolation, transport of logits, the score against one of this process
anchor    with --anchor: train.py of an autoresearch checkout, with the same seconds and text; ratio of the scores
baseline  a longer training: tokens/s, MFU, memory, val_bpb
startup   seconds from the fork to the end of the first step
search    four short trainings through `python -m search` with one worker: share of the wall time spent on training
features  short trainings of train.py with constants whose worth at full size is not known, and of the record recipe
noise     short trainings, one seed twice and another once: the effect of a repetition
calls     the system calls of an evaluation, where strace is installed

It runs from a checkout that is not installed, and needs neither mlflow, litellm nor matplotlib. The plan is printed
first, and made again once `check` has measured how long a training takes to start. Short trainings are as short as the
time requires. A stage that does not fit into the time left is skipped; `features` and `noise` are begun if half of them
fits. Each stage has its own process and a timeout. Its result is in the JSON file before the next stage begins, and its
output in a folder of logs. A killed `check`, `features` or `noise` leaves what it had after its last training. The exit
status is 0, 1 if a stage failed, 130 if it was interrupted. Nothing else should use the GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # instead of this folder: the packages of the checkout, installed or not
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))  # for children

from benchmarks.gpu_plan import Plan, make_plan, with_measured_startup  # noqa: E402
from benchmarks.gpu_runner import FAILED, LEFT_OUT, Found, Results, found_so_far, run_stage  # noqa: E402
from target.errors import TargetError  # noqa: E402
from target.evaluate import load_target  # noqa: E402
from target.process.processes import die_with_parent  # noqa: E402
from target.spec import TargetSpec  # noqa: E402
from target.words import user_path  # noqa: E402

STAGES = ("doctor", "check", "anchor", "baseline", "startup", "search", "features", "noise", "calls")
NEED_NO_SETUP = ("doctor",)  # useful even where nothing else works
KEEP_PARTS = ("features", "noise")  # several trainings: half of the time gives half of the result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages, print each result at once, and return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.stage:
        return _run_one(options)
    names = options.stages.split(",")
    if unknown := set(names) - set(STAGES):
        parser.error(f"--stages must be of {', '.join(STAGES)}, got {', '.join(sorted(unknown))}")
    if options.anchor is None:
        names = [name for name in names if name != "anchor"]
    options.json.parent.mkdir(parents=True, exist_ok=True)
    results = Results(options.json)
    signal.signal(signal.SIGTERM, _interrupt)
    status = 0
    estimates: dict[str, float] = {}
    try:
        run_all(["setup", *names], options, results, estimates)
    except KeyboardInterrupt:
        status = 130
        results.save()  # the interrupt may have come while the file was written
        print("\ninterrupted: the results so far are kept", flush=True)
    except TargetError as error:
        parser.error(str(error))
    print(f"\n{results.table(estimates)}\n\nresults: {options.json}\nlogs: {_logs(options)}", flush=True)
    return status or (1 if results.failed else 0)


def run_all(
    names: Sequence[str], options: argparse.Namespace, results: Results, estimates: MutableMapping[str, float]
) -> None:
    """Run stages, and skip those for which too little time is left; the estimates are written to `estimates`."""
    deadline = time.monotonic() + 60 * options.minutes
    spec = load_target(_target(options), _overrides(options))
    checked_seconds: float | None = None
    plan = _plan(spec, names, options, deadline, checked_seconds)
    for place, name in enumerate(names):
        left = deadline - time.monotonic()
        needed = estimates[name] = plan.needed_seconds(name, checked_seconds=checked_seconds)
        if left < (needed / 2 if name in KEEP_PARTS else needed):
            results.add(name, {LEFT_OUT: f"it needs about {needed:.0f} s, {max(0.0, left):.0f} s are left"})
            continue
        if "setup" in results.failed and name not in NEED_NO_SETUP:
            results.add(name, {LEFT_OUT: "the setup failed"})
            continue
        try:
            results.add(name, _run(name, plan, options, results, min(left, plan.timeout_seconds(needed))))
        except KeyboardInterrupt:
            if found := found_so_far(name, _logs(options)):
                results.add(name, {FAILED: "interrupted"} | found)
            raise
        if name == "check" and name in results.successful and names[place + 1 :]:
            found = results.now[name]
            first_step = found["marks"]["first_step"]
            checked_seconds = found["train, s"] - first_step
            if options.startup_seconds is None:
                spec = with_measured_startup(spec, first_step)
            plan = _plan(spec, names[place + 1 :], options, deadline, checked_seconds)


def _run(name: str, plan: Plan, options: argparse.Namespace, results: Results, timeout_seconds: float) -> Found:
    """Run a stage in its own process."""
    request = {
        "before": results.now,
        "train_seconds": {"full": plan.full.train_seconds, "short": plan.short.train_seconds},
        "startup_seconds": plan.full.startup_seconds,
    }
    with tempfile.TemporaryDirectory(prefix="graft-gpu-") as folder:
        (Path(folder) / "request.json").write_text(json.dumps(request))
        command = [sys.executable, str(Path(__file__).resolve()), *_passed_on(options), "--stage", name, folder]
        return run_stage(name, command, timeout_seconds=timeout_seconds, logs=_logs(options))


def _plan(
    spec: TargetSpec, names: Sequence[str], options: argparse.Namespace, deadline: float, checked_seconds: float | None
) -> Plan:
    """Make a plan for the remaining stages and time, and print it."""
    left = deadline - time.monotonic()
    plan = make_plan(
        spec,
        names,
        seconds=left,
        short_seconds=options.budget_seconds,
        full_seconds=options.full_seconds,
        checked_seconds=checked_seconds,
    )
    print_plan(plan, left)
    return plan


def print_plan(plan: Plan, available_seconds: float) -> None:
    """Print the stages to run, and the time that they are expected to take."""
    short, full = plan.short, plan.full
    print(
        f"\nplan: target {full.name}, trainings of {short.train_seconds:g} s, a baseline of {full.train_seconds:g} s, "
        f"and {full.startup_seconds:g} s each for start-up"
    )
    total = 0.0
    for name, seconds in plan.estimates.items():
        total += seconds
        late = "  beyond the limit: it runs only if others are quicker" if total > available_seconds else ""
        print(f"  {name:<10} {seconds:5.0f} s, {total:5.0f} s in all{late}")
    print(f"  left       {available_seconds:5.0f} s", flush=True)


def _run_one(options: argparse.Namespace) -> int:
    """Run one stage in this process, and write its result to the file that is the last argument."""
    die_with_parent(os.getppid())
    import dataclasses

    from benchmarks import gpu_anchor, gpu_stages
    from target.device import fit

    name, folder, result = options.stage
    request = json.loads((Path(folder) / "request.json").read_text())
    try:
        spec = load_target(_target(options), _overrides(options))
        fitted, device = fit(spec) if name not in NEED_NO_SETUP else (spec, None)
        whole_seconds = fitted.limit_seconds
        fitted = dataclasses.replace(fitted, startup_seconds=request["startup_seconds"])
        seconds = request["train_seconds"]
        rig = gpu_stages.Rig(
            full=dataclasses.replace(fitted, train_seconds=seconds["full"]),
            short=dataclasses.replace(fitted, train_seconds=seconds["short"]),
            whole_seconds=whole_seconds,
            folder=Path(folder),
            logs=_logs(options),
            device=device or "CPU",
            overrides=_overrides(options),
            before=request["before"],
            anchor=options.anchor,
            result=Path(result),
        )
        stage = gpu_anchor.anchor if name == "anchor" else getattr(gpu_stages, name)
        found = stage(rig)
    except TargetError as error:
        found = {FAILED: str(error)}
    Path(result).write_text(json.dumps(found))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=9, help="for all stages (default: %(default)s)")
    parser.add_argument("--stages", default=",".join(STAGES), help="stages to run, in this order (default: all)")
    parser.add_argument("--anchor", type=user_path, metavar="DIR", help="an autoresearch checkout; it is only read")
    parser.add_argument("--budget-seconds", type=float, help="of a short training (default: what the time allows)")
    parser.add_argument("--full-seconds", type=float, help="of the baseline (default: the time left for it)")
    parser.add_argument("--startup-seconds", type=float, help="allowance of each training (default: measured)")
    parser.add_argument("--corpus", help="name of the text (default: the target's)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the target"
    )
    parser.add_argument("--json", type=user_path, default=Path("gpu.json"), help="the results (default: %(default)s)")
    parser.add_argument("--logs", type=user_path, help="folder of the logs (default: beside the results)")
    parser.add_argument("--stage", nargs=3, help=argparse.SUPPRESS)  # one stage in this process: name, folder, result
    return parser


def _target(options: argparse.Namespace) -> str:
    return "gpu" if options.device == "cuda" else "tiny"


def _overrides(options: argparse.Namespace) -> list[str]:
    corpus = [f"corpus.name={options.corpus}"] if options.corpus else []
    startup = [f"startup_seconds={options.startup_seconds}"] if options.startup_seconds is not None else []
    return [*corpus, *startup, *options.set]


def _logs(options: argparse.Namespace) -> Path:
    logs: Path = options.logs or options.json.with_name(f"{options.json.stem}-logs")
    return logs.absolute()


def _passed_on(options: argparse.Namespace) -> list[str]:
    """Return the arguments that a stage needs in its own process."""
    passed = ["--device", options.device, "--logs", str(_logs(options))]
    passed += ["--anchor", str(options.anchor.absolute())] if options.anchor else []
    return passed + [part for override in _overrides(options) for part in ("--set", override)]


def _interrupt(number: int, _: object) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
