"""Trains an autoresearch checkout in this process, then scores its model on rows of ours: see `gpu_anchor.py`.

    python gpu_anchor_child.py REQUEST.json    # in the checkout, with HOME set to the folder of its text

It imports nothing of Graft: what the checkout imports must be its own.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import math
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def main() -> None:
    """Train, score, and write the result."""
    request = json.loads(Path(sys.argv[1]).read_text())
    checkout = Path(request["checkout"])
    sys.path[0] = str(checkout)
    torch.set_num_threads(request["threads"])
    found: dict[str, Any] = {}
    found["tokenizer_seconds"] = train_tokenizer()
    stand_in_for_attention(found)
    result = Path(request["result"])
    result.write_text(json.dumps(found))  # kept if the training ends the process
    namespace = run_program(checkout / "train.py")
    model, tokenizer = namespace.get("model"), namespace.get("tokenizer")
    if model is None or tokenizer is None:
        found["not_scored"] = "its train.py leaves no `model` and `tokenizer`"
    else:
        try:
            found |= score(model, tokenizer, request)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            traceback.print_exc()  # a model of another form; its own figure remains
            found["not_scored"] = f"{type(error).__name__}: {error}"[:300]
    result.write_text(json.dumps(found))


def train_tokenizer() -> float | None:
    """Have prepare.py train its tokenizer on the given text; return the seconds, or None if it cannot."""
    prepare = importlib.import_module("prepare")
    if not hasattr(prepare, "train_tokenizer"):
        return None
    began = time.monotonic()
    prepare.train_tokenizer()
    return time.monotonic() - began


def run_program(path: Path) -> dict[str, Any]:
    """Run a program as __main__, and return its globals, however it exits."""
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    sys.argv = [str(path)]
    with contextlib.suppress(SystemExit):
        exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return module.__dict__


def stand_in_for_attention(found: dict[str, Any]) -> None:
    """Replace FlashAttention 3 by PyTorch's attention where it cannot be loaded, and note that in `found`."""
    real = importlib.import_module("kernels") if importlib.util.find_spec("kernels") else None
    found["attention"] = "that of its train.py"

    def get_kernel(name: str, *arguments: Any, **settings: Any) -> Any:
        if real is not None:
            try:
                return real.get_kernel(name, *arguments, **settings)
            except (OSError, RuntimeError, ValueError) as error:  # it is downloaded, and there may be no network
                print(f"kernels: {error}")
        found["attention"] = "scaled_dot_product_attention over whole rows, for want of FlashAttention 3"
        interface = types.SimpleNamespace(flash_attn_func=attend)
        return types.SimpleNamespace(flash_attn_interface=interface, flash_attn_func=attend)

    stand_in = types.ModuleType("kernels")
    stand_in.get_kernel = get_kernel  # type: ignore[attr-defined]
    sys.modules["kernels"] = stand_in


def attend(q: Tensor, k: Tensor, v: Tensor, causal: bool = False, **settings: Any) -> Tensor:
    """Attend over whole rows, whatever window is asked for; q is (B, T, H, D), k and v may have fewer heads."""
    q, k, v = (each.transpose(1, 2) for each in (q, k, v))
    y = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=causal, scale=settings.get("softmax_scale"), enable_gqa=q.size(1) != k.size(1)
    )
    return y.transpose(1, 2)


def score(model: Any, tokenizer: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Return bits per byte of a model on the text of rows; the bos of each part of a row is not counted."""
    device, batch_rows = request["device"], request["batch_rows"]
    prepare = sys.modules["prepare"]
    context = int(prepare.MAX_SEQ_LEN)
    bos = int(tokenizer.get_bos_token_id())
    network = getattr(model, "_orig_mod", model).eval()  # not compiled: no new shapes to compile for
    windows = [
        window for row in request["rows"] for window in windows_of(token_ids(row, tokenizer.encode, bos), context, bos)
    ]
    n_bytes = sum(len(part.encode()) for row in request["rows"] for part in row)
    nats, n_tokens = 0.0, 0
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        for begin in range(0, len(windows), batch_rows):
            part = windows[begin : begin + batch_rows]
            part += [([bos] * context, [bos] * context, [False] * context)] * (batch_rows - len(part))  # one shape
            inputs, targets, counted = (torch.tensor(each, device=device) for each in zip(*part, strict=True))
            logits = network(inputs).float()
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
            counted = counted.flatten() & (targets.flatten() != bos)
            nats += float(loss.double()[counted].sum())
            n_tokens += int(counted.sum())
    if not math.isfinite(nats):
        raise ValueError(f"the loss on our rows must be finite, got {nats}")
    return {"bits_per_byte": nats / math.log(2) / n_bytes, "bytes": n_bytes, "scored_tokens": n_tokens}


def token_ids(parts: list[str], encode: Callable[[str], list[int]], bos: int) -> list[int]:
    """Return the tokens of a row: a bos in front of each part."""
    return [token for part in parts for token in (bos, *encode(part))]


def windows_of(tokens: list[int], context: int, bos: int) -> Iterator[tuple[list[int], list[int], list[bool]]]:
    """Cut a row into windows of `context` tokens: inputs, targets, and which targets count. Each counts once.

    A row that is too short is padded after its end, which a causal model does not see. The rest of a row that is too
    long gets a window that reaches back as far as the context allows.
    """
    inputs, targets = tokens[:-1], tokens[1:]
    covered = 0
    while covered < len(targets):
        end = min(len(targets), covered + context)
        begin = max(0, end - context)
        missing = context - (end - begin)
        counted = [covered <= place < end for place in range(begin, end)]
        yield inputs[begin:end] + [bos] * missing, targets[begin:end] + [bos] * missing, counted + [False] * missing
        covered = end


if __name__ == "__main__":
    main()
