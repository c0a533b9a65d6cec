"""An S3 server on this machine, in a process of its own: real HTTP calls, a log of them, and a few bad habits.

``moto`` keeps the objects. It checks a condition and writes in two steps, so here one request is served at a time,
which makes conditional writes as atomic as S3 promises them:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

BUCKET = "lake"
CONN_ID = "aws_default"
ROOT = f"s3://{CONN_ID}@{BUCKET}"
REPO = Path(__file__).resolve().parent.parent

ERROR = "<Error><Code>{code}</Code><Message>as told</Message></Error>"
# S3 answers 200 to a deletion of many, and names inside those that failed.
REFUSED = b"<DeleteResult><Error><Key>any</Key><Code>AccessDenied</Code></Error></DeleteResult>"
HABITS = {
    "ignore": "conditions are taken and ignored, as by some look-alikes",
    "refuse": "a write with a condition is answered 501, as by others",
    "terse": "a condition that fails is told without naming the condition",
    "conflict": "the next write with a condition is answered 409, as S3 does while another one is under way",
    "forget": "the next write with a condition is carried out, and its answer is lost",
    "no_parts": "every part of a large upload is refused",
    "no_deletes": "every deletion is refused",
    "no_reads": "every look is refused",
}
REFUSES = {"no_deletes": ("DELETE",), "no_reads": ("GET", "HEAD")}
ONCE = ("conflict", "forget")


class Server:
    """The server, as a test sees it."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.s3"]
        self._process = subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()

    @property
    def connection(self) -> str:
        """The Airflow connection that leads here."""
        extra = {"endpoint_url": self.url, "region_name": "us-east-1"}
        return json.dumps({"conn_type": "aws", "login": "key", "password": "secret", "extra": extra})

    def control(self, what: str, value: str = "") -> Any:
        """Switch a habit on (``habit``), start from an empty bucket (``reset``), or read the log (``log``)."""
        with urllib.request.urlopen(f"{self.url}/_control/{what}/{value}") as reply:
            return json.load(reply)

    def log(self, method: str | None = None) -> list[dict[str, Any]]:
        """Return every request since the last reset: method, path, query, condition and status."""
        return [entry for entry in self.control("log") if method in (None, entry["method"])]

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait(10)


class App:
    """``moto`` behind a lock, a log and the habits."""

    def __init__(self, moto: Wsgi, reset: Callable[[], None]) -> None:
        self._moto = moto
        self._reset = reset
        self._lock = Lock()
        self._habit = ""
        self._log: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        with self._lock:
            if environ["PATH_INFO"].startswith("/_control/"):
                return self._control(environ["PATH_INFO"], start)
            return self._serve(environ, start)

    def _control(self, path: str, start: Any) -> Iterable[bytes]:
        _, _, what, value = path.split("/")
        if what == "reset":
            self._reset()
            self._habit = ""
            self._log.clear()
        elif what == "habit":
            self._habit = value if value in HABITS else ""
        start("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(self._log).encode()]

    def _serve(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        entry = {
            "method": environ["REQUEST_METHOD"],
            "path": environ["PATH_INFO"],
            "query": environ["QUERY_STRING"],
            "condition": environ.get("HTTP_IF_NONE_MATCH"),
            "status": 0,
        }
        self._log.append(entry)
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))

        def noted(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            entry["status"] = int(status.split()[0])
            return start(status, headers, *rest)

        told = self._as_told(entry, environ)
        if told is None:
            return list(self._moto(environ, noted))
        status, code = told
        body = ERROR.format(code=code).encode() if code else REFUSED
        noted(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [b"" if entry["method"] == "HEAD" else body]

    def _as_told(self, entry: dict[str, Any], environ: dict[str, Any]) -> tuple[str, str] | None:
        """Follow the habit; return what to answer instead of what moto would."""
        habit = self._habit
        if habit == "no_deletes" and entry["query"] == "delete":
            return "200 OK", ""
        if habit == "no_parts" and "partNumber" in entry["query"]:
            return "400 Bad Request", "InvalidRequest"
        if entry["method"] in REFUSES.get(habit, ()):
            return "403 Forbidden", "AccessDenied"
        if not entry["condition"]:
            return None
        if habit in ONCE:
            self._habit = ""
        if habit == "ignore":
            del environ["HTTP_IF_NONE_MATCH"]
        return self._answer(habit, environ)

    def _answer(self, habit: str, environ: dict[str, Any]) -> tuple[str, str] | None:
        """Return what to answer to a write with a condition."""
        if habit == "refuse":
            return "501 Not Implemented", "NotImplemented"
        if habit == "conflict":
            return "409 Conflict", "ConditionalRequestConflict"
        if habit == "forget":
            list(self._moto(environ, lambda *_: None))
            return "500 Internal Server Error", "InternalError"
        if habit == "terse" and environ["PATH_INFO"] in self._written():
            return "412 Precondition Failed", "PreconditionFailed"
        return None

    def _written(self) -> set[str]:
        return {entry["path"] for entry in self._log if entry["method"] == "PUT" and entry["status"] == 200}


def main() -> None:
    """Serve until the process is ended; print the address first."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from moto.s3.models import s3_backends
    from werkzeug.serving import make_server

    def reset() -> None:
        s3_backends.reset()
        s3_backends["123456789012"]["aws"].create_bucket(BUCKET, "us-east-1")

    class Quiet(MotoRequestHandler):
        protocol_version = "HTTP/1.1"  # connections are kept

        def log_request(self, *_: Any) -> None:
            """Say nothing: the log is :class:`App`'s."""

    reset()
    server = make_server("127.0.0.1", 0, App(create_backend_app("s3"), reset), threaded=True, request_handler=Quiet)
    print(f"http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
