"""Compresses a text in blocks; the goal is a small result in a short time.

The constants choose the preprocessing, the method and the effort. Run it with `python compress.py`.
"""

import bz2
import lzma
import time
import zlib

import corpus

METHOD = "zlib"  # knob: zlib | bz2 | lzma
LEVEL = 1  # knob: 1..9 int
BLOCK_BYTES = 16384  # knob: 4096..1048576 log
DELTA = 0  # knob: 0..4 int; 0 leaves bytes alone, n replaces each by its difference from the one n before
UPPER_FLAG = False  # writes upper-case letters as a mark and the lower-case letter: fewer symbols
MARK = 1  # knob: fixed; the mark's byte, which the text does not have


def flag_upper(block: bytes) -> bytes:
    """Replace each upper-case letter by MARK and the lower-case letter."""
    for letter in range(65, 91):
        block = block.replace(bytes([letter]), bytes([MARK, letter + 32]))
    return block


def unflag_upper(block: bytes) -> bytes:
    """Undo `flag_upper`."""
    for letter in range(65, 91):
        block = block.replace(bytes([MARK, letter + 32]), bytes([letter]))
    return block


def delta(block: bytes) -> bytes:
    """Replace each byte by its difference from the one DELTA before."""
    before = bytes(DELTA) + block
    return bytes((byte - earlier) & 255 for byte, earlier in zip(block, before, strict=False))


def undelta(block: bytes) -> bytes:
    """Undo `delta`."""
    out = bytearray(DELTA)
    for byte in block:
        out.append((byte + out[-DELTA]) & 255)
    return bytes(out[DELTA:])


def compress(block: bytes) -> bytes:
    """Compress one block."""
    if UPPER_FLAG:
        block = flag_upper(block)
    if DELTA:
        block = delta(block)
    if METHOD == "bz2":
        return bz2.compress(block, LEVEL)
    if METHOD == "lzma":
        return lzma.compress(block, preset=LEVEL)
    return zlib.compress(block, LEVEL)


def decompress(packed: bytes) -> bytes:
    """Undo `compress`."""
    block = {"bz2": bz2, "lzma": lzma, "zlib": zlib}[METHOD].decompress(packed)
    if DELTA:
        block = undelta(block)
    if UPPER_FLAG:
        block = unflag_upper(block)
    return block


def main() -> None:
    """Compress the text; `corpus.report` checks and measures the result."""
    text = corpus.text()
    began = time.process_time()
    packed = [compress(text[start : start + BLOCK_BYTES]) for start in range(0, len(text), BLOCK_BYTES)]
    seconds = time.process_time() - began
    corpus.report(packed, decompress, seconds)


if __name__ == "__main__":
    main()
