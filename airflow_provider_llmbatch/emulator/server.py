"""The emulator as an object: a uvicorn server on 127.0.0.1, in a thread of its own."""

from __future__ import annotations

import http.client
import json
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
_START_SECONDS = 30.0


def make_server(
    world: World, port: int, *, kind: type[uvicorn.Server] = uvicorn.Server, log_level: str = "critical"
) -> uvicorn.Server:
    """Make the server for *world*.  It listens on 127.0.0.1 and nowhere else: its control routes need no key."""
    config = uvicorn.Config(
        make_application(world),
        host=HOST,
        port=port,
        loop="asyncio",
        lifespan="on",
        log_level=log_level,
        access_log=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    return kind(config)


class Emulator:
    """Both vendors' batch APIs on one local port, from ``__enter__`` to ``__exit__``.

    :param port: Port to listen on; 0: any free one.
    :param state_dir: Where the state survives a restart.  ``None``: nowhere.
    :param options: Fields of :class:`~airflow_provider_llmbatch.emulator.options.Options`.
    :raises ValueError: An unknown option, or a bad value.
    """

    def __init__(self, port: int = 0, state_dir: str | Path | None = None, **options: Any) -> None:
        self.world = World(make_options(options), Path(state_dir) if state_dir else None)
        self._server = make_server(self.world, port)
        self._thread = threading.Thread(target=self._server.run, name="llmbatch-emulator", daemon=True)

    def start(self) -> Self:
        """Start to listen; return when ready."""
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError(
                    f"The emulator did not start on {HOST}:{self._server.config.port}: is the port taken?"
                )
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Stop to listen; return when the port is free."""
        self._server.should_exit = True
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Base of all routes."""
        return f"http://{HOST}:{self.port}"

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
        connection = http.client.HTTPConnection(HOST, self.port)
        try:
            connection.request(method, f"/_emulator/{path}", None if body is None else json.dumps(body))
            response = connection.getresponse()
            document: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= 400:
            raise ValueError(document["error"])
        return document
