"""Evaluates one program on the command line: `python -m target.evaluate FILE [--target tiny] [--seed N] [--json]`.

Exit status: 0 if the program scores, 1 if it does not, 2 if it cannot be evaluated here.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from target.device import allot, fit
from target.errors import TargetError
from target.evaluation import Evaluation, Outcome
from target.output import ends_quietly
from target.printable import PrintableStream, printable
from target.process.scratch import scratch_directory
from target.spec import TargetSpec
from target.trained import TrainedKind
from target.words import user_path

TARGETS = Path(__file__).parents[1] / "conf" / "target"


@ends_quietly
def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate one program, print the verdict, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        configured = load_target(options.target, options.set)
        allotment = allot(TrainedKind(configured), 1)
        spec, device = fit(configured, slots=1)
        if device:
            print(f"device: {device}", file=sys.stderr)
        os.environ.update(allotment.environment(0))
        verdict = _evaluate(dataclasses.replace(spec, threads=allotment.threads), options)
    except TargetError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(json.dumps(verdict) if options.json else printable(_table(verdict)))
    return 0 if verdict["outcome"] == Outcome.OK else 1


def load_target(name: str, overrides: Sequence[str] = ()) -> TargetSpec:
    """Load `conf/target/<name>.yaml`.

    Args:
        name: Its name.
        overrides: `key=value`, as in `scoring.rows=128`.

    Raises:
        TargetError: There is no such target, or an override does not fit it.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    path = TARGETS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in TARGETS.glob("*.yaml")))
        raise TargetError(f"--target must be one of {known}, got {name!r}")
    try:
        config = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(list(overrides)))
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise TargetError(f"--set must be key=value, as in scoring.rows=128: {error}") from error
    assert isinstance(plain, dict)
    if "_target_" in plain:
        trained = [path.stem for path in TARGETS.glob("*.yaml") if "_target_:" not in path.read_text(encoding="utf-8")]
        raise TargetError(
            f"the target must be one whose programs Graft itself trains: {' or '.join(sorted(trained))}, got {name}"
        )
    return TargetSpec.from_config({str(key): value for key, value in plain.items()})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m target.evaluate", description="Train a program and score it.")
    parser.add_argument("file", type=user_path, help="the program")
    parser.add_argument("--target", default="tiny", help="name of a target in conf/target (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training (default: %(default)s)")
    parser.add_argument("--thorough", action="store_true", help="run the probes for a candidate for champion")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the target"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, and not the program's output")
    parser.add_argument("--log", type=user_path, help="keep what the program prints in this file")
    return parser


def _evaluate(spec: TargetSpec, options: argparse.Namespace) -> dict[str, Any]:
    from target.corpus import prepare_corpus
    from target.evaluator import Evaluator
    from target.sandbox import isolation_warning

    program = spec.read_program(options.file)
    if remark := spec.constants_text(options.file, program):
        print(printable(remark), file=sys.stderr)
    if warning := isolation_warning(spec.sandbox):
        print(printable(f"warning: {warning}"), file=sys.stderr)
    echo = None if options.json else cast(BinaryIO, PrintableStream(sys.stderr.buffer))
    with scratch_directory() as folder:
        log = options.log or folder / "run.log"
        with Evaluator(spec, prepare_corpus(spec.corpus), scratch=folder, echo=echo) as evaluator:
            verdict = evaluator.preflight(program, log) or evaluator.evaluate(
                program, options.seed, log, thorough=options.thorough
            )
    return _verdict(verdict, program.id, spec)


def _verdict(evaluation: Evaluation, program_id: str, spec: TargetSpec) -> dict[str, Any]:
    return {
        **evaluation.to_json(),
        "seconds": evaluation.train_seconds,
        "memory": evaluation.peak_memory_bytes,
        "program_id": program_id,
        "target": spec.name,
    }


def _table(verdict: dict[str, Any]) -> str:
    memory = verdict["memory"]
    rows = {
        "outcome": verdict["outcome"],
        "val_bpb": "-" if verdict["val_bpb"] is None else f"{verdict['val_bpb']:.6f}",
        "seconds": f"{verdict['seconds']:.1f} training, {verdict['score_seconds']:.1f} scoring",
        "memory": "-" if memory is None else f"{memory / 2**20:.0f} MiB",
        "epochs": "-" if verdict["epochs"] is None else f"{verdict['epochs']:.3g} times the training text",
        "parameters": "-" if verdict["n_parameters"] is None else f"{verdict['n_parameters']:,}",
        "seed": verdict["seed"],
        "detail": verdict["detail"].replace("\n", "\n             ") or "-",
        "probes": ", ".join(f"{name} {value:.3g}" for name, value in verdict["probes"].items()) or "-",
        "isolation": ", ".join(verdict["isolation"]) or "-",
        "program": verdict["program_id"],
    }
    return "\n".join(f"{name:<11}  {value}" for name, value in rows.items())


if __name__ == "__main__":
    sys.exit(main())
