"""`python -m search.ui`: waits until the server answers, prints a link to the sorted table, ends with it."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

import pytest

from search.errors import UserError
from search.tracking.place import Place
from search.ui.__main__ import links, main, serve
from tests.ports import free_port
from tests.search.command import QUIET, run

SERVER = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

class Answer(BaseHTTPRequestHandler):
    refusals = 2
    def do_GET(self):
        path = urlsplit(self.path)
        name = parse_qs(path.query).get("experiment_name")
        if path.path == "/health":
            self.send_response(200)  # also while its database cannot be read
            self.end_headers()
        elif path.path.endswith("/experiments/search") and Answer.refusals:
            Answer.refusals -= 1
            self.send_error(503)
        elif path.path.endswith("/experiments/search") or name == ["mar 8"]:
            self.send_response(200)
            self.end_headers()
            tags = [{"key": "mlflow.sharedViewState.graft-trials", "value": "{}"}] * ("tags" in sys.argv)
            self.wfile.write(json.dumps({"experiment": {"experiment_id": "7", "tags": tags}}).encode())
            if name:
                print("bye", flush=True)
                os._exit(int(os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"))
        else:
            self.send_error(404)

HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
TABLE = "#/experiments/7/runs?orderByKey=metrics.%60val_bpb%60&orderByAsc=true&workflowType=machine_learning"
VIEW = "#/experiments/7/runs?viewStateShareKey="
VIEWS = [
    f"{VIEW}graft-trials&workflowType=machine_learning  every trial, the best first",
    f"{VIEW}graft-best-so-far&workflowType=machine_learning&compareRunsMode=CHART  the best so far of all searches of "
    "the sweep",
]


@pytest.mark.parametrize("words", [(), ("tags",)], ids=["earlier search", "sweep"])
def test_the_link_comes_when_the_server_answers_and_its_end_is_told(words: tuple[str, ...]) -> None:
    port, said = free_port(), list[str]()

    with pytest.raises(UserError, match=r"MLflow ended with status 1; its last words:[^$]*bye"):
        serve(
            [sys.executable, "-c", SERVER, str(port), *words],
            f"http://127.0.0.1:{port}",
            Place(name="mar 8", owner="0a1b2c3d", differing=("strategy",)),
            say=said.append,
        )

    assert said[0] == "MLflow starts, which takes about half a minute"
    assert said[-1] == "it runs until Ctrl-C"
    links = [line for line in said if line.startswith("http")]
    assert links == [f"http://127.0.0.1:{port}/{each}" for each in (VIEWS if words else [TABLE])]


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("no room", "no room"),
        ("Traceback:\n  File x\nsqlite3.DatabaseError: file is not a database\n[SQL: SELECT]", None),
        ("INFO: x\n2026/11/28 ERROR:    no such port\nINFO: bye", "2026/11/28 ERROR:    no such port"),
    ],
)
def test_a_server_that_does_not_start_is_told_without_its_traceback(log: str, words: str | None) -> None:
    said: list[str] = []
    shown = re.escape(words or "sqlite3.DatabaseError: file is not a database")
    with pytest.raises(UserError, match=f"ended with status 3; its last words: {shown}"):
        serve(
            [sys.executable, "-c", f"print({log!r}); exit(3)"],
            "http://127.0.0.1:9",
            Place(name="x", owner="0a"),
            say=said.append,
        )
    assert said == ["MLflow starts, which takes about half a minute"], "no link of a server that has ended"


def test_a_server_without_the_experiment_gets_its_first_page() -> None:
    assert links("http://127.0.0.1:9", Place(name="x", owner="0a")) == ["http://127.0.0.1:9"]


def test_what_cannot_be_shown_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "name=g", "target=landscape", QUIET, "budget.trainings=1").returncode == 0
    outputs = tmp_path / "outputs"
    assert main([str(outputs)]) == 2
    assert "was not sent to MLflow: its tracker is another, or none" in capsys.readouterr().err

    config = outputs / "g" / ".hydra" / "config.yaml"
    config.write_text(
        config.read_text().replace("tracker:\n", f"tracker:\n  tracking_uri: sqlite:///{tmp_path}/no.db\n")
    )
    assert main([str(outputs / "g")]) == 2
    assert "there is no MLflow database" in capsys.readouterr().err
    config.write_text(config.read_text().replace("no.db", "yes.db"))
    (tmp_path / "yes.db").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main([str(outputs / "g"), "--port", str(port)]) == 2
    assert f"port {port} is in use: give another with --port" in capsys.readouterr().err
    for port in ("99999999", "0", "http"):
        with pytest.raises(SystemExit):
            main([str(outputs), "--port", port])
        assert f"--port: must be a number from 1 to 65535, got '{port}'" in capsys.readouterr().err
    config.write_text("{[")
    assert main([str(outputs / "g")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("; restore it or start a new run")
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2
    assert "holds no search yet: start one with" in capsys.readouterr().err
