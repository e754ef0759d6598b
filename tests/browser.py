"""A headless Chromium, driven over its debugging pipe: pages as a user sees them, without another package."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.waiting import wait_for

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_READ, _WRITE = 3, 4  # the file descriptors of Chromium's debugging pipe


class Browser:
    """One tab.

    Attributes:
        complaints: Errors and warnings of the console, uncaught errors, and requests for anything but files.
    """

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._unread, self._count, self._session = b"", 0, ""
        self.complaints: list[str] = []
        self._events: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window, in pixels."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def open(self, path: Path, fragment: str = "") -> None:
        """Open a file, and wait until its scripts have drawn it."""
        self.visit(f"{path.resolve().as_uri()}{fragment}")
        self.wait("document.readyState === 'complete' && document.querySelector('.chart .mark, .chart .grid') !== null")

    def visit(self, url: str) -> None:
        """Open an address, and wait for nothing."""
        self._events.clear()
        self._ask("Page.navigate", url=url)

    def wait(self, condition: str) -> Any:
        """Wait until a condition in JavaScript holds, and return its value; it fails after minutes."""
        deadline = time.monotonic() + 300
        while not (found := self.value(condition)):
            assert time.monotonic() < deadline, f"{condition}; {self.complaints}"
            self.value("new Promise(done => setTimeout(done, 20))")
        return found

    def value(self, expression: str) -> Any:
        """Return what an expression in JavaScript yields; a promise is awaited."""
        found = self._ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            if "context was destroyed" in str(found):
                return None  # the page was loaded again
            raise AssertionError(f"{expression}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def click(self, selector: str) -> None:
        """Click on the middle of the first element that matches, as a mouse does."""
        x, y = self.value(
            f"(e => {{ e.scrollIntoView({{block: 'nearest'}}); const b = e.getBoundingClientRect();"
            f" return [b.x + b.width / 2, b.y + b.height / 2] }})(document.querySelector({json.dumps(selector)}))"
        )
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def press(self, found: str) -> None:
        """Click on the element that an expression finds, once it is there, lies still, and nothing covers it."""
        place = (
            "(e => { if (!e) return null; e.scrollIntoView({block: 'nearest'}); const b = e.getBoundingClientRect();"
            " const [x, y] = [b.x + b.width / 2, b.y + b.height / 2], top = document.elementFromPoint(x, y);"
            f" return top && (e.contains(top) || top.contains(e)) ? [x, y] : null }})({found})"
        )
        places: list[list[float] | None] = [None]

        def still() -> bool:
            places.append(self.value(place))
            return places[-1] is not None and places[-1] == places[-2]

        wait_for(still)
        x, y = places[-1]  # type: ignore[misc]
        self.mouse("mousePressed", x, y)
        self.mouse("mouseReleased", x, y)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Send an event of the mouse."""
        pressed = {} if kind == "mouseWheel" else {"button": "left", "clickCount": 1}
        self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed, **more)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write a picture of the window, or of the whole page."""
        picture = self._ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(picture["data"]))

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                if "error" in answer:
                    if any(word in str(answer["error"]) for word in ("context", "navigated", "collected")):
                        return {"result": {}}  # the page was loaded again
                    raise AssertionError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._hear(answer.get("method", ""), answer.get("params", {}))

    def _hear(self, method: str, said: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(said["exceptionDetails"]))
        if method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(said["args"]))
        if method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(str(said["entry"]))
        if method == "Network.requestWillBeSent" and not said["request"]["url"].startswith(("file:", "data:")):
            self.complaints.append(f"it asks for {said['request']['url']}")

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._unread:
            chunk = os.read(self._receive, 1 << 20)
            assert chunk, "the browser has ended"
            self._unread += chunk
        line, self._unread = self._unread.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium with a profile of its own, and end it."""
    assert PROGRAM is not None
    to_browser, from_browser = os.pipe(), os.pipe()

    def connect() -> None:
        read, write = os.dup(to_browser[0]), os.dup(from_browser[1])  # 3 and 4 may be among the pipes' own
        os.dup2(read, _READ)
        os.dup2(write, _WRITE)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:  # its helpers may write to the last
        flags = (
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        )
        quiet = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--mute-audio")
        process = subprocess.Popen(
            [PROGRAM, *flags, *quiet, f"--user-data-dir={profile}"],
            preexec_fn=connect,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_browser[0])
        os.close(from_browser[1])
        try:
            yield Browser(to_browser[1], from_browser[0])
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(to_browser[1])
            os.close(from_browser[0])
