"""As many requests as one vendor batch may hold."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from airflow_provider_llmbatch.core.limits import Limits
from airflow_provider_llmbatch.core.requests import Requests
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
    """Decides into which shard requests go.

    Order is kept, never packed: within a lane, shard *n* is full before shard *n + 1* begins.

    :param first_alone: Let shard 0 hold one request only.
    """

    def __init__(self, limits: Limits, *, first_alone: bool = False) -> None:
        self._limits = limits
        self._first_alone = first_alone
        self._room = limits.max_bytes - limits.envelope_bytes
        self._open: dict[str, _Filling] = {}
        self._next = 0

    def place(self, requests: Requests) -> int | None:
        """Return the number of the shard that takes all of *requests*, or ``None`` if they belong to several.

        :raises RequestTooLargeError: A request alone exceeds what a batch may hold.
        """
        filling = self._open.get(requests.lane)
        fuller = filling and self._with(filling, requests)
        if fuller is None:
            if requests.total > 1:
                return None
            self._check(requests)
            fuller = _Filling(self._next, 1, len(requests.lines), requests.inputs)
            self._next += 1
        self._open[requests.lane] = fuller
        return fuller.number

    def is_full(self, number: int) -> bool:
        """Return whether no later request can go to shard *number*."""
        return all(number != filling.number for filling in self._open.values())

    def _with(self, filling: _Filling, more: Requests) -> _Filling | None:
        """Return *filling* with *more* requests, or ``None`` where that is too much."""
        count, inputs = filling.requests + more.total, filling.inputs + more.total * more.inputs
        size = filling.bytes + len(more.lines)
        limits = self._limits
        if self._first_alone and filling.number == 0:
            return None
        if count > limits.max_requests or size > self._room:
            return None
        if limits.max_inputs is not None and inputs > limits.max_inputs:
            return None
        return _Filling(filling.number, count, size, inputs)

    def _check(self, request: Requests) -> None:
        size, inputs, index = len(request.lines), request.inputs, request.first
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
