"""Stand-ins for a machine with GPUs: an `nvidia-smi` on PATH, and a `torch` that reads its environment as CUDA does."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest

GB = 1_000_000_000


@dataclasses.dataclass(frozen=True)
class StandIn:
    """A GPU, or one that is split by MIG: then its instances are (profile, UUID, bytes)."""

    name: str
    uuid: str
    memory_bytes: int
    instances: tuple[tuple[str, str, int], ...] = ()


H100 = "NVIDIA H100 80GB HBM3"
TWO_H100 = (StandIn(H100, "GPU-1a2b", 85 * GB), StandIn(H100, "GPU-1c3d", 85 * GB + 4096))
MIG = (
    StandIn(
        "NVIDIA A100-SXM4-40GB",
        "GPU-5d5b",
        42 * GB,
        (("1g.5gb", "MIG-c6d4f1ef", 5 * GB), ("1g.5gb", "MIG-cba663e8", 5 * GB), ("3g.20gb", "MIG-77aa", 21 * GB)),
    ),
    StandIn("NVIDIA A100-SXM4-40GB", "GPU-9e01", 42 * GB),
)

_TORCH = """
import json, os, types
_GPUS = json.loads(%r)
__version__ = "2.11.0+stand-in"
version = types.SimpleNamespace(hip=%r)

def _seen():
    names = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES") if version.hip else ("CUDA_VISIBLE_DEVICES",)
    if version.hip and "HIP_VISIBLE_DEVICES" not in os.environ:
        names = ("ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
    found = [(gpu["name"], gpu["memory_bytes"], gpu["uuid"], gpu["instances"]) for gpu in _GPUS]
    for name in names:
        if name in os.environ:
            found = list(_chosen(found, os.environ[name]))
    split = [gpu for gpu in found if gpu[3]]
    if split:  # one process sees one instance, and then no other GPU
        name, _, _, ((profile, _, size), *_) = split[0]
        return [(f"{name} MIG {profile}", size)]
    return [gpu[:2] for gpu in found]

def _chosen(gpus, variable):
    for entry in variable.split(","):
        if entry.isdigit() and int(entry) < len(gpus):
            yield gpus[int(entry)]
        elif entry.startswith("MIG-"):
            yield from ((gpu[0], gpu[1], gpu[2], [one]) for gpu in gpus for one in gpu[3] if one[1] == entry)
        elif named := [gpu for gpu in gpus if entry and gpu[2].startswith(entry)]:
            yield from named
        else:
            return

class cuda:
    is_available = staticmethod(lambda: bool(_seen()))
    device_count = staticmethod(lambda: len(_seen()))

    @staticmethod
    def init():
        if not _seen():
            raise RuntimeError("No CUDA GPUs are available")

    @staticmethod
    def get_device_properties(index):
        name, memory_bytes = _seen()[index]
        return types.SimpleNamespace(name=name, total_memory=memory_bytes)
"""


def pretend(
    patch: pytest.MonkeyPatch, folder: Path, gpus: tuple[StandIn, ...], *, smi: bool = True, rocm: str | None = None
) -> None:
    """Put a stand-in torch in front of ours for processes started from here, and an nvidia-smi on their PATH."""
    (folder / "standin").mkdir(parents=True, exist_ok=True)
    plain = json.dumps([dataclasses.asdict(gpu) for gpu in gpus])
    (folder / "standin" / "torch.py").write_text(_TORCH % (plain, rocm))
    patch.setenv("PYTHONPATH", str(folder / "standin"))
    if smi:
        patch.setenv("PATH", f"{nvidia_smi(folder, listing(gpus))}:/usr/bin:/bin")
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        patch.delenv(name, raising=False)


def nvidia_smi(folder: Path, text: str, status: int = 0) -> Path:
    """Write a program `nvidia-smi` that prints a text for -L, and return the directory for PATH."""
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(
        f"#!{sys.executable} -S\nimport sys\n"
        f"sys.stdout.write({text!r}) if sys.argv[1:] == ['-L'] else sys.exit('asked for something else')\n"
        f"sys.exit({status})\n"
    )
    program.chmod(0o755)
    return program.parent


def listing(gpus: tuple[StandIn, ...]) -> str:
    """Return what `nvidia-smi -L` prints, in the form that drivers from 470 on give it."""
    lines = []
    for index, gpu in enumerate(gpus):
        lines.append(f"GPU {index}: {gpu.name} (UUID: {gpu.uuid})")
        lines += [
            f"  MIG {profile:<10}  Device {number:>2}: (UUID: {uuid})"
            for number, (profile, uuid, _) in enumerate(gpu.instances)
        ]
    return "".join(f"{line}\n" for line in lines)
