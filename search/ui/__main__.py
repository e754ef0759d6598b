"""Shows every trial in MLflow's user interface: `python -m search.ui [outputs | outputs/NAME]`.

Starts MLflow with settings that work, waits until it answers, and prints the link: the trials of the latest search or
sweep, or of the one that is named, the best first. For a sweep there is a second link, to the best score over the
trainings with a line for each strategy. It runs until Ctrl-C or SIGTERM, or until its terminal is closed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from search.commands import fails_with_a_line, say
from search.composed import read_config
from search.errors import UserError
from search.mlflow.store import SETTINGS, sqlite_path
from search.mlflow.views import BEST_SO_FAR, TRIALS, has_view, view_link
from search.names import given_folder
from search.runs.finished import read_summary
from search.runs.rundir import RunDirectory
from search.tracking.place import Place, place_of

_HOST: Final = "127.0.0.1"
_PORTS: Final = range(5000, 5020)
_LOOK_SECONDS: Final = 0.3  # between two questions whether it answers
_WORD_SECONDS: Final = 15.0  # between two lines that say that it still starts
_ANSWER_SECONDS: Final = 10.0
_LOG_CHARACTERS: Final = 800
_ERROR: Final = re.compile(r"\S*(?:Error|Exception)\b.*: |.*\bERROR: ")
_BY_NAME: Final = "api/2.0/mlflow/experiments/get-by-name"
_ANY: Final = "api/2.0/mlflow/experiments/search?max_results=1"
_SORTED: Final = {"orderByKey": "metrics.`val_bpb`", "orderByAsc": "true", "workflowType": "machine_learning"}


@fails_with_a_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Start MLflow's user interface, and wait for its end; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m search.ui", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", default="outputs", help="of a search or of all (default: %(default)s)")
    parser.add_argument("--port", type=_port, help=f"default: the first free one from {_PORTS[0]}")
    options = parser.parse_args(arguments)
    run = _search(given_folder(options.folder))
    uri = _tracking_uri(run)
    place = place_of(run, read_summary(run).name)
    if uri.startswith("http"):
        return _say("\n".join(links(uri, place)))
    database = sqlite_path(uri)
    if database is None or not database.exists():
        raise UserError(
            f"there is no MLflow database {database or uri}: run this in the folder in which the search was started"
        )
    if options.port and not _is_free(options.port):
        raise UserError(f"port {options.port} is in use: give another with --port, or none, then a free one is taken")
    port = options.port or _free_port()
    for ending in (signal.SIGTERM, signal.SIGHUP):  # or the server would outlive this process
        signal.signal(ending, signal.default_int_handler)
    words = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}", "--workers", "1"]
    return serve([*words, "--host", _HOST, "--port", str(port)], f"http://{_HOST}:{port}", place, say=_say)


def _port(text: str) -> int:
    """Return the number of a port; a `type` for argparse."""
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to 65535, got {text!r}")
    return int(text)


def _say(text: str) -> int:
    say(text)
    return 0


def _search(folder: Path) -> RunDirectory:
    """Return the search in a folder, or else the one below it that changed last and has a summary."""
    if RunDirectory(folder).journal.exists():
        return RunDirectory(folder)
    found = sorted(folder.rglob("summary.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"{folder} holds no search yet: start one with `{_start()}`")
    return RunDirectory(found[-1].parent)


def _start() -> str:
    from search.printed import command

    return command("search")


def _tracking_uri(run: RunDirectory) -> str:
    uri = (read_config(run).get("tracker") or {}).get("tracking_uri")
    if uri is None:
        raise UserError(
            f"{run.root} was not sent to MLflow: its tracker is another, or none; its trials are sent if you run the "
            "command of that search again with tracker=mlflow"
        )
    return str(uri)


def _free_port() -> int:
    for port in _PORTS:
        if _is_free(port):
            return port
    raise UserError(f"no port from {_PORTS[0]} to {_PORTS[-1]} is free: give another with --port")


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((_HOST, port))
        except OSError:
            return False
    return True


def serve(words: Sequence[str], url: str, place: Place, *, say: Callable[[str], Any]) -> int:
    """Start a server, say its links when it answers, and wait for its end or for Ctrl-C; return the exit code.

    Args:
        words: The command that starts it.
        url: Where it answers.
        place: The experiment to show.
        say: Gets each line for the user.

    Raises:
        UserError: It ended before it answered.
    """
    say("MLflow starts, which takes about half a minute")
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            words, env={**SETTINGS, **os.environ}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
        )
        try:
            _wait_for(server, url, say)
            if server.poll() is None:
                for line in links(url, place):
                    say(line)
                say("it runs until Ctrl-C")
            server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            _end(server)
        log.seek(0)
        said = log.read().decode(errors="replace")
    raise UserError(f"MLflow ended with status {server.returncode}; its last words: {_last_words(said)}")


def _last_words(log: str) -> str:
    """Return the last error of a log, without the traceback above it; the end of the log if it has none."""
    lines = log.strip().splitlines()
    errors = [number for number, line in enumerate(lines) if _ERROR.match(line)]
    return "\n".join(lines[errors[-1] :] if errors else lines)[-_LOG_CHARACTERS:]


def _wait_for(server: subprocess.Popen[bytes], url: str, say: Callable[[str], Any]) -> None:
    """Return when the server answers, or has ended."""
    began = last = time.monotonic()
    while server.poll() is None and not _answers(url):
        time.sleep(_LOOK_SECONDS)
        now = time.monotonic()
        if now - last > _WORD_SECONDS:
            last = now
            say(f"still starting, {now - began:.0f} s")


def _answers(url: str) -> bool:
    """Return whether a server reads its database; its page `/health` is fine without one."""
    try:
        with urllib.request.urlopen(f"{url}/{_ANY}", timeout=_ANSWER_SECONDS) as answer:
            return bool(answer.status == 200)
    except OSError:  # nothing listens yet
        return False


def links(url: str, place: Place) -> list[str]:
    """Return the link to the table of a search, the best trial first, and for a sweep also that to its chart.

    Args:
        url: Address of a server that answers.
        place: The experiment; without it, the link leads to the first page.
    """
    found = next(filter(None, (_experiment(url, name) for name in reversed(place.names))), None)
    if found is None:
        return [url]
    if not has_view(found.get("tags", []), TRIALS):  # a search of an earlier version
        return [f"{url}/#/experiments/{found['experiment_id']}/runs?{urllib.parse.urlencode(_SORTED)}"]
    table = f"{view_link(url, found['experiment_id'], TRIALS)}  every trial, the best first"
    chart = view_link(url, found["experiment_id"], BEST_SO_FAR)
    return [table, f"{chart}  the best so far of all searches of the sweep"] if place.differing else [table]


def _experiment(url: str, name: str) -> dict[str, Any] | None:
    query = urllib.parse.urlencode({"experiment_name": name})
    try:
        with urllib.request.urlopen(f"{url}/{_BY_NAME}?{query}", timeout=_ANSWER_SECONDS) as answer:
            found: dict[str, Any] = json.load(answer)["experiment"]
            return found if found["experiment_id"] else None
    except (OSError, ValueError, KeyError):  # there is none of this name, or the server needs a password
        return None


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and the processes that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(timeout=_ANSWER_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


if __name__ == "__main__":
    raise SystemExit(main())
