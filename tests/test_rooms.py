"""The rooms of `target/` are a test: what owns secrets and what runs beside a candidate never import each other."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("target", "operators", "search")
ROOMS = sorted(
    path.relative_to(ROOT).as_posix()
    for package in PACKAGES
    for path in (ROOT / package).iterdir()
    if (path / "__init__.py").exists()
)
SECRETS = ("target.scoring", "target.corpus")
BESIDE_CANDIDATES = ("target.inside", "target.command.child")


def modules_of(root: Path) -> dict[str, Path]:
    """Return the modules of a checkout by name; a package is its `__init__`."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Yield the modules that a module imports, wherever in it, and the packages that this imports too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            while name:
                if name in modules:
                    yield name
                name = name.rpartition(".")[0]


def chains(root: Path, start: tuple[str, ...], end: tuple[str, ...]) -> list[str]:
    """Return how modules below `start` come to import modules below `end`, directly or through others."""
    modules = modules_of(root)
    found = []
    waiting = [[name] for name in modules if name.startswith(start)]
    seen = {chain[0] for chain in waiting}
    while waiting:
        chain = waiting.pop()
        for name in imports_of(modules[chain[-1]], modules):
            if name.startswith(end):
                found.append(" -> ".join([*chain, name]))
            elif name not in seen:
                seen.add(name)
                waiting.append([*chain, name])
    return found


def test_nothing_that_owns_secrets_imports_what_runs_beside_candidates() -> None:
    assert chains(ROOT, SECRETS, BESIDE_CANDIDATES) == []


def test_nothing_that_runs_beside_candidates_imports_what_owns_secrets() -> None:
    assert chains(ROOT, BESIDE_CANDIDATES, SECRETS) == []


@pytest.mark.parametrize(
    ("module", "planted", "start", "end"),
    [
        ("scoring/scorer.py", "target.inside.preflight", SECRETS, BESIDE_CANDIDATES),
        ("process/clock.py", "target.inside.child", SECRETS, BESIDE_CANDIDATES),
        ("inside/preflight.py", "target.corpus.documents", BESIDE_CANDIDATES, SECRETS),
        ("boundary/job.py", "target.scoring.scorer", BESIDE_CANDIDATES, SECRETS),
    ],
)
def test_an_import_across_the_boundary_is_found(
    tmp_path: Path, module: str, planted: str, start: tuple[str, ...], end: tuple[str, ...]
) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "target" / module
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\ndef later():\n    import {planted}\n", encoding="utf-8")

    found = chains(tmp_path, start, end)

    assert any(chain.endswith(planted) for chain in found)


@pytest.mark.parametrize("room", ROOMS)
def test_a_package_says_what_it_holds_who_may_use_it_and_what_it_trusts(room: str) -> None:
    text = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8")))

    assert text
    if room.startswith("target/"):
        assert [line.split(":")[0] for line in text.splitlines()[2:5]] == ["Lives here", "May be used by", "Trusts"]


@pytest.mark.parametrize("package", PACKAGES)
def test_rooms_of_a_package_need_each_other_one_way_only(package: str) -> None:
    modules = modules_of(ROOT)
    rooms = {room.replace("/", ".") for room in ROOMS if room.startswith(f"{package}/")}

    def room_of(module: str) -> str:
        return ".".join(module.split(".")[:2])

    needs: dict[str, set[str]] = {room: set() for room in rooms}
    for name, path in modules.items():
        if room_of(name) in rooms and not name.endswith("__main__"):
            needs[room_of(name)] |= {room_of(each) for each in imports_of(path, modules)} & rooms - {room_of(name)}
    while free := {room for room, needed in needs.items() if not needed & needs.keys()}:
        for room in free:
            del needs[room]

    assert needs == {}, "each of these needs another that needs it"


def test_every_module_that_a_text_names_is_there() -> None:
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *modules_of(ROOT).values()]
    named = {
        name
        for text in texts
        for name in re.findall(
            r"\b(?:target|operators|search|tests|benchmarks|conf)/[a-z0-9_/]+\.(?:py|yaml|j2)\b",
            text.read_text("utf-8"),
        )
    }

    assert len(named) > 50
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
