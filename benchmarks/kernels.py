"""What torch compiles of train.py for an H100 that is not there: its kernels, and the bytes that they read and write.

    python benchmarks/kernels.py [PROGRAM ...] [--set NAME=VALUE ...] [--kernels 10] [--json FILE]
    python benchmarks/kernels.py OLD_TRAIN.py target/train.py --set DEPTH=8 --set N_HEADS=4    # side by side

No GPU is used, but a CUDA build of torch with Triton, and a C compiler. `absent_card.c` takes the place of the CUDA
runtime and driver; tensors have shapes and types but no content (FakeTensorMode). torch's compiler does what it does on
such a card, up to the machine code (cubin) of each Triton kernel; nothing is launched. One forward and backward pass of
MICRO_TOKENS tokens is followed, in the shape of the target `gpu`.

Most of these kernels are limited by memory, so that bytes tell programs apart: docs/gpu.md has what an H100 took. Not
counted: matrix products and attention (also what attention copies), what autograd adds between the compiled parts, and
the optimisers. Bytes are the compiler's own count, which takes the cache for empty, and counts a buffer that is reused
for another result twice. Padding of products is off: the compiler would time it on the card.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # instead of this folder: the packages of the checkout, installed or not

from target.evaluate import load_target  # noqa: E402
from target.program import Program  # noqa: E402
from target.program.constants import Value  # noqa: E402
from target.spec import SEED_PROGRAM  # noqa: E402
from target.words import user_path  # noqa: E402

CARD: Final = Path(__file__).with_name("absent_card.c")
TRITON: Final = re.compile(r"async_compile\.triton\('(\w+)', '''(.*?)''', device_str", re.DOTALL)


def main() -> None:
    """Compile the programs and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", type=user_path, metavar="PROGRAM", help="default: target/train.py")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a constant of all programs")
    parser.add_argument("--kernels", type=int, default=10, help="list so many of the first program")
    parser.add_argument("--json", type=user_path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)  # one program, beside the stand-in for a card
    options = parser.parse_args()
    if options.child:
        print(json.dumps(compile_program(options.child)))
        return
    headers = require_cuda_build()
    results = {}
    with tempfile.TemporaryDirectory() as name:
        card = build_card(Path(name), headers)
        for path in options.programs or [SEED_PROGRAM]:
            program = Program(path.read_text()).with_constants(dict(setting(each) for each in options.set))
            results[str(path)] = in_fresh_process(program, card)
    show(results, options.kernels)
    if options.json:
        options.json.write_text(json.dumps({"set": options.set, "programs": results}, indent=2) + "\n")


def setting(text: str) -> tuple[str, Value]:
    """Return the name and the value of NAME=VALUE."""
    name, _, value = text.partition("=")
    return name, yaml.safe_load(value)


def require_cuda_build() -> list[Path]:
    """Return the folders with the headers of torch's CUDA runtime; end the program if torch was built without CUDA."""
    import torch

    nvidia, triton = (importlib.util.find_spec(name) for name in ("nvidia", "triton"))
    folders = nvidia.submodule_search_locations or () if nvidia else ()  # of a namespace package
    headers = [each.parent for folder in folders for each in Path(folder).glob("*/include/cuda_runtime_api.h")]
    if torch.version.cuda is None or not headers or triton is None or triton.origin is None:
        sys.exit(
            f"this benchmark needs a CUDA build of torch from PyPI, which brings Triton and the headers of CUDA and "
            f"runs without a GPU too; found torch {torch.__version__}"
        )
    return [headers[0], Path(triton.origin).parent / "backends" / "nvidia" / "include"]  # the second has those in crt/


def build_card(folder: Path, headers: list[Path]) -> Path:
    """Compile the stand-in for a card; return its library, which has the name of the driver's."""
    library = folder / "libcuda.so.1"
    options = ["-shared", "-fPIC", "-O1", *(f"-I{each}" for each in headers), f"-Wl,-soname,{library.name}"]
    subprocess.run([os.environ.get("CC", "cc"), *options, "-o", str(library), str(CARD)], check=True)
    return library


def in_fresh_process(program: Program, card: Path) -> dict[str, Any]:
    """Compile a program in a process that takes the stand-in for its driver, with empty caches."""
    source = card.with_name("train.py")
    source.write_text(program.source)
    with tempfile.TemporaryDirectory(dir=card.parent) as caches:
        environment = {
            **os.environ,
            "LD_PRELOAD": str(card),
            "TRITON_LIBCUDA_PATH": str(card.parent),
            "TORCHINDUCTOR_CACHE_DIR": caches,
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        }
        command = [sys.executable, __file__, "--child", str(source)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compile_program(path: Path) -> dict[str, Any]:
    """Compile the parts of a program as it does at its start, and all of their kernels."""
    import torch
    from torch._inductor import config
    from torch._inductor.graph import GraphLowering
    from torch._subclasses import FakeTensorMode

    config.shape_padding = False
    config.benchmark_kernel = True  # writes the bytes of a kernel beside its source
    graphs: list[dict[str, Any]] = []
    runs: Counter[int] = Counter()

    def compile_to_module(lowering: Any) -> types.SimpleNamespace:
        """Stand for a compiled graph: its results have a shape and a type."""
        graph = len(graphs)
        graphs.append({"backward": lowering.is_backward, "source": lowering.codegen()[0].value})
        outputs = [
            (each.get_size(), each.get_stride(), each.get_dtype(), each.get_device()) if hasattr(each, "data") else None
            for each in lowering.graph_outputs
        ]

        def call(inputs: list[Any]) -> tuple[Any, ...]:
            runs[graph] += 1
            inputs.clear()
            return tuple(
                each and torch.empty_strided([*map(int, each[0])], [*map(int, each[1])], dtype=each[2], device=each[3])
                for each in outputs
            )

        return types.SimpleNamespace(call=call, __file__=str(path), runner=None)

    GraphLowering.compile_to_module = compile_to_module  # type: ignore[assignment,method-assign]
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
        model.compile_parts(spec.sequence_tokens)
        shape = (max(1, train.MICRO_TOKENS // spec.sequence_tokens), spec.sequence_tokens)
        batch = [torch.zeros(shape, dtype=torch.int64, device="cuda") for _ in range(2)]
        model(*batch).backward()
    traced = time.process_time()
    kernels = [kernel for i, each in enumerate(graphs) for kernel in kernels_of(each, runs[i])]
    return {
        "torch": torch.__version__,
        "tokens": shape[0] * shape[1],
        "gigabytes": sum(each["gigabytes"] * each["runs"] for each in kernels),
        "launches": sum(each["runs"] for each in kernels),
        "products_and_attention": sum(runs[i] * n_external(each["source"]) for i, each in enumerate(graphs)),
        "graphs": len(graphs),
        "trace_cpu_seconds": traced - began,
        "machine_code_cpu_seconds": time.process_time() - traced,
        "kernels": sorted(kernels, key=lambda each: -each["gigabytes"] * each["runs"]),
    }


def n_external(source: str) -> int:
    """Return how often a graph calls what the compiler does not write itself."""
    return len(re.findall(r"extern_kernels\.\w+\(|= torch\.ops\.aten\.\w+attention\w*\.default\(", source))


def kernels_of(graph: dict[str, Any], runs: int) -> list[dict[str, Any]]:
    """Compile the Triton kernels of a graph to machine code; return each with what it moves at a time.

    Raises:
        Exception: What Triton says of a kernel that it cannot compile.
    """
    from torch._inductor.codecache import PyCodeCache

    found = []
    body = TRITON.sub("", graph["source"])  # without the sources of kernels, each of which has a call of itself
    for name, source in TRITON.findall(graph["source"]):
        kernel = getattr(PyCodeCache.load(source), name)
        kernel.precompile(warm_cache_only=True)
        found.append(
            {
                "name": name,
                "backward": graph["backward"],
                "gigabytes": float(kernel.inductor_meta["kernel_num_gb"]),
                "runs": runs * len(re.findall(rf"\b{name}\.run\(", body)),
                "configurations": len(kernel.compile_results),
            }
        )
    return found


def show(results: dict[str, Any], n_kernels: int) -> None:
    """Print a line for each program, and the largest kernels of the first one."""
    first = next(iter(results.values()))
    print(f"torch {first['torch']}, H100, one pass of {first['tokens']} tokens; nothing ran")
    print(f"{'program':<32} {'GB':>7} {'launches':>8} {'products, attention':>19} {'graphs':>6} {'CPU s':>6}")
    for name, each in results.items():
        seconds = each["trace_cpu_seconds"] + each["machine_code_cpu_seconds"]
        print(
            f"{name[-32:]:<32} {each['gigabytes']:7.1f} {each['launches']:8} {each['products_and_attention']:19} "
            f"{each['graphs']:6} {seconds:6.1f}"
        )
    if n_kernels:
        print(f"\n{'largest kernels of the first':<92} {'pass':<8} {'GB each':>7} {'runs':>4}")
        for each in first["kernels"][:n_kernels]:
            direction = "backward" if each["backward"] else "forward"
            print(f"{each['name'][-92:]:<92} {direction:<8} {each['gigabytes']:7.3f} {each['runs']:4}")


if __name__ == "__main__":
    main()
