"""Programs of the user's, as editors write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from target.errors import TargetError
from target.program.reading import read_program

SOURCE = 'NAME = "Zoë"\nDEPTH = 2\n'


@pytest.mark.parametrize("content", [SOURCE, f"\ufeff{SOURCE}", SOURCE.replace("\n", "\r\n")], ids=["", "BOM", "CRLF"])
def test_marks_of_an_editor_are_not_part_of_a_program(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(content.encode())

    assert read_program(path).source == SOURCE


def test_another_encoding_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(SOURCE.encode("latin-1"))

    with pytest.raises(TargetError) as caught:
        read_program(path)
    assert str(caught.value) == f"the program {path} must be text in UTF-8, got 0xeb at byte 10; save it as UTF-8"
