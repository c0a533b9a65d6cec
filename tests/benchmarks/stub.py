"""A server that costs little: it takes every upload and throws it away, and sends files as they lie on disk.

``python -m tests.benchmarks.stub FOLDER`` prints its address. Below ``/ours`` and ``/theirs`` it looks like either
vendor; batch *k* has ended, and its results are ``FOLDER/<ours or theirs>/<k>.jsonl``.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROUTE = re.compile(
    r"/(?P<whose>ours|theirs)/v1(?P<ant>/messages)?/(?P<kind>files|batches)(/(?P<id>\w+)(?P<tail>/\w+)?)?"
)
DROP = bytearray(1 << 20)
THEN = 1_790_000_000
"""When everything happened, in epoch seconds."""


class Stub(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    root: Path
    numbers: Iterator[int]

    def do_GET(self) -> None:
        found = self._route()
        if found["tail"] in ("/content", "/results"):
            return self._send(self._file(found))
        if found["kind"] == "files":
            return self._reply(self._upload(self._file(found).stat().st_size))
        if found["id"]:
            return self._reply(self._batch(found, _number(found["id"])))
        files = self.root.glob(f"{found['whose']}/*.jsonl")
        batches = [self._batch(found, number) for number in sorted((int(file.stem) for file in files), reverse=True)]
        return self._reply({"object": "list", "data": batches, "has_more": False})

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= self.rfile.readinto(memoryview(DROP)[: min(left, len(DROP))])
        found = self._route()
        if found["kind"] == "files":
            return self._reply(self._upload(1))
        return self._reply(self._batch(found, next(self.numbers)))

    def do_DELETE(self) -> None:
        self._reply({"id": self._route()["id"], "object": "file", "deleted": True})

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _route(self) -> dict[str, Any]:
        return ROUTE.match(self.path).groupdict()  # type: ignore[union-attr]  # whoever asks for more has an error

    def _file(self, found: dict[str, Any]) -> Path:
        return self.root / found["whose"] / f"{_number(found['id'])}.jsonl"

    def _upload(self, size: int) -> dict[str, Any]:
        return {"id": "file_0", "object": "file", "bytes": size, "created_at": THEN, "purpose": "batch", "filename": ""}

    def _batch(self, found: dict[str, Any], number: int) -> dict[str, Any]:
        if found["ant"]:
            host = f"http://{self.headers['Host']}/{found['whose']}"
            kinds = ("processing", "succeeded", "errored", "canceled", "expired")
            return {
                "id": f"msgbatch_{number}",
                "type": "message_batch",
                "processing_status": "ended",
                "request_counts": dict.fromkeys(kinds, 0),
                "results_url": f"{host}/v1/messages/batches/msgbatch_{number}/results",
                **dict.fromkeys(("created_at", "ended_at", "expires_at"), "2026-09-21T14:13:20Z"),
            }
        return {
            "id": f"batch_{number}",
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "status": "completed",
            "input_file_id": "file_0",
            "output_file_id": f"file_{number}",
            "request_counts": None,
            **dict.fromkeys(("created_at", "in_progress_at", "completed_at", "expires_at"), THEN),
        }

    def _reply(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self._head(len(body))
        self.wfile.write(body)

    def _send(self, path: Path) -> None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._head(size, "application/octet-stream")
            self.wfile.flush()
            self.connection.sendfile(file, 0, size)

    def _head(self, size: int, kind: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.end_headers()


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


if __name__ == "__main__":
    Stub.root, Stub.numbers = Path(sys.argv[1]), itertools.count()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stub)
    server.daemon_threads = True
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
