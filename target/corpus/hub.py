"""Downloads a file of a Hugging Face dataset, with retries. It resumes broken downloads and checks the file's hash.

The hub answers a HEAD with the SHA-256 of the file (`X-Linked-Etag`) and its size (`X-Linked-Size`) before it redirects
to a content server. The content is accepted only if it has that hash.

`huggingface_hub` would be one more dependency, with a cache of its own beside ours, for the download of single files.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urljoin

import requests
import urllib3

from target.corpus.cache import file_sha256
from target.errors import TargetError

_TRIES: Final = 6  # in a row without a new byte
_LONGEST_PAUSE_SECONDS: Final = 30.0
_TIMEOUT_SECONDS: Final = 30.0  # without a byte
_IMPATIENT_SECONDS: Final = 5.0
_CHUNK_BYTES: Final = 1 << 20
_REDIRECTS: Final = 3  # within the hub, for a dataset that was renamed
_FINAL_STATUS: Final = range(400, 500)  # not retried, except these two
_BUSY_STATUS: Final = (408, 429)

Progress = Callable[[int], None]  # gets the number of additional bytes

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Pin:
    """What a file must be.

    Attributes:
        sha256: Its hash, hexadecimal.
        size_bytes: Its size.
    """

    sha256: str
    size_bytes: int


class _TryAgain(Exception):  # noqa: N818 -- an event: the next attempt may do better
    """An attempt failed in a way that may be temporary."""


def pin_of(path: Path) -> Pin | None:
    """Return hash and size of a downloaded file; None if it is missing or incomplete."""
    try:
        pin = Pin(**json.loads(_note(path).read_text(encoding="utf-8")))
        return pin if path.stat().st_size == pin.size_bytes else None
    except (OSError, ValueError, TypeError):
        return None


def ask_once(url: str) -> str:
    """Ask for a file once, without waiting long; return what is wrong, or an empty text if it can be downloaded."""
    try:
        with requests.Session() as session:
            _ask(session, url, timeout_seconds=_IMPATIENT_SECONDS)
    except (requests.RequestException, urllib3.exceptions.HTTPError, _TryAgain, TargetError) as error:
        return str(error)
    return ""


def download(url: str, path: Path, *, progress: Progress, pause: Callable[[float], object] = time.sleep) -> Pin:
    """Download a file, unless it is there.

    Args:
        url: Its address.
        path: Its destination. Beside it, `.json` has hash and size, and `.<hash>.part` has the bytes received so far.
        progress: Gets the number of bytes that arrive; negative when received bytes are discarded.
        pause: Waits so many seconds before another attempt; it and `progress` may raise to end the download.

    Raises:
        TargetError: The download failed.
    """
    if pin := pin_of(path):
        progress(pin.size_bytes)
        return pin
    path.parent.mkdir(parents=True, exist_ok=True)
    with requests.Session() as session:
        pin = _patiently(lambda: _ask(session, url), url, lambda: 0, pause)
        part = path.with_suffix(f".{pin.sha256[:16]}.part")  # only for this hash
        progress(_size(part))
        _patiently(lambda: _fetch(session, url, part, pin, progress), url, lambda: _size(part), pause)
    note = _note(path)
    note.with_suffix(".new").write_text(json.dumps(asdict(pin)), encoding="utf-8")
    note.with_suffix(".new").replace(note)
    part.replace(path)
    return pin


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _patiently(
    attempt: Callable[[], _Answer], url: str, so_far: Callable[[], int], pause: Callable[[float], object]
) -> _Answer:
    """Return the answer of the first attempt that succeeds."""
    failures, before = 0, so_far()
    while True:
        try:
            return attempt()
        except (requests.RequestException, urllib3.exceptions.HTTPError, _TryAgain) as error:
            failures = 1 if so_far() > before else failures + 1
            before = so_far()
            if failures == _TRIES:
                raise TargetError(f"{url}: download failed after {_TRIES} attempts, the last with: {error}") from error
            pause(min(_LONGEST_PAUSE_SECONDS, 2.0 ** (failures - 1)))


def _ask(session: requests.Session, url: str, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> Pin:
    """Ask for hash and size of a file; they are in the hub's own headers, before it redirects to another host."""
    place = url
    for _ in range(_REDIRECTS):
        answer = session.head(
            place, allow_redirects=False, timeout=timeout_seconds, headers={"Accept-Encoding": "identity"}
        )
        _refuse_status(answer, url)
        location = answer.headers.get("Location", "")
        if answer.is_redirect and location.startswith("/") and "X-Linked-Etag" not in answer.headers:
            place = urljoin(place, location)
            continue
        break
    etag = answer.headers.get("X-Linked-Etag", answer.headers.get("ETag", "")).removeprefix("W/").strip('"')
    size = answer.headers.get("X-Linked-Size", answer.headers.get("Content-Length", ""))
    if not re.fullmatch("[0-9a-f]{64}", etag) or not size.isdigit():
        raise TargetError(
            f"{url}: X-Linked-Etag must be a SHA-256 and X-Linked-Size a number, got {etag!r} and {size!r}"
        )
    return Pin(etag, int(size))


def _fetch(session: requests.Session, url: str, part: Path, pin: Pin, progress: Progress) -> None:
    """Append the missing bytes, and compare the whole file with its hash."""
    begin = _size(part)
    if begin < pin.size_bytes:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begin}-"} if begin else {})
        with session.get(url, stream=True, timeout=_TIMEOUT_SECONDS, headers=headers) as answer:
            _refuse_status(answer, url)
            if begin and answer.status_code != 206:  # the server sends the whole file again
                part.unlink()
                progress(-begin)
            with part.open("ab") as file:
                while chunk := answer.raw.read1(_CHUNK_BYTES):  # writes what has arrived, even if the rest fails
                    file.write(chunk)
                    file.flush()
                    progress(len(chunk))
    found = _size(part)
    if found < pin.size_bytes:
        raise _TryAgain(f"the connection ended after {found} of {pin.size_bytes} bytes")
    if (sha256 := file_sha256(part)) != pin.sha256:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        progress(-found)
        raise _TryAgain(f"its SHA-256 must be {pin.sha256}, got {sha256} for {found} bytes")


def _refuse_status(answer: requests.Response, url: str) -> None:
    if answer.status_code in _FINAL_STATUS and answer.status_code not in _BUSY_STATUS:
        raise TargetError(f"{url}: download failed: the server says {answer.status_code} {answer.reason}")
    if answer.status_code >= 400:
        raise _TryAgain(f"the server says {answer.status_code} {answer.reason}")
