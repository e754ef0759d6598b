"""What `tiny` would gain from the parts of train.py that it leaves out, at equal steps on a CPU.

    python benchmarks/features.py [--seeds 6] [--steps 250] [--json FILE]

Each arm trains the tiny program in a process with a clock that counts steps, so a busy machine changes only the
seconds. The model is scored on the validation rows of the target. Differences are relative to the tiny program with the
same seed. A part belongs in `tiny` only if it gains more than its time would gain otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from target.corpus import CorpusFiles, prepare_corpus
from target.evaluate import load_target
from target.launch.workspace import PREPARE
from target.program.constants import Value
from target.spec import TargetSpec

ARMS: dict[str, dict[str, Value]] = {
    "tiny": {},
    "value embedding, last block": {"VALUE_EMBEDDINGS": 1},
    "value embeddings, both blocks": {"VALUE_EMBEDDINGS": 2},
    "residual scalars": {"RESIDUAL_SCALARS": True},
    "both": {"VALUE_EMBEDDINGS": 1, "RESIDUAL_SCALARS": True},
    "window 32 in the first block": {"WINDOW_PATTERN": "SL", "SHORT_WINDOW": 32},
}

# appended to prepare.py: a second is a step, and finish() scores in this process
_STEPS_CLOCK = """
_calls = -1
def seconds_left():
    global _calls
    _calls += 1
    return _run()["steps"] + 0.6 - _calls
def progress():
    return _calls / _run()["steps"]
def finish(model):
    sys.path.insert(0, _run()["repository"])
    from target.corpus import CorpusFiles
    from target.scoring.scorer import Validation, bits_per_byte
    seconds = time.process_time()
    files = CorpusFiles(root=Path(_run()["corpus"]), hash="", vocab_size=vocab_size())
    rows = Validation.load(files, n_rows=_run()["rows"], sequence_tokens=sequence_tokens())
    nll = []
    with torch.inference_mode():
        for inputs, targets in zip(np.array_split(rows.inputs, 16), np.array_split(rows.targets, 16)):
            logits = model(torch.from_numpy(inputs))[..., : vocab_size()]
            wanted = torch.from_numpy(targets)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
            nll.append(loss.numpy().reshape(targets.shape))
    bpb = bits_per_byte(np.concatenate(nll), rows.token_bytes[rows.targets])
    print(json.dumps({"val_bpb": bpb, "cpu_seconds": seconds}))
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    spec = load_target("tiny")
    corpus = prepare_corpus(spec.corpus)
    rows = []
    print(f"{'arm':<32} {'val_bpb':>8} {'difference':>10} {'standard error':>14} {'CPU s':>6}")
    control: list[float] = []
    for arm, constants in ARMS.items():
        runs = [_train(spec, corpus, constants, seed, arguments.steps) for seed in range(arguments.seeds)]
        values, seconds = [run["val_bpb"] for run in runs], statistics.fmean(run["cpu_seconds"] for run in runs)
        control = control or values
        changes = [value - other for value, other in zip(values, control, strict=True)]
        error = statistics.stdev(changes) / len(changes) ** 0.5 if len(changes) > 1 else 0.0
        row = {"arm": arm, "val_bpb": values, "difference": statistics.fmean(changes), "error": error, "cpu_s": seconds}
        rows.append(row)
        print(
            f"{arm:<32} {statistics.fmean(values):8.4f} {row['difference']:+10.4f} {error:14.4f} {seconds:6.1f}",
            flush=True,
        )
        if arguments.json:
            arguments.json.write_text(json.dumps({"steps": arguments.steps, "rows": rows}, indent=2) + "\n")


def _train(spec: TargetSpec, corpus: CorpusFiles, constants: dict[str, Value], seed: int, steps: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train.py").write_text(spec.seed_program().with_constants(constants).source)
        (folder / "prepare.py").write_text(PREPARE.read_text() + _STEPS_CLOCK)
        run = {
            "seed": seed,
            "device": "cpu",
            "threads": spec.threads,
            "clock": "cpu",
            "limit_seconds": 1,
            "finish_seconds": 0,
            "vocab_size": spec.corpus.vocab_size,
            "sequence_tokens": spec.sequence_tokens,
            "public": str(corpus.public),
            "out": name,
            "steps": steps,
            "rows": spec.scoring.rows,
            "corpus": str(corpus.root),
            "repository": str(PREPARE.parents[1]),
        }
        (folder / "run.json").write_text(json.dumps(run))
        done = subprocess.run(
            [sys.executable, "train.py"],
            cwd=folder,
            env={**os.environ, "GRAFT_RUN": str(folder / "run.json")},
            capture_output=True,
            text=True,
            check=True,
        )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    main()
