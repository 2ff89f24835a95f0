"""A schema registry that keeps what it is told in memory: the part of Confluent's API that is asked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote

FIRST_ID = 5000  # no lock has it


class _Registry(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.versions: dict[str, list[dict[str, Any]]] = {}

    def answer(self, path: list[str], body: Any) -> Any:
        match path:
            case ["config"]:
                return body
            case ["subjects"]:
                return list(self.versions)
            case ["subjects", subject, "versions"] if body is not None:
                entry = {"id": FIRST_ID + sum(map(len, self.versions.values())), **body}
                self.versions.setdefault(subject, []).append(entry)
                return entry
            case ["subjects", subject, "versions"]:
                return list(range(1, len(self.versions[subject]) + 1))
            case ["subjects", subject, "versions", number]:
                return self.versions[subject][int(number) - 1]


class _Asked(BaseHTTPRequestHandler):
    server: _Registry

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        content = json.dumps(self.server.answer([unquote(part) for part in self.path.split("/")[1:]], body)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_GET  # noqa: N815 (http.server names them so)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def running() -> Iterator[str]:
    """The address of one that is empty."""
    with _Registry() as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
