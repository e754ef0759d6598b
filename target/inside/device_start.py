"""Starts a device in a confined child before any candidate: a failure then comes from the sandbox or the machine."""

from __future__ import annotations

import torch

from target.boundary.job import Job
from target.sandbox.confinement import LAYERS


def start_device(job: Job) -> None:
    """Compute something on the device of the job.

    Under all layers it also compiles for a GPU, as train.py does: Triton starts compilers and loads what they built.

    Raises:
        RuntimeError: torch cannot use the device.
    """
    found = torch.zeros(8, device=job.device) + 1
    if found.sum().item() != 8:
        raise RuntimeError(f"{job.device} computed {found.tolist()} in place of ones")
    if job.device == "cuda" and job.confinement.layers == LAYERS:
        compiled = torch.compile(torch.nn.functional.silu, dynamic=False)
        compiled(found).sum().item()
