"""Finds marks of code that a model leaves out, such as `# ... rest unchanged`, but not ordinary comments."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

_CHARACTERS: Final = 160
_DOTS: Final = re.compile(r"(?:\.{3}|…)")
_CLEAR: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?:\.{3}|…)",
        r"(?:#|//)\s*[\[(<]?\s*(?:\.{3}|…).*",
        r"(?:#|//)[\s\[(<=-]*(?:keep\s+)?(?:(?:the|your)\s+)?(?:rest|remainder|remaining|existing)\b.*"
        r"\b(?:code|file|unchanged|same|before|above|here|omitted|as is)\W*",
        r"(?:#|//)\s*[\[(<]?\s*(?:unchanged|omitted|as (?:before|above)|same as (?:before|above)|no changes?)\W*",
    )
)
_KEY: Final = r"existing|identical|omitted|original|remainder|remaining|rest|same|unchanged"
_HAS_KEY: Final = re.compile(rf"\b(?:{_KEY})\b", re.IGNORECASE)
_WORDS: Final = re.compile(
    rf"(?:#|//)(?:[\W\d_]*\b(?:{_KEY}|above|all|and|are|as|before|below|body|brevity|changes?|class|code|content|"
    "continues?|file|for|from|function|goes|here|implementation|in|is|its?|keep|kept|like|lines?|logic|loop|method|"
    "module|no|of|other|parent|part|previous|program|remains?|script|source|stays?|that|the|there|this|to|version|was|"
    r"with|your)\b)+[\W\d_]*",
    re.IGNORECASE,
)
"""A comment of these words alone, with one of the keys, says nothing but that code is left out."""
_PLACEHOLDER: Final = re.compile(r"(?:pass|\.{3})\s+(?=#)")
"""A statement that does nothing, before a comment."""
_VAGUE: Final = re.compile(
    r"(?:#|//).*(?:\b(?:rest|remaining|existing|same|unchanged|omitted|previous|other)\b.*(?:\.{3}|…)\s*[\])>]?"
    r"|\b(?:as before|as above|unchanged)\W*)",
    re.IGNORECASE,
)
_LIKE: Final = 0.6
"""Least similarity of two lines for one to be a changed version of the other."""
_COMPARED_LINES: Final = 3_000
_COMPARED_PLACES: Final = 100


def elision(lines: Iterable[str], known: Iterable[str]) -> str | None:
    """Return the first line that may replace omitted code; None if there is none.

    Args:
        lines: Lines that a model wrote.
        known: Lines of the file itself: they are always code.
    """
    own: set[str] | None = None
    for line in lines:
        bare = line.strip()
        if _looks_like_one(bare):
            own = {each.strip() for each in known} if own is None else own
            if bare not in own:
                return bare
    return None


def missing_code(old: Sequence[str], new: Sequence[str], known: Iterable[str]) -> str | None:
    """Return the line of `new` that replaces omitted lines of `old`; None if there is none.

    A line of only dots always counts, because in a program it would be code. A comment counts where lines of `old` are
    missing and no line at that place is a changed version of one of them.

    Args:
        old: The old lines.
        new: The model's new lines.
        known: Lines of the file itself.
    """
    if elision(new, known) is None:
        return None
    own = {each.strip() for each in known}
    bare_old, bare_new = ([line.strip() for line in lines] for lines in (old, new))
    dots = next((line for line in bare_new if _DOTS.fullmatch(line) and line not in own), None)
    if dots is not None:
        return dots
    if len(old) + len(new) > _COMPARED_LINES:
        gone = Counter(line for line in bare_old if line) - Counter(bare_new)
        return elision(new, known) if gone else None
    for tag, i, j, k, m in difflib.SequenceMatcher(None, bare_old, bare_new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        marks = [line for line in bare_new[k:m] if line not in own and _looks_like_one(line)]
        written = [line for line in bare_new[k:m] if line and line not in marks]
        gone_here = [line for line in bare_old[i:j] if line and not line.startswith("#") and not _kept(line, written)]
        if marks and gone_here and (any(map(_is_clear, marks)) or len(gone_here) > len(written)):
            return marks[0]
    return None


def is_elision(line: str) -> bool:
    """Return whether a line looks like a replacement for omitted lines."""
    return _looks_like_one(line.strip())


def _looks_like_one(bare: str) -> bool:
    if len(bare) > _CHARACTERS or bare[:1] not in (".", "…", "#", "/", "p"):
        return False
    return _is_clear(bare) or bool(_VAGUE.fullmatch(_comment_in(bare)))


def _comment_in(bare: str) -> str:
    placeholder = _PLACEHOLDER.match(bare)
    return bare[placeholder.end() :] if placeholder else bare


def _is_clear(bare: str) -> bool:
    bare = _comment_in(bare)
    if any(pattern.fullmatch(bare) for pattern in _CLEAR):
        return True
    return _HAS_KEY.search(bare) is not None and _WORDS.fullmatch(bare) is not None


def _kept(line: str, written: Sequence[str]) -> bool:
    """Whether other lines include a line or a changed version of it."""
    if len(line) > _CHARACTERS or len(written) > _COMPARED_PLACES:
        return False
    return any(
        difflib.SequenceMatcher(None, line, other[: 2 * _CHARACTERS], autojunk=False).ratio() >= _LIKE
        for other in written
    )
