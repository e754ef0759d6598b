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
    """Print torch's version, whether it is a ROCm build, the GPUs seen for each question, and why there are none."""
    import torch  # here, so that this module can be imported without torch

    answers = [_answer(visible) for visible in sys.argv[1:]] or [_answer(None)]
    rocm = getattr(torch.version, "hip", None) is not None
    why = "" if answers[0] else _why_none()
    print(json.dumps({"torch": str(torch.__version__), "rocm": rocm, "answers": answers, "why": why}))  # noqa: T201


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


def _why_none() -> str:
    """Return why CUDA does not start, in torch's words: for example a driver that is too old for it."""
    import torch

    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (AssertionError, RuntimeError) as error:
        return " ".join(str(error).split())[:300]
    return "CUDA starts, and counts none"


if __name__ == "__main__":
    main()
