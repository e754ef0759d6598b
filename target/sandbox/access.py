"""What a candidate needs beyond its files to use a device: a single table for all layers of isolation.

torch calls three platforms `cuda`: NVIDIA's driver, the same driver in WSL2, and ROCm. Each is granted only where its
main device file exists. The needs of NVIDIA's driver were observed on an H100 (driver 580): docs/gpu.md has the list.
Those of WSL2 and ROCm are from their documentation, and are untested.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The access granted for a device.

    Attributes:
        devices: Device files, and directories of them, to open, read, write and control.
        readable: Files and directories to read.
        runnable: Directories to read and to load libraries from.
        unix_sockets: Whether sockets of AF_UNIX may be made. They stay useless for talking to others: connecting and
            sending to an address are refused.
        thread_names: Whether a process may name its threads. The driver does so, and fails if that is refused.
    """

    devices: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    runnable: tuple[str, ...] = ()
    unix_sockets: bool = False
    thread_names: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the access as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Rebuild it from `to_json`."""
        lists = {name: tuple(record[name]) for name in ("devices", "readable", "runnable")}
        return cls(**{**record, **lists})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Platform:
    marker: str  # a device file that exists exactly where the platform does
    devices: tuple[str, ...]  # patterns
    readable: tuple[str, ...]
    runnable: tuple[str, ...] = ()


NO_DEVICE: Final = Access()
_PCI: Final = ("/sys/bus/pci", "/sys/devices", "/sys/module")
_PLATFORMS: Final = {
    "nvidia": _Platform(
        marker="/dev/nvidiactl",
        devices=("/dev/nvidia*",),
        readable=(
            "/proc/devices",
            "/proc/driver/nvidia",
            "/proc/driver/nvidia-caps",
            "/proc/driver/nvidia-uvm",
            "/proc/modules",
            "/proc/sys/vm/mmap_min_addr",
            *_PCI,
        ),
    ),
    "wsl2": _Platform(
        marker="/dev/dxg",
        devices=("/dev/dxg",),
        readable=("/proc/sys/vm/mmap_min_addr", *_PCI),
        runnable=("/usr/lib/wsl",),
    ),
    "rocm": _Platform(
        marker="/dev/kfd",
        devices=("/dev/kfd", "/dev/dri"),
        readable=("/proc/modules", "/sys/class/drm", "/sys/class/kfd", *_PCI),
        runnable=("/opt/rocm",),
    ),
}


def access_to(device: str, *, root: Path = Path("/")) -> Access:
    """Return what a device needs on this machine.

    Args:
        device: `cpu` or `cuda`.
        root: Where device files are looked for: `/`, except in tests.
    """
    if device == "cpu":
        return NO_DEVICE
    found = [each for each in _PLATFORMS.values() if _below(root, each.marker).exists()]
    return Access(
        devices=_unique(str(path) for each in found for pattern in each.devices for path in _glob(root, pattern)),
        readable=_unique(path for each in found for path in each.readable),
        runnable=_unique(path for each in found for path in each.runnable),
        unix_sockets=True,
        thread_names=True,
    )


def rehearsed_access(device: str) -> Access:
    """Return what NVIDIA's driver needs, with another device file in place of its own: for machines without a GPU."""
    readable = _PLATFORMS["nvidia"].readable
    return Access(devices=(device,), readable=readable, unix_sockets=True, thread_names=True)


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip(os.sep)


def _glob(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern.lstrip(os.sep)))


def _unique(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(paths))
