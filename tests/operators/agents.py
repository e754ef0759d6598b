"""A script that stands in for a coding agent: `python -m tests.operators.agents HABIT`, in its scratch directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

TRAIN = Path("train.py")
SAID = "\x1b[1mCHANGE:\x1b[0m another learning rate\nHYPOTHESIS: it was too far from the optimum"


def edit() -> None:
    """Move a constant by a step that the seed decides, as the task says, and tell."""
    source = TRAIN.read_text()
    task = sys.stdin.read()
    assert "Edit `train.py` in place" in task
    assert task == Path("TASK.md").read_text()
    factor = 1 + int(os.environ["GRAFT_SEED"]) % 97 / 100
    moved = re.sub(r"(?m)^(MATRIX_LR = )([0-9.e-]+)", lambda m: f"{m[1]}{float(m[2]) * (0.5 + factor):.6g}", source)
    TRAIN.write_text(moved)
    print(f"thinking hard\n{SAID}")


def echo() -> None:
    """Print as Codex 0.171 does: the task first, and the last answer twice."""
    print(f"OpenAI Codex v0.171.0\n--------\nuser\n{Path('TASK.md').read_text()}\ncodex")
    edit()
    print(f"tokens used\n2,100\n{SAID}")


def echo_only() -> None:
    """Print the task, and state nothing."""
    print(f"user\n{Path('TASK.md').read_text()}\ncodex\nDone.")
    TRAIN.write_text(TRAIN.read_text() + "\nX = 1\n")


def hang() -> None:
    """Start others, in a session of their own too, and never end."""
    TRAIN.write_text(TRAIN.read_text() + "\nX = 1\n")
    sleeper = [sys.executable, "-c", "import time; time.sleep(1000)"]
    pids = [subprocess.Popen(sleeper, start_new_session=apart).pid for apart in (False, True)]
    Path(os.environ["PIDS"]).write_text(f"{os.getpid()} {pids[0]} {pids[1]}")
    time.sleep(1000)


def leave() -> None:
    """Edit, and leave a daemon behind."""
    edit()
    sleeper = [sys.executable, "-c", "import time; time.sleep(1000)"]
    Path(os.environ["PIDS"]).write_text(str(subprocess.Popen(sleeper, start_new_session=True).pid))


def wrong_file() -> None:
    """Edit other files only."""
    Path("prepare.py").write_text("seconds_left = lambda: 1e9\n")
    Path("program.md").write_text("Anything goes.\n")


def both() -> None:
    """Edit what it should and what it should not."""
    edit()
    wrong_file()


def flood() -> None:
    """Print 200 MB, then do the work."""
    sys.stdout.flush()
    for _ in range(200):
        os.write(1, b"\x1b[31mnoise\n" * 100_000)
    print()
    edit()


def nothing() -> None:
    """Read and end."""
    print("I see nothing to change. " + TRAIN.read_text()[:20])


def fail() -> None:
    """Fail after an edit."""
    TRAIN.write_text("")
    sys.exit("out of credit")


def nonsense() -> None:
    """Leave something that does not parse."""
    TRAIN.write_text("def build_model(:\n")


def link() -> None:
    """Leave a link to a file of the user."""
    TRAIN.unlink()
    TRAIN.symlink_to("/etc/passwd")


def spend() -> None:
    """Say what it has cost, in both ways, and spend on."""
    edit()
    Path("cost.json").write_text('{"total_cost_usd": 0.25}')
    print("cost so far: $0.50", flush=True)
    if len(sys.argv) > 2:
        time.sleep(1000)


def limited() -> None:
    """Get nothing from the provider in the first runs, and say so in the words of the test; then work."""
    runs = Path(os.environ["PIDS"])
    number = len(runs.read_text()) if runs.exists() else 0
    runs.write_text("x" * (number + 1))
    said, status, times = os.environ["SAID"], int(os.environ["STATUS"]), int(os.environ["TIMES"])
    if number < times:
        TRAIN.write_text(TRAIN.read_text() + "\nHALF = 1\n")
        print(said)
        sys.exit(status)
    edit()


def stumble() -> None:
    """Print what a pattern with nested repeats never gets over, and perhaps go on."""
    edit()
    print("x" * 60, flush=True)
    if len(sys.argv) > 2:
        time.sleep(1000)


def environment() -> None:
    """Write down what it can see."""
    Path(os.environ["PIDS"]).write_text("\n".join(sorted(os.environ)))
    edit()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
