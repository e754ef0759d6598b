"""What must be equal on all hosts, or else their scores cannot be compared."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from target.errors import TargetError
from target.kind import Kind

_PACKAGE: Final = Path(__file__).parents[1]


def likeness(kind: Kind, settings: Mapping[str, Any]) -> dict[str, str]:
    """Return versions and hashes of this host, by name.

    Args:
        kind: The target.
        settings: The result of its `describe` on this host.
    """
    return {
        "Python": ".".join(map(str, sys.version_info[:2])),
        "torch": importlib.metadata.version("torch"),
        "code of Graft": code_hash(),
        **kind.data_hashes(settings),
    }


def refuse_another(expected: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Raise `TargetError` if this host differs from the one where the search runs."""
    for name, here in expected.items():
        there = found.get(name, "none")
        if there != here:
            raise TargetError(
                f"another version of {name} ({there[:12]}) than on the host of the search ({here[:12]}): "
                "scores could not be compared; install the same on all hosts"
            )


@functools.cache
def code_hash() -> str:
    """Return the hash of the modules that evaluate programs."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(_PACKAGE).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
