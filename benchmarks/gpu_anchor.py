"""The stage `anchor` of `benchmarks/gpu.py`: train.py of an autoresearch checkout, the same seconds on the same text.

Three things change in a copy of the checkout: TIME_BUDGET becomes the seconds that our training had after its first
step (autoresearch also leaves its first steps out of its clock), EVAL_TOKENS becomes smaller, and FlashAttention 3 is
replaced where it is not installed. The copy has its own home directory with our text, without the holdout, and trains
its own tokenizer there.

It compares bits per byte of the text of our validation rows. The trusted scorer scores our model. Their model is scored
in the process that trained it, by `gpu_anchor_child.py`: that program has no reason to cheat. Remaining differences:

- Their tokenizer has its own merges, so a row of ours has a few more or fewer of their tokens. If it has more than the
  model's context, the rest is scored with the preceding tokens of that row as context.
- Our model sees the first token of a row that begins in the middle of a document. Theirs sees its bos instead.
- A character that a row cuts in half counts for ours and is left out for theirs; both numbers of bytes are printed.
- They train on whole documents that begin at a bos, ours on random windows. This difference is part of the programs.

If there is no `model` or no `tokenizer` after the training, its own figure is used, and the result says so.
"""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.document_rows import split_documents
from benchmarks.gpu_runner import FAILED, Found
from benchmarks.gpu_stages import Rig, read_marks, read_speed, with_marks
from target.corpus import BOS, CorpusFiles
from target.corpus.climbmix import VAL_SHARD, shards_folder
from target.evaluator import Evaluator
from target.scoring.scorer import Validation

if TYPE_CHECKING:
    import tiktoken

CHILD: Final = Path(__file__).with_name("gpu_anchor_child.py")
_EVAL_TOKENS: Final = 2_097_152  # as many as in our score on a GPU
_NOT_COPIED: Final = (".git", ".venv", "__pycache__", "*.ipynb", "*.png", "*.log")
_ROW_GROUP: Final = 512
_FIGURE: Final = re.compile(r"^(\w+):\s+(-?[\d.]+)\s*$", re.MULTILINE)
_PASSED_ON: Final = ("CUDA_HOME", "CUDA_VISIBLE_DEVICES", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR")


def anchor(rig: Rig) -> Found:
    """Train the checkout's train.py, and compare it with ours."""
    assert rig.anchor is not None
    for name in ("train.py", "prepare.py"):
        if not (rig.anchor / name).is_file():
            return {FAILED: f"--anchor must be an autoresearch checkout, but there is no {rig.anchor / name}"}
    corpus = rig.corpus()
    ours = _our_training(rig, corpus)
    if FAILED in ours:
        return ours
    copy, home = rig.folder / "anchor", rig.folder / "home"
    shutil.copytree(rig.anchor, copy, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    shorten(copy, ours["seconds"])
    lay_out_text(home / ".cache" / "autoresearch" / "data", corpus, rig.full.corpus.name, rig.full.corpus.shards)
    rows = Validation.load(corpus, n_rows=rig.full.scoring.rows, sequence_tokens=rig.full.sequence_tokens)
    text = list(rows_as_text(rows, corpus))
    log = rig.logs / "anchor-output.log"
    theirs = _train(rig, copy, home, text, log)
    return _compare(ours, theirs, int(rows.token_bytes[rows.targets].sum()), log)


def shorten(checkout: Path, seconds: float) -> None:
    """Change how long an autoresearch checkout trains and evaluates.

    Raises:
        ValueError: It has no TIME_BUDGET to change.
    """
    changes = {"TIME_BUDGET": f"{seconds:.1f}", "EVAL_TOKENS": f"min({{}}, {_EVAL_TOKENS})"}
    changed = set()
    for path in (checkout / "prepare.py", checkout / "train.py"):
        source = path.read_text()
        for name, value in changes.items():
            new = assign(source, name, value)
            changed |= {name} if new != source else set()
            source = new
        path.chmod(0o644)
        path.write_text(source)
    if "TIME_BUDGET" not in changed:
        raise ValueError(f"{checkout}: prepare.py or train.py must assign TIME_BUDGET at its top level")


def assign(source: str, name: str, value: str) -> str:
    """Return a program with another value for a top-level name; `{}` in the value means the old value."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == [name]:
            old = ast.get_source_segment(source, node)
            assert old is not None
            return source.replace(old, f"{name} = {value.replace('{}', ast.unparse(node.value))}", 1)
    return source


def lay_out_text(folder: Path, corpus: CorpusFiles, corpus_name: str, n_shards: int) -> None:
    """Give autoresearch our training and validation text as its shards, but not the holdout."""
    folder.mkdir(parents=True)
    if corpus_name == "climbmix":
        downloads = shards_folder(corpus.root.parent)
        for number in (*range(n_shards), VAL_SHARD):
            (folder / _shard(number)).symlink_to(downloads / _shard(number))
        return
    encoding = _encoding(corpus)
    _write_shard(folder / _shard(0), corpus.train_tokens, encoding)
    _write_shard(folder / _shard(VAL_SHARD), corpus.val, encoding)


def rows_as_text(rows: Validation, corpus: CorpusFiles) -> Iterator[list[str]]:
    """Yield the targets of each row as text, cut where documents begin.

    The text before the first cut continues a document, or is empty; a model begins each part with its own bos.
    """
    encoding = _encoding(corpus)
    bos = encoding.encode_single_token(BOS)
    for targets in rows.targets:
        parts = np.split(targets, np.flatnonzero(targets == bos))
        continued, *begun = (part[part != bos].tolist() for part in parts)
        yield [encoding.decode_bytes(part).decode(errors="ignore") for part in (continued, *begun)]


def _our_training(rig: Rig, corpus: CorpusFiles) -> Found:
    """Return score, speed and seconds after the first step: of the stage `check`, or of a training made here."""
    check = rig.before.get("check", {})
    if check.get("trusted val_bpb") and check.get("marks"):
        known = ("steps", "tokens/s")
        return {
            "val_bpb": check["trusted val_bpb"],
            "seconds": _seconds_behind_first_step(rig, check["train, s"], check["marks"]),
            **{name: check[name] for name in known},
        }
    log = rig.folder / "ours.log"
    with Evaluator(rig.short, corpus, scratch=rig.folder) as evaluator:
        found = evaluator.evaluate(with_marks(rig.short.seed_program()), 0, log)
    said = log.read_text(errors="replace")
    print(said, flush=True)
    if found.score is None:
        return {FAILED: f"our own training: {found.outcome}: {found.detail}"}
    speed = read_speed(said)
    seconds = _seconds_behind_first_step(rig, found.train_seconds, read_marks(said))
    return {"val_bpb": found.score, "seconds": seconds, "steps": speed.steps, "tokens/s": speed.tokens_per_second}


def _seconds_behind_first_step(rig: Rig, train_seconds: float, marks: dict[str, float]) -> float:
    """Return them by the wall clock; with a clock of CPU seconds the first step is too short to matter."""
    return train_seconds - marks["first_step"] if rig.short.clock == "wall" else rig.short.train_seconds


def _train(rig: Rig, copy: Path, home: Path, text: list[list[str]], log: Path) -> Found:
    """Train the copy in its own process; return its result, and the figures that it printed under `own`."""
    request = {
        "checkout": str(copy),
        "device": rig.full.device,
        "threads": rig.full.threads,
        "batch_rows": rig.full.scoring.batch_rows,
        "rows": text,
        "result": str(rig.folder / "anchor-result.json"),
    }
    (rig.folder / "anchor.json").write_text(json.dumps(request))
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {"HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as out:
        done = subprocess.run(
            [sys.executable, str(CHILD), str(rig.folder / "anchor.json")],
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            check=False,
        )
    said = log.read_text(errors="replace")
    figures = {name: float(value) for name, value in _FIGURE.findall(said)}
    result = Path(request["result"])
    found: Found = json.loads(result.read_text()) if result.exists() else {}
    return {"status": done.returncode, "own": figures, "last": said.strip()[-500:], **found}


def _compare(ours: Found, theirs: dict[str, Any], our_bytes: int, log: Path) -> Found:
    own = theirs["own"]
    score, origin = theirs.get("bits_per_byte"), "weights scored on our validation rows"
    if score is None:
        why = theirs.get("not_scored") or f"its process ended with status {theirs['status']}"
        score, origin = own.get("val_bpb"), f"own figure, on its own rows ({why})"
    if score is None:
        return {FAILED: f"the anchor has no score: {origin}: {theirs['last']}", "log": str(log)}
    speed = None
    if own.get("total_tokens_M") and own.get("training_seconds"):
        speed = own["total_tokens_M"] * 1e6 / own["training_seconds"]
    return {
        "val_bpb of ours": ours["val_bpb"],
        "val_bpb of the anchor": score,
        "ratio, ours / anchor": ours["val_bpb"] / score,
        "score of the anchor": origin,
        "its own val_bpb": own.get("val_bpb"),
        "bytes scored of ours": our_bytes,
        "bytes scored of the anchor": theirs.get("bytes"),
        "attention of the anchor": theirs.get("attention"),
        "seconds behind the first step": ours["seconds"],
        "seconds of the anchor by its own clock": own.get("training_seconds"),
        "steps of ours": ours["steps"],
        "steps of the anchor": own.get("num_steps"),
        "tokens/s of ours": ours["tokens/s"],
        "tokens/s of the anchor": speed,
        "seconds of its tokenizer": theirs.get("tokenizer_seconds"),
        "log": str(log),
    }


def _shard(number: int) -> str:
    return f"shard_{number:05d}.parquet"


def _write_shard(path: Path, tokens_file: Path, encoding: tiktoken.Encoding) -> None:
    import pyarrow
    import pyarrow.parquet

    tokens: NDArray[np.uint16] = np.fromfile(tokens_file, dtype="<u2")
    documents = (each[1:].tolist() for each in split_documents(tokens, encoding.encode_single_token(BOS)))
    texts = [encoding.decode_bytes(document).decode(errors="replace") for document in documents]
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), path, row_group_size=_ROW_GROUP, compression="zstd")


def _encoding(corpus: CorpusFiles) -> tiktoken.Encoding:
    import tiktoken

    saved = json.loads(corpus.tokenizer.read_text())
    return tiktoken.Encoding(
        name="graft",
        pat_str=saved["pattern"],
        mergeable_ranks={base64.b64decode(token): rank for rank, token in enumerate(saved["ranks"])},
        special_tokens=saved["special_tokens"],
    )
