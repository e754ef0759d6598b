"""Tries the layers between a candidate and the machine, first one by one, then together, each in its own process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal

from search.doctor.checks.machine import has_gpu, has_torch
from search.doctor.checks.row import Row, State, broken, broken_by, fine, warning
from search.doctor.checks.subject import Subject
from target.errors import TargetError
from target.sandbox import isolation_warning, landlock, seccomp

if TYPE_CHECKING:
    from target.launch.layers import LayerReport

_CUDA: Final = "CUDA starts"
_REHEARSED: Final = "a rehearsal of what CUDA does at its start works"
_NAMES: Final = {"none": "no layer", "all": "all layers"}
_COSTS: Final = {
    "namespaces": "candidates see the machine's processes, and share its network and shared memory",
    "landlock": "candidates can read and change every file that you can, the validation text included",
    "seccomp": "candidates can use the network and trace other processes",
}
_BUBBLEWRAP: Final = "apt install bubblewrap"
_REMEDIES: Final = {
    "namespaces": "allow user namespaces, or run outside the container (docs/gpu.md)",
    "landlock": "boot Linux 6.2 or newer with landlock in its parameter lsm=",
    "seccomp": "use a kernel with seccomp filters, on x86-64 or aarch64",
}


def check_kernel(subject: Subject) -> Iterator[Row]:
    """Check what the kernel offers without privileges; what it lacks entirely is reported by check_isolation."""
    version = landlock.abi()
    offered = f"Landlock version {version}" if version else "no Landlock"
    found = f"{offered}, {'seccomp' if seccomp.available() else 'no seccomp'}"
    if not version or version >= landlock.ABI_TRUNCATE or subject.sandbox == "off":
        yield fine("kernel", found)
    elif subject.sandbox == "strict":
        cost = f"target.sandbox=strict requires version {landlock.ABI_TRUNCATE}"
        yield broken("kernel", found, cost=cost, remedy=f"{_REMEDIES['landlock']}; or target.sandbox=auto")
    else:
        cost = "candidates can empty files that they may not write"
        yield warning("kernel", found, cost=cost, remedy=_REMEDIES["landlock"])


def check_isolation(subject: Subject) -> Iterator[Row]:
    """Try the layers that confine candidates of this search; if there is a GPU, with CUDA inside too."""
    if subject.spec is None:
        yield fine("isolation", "none needed: no program of the search is run")
        return
    if subject.sandbox == "off":
        cost = (isolation_warning("off") or "").partition(": ")[2]
        yield warning("isolation", "target.sandbox=off", cost=cost, remedy="target.sandbox=auto")
        return
    if not has_torch():
        return  # check_torch has reported it; the children would import torch
    from target.launch.layers import check_layers

    try:
        started = "torch starts" if subject.device == "cpu" else _CUDA if has_gpu() else _REHEARSED
        for report in check_layers(subject.device):
            yield layer_row(report, strict=subject.sandbox == "strict", started=started)
        if subject.device == "cpu" and has_gpu():
            yield from _beside_the_search("cuda")
    except TargetError as error:
        yield broken_by("isolation", error, cost="no training can begin")


def layer_row(report: LayerReport, *, strict: bool, started: str) -> Row:
    """Return what the result of trying a layer means for a search.

    Args:
        report: The result.
        started: What was tried, as in `torch starts`.
        strict: Whether the search refuses to run without it.
    """
    name = _NAMES.get(report.name, report.name)
    if report.lacking:
        said = report.said.removeprefix(f"{report.name} (").removesuffix(")")
        problem, found, _ = said.partition(f": {_BUBBLEWRAP}")
        remedy = _BUBBLEWRAP if found else _REMEDIES[report.name]
        if not strict:
            return warning(name, problem, cost=_COSTS[report.name], remedy=remedy)
        cost = "target.sandbox=strict refuses to run without it"
        return broken(name, problem, cost=cost, remedy=f"{remedy}; or target.sandbox=auto")
    if not report.ok:
        return broken(name, report.said, cost="no training can begin", remedy=report.remedy)
    return fine(name, f"{started} inside it" if report.name != "none" else f"{started} without isolation")


def _beside_the_search(device: Literal["cuda"]) -> Iterator[Row]:
    """Try a GPU that this search does not use. A failure is a warning, since only another search would fail."""
    from target.launch.layers import check_layers

    for report in check_layers(device):
        row = layer_row(report, strict=False, started=_CUDA)
        if row.state is State.FINE:
            yield fine(f"{row.name}, GPU", row.found)
        elif row.state is State.BROKEN:  # what the machine lacks has been reported
            yield warning(f"{row.name}, GPU", row.found, cost="target=gpu would fail", remedy=row.remedy)
