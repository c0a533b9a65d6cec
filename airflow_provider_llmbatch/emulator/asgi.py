"""The outermost layer: name the call, let the faults strike, check the key, answer, and enter it in the books."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from airflow_provider_llmbatch.emulator import transport
from airflow_provider_llmbatch.emulator.books import Entry
from airflow_provider_llmbatch.emulator.ids import make_id
from airflow_provider_llmbatch.emulator.wire import ApiError, Call, Vendor, refusal, reply
from airflow_provider_llmbatch.emulator.world import World

_log = logging.getLogger(__name__)
_CLIENT_IS_GONE = 499
"""What the books say of a client that gave up before it had sent all (nginx's convention)."""

Handler = Callable[[World, Call], Awaitable[Response]]


class Route(NamedTuple):
    """Where a call goes."""

    method: str
    path: str
    """Template: ``{name}`` stands for one segment."""
    operation: str
    """Begins with the vendor's name, or with ``control``."""
    handler: Handler

    @property
    def vendor(self) -> Vendor | None:
        """Whose API it belongs to."""
        name = self.operation.partition(".")[0]
        return "openai" if name == "openai" else "anthropic" if name == "anthropic" else None

    @property
    def pattern(self) -> re.Pattern[str]:
        """The template as a regular expression."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path) + "/?")


class Guard(NamedTuple):
    """What a vendor asks of every call before it looks at it, and what it adds to every answer."""

    admit: Callable[[World, Request], None]
    headers: Callable[[str], dict[str, str]]


class Application:
    """The ASGI application."""

    def __init__(self, world: World, routes: list[Route], guards: dict[Vendor, Guard]) -> None:
        self.world = world
        self.routes = [(route, route.pattern) for route in routes]
        self.guards = guards

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.world.start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.world.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        vendor, route, params = self._route(scope)
        operation = route.operation if route else f"{vendor or 'control'}.unknown"
        if vendor is None:
            response, _ = await self._answer(Call(operation, None, params, Request(scope, receive), ""), route)
            await response(scope, receive, send)
            return
        path = f"{scope['path']}?{scope['query_string'].decode()}".rstrip("?")
        books = self.world.books
        entry = books.open(operation, scope["method"], path, time.time())
        entry.request_id = make_id("req", self.world.options.seed, entry.number)
        call = Call(operation, vendor, params, Request(scope, _counted(receive, entry)), entry.request_id)
        try:
            await self._deliver(call, route, entry, send)
        finally:
            entry.seconds = round(time.time() - entry.at, 6)
            books.close(entry)

    def _route(self, scope: Scope) -> tuple[Vendor | None, Route | None, dict[str, str]]:
        path, method = scope["path"], scope["method"]
        vendor = _vendor(path, scope)
        for route, pattern in self.routes:
            if route.vendor == vendor and route.method == method and (found := pattern.fullmatch(path)):
                return vendor, route, found.groupdict()
        return vendor, None, {}

    async def _deliver(self, call: Call, route: Route | None, entry: Entry, send: Send) -> None:
        """Answer *call*, as the faults allow."""
        header = call.request.headers.get("x-emulator-fault")
        try:
            call.faults = faults = self.world.faults.strike(call.operation, call.params.values(), header)
        except ValueError as error:
            entry.status = 400
            await reply({"error": str(error)}, 400)(call.request.scope, call.request.receive, send)
            return
        entry.fault = " ".join(name for fault in faults for name in fault.effects)
        if any(fault.reset_before for fault in faults):
            await transport.reset(send, call.request)
            return
        await asyncio.sleep(max((fault.hang_before for fault in faults), default=0))
        response, status = await self._answer(call, route)
        await asyncio.sleep(max((fault.hang for fault in faults), default=0))
        if any(fault.reset_after for fault in faults):
            await transport.reset(send, call.request)
            return
        entry.status = status
        await response(call.request.scope, call.request.receive, transport.Damaged.by(send, call))

    async def _answer(self, call: Call, route: Route | None) -> tuple[Response, int]:
        try:
            response = await self._handle(call, route)
        except ApiError as error:
            response = reply(error.body(call.request_id), error.status, error.headers)
        except ClientDisconnect:
            response = Response(status_code=_CLIENT_IS_GONE)
        except Exception:
            _log.exception("A mistake of the emulator's own in %s", call.operation)
            broken = refusal(call.vendor, 500, "The emulator made a mistake: see its log.")
            response = reply(broken.body(call.request_id), broken.status)
        if call.vendor:
            response.headers.update(self.guards[call.vendor].headers(call.request_id))
        return response, response.status_code

    async def _handle(self, call: Call, route: Route | None) -> Response:
        if call.vendor:
            self.guards[call.vendor].admit(self.world, call.request)
        _refuse(call)
        if route is None:
            raise refusal(call.vendor, 404, f"Invalid URL ({call.request.method} {call.request.url.path})")
        if call.vendor:
            await self.world.settle()
        return await route.handler(self.world, call)


def _refuse(call: Call) -> None:
    """Raise what a fault with a status says."""
    for fault in call.faults:
        if fault.status is None or fault.row:
            continue
        headers = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
        named = {"code": fault.code or None} if call.vendor == "openai" else {"type": fault.code or None}
        if fault.details:
            named["details"] = {"error_code": fault.details}  # type: ignore[assignment]
        text = fault.message or f"The emulator was asked to answer this call with {fault.status}."
        raise refusal(call.vendor, fault.status, text, headers=headers, **named)


def _vendor(path: str, scope: Scope) -> Vendor | None:
    """Tell whose API a call is for; paths that both have are told apart by Anthropic's version header."""
    if path.startswith("/_emulator"):
        return None
    if path.startswith(("/v1/messages", "/v1/organizations")):
        return "anthropic"
    return "anthropic" if any(name == b"anthropic-version" for name, _ in scope["headers"]) else "openai"


def _counted(receive: Receive, entry: Entry) -> Receive:
    async def counted() -> Message:
        message = await receive()
        entry.request_bytes += len(message.get("body", b""))
        return message

    return counted
