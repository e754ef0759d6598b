"""What a process holds, seen from outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from target.process.holdings import _proportional_bytes, held_disk_bytes, held_memory_bytes

HELD_BYTES = 200_000_000
HOLD = f"""
import ctypes, os, platform, tempfile, threading, time
def hold():
    memory, file = b"x" * {HELD_BYTES}, tempfile.TemporaryFile()
    file.write(memory)
    file.flush()
    print(flush=True)
    time.sleep(600)
threading.Thread(target=hold).start()
"""
END_FIRST_THREAD = "ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)"


@pytest.mark.parametrize("then", ["", END_FIRST_THREAD], ids=["alive", "first thread ended"])
def test_what_any_thread_holds_counts(then, tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD + then], stdout=subprocess.PIPE, cwd=tmp_path) as process:
        try:
            assert process.stdout
            assert process.stdout.readline()
            while then and not _first_thread_has_ended(process.pid):
                continue
            assert held_memory_bytes([process.pid], enough_bytes=0) > HELD_BYTES
            assert held_disk_bytes(str(tmp_path), [process.pid])[0] >= HELD_BYTES
        finally:
            process.kill()


def test_a_process_that_is_about_to_end_holds_nothing():
    """Its memory is gone and its entry in /proc is not: to read that says "no such process"."""
    with subprocess.Popen(["true"]) as process:
        while not _first_thread_has_ended(process.pid):
            continue
        assert held_memory_bytes([process.pid], enough_bytes=0) == 0
        assert _proportional_bytes(f"/proc/{process.pid}", otherwise=HELD_BYTES) == 0


def _first_thread_has_ended(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
