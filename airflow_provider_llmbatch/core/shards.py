"""As many requests as one vendor batch may hold."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from airflow_provider_llmbatch.core.limits import Limits
from airflow_provider_llmbatch.core.requests import Request
from airflow_provider_llmbatch.exceptions import RequestTooLargeError


class Shard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One shard of a round, once it is cut.

    :ivar number: Position among the shards of its round, from 0.
    :ivar part: The first and the last record of a part of it, such as ``500-749``; ``""``: the whole.
    :ivar lane: What all its requests have in common, such as the model.
    :ivar count: Requests in it.
    :ivar bytes: Size of the request file.
    :ivar sha256: Hex digest of the request file.
    :ivar first: Smallest record index in it.
    :ivar last: Largest record index in it.
    """

    number: int
    part: str = ""
    lane: str = ""
    count: int
    bytes: int
    sha256: str
    first: int
    last: int


class _Filling(NamedTuple):
    """A shard that still takes requests, and how full it is."""

    number: int
    requests: int = 0
    bytes: int = 0
    inputs: int = 0


class Cutter:
    """Decides, line by line, into which shard a request goes.

    Order is kept, never packed: within a lane, shard *n* is full before shard *n + 1* begins.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._room = limits.max_bytes - limits.envelope_bytes
        self._open: dict[str, _Filling] = {}
        self._next = 0

    def place(self, request: Request, index: int) -> int:
        """Return the number of the shard that takes *request*, the one of record *index*.

        :raises RequestTooLargeError: The request alone exceeds what a batch may hold.
        """
        size = len(request.line)
        self._check(size, request.inputs, index)
        filling = self._open.get(request.lane)
        if filling is None or self._is_too_much(filling, size, request.inputs):
            filling = _Filling(self._next)
            self._next += 1
        self._open[request.lane] = _Filling(
            filling.number, filling.requests + 1, filling.bytes + size, filling.inputs + request.inputs
        )
        return filling.number

    def is_full(self, number: int) -> bool:
        """Return whether no later request can go to shard *number*."""
        return all(number != filling.number for filling in self._open.values())

    def _is_too_much(self, filling: _Filling, size: int, inputs: int) -> bool:
        limits = self._limits
        return (
            filling.requests >= limits.max_requests
            or filling.bytes + size > self._room
            or (limits.max_inputs is not None and filling.inputs + inputs > limits.max_inputs)
        )

    def _check(self, size: int, inputs: int, index: int) -> None:
        limits = self._limits
        if size > self._room:
            raise RequestTooLargeError(
                f"record {index}: its request is {size:,} bytes; one batch takes at most {self._room:,} "
                f"(source: {limits.source}). Nothing was sent. Shorten the prompt, or pass the document as a URL or a "
                "file id.",
                index=index,
                bytes=size,
            )
        if limits.max_inputs is not None and inputs > limits.max_inputs:
            raise RequestTooLargeError(
                f"record {index}: its request has {inputs:,} inputs; one batch takes at most {limits.max_inputs:,} "
                f"(source: {limits.source}). Nothing was sent. Put the inputs into several records.",
                index=index,
                inputs=inputs,
            )
