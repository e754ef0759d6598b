"""Stand-ins for an autoresearch checkout: the same file names, commands and output, but a second's work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import yaml

import conf
from target.command.spec import CommandSpec

CONF = Path(conf.__file__).parent / "target"

PREPARE = '''"""Fixed: the evaluation."""

def evaluate(depth, lr, seed):
    return 0.9 + 0.01 * abs(depth - 9) + abs(lr - 0.05) + (seed % 7) * 1e-4
'''

TRAIN = '''"""Pretraining script. Usage: uv run train.py"""
import os

import prepare

DEPTH = 8  # knob: 4..16 int
MATRIX_LR = 0.04  # knob: 0.001..1 log

for step in range(3):
    print(f"\\rstep {step:05d} | loss: 3.{step}", end="", flush=True)
print()
val_bpb = prepare.evaluate(DEPTH, MATRIX_LR, int(os.environ.get("GRAFT_SEED", "42")))
print("---")
print(f"val_bpb:          {val_bpb:.6f}")
print("training_seconds: 300.1")
print("total_seconds:    325.9")
print("peak_vram_mb:     45060.2")
print("mfu_percent:      39.80")
print("total_tokens_M:   499.6")
print("num_steps:        953")
print("num_params_M:     50.3")
print(f"depth:            {DEPTH}")
'''

FILES = {
    "train.py": TRAIN,
    "prepare.py": PREPARE,
    "program.md": "# autoresearch\n\nTry wider models.\n",
    "README.md": "uv run train.py\n",
    ".gitignore": "results.tsv\nrun.log\n__pycache__/\n",
}


def git(root: Path, *arguments: str) -> str:
    """Run git in a directory, as one user at one time, and return what it prints: equal commits have equal hashes."""
    fields = {"NAME": "a@b.c", "EMAIL": "a@b.c", "DATE": "2026-03-05T12:00:00Z"}
    identity = {f"GIT_{role}_{name}": text for role in ("AUTHOR", "COMMITTER") for name, text in fields.items()}
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        env={**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def make_checkout(root: Path) -> Path:
    """Make a repository with the stand-in's files, committed."""
    root.mkdir()
    for name, text in FILES.items():
        (root / name).write_text(text)
    git(root, "init", "-q", "-b", "master")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "autoresearch")
    return root


def state_of(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return content, mode and time of change of every file of a checkout, git's own included."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def autoresearch_spec(root: Path, **changes: object) -> CommandSpec:
    """Return `conf/target/autoresearch.yaml` for a stand-in, which needs no uv."""
    settings = yaml.safe_load((CONF / "autoresearch.yaml").read_text())
    plain = {name: value for name, value in settings.items() if not name.startswith("_")}
    return CommandSpec.from_config({**plain, "root": str(root), "command": "python train.py", "threads": 1, **changes})
