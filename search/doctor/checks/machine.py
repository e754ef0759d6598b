"""Checks Python, torch, the GPUs, and the places for parallel trainings."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from search.doctor.checks.row import Row, broken, broken_by, fine, gigabytes, warning
from search.doctor.checks.subject import Subject
from search.errors import UserError
from target.device import fit, name_cards
from target.device.cards import list_cards
from target.errors import TargetError
from target.sandbox.toolchain import c_compiler
from target.spec import TargetSpec

_ASK_SECONDS: Final = 120
_DRIVER: Final = Path("/proc/driver/nvidia/version")
_LEAST_FREE: Final = 0.9  # of a card's memory; a driver and a display take a few hundred MB
_GET_TORCH: Final = "https://pytorch.org/get-started/locally/"
# Run in its own process, as trainings are: a broken driver may crash it, and the doctor need not import torch.
_QUESTION: Final = """
import json, torch
answer = {"version": torch.__version__, "cuda": torch.version.cuda, "hip": torch.version.hip, "cards": [], "why": ""}
try:
    torch.cuda.init()
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        torch.ones(8, device=f"cuda:{index}").sum().item()
        free = torch.cuda.mem_get_info(index)[0]
        answer["cards"].append({"name": found.name, "memory_bytes": found.total_memory, "free_bytes": free})
except (AssertionError, RuntimeError) as error:
    answer["why"] = " ".join(str(error).split())[:300]
print(json.dumps(answer))
"""


def check_python(_: Subject) -> Iterator[Row]:
    """Report the version of Python; one that is too old does not get this far."""
    yield fine("Python", f"{platform.python_version()}, {sys.executable}")


def check_platform(_: Subject) -> Iterator[Row]:
    """Check the operating system."""
    found = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if platform.system() == "Linux":
        yield fine("platform", found)
    else:
        cost = "candidates are confined and timed by features that only Linux has"
        yield broken("platform", found, cost=cost, remedy="use Linux, or a container or virtual machine with it")


def check_torch(_: Subject) -> Iterator[Row]:
    """Check that torch can be imported, and that it has the pinned version, with which scores are comparable."""
    try:
        answer = _ask_torch()
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
        yield broken("torch", f"it cannot be imported: {said}", cost="nothing can be trained", remedy=_install_torch())
        return
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        yield broken("torch", f"it cannot be asked: {error}", cost="nothing can be trained", remedy=_install_torch())
        return
    build = f"CUDA {answer['cuda']}" if answer["cuda"] else f"ROCm {answer['hip']}" if answer["hip"] else "a CPU build"
    found, pinned = f"{answer['version']}, {build}", _pinned_torch()
    if pinned and answer["version"].partition("+")[0] != pinned:
        cost = f"the project pins {pinned}, and scores are comparable only between equal versions"
        yield warning("torch", found, cost=cost, remedy=_install_torch())
    else:
        yield fine("torch", found + " of the pinned version" * bool(pinned))


def check_driver(subject: Subject) -> Iterator[Row]:
    """Report the driver; a missing one is reported with the GPU that needs it."""
    if version := driver_version():
        yield fine("driver", f"NVIDIA {version}")
    elif subject.device == "cpu":
        yield fine("driver", "none, and this search needs none")


def check_gpus(subject: Subject) -> Iterator[Row]:
    """Check that every GPU can compute, and that no other process uses its memory."""
    try:
        answer = _ask_torch()
    except (OSError, subprocess.SubprocessError, ValueError):
        return  # check_torch has reported it
    cards = answer["cards"]
    if not isinstance(subject.spec, TargetSpec):
        yield from _gpus_of_a_command(subject)
    elif subject.device == "cpu":
        found = ", ".join(f"{card['name']}, {gigabytes(card['memory_bytes'])}" for card in cards)
        yield fine("GPU", f"{found}; this search trains on the CPU, target=gpu uses it" if cards else "none needed")
    elif answer["why"] or not cards:
        yield broken(
            "GPU",
            f"torch {answer['version']} finds no GPU that works" + (f" ({answer['why']})" if answer["why"] else ""),
            cost=f"target {subject.target} cannot train here",
            remedy=_why_no_gpu(answer),
        )
    else:
        for index, card in enumerate(cards):
            yield _card(f"GPU {index}" if len(cards) > 1 else "GPU", card)


def check_workers(subject: Subject) -> Iterator[Row]:
    """Check that there is a place for each parallel training, and a core for each of its threads."""
    if subject.spec is None or (subject.device == "cuda" and not has_gpu() and isinstance(subject.spec, TargetSpec)):
        return  # nothing is trained, or check_gpus has reported that nothing can be
    try:
        slots = subject.slots
        fitted = fit(subject.spec)[1] if isinstance(subject.spec, TargetSpec) else None
    except (TargetError, UserError) as error:
        yield broken_by("workers", error, cost="there is no place for the parallel trainings")
        return
    cores, threads = len(os.sched_getaffinity(0)), subject.spec.threads
    found = f"{slots} x {threads} threads on {cores} cores" + (f"; {fitted}" if fitted else "")
    if slots * threads <= cores:
        yield fine("workers", found)
        return
    fitting = max(1, cores // threads)
    yield warning(
        "workers",
        found,
        cost="a training has fewer cores than target.threads",
        remedy=f"executor.workers={fitting}" if fitting < slots else f"target.threads={max(1, cores // slots)}",
    )


def check_compiler(subject: Subject) -> Iterator[Row]:
    """Check what torch.compile needs on a GPU: Triton compiles a launcher with a C compiler and Python's headers."""
    if subject.device != "cuda" or not isinstance(subject.spec, TargetSpec):
        return
    compiler = c_compiler()
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    cost = "train.py is compiled by torch.compile, which fails on a GPU without it"
    if compiler is None:
        named = os.environ.get("CC")
        found = f"CC={named}, which is no program" if named else "no C compiler on PATH"
        yield warning("compiler", found, cost=cost, remedy="apt install gcc")
    elif not header.is_file():
        remedy = f"apt install python{sys.version_info.major}.{sys.version_info.minor}-dev"
        yield warning("compiler", f"{compiler}, but no {header}", cost=cost, remedy=remedy)
    else:
        yield fine("compiler", f"{compiler}, {header}")


@functools.cache
def driver_version() -> str:
    """Return the version of NVIDIA's driver; empty if none is loaded."""
    try:
        words = _DRIVER.read_text(encoding="utf-8")
    except OSError:
        return _asked_driver_version()
    found = re.search(r"Module\D*?(\d+(?:\.\d+)+)", words)
    return found[1] if found else words.splitlines()[0]


def has_torch() -> bool:
    """Return whether torch can be imported."""
    try:
        return bool(_ask_torch()["version"])
    except (OSError, subprocess.SubprocessError, ValueError):
        return False


def has_gpu() -> bool:
    """Return whether torch finds a GPU that works."""
    try:
        return bool(_ask_torch()["cards"])
    except (OSError, subprocess.SubprocessError, ValueError):
        return False


def _asked_driver_version() -> str:
    """Return what nvidia-smi says: in WSL2 the driver is that of Windows."""
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        asked = subprocess.run(ask, capture_output=True, text=True, timeout=_ASK_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return next(iter(asked.stdout.split()), "")


def _gpus_of_a_command(subject: Subject) -> Iterator[Row]:
    """The command of a target has its own Python and torch, so only the devices can be checked."""
    if subject.device == "cpu":
        yield fine("GPU", "none needed")
    elif found := list_cards():
        yield fine("GPU", name_cards(found))
    else:
        cost = f"the command of target {subject.target} runs without a GPU"
        yield warning("GPU", "no /dev/nvidia* that may be used", cost=cost, remedy="nvidia-smi; target.device=cpu")


def _card(name: str, card: dict[str, Any]) -> Row:
    found = f"{card['name']}, {gigabytes(card['memory_bytes'])}, {gigabytes(card['free_bytes'])} free"
    if card["free_bytes"] >= _LEAST_FREE * card["memory_bytes"]:
        return fine(name, found)
    cost = "another process uses it, and trainings are slower or run out of memory"
    return warning(name, found, cost=cost, remedy="nvidia-smi shows which process; end it")


def _why_no_gpu(answer: dict[str, Any]) -> str:
    if not driver_version() and not answer["hip"]:
        return "install NVIDIA's driver (in a container: docker run --gpus all), or use target=tiny"
    if not answer["cuda"] and not answer["hip"]:
        return f"install a CUDA build of torch ({_GET_TORCH}), or use target=tiny"
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return f"compare CUDA_VISIBLE_DEVICES={visible} with nvidia-smi, or use target=tiny"
    return "look at nvidia-smi: is the driver recent enough for this torch? or use target=tiny"


@functools.cache
def _ask_torch() -> dict[str, Any]:
    """Return what torch reports about itself and the GPUs.

    Raises:
        OSError: Python cannot be started.
        SubprocessError: It fails, or does not answer.
        ValueError: It says something else.
    """
    asked = subprocess.run(
        [sys.executable, "-c", _QUESTION], capture_output=True, text=True, timeout=_ASK_SECONDS, check=True
    )
    answer: dict[str, Any] = json.loads(asked.stdout)
    return answer


def _pinned_torch() -> str:
    """Return the version that the project requires; empty if it is not installed as a package."""
    try:
        required = importlib.metadata.requires("graft-search") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    pins = (re.match(r"torch==([\w.]+)", each) for each in required)
    return next((pin[1] for pin in pins if pin), "")


def _install_torch() -> str:
    pinned = _pinned_torch()
    return f"pip install torch=={pinned}" if pinned else f"install torch ({_GET_TORCH})"
