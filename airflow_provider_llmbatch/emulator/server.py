"""The emulator as an object: a uvicorn server on 127.0.0.1, in a thread of its own."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from airflow_provider_llmbatch.emulator.options import make_options
from airflow_provider_llmbatch.emulator.routes import make_application
from airflow_provider_llmbatch.emulator.world import World

HOST = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """Open the door, on 127.0.0.1 and nowhere else: the control routes need no key.

    :raises OSError: The port is taken.
    """
    # The protocol is named because asyncio switches Nagle's delay off only for sockets that say they are TCP.
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((HOST, port))
        door.listen(2048)
    except OSError:
        door.close()
        raise
    return door


def make_server(world: World, log_level: str = "critical") -> uvicorn.Server:
    """Make the server for *world*; it is run on a socket that :func:`listen` has opened."""
    config = uvicorn.Config(
        make_application(world),
        loop="asyncio",
        lifespan="on",
        log_level=log_level,
        access_log=False,
        proxy_headers=False,
        ws="none",
        # Longer than clients pause between two polls, so that none of them meets a door that is just closing.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def url_of(door: socket.socket) -> str:
    """Return the base URL of what listens at *door*."""
    return f"http://{HOST}:{door.getsockname()[1]}"


class Emulator:
    """Both vendors' batch APIs on one local port, from ``__enter__`` to ``__exit__``.

    :param port: Port to listen on; 0: any free one.
    :param state_dir: Where the state survives a restart.  ``None``: nowhere.
    :param options: Fields of :class:`~airflow_provider_llmbatch.emulator.options.Options`.
    :raises ValueError: An unknown option, or a bad value.
    """

    def __init__(self, port: int = 0, state_dir: str | Path | None = None, **options: Any) -> None:
        self.world = World(make_options(options), Path(state_dir) if state_dir else None)
        self._port = port
        self._server = make_server(self.world)
        self._door: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Start to listen; return when ready.

        :raises OSError: The port is taken.
        """
        self._door = listen(self._port)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._door],), name="llmbatch-emulator", daemon=True
        )
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("The emulator did not start.")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop to listen; return when the port is free."""
        self._server.should_exit = True
        if self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Base of all routes."""
        if self._door is None:
            raise RuntimeError("The emulator has not been started.")
        return url_of(self._door)

    @property
    def openai_url(self) -> str:
        """``base_url`` for the ``openai`` SDK."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """``base_url`` for the ``anthropic`` SDK."""
        return self.url

    def fault(self, calls: str, **settings: Any) -> int:
        """Switch a fault on: the operations it is for, then fields of ``Fault``.  Returns its number."""
        numbers: list[int] = self._control("POST", "faults", {"calls": calls, **settings})["numbers"]
        return numbers[0]

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self._control("DELETE", "faults")

    def advance(self, seconds: float) -> None:
        """Skip emulated time.  When it returns, every batch whose time has come has ended."""
        self._control("POST", "clock", {"advance": seconds})

    def bill(self) -> dict[str, Any]:
        """Return what was accepted and what it cost."""
        return self._control("GET", "bill")

    def calls(self, operation: str | None = None) -> list[dict[str, Any]]:
        """Return the vendor calls in order, or those of one operation."""
        query = f"?operation={operation}" if operation else ""
        found: list[dict[str, Any]] = self._control("GET", f"calls{query}")["calls"]
        return found

    def counts(self) -> dict[str, int]:
        """Return how often each operation was called."""
        counts: dict[str, int] = self._control("GET", "calls")["counts"]
        return counts

    def set_options(self, **options: Any) -> None:
        """Change options."""
        self._control("POST", "options", options)

    def reset(self) -> None:
        """Forget all batches, files and calls."""
        self._control("POST", "reset")

    def _control(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        # http.client goes straight to the socket: no proxy from the environment gets in between.
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"))
        try:
            connection.request(method, f"/_emulator/{path}", None if body is None else json.dumps(body))
            response = connection.getresponse()
            document: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise ValueError(document["error"])
        return document
