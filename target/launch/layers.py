"""Tests whether a device starts inside the layers of isolation, and if not, which layer prevents it.

Separate children start the device, with one layer at a time and then with all of them. On a machine without a GPU they
rehearse the start of a driver (`target/inside/rehearsal.py`), so that the grants can be checked anywhere; without
torch, whose import takes longer than everything else here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn

from target.boundary.job import REHEARSAL, Job, Role
from target.errors import TargetError, machine_errors
from target.feedback import reason
from target.launch.launcher import Zygote, ZygoteDied
from target.launch.workspace import Workspace
from target.process.clock import Limits
from target.process.runlog import RunLog
from target.process.scratch import scratch_directory
from target.sandbox import landlock, namespaces, seccomp
from target.sandbox.access import NO_DEVICE, Access, access_to, rehearsed_access
from target.sandbox.confinement import CAPABILITIES, LANDLOCK, LAYERS, SECCOMP, Confinement
from target.sandbox.grants import libraries
from target.words import command

Device = Literal["cpu", "cuda"]

NONE: Final = "none"
ALL: Final = "all"
_START_SECONDS: Final = 60.0  # a driver that reserves its memory on a machine with many cards takes several
_FILE_BYTES: Final = 1 << 30

_COMBINATIONS: Final[tuple[tuple[str, tuple[str, ...], bool], ...]] = (  # name, layers of the child, namespaces
    (NONE, (), False),
    (CAPABILITIES, (CAPABILITIES,), False),
    (LANDLOCK, (LANDLOCK,), False),
    (SECCOMP, (SECCOMP,), False),
    (namespaces.LAYER, (), True),
    (ALL, LAYERS, True),
)
_ANY_DEVICE: Final = "/dev/full"  # exists on every machine, and no candidate on a CPU may open it
_ERROR_CLASS: Final = re.compile(r"^[\w.]+: ")
_WITHOUT_LAYERS: Final = "look at nvidia-smi (rocm-smi for AMD), at the driver, and at the build of torch"
_WITHOUT_NAMESPACES: Final = "a PATH without the program bwrap disables only this layer"
_WITHOUT_SANDBOX: Final = (
    "target.sandbox=off continues without isolation: candidates can then read the validation text and your files; "
    f"please report this with the output of `{command('search.doctor', 'target=gpu')}`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    """What happened when a device was started under one layer.

    Attributes:
        name: The layer; `none` for no layer, `all` for all that the machine has.
        ok: Whether the device started. True if the layer is lacking.
        lacking: Whether the machine lacks the layer.
        said: The refused step, or what the machine lacks; empty otherwise.
        remedy: What to do about it; empty otherwise.
    """

    name: str
    ok: bool
    lacking: bool = False
    said: str = ""
    remedy: str = ""


def check_layers(
    device: Device, *, access: Access | None = None, rehearsed_device: str | None = None
) -> Iterator[LayerReport]:
    """Start a device under no layer, under each layer alone, and under all layers; return one report for each.

    Args:
        device: The device. Without a GPU, `cuda` is rehearsed.
        access: Access granted to the children; None for what the device needs.
        rehearsed_device: Rehearse even if there is a GPU, with this character device in place of the driver's.

    Raises:
        TargetError: Children cannot be started here at all.
    """
    needed = access_to(device)
    if rehearsed_device is None and device == "cuda" and not needed.devices:
        rehearsed_device = _ANY_DEVICE
    if rehearsed_device is not None:
        started, needed = REHEARSAL + rehearsed_device, rehearsed_access(rehearsed_device)
    else:
        started = device
    child = "target.inside.child" if rehearsed_device is None else "target.inside.rehearsal_child"
    access = access or needed
    with machine_errors("cannot make a directory to start the device in"), scratch_directory() as scratch:
        for in_namespaces in (False, True):
            if in_namespaces and (lacking := namespaces.missing()):
                yield LayerReport(name=namespaces.LAYER, ok=True, lacking=True, said=lacking)
            view = namespaces.View(writable=(scratch,), access=access) if in_namespaces and not lacking else None
            zygote = Zygote(threads=1, view=view, child=child)
            try:
                for name, layers, wants in _COMBINATIONS:
                    if wants != in_namespaces or (name == namespaces.LAYER and view is None):
                        continue
                    yield _report(name, layers, started, access, zygote, scratch)
            finally:
                zygote.close()


def refuse_what_stops(device: Device, said: str) -> NoReturn:
    """Find out why a device did not start in a child with all layers, and raise an error that says so.

    Args:
        device: The device.
        said: The child's message.

    Raises:
        TargetError: Always; it names the layer, and what to do.
    """
    stopped = next((each for each in check_layers(device) if not each.ok), None)
    if stopped is None:
        raise TargetError(
            f"{device} did not start in the sandbox ({said}), but it did on a second try; the same command may work now"
        )
    where = {
        NONE: "outside the sandbox either",
        ALL: "under all layers of the sandbox together, but does under each alone",
    }.get(stopped.name, f"in the sandbox: the layer {stopped.name} stops it")
    raise TargetError(f"{device} does not start {where} ({stopped.said}); {stopped.remedy}")


def start_device(zygote: Zygote, started: str, layers: tuple[str, ...], access: Access, scratch: Path) -> str | None:
    """Start a device in a child of a zygote.

    Args:
        zygote: Forks the child.
        started: The device; `REHEARSAL` with the path of a device file if the zygote's children rehearse.
        layers: Layers that the child applies.
        access: Access granted to the child.
        scratch: Where its workspace is made.

    Returns:
        None if it started; otherwise the reason, in one line.
    """
    with RunLog(scratch / "device.log") as log, Workspace(scratch, "", {"mode": Role.START_DEVICE.value}) as space:
        job = Job(
            role=Role.START_DEVICE,
            confinement=Confinement(
                workspace=space.root,
                layers=layers,
                access=access,
                readable=(),
                runnable=tuple(sorted(libraries())),
                withheld=(),
                memory_bytes=None,
                file_bytes=_FILE_BYTES,
                cpu_seconds=None,
                listed_calls=access == NO_DEVICE,
                processes="counted",
            ),
            device=started,
            threads=1,
            vocab_size=1,
            batch_rows=1,
            sequence_tokens=1,
            tolerance_nats=math.inf,
        )
        limits = Limits(cpu_seconds=None, wall_seconds=_START_SECONDS)
        with log.pipe() as log_fd, zygote.fork(job, (log_fd,)) as child:
            ending = child.wait(limits)
        if ending.status == 0:
            return None
        if ending.exceeded:
            return f"it hung for {_START_SECONDS:g} seconds"
        return _ERROR_CLASS.sub("", reason(log.tail())) or f"its process ended with status {ending.status}"


def _report(
    name: str, layers: tuple[str, ...], started: str, access: Access, zygote: Zygote, scratch: Path
) -> LayerReport:
    if lacking := _lacking(name):
        return LayerReport(name=name, ok=True, lacking=True, said=lacking)
    try:
        said = start_device(zygote, started, layers, access, scratch)
    except ZygoteDied as death:
        raise TargetError(f"the processes that start the device were killed: {death}") from death
    if said is None:
        return LayerReport(name=name, ok=True)
    remedies = {NONE: _WITHOUT_LAYERS, namespaces.LAYER: _WITHOUT_NAMESPACES}
    return LayerReport(name=name, ok=False, said=said, remedy=remedies.get(name, _WITHOUT_SANDBOX))


def _lacking(name: str) -> str | None:
    if name == LANDLOCK and not landlock.abi():
        return "this kernel has no Landlock (Linux 5.13 and the boot parameter lsm= are required)"
    if name == SECCOMP and not seccomp.available():
        return "this kernel supports no seccomp filters (x86-64 or aarch64 is required)"
    return None
