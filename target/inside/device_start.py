"""Starts a device in a confined child before any candidate: a failure then comes from the sandbox or the machine."""

from __future__ import annotations

import torch

from target.boundary.job import REHEARSAL, Job
from target.inside.rehearsal import rehearse


def start_device(job: Job) -> None:
    """Compute something on the device of the job, or rehearse the start of a driver.

    Raises:
        RehearsalError: A step of the rehearsal was refused.
        RuntimeError: torch cannot use the device.
    """
    if job.device.startswith(REHEARSAL):
        rehearse(job.device.removeprefix(REHEARSAL))
        return
    found = torch.zeros(8, device=job.device) + 1
    if found.sum().item() != 8:
        raise RuntimeError(f"{job.device} computed {found.tolist()} in place of ones")
