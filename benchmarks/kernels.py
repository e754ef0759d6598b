"""What torch compiles of train.py for an H100 that is not there: its kernels, the bytes they move, and the memory.

    python benchmarks/kernels.py [PROGRAM ...] [--set NAME=VALUE ...] [--kernels 10] [--json FILE]
    python benchmarks/kernels.py OLD_TRAIN.py target/train.py --set DEPTH=8 --set N_HEADS=4    # side by side

No GPU is used, but a CUDA build of torch with Triton, and a C compiler. `absent_card.c` takes the place of the CUDA
runtime and driver; tensors have shapes and types but no content (FakeTensorMode). torch's compiler does what it does on
such a card, up to the machine code (cubin) of each Triton kernel. The compiled program then allocates and frees what it
would, and launches nothing. One forward and backward pass of MICRO_TOKENS tokens is followed, with the vocabulary and
rows of the target `gpu`.

Most of these kernels are limited by memory, so that bytes tell programs apart: docs/gpu.md has what an H100 took. Not
counted: matrix products and attention, what autograd adds between the compiled parts, and the optimisers. Bytes are the
compiler's own count, which takes the cache for empty, and counts a buffer that is reused for another result twice. The
peak is of the compiled parts, with the weights; gradients, the state of the optimisers and CUDA itself come on top.
Padding of products is off: the compiler would time it on the card.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # instead of this folder: the packages of the checkout, installed or not

from target.program import Program  # noqa: E402
from target.program.constants import Value  # noqa: E402
from target.spec import SEED_PROGRAM  # noqa: E402
from target.words import user_path  # noqa: E402

CARD: Final = Path(__file__).with_name("absent_card.c")
CHILD: Final = Path(__file__).with_name("kernels_child.py")


def main() -> None:
    """Compile the programs and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", type=user_path, metavar="PROGRAM", help="default: target/train.py")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a constant of all programs")
    parser.add_argument("--kernels", type=int, default=10, help="list so many of the first program")
    parser.add_argument("--json", type=user_path)
    options = parser.parse_args()
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
        command = [sys.executable, str(CHILD), str(source)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def show(results: dict[str, Any], n_kernels: int) -> None:
    """Print a line for each program, and the largest kernels of the first one."""
    first = next(iter(results.values()))
    print(f"torch {first['torch']}, H100, one pass of {first['tokens']} tokens; nothing ran")
    print(f"{'program':<32} {'GB moved':>8} {'peak GB':>7} {'launches':>8} {'products, attention':>19} {'CPU s':>6}")
    for name, each in results.items():
        seconds = each["trace_cpu_seconds"] + each["machine_code_cpu_seconds"]
        print(
            f"{name[-32:]:<32} {each['gigabytes']:8.1f} {each['peak_gigabytes']:7.2f} {each['launches']:8} "
            f"{each['products_and_attention']:19} {seconds:6.1f}"
        )
    if n_kernels:
        print(f"\n{'largest kernels of the first':<92} {'pass':<8} {'GB each':>7} {'runs':>4}")
        for each in first["kernels"][:n_kernels]:
            direction = "backward" if each["backward"] else "forward"
            print(f"{each['name'][-92:]:<92} {direction:<8} {each['gigabytes']:7.3f} {each['runs']:4}")


if __name__ == "__main__":
    main()
