"""A language model's server with a script: OpenAI's protocol over real HTTP, with faults at planned requests.

    python -m tests.llm_server --port 8100                      # answers by habit: edits the train.py it is shown
    python -m tests.llm_server --port 8100 --script plan.json   # {"replies": ["..."], "faults": {"3": "429"}}

Faults by name: see `FAULTS`. Requests to /v1/chat/completions are counted from 1, whether they fail or not.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

from tests.llm_faults import FAULTS, Answer, Completion, Failure
from tests.llm_habits import habit

_SECRET: Final = ("authorization", "api-key", "x-api-key", "cookie")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request for a completion.

    Attributes:
        number: From 1, in the order of arrival.
        body: The JSON that was sent.
        headers: With secrets redacted; names in lower case.
        repeats: Earlier requests with the same messages.
    """

    number: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    repeats: int = 0

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation."""
        messages: list[dict[str, str]] = self.body["messages"]
        return messages

    @property
    def text(self) -> str:
        """All that was said, in one piece."""
        return "\n\n".join(str(message["content"]) for message in self.messages)


Reply = Callable[[Request], Answer]


class LlmServer(ThreadingHTTPServer):
    """Serves /v1/chat/completions and /v1/models on loopback.

    Args:
        reply: Texts in order, the last for ever; or a function of the request. Default: `habit`.
        faults: Number of a request, from 1, to what goes wrong there: a name of `FAULTS` or an answer of your own.
        key: Demand this key; others are refused with status 401.
        port: Where; 0 takes a free one.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        reply: Reply | Sequence[Answer] = habit,
        *,
        faults: Mapping[int, str | Answer] | None = None,
        key: str | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.requests: list[Request] = []
        self.most_at_once = 0
        self.faults: dict[int, str | Answer] = dict(faults or {})
        self.key = key
        self.stopping = threading.Event()
        self._reply = reply if callable(reply) else _in_order(reply)
        self._lock = threading.Condition()
        self._open = 0

    @property
    def url(self) -> str:
        """What to give as `llm.api_base`."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()

    def take(self, body: Mapping[str, Any], headers: Mapping[str, str]) -> Request:
        """Note a request and return it with its number."""
        with self._lock:
            repeats = sum(each.body.get("messages") == body.get("messages") for each in self.requests)
            request = Request(number=len(self.requests) + 1, body=body, headers=headers, repeats=repeats)
            self.requests.append(request)
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
            self._lock.notify_all()
        return request

    def wait_for(self, count: int, seconds: float = 300) -> None:
        """Return when so many requests have come.

        Raises:
            TimeoutError: They have not.
        """
        with self._lock:
            if not self._lock.wait_for(lambda: len(self.requests) >= count, seconds):
                raise TimeoutError(f"{len(self.requests)} requests in {seconds:g} s, not {count}")

    def done(self) -> None:
        """Note that a request has been answered."""
        with self._lock:
            self._open -= 1

    def answer(self, request: Request) -> Answer:
        """Return what the plan or the script says; how a connection fails is named by a string of `FAULTS`' keys."""
        planned = self.faults.get(request.number)
        if planned is None:
            return self._reply(request)
        return FAULTS[planned] if isinstance(planned, str) else planned

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are part of the script."""


def _in_order(answers: Sequence[Answer]) -> Reply:
    lock, position = threading.Lock(), iter(range(len(answers)))

    def reply(_: Request) -> Answer:
        with lock:
            return answers[next(position, len(answers) - 1)]

    return reply


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LlmServer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path.rstrip("/") != "/v1/models":
            return self._json(404, _error(Failure(status=404, message=f"no such path: {self.path}")))
        return self._json(200, {"object": "list", "data": [{"id": "scripted", "object": "model", "owned_by": "tests"}]})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.rstrip("/") != "/v1/chat/completions":
            return self._json(404, _error(Failure(status=404, message=f"no such path: {self.path}")))
        key = self.headers.get("Authorization", "").removeprefix("Bearer ")
        named = {name.lower(): value for name, value in self.headers.items()}
        request = self.server.take(
            json.loads(raw), {name: "[redacted]" if name in _SECRET else value for name, value in named.items()}
        )
        try:
            answer = self.server.answer(request)
            if self.server.key is not None and key != self.server.key:
                answer = FAULTS["401"]  # type: ignore[assignment]
            if isinstance(answer, str) and request.number in self.server.faults and answer in FAULTS:
                return self._break(answer)
            return self._say(request, answer, key)
        finally:
            self.server.done()

    def _say(self, request: Request, answer: Answer, key: str) -> None:
        if isinstance(answer, Failure):
            return self._json(answer.status, _error(answer, key), answer.headers)
        completion = Completion(text=answer) if isinstance(answer, str) else answer
        return self._json(200, _completion(request, completion))

    def _break(self, fault: str) -> None:
        self.close_connection = True
        if fault == "hang":
            self._until_the_client_leaves()
        elif fault == "drip":
            self._drip()
        elif fault == "drop":
            self._reset()
        elif fault == "drop in the middle":
            self._raw(b'{"id": "cut", "choices": [{"index": 0, "mess', "application/json", missing=500)
        elif fault == "not json":
            self._raw(b'{"id": "cut", "choices": [{', "application/json")
        elif fault == "other json":
            self._raw(b'{"status": "warming up"}', "application/json")
        elif fault == "html":
            self._raw(b"<html><body>Bad gateway, but with status 200</body></html>", "text/html")

    def _until_the_client_leaves(self) -> None:
        while not self.server.stopping.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.2)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                return

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.server.stopping.wait(0.02):
            self.wfile.write(b"1\r\n \r\n")

    def _reset(self) -> None:
        """Close so that the client gets a reset, not the polite end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _raw(self, body: bytes, kind: str, *, missing: int = 0) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) + missing))
        self.end_headers()
        self.wfile.write(body)

    def _json(self, status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _error(failure: Failure, key: str = "") -> dict[str, Any]:
    message = failure.message.replace("{key}", key)  # providers do echo keys
    error = {"message": message, "type": failure.code, "param": failure.param, "code": failure.code}
    return {"object": "error", **error} if failure.flat else {"error": error}


def _completion(request: Request, completion: Completion) -> dict[str, Any]:
    prompt_tokens, completion_tokens = len(request.text) // 4, len(completion.text or "") // 4
    usage = completion.usage or {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": prompt_tokens // 2 if request.number > 1 else 0},
    }
    message: dict[str, Any] = {"role": "assistant", "content": completion.text, **completion.beside}
    if completion.reasoning is not None:
        message[completion.reasoning_field] = completion.reasoning
    if completion.tool is not None:
        function = {"name": "str_replace", "arguments": json.dumps(completion.tool)}
        message["tool_calls"] = [{"id": "1", "type": "function", "function": function}]
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": completion.finish_reason,
        **completion.around,
    }
    return {
        "id": f"scripted-{request.number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": request.body.get("model", "scripted"),
        "choices": [choice] * completion.choices,
        "usage": usage,
    }


def main() -> None:
    """Serve from the command line until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", type=Path, help="JSON with replies, faults and key, all optional")
    arguments = parser.parse_args()
    script = json.loads(arguments.script.read_text(encoding="utf-8")) if arguments.script else {}
    server = LlmServer(
        script.get("replies") or habit,
        faults={int(number): fault for number, fault in script.get("faults", {}).items()},
        key=script.get("key"),
        port=arguments.port,
    )
    print(server.url, flush=True)  # noqa: T201
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
