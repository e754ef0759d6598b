"""The installed packages that a candidate may use: torch, numpy, their dependencies, and those that a target names.

A whole `site-packages` is never granted: the held-out text may be in it, under any name. So directory trees are granted
without the package folders in them, and the packages are granted by name.
"""

from __future__ import annotations

import functools
import glob
import importlib.metadata
import importlib.util
import os
import re
import site
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from types import ModuleType
from typing import Final

from target.errors import TargetError

_NEEDED: Final = ("torch", "numpy")
_OPTIONAL: Final = ("packaging", "psutil", "pyyaml", "tqdm")  # torch and setuptools import them if they are installed
_FOLDER_NAMES: Final = ("site-packages", "dist-packages")
_INSIDE: Final = ("", "python3*", "lib/python3*", "lib64/python3*", "local/lib/python3*")  # where they are in a tree
_METADATA: Final = (".dist-info", ".egg-info", ".libs")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def package_folders(trees: Iterable[Path] = ()) -> frozenset[str]:
    """Return the real paths of the folders in which packages are installed.

    Args:
        trees: Where to look, in addition to the paths of this interpreter.
    """
    prefixes = map(Path, (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix))
    patterns = (
        os.path.join(glob.escape(str(tree)), inside, name)  # noqa: PTH118 -- a pattern, not a path
        for tree in (*prefixes, *trees)
        for inside in _INSIDE
        for name in _FOLDER_NAMES
    )
    found = {path for pattern in patterns for path in glob.iglob(pattern)}  # noqa: PTH207 -- plain strings below
    found |= {entry for entry in (*sys.path, site.getusersitepackages()) if Path(entry).name in _FOLDER_NAMES}
    return frozenset(os.path.realpath(path) for path in found if Path(path).is_dir())


@functools.cache
def needed_places() -> tuple[Path, ...]:
    """Return the files and directories of torch, numpy and their dependencies."""
    optional = [name for name in _OPTIONAL if _distribution(name)]
    return _places((*_NEEDED, *optional))


def places_of(names: Sequence[str]) -> tuple[Path, ...]:
    """Return the files and directories of distributions and their dependencies.

    Args:
        names: Names of distributions, or of packages as they are imported.

    Raises:
        TargetError: One is not installed.
    """
    found = []
    for name in names:
        if _distribution(name):
            found.append(name)
        elif name in (providers := importlib.metadata.packages_distributions()):
            found += providers[name]
        else:
            raise TargetError(f"target.packages must name installed packages, but {name} is not; pip install {name}")
    return _places(found)


def without_packages(tree: str, folders: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """Split a tree so that no part of it is in a package folder.

    Args:
        tree: Real path of a directory or file.
        folders: Real paths, as `package_folders` returns them.

    Yields:
        A path, and whether it includes everything below; if not, only the names in that directory.
    """
    if any(tree == folder or tree.startswith(f"{folder}/") for folder in folders):
        return
    inside = frozenset(folder for folder in folders if folder.startswith(f"{tree.rstrip('/')}/"))
    if not inside:
        yield tree, True
        return
    yield tree, False
    with os.scandir(tree) as entries:
        for entry in entries:
            if not entry.is_symlink():  # its destination is granted by itself or not at all
                yield from without_packages(entry.path, inside)


class GrantedFinder:
    """A finder for `sys.meta_path` that hides packages that are not granted, as if they were not installed.

    Otherwise importing one would raise a PermissionError, which no library expects of an optional package.

    Args:
        places: Real paths that are granted.
        folders: Real paths, as `package_folders` returns them.

    Attributes:
        hidden: Names of installed packages whose import was refused.
    """

    def __init__(self, places: Iterable[str], folders: frozenset[str]) -> None:
        self._places = tuple(places)
        self._folders = folders
        self.hidden: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return what `PathFinder` finds, unless it is a top-level package that is not granted."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or path is not None or self._is_granted(spec):
            return spec
        self.hidden.add(fullname)
        return None

    def invalidate_caches(self) -> None:
        """Forget the cached file lists."""
        PathFinder.invalidate_caches()

    def find_distributions(self, context: importlib.metadata.DistributionFinder.Context) -> Iterable[Distribution]:
        """Return installed distributions, for `importlib.metadata`."""
        return importlib.metadata.MetadataPathFinder.find_distributions(context)

    def _is_granted(self, spec: ModuleSpec) -> bool:
        locations: list[str | None] = [*(spec.submodule_search_locations or ())]
        locations = locations or ([spec.origin] if spec.has_location else [])
        paths = [os.path.realpath(location) for location in locations if location]
        return not paths or any(map(self._is_usable, paths))

    def _is_usable(self, path: str) -> bool:
        if not any(path.startswith(f"{folder}/") for folder in self._folders):
            return True
        return any(
            path == place or path.startswith(f"{place}/") or place.startswith(f"{path}/") for place in self._places
        )


def hide_packages(readable: Iterable[Path]) -> GrantedFinder:
    """Let this process import only packages that are granted.

    Args:
        readable: Paths granted in addition to `needed_places`.
    """
    places = map(os.path.realpath, (*needed_places(), *readable))
    finder = GrantedFinder(places, package_folders())
    sys.meta_path[:] = [finder if other is PathFinder else other for other in sys.meta_path]
    return finder


def _places(names: Iterable[str]) -> tuple[Path, ...]:
    found = {path: None for dist in _with_dependencies(names) for path in _places_of(dist)}
    return tuple(path for path in found if found.keys().isdisjoint(path.parents))


def _with_dependencies(names: Iterable[str]) -> Iterator[Distribution]:
    """Yield distributions and their installed dependencies; extras are not followed."""
    waiting, seen = list(names), set[str]()
    while waiting:
        name = _normal(waiting.pop())
        dist = None if name in seen else _distribution(name)
        seen.add(name)
        if dist is None:
            continue
        yield dist
        # markers are not evaluated: dependencies for other systems are not installed here, or do no harm
        required = (_NAME.match(each) for each in dist.requires or () if "extra ==" not in each)
        waiting += [match[0] for match in required if match]


def _distribution(name: str) -> Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except (PackageNotFoundError, ValueError):
        return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _places_of(dist: Distribution) -> Iterator[Path]:
    folder = Path(str(dist.locate_file("")))
    names = {
        name
        for line in (dist.read_text("RECORD") or dist.read_text("installed-files.txt") or "").splitlines()
        if (name := _top(folder, line.strip('"').partition(",")[0]))
    }
    modules = {name for name in names if name.isidentifier()}
    if not names:  # of a distribution's package manager, or linked to from an old-style development install
        modules = set((dist.read_text("top_level.txt") or "").split()) or {_normal(dist.name).replace("-", "_")}
        own = getattr(dist, "_path", None)  # importlib.metadata has no public name for it
        names = {Path(str(own)).name} if own else set()
        for module in modules:
            names |= {path.name for pattern in (module, f"{module}.*") for path in folder.glob(pattern)}
    yield from (folder / name for name in sorted(names))
    if "editable" in (dist.read_text("direct_url.json") or ""):
        yield from _linked(modules | set((dist.read_text("top_level.txt") or _normal(dist.name)).split()))


def _top(folder: Path, file: str) -> str | None:
    """Return the part of a file's path that belongs to this distribution only; None if it is not in the folder."""
    first, _, rest = file.partition("/")
    if first in ("", ".", ".."):
        return None
    if not rest or first.endswith(_METADATA):
        return first
    if first == "__pycache__":  # holds modules of all distributions
        return file
    return first if _is_package(folder / first) else f"{first}/{rest.partition('/')[0]}"


@functools.cache
def _is_package(path: Path) -> bool:
    return (path / "__init__.py").exists()


def _linked(modules: Iterable[str]) -> Iterator[Path]:
    """Yield the places of the modules of an editable installation."""
    for module in modules:
        name = module.replace("-", "_")
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec and spec.submodule_search_locations:
            yield from map(Path, spec.submodule_search_locations)
        elif spec and spec.has_location and spec.origin:
            yield Path(spec.origin)
