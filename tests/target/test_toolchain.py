"""A C compiler outside /usr, as on the H100 where it was in /opt/gcc, works for candidates."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from target.sandbox import landlock
from target.sandbox.toolchain import c_compiler, compiler_folders

ROOT = Path(__file__).parents[2]
needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")

# a compiler in a directory of its own, with the assembler and the linker that it starts
WRAPPER = """#!/bin/sh
exec {real} -B{folder}/libexec/ "$@"
"""


@pytest.fixture
def compiler(tmp_path):
    """As /opt/gcc/bin/gcc on the H100: neither it nor what it starts is below /usr."""
    folder, real = tmp_path / "opt" / "gcc", shutil.which("gcc")
    (folder / "bin").mkdir(parents=True)
    (folder / "libexec").mkdir()
    for name in ("as", "ld"):
        shutil.copy(shutil.which(name), folder / "libexec" / name)
    script = folder / "bin" / "gcc"
    script.write_text(WRAPPER.format(folder=folder, real=real))
    script.chmod(0o755)
    return script


@pytest.fixture(autouse=True)
def _forget():
    compiler_folders.cache_clear()
    yield
    compiler_folders.cache_clear()


@needs_compiler
def test_the_compiler_named_by_cc_is_found_with_its_folders(compiler, monkeypatch):
    monkeypatch.setenv("CC", str(compiler))

    assert c_compiler() == str(compiler)
    assert {compiler.parent, compiler.parents[1] / "libexec"} <= compiler_folders()


def test_a_name_without_a_program_is_no_compiler(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")

    assert c_compiler() is None
    assert compiler_folders() == frozenset()


CHECK = """
from target.launch.layers import check_layers
print([(each.name, each.said) for each in check_layers("cuda", rehearsed_device="/dev/full") if not each.ok])
"""


def check(compiler):
    """Return which layers stop the rehearsal of a GPU, with the words, where a compiler is the first on PATH."""
    environment = {**os.environ, "PATH": f"{compiler.parent}:{os.environ['PATH']}", "CC": str(compiler)}
    command = [sys.executable, "-c", CHECK]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return done.stdout


@needs_compiler
@pytest.mark.skipif(not landlock.abi(), reason="this kernel has no Landlock")
def test_a_confined_child_compiles_with_a_compiler_outside_usr(compiler):
    assert check(compiler) == "[]\n"


@needs_compiler
def test_a_compiler_that_does_not_work_is_named_by_the_check(compiler):
    compiler.write_text("#!/bin/sh\necho broken >&2; exit 1\n")

    found = check(compiler)

    assert "compile and load a library" in found
    assert "broken" in found
