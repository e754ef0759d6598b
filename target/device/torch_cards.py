"""Asks torch in a separate process which GPUs it sees: `python -P torch_cards.py [VISIBLE ...]`, one line of JSON.

Without arguments, torch is asked once, with the environment as it is. With arguments it is asked once for each, as a
process sees the machine whose CUDA_VISIBLE_DEVICES is that argument. Each answer comes from a child, because CUDA reads
its environment only once in a process.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def main() -> None:
    """Print the version of torch, whether it is a ROCm build, and for each question the GPUs seen."""
    import torch  # here, so that this module can be imported without torch

    answers = [_answer(visible) for visible in sys.argv[1:]] or [_answer(None)]
    rocm = getattr(torch.version, "hip", None) is not None
    print(json.dumps({"torch": str(torch.__version__), "rocm": rocm, "answers": answers}))  # noqa: T201


def _answer(visible: str | None) -> list[dict[str, Any]]:
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        if visible is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible
        os.write(write_fd, json.dumps(_seen()).encode())
        os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    if not answer:
        sys.exit(1)  # the child has said why
    found: list[dict[str, Any]] = json.loads(answer)
    return found


def _seen() -> list[dict[str, Any]]:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = [torch.cuda.get_device_properties(index) for index in range(count)]
    return [{"name": each.name, "memory_bytes": each.total_memory} for each in found]


if __name__ == "__main__":
    main()
