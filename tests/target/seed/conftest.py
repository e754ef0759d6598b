import importlib.util
import sys
from pathlib import Path

import pytest
import torch
import yaml
from torch._dynamo.testing import CompileCounterWithBackend

from target.program import Program
from target.spec import SEED_PROGRAM, TargetSpec

CONF = Path(__file__).parents[3] / "conf" / "target"


@pytest.fixture(scope="module")
def tiny():
    return TargetSpec.from_config(yaml.safe_load((CONF / "tiny.yaml").read_text()))


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that imports a program as the pre-flight does."""
    monkeypatch.syspath_prepend(SEED_PROGRAM.parent)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # programs of one size and second would share it

    def fresh(program: Program):
        path = tmp_path / "train.py"
        path.write_text(program.source)
        spec = importlib.util.spec_from_file_location("candidate", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return fresh


@pytest.fixture
def graphs(monkeypatch):
    """Count what torch.compile makes graphs of, without writing C++ for them."""
    counter = CompileCounterWithBackend("aot_eager")
    compile_module = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda part, **options: compile_module(part, backend=counter, **options)
    )
    torch._dynamo.reset()
    with torch._dynamo.config.patch(recompile_limit=torch._dynamo.config.recompile_limit):
        yield counter
    torch._dynamo.reset()
