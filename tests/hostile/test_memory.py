"""Held-out text must not be in a candidate's memory either, where Python would show it without opening a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest

from target.boundary.job import Role
from target.corpus.documents import held_out_files
from target.evaluator import Evaluator
from target.program import Program
from target.sandbox.grants import library_grants
from target.sandbox.landlock import Access
from target.spec import Corpus
from tests.target.candidates import in_main
from tests.target.conftest import below

_LEAST_LINE = 20  # characters
_BYTES_AT_A_TIME = 4 << 20
_OVERLAP_BYTES = 16 << 10  # a line at a border is in one of two parts
_ENDS_OF_LINES = bytes(byte if byte == 9 or 32 <= byte < 127 else 10 for byte in range(256))

# what torch.compile, an optimizer and the libraries of torch bring into memory
EVERYTHING = """
import gc, importlib, signal, sympy, networkx, mpmath, numpy.testing
import torch._dynamo, torch._inductor.compile_fx, torch._inductor.codegen.cpp, torch.distributed, torch.export
print('ready', flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def lines() -> dict[str, frozenset[bytes]]:
    """Long lines of the held-out files of each corpus that are in no file that candidates may read."""
    held_out = {
        name: {line for path in held_out_files(Corpus(name=name, vocab_size=512)) for line in _lines(path.read_bytes())}
        for name in ("packages", "installed")
    }
    wanted = frozenset().union(*held_out.values())
    readable = set[bytes]()
    for place in (grant.path for grant in library_grants() if Access.EXECUTE in grant.access):
        for path in place.rglob("*.py") if place.is_dir() else [place]:
            if path.suffix == ".py":  # hundreds of megabytes: no set of all their lines
                readable.update(wanted.intersection(map(bytes.strip, path.read_bytes().splitlines())))
    return {name: frozenset(found - readable) for name, found in held_out.items()}


def _lines(text: bytes) -> set[bytes]:
    return {line for each in text.splitlines() if len(line := each.strip()) >= _LEAST_LINE and line.isascii()}


def _in_memory(pid: int, wanted: frozenset[bytes]) -> frozenset[bytes]:
    """Return which lines a process has in what it or its parents wrote to memory."""
    found = set[bytes]()
    for part in _memory(pid):
        for width in (1, 2, 4):  # bytes a character, as Python keeps strings
            texts = part[::width].translate(_ENDS_OF_LINES).split(b"\n")
            found.update(wanted.intersection(map(bytes.strip, texts)))
    return frozenset(found)


def _memory(pid: int) -> Iterator[bytes]:
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for start, end in _spans(Path(f"/proc/{pid}/maps").read_text()):
            for at in range(start, end, _BYTES_AT_A_TIME):
                memory.seek(at)
                part = _read(memory, min(_BYTES_AT_A_TIME + _OVERLAP_BYTES, end - at))
                if part.count(0) < len(part):
                    yield part


def _spans(maps: str) -> list[tuple[int, int]]:
    """Return the addresses to read; a heap that grew behind a fork is two mappings, and a text may lie in both."""
    spans: list[tuple[int, int]] = []
    for mapping in maps.splitlines():
        span, rights, _, _, inode, *name = mapping.split(maxsplit=5)
        # [vvar] is the kernel's; of a file's pages only those that can be written differ from the file
        if "r" not in rights or (inode != "0" and "w" not in rights) or "".join(name).startswith("[v"):
            continue
        start, end = (int(part, 16) for part in span.split("-"))
        if spans and spans[-1][1] == start:
            start = spans.pop()[0]
        spans.append((start, end))
    return spans


def _read(file: FileIO, n_bytes: int) -> bytes:
    """Read so many bytes, or what is left: one call may return less than it was asked for."""
    parts = []
    while n_bytes and (part := file.read(n_bytes)):
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


def _found_in_a_candidate(evaluator: Evaluator, source: str, log: Path, wanted: frozenset[bytes]) -> frozenset[bytes]:
    read_fd, write_fd = os.pipe()
    with (
        evaluator.bench(Program(source), log) as bench,
        bench.workspace(Role.TRAIN) as space,
        bench.zygote.fork(bench.job(Role.TRAIN, space), (write_fd,)),
    ):
        os.close(write_fd)
        with os.fdopen(read_fd) as said:
            printed = next((line for line in said if line == "ready\n"), None)
            assert printed, "the candidate ended before it was ready"
            (candidate,) = below(bench.zygote.pid)
            return _in_memory(candidate.pid, wanted)


def test_adjacent_mappings_are_read_as_one_and_what_only_a_file_has_is_left_out() -> None:
    heap = "1000-3000 rw-p 00000000 00:00 0 [heap]\n3000-7000 rw-p 00000000 00:00 0 [heap]\n"
    file = "7000-9000 r-xp 00000000 08:01 42 /usr/lib/libc.so.6\n"

    assert _spans(heap + file + "a000-b000 rw-p 00000000 00:00 0\n") == [(0x1000, 0x7000), (0xA000, 0xB000)]


def test_no_line_of_the_held_out_text_is_in_a_candidates_memory(patient, log, lines):
    found = _found_in_a_candidate(patient, in_main(EVERYTHING), log, frozenset().union(*lines.values()))

    for name, wanted in lines.items():
        assert len(wanted) > 10_000, name
        # numpy's compiled docstrings quote a line of scipy's, and rulers are everywhere: files are not in memory
        assert len(found & wanted) < len(wanted) / 1_000, (name, sorted(found & wanted))


def test_lines_that_a_candidate_has_are_found(patient, log, lines):
    """So that the test above can fail: half of these are in a docstring, half in a string of wide characters."""
    planted = [line.decode() for wanted in lines.values() for line in sorted(wanted)[::97]]
    narrow, wide = "\n".join(planted[::2]), "\n".join([*planted[1::2], "größer → 字"])

    found = _found_in_a_candidate(
        patient, in_main(f"text = {narrow!r}, {wide!r}\n{EVERYTHING}"), log, frozenset().union(*lines.values())
    )

    assert found >= {line.encode() for line in planted}
