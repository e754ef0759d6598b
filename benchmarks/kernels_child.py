"""The part of `benchmarks/kernels.py` that runs beside the stand-in for a card: compiles one program and follows it."""

from __future__ import annotations

import inspect
import json
import re
import sys
import time
import types
from collections import Counter
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # instead of this folder

import torch  # noqa: E402
from torch._inductor import config  # noqa: E402
from torch._inductor.codecache import PyCodeCache  # noqa: E402
from torch._inductor.graph import GraphLowering  # noqa: E402
from torch._subclasses import FakeTensorMode  # noqa: E402
from torch.multiprocessing.reductions import StorageWeakRef  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from target.evaluate import load_target  # noqa: E402

TRITON: Final = re.compile(r"async_compile\.triton\('(\w+)', '''(.*?)''', device_str='cuda'\)", re.DOTALL)
EXTERNAL: Final = re.compile(r"extern_kernels\.\w+\(|= torch\.ops\.aten\.\w+attention\w*\.default\(")
WITHOUT_A_CARD: Final = (  # what a compiled graph does that needs memory of a card, as functions of fake tensors
    (r"torch\._C\._dynamo\.guards\._empty_strided_cuda\b", "empty_on_the_card"),
    (r"torch\._C\._dynamo\.guards\._reinterpret_tensor\b", "torch.as_strided"),
    (r"^ *assert_\w+\(.*$", ""),
    (r"\bcopy_if_misaligned\((\w+)\)", r"\1"),
    (r"^async_compile\.wait\(globals\(\)\)$", ""),
)


class Memory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the memory of all tensors on a device that it has seen and that are still alive.

    Args:
        device: The type of the device.

    Attributes:
        peak_bytes: The most so far.
    """

    def __init__(self, device: str = "cuda") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._device = device
        self._alive: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self, function: Any, _: Any, inputs: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        result = function(*inputs, **(options or {}))
        self.see(tree_leaves(result))
        return result

    def see(self, values: list[Any]) -> None:
        """Count those of the values that are tensors on the device."""
        for each in values:
            if isinstance(each, torch.Tensor) and each.device.type == self._device:
                storage = each.untyped_storage()
                self._alive.setdefault(StorageWeakRef(storage), storage.nbytes())  # type: ignore[no-untyped-call]
        gone = [each for each in self._alive if each.expired()]  # type: ignore[no-untyped-call]
        for each in gone:
            del self._alive[each]
        self.peak_bytes = max(self.peak_bytes, sum(self._alive.values()))


class Kernel:
    """Stands for a compiled kernel: starts nothing."""

    def run(self, *inputs: Any, **options: Any) -> None:
        """Start nothing."""


class Graphs:
    """What the compiler made: its sources, and how often each of them ran.

    Args:
        memory: Is told of every tensor, from the second pass on.
    """

    def __init__(self, memory: Memory) -> None:
        self.sources: list[tuple[str, bool]] = []  # with whether it is of the backward pass
        self.runs: Counter[int] = Counter()
        self.follows = False
        self._memory = memory

    def take(self, lowering: GraphLowering) -> types.SimpleNamespace:
        """Make of a lowered graph what the compiler loads, without its kernels."""
        source, graph = lowering.codegen()[0].value, len(self.sources)
        self.sources.append((source, lowering.is_backward))
        source = TRITON.sub("Kernel()", source)
        for pattern, replacement in WITHOUT_A_CARD:
            source = re.sub(pattern, replacement, source, flags=re.MULTILINE)
        module = types.ModuleType("graph")
        module.__dict__.update(Kernel=Kernel, empty_on_the_card=empty_on_the_card)
        exec(compile(source, "graph.py", "exec"), module.__dict__)

        def call(inputs: list[Any]) -> Any:
            if not self.follows:
                return module.call(inputs)
            self.runs[graph] += 1
            self._memory.see(inputs)
            with self._memory:
                return module.call(inputs)

        return types.SimpleNamespace(call=call, __file__="graph.py", runner=None)


def empty_on_the_card(size: tuple[int, ...], stride: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor on the card."""
    return torch.empty_strided(size, stride, dtype=dtype, device="cuda")


def compile_program(path: Path) -> dict[str, Any]:
    """Compile the parts of a program as it does at its start, follow one pass, and compile all kernels."""
    config.shape_padding = False
    config.benchmark_kernel = True  # writes the bytes of a kernel beside its source
    memory = Memory()
    graphs = Graphs(memory)
    GraphLowering.compile_to_module = lambda lowering: graphs.take(lowering)  # type: ignore[assignment,method-assign,return-value]
    spec = load_target("gpu")
    sys.modules["prepare"] = types.ModuleType("prepare")
    train = types.ModuleType("train")
    exec(compile(path.read_text(), "train.py", "exec"), train.__dict__)
    began = time.process_time()
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = train.build_model(spec.corpus.vocab_size)
        for module in model.modules():
            for name, weight in module._parameters.items():
                if weight is not None:
                    module._parameters[name] = torch.nn.Parameter(torch.empty(weight.shape, device="cuda"))
        takes_tokens = bool(inspect.signature(model.compile_parts).parameters)  # as programs did when they had windows
        model.compile_parts(*([spec.sequence_tokens] if takes_tokens else []))
        shape = (max(1, train.MICRO_TOKENS // spec.sequence_tokens), spec.sequence_tokens)
        batch = [torch.zeros(shape, dtype=torch.int64, device="cuda") for _ in range(2)]
        model(*batch).backward()
        traced = time.process_time() - began
        model.zero_grad()
        graphs.follows = True
        model(*batch).backward()
    began = time.process_time()
    kernels = [each for i, graph in enumerate(graphs.sources) for each in kernels_of(*graph, runs=graphs.runs[i])]
    return {
        "torch": torch.__version__,
        "tokens": shape[0] * shape[1],
        "gigabytes": sum(each["gigabytes"] * each["runs"] for each in kernels),
        "peak_gigabytes": memory.peak_bytes / 1e9,
        "launches": sum(each["runs"] for each in kernels),
        "products_and_attention": sum(graphs.runs[i] * n_external(text) for i, (text, _) in enumerate(graphs.sources)),
        "graphs": len(graphs.sources),
        "trace_cpu_seconds": traced,
        "machine_code_cpu_seconds": time.process_time() - began,
        "kernels": sorted(kernels, key=lambda each: -each["gigabytes"] * each["runs"]),
    }


def n_external(source: str) -> int:
    """Return how often a graph calls what the compiler does not write itself."""
    return len(EXTERNAL.findall(source))


def kernels_of(source: str, backward: bool, *, runs: int) -> list[dict[str, Any]]:
    """Compile the Triton kernels of a graph to machine code; return each with what it moves at a time.

    Raises:
        Exception: What Triton says of a kernel that it cannot compile.
    """
    found = []
    body = TRITON.sub("", source)  # without the sources of kernels, each of which has a call of itself
    for name, text in TRITON.findall(source):
        kernel = getattr(PyCodeCache.load(text), name)
        kernel.precompile(warm_cache_only=True)
        found.append(
            {
                "name": name,
                "backward": backward,
                "gigabytes": float(kernel.inductor_meta["kernel_num_gb"]),
                "runs": runs * len(re.findall(rf"\b{name}\.run\(", body)),
                "configurations": len(kernel.compile_results),
            }
        )
    return found


if __name__ == "__main__":
    print(json.dumps(compile_program(Path(sys.argv[1]))))
