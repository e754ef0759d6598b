"""The packages that candidates of a target may import, and the paths that they may not read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from target.corpus.copies import find_copies
from target.corpus.documents import installed_text
from target.corpus.own import FILES, folder_of
from target.corpus.prepared import CorpusFiles
from target.errors import TargetError
from target.sandbox.grants import libraries, library_grants
from target.sandbox.landlock import Access
from target.sandbox.packages import package_folders, places_of
from target.spec import TargetSpec


def read_access(spec: TargetSpec, corpus: CorpusFiles) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the paths of `spec.packages` with their dependencies, and the paths that candidates may not read.

    Raises:
        TargetError: A package is not installed, or contains held-out text of the corpus; or the folder of the user's
            own text has in it what candidates need.
    """
    packages, text = places_of(spec.packages or ()), installed_text(spec.corpus)
    if closed := [path.name for path in packages if path in text]:
        raise TargetError(
            f"target.packages may not need {', '.join(closed)}, because corpus={spec.corpus.name} takes its validation "
            "text from there; use another corpus or other packages"
        )
    withheld = (*corpus.withheld, *text, *_installed_elsewhere(text))
    if spec.corpus.name == FILES:
        folder = folder_of(spec.corpus)
        _require_apart(folder, (corpus.root, *packages, *libraries(), Path(tempfile.gettempdir())))
        withheld = (*withheld, folder)
    if spec.sandbox == "off":
        return packages, withheld
    granted = [grant.path for grant in library_grants() if Access.EXECUTE in grant.access]
    if spec.packages is None:
        granted += sorted({path.resolve() for path in libraries()})
    apart = [path.resolve() for path in withheld]
    return packages, (*withheld, *find_copies(spec.corpus, (*granted, *packages), apart))


def _require_apart(folder: Path, needed: Iterable[Path]) -> None:
    """Refuse a folder that cannot be withheld as a whole, because something in it is needed."""
    if inside := next((path for path in needed if path.resolve().is_relative_to(folder)), None):
        raise TargetError(
            f"target.corpus.folder must have nothing in it that trainings need, since candidates may not read it, but "
            f"{inside} is in {folder}: put the text into a folder of its own"
        )


def _installed_elsewhere(text: Iterable[Path]) -> list[Path]:
    """Return other installations of packages with held-out text: the base interpreter's, the system's, the user's."""
    own = {path.resolve() for path in text}
    others = {Path(folder) / path.name for folder in package_folders() for path in own}
    return sorted(path for path in others - own if path.exists())
