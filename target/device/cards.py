"""The GPUs that this process may use, according to CUDA_VISIBLE_DEVICES, MIG and ROCm's variables.

`find_cards` asks torch, for targets that we train. `list_cards` asks nvidia-smi, for commands with another torch. Both
return for each card the value of CUDA_VISIBLE_DEVICES with which a process sees only this card.

Source: CUDA C++ Programming Guide, "CUDA Environment Variables"; NVIDIA Multi-Instance GPU User Guide, "CUDA Device
Enumeration"; ROCm documentation, "GPU isolation techniques".
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from target.errors import TargetError
from target.feedback import reason

NO_CARD: Final = {"CUDA_VISIBLE_DEVICES": "-1", "HIP_VISIBLE_DEVICES": "-1"}
"""The environment of a process that sees no GPU. HIP takes an empty value for none at all."""

_QUESTION: Final = Path(__file__).with_name("torch_cards.py")
_ASK_SECONDS: Final = 120
_LIST_SECONDS: Final = 60
_GPU_LINE: Final = re.compile(r"GPU (?P<index>\d+): (?P<name>.+) \(UUID: (?P<uuid>GPU-[^)]+)\)")
_MIG_LINE: Final = re.compile(r"\s+MIG (?P<profile>\S+)\s+Device\s+\d+: \(UUID: (?P<uuid>MIG-[^)]+)\)")


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU that torch sees, or an instance of one that is split by MIG.

    Attributes:
        name: The driver's name for it.
        memory_bytes: All of its memory.
        id: Its value in CUDA_VISIBLE_DEVICES: an index, or a UUID.
        rocm: Whether ROCm runs it, which uses other variables.
    """

    name: str
    memory_bytes: int
    id: str = "0"
    rocm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCard:
    """A GPU as nvidia-smi lists it, or an instance of one. The list does not have its memory.

    Attributes:
        name: The driver's name for it.
        id: Its value in CUDA_VISIBLE_DEVICES: an index, or a UUID.
        rocm: Whether ROCm runs it.
    """

    name: str
    id: str
    rocm: bool = False


def environment_of(card: Card | ListedCard) -> dict[str, str]:
    """Return the variables with which a process sees only this card."""
    only = {"CUDA_VISIBLE_DEVICES": card.id}
    return only | {"HIP_VISIBLE_DEVICES": card.id} if card.rocm else only


def find_cards(target: str) -> tuple[Card, ...]:
    """Return the GPUs that torch can use, at least one.

    Args:
        target: Name of the target that needs them, for the message.

    Raises:
        TargetError: There is none.
    """
    asked = _ask_torch(target)
    rocm, (seen,) = asked["rocm"], asked["answers"]
    if not seen:
        raise TargetError(
            f"target {target} needs a GPU, and torch {asked['torch']} finds none ({asked['why']}); "
            "look at nvidia-smi, install a CUDA build of torch, or use target=tiny"
        )
    if len(seen) == 1 and not rocm:
        # A process sees at most one MIG instance. So torch does not count all of them.
        listing = _read_listing()
        listed = _visible(listing, os.environ.get("CUDA_VISIBLE_DEVICES"))
        if _has_instances(listing) and (instances := _instances(target, listed)):
            return instances
    ids = _ids(len(seen), rocm=rocm)
    return tuple(Card(**card, id=each, rocm=rocm) for card, each in zip(seen, ids, strict=True))


def list_cards(devices: Path = Path("/dev")) -> tuple[ListedCard, ...]:
    """Return the GPUs that a command may use, independent of its torch; empty if there are none.

    Args:
        devices: Directory of device files, from which GPUs are counted where there is no nvidia-smi.
    """
    if (devices / "kfd").exists():
        try:
            return tuple(ListedCard(name=card.name, id=card.id, rocm=card.rocm) for card in find_cards("command"))
        except TargetError:
            return ()  # our torch is not a ROCm build: the command runs, and chooses by itself
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    listing = _read_listing()
    if not listing:
        numbers = sorted(int(path.name[6:]) for path in devices.glob("nvidia*") if path.name[6:].isdigit())
        listing = tuple(_Gpu(name="NVIDIA GPU", uuid="", instances=()) for _ in numbers)
    return _visible(listing, visible)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gpu:
    """A GPU of the machine, with its instances if it is split by MIG."""

    name: str
    uuid: str
    instances: tuple[ListedCard, ...]


def _ask_torch(target: str, *visible: str) -> dict[str, Any]:
    """Return what torch sees, with the present CUDA_VISIBLE_DEVICES, or with each of the arguments in turn.

    Raises:
        TargetError: It does not answer.
    """
    try:
        answer: dict[str, Any] = json.loads(_torch_says(visible, tuple(sorted(os.environ.items()))))
    except subprocess.CalledProcessError as error:
        said = reason(error.stderr) or f"exit status {error.returncode}"
        raise TargetError(f"target {target} needs a GPU, and torch could not be asked for one: {said}") from error
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise TargetError(f"target {target} needs a GPU, and torch could not be asked for one: {error}") from error
    return answer


@functools.cache
def _torch_says(visible: tuple[str, ...], environment: tuple[tuple[str, str], ...]) -> str:
    """Ask in a separate process: it sees what trainings will see, and a search need not import torch.

    The answer is kept, because it takes seconds and depends only on the environment.
    """
    return subprocess.run(
        [sys.executable, "-P", str(_QUESTION), *visible],
        capture_output=True,
        text=True,
        timeout=_ASK_SECONDS,
        check=True,
        env=dict(environment),
    ).stdout


def _ids(count: int, *, rocm: bool) -> list[str]:
    """Return the ids of the GPUs that torch counts, in its order.

    The entries of the variable are kept, and not replaced by UUIDs, because some programs read them as numbers. All
    entries after an invalid one are ignored, so the GPUs are the first entries.
    """
    names = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES") if rocm else ("CUDA_VISIBLE_DEVICES",)
    for name in names:
        if os.environ.get(name):
            return _entries(os.environ[name])[:count]
    return [str(index) for index in range(count)]  # with ROCR_VISIBLE_DEVICES, they count within its GPUs


def _instances(target: str, listed: tuple[ListedCard, ...]) -> tuple[Card, ...]:
    """Return the listed GPUs and instances that torch can use."""
    answers = _ask_torch(target, *(card.id for card in listed))["answers"]
    return tuple(Card(**seen[0], id=card.id) for card, seen in zip(listed, answers, strict=True) if seen)


def _read_listing() -> tuple[_Gpu, ...]:
    """Return all GPUs of the machine, as `nvidia-smi -L` prints them; empty if it cannot be run."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=_LIST_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()  # without its driver it fails, and then no GPU can be used
    return _parse(done.stdout)


def _parse(text: str) -> tuple[_Gpu, ...]:
    gpus: list[_Gpu] = []
    for line in text.splitlines():
        if found := _GPU_LINE.match(line):
            gpus.append(_Gpu(name=found["name"], uuid=found["uuid"], instances=()))
        elif (found := _MIG_LINE.match(line)) and gpus:
            gpu = gpus.pop()
            instance = ListedCard(name=f"{gpu.name} MIG {found['profile']}", id=found["uuid"])
            gpus.append(_Gpu(name=gpu.name, uuid=gpu.uuid, instances=(*gpu.instances, instance)))
    return tuple(gpus)


def _has_instances(gpus: tuple[_Gpu, ...]) -> bool:
    return any(gpu.instances for gpu in gpus)


def _visible(gpus: tuple[_Gpu, ...], visible: str | None) -> tuple[ListedCard, ...]:
    """Return the GPUs and instances that CUDA sees with a value of CUDA_VISIBLE_DEVICES."""
    if visible is None:
        return tuple(_all(gpus))
    entries = _entries(visible)
    cards: dict[str, ListedCard] = {}
    for entry in entries:
        card = _named(gpus, entry)
        if card is None:
            break  # CUDA ignores the entries after it
        cards.setdefault(card.id, ListedCard(name=card.name, id=entry))
    return tuple(cards.values()) if len(set(entries)) == len(entries) else ()  # with a repeated entry, CUDA sees none


def _all(gpus: tuple[_Gpu, ...]) -> Iterator[ListedCard]:
    if not _has_instances(gpus):
        for index, gpu in enumerate(gpus):
            yield ListedCard(name=gpu.name, id=str(index))
        return
    for gpu in gpus:  # indices do not name instances
        yield from gpu.instances or (ListedCard(name=gpu.name, id=gpu.uuid),)


def _named(gpus: tuple[_Gpu, ...], entry: str) -> ListedCard | None:
    """Return the device of one entry; for a GPU that is split, its first instance."""
    if number := re.match(r"\+?\d+", entry):
        found = [gpus[int(number[0])]] if int(number[0]) < len(gpus) else []
    elif entry.startswith("MIG-"):
        instances = [each for gpu in gpus for each in gpu.instances if each.id.startswith(entry)]
        return instances[0] if len(instances) == 1 else None
    else:
        found = [gpu for gpu in gpus if entry.startswith("GPU-") and gpu.uuid.startswith(entry)]
    if len(found) != 1:
        return None
    (gpu,) = found
    return gpu.instances[0] if gpu.instances else ListedCard(name=gpu.name, id=gpu.uuid or entry)


def _entries(visible: str) -> list[str]:
    return [entry.strip() for entry in visible.split(",")]
