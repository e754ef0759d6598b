"""The benchmark of kernels for a card that is not there: whole with a CUDA build of torch, else what it refuses."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.kernels import show
from benchmarks.kernels_child import Memory, n_external

KERNELS = Path(__file__).parents[2] / "benchmarks" / "kernels.py"
HAS_CUDA_BUILD = torch.version.cuda is not None and importlib.util.find_spec("triton") is not None
SMALL = ["--set", "DEPTH=2", "--set", "N_HEADS=1", "--set", "HEAD_DIM=64", "--set", "MICRO_TOKENS=2048"]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(KERNELS), *options], capture_output=True, text=True, check=False)


@pytest.mark.skipif(HAS_CUDA_BUILD, reason="this torch has CUDA")
def test_a_torch_without_cuda_is_refused_with_what_is_needed() -> None:
    done = run()

    assert done.returncode == 1
    assert "needs a CUDA build of torch from PyPI" in done.stderr
    assert f"found torch {torch.__version__}" in done.stderr


@pytest.mark.skipif(not HAS_CUDA_BUILD, reason="needs a CUDA build of torch, which is several GB")
def test_every_kernel_is_compiled_to_machine_code_without_a_card(tmp_path: Path) -> None:
    done = run(*SMALL, "--json", str(tmp_path / "kernels.json"))

    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / "kernels.json").read_text())["programs"].values()
    assert result["tokens"] == 2048
    assert result["graphs"] == 8, "embeddings, two kinds of block, and head, each forward and backward"
    assert result["products_and_attention"] > 20
    assert 0.01 < result["peak_gigabytes"] < 1
    assert all(each["configurations"] and each["runs"] and each["gigabytes"] for each in result["kernels"])
    assert {each["backward"] for each in result["kernels"]} == {False, True}


def test_a_program_has_a_line_with_its_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    kernel = {"name": "triton_poi_fused_add_0", "backward": True, "gigabytes": 0.5, "runs": 4}
    result = {
        "torch": "2.13.0+cu130",
        "tokens": 131_072,
        "gigabytes": 2.0,
        "peak_gigabytes": 35.531,
        "launches": 4,
        "products_and_attention": 9,
        "graphs": 8,
        "trace_cpu_seconds": 8.0,
        "machine_code_cpu_seconds": 7.0,
        "kernels": [kernel],
    }

    show({"before.py": result, "target/train.py": {**result, "gigabytes": 1.5}}, 1)

    said, _, before, after, _, _, largest = capsys.readouterr().out.splitlines()
    assert said == "torch 2.13.0+cu130, H100, one pass of 131072 tokens; nothing ran"
    assert before.split() == ["before.py", "2.0", "35.53", "4", "9", "15.0"]
    assert after.split()[:2] == ["target/train.py", "1.5"]
    assert largest.split() == ["triton_poi_fused_add_0", "backward", "0.500", "4"]


def test_calls_of_what_the_compiler_does_not_write_are_counted() -> None:
    source = """
            extern_kernels.mm(buf0, buf1, out=buf2)
            buf3 = torch.ops.aten._scaled_dot_product_cudnn_attention.default(buf4, buf5, buf6)
            triton_poi_fused_add_0.run(buf2, 8, stream=raw_stream0)
    """

    assert n_external(source) == 2


def test_the_peak_is_of_tensors_that_live_at_the_same_time_and_views_are_none() -> None:
    memory = Memory("cpu")

    for n_numbers in (1000, 3000):  # the first is gone before the second is there
        tensor = torch.empty(n_numbers)
        with memory:
            product = tensor * 2
        memory.see([tensor, tensor[:10], None])
        del tensor, product

    assert memory.peak_bytes == 2 * 12_000
