"""Damage done to an answer on its way out, below HTTP: resets, cuts and garbled bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Send

from airflow_provider_llmbatch.emulator.wire import Call


def transport_of(send: Send) -> Any:
    """Return the socket transport under uvicorn's own ``send``."""
    return send.__self__.transport  # type: ignore[attr-defined]


async def reset(send: Send, request: Request) -> None:
    """Reset the connection, so that the client sees ECONNRESET and not an orderly end."""
    transport = transport_of(send)
    connection = transport.get_extra_info("socket")
    # Without lingering, closing sends RST.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _gone(request)


async def _gone(request: Request) -> None:
    """Wait until the server has noticed, so that it does not complain of an answer that never came."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.001)


class Damaged:
    """A ``send`` that damages the body.

    :param cut: Pass on that many bytes of the body, then close the connection.
    :param garble: Overwrite every 97th byte from the 10th on.
    """

    def __init__(self, send: Send, request: Request, *, cut: int | None, garble: bool) -> None:
        self.send = send
        self.request = request
        self.left = cut
        self.garble = garble
        self.at = 0
        self.closed = False

    @classmethod
    def by(cls, send: Send, call: Call) -> Send:
        """Return *send* as the faults of *call* damage it."""
        cuts = [fault.cut for fault in call.faults if fault.cut is not None]
        garble = any(fault.garble for fault in call.faults)
        if not cuts and not garble:
            return send
        return cls(send, call.request, cut=min(cuts) if cuts else None, garble=garble)

    async def __call__(self, message: Message) -> None:
        if self.closed:
            return
        if message["type"] == "http.response.body":
            message = dict(message)
            body = message.get("body", b"")
            message["body"] = self._damage(body) if self.garble else body
            if self.left is not None and len(body) >= self.left:
                await self.send({**message, "body": message["body"][: self.left], "more_body": True})
                # An orderly close flushes what was written: the client gets exactly the bytes it should.
                transport_of(self.send).close()
                self.closed = True
                await _gone(self.request)
                return
            if self.left is not None:
                self.left -= len(body)
        await self.send(message)

    def _damage(self, body: bytes) -> bytes:
        damaged = bytearray(body)
        for at in range((10 - self.at) % 97, len(damaged), 97):
            damaged[at] = 0x00
        self.at += len(body)
        return bytes(damaged)
