"""As many requests as one vendor batch may hold."""

from __future__ import annotations

import msgspec

from airflow_provider_llmbatch.core.limits import Limits
from airflow_provider_llmbatch.exceptions import RequestTooLargeError


class Shard(msgspec.Struct, frozen=True):
    """One shard of a round, once it is cut.

    :ivar number: Position among the shards of its round, from 0.
    :ivar model: The one model it asks, or ``""`` where a batch may mix models.
    :ivar count: Requests in it.
    :ivar bytes: Size of the request file.
    :ivar sha256: Hex digest of the request file.
    :ivar first: Smallest record index in it.
    :ivar last: Largest record index in it.
    """

    number: int
    model: str
    count: int
    bytes: int
    sha256: str
    first: int
    last: int


class Cutter:
    """Decides, line by line, into which shard a request goes.

    Order is kept, never packed: within a model, shard *n* is full before shard *n + 1* begins.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._room = limits.max_bytes - limits.envelope_bytes
        self._open: dict[str, tuple[int, int, int]] = {}
        self._next = 0

    def place(self, *, size: int, model: str, index: int) -> int:
        """Return the number of the shard that takes a line of *size* bytes (with its newline).

        :raises RequestTooLargeError: The line alone exceeds what a batch may hold.
        """
        if size > self._room:
            raise RequestTooLargeError(
                f"record {index}: its request is {size:,} bytes; one batch takes at most {self._room:,} "
                f"(source: {self._limits.source}). Nothing was sent. Shorten the prompt, or pass the document as a URL "
                "or a file id.",
                index=index,
                bytes=size,
            )
        lane = model if self._limits.one_model else ""
        number, count, filled = self._open.get(lane, (-1, 0, 0))
        if number < 0 or count >= self._limits.max_requests or filled + size > self._room:
            number, count, filled = self._next, 0, 0
            self._next += 1
        self._open[lane] = (number, count + 1, filled + size)
        return number

    def is_full(self, number: int) -> bool:
        """Return whether no later line can go to shard *number*."""
        return all(number != open_number for open_number, _, _ in self._open.values())
